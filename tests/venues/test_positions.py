import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from liqsim.errors import MarginRuleError, ParameterError, VenueDataError
from liqsim.positions import (
    bankruptcy_price,
    initial_margin,
    liquidation_price,
    maintenance_margin,
    unrealised_pnl,
)
from liqsim.venues import (
    Contract,
    FixedPerContract,
    FlatLeverage,
    LinearInSize,
    MarginalTiers,
    MarginWindow,
    Venue,
    WholePositionTiers,
    WindowedRates,
    load_venue,
)

TIERS = [(0, 5e4, 0.004, 125), (5e4, 2e5, 0.01, 50), (2e5, 1e6, 0.05, 10), (1e6, None, 0.15, 4)]
COIN_TIERS = [(0, 1, 0.004, 125), (1, 4, 0.01, 50), (4, 20, 0.05, 10), (20, None, 0.15, 4)]
ENTRY = 50_000.0


def flat(rate, contract="linear", **options):
    return Venue.from_tiers([(0, None, rate, 0.99 / rate)], contract=contract, **options)


def plain_requirement(venue, side, quantity, entry, price, leverage):
    """The requirement in settlement currency, written from the rules without the pieces."""
    inverse = venue.contract.kind == "inverse"
    schedule = venue.margin

    def value(p):
        return quantity / p if inverse else quantity * p

    def size(p):
        if schedule.unit == "contracts":
            return quantity / venue.contract.multiplier
        if schedule.unit == "quote":
            return quantity if inverse else quantity * p
        return quantity / p if inverse else quantity

    fee = schedule.closing_fee_rate * value(price)
    if isinstance(schedule, LinearInSize):
        return fee + (schedule.maintenance_base + schedule.slope * size(price)) * value(price)
    if isinstance(schedule, FixedPerContract):
        return fee + schedule.maintenance_per_contract * size(price)
    if isinstance(schedule, FlatLeverage):
        at = price if side == "short" and schedule.shorts_in_base else entry
        return fee + schedule.liquidation_level * value(at) / leverage
    if isinstance(schedule, WindowedRates):
        window = schedule.windows[0]
        rate = window.long_rate if side == "long" else window.short_rate
        return fee + schedule.maintenance_share * rate * value(price)
    at = price if schedule.charged_on == "mark" else entry
    n = size(at)
    if isinstance(schedule, MarginalTiers):
        total = sum(t.maintenance_rate * max(0.0, min(n, t.cap) - t.floor) for t in schedule.tiers)
        rate = total / n
    else:
        rate = next(t.maintenance_rate for t in schedule.tiers if n <= t.cap)
    return fee + rate * value(at)


def plain_excess(venue, side, quantity, entry, price, margin, leverage):
    s = 1 if side == "long" else -1
    inverse = venue.contract.kind == "inverse"
    pnl = s * quantity * ((1 / entry - 1 / price) if inverse else (price - entry))
    return margin + pnl - plain_requirement(venue, side, quantity, entry, price, leverage)


def searched_price(excess, side):
    """First price, going against the position, at which the excess is gone; a scan, then bisection."""
    ratios = np.exp(np.linspace(0.0, 12.0, 6001))
    prices = ENTRY * (ratios if side == "short" else 1.0 / ratios)
    safe = prices[0]
    for price in prices[1:]:
        if excess(price) <= 0.0:
            break
        safe = price
    else:
        return math.inf if side == "short" else 0.0
    for _ in range(80):
        middle = 0.5 * (safe + price)
        if excess(middle) <= 0.0:
            price = middle
        else:
            safe = middle
    return price


