"""Datasets: the only module that names dimensions, units and attributes of results."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from liqsim._core import selected_level
from liqsim._version import __version__, git_version
from liqsim.variables import (
    ALL_OUTPUTS,
    CELL_AXES,
    COORDINATES,
    ESTIMATES,
    FREEDOM,
    PASSAGE_ESTIMATES,
    PLAIN,
    SMOOTHED,
    SWEEP_AXES,
    WEIGHTED,
    effective_name,
    group_name,
    se_name,
)

__all__ = [
    "comparison_dataset",
    "dataset_bytes",
    "described",
    "digests",
    "fingerprint",
    "passage_dataset",
    "provenance",
    "sensitivity_dataset",
    "smoothed_dataset",
    "smoothed_slopes",
    "sweep_dataset",
]


def dataset_bytes(n_cells: int, n_prices: int, n_added: int = 0) -> int:
    """Memory of the result of a sweep: an estimate and a standard error each, prices at entry, what is added a cell."""
    return 8 * ((2 * len(ESTIMATES) + n_added) * n_cells + 3 * n_prices)


def described(name: str) -> tuple[str, str]:
    """Units and long name of a coordinate or an estimate of a sweep; empty for any other."""
    return COORDINATES.get(name) or ESTIMATES.get(name, ("", ""))


def label(ds: xr.Dataset, n_paths: int) -> xr.Dataset:
    """Give every coordinate and estimate of ``ds`` its units and long name."""
    for name in ds.coords:
        units, long_name = COORDINATES.get(str(name), ("", ""))
        if long_name:
            ds[name].attrs.setdefault("long_name", long_name)
        if units:
            ds[name].attrs.setdefault("units", units)
    for name in ds.data_vars:
        if _estimate_of(str(name)) in {**ESTIMATES, **PASSAGE_ESTIMATES}:
            ds[name].attrs = _about(str(name), n_paths)
    return ds


def _estimate_of(name: str) -> str:
    """Name of the estimate that a variable is about."""
    for suffix in ("_se", "_ess", "_by_group"):
        name = name.removesuffix(suffix)
    return name


def _about(name: str, n_paths: int) -> dict[str, Any]:
    """Attributes of an estimate, of its standard error, or of what holds it for every group of paths."""
    of = _estimate_of(name)
    estimator = "proportion" if name.startswith("p_") else "mean"
    if of in ALL_OUTPUTS:
        units, long_name, _, _, estimator = ALL_OUTPUTS[of]
    else:
        units, long_name = {**ESTIMATES, **PASSAGE_ESTIMATES}[of]
    if name == group_name(of):
        return {"units": units, "long_name": f"{of} of each group of paths"}
    if name == effective_name(of):
        return {"units": "1", "long_name": f"effective number of paths behind {of}", "n_paths": n_paths}
    if name == se_name(of):
        return {"units": units, "long_name": f"standard error of {of}", "n_paths": n_paths}
    return {"units": units, "long_name": long_name, "estimator": estimator, "n_paths": n_paths}


def sweep_dataset(
    estimates: Mapping[str, np.ndarray],
    prices: Mapping[str, np.ndarray],
    axes: Mapping[str, Any],
    given: set[str],
    currency: tuple[str, str],
    group_paths: np.ndarray,
    attrs: Mapping[str, Any],
    estimator: str = "",
    output_axes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Assemble the result of a sweep.

    Parameters
    ----------
    estimates : mapping
        Arrays of shape (model, venue, notional, horizon, side, leverage, stop[, group]); those of :data:`OUTPUTS` of
        shape (model, venue, notional[, horizon], side, leverage, stop[, axis]).
    prices : mapping
        Arrays of shape (venue, notional, side, leverage).
    axes : mapping
        Coordinate values of all seven dimensions.
    given : set of str
        Those of model, venue, notional, horizon that the user gave as a list; the others lose their dimension.
    currency : (quote, settlement)
    group_paths : ndarray of int, shape (group,)
        Paths of every group.
    attrs : mapping
    estimator : str
        What gives estimates and errors by groups of paths; empty where all paths are one.
    output_axes : mapping, optional
        Coordinate values of the axes of outputs.
    """
    dropped = [name for name in SWEEP_AXES if name not in given]
    coords: dict[str, Any] = {name: list(values) for name, values in axes.items()}
    coords["horizon"] = np.asarray(coords["horizon"], dtype="timedelta64[ns]")
    coords |= output_axes or {}
    quote, settlement = currency
    exact = {
        "liquidation_price": (quote, "mark price at which the position is liquidated, at entry"),
        "bankruptcy_price": (quote, "mark price at which the margin is used up, at entry"),
        "call_price": (quote, "mark price from which the venue may call for margin or close the position, at entry"),
        "initial_margin": (settlement, "margin posted at entry"),
    }

    def variable(dims: tuple[str, ...], values: np.ndarray, attrs: dict[str, Any]) -> xr.Variable:
        axes = tuple(axis for axis, name in enumerate(dims) if name in dropped)
        return xr.Variable([name for name in dims if name not in dropped], values.squeeze(axes), attrs)

    n_paths = int(group_paths.sum())
    variables = {}
    for name, values in estimates.items():
        what = ALL_OUTPUTS.get(name.removesuffix("_se"), PLAIN)
        dims = [*SWEEP_AXES[: None if what.has_horizon else -1], *CELL_AXES, what.axis or "group"]
        variables[name] = variable(tuple(dims[: values.ndim]), values, _about(name, n_paths))
    if estimator:
        for name in estimates.keys() & ESTIMATES.keys():
            variables[name].attrs |= {"estimator": estimator, FREEDOM: len(group_paths) - 1}
    if any("group" in found.dims for found in variables.values()):
        about_groups = {"units": "1", "long_name": "paths of each group"}
        variables["group_paths"] = xr.Variable(("group",), group_paths, about_groups)
    for name, values in prices.items():
        units, long_name = exact[name]
        attrs_of = {"units": units, "long_name": long_name, "estimator": "exact"}
        variables[name] = variable(("venue", "notional", "side", "leverage"), values, attrs_of)
    named = {}
    for name, values in coords.items():
        units, long_name = COORDINATES.get(name, ("", ""))
        units = quote if name == "notional" else units
        about = {key: text for key, text in (("long_name", long_name), ("units", units)) if text}
        named[name] = xr.Variable((), np.asarray(values)[0], about) if name in dropped else (name, values, about)
    return stamped(xr.Dataset(variables, named, dict(attrs)))


