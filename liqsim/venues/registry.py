"""Venues shipped with the package: dated snapshots, found by identifier."""

from __future__ import annotations

import datetime as dt
import difflib
from functools import cache
from pathlib import Path

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues.files import read_venue
from liqsim.venues.venue import Venue

__all__ = ["list_venues", "load_venue", "snapshot_dates", "venue_file"]

_DATA = Path(__file__).parent / "data"


@cache
def _snapshots() -> dict[str, dict[dt.date, Path]]:
    """Files by identifier and date, from names like ``bitmex-xbtusd_2024-11-24.toml``."""
    found: dict[str, dict[dt.date, Path]] = {}
    for path in sorted(_DATA.glob("*.toml")):
        name, _, date = path.stem.rpartition("_")
        try:
            found.setdefault(name, {})[dt.date.fromisoformat(date)] = path
        except ValueError:
            raise VenueDataError(f"{path.name}: the name must be ID_YYYY-MM-DD.toml") from None
    return found


@cache
def _read(path: Path) -> Venue:
    venue = read_venue(path)
    name, _, date = path.stem.rpartition("_")
    if venue.id != name or venue.snapshot is None or venue.snapshot.isoformat() != date:
        raise VenueDataError(
            f"{path.name}: id={venue.id!r} and snapshot={venue.snapshot} must be those of the file name"
        )
    return venue


def list_venues() -> list[str]:
    """Return the identifiers that :func:`load_venue` knows, sorted.

    Examples
    --------
    >>> "bitmex-xbtusd" in list_venues()
    True
    """
    return sorted(_snapshots())


def _dates(id: str) -> dict[dt.date, Path]:
    known = _snapshots()
    if id not in known:
        near = difflib.get_close_matches(str(id).lower().replace("_", "-"), known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise VenueDataError(
            f"venue {id!r} is unknown; {hint}list_venues(), or `liqsim venues` in a shell, gives the identifiers"
        )
    return known[id]


def snapshot_dates(id: str) -> list[dt.date]:
    """Return the dates of the snapshots of a venue, ascending.

    Parameters
    ----------
    id : str
        Identifier, one of :func:`list_venues`.

    Examples
    --------
    >>> [str(date) for date in snapshot_dates("cme-btc")]
    ['2020-04-28', '2020-12-31']
    """
    return sorted(_dates(id))


def load_venue(id: str, as_of: str | dt.date | None = None) -> Venue:
    """Load the rules of a venue's product.

    Parameters
    ----------
    id : str
        Identifier, one of :func:`list_venues`; ``"ID@YYYY-MM-DD"`` is short for ``as_of``.
    as_of : str or datetime.date, optional
        Date ``"YYYY-MM-DD"``; the newest snapshot not after it. The newest of all unless given.

    Returns
    -------
    Venue
        Frozen rules with their sources.

    Raises
    ------
    VenueDataError
        If the identifier is unknown, or no snapshot is old enough.

    Examples
    --------
    >>> load_venue("bitmex-xbtusd").contract.kind
    'inverse'
    >>> str(load_venue("cme-btc@2020-06-01").snapshot)
    '2020-04-28'
    """
    return _read(venue_file(id, as_of))


def venue_file(id: str, as_of: str | dt.date | None = None) -> Path:
    """File that :func:`load_venue` reads, with its arguments and its errors."""
    if isinstance(id, str) and "@" in id:
        id, _, date = id.partition("@")
        if as_of is not None:
            raise ParameterError(f"as_of={as_of!r} is given twice, with {id}@{date} as well; leave one of them out")
        as_of = date
    dates = _dates(id)
    if as_of is None:
        return dates[max(dates)]
    try:
        limit = dt.date.fromisoformat(as_of) if isinstance(as_of, str) else as_of
        if isinstance(limit, dt.datetime) or not isinstance(limit, dt.date):
            raise ValueError
    except ValueError:
        raise ParameterError(f'as_of={as_of!r} is not a date; give "YYYY-MM-DD" or a datetime.date') from None
    usable = [d for d in dates if d <= limit]
    if not usable:
        raise VenueDataError(f"venue {id!r} has no snapshot on or before {limit}; the first is of {min(dates)}")
    return dates[max(usable)]
