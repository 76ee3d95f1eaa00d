import dataclasses
import datetime as dt
import json

import msgspec
import numpy as np
import pytest

import liqsim
from liqsim.errors import MarginRuleError, ParameterError, VenueDataError
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price
from liqsim.venues import Venue, list_venues, load_venue
from liqsim.venues.files import read_venue
from liqsim.venues.plain import venue_from_dict
from liqsim.venues.registry import _DATA
from liqsim.venues.venue import CONFIDENCE
from liqsim.venues.words import different_rules, why_in_words

FILES = sorted(_DATA.glob("*.toml"))
NAMED = {
    "binance-usdm-btcusdt", "bitmex-xbtusd", "bybit-btcusdt", "cme-btc", "cme-mbt", "coinbase-bip",
    "coinbase-etp", "deribit-btc-perpetual", "deribit-btc_usdc", "deribit-eth-perpetual", "dydx-btc-usd",
    "hyperliquid-btc", "kraken-pf-xbtusd", "kraken-pi-ethusd", "kraken-pi-xbtusd", "kraken-spot-xbtusd", "okx-btcusdt",
}  # fmt: skip


def numbers(value, path):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_number_has_a_source_and_a_confidence(path):
    venue = read_venue(path)
    assert f"{venue.id}_{venue.snapshot.isoformat()}" == path.stem
    sources = {field: source for source in venue.sources for field in source.covers}
    raw = msgspec.toml.decode(path.read_bytes())
    for name in set(numbers({k: v for k, v in raw.items() if k != "sources"}, "")):
        section, field = name.split(".")[:2]
        source = sources[f"{section}.{field}"]
        assert source.origin
        assert source.as_of
        assert source.confidence in CONFIDENCE


def test_the_list():
    names = list_venues()
    assert names == sorted(names)
    assert set(names) == NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_descriptions_are_json_and_hashed(name):
    venue = load_venue(name)
    assert load_venue(name) is venue
    again = json.loads(json.dumps(venue.to_dict(), allow_nan=False))
    assert again["id"] == name
    assert len(venue.hash) == 64
    assert dataclasses.replace(venue, name="other").hash != venue.hash
    assert dataclasses.replace(venue).hash == venue.hash
    with pytest.raises(dataclasses.FrozenInstanceError):
        venue.name = "other"


@pytest.mark.parametrize(
    "name",
    [
        "binance-usdm-btcusdt",
        "bitmex-xbtusd",
        "hyperliquid-btc",
        "kraken-pf-xbtusd",
        "kraken-pi-xbtusd",
        "dydx-btc-usd",
    ],
)
@pytest.mark.parametrize("side", ["long", "short"])
def test_lines_and_prices_of_the_shipped_venues_agree(name, side):
    venue = load_venue(name)
    notional, price, leverage = 1e5, 6e4, 10.0
    venue.check(leverage, notional, price, side)
    slopes, intercepts = venue.maintenance_lines(notional, price, side)
    q = float(venue.contract.quantity(notional, price))
    found = liquidation_price(venue, side, entry_price=price, quantity=q, leverage=leverage)
    w = found / price if venue.contract.kind == "linear" else price / found
    equity = 1 / leverage + venue.contract.direction(side) * (w - 1)
    assert equity == pytest.approx(max(slopes * w + intercepts), rel=1e-9)
    bankrupt = bankruptcy_price(venue, side, entry_price=price, quantity=q, leverage=leverage)
    assert bankrupt < found < price if side == "long" else price < found < bankrupt


def test_unknown_venue_suggests_what_was_meant():
    with pytest.raises(VenueDataError, match=r"venue 'bitmx' is unknown; did you mean 'bitmex-xbtusd'\? list_venues"):
        load_venue("bitmx")
    for name in ("BitMEX", "BITMEX_XBTUSD"):
        with pytest.raises(VenueDataError, match=rf"venue '{name}' is unknown; did you mean 'bitmex-xbtusd'"):
            load_venue(name)
    with pytest.raises(VenueDataError, match="venue 'zzzzzzzzzzzz' is unknown; list_venues"):
        load_venue("zzzzzzzzzzzz")


