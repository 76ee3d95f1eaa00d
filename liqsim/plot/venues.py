"""One position on many venues, side by side."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from liqsim.errors import ParameterError
from liqsim.plot._axes import INK, LINES, MUTED, tidy
from liqsim.plot._data import (
    RULE_OF_THREE,
    horizon_text,
    inputs,
    percent,
    plus_minus,
    scalar,
    share_of_margin,
    stop_text,
    variable,
)
from liqsim.plot.captions import caption, footnotes
from liqsim.stats import wilson_interval

__all__ = ["VenueComparison", "compare"]

_BLUE, _ORANGE, _GREEN, _YELLOW, _SKY = LINES[0], LINES[1], LINES[2], LINES[4], LINES[5]
_LOST = "#dfe4e8"
_PANELS = ("distance", "probability", "costs", "remainder", "bearer")
_WIDTHS = (1.3, 1.25, 1.35, 1.15, 1.35)


_INCHES, _CHARACTERS = 14.0, 215


@dataclass(frozen=True)
class VenueComparison:
    """What :func:`compare` drew: the figure, its panels by name, and the venues from the top down."""

    figure: Figure
    panels: dict[str, Axes]
    venues: tuple[str, ...]


def compare(
    ds: xr.Dataset,
    figure: Figure | None = None,
    *,
    side: str | None = None,
    leverage: float | None = None,
    stop: float | None = None,
    title: str | None = None,
    notes: bool = True,
) -> VenueComparison:
    """Draw the venues of a comparison side by side, one row for each.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.compare_venues`.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw into, which gets the size that is needed; a new one of pyplot unless given.
    side, leverage, stop : optional
        Which to show, where the dataset holds several.
    title : str, optional
        Made from side, leverage and horizon unless given.
    notes : bool, default True
        Write the run, the venues left out, and what is closed or assumed below the panels.

    Returns
    -------
    VenueComparison

    Raises
    ------
    ParameterError
        If the dataset is not a comparison, or a dimension is left.

    Notes
    -----
    Panels: distance from entry to the liquidation price, darker to the price from which the venue may act at its
    discretion; probability of liquidation, with 95 % Wilson intervals; expected cost of holding; where the margin of a
    liquidated position goes; who bears a loss beyond it, and how large it is expected to be. Costs are fractions of
    the entry value in the settlement currency.
    """
    cells = _cells(ds, side, leverage, stop)
    labels = [str(v) for v in cells["venue"].values]
    n = len(labels)
    lines = _lines(ds, cells) if notes else []
    height = 0.44 * n + 1.35 + 0.17 * len(lines)
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(_INCHES, height)
    bottom = (0.62 + 0.17 * len(lines)) / height
    axes = figure.subplots(
        1,
        len(_PANELS),
        sharey=True,
        gridspec_kw={
            "width_ratios": _WIDTHS,
            "wspace": 0.14,
            "left": 0.125,
            "right": 0.998,
            "top": 1.0 - 0.78 / height,
            "bottom": bottom,
        },
    )
    panels = dict(zip(_PANELS, axes, strict=True))
    at = np.arange(n)[::-1].astype(float)
    _distance(panels["distance"], cells, at)
    _probability(panels["probability"], cells, at)
    _costs(panels["costs"], cells, at)
    _remainder(panels["remainder"], cells, at)
    _bearer(panels["bearer"], cells, at)
    closed = [str(s).startswith("closed") for s in cells["status"].values]
    axes[0].set_yticks(at, [f"{label} (closed)" if c else label for label, c in zip(labels, closed, strict=True)])
    axes[0].set_ylim(-0.6, n - 0.4)
    for ax in axes:
        ax.tick_params(axis="y", length=0)
        for k in at[::2]:
            ax.axhspan(k - 0.5, k + 0.5, color="#f5f7f9", zorder=-2, linewidth=0)
    figure.suptitle(_title(cells) if title is None else title, x=0.012, y=1.0 - 0.14 / height, ha="left", va="top",
                    fontsize=13, fontweight="bold", color=INK)  # fmt: skip
    for k, line in enumerate(lines):
        figure.text(0.012, (0.17 * (len(lines) - k) - 0.09) / height, line, fontsize=8, color=MUTED, va="center")
    return VenueComparison(figure, panels, tuple(labels))


def _cells(ds: xr.Dataset, side: str | None, leverage: float | None, stop: float | None) -> xr.Dataset:
    variable(ds, "p_liquidation")
    if "why" not in ds or "venue" not in ds.dims:
        raise ParameterError("ds is not a comparison of venues; give the result of liqsim.compare_venues")
    for name, value in (("side", side), ("leverage", leverage), ("stop", stop)):
        if value is not None:
            known = np.atleast_1d(ds[name].values)
            if value not in known:
                raise ParameterError(f"{name}={value!r} is not in the dataset; it holds {', '.join(map(str, known))}")
            if name in ds.dims:
                ds = ds.sel({name: value})
        elif name in ds.dims:
            if ds.sizes[name] > 1:
                raise ParameterError(f"ds holds {ds.sizes[name]} values of {name}; say which to show, {name}=...")
            ds = ds.squeeze(name)
    return ds.isel(venue=np.flatnonzero(ds["is_allowed"].values))


def _title(ds: xr.Dataset) -> str:
    stop = float(ds["stop"])
    ending = "" if math.isinf(stop) else f", stop at {stop_text(stop)}"
    horizon = horizon_text(scalar(ds, "horizon"))
    what = f"{str(ds['side'].values).capitalize()} at {float(ds['leverage']):g}x for {horizon}{ending}"
    return f"{what}: the same position on {ds.sizes['venue']} venues"


def _lines(ds: xr.Dataset, shown: xr.Dataset) -> list[str]:
    said = [
        f"{caption(shown)}. Whiskers: 95 % intervals of the simulation; ± is one standard error, at most. "
        "Amounts are fractions of the entry value in the settlement currency, in coin on inverse contracts."
    ]
    refused = [str(v) for v in ds["venue"].values if v not in shown["venue"].values]
    if refused:
        most = ds["max_leverage"].sel(venue=refused)
        most = most.sel(side=shown["side"]) if "side" in most.dims else most
        each = ", ".join(f"{name} (at most {x:.3g}x)" for name, x in zip(refused, most.values.tolist(), strict=True))
        said.append(f"Not allowed at {float(shown['leverage']):g}x: {each}.")
    return [part for text in (*said, *footnotes(ds)) for part in textwrap.wrap(text, _CHARACTERS)]


def _values(ds: xr.Dataset, name: str, factor: float = 1.0) -> np.ndarray:
    return factor * np.asarray(ds[name].values, dtype=float)


def _distance(ax: Axes, ds: xr.Dataset, at: np.ndarray) -> None:
    price = float(inputs(ds)["price"])
    level, call = _values(ds, "liquidation_price"), _values(ds, "call_price")
    with np.errstate(invalid="ignore"):
        far, near = 100 * np.abs(level / price - 1), 100 * np.abs(call / price - 1)
    far = np.where(np.isfinite(far), far, np.nan)
    ax.barh(at, far, height=0.56, color=_SKY, zorder=2)
    ax.barh(at, near, height=0.56, color=_BLUE, zorder=2)
    top = float(np.nanmax(far)) if np.isfinite(far).any() else 1.0
    for y, x, p in zip(at, far, level, strict=True):
        text = f"{x:.1f} %  {p:,.0f}" if np.isfinite(x) else "no price"
        ax.text((x if np.isfinite(x) else 0.0) + 0.02 * top, y, text, va="center", fontsize=8, color=INK)
    ax.set_xlim(0, 1.75 * top)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    may_act = bool(np.any(near < far - 1e-9))
    _head(ax, "Move to liquidation", "% of entry; pale: at its discretion" if may_act else "% of the entry price")


def _probability(ax: Axes, ds: xr.Dataset, at: np.ndarray) -> None:
    n = int(ds["p_liquidation"].attrs["n_paths"])
    p, part = _values(ds, "p_liquidation"), _values(ds, "p_partial")
    low, high = wilson_interval(p, n)
    seen = p > 0
    ax.set_xscale("log")
    dot: dict[str, Any] = {"markersize": 6, "color": _ORANGE, "zorder": 3}
    whiskers = 100 * np.stack([p - low, high - p])[:, seen]
    ax.errorbar(100 * p[seen], at[seen], xerr=whiskers, fmt="o", elinewidth=1.4, capsize=2.5, **dot)
    bound = 100 * RULE_OF_THREE / n
    ax.plot(np.full(int((~seen).sum()), bound), at[~seen], "<", markerfacecolor="white", **dot)
    cut = part > 0
    ax.plot(100 * part[cut], at[cut], "D", markerfacecolor="white", **{**dot, "markersize": 4.5})
    shown = np.concatenate([100 * p[seen], 100 * part[cut], [bound] if (~seen).any() else []])
    left = 10.0 ** math.floor(math.log10(0.8 * float(shown.min()))) if shown.size else 0.1
    ax.set_xlim(left, 900)
    for y, x in zip(at, p, strict=True):
        ax.text(800, y, f"{percent(x, n)} %", va="center", ha="right", fontsize=8.5, color=INK, fontweight="bold")
    ticks = [10.0**k for k in range(round(math.log10(left)), 3)]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    what = "%; open diamond: only a part of it" if cut.any() else "%, logarithmic"
    _head(ax, "P(liquidation)", what, grid=True)


def _costs(ax: Axes, ds: xr.Dataset, at: np.ndarray) -> None:
    parts = (
        ("funding_cost", "funding", _BLUE),
        ("fees", "fees", _YELLOW),
        ("engine_kept", "kept at liquidation", _ORANGE),
    )
    positive, negative = np.zeros(len(at)), np.zeros(len(at))
    for name, label, colour in parts:
        x = _values(ds, name, 1e4)
        base = np.where(x >= 0, positive, negative)
        ax.barh(at, x, left=base, height=0.56, color=colour, label=label, zorder=2)
        positive, negative = positive + np.maximum(x, 0), negative + np.minimum(x, 0)
    total = np.sum([_values(ds, name, 1e4) for name, _, _ in parts], axis=0)
    error = np.sum([_values(ds, f"{name}_se", 1e4) for name, _, _ in parts], axis=0)  # of the sum: no more than this
    reach = float(positive.max() - negative.min()) or 1.0
    for y, x, e, right in zip(at, total, error, positive, strict=True):
        ax.text(right + 0.02 * reach, y, _signed(x, e), va="center", fontsize=8, color=INK)
    ax.set_xlim(float(negative.min()) * 1.05, float(positive.max()) + 0.5 * reach)
    ax.axvline(0, color=MUTED, linewidth=0.8, zorder=3)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    _head(ax, "Expected cost of holding", "bp of entry value; negative is received")
    _legend(ax)


def _remainder(ax: Axes, ds: xr.Dataset, at: np.ndarray) -> None:
    for k, y in enumerate(at):
        back, error = (100 * x for x in share_of_margin(ds.isel(venue=k), "returned"))
        if math.isnan(back):
            ax.text(50, y, "no path", va="center", ha="center", fontsize=8, color=MUTED)
            continue
        back, kept = max(back, 0.0), 100 * share_of_margin(ds.isel(venue=k), "engine_kept")[0]
        ax.barh(y, 100, height=0.56, color=_LOST, zorder=1)
        ax.barh(y, back, height=0.56, color=_GREEN, zorder=2)
        ax.barh(y, kept, left=back, height=0.56, color=_ORANGE, zorder=2)
        if error > 0.25:
            ax.errorbar(back, y, xerr=1.96 * error, color=INK, elinewidth=1.1, capsize=2.0, zorder=3)
        text = f"{back:.0f} %" if back >= 1 or back < 0.05 else f"{back:.1f} %"
        ax.text(104, y, text, va="center", fontsize=8, color=INK)
    ax.set_xlim(0, 130)
    ax.set_xticks([0, 50, 100])
    _head(ax, "Margin after liquidation", "%, and the part handed back")
    for text, colour in (("handed back", _GREEN), ("kept", _ORANGE), ("lost", _LOST)):
        ax.barh(-9, 1, color=colour, label=text)
    _legend(ax)


def _bearer(ax: Axes, ds: xr.Dataset, at: np.ndarray) -> None:
    loss, se = _values(ds, "shortfall", 1e4), _values(ds, "shortfall_se", 1e4)
    for y, who, x, e in zip(at, ds["bearer"].values, loss, se, strict=True):
        said = _signed(x, e) if x > 0 else "none on any path"
        ax.text(0.0, y + 0.13, said, va="center", fontsize=8, color=INK)
        ax.text(0.0, y - 0.2, str(who), va="center", fontsize=7, color=MUTED)
    ax.set_xlim(-0.02, 1)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    _head(ax, "Loss beyond the margin", "bp of entry value; borne by")


def _signed(value: float, se: float) -> str:
    shown, error = plus_minus(value, se)
    return shown.replace("-", "\N{MINUS SIGN}") + (f" ± {error}" if error else "")


def _legend(ax: Axes) -> None:
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(-0.03, -0.34 / _inches(ax)),
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handlelength=0.9,
        columnspacing=0.9,
        handletextpad=0.4,
        borderaxespad=0,
    )


def _inches(ax: Axes) -> float:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().height * figure.get_size_inches()[1])


def _head(ax: Axes, title: str, unit: str, *, grid: bool = False) -> None:
    tidy(ax, grid="x" if grid else None)
    ax.spines["left"].set_visible(False)
    ax.tick_params(labelsize=8.5)
    y = 1.0 + 0.25 / _inches(ax)
    ax.text(0, y, title, transform=ax.transAxes, fontsize=10, fontweight="bold", color=INK, va="bottom")
    ax.text(0, 1.0 + 0.06 / _inches(ax), unit, transform=ax.transAxes, fontsize=8, color=MUTED, va="bottom")
