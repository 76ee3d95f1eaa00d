"""Tiers of other venues: what ccxt, freqtrade and people write down, read, checked, refused with the row named."""

import contextlib
import datetime as dt
import gzip
import hashlib
import json
import math
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqsim.errors import LiqsimError, ParameterError, VenueDataError
from liqsim.positions import liquidation_price, maintenance_margin
from liqsim.venues import Contract, MarginalTiers, PremiumFunding, WholePositionTiers, load_venue
from liqsim.venues.fetch import fetch_tiers
from liqsim.venues.files import read_venue
from liqsim.venues.ingest import read_tiers, symbol_contract, venue_from_ccxt
from liqsim.venues.tierfiles import read_book
from liqsim.venues.writing import venue_toml, write_venue

BTC = "BTC/USDT:USDT"

# Binance BTCUSDT of 2024-10-24: floor, cap, maintenance rate, maximum leverage, published amount.
BRACKETS = [
    (0, 50e3, 0.004, 125, 0),
    (50e3, 600e3, 0.005, 100, 50),
    (600e3, 3e6, 0.0065, 75, 950),
    (3e6, 12e6, 0.01, 50, 11_450),
    (12e6, 70e6, 0.02, 25, 131_450),
    (70e6, 100e6, 0.025, 20, 481_450),
    (100e6, 230e6, 0.05, 10, 2_981_450),
    (230e6, 480e6, 0.1, 5, 14_481_450),
    (480e6, 600e6, 0.125, 4, 26_481_450),
    (600e6, 800e6, 0.15, 3, 41_481_450),
    (800e6, 1.2e9, 0.25, 2, 121_481_450),
    (1.2e9, 1.8e9, 0.5, 1, 421_481_450),
]


def ccxt_rows(brackets=BRACKETS, currency="USDT", amounts=True):
    """Rows as ccxt unifies Binance's; freqtrade stores them with ``info`` as text."""
    rows = []
    for k, (floor, cap, rate, leverage, amount) in enumerate(brackets, start=1):
        info = {
            "bracket": str(k),
            "initialLeverage": str(leverage),
            "notionalCap": f"{cap:.0f}",
            "notionalFloor": f"{floor:.0f}",
            "maintMarginRatio": str(rate),
            "cum": str(float(amount)),
        }
        if not amounts:
            del info["cum"]
        rows.append(
            {
                "tier": float(k),
                "currency": currency,
                "minNotional": float(floor),
                "maxNotional": float(cap),
                "maintenanceMarginRate": rate,
                "maxLeverage": float(leverage),
                "info": info,
            }
        )
    return rows


def plain(*rows):
    """Rows without ``info``: floor, cap, rate, leverage."""
    names = ("minNotional", "maxNotional", "maintenanceMarginRate", "maxLeverage")
    return [dict(zip(names, row, strict=True)) for row in rows]


TWO = plain((0, 50_000, 0.004, 125), (50_000, None, 0.005, 100))


def okx_rows():
    """Whole contracts: each floor is one above the cap before it."""
    rows = []
    for k, (low, high, rate, leverage) in enumerate([(0, 2000, 0.01, 75), (2001, 4000, 0.015, 50)], start=1):
        info = {"tier": str(k), "minSz": str(low), "maxSz": str(high), "mmr": str(rate), "uly": "ETH-USDT"}
        rows += plain((low, high, rate, leverage))
        rows[-1] |= {"tier": k, "currency": "USDT", "info": info}
    return rows


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


# -- ccxt ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tiers",
    [
        {BTC: ccxt_rows()},
        {BTC: ccxt_rows(), "ETH/USDT:USDT": []},
        ccxt_rows(),
        json.dumps({BTC: ccxt_rows()}),
        json.dumps(ccxt_rows()).encode(),
        [{**row, "symbol": BTC} for row in ccxt_rows()],
    ],
    ids=["symbols", "several symbols", "one market", "text", "bytes", "rows with symbols"],
)
def test_every_form_of_ccxt_gives_the_published_amounts(tiers):
    venue = venue_from_ccxt(tiers, BTC)
    assert isinstance(venue.margin, MarginalTiers)
    assert venue.margin.deductions.tolist() == pytest.approx([b[4] for b in BRACKETS], rel=1e-12)
    assert venue.margin.tiers == load_venue("binance-usdm-btcusdt").margin.tiers
    assert (venue.margin.unit, venue.margin.charged_on) == ("quote", "mark")
    contract = venue.contract
    assert (contract.kind, contract.base, contract.quote, contract.settlement) == ("linear", "BTC", "USDT", "USDT")
    assert (venue.id, venue.product, venue.snapshot) == ("btcusdt", BTC, None)


def test_older_names_text_numbers_and_open_ends():
    """ccxt before mid-2022, ``exchange.number = str``, and a last tier without a cap."""
    rows = [
        {"notionalFloor": "0", "notionalCap": "50000", "maintenanceMarginRate": "0.004", "maxLeverage": "125"},
        {"notionalFloor": "50000", "notionalCap": None, "maintenanceMarginRate": "0.005", "maxLeverage": "100"},
    ]
    venue = venue_from_ccxt(rows, BTC, shape="marginal")
    assert venue.margin.tiers == ((0, 50_000, 0.004, 125), (50_000, math.inf, 0.005, 100))
    assert venue.margin.deductions.tolist() == [0.0, 50.0]