def test_snapshots_by_date():
    old, new = load_venue("kraken-pf-xbtusd", as_of="2026-03-01"), load_venue("kraken-pf-xbtusd")
    assert (old.liquidation.procedure, new.liquidation.procedure) == ("zero-equity-order", "incremental")
    assert (old.needs(), new.needs()) == ((), ("liquidation.fee_rate",))
    assert load_venue("kraken-pf-xbtusd", as_of=dt.date(2030, 1, 1)) is new
    assert load_venue("cme-btc", "2020-06-01").margin.maintenance_per_contract == 12_837.0
    assert load_venue("kraken-pf-xbtusd@2026-03-01") is old
    with pytest.raises(ParameterError, match="as_of='2026-01-01' is given twice, with cme-btc@2020-06-01 as well"):
        load_venue("cme-btc@2020-06-01", "2026-01-01")
    with pytest.raises(ParameterError, match="as_of='' is not a date"):
        load_venue("cme-btc@")
    with pytest.raises(VenueDataError, match="no snapshot on or before 2001-01-01; the first is of"):
        load_venue("cme-btc", "2001-01-01")
    with pytest.raises(ParameterError, match="as_of='yesterday' is not a date"):
        load_venue("cme-btc", "yesterday")


# Section 8 of the comparison of venues: what the trader keeps, who bears a loss, whether US persons may trade.
PROCEDURES = {
    "binance-usdm-btcusdt": ("tier-down", "kept-minus-fee", "venue", False),
    "bitmex-xbtusd": ("tier-down", "none", "venue", False),
    "bybit-btcusdt": ("takeover", "none", "venue", False),
    "cme-btc": ("margin-call", "kept", "client", True),
    "cme-mbt": ("margin-call", "kept", "client", True),
    "coinbase-bip": ("market", "kept", "client", True),
    "coinbase-etp": ("market", "kept", "client", True),
    "deribit-btc-perpetual": ("incremental", "kept-minus-fee", "venue", False),
    "deribit-btc_usdc": ("incremental", "kept-minus-fee", "venue", False),
    "deribit-eth-perpetual": ("incremental", "kept-minus-fee", "venue", False),
    "dydx-btc-usd": ("incremental", "kept-minus-fee", "venue", False),
    "hyperliquid-btc": ("incremental", "kept", "venue", False),
    "kraken-pf-xbtusd": ("incremental", "kept-minus-fee", "venue", False),
    "kraken-pi-ethusd": ("zero-equity-order", "kept", "venue", False),
    "kraken-pi-xbtusd": ("zero-equity-order", "kept", "venue", False),
    "kraken-spot-xbtusd": ("discretionary", "kept", "client", None),
    "okx-btcusdt": ("tier-down", "kept-minus-fee", "venue", False),
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_procedures_and_who_may_trade(name):
    venue = load_venue(name)
    rule = venue.liquidation
    assert (rule.procedure, rule.residual, rule.deficit, venue.us_persons) == PROCEDURES[name]
    assert rule.bearers
    assert (rule.bearers == ("client",)) == (rule.deficit == "client")


def test_sizes_and_fees_of_the_procedures():
    assert load_venue("binance-usdm-btcusdt").liquidation.fee_rate == 0.0125
    okx = load_venue("okx-btcusdt").liquidation
    assert (okx.tiers_per_step, okx.steps_from_tier) == (2, 3)
    assert load_venue("deribit-btc-perpetual").liquidation.fee_rate == 0.0075
    assert load_venue("deribit-eth-perpetual").liquidation.fee_rate == 0.009
    assert load_venue("deribit-btc-perpetual").liquidation.step_fraction is None
    hyperliquid = load_venue("hyperliquid-btc").liquidation
    assert (hyperliquid.step_fraction, hyperliquid.step_threshold, hyperliquid.cooldown) == (0.2, 1e5, 30.0)
    assert hyperliquid.backstop_fraction == pytest.approx(2 / 3)
    dydx = load_venue("dydx-btc-usd").liquidation
    assert (dydx.step_fraction, dydx.step_threshold, dydx.fee_rate) == (0.1, 1000.0, 0.015)
    assert load_venue("cme-mbt").liquidation.deadline_days == 1.0
    assert load_venue("cme-mbt").liquidation.immediate_below is None


def test_ether_contracts():
    # Deribit: 2 % + 0.0004 % and 1 % + 0.0004 % per ETH since 2022-01-11; 1 USD contracts, tick 0.05
    deribit = load_venue("deribit-eth-perpetual")
    assert float(deribit.margin.maintenance(1000.0)) == pytest.approx(0.014 * 1000)
    assert float(deribit.margin.initial(1000.0)) == pytest.approx(0.024 * 1000)
    assert (deribit.contract.multiplier, deribit.contract.tick, deribit.contract.settlement) == (1.0, 0.05, "ETH")
    # Coinbase: 0.10 ETH, tick 0.50; overnight 24.53 % long, 33.48 % short
    coinbase = load_venue("coinbase-etp")
    assert (coinbase.contract.multiplier, coinbase.contract.tick) == (0.1, 0.5)
    assert float(coinbase.max_leverage(1e4, 4000.0, "short")) == pytest.approx(1 / 0.3348)
    # Kraken: bounds of 0.25, 0.5, 2, 5, 8, 15 and 30 million contracts, the rates of bitcoin
    kraken, bitcoin = load_venue("kraken-pi-ethusd"), load_venue("kraken-pi-xbtusd")
    assert [t.cap / 1e6 for t in kraken.margin.tiers[:-1]] == [0.25, 0.5, 2, 5, 8, 15, 30]
    assert [t[2:] for t in kraken.margin.tiers] == [t[2:] for t in bitcoin.margin.tiers]


@pytest.mark.parametrize(("date", "rate"), [("2020-04-17", 0.0045), ("2020-05-05", 0.004), ("2024-11-24", 0.005)])
def test_bitmex_lowered_its_maintenance_margin_in_2020(date, rate):
    venue = load_venue("bitmex-xbtusd", date)
    assert venue.snapshot.isoformat() == date
    assert [t.maintenance_rate for t in venue.margin.tiers[:2]] == pytest.approx([rate, 2 * rate])
    assert 1 / venue.margin.tiers[1].max_leverage == pytest.approx(0.01 + rate)
    assert venue.margin.tiers[1].cap == (300.0 if date < "2021-08-31" else 350.0)
    assert venue.funding.cap == pytest.approx(0.75 * (0.01 - rate))
    assert venue.funding.change_cap == pytest.approx(0.75 * rate)
    assert (venue.contract.tick, venue.contract.lot) == ((0.5, None) if date < "2024" else (0.1, 100.0))


def test_new_rules_are_in_the_description_and_in_the_hash():
    venue = load_venue("cme-mbt")
    told = venue.to_dict()
    assert told["us_persons"] is True
    assert told["margin_times"] == {
        "times": ["16:00"],
        "timezone": "America/Chicago",
        "weekdays": ["Mon", "Tue", "Wed", "Thu", "Fri"],
    }
    assert [c["start"] for c in told["closures"]] == ["16:00", "Sat 02:00"]
    for change in (
        {"closures": venue.closures[:1]},
        {"margin_times": None},
        {"us_persons": None},
        {"jurisdictions": "somewhere"},
        {"margin_changes": (("2D", 1.3),)},
        {"collateral_haircut": 0.0},
        {"liquidation": dataclasses.replace(venue.liquidation, deadline="2h")},
    ):
        assert dataclasses.replace(venue, **change).hash != venue.hash
    same = dataclasses.replace(venue, closures=list(venue.closures))
    assert same == venue
    assert same.hash == venue.hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin_times": "16:00"}, r"Venue: margin_times='16:00' is not allowed; give DailyTimes\(...\), or None"),
        ({"closures": ("Fri 16:00",)}, r"closures=\('Fri 16:00',\) is not allowed; give Closure"),
        ({"us_persons": "no"}, "us_persons='no' is not allowed; give True, False or None"),
        ({"funding": 0.01}, r"funding=0.01 is not a funding rule; give .*BasisCarry\(...\)"),
        ({"liquidation": "market"}, "liquidation='market' is not allowed; give a Liquidation"),
        (
            {"margin_changes": 1.3},
            r"Venue: margin_changes=1.3 is not a list of pairs; give \(time after entry, factor\)",
        ),
        ({"margin_changes": (("2D", 1.3), ("1D", 1.1))}, "margin_changes: '1D' does not come after '2D'; give"),
        ({"margin_changes": (("2x", 1.3),)}, "Venue: margin_changes: time after entry='2x'"),
        ({"margin_changes": (("2D", 0.0),)}, r"margin_changes=0.0 .* \(0, 100\] .*1.3 is 30 % more"),
        ({"collateral_haircut": 1.0}, r"Venue: collateral_haircut=1.0 .* \[0, 1\) .*None for margin in the settlement"),
        ({"collateral_haircut": True}, "Venue: collateral_haircut=True"),
    ],
)
def test_rules_of_another_kind_are_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(load_venue("cme-mbt"), **change)


