"""What is asked for by name against values that no simulation of ours has made. Every |z| is below 4."""

import dataclasses
import json
import math

import numpy as np
import pytest

import liqsim as lq
from liqsim.durations import DAYS_PER_YEAR

INF = math.inf
SEED = 20261126
BOUND = 4.0
N = 200_000
GBM = lq.GBM(sigma=0.8, drift=-0.5)
KOU = lq.Kou(sigma=0.6, intensity=60, p_up=0.45, eta_up=45, eta_down=40)
NS_PER_DAY = 86_400_000_000_000
FREE = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])


def assert_agrees(estimate, se, exact, what):
    z = (float(estimate) - float(exact)) / float(se)
    assert abs(z) < BOUND, f"{what}: {float(estimate)} against {float(exact)}, z = {z:.2f}"


def model_of(params):
    """The model whose log drift between jumps is the one given."""
    if "lam" not in params:
        raw = lq.GBM(sigma=params["sigma"])
    elif "muJ" in params:
        raw = lq.Merton(params["sigma"], params["lam"], params["muJ"], params["delta"])
    else:
        raw = lq.Kou(params["sigma"], params["lam"], params["p"], params["eta1"], params["eta2"])
    return dataclasses.replace(raw, drift=params["log_drift"] - raw.log_drift)


def horizon_of(contract):
    return np.timedelta64(round(contract["horizon_years"] * DAYS_PER_YEAR * NS_PER_DAY), "ns")


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_time_given_liquidation_and_given_survival(model, side):
    """``E[tau; tau <= T] = E[min(tau, T)] - T P(tau > T)``."""
    ds = lq.sweep(
        model, FREE, leverage=[5, 20], side=side, horizon="7D", n_paths=N, seed=SEED, outputs="exit_time_given"
    )
    for leverage in (5, 20):
        level = (1 - 1 / leverage) / 0.995 if side == "long" else (1 + 1 / leverage) / 1.005
        law = lq.analytic.first_passage(model, level, "7D")
        here = ds.sel(leverage=leverage).squeeze()
        exact = (law.alive_time - 7 * (1 - law.p_hit)) / law.p_hit
        closed = here.sel(given="liquidation")
        assert_agrees(closed.exit_time_given, closed.exit_time_given_se, float(exact), f"{side} {leverage}")
        assert float(here.exit_time_given.sel(given="survival")) == pytest.approx(7, abs=1e-6)


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
def test_funding_given_the_stop(model):
    """A fixed rate times the stamps before the stop: ``sum_k P(t_k < tau <= T) / P(tau <= T)``."""
    rate, stop = 2e-4, 0.04
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.FixedFunding(rate, "8h", notional="entry"))
    ds = lq.sweep(
        model, venue, leverage=1.5, stop=stop, horizon="5D", n_paths=N, seed=SEED, outputs="funding_cost_given"
    )
    for side, sign in (("long", 1), ("short", -1)):
        level = 1 - sign * stop
        alive = lq.analytic.expected_alive_payments(model, level, "8h", "5D")
        p = lq.analytic.first_passage_probability(model, level, "5D")
        here = ds.sel(side=side).squeeze()
        stopped = here.sel(given="stop")
        exact = sign * rate * float((alive - 15 * (1 - p)) / p)
        assert_agrees(stopped.funding_cost_given, stopped.funding_cost_given_se, exact, side)
        held = here.sel(given="survival")
        assert float(held.funding_cost_given) == pytest.approx(sign * 15 * rate, abs=1e-8)


def test_profit_given_survival():
    """``E[S_T; tau > T] = exp(drift T) P'(tau > T)``, where under P' the log drift is larger by the variance."""
    tilted = lq.GBM(sigma=0.8, drift=-0.5 + 0.8**2)
    ds = lq.sweep(GBM, FREE, leverage=[4, 15], side="long", horizon="7D", n_paths=N, seed=SEED, outputs="pnl_given")
    for leverage in (4, 15):
        level = (1 - 1 / leverage) / 0.995
        p, q = (lq.analytic.first_passage_probability(m, level, "7D") for m in (GBM, tilted))
        exact = math.exp(-0.5 * 7 / 365) * (1 - q) / (1 - p) - 1
        here = ds.sel(leverage=leverage, given="survival").squeeze()
        assert_agrees(here.pnl_given, here.pnl_given_se, float(exact), leverage)


@pytest.mark.slow
def test_reference_losses_beyond_the_margin(shared):
    """Probability of a loss beyond the margin, and its mean given liquidation."""
    truths = json.loads((shared / "reference" / "truths_public.json").read_text())
    done = 0
    for truth in truths:
        params, contract = truth["params"], truth["contract"]
        if truth["quantity"] not in ("prob_liquidated_beyond_bankruptcy", "expected_bad_debt_per_entry_notional"):
            continue
        venue = lq.Venue.from_tiers(
            [(0, 1e9, contract["maintenance_margin_rate"], contract["leverage"])], contract=contract["kind"]
        )
        ds = lq.sweep(
            model_of(params), venue, leverage=contract["leverage"], side=contract["side"],
            horizon=horizon_of(contract), n_paths=1_000_000, seed=SEED, outputs=["p_shortfall", "shortfall_given"],
        ).squeeze()  # fmt: skip
        if truth["quantity"].startswith("prob"):
            assert_agrees(ds.p_shortfall, ds.p_shortfall_se, truth["value"], truth["id"])
        else:
            p = lq.analytic.first_passage_probability(
                model_of(params), math.exp(contract["barrier_log"]), horizon_of(contract)
            )
            given = ds.sel(given="liquidation")
            assert_agrees(given.shortfall_given, given.shortfall_given_se, truth["value"] / float(p), truth["id"])
        done += 1
    assert done >= 6


def test_standard_errors_match_the_spread_over_seeds():
    runs = [
        lq.sweep(
            KOU, FREE, leverage=20, stop=0.03, side="long", horizon="2D", n_paths=2000, seed=s, threads=1,
            outputs=["exit_time_given", "pnl_given", "p_shortfall", "p_ruin"],
        ).squeeze()
        for s in range(150)
    ]  # fmt: skip
    for name, given in [
        ("exit_time_given", "stop"),
        ("pnl_given", "stop"),
        ("pnl_given", "survival"),
        ("p_ruin", None),
    ]:
        values, errors = (
            np.array([float(ds[key] if given is None else ds[key].sel(given=given)) for ds in runs])
            for key in (name, f"{name}_se")
        )
        assert np.std(values, ddof=1) == pytest.approx(math.sqrt(np.mean(errors**2)), rel=BOUND / math.sqrt(2 * 149)), (
            name
        )