def test_rows_as_freqtrade_caches_them():
    rows = [
        {"minNotional": 0, "maxNotional": 5e4, "maintenanceMarginRate": 0.004, "maxLeverage": 125, "maintAmt": 0.0},
        {"minNotional": 5e4, "maxNotional": 6e5, "maintenanceMarginRate": 0.005, "maxLeverage": 100, "maintAmt": 50.0},
    ]
    assert isinstance(venue_from_ccxt(rows, BTC).margin, MarginalTiers)


def test_missing_bounds_are_those_of_the_neighbour():
    rows = plain((None, 1000, 0.005, 50), (None, 2000, 0.01, 40), (2000, None, 0.02, 20), (5000, None, 0.03, 10))
    venue = venue_from_ccxt(rows, BTC, shape="marginal")
    assert [(t.floor, t.cap) for t in venue.margin.tiers] == [(0, 1000), (1000, 2000), (2000, 5000), (5000, math.inf)]
    with pytest.raises(VenueDataError, match="tier 1: neither its bounds nor those of its neighbours"):
        venue_from_ccxt(plain((0, None, 0.005, 50), (None, 2000, 0.01, 40)), BTC, shape="marginal")


def test_the_rates_that_are_not_marginal_must_be_said_to_be_so():
    rows = ccxt_rows([(*b[:4], 0) for b in BRACKETS])
    with pytest.raises(
        VenueDataError,
        match=r"tiers: BTC/USDT:USDT, tier 2: maintenance_amount=0 is not the 50 of marginal tiers.*"
        r'file is broken; give shape="whole-position"',
    ):
        venue_from_ccxt(rows, BTC)
    with pytest.raises(VenueDataError, match="tier 2: maintenance_amount=0 is not the 50"):
        venue_from_ccxt(rows, BTC, shape="marginal")
    venue = venue_from_ccxt(rows, BTC, shape="whole-position")
    assert isinstance(venue.margin, WholePositionTiers)
    assert venue.margin.maintenance(700_000) == pytest.approx(0.0065 * 700_000)
    assert "not those of marginal tiers" in venue.sources[0].note


@pytest.mark.parametrize("off", [1.0, -1.0])
def test_one_wrong_amount_is_found(off):
    rows = ccxt_rows()
    rows[2]["info"]["cum"] = str(950 + off)
    with pytest.raises(VenueDataError, match=rf"tier 3: maintenance_amount={950 + off:g} is not the 950 of marginal"):
        venue_from_ccxt(rows, BTC)


def test_amounts_rounded_to_a_cent_pass():
    rows = ccxt_rows([(0, 1000, 0.01, 50, 0), (1000, 5000, 0.0166667, 30, 6.67), (5000, 9000, 0.025, 20, 48.33)])
    assert venue_from_ccxt(rows, BTC).margin.deductions.tolist() == pytest.approx([0, 6.6667, 48.3332])


def test_marginal_amounts_contradict_whole_position():
    with pytest.raises(VenueDataError, match='shape="whole-position" contradicts the maintenance amounts'):
        venue_from_ccxt(ccxt_rows(), BTC, shape="whole-position")


def test_without_amounts_the_shape_is_asked_for_and_the_difference_shown():
    with pytest.raises(
        VenueDataError,
        match=r"no maintenance amounts.*at 600000 USDT the requirement is 2950 or 3000 USDT; "
        r'give shape="marginal" .* or shape="whole-position"',
    ):
        venue_from_ccxt(ccxt_rows(amounts=False), BTC)
    assert isinstance(venue_from_ccxt(TWO, BTC, shape="marginal").margin, MarginalTiers)
    assert isinstance(venue_from_ccxt(TWO, BTC, shape="whole-position").margin, WholePositionTiers)


def test_one_rate_needs_no_shape():
    assert venue_from_ccxt(plain((0, None, 0.01, 50)), BTC).margin.maintenance(1e6) == 1e4
    assert isinstance(venue_from_ccxt(plain((0, 1e3, 0.01, 50), (1e3, None, 0.01, 20)), BTC).margin, MarginalTiers)


def test_amounts_in_some_rows_only_are_refused():
    rows = ccxt_rows()
    del rows[4]["info"]["cum"]
    with pytest.raises(VenueDataError, match="tier 5: maintenance_amount is missing, which other rows have"):
        venue_from_ccxt(rows, BTC)


# -- units ---------------------------------------------------------------------------------------------------------


def binance_coin_rows(floor="minNotional"):
    brackets = [(0, 5, 0.004, 125, 0), (5, 10, 0.005, 100, 0.005), (10, 20, 0.01, 50, 0.055)]
    rows = []
    for low, high, rate, leverage, amount in brackets:
        info = {"qtyCap": high, "qtylFloor": low, "maintMarginRatio": rate, "cum": amount}
        rows += plain((low, high, rate, leverage))
        rows[-1] |= {"currency": "USD", "info": info}
        if floor != "minNotional":
            rows[-1]["minNotional"] = None
    return rows


