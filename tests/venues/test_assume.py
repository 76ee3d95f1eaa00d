"""Values that no source states: what a simulation needs, how a user gives it, and what is refused."""

import dataclasses
import datetime as dt

import pytest

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues import (
    Fees,
    FixedPerContract,
    Liquidation,
    MarginalTiers,
    UnstatedSchedule,
    Venue,
    WholePositionTiers,
    list_venues,
    load_venue,
    snapshot_dates,
)

NEEDS = {
    "binance-usdm-btcusdt": (),
    "bitmex-xbtusd": (),
    "bybit-btcusdt": ("margin.tiers",),
    "cme-btc": (),
    "cme-mbt": (),
    "coinbase-bip": ("margin.maintenance_share",),
    "coinbase-etp": ("margin.maintenance_share",),
    "deribit-btc-perpetual": (),
    "deribit-btc_usdc": ("liquidation.fee_rate",),
    "deribit-eth-perpetual": (),
    "dydx-btc-usd": (),
    "hyperliquid-btc": (),
    "kraken-pf-xbtusd": ("liquidation.fee_rate",),
    "kraken-pi-ethusd": (),
    "kraken-pi-xbtusd": (),
    "kraken-spot-xbtusd": ("fees.taker", "liquidation.hazard"),
    "okx-btcusdt": ("margin.tiers",),
}
GIVEN = {
    "margin.tiers": [(0, 1e6, 0.005, 100), (1e6, None, 0.01, 50)],
    "margin.maintenance_share": 0.8,
    "liquidation.fee_rate": 0.005,
    "liquidation.hazard": 0.5,
    "fees.taker": 0.0026,
}


def test_what_each_venue_needs():
    assert {name: load_venue(name).needs() for name in list_venues()} == NEEDS


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_what_is_needed_is_listed_as_absent_and_can_be_given(name):
    venue = load_venue(name)
    for need in venue.needs():
        assert need in dict(venue.absent)
    given = venue.assume({need: GIVEN[need] for need in NEEDS[name]})
    assert given.needs() == ()
    given.check_known()
    assert not set(NEEDS[name]) & set(dict(given.absent))
    assert (given.hash == venue.hash) == (NEEDS[name] == ())


def test_a_given_value_names_the_user_as_its_source():
    spot = load_venue("kraken-spot-xbtusd")
    given = spot.assume({"liquidation.hazard": 0.5}, taker=0.0026)
    assert (given.liquidation.hazard, given.fees.taker) == (0.5, 0.0026)
    assert given.sources[: len(spot.sources)] == spot.sources
    added = given.sources[len(spot.sources) :]
    assert [s.covers for s in added] == [("liquidation.hazard",), ("fees.taker",)]
    assert {(s.origin, s.as_of, s.confidence) for s in added} == {("given by the user", "n/d", "U")}
    assert spot.fees.taker is None
    assert dict(spot.absent).keys() - dict(given.absent).keys() == {"liquidation.hazard", "fees.taker"}


def test_tiers_take_the_shape_that_is_known():
    okx = load_venue("okx-btcusdt").assume({"margin.tiers": GIVEN["margin.tiers"]})
    assert isinstance(okx.margin, WholePositionTiers)
    assert (okx.margin.unit, okx.margin.charged_on, okx.margin.closing_fee_rate) == ("quote", "mark", 0.0005)
    bybit = load_venue("bybit-btcusdt").assume(tiers=GIVEN["margin.tiers"])
    assert isinstance(bybit.margin, MarginalTiers)
    assert float(bybit.margin.maintenance(2e6)) == pytest.approx(0.01 * 2e6 - 5000)
    futures = dataclasses.replace(load_venue("cme-mbt"), margin=UnstatedSchedule(shape="FixedPerContract"))
    assert futures.needs() == ("margin.maintenance_per_contract",)
    assert futures.assume(maintenance_per_contract=1713.0).margin == FixedPerContract(maintenance_per_contract=1713.0)


def test_what_is_open_but_not_needed_may_be_given():
    mbt = load_venue("cme-mbt").assume(immediate_below=0.5, insurance_fund=1e6)
    assert (mbt.liquidation.immediate_below, mbt.liquidation.insurance_fund) == (0.5, 1e6)
    assert load_venue("bybit-btcusdt").assume({"funding.cap": 0.003}).funding.cap == 0.003
    assert load_venue("dydx-btc-usd").assume({"funding.interest": 1e-4}).funding.interest == 1e-4
    assert load_venue("bitmex-xbtusd@2020-05-05").assume(lot=1.0).contract.lot == 1.0
    assert load_venue("cme-mbt").assume({}) == load_venue("cme-mbt")


def test_nothing_that_is_missing_comes_one_at_a_time():
    spot = load_venue("kraken-spot-xbtusd")
    with pytest.raises(VenueDataError) as caught:
        spot.check_known()
    assert str(caught.value) == (
        "kraken-spot-xbtusd, 2026-02-10: no source states fees.taker, liquidation.hazard; give them: "
        'load_venue("kraken-spot-xbtusd").assume({"fees.taker": ..., "liquidation.hazard": ...})  '
        "(fees.taker: fraction of notional in [-0.1, 0.1], 0.0005 is 0.05 %; liquidation.hazard: liquidations per day "
        "in [0, inf) while the account is between the call and the liquidation level)"
    )


