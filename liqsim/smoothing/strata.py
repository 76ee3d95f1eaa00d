"""Strata by the number of jumps: which there are, how likely each is, and how many points it gets."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, pdtr, pdtrc

__all__ = ["Stratum", "poisson_strata"]

_TAIL = 1e-18  # probability of more jumps than any stratum has: they count as the most of the last one
_REST = 1e-4  # so much at either end is one stratum
_LEAST_POINTS = 16
_SHARE = 2.0 / 3.0  # points go as this power of the probability: right where the error falls as one over their number


@dataclass(frozen=True)
class Stratum:
    """Paths with ``least`` to ``most`` jumps.

    Parameters
    ----------
    least, most : int
    probability : float
    cumulative : ndarray, shape (most - least + 1,)
        Probability of each number of jumps or a smaller one, given the stratum; the last is 1.
    """

    least: int
    most: int
    probability: float
    cumulative: np.ndarray

    def jumps(self, u: np.ndarray) -> np.ndarray:
        """Numbers of jumps at uniforms."""
        return self.least + np.searchsorted(self.cumulative[:-1], u, side="right")

    def points(self, n: int, likeliest: float) -> int:
        """A power of two: ``n`` in the likeliest stratum, fewer in the others."""
        share = math.log2(n * (self.probability / likeliest) ** _SHARE)
        return int(min(max(2 ** max(round(share), 0), _LEAST_POINTS), n))


def poisson_strata(mean: float) -> list[Stratum]:
    """Strata of a Poisson number of jumps: one for each number, or for a few of them where jumps are many.

    Parameters
    ----------
    mean : float
        Expected jumps.

    Notes
    -----
    Together they hold all of the probability: the tail beyond the last number, below 1e-18, counts as that number.
    Where jumps are rare, paths without any are a stratum of their own: among them no point would fall on a jump.
    """
    if mean == 0.0:
        return [Stratum(0, 0, 1.0, np.ones(1))]
    width = max(round(math.sqrt(mean) / 3.0), 1)
    last = max(math.floor(mean), 1)
    while pdtrc(last, mean) > _TAIL:
        last += 1
    least, most, strata = 0, 0, []
    while pdtr(most + 1, mean) < _REST:
        most += 1
    while least <= last:
        most = last if most > 0 and pdtrc(most, mean) < _REST else most
        numbers = np.arange(least, most + 1)
        masses = np.exp(numbers * math.log(mean) - mean - gammaln(numbers + 1.0))
        total = float(masses.sum())
        strata.append(Stratum(least, most, total, np.append(np.cumsum(masses[:-1]) / total, 1.0)))
        least, most = most + 1, most + width
    whole = sum(stratum.probability for stratum in strata)
    return [dataclasses.replace(stratum, probability=stratum.probability / whole) for stratum in strata]
