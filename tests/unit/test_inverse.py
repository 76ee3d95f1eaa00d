"""Inverse questions: order statistics, hand-worked sizes, what limits the answer, words for bad input."""

import math
import re

import numpy as np
import pytest
from scipy import stats

import liqsim as lq
from liqsim.order_statistics import _quantile, invert

INF = math.inf
GBM = lq.GBM(sigma=0.6)
KOU = lq.Kou(sigma=0.6, intensity=50, p_up=0.4, eta_up=30, eta_down=25)
VENUE = lq.Venue.from_tiers([(0, 5e4, 0.005, 100), (5e4, 1e6, 0.02, 20)], taker_fee=5e-4, name="two-tiers")
QUICK = {"horizon": "7D", "n_paths": 4000, "seed": 3}


def refused(text, error=lq.ParameterError):
    return pytest.raises(error, match=re.escape(text))


def counts_of(sample):
    ordered = np.sort(sample)
    return lambda x, n: np.searchsorted(np.sort(sample[:n]) if n < len(sample) else ordered, x, side="right")


@pytest.mark.parametrize("target", [0.005, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_answer_is_a_quantile_and_its_interval_that_of_order_statistics(target, level):
    sample = np.exp(np.random.default_rng(1).normal(2.0, 1.0, 5000))
    low, value, high = invert(counts_of(sample), 0.01, 1000.0, target, 5000, level)
    ordered = np.sort(sample)
    exact = [
        ordered[int(stats.binom.ppf((1 - level) / 2, 5000, target)) - 1],
        ordered[math.floor(target * 5000 + 1e-9)],
        ordered[int(stats.binom.ppf((1 + level) / 2, 5000, target))],
    ]
    slack = max(0.021 * (exact[2] - exact[0]), 1e-5 * exact[1])
    assert exact[0] - slack <= low <= exact[0]
    assert exact[1] - slack <= value <= exact[1]
    assert exact[2] <= high <= exact[2] + slack


@pytest.mark.parametrize("p", [1e-4, 0.01, 0.5, 0.999])
def test_quantiles_of_the_binomial_law(p):
    for share in (0.0005, 0.025, 0.8, 0.975):
        for n in (100, 12345, 10**7):
            assert _quantile(share, n, p) == stats.binom.ppf(share, n, p)


def test_where_the_count_leaps_the_answer_stands_before_the_leap():
    low, value, high = invert(lambda x, n: np.where(x > 7.0, n // 2, 0), 0.01, 1000.0, 0.1, 5000, 0.95)
    assert low == value <= 7.0 < high
    assert high / low - 1 < 1.1e-5


def test_where_the_count_falls_again_the_answer_stands_before_its_first_rise():
    def count(x, n):
        return np.where((x > 5.0) & (x < 50.0), n // 2, 0)

    assert invert(count, 0.01, 1000.0, 0.1, 5000, 0.95)[1] == pytest.approx(5.0, rel=2e-5)


def test_everything_or_nothing_meets_the_target():
    assert invert(lambda x, n: np.zeros(len(x)), 0.01, 100.0, 0.1, 5000, 0.95) == (100.0, 100.0, 100.0)
    low, value, high = invert(lambda x, n: np.full(len(x), n), 0.01, 100.0, 0.1, 5000, 0.95)
    assert (low, high) == (0.01, 0.01)
    assert math.isnan(value)


def test_a_pilot_that_misleads_is_put_right():
    """The first sixteenth of the paths is unlike the rest."""
    rng = np.random.default_rng(2)
    sample = np.concatenate([np.exp(rng.normal(4.0, 0.1, 1250)), np.exp(rng.normal(1.0, 0.1, 18_750))])
    low, value, high = invert(counts_of(sample), 0.01, 1000.0, 0.1, 20_000, 0.95)
    exact = np.sort(sample)[2000]
    assert low < exact < high
    assert value == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("side", ["long", "short"])
def test_the_probability_at_the_answer_meets_the_target_and_just_above_it_does_not(side):
    answer = lq.max_leverage(KOU, VENUE, 0.05, side=side, stop=0.3, **QUICK)
    assert answer.limited_by == "target"
    assert answer.p <= 0.05 < answer.p + 20 / 4000
    assert answer.p == answer.result.p_liquidation.item()
    higher = answer.value + (answer.high - answer.low) / 20
    beyond = lq.sweep(KOU, VENUE, leverage=higher, side=side, stop=0.3, **QUICK)
    assert beyond.p_liquidation.item() > 0.05
    assert answer.low < answer.value < answer.high
    assert answer.se == pytest.approx((answer.high - answer.low) / (2 * stats.norm.ppf(0.975)))
    assert answer == lq.max_leverage(KOU, VENUE, 0.05, side=side, stop=0.3, threads=1, **QUICK)


def test_the_venue_limits_leverage_at_this_notional():
    calm = {"horizon": "1h", "n_paths": 2000}
    for notional, most in ((1e4, 100.0), (2e5, 20.0)):
        answer = lq.max_leverage(lq.GBM(0.3), VENUE, 0.5, notional=notional, **calm)
        assert (answer.limited_by, answer.value, answer.low, answer.high) == ("venue", most, most, most)
        assert answer.result.leverage.item() == most


def test_a_position_that_is_liquidated_as_it_is_opened_is_no_answer():
    steep = lq.Venue.from_tiers([(0, 1e9, 0.02, 1000)])
    answer = lq.max_leverage(lq.GBM(0.01), steep, 0.999, horizon="1min", n_paths=20_000)
    assert answer.value == pytest.approx(50.0, rel=1e-3)
    assert answer.value < answer.high < 50.0


@pytest.mark.parametrize("id", ["bitmex-xbtusd", "deribit-btc-perpetual", "hyperliquid-btc", "coinbase-etp", "cme-mbt"])
def test_shipped_venues(id):
    venue = lq.load_venue(id)
    if venue.needs():
        pytest.skip(f"no source states {venue.needs()}")
    answer = lq.max_leverage(KOU, venue, 0.1, horizon="2D", n_paths=1000, notional=60_000.0, side="short")
    assert 0 < answer.value <= float(venue.max_leverage(60_000.0, 60_000.0, "short")) * (1 + 1e-12)


def test_the_nearest_stop():
    answer = lq.min_stop(KOU, VENUE, 0.3, leverage=5, **QUICK)
    assert answer.limited_by == "target"
    assert answer.p <= 0.3 < answer.p + 100 / 4000
    assert answer.p == pytest.approx(1 - answer.result.p_survival.item(), abs=1e-15)
    nearer = lq.sweep(KOU, VENUE, leverage=5, stop=answer.value - (answer.high - answer.low) / 20, side="long", **QUICK)
    assert nearer.p_survival.item() < 0.7
    assert answer.low < answer.value < answer.high


def test_every_stop_will_do():
    still = lq.min_stop(lq.GBM(1e-5), VENUE, 0.5, leverage=5, horizon="1min", n_paths=1000)
    assert (still.limited_by, still.value) == ("grid", pytest.approx(1e-5))


def test_sizes_by_hand():
    free = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])
    sized = lq.position_size(GBM, free, risk=300.0, stop=0.03, horizon="1D", n_paths=2000)
    assert sized.notional == pytest.approx(10_000.0)
    assert sized.quantity == pytest.approx(10_000.0 / 60_000.0)
    assert sized.loss == pytest.approx(300.0)
    assert (sized.quote, sized.settlement) == ("USD", "USD")
    assert sized.initial_margin == pytest.approx(10_000.0 / sized.leverage.value)
    # fees: 5 basis points of the value at entry and of the value at the stop
    for side, at_stop in (("long", 0.97), ("short", 1.03)):
        sized = lq.position_size(GBM, VENUE, risk=300.0, stop=0.03, side=side, horizon="1D", n_paths=2000)
        assert sized.notional == pytest.approx(300.0 / (0.03 + 5e-4 + 5e-4 * at_stop))
        assert sized.leverage.result.notional.item() == sized.notional


def test_inverse_sizes_by_hand():
    inverse = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], contract="inverse")
    for side, lost in (("long", 1 / 0.96 - 1), ("short", 1 - 1 / 1.04)):
        sized = lq.position_size(
            GBM, inverse, risk=0.01, stop=0.04, side=side, price=50_000.0, horizon="1D", n_paths=2000
        )
        assert "quote='USD', settlement='BTC'" in repr(sized)
        assert sized.notional == sized.quantity == pytest.approx(0.01 / lost * 50_000.0)
        assert sized.loss == pytest.approx(0.01)
        assert sized.initial_margin == pytest.approx(0.01 / lost / sized.leverage.value)


def test_whole_lots():
    contract = lq.venues.Contract("linear", lot=0.1)
    lots = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], contract=contract)
    sized = lq.position_size(GBM, lots, risk=500.0, stop=0.03, horizon="1D", n_paths=2000)
    assert sized.quantity == pytest.approx(0.2)
    assert sized.loss == pytest.approx(0.2 * 60_000 * 0.03)
    with refused("risk=100.0 buys less than a lot of 0.1 BTC of custom; give at least 180 USD, or a nearer stop"):
        lq.position_size(GBM, lots, risk=100.0, stop=0.03)


