"""Margins that the venue resets within a run, against closed forms: |z| < 4 with fixed seeds."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import liqsim as lq
from liqsim.analytic import gbm
from liqsim.durations import DAYS_PER_YEAR
from liqsim.venues import Contract, Fees, FixedPerContract, Venue

BOUND = 4.0
MODEL = lq.GBM(sigma=0.6, drift=0.1)
RATE, LEVERAGE = 0.01, 10
FLAT = lq.Venue.from_tiers([(0, 1e9, RATE, 100)])


def z_score(ds, name, exact):
    return abs(float(ds[name] - exact) / float(ds[f"{name}_se"]))


def level_of(side, factor):
    """Log level at ``factor`` times the requirement at entry."""
    rate = RATE * factor
    return math.log((1 - 1 / LEVERAGE) / (1 - rate) if side == "long" else (1 + 1 / LEVERAGE) / (1 + rate))


def two_levels(side, factor, before, after, change=0.0):
    """Probability that a level holding ``before`` years, or the next one in the ``after`` years that follow, is met."""
    e = 1.0 if side == "long" else -1.0
    first, second = e * level_of(side, 1.0 + change), e * level_of(side, factor * (1.0 + change))
    drift, sigma = e * MODEL.log_drift, MODEL.sigma
    z, w = np.polynomial.legendre.leggauss(400)
    low, high = max(first, second), 8 * sigma * math.sqrt(before)
    y = low + (high - low) * 0.5 * (z + 1.0)
    variance = sigma**2 * before
    density = np.exp(-((y - drift * before) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    density *= -np.expm1(-2 * (y - first) * -first / variance)
    root = sigma * math.sqrt(after)
    met = sum(gbm.passage_terms((y - second) / root, -drift * after / root))
    return 1.0 - float((w * 0.5 * (high - low)) @ (density * (1.0 - met)))


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("factor", [3.0, 0.25])
def test_a_level_that_moves_once(side, factor):
    exact = two_levels(side, factor, 3 / DAYS_PER_YEAR, 4 / DAYS_PER_YEAR)
    venue = dataclasses.replace(FLAT, margin_changes=(("3D", factor),))
    position = {"leverage": LEVERAGE, "side": side, "horizon": "7D"}
    assert (
        z_score(lq.sweep(MODEL, venue, n_paths=200_000, seed=5, **position).squeeze(), "p_liquidation", exact) < BOUND
    )
    smooth = lq.liquidation_probability(MODEL, venue, n_points=256, seed=5, **position)
    assert z_score(smooth, "p_liquidation", exact) < BOUND
    assert float(smooth.p_liquidation_se) < 2e-4


@pytest.mark.parametrize("factor", [8.0, 0.25])
def test_derivative_by_a_requirement_that_is_reset(factor):
    """Of all levels at once; that of counts must not take a step in the raised one that bends."""
    before, after = 1 / DAYS_PER_YEAR, 1 / DAYS_PER_YEAR
    exact = (two_levels("long", factor, before, after, 1e-3) - two_levels("long", factor, before, after, -1e-3)) / 2e-3
    venue = dataclasses.replace(FLAT, margin_changes=(("1D", factor), ("9D", 50.0)))
    position = {"leverage": LEVERAGE, "side": "long", "horizon": "2D", "parameters": "maintenance", "seed": 8}
    counts = lq.sensitivities(MODEL, venue, n_paths=1_000_000, **position).squeeze()
    assert z_score(counts, "p_liquidation", exact) < BOUND
    assert float(counts.p_liquidation_se) < 0.05 * exact
    assert z_score(lq.liquidation_sensitivities(MODEL, venue, **position).squeeze(), "p_liquidation", exact) < BOUND


def test_a_call_for_margin_that_was_raised():
    """Two daily tests, the second by half as much money again per contract: a bivariate normal probability."""
    price, leverage, money = 60_000.0, 4.0, 8_000.0
    venue = Venue(
        "resets", "resets", "resets", Contract("linear", multiplier=1.0),
        FixedPerContract(maintenance_per_contract=money), None, Fees(0.0, 0.0),
        lq.Liquidation("margin-call", "kept", "client", deadline="30D"),
        margin_times=lq.DailyTimes(("01:00",)), margin_changes=(("12h", 1.5),),
    )  # fmt: skip
    start, horizon = "2026-01-05T00:00", "30h"
    ds = lq.sweep(
        lq.GBM(sigma=1.5), venue, leverage=leverage, side="long", horizon=horizon, start=start, price=price,
        notional=price, n_paths=200_000, seed=6,
    ).squeeze()  # fmt: skip
    hours = np.array([1.0, 25.0]) / 24 / DAYS_PER_YEAR
    mean = lq.GBM(sigma=1.5).log_drift * hours
    edge = np.log(1 - 1 / leverage + money * np.array([1.0, 1.5]) / price)
    covariance = 1.5**2 * np.minimum.outer(hours, hours)
    never = multivariate_normal(-mean, covariance).cdf(-edge)  # of minus the log prices, both below minus the edges
    assert 0.01 < 1.0 - never < 0.99
    assert z_score(ds, "p_margin_call", 1.0 - never) < BOUND
    plain = lq.sweep(
        lq.GBM(sigma=1.5), dataclasses.replace(venue, margin_changes=()), leverage=leverage, side="long",
        horizon=horizon, start=start, price=price, notional=price, n_paths=200_000, seed=6,
    ).squeeze()  # fmt: skip
    assert z_score(plain, "p_margin_call", 1.0 - never) > 2 * BOUND


def test_a_change_by_nothing_changes_nothing():
    """By a factor of 1, at an instant at which the venue stops anyway; and one beyond the horizon."""
    position = {"leverage": [5, 20], "stop": [0.02, math.inf], "horizon": "5D", "n_paths": 5_000, "seed": 7}
    kou = lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25)
    plain = lq.sweep(kou, FLAT, **position)
    for changes in ((("2D", 1.0), ("3D", 1.0)), (("6D", 5.0),)):
        changed = lq.sweep(kou, dataclasses.replace(FLAT, margin_changes=changes), **position)
        for name in ("p_liquidation", "p_stop", "pnl", "exit_time"):
            np.testing.assert_array_equal(changed[name], plain[name])