@pytest.mark.parametrize("floor", ["minNotional", "qtylFloor"])
def test_coin_margined_brackets_of_binance_count_coin(floor):
    """Though ccxt calls their currency USD, and does not find a floor that is spelt qtylFloor."""
    venue = venue_from_ccxt(binance_coin_rows(floor), "BTC/USD:BTC")
    assert (venue.contract.kind, venue.contract.settlement, venue.margin.unit) == ("inverse", "BTC", "base")
    assert venue.margin.tiers[1] == (5, 10, 0.005, 100)
    assert venue.margin.deductions.tolist() == pytest.approx([0, 0.005, 0.055])
    # 480,000 contracts of 1 USD at 60,000 are 8 BTC: 8 x 0.5 % - 0.005
    assert maintenance_margin(venue, price=60_000.0, quantity=480_000.0) == pytest.approx(0.035)


def test_bybit_counts_the_settlement_coin_and_deducts():
    rows = plain((0, "150", "0.005", "100.00"), ("150", "300", "0.01", "66.67"))
    for row, amount in zip(rows, ("", "0.75"), strict=True):
        row |= {"currency": "BTC", "info": {"riskLimitValue": row["maxNotional"], "mmDeduction": amount}}
    margin = venue_from_ccxt(rows, "BTC/USD:BTC").margin
    assert isinstance(margin, MarginalTiers)
    assert margin.unit == "base"
    assert margin.deductions.tolist() == [0.0, 0.75]


def test_okx_counts_contracts_on_a_linear_contract():
    with pytest.raises(
        VenueDataError, match=r"the bounds count contracts.* give contract_size, the ETH of one contract"
    ):
        venue_from_ccxt(okx_rows(), "ETH/USDT:USDT", shape="whole-position")
    venue = venue_from_ccxt(okx_rows(), "ETH/USDT:USDT", shape="whole-position", contract_size=0.1)
    assert venue.margin.unit == "contracts"
    assert [(t.floor, t.cap) for t in venue.margin.tiers] == [(0, 2000), (2000, 4000)]
    # 200 ETH are 2,000 contracts, still in the first tier; 210 ETH are in the second, whole.
    assert maintenance_margin(venue, price=3000.0, quantity=200.0) == pytest.approx(0.01 * 600_000)
    assert maintenance_margin(venue, price=3000.0, quantity=210.0) == pytest.approx(0.015 * 630_000)


def test_contracts_of_an_inverse_contract_become_quote_currency():
    rows = plain((0, 500_000, 0.01, 50), (500_000, None, 0.02, 25))
    for row in rows:
        row |= {"currency": "USD", "info": {"contracts": row["minNotional"]}}  # Kraken Futures
    venue = venue_from_ccxt(rows, "BTC/USD:BTC", shape="marginal", contract_size=10)
    assert (venue.margin.unit, venue.margin.tiers[0].cap, venue.contract.multiplier) == ("quote", 5e6, 10.0)
    same = venue_from_ccxt(rows, "BTC/USD:BTC", shape="marginal", contract=Contract("inverse", multiplier=10))
    assert same.margin.tiers == venue.margin.tiers
    with pytest.raises(ParameterError, match="contract_size=10 and a Contract"):
        venue_from_ccxt(rows, shape="marginal", contract=Contract("inverse"), contract_size=10)


@pytest.mark.parametrize(
    ("currency", "info", "symbol", "why"),
    [
        (None, None, "BTC/USD:BTC", "no currency is given"),
        ("USD", None, "BTC/USD:BTC", "currency='USD' does not tell which"),
        ("BTC", None, BTC, "this linear contract .*currency='BTC' does not tell which"),
        ("USD", {"numNonContractUnits": 0}, BTC, "the venue's numNonContractUnits does not tell which"),
    ],
)
def test_a_unit_that_cannot_be_known_is_asked_for(currency, info, symbol, why):
    rows = [{**row, "currency": currency, "info": info} for row in TWO]
    with pytest.raises(
        VenueDataError, match=rf'may count USDT?, BTC or contracts, and {why}.*|{why}.*give unit="quote"'
    ):
        venue_from_ccxt(rows, symbol, shape="marginal")
    assert venue_from_ccxt(rows, symbol, shape="marginal", unit="base").margin.unit == "base"


def test_a_linear_contract_without_currency_counts_notional():
    assert venue_from_ccxt(TWO, BTC, shape="marginal").margin.unit == "quote"


# -- what else is told ---------------------------------------------------------------------------------------------


def test_symbols_tell_the_contract():
    assert symbol_contract("ETH/USDC:USDC-261225").quote == "USDC"
    inverse = symbol_contract("ETH/USD:ETH", contract_size=10)
    assert (inverse.kind, inverse.settlement, inverse.multiplier) == ("inverse", "ETH", 10.0)
    assert symbol_contract("ETH/USDT", "linear").base == "ETH"
    own = Contract("linear", base="XBT", quote="USD", tick=0.5)
    assert symbol_contract("BTC/USD:USD", own) is own
    for symbol, contract, message in [
        (None, None, "symbol=None does not tell the contract; give a symbol such as"),
        ("BTCUSDT", None, "symbol='BTCUSDT' does not tell the contract"),
        (BTC, "inverse", "contract='inverse' contradicts symbol='BTC/USDT:USDT', which is settled in USDT"),
        ("BTC/USD:BTC", Contract("linear"), "contract='linear' contradicts"),
        ("BTC/USD:ETH", None, "settled in ETH, neither its base nor its quote"),
        (BTC, "perpetual", "contract='perpetual' is unknown"),
    ]:
        with pytest.raises(ParameterError, match=message):
            symbol_contract(symbol, contract)


