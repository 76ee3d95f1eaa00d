from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from liqsim.analytic import (
    expected_alive_payments,
    expected_clamped_rate,
    first_passage_probability,
    held_funding,
)
from liqsim.models import GBM, Kou, Merton, OUPremium, PriceModel


@pytest.mark.parametrize("mean", [-8e-4, 0.0, 1e-4, 2e-3])
@pytest.mark.parametrize("std", [1e-6, 3e-4, 5e-3])
def test_clamped_rate_is_the_integral_of_the_rule(mean: float, std: float) -> None:
    interest, clamp = 1e-4, 5e-4
    with mp.workdps(30):
        points = sorted({mean - 15 * std, interest - clamp, interest + clamp, mean + 15 * std})
        expected = mp.quad(
            lambda p: (p + min(max(interest - p, -clamp), clamp)) * mp.npdf(p, mean, std),
            [q for q in points if abs(q - mean) <= 15 * std * (1 + 1e-12)],
        )
    assert expected_clamped_rate(mean, std, interest, clamp) == pytest.approx(float(expected), abs=1e-17)


def test_clamped_rate_limits() -> None:
    assert expected_clamped_rate(7e-4, 0.0, 1e-4, 5e-4) == pytest.approx(2e-4, abs=1e-19)
    assert expected_clamped_rate(7e-4, 3e-4, 1e-4, 0.0) == pytest.approx(7e-4, abs=1e-18)
    assert expected_clamped_rate(3e-4, 1e-4, 1e-4, 1.0) == 1e-4
    assert expected_clamped_rate([0.0, 1e-3], 1e-4, [[1e-4], [2e-4]], 5e-4).shape == (2, 2)


@pytest.mark.parametrize("initial", [None, 5e-4])
def test_held_funding_is_the_sum_of_a_gaussian_vector(initial: float | None) -> None:
    premium = OUPremium(mean=1e-4, half_life="8h", vol=3e-4, initial=initial)
    hours = 4.0 * np.arange(1, 61)
    k = math.log(2) / 8
    gaps = np.abs(hours[:, None] - hours), hours[:, None] + hours
    covariance = 9e-8 * (np.exp(-k * gaps[0]) - np.exp(-k * gaps[1]))
    mean = np.sum(1e-4 + (premium.start - 1e-4) * np.exp(-k * hours))
    law = held_funding(premium, "4h", "10D")
    assert law.mean == pytest.approx(mean, rel=1e-13)
    assert law.std == pytest.approx(math.sqrt(covariance.sum()), rel=1e-13)
    assert held_funding(premium, "8h", "7h") == (0.0, 0.0)


@pytest.mark.parametrize(
    "model",
    [
        GBM(0.8, 0.1),
        Kou(0.6, 30, 0.4, 40, 30),
        pytest.param(Merton(0.6, 30, -0.02, 0.03), marks=pytest.mark.slow),
    ],
)
def test_alive_payments_are_a_sum_over_payment_times(model: PriceModel) -> None:
    levels = np.array([0.95, 1.2])
    direct = sum(1 - first_passage_probability(model, levels, f"{8 * k}h") for k in range(1, 22))
    np.testing.assert_allclose(expected_alive_payments(model, levels, "8h", "7D"), direct, rtol=0, atol=1e-11)
    hourly = expected_alive_payments(model, 0.95, "1h", "50h")
    direct = sum(1 - first_passage_probability(model, 0.95, f"{k}h") for k in range(1, 51))
    assert hourly == pytest.approx(direct, abs=1e-9)
    assert expected_alive_payments(model, 0.95, "8h", "1h") == 0.0
