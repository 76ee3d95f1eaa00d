"""Quantiles and tail means of a sample that is known by bins, with their standard errors.

Of every bin the number of values, their mean and their standard deviation are known. Within it they are taken for
uniform about that mean with that spread: exact where all are the same, as they are at a stop or when the margin is
lost, and off by far less than the bin's width where the density is smooth; never by more than the width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Histogram"]

_HALF_WIDTH = np.sqrt(3.0)  # of a uniform law, in standard deviations


@dataclass(frozen=True)
class Histogram:
    """Samples by bins, one for each cell.

    Parameters
    ----------
    count, mean, std : ndarray, shape (..., bin)
        Number of values in every bin, their mean and standard deviation.
    edges : ndarray, shape (bin + 1,)
        Rising.
    """

    count: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    edges: np.ndarray

    @property
    def n(self) -> np.ndarray:
        """Number of values of every cell."""
        return self.count.sum(axis=-1)

    def quantile(self, p: np.ndarray | float) -> np.ndarray:
        """Quantile of every cell at probability ``p``, one for all or one for each; not-a-number without values."""
        return self._locate(p)[0]

    def quantile_se(self, p: float) -> np.ndarray:
        """Standard error of a quantile; inf where there are too few values beyond it to tell.

        Half the distance between the quantiles at ``p`` plus and minus its own standard error ``sqrt(p (1 - p)/n)``
        [1]_, which needs no density; and, as an error of its own, what the quantile would change if the bin's values
        were spread over all of it, up to their standard deviation. That is nothing where they are, or are all the same.

        References
        ----------
        .. [1] R. S. Woodruff (1952), Confidence intervals for medians and other position measures, Journal of the
           American Statistical Association 47.
        """
        n = self.n
        step = np.sqrt(p * (1.0 - p) / np.maximum(n, 1.0))
        half = 0.5 * (self.quantile(np.minimum(p + step, 1.0)) - self.quantile(np.maximum(p - step, 0.0)))
        q, at, inside = self._locate(p)
        spread = self.edges[at] + inside * (self.edges[at + 1] - self.edges[at])
        doubt = np.minimum(np.abs(spread - q), np.take_along_axis(self.std, at[..., np.newaxis], axis=-1)[..., 0])
        error = np.where((p - step <= 0.0) | (p + step >= 1.0), np.inf, np.hypot(half, doubt))
        return np.where(n == 0, np.nan, error)

    def lower_mean(self, p: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the share ``p`` of the smallest values, and its standard error.

        With ``Z = (q - X)^+`` and ``q`` the quantile, the mean is ``q - E[Z]/p`` and its variance ``Var(Z)/(p^2 n)``
        [1]_: the first-order effect of the quantile's own error vanishes.

        References
        ----------
        .. [1] L. J. Hong, Z. Hu, G. Liu (2014), Monte Carlo methods for value-at-risk and conditional value-at-risk: a
           review, ACM Transactions on Modeling and Computer Simulation 24.
        """
        q, at, inside = self._locate(p)
        n = self.n
        before = np.arange(self.count.shape[-1]) < at[..., np.newaxis]
        distance = q[..., np.newaxis] - self.mean
        weighted = np.where(before, self.count, 0.0)
        first = (weighted * distance).sum(axis=-1)
        second = (weighted * (distance**2 + self.std**2)).sum(axis=-1)
        spread = 2.0 * _HALF_WIDTH * np.take_along_axis(self.std, at[..., np.newaxis], axis=-1)[..., 0] * inside
        here = np.take_along_axis(self.count, at[..., np.newaxis], axis=-1)[..., 0] * inside
        first += here * 0.5 * spread
        second += here * spread**2 / 3.0
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = first / n
            variance = np.maximum(second / n - excess**2, 0.0)
            error = np.sqrt(variance / np.maximum(n - 1.0, 1.0)) / p
        return q - excess / p, np.where(n == 0, np.nan, np.where(p * n < 1.0, np.inf, error))

    def upper_excess(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the values above every bin's lower end of what is beyond it, and of its square; exact.

        Returns
        -------
        tuple of ndarray, shape (..., bin)
        """
        first = self.count * self.mean
        second = self.count * (self.mean**2 + self.std**2)
        count, first, second = (np.cumsum(x[..., ::-1], axis=-1)[..., ::-1] for x in (self.count, first, second))
        low = self.edges[:-1]
        excess = np.maximum(first - low * count, 0.0)
        return excess, np.maximum(second - low * (2.0 * first - low * count), 0.0)

    def _locate(self, p: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Quantile, its bin, and the share of the bin that is below it."""
        cumulated = np.cumsum(self.count, axis=-1)
        n = cumulated[..., -1]
        target = np.minimum(np.maximum(p * n, np.finfo(float).tiny), n)
        at = np.minimum((cumulated < target[..., np.newaxis]).sum(axis=-1), self.count.shape[-1] - 1)
        count, mean, std, upto = (
            np.take_along_axis(x, at[..., np.newaxis], axis=-1)[..., 0]
            for x in (self.count, self.mean, self.std, cumulated)
        )
        inside = 1.0 - (upto - target) / np.maximum(count, 1.0)
        q = mean + _HALF_WIDTH * std * (2.0 * inside - 1.0)
        q = np.clip(q, self.edges[at], self.edges[at + 1])
        return np.where(n > 0, q, np.nan), at, inside
