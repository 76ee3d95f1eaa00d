"""numba, hourly steps: one path at a time, `prange` over paths, levels looked at on the hour.

Does: jumps (by waiting times, so that an hour without one costs nothing; their number in an hour is Poisson), an OU
premium and clamped funding, the moving liquidation level, the whole grid by first passages. Random numbers of its own
or from `np.random` (see `random_sources`).
Does not: see what happens between the hours, so every probability is biased low against a venue that always looks; no
shorts, standard errors, exit times, P&L, fees, shortfall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numba
import numpy as np
from numba import njit, prange

from .numba_events import CHUNK, FAST, arguments, unfold
from .problem import FAR, Answer, Problem
from .random_sources import LIBRARY, OWN, Source


@cache
def _compiled(source: Source) -> Callable[..., None]:
    begin, normal, exponential, uniform, _ = source

    @njit(inline="always")
    def level(margin: float, cost: float, slope: float) -> float:
        w = (1.0 - margin + cost) * slope
        return math.log(w) if w > 0.0 else FAR

    @njit(fastmath=FAST, error_model="numpy")
    def one_path(state, law, rules, margins, stops, log_stops, n_intervals, n_steps, booked):
        drift, sigma, mean_gap, p_up, mean_up, mean_down = law
        years, slope, decay, noise, mean, interest, clamp, cap = rules
        n_rows, n_cols = margins.size, log_stops.size
        dt = years / n_steps
        shift, deviation = drift * dt, sigma * math.sqrt(dt)
        row, col, step = 0, 0, 0
        x, cost, premium = 0.0, 0.0, mean
        next_jump = 1e300
        if mean_gap < 1e300:
            e, state = exponential(state)
            next_jump = e * mean_gap
        for _ in range(n_intervals):
            w = (1.0 - margins[row] + cost) * slope
            nearest = math.log(w) if w > stops[col] else log_stops[col]
            for _ in range(n_steps):
                step += 1
                z, state = normal(state)
                x += shift + deviation * z
                while next_jump < step * dt:
                    e, state = exponential(state)
                    u, state = uniform(state)
                    x += e * mean_up if u < p_up else -e * mean_down
                    e, state = exponential(state)
                    next_jump += e * mean_gap
                if x <= nearest:  # past levels: liquidations first, then stops
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
    def all_paths(seeds, n_paths, law, rules, margins, stops, log_stops, n_intervals, n_steps, booked):
        n_chunks = (n_paths + CHUNK - 1) // CHUNK
        for chunk in prange(n_chunks):
            state = begin(seeds, chunk)
            mine = booked[numba.get_thread_id()]
            for _ in range(min(CHUNK, n_paths - chunk * CHUNK)):
                state = one_path(state, law, rules, margins, stops, log_stops, n_intervals, n_steps, mine)

    return all_paths


def _run(source: Source, problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    law, rules, margins, stops, log_stops = arguments(problem)
    n, steps = problem.intervals, problem.hours
    booked = np.zeros((threads, 2, margins.size, stops.size + 8), dtype=np.int64)  # no cache line is shared
    numba.set_num_threads(threads)
    seeds = source.seeds(seed, threads)
    with numba.parallel_chunksize(1):
        _compiled(source)(seeds, n_paths, law, rules, margins, stops, log_stops, n, steps, booked)
    return unfold(booked[..., : stops.size], n_paths)


def simulate(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in steps of an hour with random numbers made for speed."""
    return _run(OWN, problem, n_paths, seed, threads)


def simulate_library(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in steps of an hour with ``np.random``."""
    return _run(LIBRARY, problem, n_paths, seed, threads)
