"""The report: complete, self-contained, escaped, and true to the dataset."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.report import (
    attach,
    cases,
    closed_form_check,
    leverage_limits,
    load_result,
    risk_table,
    save_result,
    venue_table,
    write_report,
)
from liqsim.report.tables import plus_minus, probability, some

INF = float("inf")
PRESET = "btc-2025"


@pytest.fixture(scope="module")
def bare() -> xr.Dataset:
    return lq.sweep(
        lq.presets.model(PRESET),
        ["binance-usdm-btcusdt", "bitmex-xbtusd"],
        leverage=[2, 5, 10, 25],
        stop=[0.02, 0.05, INF],
        notional=100_000,
        n_paths=4000,
        seed=3,
    )


@pytest.fixture(scope="module")
def full(bare: xr.Dataset) -> xr.Dataset:
    fits = {name: lq.presets.fit(PRESET, name) for name in ("gbm", "merton", "kou")}
    check = closed_form_check(fits["kou"].model_with(drift=0.0), "7D", n_paths=4000, seed=1)
    return attach(
        bare, counts=lq.presets.counts(PRESET), fits=fits, check=check, notes=["A note with <i>marks</i> & signs"]
    )


@pytest.fixture(scope="module")
def html(full: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(tmp_path_factory.mktemp("report") / "report.html", full).read_text("utf-8")


class Tags(HTMLParser):
    """Balanced tags, attributes and visible text of a page."""

    EMPTY = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)


def parse(html: str) -> Tags:
    page = Tags()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_it_is_one_file_that_loads_nothing(html: str) -> None:
    page = parse(html)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "data", "action", "poster"):
            assert value.startswith(("data:image/png;base64,", "#")), (tag, name, value[:60])
    assert {tag for tag, _, _ in page.attributes} & {"script", "link", "iframe", "object"} == set()
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


def test_images_are_whole_pngs(html: str) -> None:
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(images) == 6  # cliff, two venues x two sides, returns
    for image in images:
        png = base64.b64decode(image, validate=True)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert png[-8:-4] == b"IEND"


def test_it_holds_what_an_analyst_asks_for(html: str, full: xr.Dataset) -> None:
    text = re.sub(r"\s+", " ", " ".join(parse(html).texts))
    for part in (
        "binance-usdm-btcusdt, long",
        "bitmex-xbtusd, short",
        "Without a stop",
        "With a stop at 5 %",
        "How much leverage is too much?",
        "p_up",
        "AIC",
        "Largest |z|",
        "instruction set",
        "seed 3",
        "rules of 2024-10-24",
        "The exchange closed on 2026-09-23",
        "from memory, unconfirmed",
        "btcusdt_binance_mark_last_spot_1h_2025_01_09.csv.gz",
        "counted in coin",
        "USD and USDT are taken at par",
    ):
        assert part in text, part
    for venue in ("binance-usdm-btcusdt", "bitmex-xbtusd"):
        assert lq.load_venue(venue).hash in text
    cell = full.sel(venue="bitmex-xbtusd", side="long", leverage=10, stop=INF)
    value, se = plus_minus(float(cell["p_liquidation"]), float(cell["p_liquidation_se"]), 100)
    assert f"{value} ± {se}" in text
    assert f"{float(cell['liquidation_price']):,.0f}" in text


def test_the_record_in_the_page_is_the_provenance(html: str, full: xr.Dataset) -> None:
    shown = next(text for text in parse(html).texts if text.lstrip().startswith('{\n "schema"'))
    assert json.loads(shown) == json.loads(full.attrs["provenance"])


def test_everything_is_escaped(bare: xr.Dataset, tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    venue = lq.Venue.from_tiers([(0, 1e7, 0.005, 100)], name=f"mine {evil}")
    ds = lq.sweep({evil: lq.GBM(sigma=0.6)}, {evil: venue}, leverage=[5, 10], stop=[0.1, INF], n_paths=1000)
    ds = attach(ds, notes=[evil])
    html = write_report(tmp_path / "r.html", ds, title=evil).read_text("utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    parse(html)


def test_a_sweep_without_calibration_makes_a_shorter_report(bare: xr.Dataset, tmp_path: Path) -> None:
    html = write_report(tmp_path / "r.html", bare).read_text("utf-8")
    parse(html)
    assert "The price model" not in html
    assert "Does the simulation hit" not in html
    assert "Without a stop" in html


def test_report_of_a_file_equals_report_of_the_dataset(full: xr.Dataset, html: str, tmp_path: Path) -> None:
    back = load_result(save_result(full, tmp_path / "result.nc"))
    assert write_report(tmp_path / "report.html", back).read_text("utf-8") == html


def test_a_grid_of_models_horizons_and_one_leverage(tmp_path: Path) -> None:
    ds = lq.sweep(
        {"calm": lq.GBM(sigma=0.3), "wild": lq.GBM(sigma=1.2)},
        lq.load_venue("kraken-pf-xbtusd").assume({"liquidation.fee_rate": 0.004}),
        leverage=10,
        stop=0.05,
        side="short",
        horizon=["1D", "7D"],
        notional=[1e4, 1e5],
        n_paths=1000,
        monitoring="1h",
    )
    html = write_report(tmp_path / "r.html", ds).read_text("utf-8")
    parse(html)
    assert "<img" not in html
    assert "kraken-pf-xbtusd · calm · 10,000 · 1 day" in html
    assert "every 3600 s" in html
    assert "kraken-pf-xbtusd: liquidation.fee_rate = 0.004 is assumed, no source states it." in html
    labels = [label for label, _ in cases(ds)]
    assert len(labels) == len(set(labels)) == 8


def test_what_is_not_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lq.ParameterError, match=r"not the result of liqsim\.sweep"):
        write_report(tmp_path / "r.html", xr.Dataset())
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_simulation_would_be_called_out(full: xr.Dataset, tmp_path: Path) -> None:
    row = closed_form_check(lq.GBM(sigma=0.5), "7D", leverage=[10], n_paths=1000)[0]
    html = write_report(tmp_path / "r.html", full, check=[row._replace(z=7.0)]).read_text("utf-8")
    assert "do not use these numbers" in html


@pytest.mark.parametrize("model", [lq.GBM(sigma=0.6), lq.presets.model(PRESET, "merton"), lq.presets.model(PRESET)])
def test_closed_form_check_agrees(model: lq.GBM) -> None:
    rows = closed_form_check(model, "7D", leverage=[5, 10, 25], n_paths=20_000, seed=11)
    assert len(rows) == 6
    for row in rows:
        exact = lq.analytic.first_passage_probability(model, row.level, "7D")
        assert row.exact == pytest.approx(exact, rel=1e-9)
        assert abs(row.z) < 4.5, row


def test_risk_table_holds_the_cells(bare: xr.Dataset) -> None:
    rows = risk_table(bare)
    assert len(rows) == 2 * 2 * 4
    for row in rows:
        cell = bare.sel(venue=row.case, side=row.side, leverage=row.leverage, stop=row.stop)
        assert row.liquidation_price == float(cell["liquidation_price"])
        for name, value in row.values.items():
            assert value == float(cell[name])
            assert row.errors[name] == float(cell[f"{name}_se"])
    with pytest.raises(lq.ParameterError, match="leverage=3 is not in the dataset; it holds 2, 5, 10, 25"):
        risk_table(bare, leverage=[3])


def test_leverage_limits_stop_at_the_first_excess(bare: xr.Dataset) -> None:
    p = bare["p_liquidation"].copy()
    p[...] = 0.0
    p.loc[{"leverage": 5, "side": "long"}] = 0.5
    p.loc[{"leverage": [2, 5, 10, 25], "side": "short"}] = 0.5
    rows = leverage_limits(bare.assign(p_liquidation=p), [0.01, 0.5])
    assert [row["limits"] for row in rows] == [[2.0, 25.0], [None, 25.0]] * 2


def test_some_picks_from_the_grid() -> None:
    assert some([0.01, 0.05, INF], [0.05, INF]) == [0.05, INF]
    assert some([0.01, 0.04, 0.1], [0.05, INF]) == [0.04, 0.1]
    assert some([7.0], [3, 5]) == [7.0]
    assert some(np.array([50.0, 2, 3]), [2.4]) == [2.0]


@pytest.mark.parametrize(
    ("value", "se", "factor", "digits", "texts"),
    [
        (0.44397, 0.00049, 100, 12, ("44.40", "0.05")),
        (0.5, 0.0099, 100, 12, ("50.0", "1.0")),
        (12345.0, 321.0, 1, 12, ("12345", "321")),
        (1.0, 0.0, 1, 12, ("1.000", "")),
        (1.0, float("nan"), 1, 12, ("1.000", "")),
        (10.0004, 0.002, 1, 1, ("10.0", "")),
        (-0.3, 0.012, 1, 12, ("-0.300", "0.012")),
    ],
)
def test_digits_follow_the_error(value: float, se: float, factor: float, digits: int, texts: tuple[str, str]) -> None:
    assert plus_minus(value, se, factor, digits) == texts


def test_probabilities_at_the_ends_are_bounds() -> None:
    assert probability(0.0, 0.0, 10_000) == ("<0.03", "")
    assert probability(1.0, 0.0, 10_000) == (">99.97", "")


@pytest.fixture(scope="module")
def compared() -> xr.Dataset:
    return lq.compare_venues(
        lq.presets.model(PRESET),
        leverage=[2, 3, 5, 10],
        price=77_835,
        notional=100_000,
        assume={"coinbase-bip": {"margin.maintenance_share": 0.8}},
        n_paths=2000,
        seed=3,
    )


def said(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(parse(html).texts))


def test_a_comparison_has_its_own_report(compared: xr.Dataset, tmp_path: Path) -> None:
    html = write_report(tmp_path / "r.html", compared).read_text("utf-8")
    text = said(html)
    for part in (
        "The same leverage, venue by venue",
        "on 8 venues",
        "long, 3×, no stop",
        "long, 10×, no stop",
        "Left out: kraken-pf-xbtusd, no source states liquidation.fee_rate",
        "Assumed, for no source states it: coinbase-bip: margin.maintenance_share = 0.8.",
        "bitmex-xbtusd is closed. The exchange closed on 2026-09-23",
        "insurance fund, then socialised loss",
        "a loss beyond the margin is borne by",
        "by its own procedure",
        "Margin calls are not met",
    ):
        assert part in text, part
    assert all(str(why) in text for why in compared.why.values)
    assert "How much leverage is too much?" not in text
    assert len(re.findall(r"<img", html)) == 2
    cell = compared.sel(venue="cme-mbt", leverage=3)
    value, se = plus_minus(float(cell.p_liquidation), float(cell.p_liquidation_se), 100)
    assert f"{value} ± {se}" in text
    saved = load_result(save_result(compared, tmp_path / "c.nc"))
    assert write_report(tmp_path / "again.html", saved).read_text("utf-8") == html


def test_a_sweep_and_a_comparison_share_a_page(full: xr.Dataset, compared: xr.Dataset, tmp_path: Path) -> None:
    html = write_report(tmp_path / "r.html", full, comparison=compared).read_text("utf-8")
    text = said(html)
    assert "How much leverage is too much?" in text
    assert "The same leverage, venue by venue" in text
    assert len(re.findall(r"<img", html)) == 6 + 2
    with pytest.raises(lq.ParameterError, match=r"comparison is not the result of liqsim\.compare_venues"):
        write_report(tmp_path / "r.html", full, comparison=full)


def test_closed_venues_are_noted_at_the_top(html: str) -> None:
    top = html.split("<section>")[0]
    assert "bitmex-xbtusd is closed. The exchange closed on 2026-09-23 04:00 UTC" in top


def test_venue_rows_hold_the_cells(compared: xr.Dataset, full: xr.Dataset) -> None:
    rows = venue_table(compared)
    assert len(rows) == int(compared.is_allowed.sum())
    for row in rows:
        cell = compared.sel(venue=row.venue, leverage=row.leverage)
        assert row.liquidation_price == float(cell["liquidation_price"])
        assert row.move == pytest.approx(row.liquidation_price / 77_835 - 1)
        assert (row.side, row.stop, row.bearer) == ("long", INF, str(cell.bearer.values))
        for name, value in row.values.items():
            assert value == float(cell[name])
        if row.values["p_liquidation"] > 0:
            assert row.back[0] == pytest.approx(float(cell.returned) * row.leverage / row.values["p_liquidation"])
    with pytest.raises(lq.ParameterError, match="not a comparison of venues"):
        venue_table(full)


def test_the_error_of_what_is_handed_back_is_the_spread_over_seeds() -> None:
    """Of a ratio of means: over 60 seeds it agrees with the formula to the sixth that 60 seeds can tell."""
    found = []
    for seed in range(60):
        ds = lq.compare_venues(lq.GBM(0.8), ["cme-mbt"], leverage=3, price=77_835, n_paths=1024, seed=seed)
        found.append(venue_table(ds)[0].back)
    values, errors = np.array(found).T
    assert values.std(ddof=1) == pytest.approx(errors.mean(), rel=4 * np.sqrt(1 / (2 * 59)))