def test_fees_and_funding_are_given_or_absent_never_guessed():
    venue = venue_from_ccxt(TWO, BTC, shape="marginal")
    assert (venue.fees.taker, venue.funding) == (None, None)
    assert {name for name, _ in venue.absent} == {
        "contract.tick",
        "contract.lot",
        "fees.taker",
        "fees.maker",
        "funding",
    }
    rule = PremiumFunding(interval="8h", interest=1e-4, clamp=5e-4)
    given_all = venue_from_ccxt(
        TWO, BTC, shape="marginal", taker_fee=5e-4, maker_fee=2e-4, funding=rule, name="mine", snapshot="2026-09-18"
    )
    assert (given_all.id, given_all.fees.maker, given_all.funding) == ("mine", 2e-4, rule)
    assert given_all.snapshot == dt.date(2026, 9, 18)
    assert {name for name, _ in given_all.absent} == {"contract.tick", "contract.lot"}
    marks = {field: source.confidence for source in given_all.sources for field in source.covers}
    assert (marks["margin.tiers"], marks["fees.taker"], marks["funding.interval"]) == ("S", "U", "U")
    assert (marks["contract.base"], marks["margin.charged_on"], marks["liquidation.procedure"]) == ("I", "I", "I")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "stepped"}, "shape='stepped' is unknown; give one of 'marginal', 'whole-position'"),
        ({"unit": "USD"}, "unit='USD' is unknown; give one of 'quote', 'base', 'contracts'"),
        ({"charged_on": "index"}, "charged_on='index' is unknown"),
        ({"snapshot": "yesterday"}, "snapshot='yesterday' is not a date"),
        ({"taker_fee": 5.0}, r"taker=5.0 is not allowed; give a finite number in \[-0.1, 0.1\]"),
        ({"contract_size": 0}, "multiplier=0 is not allowed"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ParameterError, match=message):
        venue_from_ccxt(TWO, BTC, **{"shape": "marginal", **options})


# -- sanity rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 1e3, 0.01, 50), (9e2, None, 0.02, 25)], "tier 2 overlaps tier 1: its floor 900 is below the cap 1000"),
        ([(0, 1e3, 0.01, 50), (2e3, None, 0.02, 25)], "hole between tier 1 .* and tier 2"),
        ([(10, 1e3, 0.01, 50)], "tier 1 starts at 10; the first floor must be 0"),
        ([(1e3, 2e3, 0.02, 25), (0, 1e3, 0.01, 50)], "tier 1 starts at 1000"),
        ([(0, 1e3, 0.02, 25), (1e3, None, 0.01, 20)], "tier 2 has maintenance_rate 0.01, below 0.02 of tier 1"),
        ([(0, 1e3, 0.01, 20), (1e3, None, 0.02, 25)], "tier 2 has max_leverage 25, above 20 of tier 1"),
        ([(0, 1e3, 0.01, 50), (1e3, None, 0.05, 20)], "tier 2 allows max_leverage 20, an initial margin of 0.05"),
        ([(0, None, 0.01, 0.5)], "tier 1: max_leverage=0.5 is not allowed"),
        ([(0, None, -0.01, 5)], "tier 1: maintenance_rate=-0.01 is not allowed"),
        ([(0, 1e3, 0.4, 125), (1e3, None, 0.5, 100)], "the rates look like percentages: write 0.005 for 0.5 %"),
        ([(0, None, 5, 10)], r"maintenance_rate=5.0 is not allowed.*0.05 is 5 %.*look like percentages"),
        ([(0, None, "5 %", 10)], "maintenance_rate='5 %' is a percentage; write the fraction 0.05"),
        ([(0, "1,000", 0.05, 10)], "cap='1,000' is not a number.*leave out separators of thousands"),
        ([(0, None, 0.05, "10x")], "max_leverage='10x' is not a number; give value over initial margin"),
        ([(0, None, True, 10)], "maintenance_rate=True is not a number"),
        ([(0, None, float("nan"), 10)], "maintenance_rate=nan is not finite"),
        ([(0, None, 0.05, 10**400)], "max_leverage=1000.* is not finite"),
        ([(0, None, None, 10)], "tier 1: maintenance_rate is missing; add it: a fraction of value"),
        ([(0, None, 0.05, None)], "tier 1: max_leverage is missing; add it: .*1 / initial margin rate"),
        ([], "the tier table is empty"),
    ],
)
def test_sanity_rules_name_the_row(rows, message):
    with pytest.raises(VenueDataError, match=message) as caught:
        venue_from_ccxt({BTC: plain(*rows)}, BTC, shape="marginal")
    assert str(caught.value).startswith("tiers: BTC/USDT:USDT")


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        (None, "tiers is None; give a mapping of symbols"),
        (3, "tiers is 3; give a mapping"),
        ({}, "there is no tier table in it"),
        ([], "the tier table is empty"),
        ({BTC: TWO[0]}, "'BTC/USDT:USDT' holds .*, not a list of tiers"),
        ([[0, 1, 2, 3]], r"tier 1 is \[0, 1, 2, 3\]; give a mapping with floor"),
        ("{broken", "tiers: JSON is malformed"),
        ([{"minNotional": 0, "notionalFloor": 5}], "tier 1 gives floor twice, 0 and 5"),
        ({"updated": "soon", "data": {BTC: TWO}}, "updated='soon' is not a date"),
        ({"updated": 5, "data": {BTC: TWO}}, "updated=5 is not a date"),
    ],
)
def test_what_is_not_a_tier_table(tiers, message):
    with pytest.raises(VenueDataError, match=message):
        venue_from_ccxt(tiers, BTC if isinstance(tiers, dict) else None, contract="linear")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