def test_margin_changes():
    """They are rules of the venue: in its plain values, its words, and no requirement at entry."""
    plain = load_venue("cme-mbt")
    changed = dataclasses.replace(plain, margin_changes=[(np.timedelta64(36, "h"), 2), ("3D", 0.5)])
    assert changed.to_dict()["margin_changes"] == [["1.5D", 2.0], ["3D", 0.5]]
    assert "margin_changes" not in plain.to_dict()
    again = venue_from_dict(changed.to_dict())
    assert again.hash == changed.hash
    assert again.margin_changes == (("1.5D", 2.0), ("3D", 0.5))
    assert different_rules(plain, changed) == {"margin changes": ("", "x 2 after 1.5D, x 0.5 after 3D")}
    position = {"side": "long", "entry_price": 60_000.0, "quantity": 10, "leverage": 1.5}
    assert liqsim.liquidation_price(changed, **position) == liqsim.liquidation_price(plain, **position)
    ds = liqsim.sweep(liqsim.GBM(0.6), changed, leverage=1.5, notional=1e5, horizon="4D", n_paths=100)
    assert "cme-mbt: 2 times the maintenance requirement from 1.5D on.\n" in ds.attrs["notes"]


def test_margin_in_coin():
    plain = load_venue("kraken-pf-xbtusd", as_of="2026-03-01")
    posted = dataclasses.replace(plain, collateral_haircut=0.03)
    assert "collateral_haircut" not in plain.to_dict()
    assert venue_from_dict(posted.to_dict()) == posted
    assert different_rules(plain, posted) == {"collateral": ("", "BTC, counted less 3 %")}
    assert posted.max_leverage(1e5, 60_000.0) == pytest.approx(0.97 * plain.max_leverage(1e5, 60_000.0))
    asked = {"entry_price": 60_000.0, "quantity": 1.0}
    assert initial_margin(posted, **asked) == pytest.approx(initial_margin(plain, **asked) / 0.97)
    ds = liqsim.sweep(liqsim.GBM(0.6), posted, leverage=3, horizon="4D", n_paths=100)
    assert "margin is posted in BTC, of whose value 0.97 counts; P&L and shortfall include" in ds.attrs["notes"]
    assert why_in_words(posted, 1e4, 60_000.0).startswith(
        "Linear, margined in BTC, of which 97 % counts: a long's margin"
    )
    with pytest.raises(ParameterError, match=r"collateral_haircut=0.03 needs a linear contract, not 'inverse'"):
        dataclasses.replace(load_venue("bitmex-xbtusd"), collateral_haircut=0.03)


