"""The picture of a path: what is drawn is what the dataset holds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import liqsim as lq
from liqsim import plot
from liqsim.venues import Liquidation

KOU = lq.Kou(sigma=0.5, intensity=200, p_up=0.45, eta_up=30, eta_down=28)
CUT = dataclasses.replace(
    lq.Venue.from_tiers(
        [(0, 1e5, 0.01, 60)], taker_fee=5e-4, funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
    ),
    liquidation=Liquidation("incremental", "kept", step_fraction=0.2),
)


@pytest.fixture(scope="module")
def path() -> xr.Dataset:
    return lq.replay(
        KOU, CUT, leverage=[20, 5, 10], stop=[0.1, math.inf], horizon="20D", seed=3, n_paths=500, start="2026-03-01",
        first_liquidated={"side": "long", "leverage": 10, "stop": math.inf},
    )  # fmt: skip


def drawn(panel, colour):
    return [line for line in panel.get_lines() if line.get_color() == colour and len(line.get_xdata()) > 2]


def test_lines_are_those_of_the_dataset(path: xr.Dataset) -> None:
    art = plot.replay(path, Figure(), side="long")
    assert art.leverages == (20.0, 5.0, 10.0)
    assert list(art.panels) == ["price", "margin", "funding"]
    days = 365 * path.years.values
    cells = path.sel(side="long", stop=math.inf)
    for k, leverage in enumerate(art.leverages):
        cell = cells.sel(leverage=leverage)
        colour = plot._axes.LINES[k]
        (line,) = drawn(art.panels["margin"], colour)
        there = cell.margin_ratio.notnull().values
        np.testing.assert_array_equal(line.get_xdata(), days[there])
        np.testing.assert_array_equal(line.get_ydata(), cell.margin_ratio.values[there])
    price = max(drawn(art.panels["price"], plot._axes.INK), key=lambda line: len(line.get_xdata()))
    assert set(price.get_ydata()) <= set(path.mark.values)
    paid = drawn(art.panels["funding"], plot._axes.INK)[0]
    assert paid.get_ydata()[-1] == pytest.approx(1e4 * path.paid.sel(side="long").values[len(paid.get_ydata()) - 1])


def test_what_happened_is_marked(path: xr.Dataset) -> None:
    art = plot.replay(path, Figure(), side="long", leverage=10)
    marks = [
        line for line in art.panels["price"].get_lines() if line.get_marker() in ("X", "v") and len(line.get_xdata())
    ]
    mine = path.event_leverage == 10
    events = path.isel(
        time=np.flatnonzero(mine & (path.event_side == "long") & path.event.isin(["liquidation", "cut"]))
    )
    seen = sorted(zip(*[np.concatenate([getattr(m, f"get_{a}data")() for m in marks]) for a in "xy"], strict=True))
    wanted = sorted(zip(365 * events.years.values, events.mark.values, strict=True))
    np.testing.assert_allclose(seen, wanted)
    (said,) = (text for text in art.panels["margin"].texts if "acts at 1" in text.get_text())
    art.figure.draw_without_rendering()
    panel = art.panels["margin"].get_window_extent()
    assert said.get_window_extent().x0 > panel.x0 + 0.7 * panel.width
    legend = [text.get_text() for text in art.panels["price"].get_legend().get_texts()]
    assert "10x: the venue acts" in legend
    assert ("liquidation" in legend) == bool((events.event == "liquidation").any())


def test_words_and_units(path: xr.Dataset) -> None:
    art = plot.replay(path, Figure(), side="long", leverage=[10], stop=0.1)
    assert art.figure.get_suptitle().startswith(f"Path {int(path.path):,}, long: 10x ")
    assert art.panels["price"].get_ylabel() == "price [USD]"
    assert art.panels["margin"].get_ylabel().startswith("margin ratio [1]")
    assert art.panels["funding"].get_xlabel() == "days since entry (2026-03-01 00:00 UTC)"
    assert "stop, 10 %" in [text.get_text() for text in art.panels["price"].get_legend().get_texts()]
    said = " ".join(text.get_text() for text in art.figure.texts)
    assert "Kou (volatility 0.5" in said
    assert "first liquidation of 500 paths, long, 10x, no stop" in said
    FigureCanvasAgg(art.figure).draw()
    assert len(plot.replay(path, Figure(), side="short", notes=False, title="mine").figure.texts) < len(
        art.figure.texts
    )


def test_without_funding_there_is_no_such_panel() -> None:
    quiet = lq.Venue.from_tiers([(0, None, 0.005, 100)])
    path = lq.replay(lq.GBM(0.4), quiet, leverage=2, side="short", path=0)
    art = plot.replay(path, Figure())
    assert list(art.panels) == ["price", "margin"]
    assert "2x: the venue acts" in art.panels["price"].get_legend().get_texts()[1].get_text()
    FigureCanvasAgg(art.figure).draw()
    one = lq.replay(lq.GBM(0.4), quiet, leverage=1, side="long", path=0)
    legend = plot.replay(one, Figure()).panels["price"].get_legend().get_texts()
    assert legend[1].get_text() in ("1x: no such price", "1x: the venue acts at 302, off the chart")


def test_what_cannot_be_drawn_is_said(path: xr.Dataset) -> None:
    with pytest.raises(lq.ParameterError, match="ds is not a path; give the result of"):
        plot.replay(lq.sweep(KOU, CUT, leverage=5, n_paths=10))
    with pytest.raises(lq.ParameterError, match="ds holds both sides"):
        plot.replay(path)
    with pytest.raises(lq.ParameterError, match=r"leverage=7 is not in the dataset; it holds 20\.0, 5\.0, 10\.0"):
        plot.replay(path, side="long", leverage=7)
    with pytest.raises(lq.ParameterError, match=r"stop=0\.2 is not in the dataset"):
        plot.replay(path, side="long", stop=0.2)
    many = lq.replay(KOU, CUT, leverage=np.linspace(2, 9, 8), side="long", path=0, horizon="1D")
    with pytest.raises(lq.ParameterError, match="ds holds 8 leverages; say which to show, at most 6"):
        plot.replay(many)
