"""Rules in plain words: one line for each, so that two venues can be laid side by side."""

from __future__ import annotations

import math

from liqsim.durations import duration_text
from liqsim.venues.clock import WEEKDAYS, Closure, DailyTimes
from liqsim.venues.contract import Contract
from liqsim.venues.funding import BasisCarry, FixedFunding, FundingRule, Rollover
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.margin import MarginSchedule, Terms
from liqsim.venues.schedules import FixedPerContract, FlatLeverage, LinearInSize, WindowedRates
from liqsim.venues.tiers import MarginalTiers, WholePositionTiers
from liqsim.venues.unstated import UnstatedSchedule
from liqsim.venues.venue import Venue

__all__ = ["different_rules", "rules_in_words", "why_in_words"]

NOT_STATED = "n/s"

_PROCEDURES = {
    "takeover": "the engine takes the whole position over at the bankruptcy price",
    "zero-equity-order": "one order for the whole position, limited at the price at which nothing is left",
    "incremental": "cut in rounds until maintenance is covered again",
    "tier-down": "orders cut the position tier by tier; what is still short in the lowest is taken over at bankruptcy",
    "market": "closed by market order",
    "margin-call": "a call for margin, then closed by market order if it is not met",
    "discretionary": "closed at the venue's discretion below the call level, for certain at the liquidation level",
}
_SHAPES = {
    "MarginalTiers": "each rate on its own slice",
    "WholePositionTiers": "one rate on the whole position",
    "FixedPerContract": "money per contract, whatever the price",
}
_RESIDUALS = {
    "none": "nothing",
    "kept": "all that is left",
    "kept-minus-fee": "what is left after the liquidation fee",
}
_DEFICITS = {"venue": "no: the venue's backstops bear it", "client": "yes: the client owes it"}


def percent(rate: float | None) -> str:
    """A fraction in per cent, to six digits."""
    return NOT_STATED if rate is None else f"{100 * rate:.6g} %"


def fee_text(rate: float | None, per_contract: float, quote: str) -> str:
    """A trading fee: its rate, its money per contract, or both."""
    money = f"{per_contract:g} {quote} per contract"
    if per_contract and not rate:
        return money
    return percent(rate) + (f" + {money}" if per_contract else "")


def days_text(weekdays: tuple[str, ...]) -> str:
    """Days of the week, runs of three or more as a range."""
    if weekdays == WEEKDAYS:
        return "every day"
    first, last = WEEKDAYS.index(weekdays[0]), WEEKDAYS.index(weekdays[-1])
    if len(weekdays) > 2 and last - first + 1 == len(weekdays):
        return f"{weekdays[0]} to {weekdays[-1]}"
    return ", ".join(weekdays)


def times_text(times: DailyTimes) -> str:
    """Daily instants, with their zone and days."""
    return f"{', '.join(times.times)} {times.timezone}, {days_text(times.weekdays)}"


def closure_text(closure: Closure) -> str:
    """Hours without trading."""
    days = "weekly" if closure.weekdays is None else days_text(closure.weekdays)
    return f"{closure.start} to {closure.end} {closure.timezone}, {days}"


def _clock(rule: FundingRule) -> str:
    text = f"every {rule.interval}"
    if rule.first is not None:
        text += f", the first after {rule.first}"
    return text + (f", stamps at {rule.anchor} UTC" if rule.anchor is not None else "")


