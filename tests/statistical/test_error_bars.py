"""Error bars against values that no simulation of ours has made: differences, functions, runs with a target."""

import math

import numpy as np
import pytest
from scipy import stats

import liqsim as lq

INF = math.inf
SEED = 20261125
BOUND = 4.0
G = 64
GBM = lq.GBM(sigma=0.6, drift=0.1)
KOU = lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25, drift=0.1)


def venue(rate):
    return lq.Venue.from_tiers([(0, 1e9, rate, 100)])


def sweep(model, rules, **changes):
    given = {"side": "long", "horizon": "7D", "n_paths": 60_000, "seed": SEED, "groups": G}
    return lq.sweep(model, rules, **{**given, **changes})


def exact(model, leverage, rate, side="long"):
    level = (1 - 1 / leverage) / (1 - rate) if side == "long" else (1 + 1 / leverage) / (1 + rate)
    return lq.analytic.first_passage(model, level, "7D")


def assert_near(estimate, se, truth):
    z = (float(estimate) - truth) / float(se)
    assert abs(z) < BOUND, f"{float(estimate)} against {truth}, z = {z:.2f}"


def assert_error_is_known(se, truth, groups=G):
    """``(G - 1) se^2`` over the true variance is chi-square with ``G - 1`` degrees of freedom."""
    x = (groups - 1) * (float(se) / truth) ** 2
    tail = stats.norm.sf(BOUND)
    assert stats.chi2.ppf(tail, groups - 1) < x < stats.chi2.isf(tail, groups - 1), f"{float(se)} against {truth}"


@pytest.mark.parametrize(("low", "high"), [(10, 11), (10, 20), (5, 50)])
def test_two_leverages(low, high):
    """Who is liquidated at the lower leverage is at the higher: the difference is a proportion of its own."""
    ds = sweep(KOU, venue(0.005), leverage=[low, high]).squeeze()
    change = lq.difference(ds, {"leverage": high}, {"leverage": low})
    d = exact(KOU, high, 0.005).p_hit - exact(KOU, low, 0.005).p_hit
    assert_near(change.p_liquidation, change.p_liquidation_se, d)
    assert_error_is_known(change.p_liquidation_se, math.sqrt(d * (1 - d) / 60_000))


def test_two_venues():
    rules = {"mild": venue(0.004), "hard": venue(0.012)}
    for ds in (
        sweep(GBM, rules, leverage=10).squeeze(),
        lq.compare_venues(
            GBM, rules, leverage=10, side="long", horizon="7D", n_paths=60_000, seed=SEED, groups=G
        ).squeeze(),
    ):  # fmt: skip
        change = lq.difference(ds, {"venue": "hard"}, {"venue": "mild"})
        d = exact(GBM, 10, 0.012).p_hit - exact(GBM, 10, 0.004).p_hit
        assert_near(change.p_liquidation, change.p_liquidation_se, d)
        assert_error_is_known(change.p_liquidation_se, math.sqrt(d * (1 - d) / 60_000))
        alive = exact(GBM, 10, 0.012).alive_time - exact(GBM, 10, 0.004).alive_time
        assert_near(change.exit_time, change.exit_time_se, alive)


def test_two_models():
    ds = sweep({"smooth": GBM, "jumps": KOU}, venue(0.005), leverage=10).squeeze()
    change = lq.difference(ds, {"model": "jumps"}, {"model": "smooth"})
    d = exact(KOU, 10, 0.005).p_hit - exact(GBM, 10, 0.005).p_hit
    assert_near(change.p_liquidation, change.p_liquidation_se, d)
    apart = math.hypot(*ds.p_liquidation_se.values)
    assert float(change.p_liquidation_se) < 0.7 * apart


def test_two_sides():
    """Here the pairing does not help: a path that falls does not rise."""
    ds = sweep(GBM, venue(0.005), leverage=20, side=["long", "short"]).squeeze()
    change = lq.difference(ds, {"side": "long"}, {"side": "short"})
    d = exact(GBM, 20, 0.005).p_hit - exact(GBM, 20, 0.005, "short").p_hit
    assert_near(change.p_liquidation, change.p_liquidation_se, d)
    assert float(change.p_liquidation_se) > math.hypot(*ds.p_liquidation_se.values)


def test_a_ratio():
    """Expected life per liquidation."""
    ds = sweep(KOU, venue(0.005), leverage=[5, 10, 25]).squeeze()
    found = lq.jackknife(ds, lambda x: x.exit_time / x.p_liquidation)
    for leverage in (5, 10, 25):
        law = exact(KOU, leverage, 0.005)
        here = found.sel(leverage=leverage)
        assert_near(here.value, here.value_se, law.alive_time / law.p_hit)
    # where liquidation is rare, nearly all of the error is that of its probability
    p = exact(KOU, 5, 0.005).p_hit
    error = found.sel(leverage=5).value_se / found.sel(leverage=5).value
    assert_error_is_known(error, math.sqrt((1 - p) / (60_000 * p)))


@pytest.mark.slow
def test_the_bias_of_ending_when_enough_was_seen_is_small():
    """Over 400 seeds: at most a tenth of a standard error, here 5 % of the estimate, and a noise of 0.05 of one."""
    model = lq.GBM(sigma=0.6)
    level, n = 0.92, 400
    p = lq.analytic.first_passage_probability(model, level, "1D")
    found = [lq.first_passage(model, level, "1D", rel_error=0.05, seed=seed, threads=1) for seed in range(n)]
    z = np.array([(ds.p_hit.item() - p) / (0.05 * p) for ds in found])
    assert 1e-4 < p < 0.02
    assert len({ds.attrs["n_paths"] for ds in found}) > 1
    assert abs(z.mean()) < 0.1 + BOUND * z.std() / math.sqrt(n)
    low, high = np.array([lq.confidence_interval(ds).p_hit.values.ravel() for ds in found]).T
    covered = np.mean((low <= p) & (p <= high))
    assert 0.93 - 3 * 0.011 < covered < 0.97 + 3 * 0.009


def test_targets_hold_the_error_to_the_truth():
    """The error that was asked for is the error against the closed form."""
    ds = sweep(KOU, venue(0.005), leverage=[4, 10, 40], side=["long", "short"], n_paths=None, rel_error=0.02)
    for side in ("long", "short"):
        for leverage in (4, 10, 40):
            p = exact(KOU, leverage, 0.005, side).p_hit
            here = ds.sel(side=side, leverage=leverage)
            assert float(here.p_liquidation_se.item()) <= 0.02 * here.p_liquidation.item()
            assert abs(here.p_liquidation.item() / p - 1) < BOUND * 0.02
