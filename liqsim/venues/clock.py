"""Rules of the calendar, written in local time: daily instants, hours without trading, margin windows.

Each is expanded to whole nanoseconds after a known start. Local times follow the clocks of their zone: a time that the
clocks show twice, as summer time ends, is its first showing; one that they skip, as it begins, is read as if they had
not been moved yet (02:30 then means 03:30).
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from liqsim.durations import Duration, parse_days
from liqsim.errors import ParameterError, VenueDataError

if TYPE_CHECKING:
    from liqsim.venues.schedules import MarginWindow

__all__ = ["WEEKDAYS", "Closure", "DailyTimes", "ascending_changes", "closed_windows", "parse_start", "window_switches"]

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = dt.timedelta(days=1)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def parse_start(value: Any, name: str = "start") -> dt.datetime:
    """Read the instant at which a position is opened.

    Parameters
    ----------
    value : str, datetime.datetime, datetime.date or numpy.datetime64
        ``"2026-03-02T14:30Z"``, ``"2026-03-02 09:30-05:00"``, ``"2026-03-02"`` and the like (ISO 8601). Without an
        offset it is UTC; a date alone is its midnight.
    name : str
        Argument name for the error message.

    Returns
    -------
    datetime.datetime
        The instant in UTC, to the microsecond.

    Raises
    ------
    ParameterError
        If the value is not an instant.

    Examples
    --------
    >>> parse_start("2026-03-02T09:30-05:00").isoformat()
    '2026-03-02T14:30:00+00:00'
    """
    found = None
    if isinstance(value, str):
        try:
            found = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            found = None
    elif isinstance(value, np.datetime64) and not np.isnat(value):
        item = value.astype("datetime64[us]").item()
        found = item if isinstance(item, dt.datetime) else None
    elif isinstance(value, dt.datetime):
        found = value if value == value else None  # pandas.NaT is a datetime
    elif isinstance(value, dt.date):
        found = dt.datetime(value.year, value.month, value.day)
    if found is None:
        raise ParameterError(
            f'{name}={value!r} is not an instant; give ISO 8601 text such as "2026-03-02T14:30Z" (UTC unless it has '
            "an offset), a datetime or a numpy.datetime64"
        )
    try:
        utc = found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
        if not 1900 < utc.year < 2200:
            raise OverflowError
    except OverflowError:
        raise ParameterError(f"{name}={value!r} is out of range; give a date from 1901 to 2199") from None
    return utc


@cache
def _zone(owner: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        near = difflib.get_close_matches(str(name), available_timezones(), n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ParameterError(
            f'{owner}: timezone={name!r} is unknown; {hint}give an IANA name such as "America/New_York" or "UTC"'
        ) from None


def _time(owner: str, field: str, value: Any, form: str = '"HH:MM"') -> dt.time:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ParameterError(f"{owner}: {field}={value!r} is not a local time; give {form}, 00:00 to 23:59")
    return dt.time(int(match[1]), int(match[2]))


def _weekday(owner: str, field: str, value: Any) -> int:
    if value not in WEEKDAYS:
        raise ParameterError(f"{owner}: {field}={value!r} is not a day of the week; give one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _weekdays(owner: str, value: Any) -> tuple[str, ...]:
    """The days in order of the week, each once."""
    days = (value,) if isinstance(value, str) else tuple(value)
    if not days:
        raise ParameterError(f"{owner}: weekdays={value!r} is empty; give at least one of {', '.join(WEEKDAYS)}")
    return tuple(WEEKDAYS[k] for k in sorted({_weekday(owner, "weekdays", day) for day in days}))


def _nanoseconds(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1) * 1000


def _span(start: dt.datetime, end: dt.datetime) -> int:
    for name, value in (("start", start), ("end", end)):
        if not isinstance(value, dt.datetime) or value.tzinfo is None:
            raise ParameterError(f"{name}={value!r} has no time zone; give an aware datetime, such as parse_start(...)")
    if end < start:
        raise ParameterError(f"end={end.isoformat()} is before start={start.isoformat()}; give a later one")
    return _nanoseconds(end - start)


def _dates(start: dt.datetime, end: dt.datetime, zone: ZoneInfo, before: int = 1) -> Iterator[dt.date]:
    """Local dates from ``before`` days ahead of ``start`` to a day after ``end``."""
    day = start.astimezone(zone).date() - before * _DAY
    last = end.astimezone(zone).date() + _DAY
    while day <= last:
        yield day
        day += _DAY


def _instant(day: dt.date, time: dt.time, zone: ZoneInfo, start: dt.datetime) -> int:
    """Nanoseconds from ``start`` to a local time."""
    return _nanoseconds(dt.datetime.combine(day, time, tzinfo=zone).astimezone(dt.UTC) - start)


@dataclass(frozen=True)
class DailyTimes:
    """Local times of day at which something happens, such as a clearing cycle.

    Parameters
    ----------
    times : tuple of str
        ``"HH:MM"``, local.
    timezone : str, default "UTC"
        IANA name of their zone.
    weekdays : tuple of str
        Local days on which it happens, from ``"Mon"`` to ``"Sun"``; every day unless given.

    Examples
    --------
    Clearing at four in the afternoon in Chicago, through the end of summer time on 2026-11-01:

    >>> clearing = DailyTimes(("16:00",), "America/Chicago", WEEKDAYS[:5])
    >>> start, end = parse_start("2026-10-30"), parse_start("2026-11-03")
    >>> [ns // 3_600_000_000_000 for ns in clearing.instants(start, end)]
    [21, 94]
    """

    times: tuple[str, ...]
    timezone: str = "UTC"
    weekdays: tuple[str, ...] = WEEKDAYS

    def __post_init__(self) -> None:
        times = (self.times,) if isinstance(self.times, str) else tuple(self.times)
        if not times:
            raise ParameterError('DailyTimes: times=() is empty; give at least one "HH:MM"')
        for value in times:
            _time("DailyTimes", "times", value)
        _zone("DailyTimes", self.timezone)
        object.__setattr__(self, "times", tuple(sorted(set(times))))
        object.__setattr__(self, "weekdays", _weekdays("DailyTimes", self.weekdays))

    def instants(self, start: dt.datetime, end: dt.datetime) -> list[int]:
        """Nanoseconds after ``start``, ascending, of every instant after it and up to ``end`` (aware datetimes)."""
        last, zone = _span(start, end), _zone("DailyTimes", self.timezone)
        times = [_time("DailyTimes", "times", t) for t in self.times]
        days = {WEEKDAYS.index(day) for day in self.weekdays}
        found = {
            _instant(day, time, zone, start)
            for day in _dates(start, end, zone)
            if day.weekday() in days
            for time in times
        }
        return sorted(ns for ns in found if 0 < ns <= last)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {"times": list(self.times), "timezone": self.timezone, "weekdays": list(self.weekdays)}


@dataclass(frozen=True)
class Closure:
    """Hours without trading, once a week or on given days.

    Parameters
    ----------
    start, end : str
        Local times. Either both with a day, ``"Fri 16:00"`` to ``"Sun 17:00"``, for a closure once a week, or both
        without, ``"16:00"`` to ``"17:00"``, for one on each of ``weekdays``. An end that is not after the start is
        on the next day.
    timezone : str, default "UTC"
        IANA name of their zone.
    weekdays : tuple of str, optional
        Days on which a closure without days begins; every day unless given.

    Examples
    --------
    >>> weekend = Closure("Fri 16:00", "Sun 17:00", "America/Chicago")
    >>> start, end = parse_start("2020-04-25T00:00Z"), parse_start("2020-05-01T00:00Z")
    >>> [(a // 3_600_000_000_000, b // 3_600_000_000_000) for a, b in weekend.windows(start, end)]
    [(0, 46)]
    """

    start: str
    end: str
    timezone: str = "UTC"
    weekdays: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _zone("Closure", self.timezone)
        (first, begins), (last, ends) = self._read("start"), self._read("end")
        if (first is None) != (last is None):
            raise ParameterError(
                f"Closure: start={self.start!r} and end={self.end!r} must both name a day, or neither; "
                'give "Fri 16:00" and "Sun 17:00", or "16:00" and "17:00"'
            )
        if (first, begins) == (last, ends):
            raise ParameterError(f"Closure: end={self.end!r} is the start; give the time at which trading resumes")
        if first is not None and self.weekdays is not None:
            raise ParameterError(
                f"Closure: weekdays={self.weekdays!r} is for times without a day, and start={self.start!r} has one; "
                "leave one of them out"
            )
        if first is None:
            days = WEEKDAYS if self.weekdays is None else _weekdays("Closure", self.weekdays)
            object.__setattr__(self, "weekdays", days)

    def _read(self, field: str) -> tuple[int | None, dt.time]:
        value = getattr(self, field)
        form = '"HH:MM" or "Fri HH:MM"'
        day, _, time = value.rpartition(" ") if isinstance(value, str) else ("", "", value)
        return (_weekday("Closure", field, day) if day else None), _time("Closure", field, time, form)

    def windows(self, start: dt.datetime, end: dt.datetime) -> list[tuple[int, int]]:
        """Closed hours between two aware datetimes: (first, last) nanoseconds after ``start``, clipped to the span."""
        span, zone = _span(start, end), _zone("Closure", self.timezone)
        (first, begins), (last, ends) = self._read("start"), self._read("end")
        if first is None or last is None:
            on, length = {WEEKDAYS.index(day) for day in self.weekdays or ()}, int(ends <= begins)
        else:
            on, length = {first}, (last - first) % 7
            if length == 0 and ends <= begins:
                length = 7
        found = []
        for day in _dates(start, end, zone, before=8):
            if day.weekday() in on:
                a = max(_instant(day, begins, zone, start), 0)
                b = min(_instant(day + length * _DAY, ends, zone, start), span)
                if a < b:
                    found.append((a, b))
        return _merged(found)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {
            "start": self.start,
            "end": self.end,
            "timezone": self.timezone,
            "weekdays": None if self.weekdays is None else list(self.weekdays),
        }


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of spans, ascending."""
    union: list[tuple[int, int]] = []
    for a, b in sorted(spans):
        if union and a <= union[-1][1]:
            union[-1] = (union[-1][0], max(b, union[-1][1]))
        else:
            union.append((a, b))
    return union


def ascending_changes(owner: str, name: str, changes: Any, form: str) -> tuple[tuple[Duration, Any], ...]:
    """Check that ``changes`` are pairs of a time after entry and what holds from then on, in ascending order.

    Raises
    ------
    ParameterError
        If they are not; ``form`` says how to give them.
    """
    try:
        pairs = tuple((after, value) for after, value in changes)
    except (TypeError, ValueError):
        raise ParameterError(f"{owner}: {name}={changes!r} is not a list of pairs; {form}") from None
    days = [parse_days(after, f"{owner}: {name}: time after entry") for after, _ in pairs]
    for k in range(1, len(days)):
        if days[k] <= days[k - 1]:
            raise ParameterError(f"{owner}: {name}: {pairs[k][0]!r} does not come after {pairs[k - 1][0]!r}; {form}")
    return pairs


def closed_windows(closures: Iterable[Closure], start: dt.datetime, end: dt.datetime) -> list[tuple[int, int]]:
    """Hours in which any of the closures holds.

    Parameters
    ----------
    closures : iterable of Closure
        Such as ``venue.closures``.
    start, end : datetime.datetime
        Aware datetimes.

    Returns
    -------
    list of (int, int)
        First and last nanosecond after ``start`` of each closed span, ascending, disjoint, within the span.
    """
    return _merged(span for closure in closures for span in closure.windows(start, end))


def window_switches(windows: Iterable[MarginWindow], start: dt.datetime, end: dt.datetime) -> list[tuple[int, str]]:
    """When which margin window begins to hold.

    Parameters
    ----------
    windows : iterable of MarginWindow
        Windows of every day, in local time; an end that is not after the start is on the next day. The one without
        hours holds whenever no other does.
    start, end : datetime.datetime
        Aware datetimes.

    Returns
    -------
    list of (int, str)
        Nanoseconds after ``start`` and the name of the window in force from then on, ascending. The first is at 0; a
        switch at ``end`` itself is included.

    Raises
    ------
    VenueDataError
        If two windows overlap, or none holds at some time.
    """
    last = _span(start, end)
    rest, spans, hours = None, [], {}
    for window in windows:
        if window.start is None or window.end is None:
            rest = window.name
            continue
        owner = f"MarginWindow {window.name!r}"
        zone = _zone(owner, window.timezone)
        begins, ends = _time(owner, "start", window.start), _time(owner, "end", window.end)
        hours[window.name] = f"{window.name!r} ({window.start} to {window.end} {window.timezone})"
        for day in _dates(start, end, zone, before=2):
            a = _instant(day, begins, zone, start)
            b = _instant(day + int(ends <= begins) * _DAY, ends, zone, start)
            if a < b:
                spans.append((a, b, window.name))
    spans.sort()
    pieces: list[tuple[int, str | None]] = [] if spans else [(0, rest)]
    for k, (a, b, name) in enumerate(spans):
        after = spans[k + 1] if k + 1 < len(spans) else None
        if after is not None and after[0] < b:
            raise VenueDataError(f"windows {hours[name]} and {hours[after[2]]} overlap; make their hours meet")
        pieces.append((a, name))
        if after is None or after[0] > b:
            pieces.append((b, rest))
    switches: list[tuple[int, str]] = []
    for k, (ns, held) in enumerate(pieces):
        until = pieces[k + 1][0] if k + 1 < len(pieces) else last + 1
        if until <= 0 or ns > last:
            continue
        if held is None:
            when = (start + dt.timedelta(microseconds=max(ns, 0) // 1000)).isoformat()
            raise VenueDataError(f"no margin window holds at {when}; give one without hours for the time left over")
        if not switches or switches[-1][1] != held:
            switches.append((max(ns, 0), held))
    return switches