def funding_text(rule: FundingRule | None) -> str:
    """What is paid to hold the position."""
    if rule is None:
        return "none"
    if isinstance(rule, FixedFunding):
        return f"{percent(rule.rate)} {_clock(rule)}, on the {rule.notional} value"
    if isinstance(rule, BasisCarry):
        text = f"basis of {percent(rule.basis)} a year, longs lose it, {_clock(rule)}"
        if rule.roll_interval is not None:
            spread = f" and {percent(rule.roll_cost)}" if rule.roll_cost else ""
            text += f"; rolled every {rule.roll_interval} for two taker fees{spread}"
        return text
    if isinstance(rule, Rollover):
        return (
            f"opening {percent(rule.opening_long)} long, {percent(rule.opening_short)} short, then "
            f"{percent(rule.long_rate)} and {percent(rule.short_rate)} of what is borrowed {_clock(rule)}"
        )
    parts = [_clock(rule)]
    if rule.scale != 1.0:
        parts.append(f"premium / {1.0 / rule.scale:.4g}")
    if rule.interest:
        parts.append(f"interest {percent(rule.interest)} within {percent(rule.clamp)} of the premium")
    elif rule.clamp:
        parts.append(f"dead band {percent(rule.clamp)}")
    if rule.smoothing:
        parts.append(f"{percent(rule.smoothing)} of the rate before")
    if math.isfinite(rule.cap):
        parts.append(f"cap {percent(rule.cap)}")
    if math.isfinite(rule.change_cap):
        parts.append(f"moves at most {percent(rule.change_cap)}")
    return f"{', '.join(parts)}, on the {rule.notional} value"


def _contract(contract: Contract) -> str:
    return f"{contract.kind}, {contract.base} in {contract.quote}, settled in {contract.settlement}"


def _margin(margin: MarginSchedule, contract: Contract) -> tuple[str, str]:
    """Shape of the maintenance margin, and its rates."""
    unit = {"quote": contract.quote, "base": contract.base, "contracts": "contracts"}[margin.unit]
    if isinstance(margin, (MarginalTiers, WholePositionTiers)):
        shape = _SHAPES[type(margin).__name__]
        rows = [
            f"{percent(tier.maintenance_rate)} "
            + (
                f"to {tier.cap:,.10g}"
                if math.isfinite(tier.cap)
                else f"above {tier.floor:,.10g}"
                if k
                else "at any size"
            )
            for k, tier in enumerate(margin.tiers)
        ]
        if len(rows) > 1:
            rows[0] += f" {unit}"
        few = rows if len(rows) <= 4 else [*rows[:3], f"... {rows[-1]} ({len(rows)} tiers)"]
        return f"{shape}, charged on the {margin.charged_on} value", ", ".join(few)
    if isinstance(margin, LinearInSize):
        rates = f"{percent(margin.maintenance_base)} + {percent(margin.slope)} for each {contract.base} held"
        return "one rate that grows with size, on the current value", rates
    if isinstance(margin, FixedPerContract):
        money = f"{margin.maintenance_per_contract:,.10g} {contract.quote} per contract"
        return _SHAPES["FixedPerContract"], money
    if isinstance(margin, FlatLeverage):
        coin = f"; that of a short is fixed in {contract.base}" if margin.shorts_in_base else ""
        levels = f"closed at {percent(margin.liquidation_level)}, called at {percent(margin.call_level)} of used margin"
        return f"used margin is cost over leverage{coin}", levels
    if isinstance(margin, WindowedRates):
        share = "a share n/s" if margin.maintenance_share is None else percent(margin.maintenance_share)
        windows = "; ".join(
            f"{w.name} {percent(w.long_rate)} long, {percent(w.short_rate)} short"
            + ("" if w.start is None else f" ({w.start} to {w.end} {w.timezone})")
            for w in margin.windows
        )
        return f"{share} of an initial margin by time of day and side", windows
    if isinstance(margin, UnstatedSchedule):
        return f"{_SHAPES[margin.shape]}, charged on the {margin.charged_on} value", NOT_STATED
    return type(margin).__name__, NOT_STATED


def _initial(margin: MarginSchedule) -> str:
    if isinstance(margin, (MarginalTiers, WholePositionTiers)):
        return f"{margin.tiers[0].max_leverage:.4g}x in the lowest tier"
    if isinstance(margin, LinearInSize):
        return f"{1.0 / margin.initial_base:.4g}x for a small position"
    if isinstance(margin, FixedPerContract):
        return f"initial margin is {margin.initial_ratio:g} of maintenance"
    if isinstance(margin, FlatLeverage):
        return f"{margin.max_leverage:g}x"
    if isinstance(margin, WindowedRates):
        return f"{1.0 / min(min(w.long_rate, w.short_rate) for w in margin.windows):.4g}x in the best window"
    return NOT_STATED


