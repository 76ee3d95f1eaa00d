"""Monte Carlo estimates against values that no simulation of ours has made.

Fixed seeds; every comparison is in units of the estimate's own standard error and must stay below 4.
"""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import liqsim as lq
from liqsim.durations import DAYS_PER_YEAR

sys.path.insert(0, str(Path(__file__).parent))
from reference_values import horizon_of, load, model_of, nanoseconds

N_PATHS = 1_000_000
SEED = 20261123
BOUND = 4.0


def assert_agrees(estimate, se, exact, what):
    if float(se) == 0:  # no path, or every path: the estimate's own error says nothing, the exact value's does
        se = math.sqrt(max(exact * (1 - exact), 0.0) / estimate.attrs["n_paths"])
        if se == 0:
            assert float(estimate) == exact, what
            return
    estimate, se = float(estimate), float(se)
    z = (estimate - exact) / se
    assert abs(z) < BOUND, f"{what}: {estimate} against {exact}, z = {z:.2f}"


METHODS = {
    "plain": {"n_paths": N_PATHS},
    "control": {"n_paths": N_PATHS, "control": True},
    "importance": {"n_paths": 100_000, "importance": True},  # from each of several laws
}
VARIABLE = {
    "prob_liquidation": "p_liquidation",
    "prob_liquidated_through_stop": "p_liquidation",
    "prob_stopped_before_liquidation": "p_stop",
    "expected_min_tau_T_years": "exit_time",
    "expected_bad_debt_per_entry_notional": "shortfall",
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_reference_positions(shared, method):
    """Liquidated, stopped, alive, short of margin: continuous and discrete monitoring, linear and inverse."""
    done = 0
    for truth in load(shared):
        params, contract = truth["params"], truth["contract"]
        if truth["quantity"] not in VARIABLE or "leverage" not in contract or "n_funding" in contract:
            continue
        if truth["model"] not in ("gbm", "merton", "kou"):
            continue
        looks = contract.get("n_monitoring")
        venue = lq.Venue.from_tiers(
            [(0, 1e9, contract["maintenance_margin_rate"], contract["leverage"])], contract=contract["kind"]
        )
        ds = lq.sweep(
            model_of(params), venue,
            leverage=contract["leverage"], stop=contract.get("stop_distance") or math.inf, side=contract["side"],
            horizon=horizon_of(contract), seed=SEED, **METHODS[method],
            monitoring="continuous" if looks is None else nanoseconds(contract["horizon_days"] / looks),
        ).squeeze()  # fmt: skip
        name = VARIABLE[truth["quantity"]]
        scale = DAYS_PER_YEAR if name == "exit_time" else 1.0
        assert_agrees(ds[name], ds[f"{name}_se"], truth["value"] * scale, truth["id"])
        done += 1
    assert done >= 40


@pytest.mark.slow
def test_reference_first_passages(shared):
    done = 0
    for truth in load(shared):
        contract = truth["contract"]
        if truth["quantity"] not in ("prob_liquidation", "expected_min_tau_T_years") or "barrier_log" not in contract:
            continue
        if contract.get("stop_distance"):
            continue
        if truth["model"] not in ("gbm", "merton", "kou"):
            continue
        looks = contract.get("n_monitoring")
        ds = lq.first_passage(
            model_of(truth["params"]), math.exp(contract["barrier_log"]), horizon_of(contract),
            monitoring="continuous" if looks is None else nanoseconds(contract["horizon_days"] / looks),
            n_paths=N_PATHS, seed=SEED + 1,
        ).squeeze()  # fmt: skip
        if truth["quantity"] == "prob_liquidation":
            assert_agrees(ds.p_hit, ds.p_hit_se, truth["value"], truth["id"])
        else:
            assert_agrees(ds.alive_time, ds.alive_time_se, truth["value"] * DAYS_PER_YEAR, truth["id"])
        done += 1
    assert done >= 25


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_reference_margin_that_funding_eats(shared, method):
    """A constant funding payment moves the liquidation level at every stamp."""
    for truth in load(shared):
        contract = truth["contract"]
        if "funding_per_payment" not in contract:
            continue
        funding = lq.FixedFunding(contract["funding_per_payment"], "8h", notional="entry")
        tiers = [(0, 1e9, contract["maintenance_margin_rate"], contract["leverage"])]
        ds = lq.sweep(
            model_of(truth["params"]), lq.Venue.from_tiers(tiers, contract=contract["kind"], funding=funding),
            leverage=contract["leverage"], side=contract["side"], horizon=horizon_of(contract),
            seed=SEED, **METHODS[method],
        ).squeeze()  # fmt: skip
        assert_agrees(ds.p_liquidation, ds.p_liquidation_se, truth["value"], truth["id"])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_reference_premium_funding_until_a_fixed_level(shared, method):
    """Funding from an OU premium, paid each 8 h while a fixed price level has not been reached."""
    step = 8 / 8760
    for truth in load(shared):
        if not truth["id"].startswith("funding-8hko"):
            continue
        params, contract = truth["params"], truth["contract"]
        reversion = params["kappa_f"]
        premium = lq.OUPremium(
            mean=params["theta"] * step, initial=params["f0"] * step, correlation=params["rho_f"],
            vol=params["xi"] / math.sqrt(2 * reversion) * step,
            half_life=nanoseconds(math.log(2) / reversion * DAYS_PER_YEAR),
        )  # fmt: skip
        venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.PremiumFunding("8h", notional="entry"))
        ds = lq.sweep(
            model_of(params), venue, premium=premium, leverage=1.5, side=contract["side"],
            stop=abs(contract["barrier_ratio"] - 1), horizon=horizon_of(contract), seed=SEED, **METHODS[method],
        ).squeeze()  # fmt: skip
        sign = 1.0 if contract["side"] == "long" else -1.0
        assert_agrees(sign * ds.funding_cost, ds.funding_cost_se, truth["value"], truth["id"])


