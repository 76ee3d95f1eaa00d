"""The kernel's twin: one path at a time, one cell at a time, in plain Python on the same random numbers.

It shares the numbers of a :class:`liqsim.engine.plan.Pass` with the kernel and nothing else: it draws the path first,
then walks it once for every cell and applies the margin rules in terms of equity, without staircase, records or
levels in common. Tests hold the two together path by path.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from liqsim.engine.plan import Pass

__all__ = ["CellOutcome", "Path", "cell_outcome", "philox4x32", "simulate_path"]

_MASK = 0xFFFFFFFF
_SEGMENT, _JUMP = 0, 1
_ON_ENTRY, _ON_MARK, _ON_INDEX = range(3)


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 of Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def _uniform(integer: int, bits: int) -> float:
    return (integer + 0.5) / 2**bits


@dataclass(frozen=True)
class Segment:
    """A Brownian stretch from ``(t, x)`` to ``(t + dt, y)`` and its extremes; funding paid so far is ``cost``."""

    t: float
    x: float
    dt: float
    y: float
    low: float
    high: float
    cost: float


@dataclass(frozen=True)
class Instant:
    """A moment at which the price is looked at: a jump's landing, a funding payment, a check or a horizon."""

    kind: Literal["jump", "payment", "check", "horizon"]
    t: float
    x: float
    cost: float


@dataclass(frozen=True)
class Path:
    """What happened on one path, in order."""

    events: list[Segment | Instant]


@dataclass(frozen=True)
class CellOutcome:
    """How one cell ended on one path; amounts per entry notional, time in years."""

    outcome: Literal["liquidated", "stopped", "survived"]
    time: float
    funding_cost: float
    fees: float
    pnl: float
    shortfall: float
    engine_kept: float
    price_pnl: float


def simulate_path(task: Pass, path: int) -> Path:
    """Draw one path.

    Parameters
    ----------
    task : Pass
    path : int
        Path number.
    """
    law, rules, arrays = task.law, task.rules, task.arrays
    key, words = rules["key"], (path & _MASK, path >> 32)

    def draw(interval: int, purpose: int, index: int) -> tuple[int, int, int, int]:
        return philox4x32((index, interval | purpose << 28, *words), key)

    def two_exponentials(w: tuple[int, int, int, int]) -> tuple[float, float]:
        total = -math.log(_uniform(w[0], 32) * _uniform(w[1], 32))
        first = total * _uniform(w[2], 32)
        return first, total - first

    sigma, drift = law["sigma"], law["log_drift"]
    x, cost, rate, premium = 0.0, 0.0, rules["first_rate"], law["premium_start"]
    next_jump = two_exponentials(draw(0, _JUMP, _MASK))[0] * law["mean_gap"] if law["jump_law"] else math.inf
    events: list[Segment | Instant] = []
    instants = arrays["instant"].tolist()
    for k, (t, end) in enumerate(itertools.pairwise(instants)):
        if k > 0 and arrays["pays"][k - 1]:
            events.append(Instant("payment", t, x, cost))
        index, shift, known = 0, 0.0, 0.0
        while True:
            w = draw(k, _SEGMENT, index)
            radial, bridge = two_exponentials(w)
            radius = math.sqrt(2.0 * radial)
            theta = _uniform(w[3] & 0x1FFFFFFF, 29) * math.pi / 4
            z1, z2 = radius * math.sin(theta), radius * math.cos(theta)
            if w[3] & 0x20000000:
                z1, z2 = z2, z1
            z1 = -z1 if w[3] & 0x40000000 else z1
            z2 = -z2 if w[3] & 0x80000000 else z2
            dt = min(next_jump, end) - t
            y = x + drift * dt + sigma * math.sqrt(dt) * z1
            half = math.sqrt((y - x) ** 2 + 2.0 * sigma**2 * dt * bridge)
            events.append(Segment(t, x, dt, y, 0.5 * (x + y - half), 0.5 * (x + y + half), cost))
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
                size *= law["mean_up"] if _uniform(w[3], 32) < law["p_up"] else -law["mean_down"]
            x = y + size
            next_jump = t + wait * law["mean_gap"]
            events.append(Instant("jump", t, x, cost))
            index += 1
        if arrays["checks"][k]:
            events.append(Instant("check", end, x, cost))
        if law["premium_vol"] > 0 or law["premium_start"] != law["premium_mean"]:
            decay = math.exp(-law["reversion"] * (end - instants[k]))
            variance = law["premium_vol"] ** 2 * (1 - decay**2) - known
            premium = law["premium_mean"] + (premium - law["premium_mean"]) * decay
            premium += shift + math.sqrt(max(variance, 0.0)) * z2
        if arrays["pays"][k]:
            rate = _funding_rate(rules, premium, rate)
            cost += rate * _paid_value(rules, x, premium)
        if arrays["horizon"][k] >= 0:
            events.append(Instant("horizon", end, x, cost))
    return Path(events)


