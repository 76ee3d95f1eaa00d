"""A result against leverage: where the cliff is, per venue and side."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from liqsim.errors import ParameterError
from liqsim.plot._axes import INK, LINES, MUTED, new_axes, tidy
from liqsim.plot._data import (
    RULE_OF_THREE,
    horizon_text,
    labelled,
    scalar,
    scale_of,
    stop_text,
    title_of,
    variable,
)
from liqsim.stats import wilson_interval

__all__ = ["Cliff", "CliffLine", "cliff"]

_LEVELS = (0.001, 0.01, 0.05, 0.10, 0.50)
_DASHES = ("-", (0, (4, 1.6)), ":", "-.")
_MARKERS = ("o", "s", "D", "^")


@dataclass(frozen=True)
class CliffLine:
    """One line of :func:`cliff`: what it stands for, its points, and where no path had the event."""

    label: str
    points: ErrorbarContainer
    bounds: Line2D | None


@dataclass(frozen=True)
class Cliff:
    """What :func:`cliff` drew."""

    ax: Axes
    lines: tuple[CliffLine, ...]


def cliff(
    ds: xr.Dataset,
    var: str = "p_liquidation",
    ax: Axes | None = None,
    *,
    stop: float | None = None,
    log_y: bool | None = None,
    title: str | None = None,
) -> Cliff:
    """Draw a result against leverage, one line for each venue, side and other dimension.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep`.
    var : str, default "p_liquidation"
        Variable with a standard error ``{var}_se``.
    ax : matplotlib.axes.Axes, optional
        A new figure unless given.
    stop : float, optional
        Stop to show, fraction of the entry price; the farthest of the dataset (no stop, if it is there) unless given.
    log_y : bool, optional
        Logarithmic values; for probabilities unless given.
    title : str, optional
        Made from the variable, stop and horizon unless given.

    Returns
    -------
    Cliff

    Raises
    ------
    ParameterError
        If the variable is missing or the stop is not in the dataset.

    Notes
    -----
    Error bars are 95 %: Wilson intervals for probabilities, 1.96 standard errors otherwise. An open triangle marks a
    leverage at which no path had the event, at the bound 3/n. Of a comparison of venues, each line ends at the largest
    leverage of the grid that the venue allows, marked by a bar.
    """
    values = variable(ds, var)
    if "leverage" not in values.dims:
        raise ParameterError(f"var={var!r} has no dimension 'leverage'; give one that has, such as 'p_liquidation'")
    selection = _at_stop(ds, values, stop)
    values = selection[var].sortby("leverage")
    errors = selection[f"{var}_se"].sortby("leverage") if f"{var}_se" in ds else xr.zeros_like(values)
    scale = scale_of(values)
    n_paths = values.attrs.get("n_paths")
    ax = new_axes(ax, (8.4, 5.2))
    if log_y is None:
        log_y = scale.is_probability
    ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log")

    outer = [str(dim) for dim in values.dims if dim != "leverage" and values.sizes[dim] > 1]
    outer.sort(key=lambda dim: dim == "side")
    leverage = values["leverage"].values.astype(float)
    lines = []
    groups = list(itertools.product(*[values[dim].values for dim in outer]))
    colours: dict[Any, int] = {}
    for group in groups:
        where = dict(zip(outer, group, strict=True))
        key = tuple(value for dim, value in where.items() if dim != "side")
        style = colours.setdefault(key, len(colours))
        turn = list(values["side"].values).index(where["side"]) if "side" in where else 0
        p = np.asarray(values.sel(where).squeeze().values, dtype=float).reshape(-1)
        se = np.asarray(errors.sel(where).squeeze().values, dtype=float).reshape(-1)
        label = " · ".join(_text(value) for value in group) or var
        lines.append(_draw(ax, leverage, p, se, label, scale.factor, scale.is_probability, n_paths, style, turn, log_y))

    tidy(
        ax,
        grid=None if scale.is_probability else "y",
        title=_title(selection, var) if title is None else title,
        xlabel=str(values["leverage"].attrs.get("long_name", "leverage")),
        ylabel=labelled(values, scale.unit),
    )
    ax.xaxis.set_major_locator(FixedLocator(_spread(leverage)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    if scale.is_probability and log_y:
        _probability_axis(ax, scale.factor)
    _legend(ax, lines)
    return Cliff(ax, tuple(lines))


def _legend(ax: Axes, lines: list[CliffLine]) -> None:
    handles: list[Any] = [line.points for line in lines] if len(lines) > 1 else []
    if any(line.bounds is not None for line in lines):
        note = "no path: below 3/n, 95 % bound"
        handles.append(
            Line2D([], [], linestyle="none", marker="v", markerfacecolor="white", markeredgecolor=MUTED, label=note)
        )
    if handles:
        ax.legend(handles=handles, loc="best", frameon=False, fontsize=9, labelcolor=INK, handlelength=3.2)


def _text(value: Any) -> str:
    if isinstance(value, np.timedelta64):
        return horizon_text(value)
    return f"{value:,.10g}" if isinstance(value, (float, np.floating)) else str(value)


def _at_stop(ds: xr.Dataset, values: xr.DataArray, stop: float | None) -> xr.Dataset:
    if "stop" not in values.dims:
        return ds
    known = ds["stop"].values.astype(float)
    if stop is None:
        return ds.sel(stop=known.max())
    if not np.any(known == stop):
        raise ParameterError(
            f"stop={stop!r} is not in the dataset; it holds {', '.join(f'{s:g}' for s in np.sort(known))}"
        )
    return ds.sel(stop=stop)


def _draw(
    ax: Axes,
    leverage: np.ndarray,
    p: np.ndarray,
    se: np.ndarray,
    label: str,
    factor: float,
    is_probability: bool,
    n_paths: int | None,
    style: int,
    turn: int,
    log_y: bool,
) -> CliffLine:
    known = np.isfinite(p)
    is_cut = not known.all()
    leverage, p, se = leverage[known], p[known], se[known]
    if is_probability and n_paths:
        low, high = wilson_interval(p, n_paths)
    else:
        low, high = p - 1.96 * se, p + 1.96 * se
    seen = (p > 0) | (not (is_probability and log_y))
    colour = LINES[style % len(LINES)]
    points = ax.errorbar(
        leverage[seen],
        factor * p[seen],
        yerr=factor * np.maximum(np.stack([p - low, high - p])[:, seen], 0.0),
        color=colour,
        linestyle=_DASHES[(turn + 2 * (style // len(LINES))) % len(_DASHES)],
        marker=_MARKERS[style % len(_MARKERS)],
        markerfacecolor=colour if turn == 0 else "white",
        markersize=4.5,
        linewidth=1.6,
        elinewidth=1.2,
        capsize=2.5,
        label=label,
    )
    if is_cut and seen.any():
        ax.plot(
            leverage[seen][-1:], factor * p[seen][-1:], marker="|", markersize=17, markeredgewidth=2.2, color=colour
        )
    bounds = None
    if not seen.all() and n_paths:
        (bounds,) = ax.plot(
            leverage[~seen],
            np.full(int((~seen).sum()), factor * RULE_OF_THREE / n_paths),
            linestyle="none",
            marker="v",
            markersize=6.5,
            markerfacecolor="white",
            markeredgecolor=colour,
        )
    return CliffLine(label, points, bounds)


def _spread(leverage: np.ndarray) -> list[float]:
    """Leverages that get a tick: all, unless two would touch on a logarithmic axis."""
    kept: list[float] = []
    room = np.log(leverage.max() / leverage.min()) / 18 if leverage.size > 1 else 0.0
    for value in np.sort(leverage):
        if not kept or np.log(value / kept[-1]) >= room:
            kept.append(float(value))
    return kept


def _probability_axis(ax: Axes, factor: float) -> None:
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, _ = ax.get_ylim()
    ax.set_ylim(low, 1.35 * factor)
    ticks = [10.0**k for k in range(int(np.floor(np.log10(low))), 3)]
    extra = [factor * level for level in _LEVELS if factor * level > low]
    ax.yaxis.set_major_locator(FixedLocator(sorted({t for t in ticks if t >= low} | set(extra))))
    for level in extra:
        ax.axhline(level, color="#cfd6dd", linewidth=0.8, zorder=0)


def _title(ds: xr.Dataset, var: str) -> str:
    stop = scalar(ds, "stop")
    if stop is None:
        return title_of(ds, var)
    return f"{title_of(ds, var)} — {'no stop' if np.isinf(stop) else f'stop at {stop_text(stop)}'}"