@pytest.mark.parametrize(
    ("venue", "changes", "message"),
    [
        (
            "bitmex-xbtusd",
            [(f"{k + 1}D", 1.1) for k in range(4)],
            "has 5 requirements that take turns, .* more than the 4",
        ),
        ("kraken-spot-xbtusd", [("1D", 1.3)], "an equity of 1.04 times the used margin is asked for, .* below 1"),
    ],
)
def test_margin_changes_that_cannot_be_simulated(venue, changes, message):
    rules = load_venue(venue)
    if rules.needs():
        rules = rules.assume({"fees.taker": 0.0026}, hazard=0.5)
    rules = dataclasses.replace(rules, margin_changes=[(after, x + k) for k, (after, x) in enumerate(changes)])
    with pytest.raises(ParameterError, match=message):
        liqsim.sweep(liqsim.GBM(0.6), rules, leverage=2, horizon="10D", n_paths=100)


def test_a_closed_venue_loads_with_its_status():
    venue = load_venue("bitmex-xbtusd")
    assert venue.status == "closed"
    assert "2026-09-23" in venue.status_note
    assert venue.to_dict()["status_note"] == venue.status_note


def test_absent_values_are_named():
    assert "margin.maintenance_share" in dict(load_venue("coinbase-bip").absent)
    assert "margin.tiers" in dict(load_venue("okx-btcusdt").absent)
    with pytest.raises((VenueDataError, MarginRuleError)):
        load_venue("coinbase-bip").maintenance_lines(1e4, 6e4, "long", window="overnight")


def test_a_venue_of_ones_own():
    venue = Venue.from_tiers([(0, None, 0.01, 50)], name="mine")
    assert (venue.id, venue.label, venue.funding) == ("mine", "mine", None)
    assert (venue.fees.taker, venue.fees.maker) == (0.0, 0.0)
