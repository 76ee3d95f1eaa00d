"""First-passage laws against values and methods independent of the ones under test."""

from __future__ import annotations

import dataclasses
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import norm

from liqsim.analytic import expected_time_alive, first_passage, first_passage_probability
from liqsim.analytic.laplace import ABSCISSA, invert
from liqsim.analytic.wiener_hopf import passage_transform
from liqsim.models import GBM, Kou, Merton, PriceModel

HOURLY_BTC = Kou(sigma=0.3, intensity=5000, p_up=0.55, eta_up=150, eta_down=130)


def gbm_hit(model: GBM, level: float, days: float) -> mp.mpf:
    distance, sigma = abs(mp.log(mp.mpf(level))), mp.mpf(model.sigma)
    drift = (1 if level > 1 else -1) * (mp.mpf(model.drift) - sigma**2 / 2)
    root = sigma * mp.sqrt(mp.mpf(days) / 365)
    x, k = distance / root, drift * root / sigma**2
    return mp.ncdf(k - x) + mp.exp(2 * k * x) * mp.ncdf(-k - x)


def kou_transform(model: Kou, alpha: mp.mpc, level: float) -> mp.mpc:
    """Kou and Wang's transform, its quartic solved to the working precision of mpmath."""
    m, s = mp.mpf(model.log_drift), mp.mpf(model.sigma)
    rate, p = mp.mpf(model.intensity), mp.mpf(model.p_up)
    up, down = mp.mpf(model.eta_up), mp.mpf(model.eta_down)
    if level > 1:
        m, p, up, down = -m, 1 - p, down, up
    h, k, d, g = s * s / 2, -(rate + alpha), up - down, up * down
    quartic = [-h, h * d - m, h * g + m * d - k, m * g + k * d + rate * (p * up - (1 - p) * down), k * g + rate * g]
    roots = [mp.mpc(r) for r in np.roots([complex(c) for c in quartic])]
    for _ in range(5):
        roots = [r - horner(quartic, r) / horner([(4 - i) * c for i, c in enumerate(quartic[:4])], r) for r in roots]
    side = mp.sign(mp.im(alpha))
    b3, b4 = (-r for r in sorted(roots, key=lambda r: mp.im(r) * side if side else mp.re(r))[:2])
    a = abs(mp.log(mp.mpf(level)))
    return (b4 * (down - b3) * mp.exp(-b3 * a) - b3 * (down - b4) * mp.exp(-b4 * a)) / (down * (b4 - b3))


def horner(coefficients: list, x: mp.mpc) -> mp.mpc:
    total = mp.mpc(0)
    for c in coefficients:
        total = total * x + c
    return total


def talbot(transform, time: mp.mpf, n: int = 36) -> mp.mpf:
    r = mp.mpf(2 * n) / (5 * time)
    total = mp.exp(r * time) * transform(r) / 2
    for k in range(1, n):
        angle = mp.pi * k / n
        cot = mp.cot(angle)
        s = r * angle * (cot + 1j)
        total += mp.re(mp.exp(time * s) * transform(s) * (1 + 1j * (angle + (angle * cot - 1) * cot)))
    return total * r / n


def test_kou_wang_published_example() -> None:
    model = Kou(sigma=0.2, intensity=3, p_up=0.5, eta_up=50, eta_down=100 / 3)
    model = dataclasses.replace(model, drift=0.1 - model.log_drift)
    assert first_passage_probability(model, math.exp(0.3), "1y") == pytest.approx(0.25584, abs=5e-6)
    assert first_passage_probability(GBM(0.2, drift=0.12), math.exp(0.3), "1y") == pytest.approx(0.26061, abs=5e-6)


@pytest.mark.parametrize(
    ("model", "level", "hours"),
    [
        (HOURLY_BTC, 0.9, 24),
        (HOURLY_BTC, 1.01, 1),
        (HOURLY_BTC, 0.5, 8760),
        (Kou(sigma=0.05, intensity=1e4, p_up=0.55, eta_up=150, eta_down=130), 0.8, 720),
        (Kou(sigma=3.0, intensity=40, p_up=1.0, eta_up=9, eta_down=25), 1.5, 168),
        (Kou(sigma=0.6, intensity=40, p_up=0.0, eta_up=9, eta_down=25, drift=1.5), 1.02, 48),
        (Kou(sigma=0.6, intensity=1e-3, p_up=0.4, eta_up=3, eta_down=5), 0.995, 24),
    ],
)
def test_kou_against_high_precision(model: Kou, level: float, hours: int) -> None:
    law = first_passage(model, level, f"{hours}h")
    with mp.workdps(50):
        time = mp.mpf(hours) / 8760
        hit = talbot(lambda s: kou_transform(model, s, level) / s, time)
        alive = talbot(lambda s: (1 - kou_transform(model, s, level)) / s**2, time) * 365
        assert abs(law.p_hit - hit) < min(law.p_hit_bound, 1e-11)
        assert abs(law.alive_time - alive) < law.alive_time_bound < 1e-11 * hours


