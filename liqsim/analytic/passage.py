"""Probability and time of the first passage of the price through a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from liqsim.analytic import gbm
from liqsim.analytic._checks import levels, price_model, whole_multiple
from liqsim.analytic.kou import passage_transform as kou_transform
from liqsim.analytic.laplace import ABSCISSA, Inverse, invert
from liqsim.analytic.wiener_hopf import checked_passage_transform, passage_transform
from liqsim.durations import DAYS_PER_YEAR, Duration, parse_years
from liqsim.errors import ParameterError
from liqsim.models import Kou, PriceModel

__all__ = ["FirstPassage", "Values", "expected_time_alive", "first_passage", "first_passage_probability"]

Values: TypeAlias = float | npt.NDArray[np.float64]

_WORST_BOUND = 1e-8
_CHUNK = 256


@dataclass(frozen=True)
class FirstPassage:
    """Law of ``tau``, the first time that the price ratio is at or beyond a level.

    Attributes
    ----------
    p_hit : float or ndarray
        ``P(tau <= horizon)``, dimensionless.
    p_hit_bound : float or ndarray
        Bound of the absolute error of ``p_hit``.
    alive_time : float or ndarray
        ``E[min(tau, horizon)]``, days.
    alive_time_bound : float or ndarray
        Bound of the absolute error of ``alive_time``, days.
    """

    p_hit: Values
    p_hit_bound: Values
    alive_time: Values
    alive_time_bound: Values


def first_passage(
    model: PriceModel, level: npt.ArrayLike, horizon: Duration, monitoring: str | Duration = "continuous"
) -> FirstPassage:
    """Compute the first-passage law of the price through one or many levels, with error bounds.

    Parameters
    ----------
    model : PriceModel
        GBM, Kou or Merton, with ``sigma > 0``.
    level : array_like
        Level over the starting price, dimensionless, positive and not 1: below 1 it is reached from above,
        beyond 1 from below.
    horizon : str, numpy.timedelta64 or datetime.timedelta
        Such as ``"30D"``.
    monitoring : "continuous" or duration, default "continuous"
        Interval between the only times at which the price is looked at, such as ``"1h"``: at ``k`` times the
        interval, ``k >= 1``, the horizon being a whole multiple. A breach found there dates ``tau``.

    Returns
    -------
    FirstPassage
        Floats for a scalar level, else arrays of its shape.

    Raises
    ------
    ParameterError
        If an argument is out of range, or an error bound of 1e-8 cannot be met.

    Notes
    -----
    Continuous monitoring: GBM by the reflection principle [1]_ (rounding only, relative to the value);
    Kou by the transform of [2]_, other jumps by a numerical Wiener-Hopf factorisation, both inverted
    numerically. Checks at an interval: Wiener-Hopf factorisation of the sampled walk for every model. Bounds
    hold the observed truncation, the change of the value under refinement of the quadrature, aliasing and
    rounding; they are near 1e-13 for parameters met in markets. Results that leave their range by less than
    the bound are set to its end.

    References
    ----------
    .. [1] I. Karatzas, S. E. Shreve (1991), Brownian Motion and Stochastic Calculus, section 3.5.C.
    .. [2] S. G. Kou, H. Wang (2003), First passage times of a jump diffusion process, Advances in Applied
       Probability 35.

    Examples
    --------
    >>> from liqsim import Kou
    >>> model = Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25, drift=0.1)
    >>> law = first_passage(model, level=1 / 1.1, horizon="7D")
    >>> round(law.p_hit, 10), law.p_hit_bound < 1e-12
    (0.2686194834, True)
    """
    model, ratios = price_model(model), levels(level)
    years = parse_years(horizon, "horizon")
    n_checks = None
    if not (isinstance(monitoring, str) and monitoring == "continuous"):
        n_checks = whole_multiple(horizon, monitoring, "monitoring")
    flat = ratios.reshape(-1)
    result = _law(model, flat, years, n_checks)
    result[2:] *= years * DAYS_PER_YEAR
    values = [row.reshape(ratios.shape) if ratios.ndim else float(row[0]) for row in result]
    return FirstPassage(*values)


def first_passage_probability(
    model: PriceModel, level: npt.ArrayLike, horizon: Duration, monitoring: str | Duration = "continuous"
) -> Values:
    """Compute the probability that the price ratio reaches a level by the horizon.

    Parameters
    ----------
    model, level, horizon, monitoring
        As for :func:`first_passage`.

    Returns
    -------
    float or ndarray
        Dimensionless, of the shape of ``level``; absolute error as ``p_hit_bound`` of :func:`first_passage`.

    Raises
    ------
    ParameterError
        As for :func:`first_passage`.

    Examples
    --------
    >>> from liqsim import GBM
    >>> round(first_passage_probability(GBM(sigma=0.6), 1 / 1.1, "7D"), 12)
    0.263496359075
    """
    return first_passage(model, level, horizon, monitoring).p_hit


def expected_time_alive(
    model: PriceModel, level: npt.ArrayLike, horizon: Duration, monitoring: str | Duration = "continuous"
) -> Values:
    """Compute the expected time, in days, until the price ratio reaches a level or the horizon ends.

    Parameters
    ----------
    model, level, horizon, monitoring
        As for :func:`first_passage`.

    Returns
    -------
    float or ndarray
        ``E[min(tau, horizon)]``, days, of the shape of ``level``; absolute error as ``alive_time_bound`` of
        :func:`first_passage`.

    Raises
    ------
    ParameterError
        As for :func:`first_passage`.

    Examples
    --------
    >>> from liqsim import GBM
    >>> round(expected_time_alive(GBM(sigma=0.8, drift=0.1), 0.95 / 0.995, "7D"), 9)
    3.524970805
    """
    return first_passage(model, level, horizon, monitoring).alive_time


def passage_probability(model: PriceModel, ratios: np.ndarray, years: float) -> np.ndarray:
    """``P(tau <= years)`` for checked arguments, monitored continuously."""
    return _law(model, ratios, years, None)[0]


def _law(model: PriceModel, ratios: np.ndarray, years: float, n_checks: int | None) -> np.ndarray:
    """Probability, its bound, fraction of the horizon alive, its bound: one row each."""
    result = np.empty((4, ratios.size))
    for upward in (False, True):
        chosen = np.flatnonzero(ratios > 1 if upward else ratios < 1)
        for first in range(0, chosen.size, _CHUNK):
            part = chosen[first : first + _CHUNK]
            law = _one_side(model, np.abs(np.log(ratios[part])), upward, years, n_checks)
            result[:, part] = (
                np.clip(law.probability, 0.0, 1.0),
                law.probability_bound,
                np.clip(law.alive, 0.0, 1.0),
                law.alive_bound,
            )
    worst = np.max(result[(1, 3), :], initial=0.0)
    if not worst <= _WORST_BOUND:
        raise ParameterError(
            f"model={model!r}: the first passage over {years:g} years comes out to {worst:.1e} only, allowed "
            f"{_WORST_BOUND:g}; give a smaller drift or a larger sigma, or simulate with liqsim.first_passage"
        )
    return result


def _one_side(model: PriceModel, distances: np.ndarray, upward: bool, years: float, n_checks: int | None) -> Inverse:
    """Law for levels on one side, by the method that fits the model."""
    if n_checks is None and (model.jump_rate == 0 or model.jump_moment(2) == 0):
        drift = model.log_drift if upward else -model.log_drift
        return gbm.invert(distances, drift, model.sigma, years)
    if n_checks is None and isinstance(model, Kou):
        return invert(kou_transform(model, distances, upward), years)
    coarse, fine = (_factorised(model, distances, upward, years, n_checks, refinement) for refinement in (1.0, 1.4))
    rounding = 2 * np.finfo(float).eps * model.jump_rate * years
    return Inverse(
        fine.probability,
        fine.probability_bound + np.abs(fine.probability - coarse.probability) + rounding,
        fine.alive,
        fine.alive_bound + np.abs(fine.alive - coarse.alive) + rounding,
    )


def _factorised(
    model: PriceModel, distances: np.ndarray, upward: bool, years: float, n_checks: int | None, refinement: float
) -> Inverse:
    abscissa = ABSCISSA / years
    if n_checks is None:
        transform = passage_transform(model, distances, upward, abscissa, refinement)
    else:
        interval = years / n_checks
        transform = checked_passage_transform(model, distances, upward, abscissa, interval, refinement)
    return invert(transform, years, n_checks)