def test_the_size_uses_the_leverage_that_its_notional_allows():
    sized = lq.position_size(GBM, VENUE, risk=4000.0, stop=0.02, horizon="1h", n_paths=2000)
    assert sized.notional > 5e4
    assert sized.leverage.value == 20.0
    with refused("beyond the last tier", lq.MarginRuleError):
        lq.position_size(GBM, VENUE, risk=1e6, stop=0.02)


def test_targets_that_nothing_meets():
    boom = lq.GBM(sigma=0.5, drift=800.0)
    with refused(
        "p_target=0.05: no leverage meets it; even leverage=0.01 is liquidated with probability 1 by the horizon. "
        "Raise p_target or shorten the horizon"
    ):
        lq.max_leverage(boom, VENUE, 0.05, side="short", horizon="30D", n_paths=1000)
    with refused("p_target=0.05: no stop meets it; at leverage=50 the position is liquidated with probability 0.8"):
        lq.min_stop(GBM, VENUE, 0.05, leverage=50, horizon="7D", n_paths=1000)


@pytest.mark.parametrize("target", [0, 1, -0.1, 1.5, True, "1 %", None, math.nan, [0.1]])
def test_probabilities(target):
    for call in (
        lambda: lq.max_leverage(GBM, VENUE, target),
        lambda: lq.min_stop(GBM, VENUE, target, leverage=5),
        lambda: lq.position_size(GBM, VENUE, risk=100.0, stop=0.05, p_target=target),
    ):
        with refused(f"p_target={target!r} is not allowed; give a probability in (0, 1)"):
            call()