names = st.sampled_from(
    ["minNotional", "maxNotional", "maintenanceMarginRate", "maxLeverage", "cum", "info", "currency"]
)
rows = st.lists(st.dictionaries(names, scalars | st.dictionaries(names, scalars, max_size=2)) | scalars, max_size=3)


@given(rows | st.dictionaries(st.sampled_from([BTC, "data", "updated"]), rows | scalars))
def test_nothing_but_our_errors(tiers):
    with contextlib.suppress(LiqsimError):
        venue_from_ccxt(tiers, contract="linear")


# -- symbols -------------------------------------------------------------------------------------------------------


def test_symbols_are_looked_up_with_a_hint():
    book = {BTC: TWO, "BTC/USDC:USDC": TWO, "BTC/USDT:USDT-261225": TWO, "ETH/USDT:USDT": TWO}
    with pytest.raises(VenueDataError, match=r"symbol='BTCUSDT' is not in it; did you mean 'BTC/USDT:USDT'\? It holds"):
        venue_from_ccxt(book, "BTCUSDT")
    with pytest.raises(VenueDataError, match="did you mean 'ETH/USDT:USDT'"):
        venue_from_ccxt(book, "ETH/USDT:USDC")
    with pytest.raises(VenueDataError, match="symbol='DOGE' is not in it; It holds BTC"):
        venue_from_ccxt(book, "DOGE")
    with pytest.raises(VenueDataError, match=r"tiers holds BTC/USDT:USDT, .*; say which, symbol='BTC/USDT:USDT'"):
        venue_from_ccxt(book)
    assert venue_from_ccxt({BTC: TWO}, shape="marginal").product == BTC
    assert venue_from_ccxt(book, "BTC/USDT:USDT-261225", shape="marginal").id == "btcusdt-261225"


# -- files ---------------------------------------------------------------------------------------------------------


def test_freqtrade_shipped_form(tmp_path):
    path = write_json(tmp_path / "binance_leverage_tiers.json", {BTC: ccxt_rows(), "ETH/USDT:USDT": ccxt_rows()[:2]})
    venue = read_tiers(path, BTC)
    assert venue.margin.deductions[-1] == pytest.approx(421_481_450)
    assert venue.snapshot is None
    source = venue.sources[0]
    assert source.origin == "binance_leverage_tiers.json"
    assert hashlib.sha256(path.read_bytes()).hexdigest() in source.note
    assert read_tiers(path, "ETH/USDT:USDT").max_notional(3000.0) == 600e3
    assert venue_from_ccxt(path, BTC) == venue_from_ccxt(str(path), BTC) == venue


@pytest.mark.parametrize(
    ("updated", "date"),
    [
        ("2026-09-17T23:59:59.5+00:00", dt.date(2026, 9, 17)),
        ("2026-09-17 22:30:00-02:00", dt.date(2026, 9, 18)),
        ("2026-09-17T08:00:00Z", dt.date(2026, 9, 17)),
        (None, None),
    ],
)
def test_freqtrade_cached_form_keeps_its_date(tmp_path, updated, date):
    path = write_json(tmp_path / "leverage_tiers_USDT.json", {"updated": updated, "data": {BTC: ccxt_rows()}})
    assert read_tiers(path).snapshot == date
    assert read_tiers(path, snapshot=dt.date(2020, 1, 2)).snapshot == dt.date(2020, 1, 2)


CSV = """symbol,floor,cap,maintenance_rate,max_leverage
A/USDT:USDT,0,1000,0.01,50
A/USDT:USDT,1000,,0.02,25

B/USDT:USDT,0,inf,0.05,10
"""


