"""One path walked with one position."""

from __future__ import annotations

import math

from liqsim.engine.plan import Pass
from liqsim.engine.terms import TAKE_OVER
from liqsim.reference.paths import MASK, Path, Payment, Segment, philox4x32, uniform
from liqsim.reference.position import CellOutcome, Position

__all__ = ["cell_outcome"]

_PASSAGE = 2


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
    rules, arrays = task.rules, task.arrays
    position = Position(task, path, side, row, column)
    e, stop = position.e, position.stop
    sigma = max(task.law["sigma"], 1e-9)
    seen = -1
    for event in path.events:
        if isinstance(event, Payment):
            position.pay(event)
            continue
        tiers = rules["tiers"][int(arrays["set_of"][event.k])][side]
        if isinstance(event, Segment):
            if not arrays["watches"][event.k]:
                continue
            extreme = event.low if e > 0 else event.high
            here = event.x
            while True:
                level = position.held_level(tiers, event.k, here)
                nearest = max(e * level, e * stop)
                if e * extreme > nearest:
                    break
                here = e * nearest
                before, behind = max(e * event.x - nearest, 0.0), abs(event.y - here)
                t = event.t
                if event.dt > 0:
                    root = math.sqrt(event.dt) / sigma
                    t += before * root * _mills((before + behind) / event.dt * root)
                if not (e * level >= e * stop if rules["liquidation_first"] else e * level > e * stop):
                    return position.end("stopped", t, stop)
                if not task.carries:
                    return _whole_liquidation(position, t, level)
                position.act(tiers, position.ratio(level), _acting_time(position, event, level, sigma, t))
                position.acted_level, position.held = level, None
                if position.q == 0.0:
                    return position.end("liquidated", t, level)
            continue
        w = position.ratio(event.x)
        if event.kind == "horizon":
            seen += 1
            if seen == horizon:
                return position.end("survived", event.t, event.x)
            continue
        if event.kind == "jump" and not arrays["watches"][event.k]:
            continue
        if event.kind == "test":
            position.test(event.k, w)
        elif event.kind == "visit":
            if position.falls_short(rules["tiers"][rules["occasion"] + int(arrays["set_of"][event.k])][side], w):
                if not task.carries:
                    return _whole_liquidation(position, event.t, event.x)
                if rules["procedure"]["kind"] == TAKE_OVER:
                    position.take_over(w)
                else:
                    position.close_out(w)
        else:
            is_short = e * event.x <= e * position.held_level(tiers, event.k, event.x)
            is_stopped = e * event.x <= e * stop
            if is_short and (rules["liquidation_first"] or not is_stopped):
                if not task.carries:
                    return _whole_liquidation(position, event.t, event.x)
                position.act(tiers, w, event.t)
                position.acted_level, position.held = event.x, None
                is_short = False
            if is_stopped and position.q > 0.0:
                return position.end("stopped", event.t, event.x, position.margin if is_short else math.inf)
        if position.q == 0.0:
            return position.end("liquidated", event.t, event.x)
    raise AssertionError("a path always reaches its horizon")


def _whole_liquidation(position: Position, t: float, x: float) -> CellOutcome:
    """The venue closes a whole position, and nothing of it lives on."""
    if position.rules["returns_rest"]:
        position.close_out(position.ratio(x))
    else:
        position.take_over(position.ratio(x))
    return position.end("liquidated", t, x)


def _acting_time(position: Position, segment: Segment, level: float, sigma: float, usual: float) -> float:
    """When the segment reaches the level: drawn where a cooldown asks for it, otherwise the mean."""
    if position.rules["procedure"]["cooldown"] <= 0:
        return usual
    t, x = segment.t, segment.x
    if position.acted_at > segment.t:
        t, x = position.acted_at, position.acted_level
    n = position.acts[2] if position.acts[0] == segment.k else 0
    position.acts = (segment.k, segment.index, n + 1)
    before, behind, dt = abs(x - level), abs(segment.y - level), segment.t + segment.dt - t
    if before <= 0 or dt <= 0:
        return t
    number = position.path.number
    counter = (segment.index * 64 + min(n, 63), segment.k | _PASSAGE << 28, number & MASK, number >> 32)
    words = philox4x32(counter, position.rules["key"])
    square = math.cos(uniform(words[3] & 0x1FFFFFFF, 29) * math.pi / 4) ** 2
    square = -2 * math.log(uniform(words[0], 32)) * (square if words[3] & 0x20000000 else 1 - square)
    if behind < 1e-12 * before:
        u = before**2 / (sigma**2 * max(square, 1e-300))
    else:
        mean = before * dt / behind
        ratio = 0.5 * square * mean * sigma**2 / before**2
        u = mean / (1 + ratio + math.sqrt(2 * ratio + ratio**2))
        if uniform(words[1], 32) * (mean + u) > mean:
            u = mean**2 / u
    return t + dt * u / (dt + u)


def _mills(z: float) -> float:
    """Mills ratio of the standard normal law."""
    from scipy.special import erfcx

    return math.sqrt(math.pi / 2) * float(erfcx(z / math.sqrt(2)))
