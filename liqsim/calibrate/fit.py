"""Maximum likelihood of jump-diffusions from returns or from their binned counts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from liqsim.calibrate.counts import ReturnCounts, series_interval
from liqsim.calibrate.families import AT_BOUND, Family, Scale, family_of, scale_of
from liqsim.calibrate.likelihood import bin_probabilities, log_density
from liqsim.calibrate.prices import PriceSeries, check_returns, interval_text
from liqsim.calibrate.result import FitResult
from liqsim.durations import Duration, parse_days, parse_years
from liqsim.errors import CalibrationError, ParameterError
from liqsim.models._checks import number
from liqsim.models.price import PriceModel

__all__ = ["fit"]

_LEAST = 1e-290
_REFUSED = 1e15  # deviance of a model whose density cannot be computed
_FLAT = 1e-4  # Newton decrement of a converged fit, in units of log likelihood
_SETTLED = 1e-6  # Newton decrement after which the information need not be computed again
_MANY_ZEROS = 0.05  # share of returns
_SCORE_STEP = 3e-4  # finite-difference step of the score, in the search variable
_STEP = 0.05  # finite-difference step of the information, in conditional standard errors


def fit(
    model: type[PriceModel] | PriceModel | str,
    data: ReturnCounts | PriceSeries | npt.ArrayLike,
    *,
    interval: Duration | None = None,
    drift: float | Literal["free"] = "free",
) -> FitResult:
    """Fit a price model by maximum likelihood.

    Parameters
    ----------
    model : type, PriceModel or str
        ``GBM``, ``Merton``, ``Kou``, or ``"gbm"``, ``"merton"``, ``"kou"``.
    data : ReturnCounts, PriceSeries or array_like
        Binned counts, a series of prices, or log returns. Above some 1e5 returns, counts are faster and as
        good.
    interval : str, numpy.timedelta64 or datetime.timedelta, optional
        Length of one return; required with an array.
    drift : float or "free", default "free"
        Growth rate of the expected price, 1/yr: estimated, or held at a number in [-1000, 1000].

    Returns
    -------
    FitResult
        Risk studies over days normally take ``result.model_with(drift=0.0)``: the drift of a few years of
        data is known to no better than its standard error, some 50 % a year.

    Raises
    ------
    CalibrationError
        If the model is unknown, the interval is missing, or the data are too few, not finite or constant.

    Notes
    -----
    Returns are taken as independent with the law of one increment of the model. Counts enter as a multinomial
    over their bins, with the probability of each bin exact
    (:func:`~liqsim.calibrate.likelihood.bin_probabilities`); returns through the density. The search runs
    over a logit of the range of each parameter (:meth:`~liqsim.calibrate.families.Family.parameters`), from
    the three best of twelve splits of the sample variance, by trust-region Newton steps: first with the outer
    product of the scores for the information [3]_, then with the observed information, whose inverse is the
    covariance.

    References
    ----------
    .. [1] C. A. Ramezani and Y. Zeng (2007), Maximum likelihood estimation of the double exponential
       jump-diffusion process, Annals of Finance 3.
    .. [2] Y. Ait-Sahalia (2004), Disentangling diffusion from jumps, Journal of Financial Economics 74.
    .. [3] E. K. Berndt, B. H. Hall, R. E. Hall and J. A. Hausman (1974), Estimation and inference in
       nonlinear structural models, Annals of Economic and Social Measurement 3.

    Examples
    --------
    >>> import numpy as np
    >>> returns = 0.005 * np.random.default_rng(3).standard_normal(4000)
    >>> result = fit("gbm", returns, interval="1h")
    >>> print(f"{result.params['sigma']:.3f} +- {result.se['sigma']:.3f}")
    0.469 +- 0.005
    """
    family = family_of(model)
    sample = _sample(data, interval)
    fixed: dict[str, float] = {}
    if drift != "free":
        try:
            fixed["drift"] = number("fit", "drift", drift, '1/yr, or "free"', low=-1000, high=1000)
        except ParameterError as error:
            raise CalibrationError(str(error)) from None
    return _Search(family, sample, fixed).run()


@dataclass(frozen=True, eq=False)
class _Sample:
    """Data of one fit: log densities of its distinct values, and how often each occurred."""

    log_terms: Callable[[PriceModel], np.ndarray]
    weight: np.ndarray
    scale: Scale
    interval: str
    data: str
    data_id: str
    zero_share: float = 0.0


def _sample(data: ReturnCounts | PriceSeries | npt.ArrayLike, interval: Duration | None) -> _Sample:
    if isinstance(data, ReturnCounts):
        return _counted(data, interval)
    about = ""
    if isinstance(data, PriceSeries):
        interval = series_interval(data, interval)
        about, data = f"{data.source}, {data.window[0]} to {data.window[1]}".lstrip(", "), data.returns
    if not interval:
        raise CalibrationError('interval is missing; give the length of one return, such as "1h"')
    name = interval if isinstance(interval, str) else interval_text(parse_days(interval, "interval") * 86_400_000)
    x = np.sort(check_returns(data))
    weight, zeros = np.ones(x.size), float((x == 0).mean())
    scale = scale_of(x, weight, parse_years(name, "interval"), 0.0)
    return _Sample(lambda law: log_density(law, x, name), weight, scale, name, about, _digest(x), zeros)


def _counted(counts: ReturnCounts, interval: Duration | None) -> _Sample:
    if interval and not math.isclose(parse_years(interval, "interval"), parse_years(counts.interval, "interval")):
        raise CalibrationError(f"interval={interval!r} differs from the {counts.interval} of the counts; leave it out")
    index, weight = np.array(counts.index), np.array(counts.count, dtype=float)
    scale = scale_of(counts.bin_width * index, weight, parse_years(counts.interval, "interval"), counts.bin_width)

    def log_terms(model: PriceModel) -> np.ndarray:
        p = bin_probabilities(model, index, counts.bin_width, counts.interval)
        return np.asarray(np.log(np.maximum(p, _LEAST) / counts.bin_width))

    window = f"{counts.window[0]} to {counts.window[1]}" if counts.window[0] else ""
    about = ", ".join(part for part in (counts.asset, counts.source, window) if part)
    digest = _digest(index, weight, np.array([counts.bin_width]))
    return _Sample(log_terms, weight, scale, counts.interval, about, digest)


def _digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(a.astype("<f8").tobytes() for a in arrays)).hexdigest()[:16]


class _Search:
    """Minimisation of the deviance (negative log likelihood) over the search variables of one family."""

    def __init__(self, family: Family, sample: _Sample, fixed: dict[str, float]) -> None:
        self.family, self.sample, self.fixed = family, sample, fixed
        self.parameters = [p for p in family.parameters(sample.scale) if p.name not in fixed]

    def run(self) -> FitResult:
        points = self.family.starts(self.sample.scale)
        starts = [np.array([p.to_search(point[p.name]) for p in self.parameters]) for point in points]
        starts = sorted(starts, key=self.deviance)[:3]
        best = min((self._minimise(z, self._outer_product, gtol=3.0, maxiter=40) for z in starts), key=self.deviance)
        best = self._minimise(best, self._information, gtol=0.05, maxiter=12)
        best, inner, inverse = self._finish(best)
        covariance, decrement = self._covariance(best, inner, inverse)
        names = [p.name for p in self.parameters]
        free = tuple(name for name, inside in zip(names, inner, strict=True) if inside)
        at_bound = tuple(name for name in names if name not in free)
        model = self.model(best)
        problems = []
        if at_bound:
            problems.append(f"{', '.join(at_bound)} at the bound of the search: the data do not determine it")
        if covariance is None:
            problems.append(
                "observed information is not positive definite, so there are no standard errors: the data do not tell "
                "the parameters apart; compare a simpler model"
            )
        elif decrement > _FLAT:
            problems.append(f"gradient does not vanish (Newton decrement {decrement:.2g})")
        remarks = []
        if covariance is not None and "intensity" in free:
            k = free.index("intensity")
            if math.sqrt(covariance[k, k]) > model.jump_rate:
                remarks.append("the data do not show that there are jumps: intensity is below its standard error")
        if self.sample.zero_share > _MANY_ZEROS:
            remarks.append(f"{self.sample.zero_share:.0%} of the returns are exactly zero: stale or illiquid prices")
        return FitResult(
            model=model,
            free=free,
            fixed=tuple(self.fixed),
            at_bound=at_bound,
            covariance=() if covariance is None else tuple(tuple(map(float, row)) for row in covariance),
            loglik=-self.deviance(best),
            n_obs=self.sample.scale.n,
            interval=self.sample.interval,
            converged=not problems,
            note="; ".join(problems + remarks),
            data=self.sample.data,
            data_id=self.sample.data_id,
        )

    def model(self, z: np.ndarray) -> PriceModel:
        values = {p.name: p.to_natural(float(v)) for p, v in zip(self.parameters, z, strict=True)}
        return self.family.cls(**values, **self.fixed)

    def deviance(self, z: np.ndarray) -> float:
        try:
            return -float(self.sample.weight @ self.sample.log_terms(self.model(z)))
        except ParameterError:
            return _REFUSED

    def _scores(self, z: np.ndarray) -> np.ndarray:
        """Derivatives of the log density of every value, shape (n_values, n_parameters)."""
        columns = []
        for k in range(z.size):
            shift = np.zeros(z.size)
            shift[k] = _SCORE_STEP
            up, down = (self.sample.log_terms(self.model(z + sign * shift)) for sign in (1, -1))
            columns.append((up - down) / (2 * _SCORE_STEP))
        return np.column_stack(columns)

    def _gradient(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(-self.sample.weight @ self._scores(z))

    def _outer_product(self, z: np.ndarray) -> np.ndarray:
        scores = self._scores(z)
        return np.asarray((scores * self.sample.weight[:, None]).T @ scores)

    def _minimise(
        self, start: np.ndarray, hessian: Callable[[np.ndarray], np.ndarray], gtol: float, maxiter: int
    ) -> np.ndarray:
        from scipy.optimize import minimize

        found = minimize(
            self.deviance,
            start,
            jac=self._gradient,
            hess=hessian,
            method="trust-exact",
            options={"initial_trust_radius": 0.5, "max_trust_radius": 4.0, "maxiter": maxiter, "gtol": gtol},
        )
        return np.asarray(found.x)

    def _finish(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Last Newton steps; returns the point, which parameters are off the bounds, and their inverse information."""
        for _ in range(4):
            inner = np.array(
                [AT_BOUND < p.place(float(v)) < 1 - AT_BOUND for p, v in zip(self.parameters, z, strict=True)]
            )
            inverse = _inverse(self._information(z)[np.ix_(inner, inner)])
            if inverse is None:
                break
            gradient = self._gradient(z)[inner]
            step = inverse @ gradient
            decrement = 0.5 * float(gradient @ step)
            moved = z.copy()
            moved[inner] -= step
            if decrement > 1 or self.deviance(moved) > self.deviance(z) + 1e-8 * self.sample.scale.n:
                break
            z = moved
            if decrement < _SETTLED:
                break
        return z, inner, inverse

    def _information(self, z: np.ndarray) -> np.ndarray:
        """Hessian of the deviance by central differences, each step a small part of a standard error."""
        centre = self.deviance(z)
        size = z.size

        def at(*moves: tuple[int, float]) -> float:
            shifted = z.copy()
            for k, by in moves:
                shifted[k] += by
            return self.deviance(shifted)

        steps, matrix = np.empty(size), np.empty((size, size))
        for k in range(size):
            step = 1e-2
            for _ in range(3):
                curvature = (at((k, step)) + at((k, -step)) - 2 * centre) / step**2
                step = min(_STEP / math.sqrt(curvature) if curvature > 0 else 4 * step, 0.3)
            steps[k] = step
            matrix[k, k] = (at((k, step)) + at((k, -step)) - 2 * centre) / step**2
        for j in range(size):
            for k in range(j):
                a, b = steps[j], steps[k]
                cross = at((j, a), (k, b)) + at((j, -a), (k, -b)) - at((j, a), (k, -b)) - at((j, -a), (k, b))
                matrix[j, k] = matrix[k, j] = cross / (4 * a * b)
        return matrix

    def _covariance(
        self, z: np.ndarray, inner: np.ndarray, inverse: np.ndarray | None
    ) -> tuple[np.ndarray | None, float]:
        """Covariance of the natural parameters, and the Newton decrement."""
        if inverse is None:
            return None, math.inf
        gradient = self._gradient(z)[inner]
        pairs = zip(self.parameters, z, inner, strict=True)
        slope = np.array([p.slope(float(v)) for p, v, inside in pairs if inside])
        return np.asarray(inverse * np.outer(slope, slope)), float(0.5 * gradient @ inverse @ gradient)


def _inverse(information: np.ndarray) -> np.ndarray | None:
    """Inverse of the information, or None if it is not positive definite beyond rounding."""
    diagonal = np.diag(information)
    if diagonal.size == 0 or not (diagonal > 0).all():
        return None
    root = 1 / np.sqrt(diagonal)
    scaled = information * np.outer(root, root)
    if np.linalg.eigvalsh(scaled).min() < 1e-6:
        return None
    return np.asarray(np.linalg.inv(scaled) * np.outer(root, root))
