"""Accuracy of the kernel's elementary functions, in units of the last place, and equal bits at every level."""

import math

import mpmath
import numpy as np
import pytest
from scipy.special import erfcx

from liqsim._core import ISA_LEVELS, available_levels, kernel_module

N = 1500
EIGHTH = math.pi / 4
RNG = np.random.default_rng(20261123)


def spread(low, high):
    return RNG.uniform(low, high, N)


def powers(low, high):
    return 10.0 ** spread(low, high)


NEAR_ONE = [1.0, np.nextafter(1, 0), np.nextafter(1, 2), math.sqrt(2), np.nextafter(math.sqrt(2), 0), math.sqrt(0.5)]
POINTS = {
    "log": [powers(-300, 300), spread(0.5, 2), 1 + spread(-1e-7, 1e-7), [*NEAR_ONE, 0.5, 2, 1e-300, 1e300, 2.3e-308]],
    "exp": [spread(-708, 708), spread(-1, 1), powers(-300, -8), [0.0, -0.0, 1, -1, -708, 708, 0.5 * math.log(2)]],
    "sin": [spread(0, EIGHTH), powers(-300, -1), [0.0, EIGHTH, 5e-324]],
    "cos": [spread(0, EIGHTH), powers(-300, -1), [0.0, EIGHTH, 5e-324]],
    "mills": [spread(0, 10), powers(-300, 8), spread(0, 1e8), [0.0, 5.25, 1e8]],
}
POINTS = {name: np.concatenate([np.asarray(part, dtype=float) for part in parts]) for name, parts in POINTS.items()}
BOUNDS = {"log": 1.0, "exp": 1.0, "sin": 0.8, "cos": 1.0}  # ulp


@pytest.fixture(params=ISA_LEVELS)
def elementary(request, monkeypatch):
    if request.param not in available_levels():
        pytest.skip(f"level {request.param} is not built or not supported by this processor")
    monkeypatch.setenv("LIQSIM_ISA", request.param)
    return kernel_module().elementary


def ulps(computed, exact):
    """Largest distance from the exact value, in units of the last place."""
    return max(
        float(abs(mpmath.mpf(value) - truth) / math.ulp(float(truth)))
        for value, truth in zip(computed.tolist(), exact, strict=True)
    )


@pytest.fixture(scope="module", params=BOUNDS)
def truth(request):
    name = request.param
    with mpmath.workprec(150):
        return name, [getattr(mpmath, name)(mpmath.mpf(x)) for x in POINTS[name].tolist()]


def test_error_in_units_of_the_last_place(elementary, truth):
    name, exact = truth
    with mpmath.workprec(150):
        assert ulps(elementary(name, POINTS[name]), exact) < BOUNDS[name]


def test_mills_ratio(elementary):
    z = POINTS["mills"]
    exact = math.sqrt(math.pi / 2) * erfcx(z / math.sqrt(2))
    np.testing.assert_allclose(elementary("mills", z), exact, rtol=3e-14, atol=0)


def test_exact_values(elementary):
    assert elementary("log", np.array([1.0])).tolist() == [0.0]
    assert elementary("exp", np.array([0.0, -0.0])).tolist() == [1.0, 1.0]
    assert elementary("sin", np.array([0.0])).tolist() == [0.0]
    assert elementary("cos", np.array([0.0])).tolist() == [1.0]


def test_exp_is_confined_not_infinite(elementary):
    ends = elementary("exp", np.array([-708.0, 708.0]))
    assert elementary("exp", np.array([-709.0, 709.0])).tolist() == ends.tolist()
    assert elementary("exp", np.array([-1e300, 1e300])).tolist() == ends.tolist()
    assert elementary("exp", np.array([-np.inf, np.inf])).tolist() == ends.tolist()
    assert np.isfinite(ends).all()
    assert (ends > 0).all()


@pytest.mark.parametrize(("name", "sign"), [("log", 1), ("exp", 1), ("sin", 1), ("cos", -1), ("mills", -1)])
def test_monotone_but_for_rounding(elementary, name, sign):
    x = np.sort(POINTS[name])
    y = elementary(name, x)
    assert (sign * np.diff(y) >= -4 * np.spacing(np.abs(y[1:])) - (3e-14 * y[1:] if name == "mills" else 0)).all()


@pytest.mark.parametrize("name", POINTS)
def test_same_bits_at_every_level(monkeypatch, name):
    bits = set()
    for level in available_levels():
        monkeypatch.setenv("LIQSIM_ISA", level)
        bits.add(kernel_module().elementary(name, POINTS[name]).tobytes())
    assert len(bits) == 1


def test_unknown_function(elementary):
    with pytest.raises(ValueError, match="tan"):
        elementary("tan", np.array([1.0]))
