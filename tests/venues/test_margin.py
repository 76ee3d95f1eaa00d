import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqsim as lq
from liqsim.errors import MarginRuleError, ParameterError, VenueDataError
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price
from liqsim.venues import (
    Contract,
    FixedPerContract,
    FlatLeverage,
    LinearInSize,
    MarginalTiers,
    MarginWindow,
    UnstatedSchedule,
    Venue,
    WholePositionTiers,
    WindowedRates,
    load_venue,
)
from liqsim.venues.margin import Terms
from liqsim.venues.tiers import refuse_unopenable

TWO = [(0, 1e6, 0.01, 50), (1e6, None, 0.02, 25)]

# Binance BTCUSDT brackets of 2024-10-24 (freqtrade binance_leverage_tiers.json): published deductions.
BINANCE_DEDUCTIONS = [
    0, 50, 950, 11_450, 131_450, 481_450, 2_981_450, 14_481_450, 26_481_450, 41_481_450, 121_481_450, 421_481_450,
]  # fmt: skip


@st.composite
def tier_tables(draw):
    n = draw(st.integers(1, 6))
    widths = draw(st.lists(st.floats(1e3, 1e7), min_size=n, max_size=n))
    steps = draw(st.lists(st.floats(0.0, 0.05), min_size=n, max_size=n))
    floors = np.concatenate([[0.0], np.cumsum(widths)[:-1]])
    caps = [*np.cumsum(widths)[:-1].tolist(), math.inf]
    rates = 0.002 + np.cumsum(steps)
    return [(f, c, r, 1.0 / (1.5 * r + 0.001)) for f, c, r in zip(floors.tolist(), caps, rates.tolist(), strict=True)]


@settings(max_examples=60, deadline=None)
@given(tier_tables(), st.lists(st.floats(1.0, 1e8), min_size=2, max_size=2, unique=True))
def test_marginal_maintenance_is_continuous_increasing_and_convex(tiers, sizes):
    schedule = MarginalTiers(tiers=tiers)
    edges = schedule.caps[:-1]
    below, above = schedule.maintenance(edges), schedule.maintenance(np.nextafter(edges, np.inf))
    np.testing.assert_allclose(below, above, rtol=1e-12)
    low, high = sorted(sizes)
    m_low, m_mid, m_high = schedule.maintenance([low, 0.5 * (low + high), high])
    assert m_low <= m_high
    assert m_mid <= 0.5 * (m_low + m_high) * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(tier_tables(), st.floats(1.0, 1e8), st.sampled_from(["long", "short"]))