def write(tmp_path, text, name="my.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_of_ones_own(tmp_path):
    path = write(tmp_path, CSV)
    a = read_tiers(path, "A/USDT:USDT", shape="marginal")
    assert a.margin.tiers == ((0, 1000, 0.01, 50), (1000, math.inf, 0.02, 25))
    assert read_tiers(path, "B/USDT:USDT").margin.maintenance(100) == pytest.approx(5.0)
    one = write(tmp_path, "floor,cap,maintenance_rate,max_leverage\n0,,0.01,50\n", "one.csv")
    venue = read_tiers(one, contract="linear")
    assert (venue.id, venue.product, venue.contract.base) == ("custom", "linear BTCUSD", "BTC")
    assert read_tiers(one, BTC).contract.quote == "USDT"


def test_csv_with_the_names_of_a_bracket_table_and_compressed(tmp_path):
    head = "symbol,settle,tier,notional_floor,notional_cap,max_leverage,maintenance_margin_rate,maintenance_amount"
    lines = [f"{BTC},USDT,{k},{f},{c},{x},{r},{a}" for k, (f, c, r, x, a) in enumerate(BRACKETS, start=1)]
    path = tmp_path / "tiers.csv.gz"
    path.write_bytes(gzip.compress("\ufeff".encode() + "\r\n".join([head, *lines]).encode()))
    venue = read_tiers(path, BTC)
    assert venue.margin.tiers == load_venue("binance-usdm-btcusdt").margin.tiers
    lines[2] = lines[2].replace(",950", ",905")
    path.write_bytes(gzip.compress("\n".join([head, *lines]).encode()))
    with pytest.raises(
        VenueDataError, match=r"tiers.csv.gz: BTC/USDT:USDT, line 4: maintenance_amount=905 is not the 950"
    ):
        read_tiers(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1000,,0.02,25", "1000,,2%,25", "my.csv: A/USDT:USDT, line 3: maintenance_rate='2%' is a percentage.* 0.02"),
        ("1000,,0.02,25", "900,,0.02,25", r"tier 2 overlaps tier 1: .* \(line 3\)"),
        ("1000,,0.02,25", "1000,,0.04,25", r"tier 2 allows max_leverage 25.* \(line 3\)"),
        ("1000,,0.02,25", "1000,,5,25", r"maintenance_rate=5.0 is not allowed; .*0.05 is 5 %.* \(line 3\)"),
        ("1000,,0.02,25", "1000,0.02,25", "line 3: 4 values for the 5 columns"),
        ("1000,,0.02,25", "1000,,,25", "line 3: maintenance_rate is missing"),
        ("max_leverage", "max_leverag", "line 1: column 'max_leverag' is unknown; did you mean 'max_leverage'"),
        ("max_leverage", "note", "line 1: there is no column 'max_leverage'"),
        ("floor,", "min_notional,notional_floor,", "columns 'min_notional' and 'notional_floor' mean the same"),
        (CSV, CSV.replace(",", ";"), "has no commas; write comma-separated values"),
        (CSV, "\n", "the file is empty; give a header line"),
        (CSV, CSV.splitlines()[0], "the tier table is empty"),
        ("0,inf,0.05", '0,"inf,0.05', "my.csv, line 6: .*plain comma-separated|values for the 5 columns"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, old, new, message):
    assert old in CSV
    with pytest.raises(VenueDataError, match=message) as caught:
        read_tiers(write(tmp_path, CSV.replace(old, new, 1)), "A/USDT:USDT", shape="marginal")
    assert "my.csv" in str(caught.value)


TOML = """
symbol = "BTC/USDT:USDT"
shape = "marginal"
snapshot = 2026-09-18
tiers = [[0, 1000, 0.01, 50], [1000, inf, 0.02, 25]]
"""


def test_toml_of_ones_own(tmp_path):
    venue = read_tiers(write(tmp_path, TOML, "my.toml"))
    assert (venue.snapshot, venue.margin.deductions.tolist()) == (dt.date(2026, 9, 18), [0.0, 10.0])
    rows = "[[tiers]]\nfloor = 0\ncap = 10\nmaintenance_rate = 0.01\nmax_leverage = 50\nmaintenance_amount = 0\n"
    text = 'symbol = "BTC/USD:BTC"\nunit = "base"\n' + rows
    assert read_tiers(write(tmp_path, text, "my.toml")).margin.unit == "base"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shape =", "shap =", "my.toml: key 'shap' is unknown; did you mean 'shape'"),
        ('"marginal"', '"steps"', "shape='steps' is unknown; give one of 'marginal', 'whole-position'"),
        ("2026-09-18", "5", "snapshot=5 is not a date"),
        ('"BTC/USDT:USDT"', "5", "symbol=5 is not a name"),
        ("[0, 1000, 0.01, 50]", "[0, 1000, 0.01]", "tier 1 is .*; give tiers ="),
        ("[0, 1000, 0.01, 50]", "{flor = 0}", "tier 1: key 'flor' is unknown; did you mean 'floor'"),
        ("[1000, inf", "[2000, inf", "hole between tier 1"),
        ("tiers = [", "tiers = 5 # [", "tiers=5 is not a list of rows"),
        ("shape =", "shape", "my.toml is not TOML"),
    ],
)
def test_toml_errors(tmp_path, old, new, message):
    assert old in TOML
    with pytest.raises(VenueDataError, match=message):
        read_tiers(write(tmp_path, TOML.replace(old, new, 1), "my.toml"))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(VenueDataError, match=r"none.csv' cannot be read: No such file"):
        read_tiers(tmp_path / "none.csv")
    with pytest.raises(VenueDataError, match=r'tiers.dat: the name does not tell the format; give format="json"'):
        read_tiers(write(tmp_path, CSV, "tiers.dat"))
    assert read_tiers(tmp_path / "tiers.dat", "B/USDT:USDT", format="csv").id == "busdt"
    with pytest.raises(ParameterError, match="format='xml' is unknown"):
        read_tiers(tmp_path / "tiers.dat", format="xml")
    whole = gzip.compress(json.dumps({BTC: TWO}).encode())
    for broken in (whole[:-9], whole[:20] + b"\0\0\0" + whole[23:]):
        (tmp_path / "cut.json.gz").write_bytes(broken)
        with pytest.raises(VenueDataError, match=r"cut.json.gz: the compressed file is broken"):
            read_tiers(tmp_path / "cut.json.gz")
    (tmp_path / "latin.csv").write_bytes("floor,cap\nä".encode("latin-1"))
    with pytest.raises(VenueDataError, match=r"latin.csv: .*write the file as UTF-8"):
        read_tiers(tmp_path / "latin.csv")


