"""First passage by numerical Wiener-Hopf factorisation: any jump law, continuous or discrete checks.

Design: the log price is mirrored so that the level is always below. ``psi`` is its Levy exponent, ``a`` the
distance to the level, and every integral runs over a hyperbola bent away from the imaginary axis inside the
region ``Re psi < Re alpha``, where ``alpha - psi`` has no zero and its principal logarithm is continuous.
``Re psi`` is harmonic, so by the maximum principle it is enough to test the hyperbola itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from liqsim.analytic.laplace import Transform
from liqsim.errors import ParameterError
from liqsim.models import Kou, PriceModel

__all__ = ["checked_passage_transform", "passage_transform"]

_ANGLES = 0.35 * 0.85 ** np.arange(30)
_SPACING = 2 * math.pi / math.log(1e14)
_NODE_PAIRS = 6_000_000
_CHUNK = 512


@dataclass(frozen=True)
class _Hyperbola:
    """``u(y) = side * scale * sin(angle) cosh(y) + i scale cos(angle) sinh(y)`` for ``abs(y) < extent``."""

    side: int
    scale: float
    angle: float
    extent: float

    def point(self, y: np.ndarray, angle: float) -> np.ndarray:
        return self.scale * (self.side * math.sin(angle) * np.cosh(y) + 1j * math.cos(angle) * np.sinh(y))

    def nodes(self, refinement: float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes, and weights of ``du / (2 pi i)``, of a trapezoidal rule.

        Its error is ``exp(-2 pi angle / spacing)``, 1e-14 at refinement 1, because the integrand is analytic
        for angles from 0 to twice this one.
        """
        spacing = _SPACING * self.angle / refinement
        n = math.ceil(self.extent / spacing)
        y = (np.arange(-n, n) + 0.5) * spacing
        slope = self.scale * (self.side * math.sin(self.angle) * np.sinh(y) + 1j * math.cos(self.angle) * np.cosh(y))
        return self.point(y, self.angle), slope * (spacing / (2j * math.pi))


class _Mirrored:
    """A price model seen from the start, the level at ``-distance`` of the log price."""

    def __init__(self, model: PriceModel, upward: bool) -> None:
        self.model = model
        self.sign = -1.0 if upward else 1.0
        self.drift = self.sign * model.log_drift
        self.half_variance = 0.5 * model.sigma**2
        self.rate = model.jump_rate
        left, right = (model.eta_down, model.eta_up) if isinstance(model, Kou) else (math.inf, math.inf)
        self.strip = {-1: right if upward else left, 1: left if upward else right}

    def jump(self, u: np.ndarray) -> np.ndarray:
        """``rate * E[exp(u Y)]``."""
        return self.rate * self.model.jump_transform(self.sign * u)

    def diffusion(self, u: np.ndarray) -> np.ndarray:
        """Exponent of the part between jumps, killed at the first jump."""
        return self.drift * u + self.half_variance * u * u - self.rate

    def exponent(self, u: np.ndarray) -> np.ndarray:
        return self.model.exponent(self.sign * u)

    def hyperbola(
        self, side: int, limit: float, reach: float, growth: Callable[[np.ndarray], np.ndarray]
    ) -> _Hyperbola:
        """Hyperbola on one side along which ``growth(u) < limit``, out to ``abs(u) = reach``.

        The vertex at twice the angle stays where the exponent is below the limit on the real axis.
        """
        edge = self._edge(side, 0.9 * limit)
        y = np.linspace(0.0, 1.0, 2001)
        for angle in _ANGLES:
            candidate = _Hyperbola(
                side,
                edge / math.sin(2 * angle),
                float(angle),
                math.asinh(reach * math.sin(2 * angle) / edge) + 1.0,
            )
            if np.all(growth(candidate.point(y * candidate.extent, 2 * angle)) < limit):
                return candidate
        raise ParameterError(
            f"model={self.model!r}: no transform of the first passage, because the drift or jumps of one "
            "size dominate sigma; give a jump_std of at least a tenth of jump_mean, a smaller drift, or "
            "simulate with liqsim.first_passage"
        )

    def _edge(self, side: int, limit: float) -> float:
        """Largest distance from 0 along the real axis within which ``psi`` stays below the limit."""

        def inside(x: float) -> bool:
            return x < 0.999 * self.strip[side] and float(self.exponent(np.array(side * x))) < limit

        low, high = 0.0, 1e-9
        while inside(high):
            low, high = high, 2 * high
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if inside(middle) else (low, middle)
        return low


