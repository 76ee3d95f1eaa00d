"""Files of tier tables: JSON as ccxt and freqtrade write it, CSV and TOML of one's own; any of them gzip-compressed."""

from __future__ import annotations

import csv
import datetime as dt
import difflib
import gzip
import hashlib
import io
import re
import tomllib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues.contract import SizeUnit
from liqsim.venues.tables import COLUMNS, PASSED_OVER, Shape, TierTable, plain_name, read_row

__all__ = ["Book", "TierFormat", "book_from_json", "book_from_object", "parse_date", "read_book"]

TierFormat: TypeAlias = Literal["json", "csv", "toml"]

_TOML_KEYS = ("tiers", "symbol", "currency", "unit", "shape", "snapshot")


@dataclass(frozen=True)
class Book:
    """Rows of one or more contracts, not yet read, and what the file says about all of them."""

    origin: str
    entries: Mapping[str | None, list[tuple[str, Any]]]
    unit: SizeUnit | None = None
    shape: Shape | None = None
    snapshot: dt.date | None = None
    digest: str | None = None
    symbols: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", [name for name in self.entries if name is not None])

    def table(self, symbol: str | None = None) -> TierTable:
        """Return the table of ``symbol``; the only one if None.

        Raises
        ------
        VenueDataError
            If the book does not hold the symbol (near ones are offered), or holds several and none is named.
        """
        if symbol is not None and self.symbols and symbol not in self.entries:
            near = self._near(symbol)
            hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise VenueDataError(f"{self.origin}: symbol={symbol!r} is not in it; {hint}It holds {self._contents()}")
        if symbol is None and len(self.entries) > 1:
            raise VenueDataError(f"{self.origin} holds {self._contents()}; say which, symbol={self.symbols[0]!r}")
        key = symbol if symbol in self.entries else next(iter(self.entries), None)
        name = symbol if symbol is not None else key
        owner = self.origin if name is None else f"{self.origin}: {name}"
        return TierTable(
            self.origin,
            tuple(read_row(owner, where, item) for where, item in self._items(owner, key)),
            name,
            self.unit,
            self.shape,
            self.snapshot,
            self.digest,
        )

    def _items(self, owner: str, key: str | None) -> list[tuple[str, Any]]:
        items = self.entries.get(key) or []
        if not items:
            raise VenueDataError(
                f"{owner}: the tier table is empty; give at least one row with {', '.join(list(COLUMNS)[:4])}"
            )
        return items

    def _near(self, symbol: str) -> list[str]:
        """Symbols that may be meant: the same letters (BTCUSDT for BTC/USDT:USDT) first."""
        wanted = plain_name(symbol)
        same = [name for name in self.symbols if wanted in (plain_name(name), plain_name(re.sub(":[^-]*", "", name)))]
        return (same or difflib.get_close_matches(symbol, self.symbols, n=3, cutoff=0.6))[:3]

    def _contents(self) -> str:
        shown = ", ".join(self.symbols[:5])
        return shown if len(self.symbols) <= 5 else f"{len(self.symbols)} symbols, {shown} ..."


