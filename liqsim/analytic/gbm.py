"""First passage of geometric Brownian motion, in closed form."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

from liqsim.analytic.laplace import Inverse

__all__ = ["invert", "passage_terms"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_ROUNDING = 8 * np.finfo(float).eps


def passage_terms(x: np.ndarray, k: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that add up to that of the first passage: to end beyond the level, and to have been there.

    Parameters
    ----------
    x : ndarray
        Distance over ``sigma sqrt(T)``, positive.
    k : array_like
        Drift towards the level times ``sqrt(T)/sigma``.

    Notes
    -----
    ``Phi(k - x)`` and ``exp(2 k x) Phi(-k - x)``; see :func:`invert`.
    """
    k = np.asarray(k)
    with np.errstate(under="ignore"):
        bell = np.exp(-0.5 * (x - k) ** 2)
        beyond = x + k > 0
        reflected = np.where(
            beyond,
            0.5 * bell * erfcx(np.where(beyond, x + k, 0.0) / math.sqrt(2.0)),
            np.exp(np.where(beyond, 0.0, 2 * k * x)) * ndtr(-k - x),
        )
        return ndtr(k - x), reflected


def invert(distances: np.ndarray, drift: float, sigma: float, horizon: float) -> Inverse:
    """Law of the first passage of a Brownian motion with drift beyond each distance.

    Parameters
    ----------
    distances : ndarray
        Distances of the log price to the levels, positive.
    drift : float
        Drift of the log price towards the levels, 1/yr.
    sigma : float
        Volatility, 1/sqrt(yr), positive.
    horizon : float
        Years.

    Returns
    -------
    Inverse
        Bounds are those of rounding, proportional to the probability when it is small.

    Notes
    -----
    With ``x = distance/(sigma sqrt(T))`` and ``k = drift sqrt(T)/sigma`` [1]_,

        P = Phi(k - x) + exp(2 k x) Phi(-k - x),
        E[min(tau, T)]/T = 1 - P + (x/k) (Phi(k - x) - exp(2 k x) Phi(-k - x)).

    The exponential is never formed where it is large: the second term is ``exp(-(x - k)^2/2)`` times a scaled
    complementary error function. The difference quotient in ``k`` is integrated from the derivative of
    that function for ``abs(k) < 1``, so that ``k = 0`` is not singular.

    References
    ----------
    .. [1] I. Karatzas, S. E. Shreve (1991), Brownian Motion and Stochastic Calculus, section 3.5.C.
    """
    x = distances / (sigma * math.sqrt(horizon))
    k = drift * math.sqrt(horizon) / sigma
    direct, reflected = passage_terms(x, k)
    with np.errstate(under="ignore"):
        bell = np.exp(-0.5 * (x - k) ** 2)
        p = direct + reflected
        if abs(k) < 1:
            z = (x[:, None] - k * _NODES) / math.sqrt(2.0)
            slope = 2.0 / math.sqrt(math.pi) - 2.0 * z * erfcx(z)
            quotient = bell * (slope @ _WEIGHTS) / math.sqrt(8.0)
        else:
            quotient = (direct - reflected) / k
        bound = _ROUNDING * (p + bell * (x + abs(k)) + 2 * abs(k) * x * reflected)
    return Inverse(p, bound, 1.0 - p + x * quotient, _ROUNDING + bound * (1.0 + x / max(abs(k), 1.0)))
