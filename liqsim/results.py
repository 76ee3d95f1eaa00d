"""Datasets: the only module that names dimensions, units and attributes of results."""

from __future__ import annotations

import datetime as dt
import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from liqsim._core import selected_level
from liqsim._version import __version__
from liqsim.engine.tally import CellSums
from liqsim.stats import proportion_se

__all__ = ["SWEEP_AXES", "provenance", "sweep_dataset", "sweep_estimates"]

SWEEP_AXES = ("model", "venue", "notional", "horizon")
_CELL = ("side", "leverage", "stop")
_DAYS_PER_YEAR = 365.0

_FRACTION = "fraction of entry notional"
_ESTIMATES: dict[str, tuple[str, str]] = {
    "p_liquidation": ("1", "probability of liquidation by the horizon"),
    "p_stop": ("1", "probability that the stop closes the position by the horizon"),
    "p_survival": ("1", "probability that the position is open at the horizon"),
    "funding_cost": (_FRACTION, "expected funding paid until exit (negative: received)"),
    "fees": (_FRACTION, "expected trading fees paid, entry and exit"),
    "pnl": (_FRACTION, "expected profit and loss after funding and fees"),
    "exit_time": ("d", "expected time to exit, the horizon at the latest"),
    "shortfall": (_FRACTION, "expected loss beyond the margin"),
    "engine_kept": (_FRACTION, "expected margin kept by the liquidation engine"),
}
_COORDS: dict[str, tuple[str, str]] = {
    "side": ("", "side of the position"),
    "leverage": ("1", "leverage, notional over initial margin"),
    "stop": ("fraction of entry price", "adverse move at which the stop triggers; inf for none"),
    "model": ("", "price model"),
    "venue": ("", "venue and product"),
    "notional": ("", "entry notional"),
    "horizon": ("", "horizon"),
    "level": ("fraction of start price", "price ratio to the start"),
}


def _se_name(name: str) -> str:
    return f"{name}_se"


def sweep_estimates(sums: CellSums, n_paths: int) -> dict[str, np.ndarray]:
    """Estimates and standard errors of every cell, each of shape (horizon, side, row, column)."""
    out: dict[str, np.ndarray] = {}
    out["p_liquidation"] = sums.liquidated / n_paths
    out["p_stop"] = sums.stopped / n_paths
    out["p_survival"] = 1.0 - (out["p_liquidation"] + out["p_stop"])  # the counts add up; so do the floats, this way
    for name in ("p_liquidation", "p_stop", "p_survival"):
        out[_se_name(name)] = proportion_se(out[name], n_paths)
    for name in ("funding_cost", "fees", "pnl", "shortfall", "engine_kept"):
        moments = getattr(sums, name)
        out[name] = moments.mean(n_paths)
        out[_se_name(name)] = moments.standard_error(n_paths)
    out["exit_time"] = sums.time.mean(n_paths) * _DAYS_PER_YEAR
    out["exit_time_se"] = sums.time.standard_error(n_paths) * _DAYS_PER_YEAR
    return out


def label(ds: xr.Dataset, n_paths: int) -> xr.Dataset:
    """Give every coordinate and estimate of ``ds`` its units and long name."""
    for name in ds.coords:
        units, long_name = _COORDS.get(str(name), ("", ""))
        if long_name:
            ds[name].attrs.setdefault("long_name", long_name)
        if units:
            ds[name].attrs.setdefault("units", units)
    for name, (units, long_name) in _ESTIMATES.items():
        if name in ds:
            ds[name].attrs = {"units": units, "long_name": long_name, "estimator": "mean", "n_paths": n_paths}
            ds[_se_name(name)].attrs = {
                "units": units,
                "long_name": f"standard error of {name}",
                "n_paths": n_paths,
            }
    return ds


