"""numba, exact: the event-driven algorithm that a careful quant writes, one path at a time, `prange` over paths.

Does: jumps by arrival times, the minimum between events by inversion of the Brownian bridge, an OU premium and clamped
funding, a moving liquidation level, the whole leverage x stop grid from first passages booked into a staircase.
Three sources of random numbers: its own, NumPy's generators, `np.random` (see `random_sources`).
Does not: shorts, standard errors, exit times, P&L, fees, shortfall, the same bits on any number of threads. A crossing
less likely than 1e-16 is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numba
import numpy as np
from numba import njit, prange

from .problem import FAR, Answer, Problem
from .random_sources import GENERATORS, LIBRARY, OWN, Source

FAST = {"contract", "afn", "reassoc", "arcp", "nsz"}
CHUNK = 512


@cache
def _compiled(source: Source) -> Callable[..., None]:
    begin, normal, exponential, uniform, _ = source

    @njit(inline="always")
    def level(margin: float, cost: float, slope: float) -> float:
        w = (1.0 - margin + cost) * slope
        return math.log(w) if w > 0.0 else FAR

    @njit(fastmath=FAST, error_model="numpy")
    def one_path(state, law, rules, margins, stops, log_stops, n_intervals, booked):
        drift, sigma, mean_gap, p_up, mean_up, mean_down = law
        years, slope, decay, noise, mean, interest, clamp, cap = rules
        n_rows, n_cols = margins.size, log_stops.size
        variance, whole = sigma * sigma, sigma * math.sqrt(years)
        row, col = 0, 0
        x, cost, premium = 0.0, 0.0, mean
        next_jump = 1e300
        if mean_gap < 1e300:
            e, state = exponential(state)
            next_jump = e * mean_gap
        for k in range(n_intervals):
            t, end = k * years, (k + 1) * years
            w = (1.0 - margins[row] + cost) * slope
            if w > stops[col]:  # the liquidation level is the nearer one
                liquidation = math.log(w)
                nearest = liquidation
                while x <= liquidation:  # the payment alone has used up the margin
                    booked[0, row, col] += 1
                    row += 1
                    if row == n_rows:
                        return state
                    liquidation = level(margins[row], cost, slope)
                    nearest = max(liquidation, log_stops[col])
            else:
                nearest = log_stops[col]
            while True:
                jumps = next_jump < end
                stop = next_jump if jumps else end
                dt = stop - t
                deviation = whole if dt == years else sigma * math.sqrt(dt)
                z, state = normal(state)
                y = x + drift * dt + deviation * z
                scale = 2.0 * variance * dt
                if y <= nearest or 4.0 * (x - nearest) * (y - nearest) < 37.0 * scale:
                    e, state = exponential(state)
                    spread = y - x
                    low = 0.5 * (x + y - math.sqrt(spread * spread + scale * e))
                    if low <= nearest:
                        liquidation = level(margins[row], cost, slope)
                        while low <= nearest:
                            if liquidation >= log_stops[col]:
                                booked[0, row, col] += 1
                                row += 1
                                if row == n_rows:
                                    return state
                                liquidation = level(margins[row], cost, slope)
                            else:
                                booked[1, row, col] += 1
                                col += 1
                                if col == n_cols:
                                    return state
                            nearest = max(liquidation, log_stops[col])
                x = y
                t = stop
                if not jumps:
                    break
                e, state = exponential(state)
                u, state = uniform(state)
                x += e * mean_up if u < p_up else -e * mean_down
                e, state = exponential(state)
                next_jump = t + e * mean_gap
                if x <= nearest:  # landed past levels: liquidations first, then stops
                    liquidation = level(margins[row], cost, slope)
                    while x <= liquidation:
                        booked[0, row, col] += 1
                        row += 1
                        if row == n_rows:
                            return state
                        liquidation = level(margins[row], cost, slope)
                    while x <= log_stops[col]:
                        booked[1, row, col] += 1
                        col += 1
                        if col == n_cols:
                            return state
                    nearest = max(liquidation, log_stops[col])
            if noise >= 0.0:
                z, state = normal(state)
                premium = mean + (premium - mean) * decay + noise * z
                rate = premium + min(max(interest - premium, -clamp), clamp)
                cost += min(max(rate, -cap), cap) * math.exp(x)
        return state

    @njit(parallel=True, fastmath=FAST, error_model="numpy")
    def all_paths(seeds, n_paths, law, rules, margins, stops, log_stops, n_intervals, booked):
        n_chunks = (n_paths + CHUNK - 1) // CHUNK
        for chunk in prange(n_chunks):
            state = begin(seeds, chunk)
            mine = booked[numba.get_thread_id()]
            for _ in range(min(CHUNK, n_paths - chunk * CHUNK)):
                state = one_path(state, law, rules, margins, stops, log_stops, n_intervals, mine)

    return all_paths


def arguments(problem: Problem) -> tuple[tuple[float, ...], tuple[float, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Law, rules, margins, stops and log stops of a problem."""
    p = problem
    decay = math.exp(-math.log(2.0) * p.hours / p.premium_half_life)
    noise = p.premium_vol * math.sqrt(1.0 - decay * decay) if p.funding else -1.0
    gap = 1.0 / p.intensity if p.intensity > 0 else 1e300
    law = (p.log_drift, p.sigma, gap, p.p_up, 1.0 / p.eta_up, 1.0 / p.eta_down)
    rules = (p.years, 1.0 / (1.0 - p.maintenance), decay, noise, p.premium_mean, p.interest, p.clamp, p.cap)
    return law, rules, p.margins, p.stops, p.log_stops


def unfold(booked: np.ndarray, n_paths: int) -> Answer:
    """Staircase records -> the answer: a liquidation holds for the further stops too, a stop for the lower rows."""
    total = booked.sum(axis=0)
    return Answer.from_counts(np.stack([total[0].cumsum(axis=1), total[1].cumsum(axis=0)]), n_paths)


def _run(source: Source, problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    law, rules, margins, stops, log_stops = arguments(problem)
    booked = np.zeros((threads, 2, margins.size, stops.size + 8), dtype=np.int64)  # no cache line is shared
    numba.set_num_threads(threads)
    seeds = source.seeds(seed, threads)
    with numba.parallel_chunksize(1):
        _compiled(source)(seeds, n_paths, law, rules, margins, stops, log_stops, problem.intervals, booked)
    return unfold(booked[..., : stops.size], n_paths)


def simulate(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem with random numbers made for speed."""
    return _run(OWN, problem, n_paths, seed, threads)


def simulate_generators(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem with NumPy's generators."""
    return _run(GENERATORS, problem, n_paths, seed, threads)


def simulate_library(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem with ``np.random``."""
    return _run(LIBRARY, problem, n_paths, seed, threads)
