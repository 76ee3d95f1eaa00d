import datetime as dt
import math

import numpy as np
import pytest

from liqsim.engine.timeline import venue_clock
from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues import (
    BasisCarry,
    Contract,
    DailyTimes,
    Fees,
    FixedFunding,
    Liquidation,
    PremiumFunding,
    Rollover,
    load_venue,
    parse_start,
)
from liqsim.venues.liquidation import bankruptcy_value, fillable_price, liquidation_buffer, margin_level


def test_premium_plus_clamped_interest():
    rule = PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3.75e-3)
    premium = np.array([-0.02, -0.001, 0.0, 1e-4, 0.0006, 0.002, 0.02])
    expected = np.clip(premium + np.clip(1e-4 - premium, -5e-4, 5e-4), -3.75e-3, 3.75e-3)
    np.testing.assert_array_equal(rule.rates(premium), expected)
    assert rule.rates(0.0006) == pytest.approx(1e-4)


def test_dead_band_is_interest_zero():
    # Deribit: max(+d, p) + min(-d, p), capped; funding specifications as read 2026-09-18
    rule = PremiumFunding("8h", clamp=2.5e-4, cap=5e-3)
    p = np.linspace(-0.01, 0.01, 401)
    np.testing.assert_allclose(
        rule.rates(p), np.clip(np.maximum(2.5e-4, p) + np.minimum(-2.5e-4, p), -5e-3, 5e-3), atol=1e-18
    )
    hourly = load_venue("deribit-btc-perpetual").funding
    np.testing.assert_allclose(hourly.rates(p) * 8, rule.rates(p), atol=1e-16)


def test_kraken_hourly_rate():
    # coefficient 8, cap 0.5 %/h, instruments endpoint as recorded 2026-09-07
    rule = load_venue("kraken-pf-xbtusd").funding
    np.testing.assert_allclose(rule.rates([0.0004, 0.08, -0.001]), [5e-5, 0.005, -0.000125], rtol=1e-12)
    assert rule.interval_days == pytest.approx(1 / 24)


def test_smoothing_and_change_cap():
    rule = load_venue("coinbase-bip").funding
    assert float(rule.rates(0.0024, previous=2e-4)) == pytest.approx(0.75 * 1e-4 + 0.25 * 2e-4)
    bitmex = load_venue("bitmex-xbtusd").funding
    assert float(bitmex.rates(0.05, previous=-0.003)) == pytest.approx(-0.003 + 0.00375)
    assert float(bitmex.rates(0.05, previous=0.003)) == pytest.approx(0.00375)


def test_bitmex_caps_follow_from_the_margin_rates():
    # 75 % of (IM - MM) and 75 % of MM, 2020-04-17
    venue = load_venue("bitmex-xbtusd")
    first = venue.margin.tiers[0]
    assert venue.funding.cap == pytest.approx(0.75 * (1 / first.max_leverage - first.maintenance_rate))
    assert venue.funding.change_cap == pytest.approx(0.75 * first.maintenance_rate)


def test_dydx_cap_follows_from_the_margin_rates():
    # 600 % of (IMR - MMR) per 8 h, protocol/testing/genesis.sh, 2026-03-05
    venue = load_venue("dydx-btc-usd")
    first = venue.margin.tiers[0]
    assert venue.funding.cap * 8 == pytest.approx(6.0 * (1 / first.max_leverage - first.maintenance_rate))


def test_fixed_funding_and_clock():
    rule = FixedFunding(1e-4, "8h")
    assert rule.rates(np.zeros(3)).tolist() == [1e-4] * 3
    assert rule.interval_years == pytest.approx(1 / 1095)
    assert rule.first_days == rule.interval_days
    assert FixedFunding(1e-4, "8h", first="1h").first_days == pytest.approx(1 / 24)


def test_binance_and_hyperliquid_share_a_formula():
    # P + clamp(0.01 % - P, +-0.05 %) per 8 h; Hyperliquid pays an eighth each hour, at most 4 % (2026-04-16)
    p = np.array([-0.01, -0.0002, 0.0, 0.0004, 0.0006, 0.0007, 0.002])
    eight_hours = p + np.clip(1e-4 - p, -5e-4, 5e-4)
    binance, hyperliquid = load_venue("binance-usdm-btcusdt").funding, load_venue("hyperliquid-btc").funding
    np.testing.assert_allclose(binance.rates(p), np.clip(eight_hours, -0.003, 0.003), rtol=1e-12)
    np.testing.assert_allclose(hyperliquid.rates(p), eight_hours / 8, rtol=1e-12)
    assert hyperliquid.rates([1.0, -1.0]).tolist() == [0.04, -0.04]
    assert (binance.notional, hyperliquid.notional) == ("mark", "index")


