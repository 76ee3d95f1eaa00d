"""stochastic-rs, hourly steps: paths drawn in Rust as a matrix, looked at with NumPy.

Without jumps: `PyGbm.sample_par`, single precision, on all processors (rayon takes no number of threads). With Kou's
jumps: `PyKou.sample`, one path after the other on one thread, since its jump sizes come from a Python function, here a
list drawn beforehand, with which `sample_par` of version 2.6 does not return.
Does not: funding, shorts, standard errors, exit times, P&L, or see what happens between the hours (biased low).
"""

from __future__ import annotations

import numpy as np
import stochastic_rs

from .numpy_hourly import count, lows_seen
from .problem import HOURS_PER_YEAR, Answer, Problem

BLOCK = 2048


def _jump_sizes(problem: Problem, n_paths: int, rng: np.random.Generator) -> list[float]:
    """As many as so many paths can need."""
    expected = n_paths * problem.intensity * problem.intervals * problem.years
    n = int(expected + 8.0 * np.sqrt(expected) + 8.0)
    mean = np.where(rng.random(n) < problem.p_up, 1.0 / problem.eta_up, -1.0 / problem.eta_down)
    return (mean * rng.standard_exponential(n)).tolist()


def simulate(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in steps of an hour, without funding."""
    hours = problem.intervals * problem.hours
    years = hours / HOURS_PER_YEAR
    rng = np.random.default_rng(seed)
    if problem.intensity:
        kappa = -(problem.log_drift + 0.5 * problem.sigma**2) / problem.intensity  # mean relative jump
    else:
        law = stochastic_rs.PyGbm(0.0, problem.sigma, hours + 1, x0=1.0, t=years, seed=seed, dtype="f32")
    counts = np.zeros((2, problem.margins.size, problem.stops.size), dtype=np.int64)
    for first in range(0, n_paths, BLOCK):
        size = min(BLOCK, n_paths - first)
        if problem.intensity:
            draw = iter(_jump_sizes(problem, size, rng)).__next__
            law = stochastic_rs.PyKou(
                0.0, problem.sigma, problem.intensity, kappa, draw, hours + 1, x0=0.0, t=years,
                seed=int(rng.integers(2**31)),
            )  # fmt: skip
            x = np.array([law.sample() for _ in range(size)])
        else:
            x = np.log(law.sample_par(size))
        counts += count(problem, lows_seen(problem, x))
    return Answer.from_counts(counts, n_paths)
