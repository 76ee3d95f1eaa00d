"""Rows of the tables that an analyst reads first, as numbers and as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from liqsim.errors import ParameterError
from liqsim.plot._data import horizon_text, plus_minus

__all__ = ["RiskRow", "cases", "leverage_limits", "probability", "risk_table", "some"]

_OUTER = ("model", "venue", "notional", "horizon")
_QUANTITIES = ("p_liquidation", "p_stop", "funding_cost", "fees", "pnl", "exit_time")


@dataclass(frozen=True)
class RiskRow:
    """One cell of a sweep; ``values`` and ``errors`` by variable, as stored.

    ``case`` says which model, venue, notional and horizon, those with one value left out except the venue.
    """

    case: str
    side: str
    leverage: float
    stop: float
    liquidation_price: float
    values: dict[str, float]
    errors: dict[str, float]
    n_paths: int


def _label(value: Any) -> str:
    if isinstance(value, np.timedelta64):
        return horizon_text(value)
    return f"{value:,.10g}" if isinstance(value, (float, np.floating)) else str(value)


def cases(ds: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Iterate over models, venues, notionals and horizons of a sweep.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep`.

    Yields
    ------
    label : str
        Values of the dimensions with more than one, and always the venue.
    part : xarray.Dataset
        With dims ``(side, leverage, stop)``.
    """
    outer = [dim for dim in _OUTER if dim in ds.dims]
    for point in itertools.product(*[ds[dim].values for dim in outer]):
        where = dict(zip(outer, point, strict=True))
        part = ds.sel(where)
        named = [where[dim] for dim in outer if ds.sizes[dim] > 1 or dim == "venue"]
        if "venue" not in outer and "venue" in ds.coords:
            named.insert(0, ds["venue"].values[()])
        yield " · ".join(_label(value) for value in named), part


def some(values: Sequence[float] | np.ndarray, wanted: Sequence[float]) -> list[float]:
    """Values of a grid nearest to the wanted ones, each once, in increasing order.

    Examples
    --------
    >>> some([2, 5, 10, 20], [3, 4, 25])
    [2.0, 5.0, 20.0]
    """
    grid = np.sort(np.asarray(values, dtype=float))
    if len(grid) <= len(wanted):
        return [float(v) for v in grid]
    finite = np.where(np.isfinite(grid), grid, 1e9)
    picked = {float(grid[-1]) if math.isinf(w) else float(grid[np.argmin(np.abs(np.log(finite / w)))]) for w in wanted}
    return sorted(picked)


def risk_table(
    ds: xr.Dataset, leverage: Sequence[float] | None = None, stop: Sequence[float] | None = None
) -> list[RiskRow]:
    """Cells of a sweep as rows, venue by venue and side by side.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep`.
    leverage, stop : sequence of float, optional
        Values to show; all leverages and the farthest stop unless given.

    Returns
    -------
    list of RiskRow

    Raises
    ------
    ParameterError
        If a leverage or a stop is not in the dataset.
    """
    levels = np.sort(ds["leverage"].values) if leverage is None else np.asarray(leverage, dtype=float)
    stops = np.array([ds["stop"].values.max()]) if stop is None else np.asarray(stop, dtype=float)
    for name, asked in (("leverage", levels), ("stop", stops)):
        absent = asked[~np.isin(asked, ds[name].values)]
        if absent.size:
            held = ", ".join(f"{v:g}" for v in np.sort(ds[name].values))
            raise ParameterError(f"{name}={absent[0]:g} is not in the dataset; it holds {held}")
    rows = []
    for label, part in cases(ds):
        for side, s, lev in itertools.product(part["side"].values, stops, levels):
            cell = part.sel(side=side, stop=s, leverage=lev)
            rows.append(
                RiskRow(
                    case=label,
                    side=str(side),
                    leverage=float(lev),
                    stop=float(s),
                    liquidation_price=float(cell["liquidation_price"]),
                    values={name: float(cell[name]) for name in _QUANTITIES},
                    errors={name: float(cell[f"{name}_se"]) for name in _QUANTITIES},
                    n_paths=int(cell["p_liquidation"].attrs.get("n_paths", ds.attrs.get("n_paths", 0))),
                )
            )
    return rows


def leverage_limits(
    ds: xr.Dataset, levels: Sequence[float] = (0.01, 0.05, 0.10), stop: float | None = None
) -> list[dict[str, Any]]:
    """Highest leverage of the grid at which P(liquidation) stays at or below each level.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep`.
    levels : sequence of float, default (0.01, 0.05, 0.10)
        Probabilities.
    stop : float, optional
        The farthest stop of the dataset (no stop, if it is there) unless given.

    Returns
    -------
    list of dict
        ``case``, ``side``, ``stop`` and ``limits``: one leverage per level, None where even the lowest exceeds it.
    """
    at = float(ds["stop"].values.max()) if stop is None else float(stop)
    rows = []
    for label, part in cases(ds):
        for side in part["side"].values:
            p = part["p_liquidation"].sel(side=side, stop=at).sortby("leverage")
            limits = []
            for level in levels:
                # leverages up to the first that exceeds the level
                n = int(np.argmax(p.values > level)) if np.any(p.values > level) else p.size
                limits.append(float(p["leverage"].values[n - 1]) if n else None)
            rows.append({"case": label, "side": str(side), "stop": at, "limits": limits})
    return rows


def probability(p: float, se: float, n_paths: int) -> tuple[str, str]:
    """Probability and standard error in per cent; the bound 3/n where no path, or every path, had the event.

    Examples
    --------
    >>> probability(0.0, 0.0, 1_000_000), probability(0.0916, 0.000288, 1_000_000)
    (('<0.0003', ''), ('9.16', '0.03'))
    """
    if n_paths and p <= 0.0:
        return f"<{300 / n_paths:.2g}", ""
    if n_paths and p >= 1.0:
        return f">{100 - 300 / n_paths:.6g}", ""
    return plus_minus(p, se, 100.0)
