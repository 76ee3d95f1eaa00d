"""A venue's rules as the numbers a kernel takes: requirement, liquidation procedure, funding, fees."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from liqsim.errors import MarginRuleError, ParameterError
from liqsim.venues import BasisCarry, FixedFunding, FlatLeverage, PremiumFunding, Rollover, Venue
from liqsim.venues.margin import Requirement, Terms

__all__ = [
    "CALL",
    "CUT",
    "CUT_TIERS",
    "SELL",
    "SMALL_ROUND",
    "STEPS",
    "TAKE_OVER",
    "fee_terms",
    "funding_terms",
    "liquidation_terms",
    "requirement_terms",
    "visits_per_year",
]

# Share of the entry position that one round closes where a venue cuts in rounds of a size that nobody stated: small
# enough to stop soon after the requirement is met again.
SMALL_ROUND = 0.05

_MOST_LINES = 64
_MOST_TIERS = 256
_MOST_STATES = 4
_LARGEST_RATIO = 10.0  # of a position's size to its size at entry: tiers beyond are left out
_PAID_ON = {"entry": 0, "mark": 1, "index": 2}
SELL, TAKE_OVER, CUT, CUT_TIERS, CALL = range(5)
_KINDS = {
    "takeover": TAKE_OVER, "zero-equity-order": SELL, "market": SELL, "discretionary": SELL,
    "incremental": CUT, "tier-down": CUT_TIERS, "margin-call": CALL,
}  # fmt: skip
NEVER, CONVEX, ONE_RATE, STEPS = range(4)


def fee_terms(venue: Venue, price: float) -> dict[str, float]:
    """Entry and exit fees per entry notional: a share of the value then, and money whatever the price."""
    entry = float(venue.fees.rate("taker", venue.contract, price))
    share = entry if venue.contract.is_inverse else float(venue.fees.taker or 0.0)
    return {"entry_fee": entry, "exit_fee": share, "exit_money": entry - share}


def funding_terms(venue: Venue | None, premium_start: float) -> dict[str, Any]:
    """The funding rate's formula; see :class:`liqsim.venues.PremiumFunding`."""
    terms: dict[str, Any] = {
        "scale": 1.0, "interest": 0.0, "clamp": 0.0, "cap": math.inf, "smoothing": 0.0, "change_cap": math.inf,
        "first_rate": 0.0, "paid_on": 0, "defers": False,
    }  # fmt: skip
    rule = venue.funding if venue is not None else None
    if rule is None or isinstance(rule, Rollover):  # a rollover is a charge: see the timeline
        return terms
    terms["paid_on"] = _PAID_ON[rule.notional]
    terms["defers"] = rule.settlement is not None
    if isinstance(rule, (FixedFunding, BasisCarry)):
        rate = float(rule.rates(0.0))
        return terms | {"interest": rate, "clamp": math.inf, "first_rate": rate}
    assert isinstance(rule, PremiumFunding)
    for name in ("scale", "interest", "clamp", "cap", "smoothing", "change_cap"):
        terms[name] = getattr(rule, name)
    steady = dataclasses.replace(rule, smoothing=0.0, change_cap=math.inf)
    terms["first_rate"] = float(steady.rates(premium_start))
    return terms


def _requirement(venue: Venue, notional: float, price: float, side: str, window: str | None) -> Requirement:
    contract, schedule = venue.contract, venue.margin
    quantity = contract.quantity(notional, price)
    size = contract.size(quantity, price, schedule.unit)
    # a requirement that is a share of the margin posted is counted per unit of margin: see `per_margin`
    terms = Terms(side, 1.0 if isinstance(schedule, FlatLeverage) else None, window)
    return schedule.requirement(size, contract.value(quantity, price), contract.size_moves(schedule.unit), terms)


