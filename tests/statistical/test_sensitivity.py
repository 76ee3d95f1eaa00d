"""Derivatives by simulation against derivatives of closed forms, which are differenced far below their own error."""

import dataclasses
import math

import numpy as np
import pytest

import liqsim as lq
from liqsim.arguments import read_grid, read_settings
from liqsim.cells import Cell, cell_passes
from liqsim.perturbation import wide_steps

SEED = 20261127
BOUND = 4.0
RATE = 0.005
LEVERAGES = (5, 10, 25)
MODELS = {
    "gbm": lq.GBM(sigma=0.6, drift=0.1),
    "merton": lq.Merton(sigma=0.5, intensity=50, jump_mean=0.01, jump_std=0.03),
    "kou": lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25),
}
TIERS = [(0, 1e9, RATE, 1000)]
VENUE = lq.Venue.from_tiers(TIERS)


def level_of(leverage, side, change=0.0):
    rate = RATE * (1 + change)
    return (1 - 1 / leverage) / (1 - rate) if side == "long" else (1 + 1 / leverage) / (1 + rate)


def slope(function, step):
    """Central difference of fourth order; with a small step its error is far below 1e-6 of the derivative."""
    return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (12 * step)


def probability_after(model, parameter, leverage, side, horizon):
    """Probability of liquidation as a function of the change of a parameter."""
    if parameter == "maintenance":
        return lambda change: lq.analytic.first_passage_probability(model, level_of(leverage, side, change), horizon)

    def after(change):
        changed = dataclasses.replace(model, **{parameter: getattr(model, parameter) + change})
        return lq.analytic.first_passage_probability(changed, level_of(leverage, side), horizon)

    return after


def assert_near(estimate, se, truth, what=""):
    z = (float(estimate) - truth) / float(se)
    assert abs(z) < BOUND, f"{what}: {float(estimate)} against {truth}, z = {z:.2f}"


@pytest.mark.parametrize("name", MODELS)
def test_liquidation(name):
    model = MODELS[name]
    ds = lq.sensitivities(model, VENUE, leverage=LEVERAGES, horizon="7D", n_paths=60_000, seed=SEED).squeeze()
    assert ("intensity" in ds.parameter) == (model.jump_rate > 0)
    for parameter in ds.parameter.values:
        small = ds.step.sel(parameter=parameter).item() / 4
        for side in ("long", "short"):
            for leverage in LEVERAGES:
                exact = slope(probability_after(model, parameter, leverage, side, "7D"), small)
                here = ds.sel(parameter=parameter, side=side, leverage=leverage)
                what = f"{parameter} {side} {leverage}x"
                assert_near(here.p_liquidation, here.p_liquidation_se, exact, what)


@pytest.mark.parametrize("name", ["gbm", "kou", pytest.param("merton", marks=pytest.mark.slow)])
def test_the_difference_itself_is_close_to_the_derivative(name):
    """Steps as simulated, but of the closed forms: what is left is the bias that no standard error holds."""
    model = MODELS[name]
    done = 0
    for days in (1, 7, 30):
        settings = read_settings(
            [days * 86_400 * 10**9], premium=None, price=60_000.0, monitoring="continuous", gap_rule="liquidation",
            start=None, top_up=0.0, n_paths=10, seed=3, threads=1,
        )  # fmt: skip
        cell = Cell(model, VENUE, 1e4, read_grid(LEVERAGES, math.inf, ["long", "short"]))
        for parameter, step in wide_steps(cell, settings, cell_passes(cell, settings)).items():
            for side in ("long", "short"):
                for leverage in LEVERAGES:
                    function = probability_after(model, parameter, leverage, side, f"{days}D")
                    if isinstance(step, str) or function(0.0) < 1e-4:
                        continue
                    assert slope(function, step) == pytest.approx(slope(function, step / 8), rel=3e-3)
                    done += 1
    assert done >= 24


@pytest.mark.parametrize("name", ["gbm", "kou"])
def test_funding_paid_until_a_stop(name):
    """A constant payment on entry notional, as long as the stop has not been reached: rate times expected payments."""
    model, rate = MODELS[name], 5e-4
    venue = lq.Venue.from_tiers(TIERS, funding=lq.FixedFunding(rate, "8h", notional="entry"))
    ds = lq.sensitivities(
        model, venue, leverage=1.2, stop=0.05, side=["long", "short"], horizon="7D", n_paths=60_000, seed=SEED
    ).squeeze()
    for side, level, sign in (("long", 0.95, 1.0), ("short", 1.05, -1.0)):
        here = ds.sel(side=side)
        for parameter in ("sigma", "drift") + (("intensity",) if model.jump_rate else ()):

            def cost(change, parameter=parameter, level=level, sign=sign):
                changed = dataclasses.replace(model, **{parameter: getattr(model, parameter) + change})
                return sign * rate * lq.analytic.expected_alive_payments(changed, level, "8h", "7D")

            exact = slope(cost, ds.step.sel(parameter=parameter).item() / 4)
            row = here.sel(parameter=parameter)
            assert_near(row.funding_cost, row.funding_cost_se, exact, f"{parameter} {side}")
        funding = here.sel(parameter="funding")
        exact = sign * rate * lq.analytic.expected_alive_payments(model, level, "8h", "7D")
        assert_near(funding.funding_cost, funding.funding_cost_se, exact, f"funding {side}")
        assert here.sel(parameter="maintenance").funding_cost.item() == 0.0


def test_a_payment_at_entry_moves_the_level():
    """What is paid once, at opening, is margin less: liquidation by it is a first passage of another level."""
    opening = 0.02
    rule = lq.Rollover(long_rate=0.0, short_rate=0.0, opening_long=opening, opening_short=opening, interval="30D")
    venue = lq.Venue.from_tiers(TIERS, funding=rule)
    ds = lq.sensitivities(
        MODELS["kou"], venue, leverage=10, horizon="7D", parameters="funding", n_paths=100_000, seed=SEED
    ).squeeze()

    for side in ("long", "short"):

        def probability(change, side=side):
            margin = 0.1 - opening * (1 + change)
            level = (1 - margin) / (1 - RATE) if side == "long" else (1 + margin) / (1 + RATE)
            return lq.analytic.first_passage_probability(MODELS["kou"], level, "7D")

        here = ds.sel(side=side)
        assert_near(here.p_liquidation, here.p_liquidation_se, slope(probability, 0.01), side)
        assert_near(here.funding_cost, max(float(here.funding_cost_se), 1e-9), opening, side)


@pytest.mark.slow
def test_standard_errors_hold_over_seeds():
    """Spread over seeds of a small run against its standard errors."""
    found = [
        lq.sensitivities(
            MODELS["gbm"], VENUE, leverage=10, side="long", horizon="7D", parameters="sigma", n_paths=3200, seed=seed,
            threads=1,
        )
        for seed in range(60)
    ]  # fmt: skip
    values = np.array([ds.p_liquidation.item() for ds in found])
    errors = np.array([ds.p_liquidation_se.item() for ds in found])
    # a ratio of two spreads over 60 seeds: its logarithm has a standard error of about 1/sqrt(118)
    assert abs(math.log(values.std(ddof=1) / math.sqrt(np.mean(errors**2)))) < BOUND / math.sqrt(118)