def liquidation_details(rule: Liquidation) -> str:
    """Sizes, times and thresholds of the procedure."""
    parts = []
    if rule.procedure == "tier-down":
        tiers = "one tier" if rule.tiers_per_step == 1 else f"{rule.tiers_per_step} tiers"
        parts.append(f"{tiers} at a time, from tier {rule.steps_from_tier} up")
    if rule.procedure == "incremental":
        size = (
            "as little as is needed" if rule.step_fraction is None else f"{percent(rule.step_fraction)} of the position"
        )
        parts.append(f"{size} a round")
    if rule.step_threshold is not None:
        parts.append(f"whole up to a notional of {rule.step_threshold:,.10g}")
    if rule.cooldown is not None:
        parts.append(f"whole within {rule.cooldown:g} s of a cut")
    if rule.deadline is not None:
        parts.append("due at once" if rule.deadline_days == 0 else f"due {rule.deadline} after the call")
    if rule.immediate_below is not None:
        parts.append(f"at once below {percent(rule.immediate_below)} of maintenance")
    if rule.hazard is not None:
        parts.append(f"{rule.hazard:g} liquidations a day in between")
    if rule.backstop_fraction is not None:
        parts.append(f"a backstop takes all below {percent(rule.backstop_fraction)} of maintenance")
    return "; ".join(parts)


def rules_in_words(venue: Venue) -> dict[str, str]:
    """Every rule of a venue in words.

    Parameters
    ----------
    venue : Venue
        Any venue.

    Returns
    -------
    dict of str to str
        Text by rule, in the order in which a reader asks; empty where the rule does not exist. ``"n/s"`` is what no
        source states.

    Examples
    --------
    >>> from liqsim.venues import load_venue
    >>> rules_in_words(load_venue("bitmex-xbtusd"))["loss beyond margin"]
    "no: the venue's backstops bear it"
    """
    contract, fees, rule = venue.contract, venue.fees, venue.liquidation
    unit = contract.quote if contract.kind == "inverse" else contract.base
    shape, rates = _margin(venue.margin, contract)
    settlement = None if venue.funding is None else venue.funding.settlement
    fee = ""
    if rule.residual == "kept-minus-fee":
        fee = NOT_STATED if rule.fee_rate is None else f"{percent(rule.fee_rate)} of the value closed"
    return {
        "product": venue.product,
        "rules of": "" if venue.snapshot is None else venue.snapshot.isoformat(),
        "status": venue.status if not venue.status_note else f"{venue.status}: {venue.status_note}",
        "contract": _contract(contract),
        "contract size": f"{contract.multiplier:g} {unit}"
        + ("" if contract.position_limit is None else f", at most {contract.position_limit:,.10g} contracts"),
        "tick and lot": ", ".join(NOT_STATED if x is None else f"{x:g}" for x in (contract.tick, contract.lot)),
        "maximum leverage": _initial(venue.margin),
        "margin shape": shape,
        "maintenance": rates,
        "closing fee": percent(venue.margin.closing_fee_rate) + " reserved" if venue.margin.closing_fee_rate else "",
        "margin changes": ", ".join(f"x {x:g} after {duration_text(t)}" for t, x in venue.margin_changes),
        "collateral": ""
        if venue.collateral_haircut is None
        else f"{contract.base}, counted less {percent(venue.collateral_haircut)}",
        "margin tested": "all the time" if venue.margin_times is None else times_text(venue.margin_times),
        "funding": funding_text(venue.funding),
        "funding cash": "" if venue.funding is None else "at once" if settlement is None else times_text(settlement),
        "fees": f"taker {fee_text(fees.taker, fees.taker_per_contract, contract.quote)}, "
        f"maker {fee_text(fees.maker, fees.maker_per_contract, contract.quote)}",
        "liquidation": _PROCEDURES[rule.procedure],
        "its steps": liquidation_details(rule),
        "liquidation fee": fee,
        "trader keeps": _RESIDUALS[rule.residual],
        "loss beyond margin": _DEFICITS[rule.deficit],
        "borne by": ", then ".join(rule.bearers),
        "backstop": rule.backstop,
        "mark price": venue.mark,
        "hours": venue.hours,
        "no trading": "; ".join(closure_text(c) for c in venue.closures),
        "price limits": venue.price_limits,
        "eligibility": venue.eligibility,
        "US persons": {True: "yes", False: "no", None: NOT_STATED}[venue.us_persons],
        "jurisdictions": venue.jurisdictions,
        "to be given": ", ".join(venue.needs()),
    }


