"""Controlled estimates against values that no simulation of ours has made, and without bias over many seeds.

The reference values of ``test_truths.py`` are met with control variates too.
"""

import math

import numpy as np
import pytest

import liqsim as lq

SEED = 20261128
BOUND = 4.0
STOP, RATE = 0.04, 5e-4
MODELS = {
    "gbm": lq.GBM(sigma=0.7),
    "merton": lq.Merton(sigma=0.5, intensity=40, jump_mean=-0.01, jump_std=0.03),
    "kou": lq.Kou(sigma=0.6, intensity=60, p_up=0.45, eta_up=45, eta_down=40),
}
PAYING = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.FixedFunding(RATE, "8h", notional="entry"))


def assert_near(estimate, se, truth, what):
    z = (float(estimate) - truth) / float(se)
    assert abs(z) < BOUND, f"{what}: {float(estimate)} against {truth}, z = {z:.2f}"


@pytest.mark.parametrize("name", MODELS)
def test_money_until_a_stop(name):
    """Funding is the rate times the payments made; the price P&L of a martingale at a stop has mean 0."""
    model = MODELS[name]
    given = {"leverage": 1.2, "stop": STOP, "side": ["long", "short"], "horizon": "5D", "seed": SEED}
    plain = lq.sweep(model, PAYING, n_paths=100_000, **given).squeeze()
    ds = lq.sweep(model, PAYING, n_paths=100_000, control=True, **given).squeeze()
    for side, sign in (("long", 1), ("short", -1)):
        here, before = ds.sel(side=side), plain.sel(side=side)
        level = 1 - sign * STOP
        paid = sign * RATE * lq.analytic.expected_alive_payments(model, level, "8h", "5D")
        law = lq.analytic.first_passage(model, level, "5D")
        assert_near(here.funding_cost, here.funding_cost_se, paid, f"funding {side}")
        assert_near(here.pnl, here.pnl_se, -paid, f"pnl {side}")
        assert_near(here.p_stop, here.p_stop_se, law.p_hit, f"stop {side}")
        assert_near(here.exit_time, here.exit_time_se, law.alive_time, f"time {side}")
        assert float(here.funding_cost_se) < 0.25 * float(before.funding_cost_se)
        assert float(here.pnl_se) < 0.75 * float(before.pnl_se)


def test_discrete_checks_against_continuous_controls():
    """A venue that looks once an hour liquidates less often than the control, which watches always, is reached."""
    model, venue = MODELS["kou"], lq.Venue.from_tiers([(0, 1e9, 0.004, 100)])
    given = {"leverage": [10, 20], "side": "long", "horizon": "2D", "monitoring": "1h", "seed": SEED}
    plain = lq.sweep(model, venue, n_paths=60_000, **given).squeeze()
    ds = lq.sweep(model, venue, n_paths=60_000, control=True, **given).squeeze()
    for leverage in (10, 20):
        level = (1 - 1 / leverage) / (1 - 0.004)
        exact = lq.analytic.first_passage_probability(model, level, "2D", monitoring="1h")
        here = ds.sel(leverage=leverage)
        assert_near(here.p_liquidation, here.p_liquidation_se, exact, leverage)
        assert float(here.p_liquidation_se) < 0.8 * float(plain.p_liquidation_se.sel(leverage=leverage))


@pytest.mark.slow
def test_no_bias_and_right_errors_over_seeds():
    """80 small runs: the mean of z is 0 and its spread 1, for targets that differ from their controls."""
    model, n = MODELS["kou"], 80
    given = {"leverage": 1.2, "stop": STOP, "side": "long", "horizon": "5D", "n_paths": 3200, "control": True}
    paid = RATE * lq.analytic.expected_alive_payments(model, 1 - STOP, "8h", "5D")
    level = (1 - 1 / 15) / (1 - 0.004)
    p = lq.analytic.first_passage_probability(model, level, "1D", monitoring="1h")
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)])
    looks = {"leverage": 15, "side": "long", "horizon": "1D", "monitoring": "1h", "n_paths": 3200, "control": True}
    z = []
    for seed in range(n):
        money = lq.sweep(model, PAYING, seed=seed, threads=1, **given).squeeze()
        hit = lq.sweep(model, venue, seed=seed, threads=1, **looks).squeeze()
        z.append([
            (money.funding_cost - paid) / money.funding_cost_se,
            (money.pnl + paid) / money.pnl_se,
            (hit.p_liquidation - p) / hit.p_liquidation_se,
        ])  # fmt: skip
    z = np.array(z, dtype=float)
    assert np.all(np.abs(z.mean(axis=0)) < BOUND * z.std(axis=0) / math.sqrt(n)), z.mean(axis=0)
    assert np.all(np.abs(z.std(axis=0) - 1) < BOUND / math.sqrt(2 * n)), z.std(axis=0)