def _tiers(venue: Venue, need: Requirement, factor: float | None) -> dict[str, Any]:
    """A requirement times ``factor`` as plain numbers; None: nobody looks at it."""
    largest = _LARGEST_RATIO if need.size_moves else 1.0
    n = min(int(np.sum(need.caps[:-1] < largest)) + 1, len(need.caps))
    if n > _MOST_TIERS:
        raise MarginRuleError(
            f"the requirement of {venue.label} has {n} tiers up to this position's size, more than the {_MOST_TIERS} "
            "that can be simulated; make the position smaller or merge tiers"
        )
    times = 0.0 if factor is None else factor
    scaled = dataclasses.replace(
        need,
        caps=np.append(need.caps[: n - 1], np.inf),
        rates=need.rates[:n] * times,
        deductions=need.deductions[:n] * times,
        slope=need.slope * times,
        closing_fee_rate=need.closing_fee_rate * times,
    )
    per_margin = isinstance(venue.margin, FlatLeverage)
    if per_margin and np.max(scaled.rates) >= venue.counted_share:  # less leverage would be closed before more
        raise ParameterError(
            f"venue={venue.label}: an equity of {np.max(scaled.rates):g} times the used margin is asked for, all that "
            "was posted and counts or more, which cannot be simulated; keep call_level and liquidation_level, times "
            f"margin_changes, below {venue.counted_share:g}"
        )
    lines: list[tuple[float, float]] = []
    pieces = scaled.pieces()
    if factor is None:
        form = NEVER
    elif not per_margin and len(pieces.c0) <= _MOST_LINES and pieces.is_convex():
        form = CONVEX
        alpha, beta = pieces.lines(venue.label)
        lines = list(zip(alpha.tolist(), beta.tolist(), strict=True))
    else:
        form = ONE_RATE if n == 1 else STEPS
    return {
        "form": form,
        "on_mark": scaled.on_mark,
        "size_moves": scaled.size_moves,
        "per_margin": per_margin,
        "caps": scaled.caps.tolist(),
        "rates": scaled.rates.tolist(),
        "deductions": scaled.deductions.tolist(),
        "slope": float(scaled.slope),
        "fee": scaled.closing_fee_rate,
        "lines": lines,
    } | ({} if venue.collateral_haircut is None else {"coin": 1.0, "haircut": venue.collateral_haircut})


def _changed(need: Requirement, factor: float) -> Requirement:
    """A requirement that the venue has changed; the closing fee reserved with it stays."""
    scaled = {name: getattr(need, name) * factor for name in ("rates", "deductions", "slope")}
    return dataclasses.replace(need, **scaled)


def requirement_terms(
    venue: Venue, notional: float, price: float, sides: Sequence[str], states: Sequence[tuple[str, float]]
) -> dict[str, Any]:
    """Maintenance requirements, a set for each state of the rules and one for occasional looks in it.

    Parameters
    ----------
    venue : Venue
    notional, price : float
    sides : sequence of str
        Sides that are simulated; the other's requirement is nothing.
    states : sequence of (str, float)
        Margin windows that come to hold, an empty name where rates do not change with the time of day, and what the
        requirement is multiplied by then.

    Returns
    -------
    dict
        ``tiers``: for every set, the requirement of longs and shorts. ``occasion``: the first of the sets used at
        margin tests and discretionary looks, which stand in the order of the others. ``coin``: 1 where margin is posted
        in the coin itself.
    """
    procedure = venue.liquidation
    continuous: float | None = 1.0
    occasional: float | None = None
    if venue.margin_times is not None:
        continuous, occasional = procedure.immediate_below, 1.0
    elif procedure.procedure == "discretionary" and isinstance(venue.margin, FlatLeverage):
        occasional = venue.margin.call_level / venue.margin.liquidation_level
    nothing = Requirement(
        caps=np.array([np.inf]), rates=np.zeros(1), deductions=np.zeros(1), slope=np.zeros(()),
        on_mark=True, size_moves=False, closing_fee_rate=0.0,
    )  # fmt: skip
    needs = [
        [
            _changed(_requirement(venue, notional, price, side, window or None), factor) if side in sides else nothing
            for side in ("long", "short")
        ]
        for window, factor in states
    ]
    if len({window for window, _ in states}) > 1 and occasional is not None:
        raise ParameterError(
            f"venue={venue.label}: margin that is tested at margin_times under rates that change with the time of day "
            "cannot be simulated; leave one of them out with dataclasses.replace"
        )
    if len(states) > _MOST_STATES:
        raise ParameterError(
            f"venue={venue.label} has {len(states)} requirements that take turns, by margin windows and "
            f"margin_changes, more than the {_MOST_STATES} that can be simulated; leave some changes out"
        )
    sets = [[_tiers(venue, need, share) for need in pair] for share in (continuous, occasional) for pair in needs]
    return {"tiers": sets, "occasion": len(states)} | ({} if venue.collateral_haircut is None else {"coin": 1.0})


