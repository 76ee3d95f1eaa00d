"""Answers to inverse questions against the roots of closed forms, and how often their intervals hold them."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

import liqsim as lq

SEED = 20261126
BOUND = 4.0
RATE = 0.005
VENUE = lq.Venue.from_tiers([(0, 1e9, RATE, 1000)])
MODELS = {
    "gbm": lq.GBM(sigma=0.6, drift=0.1),
    "merton": lq.Merton(sigma=0.5, intensity=12, jump_mean=-0.03, jump_std=0.04),
    "kou": lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25),
}


def level_of(leverage, side):
    return (1 - 1 / leverage) / (1 - RATE) if side == "long" else (1 + 1 / leverage) / (1 + RATE)


def exact_leverage(model, target, side, horizon):
    def excess(log_leverage):
        level = level_of(math.exp(log_leverage), side)
        return lq.analytic.first_passage_probability(model, level, horizon) - target

    return math.exp(brentq(excess, math.log(1.2), math.log(150.0), xtol=1e-10))


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("target", [0.01, 0.25])
@pytest.mark.parametrize("name", MODELS)
def test_largest_leverage(name, target, side):
    answer = lq.max_leverage(MODELS[name], VENUE, target, side=side, horizon="7D", n_paths=40_000, seed=SEED)
    exact = exact_leverage(MODELS[name], target, side, "7D")
    assert abs(answer.value - exact) < BOUND * answer.se, (answer, exact)
    assert answer.se < 0.03 * exact


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("name", ["gbm", "kou"])
def test_nearest_stop(name, side):
    """Far from liquidation, the stop is the only level."""
    model = MODELS[name]
    answer = lq.min_stop(model, VENUE, 0.1, leverage=1.1, side=side, horizon="3D", n_paths=40_000, seed=SEED)
    turn = -1 if side == "long" else 1
    exact = brentq(lambda s: lq.analytic.first_passage_probability(model, 1 + turn * s, "3D") - 0.1, 0.01, 0.4)
    assert abs(answer.value - exact) < BOUND * answer.se, (answer, exact)


def test_leverage_behind_a_stop_that_no_diffusion_passes():
    """Without jumps the stop comes first, or never: the answer is the leverage that is liquidated at the stop."""
    sized = lq.position_size(MODELS["gbm"], VENUE, risk=100.0, stop=0.05, horizon="7D", n_paths=5000, seed=SEED)
    assert sized.leverage.value == pytest.approx(1 / (1 - 0.95 * (1 - RATE)), rel=2e-5)
    assert sized.liquidation_price == pytest.approx(0.95 * 60_000, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("target", [0.02, 0.3])
def test_intervals_hold_the_exact_leverage_as_often_as_they_say(target):
    n = 300
    exact = exact_leverage(MODELS["gbm"], target, "long", "1D")
    found = [
        lq.max_leverage(MODELS["gbm"], VENUE, target, horizon="1D", n_paths=4000, seed=seed, threads=1)
        for seed in range(n)
    ]
    covered = np.mean([answer.low <= exact <= answer.high for answer in found])
    assert 0.95 - BOUND * math.sqrt(0.95 * 0.05 / n) < covered < 0.995
    z = np.array([(answer.value - exact) / answer.se for answer in found])
    assert abs(z.mean()) < 0.1 + BOUND / math.sqrt(n)  # the median of a sample leans by a fraction of its error
    assert 0.85 < z.std() < 1.15
