"""The figures of a report, as PNG with a caption each."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from liqsim.plot._data import stop_text
from liqsim.plot.captions import caption
from liqsim.report.comparison import common_leverage
from liqsim.report.records import Record
from liqsim.report.tables import cases

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Picture", "draw_all", "draw_comparison"]

MOST_HEATMAPS = 16
_DPI = 150


@dataclass(frozen=True)
class Picture:
    """One figure: the stem of its file name, a heading, a caption, and the PNG."""

    name: str
    heading: str
    caption: str
    png: bytes


def draw_all(ds: xr.Dataset, record: Record) -> list[Picture]:
    """Draw the cliff, a heat map of P(liquidation) for each case and side, and the fit of the returns.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep`.
    record : Record
        Its calibration.

    Returns
    -------
    list of Picture
        At most 16 heat maps.
    """
    from liqsim.plot import cliff, heatmap, return_fit

    pictures = []
    if ds.sizes["leverage"] > 1:
        farthest = float(ds["stop"].values.max())
        what = "without a stop" if np.isinf(farthest) else f"with a stop at {stop_text(farthest)}"
        text = (
            f"Probability of liquidation {what}, against leverage. Bars: 95 % Wilson intervals of the simulation. "
            f"{caption(ds)}."
        )
        pictures.append(_picture("cliff", "Where the cliff is", text, (8.4, 5.2), lambda ax: cliff(ds, ax=ax)))
    if min(ds.sizes["leverage"], ds.sizes["stop"]) > 1:
        maps = [(label, part.sel(side=side)) for label, part in cases(ds) for side in part["side"].values]
        for label, part in maps[:MOST_HEATMAPS]:
            side = str(part["side"].values)
            text = f"Probability of liquidation in % over leverage and stop. {caption(part)}."
            pictures.append(
                _picture(
                    _slug(f"p_liquidation_{label}_{side}"),
                    f"{label}, {side}",
                    text,
                    (8.8, 5.8),
                    lambda ax, part=part: heatmap(part, ax=ax),
                )
            )
    if record.counts is not None and record.fits:
        counts, fits = record.counts, record.fits
        text = (
            f"Density of {counts.n:,} log returns over {counts.interval} and of the fitted models, logarithmic. "
            "Bins widen with the size of the move; vertical bars are one standard error. "
            f"{counts.citation or counts.source}"
        )
        pictures.append(
            _picture(
                "returns",
                "The model beside the returns",
                text,
                (8.4, 5.2),
                lambda ax: return_fit(counts, fits, ax=ax),
            )
        )
    return pictures


def draw_comparison(ds: xr.Dataset, leverage: float | None = None) -> list[Picture]:
    """Draw a comparison of venues: one picture for each side.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.compare_venues`.
    leverage : float, optional
        Which to show; the highest that most venues allow unless given.

    Returns
    -------
    list of Picture
        And the probability of liquidation against leverage, where the dataset holds several.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from liqsim.plot import cliff, compare

    pictures = []
    stop = float(np.max(ds["stop"].values))
    for side in np.atleast_1d(ds["side"].values):
        part = ds.sel({name: value for name, value in (("side", side), ("stop", stop)) if name in ds.dims})
        at = common_leverage(part) if leverage is None else leverage
        shown = part.sel(leverage=at) if "leverage" in part.dims else part
        figure = Figure()
        FigureCanvasAgg(figure)
        compare(shown, figure, notes=False)
        text = (
            f"The same {side} position at {at:g}x on every venue, on the same price paths. Whiskers are 95 % "
            "intervals of the simulation, \N{PLUS-MINUS SIGN} is at most one standard error. A pale bar goes from the "
            "price at which the venue may close the position to the one at which it must. Amounts are fractions of the "
            f"entry value in the settlement currency. {caption(shown)}."
        )
        name = "venues" if ds["side"].size == 1 else f"venues_{side}"
        pictures.append(Picture(name, f"The same {side} position, venue by venue", text, _png(figure)))
        if "leverage" in part.dims and part.sizes["leverage"] > 1:
            text = (
                "Probability of liquidation against leverage, venue by venue, with 95 % Wilson intervals. A bar ends "
                f"the line of a venue that allows no higher leverage of those simulated. {caption(part)}."
            )
            heading = f"Where each venue's cliff is, {side}"
            pictures.append(
                _picture(f"{name}_cliff", heading, text, (8.4, 5.2), lambda ax, part=part: cliff(part, ax=ax))
            )
    return pictures


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()


def _picture(name: str, heading: str, text: str, size: tuple[float, float], draw: object) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    ax: Axes = figure.add_subplot()
    assert callable(draw)
    draw(ax)
    return Picture(name, heading, text, _png(figure))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
