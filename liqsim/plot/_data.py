"""What the pictures need from a dataset: a slice, its units, and the run it comes from."""

from __future__ import annotations

import difflib
import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from liqsim.errors import ParameterError

__all__ = [
    "RULE_OF_THREE",
    "Scale",
    "horizon_text",
    "inputs",
    "labelled",
    "percent",
    "plane",
    "plus_minus",
    "scalar",
    "scale_of",
    "share_of_margin",
    "stop_text",
    "title_of",
    "variable",
]

SHORT_NAMES = {
    "p_liquidation": "P(liquidation)",
    "p_stop": "P(stop)",
    "p_survival": "P(open at the end)",
    "funding_cost": "Expected funding paid",
    "fees": "Expected fees",
    "pnl": "Expected P&L",
    "exit_time": "Expected time to exit",
    "shortfall": "Expected loss beyond the margin",
    "engine_kept": "Expected margin kept by the engine",
}
RULE_OF_THREE = 3.0
"""No event in n paths: the probability is below 3/n with 95 % confidence."""


class Scale(NamedTuple):
    """Factor from the stored value to the one shown, and the unit to write beside it."""

    factor: float
    unit: str
    is_probability: bool


def inputs(ds: xr.Dataset) -> dict[str, Any]:
    """Arguments that made a dataset, from its provenance; empty where it has none."""
    try:
        found = json.loads(ds.attrs["provenance"])["inputs"]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def variable(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Variable ``name`` of ``ds``; the error for another name says which there are."""
    if not isinstance(ds, xr.Dataset):
        raise ParameterError(f"ds={type(ds).__name__} is not an xarray.Dataset; give the result of liqsim.sweep")
    if name not in ds.data_vars:
        near = difflib.get_close_matches(str(name), [str(v) for v in ds.data_vars], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        names = ", ".join(str(v) for v in ds.data_vars if not str(v).endswith("_se"))
        raise ParameterError(f"var={name!r} is not in the dataset; {hint}it holds {names}")
    return ds[name]


def plane(ds: xr.Dataset, name: str, dims: Sequence[str]) -> xr.DataArray:
    """Variable with exactly ``dims``, in that order; other dimensions must be of length 1."""
    values = variable(ds, name)
    missing = [dim for dim in dims if dim not in values.dims]
    if missing:
        raise ParameterError(
            f"{name} has no dimension {missing[0]!r}; its dimensions are {', '.join(map(str, values.dims))}"
        )
    left = [dim for dim in values.dims if dim not in dims]
    for dim in left:
        if values.sizes[dim] > 1:
            choices = ", ".join(str(v) for v in values[dim].values[:4])
            raise ParameterError(
                f"{name} still has {values.sizes[dim]} values along {dim!r}; pick one first, "
                f"such as ds.sel({dim}=...) with one of {choices}"
            )
    return values.squeeze(left).transpose(*dims)


def scale_of(values: xr.DataArray) -> Scale:
    """How a variable is shown: probabilities in per cent, fractions of notional in basis points."""
    units = str(values.attrs.get("units", ""))
    if units == "1":
        return Scale(100.0, "%", True)
    if units == "fraction of entry notional":
        return Scale(1e4, "bp of entry notional", False)
    return Scale(1.0, units, False)


def percent(p: float, n_paths: int | None = None) -> str:
    """Probability as a short text in per cent; ``< 3/n`` where no path of ``n_paths`` had the event.

    Examples
    --------
    >>> percent(0.443), percent(0.0916), percent(0.00162), percent(0.0, 1_000_000), percent(0.9996)
    ('44', '9.2', '0.16', '<0.0003', '>99')
    """
    if p <= 0.0 and n_paths:
        return f"<{100 * RULE_OF_THREE / n_paths:.2g}"
    x = 100.0 * p
    if 99.0 < x < 100.0:
        return ">99"
    if x >= 10.0:
        return f"{x:.0f}"
    if x == 0.0:
        return "0"
    digits = 1 if x >= 1.0 else 2 if x >= 0.1 else 1 - math.floor(math.log10(x)) - (x < 0.01)
    return f"{x:.{digits}f}"


def plus_minus(value: float, se: float, factor: float = 1.0, most_digits: int = 12) -> tuple[str, str]:
    """Value and standard error with the digits that the error supports, at most ``most_digits`` decimals.

    The error keeps one digit, two where the first is a 1; it is empty where it vanishes at the digits shown.

    Examples
    --------
    >>> plus_minus(0.44397, 0.00049, 100), plus_minus(0.44397, 0.00153, 100), plus_minus(10.0004, 0.002, most_digits=1)
    (('44.40', '0.05'), ('44.40', '0.15'), ('10.0', ''))
    """
    value, se = factor * value, factor * se
    if not se > 0 or not math.isfinite(se):
        return f"{value:.{min(most_digits, 3)}f}", ""
    power = math.floor(math.log10(se))
    digits = min(max(0, -power + (se < 1.95 * 10.0**power)), most_digits)
    shown = f"{se:.{digits}f}"
    return f"{value:.{digits}f}", shown if float(shown) > 0 else ""


def labelled(values: xr.DataArray, unit: str, width: int = 46) -> str:
    """Long name and unit of a variable, broken into lines of ``width``."""
    name = str(values.attrs.get("long_name", values.name))
    return textwrap.fill(f"{name} [{unit}]" if unit else name, width)


def title_of(ds: xr.Dataset, var: str) -> str:
    """Short name of a variable and the horizon."""
    what = SHORT_NAMES.get(var, str(ds[var].attrs.get("long_name", var)))
    horizon = scalar(ds, "horizon")
    return what if horizon is None else f"{what} within {horizon_text(horizon)}"


def scalar(ds: xr.Dataset, name: str) -> Any:
    """Only value of a coordinate, or None where there are more or none."""
    if name in ds.coords and ds[name].size == 1:
        return ds[name].values.reshape(-1)[0]
    return None


def share_of_margin(cell: xr.Dataset, name: str) -> tuple[float, float]:
    """What share of the margin of liquidated positions a quantity is, and its standard error; (nan, nan) without any.

    Off liquidations the quantity is 0, so the ratio R of its mean to the probability p of a liquidation has the
    variance ``(se^2 - R^2 p (1 - p) / n) / p^2``.
    """
    p, n = float(cell["p_liquidation"]), int(cell["p_liquidation"].attrs["n_paths"])
    if not p > 0:
        return math.nan, math.nan
    ratio, leverage = float(cell[name]) / p, float(cell["leverage"])
    variance = float(cell[f"{name}_se"]) ** 2 - ratio**2 * p * (1.0 - p) / n
    return leverage * ratio, leverage * math.sqrt(max(variance, 0.0)) / p


def stop_text(stop: float) -> str:
    """Stop distance in per cent, ``none`` for infinity.

    Examples
    --------
    >>> stop_text(0.015), stop_text(float("inf"))
    ('1.5 %', 'none')
    """
    return "none" if np.isinf(stop) else f"{100 * stop:g} %"


def horizon_text(horizon: Any) -> str:
    """Horizon in the largest unit that divides it well.

    Examples
    --------
    >>> import numpy as np
    >>> horizon_text(np.timedelta64(30, "D")), horizon_text(np.timedelta64(36, "h"))
    ('30 days', '36 hours')
    """
    hours = np.timedelta64(horizon, "ns") / np.timedelta64(1, "h")
    if hours >= 48 or hours == 24:
        days = hours / 24
        return f"{days:g} day{'' if days == 1 else 's'}"
    return f"{hours:g} hour{'' if hours == 1 else 's'}"
