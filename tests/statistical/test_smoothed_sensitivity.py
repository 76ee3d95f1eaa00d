"""Derivatives path by path against those of closed forms and of a quadrature, and against differences of sweeps.

Fixed seeds; every comparison is in units of the standard error and must stay below 4. Where a closed form knows the
whole answer the controls give it away: there the derivatives before their correction are looked at.
"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

import liqsim as lq
from liqsim.durations import DAYS_PER_YEAR
from liqsim.smoothing.asked import read_position
from liqsim.smoothing.averages import averages
from liqsim.smoothing.derivatives import _changed

BOUND = 4.0
RATE = 0.005
FREE = lq.Venue.from_tiers([(0, 1e9, RATE, 125)])
PAYING = lq.Venue.from_tiers(
    [(0, 1e9, 0.004, 125)], taker_fee=5e-4, funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="15h", vol=3e-4)
WILD = lq.OUPremium(mean=2e-4, half_life="8h", vol=1e-3, correlation=0.5)
GBM = lq.GBM(sigma=0.6, drift=0.1)
MERTON = lq.Merton(sigma=0.5, intensity=50, jump_mean=0.01, jump_std=0.03)
KOU = lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25)
DENSE = lq.Kou(sigma=0.3, intensity=2000, p_up=0.55, eta_up=150, eta_down=130)


def slope(function, step):
    """Central difference of fourth order, whose error is far below that of what it is compared with."""
    return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (12 * step)


def z_score(ds, name, exact):
    return abs(float(ds[name] - exact) / float(ds[f"{name}_se"]))


def level_of(leverage, side, change=0.0):
    rate = RATE * (1 + change)
    return (1 - 1 / leverage) / (1 - rate) if side == "long" else (1 + 1 / leverage) / (1 + rate)


def exact_slope(model, parameter, leverage, side, horizon):
    """Of the probability of liquidation at a level that nothing moves."""
    if parameter == "maintenance":
        return slope(lambda x: lq.analytic.first_passage_probability(model, level_of(leverage, side, x), horizon), 1e-2)

    def after(change):
        changed = dataclasses.replace(model, **{parameter: getattr(model, parameter) + change})
        return lq.analytic.first_passage_probability(changed, level_of(leverage, side), horizon)

    return slope(after, {"sigma": 2e-3, "drift": 1e-2, "intensity": 2e-2 * model.jump_rate}[parameter])


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(
    ("model", "leverage", "horizon"), [(GBM, 10, "7D"), (MERTON, 10, "7D"), (KOU, 5, "30D"), (DENSE, 25, "1D")]
)
def test_a_fixed_level(model, leverage, side, horizon):
    position = {"leverage": leverage, "side": side, "horizon": horizon}
    ds = lq.liquidation_sensitivities(model, FREE, n_points=64, **position)
    assert ds.parameter.values.tolist() == ["sigma", *["intensity"] * (model.jump_rate > 0), "drift", "maintenance"]
    asked = read_position(256, 32, model=model, venue=FREE, **position)
    for parameter in ds.parameter.values.tolist():
        exact = exact_slope(model, parameter, leverage, side, horizon)
        assert float(ds.p_liquidation.sel(parameter=parameter)) == pytest.approx(exact, rel=1e-5)  # with controls
        step = 1e-4 * {"maintenance": 1.0}.get(parameter, getattr(model, parameter, 0.0) or 0.1)
        both = [_changed(asked, parameter, change)[0] for change in (-step, step)]
        bare = [dataclasses.replace(position, controls=[]) for position in both]
        here = dataclasses.replace(_changed(asked, "", 0.0)[0], controls=[])
        found, _ = averages([here, *bare], 256, 32, np.random.SeedSequence(5))
        slopes = (found[2, 0] - found[1, 0]) / (2 * step)
        error = slopes.std(ddof=1) / math.sqrt(32)
        if model is GBM:  # nothing is drawn
            assert slopes.mean() == pytest.approx(exact, rel=1e-6)
        else:
            assert abs(slopes.mean() - exact) < BOUND * error, parameter
            assert error < 0.05 * abs(exact)


@pytest.mark.parametrize("intensity", [1e-6, 1e-3, 5e-3])
def test_jumps_that_hardly_ever_come(intensity):
    """Fewer than one path in ten thousand has one: what it does is known all the same."""
    rare = dataclasses.replace(KOU, intensity=intensity)
    position = {"leverage": 10, "side": "long", "horizon": "7D"}
    ds = lq.liquidation_sensitivities(rare, FREE, parameters="intensity", n_points=64, **position).squeeze()
    exact = exact_slope(dataclasses.replace(KOU, intensity=0.05), "intensity", 10, "long", "7D")
    assert float(ds.p_liquidation) == pytest.approx(exact, rel=1e-3)  # hardly moves with the intensity
    assert float(ds.p_liquidation_se) < 0.1 * exact


def test_only_a_jump_liquidates():
    calm = lq.Kou(sigma=0.1, intensity=0.6, p_up=0.0, eta_up=30, eta_down=4)
    ds = lq.liquidation_probability(calm, FREE, leverage=10, side="long", horizon="1h", n_points=64)
    exact = lq.analytic.first_passage_probability(calm, level_of(10, "long"), "1h")
    assert 1e-5 < exact < 1e-4
    assert float(ds.p_liquidation) == pytest.approx(exact, rel=1e-9)


def stepped(model, leverage, rate, maintenance, days):
    """Liquidation probability and expected funding of a long that pays ``rate`` of entry notional every 8 hours.

    The density of the log price of open positions, from payment to payment, by Gauss-Legendre quadrature.
    """
    dt, n = 8 / 24 / DAYS_PER_YEAR, 3 * days
    drift, variance = model.log_drift * dt, model.sigma**2 * dt
    z, w = np.polynomial.legendre.leggauss(400)
    at, mass, alive, paid = np.zeros(1), np.ones(1), 1.0, 0.0
    for k in range(n):
        level = math.log((1 - (1 / leverage - k * rate)) / (1 - maintenance))
        top = 8 * model.sigma * math.sqrt(days / DAYS_PER_YEAR)
        open_ = at > level
        at, mass = at[open_], mass[open_]
        to = level + (top - level) * 0.5 * (z + 1.0)
        moves = np.exp(-((to[:, None] - at - drift) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        stays = -np.expm1(-2 * (to[:, None] - level) * (at - level) / variance)
        density = (moves * stays) @ mass
        # the next level is higher, and the part below it is integrated by itself
        alive = float((w * 0.5 * (top - level)) @ density)
        paid += rate * alive
        higher = math.log((1 - (1 / leverage - (k + 1) * rate)) / (1 - maintenance))
        nodes = higher + (top - higher) * 0.5 * (z + 1.0)
        moves = np.exp(-((nodes[:, None] - at - drift) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        stays = -np.expm1(-2 * (nodes[:, None] - level) * (at - level) / variance)
        at, mass = nodes, (w * 0.5 * (top - higher)) * ((moves * stays) @ mass)
    return 1.0 - alive, paid


@pytest.mark.slow
def test_a_level_that_funding_moves():
    """Every derivative of both estimates, where each payment moves the level: quadrature knows them."""
    rate, leverage, days = 5e-4, 10, 7
    venue = lq.Venue.from_tiers([(0, 1e9, RATE, 125)], funding=lq.FixedFunding(rate, "8h", notional="entry"))
    position = {"leverage": leverage, "side": "long", "horizon": f"{days}D"}
    plain = lq.liquidation_probability(GBM, venue, n_points=256, **position)
    p, paid = stepped(GBM, leverage, rate, RATE, days)
    assert z_score(plain, "p_liquidation", p) < BOUND
    assert z_score(plain, "funding_cost", paid) < BOUND
    ds = lq.liquidation_sensitivities(GBM, venue, n_points=1024, seed=3, **position)
    changes = {
        "sigma": (1e-3, lambda x: stepped(dataclasses.replace(GBM, sigma=GBM.sigma + x), leverage, rate, RATE, days)),
        "drift": (1e-2, lambda x: stepped(dataclasses.replace(GBM, drift=GBM.drift + x), leverage, rate, RATE, days)),
        "maintenance": (1e-2, lambda x: stepped(GBM, leverage, rate, RATE * (1 + x), days)),
        "funding": (1e-2, lambda x: stepped(GBM, leverage, rate * (1 + x), RATE, days)),
    }
    assert ds.parameter.values.tolist() == list(changes)
    for parameter, (step, function) in changes.items():
        here = ds.sel(parameter=parameter)
        for k, (name, accuracy) in enumerate((("p_liquidation", 1e-3), ("funding_cost", 2e-2))):
            exact = slope(lambda x, k=k, function=function: function(x)[k], step)
            assert z_score(here, name, exact) < BOUND, (parameter, name)
            assert float(here[f"{name}_se"]) < accuracy * abs(exact), (parameter, name)


CASES = {
    "premium": (KOU, PAYING, {"leverage": 10, "side": "long", "premium": PREMIUM}),
    "correlated premium": (MERTON, PAYING, {"leverage": 15, "side": "short", "premium": WILD, "horizon": "3D"}),
    "inverse": (KOU, "bitmex-xbtusd", {"leverage": 20, "side": "long", "premium": PREMIUM, "horizon": "3D"}),
    "tiers, parts": (
        GBM,
        "binance-usdm-btcusdt",
        {"leverage": 20, "side": "short", "premium": PREMIUM, "notional": 5e5, "horizon": "3D"},
    ),
    "grows with size": (
        GBM,
        "deribit-btc-perpetual",
        {"leverage": 20, "side": "long", "horizon": "1D", "notional": 3e6},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_differences_of_sweeps(name):
    """The same derivatives from counts on common random numbers, which are known less well by far."""
    model, venue, position = CASES[name]
    position = {"horizon": "7D"} | position
    fine = lq.liquidation_sensitivities(model, venue, n_points=128, seed=4, **position)
    coarse = lq.sensitivities(model, venue, n_paths=60_000, seed=5, threads=1, **position).squeeze()
    assert fine.parameter.values.tolist() == coarse.parameter.values.tolist()
    for parameter in fine.parameter.values:
        mine, theirs = fine.sel(parameter=parameter), coarse.sel(parameter=parameter)
        for variable in ("p_liquidation", "funding_cost"):
            if variable not in fine:
                continue
            se = math.hypot(mine[f"{variable}_se"], theirs[f"{variable}_se"])
            assert abs(float(mine[variable] - theirs[variable])) <= BOUND * se, (parameter, variable)
        spent, usual = (
            float(ds.p_liquidation_se) ** 2 * n for ds, n in ((mine, fine.attrs["n_paths"]), (theirs, 4 * 60_000))
        )
        least = 5 if name == "correlated premium" else 10  # it takes short intervals, whose ends are drawn
        assert least * spent < usual, parameter


@pytest.mark.slow
def test_error_bars_are_honest():
    """Over 100 seeds, derivatives spread as their errors say, around values that are known much better."""
    n, position = 100, {"leverage": 10, "side": "short", "horizon": "2D", "premium": PREMIUM}
    best = lq.liquidation_sensitivities(KOU, PAYING, n_points=2048, seed=99, **position)
    found = [
        lq.liquidation_sensitivities(KOU, PAYING, n_points=32, n_scrambles=16, seed=seed, **position)
        for seed in range(n)
    ]
    for name in ("p_liquidation", "funding_cost"):
        values, errors = (np.array([ds[x].values for ds in found]) for x in (name, f"{name}_se"))
        for k, parameter in enumerate(best.parameter.values):
            exact, known = (float(best[x].sel(parameter=parameter)) for x in (name, f"{name}_se"))
            spread = values[:, k].std(ddof=1)
            assert known < 0.3 * spread, (name, parameter)
            mean_error = math.hypot(spread / math.sqrt(n), known)
            assert abs(values[:, k].mean() - exact) < BOUND * mean_error, (name, parameter)
            ratio = np.mean(errors[:, k] ** 2) / spread**2
            kurtosis = stats.kurtosis(values[:, k], fisher=False)
            assert abs(ratio - 1.0) < BOUND * math.sqrt((kurtosis - 1.0) / n + 2.0 / 15 / n), (name, parameter)
