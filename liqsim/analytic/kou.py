"""First passage under Kou's model: the transform in closed form."""

from __future__ import annotations

import numpy as np

from liqsim.analytic.laplace import Transform
from liqsim.models import Kou

__all__ = ["passage_transform"]


def passage_transform(model: Kou, distances: np.ndarray, upward: bool, by_jump: bool = False) -> Transform:
    """Transform ``E[exp(-alpha tau)]`` of the first passage beyond each distance.

    Parameters
    ----------
    model : Kou
        With ``sigma > 0``.
    distances : ndarray, shape (n,)
        Distances of the log price to the level, positive.
    upward : bool
        Whether the levels lie above the starting price.
    by_jump : bool
        Count only the passages that land beyond the level, ``E[exp(-alpha tau); X beyond]``.

    Returns
    -------
    callable
        ``alpha -> phi``, for ``Re alpha > 0``.

    Notes
    -----
    Theorem 3.1 of [1]_, mirrored for a passage downward: with ``-b3`` and ``-b4`` the roots of
    ``psi(r) = alpha`` with negative real part for ``alpha > 0``,

        phi = [b4 (eta - b3) exp(-b3 a) - b3 (eta - b4) exp(-b4 a)] / (eta (b4 - b3)),

    of which the part that jumps is ``(eta - b3) (b4 - eta) [exp(-b3 a) - exp(-b4 a)] / (eta (b4 - b3))``.

    A root never becomes real while ``alpha`` is not (``psi`` is real on the real axis), so for complex
    ``alpha`` the two are those whose imaginary part has the sign opposite to that of ``alpha``; a root that
    rare jumps pin to a pole, and so to the real axis, is told by its real part. Roots are eigenvalues of
    companion matrices refined by Newton steps; the quotient is taken as a divided difference, which stays
    accurate where the two roots meet.

    References
    ----------
    .. [1] S. G. Kou, H. Wang (2003), First passage times of a jump diffusion process, Advances in Applied
       Probability 35.
    """
    m, variance, rate = model.log_drift, model.sigma**2, model.intensity
    ahead, behind, p_ahead = model.eta_down, model.eta_up, 1.0 - model.p_up
    if upward:
        m, ahead, behind, p_ahead = -m, behind, ahead, model.p_up
    distance = distances[:, None]

    def transform(alpha: np.ndarray) -> np.ndarray:
        roots = _roots(alpha, 0.5 * variance, m, rate, 1.0 - p_ahead, behind, ahead)
        turn = roots.imag * np.sign(alpha.imag)[:, None] / np.abs(roots)
        rank = np.where(np.abs(turn) > 1e-9, turn, np.copysign(2.0, roots.real))
        rank = np.where((alpha.imag == 0)[:, None], roots.real, rank)
        order = np.argsort(rank, axis=1)
        b3, b4 = -np.take_along_axis(roots, order[:, :2], axis=1).T
        mean, half = 0.5 * (b3 + b4), 0.5 * (b4 - b3)
        spread = half * distance
        near, far = np.exp(-b3 * distance), np.exp(-b4 * distance)
        small = np.abs(spread) < 0.5
        series = distance * np.exp(-mean * distance) * _sinhc(np.where(small, spread, 0.0))
        divided = np.where(small, series, (near - far) / np.where(half == 0, 1.0, 2 * half))
        if by_jump:
            return np.asarray((ahead - b3) * (b4 - ahead) / ahead * divided)
        return np.asarray(0.5 * (near + far) + (mean - b3 * b4 / ahead) * divided)

    return transform


def _sinhc(z: np.ndarray) -> np.ndarray:
    """``sinh(z)/z`` for ``abs(z) < 1``, by its series."""
    square = z * z
    total = np.ones_like(square)
    for k in range(9, 0, -1):
        total = 1.0 + total * square / (2 * k * (2 * k + 1))
    return total


def _roots(
    alpha: np.ndarray, half_variance: float, drift: float, rate: float, p_up: float, up: float, down: float
) -> np.ndarray:
    """Roots of ``(h r^2 + m r - alpha)(up - r)(down + r) + rate r (p (down + r) - q (up - r))``, a row per alpha."""
    h, m, q = half_variance, drift, 1.0 - p_up
    companion = np.zeros((alpha.size, 4, 4), dtype=complex)
    companion[:, (1, 2, 3), (0, 1, 2)] = 1.0
    companion[:, 0, 0] = (up - down) - m / h
    companion[:, 0, 1] = up * down + (m * (up - down) + rate + alpha) / h
    companion[:, 0, 2] = (m * up * down - alpha * (up - down) + rate * (p_up * down - q * up)) / h
    companion[:, 0, 3] = -alpha * up * down / h
    roots = np.linalg.eigvals(companion)
    for _ in range(2):
        quadratic = (h * roots + m) * roots - alpha[:, None]
        left, right = down + roots, up - roots
        lift = rate * (p_up * left - q * right)
        value = quadratic * left * right + roots * lift
        slope = (2 * h * roots + m) * left * right + quadratic * (right - left) + lift + rate * roots
        roots = roots - np.where(slope == 0, 0.0, value / np.where(slope == 0, 1.0, slope))
    return np.asarray(roots)