def _funding_rate(rules: dict, premium: float, previous: float) -> float:
    rate = rules["scale"] * (premium + min(max(rules["interest"] - premium, -rules["clamp"]), rules["clamp"]))
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


def cell_outcome(task: Pass, path: Path, side: int, row: int, column: int, horizon: int) -> CellOutcome:
    """Walk one path with one position.

    Parameters
    ----------
    task : Pass
    path : Path
    side : int
        0 long, 1 short.
    row, column, horizon : int
        Leverage, stop and horizon in the kernel's order.
    """
    rules, margin = task.rules, float(task.arrays["margin"][row])
    e = 1 - 2 * side
    turn = -1 if rules["inverse"] else 1
    stop = float(task.arrays["stop_short" if side else "stop_long"][column])
    lines = rules["lines"][side]
    sigma = max(task.law["sigma"], 1e-9)

    def equity(x: float, cost: float) -> float:
        return margin + e * turn * math.expm1(turn * x) - e * cost

    def is_below_maintenance(x: float, cost: float) -> bool:
        return equity(x, cost) <= max(alpha * math.exp(turn * x) + beta for alpha, beta in lines)

    def liquidation_level(cost: float) -> float:
        low, high = -690.0, 690.0
        if not is_below_maintenance(-e * 690.0, cost):
            return -e * math.inf
        for _ in range(64):
            middle = 0.5 * (low + high)
            if is_below_maintenance(middle, cost) == (e > 0):
                low = middle
            else:
                high = middle
        return 0.5 * (low + high)

    def closed(outcome: Literal["stopped", "survived"], t: float, x: float, cost: float, limit: float) -> CellOutcome:
        price_pnl = e * turn * math.expm1(turn * x)
        fees = rules["entry_fee"] + rules["exit_fee"] * math.exp(turn * x) + rules["exit_money"]
        pnl = price_pnl - e * cost - fees
        worst = -limit - rules["entry_fee"]
        return CellOutcome(outcome, t, e * cost, fees, max(pnl, worst), max(worst - pnl, 0.0), 0.0, price_pnl)

    def liquidated(t: float, x: float, cost: float) -> CellOutcome:
        left = equity(x, cost)
        return CellOutcome(
            "liquidated", t, e * cost, rules["entry_fee"], -margin - rules["entry_fee"], max(-left, 0.0),
            max(left, 0.0), e * turn * math.expm1(turn * x),
        )  # fmt: skip

    seen = -1
    cost, level = math.nan, math.nan
    for event in path.events:
        if event.cost != cost:
            cost, level = event.cost, liquidation_level(event.cost)
        if isinstance(event, Segment):
            extreme = event.low if e > 0 else event.high
            nearest = max(e * level, e * stop)
            if not rules["continuous"] or e * extreme > nearest:
                continue
            before, after = max(e * event.x - nearest, 0.0), abs(event.y - e * nearest)
            root = math.sqrt(event.dt) / sigma
            t = event.t + before * root * _mills((before + after) / event.dt * root)
            if e * level >= e * stop if rules["liquidation_first"] else e * level > e * stop:
                return liquidated(t, level, cost)
            return closed("stopped", t, stop, cost, math.inf)
        if event.kind == "horizon":
            seen += 1
            if seen == horizon:
                return closed("survived", event.t, event.x, cost, math.inf)
            continue
        if rules["continuous"] == (event.kind == "check"):
            continue
        is_liquidated, is_stopped = is_below_maintenance(event.x, cost), e * event.x <= e * stop
        if is_liquidated and (rules["liquidation_first"] or not is_stopped):
            return liquidated(event.t, event.x, cost)
        if is_stopped:
            return closed("stopped", event.t, event.x, cost, margin if is_liquidated else math.inf)
    raise AssertionError("a path always reaches its horizon")


def _mills(z: float) -> float:
    """Mills ratio of the standard normal law."""
    from scipy.special import erfcx

    return math.sqrt(math.pi / 2) * float(erfcx(z / math.sqrt(2)))
