"""Jump-diffusion laws of the price.

All of them share ``d ln S = m dt + sigma dW + dJ`` with ``m = drift - sigma**2/2 - intensity*kappa`` and
``kappa = E[exp(Y)] - 1``, so that ``E[S_t] = S_0 exp(drift t)``: ``drift=0`` makes the price a martingale.
``log_drift`` is ``m``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from liqsim.errors import ParameterError
from liqsim.models._checks import number

__all__ = ["GBM", "Kou", "Merton", "PriceModel"]


@dataclass(frozen=True)
class PriceModel(ABC):
    """A jump-diffusion of the log price with independent, stationary increments."""

    name: ClassVar[str]
    sigma: float

    @property
    @abstractmethod
    def jump_rate(self) -> float:
        """Jumps per year."""

    @property
    @abstractmethod
    def jump_compensator(self) -> float:
        """``kappa = E[exp(Y)] - 1`` of one log jump ``Y``, dimensionless."""

    @property
    @abstractmethod
    def total_drift(self) -> float:
        """Growth rate of the expected price, 1/yr."""

    @abstractmethod
    def jump_transform(self, u: npt.ArrayLike) -> np.ndarray:
        """``E[exp(u Y)]`` of one log jump, for complex ``u`` inside the strip where it exists."""

    @abstractmethod
    def jump_moment(self, order: int) -> float:
        """``E[Y**order]`` of one log jump."""

    @property
    def log_drift(self) -> float:
        """Drift of the log price between jumps, 1/yr."""
        return self.total_drift - 0.5 * self.sigma**2 - self.jump_rate * self.jump_compensator

    @property
    def annual_volatility(self) -> float:
        """Standard deviation of one year's log return, jumps included."""
        return math.sqrt(self.sigma**2 + self.jump_rate * self.jump_moment(2))

    def exponent(self, u: npt.ArrayLike) -> np.ndarray:
        """Levy exponent ``psi(u) = ln E[exp(u ln(S_1/S_0))]``, per year.

        Parameters
        ----------
        u : array_like of complex

        Returns
        -------
        numpy.ndarray
            Same shape as ``u``.
        """
        u = np.asarray(u)
        psi = self.log_drift * u + 0.5 * self.sigma**2 * u * u
        if self.jump_rate > 0:
            psi = psi + self.jump_rate * (self.jump_transform(u) - 1.0)
        return np.asarray(psi)

    @property
    @abstractmethod
    def exponent_strip(self) -> tuple[float, float]:
        """Open interval of real ``u`` in which :meth:`exponent` is finite."""

    @abstractmethod
    def tilted(self, theta: float) -> PriceModel:
        """The law whose density is ``exp(theta X_t - psi(theta) t)``, its Esscher transform.

        Parameters
        ----------
        theta : float
            Inside :attr:`exponent_strip`.

        Returns
        -------
        PriceModel
            Of the same kind, with exponent ``psi(u + theta) - psi(theta)``.

        Raises
        ------
        ParameterError
            If a parameter of that law is beyond what this package follows.

        References
        ----------
        .. [1] H. U. Gerber, E. S. W. Shiu (1994), Option pricing by Esscher transforms, Transactions of the Society of
           Actuaries 46.
        """

    def cumulants(self, dt: float) -> tuple[float, float, float, float]:
        """First four cumulants of the log return over ``dt`` years."""
        lam = self.jump_rate
        k1 = self.log_drift + lam * self.jump_moment(1)
        k2 = self.sigma**2 + lam * self.jump_moment(2)
        return dt * k1, dt * k2, dt * lam * self.jump_moment(3), dt * lam * self.jump_moment(4)

    def to_dict(self) -> dict[str, Any]:
        """Name and parameters as plain numbers, for provenance."""
        return {"model": self.name, **asdict(self)}


