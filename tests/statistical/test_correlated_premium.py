"""Funding from a premium that moves with the price, until a fixed level: against an integral.

By the Clark-Ocone formula a payment at T by whoever has not reached the level by then has the expectation
``E[f_T; tau > T] = (mean part) P(tau > T) + rho xi int_0^T exp(-k(T - s)) sigma E[u_x(T - s, X_s); tau > s] ds``
with ``u(t, x)`` the probability to stay clear of the level for t from x; density and probability are Gaussian images.
"""

import math

import numpy as np
import pytest
from scipy.special import log_ndtr, ndtr

import liqsim as lq
from liqsim.engine.timeline import build_timelines, correlated_memory

SEED = 20261130
BOUND = 4.0
HOUR = 1 / 8760


def survival_slope(t, x, level, drift, sigma):
    """d/dx of the probability that x + drift s + sigma W_s stays above the level up to t."""
    root = sigma * np.sqrt(t)
    above, below = (x - level + drift * t) / root, (level - x + drift * t) / root
    density = np.exp(-0.5 * above**2) / math.sqrt(2 * math.pi) / root
    image = np.exp(-2 * drift * (x - level) / sigma**2 + log_ndtr(below))
    return 2.0 * density + 2 * drift / sigma**2 * image


def killed_density(s, x, level, drift, sigma):
    """Density at x, after s from 0, of paths that have stayed above the level."""
    root = sigma * np.sqrt(s)
    free = np.exp(-0.5 * ((x - drift * s) / root) ** 2)
    image = np.exp(2 * drift * level / sigma**2 - 0.5 * ((x - 2 * level - drift * s) / root) ** 2)
    return (free - image) / math.sqrt(2 * math.pi) / root


def payment(years, level, model, premium):
    """Expected premium at ``years``, of paths that have stayed above the log level, by Gauss-Legendre quadrature."""
    sigma, drift, k = model.sigma, model.log_drift, premium.mean_reversion
    root = sigma * math.sqrt(years)
    alive = ndtr((drift * years - level) / root) - math.exp(2 * drift * level / sigma**2) * ndtr(
        (level + drift * years) / root
    )
    nodes, weights = np.polynomial.legendre.leggauss(400)
    angle = 0.25 * math.pi * (nodes + 1)  # s = T sin^2: smooth at both ends
    s, ds = years * np.sin(angle) ** 2, 0.25 * math.pi * weights * years * np.sin(2 * angle)
    x = level + 0.5 * (nodes + 1) * (10 * root - level)
    dx = 0.5 * weights * (10 * root - level)
    inner = killed_density(s[:, None], x, level, drift, sigma) * survival_slope(
        years - s[:, None], x, level, drift, sigma
    )
    slope = inner @ dx
    xi = premium.vol * math.sqrt(2 * k)
    return premium.mean * alive + premium.correlation * xi * float(np.exp(-k * (years - s)) * sigma * slope @ ds)


@pytest.mark.parametrize(("half_life", "correlation"), [("2h", 0.8), ("15h", -0.5), ("20min", 1.0)])
def test_funding_until_a_stop(half_life, correlation):
    model = lq.GBM(sigma=0.8, drift=0.4)
    premium = lq.OUPremium(mean=1e-4, half_life=half_life, vol=2e-3, correlation=correlation)
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.PremiumFunding("8h", notional="entry"))
    stop = 0.03
    exact = sum(payment(8 * k * HOUR, math.log1p(-stop), model, premium) for k in range(1, 4))
    position = {"premium": premium, "leverage": 1.5, "stop": stop, "side": "long", "horizon": "1D", "seed": SEED}
    for ds in (
        lq.sweep(model, venue, n_paths=300_000, **position).squeeze(),
        lq.liquidation_probability(model, venue, n_points=1024, **position),
    ):
        z = (float(ds.funding_cost) - exact) / float(ds.funding_cost_se)
        assert abs(z) < BOUND, f"{float(ds.funding_cost)} against {exact}, z = {z:.2f}"


def test_no_correlation_leaves_the_mean():
    model, premium = lq.GBM(sigma=0.8), lq.OUPremium(mean=1e-4, half_life="2h", vol=2e-3)
    alive = 1 - lq.analytic.first_passage_probability(model, 0.97, "8h")
    assert payment(8 * HOUR, math.log(0.97), model, premium) == pytest.approx(1e-4 * alive, rel=1e-9)


def test_intervals_are_cut_where_moves_still_count():
    day = 86_400_000_000_000
    premium = lq.OUPremium(mean=0.0, half_life="15h", vol=1e-3, correlation=0.3)
    memory = correlated_memory(premium)
    assert memory == pytest.approx(15 / math.log(2) / 24 * day, rel=1e-9)
    (whole,) = build_timelines([3 * day])
    (cut,) = build_timelines([3 * day], memory=memory)
    assert set(whole.instant) <= set(cut.instant)
    for end in (1, 2, 3):
        ends = cut.instant[cut.instant <= end / 365 * (1 + 1e-12)]
        before = (end / 365 - ends) * 365 * day / memory
        steps = -np.diff(before)
        assert np.all(steps <= 0.05 * np.exp(before[1:] / 1.5) * (1 + 1e-9) + 1e-12)
    for half_life in ("1e-6s", "1s", "8h"):  # never more than some thirty
        memory = correlated_memory(lq.OUPremium(mean=0.0, half_life=half_life, vol=1e-3, correlation=1.0))
        assert len(build_timelines([day], memory=memory)[0].pays) < 40
    assert correlated_memory(lq.OUPremium(mean=0.0, half_life="15h", vol=1e-3)) is None
    assert correlated_memory(None) is None