def liquidation_terms(venue: Venue, notional: float, price: float, top_up: float) -> dict[str, Any]:
    """The liquidation procedure.

    Returns
    -------
    dict
        ``procedure``: its numbers; ``returns_rest``, ``client_pays``; ``carries``: whether positions live on after the
        venue has acted on them, so that they need the evaluator that carries each by itself.
    """
    rule, contract, schedule = venue.liquidation, venue.contract, venue.margin
    kind = _KINDS[rule.procedure]
    if venue.margin_times is not None:
        if kind not in (SELL, CALL) or rule.procedure == "discretionary":
            raise ParameterError(
                f"venue={venue.label}: margin_times with procedure {rule.procedure!r} cannot be simulated; use "
                '"margin-call" or "market", or dataclasses.replace(venue, margin_times=None)'
            )
        kind = CALL
    elif kind == CALL:
        if rule.deadline_days != 0.0:
            raise ParameterError(
                f"venue={venue.label}: a margin call with a deadline needs the times at which margin is tested; give "
                'dataclasses.replace(venue, margin_times=DailyTimes(("16:00",), "America/Chicago"))'
            )
        kind = SELL
    if kind == SELL and rule.residual == "none":
        kind = TAKE_OVER
    quantity = contract.quantity(notional, price)
    value = float(contract.value(quantity, price))
    size = contract.size(quantity, price, schedule.unit)
    ratio = 1.0
    if kind == CALL:
        terms = Terms("long")
        need = float(schedule.maintenance(size, terms)) / (value if schedule.unit == "contracts" else float(size))
        ratio = float(schedule.initial_rate(size, value, terms)) / need
    returns_rest = rule.residual != "none" and kind not in (TAKE_OVER, CUT_TIERS)  # tiers end in a take-over
    fee = (rule.fee_rate or 0.0) if rule.residual == "kept-minus-fee" and kind != TAKE_OVER else 0.0
    if kind == CUT_TIERS:
        reach = np.asarray(size) * (_LARGEST_RATIO if contract.size_moves(schedule.unit) else 1.0)
        tier = schedule.tier_index(reach)
        if tier is None or int(tier) + 1 < rule.steps_from_tier:
            kind, fee = TAKE_OVER, 0.0
    # of a fund that is empty from the start nothing has to be followed: it covers nothing of any loss
    carries = kind in (CUT, CUT_TIERS, CALL) or fee > 0.0 or bool(rule.insurance_fund)
    return {
        "returns_rest": returns_rest,
        "client_pays": rule.deficit == "client",
        "carries": carries,
        "procedure": {
            "kind": kind,
            "tiers_per_step": rule.tiers_per_step,
            "steps_from_tier": rule.steps_from_tier,
            "step": SMALL_ROUND if rule.step_fraction is None else rule.step_fraction,
            "threshold": (rule.step_threshold or 0.0) / notional,
            "cooldown": (rule.cooldown or 0.0) / (365.0 * 86_400.0),
            "backstop": rule.backstop_fraction or 0.0,
            "fee": fee,
            "initial_ratio": ratio,
            "top_up": top_up,
            "fund": math.inf if rule.insurance_fund is None else rule.insurance_fund / value,
        },
    }


def visits_per_year(venue: Venue | None) -> float:
    """How often a venue that may liquidate at its discretion looks at an account."""
    if venue is None or venue.liquidation.procedure != "discretionary":
        return 0.0
    return 365.0 * (venue.liquidation.hazard or 0.0)