def schedules(kind):
    rows = COIN_TIERS
    every = [
        MarginalTiers(tiers=TIERS),
        MarginalTiers(tiers=TIERS, closing_fee_rate=0.001),
        MarginalTiers(tiers=TIERS, charged_on="entry"),
        MarginalTiers(tiers=rows, unit="base"),
        MarginalTiers(tiers=rows, unit="base", charged_on="entry", closing_fee_rate=0.0005),
        WholePositionTiers(tiers=TIERS),
        WholePositionTiers(tiers=TIERS, charged_on="entry"),
        WholePositionTiers(tiers=rows, unit="base", closing_fee_rate=0.0005),
        LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=0.002),
        FlatLeverage(max_leverage=5, liquidation_level=0.4, call_level=0.8),
        WindowedRates(windows=(MarginWindow("all", 0.1, 0.13),), maintenance_share=0.7),
    ]
    return [*every, FixedPerContract(maintenance_per_contract=900.0, initial_ratio=1.1)] if kind == "linear" else every


CASES = [(kind, index) for kind in ("linear", "inverse") for index in range(len(schedules(kind)))]


@pytest.mark.parametrize(("kind", "index"), CASES)
@pytest.mark.parametrize("side", ["long", "short"])
def test_liquidation_price_is_the_first_crossing_found_by_search(kind, side, index):
    schedule = schedules(kind)[index]
    contract = Contract(kind, multiplier=0.1 if kind == "linear" else 1.0)
    venue = Venue(id="t", name="t", product="t", contract=contract, margin=schedule)
    whole = isinstance(schedule, WholePositionTiers)

    @settings(max_examples=12, deadline=None)
    @given(notional=st.floats(1e3, 3e6), share=st.floats(0.005, 1.4), leverage=st.floats(1.0, 5.0))
    def check(notional, share, leverage):
        q = notional / ENTRY if kind == "linear" else notional
        value = notional if kind == "linear" else notional / ENTRY
        margin = share * value
        kept = {"leverage": leverage} if isinstance(schedule, FlatLeverage) else {}

        def excess(price):
            return plain_excess(venue, side, q, ENTRY, price, margin, leverage)

        assume(excess(ENTRY) > 1e-6 * value)
        found = liquidation_price(venue, side, entry_price=ENTRY, quantity=q, margin=margin, **kept)
        expected = searched_price(excess, side)
        if found in (0.0, math.inf) or expected in (0.0, math.inf):
            assert found == expected or min(found, expected) > ENTRY * 1e5 or max(found, expected) < ENTRY * 1e-5
            return
        assert found == pytest.approx(expected, rel=1e-9)
        if not whole:
            assert abs(excess(found)) <= 1e-9 * max(value, margin, abs(excess(ENTRY)))

    check()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["linear", "inverse"]),
    st.sampled_from(["long", "short"]),
    st.floats(1e3, 1e6),
    st.floats(1.0, 9.0),
    st.floats(1.001, 1.05),
)
def test_liquidation_price_moves_toward_the_entry_with_leverage(kind, side, notional, leverage, more):
    venue = Venue.from_tiers(TIERS, contract=kind)
    q = notional / ENTRY if kind == "linear" else notional
    low, high = liquidation_price(venue, side, entry_price=ENTRY, quantity=q, leverage=[leverage, leverage * more])
    assert low < high < ENTRY if side == "long" else low > high > ENTRY


def test_below_maintenance_at_entry_the_price_lies_on_the_favourable_side():
    venue = flat(0.05)
    found = liquidation_price(venue, entry_price=100.0, quantity=1.0, margin=2.0)
    assert found == pytest.approx(98.0 / 0.95)
    assert found > 100.0


def test_no_price_liquidates():
    assert liquidation_price(flat(0.01), entry_price=100.0, quantity=1.0, leverage=1.0) == 0.0
    assert (
        liquidation_price(flat(0.01, "inverse"), "short", entry_price=100.0, quantity=100.0, leverage=1.0) == math.inf
    )
    assert bankruptcy_price(flat(0.01, "inverse"), "short", entry_price=100.0, quantity=100.0, margin=2.0) == math.inf


