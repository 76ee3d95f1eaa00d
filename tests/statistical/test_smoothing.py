"""Smoothed estimates of one position against values that no simulation of ours has made, and against sweeps.

Fixed seeds; every comparison is in units of the standard error and must stay below 4. Where a closed form knows the
whole answer the controls give it away: there the estimates before their correction are looked at.
"""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import liqsim as lq
from liqsim.durations import DAYS_PER_YEAR
from liqsim.planning import plan_sweep
from liqsim.smoothing.averages import Position, averages
from liqsim.smoothing.contract import contract_of
from liqsim.smoothing.controls import make_controls
from liqsim.venues import Closure, DailyTimes, MarginWindow, WindowedRates

sys.path.insert(0, str(Path(__file__).parent))
from reference_values import horizon_of, load, model_of, nanoseconds

BOUND = 4.0
GBM = lq.GBM(sigma=0.6)
MERTON = lq.Merton(sigma=0.6, intensity=12, jump_mean=-0.03, jump_std=0.04)
KOU = lq.Kou(sigma=0.8, intensity=50, p_up=0.45, eta_up=30, eta_down=25)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="15h", vol=3e-4)
WILD = lq.OUPremium(mean=2e-4, half_life="8h", vol=2e-3, correlation=0.7)
FREE = lq.Venue.from_tiers([(0, 1e9, 0.005, 125)])
PAYING = lq.Venue.from_tiers(
    [(0, 1e9, 0.004, 125)], taker_fee=5e-4, funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
)


def z_score(estimate, se, exact):
    return float((estimate - exact) / se)


def uncorrected(model, venue, n_points, n_scrambles=32, seed=1, **position):
    """Liquidation, stop and funding of every scramble before the controls correct them, and the points used."""
    plan = plan_sweep(model, venue, **position)
    (task,) = plan.make_all()
    contract = contract_of(task, 0 if position["side"] == "long" else 1)
    mean_jumps = model.jump_rate * float(contract.end[-1])
    (found,), n = averages([Position(contract, [], mean_jumps)], n_points, n_scrambles, np.random.SeedSequence(seed))
    return found, max(n, 1)


@pytest.mark.parametrize(
    ("model", "side", "leverage", "horizon", "factor"),
    [
        (GBM, "long", 20, "1D", math.inf),
        (GBM, "short", 5, "30D", math.inf),
        (MERTON, "long", 20, "1D", 1000),
        (MERTON, "short", 10, "7D", 100),
        (MERTON, "long", 5, "30D", 30),
        (KOU, "short", 20, "1D", 500),
        (KOU, "long", 10, "7D", 30),
        (KOU, "short", 5, "30D", 8),
    ],
)
def test_a_fixed_level(model, side, leverage, horizon, factor):
    """Without controls, ``factor`` times less variance than as many plain paths: a closed form, or near it."""
    position = {"leverage": leverage, "side": side, "horizon": horizon}
    found, n = uncorrected(model, FREE, 2048, **position)
    ds = lq.liquidation_probability(model, FREE, n_points=64, **position)
    exact = lq.analytic.first_passage_probability(model, float(ds.liquidation_price) / 60_000.0, horizon)
    assert abs(float(ds.p_liquidation) - exact) < 1e-9  # with controls
    mean, se = found[0].mean(), found[0].std(ddof=1) / math.sqrt(32)
    if math.isinf(factor):
        assert abs(mean - exact) < 1e-12
    else:
        assert abs(z_score(mean, se, exact)) < BOUND
        assert exact * (1 - exact) / n > factor * se**2
    assert np.all(found[1:] == 0.0)


def test_reference_margin_that_funding_eats(shared):
    """A constant funding payment moves the level at every stamp: known to 3e-10, met to better than 1e-5."""
    done = 0
    for truth in load(shared):
        contract = truth["contract"]
        if "funding_per_payment" not in contract:
            continue
        funding = lq.FixedFunding(contract["funding_per_payment"], "8h", notional="entry")
        tiers = [(0, 1e9, contract["maintenance_margin_rate"], contract["leverage"])]
        venue = lq.Venue.from_tiers(tiers, contract=contract["kind"], funding=funding)
        position = {"leverage": contract["leverage"], "side": contract["side"], "horizon": horizon_of(contract)}
        ds = lq.liquidation_probability(model_of(truth["params"]), venue, seed=2, **position)
        assert abs(z_score(ds.p_liquidation, ds.p_liquidation_se, truth["value"])) < BOUND
        assert float(ds.p_liquidation_se) < 1e-5
        found, n = uncorrected(model_of(truth["params"]), venue, 1024, **position)
        se = found[0].std(ddof=1) / math.sqrt(32)
        assert abs(z_score(found[0].mean(), se, truth["value"])) < BOUND
        assert truth["value"] * (1 - truth["value"]) / n > 30 * se**2
        done += 1
    assert done


