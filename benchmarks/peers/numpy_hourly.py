"""NumPy, hourly steps: blocks of paths, a thread for each share of the blocks, in two ways.

`simulate` is made for speed: single precision, normals by Box and Muller from raw bits (NumPy's log, sine and cosine
are vectorised, its ziggurats are not), an hour at a time over a block that fits the cache, jumps as a Poisson number
per hour and block scattered over its paths. `simulate_usual` is what one writes first: a matrix of paths and hours in
double precision, `standard_normal`, `poisson`, `cumsum`, comparisons along an axis.
Do: jumps, the whole grid from the price at each path's first visit below each stop.
Do not: funding, shorts, standard errors, exit times, P&L, or see what happens between the hours (biased low).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .problem import Answer, Problem

BLOCK, USUAL_BLOCK = 65536, 256
_TURN = np.float32(2.0 * np.pi)


class _Normals:
    """Single-precision normals, a block at a time, without allocation."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.half = (n + 1) // 2
        self.rng = rng
        self.radius, self.angle, self.sine = (np.empty(self.half, np.float32) for _ in range(3))
        self.out = np.empty(2 * self.half, np.float32)

    def fill(self, deviation: np.float32) -> np.ndarray:
        """Normals of this standard deviation."""
        bits = self.rng.integers(0, 2**64, self.half, dtype=np.uint64).view(np.uint32)
        bits >>= 8
        radius, angle, sine = self.radius, self.angle, self.sine
        np.add(bits[: self.half], np.float32(0.5), out=radius, dtype=np.float32, casting="unsafe")
        radius *= np.float32(2.0**-24)
        np.log(radius, out=radius)
        radius *= np.float32(-2.0) * deviation * deviation
        np.sqrt(radius, out=radius)
        np.multiply(bits[self.half :], _TURN * np.float32(2.0**-24), out=angle, dtype=np.float32, casting="unsafe")
        np.sin(angle, out=sine)
        np.cos(angle, out=angle)
        np.multiply(radius, sine, out=self.out[: self.half])
        np.multiply(radius, angle, out=self.out[self.half :])
        return self.out


def _lows(problem: Problem, n: int, rng: np.random.Generator) -> np.ndarray:
    """Lowest log price seen before or at the first visit below each stop, shape (n_stop, n)."""
    dt = problem.years / problem.hours
    shift, deviation = np.float32(problem.log_drift * dt), np.float32(problem.sigma * np.sqrt(dt))
    log_stops = np.maximum(problem.log_stops, -80.0).astype(np.float32)
    normals = _Normals(n, rng)
    x, low = np.zeros(n, np.float32), np.zeros(n, np.float32)
    column = np.zeros(n, np.int64)
    ahead = np.full(n, log_stops[0], np.float32)  # the nearest stop that is still open
    lows = np.zeros((log_stops.size, n), np.float32)
    means = np.array([-1.0 / problem.eta_down, 1.0 / problem.eta_up], np.float32)
    expected = n * problem.intensity * dt
    past = np.empty(n, bool)
    for _ in range(problem.intervals * problem.hours):
        x += normals.fill(deviation)[:n]
        x += shift
        if expected > 0:
            m = rng.poisson(expected)
            sizes = rng.standard_exponential(m, dtype=np.float32)
            sizes *= means[(rng.random(m, dtype=np.float32) < problem.p_up).view(np.int8)]
            np.add.at(x, rng.integers(0, n, m, dtype=np.int32), sizes)
        np.minimum(low, x, out=low)
        np.less_equal(x, ahead, out=past)
        hit = np.flatnonzero(past)
        while hit.size:
            lows[column[hit], hit] = x[hit]
            column[hit] += 1
            hit = hit[column[hit] < log_stops.size]
            ahead[hit] = log_stops[column[hit]]
            hit = hit[x[hit] <= ahead[hit]]
    for k in range(log_stops.size):
        unreached = column <= k
        lows[k, unreached] = low[unreached]
    return lows


def _usual_lows(problem: Problem, n: int, rng: np.random.Generator) -> np.ndarray:
    """The same from a matrix of paths and hours."""
    dt = problem.years / problem.hours
    x = rng.standard_normal((n, problem.intervals * problem.hours))
    x *= problem.sigma * np.sqrt(dt)
    x += problem.log_drift * dt
    if problem.intensity > 0:
        number = rng.poisson(problem.intensity * dt, x.shape).ravel()
        where = np.repeat(np.arange(number.size), number)
        up = rng.random(where.size) < problem.p_up
        sizes = rng.standard_exponential(where.size) * np.where(up, 1.0 / problem.eta_up, -1.0 / problem.eta_down)
        np.add.at(x.reshape(-1), where, sizes)
    np.cumsum(x, axis=1, out=x)
    return lows_seen(problem, x)


def lows_seen(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Lowest log price before or at the first visit below each stop, of a matrix of paths and hours."""
    low = np.minimum(x.min(axis=1), 0.0)
    lows = np.tile(low, (problem.stops.size, 1))
    for k, stop in enumerate(problem.log_stops):
        reached = np.flatnonzero(low <= stop)
        if reached.size:
            lows[k, reached] = x[reached, (x[reached] <= stop).argmax(axis=1)]
    return lows


def count(problem: Problem, lows: np.ndarray) -> np.ndarray:
    """Liquidated and stopped paths of every cell, from the lowest log prices seen until each stop."""
    levels, log_stops = problem.log_liquidation[::-1].astype(lows.dtype), problem.log_stops
    counts = np.zeros((2, levels.size, log_stops.size), dtype=np.int64)
    for k, stop in enumerate(log_stops):
        # a path is liquidated in the rows whose level is at or above its lowest price
        rows = np.searchsorted(levels, lows[k])
        counts[0, :, k] = np.bincount(rows, minlength=levels.size + 1).cumsum()[:-1][::-1]
        stopped = rows[lows[k] <= stop]
        counts[1, :, k] = stopped.size - np.bincount(stopped, minlength=levels.size + 1).cumsum()[:-1][::-1]
    return counts


def _run(
    lows: Callable[[Problem, int, np.random.Generator], np.ndarray],
    block: int,
    problem: Problem,
    n_paths: int,
    seed: int,
    threads: int,
) -> Answer:
    block = -(-n_paths // (threads * -(-n_paths // (threads * block))))  # as many blocks a thread
    sizes = [min(block, n_paths - first) for first in range(0, n_paths, block)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))

    def work(size: int, child: np.random.SeedSequence) -> np.ndarray:
        return count(problem, lows(problem, size, np.random.Generator(np.random.SFC64(child))))

    with ThreadPoolExecutor(threads) as pool:
        counts = sum(pool.map(work, sizes, seeds))
    return Answer.from_counts(np.asarray(counts), n_paths)


def simulate(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in steps of an hour, without funding, as fast as NumPy can be made to."""
    return _run(_lows, BLOCK, problem, n_paths, seed, threads)


def simulate_usual(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in steps of an hour, without funding, as one usually writes it."""
    return _run(_usual_lows, USUAL_BLOCK, problem, n_paths, seed, threads)