KOU = lq.Kou(sigma=0.6, intensity=60, p_up=0.45, eta_up=45, eta_down=40)
MERTON = lq.Merton(sigma=0.5, intensity=40, jump_mean=-0.01, jump_std=0.03, drift=0.4)
GBM = lq.GBM(sigma=0.8, drift=-0.5)
DENSE = lq.Kou(sigma=0.3, intensity=5000, p_up=0.55, eta_up=150, eta_down=130)


@pytest.mark.parametrize("model", [GBM, MERTON, KOU, DENSE], ids=lambda m: f"{m.name}-{m.jump_rate:g}")
def test_first_passage_against_the_transforms(model):
    levels = [0.85, 0.9, 0.95, 0.99, 1.01, 1.06, 1.15]
    ds = lq.first_passage(model, levels, horizon="4D", n_paths=200_000, seed=SEED)
    exact = lq.analytic.first_passage_probability(model, levels, "4D")
    alive = lq.analytic.expected_time_alive(model, levels, "4D")
    for i, level in enumerate(levels):
        assert_agrees(ds.p_hit[i], ds.p_hit_se[i], exact[i], f"P(hit {level})")
        assert_agrees(ds.alive_time[i], ds.alive_time_se[i], alive[i], f"E[min(tau, T)] of {level}")


@pytest.mark.parametrize("contract", ["linear", "inverse"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_liquidation_is_the_first_passage_of_the_liquidation_price(contract, side):
    """With marginal tiers and no funding, P(liquidation) has a closed form at every leverage."""
    tiers = [(0, 5e4, 0.004, 125), (5e4, 6e5, 0.005, 100), (6e5, 3e6, 0.01, 50)]
    venue = lq.Venue.from_tiers(tiers, contract=contract)
    ds = lq.sweep(
        KOU, venue, leverage=[3, 5, 10, 25, 40], side=side, notional=5.5e5, price=60_000, horizon="3D",
        n_paths=200_000, seed=SEED,
    ).squeeze()  # fmt: skip
    level = ds.liquidation_price.values / 60_000
    exact = lq.analytic.first_passage_probability(KOU, level, "3D")
    for i in range(5):
        assert_agrees(ds.p_liquidation[i], ds.p_liquidation_se[i], exact[i], f"leverage {float(ds.leverage[i])}")


def test_constant_funding_is_the_rate_times_the_payments_made():
    """Funding on entry value until a stop: rate times the expected number of stamps survived."""
    rate, stop = 2e-4, 0.04
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.FixedFunding(rate, "8h", notional="entry"))
    ds = lq.sweep(GBM, venue, leverage=1.5, stop=stop, side=["long", "short"], horizon="5D", n_paths=200_000, seed=SEED)
    for side, sign in (("long", 1), ("short", -1)):
        alive = lq.analytic.expected_alive_payments(GBM, 1 - sign * stop, "8h", "5D")
        cell = ds.sel(side=side).squeeze()
        assert_agrees(cell.funding_cost, cell.funding_cost_se, sign * rate * alive, side)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_funding_held_to_the_horizon(correlation):
    """Without an exit, funding on entry value does not see the price: its mean and spread are closed forms."""
    premium = lq.OUPremium(mean=2e-4, half_life="12h", vol=3e-4, initial=-5e-4, correlation=correlation)
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.PremiumFunding("8h", notional="entry"))
    n = 100_000
    ds = lq.sweep(lq.GBM(0.3), venue, premium=premium, leverage=1.0, side="long", horizon="6D", n_paths=n, seed=SEED)
    mean, std = lq.analytic.held_funding(premium, "8h", "6D")
    cell = ds.squeeze()
    assert_agrees(cell.funding_cost, cell.funding_cost_se, mean, "mean")
    assert float(cell.funding_cost_se) * math.sqrt(n) == pytest.approx(std, rel=4 / math.sqrt(2 * n))