def test_lines_reproduce_the_schedule(tiers, notional, side):
    venue = Venue.from_tiers(tiers)
    slopes, intercepts = venue.maintenance_lines(notional, 60_000.0, side)
    w = np.linspace(0.01, 10.0, 201)
    lines = np.max(slopes[:, None] * w + intercepts[:, None], axis=0)
    np.testing.assert_allclose(lines, venue.margin.maintenance(notional * w) / notional, rtol=1e-9, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(tier_tables(), st.floats(1.0, 1e8))
def test_inverse_tiers_in_contracts_do_not_move_and_in_coin_do(tiers, notional):
    fixed = Venue.from_tiers(tiers, contract="inverse")
    slopes, intercepts = fixed.maintenance_lines(notional, 50_000.0, "long")
    assert slopes.shape == (1,)
    assert intercepts[0] == 0.0
    assert slopes[0] == pytest.approx(float(fixed.margin.maintenance(notional)) / notional)
    coin = Venue.from_tiers(tiers, contract="inverse", unit="base")
    slopes, intercepts = coin.maintenance_lines(notional, 50_000.0, "long")
    x = notional / 50_000.0
    w = np.linspace(0.1, 10.0, 50)
    lines = np.max(slopes[:, None] * w + intercepts[:, None], axis=0)
    np.testing.assert_allclose(lines, coin.margin.maintenance(x * w) / x, rtol=1e-9, atol=1e-15)


def test_rebuilt_deductions_are_the_published_ones():
    schedule = load_venue("binance-usdm-btcusdt").margin
    np.testing.assert_allclose(schedule.deductions, BINANCE_DEDUCTIONS, rtol=1e-12)


def test_hyperliquid_published_recursion():
    # https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers (testnet pilot tiers)
    tiers = [(0, 2e4, 0.05, 10), (2e4, 1e5, 0.1, 5), (1e5, None, 1 / 6, 3)]
    schedule = MarginalTiers(tiers=tiers)
    np.testing.assert_allclose(schedule.deductions, [0.0, 1000.0, 7666.666667], rtol=1e-6)
    np.testing.assert_allclose(schedule.maintenance([1e4, 5e4, 2e5]), [500.0, 4000.0, 25666.666667], rtol=1e-6)


def test_entry_based_requirement_is_a_constant_line():
    venue = Venue.from_tiers(TWO, charged_on="entry")
    slopes, intercepts = venue.maintenance_lines(2e6, 6e4, "long")
    assert slopes.tolist() == [0.0]
    assert intercepts.tolist() == pytest.approx([0.015])


def test_closing_fee_adds_to_the_slope():
    slopes, _ = Venue.from_tiers(TWO, closing_fee_rate=0.0006).maintenance_lines(1e4, 6e4, "long")
    assert slopes[0] == pytest.approx(0.0106)


def test_marginal_initial_margin_sums_slices():
    # Kraken: 2 % of the first 1M and 4 % of the next 0.5M
    venue = load_venue("kraken-pf-xbtusd")
    assert float(venue.margin.initial(1.5e6)) == pytest.approx(40_000.0)
    assert float(venue.max_leverage(1.5e6, 6e4)) == pytest.approx(37.5)


def test_risk_limit_steps():
    # https://www.bitmex.com/app/riskLimitsExamples: base 200, step 150 and the older base 100, step 50
    new = WholePositionTiers.from_steps(base_limit=200, step=150, base_maintenance=0.005, base_initial=0.01)
    assert float(new.maintenance(180)) == pytest.approx(0.9)
    np.testing.assert_allclose(new.rates[new.tier_index([180, 200, 201, 350, 351])], [0.005, 0.005, 0.01, 0.01, 0.015])
    old = WholePositionTiers.from_steps(base_limit=100, step=50, base_maintenance=0.005, base_initial=0.02)
    np.testing.assert_allclose(old.initial_rates[old.tier_index([80, 130])], [0.02, 0.025])
    assert old.initial_rates[-1] <= 1.0


def test_whole_position_lines_within_entry_and_refused_at_mark():
    bitmex = load_venue("bitmex-xbtusd")
    slopes, intercepts = bitmex.maintenance_lines(1e5, 6e4, "long")
    assert (slopes.tolist(), intercepts.tolist()) == ([0.0], [0.005])
    assert bitmex.maintenance_lines(300 * 6e4, 6e4, "short")[1].tolist() == [0.01]
    okx = dataclasses.replace(bitmex, contract=Contract("linear"), margin=WholePositionTiers(tiers=TWO))
    with pytest.raises(MarginRuleError, match="jumps when the position's value crosses a tier"):
        okx.maintenance_lines(1e5, 6e4, "long")


def test_linear_in_size():
    # Deribit: https://support.deribit.com/hc/en-us/articles/25944738177565-Linear-Perpetual and 2022-01-11 note
    schedule = LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=5e-5)
    assert float(schedule.maintenance(100)) == pytest.approx(1.5)
    assert float(schedule.initial(100)) == pytest.approx(2.5)
    linear = load_venue("deribit-btc_usdc")
    assert linear.maintenance_lines(350 * 1e5, 1e5, "long")[0][0] == pytest.approx(0.0275)
    with pytest.raises(MarginRuleError, match="quadratic"):
        load_venue("deribit-btc-perpetual").maintenance_lines(1e5, 6e4, "long")