def test_reference_premium_funding_until_a_fixed_level(shared):
    """Funding from an OU premium, paid each 8 h while a fixed price level has not been reached."""
    step, done = 8 / 8760, 0
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
        ds = lq.liquidation_probability(
            model_of(params), venue, premium=premium, leverage=1.5, side=contract["side"],
            stop=abs(contract["barrier_ratio"] - 1), horizon=horizon_of(contract), seed=3,
        )  # fmt: skip
        sign = 1.0 if contract["side"] == "long" else -1.0
        assert abs(z_score(sign * ds.funding_cost, ds.funding_cost_se, truth["value"])) < BOUND
        assert float(ds.funding_cost_se) < 2e-3 * truth["value"]
        done += 1
    assert done


INDEX = dataclasses.replace(
    PAYING, funding=lq.PremiumFunding("8h", 1e-4, 5e-4, 2e-2, smoothing=0.5, change_cap=2e-3, notional="index")
)
FAR = dataclasses.replace(PAYING, funding=lq.PremiumFunding("8h", cap=2e-3, notional="index"))
LATER = dataclasses.replace(
    PAYING,
    funding=lq.PremiumFunding("1h", scale=0.25, smoothing=0.25, settlement=DailyTimes(("00:00", "12:00"), "UTC")),
    closures=(Closure("Fri 16:00", "Sun 17:00", "America/Chicago"),),
)
DAY_AND_NIGHT = dataclasses.replace(
    PAYING,
    funding=lq.Rollover(2e-3, 1e-3, 2e-3, 1e-3),
    margin=WindowedRates(
        windows=(MarginWindow("day", 0.1, 0.1, "08:00", "16:00", "America/New_York"), MarginWindow("night", 0.2, 0.22)),
        maintenance_share=0.8,
    ),
)
CASES = {
    "settled later, closed at weekends": (
        KOU,
        LATER,
        {"leverage": 20, "side": "short", "premium": WILD, "start": "2026-03-05T15:00", "horizon": "5D"},
    ),
    "rates by day and night, charges": (MERTON, DAY_AND_NIGHT, {"leverage": 4, "side": "long", "horizon": "10D"}),
    "inverse": (KOU, "bitmex-xbtusd", {"leverage": 20, "side": "long", "premium": PREMIUM}),
    "inverse, correlated, stop, calendar": (
        MERTON,
        "bitmex-xbtusd",
        {"leverage": 10, "side": "short", "premium": WILD, "stop": 0.05, "start": "2026-03-01T01:30"},
    ),
    "tiers, parts": (KOU, "binance-usdm-btcusdt", {"leverage": 20, "side": "long", "premium": WILD, "notional": 5e5}),
    "grows with size": (
        GBM,
        "deribit-btc-perpetual",
        {"leverage": 20, "side": "long", "horizon": "1D", "notional": 3e6},
    ),
    "index, smoothed": (KOU, INDEX, {"leverage": 10, "side": "long", "premium": WILD, "stop": 0.09}),
    "index, far from the mark": (KOU, FAR, {"leverage": 10, "side": "long", "premium": lq.OUPremium(0.5, "8h", 0.0)}),
    "index, far from the mark, inverse": (
        KOU,
        dataclasses.replace(FAR, contract=lq.load_venue("bitmex-xbtusd").contract),
        {"leverage": 10, "side": "short", "premium": lq.OUPremium(0.5, "8h", 0.0)},
    ),
    "through a near stop": (KOU, FREE, {"leverage": 20, "side": "long", "stop": 0.02}),
    "stop before liquidation": (KOU, PAYING, {"leverage": 40, "side": "short", "stop": 0.04, "gap_rule": "stop"}),
    "looks twice a day": (
        KOU,
        PAYING,
        {"leverage": 20, "side": "long", "monitoring": "12h", "stop": 0.04},
    ),
    "no diffusion": (dataclasses.replace(KOU, sigma=0.0), PAYING, {"leverage": 15, "side": "long", "horizon": "10D"}),
    "jumps of one size": (lq.Merton(0.5, 100, -0.01, 0.0), PAYING, {"leverage": 15, "side": "long"}),
}