def test_deribit_pays_for_the_time_it_was_held():
    # support.deribit.com, funding specifications: 0.08 % per 8 h on 2 BTC for an hour is 0.0002 BTC
    rule = load_venue("deribit-btc-perpetual").funding
    assert 2.0 * float(rule.rates(0.0008 + 0.00025)) == pytest.approx(0.0002)
    for name, cap in (("btc-perpetual", 0.005), ("eth-perpetual", 0.01), ("btc_usdc", 0.05)):
        rule = load_venue(f"deribit-{name}").funding
        assert float(rule.rates(1.0)) * 8 == pytest.approx(cap)
        assert float(rule.rates(0.0002)) == 0.0


def test_kraken_inverse_and_dydx_and_okx():
    # coefficient 24, cap 0.25 %/h; a sample of 2022 to 2024
    np.testing.assert_allclose(load_venue("kraken-pi-xbtusd").funding.rates([0.0024, 0.5]), [1e-4, 0.0025], rtol=1e-12)
    np.testing.assert_allclose(load_venue("dydx-btc-usd").funding.rates([0.0008, 1.0]), [1e-4, 0.006], rtol=1e-12)
    np.testing.assert_allclose(load_venue("okx-btcusdt").funding.rates([0.001, 0.1]), [0.001, 0.00375], rtol=1e-12)


def test_coinbase_smooths_over_hours():
    # f = 0.75 mean premium / 24 + 0.25 f_prev: a steady premium of 0.24 % is 0.01 % an hour in the end
    rule, rate = load_venue("coinbase-bip").funding, 0.0
    seen = []
    for _ in range(20):
        rate = float(rule.rates(0.0024, rate))
        seen.append(rate)
    assert seen[:2] == pytest.approx([7.5e-5, 9.375e-5])
    assert rate == pytest.approx(1e-4)


def hours_to(rule, start):
    return rule.first_after(parse_start(start)) * 24


