"""Closed forms of funding: the rate under a clamped rule, its total without exit, the payments survived."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev
from scipy.special import ndtr

from liqsim.analytic._checks import levels, price_model, real_array
from liqsim.analytic.passage import Values, passage_probability
from liqsim.durations import Duration, parse_years
from liqsim.errors import ParameterError
from liqsim.models import OUPremium, PriceModel

__all__ = ["HeldFunding", "expected_alive_payments", "expected_clamped_rate", "held_funding"]

_DIRECT_PAYMENTS = 48
_MOST_PAYMENTS = 10_000_000


class HeldFunding(NamedTuple):
    """Mean and standard deviation of the sum of funding rates, fraction of notional."""

    mean: float
    std: float


def expected_clamped_rate(
    mean: npt.ArrayLike, std: npt.ArrayLike, interest: npt.ArrayLike, clamp: npt.ArrayLike
) -> Values:
    """Compute the expected funding rate ``F = P + clamp(I - P, -c, c)`` of a normal premium ``P``.

    Parameters
    ----------
    mean, std : array_like
        Of the premium ``P``, fraction per funding interval; ``std >= 0``.
    interest : array_like
        Interest rate ``I``, fraction per funding interval.
    clamp : array_like
        Half-width ``c >= 0`` of the clamp, fraction per funding interval.

    Returns
    -------
    float or ndarray
        ``E[F]``, fraction per funding interval, of the arguments' broadcast shape.

    Raises
    ------
    ParameterError
        If an argument is not finite, or ``std`` or ``clamp`` is negative.

    Notes
    -----
    ``F = I + (P - I - c)^+ - (I - c - P)^+``: the rate leaves ``I`` only where the premium leaves
    ``[I - c, I + c]``, and each excess of a normal ``X`` is ``m Phi(m/s) + s phi(m/s)``. Rounding is relative
    to the largest term.

    Examples
    --------
    >>> round(expected_clamped_rate(mean=5e-4, std=4e-4, interest=1e-4, clamp=5e-4), 10)
    0.000212844
    """
    m, s, rate, c = np.broadcast_arrays(
        real_array("mean", mean, "premium, fraction per funding interval"),
        real_array("std", std, "standard deviation >= 0 of the premium, fraction per funding interval"),
        real_array("interest", interest, "interest rate, fraction per funding interval"),
        real_array("clamp", clamp, "half-width >= 0 of the clamp, fraction per funding interval"),
    )
    for name, values in (("std", s), ("clamp", c)):
        if np.any(values < 0):
            raise ParameterError(
                f"{name}={float(values.min())!r} is not allowed; give numbers in [0, inf), fraction per "
                "funding interval"
            )
    value = rate + _mean_excess(m - rate - c, s) - _mean_excess(rate - m - c, s)
    return float(value) if value.ndim == 0 else value


def _mean_excess(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """``E[max(X, 0)]`` of a normal ``X``."""
    with np.errstate(under="ignore", over="ignore"):
        z = np.divide(mean, std, out=np.zeros(mean.shape), where=std > 0)
        spread = mean * ndtr(z) + std * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return np.where(std > 0, spread, np.maximum(mean, 0.0))


def held_funding(premium: OUPremium, interval: Duration, horizon: Duration) -> HeldFunding:
    """Compute the law of the funding paid to the horizon by a position that is never closed.

    Parameters
    ----------
    premium : OUPremium
        The rate of each payment is the premium at that time.
    interval : str, numpy.timedelta64 or datetime.timedelta
        Time between payments; the first is one interval after entry.
    horizon : str, numpy.timedelta64 or datetime.timedelta
        A payment at the horizon counts.

    Returns
    -------
    HeldFunding
        ``mean`` and ``std`` of the (normal) sum, fraction of notional, positive when paid by longs.

    Raises
    ------
    ParameterError
        If an argument is not of its kind, or there are more than 1e7 payments.

    Notes
    -----
    With ``e = exp(-k interval)``: mean ``n theta + (b0 - theta) e (1 - e^n)/(1 - e)`` and variance
    ``v^2 (1 - e^2)/(1 - e)^2 sum_{j=1..n} (1 - e^j)^2``, ``v`` the stationary deviation: each shock of
    one interval is paid in all that follow, and all terms are positive. Errors are those of rounding.

    Examples
    --------
    >>> from liqsim import OUPremium
    >>> premium = OUPremium(mean=1e-4, half_life="8h", vol=3e-4, initial=5e-4)
    >>> law = held_funding(premium, interval="8h", horizon="30D")
    >>> round(law.mean, 12), round(law.std, 12)
    (0.0094, 0.004883646179)
    """
    if not isinstance(premium, OUPremium):
        raise ParameterError(f"premium={premium!r} is not a premium model; give liqsim.OUPremium")
    step, n = _payments(interval, horizon)
    decay = premium.mean_reversion * step
    built = -np.expm1(-decay * np.arange(1, n + 1))
    kept = -math.expm1(-decay)
    last = built[-1] if n else 0.0
    mean = n * premium.mean + (premium.start - premium.mean) * math.exp(-decay) * last / kept
    std = premium.vol * math.sqrt(-math.expm1(-2 * decay) * float(np.sum(built**2))) / kept
    return HeldFunding(float(mean), std)


def expected_alive_payments(model: PriceModel, level: npt.ArrayLike, interval: Duration, horizon: Duration) -> Values:
    """Compute the expected number of funding payments before the price ratio reaches a level.

    Parameters
    ----------
    model, level
        As for :func:`liqsim.analytic.first_passage`, monitored continuously.
    interval : str, numpy.timedelta64 or datetime.timedelta
        Time between payments; the first is one interval after entry.
    horizon : str, numpy.timedelta64 or datetime.timedelta
        A payment at the horizon counts.

    Returns
    -------
    float or ndarray
        ``sum_k P(tau > k interval)``, dimensionless, of the shape of ``level``. Times a constant rate on
        entry notional it is the expected funding cost, fraction of entry notional.

    Raises
    ------
    ParameterError
        If an argument is out of range, or there are more than 1e7 payments.

    Notes
    -----
    The sum of :func:`liqsim.analytic.first_passage_probability` at the payment times. Beyond 48 payments the
    survival probability is interpolated by Chebyshev polynomials in the logarithm of time, of a degree
    doubled until the last eighth of the coefficients is below 1e-11 each: error near 1e-11 a payment.

    Examples
    --------
    >>> from liqsim import GBM
    >>> round(expected_alive_payments(GBM(sigma=0.8, drift=0.1), 0.95 / 0.995, "8h", "7D"), 9)
    10.228330491
    """
    model, ratios = price_model(model), levels(level)
    step, n = _payments(interval, horizon)
    flat = ratios.reshape(-1)

    def survival(years: np.ndarray) -> np.ndarray:
        return np.array([1.0 - passage_probability(model, flat, t) for t in years])

    if n <= _DIRECT_PAYMENTS:
        total = survival(step * np.arange(1, n + 1)).reshape(n, flat.size).sum(axis=0)
    else:
        total = _interpolated_sum(survival, step, n)
    return total.reshape(ratios.shape) if ratios.ndim else float(total[0])


def _interpolated_sum(survival: Callable[[np.ndarray], np.ndarray], step: float, n: int) -> np.ndarray:
    """Sum ``survival`` over ``step * (1..n)`` from its Chebyshev interpolant in the logarithm of time."""
    half = 0.5 * math.log(n)
    for degree in (32, 64, 128, 256):
        nodes = chebyshev.chebpts1(degree + 1)
        values = survival(step * np.exp(half * (nodes + 1.0)))
        coefficients = 2.0 / nodes.size * chebyshev.chebvander(nodes, degree).T @ values
        coefficients[0] *= 0.5
        if np.max(np.abs(coefficients[-(degree // 8) :])) < 1e-11:
            break
    total = np.zeros(values.shape[1])
    for first in range(1, n + 1, 65536):
        times = np.arange(first, min(first + 65536, n + 1))
        total += chebyshev.chebval(np.log(times) / half - 1.0, coefficients).sum(axis=-1)
    return total


def _payments(interval: Duration, horizon: Duration) -> tuple[float, int]:
    """Years between payments and their number."""
    step, total = parse_years(interval, "interval"), parse_years(horizon, "horizon")
    n = math.floor(total / step * (1 + 1e-12))
    if n > _MOST_PAYMENTS:
        raise ParameterError(
            f"interval={interval!r} makes {total / step:.3g} payments over horizon={horizon!r}, allowed "
            f"{_MOST_PAYMENTS:g}; give a longer interval"
        )
    return step, n
