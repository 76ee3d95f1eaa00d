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
from liqsim.report.records import Record
from liqsim.report.tables import cases

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Picture", "draw_all"]

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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return Picture(name, heading, text, buffer.getvalue())