def passage_transform(
    model: PriceModel, distances: np.ndarray, upward: bool, abscissa: float, refinement: float = 1.0
) -> Transform:
    """Transform ``E[exp(-alpha tau)]`` of the first passage, watched continuously.

    Parameters
    ----------
    model : PriceModel
        With ``sigma > 0`` and jumps whose transform decays along the imaginary axis.
    distances : ndarray, shape (n,)
        Distances of the log price to the level, positive.
    upward : bool
        Whether the levels lie above the starting price.
    abscissa : float
        Smallest ``Re alpha`` that will be asked for, 1/yr.
    refinement : float, default 1
        Number of quadrature nodes relative to what 14 digits should need.

    Returns
    -------
    callable
        ``alpha -> phi``.

    Raises
    ------
    ParameterError
        If the jumps are so nearly of one size that no usable contour exists.

    Notes
    -----
    ``phi`` is the probability that the infimum over an exponential time of rate ``alpha`` lies beyond the
    level [1]_. With ``D = alpha + rate - m u - sigma^2 u^2/2``, the diffusion killed by jumps, whose factors
    are known, and ``F = (alpha - psi)/D``, additively split as ``ln F = F_plus + F_minus`` by a Cauchy
    integral of a function that decays as fast as the jumps' transform,

        phi = exp(F_minus(0)) [exp(F_plus(-beta) - beta a)
              - int exp(F_plus(u) + u a) beta/(beta + u) J(u)/(alpha - psi(u)) du/(2 pi i u)],

    ``-beta`` being the negative root of ``D`` and ``J`` the jumps' transform times their rate. Trapezoidal
    rules on hyperbolas converge geometrically ([2]_).

    References
    ----------
    .. [1] J. Bertoin (1996), Levy Processes, chapter VI, theorem 5.
    .. [2] S. Boyarchenko, S. Levendorskii (2019), Sinh-acceleration: efficient evaluation of probability
       distributions, option pricing, and Monte Carlo simulations, IJTAF 22.
    """
    law = _Mirrored(model, upward)
    m, h, rate = law.drift, law.half_variance, law.rate

    def growth(u: np.ndarray) -> np.ndarray:
        return np.maximum(law.exponent(u).real, law.diffusion(u).real)

    reach = 1.0
    while abs(law.jump(np.array(1j * reach))) > 1e-16 * (rate + abscissa + h * reach**2):
        reach *= 1.25
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        (u, du), (z, dz) = _contours(law, abscissa, reach, growth, refinement)
        jump_u, jump_z = law.jump(u)[:, None], law.jump(z)[:, None]
        exponent_u, diffusion_z = law.exponent(u)[:, None], law.diffusion(z)[:, None]
        split = -1.0 / (u[:, None] - z)
        paths = np.exp(distances[:, None] * u) * (du / u)

    def transform(alpha: np.ndarray) -> np.ndarray:
        density = np.log1p(-jump_z / (alpha - diffusion_z)) * dz[:, None]
        killed = alpha + rate
        beta = (m + np.sqrt(m * m + 4 * h * killed)) / (2 * h)
        plus_beta = np.sum(density / (beta + z[:, None]), axis=0)
        minus_zero = np.log1p(-rate / killed) - np.sum(density / z[:, None], axis=0)
        jumps = np.exp(split @ density + minus_zero) * jump_u / (alpha - exponent_u) * (beta / (beta + u[:, None]))
        creep = np.exp(plus_beta + minus_zero - beta * distances[:, None])
        return np.asarray(creep - paths @ jumps)

    return _chunked(transform)


def checked_passage_transform(
    model: PriceModel,
    distances: np.ndarray,
    upward: bool,
    abscissa: float,
    interval: float,
    refinement: float = 1.0,
) -> Transform:
    """Transform ``E[exp(-alpha tau)]`` of the first check, every ``interval`` years, that finds a breach.

    Parameters
    ----------
    model, distances, upward, abscissa, refinement
        As for :func:`passage_transform`.
    interval : float
        Years between checks; the first is one interval after the start.

    Returns
    -------
    callable
        ``alpha -> phi``.

    Raises
    ------
    ParameterError
        If no usable contour exists.

    Notes
    -----
    By Spitzer's identity [1]_ ``phi`` is the probability that the minimum of the checked log prices over a
    geometric number of checks lies beyond the level. With ``L = -ln(1 - exp(interval (psi - alpha)))``, which
    decays as fast as the density of one interval's return is smooth [2]_, split as in
    :func:`passage_transform`,

        phi = -int exp(-L_minus(0) - L_plus(u) + u a) (exp(L(u)) - 1) du/(2 pi i u).

    References
    ----------
    .. [1] F. Spitzer (1956), A combinatorial lemma and its application to probability theory, Transactions
       of the American Mathematical Society 82.
    .. [2] L. Feng, V. Linetsky (2008), Pricing discretely monitored barrier options and defaultable bonds in
       Levy process models: a fast Hilbert transform approach, Mathematical Finance 18.
    """
    law = _Mirrored(model, upward)
    reach = 9.0 / (model.sigma * math.sqrt(interval))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        (u, du), (z, dz) = _contours(law, abscissa, reach, lambda v: law.exponent(v).real, refinement)
        exponent_u, exponent_z = law.exponent(u)[:, None], law.exponent(z)[:, None]
        split = 1.0 / (u[:, None] - z)
        paths = np.exp(distances[:, None] * u) * (du / u)

    def transform(alpha: np.ndarray) -> np.ndarray:
        density = -np.log(-np.expm1(interval * (exponent_z - alpha))) * dz[:, None]
        minus_zero = -np.log(-np.expm1(-interval * alpha)) - np.sum(density / z[:, None], axis=0)
        step = interval * (exponent_u - alpha)
        breach = np.exp(split @ density - minus_zero) * (np.exp(step) / -np.expm1(step))
        return np.asarray(-(paths @ breach))

    return _chunked(transform)


def _contours(
    law: _Mirrored, limit: float, reach: float, growth: Callable[[np.ndarray], np.ndarray], refinement: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    left = law.hyperbola(-1, limit, reach, growth).nodes(refinement)
    right = law.hyperbola(1, limit, reach, growth).nodes(refinement)
    if left[0].size * right[0].size > _NODE_PAIRS:
        raise ParameterError(
            f"model={law.model!r}: the first passage takes {left[0].size * right[0].size} pairs of "
            f"quadrature nodes, allowed {_NODE_PAIRS}, because the drift or jumps of one size dominate sigma; "
            "give a larger jump_std, a smaller drift, or simulate with liqsim.first_passage"
        )
    return left, right


def _chunked(transform: Transform) -> Transform:
    """Evaluate in pieces, so that memory stays bounded for any number of ``alpha``."""

    def pieces(alpha: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return np.concatenate([transform(alpha[i : i + _CHUNK]) for i in range(0, alpha.size, _CHUNK)], axis=1)

    return pieces