def different_rules(one: Venue, other: Venue) -> dict[str, tuple[str, str]]:
    """Rules that two venues do not share, in words.

    Parameters
    ----------
    one, other : Venue
        Two venues, or two snapshots of one.

    Returns
    -------
    dict of str to (str, str)
        The text of each by rule; a rule that reads the same is left out.

    Examples
    --------
    >>> from liqsim.venues import load_venue
    >>> old, new = load_venue("cme-btc", "2020-04-28"), load_venue("cme-btc", "2020-12-31")
    >>> different_rules(old, new)["maintenance"]
    ('12,837 USD per contract', '48,931 USD per contract')
    """
    mine, theirs = rules_in_words(one), rules_in_words(other)
    return {name: (text, theirs[name]) for name, text in mine.items() if text != theirs[name]}


def why_in_words(venue: Venue, notional: float, price: float) -> str:
    """What decides when a position of this size is liquidated here, what is left then, and what it costs to hold.

    Parameters
    ----------
    venue : Venue
        With nothing left to be given: see :meth:`Venue.needs`.
    notional, price : float
        Entry notional (quote currency) and price (quote per base).

    Returns
    -------
    str
        Five sentences: payoff, requirement, close-out, who bears what, carry.

    Examples
    --------
    >>> from liqsim.venues import load_venue
    >>> why_in_words(load_venue("bitmex-xbtusd"), 10_000, 77_835).split(". ")[1]
    'Maintenance 0.5 % of the entry value at this size'
    """
    contract, rule = venue.contract, venue.liquidation
    payoff = (
        f"Inverse, margined in {contract.settlement}: a long loses ever more coin as the price falls"
        if contract.kind == "inverse"
        else f"Linear, margined in {contract.settlement}"
        if venue.collateral_haircut is None
        else f"Linear, margined in {contract.base}, of which {percent(venue.counted_share)} counts: a long's margin "
        "falls with the price"
    )
    tested = "" if venue.margin_times is None else f", tested only at {times_text(venue.margin_times)}"
    close = f"Below it the position is {_close_out(venue, notional, price)}"
    keeps = "nothing" if _is_taken_over(venue, notional, price) else _RESIDUALS[rule.residual]
    if keeps != "nothing" and rule.residual == "kept-minus-fee" and rule.fee_rate is not None:
        keeps = f"what is left after a fee of {percent(rule.fee_rate)} of the value closed"
    if keeps != "nothing" and rule.procedure == "tier-down":
        keeps += ", nothing of what is taken over,"
    debt = "and owes a loss beyond the margin" if rule.deficit == "client" else "and owes nothing more"
    requirement = _requirement(venue, notional, price) + tested
    return ". ".join((payoff, requirement, close, f"The trader keeps {keeps} {debt}", _carry(venue))) + "."


_CLOSED = {
    "takeover": "taken over whole at the bankruptcy price",
    "zero-equity-order": "closed whole by one order, limited at the price at which nothing is left",
    "incremental": "cut in rounds until maintenance is covered again",
    "tier-down": "cut by orders, tier by tier, and taken over at the bankruptcy price if still short in the lowest",
    "market": "closed by market order",
    "margin-call": "called for margin up to the initial, and closed by market order if it does not come",
    "discretionary": "closed whole",
}