def _check_scale(model: PriceModel) -> None:
    """Refuse a law that never moves, or that moves beyond what double precision can follow."""
    if model.sigma == 0 and model.jump_rate == 0:
        raise ParameterError(f"{type(model).__name__}: sigma=0 without jumps never moves; give sigma > 0 [1/sqrt(yr)]")
    if not math.isfinite(model.log_drift) or abs(model.log_drift) > 1e6:
        raise ParameterError(
            f"{type(model).__name__}: log drift {model.log_drift:g} per year is out of range [-1e6, 1e6]; "
            "lower the intensity or the jump sizes"
        )


@dataclass(frozen=True)
class GBM(PriceModel):
    """Geometric Brownian motion.

    Parameters
    ----------
    sigma : float
        Volatility, 1/sqrt(yr), in (0, 100].
    drift : float, default 0
        Growth rate of the expected price, 1/yr, in [-1000, 1000].

    Raises
    ------
    ParameterError
        If a parameter is not a finite number in its range.

    Examples
    --------
    >>> GBM(sigma=0.6).log_drift
    -0.18
    """

    name: ClassVar[str] = "gbm"
    drift: float = 0.0

    def __post_init__(self) -> None:
        sigma = number("GBM", "sigma", self.sigma, "1/sqrt(yr)", low=0, high=100, low_open=True)
        object.__setattr__(self, "sigma", sigma)
        object.__setattr__(self, "drift", number("GBM", "drift", self.drift, "1/yr", low=-1000, high=1000))

    @property
    def jump_rate(self) -> float:
        return 0.0

    @property
    def jump_compensator(self) -> float:
        return 0.0

    @property
    def total_drift(self) -> float:
        return self.drift

    @property
    def exponent_strip(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def tilted(self, theta: float) -> GBM:
        return GBM(self.sigma, self.drift + theta * self.sigma**2)

    def jump_transform(self, u: npt.ArrayLike) -> np.ndarray:
        return np.ones_like(np.asarray(u))

    def jump_moment(self, order: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Merton(PriceModel):
    """Merton's jump-diffusion: log jumps are normal.

    Parameters
    ----------
    sigma : float
        Diffusive volatility, 1/sqrt(yr), in [0, 100].
    intensity : float
        Jumps per year, in [0, 1e6].
    jump_mean : float
        Mean of the log jump, dimensionless, in [-5, 5].
    jump_std : float
        Standard deviation of the log jump, dimensionless, in [0, 5].
    drift : float, default 0
        Growth rate of the expected price, jumps included, 1/yr, in [-1000, 1000].

    Raises
    ------
    ParameterError
        If a parameter is not a finite number in its range.

    References
    ----------
    .. [1] R. C. Merton (1976), Option pricing when underlying stock returns are discontinuous,
       Journal of Financial Economics 3.

    Examples
    --------
    >>> round(Merton(sigma=0.5, intensity=12, jump_mean=-0.03, jump_std=0.04).log_drift, 6)
    0.220334
    """

    name: ClassVar[str] = "merton"
    intensity: float
    jump_mean: float
    jump_std: float
    drift: float = 0.0

    def __post_init__(self) -> None:
        for field, value in (
            ("sigma", number("Merton", "sigma", self.sigma, "1/sqrt(yr)", low=0, high=100)),
            ("intensity", number("Merton", "intensity", self.intensity, "jumps/yr", low=0, high=1e6)),
            ("jump_mean", number("Merton", "jump_mean", self.jump_mean, "(log)", low=-5, high=5)),
            ("jump_std", number("Merton", "jump_std", self.jump_std, "(log)", low=0, high=5)),
            ("drift", number("Merton", "drift", self.drift, "1/yr", low=-1000, high=1000)),
        ):
            object.__setattr__(self, field, value)
        _check_scale(self)

    @property
    def jump_rate(self) -> float:
        return self.intensity

    @property
    def jump_compensator(self) -> float:
        return math.expm1(self.jump_mean + 0.5 * self.jump_std**2)

    @property
    def total_drift(self) -> float:
        return self.drift

    @property
    def exponent_strip(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def tilted(self, theta: float) -> Merton:
        law = Merton(
            self.sigma,
            self.intensity * float(self.jump_transform(theta)),
            self.jump_mean + theta * self.jump_std**2,
            self.jump_std,
        )
        return replace(law, drift=self.log_drift + theta * self.sigma**2 - law.log_drift)

    def jump_transform(self, u: npt.ArrayLike) -> np.ndarray:
        u = np.asarray(u)
        return np.exp(self.jump_mean * u + 0.5 * self.jump_std**2 * u * u)

    def jump_moment(self, order: int) -> float:
        a, d2 = self.jump_mean, self.jump_std**2
        return (1.0, a, a * a + d2, a**3 + 3 * a * d2, a**4 + 6 * a * a * d2 + 3 * d2 * d2)[order]


@dataclass(frozen=True)
class Kou(PriceModel):
    """Kou's jump-diffusion: log jumps are double-exponential.

    Parameters
    ----------
    sigma : float
        Diffusive volatility, 1/sqrt(yr), in [0, 100].
    intensity : float
        Jumps per year, in [0, 1e6].
    p_up : float
        Probability that a jump is upward, in [0, 1].
    eta_up, eta_down : float
        Rates of the exponential upward and downward log jumps, whose means are ``1/eta``. ``eta_up`` in
        (1, 1e6] (the expected price is infinite otherwise), ``eta_down`` in (0, 1e6].
    drift : float, default 0
        Growth rate of the expected price, jumps included, 1/yr, in [-1000, 1000].

    Raises
    ------
    ParameterError
        If a parameter is not a finite number in its range.

    References
    ----------
    .. [1] S. G. Kou (2002), A jump-diffusion model for option pricing, Management Science 48.

    Examples
    --------
    >>> round(Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25, drift=0.1).log_drift, 6)
    0.031406
    """

    name: ClassVar[str] = "kou"
    intensity: float
    p_up: float
    eta_up: float
    eta_down: float
    drift: float = 0.0

    def __post_init__(self) -> None:
        for field, value in (
            ("sigma", number("Kou", "sigma", self.sigma, "1/sqrt(yr)", low=0, high=100)),
            ("intensity", number("Kou", "intensity", self.intensity, "jumps/yr", low=0, high=1e6)),
            ("p_up", number("Kou", "p_up", self.p_up, "(probability)", low=0, high=1)),
            ("eta_up", number("Kou", "eta_up", self.eta_up, "(1/log)", low=1, high=1e6, low_open=True)),
            ("eta_down", number("Kou", "eta_down", self.eta_down, "(1/log)", low=0, high=1e6, low_open=True)),
            ("drift", number("Kou", "drift", self.drift, "1/yr", low=-1000, high=1000)),
        ):
            object.__setattr__(self, field, value)
        _check_scale(self)

    @property
    def jump_rate(self) -> float:
        return self.intensity

    @property
    def jump_compensator(self) -> float:
        p, up, down = self.p_up, self.eta_up, self.eta_down
        return p / (up - 1) - (1 - p) / (down + 1)

    @property
    def total_drift(self) -> float:
        return self.drift

    @property
    def exponent_strip(self) -> tuple[float, float]:
        return -self.eta_down, self.eta_up

    def tilted(self, theta: float) -> Kou:
        rate = float(self.jump_transform(theta))
        p_up = self.p_up * self.eta_up / (self.eta_up - theta) / rate
        law = Kou(self.sigma, self.intensity * rate, p_up, self.eta_up - theta, self.eta_down + theta)
        return replace(law, drift=self.log_drift + theta * self.sigma**2 - law.log_drift)

    def jump_transform(self, u: npt.ArrayLike) -> np.ndarray:
        u = np.asarray(u)
        p, up, down = self.p_up, self.eta_up, self.eta_down
        return p * up / (up - u) + (1 - p) * down / (down + u)

    def jump_moment(self, order: int) -> float:
        f = math.factorial(order)
        up, down = f / self.eta_up**order, f / self.eta_down**order
        return self.p_up * up + (1 - self.p_up) * (-1) ** order * down
