"""Price series: reading a file of bars, and log returns that never span a gap."""

from __future__ import annotations

import csv
import datetime as _dt
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liqsim.durations import parse_days
from liqsim.errors import CalibrationError

__all__ = ["MIN_RETURNS", "PriceSeries", "load_prices", "log_returns"]

MIN_RETURNS = 100
"""Fewest returns that a fit accepts."""

_MAX_GAP_SHARE = 0.2
_TIME_NAMES = ("time_utc", "time", "timestamp", "datetime", "date", "open_time", "open time")
_UNITS = ((86_400_000, "D"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))
_EPOCH_UNITS = ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (1e20, 1e-6))
_UTC = _dt.UTC


@dataclass(frozen=True, eq=False)
class PriceSeries:
    """Prices at increasing times, and the returns between neighbours one interval apart.

    Parameters
    ----------
    times : array_like of datetime64, shape (n,)
        UTC, strictly increasing. For bars: the stamp of the bar, whichever end it marks.
    prices : array_like, shape (n,)
        Quote per base, finite and > 0.
    source : str
        File or other origin, quoted in messages and results.
    stale : array_like of datetime64, shape (m,)
        Stamps of bars without trades that were left out.

    Attributes
    ----------
    interval : str
        The commonest step between stamps, such as ``"1h"``.

    Raises
    ------
    CalibrationError
        If a stamp repeats or goes back, a price is not finite and positive, fewer than 100 returns remain, or
        more than a fifth of the steps differ from the commonest.

    Notes
    -----
    A return over any other step than ``interval`` (a gap, or an off-schedule bar) is left out and counted in
    ``n_gaps``: a jump-diffusion fitted to one interval has no use for it.
    """

    times: npt.NDArray[np.datetime64]
    prices: npt.NDArray[np.float64]
    source: str = ""
    stale: npt.NDArray[np.datetime64] = field(default_factory=lambda: np.array([], dtype="datetime64[ms]"))
    interval: str = field(init=False)

    def __post_init__(self) -> None:
        times, prices = _as_times(self.times), _as_floats(self.prices, "prices")
        if times.ndim != 1 or times.shape != prices.shape:
            raise CalibrationError(
                f"times has shape {times.shape} and prices {prices.shape}; give two 1-D arrays of one length"
            )
        rows = np.arange(times.size)
        _check_prices(prices, rows, "row")
        _check_times(times, rows, "row")
        if times.size <= MIN_RETURNS:
            raise CalibrationError(
                f"{self.source or 'prices'}: {max(times.size - 1, 0)} returns; at least {MIN_RETURNS} are needed"
            )
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "prices", prices)
        object.__setattr__(self, "stale", _as_times(self.stale))
        steps, counts = np.unique(np.diff(times).astype(np.int64), return_counts=True)
        step = int(steps[np.argmax(counts)])
        object.__setattr__(self, "interval", interval_text(step))
        kept = self.returns.size
        if kept < MIN_RETURNS or kept < (1 - _MAX_GAP_SHARE) * (times.size - 1):
            raise CalibrationError(
                f"{self.source or 'prices'}: only {kept} of {times.size - 1} steps between stamps equal the commonest "
                f"one, {self.interval}; at least {MIN_RETURNS} and four fifths of them must. Resample to a regular "
                "interval first"
            )

    @property
    def _regular(self) -> npt.NDArray[np.bool_]:
        step = parse_days(self.interval, "interval") * 86_400_000
        return np.asarray(np.abs(np.diff(self.times).astype(np.int64) - step) <= 0.01 * step)

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """Log returns over one interval, in time order, gaps left out."""
        return np.asarray(np.diff(np.log(self.prices))[self._regular])

    @property
    def return_times(self) -> npt.NDArray[np.datetime64]:
        """Stamp of the later bar of each return."""
        return np.asarray(self.times[1:][self._regular])

    @property
    def n_obs(self) -> int:
        """Number of returns."""
        return int(self._regular.sum())

    @property
    def n_gaps(self) -> int:
        """Steps left out because they differ from ``interval``."""
        return int((~self._regular).sum())

    @property
    def window(self) -> tuple[str, str]:
        """Stamps of the first and last return, ISO 8601 UTC."""
        stamps = self.return_times
        return _iso(stamps[0]), _iso(stamps[-1])

    def between(self, start: str, stop: str) -> PriceSeries:
        """Returns whose stamp lies in ``[start, stop)``, ISO 8601 UTC; the price just before ``start`` is kept."""
        try:
            low, high = (np.datetime64(_milliseconds(text), "ms") for text in (start, stop))
        except ValueError as error:
            raise CalibrationError(f"window [{start}, {stop}): {error}") from None
        inside = (self.times >= low) & (self.times < high)
        if not inside.any():
            raise CalibrationError(
                f"window [{start}, {stop}) holds no bar; the series runs from {_iso(self.times[0])} to "
                f"{_iso(self.times[-1])}"
            )
        first = int(np.argmax(inside))
        if first > 0 and self._regular[first - 1]:
            inside[first - 1] = True
        stale = self.stale[(self.stale >= low) & (self.stale < high)]
        return PriceSeries(self.times[inside], self.prices[inside], self.source, stale)