def _is_taken_over(venue: Venue, notional: float, price: float) -> bool:
    """Whether a position of this size, all of it, is taken over at the bankruptcy price."""
    rule, contract, margin = venue.liquidation, venue.contract, venue.margin
    if rule.procedure != "tier-down":
        return rule.procedure == "takeover"
    tier = margin.tier_index(contract.size(contract.quantity(notional, price), price, margin.unit))
    return tier is None or int(tier) + 1 < rule.steps_from_tier


def _close_out(venue: Venue, notional: float, price: float) -> str:
    """What the procedure does to a position of this size."""
    rule = venue.liquidation
    if rule.procedure == "tier-down" and _is_taken_over(venue, notional, price):
        return f"{_CLOSED['takeover']}, for it is below tier {rule.steps_from_tier}"
    if rule.step_threshold is not None and notional <= rule.step_threshold:
        return f"closed whole, for its notional is not above {rule.step_threshold:,.10g}"
    details = liquidation_details(rule)
    return _CLOSED[rule.procedure] + (f" ({details})" if details else "")


def _requirement(venue: Venue, notional: float, price: float) -> str:
    """The maintenance requirement of a position of this size, at entry."""
    contract, margin = venue.contract, venue.margin
    quantity = contract.quantity(notional, price)
    size, value = contract.size(quantity, price, margin.unit), float(contract.value(quantity, price))
    fee = f" and a closing fee of {percent(margin.closing_fee_rate)}" if margin.closing_fee_rate else ""
    if isinstance(margin, FixedPerContract):
        unit = contract.quote if contract.kind == "inverse" else contract.base
        share = float(margin.maintenance(size)) / value
        return (
            f"Maintenance is money, {margin.maintenance_per_contract:,.10g} {contract.quote} for each "
            f"{contract.multiplier:g} {unit} whatever the price: {100 * share:.3g} % of the value at entry{fee}"
        )
    if isinstance(margin, FlatLeverage):
        return (
            f"An account is closed for certain when equity falls to {percent(margin.liquidation_level)} of the margin "
            f"used, and at the venue's discretion below {percent(margin.call_level)}"
        )
    if isinstance(margin, WindowedRates):
        share = margin.maintenance_share or 0.0
        rates = "; ".join(
            f"{w.name} {100 * share * w.long_rate:.3g} % long, {100 * share * w.short_rate:.3g} % short"
            + ("" if w.start is None else f" ({w.start} to {w.end} {w.timezone})")
            for w in margin.windows
        )
        return f"Maintenance changes with the time of day, {percent(share)} of initial: {rates}{fee}"
    rate = float(margin.maintenance(size, Terms("long"))) / float(size)
    if isinstance(margin, LinearInSize):
        how = f", growing by {percent(margin.slope)} for each {contract.base} held"
        return f"Maintenance {100 * rate:.4g} % of the current value at this size{how}{fee}"
    charged = "current" if getattr(margin, "charged_on", "mark") == "mark" else "entry"
    return f"Maintenance {100 * rate:.4g} % of the {charged} value at this size{fee}"


def _carry(venue: Venue) -> str:
    """What it costs to hold the position, in short."""
    rule = venue.funding
    if rule is None:
        return "Nothing is paid to hold it"
    if isinstance(rule, BasisCarry):
        return f"No funding: a long loses the basis of {percent(rule.basis)} a year, a short earns it"
    if isinstance(rule, Rollover):
        return (
            f"Borrowing costs a long {percent(rule.long_rate)} and a short {percent(rule.short_rate)} "
            f"every {rule.interval}, and at opening"
        )
    if isinstance(rule, FixedFunding):
        return f"Funding of {percent(rule.rate)} every {rule.interval}"
    share = "" if rule.scale == 1.0 else f"1/{1.0 / rule.scale:.4g} of "
    parts = [f"Funding every {rule.interval}", f"{share}the premium"]
    if rule.interest:
        parts[-1] += f" moved towards {percent(rule.interest)} by up to {percent(rule.clamp)}"
    elif rule.clamp:
        parts[-1] += f" beyond {percent(rule.clamp)}"
    if rule.settlement is not None:
        parts.append(f"paid at {times_text(rule.settlement)}")
    return ", ".join(parts)