def test_arrays_broadcast_and_scalars_stay_scalar():
    venue = Venue.from_tiers(TIERS)
    leverage = np.array([2.0, 3.0, 3.9])
    entry = np.array([[4e4], [5e4]])
    found = liquidation_price(venue, "short", entry_price=entry, quantity=0.5, leverage=leverage)
    assert found.shape == (2, 3)
    for i, p in enumerate(entry[:, 0]):
        for j, lev in enumerate(leverage):
            one = liquidation_price(venue, "short", entry_price=p, quantity=0.5, leverage=lev)
            assert isinstance(one, float)
            assert one == found[i, j]
    assert bankruptcy_price(venue, entry_price=5e4, quantity=0.5, leverage=leverage).shape == (3,)
    assert initial_margin(venue, entry_price=5e4, quantity=0.5, leverage=[2, 4]).tolist() == [12_500.0, 6_250.0]


def test_inverse_and_linear_agree_to_first_order():
    linear, inverse = flat(0.004), flat(0.004, "inverse")
    for side in ("long", "short"):
        moves = [
            liquidation_price(linear, side, entry_price=1.0, quantity=1.0, leverage=100.0) - 1.0,
            liquidation_price(inverse, side, entry_price=1.0, quantity=1.0, leverage=100.0) - 1.0,
        ]
        assert moves[0] == pytest.approx(moves[1], abs=1e-4)


def test_the_tier_is_the_one_at_the_liquidation_price():
    # a short of 90 000 grows through the tier bound at 100 000 before it is liquidated
    venue = Venue.from_tiers([(0, 1e5, 0.01, 50), (1e5, None, 0.2, 4)])
    found = liquidation_price(venue, "short", entry_price=90.0, quantity=1000.0, leverage=4.0)
    # 22 500 - 1000 (P - 90) = 0.2 * 1000 P - 19 000
    assert found == pytest.approx((22_500 + 90_000 + 19_000) / 1200)
    assert maintenance_margin(venue, price=found, quantity=1000.0) == pytest.approx(22_500 - 1000 * (found - 90))


def test_funding_paid_moves_the_price_toward_the_entry():
    venue = flat(0.01)
    before = liquidation_price(venue, entry_price=100.0, quantity=1.0, margin=10.0)
    after = liquidation_price(venue, entry_price=100.0, quantity=1.0, margin=10.0, funding_paid=1.0)
    assert after == liquidation_price(venue, entry_price=100.0, quantity=1.0, margin=9.0) > before


# Worked figures. Binance FAQ (via freqtrade c9ae5e1, 2024-10-24): two positions in cross mode.
def binance(rate, amount):
    floor = 2.0 * amount / rate
    return Venue.from_tiers([(0, floor, rate / 2, 1 / rate), (floor, None, rate, 0.9 / rate)])


def test_binance_faq():
    eth, btc = binance(0.1, 135_365.0), binance(0.025, 16_300.0)
    found = liquidation_price(eth, entry_price=1456.84, quantity=3683.979, margin=1_535_443.01)
    assert found == pytest.approx(1114.78, abs=0.01)
    cross = liquidation_price(
        btc,
        entry_price=32_481.98,
        quantity=109.488,
        margin=1_535_443.01,
        margin_mode="cross",
        other_pnl=unrealised_pnl(eth, entry_price=1456.84, price=1335.18, quantity=3683.979),
        other_maintenance=maintenance_margin(eth, price=1335.18, quantity=3683.979),
    )
    assert cross == pytest.approx(26_316.89, abs=0.01)


def test_closing_fee_form_of_okx_and_gate():
    # freqtrade c9ae5e1, 2024-10-24: (entry -/+ margin/size) / (1 -/+ (MMR + fee))
    venue = flat(0.01, closing_fee_rate=0.0006)
    long = liquidation_price(venue, entry_price=10.0, quantity=1.0, margin=10 / 3)
    short = liquidation_price(venue, "short", entry_price=10.0, quantity=1.0, leverage=3)
    assert (long, short) == pytest.approx((6.738090425173506, 13.193482419684678), rel=1e-12)


