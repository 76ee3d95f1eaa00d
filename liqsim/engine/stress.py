"""A pass with the venue's requirement or payments scaled, for derivatives with respect to them."""

from __future__ import annotations

import dataclasses

from liqsim.engine.plan import Pass

__all__ = ["scaled_funding", "scaled_requirement"]


def scaled_requirement(task: Pass, factor: float) -> Pass:
    """The same pass with every maintenance requirement times ``factor``, reserved fees included."""

    def scaled(tiers: dict) -> dict:
        lines = [(alpha * factor, beta * factor) for alpha, beta in tiers["lines"]]
        out = {**tiers, "lines": lines, "slope": tiers["slope"] * factor, "fee": tiers["fee"] * factor}
        return out | {name: [x * factor for x in tiers[name]] for name in ("rates", "deductions")}

    sets = [[scaled(side) for side in pair] for pair in task.rules["tiers"]]
    return dataclasses.replace(task, rules={**task.rules, "tiers": sets})


def scaled_funding(task: Pass, factor: float) -> Pass:
    """The same pass with every funding rate, interest payment and roll cost times ``factor``.

    The rate is made of premium and interest, scaled, smoothed and capped: it is ``factor`` times what it was once
    scale, caps and the rate at entry are.
    """
    rules = {name: task.rules[name] * factor for name in ("scale", "cap", "change_cap", "first_rate")}
    charges = {name: task.arrays[name] * factor for name in ("charge_long", "charge_short")}
    return dataclasses.replace(task, rules={**task.rules, **rules}, arrays={**task.arrays, **charges})
