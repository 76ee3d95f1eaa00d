"""Random numbers and one path: segments, jumps, payments and the instants at which a venue looks."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from liqsim.engine.plan import Pass

__all__ = ["Instant", "Path", "Payment", "Segment", "philox4x32", "simulate_path", "uniform"]

MASK = 0xFFFFFFFF
_SEGMENT, _JUMP = range(2)
_ON_ENTRY, _ON_MARK, _ON_INDEX = range(3)


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 of Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def uniform(integer: int, bits: int) -> float:
    """The middle of the interval that a ``bits``-bit integer stands for."""
    return (integer + 0.5) / 2**bits


@dataclass(frozen=True)
class Segment:
    """A Brownian stretch from ``(t, x)`` to ``(t + dt, y)`` and its extremes, number ``index`` of interval ``k``."""

    k: int
    index: int
    t: float
    x: float
    dt: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Instant:
    """A moment at which something may happen at log price ``x``.

    ``jump``: it has landed there; ``visit``: the venue looks of its own accord; ``look``: cash or requirement has
    changed; ``check``: a discrete look; ``test``: margin is tested or a call falls due; ``horizon``.
    """

    kind: Literal["jump", "visit", "look", "check", "test", "horizon"]
    k: int
    t: float
    x: float


@dataclass(frozen=True)
class Payment:
    """What is paid per whole position: funding by longs to shorts, cash at once or at a settlement; charges by both."""

    funding: float
    settles: bool
    charge: tuple[float, float]


@dataclass(frozen=True)
class Path:
    """What happened on one path, in order."""

    number: int
    events: list[Segment | Instant | Payment]


def simulate_path(task: Pass, path: int) -> Path:
    """Draw one path.

    Parameters
    ----------
    task : Pass
    path : int
        Path number.
    """
    law, rules, arrays = task.law, task.rules, task.arrays
    key, words = rules["key"], (path & MASK, path >> 32)

    def draw(interval: int, purpose: int, index: int) -> tuple[int, int, int, int]:
        return philox4x32((index, interval | purpose << 28, *words), key)

    def two_exponentials(w: tuple[int, int, int, int]) -> tuple[float, float]:
        total = -math.log(uniform(w[0], 32) * uniform(w[1], 32))
        first = total * uniform(w[2], 32)
        return first, total - first

    sigma, drift = law["sigma"], law["log_drift"]
    x, rate, premium = 0.0, rules["first_rate"], law["premium_start"]
    next_jump = two_exponentials(draw(0, _JUMP, MASK))[0] * law["mean_gap"] if law["jump_law"] else math.inf
    charges = (arrays["charge_long"].tolist(), arrays["charge_short"].tolist())
    events: list[Segment | Instant | Payment] = [Payment(0.0, False, (charges[0][0], charges[1][0]))]
    instants = arrays["instant"].tolist()
    for k, (t, end) in enumerate(itertools.pairwise(instants)):
        if arrays["watches"][k] and arrays["retests"][k]:
            events.append(Instant("look", k, t, x))
        index, shift, known = 0, 0.0, 0.0
        while True:
            w = draw(k, _SEGMENT, index)
            radial, bridge = two_exponentials(w)
            radius = math.sqrt(2.0 * radial)
            theta = uniform(w[3] & 0x1FFFFFFF, 29) * math.pi / 4
            z1, z2 = radius * math.sin(theta), radius * math.cos(theta)
            if w[3] & 0x20000000:
                z1, z2 = z2, z1
            z1 = -z1 if w[3] & 0x40000000 else z1
            z2 = -z2 if w[3] & 0x80000000 else z2
            dt = min(next_jump, end) - t
            y = x + drift * dt + sigma * math.sqrt(dt) * z1
            half = math.sqrt((y - x) ** 2 + 2.0 * sigma**2 * dt * bridge)
            events.append(Segment(k, index, t, x, dt, y, 0.5 * (x + y - half), 0.5 * (x + y + half)))
            if law["correlation"] and dt > 0:
                xi, reversion = law["premium_vol"] * math.sqrt(2 * law["reversion"]), law["reversion"]
                covariance = (
                    law["correlation"]
                    * xi
                    / reversion
                    * (math.exp(reversion * (t + dt - end)) - math.exp(reversion * (t - end)))
                )
                shift += covariance * z1 / math.sqrt(dt)
                known += covariance**2 / dt
            if next_jump >= end:
                x = y
                break
            t = next_jump
            w = draw(k, _JUMP, index)
            wait, size = two_exponentials(w)
            if law["jump_law"] == 1:
                size = law["jump_mean"] + law["jump_std"] * z2
            else:
                p_up = law["visit_share"] + (1.0 - law["visit_share"]) * law["p_up"]
                size *= law["mean_up"] if uniform(w[3], 32) < p_up else -law["mean_down"]
            is_visit = uniform(w[3], 32) < law["visit_share"]
            x = y if is_visit else y + size
            next_jump = t + wait * law["mean_gap"]
            events.append(Instant("visit" if is_visit else "jump", k, t, x))
            index += 1
        if arrays["checks"][k]:
            events.append(Instant("check", k, end, x))
        if arrays["calls"][k]:
            events.append(Instant("test", k, end, x))
        if law["premium_vol"] > 0 or law["premium_start"] != law["premium_mean"]:
            decay = math.exp(-law["reversion"] * (end - instants[k]))
            variance = law["premium_vol"] ** 2 * (1 - decay**2) - known
            premium = law["premium_mean"] + (premium - law["premium_mean"]) * decay
            premium += shift + math.sqrt(max(variance, 0.0)) * z2
        funding = 0.0
        if arrays["pays"][k]:
            rate = _funding_rate(rules, premium, rate, arrays["pays"][k])
            funding = rate * _paid_value(rules, x, premium)
        settles = bool(arrays["settles"][k]) or not rules["defers"]
        events.append(Payment(funding, settles, (charges[0][k + 1], charges[1][k + 1])))
        if arrays["horizon"][k] >= 0:
            events.append(Instant("horizon", k, end, x))
    return Path(path, events)


def _funding_rate(rules: dict, premium: float, previous: float, weight: float) -> float:
    rate = weight * rules["scale"] * (premium + min(max(rules["interest"] - premium, -rules["clamp"]), rules["clamp"]))
    rate = (1 - rules["smoothing"]) * rate + rules["smoothing"] * previous
    rate = min(max(rate, previous - rules["change_cap"]), previous + rules["change_cap"])
    return min(max(rate, -rules["cap"]), rules["cap"])


def _paid_value(rules: dict, x: float, premium: float) -> float:
    if rules["paid_on"] == _ON_ENTRY:
        return 1.0
    value = math.exp(-x) if rules["inverse"] else math.exp(x)
    if rules["paid_on"] == _ON_MARK:
        return value
    return value * (1 + premium) if rules["inverse"] else value / (1 + premium)
