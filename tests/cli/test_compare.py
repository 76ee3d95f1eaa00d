"""``liqsim venues compare``: the table, the reasons, the files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray as xr
from click.testing import CliRunner, Result

import liqsim as lq
from liqsim.cli import main
from liqsim.report import load_result

COMMON = ["--leverage", "3", "--price", "77835", "--paths", "1024", "--seed", "3", "--horizon", "7D", "--no-progress"]
ASSUMED = ["--assume", "coinbase-bip:margin.maintenance_share=0.8"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["venues", "compare", *[str(a) for a in arguments]])


@pytest.fixture(scope="module")
def wanted() -> xr.Dataset:
    return lq.compare_venues(
        lq.presets.model("btc-2025", drift=0.0),
        leverage=3,
        price=77_835,
        horizon="7D",
        n_paths=1024,
        seed=3,
        assume={"coinbase-bip": {"margin.maintenance_share": 0.8}},
    )


def test_it_prints_the_table_the_reasons_and_what_is_left_out(wanted: xr.Dataset) -> None:
    result = run(*COMMON, *ASSUMED)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for label in wanted.venue.values:
        cell = wanted.sel(venue=label)
        row = next(line for line in lines if line.startswith(str(label)))
        assert f"{float(cell.liquidation_price):,.0f}" in row
        assert row.endswith(str(cell.bearer.values))
    text = " ".join(result.stdout.split())
    for label, why in zip(wanted.venue.values, wanted.why.values, strict=True):
        assert f"{label}: {why}" in text
    for part in (
        "long, 3x, no stop",
        "Why they differ",
        "Left out: kraken-pf-xbtusd, no source states liquidation.fee_rate; kraken-spot-xbtusd, no source states fees",
        "Assumed, for no source states it: coinbase-bip: margin.maintenance_share = 0.8.",
        "bitmex-xbtusd (closed)",
        "seed 3",
    ):
        assert part in text, part


def test_json_holds_the_same_numbers(wanted: xr.Dataset) -> None:
    shown = json.loads(run(*COMMON, *ASSUMED, "--json").stdout)
    assert [row["venue"] for row in shown["rows"]] == wanted.venue.values.tolist()
    for row in shown["rows"]:
        cell = wanted.sel(venue=row["venue"])
        for name in ("p_liquidation", "funding_cost", "pnl", "shortfall"):
            assert row[name] == float(cell[name])
            assert row[f"{name}_se"] == float(cell[f"{name}_se"])
    assert set(shown["left_out"]) == {"kraken-pf-xbtusd", "kraken-spot-xbtusd", "bybit-btcusdt", "okx-btcusdt"}
    assert shown["written"] == []


def test_it_writes_the_dataset_and_pictures(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    given = ["bitmex-xbtusd", "cme-mbt", "--leverage", 2, "--leverage", 10, "--side", "long", "--side", "short"]
    result = run(*given, "--paths", 1024, "--out", out, "--no-progress", "--premium", "1e-4 15h 3e-4", "--stop", 0.2)
    assert result.exit_code == 0, result.output
    names = ["compare.nc", "venues_long.png", "venues_long_cliff.png", "venues_short.png", "venues_short_cliff.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    ds = load_result(out / "compare.nc")
    assert ds.p_liquidation.dims == ("venue", "side", "leverage")
    assert float(ds.stop) == 0.2
    assert "short, 2x, stop at 20 %" in result.stdout
    assert "cme-mbt" not in result.stdout.split("long, 10x")[1].split("short, 2x")[0]
    page = CliRunner().invoke(main, ["report", str(out / "compare.nc")])
    assert page.exit_code == 0, page.output
    assert "Why they differ" in (out / "report.html").read_text("utf-8")


def test_a_start_and_a_top_up_count() -> None:
    given = ["coinbase-bip", *ASSUMED, "--leverage", 9, "--horizon", "2h", "--paths", 1024, "--no-progress", "--json"]
    row = json.loads(run(*given, "--start", "2026-03-04T20:30Z").stdout)["rows"][0]
    assert row["p_liquidation"] == 1.0  # at 16:00 New York the overnight margin begins
    assert run(*given, "--start", "2026-03-04T02:00Z").exit_code == 2
    call = ["cme-mbt", "--leverage", 3, "--price", 77_835, "--paths", 2048, "--no-progress", "--json"]
    paid, unpaid = (json.loads(run(*call, "--top-up", x).stdout)["rows"][0]["p_liquidation"] for x in (0.3, 0))
    assert paid < unpaid


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (["--leverage", 0], 2, "leverage=0 is not allowed"),
        (["coinbase-bip", "--leverage", 3], 3, "no source states margin.maintenance_share"),
        (["bitmx", "--leverage", 3], 3, "did you mean 'bitmex-xbtusd'"),
        (["--leverage", 3, "--assume", "coinbase-bip=0.8"], 2, "give ID:NAME=VALUE, such as coinbase-bip:margin"),
        (["--leverage", 3, "--assume", "coinbse-bip:maintenance_share=0.8"], 2, "did you mean 'coinbase-bip'"),
        (
            ["--leverage", 3, "--assume", "coinbase-bip:maintenance_shre=0.8"],
            3,
            "did you mean 'margin.maintenance_share'",
        ),
        (["--leverage", 3, "--assume", "coinbase-bip:maintenance_share=much"], 2, "maintenance_share='much'"),
        (["--leverage", 3, "--model", "btc-2025"], 2, 'give "preset NAME" or "preset NAME KIND"'),
        (["--leverage", 3, "--model", "preset btc-2026"], 2, "preset 'btc-2026' is unknown; did you mean"),
        (["--leverage", 3, "--premium", "1e-4"], 2, 'give "MEAN HALF_LIFE VOL"'),
        (["--leverage", 3, "--horizon", "30"], 2, "horizon='30'"),
        (["cme-mbt", "--leverage", 20], 2, "no venue can be simulated; cme-mbt: leverage=20.0 exceeds"),
    ],
)
def test_it_refuses(given: list[object], code: int, message: str) -> None:
    result = run(*given, "--paths", 100, "--no-progress")
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_help_shows_examples() -> None:
    text = run("--help").output
    assert "liqsim venues compare --leverage 3" in text
    assert "compare" in CliRunner().invoke(main, ["venues", "--help"]).output