def parse_date(where: str, value: Any) -> dt.date | None:
    """Return a date, or that of a time in UTC; None where there is none."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise VenueDataError(f'{where}={value!r} is not a date; give "YYYY-MM-DD"') from None
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo is not None else value).date()
    if value is None or isinstance(value, dt.date):
        return value
    raise VenueDataError(f'{where}={value!r} is not a date; give "YYYY-MM-DD"')


def book_from_object(value: Any, origin: str) -> Book:
    """Make a book of what ``fetch_leverage_tiers`` or ``fetch_market_leverage_tiers`` of ccxt returns.

    Parameters
    ----------
    value : mapping or list
        Symbols to lists of rows, a list of rows, or freqtrade's cached ``{"updated": time, "data": {...}}``.
    origin : str
        Name for messages.

    Raises
    ------
    VenueDataError
        If it is neither.
    """
    snapshot = None
    if isinstance(value, Mapping) and "data" in value and set(value) <= {"updated", "data"}:
        snapshot = parse_date(f"{origin}: updated", value.get("updated"))
        value = value["data"]
    form = "give a mapping of symbols to lists of tiers, or the list of one symbol, as ccxt returns them"
    if isinstance(value, Mapping):
        for symbol, rows in value.items():
            if not isinstance(rows, (list, tuple)):
                raise VenueDataError(f"{origin}: {symbol!r} holds {_short(rows)}, not a list of tiers; {form}")
        if not value:
            raise VenueDataError(f"{origin}: there is no tier table in it; {form}")
        return Book(origin, {str(symbol): _numbered(rows) for symbol, rows in value.items()}, snapshot=snapshot)
    if isinstance(value, (list, tuple)):
        entries: dict[str | None, list[Any]] = {}
        for row in value:
            symbol = row.get("symbol") if isinstance(row, Mapping) else None
            entries.setdefault(symbol if isinstance(symbol, str) and symbol else None, []).append(row)
        return Book(origin, {symbol: _numbered(rows) for symbol, rows in entries.items()}, snapshot=snapshot)
    raise VenueDataError(f"{origin} is {_short(value)}; {form}")


def _numbered(rows: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(f"tier {k}", row) for k, row in enumerate(rows, start=1)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def book_from_json(text: str | bytes, origin: str) -> Book:
    """Make a book of JSON text in one of the forms of :func:`book_from_object`."""
    try:
        return book_from_object(msgspec.json.decode(text), origin)
    except msgspec.DecodeError as error:
        raise VenueDataError(
            f"{origin}: {error}; give JSON such as json.dump of what ccxt's fetch_leverage_tiers returns"
        ) from None


def read_book(path: Path, format: TierFormat | None = None) -> Book | None:
    """Read a file of tier tables; None for a TOML file that describes a whole venue.

    Parameters
    ----------
    path : pathlib.Path
        File, gzip-compressed or not.
    format : {"json", "csv", "toml"}, optional
        From the file's name unless given.

    Raises
    ------
    VenueDataError
        If it cannot be read or is not of that format.
    """
    if format is None:
        suffixes = [s.lower().lstrip(".") for s in path.suffixes if s.lower() != ".gz"]
        if not suffixes or suffixes[-1] not in get_args(TierFormat):
            raise VenueDataError(f'{path.name}: the name does not tell the format; give format="json", "csv" or "toml"')
        format = suffixes[-1]  # type: ignore[assignment]
    elif format not in get_args(TierFormat):
        raise ParameterError(f'format={format!r} is unknown; give "json", "csv" or "toml"')
    try:
        stored = path.read_bytes()
        text = gzip.decompress(stored) if stored.startswith(b"\x1f\x8b") else stored
        digest = hashlib.sha256(stored).hexdigest()
        if format == "json":
            return replace(book_from_json(text.removeprefix(b"\xef\xbb\xbf"), path.name), digest=digest)
        decoded = text.decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise VenueDataError(f"{path.name}: the compressed file is broken; fetch or write it again") from None
    except UnicodeDecodeError as error:
        raise VenueDataError(f"{path.name}: {error}; write the file as UTF-8") from None
    except OSError as error:
        raise VenueDataError(
            f"{str(path)!r} cannot be read: {error.strerror or error}; give a JSON, CSV or TOML file of tiers"
        ) from None
    book = _csv_book(decoded, path.name) if format == "csv" else _toml_book(decoded, path.name)
    return None if book is None else replace(book, digest=digest)


def _csv_book(text: str, origin: str) -> Book:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        lines = [(f"line {reader.line_num}", line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise VenueDataError(f"{origin}, line {reader.line_num}: {error}; write plain comma-separated values") from None
    if not lines:
        raise VenueDataError(f"{origin}: the file is empty; give a header line such as {','.join(list(COLUMNS)[:4])}")
    head = [cell.strip() for cell in lines[0][1]]
    _check_head(head, f"{origin}, {lines[0][0]}")
    entries: dict[str | None, list[tuple[str, Any]]] = {}
    for where, line in lines[1:]:
        if len(line) != len(head):
            raise VenueDataError(
                f"{origin}, {where}: {len(line)} values for the {len(head)} columns {','.join(head)}; "
                "give one for each, and put text with a comma in quotes"
            )
        row = {_csv_key(name): cell.strip() for name, cell in zip(head, line, strict=True) if name}
        symbol = row.get("symbol") or row.get("pair") or None
        entries.setdefault(symbol, []).append((where, row))
    return Book(origin, entries or {None: []})


def _csv_key(name: str) -> str:
    """Name of a column; those that are not numbers by their plain names."""
    return plain_name(name) if plain_name(name) in PASSED_OVER else name


def _check_head(head: list[str], where: str) -> None:
    known = {alias: name for name, aliases in COLUMNS.items() for alias in aliases}
    names = [plain_name(cell) for cell in head]
    found = {known[name] for name in names if name in known}
    if len(head) == 1 and any(mark in head[0] for mark in ";\t|"):
        raise VenueDataError(f"{where}: header {head[0]!r} has no commas; write comma-separated values")
    for cell, name in zip(head, names, strict=True):
        if name and name not in known and name not in PASSED_OVER:
            near = difflib.get_close_matches(name, [*known, *PASSED_OVER], n=1, cutoff=0.7)
            hint = f"did you mean {known.get(near[0], near[0])!r}? " if near else ""
            raise VenueDataError(
                f"{where}: column {cell!r} is unknown; {hint}Known: {', '.join((*COLUMNS, *PASSED_OVER[:-1]))}"
            )
    for name in names:
        same = [
            cell
            for cell, other in zip(head, names, strict=True)
            if name and known.get(other, other) == known.get(name, name)
        ]
        if len(same) > 1:
            raise VenueDataError(f"{where}: columns {' and '.join(map(repr, same))} mean the same; keep one of them")
    missing = [name for name in list(COLUMNS)[:4] if name not in found]
    if missing:
        raise VenueDataError(
            f"{where}: there is no column {missing[0]!r} among {', '.join(map(repr, head))}; give a header line "
            f"such as {','.join(list(COLUMNS)[:4])}"
        )


def _toml_book(text: str, origin: str) -> Book | None:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise VenueDataError(f"{origin} is not TOML: {error}") from None
    if "margin" in raw or "contract" in raw:
        return None
    for key in raw:
        if key not in _TOML_KEYS:
            near = difflib.get_close_matches(key, _TOML_KEYS, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise VenueDataError(f"{origin}: key {key!r} is unknown; {hint}Known: {', '.join(_TOML_KEYS)}")
    for key, allowed in (("unit", SizeUnit), ("shape", Shape)):
        if key in raw and raw[key] not in get_args(allowed):
            choices = ", ".join(map(repr, get_args(allowed)))
            raise VenueDataError(f"{origin}: {key}={raw[key]!r} is unknown; give one of {choices}")
    for key in ("symbol", "currency"):
        if key in raw and not (isinstance(raw[key], str) and raw[key]):
            raise VenueDataError(f'{origin}: {key}={raw[key]!r} is not a name; give text such as "BTC/USDT:USDT"')
    form = f"give tiers = [[{', '.join(list(COLUMNS)[:4])}], ...], or [[tiers]] sections with these keys"
    rows = raw.get("tiers")
    if not isinstance(rows, list):
        raise VenueDataError(f"{origin}: tiers={_short(rows)} is not a list of rows; {form}")
    items = []
    for where, row in _numbered(rows):
        if isinstance(row, list) and len(row) == 4:
            row = dict(zip(COLUMNS, row, strict=False))
        if not isinstance(row, dict):
            raise VenueDataError(f"{origin}, {where} is {_short(row)}; {form}")
        _check_keys(row, f"{origin}, {where}")
        items.append((where, {"currency": raw.get("currency"), **row}))
    return Book(
        origin,
        {raw.get("symbol"): items},
        unit=raw.get("unit"),
        shape=raw.get("shape"),
        snapshot=parse_date(f"{origin}: snapshot", raw.get("snapshot")),
    )


def _check_keys(row: Mapping[str, Any], where: str) -> None:
    known = {alias for aliases in COLUMNS.values() for alias in aliases}
    for key in row:
        if plain_name(key) not in known and plain_name(key) not in PASSED_OVER:
            near = difflib.get_close_matches(key, COLUMNS, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise VenueDataError(f"{where}: key {key!r} is unknown; {hint}Known: {', '.join(COLUMNS)}")
