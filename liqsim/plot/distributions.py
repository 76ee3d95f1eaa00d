"""What becomes of a position over time, and the distributions of its P&L and of its loss beyond the margin."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.container import BarContainer
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from liqsim.errors import ParameterError
from liqsim.plot._axes import INK, LINES, MUTED, new_axes, tidy
from liqsim.plot._data import horizon_text, plane, scalar, stop_text, variable
from liqsim.stats import wilson_interval

__all__ = ["PnlPicture", "ShortfallPicture", "SurvivalPicture", "pnl", "shortfall", "survival"]

_MOST_LINES = len(LINES)
_BARS = 90
_SHOWN = 2e-4  # share of the paths that may lie beyond either end of the picture
_BLUE, _ORANGE, _YELLOW = LINES[0], LINES[1], LINES[4]


@dataclass(frozen=True)
class SurvivalPicture:
    """What :func:`survival` drew: a line for each cell, and for a single one the areas of the three outcomes."""

    ax: Axes
    lines: tuple[Line2D, ...]
    areas: tuple[PolyCollection, ...]


@dataclass(frozen=True)
class PnlPicture:
    """What :func:`pnl` drew: the bars, and the lines at value at risk and expected shortfall."""

    ax: Axes
    bars: BarContainer
    lines: tuple[Line2D, ...]


@dataclass(frozen=True)
class ShortfallPicture:
    """What :func:`shortfall` drew: a line for each cell."""

    ax: Axes
    lines: tuple[Line2D, ...]


def survival(ds: xr.Dataset, ax: Axes | None = None, *, title: str | None = None) -> SurvivalPicture:
    """Draw the share of positions that are still open against time.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep` with ``outputs=["p_liquidation_by", "p_stop_by"]``, or a selection of it: one
        cell, or up to seven along any dimensions.
    ax : matplotlib.axes.Axes, optional
        A new figure unless given.
    title : str, optional
        Made from the cell unless given.

    Returns
    -------
    SurvivalPicture

    Raises
    ------
    ParameterError
        If the dataset lacks the outputs, or holds more cells than can be told apart.

    Notes
    -----
    Bands are 95 % Wilson intervals, at every time by itself. Of a single cell the areas show what has become of the
    others.
    """
    liquidated, stopped = _asked(ds, "p_liquidation_by"), _asked(ds, "p_stop_by")
    groups = _lines(liquidated, "time")
    outer = list(groups[0])
    days = np.concatenate([[0.0], liquidated["time"].values / np.timedelta64(1, "D")])
    n_paths = int(liquidated.attrs["n_paths"])
    ax = new_axes(ax, (8.4, 5.2))
    lines: list[Line2D] = []
    areas: tuple[PolyCollection, ...] = ()
    for k, where in enumerate(groups):
        gone, hit = (np.concatenate([[0.0], x.sel(where).values.reshape(-1)]) for x in (liquidated, stopped))
        is_open = 1.0 - gone - hit
        low, high = wilson_interval(is_open, n_paths)
        if not outer:
            areas = (
                ax.fill_between(days, 0, 100 * is_open, color=_BLUE, alpha=0.18, linewidth=0, label="open"),
                ax.fill_between(
                    days, 100 * is_open, 100 * (is_open + hit), color=_YELLOW, alpha=0.55, linewidth=0, label="stopped"
                ),
                ax.fill_between(
                    days, 100 * (is_open + hit), 100, color=_ORANGE, alpha=0.75, linewidth=0, label="liquidated"
                ),
            )
        ax.fill_between(days, 100 * low, 100 * high, color=LINES[k], alpha=0.25, linewidth=0)
        lines += ax.plot(days, 100 * is_open, color=LINES[k], linewidth=1.8, label=_label(where) if outer else "_open")
    tidy(
        ax,
        grid="y",
        title=_title(ds, "Still open") if title is None else title,
        xlabel="time after entry [days]",
        ylabel="share of positions [%]",
    )
    ax.set_xlim(0, days[-1])
    ax.set_ylim(0, 100)
    ax.legend(loc="best" if outer else "lower left", frameon=not outer, fontsize=9, labelcolor=INK, framealpha=0.85)
    return SurvivalPicture(ax, tuple(lines), areas)


def pnl(ds: xr.Dataset, ax: Axes | None = None, *, quantile: float = 0.05, title: str | None = None) -> PnlPicture:
    """Draw the distribution of a position's profit and loss.

    Parameters
    ----------
    ds : xarray.Dataset
        One cell of a result of :func:`liqsim.sweep` with ``outputs=["p_pnl_below"]``; with ``value_at_risk`` and
        ``expected_shortfall`` it shows these too.
    ax : matplotlib.axes.Axes, optional
        A new figure unless given.
    quantile : float, default 0.05
        At which value at risk and expected shortfall are shown.
    title : str, optional
        Made from the cell unless given.

    Returns
    -------
    PnlPicture

    Raises
    ------
    ParameterError
        If the dataset lacks the output, or holds more than one cell, or lacks the quantile.

    Notes
    -----
    Bars are bins of the tally, as many in one as make about a ninetieth of the range; a lost margin or a stop's fill
    stands out as one high bar, hence the logarithmic scale. At most 1 path in 5,000 lies beyond either end.
    """
    _asked(ds, "p_pnl_below")
    below = plane(ds, "p_pnl_below", ("pnl_level",))
    levels, p = below["pnl_level"].values, np.asarray(below.values)
    first = max(int(np.searchsorted(p, _SHOWN, side="right")) - 1, 0)
    last = min(int(np.searchsorted(p, 1.0 - _SHOWN)), len(p) - 1)
    width = (levels[last] - levels[first]) / _BARS
    ends = [first]
    for k in range(first + 1, last + 1):
        if levels[k] - levels[ends[-1]] >= width or k == last:
            ends.append(k)
    edges, share = levels[ends], np.diff(p[ends])
    ax = new_axes(ax, (8.4, 5.2))
    density = share / np.diff(edges)  # per cent of the paths, in 1 % of the notional
    seen = density > 0
    bars = ax.bar(
        100 * edges[:-1][seen], density[seen], 100 * np.diff(edges)[seen], align="edge", color=_BLUE, alpha=0.75
    )
    ax.set_yscale("log")
    lines: list[Line2D] = []
    for name, text, style in (
        ("value_at_risk", "value at risk", (0, (5, 2))),
        ("expected_shortfall", "expected shortfall", "-"),
    ):
        if name in ds.data_vars:
            loss = _at_quantile(ds, name, quantile)
            label = f"{text}, worst {100 * quantile:g} %: {100 * loss:.3g} %"
            lines.append(ax.axvline(-100 * loss, color=_ORANGE, linestyle=style, linewidth=1.8, label=label))
    ax.axvline(0.0, color=MUTED, linewidth=0.8, zorder=0)
    tidy(
        ax,
        grid="y",
        title=_title(ds, "Profit and loss") if title is None else title,
        xlabel="profit and loss after funding and fees [% of entry notional]",
        ylabel="paths [% in each 1 % of notional]",
    )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if lines:
        ax.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK, handlelength=3.2)
    return PnlPicture(ax, bars, tuple(lines))


def shortfall(ds: xr.Dataset, ax: Axes | None = None, *, title: str | None = None) -> ShortfallPicture:
    """Draw how likely a loss beyond the margin is to be larger than a level.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep` with ``outputs=["p_shortfall_above"]``, or a selection of it: one cell, or up to
        seven along any dimensions.
    ax : matplotlib.axes.Axes, optional
        A new figure unless given.
    title : str, optional
        Made from the cell unless given.

    Returns
    -------
    ShortfallPicture

    Raises
    ------
    ParameterError
        If the dataset lacks the output, or holds more cells than can be told apart.

    Notes
    -----
    Bands are 95 % Wilson intervals, at every level by itself. A line ends where no path has lost more; the legend holds
    the probability of any loss beyond the margin. On the logarithmic scale an exponential tail is straight.
    """
    above = _asked(ds, "p_shortfall_above")
    groups = _lines(above, "shortfall_level")
    levels, n_paths = 100 * above["shortfall_level"].values, int(above.attrs["n_paths"])
    ax = new_axes(ax, (8.4, 5.2))
    lines: list[Line2D] = []
    for k, where in enumerate(groups):
        p = above.sel(where).values.reshape(-1)
        n = max(int(np.count_nonzero(p)), 1)
        low, high = wilson_interval(p[:n], n_paths)
        ax.fill_between(levels[:n], 100 * low, 100 * high, color=LINES[k], alpha=0.2, linewidth=0)
        drawn = 100 * np.where(p[:n] > 0, p[:n], np.nan)
        label = f"{_label(where)}{': ' if where else ''}{100 * p[0]:.3g} % lose more than the margin"
        lines += ax.plot(levels[:n], drawn, color=LINES[k], linewidth=1.8, label=label)
    ax.set_yscale("log")
    tidy(
        ax,
        grid="y",
        title=_title(ds, "Loss beyond the margin") if title is None else title,
        xlabel="level [% of entry notional]",
        ylabel="paths that lose more beyond the margin [%]",
    )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(left=0)
    ax.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    return ShortfallPicture(ax, tuple(lines))


def _lines(values: xr.DataArray, axis: str) -> list[dict[str, object]]:
    """The cells to draw a line along ``axis`` for, each by its labels; no labels where there is one cell."""
    outer = [str(dim) for dim in values.dims if dim != axis and values.sizes[dim] > 1]
    cells = [dict(zip(outer, c, strict=True)) for c in itertools.product(*(values[dim].values for dim in outer))]
    if len(cells) > _MOST_LINES:
        sizes = ", ".join(f"{dim}: {values.sizes[dim]}" for dim in outer)
        raise ParameterError(
            f"ds holds {len(cells)} cells ({sizes}), more than the {_MOST_LINES} lines that can be told apart; pick "
            "some first, such as ds.sel(side='long', stop=float('inf'))"
        )
    return cells


def _label(where: dict[str, object]) -> str:
    return " · ".join(_text(dim, value) for dim, value in where.items())


def _asked(ds: xr.Dataset, name: str) -> xr.DataArray:
    if isinstance(ds, xr.Dataset) and name not in ds.data_vars:
        raise ParameterError(f'ds holds no {name}; simulate with outputs=[..., "{name}"]')
    return variable(ds, name)


def _at_quantile(ds: xr.Dataset, name: str, quantile: float) -> float:
    values = plane(ds, name, ("quantile",))
    known = values["quantile"].values
    if not np.any(known == quantile):
        raise ParameterError(
            f"quantile={quantile!r} is not in the dataset; it holds {', '.join(f'{q:g}' for q in known)}"
        )
    return float(values.sel(quantile=quantile))


def _text(dim: str, value: object) -> str:
    if dim == "leverage":
        return f"{float(value):g}x"  # type: ignore[arg-type]
    if dim == "stop":
        text = stop_text(float(value))  # type: ignore[arg-type]
        return "no stop" if text == "none" else f"stop {text}"
    if isinstance(value, np.timedelta64):
        return horizon_text(value)
    return f"{value:,.10g}" if isinstance(value, (float, np.floating)) else str(value)


def _title(ds: xr.Dataset, what: str) -> str:
    parts = [_text(dim, value) for dim in ("leverage", "side", "stop") if (value := scalar(ds, dim)) is not None]
    horizon = scalar(ds, "horizon")
    within = "" if horizon is None else f" within {horizon_text(horizon)}"
    return f"{what}{within}" + (f", {' '.join(parts)}" if parts else "")
