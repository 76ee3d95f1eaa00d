"""Fitted models beside the returns they were fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from liqsim.calibrate import FitResult, ReturnCounts
from liqsim.errors import ParameterError
from liqsim.models import PriceModel
from liqsim.plot._axes import INK, LINES, new_axes, tidy
from liqsim.plot._data import RULE_OF_THREE

__all__ = ["ReturnFit", "return_fit", "widening_density"]

_NAMES = {"gbm": "GBM", "merton": "Merton", "kou": "Kou"}
_ORDER = {"gbm": 0, "merton": 1, "kou": 2}


@dataclass(frozen=True)
class ReturnFit:
    """What :func:`return_fit` drew: the binned returns, bounds where a bin is empty, and one line per model."""

    ax: Axes
    data: ErrorbarContainer
    bounds: Line2D | None
    lines: tuple[Line2D, ...]


def widening_density(
    counts: ReturnCounts, growth: float = 0.15
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Density of returns over bins that widen with their distance from 0, so that tails are neither bare nor hidden.

    Parameters
    ----------
    counts : ReturnCounts
    growth : float, default 0.15
        Width of a bin over its distance from 0, in (0, 1]; the bins near 0 are a tenth of the interquartile range.

    Returns
    -------
    edges : ndarray, shape (m + 1,)
        Log returns, increasing, the same on both sides of 0.
    n : ndarray, shape (m,)
        Returns in each bin, empty bins included.
    density, density_se : ndarray, shape (m,)
        Per unit of log return, and its binomial standard error.
    """
    if not 0 < growth <= 1:
        raise ParameterError(f"growth={growth!r} is not allowed; give a number in (0, 1]")
    index, count = np.array(counts.index), np.array(counts.count)
    core = max(1, round((counts.quantile(0.75) - counts.quantile(0.25)) / counts.bin_width / 10))
    last = int(np.abs(index).max())
    ends = [core // 2]  # last bin number of each group, upwards from the group around 0
    while ends[-1] < last:
        ends.append(ends[-1] + max(core, round(growth * ends[-1])))
    upper = np.array(ends)
    marks = np.concatenate([-upper[::-1] - 0.5, upper + 0.5])
    n = np.histogram(index, bins=marks, weights=count)[0]
    edges = counts.bin_width * marks
    share, width = n / counts.n, np.diff(edges)
    return edges, n, share / width, np.sqrt(share * (1 - share) / counts.n) / width


def return_fit(
    counts: ReturnCounts,
    fits: Iterable[FitResult] | Mapping[str, PriceModel | FitResult],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> ReturnFit:
    """Draw the density of real returns, on a logarithmic scale, with fitted models on top.

    Parameters
    ----------
    counts : ReturnCounts
        Binned returns.
    fits : iterable of FitResult, or mapping of label to FitResult or PriceModel
        Models to draw.
    ax : matplotlib.axes.Axes, optional
        A new figure unless given.
    title : str, optional
        Made from asset, interval and window unless given.

    Returns
    -------
    ReturnFit

    Raises
    ------
    ParameterError
        If there is no model, or one is neither a fit nor a price model.

    Notes
    -----
    Points are densities over bins that widen with distance from 0 (horizontal bars), with bars of one standard
    error. Lines are exact densities averaged over the bins of ``counts``.
    """
    models = _models(fits)
    ax = new_axes(ax, (8.4, 5.2))
    edges, n, density, se = widening_density(counts)
    per_cent = 0.01  # densities per unit of log return -> per per cent
    centre, half = 50.0 * (edges[:-1] + edges[1:]), 50.0 * np.diff(edges)
    seen = n > 0
    data = ax.errorbar(
        centre[seen],
        per_cent * density[seen],
        yerr=per_cent * se[seen],
        xerr=half[seen],
        linestyle="none",
        marker="o",
        markersize=3.5,
        color=INK,
        elinewidth=0.9,
        label=f"returns, n = {counts.n:,}",
        zorder=4,
    )
    bounds = None
    if not seen.all():
        (bounds,) = ax.plot(
            centre[~seen],
            per_cent * RULE_OF_THREE / counts.n / np.diff(edges)[~seen],
            linestyle="none",
            marker="v",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor=INK,
            label="empty bin, bound 3/n",
        )
    fine, _, _ = counts.density()
    middle = 50.0 * (fine[:-1] + fine[1:])
    floor = 0.3 * per_cent * float(density[seen].min())
    lines = []
    for k, (label, model) in enumerate(models.items()):
        (line,) = ax.plot(
            middle,
            per_cent * counts.model_density(model),
            color=("#7a8691", *LINES)[k % 8],
            linewidth=1.8,
            linestyle=("--", (0, (5, 1.2, 1, 1.2)), "-", ":")[k % 4],
            label=label,
        )
        lines.append(line)
    ax.set_yscale("log")
    ax.set_ylim(floor, 2.5 * per_cent * float(density.max()))
    tidy(
        ax,
        grid="y",
        title=_title(counts) if title is None else title,
        xlabel=f"log return over {counts.interval} [%]",
        ylabel="density [per %]",
    )
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10f}".rstrip("0").rstrip(".")))
    ax.legend(
        handles=[data, *([bounds] if bounds else []), *lines],
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        loc="upper right",
    )
    return ReturnFit(ax, data, bounds, tuple(lines))


def _models(fits: Iterable[FitResult] | Mapping[str, PriceModel | FitResult]) -> dict[str, PriceModel]:
    named: dict[str, PriceModel] = {}
    if isinstance(fits, Mapping):
        for label, item in fits.items():
            model = item.model if isinstance(item, FitResult) else item
            if not isinstance(model, PriceModel):
                raise ParameterError(f"fits[{label!r}]={item!r} is not a FitResult or a price model; give one")
            named[_NAMES.get(str(label), str(label))] = model
    else:
        results = list(fits)
        for item in results:
            if not isinstance(item, FitResult):
                raise ParameterError(f"fits holds {item!r}, which is not a FitResult; give results of calibrate.fit")
        for item in sorted(results, key=lambda fit: _ORDER.get(fit.model.name, 9)):
            named[_NAMES.get(item.model.name, item.model.name)] = item.model
    if not named:
        raise ParameterError("fits is empty; give at least one fit")
    return named


def _title(counts: ReturnCounts) -> str:
    what = counts.asset or counts.source or "returns"
    window = f", {counts.window[0][:10]} to {counts.window[1][:10]}" if counts.window[0] else ""
    return f"{what}: {counts.interval} returns{window}"