def smoothed_dataset(ds: xr.Dataset, n_scrambles: int) -> xr.Dataset:
    """Turn the result of a sweep of one cell into that of quasi-random points, whose scrambles give the error."""
    ds = ds.squeeze(CELL_AXES)
    for name in ESTIMATES.keys() & set(map(str, ds.data_vars)):
        ds[name].attrs |= {"estimator": SMOOTHED, FREEDOM: n_scrambles - 1}
    return stamped(ds)


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
    return stamped(ds.squeeze([name for name in CELL_AXES if name not in given]))


def sensitivity_dataset(
    derivatives: Mapping[str, np.ndarray],
    axes: Mapping[str, Any],
    units: Sequence[str],
    steps: Sequence[float],
    has_horizon_axis: bool,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Assemble derivatives, of shape (parameter, horizon, side, leverage, stop), and their standard errors."""
    dims = ("parameter", "horizon", *CELL_AXES)
    coords: dict[str, Any] = {name: list(values) for name, values in axes.items()}
    coords["horizon"] = np.asarray(coords["horizon"], dtype="timedelta64[ns]")
    coords["parameter_unit"] = ("parameter", list(units), {"long_name": "unit of a change of the parameter"})
    ds = xr.Dataset({name: (dims, values) for name, values in derivatives.items()}, coords=coords)
    label(ds, int(attrs["n_paths"]))
    for name in ESTIMATES.keys() & derivatives.keys():
        _label_derivative(ds, name, "central difference")
    ds["step"] = ("parameter", list(steps), {"long_name": "step of the central difference"})
    if not has_horizon_axis:
        ds = ds.squeeze("horizon")
    ds.attrs = dict(attrs)
    return ds


def smoothed_slopes(
    derivatives: Mapping[str, np.ndarray],
    parameters: Sequence[str],
    units: Sequence[str],
    n_scrambles: int,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Assemble derivatives by quasi-random points, of shape (parameter,), and their standard errors."""
    unit_of = ("parameter", list(units), {"long_name": "unit of a change of the parameter"})
    ds = xr.Dataset(
        {name: ("parameter", values) for name, values in derivatives.items()},
        coords={"parameter": list(parameters), "parameter_unit": unit_of},
    )
    label(ds, int(attrs["n_paths"]))
    for name in ESTIMATES.keys() & derivatives.keys():
        _label_derivative(ds, name, SMOOTHED)
        ds[name].attrs[FREEDOM] = n_scrambles - 1
    ds.attrs = dict(attrs)
    return stamped(ds)


def _label_derivative(ds: xr.Dataset, name: str, estimator: str) -> None:
    unit, long_name = ESTIMATES[name]
    ds[name].attrs |= {"estimator": estimator, "long_name": f"derivative of the {long_name}"}
    for variable in (name, se_name(name)):
        ds[variable].attrs["units"] = f"{unit} per unit of the parameter"


def passage_dataset(
    levels: np.ndarray,
    horizons: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    has_horizon_axis: bool,
    n_paths: int,
    attrs: Mapping[str, Any],
    n_groups: int = 1,
) -> xr.Dataset:
    """Assemble the result of a first-passage run.

    ``estimates`` are of shape (horizon, level); those of weighted paths have errors from ``n_groups`` groups.
    """
    ds = xr.Dataset(
        {name: (("horizon", "level"), values) for name, values in estimates.items()},
        coords={"horizon": np.asarray(horizons, dtype="timedelta64[ns]"), "level": levels},
    )
    label(ds, n_paths)
    for name in PASSAGE_ESTIMATES if n_groups > 1 else ():
        ds[name].attrs |= {"estimator": WEIGHTED, FREEDOM: n_groups - 1}
    if not has_horizon_axis:
        ds = ds.squeeze("horizon")
    ds.attrs = dict(attrs)
    return stamped(ds)


def digests(ds: xr.Dataset) -> dict[str, str]:
    """SHA-256 of every variable's values by name: little-endian, in C order; texts as JSON."""
    found = {}
    for name in sorted(map(str, ds.variables)):
        values = ds.variables[name].values
        if values.dtype.kind in "OUT":
            data = json.dumps([str(v) for v in values.reshape(-1)]).encode()
        else:
            data = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def fingerprint(ds: xr.Dataset) -> str:
    """SHA-256 of all numbers of a result and their labels: two results with the same are equal to the bit."""
    return hashlib.sha256(json.dumps(digests(ds)).encode()).hexdigest()


def stamped(ds: xr.Dataset) -> xr.Dataset:
    """Put the fingerprint of the numbers into the provenance."""
    record = json.loads(ds.attrs["provenance"])
    ds.attrs["provenance"] = json.dumps(record | {"fingerprint": fingerprint(ds)})
    return ds


def provenance(
    kind: str,
    inputs: Mapping[str, Any],
    seed: Any,
    n_paths: int,
    seconds: float,
    study: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
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
    study : mapping, optional
        The study that made the result, resolved, from which it can be run again.
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
        "schema": 2,
        "function": kind,
        "version": __version__,
        "git": git_version(),
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
    if study is not None:
        record["study"] = study
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
