"""What a venue's sources leave open: which values a simulation needs, and how a user fills them in."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues.schedules import FixedPerContract, WindowedRates
from liqsim.venues.tiers import MarginalTiers, WholePositionTiers
from liqsim.venues.unstated import UnstatedSchedule

if TYPE_CHECKING:
    from liqsim.venues.venue import Venue

__all__ = ["ASSUMED", "assume", "check_known", "check_margin", "needs", "open_values"]

# Origin of a value that the user filled in.
ASSUMED = "given by the user"

_SECTIONS = ("contract", "margin", "funding", "fees", "liquidation")

# What to give: the form, with its unit and range, of values that some venue does not state.
_FORMS = {
    "contract.tick": "price step, quote currency per base",
    "contract.lot": "smallest quantity",
    "margin.maintenance_share": "liquidation threshold over initial margin in [0, 1]",
    "margin.tiers": "rows (floor, cap, maintenance rate, maximum leverage), sizes in {unit}, the last cap inf or None",
    "margin.maintenance_per_contract": "{quote} per contract in (0, inf)",
    "fees.taker": "fraction of notional in [-0.1, 0.1], 0.0005 is 0.05 %",
    "fees.maker": "fraction of notional in [-0.1, 0.1], 0.0005 is 0.05 %",
    "liquidation.fee_rate": "fraction of the value closed in [0, 1]",
    "funding.roll_cost": "fraction of notional per roll in [0, 1]",
    "funding.interest": "fraction of notional per interval in [-1, 1]",
    "funding.cap": "fraction of notional per interval in (0, 1]",
    "liquidation.insurance_fund": "{settlement} in [0, inf)",
    "liquidation.cooldown": "seconds in [0, inf)",
    "liquidation.step_threshold": "{quote} in [0, inf)",
    "liquidation.step_fraction": "share of the entry position in (0, 1]",
    "liquidation.immediate_below": "share of maintenance margin in [0, 1]",
    "liquidation.backstop_fraction": "share of maintenance margin in [0, 1]",
    "liquidation.deadline": 'time from the call to the forced close, such as "1D"; "0h" for none',
    "liquidation.hazard": "liquidations per day in [0, inf) while the account is between the call and the "
    "liquidation level",
}

# Optional fields of Liquidation that mean something to a procedure.
_FEE, _FUND = "fee_rate", "insurance_fund"
_USED = {
    "takeover": (_FUND,),
    "zero-equity-order": (_FEE, _FUND),
    "incremental": (_FEE, "step_fraction", "step_threshold", "cooldown", "backstop_fraction", _FUND),
    "tier-down": (_FEE, _FUND),
    "market": (_FEE, _FUND),
    "margin-call": ("deadline", "immediate_below", _FEE, _FUND),
    "discretionary": ("hazard", _FEE, _FUND),
}
# Optional numbers elsewhere; what else is None (the first stamp, the settlement of funding) is not a gap.
_OPTIONAL = {
    "contract": ("tick", "lot"),
    "margin": ("maintenance_share",),
    "fees": ("taker", "maker"),
}


def needs(venue: Venue) -> tuple[str, ...]:
    """Dotted names of the values that a simulation needs and no source gave."""
    found = []
    if isinstance(venue.margin, UnstatedSchedule):
        found.append(_figures(venue.margin))
    if isinstance(venue.margin, WindowedRates) and venue.margin.maintenance_share is None:
        found.append("margin.maintenance_share")
    if venue.fees.taker is None:
        found.append("fees.taker")
    return (*found, *venue.liquidation.needs())


def _figures(margin: UnstatedSchedule) -> str:
    return "margin.maintenance_per_contract" if margin.shape == "FixedPerContract" else "margin.tiers"


def open_values(venue: Venue) -> list[str]:
    """Dotted names of every value that may be given: what is needed, then all else that is absent or unset."""
    listed = {name for name, _ in venue.absent}
    used = _USED[venue.liquidation.procedure]
    if venue.liquidation.residual != "kept-minus-fee":
        used = tuple(name for name in used if name != _FEE)
    optional = {**_OPTIONAL, "liquidation": used}
    found = list(needs(venue))
    for section, part in _parts(venue):
        for field in dataclasses.fields(part):
            name, value = f"{section}.{field.name}", getattr(part, field.name)
            unset = value is None and field.name in optional.get(section, ())
            if (unset or (name in listed and value == field.default)) and name not in found:
                found.append(name)
    return found


def _parts(venue: Venue) -> Iterator[tuple[str, Any]]:
    """Sections whose fields may hold a gap; a schedule without figures has none but the figures themselves."""
    for section in _SECTIONS:
        part = getattr(venue, section)
        if part is not None and not isinstance(part, UnstatedSchedule):
            yield section, part


def check_known(venue: Venue) -> None:
    """Refuse a venue that lacks values, naming them all, their form, and the call that gives them."""
    _refuse(venue, needs(venue))


def check_margin(venue: Venue, *, for_initial: bool = False) -> None:
    """The same for what its margin takes alone, or the initial margin only."""
    missing = [name for name in needs(venue) if name.startswith("margin.")]
    _refuse(venue, [name for name in missing if not (for_initial and name == "margin.maintenance_share")])


def _refuse(venue: Venue, missing: Sequence[str]) -> None:
    if not missing:
        return
    from liqsim.venues.registry import list_venues, load_venue, snapshot_dates

    call, older, note = "venue", "", ""
    dates = snapshot_dates(venue.id) if venue.id in list_venues() else []
    if venue.snapshot in dates and not any(source.confidence == "U" for source in venue.sources):
        as_of = "" if venue.snapshot == dates[-1] else f', as_of="{venue.snapshot}"'
        call = f'load_venue("{venue.id}"{as_of})'
        options = " ".join(f"--assume {venue.id}:{name}=..." for name in missing)
        note = f"In a shell, liqsim price and liqsim venues compare take {options}"
        whole = [d for d in dates if d < venue.snapshot and not load_venue(venue.id, d).needs()]
        if whole:
            older = f'; or load_venue("{venue.id}", as_of="{whole[-1]}"), older rules that need nothing more'
    given = ", ".join(f'"{name}": ...' for name in missing)
    forms = "; ".join(f"{name}: {form_of(venue, name)}" for name in missing)
    error = VenueDataError(
        f"{venue.label}: no source states {', '.join(missing)}; give {'it' if len(missing) == 1 else 'them'}: "
        f"{call}.assume({{{given}}}){older}  ({forms})"
    )
    if note:
        error.add_note(note)
    raise error


def form_of(venue: Venue, name: str) -> str:
    """What to give for a value, with its unit and range."""
    unit = {"quote": venue.contract.quote, "base": venue.contract.base, "contracts": "contracts"}[venue.margin.unit]
    return _FORMS.get(name, "see its class").format(
        unit=unit, quote=venue.contract.quote, settlement=venue.contract.settlement
    )


def _full_name(venue: Venue, name: str, choices: list[str]) -> str:
    """The dotted name that is meant; refuse unknown names and values that the venue states."""
    if name in choices:
        return name
    short = [choice for choice in choices if choice.partition(".")[2] == name]
    if len(short) == 1:
        return short[0]
    for section, part in _parts(venue):
        for field in dataclasses.fields(part):
            if name == f"{section}.{field.name}":
                raise VenueDataError(_refusal(venue, section, field.name, getattr(part, field.name)))
    words = {**{choice: choice for choice in choices}, **{c.partition(".")[2]: c for c in choices}}
    near = list(dict.fromkeys(words[w] for w in difflib.get_close_matches(name, words, n=3, cutoff=0.6)))
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise VenueDataError(
        f"{venue.label}: {name!r} is no value that can be given; {hint}"
        f"open are {', '.join(choices) if choices else 'none'}"
    )


def _refusal(venue: Venue, section: str, field: str, value: Any) -> str:
    name = f"{section}.{field}"
    way = f"dataclasses.replace(venue, {section}=dataclasses.replace(venue.{section}, {field}=...))"
    if value is None:
        rule = venue.liquidation.procedure if section == "liquidation" else type(getattr(venue, section)).__name__
        return f"{venue.label}: {name} means nothing to {rule!r}; to set it all the same, use {way}"
    return f"{venue.label}: {name} is stated already, {value!r}; to put another value in its place, use {way}"


def assume(venue: Venue, values: Mapping[str, Any], short: Mapping[str, Any]) -> Venue:
    """Return the venue with ``values`` (and ``short``, by last name) filled in; see :meth:`Venue.assume`."""
    from liqsim.venues.venue import Source

    choices = open_values(venue)
    given: dict[str, Any] = {}
    for name, value in [*values.items(), *short.items()]:
        full = _full_name(venue, str(name), choices)
        if full in given:
            raise ParameterError(f"{venue.label}: {full} is given twice; give it once")
        if value is None:
            raise ParameterError(f"{venue.label}: {full}=None is not a value; give {form_of(venue, full)}")
        given[full] = value
    parts: dict[str, Any] = {}
    for section in _SECTIONS:
        fields = {name.partition(".")[2]: v for name, v in given.items() if name.startswith(f"{section}.")}
        part = getattr(venue, section)
        if not fields:
            continue
        if isinstance(part, UnstatedSchedule):
            parts[section] = _stated(part, next(iter(fields.values())))
        else:
            parts[section] = dataclasses.replace(part, **fields)
    return dataclasses.replace(
        venue,
        **parts,
        absent=tuple(gap for gap in venue.absent if gap[0] not in given),
        sources=(*venue.sources, *(Source((name,), ASSUMED, "n/d", "U") for name in given)),
    )


def _stated(margin: UnstatedSchedule, figures: Any) -> MarginalTiers | WholePositionTiers | FixedPerContract:
    """The schedule of the shape that is known, with the figures given."""
    fee = margin.closing_fee_rate
    if margin.shape == "FixedPerContract":
        return FixedPerContract(maintenance_per_contract=figures, closing_fee_rate=fee)
    kind = MarginalTiers if margin.shape == "MarginalTiers" else WholePositionTiers
    return kind(tiers=figures, unit=margin.unit, charged_on=margin.charged_on, closing_fee_rate=fee)
