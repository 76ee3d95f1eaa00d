"""``liqsim venues import``: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import liqsim as lq
from liqsim.cli import main
from liqsim.positions import liquidation_price
from liqsim.venues.files import read_venue

CSV = """symbol,floor,cap,maintenance_rate,max_leverage,maintenance_amount
BTC/USDT:USDT,0,50000,0.004,125,0
BTC/USDT:USDT,50000,600000,0.005,100,50
BTC/USDT:USDT,600000,3000000,0.0065,75,950
ETH/USD:ETH,0,100,0.01,50,0
ETH/USD:ETH,100,500,0.02,25,1
"""
BTC = ("--symbol", "BTC/USDT:USDT")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["venues", "import", *[str(a) for a in arguments]])


@pytest.fixture
def tiers(tmp_path: Path) -> Path:
    path = tmp_path / "tiers.csv"
    path.write_text(CSV)
    return path


def test_help_is_there_for_a_newcomer() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "liqsim venues import binance_leverage_tiers.json --symbol" in result.output
    assert "import" in CliRunner().invoke(main, ["venues", "--help"]).output


def test_tiers_and_an_example_are_printed(tiers: Path) -> None:
    result = run(tiers, *BTC)
    assert result.exit_code == 0, result.output
    assert "BTC/USDT:USDT (btcusdt), linear, settled in USDT" in result.output
    row = next(line for line in result.output.splitlines() if line.startswith("3 "))
    assert row.split() == ["3", "600,000", "3,000,000", "0.65", "%", "950", "75x"]
    assert "marginal: each rate on its slice" in result.output
    # 25,000 USDT at 100, 10x: (2,500 - 25,000) / (250 (0.004 - 1))
    assert "long 25,000 USDT at 100 USDT, 10x isolated: liquidation at 90.3614 USDT (-9.639 %)" in result.output
    assert "Not in the file: fees.taker, fees.maker, funding." in result.output


def test_the_example_is_ones_own(tiers: Path) -> None:
    options = ("--side", "short", "--entry", 60_000, "--notional", 500_000, "--leverage", 2, "--taker-fee", 0.0005)
    values = json.loads(run(tiers, *BTC, *options, "--json").output)
    assert values["written"] is None
    assert values["venue"]["fees"]["taker"] == 0.0005
    # tier 3 at the liquidation price, tier 2 at entry: (250,000 + 950 + 500,000) / (q (1 + 0.0065))
    assert values["example"]["liquidation_price"] == pytest.approx(750_950 / (500_000 / 60_000 * 1.0065), rel=1e-12)
    too_high = run(tiers, *BTC, "--notional", 700_000, "--leverage", 100)
    assert too_high.exit_code == 2
    assert "leverage=100.0 exceeds 75.0 allowed for notional 700000 USDT (tier 3 of btcusdt)" in too_high.stderr


def test_sizes_in_coin_need_a_price_for_the_example(tiers: Path) -> None:
    options = ("--symbol", "ETH/USD:ETH", "--unit", "base")
    assert "No example of a position: give --entry" in run(tiers, *options).output
    result = run(tiers, *options, "--entry", 3000)
    assert "long 150,000 USD at 3,000 USD, 10x isolated: liquidation at" in result.output
    assert "from [ETH]" in result.output


def test_a_file_that_sweep_takes(tiers: Path, tmp_path: Path) -> None:
    out = tmp_path / "my-venue.toml"
    result = run(tiers, *BTC, "--snapshot", "2024-10-24", "--taker-fee", 0.0005, "--name", "my-venue", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"Written: {out}" in result.output
    venue = read_venue(out)
    assert (venue.id, str(venue.snapshot), venue.fees.taker) == ("my-venue", "2024-10-24", 0.0005)
    source = next(s for s in venue.sources if "margin.tiers" in s.covers)
    assert (source.origin, source.as_of) == ("tiers.csv", "2024-10-24")
    assert hashlib.sha256(tiers.read_bytes()).hexdigest() in source.note
    position = {"entry_price": 60_000, "quantity": 1, "leverage": 10}
    assert liquidation_price(venue, **position) == liquidation_price(lq.load_venue("binance-usdm-btcusdt"), **position)

    config = tmp_path / "grid.toml"
    config.write_text(
        'venue = "my-venue.toml"\nleverage = [10, 50]\nn_paths = 2000\nseed = 4\n[model]\nkind = "gbm"\nsigma = 0.6\n'
    )
    done = CliRunner().invoke(main, ["sweep", str(config), "--out", str(tmp_path / "r.nc"), "--no-progress"])
    assert done.exit_code == 0, done.output
    assert "my-venue" in done.output


def test_files_are_not_replaced_unless_told(tiers: Path, tmp_path: Path) -> None:
    out = tmp_path / "my.toml"
    out.write_text("mine")
    options = (tiers, *BTC, "--snapshot", "2024-10-24", "--out", out)
    result = run(*options)
    assert result.exit_code == 2
    assert "exists; give another name, or overwrite=True (--force)" in result.stderr
    assert out.read_text() == "mine"
    assert run(*options, "--force").exit_code == 0
    assert read_venue(out).id == "btcusdt"


def test_a_date_is_asked_for_not_guessed(tiers: Path, tmp_path: Path) -> None:
    result = run(tiers, *BTC, "--out", tmp_path / "my.toml")
    assert result.exit_code == 2
    assert "tiers.csv does not tell of which day its tiers are; give --snapshot YYYY-MM-DD" in result.stderr
    assert not (tmp_path / "my.toml").exists()


def test_cached_json_brings_its_own_date(tmp_path: Path) -> None:
    row = {"minNotional": 0, "maxNotional": None, "maintenanceMarginRate": 0.01, "maxLeverage": 50}
    value = {"updated": "2026-09-17T08:00:00+00:00", "data": {"BTC/USDT:USDT": [row]}}
    path = tmp_path / "leverage_tiers_USDT.json.gz"
    path.write_bytes(gzip.compress(json.dumps(value).encode()))
    result = run(path, "--out", tmp_path / "my.toml")
    assert result.exit_code == 0, result.output
    assert "rules of 2026-09-17" in result.output
    assert "[10, or" not in result.output
    assert "long 10,000 USDT at 100 USDT, 10x" in result.output


def test_contracts_need_their_size(tmp_path: Path) -> None:
    path = tmp_path / "okx.csv"
    path.write_text("floor,cap,maintenance_rate,max_leverage\n0,2000,0.01,75\n2001,4000,0.015,50\n")
    options = (path, "--symbol", "ETH/USDT:USDT", "--unit", "contracts", "--shape", "whole-position")
    result = run(*options)
    assert result.exit_code == 3
    assert "give contract_size, the ETH of one contract" in result.stderr
    result = run(*options, "--contract-size", 0.1, "--entry", 3000)
    assert "one rate on the whole position" in result.output
    assert "long 300,000 USDT at 3,000 USDT, 10x isolated" in result.output  # half of 2,000 contracts of 0.1 ETH


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 3, "tiers.csv holds BTC/USDT:USDT, ETH/USD:ETH; say which, symbol='BTC/USDT:USDT'"),
        (("--symbol", "BTCUSDT"), 3, "did you mean 'BTC/USDT:USDT'?"),
        (("--symbol", "ETH/USD:ETH"), 3, 'give unit="quote", "base" or "contracts"'),
        ((*BTC, "--shape", "whole-position"), 3, "contradicts the maintenance amounts"),
        ((*BTC, "--contract", "inverse"), 2, "contract='inverse' contradicts symbol="),
        ((*BTC, "--snapshot", "today"), 2, "snapshot='today' is not a date"),
        ((*BTC, "--shape", "steps"), 2, "Invalid value for '--shape'"),
    ],
)
def test_refusals(tiers: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = run(tiers, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""


def test_a_broken_row_is_named(tiers: Path) -> None:
    tiers.write_text(CSV.replace("50000,600000,0.005", "50000,600000,0.5%"))
    result = run(tiers, *BTC)
    assert result.exit_code == 3
    assert "tiers.csv: BTC/USDT:USDT, line 3: maintenance_rate='0.5%' is a percentage; write the fraction 0.005" in (
        result.stderr
    )
    missing = run(tiers.with_name("none.csv"))
    assert missing.exit_code == 3
    assert "cannot be read: No such file or directory" in missing.stderr
