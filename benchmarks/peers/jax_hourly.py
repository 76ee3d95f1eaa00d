"""JAX on the CPU, single precision, hourly steps: `lax.scan` over the hours, blocks of paths, compiled by XLA.

Does: jumps (a Poisson number per step and block, scattered over its paths, which is the same law as a Poisson number
per path), the whole grid from the lowest price before or at each path's first visit below each stop. XLA does not
split such loops, so blocks are given to threads; the default random bits, threefry, are the fastest there.
Does not: funding, shorts, standard errors, exit times, P&L, or see what happens between the hours (biased low).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .numpy_hourly import count
from .problem import Answer, Problem

BLOCK = 32768


@lru_cache
def _compiled(problem: Problem) -> Any:
    dt = problem.years / problem.hours
    log_stops = jnp.asarray(problem.log_stops.clip(-80.0), jnp.float32)[:, None]
    shift, deviation = np.float32(problem.log_drift * dt), np.float32(problem.sigma * math.sqrt(dt))
    expected = BLOCK * problem.intensity * dt
    room = math.ceil(expected + 8 * math.sqrt(expected) + 8) if expected else 0  # jumps in a step of a block, at most

    def jumps(x: Any, key: Any, number: Any) -> Any:
        bits = jax.random.uniform(key, (3, room), jnp.float32, minval=1e-7)
        size = -jnp.log(bits[0]) * jnp.where(bits[1] < problem.p_up, 1 / problem.eta_up, -1 / problem.eta_down)
        path = (bits[2] * BLOCK).astype(jnp.int32)
        return x.at[path].add(jnp.where(jnp.arange(room) < number, size, 0.0), mode="promise_in_bounds")

    def step(carry: tuple[Any, Any], now: tuple[Any, Any]) -> tuple[tuple[Any, Any], None]:
        x, lows = carry
        key, number = now
        keys = jax.random.split(key)
        x = x + shift + deviation * jax.random.normal(keys[0], x.shape, jnp.float32)
        if room:
            x = jumps(x, keys[1], number)
        lows = jnp.where(lows > log_stops, jnp.minimum(lows, x), lows)
        return (x, lows), None

    @jax.jit
    def block(key: Any) -> Any:
        steps = problem.intervals * problem.hours
        first, second = jax.random.split(key)
        numbers = jax.random.poisson(first, expected, (steps,)) if room else jnp.zeros(steps, jnp.int32)
        start = (jnp.zeros(BLOCK, jnp.float32), jnp.zeros((problem.log_stops.size, BLOCK), jnp.float32))
        return jax.lax.scan(step, start, (jax.random.split(second, steps), numbers))[0][1]

    return block


def simulate(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in steps of an hour, without funding."""
    block = _compiled(problem)
    key = jax.random.key(seed)

    def work(index: int) -> np.ndarray:
        lows = np.asarray(block(jax.random.fold_in(key, index)))
        return count(problem, lows[:, : n_paths - index * BLOCK])

    with ThreadPoolExecutor(threads) as pool:
        counts = sum(pool.map(work, range(-(-n_paths // BLOCK))))
    return Answer.from_counts(np.asarray(counts), n_paths)
