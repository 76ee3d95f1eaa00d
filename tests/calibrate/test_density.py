"""The return density: normalisation, cumulants, and agreement of independent routes to it."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.stats import norm

from liqsim.calibrate import bin_probabilities, log_density
from liqsim.errors import CalibrationError
from liqsim.models import GBM, Kou, Merton
from liqsim.models.price import PriceModel

KOU_FIT = Kou(sigma=0.31, intensity=5486.0, p_up=0.5755, eta_up=165.3, eta_down=134.9, drift=1.43)
KOU_TEXTBOOK = Kou(sigma=0.65, intensity=40.0, p_up=0.45, eta_up=30.0, eta_down=25.0)
MERTON_FIT = Merton(sigma=0.36, intensity=3017.0, jump_mean=-0.00015, jump_std=0.0123, drift=1.43)
MODELS = [
    pytest.param(GBM(sigma=0.8, drift=0.3), "1h", id="gbm-1h"),
    pytest.param(MERTON_FIT, "1h", id="merton-fit-1h"),
    pytest.param(Merton(sigma=0.5, intensity=12.0, jump_mean=-0.03, jump_std=0.04), "1D", id="merton-textbook-1D"),
    pytest.param(KOU_FIT, "1h", id="kou-fit-1h"),
    pytest.param(KOU_FIT, "1min", id="kou-fit-1min"),
    pytest.param(KOU_TEXTBOOK, "8h", id="kou-textbook-8h"),
    pytest.param(Kou(0.2, 300.0, 0.0, 50.0, 40.0), "1D", id="kou-down-only"),
]


def span(model: PriceModel, interval: str) -> float:
    dt = {"1min": 1 / 525600, "1h": 1 / 8760, "8h": 1 / 1095, "1D": 1 / 365}[interval]
    reach = 60 / min(model.eta_up, model.eta_down) if isinstance(model, Kou) else 0.4
    return reach + 40 * math.sqrt(model.cumulants(dt)[1])


@pytest.mark.parametrize(("model", "interval"), MODELS)
def test_bins_sum_to_one_and_carry_the_cumulants(model: PriceModel, interval: str) -> None:
    width = 2e-4
    k = np.arange(-round(span(model, interval) / width), round(span(model, interval) / width) + 1)
    p, x = bin_probabilities(model, k, width, interval), width * k
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1, abs=2e-12)
    dt = {"1min": 1 / 525600, "1h": 1 / 8760, "8h": 1 / 1095, "1D": 1 / 365}[interval]
    k1, k2, k3, k4 = model.cumulants(dt)
    mean = p @ x
    central = [p @ (x - mean) ** n for n in range(5)]
    variance = central[2] - width**2 / 12  # Sheppard
    fourth = central[4] - 0.5 * width**2 * central[2] + 7 / 240 * width**4
    assert mean == pytest.approx(k1, abs=1e-12)
    assert variance == pytest.approx(k2, rel=1e-9)
    assert central[3] == pytest.approx(k3, rel=1e-7, abs=1e-15)
    assert fourth - 3 * variance**2 == pytest.approx(k4, rel=1e-7, abs=1e-14)


@pytest.mark.parametrize(("model", "interval"), MODELS)
def test_density_integrates_to_the_bins(model: PriceModel, interval: str) -> None:
    width = 4e-3
    k = np.arange(-4, 5)
    nodes = np.linspace(-4.5 * width, 4.5 * width, 9 * 2000 + 1)
    f = np.exp(log_density(model, nodes, interval))
    integrals = [simpson(f[2000 * j : 2000 * (j + 1) + 1], x=nodes[2000 * j : 2000 * (j + 1) + 1]) for j in range(9)]
    assert bin_probabilities(model, k, width, interval) == pytest.approx(integrals, rel=3e-7, abs=1e-12)


@pytest.mark.parametrize("jumps", [0.003, 0.35, 5.0, 50.0])
def test_merton_series_equals_fourier(jumps: float) -> None:
    model = Merton(sigma=0.36, intensity=8760 * jumps, jump_mean=-0.001, jump_std=0.009)
    k = np.arange(-300, 301)
    series = bin_probabilities(model, k, 2e-4, "1h", method="series")
    fourier = bin_probabilities(model, k, 2e-4, "1h", method="fourier")
    assert np.abs(series - fourier).max() < 1e-12
    x = np.linspace(-0.05, 0.05, 401)
    series, fourier = (np.exp(log_density(model, x, "1h", method=m)) for m in ("series", "fourier"))
    assert np.abs(series - fourier).max() < 1e-9 * max(1.0, series.max())


def test_merton_tails_agree_in_relative_terms() -> None:
    k = np.arange(-900, 901)
    series = bin_probabilities(MERTON_FIT, k, 2e-4, "1h", method="series")
    fourier = bin_probabilities(MERTON_FIT, k, 2e-4, "1h", method="fourier")
    assert series.min() < 1e-15
    assert np.abs(np.log(series / fourier)).max() < 1e-6


def test_gbm_is_the_normal_law() -> None:
    model, dt = GBM(sigma=0.8, drift=0.3), 1 / 8760
    x = np.linspace(-0.08, 0.08, 33)
    exact = norm.logpdf(x, model.log_drift * dt, model.sigma * math.sqrt(dt))
    assert log_density(model, x, "1h") == pytest.approx(exact, rel=1e-12)
    assert log_density(model, np.linspace(-0.03, 0.03, 5000), "1h") == pytest.approx(
        norm.logpdf(np.linspace(-0.03, 0.03, 5000), model.log_drift * dt, model.sigma * math.sqrt(dt)), abs=1e-9
    )


def kou_density_by_quadrature(model: Kou, x: float, dt: float) -> float:
    """Log density from the inversion integral in 40 digits, with the jump transform written out here."""
    with mpmath.workdps(40):
        up, down, p = mpmath.mpf(model.eta_up), mpmath.mpf(model.eta_down), mpmath.mpf(model.p_up)
        drift = model.drift - mpmath.mpf(model.sigma) ** 2 / 2
        drift -= model.intensity * (p * up / (up - 1) + (1 - p) * down / (down + 1) - 1)
        tilt = 0.4 * (model.eta_up if x > 0 else -model.eta_down)

        def integrand(w: mpmath.mpf) -> mpmath.mpf:
            u = mpmath.mpc(tilt, w)
            psi = drift * u + (model.sigma * u) ** 2 / 2
            psi += model.intensity * (p * up / (up - u) + (1 - p) * down / (down + u) - 1)
            return mpmath.re(mpmath.exp(dt * psi - u * x))

        end = 16 / (model.sigma * mpmath.sqrt(dt))
        return float(mpmath.log(mpmath.quad(integrand, mpmath.linspace(0, end, 60)) / mpmath.pi))


@pytest.mark.parametrize("x", [-0.15, -0.04, -0.001, 0.0, 0.02, 0.12])
def test_kou_density_equals_quadrature(x: float) -> None:
    exact = kou_density_by_quadrature(KOU_FIT, x, 1 / 8760)
    assert float(log_density(KOU_FIT, x, "1h")) == pytest.approx(exact, abs=1e-8)


def test_kou_density_equals_the_closed_form_for_rare_jumps() -> None:
    """At most one jump: a normal, and a normal plus an exponential (Ramezani and Zeng 2007)."""
    model, dt = Kou(sigma=0.5, intensity=1e-4, p_up=0.4, eta_up=30.0, eta_down=25.0), 1 / 8760
    x = np.linspace(-0.25, 0.25, 41)
    mean, s = model.log_drift * dt, model.sigma * math.sqrt(dt)
    y = x - mean
    up = model.eta_up * np.exp(-model.eta_up * y + 0.5 * (model.eta_up * s) ** 2) * norm.cdf(y / s - model.eta_up * s)
    down = model.eta_down * np.exp(model.eta_down * y + 0.5 * (model.eta_down * s) ** 2)
    down *= norm.cdf(-y / s - model.eta_down * s)
    rate = model.intensity * dt
    density = (1 - rate) * norm.pdf(x, mean, s) + rate * (0.4 * up + 0.6 * down)
    assert log_density(model, x, "1h") == pytest.approx(np.log(density), abs=2e-4)


def test_tails_beyond_double_precision_stay_finite_and_decrease() -> None:
    model = Kou(sigma=0.3, intensity=100.0, p_up=0.5, eta_up=2000.0, eta_down=2000.0)
    logs = log_density(model, np.linspace(0, 0.6, 121), "1h")
    assert np.isfinite(logs).all()
    assert (np.diff(logs) <= 0).all()


def test_no_density_without_diffusion() -> None:
    with pytest.raises(CalibrationError, match="sigma=0"):
        log_density(Merton(sigma=0.0, intensity=5.0, jump_mean=0.0, jump_std=0.1), 0.0, "1h")


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(CalibrationError, match='give "auto", "series" or "fourier"'):
        log_density(GBM(sigma=0.5), 0.0, "1h", method="fft")
    with pytest.raises(CalibrationError, match="not known for Kou"):
        log_density(KOU_FIT, 0.0, "1h", method="series")


def test_a_grid_too_large_is_refused() -> None:
    with pytest.raises(CalibrationError, match="grid nodes"):
        log_density(Kou(sigma=1e-4, intensity=1.0, p_up=0.5, eta_up=2.0, eta_down=2.0), 0.0, "1min")
