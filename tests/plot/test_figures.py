"""Pictures: what is drawn is what the dataset holds; pixels are not compared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import liqsim as lq
from liqsim import plot
from liqsim.plot._data import percent, plane
from liqsim.plot.grids import _apart
from liqsim.stats import wilson_interval

INF = float("inf")


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    model = lq.presets.model("btc-2025")
    return lq.sweep(
        model,
        ["binance-usdm-btcusdt", "kraken-pi-xbtusd"],
        leverage=[25, 5, 2, 10],
        stop=[INF, 0.02, 0.1],
        notional=100_000,
        n_paths=4000,
        seed=3,
    )


@pytest.fixture
def ax() -> mpl.axes.Axes:
    return Figure(figsize=(8.8, 5.8), layout="constrained").add_subplot()


@pytest.fixture
def cell(ds: xr.Dataset) -> xr.Dataset:
    return ds.sel(venue="binance-usdm-btcusdt", side="long")


def test_heatmap_draws_the_table_in_increasing_order(cell: xr.Dataset, ax) -> None:
    art = plot.heatmap(cell, ax=ax)
    wanted = 100 * cell["p_liquidation"].sortby(["leverage", "stop"]).transpose("stop", "leverage").values
    drawn = art.mesh.get_array()
    assert drawn.shape == (3, 4)
    np.testing.assert_array_equal(drawn.filled(0.0), wanted)
    np.testing.assert_array_equal(np.ma.getmaskarray(drawn), wanted == 0)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2x", "5x", "10x", "25x"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2 %", "10 %", "none"]
    assert art.mesh.norm.vmax == 100
    assert art.colorbar is not None
    assert "[%]" in art.colorbar.ax.get_ylabel()


def test_cells_without_the_event_say_the_bound(cell: xr.Dataset, ax) -> None:
    art = plot.heatmap(cell, ax=ax)
    texts = np.array([text.get_text() for text in art.texts]).reshape(3, 4)
    empty = np.ma.getmaskarray(art.mesh.get_array())
    assert empty.any()
    assert set(texts[empty]) == {"<0.075"}  # 3 / 4000
    assert not any(text.startswith("<") for text in texts[~empty])
    assert any("3/n" in text.get_text() for text in ax.get_legend().get_texts())


def overlapping(texts: list[mpl.text.Text]) -> list[tuple[str, str]]:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [(a, b) for k, (a, x) in enumerate(boxes) for b, y in boxes[:k] if x.overlaps(y)]


@pytest.mark.parametrize(("var", "n_lines"), [("p_liquidation", 5), ("p_stop", 5)])
def test_contour_labels_do_not_lie_on_one_another(var: str, n_lines: int) -> None:
    model = lq.presets.model("btc-2025", "kou", drift=0.0)
    grid = {"leverage": [2, 5, 10, 25, 50], "stop": [0.01, 0.02, 0.05, 0.1, INF]}
    ds = lq.sweep(model, "binance-usdm-btcusdt", side="long", n_paths=4000, seed=1, threads=1, **grid)
    figure = Figure(figsize=(8.8, 5.8))
    art = plot.heatmap(ds, var, ax=figure.add_subplot())
    figure.draw_without_rendering()
    labels = [text for text in art.ax.texts if text.get_text().endswith(" %")]
    assert [text.get_text() for text in labels] == ["0.1 %", "1 %", "5 %", "10 %", "50 %"][:n_lines]
    assert not overlapping(labels)


def test_labels_move_no_farther_than_they_must() -> None:
    assert _apart([], [], 0.0, 9.0).tolist() == []
    assert _apart([2.0, 5.0], [1.0, 1.0], 0.0, 9.0).tolist() == [2.0, 5.0]
    assert _apart([5.0, 5.0, 1.0], [1.0, 1.0, 2.0], 0.0, 9.0).tolist() == [4.5, 5.5, 1.0]
    assert _apart([0.0, 0.1], [1.0, 2.0], 0.0, 9.0).tolist() == [0.5, 2.0]
    assert _apart([8.9, 9.0], [1.0, 2.0], 0.0, 9.0).tolist() == [6.5, 8.0]


def test_contours_are_at_the_asked_probabilities(cell: xr.Dataset, ax) -> None:
    art = plot.heatmap(cell, ax=ax)
    assert art.contours is not None
    assert set(np.round(10**art.contours.levels, 9)) <= {0.1, 1, 5, 10, 50}
    assert plot.heatmap(cell, ax=ax, contours=[]).contours is None


def test_border_runs_between_stops_before_and_beyond_the_liquidation_price(cell: xr.Dataset, ax) -> None:
    art = plot.heatmap(cell, ax=ax)
    assert art.boundary is not None
    level = {}
    for (x0, y0), (x1, y1) in art.boundary.get_segments():
        if y0 == y1:
            level[int(min(x0, x1))] = int(y0)
    for column, leverage in enumerate([2, 5, 10, 25]):
        distance = 1 - float(cell["liquidation_price"].sel(leverage=leverage)) / 60_000
        assert level[column] == sum(stop < distance for stop in (0.02, 0.1, INF))


def test_other_variables_are_linear_with_their_unit(cell: xr.Dataset, ax) -> None:
    art = plot.heatmap(cell, "funding_cost", ax=ax)
    wanted = 1e4 * cell["funding_cost"].sortby(["leverage", "stop"]).transpose("stop", "leverage").values
    np.testing.assert_allclose(np.asarray(art.mesh.get_array()), wanted)
    assert art.contours is None
    assert "[bp of entry notional]" in art.colorbar.ax.get_ylabel().replace("\n", " ")


def test_heatmap_over_other_dimensions(ds: xr.Dataset, ax) -> None:
    art = plot.heatmap(ds.sel(side="long", stop=INF), x="leverage", y="venue", ax=ax)
    assert art.mesh.get_array().shape == (2, 4)
    assert art.boundary is None


def test_heatmap_of_one_cell_and_of_one_row(cell: xr.Dataset, ax) -> None:
    assert plot.heatmap(cell.isel(leverage=[0], stop=[0]), ax=ax).mesh.get_array().shape == (1, 1)
    assert plot.heatmap(cell.isel(stop=[0]), ax=ax).mesh.get_array().shape == (1, 4)


def test_heatmap_names_what_is_wrong(ds: xr.Dataset, cell: xr.Dataset) -> None:
    with pytest.raises(lq.ParameterError, match=r"did you mean 'p_liquidation'\?"):
        plot.heatmap(cell, "p_liquidaton")
    with pytest.raises(lq.ParameterError, match="still has 2 values along 'venue'; pick one first"):
        plot.heatmap(ds.sel(side="long"))
    with pytest.raises(lq.ParameterError, match="no dimension 'horizon'"):
        plane(cell, "p_liquidation", ("horizon", "stop"))
    with pytest.raises(lq.ParameterError, match="same dimension"):
        plot.heatmap(cell, x="stop", y="stop")
    with pytest.raises(lq.ParameterError, match=r"not an xarray\.Dataset"):
        plot.heatmap([1, 2])


def test_cliff_draws_every_venue_and_side(ds: xr.Dataset, ax) -> None:
    art = plot.cliff(ds, ax=ax)
    assert [line.label for line in art.lines] == [
        "binance-usdm-btcusdt · long",
        "binance-usdm-btcusdt · short",
        "kraken-pi-xbtusd · long",
        "kraken-pi-xbtusd · short",
    ]
    assert ax.get_xscale() == "log"
    for line in art.lines:
        venue, side = line.label.split(" · ")
        p = ds["p_liquidation"].sel(venue=venue, side=side, stop=INF).sortby("leverage")
        x, y = line.points.lines[0].get_data()
        np.testing.assert_array_equal(x, p["leverage"].values[p.values > 0])
        np.testing.assert_allclose(y, 100 * p.values[p.values > 0])
        low, high = wilson_interval(p.values[p.values > 0], 4000)
        bars = np.array(line.points.lines[2][0].get_segments())[:, :, 1]
        np.testing.assert_allclose(bars, 100 * np.stack([low, high], axis=1))
        if (p.values == 0).any():
            np.testing.assert_allclose(line.bounds.get_ydata(), 100 * 3 / 4000)
        else:
            assert line.bounds is None


def test_cliff_at_a_stop_and_of_money(ds: xr.Dataset, ax) -> None:
    art = plot.cliff(ds, "pnl", ax=ax, stop=0.1)
    assert ax.get_yscale() == "linear"
    assert "stop at 10 %" in ax.get_title(loc="left")
    part = ds.sel(venue="kraken-pi-xbtusd", side="short", stop=0.1).sortby("leverage")
    np.testing.assert_allclose(art.lines[3].points.lines[0].get_ydata(), 1e4 * part["pnl"].values)
    bars = np.array(art.lines[3].points.lines[2][0].get_segments())[:, :, 1]
    np.testing.assert_allclose(np.diff(bars, axis=1)[:, 0], 2 * 1.96e4 * part["pnl_se"].values, rtol=1e-6)
    with pytest.raises(lq.ParameterError, match=r"stop=0.03 is not in the dataset; it holds 0.02, 0.1, inf"):
        plot.cliff(ds, stop=0.03)
    with pytest.raises(lq.ParameterError, match="no dimension 'leverage'"):
        plot.cliff(ds.sel(leverage=5))


@pytest.fixture(scope="module")
def counts() -> lq.calibrate.ReturnCounts:
    return lq.presets.counts("btc-2025")


def test_widening_density_counts_every_return_once(counts) -> None:
    edges, n, density, se = plot.widening_density(counts)
    assert n.sum() == counts.n
    np.testing.assert_allclose((density * np.diff(edges)).sum(), 1.0)
    np.testing.assert_allclose(edges, -edges[::-1])
    assert (np.diff(edges) >= np.diff(edges).min() - 1e-15).all()
    assert (se >= 0).all()
    halves = np.round(edges / counts.bin_width - 0.5, 9)
    np.testing.assert_array_equal(halves, np.round(halves))  # no count bin is cut
    with pytest.raises(lq.ParameterError, match=r"growth=0 is not allowed; give a number in \(0, 1\]"):
        plot.widening_density(counts, growth=0)


def test_return_fit_draws_data_and_models(counts, ax) -> None:
    fits = {name: lq.presets.fit("btc-2025", name) for name in ("gbm", "merton", "kou")}
    art = plot.return_fit(counts, fits, ax=ax)
    edges, n, density, _ = plot.widening_density(counts)
    x, y = art.data.lines[0].get_data()
    np.testing.assert_allclose(x, 50 * (edges[:-1] + edges[1:])[n > 0])
    np.testing.assert_allclose(y, 0.01 * density[n > 0])
    assert [line.get_label() for line in art.lines] == ["GBM", "Merton", "Kou"]
    kou = np.asarray(art.lines[2].get_ydata())
    np.testing.assert_allclose(kou, 0.01 * counts.model_density(fits["kou"].model))
    assert ax.get_yscale() == "log"
    assert "[%]" in ax.get_xlabel()


def test_return_fit_takes_models_and_refuses_the_rest(counts, ax) -> None:
    art = plot.return_fit(counts, {"mine": lq.GBM(sigma=0.4)}, ax=ax)
    assert [line.get_label() for line in art.lines] == ["mine"]
    assert len(plot.return_fit(counts, [lq.presets.fit("btc-2025", "gbm")], ax=ax).lines) == 1
    with pytest.raises(lq.ParameterError, match="fits is empty"):
        plot.return_fit(counts, [], ax=ax)
    with pytest.raises(lq.ParameterError, match=r"fits\['x'\]=3 is not a FitResult or a price model"):
        plot.return_fit(counts, {"x": 3}, ax=ax)
    with pytest.raises(lq.ParameterError, match="fits holds 3"):
        plot.return_fit(counts, [3], ax=ax)


def test_caption_says_how_it_was_made(ds: xr.Dataset, cell: xr.Dataset) -> None:
    text = plot.caption(cell)
    for part in (
        "Kou (volatility 0.2",
        "rules of 2024-10-24",
        "long",
        "100,000 USDT at 60,000",
        "30 days",
        "4,000 paths",
    ):
        assert part in text
    assert text.endswith("seed 3")
    assert "\n" not in text
    assert "binance-usdm-btcusdt and kraken-pi-xbtusd · 100,000 USD/USDT" in plot.caption(ds)
    assert plot.caption(xr.Dataset()) == ""


@pytest.mark.parametrize(
    ("p", "n", "text"),
    [
        (0.0, 1000, "<0.3"),
        (0.0, None, "0"),
        (1.0, 1000, "100"),
        (0.9999, 10_000, ">99"),
        (0.0996, None, "10.0"),
        (0.0999, None, "10.0"),
        (0.00999, None, "1.00"),
        (1e-6, 10**6, "0.0001"),
    ],
)
def test_percent(p: float, n: int | None, text: str) -> None:
    assert percent(p, n) == text


def test_nothing_global_is_touched(ds: xr.Dataset, cell: xr.Dataset, counts) -> None:
    before = dict(mpl.rcParams)
    first, second, third = Figure(layout="constrained").subplots(3)
    plot.heatmap(cell, ax=first)
    plot.cliff(ds, ax=second)
    plot.return_fit(counts, {"gbm": lq.GBM(sigma=0.4)}, ax=third)
    assert dict(mpl.rcParams) == before


def test_without_axes_a_new_figure_is_made(cell: xr.Dataset) -> None:
    import matplotlib.pyplot as plt

    backend = plt.get_backend()
    plt.switch_backend("agg")
    try:
        art = plot.heatmap(cell)
        assert art.ax.figure.number in plt.get_fignums()
        plt.close(art.ax.figure)
    finally:
        plt.switch_backend(backend)


def test_titles_stay_inside_the_figure(ds: xr.Dataset) -> None:
    for venue in ds["venue"].values:
        figure = Figure(figsize=(8.8, 5.8), layout="constrained")
        art = plot.heatmap(ds.sel(venue=venue, side="short"), ax=figure.add_subplot())
        figure.draw_without_rendering()
        titles = [text for text in art.ax.findobj(mpl.text.Text) if text.get_text() == art.ax.get_title(loc="left")]
        assert titles
        assert all(title.get_window_extent().x1 <= figure.bbox.x1 for title in titles)


def test_matplotlib_waits_until_it_is_needed() -> None:
    code = "import sys, liqsim.plot; assert 'matplotlib' not in sys.modules; liqsim.plot.heatmap; import matplotlib"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'heatmp'"):
        _ = plot.heatmp
    assert "heatmap" in dir(plot)


def test_missing_matplotlib_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import liqsim.plot\n"
        "try:\n    liqsim.plot.heatmap\n"
        "except ModuleNotFoundError as error:\n    assert 'liqsim[report]' in str(error), error\n"
        "else:\n    raise SystemExit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_fit_with_another_model_label(counts, ax) -> None:
    result = replace(lq.presets.fit("btc-2025", "kou"), note="x")
    assert plot.return_fit(counts, {"Kou 2025": result}, ax=ax).lines[0].get_label() == "Kou 2025"


@pytest.fixture(scope="module")
def compared() -> xr.Dataset:
    return lq.compare_venues(
        lq.presets.model("btc-2025"),
        ["cme-mbt", "kraken-spot-xbtusd", "deribit-btc-perpetual", "bitmex-xbtusd", "binance-usdm-btcusdt"],
        leverage=[2, 3, 10],
        side=["long", "short"],
        notional=100_000,
        price=77_835,
        premium=lq.OUPremium(mean=1e-4, half_life="15h", vol=3e-4),
        assume={"kraken-spot-xbtusd": {"fees.taker": 0.0026, "liquidation.hazard": 0.5}},
        n_paths=4000,
        seed=3,
    )


def widths(ax, colour: str) -> list[float]:
    return [p.get_width() for p in ax.patches if p.get_facecolor()[:3] == mpl.colors.to_rgb(colour) and p.get_y() > -5]


def test_compare_draws_a_row_for_every_venue_that_allows_it(compared: xr.Dataset) -> None:
    art = plot.compare(compared, Figure(), side="long", leverage=3)
    assert art.venues == tuple(compared.venue.values)
    labels = [t.get_text() for t in art.panels["distance"].get_yticklabels()]
    assert labels == [f"{v} (closed)" if v == "bitmex-xbtusd" else v for v in art.venues]
    cell = compared.sel(side="long", leverage=3)
    far = 100 * np.abs(cell.liquidation_price.values / 77_835 - 1)
    near = 100 * np.abs(cell.call_price.values / 77_835 - 1)
    np.testing.assert_allclose(widths(art.panels["distance"], "#56B4E9"), far)
    np.testing.assert_allclose(widths(art.panels["distance"], "#0072B2"), near)
    np.testing.assert_allclose(widths(art.panels["costs"], "#0072B2"), 1e4 * cell.funding_cost.values)
    points, _, _ = art.panels["probability"].containers[0]
    np.testing.assert_allclose(points.get_xdata(), 100 * cell.p_liquidation.values)
    np.testing.assert_allclose(points.get_ydata(), [4, 3, 2, 1, 0])
    share = 100 * cell.returned / (cell.p_liquidation / 3)
    np.testing.assert_allclose(widths(art.panels["remainder"], "#009E73"), np.maximum(share, 0), atol=1e-9)
    texts = [t.get_text() for t in art.panels["bearer"].texts]
    assert "insurance fund, then socialised loss" in texts
    assert "none on any path" in texts
    title = art.figure.get_suptitle()
    assert title == "Long at 3x for 30 days: the same position on 5 venues"


def test_compare_says_what_is_left_out_closed_and_assumed(compared: xr.Dataset) -> None:
    art = plot.compare(compared, Figure(), side="short", leverage=10)
    assert art.venues == ("deribit-btc-perpetual", "bitmex-xbtusd", "binance-usdm-btcusdt")
    said = " ".join(t.get_text() for t in art.figure.texts)
    for part in (
        "Not allowed at 10x: cme-mbt (at most 4.13x), kraken-spot-xbtusd (at most 5x).",
        "kraken-spot-xbtusd: liquidation.hazard = 0.5",
        "bitmex-xbtusd is closed. The exchange closed on 2026-09-23",
        "4,000 paths · seed 3",
        "but for kraken-spot-xbtusd",
    ):
        assert part in said, part
    assert not any("Not allowed" in t.get_text() for t in plot.compare(
        compared, Figure(), side="short", leverage=10, notes=False, title="Mine").figure.texts)  # fmt: skip


def test_compare_has_room_for_its_text(compared: xr.Dataset) -> None:
    """No label of one panel runs into the next, and nothing leaves the figure."""
    figure = Figure()
    art = plot.compare(compared, figure, side="long", leverage=3)
    renderer = FigureCanvasAgg(figure).get_renderer()
    panels = list(art.panels.values())
    for left, right in zip(panels, [*panels[1:], None], strict=True):
        edge = figure.bbox.x1 if right is None else right.get_window_extent(renderer).x0
        for text in left.texts:
            assert text.get_window_extent(renderer).x1 <= edge + 1, text.get_text()
    for text in figure.texts:
        assert text.get_window_extent(renderer).x1 <= figure.bbox.x1, text.get_text()


def test_compare_refuses_what_it_cannot_show(compared: xr.Dataset, ds: xr.Dataset) -> None:
    with pytest.raises(lq.ParameterError, match=r"holds 2 values of side; say which to show, side=\.\.\."):
        plot.compare(compared, leverage=3)
    with pytest.raises(lq.ParameterError, match=r"leverage=7 is not in the dataset; it holds 2\.0, 3\.0, 10\.0"):
        plot.compare(compared, side="long", leverage=7)
    with pytest.raises(lq.ParameterError, match="not a comparison of venues"):
        plot.compare(ds)


def test_a_cliff_ends_where_the_venue_allows_no_more(compared: xr.Dataset, ax) -> None:
    art = plot.cliff(compared.sel(side="long"), ax=ax)
    assert [line.label for line in art.lines] == list(compared.venue.values)
    for line, label in zip(art.lines, compared.venue.values, strict=True):
        allowed = compared.sel(side="long", venue=label)
        drawn = line.points.lines[0].get_xdata()
        p = allowed.p_liquidation.values
        assert drawn.tolist() == compared.leverage.values[np.nan_to_num(p) > 0].tolist()
    bars = [line for line in ax.lines if line.get_marker() == "|"]
    assert [bar.get_xdata().tolist() for bar in bars] == [[3.0], [3.0]]  # CME and Kraken spot


@pytest.fixture(scope="module")
def told() -> xr.Dataset:
    return lq.sweep(
        lq.GBM(sigma=0.8), lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], taker_fee=5e-4), leverage=[3, 10, 25],
        stop=[0.05, INF], side="long", horizon="7D", n_paths=20_000, seed=3,
        outputs=["p_liquidation_by", "p_stop_by", "p_pnl_below", "value_at_risk", "expected_shortfall"],
    )  # fmt: skip


def test_survival_draws_what_is_open_and_what_has_become_of_the_rest(told: xr.Dataset, ax) -> None:
    cell = told.sel(leverage=10, stop=0.05)
    art = plot.survival(cell, ax=ax)
    (line,) = art.lines
    days, share = line.get_data()
    is_open = 100 * (1 - cell.p_liquidation_by - cell.p_stop_by).values.ravel()
    np.testing.assert_allclose(share, [100, *is_open])
    assert days.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [area.get_label() for area in art.areas] == ["open", "stopped", "liquidated"]
    assert "10x long stop 5 %" in ax.get_title(loc="left")
    assert "[days]" in ax.get_xlabel()
    assert "[%]" in ax.get_ylabel()


def test_survival_of_several_cells(told: xr.Dataset, ax) -> None:
    art = plot.survival(told.sel(stop=INF), ax=ax)
    assert [line.get_label() for line in art.lines] == ["3x", "10x", "25x"]
    assert art.areas == ()
    assert len({line.get_color() for line in art.lines}) == 3
    ends = [line.get_ydata()[-1] for line in art.lines]
    np.testing.assert_allclose(ends, 100 * told.p_survival.sel(stop=INF).values.ravel())


def test_pnl_bars_hold_nearly_every_path(told: xr.Dataset, ax) -> None:
    art = plot.pnl(told.sel(leverage=10, stop=INF), ax=ax)
    share = sum(bar.get_height() * bar.get_width() for bar in art.bars)
    assert 99.9 < share <= 100
    tallest = max(art.bars, key=lambda bar: bar.get_height())
    assert tallest.get_x() < -10.05 < tallest.get_x() + tallest.get_width()  # margin and entry fee
    worst = told.sel(leverage=10, stop=INF, quantile=0.05).squeeze()
    assert [line.get_xdata()[0] for line in art.lines] == [-100 * worst.value_at_risk, -100 * worst.expected_shortfall]
    assert ax.get_yscale() == "log"
    assert "[% of entry notional]" in ax.get_xlabel()
    plot.pnl(told.sel(leverage=3, stop=INF).drop_vars(["value_at_risk", "expected_shortfall"]), ax=ax)


def test_shortfall_lines_end_where_no_path_lost_more(ax) -> None:
    short = lq.sweep(
        lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=45, eta_down=40),
        lq.Venue.from_tiers([(0, 1e9, 0.005, 100)]), leverage=[2, 10, 25], stop=INF, side="long", horizon="7D",
        n_paths=10_000, seed=3, outputs="p_shortfall_above",
    )  # fmt: skip
    art = plot.shortfall(short, ax=ax)
    p = short.p_shortfall_above.squeeze()
    assert [line.get_label() for line in art.lines] == [
        f"{x:g}x: {100 * float(p.sel(leverage=x)[0]):.3g} % lose more than the margin" for x in (2, 10, 25)
    ]
    for line, leverage in zip(art.lines, (2, 10, 25), strict=True):
        here = p.sel(leverage=leverage).values
        levels, drawn = line.get_data()
        np.testing.assert_allclose(levels, 100 * short.shortfall_level[: len(levels)])
        np.testing.assert_allclose(np.nan_to_num(drawn), 100 * here[: len(drawn)])
        assert not here[len(drawn) :].any()
    assert np.isnan(art.lines[0].get_ydata()).all()  # nobody at 2x
    assert ax.get_yscale() == "log"
    assert "[% of entry notional]" in ax.get_xlabel()


def test_distributions_name_what_is_wrong(told: xr.Dataset, ds: xr.Dataset, ax) -> None:
    wanted = [
        (plot.survival, "p_liquidation_by"),
        (plot.pnl, "p_pnl_below"),
        (plot.shortfall, "p_shortfall_above"),
    ]
    for draw, name in wanted:
        with pytest.raises(lq.ParameterError, match=f"ds holds no {name}; simulate with outputs="):
            draw(ds, ax=ax)
        with pytest.raises(lq.ParameterError, match=r"not an xarray\.Dataset"):
            draw(3, ax=ax)
    with pytest.raises(lq.ParameterError, match=r"quantile=0\.07 is not in the dataset; it holds 0\.01, 0\.05"):
        plot.pnl(told.sel(leverage=3, stop=INF), ax=ax, quantile=0.07)
    with pytest.raises(lq.ParameterError, match="pick one first"):
        plot.pnl(told, ax=ax)
    many = xr.concat([told, told], "notional")
    with pytest.raises(lq.ParameterError, match=r"ds holds 12 cells .* more than the 7 lines"):
        plot.survival(many, ax=ax)