@pytest.mark.parametrize("sigma", [0.05, 0.6, 3.0])
@pytest.mark.parametrize("drift", [-2.0, 0.0, 0.18, 5.0])
def test_gbm_relative_accuracy(sigma: float, drift: float) -> None:
    model = GBM(sigma, drift)
    with mp.workdps(40):
        for level in (0.3, 0.8, 0.999, 1.0001, 1.5, 4.0):
            for days in (1, 30, 365):
                exact = gbm_hit(model, level, days)
                law = first_passage(model, level, f"{days}D")
                assert abs(law.p_hit - exact) <= law.p_hit_bound + 1e-300
                if exact > 1e-60:
                    assert abs(law.p_hit / exact - 1) < 1e-11


@pytest.mark.parametrize("model", [GBM(0.05, 0.1), GBM(0.6, -2.0), GBM(0.6, 0.18), GBM(3.0, 5.0)])
@pytest.mark.parametrize("level", [0.8, 0.999, 1.0001, 1.5])
def test_gbm_time_alive_is_the_integral_of_survival(model: GBM, level: float) -> None:
    law = first_passage(model, level, "30D")
    with mp.workdps(25):
        points = mp.linspace(mp.log(mp.mpf("3e-5")), mp.log(30), 8)
        lost = mp.quad(lambda u: mp.exp(u) * gbm_hit(model, level, mp.exp(u)), points)
        uncertain = mp.mpf("3e-5") * gbm_hit(model, level, 3e-5)
        assert abs(law.alive_time - (30 - lost)) < law.alive_time_bound + uncertain + 1e-13


def test_gbm_tiny_probability() -> None:
    model = GBM(0.4)
    with mp.workdps(40):
        exact = gbm_hit(model, 0.44, 6)
        assert 1e-60 < exact < 1e-50
        assert abs(first_passage_probability(model, 0.44, "6D") / exact - 1) < 1e-12


