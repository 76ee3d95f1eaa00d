"""A venue from the plain values of its :meth:`Venue.to_dict`, the form in which a result's provenance holds it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from liqsim.errors import VenueDataError
from liqsim.venues.clock import Closure, DailyTimes
from liqsim.venues.contract import Contract
from liqsim.venues.fees import Fees
from liqsim.venues.funding import BasisCarry, FixedFunding, PremiumFunding, Rollover
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.schedules import FixedPerContract, FlatLeverage, LinearInSize, MarginWindow, WindowedRates
from liqsim.venues.tiers import MarginalTiers, Tier, WholePositionTiers
from liqsim.venues.unstated import UnstatedSchedule
from liqsim.venues.venue import Source, Venue

__all__ = ["venue_from_dict"]

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        MarginalTiers, WholePositionTiers, LinearInSize, FixedPerContract, FlatLeverage, WindowedRates,
        UnstatedSchedule, PremiumFunding, FixedFunding, BasisCarry, Rollover,
    )
}  # fmt: skip


def venue_from_dict(values: Mapping[str, Any]) -> Venue:
    """Make a venue of what :meth:`Venue.to_dict` returns, its ``hash`` included or not.

    Parameters
    ----------
    values : mapping
        Plain values, such as those read from JSON.

    Returns
    -------
    Venue
        With the same rules, and therefore the same hash.

    Raises
    ------
    VenueDataError
        If values are missing or of a form that is not known, or the venue made has another hash.

    Examples
    --------
    >>> from liqsim.venues import load_venue
    >>> venue = load_venue("cme-mbt")
    >>> venue_from_dict(venue.to_dict()) == venue
    True
    """
    name = values.get("id", "?")
    try:
        made = _venue(_infinite(values))
    except (KeyError, TypeError, AttributeError) as error:
        raise VenueDataError(
            f"venue {name!r} cannot be rebuilt from its plain values ({error}); "
            "give the Venue itself, as in the call that made the result"
        ) from None
    if values.get("hash", made.hash) != made.hash:
        raise VenueDataError(
            f"venue {name!r} cannot be rebuilt from its plain values: they were changed, or it has rules of one's own "
            "that they do not hold; give the Venue itself, as in the call that made the result"
        )
    return made


def _infinite(value: Any) -> Any:
    """Undo the words that stand for infinities; no name or note is one of them."""
    if isinstance(value, Mapping):
        return {key: _infinite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_infinite(item) for item in value]
    return {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value


def _fields(kind: type[Any], values: Mapping[str, Any], **changed: Any) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in {**values, **changed}.items() if name in names})


def _times(values: Mapping[str, Any] | None) -> DailyTimes | None:
    if values is None:
        return None
    return DailyTimes(tuple(values["times"]), values["timezone"], tuple(values["weekdays"]))


def _margin(values: Mapping[str, Any]) -> Any:
    changed: dict[str, Any] = {}
    if "tiers" in values:
        changed["tiers"] = tuple(Tier(*row) for row in values["tiers"])
    if "windows" in values:
        changed["windows"] = tuple(MarginWindow(**window) for window in values["windows"])
    return _fields(_KINDS[values["kind"]], values, **changed)


def _funding(values: Mapping[str, Any] | None) -> Any:
    if values is None:
        return None
    changes = tuple(tuple(pair) for pair in values.get("changes", ()))
    settlement = _times(values.get("settlement"))
    return _fields(_KINDS[values["kind"]], values, changes=changes, settlement=settlement)


def _closure(values: Mapping[str, Any]) -> Closure:
    by_day = " " in values["start"]  # a weekly closure names its days there
    return _fields(Closure, values, weekdays=None if by_day else tuple(values["weekdays"]))


def _venue(values: Mapping[str, Any]) -> Venue:
    snapshot = values["snapshot"]
    return _fields(
        Venue,
        values,
        contract=_fields(Contract, values["contract"]),
        margin=_margin(values["margin"]),
        funding=_funding(values["funding"]),
        fees=_fields(Fees, values["fees"]),
        liquidation=_fields(Liquidation, values["liquidation"], bearers=tuple(values["liquidation"]["bearers"])),
        snapshot=None if snapshot is None else dt.date.fromisoformat(snapshot),
        sources=tuple(_fields(Source, source, covers=tuple(source["covers"])) for source in values["sources"]),
        absent=tuple(values["absent"].items()),
        margin_times=_times(values["margin_times"]),
        closures=tuple(_closure(closure) for closure in values["closures"]),
        margin_changes=tuple((after, factor) for after, factor in values.get("margin_changes", ())),
    )