def test_linear_in_size_without_slope_is_the_flat_rule():
    flat = Venue.from_tiers([(0, None, 0.01, 50)], contract="inverse")
    deribit = dataclasses.replace(flat, margin=LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=0.0))
    for a, b in zip(flat.maintenance_lines(1e5, 6e4, "long"), deribit.maintenance_lines(1e5, 6e4, "long"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fixed_per_contract():
    # CME margins: 2020-04-28 12,837 USD with initial 14,121; MBT 2026-08-29 1,713 USD at 77,835
    future = FixedPerContract(maintenance_per_contract=12_837, initial_ratio=1.1)
    assert float(future.initial(1)) == pytest.approx(14_121, abs=1)
    mbt = load_venue("cme-mbt")
    slopes, intercepts = mbt.maintenance_lines(77_835 * 0.1, 77_835.0, "short")
    assert slopes.tolist() == [0.0]
    assert intercepts[0] == pytest.approx(0.2201, abs=2e-4)


def test_flat_leverage_needs_the_leverage():
    spot = load_venue("kraken-spot-xbtusd")
    with pytest.raises(MarginRuleError, match=r"depends on the leverage chosen.*\[1, 5\]"):
        spot.maintenance_lines(1e4, 5e4, "long")
    for side, expected in (("long", [0.0, 0.08]), ("short", [0.08, 0.0])):
        slope, intercept = spot.maintenance_lines(1e4, 5e4, side, leverage=5)
        assert [slope[0], intercept[0]] == pytest.approx(expected)


def test_windows():
    windows = (
        MarginWindow("intraday", 0.1, 0.1, "08:00", "16:00", "America/New_York"),
        MarginWindow("overnight", 0.25, 0.3),
    )
    bare = WindowedRates(windows=windows)
    assert float(bare.initial(100.0, Terms("short", window="overnight"))) == pytest.approx(30.0)
    assert float(bare.initial_rate(1.0, 1.0, Terms("short"))) == 0.3
    with pytest.raises(MarginRuleError, match=r"changes with the time of day.*say which window holds"):
        bare.initial(100.0)
    with pytest.raises(VenueDataError, match="liquidation threshold as a share of the initial margin; give one"):
        bare.maintenance(100.0, Terms(window="intraday"))
    with pytest.raises(ParameterError, match="window='noon' is unknown; give one of 'intraday', 'overnight'"):
        bare.initial(100.0, Terms(window="noon"))
    bip = load_venue("coinbase-bip")
    known = dataclasses.replace(bip, margin=dataclasses.replace(bip.margin, maintenance_share=0.5))
    slopes, _ = known.maintenance_lines(1e4, 6e4, "long", window="overnight")
    assert slopes[0] == pytest.approx(0.1228125)
    same = WindowedRates(windows=(MarginWindow("all", 0.1, 0.1),), maintenance_share=0.5)
    assert float(same.maintenance(100.0)) == 5.0


def test_an_unstated_schedule_says_what_to_give():
    for name in ("bybit-btcusdt", "okx-btcusdt"):
        venue = load_venue(name)
        assert isinstance(venue.margin, UnstatedSchedule)
        with pytest.raises(VenueDataError, match=rf'no source states.*load_venue\("{name}"\).assume\('):
            venue.check(2.0, 1e4, 6e4)
        with pytest.raises(VenueDataError, match=r"no source states.*give them with Venue.assume"):
            venue.margin.maintenance(1e4)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the tier table is empty"),
        ([(0, 1e6, 0.01)], r"tier 1 is \(0, 1000000.0, 0.01\); give \(floor, cap, maintenance_rate, max_leverage\)"),
        ([5], "tier 1 is 5; give"),
        (None, r"tiers=None is not a table; give a list of rows \(floor, cap, maintenance_rate, max_leverage\)"),
        ([(10, None, 0.01, 50)], "tier 1 starts at 10; the first floor must be 0"),
        ([(0, 1e6, 0.01, 50), (9e5, None, 0.02, 25)], "tier 2 overlaps tier 1: its floor 900000 is below the cap 1e"),
        (
            [(0, 1e6, 0.01, 50), (2e6, None, 0.02, 25)],
            r"hole between tier 1 \(cap 1e\+06\) and tier 2 \(floor 2e\+06\)",
        ),
        ([(0, 1e6, 0.02, 25), (1e6, None, 0.01, 25)], "tier 2 has maintenance_rate 0.01, below 0.02 of tier 1"),
        ([(0, 1e6, 0.01, 25), (1e6, None, 0.01, 50)], "tier 2 has max_leverage 50, above 25 of tier 1"),
        ([(0, None, 5, 20)], r"tier 1: maintenance_rate=5 is not allowed; give a finite number in \[0, 1\)"),
        ([(0, None, math.nan, 20)], "tier 1: maintenance_rate=nan is not allowed"),
        ([(0, None, 0.01, 0.5)], "tier 1: max_leverage=0.5 is not allowed"),
        ([(0, -1.0, 0.01, 50)], "tier 1: cap=-1.0 is not allowed"),
        ([(0, None, 0.01, 50), (1e6, None, 0.02, 25)], "tier 2 overlaps tier 1"),
        ([(0, "1e6", 0.01, 50)], "tier 1: cap='1e6' is not allowed"),
    ],
)
def test_a_bad_table_is_refused_with_the_row_named(rows, message):
    with pytest.raises(VenueDataError, match=message):
        Venue.from_tiers(rows)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MarginalTiers(tiers=TWO, unit="usd"), "unit='usd' is unknown; give one of 'quote', 'base'"),
        (lambda: MarginalTiers(tiers=TWO, charged_on="last"), "charged_on='last' is unknown"),
        (lambda: MarginalTiers(tiers=TWO, initial_shape="x"), "initial_shape='x' is unknown"),
        (lambda: MarginalTiers(tiers=TWO, closing_fee_rate=-0.1), "closing_fee_rate=-0.1 is not allowed"),
        (lambda: LinearInSize(maintenance_base=0.02, initial_base=0.01, slope=0), "initial_base=0.01 is not allowed"),
        (lambda: LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=-1), "slope=-1 is not allowed"),
        (lambda: FixedPerContract(maintenance_per_contract=0), "maintenance_per_contract=0 is not allowed"),
        (lambda: FixedPerContract(maintenance_per_contract=1, initial_ratio=0.9), "initial_ratio=0.9"),
        (lambda: FlatLeverage(max_leverage=5, liquidation_level=0.9, call_level=0.8), "call_level=0.8 is not"),
        (lambda: MarginWindow("day", 0.1, 0.1, "8:00", "16:00"), "start='8:00' is not a time of day"),
        (lambda: MarginWindow("day", 0.1, 0.1, "08:00"), "give both start and end"),
        (lambda: WindowedRates(windows=()), "need different names"),
        (lambda: Contract("perp"), "kind='perp' is not a contract kind"),
        (lambda: Contract("linear", multiplier=0), "multiplier=0 is not allowed"),
        (lambda: Contract("linear", base=""), "base='' is not a currency"),
        (lambda: Venue.from_tiers(TWO, funding=0.01), "funding=0.01 is not a funding rule"),
        (lambda: Venue.from_tiers(TWO, taker_fee=5), "taker=5 is not allowed"),
        (
            lambda: WholePositionTiers.from_steps(base_limit=1, step=0, base_maintenance=0.1, base_initial=0.2),
            "step=0 is not allowed",
        ),
    ],
)
def test_bad_rules_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_leverage_above_the_tier_is_refused():
    venue = load_venue("binance-usdm-btcusdt")
    venue.check(75.0, 1.2e6, 6e4)
    venue.check([2, 5, 50], 1.2e6, 6e4)
    with pytest.raises(
        MarginRuleError,
        match=r"leverage=80.0 exceeds 75.0 allowed for notional 1.2e6 USDT "
        r"\(tier 3 of binance-usdm-btcusdt, 2024-10-24\); lower the leverage or the notional",
    ):
        venue.check([2, 80.0], 1.2e6, 6e4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2.0, 2e9, 6e4), "notional=2000000000 USDT is beyond the last tier of binance.*which ends at 1800000000 USDT"),
        ((0.0, 1e5, 6e4), r"leverage=0.0 is not allowed; give a finite number above 0 \(notional / initial margin\)"),
        ((math.inf, 1e5, 6e4), "leverage=inf is not allowed"),
        ((2.0, math.nan, 6e4), "notional=nan is not allowed"),
        ((2.0, 1e5, -6e4), "price=-60000.0 is not allowed"),
        (("2", 1e5, 6e4), "leverage='2' is not a number"),
        ((2.0, 1e5, 6e4, "buy"), 'side=\'buy\' is not a side; give "long" or "short"'),
    ],
)
def test_check_refuses_bad_positions(arguments, message):
    with pytest.raises(ParameterError, match=message):
        load_venue("binance-usdm-btcusdt").check(*arguments)


