"""Averages over quasi-random paths, in strata by the number of jumps, of positions that share them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liqsim.analytic import gbm
from liqsim.errors import ParameterError
from liqsim.smoothing.contract import Contract
from liqsim.smoothing.path import Layout, Paths, Points, draw_paths
from liqsim.smoothing.strata import Stratum, poisson_strata
from liqsim.smoothing.walk import walk

__all__ = ["SWEEP", "Position", "averages"]

SWEEP = "liqsim.sweep takes the same arguments, with n_paths for n_points and n_scrambles"

_MOST_DIMENSIONS = 21_201  # of SciPy's Sobol sequence
_MOST_NUMBERS = 2**21  # coordinates of the points that are in memory at a time, in some 10 arrays of 16 MB


@dataclass(frozen=True)
class Position:
    """What is averaged over paths.

    Parameters
    ----------
    contract : Contract
    controls : sequence of Contract
        To be stopped at a level on the same paths.
    mean_jumps : float
        Expected jumps until the horizon.
    """

    contract: Contract
    controls: Sequence[Contract]
    mean_jumps: float

    def on(self, paths: Paths) -> np.ndarray:
        """Liquidation, stop and funding of every path, and the stop of every control, of shape (3 + control, path)."""
        found = walk(self.contract, paths)
        stops = [walk(control, paths).stop for control in self.controls]
        return np.stack([found.liquidation, found.stop, found.funding, *stops])

    def without_jumps(self) -> np.ndarray:
        """The same where levels stay and the price does not jump."""
        stops = [_closed_form(control)[1] for control in self.controls]
        return np.append(_closed_form(self.contract), stops)

    def likelihood(self, jumps: np.ndarray, mean_jumps: float) -> np.ndarray:
        """How much likelier so many jumps are here than where ``mean_jumps`` are expected."""
        if self.mean_jumps == mean_jumps:
            return np.ones(np.shape(jumps))
        return np.asarray(np.exp(jumps * math.log(self.mean_jumps / mean_jumps) - (self.mean_jumps - mean_jumps)))


def averages(
    positions: Sequence[Position], n_points: int, n_scrambles: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, int]:
    """Averages of every scramble, and the number of paths.

    Parameters
    ----------
    positions : sequence of Position
        On the same paths, with as many controls each. They may differ in their laws; paths have the jumps of the first,
        and those of the others count with their likelihood ratios.
    n_points, n_scrambles : int
    seed : numpy.random.SeedSequence

    Returns
    -------
    ndarray of shape (position, 3 + control, scramble)
        Liquidation, stop and funding, and the stop of every control.
    int

    Raises
    ------
    ParameterError
        If a path takes more numbers than a Sobol point has.

    Notes
    -----
    Every stratum takes the next stretch of the same sequences, the longest first, so that each starts at a multiple of
    its length and is as evenly spread as the first points of a sequence.
    """
    contract, mean_jumps = positions[0].contract, positions[0].mean_jumps
    total = np.zeros((len(positions), 3 + len(positions[0].controls), n_scrambles))
    strata = poisson_strata(mean_jumps)
    likeliest = max(stratum.probability for stratum in strata)
    drawn = []
    for stratum in strata:
        if stratum.most == 0 and contract.has_closed_form:
            for k, position in enumerate(positions):
                weight = stratum.probability * float(position.likelihood(np.zeros(()), mean_jumps))
                total[k] += weight * position.without_jumps()[:, np.newaxis]
        else:
            drawn.append((stratum.points(n_points, likeliest), stratum))
    dimensions = max((_layout(contract, stratum).dimensions for _, stratum in drawn), default=0)
    if dimensions > _MOST_DIMENSIONS:
        raise ParameterError(
            f"paths of {len(contract.end)} intervals and up to {strata[-1].most} jumps take {dimensions} numbers, more "
            f"than the {_MOST_DIMENSIONS} of a Sobol point; shorten the horizon, or use a sweep: {SWEEP}"
        )
    keys = [
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, k), pool_size=seed.pool_size)
        for k in range(n_scrambles if drawn else 0)
    ]
    sequences = [Points(dimensions, key) for key in keys]
    n_paths = 0
    for n, stratum in sorted(drawn, key=lambda item: -item[0]):
        total += stratum.probability * _stratum_means(positions, _layout(contract, stratum), n, sequences)
        n_paths += n * n_scrambles
    return total, n_paths


def _layout(contract: Contract, stratum: Stratum) -> Layout:
    return Layout(len(contract.end), int(np.count_nonzero(contract.pays)) if contract.has_premium else 0, stratum)


def _stratum_means(positions: Sequence[Position], layout: Layout, n: int, sequences: list[Points]) -> np.ndarray:
    """Means over ``n`` points of every scramble, of shape (position, 3 + control, scramble), a few at a time."""
    contract, mean_jumps = positions[0].contract, positions[0].mean_jumps
    width = max(_MOST_NUMBERS // max(layout.n_events, layout.dimensions), 1)
    step = min(n, 2 ** (width.bit_length() - 1))
    means = []
    together = max(width // n, 1)
    for first in range(0, len(sequences), together):
        some = sequences[first : first + together]
        sums = np.zeros((len(positions), 3 + len(positions[0].controls), len(some)))
        for _ in range(0, n, step):
            points = np.concatenate([sequence.next(step, layout.dimensions) for sequence in some])
            paths = draw_paths(layout, contract.end, points)
            for k, position in enumerate(positions):
                values = position.on(paths) * position.likelihood(paths.jumps, mean_jumps)
                sums[k] += np.reshape(values, (len(values), len(some), step)).sum(axis=-1)
        means.append(sums / n)
    return np.concatenate(means, axis=-1)


def _closed_form(contract: Contract) -> np.ndarray:
    """Liquidation, stop and funding where levels stay and the price does not jump."""
    law = contract.task.law
    level = float(contract.liquidation_level(int(contract.requirement[0]), np.array(contract.entry_charge)))
    nearest = max(level, contract.stop)
    out = np.array([0.0, 0.0, contract.entry_charge])
    if np.isfinite(nearest):
        is_first = contract.task.rules["liquidation_first"]
        is_liquidation = level >= contract.stop if is_first else level > contract.stop
        p = gbm.invert(
            np.array([-nearest]), -contract.e * law["log_drift"], law["sigma"], float(contract.end[-1])
        ).probability
        out[0 if is_liquidation else 1] = p[0]
    return out
