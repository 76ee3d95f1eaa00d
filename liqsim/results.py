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
from liqsim.engine.plan import Pass
from liqsim.engine.tally import CellSums, Moments
from liqsim.stats import proportion_se

__all__ = [
    "SWEEP_AXES",
    "comparison_dataset",
    "dataset_bytes",
    "described",
    "passage_dataset",
    "provenance",
    "sweep_dataset",
    "sweep_estimates",
]

SWEEP_AXES = ("model", "venue", "notional", "horizon")
_CELL = ("side", "leverage", "stop")
_DAYS_PER_YEAR = 365.0

_FRACTION = "fraction of entry notional"
_ESTIMATES: dict[str, tuple[str, str]] = {
    "p_liquidation": ("1", "probability of liquidation by the horizon"),
    "p_stop": ("1", "probability that the stop closes the position by the horizon"),
    "p_survival": ("1", "probability that the position is open at the horizon"),
    "p_partial": ("1", "probability that the venue closes a part of the position, and never all of it"),
    "p_margin_call": ("1", "probability of a margin call"),
    "funding_cost": (_FRACTION, "expected funding paid until exit (negative: received)"),
    "fees": (_FRACTION, "expected trading fees paid, entry and exit"),
    "pnl": (_FRACTION, "expected profit and loss after funding and fees"),
    "exit_time": ("d", "expected time to exit, the horizon at the latest"),
    "shortfall": (_FRACTION, "expected loss beyond the margin"),
    "engine_kept": (_FRACTION, "expected margin kept by the liquidation engine"),
    "returned": (_FRACTION, "expected margin handed back after liquidation, less what was added on calls"),
    "closed_share": ("fraction of entry position", "expected share of the position that the venue closes"),
    "topped_up": (_FRACTION, "expected money added on margin calls"),
    "insurance_draw": (_FRACTION, "expected loss beyond the margin that the venue's fund covers"),
    "uncovered_loss": (_FRACTION, "expected loss beyond margin and fund: auto-deleveraged or socialised"),
    "client_debit": (_FRACTION, "expected loss beyond the margin that the trader owes"),
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


def sweep_estimates(task: Pass, sums: CellSums, n_paths: int) -> dict[str, np.ndarray]:
    """Estimates and standard errors of every cell, each of shape (horizon, side, row, column)."""
    out: dict[str, np.ndarray] = {}
    out["p_liquidation"] = sums.liquidated / n_paths
    out["p_stop"] = sums.stopped / n_paths
    out["p_survival"] = 1.0 - (out["p_liquidation"] + out["p_stop"])  # the counts add up; so do the floats, this way
    out["p_partial"] = sums.cut / n_paths
    out["p_margin_call"] = sums.called / n_paths
    for name in list(out):
        out[_se_name(name)] = proportion_se(out[name], n_paths)
    nothing = Moments(np.zeros_like(sums.liquidated), np.zeros_like(sums.liquidated))
    moments = {
        "funding_cost": sums.funding_cost,
        "fees": sums.fees,
        "pnl": sums.pnl,
        "exit_time": sums.time.times(_DAYS_PER_YEAR),
        "shortfall": sums.shortfall,
        "engine_kept": sums.engine_kept,
        "returned": sums.returned,
        "closed_share": sums.closed_share,
        "topped_up": sums.topped_up,
        "insurance_draw": nothing if task.client_pays else _covered(sums, task.fund),
        "uncovered_loss": nothing if task.client_pays else sums.uncovered,
        "client_debit": sums.shortfall if task.client_pays else nothing,
    }
    for name, moment in moments.items():
        out[name] = moment.mean(n_paths)
        out[_se_name(name)] = moment.standard_error(n_paths)
    return out


def _covered(sums: CellSums, fund: float) -> Moments:
    """Shortfall up to the fund: with u the excess over it, (s - u)^2 = s^2 - u^2 - 2 fund u."""
    shortfall, uncovered = sums.shortfall, sums.uncovered
    beyond = 0.0 if np.isinf(fund) else 2.0 * fund * uncovered.total
    return Moments(shortfall.total - uncovered.total, shortfall.squares - uncovered.squares - beyond)


def dataset_bytes(n_cells: int, n_prices: int) -> int:
    """Memory of the result of a sweep: an estimate and a standard error each, and the prices at entry."""
    return 8 * (2 * len(_ESTIMATES) * n_cells + 3 * n_prices)


def described(name: str) -> tuple[str, str]:
    """Units and long name of a coordinate or an estimate of a sweep; empty for any other."""
    return _COORDS.get(name) or _ESTIMATES.get(name, ("", ""))


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
        ("call_price", quote, "mark price from which the venue may call for margin or close the position, at entry"),
        ("initial_margin", settlement, "margin posted at entry"),
    ):
        if name not in ds:
            continue
        ds[name].attrs = {"units": units, "long_name": long_name, "estimator": "exact"}
    ds = ds.squeeze([name for name in SWEEP_AXES if name not in given])
    ds.attrs = dict(attrs)
    return ds


_WORDS: dict[str, str] = {
    "why": "why the venue behaves as it does, from its rules",
    "bearer": "who bears a loss beyond the margin, in order",
    "status": "whether the product trades",
    "us_persons": "whether US persons may trade it",
}


def comparison_dataset(
    ds: xr.Dataset,
    allowed: np.ndarray,
    max_leverage: np.ndarray,
    words: Mapping[str, list[str]],
    given: set[str],
) -> xr.Dataset:
    """Add what a comparison says of each venue to the result of a sweep over them.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(venue, side, leverage, stop)``; not-a-number where a venue does not allow the position.
    allowed : ndarray of bool, shape (venue, side, leverage)
    max_leverage : ndarray, shape (venue, side)
    words : mapping of str to list of str
        ``why``, ``bearer``, ``status`` and ``us_persons`` of each venue.
    given : set of str
        Those of side, leverage, stop that the user gave as a list; the others lose their dimension.
    """
    ds = ds.assign(
        is_allowed=(
            ("venue", "side", "leverage"),
            allowed,
            {"long_name": "whether the venue allows the leverage for this position; elsewhere nothing is simulated"},
        ),
        max_leverage=(
            ("venue", "side"),
            max_leverage,
            {"units": "1", "long_name": "largest leverage that the venue allows at entry", "estimator": "exact"},
        ),
    )
    ds = ds.assign({name: ("venue", texts, {"long_name": _WORDS[name]}) for name, texts in words.items()})
    return ds.squeeze([name for name in _CELL if name not in given])


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
        seed = {
            "entropy": words,
            "spawn_key": [int(word) for word in seed.spawn_key],
            "pool_size": int(seed.pool_size),
        }
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