def test_limits_in_quote():
    assert float(load_venue("binance-usdm-btcusdt").max_notional(6e4)) == 1.8e9
    assert float(load_venue("kraken-pi-xbtusd").max_notional(6e4)) == 75e6
    deribit = load_venue("deribit-btc_usdc")
    assert float(deribit.max_notional(1e5)) == pytest.approx(0.98 / 5e-5 * 1e5)


def test_a_position_limit_counts_contracts():
    """Coinbase BIP: 6 500 000 contracts of 0.01 BTC."""
    bip = load_venue("coinbase-bip").assume(maintenance_share=0.8)
    np.testing.assert_allclose(bip.max_notional([6e4, 7e4]), [65_000 * 6e4, 65_000 * 7e4], rtol=1e-15)
    at = {"entry_price": 6e4, "leverage": 3.0, "window": "overnight"}
    assert liquidation_price(bip, quantity=65_000.0, **at) == liquidation_price(bip, quantity=1.0, **at)
    message = r"6,500,100 contracts is above the limit of coinbase-bip, 2026-08-29, 6,500,000 contracts of 0\.01"
    with pytest.raises(MarginRuleError, match=message):
        liquidation_price(bip, quantity=65_001.0, **at)
    inverse = dataclasses.replace(Venue.from_tiers([(0, 5e6, 0.01, 50)]), contract=Contract("inverse", multiplier=10.0))
    few = dataclasses.replace(inverse, contract=dataclasses.replace(inverse.contract, position_limit=100.0))
    assert (float(inverse.max_notional(6e4)), float(few.max_notional(6e4))) == (5e6, 1e3)
    with pytest.raises(ParameterError, match=r"position_limit=0.* \(0, inf\) \(contracts\)"):
        Contract("linear", position_limit=0)


