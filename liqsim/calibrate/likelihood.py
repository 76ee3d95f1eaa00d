"""Densities and bin probabilities of the log return of a price model over one interval.

Two routes: Merton's Poisson mixture of normals (GBM is its first term), and Fourier inversion of the Levy
exponent, which serves every model. Fourier inversion has a rounding error relative to the largest density, so
it is run along three Esscher tilts and each point is taken from the tilt that resolves it best; tails stay
accurate in relative terms, as a likelihood needs.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp, ndtr

from liqsim.durations import Duration, parse_years
from liqsim.errors import CalibrationError
from liqsim.models.price import GBM, Kou, Merton, PriceModel

__all__ = ["bin_probabilities", "log_density"]

_RESOLVED = 1e-11  # of the largest tilted density; below it rounding shows
_BASELINE = 7.0  # in log density, over which the slope of a tail beyond that is taken
_DECAY = 80.0  # of the exponential tails over one period; half of it is left along a tilt
_NYQUIST = 8.7  # sigma*sqrt(dt)*frequency at the cut-off, where exp(-x**2/2) < 4e-17
_MAX_NODES = 2**22
_NODES_PER_SIGMA = 16  # of the spline; the step is rounded to quarter octaves, so that nearby models share it


def log_density(model: PriceModel, x: npt.ArrayLike, interval: Duration, *, method: str = "auto") -> np.ndarray:
    """Log density of the log return over one interval.

    Parameters
    ----------
    model : PriceModel
        A model with ``sigma > 0``; without diffusion the return has an atom and no density.
    x : array_like
        Log returns.
    interval : str, numpy.timedelta64 or datetime.timedelta
        Length of the return, such as ``"1h"``.
    method : {"auto", "series", "fourier"}
        ``"series"`` is Merton's Poisson mixture (GBM and Merton only), ``"fourier"`` the inversion of the
        Levy exponent; ``"auto"`` takes the series where there is one, on a grid with a quintic spline for many
        values.

    Returns
    -------
    numpy.ndarray
        Same shape as ``x``.

    Raises
    ------
    CalibrationError
        If the model has no diffusion, the method is unknown, or the grid would be too large.

    Notes
    -----
    Fourier: ``f(x) = exp(-a x)/(2 pi) int exp(dt psi(a + i w)) exp(-i w x) dw`` for any tilt ``a`` inside the
    strip where ``psi`` exists. Series: ``sum_n Poisson(n; lam dt) N(x; m dt + n a, sigma**2 dt + n d**2)``.

    References
    ----------
    .. [1] R. C. Merton (1976), Journal of Financial Economics 3, eq. 16.
    .. [2] S. G. Kou (2002), Management Science 48.
    .. [3] R. Lord and C. Kahl (2007), Optimal Fourier inversion in semi-analytical option pricing, Journal of
       Computational Finance 10 (the choice of the contour).

    Examples
    --------
    >>> from liqsim.models import GBM
    >>> float(log_density(GBM(sigma=0.5, drift=0.125), 0.0, "365D").round(6))
    -0.225791
    """
    x = np.asarray(x, dtype=float)
    dt = parse_years(interval, "interval")
    _require_diffusion(model)
    series = _use_series(model, method)
    if x.size == 0:
        return x.copy()
    step = 2.0 ** (math.floor(4 * math.log2(model.sigma * math.sqrt(dt) / _NODES_PER_SIGMA)) / 4)
    first, last = math.floor(float(x.min()) / step) - 4, math.ceil(float(x.max()) / step) + 4
    nodes = step * np.arange(first, last + 1)
    if series and (method == "series" or x.size < 3 * nodes.size):
        return _series_log(model, dt, x)
    from scipy.interpolate import make_interp_spline

    values = _series_log(model, dt, nodes) if series else _fourier_log(model, dt, step, first, last, box=0.0)
    return np.asarray(make_interp_spline(nodes, values, k=5)(x))


def bin_probabilities(
    model: PriceModel,
    index: npt.ArrayLike,
    bin_width: float,
    interval: Duration,
    *,
    method: str = "auto",
) -> np.ndarray:
    """Probability that the log return falls in bins of one width centred on multiples of it.

    Parameters
    ----------
    model : PriceModel
        A model with ``sigma > 0``.
    index : array_like of int, shape (n,)
        Bin numbers; bin ``k`` covers ``[(k - 1/2) bin_width, (k + 1/2) bin_width)``.
    bin_width : float
        Log return, > 0.
    interval : str, numpy.timedelta64 or datetime.timedelta
        Length of the return.
    method : {"auto", "series", "fourier"}
        See :func:`log_density`.

    Returns
    -------
    numpy.ndarray, shape (n,)

    Notes
    -----
    Series: differences of normal distribution functions. Fourier: the exponent is multiplied by the transform
    of the bin, ``2 sinh(u bin_width/2)/u``, so that a node of the grid carries the integral over the bin
    itself and no quadrature error arises.

    Examples
    --------
    >>> from liqsim.models import GBM
    >>> bin_probabilities(GBM(sigma=0.5), [-1, 0, 1], 0.005, "1h").round(4)
    array([0.2403, 0.3602, 0.2392])
    """
    index = np.asarray(index, dtype=np.int64)
    dt = parse_years(interval, "interval")
    _require_diffusion(model)
    if index.size == 0:
        return np.zeros(0)
    if _use_series(model, method):
        low, high = (index - 0.5) * bin_width, (index + 0.5) * bin_width
        total = np.zeros(index.shape)
        for log_weight, mean, sd in _components(model, dt):
            a, b = (low - mean) / sd, (high - mean) / sd
            mirror = a + b > 0
            a, b = np.where(mirror, -b, a), np.where(mirror, -a, b)
            total += math.exp(log_weight) * (ndtr(b) - ndtr(a))
        return total
    oversampling = math.ceil(bin_width * _NYQUIST / (math.pi * model.sigma * math.sqrt(dt)))
    first, last = int(index.min()), int(index.max())
    values = _fourier_log(model, dt, bin_width / oversampling, first * oversampling, last * oversampling, box=bin_width)
    return np.asarray(np.exp(values[(index - first) * oversampling]))


def _require_diffusion(model: PriceModel) -> None:
    if model.sigma <= 0:
        raise CalibrationError(
            f"model={model!r} has sigma=0: its return has an atom and no density; give sigma > 0 [1/sqrt(yr)]"
        )


def _use_series(model: PriceModel, method: str) -> bool:
    has_series = isinstance(model, GBM | Merton)
    if method == "auto":
        return has_series
    if method == "series" and not has_series:
        raise CalibrationError(f'method="series" is not known for {type(model).__name__}; use "fourier"')
    if method not in ("series", "fourier"):
        raise CalibrationError(f'method={method!r} is unknown; give "auto", "series" or "fourier"')
    return method == "series"


def _series_log(model: PriceModel, dt: float, x: np.ndarray) -> np.ndarray:
    logs = [w - 0.5 * ((x - mean) / sd) ** 2 - math.log(sd) for w, mean, sd in _components(model, dt)]
    return np.asarray(logsumexp(np.array(logs), axis=0) - 0.5 * math.log(2 * math.pi))


def _components(model: PriceModel, dt: float) -> list[tuple[float, float, float]]:
    """Log weight, mean and standard deviation of every normal of the mixture whose weight exceeds exp(-90)."""
    mean, variance = model.log_drift * dt, model.sigma**2 * dt
    if not isinstance(model, Merton) or model.intensity == 0:
        return [(0.0, mean, math.sqrt(variance))]
    rate = model.intensity * dt
    n = np.arange(int(rate + 16 * math.sqrt(rate)) + 60)
    log_weight = n * math.log(rate) - rate - gammaln(n + 1)
    return [
        (float(log_weight[k]), mean + k * model.jump_mean, math.sqrt(variance + k * model.jump_std**2))
        for k in n[log_weight > -90]
    ]


def _tilts(model: PriceModel, sd: float) -> tuple[float, ...]:
    """Tilts inside the strip of the exponent that keep the tilted law within the period of the grid."""
    if isinstance(model, Kou):
        return 0.0, min(0.5 * model.eta_up, 8.0 / sd), -min(0.5 * model.eta_down, 8.0 / sd)
    if isinstance(model, GBM):
        return 0.0, 4.0 / sd, -4.0 / sd
    if isinstance(model, Merton):
        tilt = min(4.0 / sd, 1.5 / (abs(model.jump_mean) + model.jump_std + 1e-9))
        return 0.0, tilt, -tilt
    return (0.0,)


def _fourier_log(model: PriceModel, dt: float, step: float, first: int, last: int, box: float) -> np.ndarray:
    """Log of the density (or of its integral over ``box``) at ``step * (first..last)``."""
    k1, k2, _, _ = model.cumulants(dt)
    sd = math.sqrt(k2)
    slowest = min(model.eta_up, model.eta_down) if isinstance(model, Kou) else math.inf
    reach = step * max(abs(first), abs(last)) + abs(k1)
    nodes = 2 ** math.ceil(math.log2((2 * reach + 40 * sd + _DECAY / slowest) / step))
    if nodes > _MAX_NODES:
        raise CalibrationError(
            f"the return density of {model!r} needs {nodes} grid nodes, more than {_MAX_NODES}; "
            "raise sigma, shorten the jumps or widen the bins"
        )
    mode = round(k1 / step)
    low, high = min(first, mode - 1), max(last, mode + 1)
    position = np.arange(low, high + 1)
    spacing = 2 * math.pi / (nodes * step)
    n_frequencies = min(nodes // 2, math.ceil(_NYQUIST / (model.sigma * math.sqrt(dt) * spacing))) + 1
    frequency = 1j * spacing * np.arange(n_frequencies)
    best = np.full(position.size, -np.inf)
    log_value = np.full(position.size, -700.0)
    for tilt in _tilts(model, sd):
        u = tilt + frequency
        exponent = dt * model.exponent(u)
        scale = float(exponent[0].real)
        transform = np.exp(exponent - scale)
        if box > 0:
            safe = np.where(u == 0, 1.0, u)
            transform = transform * np.where(u == 0, box, 2 * np.sinh(0.5 * box * safe) / safe)
        tilted = np.fft.irfft(np.conj(transform), nodes)[position % nodes] / step
        with np.errstate(divide="ignore", invalid="ignore"):
            log_tilted = np.log(tilted)
        resolution = np.where(tilted > 0, log_tilted - np.log(tilted.max()), -np.inf)
        better = resolution > best
        best[better] = resolution[better]
        log_value[better] = (log_tilted + scale - tilt * step * position)[better]
    _extend_tails(log_value, best)
    return log_value[first - low : last - low + 1]


def _extend_tails(log_value: np.ndarray, resolution: np.ndarray) -> None:
    """Continue both tails log-linearly beyond the nodes that the inversion resolves, with the slope just inside."""
    centre = int(np.argmax(np.where(resolution > math.log(_RESOLVED), log_value, -np.inf)))
    for side in (1, -1):
        outward = resolution[centre::side]
        lost = np.flatnonzero(outward < math.log(_RESOLVED))
        if lost.size == 0:
            continue
        kept = max(int(lost[0]) - 1, 1)
        inner = min(int(np.argmax(outward < math.log(_RESOLVED) + _BASELINE)), kept - 1)
        tail = log_value[centre::side]
        slope = min((tail[kept] - tail[inner]) / (kept - inner), 0.0)
        tail[kept + 1 :] = tail[kept] + slope * np.arange(1, tail.size - kept)