def test_bad_input():
    with refused("n_paths=100000 are too few for p_target=1e-06; give at least 20000000, or a target nearer to 1/2"):
        lq.max_leverage(GBM, VENUE, 1e-6)
    with refused("level=95 is not allowed; give a number in [0.5, 0.9999]"):
        lq.max_leverage(GBM, VENUE, level=95)
    with refused("give one side and one stop, and call once for each"):
        lq.max_leverage(GBM, VENUE, side=["long", "short"])
    with refused("give one side and one stop, and call once for each"):
        lq.max_leverage(GBM, VENUE, stop=[0.1, 0.2])
    with refused("give one side and one leverage, and call once for each"):
        lq.min_stop(GBM, VENUE, leverage=[5, 10])
    with refused("is a list; give one duration and call once for each"):
        lq.min_stop(GBM, VENUE, leverage=5, horizon=["1D", "2D"])
    with refused("is a list; give one and call once for each"):
        lq.max_leverage(GBM, [VENUE, "bitmex-xbtusd"])
    with refused("is not a PriceModel; give one GBM, Merton or Kou"):
        lq.max_leverage([GBM, KOU], VENUE)
    with refused("risk=0 is not allowed; give numbers in (0, 1e+15] (USD)"):
        lq.position_size(GBM, VENUE, risk=0, stop=0.05)
    with refused("stop=inf is not allowed"):
        lq.position_size(GBM, VENUE, risk=100.0, stop=INF)
    with refused("stop=1.5 would put a long's stop at or below a price of 0"):
        lq.position_size(GBM, VENUE, risk=100.0, stop=1.5)
    with refused("notional=[10000.0, 20000.0] is a list"):
        lq.max_leverage(GBM, VENUE, notional=[1e4, 2e4])
    with refused("beyond the last tier", lq.MarginRuleError):
        lq.max_leverage(GBM, VENUE, notional=1e8)
    with refused("no source states", lq.VenueDataError):
        lq.position_size(GBM, "kraken-spot-xbtusd", risk=100.0, stop=0.05)
