"""Error bars of Monte Carlo estimates: proportions, means, and functions of means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri, stdtrit

__all__ = [
    "clopper_pearson_interval",
    "jackknife_se",
    "left_out",
    "proportion_se",
    "quantile_of_t",
    "upper_bound",
    "wilson_interval",
]


def proportion_se(p: npt.ArrayLike, n: int) -> np.ndarray:
    """Standard error ``sqrt(p (1 - p) / n)`` of a proportion of ``n`` independent paths.

    It is 0 where no path, or every path, had the outcome; a Wilson interval is the honest statement there.
    """
    p = np.asarray(p, dtype=float)
    return np.sqrt(np.maximum(p * (1.0 - p), 0.0) / n)


def wilson_interval(p: np.ndarray, n: int, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval of a proportion ``p`` of ``n`` independent paths.

    Notes
    -----
    Unlike ``p +- z se`` it stays inside [0, 1] and does not shrink to nothing at its ends.

    References
    ----------
    .. [1] E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of the
       American Statistical Association 22.
    """
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4.0 * n * n))
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(p == 0.0, 0.0, low), np.where(p == 1.0, 1.0, high)


def clopper_pearson_interval(p: np.ndarray, n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson interval of a proportion ``p`` of ``n`` independent paths: it covers at least ``level``.

    Notes
    -----
    Quantiles of beta laws [1]_. Not-a-number stays not-a-number.

    References
    ----------
    .. [1] C. J. Clopper, E. S. Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the
       binomial, Biometrika 26.
    """
    tail = 0.5 * (1.0 - level)
    hits = np.rint(np.asarray(p, dtype=float) * n)
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), n - hits + 1, tail), 0.0)
    high = np.where(hits < n, betaincinv(hits + 1, np.maximum(n - hits, 1), 1.0 - tail), 1.0)
    return np.where(np.isnan(hits), np.nan, low), np.where(np.isnan(hits), np.nan, high)


def upper_bound(p: float, n: int, level: float) -> float:
    """One-sided Clopper-Pearson bound of a proportion: about ``3 / n`` at 95 % where no path had the outcome."""
    return float(clopper_pearson_interval(np.asarray(p), n, 2.0 * level - 1.0)[1])


def quantile_of_t(level: float, freedom: int | None = None) -> float:
    """Half-width of a two-sided interval in standard errors: of the normal law, or of Student's t."""
    tail = 0.5 * (1.0 + level)
    return float(ndtri(tail) if freedom is None else stdtrit(freedom, tail))


def jackknife_se(left_out: np.ndarray) -> np.ndarray:
    """Standard error from the values that a function takes when one group of paths after another is left out.

    Parameters
    ----------
    left_out : ndarray, shape (n_groups, ...)

    Notes
    -----
    ``sqrt((G - 1)/G sum (x_g - mean x)^2)`` [1]_; of a linear function it is the standard error by batch means.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani (1993), An Introduction to the Bootstrap, section 11.
    """
    n = len(left_out)
    return np.sqrt((n - 1.0) / n * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0))


def left_out(whole: np.ndarray, parts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means without one group after another.

    Parameters
    ----------
    whole : ndarray
        Mean over all paths.
    parts : ndarray, shape (..., group)
        Means over the groups.
    counts : ndarray of int, shape (group,)
        Paths of each group.

    Returns
    -------
    ndarray, shape (..., group)
    """
    n = counts.sum()
    return (n * whole[..., np.newaxis] - counts * parts) / (n - counts)