def test_money_per_contract_needs_a_linear_contract():
    with pytest.raises(ParameterError, match="FixedPerContract in contracts needs a linear contract"):
        dataclasses.replace(load_venue("cme-mbt"), contract=Contract("inverse"))


def test_a_quanto_position_by_hand():
    """BitMEX ETHUSD, 100 satoshi per contract and USD: 10,000 contracts at 3,000 are worth 30 XBT."""
    ether = Contract("quanto", "ETH", "USD", settlement="XBT", multiplier=1e-6)
    venue = Venue.from_tiers([(0, 50, 0.01, 50), (50, None, 0.02, 25)], contract=ether)
    position = {"entry_price": 3000.0, "quantity": 10_000}
    assert ether.value(10_000, 3000.0) == pytest.approx(30.0)
    assert venue.max_leverage(30.0, 3000.0) == pytest.approx(50)
    assert initial_margin(venue, **position, leverage=10) == pytest.approx(3.0)
    # 3 + 0.01 (P - 3000) = 0.01 x 0.01 P: the loss is 0.01 XBT a dollar
    assert liquidation_price(venue, **position, leverage=10) == pytest.approx((30 - 3) / (0.01 * 0.99))
    assert bankruptcy_price(venue, "short", **position, leverage=10) == pytest.approx(3300.0)
    with pytest.raises(MarginRuleError, match="holds no base coin"):
        dataclasses.replace(venue, margin=LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=1e-4)).check(
            5, 30.0, 3000.0
        )


def test_a_quanto_sweep_is_that_of_the_linear_contract_with_the_same_value():
    tiers = [(0, 50, 0.01, 50), (50, None, 0.02, 25)]
    ether = Contract("quanto", "ETH", "USD", settlement="XBT", multiplier=1e-6)
    runs = [
        lq.sweep(lq.GBM(0.8), Venue.from_tiers(tiers, contract=contract), leverage=[5, 20], notional=45.0, price=3000.0,
                 horizon="7D", n_paths=2000, seed=3)
        for contract in (ether, "linear")
    ]  # fmt: skip
    assert (runs[0].p_liquidation == runs[1].p_liquidation).all()
    assert (runs[0].pnl == runs[1].pnl).all()
    assert runs[0].initial_margin.attrs["units"] == "XBT"


def test_a_venues_table_must_be_openable_at_its_maximum_leverage():
    tiers = MarginalTiers(tiers=((0, None, 0.05, 20),)).tiers
    with pytest.raises(VenueDataError, match=r"tier 1 allows max_leverage 20, an initial margin of 0\.05"):
        refuse_unopenable("file", tiers)
    with pytest.raises(MarginRuleError, match=r"leverage=20 leaves a margin of 0\.05 .* keep leverage below 20"):
        lq.sweep(lq.GBM(0.5), lq.Venue.from_tiers([(0, None, 0.05, 20)]), leverage=20)
