"""``liqsim venues list | show | diff``: who may trade, what must be given, and which rules differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import liqsim as lq
from liqsim.cli import main
from liqsim.errors import LiqsimError
from liqsim.study import read_study
from liqsim.venues import load_venue
from liqsim.venues.words import different_rules, rules_in_words


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["venues", *(str(a) for a in arguments)])


def row(output: str, start: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(start))


@pytest.mark.parametrize("command", ["list", "show", "diff"])
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"liqsim venues {command}" in result.output
    assert command in run("--help").output


def test_the_list_says_who_may_trade_and_what_must_be_given() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert "US persons" in result.output.splitlines()[0]
    for name in lq.list_venues():
        line = row(result.output, name)
        assert load_venue(name).product in line
        for need in load_venue(name).needs() or ("nothing",):
            assert need in line
    assert "closed" in row(result.output, "bitmex-xbtusd")
    assert "yes" in row(result.output, "cme-mbt")
    assert "n/s" in row(result.output, "kraken-spot-xbtusd")
    assert "assume(" in result.output
    assert max(map(len, result.output.splitlines())) <= 120
    rows = json.loads(run("list", "--json").output)
    spot = next(r for r in rows if r["id"] == "kraken-spot-xbtusd")
    assert (spot["needs"], spot["us_persons"]) == (["fees.taker", "liquidation.hazard"], None)
    assert next(r for r in rows if r["id"] == "cme-btc")["snapshots"] == ["2020-04-28", "2020-12-31"]


def test_figures_fit_on_a_screen() -> None:
    assert max(map(len, run().output.splitlines())) <= 130


def test_show_tells_the_new_rules() -> None:
    output = run("show", "cme-mbt").output
    assert "basis of 5.6 % a year" in row(output, "funding")
    assert row(output, "margin tested").endswith("16:00 America/Chicago, Mon to Fri")
    assert "Sat 02:00 to Sat 04:00 America/Chicago, weekly" in output
    assert row(output, "its steps").endswith("due 1D after the call")
    assert row(output, "US persons").endswith("yes")
    assert "not found: liquidation.immediate_below" in output
    assert "00:00 America/New_York, Mon to Fri" in row(run("show", "coinbase-bip").output, "funding cash")
    output = run("show", "kraken-spot-xbtusd").output
    assert row(output, "to be given").endswith("fees.taker, liquidation.hazard")
    assert "Other snapshots: 2026-03-01 (--as-of)" in run("show", "kraken-pf-xbtusd").output
    shown = json.loads(run("show", "cme-mbt", "--json").output)
    assert shown["liquidation"]["deadline"] == "1D"
    assert shown["closures"][1]["start"] == "Sat 02:00"
    assert shown["needs"] == []


def test_diff_of_two_snapshots() -> None:
    result = run("diff", "kraken-pf-xbtusd@2026-03-01", "kraken-pf-xbtusd")
    assert result.exit_code == 0
    assert "kraken-pf-xbtusd, 2026-03-01" in result.output.splitlines()[0]
    assert "one order for the whole position" in row(result.output, "liquidation ")
    assert "cut in rounds" in row(result.output, "liquidation ")
    assert "funding" not in result.output
    rules = json.loads(run("diff", "cme-btc@2020-04-28", "cme-btc", "--json").output)
    assert rules["a"] == {"id": "cme-btc", "snapshot": "2020-04-28", "hash": load_venue("cme-btc", "2020-04-28").hash}
    assert rules["rules"]["maintenance"] == {"a": "12,837 USD per contract", "b": "48,931 USD per contract"}
    assert set(rules["rules"]) == {"rules of", "maintenance"}


def test_diff_of_a_venue_and_itself() -> None:
    result = run("diff", "cme-mbt", "cme-mbt@2030-01-01")
    assert result.output == "cme-mbt, 2026-08-29 and cme-mbt, 2026-08-29 have the same rules.\n"
    assert json.loads(run("diff", "cme-mbt", "cme-mbt", "--json").output)["rules"] == {}


def test_diff_of_what_is_unknown() -> None:
    result = run("diff", "bitmx", "cme-mbt")
    assert result.exit_code == 3
    assert "did you mean 'bitmex-xbtusd'" in result.stderr
    result = run("diff", "cme-mbt", "cme-btc@lately")
    assert result.exit_code == 2
    assert "as_of='lately' is not a date" in result.stderr
    assert run("diff", "cme-mbt").exit_code == 2


@pytest.mark.parametrize("one", lq.list_venues())
def test_every_pair_can_be_laid_side_by_side(one: str) -> None:
    for other in lq.list_venues():
        found = different_rules(load_venue(one), load_venue(other))
        assert (found == {}) == (one == other)
        assert all(a != b for a, b in found.values())
    words = rules_in_words(load_venue(one))
    assert all("None" not in text and "\n" not in text for text in words.values())
    assert words["to be given"] == ", ".join(load_venue(one).needs())


def test_words_of_the_kinds_of_rule() -> None:
    def said(name: str, rule: str) -> str:
        return rules_in_words(load_venue(name))[rule]

    assert said("deribit-btc-perpetual", "maintenance") == "1 % + 0.005 % for each BTC held"
    assert said("coinbase-bip", "maintenance").startswith("intraday 10.0018 % long, 10.0001 % short (08:00 to 16:00")
    assert said("kraken-spot-xbtusd", "maintenance") == "closed at 40 %, called at 80 % of used margin"
    assert said("hyperliquid-btc", "maintenance") == "1.25 % to 150,000,000 USD, 2.5 % above 150,000,000"
    assert said("dydx-btc-usd", "maintenance") == "1.2 % at any size"
    assert said("bybit-btcusdt", "margin shape") == "each rate on its own slice, charged on the mark value"
    assert said("bybit-btcusdt", "maintenance") == "n/s"
    assert said("okx-btcusdt", "its steps") == "2 tiers at a time, from tier 3 up"
    assert said("deribit-eth-perpetual", "its steps") == "as little as is needed a round"
    assert said("deribit-btc_usdc", "liquidation fee") == "n/s"
    assert said("cme-btc", "funding") == "none"
    assert said("kraken-spot-xbtusd", "funding") == (
        "opening 0.025 % long, 0.01 % short, then 0.025 % and 0.01 % of what is borrowed every 4h"
    )
    mine = lq.Venue.from_tiers([(0, None, 0.01, 50)], funding=lq.FixedFunding(1e-4, "8h", first="1h"))
    assert rules_in_words(mine)["funding"] == "0.01 % every 8h, the first after 1h, on the mark value"


GIVEN = """
venue = ["kraken-pf-xbtusd@2026-03-01", "kraken-spot-xbtusd"]
leverage = 3
[model]
kind = "gbm"
sigma = 0.5
[assume.kraken-spot-xbtusd]
fees.taker = 0.0026
"liquidation.hazard" = 0.5
"""


def venue_of(folder: Path, text: str) -> Any:
    (folder / "study.toml").write_text(text)
    return read_study(folder / "study.toml").arguments["venue"]


def test_a_study_gives_what_no_source_states(tmp_path: Path) -> None:
    old, spot = venue_of(tmp_path, GIVEN).values()
    assert old == load_venue("kraken-pf-xbtusd", "2026-03-01")
    assert (spot.fees.taker, spot.liquidation.hazard, spot.needs()) == (0.0026, 0.5, ())
    alone = GIVEN.replace('["kraken-pf-xbtusd@2026-03-01", "kraken-spot-xbtusd"]', '"kraken-spot-xbtusd"')
    assert venue_of(tmp_path, alone) == spot


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[assume.kraken-spot-xbtusd]", "[assume.kraken-spot]", "did you mean 'kraken-spot-xbtusd'"),
        ("[assume.kraken-spot-xbtusd]", "[assume]", r"key 'fees' in \[assume\] is unknown"),
        ("fees.taker = 0.0026", "fees.takr = 0.0026", "did you mean 'fees.taker'"),
        ("fees.taker = 0.0026", "fees.taker = 26", r"taker=26 is not allowed"),
        ("fees.taker = 0.0026", "margin.max_leverage = 9", "margin.max_leverage is stated already, 5.0"),
        ("@2026-03-01", "@2020-03-01", "no snapshot on or before 2020-03-01"),
    ],
)
def test_what_a_study_cannot_give(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GIVEN
    with pytest.raises(LiqsimError, match=message):
        venue_of(tmp_path, GIVEN.replace(old, new))
