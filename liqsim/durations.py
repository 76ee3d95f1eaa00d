"""Durations: one place that turns what a user writes ("30D", "8h", timedelta64) into years.

A year is 365 days of 24 hours, the convention of crypto funding and volatility quotes.
"""

from __future__ import annotations

import datetime as _dt
import re
from typing import Any, TypeAlias

import numpy as np

from liqsim.errors import ParameterError

__all__ = ["DAYS_PER_YEAR", "HOURS_PER_YEAR", "Duration", "duration_text", "listed", "parse_days", "parse_years"]

Duration: TypeAlias = str | np.timedelta64 | _dt.timedelta

DAYS_PER_YEAR = 365.0
HOURS_PER_YEAR = 8760.0

_LONGEST_DAYS = 36_500.0
_NANOSECONDS_PER_DAY = 86_400_000_000_000
_PATTERN = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]+)\s*")
_DAYS = {
    "w": 7.0, "week": 7.0, "weeks": 7.0,
    "d": 1.0, "day": 1.0, "days": 1.0,
    "h": 1 / 24, "hour": 1 / 24, "hours": 1 / 24,
    "min": 1 / 1440, "minute": 1 / 1440, "minutes": 1 / 1440,
    "s": 1 / 86400, "sec": 1 / 86400, "second": 1 / 86400, "seconds": 1 / 86400,
    "y": 365.0, "year": 365.0, "years": 365.0,
}  # fmt: skip


def parse_days(value: Duration, name: str = "horizon") -> float:
    """Convert a positive duration to days.

    Parameters
    ----------
    value : str, numpy.timedelta64 or datetime.timedelta
        ``"30D"``, ``"8h"``, ``"15min"``, ``"10s"``, ``"2w"``, ``"1y"`` (365 days), or a timedelta.
    name : str
        Argument name for the error message.

    Returns
    -------
    float
        Days, strictly positive and finite.

    Raises
    ------
    ParameterError
        If the value has no unit, an unknown unit, or is not positive and finite.
    """
    hint = f'{name} must be a positive duration with a unit, such as "30D", "8h" or numpy.timedelta64(30, "D")'
    if isinstance(value, np.timedelta64):
        if np.isnat(value) or np.datetime_data(value.dtype)[0] in ("Y", "M", "generic"):
            raise ParameterError(f"{name}={value!r} is not a fixed length of time; {hint}")
        days = float(value / np.timedelta64(_NANOSECONDS_PER_DAY, "ns"))
    elif isinstance(value, _dt.timedelta):
        days = value / _dt.timedelta(days=1)
    elif isinstance(value, str):
        match = _PATTERN.fullmatch(value)
        if match is None:
            raise ParameterError(f"{name}={value!r} cannot be read; {hint}")
        unit = match[2] if match[2] == "M" else match[2].lower()
        if unit not in _DAYS:
            raise ParameterError(f"{name}={value!r} has the unknown unit {match[2]!r}; {hint}")
        days = float(match[1]) * _DAYS[unit]
    else:
        raise ParameterError(f"{name}={value!r} has no unit; {hint}")
    if not (np.isfinite(days) and days > 0):
        raise ParameterError(f"{name}={value!r} is not positive; {hint}")
    if days > _LONGEST_DAYS:
        raise ParameterError(f"{name}={value!r} is longer than {_LONGEST_DAYS:g} days (100 years); give a shorter one")
    return days


def listed(value: Any) -> tuple[list[Any], bool]:
    """Items of one duration or several (list, tuple, array, pandas index or series), and whether it was several."""
    if isinstance(value, (list, tuple)):
        return list(value), True
    return (list(np.asarray(value)), True) if np.ndim(value) > 0 else ([value], False)


def parse_years(value: Duration, name: str = "horizon") -> float:
    """Convert a positive duration to years of 365 days; see :func:`parse_days`."""
    return parse_days(value, name) / DAYS_PER_YEAR


def duration_text(value: Duration) -> str:
    """A duration as text that :func:`parse_days` reads back as exactly the same, for provenance.

    Examples
    --------
    >>> import numpy as np
    >>> duration_text("8h"), duration_text(np.timedelta64(36, "h"))
    ('8h', '1.5D')
    """
    return value if isinstance(value, str) else f"{parse_days(value)!r}D"
