"""Quasi-random paths: a Brownian motion at jump times and instants, its last value first, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from liqsim.smoothing.strata import Stratum

__all__ = ["Layout", "Paths", "Points", "draw_paths"]

_BITS = 32


class Points:
    """One scrambled Sobol sequence in the open unit cube, its numbers filled up to double precision.

    Parameters
    ----------
    dimensions : int
    seed : numpy.random.SeedSequence

    Notes
    -----
    To scramble takes time as the square of the number of bits. The bits beyond are independent and uniform, which
    leaves each point in its cell.
    """

    def __init__(self, dimensions: int, seed: np.random.SeedSequence) -> None:
        from scipy.stats import qmc  # slow to import, and needed here alone

        self.random = np.random.default_rng(seed)
        self.sequence: Any = qmc.Sobol(dimensions, bits=_BITS, seed=self.random)

    def next(self, n: int, dimensions: int) -> np.ndarray:
        """The first coordinates of the next ``n`` points, of shape (n, dimensions)."""
        u = self.sequence.random(n)[:, :dimensions]
        return np.asarray(u + (0.5 + self.random.integers(0, 2**20, u.shape)) * 2.0 ** -(_BITS + 20))


@dataclass(frozen=True)
class Layout:
    """Which coordinate of a point stands for what, in a stratum.

    In this order: the Brownian motion's last value; the number of jumps, where the stratum has several; the sum of what
    moves the premium; jump sizes; jump times; the Brownian motion in between, halving the events again and again; what
    moves the premium in between, likewise.

    Parameters
    ----------
    n_instants : int
    n_stamps : int
        Instants at which the premium is needed; 0 where it does not move at random.
    stratum : Stratum
    """

    n_instants: int
    n_stamps: int
    stratum: Stratum

    @property
    def n_events(self) -> int:
        """Jumps, at most, and instants."""
        return self.n_instants + self.stratum.most

    @property
    def dimensions(self) -> int:
        """Coordinates of a point."""
        varies = self.stratum.most > self.stratum.least
        return varies + 2 * self.stratum.most + self.n_events + self.n_stamps


@dataclass(frozen=True)
class Paths:
    """Skeletons of paths, one a column: what happens in order of time, and where the Brownian motion is then.

    Parameters
    ----------
    time : ndarray, shape (event, path) or (event, 1)
        Start, jumps and instants in order, years. Where the stratum has room for more jumps than a path has, the others
        are at the start.
    motion : ndarray, shape (event, path)
        Brownian motion then.
    first : ndarray of int, shape (path,)
        The first event after the start and the jumps that are not there.
    arrival : ndarray of int, shape (instant, path)
        Which event each instant is.
    size : ndarray, shape (most, path)
        Uniforms of the jumps' sizes; that of event ``i`` in interval ``k`` is number ``i - k - 1``.
    premium : ndarray, shape (stamp, path)
        Standard normals of the premium.
    """

    time: np.ndarray
    motion: np.ndarray
    first: np.ndarray
    arrival: np.ndarray
    size: np.ndarray
    premium: np.ndarray

    @property
    def jumps(self) -> np.ndarray:
        """How many jumps each path has."""
        return len(self.size) + 1 - self.first


def draw_paths(layout: Layout, instants: np.ndarray, points: np.ndarray) -> Paths:
    """Turn points of the unit cube into paths.

    Parameters
    ----------
    layout : Layout
    instants : ndarray, shape (n_instants,)
        Ends of the intervals, years; the last is the horizon.
    points : ndarray, shape (path, dimension)
    """
    u = np.ascontiguousarray(points.T)
    n, most = u.shape[1], layout.stratum.most
    last, u = u[0], u[1:]
    jumps = np.full(n, most)
    if most > layout.stratum.least:
        jumps, u = layout.stratum.jumps(u[0]), u[1:]
    n_stamps = layout.n_stamps
    total, size, when, between, premium = np.split(u, np.cumsum([min(n_stamps, 1), most, most, layout.n_events - 1]))
    time, arrival = _in_order(instants, np.where(np.arange(most)[:, np.newaxis] < jumps, when * instants[-1], 0.0))
    motion = _bridge(time, ndtri(last), ndtri(between))
    moves = np.empty((0, n))
    if n_stamps:
        moves = np.diff(_bridge(np.arange(n_stamps + 1.0)[:, np.newaxis], ndtri(total[0]), ndtri(premium)), axis=0)
    return Paths(time, motion, most - jumps + 1, arrival, size, moves)


def _bridge(time: np.ndarray, last: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Brownian motion at times from 0 on, from standard normals: its last value first, then the middle of each half."""
    motion = np.zeros((len(time), len(last)))
    motion[-1] = np.sqrt(time[-1]) * last
    spans, used = [(0, len(time) - 1)], 0
    while spans := [(a, b) for a, b in spans if b - a > 1]:
        left, right = np.array(spans).T
        middle = (left + right) // 2
        before, after = time[middle] - time[left], time[right] - time[middle]
        share = before / np.maximum(before + after, 1e-300)
        z = between[used : used + len(middle)]
        motion[middle] = motion[left] + share * (motion[right] - motion[left]) + np.sqrt(share * after) * z
        used += len(middle)
        spans = [half for (a, b), m in zip(spans, middle.tolist(), strict=True) for half in ((a, m), (m, b))]
    return motion


def _in_order(instants: np.ndarray, when: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start, instants and jumps of every path in order of time, and which of them the instants are."""
    fixed = np.append(0.0, instants)[:, np.newaxis]
    if len(when) == 0:
        return fixed, np.arange(1, len(fixed))[:, np.newaxis]
    n = when.shape[1]
    every = np.concatenate([np.broadcast_to(fixed, (len(fixed), n)), when])
    order = np.argsort(every, axis=0, kind="stable")
    is_fixed = (order < len(fixed)).T
    arrival = np.nonzero(is_fixed)[1].reshape(n, len(fixed)).T
    return np.take_along_axis(every, order, axis=0), arrival[1:]