def sweep_dataset(
    estimates: Mapping[str, np.ndarray],
    prices: Mapping[str, np.ndarray],
    axes: Mapping[str, Any],
    given: set[str],
    currency: tuple[str, str],
    n_paths: int,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Assemble the result of a sweep.

    Parameters
    ----------
    estimates : mapping
        Arrays of shape (model, venue, notional, horizon, side, leverage, stop).
    prices : mapping
        Arrays of shape (venue, notional, side, leverage).
    axes : mapping
        Coordinate values of all seven dimensions.
    given : set of str
        Those of model, venue, notional, horizon that the user gave as a list; the others lose their dimension.
    currency : (quote, settlement)
    n_paths : int
    attrs : mapping
    """
    full = (*SWEEP_AXES, *_CELL)
    coords: dict[str, Any] = {name: list(values) for name, values in axes.items()}
    coords["horizon"] = np.asarray(coords["horizon"], dtype="timedelta64[ns]")
    ds = xr.Dataset(
        {
            **{name: (full, values) for name, values in estimates.items()},
            **{name: (("venue", "notional", "side", "leverage"), values) for name, values in prices.items()},
        },
        coords=coords,
    )
    label(ds, n_paths)
    quote, settlement = currency
    ds["notional"].attrs["units"] = quote
    for name, units, long_name in (
        ("liquidation_price", quote, "mark price at which the position is liquidated, at entry"),
        ("bankruptcy_price", quote, "mark price at which the margin is used up, at entry"),
        ("initial_margin", settlement, "margin posted at entry"),
    ):
        ds[name].attrs = {"units": units, "long_name": long_name, "estimator": "exact"}
    ds = ds.squeeze([name for name in SWEEP_AXES if name not in given])
    ds.attrs = dict(attrs)
    return ds


def passage_dataset(
    levels: np.ndarray,
    horizons: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    has_horizon_axis: bool,
    n_paths: int,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Assemble the result of a first-passage run; ``estimates`` are of shape (horizon, level)."""
    ds = xr.Dataset(
        {name: (("horizon", "level"), values) for name, values in estimates.items()},
        coords={"horizon": np.asarray(horizons, dtype="timedelta64[ns]"), "level": levels},
    )
    label(ds, n_paths)
    for name, units, long_name in (
        ("p_hit", "1", "probability that the price reaches the level by the horizon"),
        ("alive_time", "d", "expected time until the level is reached, the horizon at the latest"),
    ):
        ds[name].attrs = {"units": units, "long_name": long_name, "estimator": "mean", "n_paths": n_paths}
        ds[_se_name(name)].attrs = {"units": units, "long_name": f"standard error of {name}", "n_paths": n_paths}
    if not has_horizon_axis:
        ds = ds.squeeze("horizon")
    ds.attrs = dict(attrs)
    return ds


def provenance(kind: str, inputs: Mapping[str, Any], seed: Any, n_paths: int, seconds: float) -> dict[str, Any]:
    """Attributes that say where a result comes from and repeat it.

    Parameters
    ----------
    kind : str
        Function that made the result.
    inputs : mapping
        Every argument that changes the numbers, as plain values.
    seed : int or numpy.random.SeedSequence
    n_paths : int
    seconds : float
        Wall time of the simulation.
    """
    if isinstance(seed, np.random.SeedSequence):
        entropy = seed.entropy
        words = entropy if entropy is None or isinstance(entropy, int) else [int(word) for word in entropy]
        seed = {"entropy": words, "spawn_key": [int(word) for word in seed.spawn_key]}
    else:
        seed = int(seed)
    level = selected_level()
    record = {
        "schema": 1,
        "function": kind,
        "version": __version__,
        "inputs": inputs,
        "seed": seed,
        "n_paths": n_paths,
        "instruction_set": level,
        "elapsed_seconds": round(seconds, 3),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    return {
        "Conventions": "liqsim-1",
        "title": f"liqsim {kind}",
        "version": __version__,
        "seed": seed if isinstance(seed, int) and seed < 2**63 else json.dumps(seed),
        "n_paths": n_paths,
        "instruction_set": level,
        "elapsed_seconds": round(seconds, 3),
        "history": f"{record['created']} liqsim {__version__} {kind}",
        "provenance": json.dumps(record, default=str),
    }
