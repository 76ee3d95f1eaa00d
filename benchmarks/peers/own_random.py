"""Random numbers of its own for a numba peer: SplitMix64 and 256-layer ziggurats, a few nanoseconds each.

A stream is one 64-bit word that each draw returns moved on; the caller keeps it in a register. Streams of different
numbers are disjoint stretches of the same sequence. Steele, Lea and Flood (2014), Fast splittable pseudorandom number
generators; Marsaglia and Tsang (2000), The ziggurat method for generating random variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S8, _S11, _S27, _S30, _S31, _S40 = (np.uint64(n) for n in (8, 11, 27, 30, 31, 40))
_LOW = np.uint64(0xFF)
_UNIT = 2.0**-53
_NORMAL_EDGE, _NORMAL_AREA = 3.6541528853610088, 0.00492867323399
_EXPONENTIAL_EDGE, _EXPONENTIAL_AREA = 7.69711747013104972, 0.0039496598225815571993


def _layers(
    edge: float, area: float, density: Callable[[float], float], inverse: Callable[[float], float]
) -> np.ndarray:
    """Right edges of the 256 layers from the bottom up, and 0."""
    x = [area / density(edge), edge]
    while len(x) < 256:
        x.append(inverse(density(x[-1]) + area / x[-1]))
    return np.array([*x, 0.0])


_NX = _layers(
    _NORMAL_EDGE, _NORMAL_AREA, lambda x: math.exp(-0.5 * x * x), lambda y: math.sqrt(-2.0 * math.log(min(y, 1.0)))
)
_NF, _NW = np.exp(-0.5 * _NX**2), _NX * 2.0**-52
_EX = _layers(_EXPONENTIAL_EDGE, _EXPONENTIAL_AREA, lambda x: math.exp(-x), lambda y: -math.log(min(y, 1.0)))
_EF, _EW = np.exp(-_EX), _EX * _UNIT


@njit(inline="always")
def begin(seed, number):
    """Start of a stream: 2**40 draws from that of the next number."""
    return _mixed(np.uint64(seed)) + (np.uint64(number) << _S40) * _STEP


@njit(inline="always")
def _mixed(z):
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


@njit(inline="always")
def uniform(state):
    """A uniform in [0, 1) and the stream moved on."""
    state = state + _STEP
    return np.int64(_mixed(state) >> _S11) * _UNIT, state


@njit
def _normal_rest(layer, x, state):
    while True:
        if layer == 0:
            while True:
                u, state = uniform(state)
                v, state = uniform(state)
                a = -math.log1p(-u) / _NORMAL_EDGE
                if -2.0 * math.log1p(-v) > a * a:
                    return math.copysign(_NORMAL_EDGE + a, x), state
        u, state = uniform(state)
        if _NF[layer] + u * (_NF[layer + 1] - _NF[layer]) < math.exp(-0.5 * x * x):
            return x, state
        state = state + _STEP
        word = _mixed(state)
        layer = np.int64(word & _LOW)
        x = (np.int64(word) >> 11) * _NW[layer]
        if abs(x) < _NX[layer + 1]:
            return x, state


@njit(inline="always")
def normal(state):
    """A standard normal and the stream moved on."""
    state = state + _STEP
    word = _mixed(state)
    layer = np.int64(word & _LOW)
    x = (np.int64(word) >> 11) * _NW[layer]
    if abs(x) >= _NX[layer + 1]:
        x, state = _normal_rest(layer, x, state)
    return x, state


@njit
def _exponential_rest(layer, x, state):
    while True:
        if layer == 0:
            u, state = uniform(state)
            return _EXPONENTIAL_EDGE - math.log1p(-u), state
        u, state = uniform(state)
        if _EF[layer] + u * (_EF[layer + 1] - _EF[layer]) < math.exp(-x):
            return x, state
        state = state + _STEP
        word = _mixed(state)
        layer = np.int64(word & _LOW)
        x = np.int64(word >> _S11) * _EW[layer]
        if x < _EX[layer + 1]:
            return x, state


@njit(inline="always")
def exponential(state):
    """A standard exponential and the stream moved on."""
    state = state + _STEP
    word = _mixed(state)
    layer = np.int64(word & _LOW)
    x = np.int64(word >> _S11) * _EW[layer]
    if x >= _EX[layer + 1]:
        x, state = _exponential_rest(layer, x, state)
    return x, state