def test_bybit_forms():
    # linear on entry value (freqtrade, 2024-10-24); inverse on entry value (UTA article, 2024)
    linear = flat(0.01, charged_on="entry")
    assert liquidation_price(linear, entry_price=10.0, quantity=1.0, leverage=10) == pytest.approx(9.1)
    assert liquidation_price(linear, "short", entry_price=10.0, quantity=1.0, leverage=5) == pytest.approx(11.9)
    inverse = flat(0.005, "inverse", charged_on="entry", unit="base")
    found = liquidation_price(inverse, "short", entry_price=5e4, quantity=6e4, leverage=10)
    assert found == pytest.approx(55_248.62, abs=0.5)
    # 2026, on mark value, with a deduction in coin: Q (1 + MMR) / (Q/P0 + Q/P0/L + ded)
    tiers = [(0, 1, 0.005, 100), (1, None, 0.01, 50)]
    mark = Venue.from_tiers(tiers, contract="inverse", unit="base")
    found = liquidation_price(mark, entry_price=5e4, quantity=2e5, leverage=10)
    assert found == pytest.approx(2e5 * 1.01 / (4 * 1.1 + 0.005), rel=1e-12)
    # cross inverse, bankruptcy with fee: (1 + fee) Q / (Q/P0 + free balance)
    found = bankruptcy_price(
        mark, entry_price=5e4, quantity=2e5, margin=0.7, margin_mode="cross", closing_fee_rate=0.0006
    )
    assert found == pytest.approx(1.0006 * 2e5 / (4 + 0.7), rel=1e-12)


def test_bitmex_recorded_frame():
    # recorded exchange frames, 2019-01-19 (zsluedem/monkq): 1000 contracts, entry 3621, 5x, tick 0.5
    venue = load_venue("bitmex-xbtusd")
    venue = dataclasses.replace(venue, contract=dataclasses.replace(venue.contract, tick=0.5))  # 0.1 by 2024
    terms = {"entry_price": 3621.0, "quantity": 1000.0, "leverage": 5}
    assert liquidation_price(venue, round_to_tick=True, **terms) == 3030.5
    assert liquidation_price(venue, **terms) == pytest.approx(1000 * 1e8 / 33_002_315, abs=0.05)
    assert bankruptcy_price(venue, **terms) == pytest.approx(3018.0, abs=1.0)
    short = liquidation_price(venue, "short", round_to_tick=True, **terms)
    exact = liquidation_price(venue, "short", **terms)
    assert exact - 0.5 < short <= exact
    assert short % 0.5 == 0.0


def test_rounding_leaves_a_price_on_the_grid_alone():
    venue = flat(0.005, "inverse", charged_on="entry")
    venue = dataclasses.replace(venue, contract=Contract("inverse", tick=0.5))
    assert bankruptcy_price(venue, entry_price=3621.0, quantity=1000, leverage=5, round_to_tick=True) == 3017.5
    assert liquidation_price(flat(0.01), entry_price=1.0, quantity=1.0, leverage=1.0) == 0.0
    with pytest.raises(ParameterError, match="round_to_tick=True needs the tick of custom"):
        liquidation_price(flat(0.01), entry_price=1.0, quantity=1.0, leverage=2.0, round_to_tick=True)


@pytest.mark.parametrize("side", ["long", "short"])
def test_kraken_inverse_closed_form(side):
    # https://support.kraken.com/hc/en-us/articles/360022835671 (2026-03-17): Q (1 +/- mm) / (Q/P0 +/- W)
    venue, s = load_venue("kraken-pi-xbtusd"), 1 if side == "long" else -1
    q, p0, w = 4e5, 5e4, 0.9
    found = liquidation_price(venue, side, entry_price=p0, quantity=q, margin=w)
    assert found == pytest.approx(q * (1 + s * 0.01) / (q / p0 + s * w), rel=1e-12)
    zero = bankruptcy_price(venue, side, entry_price=p0, quantity=q, margin=w)
    assert zero == pytest.approx(q / (q / p0 + s * w), rel=1e-12)


@pytest.mark.parametrize("side", ["long", "short"])
def test_deribit_price_solves_the_quadratic(side):
    venue, s = load_venue("deribit-btc-perpetual"), 1 if side == "long" else -1
    q, p0, e0 = 2e7, 5e4, 30.0
    x = 1.0 / liquidation_price(venue, side, entry_price=p0, quantity=q, margin=e0)
    assert e0 + s * q * (1 / p0 - x) == pytest.approx((0.01 + 5e-5 * q * x) * q * x, rel=1e-12)


