import math

import numpy as np
import pytest

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues import Contract, Fees, FixedFunding, Liquidation, PremiumFunding, Rollover, load_venue
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
        (lambda: liquidation_buffer(1.0, 1.0, 2.0), "initial_margin=1.0 must be above threshold=2.0"),
        (lambda: margin_level(1.0, 0.0), "used_margin=0.0 must be positive"),
        (lambda: fillable_price(0.0, 1.0, 1.0, 1.0, 1.0), "quantity=0.0 not 0"),
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
    assert float(fillable_price(0.1, 5e4, 499.0, 500.0, 500.0, spread_to_maintenance=0.1)) == pytest.approx(49_999)
    assert float(fillable_price(-0.1, 5e4, 499.0, 500.0, 500.0, spread_to_maintenance=0.1)) == pytest.approx(50_001)
    assert float(fillable_price(0.1, 5e4, -500.0, 500.0, 500.0, spread_to_maintenance=0.1)) == pytest.approx(49_500)


def test_account_measures():
    assert float(liquidation_buffer(1500.0, 1200.0, 700.0)) == pytest.approx(1.6)
    assert float(margin_level(1960.0, 2608.0)) == pytest.approx(0.75, abs=0.002)
