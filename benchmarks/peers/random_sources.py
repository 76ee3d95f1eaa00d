"""Where the numba peers' random numbers come from, in three ways that an expert may choose.

A source has ``begin(seeds, chunk)``, the state with which a chunk of paths starts, and ``normal``, ``exponential`` and
``uniform``, each of which returns a draw and the state moved on. `OWN` is a generator of the peer's own, the fastest;
`GENERATORS` are NumPy's generators (SFC64, its fastest), one for each thread; `LIBRARY` is ``np.random`` as numba
provides it everywhere, a Mersenne Twister for each thread. Only `OWN` gives the same numbers on any number of threads
by itself; `LIBRARY` does by seeding every chunk anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit

from . import own_random


class Source(NamedTuple):
    """Compiled functions over a state, and what ``begin`` needs of a seed and a number of threads."""

    begin: Any
    normal: Any
    exponential: Any
    uniform: Any
    seeds: Callable[[int, int], Any]


@njit(inline="always")
def _of_thread(generators, chunk):
    return generators[numba.get_thread_id()]


@njit(inline="always")
def _generator_normal(generator):
    return generator.standard_normal(), generator


@njit(inline="always")
def _generator_exponential(generator):
    return generator.standard_exponential(), generator


@njit(inline="always")
def _generator_uniform(generator):
    return generator.random(), generator


def _generators(seed: int, threads: int) -> tuple[np.random.Generator, ...]:
    return tuple(np.random.Generator(np.random.SFC64(s)) for s in np.random.SeedSequence(seed).spawn(threads))


# Here the state is the second normal of a pair, or NaN. Box and Muller's are faster than numba's standard_normal.


@njit(inline="always")
def _seeded(seed, chunk):
    np.random.seed((seed * 1000003 + chunk * 7919 + 1) & 0x7FFFFFFF)  # noqa: NPY002 (numba's own)
    return math.nan


@njit(inline="always")
def _library_normal(spare):
    if not math.isnan(spare):
        return spare, math.nan
    radius = math.sqrt(-2.0 * math.log(1.0 - np.random.random()))  # noqa: NPY002 (numba's own)
    angle = 2.0 * math.pi * np.random.random()  # noqa: NPY002 (numba's own)
    return radius * math.cos(angle), radius * math.sin(angle)


@njit(inline="always")
def _library_exponential(spare):
    return np.random.standard_exponential(), spare  # noqa: NPY002 (numba's own)


@njit(inline="always")
def _library_uniform(spare):
    return np.random.random(), spare  # noqa: NPY002 (numba's own)


OWN = Source(
    own_random.begin, own_random.normal, own_random.exponential, own_random.uniform, lambda seed, threads: seed
)
GENERATORS = Source(_of_thread, _generator_normal, _generator_exponential, _generator_uniform, _generators)
LIBRARY = Source(_seeded, _library_normal, _library_exponential, _library_uniform, lambda seed, threads: seed)