@pytest.mark.parametrize("level", [0.4, 0.8])
def test_kraken_spot_levels(level):
    # https://support.kraken.com/hc/en-us/articles/203053156: B 5000, 0.2 BTC at 50 000, 5x
    venue = load_venue("kraken-spot-xbtusd")
    margin = dataclasses.replace(venue.margin, liquidation_level=level)
    venue = dataclasses.replace(venue, margin=margin)
    terms = {"entry_price": 5e4, "quantity": 0.2, "margin": 5000.0, "margin_mode": "cross", "leverage": 5}
    assert liquidation_price(venue, "long", **terms) == pytest.approx(5e4 - (5000 - level * 2000) / 0.2)
    assert liquidation_price(venue, "short", **terms) == pytest.approx((5000 + 1e4) / (0.2 * (1 + level / 5)))


def test_cme_call_price():
    # P* = P0 - (E0 - MM |N|) / (N m)
    venue = load_venue("cme-mbt")
    found = liquidation_price(venue, entry_price=77_835.0, quantity=0.5, margin=5 * 2500.0)
    assert found == pytest.approx(77_835.0 - (12_500 - 5 * 1713) / 0.5)
    assert initial_margin(venue, entry_price=77_835.0, quantity=0.1) == pytest.approx(1884.3)


def test_hyperliquid_form():
    # price - s A / q / (1 - l s): hyperliquid-co.gitbook.io liquidations
    found = liquidation_price(load_venue("hyperliquid-btc"), "short", entry_price=100.0, quantity=10.0, leverage=10)
    assert found == pytest.approx(108.641975, rel=1e-6)


GOOD = {"entry_price": 100.0, "quantity": 1.0, "leverage": 5.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "buy"}, 'side=\'buy\' is not a side; give "long" or "short"'),
        ({"entry_price": 0.0}, r"entry_price=0.0 is not allowed; give a finite number above 0 \(USD per BTC\)"),
        ({"entry_price": math.nan}, "entry_price=nan is not allowed"),
        ({"quantity": -1.0}, r"quantity=-1.0 is not allowed; give a finite number above 0 \(BTC\)"),
        ({"quantity": "1"}, "quantity='1' is not a number"),
        ({"leverage": -2.0}, "leverage=-2.0 is not allowed"),
        ({"leverage": None}, "neither leverage nor margin is given; give exactly one"),
        ({"margin": 10.0}, "leverage=5.0 and margin=10.0 are both given; give exactly one"),
        ({"leverage": None, "margin": -1.0}, r"margin=-1.0 is not allowed; give a finite number above 0 \(USD\)"),
        ({"leverage": None, "margin": math.inf}, "margin=inf is not finite"),
        ({"margin_mode": "portfolio"}, 'margin_mode=\'portfolio\' is unknown; give "isolated" or "cross"'),
        ({"margin_mode": "cross"}, 'margin_mode="cross" needs margin, the wallet balance'),
        ({"other_pnl": 5.0}, "belong to the other positions of a cross-margined account"),
        ({"other_maintenance": -5.0, "margin_mode": "cross"}, "other_maintenance=-5.0 must be 0 or more"),
        ({"funding_paid": math.nan}, "funding_paid=nan is not finite"),
        ({"quantity": [1.0, 2.0], "leverage": [1.0, 2.0, 3.0]}, "do not broadcast together"),
    ],
)
def test_bad_input_is_named(change, message):
    terms = {**GOOD, **change}
    side = terms.pop("side", "long")
    with pytest.raises(ParameterError, match=message):
        liquidation_price(Venue.from_tiers(TIERS), side, **terms)