# -- written back --------------------------------------------------------------------------------------------------


def test_a_venue_is_written_and_read_back(tmp_path):
    rule = PremiumFunding(interval="8h", interest=1e-4, clamp=5e-4, cap=3e-3)
    venue = venue_from_ccxt(ccxt_rows(), BTC, taker_fee=5e-4, funding=rule, name='odd "name" é', snapshot="2024-10-24")
    path = write_venue(venue, tmp_path / "deep" / "my.toml")
    assert read_venue(path).hash == venue.hash
    assert read_tiers(path).to_dict() == venue.to_dict()
    with pytest.raises(ParameterError, match="describes a whole venue, so taker_fee, symbol must be left out"):
        read_tiers(path, BTC, taker_fee=0.0)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["binance-usdm-btcusdt", "hyperliquid-btc", "kraken-pi-xbtusd", "dydx-btc-usd"])
def test_shipped_venues_survive_writing(tmp_path, name):
    venue = load_venue(name)
    assert read_venue(write_venue(venue, tmp_path / "my.toml")).hash == venue.hash


def test_open_ends_and_whole_positions_survive_writing(tmp_path):
    venue = venue_from_ccxt(
        TWO, "BTC/USD:BTC", unit="base", shape="whole-position", charged_on="entry", snapshot="2026-01-02"
    )
    assert read_venue(write_venue(venue, tmp_path / "my.toml")) == venue
    assert "[50000.0, inf, 0.005, 100.0]" in venue_toml(venue)