def test_gbm_expected_time_is_smooth_at_zero_log_drift() -> None:
    sigma = 0.5
    values = [expected_time_alive(GBM(sigma, 0.125 + e), 0.9, "30D") for e in (-1e-9, 0.0, 1e-9)]
    assert values[0] < values[1] < values[2]
    assert values[2] - 2 * values[1] + values[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("level", [0.95, 1.05])
def test_jump_models_without_jumps_are_gbm(level: float) -> None:
    plain = first_passage(GBM(0.6, 0.2), level, "7D")
    none = [
        Kou(0.6, 0.0, 0.4, 30, 25, 0.2),
        Merton(0.6, 0.0, -0.03, 0.04, 0.2),
        Merton(0.6, 50.0, 0.0, 0.0, 0.2),
    ]
    rare = [Kou(0.6, 1e-9, 0.4, 30, 25, 0.2), Merton(0.6, 1e-9, -0.03, 0.04, 0.2), Merton(0.6, 50, 0, 1e-8, 0.2)]
    for model in none:
        assert first_passage(model, level, "7D") == plain
    for model in rare:
        law = first_passage(model, level, "7D")
        assert law.p_hit == pytest.approx(plain.p_hit, abs=1e-10)
        assert law.alive_time == pytest.approx(plain.alive_time, abs=1e-9)


@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("model", [HOURLY_BTC, Kou(0.6, 12, 0.4, 30, 25, 0.1), Kou(0.05, 300, 1.0, 30, 25)])
def test_factorisation_agrees_with_kou_closed_form(model: Kou, upward: bool) -> None:
    distances = np.array([0.004, 0.05, 0.3])
    levels = np.exp(distances if upward else -distances)
    law = first_passage(model, levels, "7D")
    years = 7 / 365
    other = invert(passage_transform(model, distances, upward, ABSCISSA / years, 1.4), years)
    np.testing.assert_allclose(law.p_hit, other.probability, rtol=0, atol=1e-12)
    np.testing.assert_allclose(law.alive_time, other.alive * 7, rtol=0, atol=1e-11)


@pytest.mark.parametrize("intensity", [100, 1000, 5000])
@pytest.mark.parametrize("level", [0.97, 1.03])
def test_many_small_merton_jumps_are_a_diffusion(intensity: float, level: float) -> None:
    jump_std = 0.5 / math.sqrt(intensity) / 10
    merton = Merton(0.5, intensity, 0.0, jump_std)
    law = first_passage(merton, level, "7D")
    diffusion = GBM(merton.annual_volatility)
    assert law.p_hit_bound < 1e-12
    assert law.p_hit == pytest.approx(
        first_passage_probability(diffusion, level, "7D"), abs=2e-3 / math.sqrt(intensity)
    )


def merton_steps(model: Merton, level: float, dt: float, n: int) -> list[float]:
    """Probability of a breach by each of n checks, by quadrature of the transition density."""
    count = np.arange(40)
    weight = np.exp(-model.intensity * dt + count * np.log(model.intensity * dt) - gammaln(count + 1))
    mean, var = model.log_drift * dt + count * model.jump_mean, model.sigma**2 * dt + count * model.jump_std**2
    edge, far = math.log(level), 1.2
    nodes, weights = np.polynomial.legendre.leggauss(700)
    x, w = edge + (nodes + 1) * (far - edge) / 2, weights * (far - edge) / 2
    below = norm.cdf((edge - x[:, None] - mean) / np.sqrt(var)) @ weight
    density = norm.pdf(x, mean[:, None], np.sqrt(var)[:, None]).T @ weight
    step = norm.pdf(x[:, None, None], x[None, :, None] + mean, np.sqrt(var)) @ weight
    hit = [float(norm.cdf((edge - mean) / np.sqrt(var)) @ weight)]
    for _ in range(n - 1):
        hit.append(hit[-1] + float((density * w) @ below))
        density = step @ (density * w)
    return hit


def test_merton_checked_at_intervals_against_quadrature() -> None:
    model = Merton(0.8, 60, -0.03, 0.06, drift=0.2)
    hit = merton_steps(model, 0.93, 1 / 365, 5)
    for n, exact in enumerate(hit, start=1):
        law = first_passage(model, 0.93, f"{n}D", monitoring="1D")
        assert law.p_hit == pytest.approx(exact, abs=1e-9)
        assert law.p_hit_bound < 1e-12
        assert law.alive_time == pytest.approx(1 + sum(1 - p for p in hit[: n - 1]), abs=1e-8)


@pytest.mark.parametrize("model", [GBM(0.8, 0.1), Merton(0.5, 12, 0.03, 0.04), HOURLY_BTC])
@pytest.mark.parametrize("level", [0.96, 1.05])
def test_finer_checks_approach_continuous_monitoring(model: PriceModel, level: float) -> None:
    continuous = first_passage(model, level, "1D")
    hourly, minutely, often = (first_passage(model, level, "1D", step) for step in ("1h", "1min", "1s"))
    assert hourly.p_hit < minutely.p_hit < often.p_hit < continuous.p_hit
    assert hourly.alive_time > minutely.alive_time > often.alive_time > continuous.alive_time
    toward = 0.5825971579 * model.sigma * math.sqrt(1 / 365 / 86400)
    shifted = level * math.exp(-toward if level < 1 else toward)
    assert often.p_hit == pytest.approx(first_passage_probability(model, shifted, "1D"), abs=2e-5)


def test_arrays_keep_their_shape_and_equal_scalars() -> None:
    levels = np.array([[0.5, 0.99], [1.01, 2.0]])
    for model in (GBM(0.6), Merton(0.5, 12, 0.03, 0.04), HOURLY_BTC):
        law = first_passage(model, levels, "30D")
        assert all(np.shape(v) == (2, 2) for v in dataclasses.astuple(law))
        for index in np.ndindex(2, 2):
            one = first_passage(model, levels[index], np.timedelta64(30, "D"))
            assert isinstance(one.p_hit, float)
            assert law.p_hit[index] == pytest.approx(one.p_hit, abs=one.p_hit_bound)
            assert law.alive_time[index] == pytest.approx(one.alive_time, abs=one.alive_time_bound)
    assert first_passage_probability(HOURLY_BTC, [], "1D").shape == (0,)


models = st.one_of(
    st.builds(GBM, sigma=st.floats(0.05, 3), drift=st.floats(-2, 2)),
    st.builds(
        Kou,
        sigma=st.floats(0.05, 3),
        intensity=st.floats(0, 1e4),
        p_up=st.floats(0, 1),
        eta_up=st.floats(80, 500),
        eta_down=st.floats(80, 500),
        drift=st.floats(-2, 2),
    ),
    st.builds(
        Merton,
        sigma=st.floats(0.1, 3),
        intensity=st.floats(0, 500),
        jump_mean=st.floats(-0.03, 0.03),
        jump_std=st.floats(0.02, 0.06),
        drift=st.floats(-2, 2),
    ),
)


@settings(max_examples=60, deadline=None)
@given(model=models, hours=st.integers(1, 8760), upward=st.booleans(), steps=st.lists(st.floats(0.01, 3), min_size=3))
def test_monotone_in_level_and_horizon(model: PriceModel, hours: int, upward: bool, steps: list[float]) -> None:
    unit = model.annual_volatility * math.sqrt(hours / 8760) * 0.3
    distances = unit * np.cumsum(steps[:6])
    levels = np.exp(distances if upward else -distances)
    law, longer = first_passage(model, levels, f"{hours}h"), first_passage(model, levels, f"{2 * hours}h")
    slack = 2 * (np.max(law.p_hit_bound) + np.max(longer.p_hit_bound))
    days = 2 * (np.max(law.alive_time_bound) + np.max(longer.alive_time_bound))
    assert slack < 1e-9
    assert np.all((law.p_hit >= 0) & (law.p_hit <= 1))
    assert np.all(np.diff(law.p_hit) <= slack)
    assert np.all(np.diff(law.alive_time) >= -days)
    assert np.all(longer.p_hit >= law.p_hit - slack)
    assert np.all(longer.alive_time >= law.alive_time - days)
    assert np.all(law.alive_time <= hours / 24 * (1 + 1e-15))
    assert np.all(law.alive_time >= hours / 24 * (1 - law.p_hit - slack) - days)