def test_positions_beyond_the_rules_are_refused():
    venue = load_venue("binance-usdm-btcusdt")
    with pytest.raises(MarginRuleError, match=r"leverage=126\.0 exceeds 125\.0 allowed"):
        liquidation_price(venue, entry_price=6e4, quantity=0.1, leverage=126)
    with pytest.raises(MarginRuleError, match="beyond the last tier"):
        liquidation_price(venue, entry_price=6e4, quantity=1e6, margin=1e9)
    with pytest.raises(ParameterError, match=r"closing_fee_rate=2\.0 is not allowed"):
        bankruptcy_price(venue, entry_price=6e4, quantity=1.0, leverage=2, closing_fee_rate=2.0)


BITMEX = {"entry_price": 6e4, "quantity": 1e5, "leverage": 5}
CALLS = {
    liquidation_price: BITMEX,
    bankruptcy_price: BITMEX,
    initial_margin: BITMEX,
    maintenance_margin: {"price": 6e4, "quantity": 1e5},
    unrealised_pnl: {"entry_price": 6e4, "price": 5e4, "quantity": 1e5},
}


@pytest.mark.parametrize("function", CALLS)
def test_ids_stand_for_shipped_venues(function):
    for name in ("bitmex-xbtusd", "bitmex-xbtusd@2020-05-05"):
        assert function(name, "short", **CALLS[function]) == function(load_venue(name), "short", **CALLS[function])
    with pytest.raises(VenueDataError, match="venue 'bitmex' is unknown; did you mean 'bitmex-xbtusd'"):
        function("bitmex", **CALLS[function])
    with pytest.raises(ParameterError, match="venue=None is not a Venue; give one, or the id of a shipped one"):
        function(None, **CALLS[function])


@pytest.mark.parametrize("function", [liquidation_price, bankruptcy_price, initial_margin, maintenance_margin])
def test_a_window_is_refused_where_there_are_none(function):
    with pytest.raises(ParameterError, match=r"window='x' means nothing to bitmex-xbtusd, .*; leave it out"):
        function("bitmex-xbtusd", window="x", **CALLS[function])


@pytest.mark.parametrize("function", [liquidation_price, bankruptcy_price])
def test_rounding_is_a_flag(function):
    with pytest.raises(ParameterError, match="round_to_tick=1 is not allowed; give True or False"):
        function("bitmex-xbtusd", round_to_tick=1, **BITMEX)
    for venue, tick, decimals in (("bitmex-xbtusd@2020-05-05", 0.5, 1), ("bitmex-xbtusd", 0.1, 1)):
        exact = function(venue, **BITMEX)
        price = function(venue, round_to_tick=np.True_, **BITMEX)
        assert 0 <= price - exact < tick  # toward the entry of a long
        assert price == round(round(price / tick) * tick, decimals)


def test_what_no_source_states_is_asked_for_by_its_name():
    position = {"entry_price": 6e4, "quantity": 1.0, "leverage": 2.0}
    call = r'no source states margin.maintenance_share; give it: load_venue\("coinbase-bip"\).assume\(\{'
    with pytest.raises(VenueDataError, match=call):
        liquidation_price("coinbase-bip", **position, window="overnight")
    with pytest.raises(VenueDataError, match=call) as caught:
        maintenance_margin("coinbase-bip", price=6e4, quantity=1.0)
    assert caught.value.__notes__ == [
        "In a shell, liqsim price and liqsim venues compare take --assume coinbase-bip:margin.maintenance_share=..."
    ]
    assert initial_margin("coinbase-bip", **position) == bankruptcy_price("coinbase-bip", **position) == 3e4
    with pytest.raises(VenueDataError, match=r"no source states margin.tiers; give it"):
        initial_margin("okx-btcusdt", entry_price=6e4, quantity=1.0)
    assert liquidation_price("kraken-spot-xbtusd", **position) > 0  # fee and hazard are not asked for


def test_messages_have_one_pair_of_brackets():
    with pytest.raises(ParameterError, match=r"give exactly one \(margin in BTC\)$"):
        liquidation_price("bitmex-xbtusd", entry_price=6e4, quantity=1e5)
    with pytest.raises(ParameterError, match=r"give exactly one \(margin in BTC\)$"):
        liquidation_price("bitmex-xbtusd", **BITMEX, margin=1.0)