def test_stamps_stand_on_the_clock_of_the_venue():
    bitmex = load_venue("bitmex-xbtusd").funding  # 04:00, 12:00 and 20:00 UTC
    assert hours_to(bitmex, "2026-03-02T00:00Z") == pytest.approx(4)
    assert hours_to(bitmex, "2026-03-02T04:00Z") == pytest.approx(8)
    assert hours_to(bitmex, "2026-03-02T11:59:30Z") == pytest.approx(0.5 / 60)
    assert hours_to(bitmex, "2026-03-02T21:00Z") == pytest.approx(7)
    binance = load_venue("binance-usdm-btcusdt").funding
    assert hours_to(binance, "2026-03-02T09:00+02:00") == pytest.approx(1)
    assert hours_to(load_venue("coinbase-bip").funding, "2026-03-02T09:45Z") == pytest.approx(0.25)
    assert hours_to(FixedFunding(0.0, "8h", anchor="01:30"), "2026-03-02T00:00Z") == pytest.approx(1.5)
    assert hours_to(load_venue("bybit-btcusdt").funding, "2026-03-02T09:00Z") == 8  # no anchor: counted from entry
    assert hours_to(FixedFunding(0.0, "8h", first="1h"), "2026-03-02T09:00Z") == pytest.approx(1)
    for seconds in (1, 3599, 14_400, 86_399):
        start = dt.datetime(2026, 3, 2, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
        at = start + dt.timedelta(days=bitmex.first_after(start))
        assert (at.hour, at.minute, at.second) in {(4, 0, 0), (12, 0, 0), (20, 0, 0)}


SPREAD = {"bankruptcy_adjustment": 1.0, "spread_to_maintenance": 0.1}
HOUR = 3_600_000_000_000


def test_the_interval_changes_within_a_run():
    # From three payments a day to twelve: the cap stays per interval and so allows four times as much a day (BitMEX)
    rule = PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=0.00375, changes=(("30h", "2h"), ("38h", "8h")))
    stamps = rule.stamps(48 * HOUR)
    assert [ns // HOUR for ns, _ in stamps] == [8, 16, 24, 32, 34, 36, 38, 46]
    assert [length for _, length in stamps] == [1, 1, 1, 1, 0.25, 0.25, 0.25, 1]
    assert [ns // HOUR for ns, _ in rule.stamps(48 * HOUR, first=HOUR)] == [1, 9, 17, 25, 33, 35, 37, 39, 47]
    whole, quarter = rule.rates(0.004), rule.rates(0.004, length=0.25)
    assert float(quarter) == pytest.approx(float(whole) / 4)
    assert float(rule.rates(0.05, length=0.25)) == rule.cap == float(rule.rates(0.05))
    assert rule.cap * 3 == pytest.approx(0.01125)
    assert rule.cap * 12 == pytest.approx(0.045)


def test_stamps_without_changes():
    rule = FixedFunding(1e-4, "8h")
    assert rule.stamps(24 * HOUR) == [(8 * HOUR, 1.0), (16 * HOUR, 1.0), (24 * HOUR, 1.0)]
    assert rule.stamps(8 * HOUR - 1) == []


def test_a_dated_future_loses_its_basis():
    # MBT curve of 2026-08-29: September at 77,835, December at 78,925, 91 days apart
    rule = load_venue("cme-mbt").funding
    assert rule.basis == pytest.approx(math.log(78_925 / 77_835) * 365 / 91, abs=5e-4)
    assert rule.rates(np.zeros(2)).tolist() == pytest.approx([0.056 / 365] * 2)
    assert float(BasisCarry(0.365, "8h").rates(0.01, 0.02)) == pytest.approx(0.001 / 3)
    # roll once a month, for the two exchange fees whatever the price
    assert rule.roll_days == pytest.approx(365 / 12)
    assert rule.roll_cost == 0.0
    day = 24 * HOUR
    for price in (30_000.0, 77_835.0):
        charged = venue_clock(load_venue("cme-mbt"), 31 * day, None, price).charges[0]
        assert list(charged.values()) == pytest.approx([2 * 2.5 / (0.1 * price)])
    assert BasisCarry(0.05).roll_days is None
    # compounded over a quarter it is the convergence of F = S exp(b (T - t)), to second order in a day's carry
    days = 91
    assert (1 - float(rule.rates(0.0))) ** days == pytest.approx(math.exp(-0.056 * days / 365), rel=2e-6)


def test_rules_are_told_whole():
    told = load_venue("coinbase-bip").funding.to_dict()
    assert told["settlement"]["timezone"] == "America/New_York"
    assert told["anchor"] == "00:00"
    told = PremiumFunding("8h", changes=[("30h", "2h")]).to_dict()
    assert told["changes"] == [["30h", "2h"]]
    assert load_venue("cme-mbt").funding.to_dict()["kind"] == "BasisCarry"
    assert hash(PremiumFunding("8h", changes=[("30h", "2h")])) == hash(PremiumFunding("8h", changes=(("30h", "2h"),)))


def test_a_deadline_may_be_none_at_all():
    called = Liquidation("margin-call", "kept", "client", deadline="1D")
    assert called.deadline_days == 1.0
    assert called.to_dict()["deadline"] == "1D"
    for zero in ("0h", "0.0 s", dt.timedelta(0), np.timedelta64(0, "m")):
        assert Liquidation("margin-call", "kept", "client", deadline=zero).deadline_days == 0.0
    assert Liquidation("margin-call", deadline=dt.timedelta(hours=6)).to_dict()["deadline"] == "0.25D"
    assert Liquidation("margin-call").deadline_days is None
    assert Liquidation(bearers=["a", "b"]).to_dict()["bearers"] == ["a", "b"]


def test_rollover():
    rule = load_venue("kraken-spot-xbtusd").funding
    assert rule.cost("long", "3h") == pytest.approx(0.00025)
    assert rule.cost("long", "8h") == pytest.approx(3 * 0.00025)
    assert rule.cost("short", "1D") == pytest.approx(7 * 0.0001)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PremiumFunding("8"), "PremiumFunding: interval='8' cannot be read"),
        (lambda: PremiumFunding("8h", cap=-1.0), r"cap=-1.0 is not allowed.*\(fraction of notional per interval\)"),
        (lambda: PremiumFunding("8h", cap=math.nan), "cap=nan is not allowed"),
        (lambda: PremiumFunding("8h", scale=0.0), "scale=0.0 is not allowed"),
        (lambda: PremiumFunding("8h", smoothing=1.0), "smoothing=1.0 is not allowed"),
        (
            lambda: PremiumFunding("8h", notional="last"),
            'notional=\'last\' is unknown; give "mark", "entry" or "index"',
        ),
        (lambda: PremiumFunding("8h", first="soon"), "first='soon' cannot be read"),
        (lambda: FixedFunding(5.0), r"rate=5.0 is not allowed; give a finite number in \[-1, 1\]"),
        (lambda: Rollover(-0.1, 0, 0, 0), "long_rate=-0.1 is not allowed"),
        (lambda: Fees(taker=0.5), r"taker=0.5 is not allowed.*0.0005 is 0.05 %"),
        (lambda: Liquidation(procedure="sell"), "procedure='sell' is unknown; give one of 'takeover'"),
        (lambda: Liquidation(step_fraction=2.0), "step_fraction=2.0 is not allowed"),
        (lambda: Liquidation(step_fraction=0.0), r"step_fraction=0.0 is not allowed; give a finite number in \(0, 1\]"),
        (lambda: Liquidation(hazard=-0.1), r"hazard=-0.1 is not allowed.*\[0, inf\) \(liquidations per day\)"),
        (lambda: Liquidation(immediate_below=2), r"immediate_below=2 is not allowed.*of maintenance margin\)"),
        (lambda: Liquidation(insurance_fund=math.inf), r"insurance_fund=inf is not allowed.*settlement currency"),
        (lambda: Liquidation(cooldown=-1), r"cooldown=-1 is not allowed.*\(seconds\)"),
        (
            lambda: Liquidation(tiers_per_step=0),
            "tiers_per_step=0 is not allowed; give a whole number of tiers, 1 or more",
        ),
        (lambda: Liquidation(steps_from_tier=2.0), "steps_from_tier=2.0 is not allowed"),
        (lambda: Liquidation(deadline="0"), "deadline='0' cannot be read"),
        (lambda: Liquidation(deadline=0), "deadline=0 has no unit"),
        (lambda: Liquidation(deadline="-1h"), "deadline='-1h' cannot be read"),
        (lambda: Liquidation(bearers="client"), "bearers='client' is not allowed; give names in order"),
        (lambda: PremiumFunding("8h", anchor="4"), "anchor='4' is not a time of day; give \"HH:MM\", in UTC"),
        (lambda: PremiumFunding("7h", anchor="04:00"), "interval='7h' does not divide a day, so anchor='04:00' would"),
        (lambda: PremiumFunding("8h", anchor="04:00", first="1h"), "both place the stamps; leave one of them out"),
        (lambda: PremiumFunding("8h", anchor="04:00", changes=(("1D", "5h"),)), "interval='5h' does not divide a day"),
        (lambda: PremiumFunding("8h", changes=(("2D", "1h"), ("1D", "8h"))), "'1D' does not come after '2D'"),
        (lambda: PremiumFunding("8h", changes="1D"), "changes='1D' is not a list of pairs; give"),
        (lambda: PremiumFunding("8h", changes=(("1D", "1"),)), "changes: interval='1' cannot be read"),
        (lambda: PremiumFunding("8h", settlement="00:00"), r"settlement='00:00' is not allowed; give DailyTimes"),
        (lambda: FixedFunding(0.0, settlement=DailyTimes), "settlement=.* is not allowed"),
        (lambda: BasisCarry(5.6), r"basis=5.6 is not allowed; .*\[-2, 2\] \(fraction of value per year, 0.05 is 5 %\)"),
        (lambda: BasisCarry(0.05, roll_cost=0.001), "roll_cost=0.001 is never charged; give roll_interval"),
        (lambda: BasisCarry(0.05, roll_interval="monthly"), "roll_interval='monthly' cannot be read"),
        (lambda: liquidation_buffer(1.0, 1.0, 2.0), "initial_margin=1.0 must be above threshold=2.0"),
        (lambda: margin_level(1.0, 0.0), "used_margin=0.0 must be positive"),
        (lambda: fillable_price(0.0, 1.0, 1.0, 1.0, 1.0, **SPREAD), "quantity=0.0 not 0"),
        (lambda: bankruptcy_value(1.0, 1.0, 1.0, 1.0, 0.0), "total_maintenance=0.0 must be positive"),
    ],
)
def test_bad_rules_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_fees_as_a_share_of_notional():
    assert float(Fees(taker=0.0005).rate("taker", Contract("linear"), 6e4)) == 0.0005
    mbt = load_venue("cme-mbt")
    assert float(mbt.fees.rate("taker", mbt.contract, 77_835.0)) == pytest.approx(2.5 / 7783.5)
    spot = load_venue("kraken-spot-xbtusd")
    with pytest.raises(VenueDataError, match="the taker fee is not known for this venue; give one"):
        spot.fees.rate("taker", spot.contract, 6e4)


def test_dydx_close_out_arithmetic():
    # dydxprotocol/v4-chain protocol/x/clob/keeper/liquidations_test.go, commit 84d4664, 2026-03-05
    assert float(bankruptcy_value(-0.05, 5e4, 0.0, 250.0, 500.0)) == 2500.0
    assert float(fillable_price(0.1, 5e4, 499.0, 500.0, 500.0, **SPREAD)) == pytest.approx(49_999)
    assert float(fillable_price(-0.1, 5e4, 499.0, 500.0, 500.0, **SPREAD)) == pytest.approx(50_001)
    assert float(fillable_price(0.1, 5e4, -500.0, 500.0, 500.0, **SPREAD)) == pytest.approx(49_500)


def test_account_measures():
    assert float(liquidation_buffer(1500.0, 1200.0, 700.0)) == pytest.approx(1.6)
    assert float(margin_level(1960.0, 2608.0)) == pytest.approx(0.75, abs=0.002)