ROUGH = ("looks twice a day", "index, smoothed", "jumps of one size")
"""Cases in which too little is smooth to gain five times in variance with as many paths."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_rules_of_a_sweep(name):
    model, venue, position = CASES[name]
    position = {"horizon": "3D"} | position
    smooth = lq.liquidation_probability(model, venue, n_points=512, seed=4, **position)
    plain = lq.sweep(model, venue, n_paths=200_000, seed=5, threads=1, **position).squeeze()
    for variable in ("p_liquidation", "p_stop", "p_survival", "funding_cost"):
        if variable in smooth:
            se = math.hypot(smooth[f"{variable}_se"], plain[f"{variable}_se"])
            difference = float(smooth[variable] - plain[variable])
            assert abs(difference) <= BOUND * se, f"{variable}: {difference} of {se}"
    assert abs(float(smooth.p_liquidation + smooth.p_stop + smooth.p_survival) - 1.0) < 1e-15
    assert float(smooth.liquidation_price) == float(plain.liquidation_price)
    mine, theirs = (float(ds.p_liquidation_se) ** 2 * ds.attrs["n_paths"] for ds in (smooth, plain))
    assert mine > 0
    assert theirs > 5 * mine or name in ROUGH


def test_jumps_by_the_thousand():
    """Where jumps are many, strata hold several numbers of them."""
    dense = lq.Kou(sigma=0.3, intensity=5000, p_up=0.55, eta_up=150, eta_down=130)
    position = {"leverage": 30, "side": "long", "horizon": "1D", "premium": PREMIUM}
    smooth = lq.liquidation_probability(dense, PAYING, n_points=512, seed=4, **position)
    plain = lq.sweep(dense, PAYING, n_paths=200_000, seed=5, threads=1, **position).squeeze()
    se = math.hypot(smooth.p_liquidation_se, plain.p_liquidation_se)
    assert abs(z_score(smooth.p_liquidation, se, float(plain.p_liquidation))) < BOUND
    found, _ = uncorrected(dense, FREE, 256, 32, leverage=30, side="long", horizon="1D")
    exact = lq.analytic.first_passage_probability(dense, float(lq.liquidation_price(
        FREE, "long", entry_price=60_000.0, quantity=1.0, leverage=30)) / 60_000.0, "1D")  # fmt: skip
    assert abs(z_score(found[0].mean(), found[0].std(ddof=1) / math.sqrt(32), exact)) < BOUND


@pytest.mark.slow
@pytest.mark.parametrize("controlled", [False, True])
def test_error_bars_are_honest(controlled):
    """Over 200 seeds, estimates spread as their errors say, around a value that is known much better."""
    n, position = 200, {"leverage": 10, "side": "short", "horizon": "2D", "premium": PREMIUM, "stop": 0.08}
    best = lq.liquidation_probability(KOU, PAYING, n_points=4096, seed=99, **position)
    plan = plan_sweep(KOU, PAYING, **position)
    (task,) = plan.make_all()
    contract = contract_of(task, 1)
    controls = make_controls(contract, KOU, np.timedelta64(2, "D"))
    if not controlled:
        controls = dataclasses.replace(controls, contracts=[], exact=np.zeros(0), bound=np.zeros(0))
    mine = Position(contract, controls.contracts, KOU.jump_rate * 2 / 365)
    found = [controls.adjust(averages([mine], 16, 16, np.random.SeedSequence(seed))[0][0]) for seed in range(n)]
    values, errors = np.array(found).transpose(1, 0, 2)
    for k, name in enumerate(("p_liquidation", "p_stop", "p_survival", "funding_cost")):
        exact, known = float(best[name]), float(best[f"{name}_se"])
        spread = values[:, k].std(ddof=1)
        if controlled and name == "p_survival":  # the nearer level is the stop: a closed form
            assert spread < 1e-12 > abs(values[0, k] - exact)
            continue
        assert known < 0.1 * spread
        assert abs(values[:, k].mean() - exact) < BOUND * math.hypot(spread / math.sqrt(n), known), name
        ratio = np.mean(errors[:, k] ** 2) / spread**2
        kurtosis = stats.kurtosis(values[:, k], fisher=False)
        assert abs(ratio - 1.0) < BOUND * math.sqrt((kurtosis - 1.0) / n + 2.0 / 15 / n), name
