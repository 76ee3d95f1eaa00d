"""A venue with a tier table as a TOML file: the strict form that :func:`liqsim.venues.files.read_venue` reads."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import os
from pathlib import Path
from typing import Any

from liqsim.errors import LiqsimError, ParameterError
from liqsim.venues.files import read_venue
from liqsim.venues.funding import BasisCarry, FixedFunding, PremiumFunding, Rollover
from liqsim.venues.tiers import MarginalTiers, WholePositionTiers
from liqsim.venues.venue import Venue

__all__ = ["venue_sections", "venue_toml", "write_venue"]

_FUNDING_KINDS: dict[type, str] = {
    PremiumFunding: "premium",
    FixedFunding: "fixed",
    BasisCarry: "basis",
    Rollover: "rollover",
}
_RULES = ("mark", "hours", "price_limits", "eligibility", "us_persons", "jurisdictions")

_ADD_FUNDING = """\
# A tier table tells nothing of funding, so none is paid. To add a rule, for example:
# [funding]
# kind = "premium"
# interval = "8h"
# interest = 0.0001
# clamp = 0.0005
# with a [[sources]] entry that covers funding.interval, funding.interest and funding.clamp, in place of the [[absent]]
# entry of funding.
"""


def _given(venue: Venue, section: str, always: tuple[str, ...] = ()) -> dict[str, Any]:
    """Fields of a part of the venue that differ from their defaults, have a source, or are always written."""
    part, covered = getattr(venue, section), {name for source in venue.sources for name in source.covers}
    values = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        default = (tuple(value) if isinstance(value, list) else value) == field.default
        if field.name in always or not default or (f"{section}.{field.name}" in covered and value is not None):
            values[field.name] = value
    return values


def venue_sections(venue: Venue) -> dict[str, dict[str, Any]]:
    """Sections of the file and the values in them; everything but ``kind`` needs a source.

    Raises
    ------
    ParameterError
        If the margin schedule is not a tier table, or the funding rule has no form in a file.
    """
    margin = venue.margin
    if not isinstance(margin, (MarginalTiers, WholePositionTiers)):
        raise ParameterError(
            f"{venue.label}: only venues with a tier table can be written, not {type(margin).__name__}; "
            "write the file by hand, in the form of those shipped"
        )
    sections: dict[str, dict[str, Any]] = {
        "contract": _given(venue, "contract", ("kind", "base", "quote", "settlement", "multiplier")),
        "margin": {"kind": "marginal-tiers", "unit": margin.unit, "charged_on": margin.charged_on},
    }
    if isinstance(margin, MarginalTiers):
        sections["margin"]["initial_shape"] = margin.initial_shape
    else:
        sections["margin"]["kind"] = "whole-position-tiers"
    if margin.closing_fee_rate:
        sections["margin"]["closing_fee_rate"] = margin.closing_fee_rate
    sections["margin"]["tiers"] = [list(tier) for tier in margin.tiers]
    if venue.funding is not None:
        kind = _FUNDING_KINDS.get(type(venue.funding))
        if kind is None:
            raise ParameterError(
                f"{venue.label}: a funding rule of {type(venue.funding).__name__} cannot be written; "
                "leave it out and add it to the file by hand"
            )
        sections["funding"] = {"kind": kind, **_given(venue, "funding")}
    sections["fees"] = _given(venue, "fees")
    sections["liquidation"] = _given(venue, "liquidation", ("procedure", "residual", "deficit"))
    rules = {name: getattr(venue, name) for name in _RULES if getattr(venue, name) not in (None, "")}
    if rules:
        sections["rules"] = rules
    return sections


def _value(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    raise ParameterError(f"{value!r} cannot be written to a TOML file; leave it out and add it by hand")


def _pairs(values: dict[str, Any]) -> list[str]:
    lines = []
    for name, value in values.items():
        if name == "tiers":
            rows = [f"    {_value(row)}," for row in value]
            lines += ["# floor, cap, maintenance rate, maximum leverage", "tiers = [", *rows, "]"]
        elif value is not None and value != "":
            lines.append(f"{name} = {_value(value)}")
    return lines


def venue_toml(venue: Venue) -> str:
    """Return a venue as the text of a TOML file.

    Parameters
    ----------
    venue : Venue
        With a tier table, a snapshot date and sources.

    Returns
    -------
    str
        What :func:`liqsim.venues.files.read_venue` reads back as the same venue.

    Raises
    ------
    ParameterError
        If the venue has no date or no tier table.
    """
    if venue.snapshot is None:
        raise ParameterError(
            f"snapshot=None: nothing tells of which day the rules of {venue.id} are; "
            'give snapshot="YYYY-MM-DD", the day on which the table was fetched'
        )
    head = {"id": venue.id, "name": venue.name, "product": venue.product, "snapshot": venue.snapshot}
    if venue.status != "open":
        head |= {"status": venue.status, "status_note": venue.status_note}
    blocks = [_pairs(head)]
    blocks += [[f"[{name}]", *_pairs(values)] for name, values in venue_sections(venue).items()]
    blocks += [["[[sources]]", *_pairs(source.to_dict())] for source in venue.sources]
    blocks += [["[[absent]]", *_pairs({"value": value, "note": note})] for value, note in venue.absent]
    text = "\n\n".join("\n".join(lines) for lines in blocks) + "\n"
    return text if venue.funding is not None else f"{text}\n{_ADD_FUNDING}"


def write_venue(venue: Venue, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a venue to a TOML file, which is read back and compared before it gets its name.

    Parameters
    ----------
    venue : Venue
        With a tier table, a snapshot date and sources, such as :func:`liqsim.venues.ingest.read_tiers` returns.
    path : str or pathlib.Path
        Name of the file, ending in ``.toml``; missing folders are made.
    overwrite : bool, default False
        Whether a file of that name may be replaced.

    Returns
    -------
    pathlib.Path
        The file, whole; if anything fails there is none, or the one that was there before.

    Raises
    ------
    ParameterError
        If the file exists, cannot be written, or the venue cannot be written to a file.
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise ParameterError(f"path={str(path)!r} does not end in .toml; give a name such as my-venue.toml")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ParameterError(f"path={str(path)!r} exists; give another name, or overwrite=True (--force) to replace it")
    text = venue_toml(venue)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.toml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            _check_again(venue, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ParameterError(
            f"path={str(path)!r} cannot be written: {error.strerror or error}; give another folder"
        ) from None
    return path


def _check_again(venue: Venue, path: Path) -> None:
    """Refuse a file that does not read back as ``venue``."""
    try:
        again = read_venue(path)
    except LiqsimError as error:
        reason = str(error).removeprefix(f"{path.name}: ")
        raise ParameterError(f"{venue.label} cannot be written to a file: {reason}") from None
    if again.hash != venue.hash:
        raise ParameterError(
            f"{venue.label} cannot be written to a file: it has rules that the file does not hold; "
            "write the file by hand, in the form of those shipped"
        )