def log_returns(prices: npt.ArrayLike, times: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
    """Log returns of consecutive prices.

    Parameters
    ----------
    prices : array_like, shape (n,)
        Finite and > 0.
    times : array_like of datetime64, shape (n,), optional
        If given, returns over any but the commonest step are left out; see :class:`PriceSeries`.

    Returns
    -------
    numpy.ndarray
        Dimensionless; ``n - 1`` values without ``times``.

    Raises
    ------
    CalibrationError
        If a price is not finite and positive (the position is named), or the times are not usable.

    Examples
    --------
    >>> log_returns([100.0, 110.0, 99.0]).round(6)
    array([ 0.09531 , -0.105361])
    """
    values = _as_floats(prices, "prices")
    if values.ndim != 1 or values.size < 2:
        raise CalibrationError(f"prices has shape {values.shape}; give a 1-D array of at least 2 prices")
    if times is not None:
        return PriceSeries(np.asarray(times), values).returns
    _check_prices(values, np.arange(values.size), "row")
    return np.asarray(np.diff(np.log(values)))


def load_prices(
    path: str | Path,
    column: str = "close",
    *,
    time_column: str | None = None,
    volume_column: str | None = None,
) -> PriceSeries:
    """Read bars from a CSV file, plain or gzip-compressed.

    Parameters
    ----------
    path : str or pathlib.Path
        File with one header line, separated by commas, semicolons or tabs.
    column : str, default "close"
        Price column; upper and lower case are alike.
    time_column : str, optional
        By default the first of ``time_utc``, ``time``, ``timestamp``, ``datetime``, ``date``, ``open_time``.
        Values are ISO 8601 (UTC where no offset is written) or Unix epoch in s, ms, us or ns.
    volume_column : str, optional
        If given, bars with zero volume are left out: their price is stale. The steps around them count as
        gaps.

    Returns
    -------
    PriceSeries

    Raises
    ------
    CalibrationError
        If the file cannot be read, a column is missing (those present are listed), or a row has a stamp that
        repeats, goes back or cannot be read, or a price that is not a finite number > 0 (the line of the file
        is named).
    """
    if not isinstance(path, (str, PathLike)):
        raise CalibrationError(f"path={path!r} is not a path; give the name of a CSV file")
    path = Path(path)
    header, rows = _read(path)
    price_at = _find(header, (column,), path, "column")
    time_at = _find(header, (time_column,) if time_column else _TIME_NAMES, path, "time_column")
    volume_at = _find(header, (volume_column,), path, "volume_column") if volume_column else None
    stamps, prices, lines, stale = [], [], [], []
    for line, row in rows:
        if len(row) != len(header):
            raise CalibrationError(
                f"{path.name} line {line}: {len(row)} fields where the header has {len(header)}; repair the line"
            )
        try:
            stamp = _milliseconds(row[time_at])
        except ValueError as error:
            raise CalibrationError(f"{path.name} line {line}: {header[time_at]}={error}") from None
        if volume_at is not None and _float(row[volume_at], path, line, header[volume_at]) == 0:
            stale.append(stamp)
            continue
        stamps.append(stamp)
        prices.append(_float(row[price_at], path, line, header[price_at]))
        lines.append(line)
    times, where = np.array(stamps, dtype="datetime64[ms]"), np.array(lines)
    _check_prices(np.array(prices), where, f"{path.name} line", header[price_at])
    _check_times(times, where, f"{path.name} line")
    return PriceSeries(times, np.array(prices), path.name, np.array(stale, dtype="datetime64[ms]"))


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise CalibrationError(f"path={str(path)!r} cannot be read: {reason}; give a CSV file") from None
    except (UnicodeDecodeError, EOFError) as error:
        raise CalibrationError(f"path={str(path)!r} is not a text file in UTF-8: {error}") from None
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    rows = [(reader.line_num, row) for row in reader if row]
    if not rows:
        raise CalibrationError(f"path={str(path)!r} is empty; give a CSV file with a header line and one line per bar")
    header = [name.strip() for name in rows[0][1]]
    if all(_is_number(name) for name in header):
        raise CalibrationError(
            f"{path.name} line 1: {', '.join(header[:4])}... is not a header; name the columns in the first line"
        )
    return header, rows[1:]


def _find(header: Sequence[str], names: Sequence[str], path: Path, argument: str) -> int:
    lower = [name.lower() for name in header]
    for name in names:
        if name.lower() in lower:
            return lower.index(name.lower())
    wanted = " or ".join(repr(name) for name in names)
    raise CalibrationError(
        f"{path.name} has no column {wanted}; present are {', '.join(header)}. Name one with {argument}=, or in a "
        f"shell --{argument.replace('_', '-')}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _float(text: str, path: Path, line: int, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        advice = "remove the row (it then counts as a gap)" if not text.strip() else "give a plain number"
        raise CalibrationError(f"{path.name} line {line}: {name}={text!r} is not a number; {advice}") from None


def _milliseconds(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 stamp or of a Unix epoch in s, ms, us or ns."""
    text = text.strip()
    if _is_number(text):
        value = float(text)
        for limit, factor in _EPOCH_UNITS:
            if 1e8 <= value < limit:
                return round(value * factor)
        raise ValueError(f"{text} is not a Unix epoch in s, ms, us or ns; give one after 1973 or ISO 8601 UTC")
    try:
        stamp = _dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; give ISO 8601 UTC or a Unix epoch") from None
    stamp = stamp.replace(tzinfo=_UTC) if stamp.tzinfo is None else stamp
    return round(stamp.timestamp() * 1000)


def _as_floats(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{name} are not numbers: {error}; give a 1-D array of floats") from None


def _as_times(values: npt.ArrayLike) -> npt.NDArray[np.datetime64]:
    times = np.asarray(values)
    if times.dtype.kind == "M":
        return times.astype("datetime64[ms]")
    raise CalibrationError(f"times has dtype {times.dtype}; give numpy.datetime64 values in UTC")


def _check_prices(prices: np.ndarray, rows: np.ndarray, label: str, name: str = "price") -> None:
    bad = np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))
    if bad.size:
        raise CalibrationError(
            f"{label} {rows[bad[0]]}: {name}={prices[bad[0]]:g} is not allowed ({bad.size} such in all); "
            "give finite prices > 0 [quote per base], or remove the rows (they then count as gaps)"
        )


def _check_times(times: np.ndarray, rows: np.ndarray, label: str) -> None:
    if np.isnat(times).any():
        raise CalibrationError(f"{label} {rows[np.flatnonzero(np.isnat(times))[0]]}: the time is missing; give one")
    step = np.diff(times).astype(np.int64)
    for bad, what, advice in (
        (step == 0, "repeats the stamp", "keep one row per stamp"),
        (step < 0, "goes back to the stamp", "sort the rows by time"),
    ):
        if bad.any():
            at = int(np.argmax(bad)) + 1
            raise CalibrationError(f"{label} {rows[at]} {what} {_iso(times[at])}; {advice}")


def interval_text(milliseconds: float) -> str:
    """Duration in the largest unit that divides it, such as ``"1h"``."""
    for length, unit in _UNITS:
        if milliseconds % length == 0:
            return f"{round(milliseconds / length)}{unit}"
    return f"{milliseconds / 1000:.12g}s"


def _iso(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[ms]")).removesuffix(".000") + "Z"


def check_returns(returns: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return log returns as a checked 1-D array of at least :data:`MIN_RETURNS` finite values in [-5, 5]."""
    values = _as_floats(returns, "returns")
    if values.ndim != 1:
        raise CalibrationError(f"returns has shape {values.shape}; give a 1-D array of log returns")
    if values.size < MIN_RETURNS:
        raise CalibrationError(f"returns holds {values.size} values; at least {MIN_RETURNS} are needed")
    bad = np.flatnonzero(~(np.abs(values) <= 5))
    if bad.size:
        raise CalibrationError(
            f"returns[{bad[0]}]={values[bad[0]]:g} is not allowed; give finite log returns in [-5, 5] (0.01 is one "
            "per cent)"
        )
    if math.isclose(float(values.min()), float(values.max()), abs_tol=1e-15):
        raise CalibrationError(f"returns are all {values[0]:g}; a price that never moves has no volatility to fit")
    return values