def test_an_older_snapshot_that_needs_nothing_is_mentioned():
    with pytest.raises(VenueDataError, match=r'or load_venue\("kraken-pf-xbtusd", as_of="2026-03-01"\), older rules'):
        load_venue("kraken-pf-xbtusd").check_known()
    load_venue("kraken-pf-xbtusd", "2026-03-01").check_known()
    with pytest.raises(VenueDataError, match=r"no source states liquidation\.fee_rate") as caught:
        load_venue("deribit-btc_usdc").check_known()
    assert "as_of" not in str(caught.value)


def test_a_venue_of_ones_own_names_itself():
    mine = Venue.from_tiers([(0, None, 0.01, 50)], name="mine")
    assert mine.needs() == ()
    called = dataclasses.replace(mine, liquidation=Liquidation("margin-call", "kept", "client"), fees=Fees())
    with pytest.raises(
        VenueDataError, match=r"^mine: no source states fees.taker, liquidation.deadline; .*venue.assume\("
    ):
        called.check_known()
    assert called.assume({"fees.taker": 0.0, "liquidation.deadline": "0h"}).liquidation.deadline_days == 0.0
    half = load_venue("kraken-spot-xbtusd").assume(taker=0.0026)
    with pytest.raises(VenueDataError, match=r"no source states liquidation.hazard; give it: venue\.assume\("):
        half.check_known()
    older = dataclasses.replace(load_venue("kraken-spot-xbtusd"), snapshot=dt.date(2026, 1, 1))
    with pytest.raises(VenueDataError, match=r"give them: venue\.assume\("):
        older.check_known()


@pytest.mark.parametrize(
    ("name", "values", "error", "message"),
    [
        (
            "bitmex-xbtusd",
            {"fees.taker": 0.001},
            VenueDataError,
            r"fees.taker is stated already, 0.0005; .*, use dataclasses.replace\(venue, fees=",
        ),
        (
            "kraken-spot-xbtusd",
            {"fees.takr": 1},
            VenueDataError,
            r"'fees.takr' is no value .* did you mean 'fees.taker'",
        ),
        ("kraken-spot-xbtusd", {"hazzard": 1}, VenueDataError, "did you mean 'liquidation.hazard'"),
        ("kraken-spot-xbtusd", {"colour": 1}, VenueDataError, "open are fees.taker, liquidation.hazard, contract.tick"),
        ("kraken-spot-xbtusd", {"liquidation.deadline": "1D"}, VenueDataError, "means nothing to 'discretionary'"),
        ("kraken-pi-xbtusd", {"liquidation.fee_rate": 0.1}, VenueDataError, "means nothing to 'zero-equity-order'"),
        (
            "kraken-spot-xbtusd",
            {"fees.taker": None},
            ParameterError,
            "fees.taker=None is not a value; give fraction of",
        ),
        ("kraken-spot-xbtusd", {"fees.taker": 0.1, "taker": 0.2}, ParameterError, "fees.taker is given twice"),
        (
            "kraken-spot-xbtusd",
            {"fees.taker": 5},
            ParameterError,
            r"Fees: taker=5 is not allowed; give .* in \[-0.1, 0.1\]",
        ),
        (
            "kraken-spot-xbtusd",
            {"liquidation.hazard": -1},
            ParameterError,
            r"hazard=-1 is not allowed.*\(liquidations per day\)",
        ),
        ("coinbase-bip", {"margin.maintenance_share": 80}, ParameterError, "maintenance_share=80 is not allowed"),
        ("okx-btcusdt", {"margin.tiers": [(0, 5, 5, 5)]}, VenueDataError, "tier 1: maintenance_rate=5 is not allowed"),
        ("okx-btcusdt", {"margin.unit": "base"}, VenueDataError, "'margin.unit' is no value that can be given"),
    ],
)
def test_what_cannot_be_given_is_refused(name, values, error, message):
    with pytest.raises(error, match=message):
        load_venue(name).assume(values)


@pytest.mark.parametrize(
    ("rule", "needs"),
    [
        (Liquidation("incremental", "kept-minus-fee"), ("liquidation.fee_rate",)),
        (Liquidation("incremental", "kept"), ()),
        (Liquidation("tier-down", "kept-minus-fee"), ("liquidation.fee_rate",)),
        (Liquidation("tier-down", "kept-minus-fee", fee_rate=0.0), ()),
        (Liquidation("tier-down", "none"), ()),
        (Liquidation("margin-call", "kept", "client"), ("liquidation.deadline",)),
        (Liquidation("margin-call", "kept", "client", deadline="0h"), ()),
        (Liquidation("discretionary", "kept", "client"), ("liquidation.hazard",)),
        (Liquidation("discretionary", "kept", "client", hazard=0.0), ()),
        (Liquidation("takeover", "kept-minus-fee"), ()),
        (Liquidation("market", "kept", "client"), ()),
    ],
)
def test_what_a_procedure_needs(rule, needs):
    assert rule.needs() == needs


def test_dates_of_the_snapshots():
    assert snapshot_dates("cme-btc") == [dt.date(2020, 4, 28), dt.date(2020, 12, 31)]
    with pytest.raises(VenueDataError, match="did you mean 'cme-mbt' or 'cme-btc'"):
        snapshot_dates("cme-bct")
