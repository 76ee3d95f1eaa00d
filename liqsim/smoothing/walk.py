"""Paths walked with one position: the probability of each end given the path, as the price moves between its corners.

Where the kernel draws whether a level is reached, here its probability given the ends of the segment is taken, and what
is left of the path goes on with the weight that survives: between two corners the Brownian bridge, at a jump the law of
its size, which is then drawn from the sizes that leave the position open. Estimates are then smooth in the numbers that
were drawn, which quasi-random points reward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from liqsim.analytic import gbm
from liqsim.engine.plan import NORMAL_JUMPS
from liqsim.smoothing.contract import Contract
from liqsim.smoothing.path import Paths

__all__ = ["Walk", "walk"]

_SMALLEST = 1e-300
_ON_ENTRY, _ON_MARK, _ON_INDEX = range(3)
_ALIVE = 0.5  # share of the paths that still matter, below which the others are dropped


@dataclass(frozen=True)
class Walk:
    """Of every path, the probabilities of liquidation and stop given its corners, and the funding expected."""

    liquidation: np.ndarray
    stop: np.ndarray
    funding: np.ndarray


@dataclass
class _State:
    """Paths on their way.

    Parameters
    ----------
    who : ndarray of int
        Columns of the paths.
    event : ndarray of int
        What each comes to next.
    z, time, motion : ndarray
        Log price seen from the side; time and Brownian motion there.
    weight, liquidation, stop, funding : ndarray
        Probability of being open, and what has been booked.
    paid, accrued, level : ndarray
        Per entry notional; log price of liquidation seen from the side.
    premium, rate, shift, known : ndarray
        Premium and rate at the last stamp; mean and variance that the price has told of the premium since.
    """

    who: np.ndarray
    event: np.ndarray
    z: np.ndarray
    time: np.ndarray
    motion: np.ndarray
    weight: np.ndarray
    liquidation: np.ndarray
    stop: np.ndarray
    funding: np.ndarray
    paid: np.ndarray
    accrued: np.ndarray
    level: np.ndarray
    premium: np.ndarray
    rate: np.ndarray
    shift: np.ndarray
    known: np.ndarray

    def only(self, chosen: np.ndarray) -> _State:
        return _State(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def walk(contract: Contract, paths: Paths) -> Walk:
    """Follow a position along paths.

    Parameters
    ----------
    contract : Contract
    paths : Paths
    """
    n = paths.motion.shape[1]
    state = _start(contract, paths)
    found = Walk(np.empty(n), np.empty(n), np.empty(n))

    def book() -> None:
        for name in ("liquidation", "stop", "funding"):
            getattr(found, name)[state.who] = getattr(state, name)

    for k in range(len(contract.end)):
        alive = state.weight > 0.0
        if np.count_nonzero(alive) < _ALIVE * len(alive):
            book()
            state = state.only(alive)
        if len(state.who) == 0:
            break
        _advance(contract, state, paths, k)
        if contract.moves:
            _arrive(contract, state, paths.premium, k)
    book()
    return found


def _start(contract: Contract, paths: Paths) -> _State:
    law, rules = contract.task.law, contract.task.rules
    n = paths.motion.shape[1]
    values = dict.fromkeys(_State.__dataclass_fields__, 0.0)
    values |= {"weight": 1.0, "paid": contract.entry_charge, "funding": contract.entry_charge}
    values |= {"premium": law["premium_start"], "rate": rules["first_rate"]}
    state = _State(**{name: np.full(n, value) for name, value in values.items()})
    state.who, state.event = np.arange(n), paths.first.copy()
    state.level = contract.liquidation_level(int(contract.requirement[0]), state.paid)
    return state


def _advance(contract: Contract, state: _State, paths: Paths, k: int) -> None:
    """An interval: jump after jump of the paths that have one, then all to its end."""
    rows = paths.arrival[k]
    arrival = rows[state.who] if len(rows) > 1 else np.broadcast_to(rows, state.who.shape)
    at = np.flatnonzero(state.event < arrival)
    while len(at):
        some = state.only(at)
        time = paths.time[some.event, some.who]
        _move(contract, some, time - some.time, paths.motion[some.event, some.who] - some.motion, k)
        some.motion, some.time = paths.motion[some.event, some.who], time
        _jump(contract, some, paths.size[some.event - k - 1, some.who], bool(contract.watches[k]))
        some.event += 1
        for name in ("event", "z", "time", "motion", "weight", "liquidation", "stop", "shift", "known"):
            getattr(state, name)[at] = getattr(some, name)
        at = at[some.event < arrival[at]]
    motion = paths.motion[arrival, state.who] if len(rows) > 1 else paths.motion[rows[0]][state.who]
    is_last = k == len(contract.end) - 1
    _move(contract, state, contract.end[k] - state.time, motion - state.motion, k, is_last)
    state.motion, state.event = motion, arrival + 1
    state.time = np.full(len(motion), contract.end[k])


def _is_liquidation(contract: Contract, level: np.ndarray) -> np.ndarray:
    """Whether the nearest level is that of liquidation."""
    is_first = contract.task.rules["liquidation_first"]
    return level >= contract.stop if is_first else level > contract.stop


def _move(contract: Contract, state: _State, dt: np.ndarray, dw: np.ndarray, k: int, is_last: bool = False) -> None:
    """One Brownian segment of every path: what of it reaches the nearest level, or is past it since it has moved.

    How likely the last one is to do so is known without its end, at which only the weight is needed that pays then.
    """
    law = contract.task.law
    y = state.z + contract.e * (law["log_drift"] * dt + law["sigma"] * dw)
    if contract.watches[k]:
        nearest = np.maximum(state.level, contract.stop)
        before, behind = np.maximum(state.z - nearest, 0.0), np.maximum(y - nearest, 0.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            p = np.exp(-2.0 / law["sigma"] ** 2 * before * behind / dt) if law["sigma"] > 0 else np.zeros(len(y))
        stays = 1.0 - np.where((before > 0.0) & (behind > 0.0), p, 1.0)
        if is_last and law["sigma"] > 0:
            reached = state.weight * _passage(before, dt, -contract.e * law["log_drift"], law["sigma"])
        else:
            reached = state.weight * (1.0 - stays)
        if np.isinf(contract.stop):
            state.liquidation += reached
        else:
            is_liquidation = _is_liquidation(contract, state.level)
            state.liquidation += reached * is_liquidation
            state.stop += reached * ~is_liquidation
        state.weight = state.weight * stays
    state.z = y
    if law["correlation"] and contract.has_premium:
        to = state.time + dt - contract.stamp_times[contract.stamp[k]]
        xi, reversion = law["premium_vol"] * math.sqrt(2.0 * law["reversion"]), law["reversion"]
        covariance = law["correlation"] * xi / reversion * (np.exp(reversion * to) - np.exp(reversion * (to - dt)))
        length = np.maximum(dt, 1e-30)
        state.shift = state.shift + covariance * dw / length
        state.known = state.known + covariance**2 / length


def _passage(before: np.ndarray, dt: np.ndarray, drift: float, sigma: float) -> np.ndarray:
    """Probability that a Brownian motion that drifts towards a level gets there."""
    root = sigma * np.sqrt(np.maximum(dt, _SMALLEST))
    direct, reflected = gbm.passage_terms(before / root, drift * dt / root)
    return np.where(before > 0.0, direct + reflected, 1.0)


def _jump(contract: Contract, state: _State, u: np.ndarray, is_watched: bool) -> None:
    """A jump of every path: what of it lands beyond a level, and one that does not."""
    sizes = _Sizes(contract.task.law, contract.e)
    if not is_watched:
        state.z = state.z + sizes.at(u)
        return
    to_level, to_stop = state.level - state.z, contract.stop - state.z
    beyond_level, beyond_stop = sizes.below(to_level), sizes.below(to_stop)
    beyond = np.maximum(beyond_level, beyond_stop)
    if contract.task.rules["liquidation_first"]:
        state.liquidation += state.weight * beyond_level
        state.stop += state.weight * (beyond - beyond_level)
    else:
        state.stop += state.weight * beyond_stop
        state.liquidation += state.weight * (beyond - beyond_stop)
    stays = sizes.above(np.maximum(to_level, to_stop))
    state.weight = state.weight * stays
    state.z = state.z + sizes.at(u * stays)


class _Sizes:
    """The law of a jump's size, seen from a side."""

    def __init__(self, law: Any, e: float) -> None:
        self.is_normal = law["jump_law"] == NORMAL_JUMPS
        self.mean, self.std = e * law["jump_mean"], max(law["jump_std"], _SMALLEST)
        self.p_up = law["p_up"] if e > 0 else 1.0 - law["p_up"]
        self.up, self.down = law["mean_up"], law["mean_down"]
        if e < 0:
            self.up, self.down = self.down, self.up

    def below(self, y: np.ndarray) -> np.ndarray:
        """Probability of a size not above ``y``."""
        with np.errstate(over="ignore", under="ignore"):
            if self.is_normal:
                return np.asarray(ndtr((y - self.mean) / self.std))
            falls = (1.0 - self.p_up) * np.exp(np.minimum(y, 0.0) / self.down)
            return np.asarray(np.where(y < 0.0, falls, 1.0 - self.p_up * np.exp(-np.maximum(y, 0.0) / self.up)))

    def above(self, y: np.ndarray) -> np.ndarray:
        """Probability of a size above ``y``."""
        with np.errstate(over="ignore", under="ignore"):
            if self.is_normal:
                return np.asarray(ndtr((self.mean - y) / self.std))
            falls = (1.0 - self.p_up) * np.exp(np.minimum(y, 0.0) / self.down)
            return np.asarray(np.where(y < 0.0, 1.0 - falls, self.p_up * np.exp(-np.maximum(y, 0.0) / self.up)))

    def at(self, p: np.ndarray) -> np.ndarray:
        """Size that is exceeded with probability ``p``."""
        p = np.maximum(p, _SMALLEST)
        if self.is_normal:
            return np.asarray(self.mean - self.std * ndtri(p))
        rises = -self.up * np.log(p / max(self.p_up, _SMALLEST))
        falls = self.down * np.log(np.maximum(1.0 - p, 1e-17) / max(1.0 - self.p_up, _SMALLEST))
        return np.where(p <= self.p_up, rises, falls)