def test_writing_refuses_what_it_would_lose(tmp_path):
    venue = venue_from_ccxt(TWO, BTC, shape="marginal")
    with pytest.raises(ParameterError, match=r'snapshot=None.*give snapshot="YYYY-MM-DD"'):
        write_venue(venue, tmp_path / "my.toml")
    dated = venue_from_ccxt(TWO, BTC, shape="marginal", snapshot="2026-01-02")
    with pytest.raises(ParameterError, match=r"does not end in .toml"):
        write_venue(dated, tmp_path / "my.txt")
    path = write_venue(dated, tmp_path / "my.toml")
    before = path.read_bytes()
    with pytest.raises(ParameterError, match=r"my.toml' exists; give another name, or overwrite=True"):
        write_venue(dated, path)
    assert path.read_bytes() == before
    other = venue_from_ccxt(TWO, BTC, shape="marginal", snapshot="2026-01-03")
    write_venue(other, path, overwrite=True)
    assert read_venue(path).snapshot == dt.date(2026, 1, 3)
    with pytest.raises(ParameterError, match="only venues with a tier table can be written, not FixedPerContract"):
        write_venue(load_venue("cme-mbt"), tmp_path / "cme.toml")
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="cannot be written"):
        write_venue(dated, tmp_path / "file" / "my.toml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "my.toml"]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    dated = venue_from_ccxt(TWO, BTC, shape="marginal", snapshot="2026-01-02")
    path = write_venue(dated, tmp_path / "my.toml")
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ParameterError, match="No space left"):
        write_venue(dated, path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# -- quirks that are not imitated ----------------------------------------------------------------------------------


def by_hand(rate, amount, side, price, quantity, margin):
    """Binance: LP = (WB + cum - s q P0) / (q (MMR - s))."""
    return (margin + amount - side * quantity * price) / (quantity * (rate - side))


@pytest.mark.parametrize(
    ("side", "notional", "leverage", "tier", "stake_tier"),
    [
        ("short", 500e3, 2.0, 3, 2),  # grows from the second tier into the third: 746,100 at the liquidation price
        ("long", 630e3, 10.0, 2, 2),  # shrinks from the third tier into the second
        ("long", 700e3, 20.0, 3, 1),  # stays in the third; its stake of 35,000 would be in the first
    ],
)
def test_the_tier_is_the_one_at_the_liquidation_price(side, notional, leverage, tier, stake_tier):
    """Not that of the stake, as freqtrade takes it, and the price is not moved by a buffer toward the entry."""
    venue = venue_from_ccxt(ccxt_rows(), BTC)
    price, sign = 60_000.0, 1 if side == "long" else -1
    quantity, margin = notional / price, notional / leverage
    found = liquidation_price(venue, side, entry_price=price, quantity=quantity, leverage=leverage)

    def expected(k):
        return by_hand(BRACKETS[k - 1][2], BRACKETS[k - 1][4], sign, price, quantity, margin)

    assert BRACKETS[tier - 1][0] < found * quantity <= BRACKETS[tier - 1][1]
    assert found == pytest.approx(expected(tier), rel=1e-12)
    if stake_tier != tier:
        assert abs(found / expected(stake_tier) - 1) > 1e-6
    equity = margin + sign * quantity * (found - price)
    assert equity == pytest.approx(maintenance_margin(venue, side, price=found, quantity=quantity), rel=1e-9)


# -- from the venue itself -----------------------------------------------------------------------------------------


class Exchange:
    """What ccxt offers of a venue."""

    def __init__(self, has, answers):
        self.id, self.has, self.answers, self.asked = "fake", has, answers, []

    def fetch_market_leverage_tiers(self, symbol):
        self.asked.append(symbol)
        return self.answers[symbol]

    def fetch_leverage_tiers(self, symbols, params=None):
        self.asked.append((symbols, params))
        kind = (params or {}).get("subType", "linear")
        return {s: self.answers[s] for s in symbols if s in self.answers and (kind == "linear") == (s == BTC)}


def test_fetched_tiers_keep_their_date_and_become_a_venue(tmp_path):
    exchange = Exchange({"fetchMarketLeverageTiers": True, "fetchLeverageTiers": False}, {BTC: ccxt_rows()})
    tiers = fetch_tiers(exchange, BTC)
    assert exchange.asked == [BTC]
    assert tiers["data"] == {BTC: ccxt_rows()}
    today = dt.datetime.fromisoformat(tiers["updated"]).date()
    assert venue_from_ccxt(tiers).snapshot == today
    assert read_tiers(write_json(tmp_path / "kept.json", tiers)).margin == venue_from_ccxt(ccxt_rows(), BTC).margin


def test_venues_that_answer_for_all_symbols_at_once():
    has = {"fetchLeverageTiers": True, "fetchMarketLeverageTiers": "emulated"}
    exchange = Exchange(has, {BTC: ccxt_rows(), "BTC/USD:BTC": binance_coin_rows()})
    assert venue_from_ccxt(fetch_tiers(exchange, BTC)).contract.kind == "linear"
    assert exchange.asked == [([BTC], None)]
    assert venue_from_ccxt(fetch_tiers(exchange, "BTC/USD:BTC")).contract.kind == "inverse"
    with pytest.raises(VenueDataError, match="fake has no leverage tiers for symbol='DOGE/USDT:USDT'"):
        fetch_tiers(exchange, "DOGE/USDT:USDT")


def test_venues_that_do_not_answer():
    with pytest.raises(VenueDataError, match="fake: ccxt does not offer its leverage tiers; write them into a CSV"):
        fetch_tiers(Exchange({}, {}), BTC)
    with pytest.raises(VenueDataError, match=r"fake did not give its leverage tiers: KeyError: .*with your keys"):
        fetch_tiers(Exchange({"fetchMarketLeverageTiers": True}, {}), BTC)

    class Later(Exchange):
        async def fetch_market_leverage_tiers(self, symbol):
            return self.answers[symbol]

    with pytest.raises(ParameterError, match="exchange='fake' is an asynchronous one"):
        fetch_tiers(Later({"fetchMarketLeverageTiers": True}, {}), BTC)


def test_ccxt_is_imported_on_use(monkeypatch):
    made = []

    def okx(config):
        made.append(config)
        return Exchange({"fetchMarketLeverageTiers": True}, {BTC: ccxt_rows()})

    monkeypatch.setitem(sys.modules, "ccxt", SimpleNamespace(exchanges=["okx", "binance"], okx=okx))
    assert BTC in fetch_tiers("okx", BTC)["data"]
    assert made == [{"enableRateLimit": True}]
    with pytest.raises(ParameterError, match="exchange='binanse' is unknown to ccxt; did you mean 'binance'"):
        fetch_tiers("binanse", BTC)
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'fetch_tiers needs ccxt; install it with: pip install "liqsim\[data\]"'
    ):
        fetch_tiers("okx", BTC)


# -- a whole venue -------------------------------------------------------------------------------------------------


def test_every_bracket_of_binance_is_imported(shared):
    path = shared / "data" / "leverage_tiers_binance_2026-09.csv.gz"
    if not path.is_file():
        pytest.skip("bracket table not present")
    book = read_book(path)
    assert len(book.symbols) == 907
    for symbol in book.symbols:
        table = book.table(symbol)
        tiers = table.tiers("quote")
        assert table.shape_for(tiers, "quote", None)[0] == "marginal"
        published = [float(row.values["maintenance_amount"]) for row in table.rows]
        assert MarginalTiers(tiers=tiers).deductions.tolist() == pytest.approx(published, rel=1e-12, abs=1e-9)
    venue = read_tiers(path, "ETH/BTC:BTC")
    assert (venue.contract.kind, venue.contract.quote, venue.margin.tiers[-1].cap) == ("linear", "BTC", 10_000)
    btc = read_tiers(path, BTC)
    assert btc.margin.tiers[0] == (0, 300_000, 0.004, 150)
    assert btc.margin.maintenance(1e6) == pytest.approx(0.0065 * 1e6 - 1500)


@pytest.mark.parametrize("path", [None, 5])
def test_a_file_has_a_name(path):
    with pytest.raises(ParameterError, match=f"path={path} is not a path; give the name of a JSON, CSV or TOML file"):
        read_tiers(path)
