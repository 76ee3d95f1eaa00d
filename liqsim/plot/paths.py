"""One path: the price with liquidation levels and stop, the margin ratio, what funding has cost."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from liqsim.errors import ParameterError
from liqsim.plot._axes import INK, LINES, MUTED, tidy
from liqsim.plot._data import horizon_text, stop_text
from liqsim.plot.captions import caption

__all__ = ["Replay", "replay"]

_CROSSINGS = ("liquidation", "cut", "margin call", "stop")
_MARKERS = {"liquidation": ("X", 9.0), "cut": ("v", 7.0), "margin call": ("D", 6.5), "stop": ("s", 7.0)}
_MOST_LINES = 6
_STRETCH = 2.5  # of the price's own range, that levels may claim
_INCHES, _CHARACTERS, _COLUMNS = 9.6, 165, 4
_HEIGHTS = {"price": 3.4, "margin": 2.0, "funding": 1.2}


@dataclass(frozen=True)
class Replay:
    """What :func:`replay` drew: the figure, its panels by name, and the leverages shown."""

    figure: Figure
    panels: dict[str, Axes]
    leverages: tuple[float, ...]


def replay(
    ds: xr.Dataset,
    figure: Figure | None = None,
    *,
    side: str | None = None,
    leverage: float | list[float] | None = None,
    stop: float | None = None,
    title: str | None = None,
    notes: bool = True,
) -> Replay:
    """Draw one path: what the price did, and how close positions came to their liquidation.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.replay`.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw into, which gets the size that is needed; a new one of pyplot unless given.
    side : {"long", "short"}, optional
        Which to show, where the dataset holds both.
    leverage : float or list of float, optional
        At most six; all of the dataset unless given.
    stop : float, optional
        Stop to show, fraction of the entry price; the farthest of the dataset unless given.
    title : str, optional
        Made from path number, side and outcomes unless given.
    notes : bool, default True
        Write how the path was made below the panels.

    Returns
    -------
    Replay

    Raises
    ------
    ParameterError
        If the dataset is not a path, or it is not clear what to show.

    Notes
    -----
    Panels: mark price, with the range of each Brownian segment behind it, the level at which the venue acts next on
    each leverage, the stop, and what has happened; margin ratio, at whose value of 1 the venue acts; funding and
    charges that a whole position has paid, where there are any. Grey: no position shown is open any more.
    """
    cells = _cells(ds, side, leverage, stop)
    is_paying = bool(np.any(cells["paid"].values != 0))
    names = [name for name in _HEIGHTS if name != "funding" or is_paying]
    heights = [_HEIGHTS[name] for name in names]
    lines = _lines(ds, cells) if notes else []
    below = 0.62 + 0.17 * len(lines)
    above = 0.55 + 0.19 * math.ceil((cells.sizes["leverage"] + 4) / _COLUMNS)
    height = sum(heights) + above + below
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(_INCHES, height)
    axes = figure.subplots(
        len(names), 1, sharex=True, squeeze=False,
        gridspec_kw={
            "height_ratios": heights, "hspace": 0.22, "left": 0.1, "right": 0.985, "top": 1.0 - above / height,
            "bottom": below / height,
        },
    )[:, 0]  # fmt: skip
    panels = dict(zip(names, axes, strict=True))
    colours = [LINES[k % len(LINES)] for k in range(cells.sizes["leverage"])]
    _price(panels["price"], cells, colours)
    _margin(panels["margin"], cells, colours)
    if is_paying:
        _funding(panels["funding"], cells)
    since = f" ({str(cells['clock'].values[0])[:16].replace('T', ' ')} UTC)" if "clock" in cells.coords else ""
    axes[-1].set_xlabel(f"days since entry{since}", fontsize=10, color=INK)
    axes[0].set_xlim(0.0, _days(cells)[-1])
    figure.suptitle(_title(cells) if title is None else title, x=0.012, y=1.0 - 0.12 / height, ha="left", va="top",
                    fontsize=12.5, fontweight="bold", color=INK)  # fmt: skip
    for k, line in enumerate(lines):
        figure.text(0.012, (0.17 * (len(lines) - k) - 0.09) / height, line, fontsize=8, color=MUTED, va="center")
    return Replay(figure, panels, tuple(cells["leverage"].values.tolist()))


def _cells(ds: xr.Dataset, side: str | None, leverage: float | list[float] | None, stop: float | None) -> xr.Dataset:
    """One side, one stop, a few leverages."""
    if not isinstance(ds, xr.Dataset) or "margin_ratio" not in ds or "event" not in ds:
        raise ParameterError("ds is not a path; give the result of liqsim.replay")
    for name in ("side", "leverage", "stop"):
        if name not in ds.dims:
            ds = ds.expand_dims(name)
    sides, stops = ds["side"].values.tolist(), ds["stop"].values.tolist()
    if side is None and len(sides) > 1:
        raise ParameterError('ds holds both sides; say which to show, side="long" or side="short"')
    wanted = ds["leverage"].values.tolist() if leverage is None else np.atleast_1d(leverage).tolist()
    if len(wanted) > _MOST_LINES:
        raise ParameterError(
            f"ds holds {len(wanted)} leverages; say which to show, at most {_MOST_LINES}: leverage=[...]"
        )
    chosen = {"side": side or sides[0], "leverage": wanted, "stop": max(stops) if stop is None else stop}
    for name, value in chosen.items():
        known = ds[name].values.tolist()
        for one in value if isinstance(value, list) else [value]:
            if one not in known:
                raise ParameterError(f"{name}={one!r} is not in the dataset; it holds {', '.join(map(str, known))}")
    return ds.sel(chosen)


def _days(cells: xr.Dataset) -> np.ndarray:
    return np.asarray(cells["years"].values) * 365.0


def _path(cells: xr.Dataset) -> np.ndarray:
    """Events that are on the path itself, one after the other; a crossing lies within a segment."""
    return np.flatnonzero(~np.isin(cells["event"].values, _CROSSINGS))


def _life(cells: xr.Dataset) -> float:
    """Days until the last position shown is closed."""
    is_open = cells["share"].notnull().any("leverage").values
    return float(_days(cells)[np.flatnonzero(is_open)[-1]])


def _price(ax: Axes, cells: xr.Dataset, colours: list[str]) -> None:
    days, mark, end = _days(cells), np.asarray(cells["mark"].values), _life(cells)
    path = _path(cells)
    segments = np.flatnonzero(cells["event"].values[path] == "segment end")
    starts, ends = days[path[segments - 1]], days[path[segments]]
    low, high = cells["low"].values[path[segments]], cells["high"].values[path[segments]]
    twice = np.stack([starts, ends], axis=1).reshape(-1)
    ax.fill_between(twice, np.repeat(low, 2), np.repeat(high, 2), color="#e3e8ed", linewidth=0, zorder=0)
    alive = path[days[path] <= end]
    ax.plot(days[path], mark[path], color="#a9b4bf", linewidth=0.9, zorder=1)
    ax.plot(days[alive], mark[alive], color=INK, linewidth=1.1, zorder=3)
    ax.axhline(mark[0], color=MUTED, linewidth=0.7, linestyle=(0, (1, 3)), zorder=1)
    limits = _limits(cells, float(low.min()), float(high.max()))
    handles: list[Any] = [Line2D([], [], color=INK, linewidth=1.1, label="mark price")]
    for k, colour in enumerate(colours):
        level = np.asarray(cells["liquidation_level"].isel(leverage=k).values)
        there = np.flatnonzero(np.isfinite(level) & ~np.isin(cells["event"].values, ("liquidation", "stop")))
        label = f"{float(cells['leverage'][k]):g}x: the venue acts"
        if there.size == 0:
            label = f"{float(cells['leverage'][k]):g}x: no such price"
        elif not limits[0] <= level[there[0]] <= limits[1]:
            label += f" at {level[there[0]]:,.0f}, off the chart"
        ax.plot(days[there], level[there], color=colour, linewidth=1.4, drawstyle="steps-post", zorder=2)
        handles.append(Line2D([], [], color=colour, linewidth=1.4, label=label))
    stop = float(cells["stop"])
    if math.isfinite(stop):
        at = mark[0] * (1.0 - stop if str(cells["side"].values) == "long" else 1.0 + stop)
        (line,) = ax.plot([0.0, end], [at, at], color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2)
        line.set_label(f"stop, {stop_text(stop)}")
        handles.append(line)
    handles += _acts(ax, cells, colours)
    ax.set_ylim(*limits)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    tidy(ax, ylabel=f"price [{cells['mark'].attrs.get('units', '')}]")
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, ncols=_COLUMNS, frameon=False,
        fontsize=8.5, labelcolor=INK,
    )  # fmt: skip


def _limits(cells: xr.Dataset, low: float, high: float) -> tuple[float, float]:
    """Price axis: the path, and the levels that are near enough."""
    bottom, top = min(low, float(cells["mark"].min())), max(high, float(cells["mark"].max()))
    room = _STRETCH * (top - bottom)
    levels = np.asarray(cells["liquidation_level"].values).reshape(-1)
    stop, sign = float(cells["stop"]), -1.0 if str(cells["side"].values) == "long" else 1.0
    wanted = np.append(levels[np.isfinite(levels)], [float(cells["mark"][0]) * (1.0 + sign * stop)])
    near = wanted[np.isfinite(wanted) & (wanted > bottom - room) & (wanted < top + room)]
    bottom, top = min([bottom, *near]), max([top, *near])
    edge = 0.06 * (top - bottom)
    return bottom - edge, top + edge


def _acts(ax: Axes, cells: xr.Dataset, colours: list[str]) -> list[Line2D]:
    """Marks where something has happened to a position that is shown."""
    days, mark = _days(cells), np.asarray(cells["mark"].values)
    events, leverages = cells["event"].values, cells["leverage"].values
    mine = cells["event_side"].values == str(cells["side"].values)
    handles = []
    for name, (marker, size) in _MARKERS.items():
        seen = False
        for k, colour in enumerate(colours):
            about = (cells["event_leverage"].values == leverages[k]) | np.isnan(cells["event_leverage"].values)
            share = cells["share"].isel(leverage=k).notnull().values
            at = np.flatnonzero(mine & (events == name) & about & share)
            if name == "stop":
                at = at[cells["event_stop"].values[at] == float(cells["stop"])]
            ax.plot(days[at], mark[at], linestyle="none", marker=marker, markersize=size, markerfacecolor=colour,
                    markeredgecolor="white", markeredgewidth=0.8, zorder=4)  # fmt: skip
            seen |= at.size > 0
        if seen:
            handles.append(Line2D([], [], linestyle="none", marker=marker, markersize=size, markerfacecolor=MUTED,
                                  markeredgecolor="white", label=name))  # fmt: skip
    return handles


def _margin(ax: Axes, cells: xr.Dataset, colours: list[str]) -> None:
    days = _days(cells)
    top, bottom = 1.0, 1.0
    for k, colour in enumerate(colours):
        ratio = np.asarray(cells["margin_ratio"].isel(leverage=k).values)
        there = np.flatnonzero(np.isfinite(ratio))
        top = max(top, float(ratio[there].max(initial=1.0)))
        bottom = min(bottom, float(ratio[there].min(initial=1.0)))
        ax.plot(days[there], ratio[there], color=colour, linewidth=1.2, zorder=3)
    ax.axhline(1.0, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
    # at the right, where no line is below 1 but those of positions that end there
    ax.annotate("the venue acts at 1", (1.0, 1.0), xycoords=("axes fraction", "data"), xytext=(-4, -4),
                textcoords="offset points", ha="right", va="top", fontsize=8.5, color=MUTED, zorder=4,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"})  # fmt: skip
    if bottom > 0 and top > 5:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(min(0.6, 0.9 * bottom), 1.25 * top)
    else:
        ax.set_ylim(bottom=bottom - 0.18 * (top - bottom))
    tidy(ax, grid="y", ylabel="margin ratio [1]\nequity / requirement")


def _funding(ax: Axes, cells: xr.Dataset) -> None:
    days, end = _days(cells), _life(cells)
    paid = 1e4 * np.asarray(cells["paid"].values)
    alive = days <= end
    ax.plot(days, paid, color="#a9b4bf", linewidth=0.9, drawstyle="steps-post")
    ax.plot(days[alive], paid[alive], color=INK, linewidth=1.2, drawstyle="steps-post")
    tidy(ax, grid="y", ylabel="funding paid\n[bp of notional]")


def _title(cells: xr.Dataset) -> str:
    ends = []
    for k in range(cells.sizes["leverage"]):
        cell = cells.isel(leverage=k)
        outcome = str(cell["outcome"].values)
        at = "" if outcome == "open" else f" after {float(cell['exit_time']):.3g} days"
        if bool(cell["is_partial"]):
            outcome, at = "cut", ""
        ends.append(f"{float(cell['leverage']):g}x {outcome}{at}, P&L {100 * float(cell['pnl']):+.2g} %")
    return (
        f"Path {int(cells['path']):,}, {cells['side'].values}: {'; '.join(ends)}"
        if len(ends) < 3
        else (
            f"Path {int(cells['path']):,}, {cells['side'].values}, {cells.sizes['leverage']} leverages for "
            f"{horizon_text(cells['horizon'].values)}"
        )
    )


def _lines(ds: xr.Dataset, cells: xr.Dataset) -> list[str]:
    text = f"{caption(cells)} · path {int(cells['path']):,}"
    if ds.attrs.get("picked"):
        text += f", the {ds.attrs['picked']}"
    text += ". P&L in % of the entry notional, after funding and fees."
    return textwrap.wrap(text, _CHARACTERS)