def _land(contract: Contract, state: _State) -> None:
    """The venue looks at prices that stand where they are."""
    is_short, is_stopped = state.z <= state.level, state.z <= contract.stop
    if contract.task.rules["liquidation_first"]:
        is_stopped &= ~is_short
    else:
        is_short &= ~is_stopped
    state.liquidation += state.weight * is_short
    state.stop += state.weight * is_stopped
    state.weight = np.where(is_short | is_stopped, 0.0, state.weight)


def _arrive(contract: Contract, state: _State, normals: np.ndarray, k: int) -> None:
    """The end of an interval: a look, what is paid, and the level that follows from it."""
    if contract.checks[k]:
        _land(contract, state)
    if contract.pays[k] > 0:
        _pay(contract, state, normals, k)
    if contract.settles[k]:
        state.paid = state.paid + state.accrued
        state.accrued = np.zeros(len(state.accrued))
    if contract.charge[k]:
        state.paid = state.paid + contract.charge[k]
        state.funding += state.weight * contract.charge[k]
    if k + 1 < len(contract.end):
        state.level = contract.liquidation_level(int(contract.requirement[k + 1]), state.paid)


def _pay(contract: Contract, state: _State, normals: np.ndarray, k: int) -> None:
    """A funding stamp: the premium moves there, the rate follows from it, longs pay shorts."""
    law, rules, stamp = contract.task.law, contract.task.rules, int(contract.stamp[k])
    times = np.append(0.0, contract.stamp_times)
    decay = math.exp(-law["reversion"] * float(times[stamp + 1] - times[stamp]))
    premium = law["premium_mean"] + (state.premium - law["premium_mean"]) * decay
    if contract.has_premium:
        variance = law["premium_vol"] ** 2 * (1.0 - decay**2) - state.known
        premium += state.shift + np.sqrt(np.maximum(variance, 0.0)) * normals[stamp, state.who]
        state.shift, state.known = np.zeros(len(premium)), np.zeros(len(premium))
    state.premium = premium
    last, clamp = state.rate, rules["clamp"]
    rate = contract.pays[k] * rules["scale"] * (premium + np.clip(rules["interest"] - premium, -clamp, clamp))
    rate = (1.0 - rules["smoothing"]) * rate + rules["smoothing"] * last
    rate = np.clip(rate, last - rules["change_cap"], last + rules["change_cap"])
    state.rate = np.clip(rate, -rules["cap"], rules["cap"])
    amount = contract.e * state.rate
    if rules["paid_on"] != _ON_ENTRY:
        amount *= np.exp(contract.direction * state.z)
    if rules["paid_on"] == _ON_INDEX:
        amount *= (1.0 + premium) ** -contract.turn
    state.funding += state.weight * amount
    if rules["defers"]:
        state.accrued = state.accrued + amount
    else:
        state.paid = state.paid + amount
