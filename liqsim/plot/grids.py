"""Heat map of a result over two grid dimensions, leverage and stop as a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from scipy.optimize import isotonic_regression

from liqsim.errors import ParameterError
from liqsim.plot._axes import INK, MUTED, new_axes, tidy
from liqsim.plot._data import (
    Scale,
    horizon_text,
    inputs,
    labelled,
    percent,
    plane,
    scalar,
    scale_of,
    stop_text,
    title_of,
)

__all__ = ["Heatmap", "heatmap"]

_CONTOURS = (0.001, 0.01, 0.05, 0.10, 0.50)
_FAINTEST = 1e-4  # probabilities below share the darkest colour
_NO_EVENT = "#e9edf0"
_LABEL_SIZE, _LEADER = 8.0, 6.0  # points


@dataclass(frozen=True)
class Heatmap:
    """What :func:`heatmap` drew.

    Attributes
    ----------
    ax : matplotlib.axes.Axes
    mesh : matplotlib.collections.QuadMesh
        Cells; its array holds the values in the units shown, masked where no path had the event.
    texts : tuple of matplotlib.text.Text
        Cell values, row by row from the bottom.
    contours : matplotlib.contour.QuadContourSet or None
    boundary : matplotlib.collections.LineCollection or None
        Border between stops in front of the liquidation price and stops beyond it.
    colorbar : matplotlib.colorbar.Colorbar or None
    """

    ax: Axes
    mesh: QuadMesh
    texts: tuple[Text, ...]
    contours: QuadContourSet | None
    boundary: LineCollection | None
    colorbar: Colorbar | None


def heatmap(
    ds: xr.Dataset,
    var: str = "p_liquidation",
    x: str = "leverage",
    y: str = "stop",
    ax: Axes | None = None,
    *,
    cmap: str | Colormap = "cividis",
    contours: Sequence[float] | None = None,
    values: bool = True,
    colorbar: bool = True,
    title: str | None = None,
) -> Heatmap:
    """Draw a result over two dimensions as evenly spaced cells.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep` with every dimension but ``x`` and ``y`` selected or of length 1.
    var : str, default "p_liquidation"
        Variable. Probabilities get a logarithmic colour from 0.01 % to 100 %, the same in every picture, so that
        pictures compare; other variables a linear one over their range.
    x, y : str, default "leverage", "stop"
        Dimensions across and up; each value gets one cell, in increasing order.
    ax : matplotlib.axes.Axes, optional
        A new figure unless given.
    cmap : str or Colormap, default "cividis"
    contours : sequence of float, optional
        Levels of the contour lines, as stored (0.01 is 1 %). 0.1, 1, 5, 10 and 50 % for probabilities, none for other
        variables; an empty list for none.
    values : bool, default True
        Print the value in each cell.
    colorbar : bool, default True
    title : str, optional
        Made from venue, side and horizon unless given.

    Returns
    -------
    Heatmap

    Raises
    ------
    ParameterError
        If the variable or a dimension is missing, or another dimension is left.

    Notes
    -----
    Contours are interpolated between the centres of cells, in the logarithm for probabilities. A hatched cell had no
    path with the event; its text is the bound 3/n, below which the probability lies with 95 % confidence.

    Examples
    --------
    >>> import liqsim as lq
    >>> from matplotlib.figure import Figure
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=[5, 20], stop=[0.03, float("inf")], n_paths=2000, seed=1)
    >>> art = heatmap(ds.sel(side="long"), ax=Figure().add_subplot())
    >>> art.mesh.get_array().shape
    (2, 2)
    """
    if x == y:
        raise ParameterError(f"x={x!r} and y={y!r} are the same dimension; give two")
    table = plane(ds, var, (y, x)).sortby([y, x])
    scale = scale_of(table)
    shown = np.asarray(table.values, dtype=float) * scale.factor
    n_paths = table.attrs.get("n_paths")
    empty = (shown == 0.0) if scale.is_probability else np.zeros(shown.shape, dtype=bool)
    columns, rows = shown.shape[1], shown.shape[0]
    ax = new_axes(ax, (8.8, 5.8))

    norm: Normalize
    if scale.is_probability:
        norm = LogNorm(_FAINTEST * scale.factor, scale.factor)
    else:
        low, high = float(np.min(shown)), float(np.max(shown))
        norm = Normalize(low, high if high > low else low + 1.0)
    mesh = ax.pcolormesh(
        np.arange(columns + 1),
        np.arange(rows + 1),
        np.ma.masked_array(shown, empty),
        norm=norm,
        cmap=cmap,
        edgecolors="white",
        linewidth=0.6,
    )
    for row, column in np.argwhere(empty):
        ax.add_patch(
            Rectangle((column, row), 1, 1, facecolor=_NO_EVENT, edgecolor="#b9c3cc", hatch="////", linewidth=0.0)
        )

    if contours is None:
        contours = _CONTOURS if scale.is_probability else ()
    lines = _contour_lines(ax, shown, empty, contours, scale, n_paths) if min(shown.shape) > 1 else None
    border = _liquidation_border(ax, ds, table, x, y)
    texts = _cell_texts(ax, mesh, shown, empty, scale, n_paths) if values else ()

    tidy(
        ax,
        title_pad=24.0 if lines is not None else 10.0,
        title=_title(ds, var) if title is None else title,
        xlabel=_axis_label(table, x),
        ylabel=_axis_label(table, y),
    )
    for axis, dim in ((ax.xaxis, x), (ax.yaxis, y)):
        labels = [_tick(dim, value) for value in table[dim].values]
        axis.set_ticks(np.arange(len(labels)) + 0.5, labels)
    ax.tick_params(length=0)
    ax.set(xlim=(0, columns), ylim=(0, rows))
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = _colorbar(ax, mesh, table, scale) if colorbar else None
    _legend(ax, bool(empty.any()), border is not None)
    return Heatmap(ax, mesh, texts, lines, border, bar)


def _tick(dim: str, value: Any) -> str:
    if dim == "stop":
        return stop_text(float(value))
    if dim == "leverage":
        return f"{float(value):g}x"
    if isinstance(value, np.timedelta64):
        return horizon_text(value)
    return f"{value:,.10g}" if isinstance(value, (float, np.floating)) else str(value)


def _axis_label(table: xr.DataArray, dim: str) -> str:
    if dim == "stop":
        return "stop, adverse move from entry"
    attrs = table[dim].attrs
    name, units = str(attrs.get("long_name", dim)), str(attrs.get("units", ""))
    return f"{name} [{units}]" if units not in ("", "1") else name


def _title(ds: xr.Dataset, var: str) -> str:
    where = " · ".join(str(v) for v in (scalar(ds, "venue"), scalar(ds, "side")) if v is not None)
    return f"{title_of(ds, var)} — {where}" if where else title_of(ds, var)


def _contour_lines(
    ax: Axes, shown: np.ndarray, empty: np.ndarray, levels: Sequence[float], scale: Scale, n_paths: int | None
) -> QuadContourSet | None:
    at = np.sort(np.asarray(levels, dtype=float)) * scale.factor
    at = at[(at > shown.min()) & (at < shown.max())]
    if at.size == 0:
        return None
    height, marks = shown, at
    if scale.is_probability:
        # half a path in place of none keeps the logarithm finite and below every cell with a path
        least = 0.5 / n_paths if n_paths else 0.5 * shown[~empty].min() / scale.factor
        height, marks = np.log10(np.maximum(shown, least * scale.factor)), np.log10(at)
    rows, columns = shown.shape
    # the outer cells are continued to the frame, where the lines get their labels
    lines = ax.contour(
        np.concatenate([[0.0], np.arange(columns) + 0.5, [columns]]),
        np.concatenate([[0.0], np.arange(rows) + 0.5, [rows]]),
        np.pad(height, 1, mode="edge"),
        levels=marks,
        colors="white",
        linewidths=1.2,
        linestyles="solid",
    )
    lines.set_path_effects([withStroke(linewidth=2.2, foreground=INK)])
    ends = {
        f"{level:g} {scale.unit}": np.array([path[k] for path in paths if len(path) for k in (0, -1)]).reshape(-1, 2)
        for level, paths in zip(at, lines.allsegs, strict=True)
    }
    _label_ends(ax, ends, columns, rows)
    return lines


def _label_ends(ax: Axes, ends: dict[str, np.ndarray], columns: int, rows: int) -> None:
    """Write each contour's level where the line leaves the frame at the top, else at the right, none over another."""
    style: dict[str, Any] = {"fontsize": _LABEL_SIZE, "color": INK, "annotation_clip": False}
    window, points = ax.get_window_extent(), 72.0 / ax.figure.dpi
    across, up = columns / (window.width * points), rows / (window.height * points)  # of a point
    top = {text: float(xy[on][0, 0]) for text, xy in ends.items() if np.any(on := np.isclose(xy[:, 1], rows))}
    right = {
        text: float(xy[on][0, 1])
        for text, xy in ends.items()
        if text not in top and np.any(on := np.isclose(xy[:, 0], columns))
    }
    sizes = [across * _LABEL_SIZE * (0.62 * len(text) + 1.2) for text in top]
    for (text, x), at in zip(top.items(), _apart(list(top.values()), sizes, 0.0, columns), strict=True):
        ax.annotate(
            text, (at, rows + _LEADER * up), (0, 1), textcoords="offset points", ha="center", va="bottom", **style
        )
        ax.plot([x, at], [rows, rows + _LEADER * up], color=INK, linewidth=1.0, clip_on=False)
    sizes = [up * _LABEL_SIZE * 1.25] * len(right)
    for text, at in zip(right, _apart(list(right.values()), sizes, 0.0, rows), strict=True):
        ax.annotate(
            text, (columns, at), (-3, 0), textcoords="offset points", ha="right", va="center", zorder=5, **style
        ).set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _apart(at: Sequence[float], sizes: Sequence[float], low: float, high: float) -> np.ndarray:
    """Centres of labels of these sizes, as near as they can be to where they belong without lying on one another."""
    if not len(at):
        return np.empty(0)
    order = np.argsort(at, kind="stable")
    size = np.asarray(sizes)[order]
    shifts = np.concatenate([[0.0], np.cumsum(0.5 * (size[:-1] + size[1:]))])
    free = isotonic_regression(np.asarray(at)[order] - shifts).x
    last = max(high - 0.5 * size[-1] - shifts[-1], low + 0.5 * size[0])
    placed = np.empty(len(at))
    placed[order] = np.clip(free, low + 0.5 * size[0], last) + shifts
    return placed


def _liquidation_border(ax: Axes, ds: xr.Dataset, table: xr.DataArray, x: str, y: str) -> LineCollection | None:
    """Staircase between stops nearer than the liquidation price at entry and stops beyond it."""
    price = inputs(ds).get("price")
    if (x, y) != ("leverage", "stop") or price is None or "liquidation_price" not in ds:
        return None
    level = ds["liquidation_price"].squeeze()
    if level.dims != ("leverage",):
        return None
    distance = np.abs(level.sel(leverage=table["leverage"]).values / float(price) - 1.0)
    first_beyond = np.searchsorted(table["stop"].values, distance)
    segments = []
    for column, row in enumerate(first_beyond):
        segments.append([(column, row), (column + 1, row)])
        if column + 1 < len(first_beyond) and first_beyond[column + 1] != row:
            segments.append([(column + 1, row), (column + 1, first_beyond[column + 1])])
    border = LineCollection(segments, colors="#b3261e", linewidths=2.2, capstyle="round", zorder=3)
    ax.add_collection(border)
    return border


def _cell_texts(
    ax: Axes, mesh: QuadMesh, shown: np.ndarray, empty: np.ndarray, scale: Scale, n_paths: int | None
) -> tuple[Text, ...]:
    rows, columns = shown.shape
    window = ax.get_window_extent()
    points = 72.0 / ax.figure.dpi
    width, height = window.width * points / columns, window.height * points / rows
    if width < 20 or height < 9:
        return ()
    size = float(np.clip(min(width / 4.6, height / 2.2), 6.0, 9.5))
    colours = np.asarray(mesh.cmap(mesh.norm(shown)))
    luminance = colours[..., :3] @ np.array([0.2126, 0.7152, 0.0722])
    texts = []
    for row in range(rows):
        for column in range(columns):
            value = shown[row, column]
            if scale.is_probability:
                text = percent(value / scale.factor, n_paths)
            else:
                text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
            is_empty = bool(empty[row, column])
            colour = MUTED if is_empty else INK if luminance[row, column] > 0.42 else "white"
            written = ax.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=size if len(text) < 6 else 0.85 * size,
                color=colour,
                zorder=4,
            )
            ground = _NO_EVENT if is_empty else colours[row, column]  # contours pass behind
            written.set_bbox({"boxstyle": "square,pad=0.05", "facecolor": ground, "edgecolor": "none"})
            texts.append(written)
    return tuple(texts)


def _colorbar(ax: Axes, mesh: QuadMesh, table: xr.DataArray, scale: Scale) -> Colorbar:
    bar = ax.figure.colorbar(
        mesh, ax=ax, pad=0.015, fraction=0.045, aspect=30, extend="min" if scale.is_probability else "neither"
    )
    if scale.is_probability:
        bar.set_ticks([0.01, 0.1, 1, 10, 100])
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.minorticks_off()
    bar.set_label(labelled(table, scale.unit), fontsize=9.5, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, colors=INK, length=3)
    return bar


def _legend(ax: Axes, has_empty: bool, has_border: bool) -> None:
    handles: list[Any] = []
    if has_border:
        above = "above: stop lies beyond the liquidation price"
        handles.append(Line2D([], [], color="#b3261e", linewidth=2.2, label=above))
    if has_empty:
        bound = "no path: below 3/n, 95 % bound"
        handles.append(Patch(facecolor=_NO_EVENT, edgecolor="#b9c3cc", hatch="////", label=bound))
    if handles:
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.0, -0.11),
            ncols=len(handles),
            frameon=False,
            fontsize=8.5,
            labelcolor=MUTED,
            handlelength=2.0,
            borderaxespad=0.0,
        )