def test_clamped_rate_of_a_stationary_premium():
    premium = lq.OUPremium(mean=-8e-4, half_life="1min", vol=5e-4)
    rule = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, notional="entry")
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=rule)
    ds = lq.sweep(
        lq.GBM(0.3), venue, premium=premium, leverage=1.0, side="long", horizon="8h", n_paths=100_000, seed=SEED
    )
    exact = lq.analytic.expected_clamped_rate(-8e-4, 5e-4, 1e-4, 5e-4)
    assert_agrees(ds.funding_cost.squeeze(), ds.funding_cost_se.squeeze(), exact, "E[rate]")


@pytest.mark.parametrize("contract", ["linear", "inverse"])
def test_accounted_cash_is_a_fair_game(contract):
    """For a martingale price the P&L of the price alone has mean 0 at any exit (optional stopping).

    All the cash that the tally has booked, with fees, funding, what the engine kept and what it lost put back, has to
    sum to it. An inverse position is a fair game in coin when 1/S is a martingale: the log drift changes its sign.
    """
    model = lq.Kou(sigma=0.7, intensity=100, p_up=0.4, eta_up=30, eta_down=25)
    if contract == "inverse":
        drift = float(np.real(-model.exponent(-1.0)))  # E[1/S_t] = exp(t psi(-1)); the drift cancels it
        model = dataclasses.replace(model, drift=-drift)
    venue = lq.Venue.from_tiers(
        [(0, 1e9, 0.005, 100)], contract=contract, taker_fee=5e-4, funding=lq.FixedFunding(3e-4, "8h")
    )
    ds = lq.sweep(
        model, venue, leverage=[3, 20, 60], stop=[0.02, 0.1, math.inf], horizon="10D", n_paths=200_000, seed=SEED
    )
    price_pnl = ds.pnl + ds.fees + ds.funding_cost + ds.engine_kept - ds.shortfall
    # the spread of the price P&L is at most that of a position of the same kind held to the horizon
    se = 2.0 * model.annual_volatility * math.sqrt(10 / 365) / math.sqrt(200_000)
    assert np.abs(price_pnl.values).max() < BOUND * se


def test_halving_the_funding_interval_changes_nothing_without_funding():
    """The estimate has no time step: more intervals are only other random numbers."""
    probabilities = []
    for interval in ("8h", "4h", "1h"):
        venue = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], funding=lq.FixedFunding(0.0, interval))
        ds = lq.sweep(KOU, venue, leverage=20, side="long", horizon="2D", n_paths=200_000, seed=SEED).squeeze()
        exact = lq.analytic.first_passage_probability(KOU, float(ds.liquidation_price) / 60_000, "2D")
        assert_agrees(ds.p_liquidation, ds.p_liquidation_se, exact, interval)
        probabilities.append(float(ds.p_liquidation))
    assert len(set(probabilities)) == 3


def test_standard_errors_match_the_spread_over_seeds():
    """Over 200 independent runs, the reported standard error equals the observed one within its own error."""
    venue = lq.Venue.from_tiers(
        [(0, 1e9, 0.005, 100)], taker_fee=5e-4, funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4)
    )
    premium = lq.OUPremium(mean=1e-4, half_life="8h", vol=5e-4)
    runs = [
        lq.sweep(KOU, venue, premium=premium, leverage=20, stop=0.03, side="long", horizon="2D", n_paths=2000, seed=s,
                 threads=1).squeeze()
        for s in range(200)
    ]  # fmt: skip
    for name in ("p_liquidation", "p_stop", "funding_cost", "fees", "pnl", "exit_time", "shortfall", "engine_kept"):
        spread = np.std([float(r[name]) for r in runs], ddof=1)
        reported = math.sqrt(np.mean([float(r[f"{name}_se"]) ** 2 for r in runs]))
        assert spread == pytest.approx(reported, rel=4 / math.sqrt(2 * 199)), name
