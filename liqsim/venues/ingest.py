"""Any other venue's tiers: from ccxt, from freqtrade's files, from a CSV or TOML file of one's own.

Nothing here reaches for the network; :func:`liqsim.venues.fetch.fetch_tiers` does, if asked. What a tier table does
not hold is either given on import, or listed as absent, or assumed and marked so in the venue's sources.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from liqsim.errors import LiqsimError, ParameterError, VenueDataError
from liqsim.venues.contract import Contract, SizeUnit
from liqsim.venues.fees import Fees
from liqsim.venues.files import read_venue
from liqsim.venues.funding import FundingRule
from liqsim.venues.margin import ChargedOn
from liqsim.venues.tables import Shape, TierTable
from liqsim.venues.tierfiles import TierFormat, book_from_json, book_from_object, parse_date, read_book
from liqsim.venues.tiers import MarginalTiers, Tier, WholePositionTiers
from liqsim.venues.venue import Source, Venue
from liqsim.venues.writing import venue_sections

__all__ = ["read_tiers", "symbol_contract", "venue_from_ccxt"]

_SYMBOL = re.compile(r"([^/:\s]+)/([^/:\s]+?)(?::([^/:\s-]+)(-[^/:\s]*)?)?")
_SYMBOL_FORM = 'give a symbol such as "BTC/USDT:USDT" (linear) or "BTC/USD:BTC" (inverse)'

_NOT_IN_TABLE = "not in a tier table"


def symbol_contract(
    symbol: str | None,
    contract: Contract | Literal["linear", "inverse"] | None = None,
    contract_size: float | None = None,
) -> Contract:
    """Contract that a ccxt symbol ``BASE/QUOTE:SETTLE`` names.

    Parameters
    ----------
    symbol : str, optional
        Settled in the quote currency: linear; in the base currency: inverse. What follows a dash is an expiry.
    contract : {"linear", "inverse"} or Contract, optional
        What the caller says; it must not contradict the symbol. A Contract is returned as it is.
    contract_size : float, optional
        Base units per contract (linear), quote units per contract (inverse); 1 unless given.

    Returns
    -------
    Contract

    Raises
    ------
    ParameterError
        If neither tells the kind, or they disagree.

    Examples
    --------
    >>> symbol_contract("BTC/USD:BTC").kind
    'inverse'
    """
    if contract is not None and not isinstance(contract, Contract) and contract not in ("linear", "inverse"):
        raise ParameterError(f'contract={contract!r} is unknown; give "linear", "inverse" or a Contract')
    kind = contract.kind if isinstance(contract, Contract) else contract
    match = None if symbol is None else _SYMBOL.fullmatch(symbol)
    base, quote, settle, _ = match.groups() if match else (None, None, None, None)
    if settle is not None:
        named = "linear" if settle == quote else "inverse" if settle == base else "quanto"
        if named == "quanto" and contract is None:
            raise ParameterError(
                f"symbol={symbol!r} is settled in {settle}, neither its base nor its quote currency; give "
                f'contract=Contract("quanto", {base!r}, {quote!r}, settlement={settle!r}, multiplier=...)'
            )
        if kind is not None and kind != named:
            raise ParameterError(
                f"contract={kind!r} contradicts symbol={symbol!r}, which is settled in {settle} and so {named}; "
                "leave contract out, or mend the symbol"
            )
        kind = named  # type: ignore[assignment]
    if isinstance(contract, Contract):
        return contract
    if kind is None:
        raise ParameterError(
            f'symbol={symbol!r} does not tell the contract; {_SYMBOL_FORM}, or contract="linear" or "inverse"'
        )
    multiplier = 1.0 if contract_size is None else contract_size
    if base is None or quote is None:
        return Contract(kind, multiplier=multiplier)
    return Contract(kind, base=base, quote=quote, multiplier=multiplier)


@dataclass(frozen=True)
class _Told:
    """What the caller of an import says."""

    contract: Contract | Literal["linear", "inverse"] | None = None
    contract_size: float | None = None
    taker_fee: float | None = None
    maker_fee: float | None = None
    funding: FundingRule | None = None
    name: str | None = None
    shape: Shape | None = None
    unit: SizeUnit | None = None
    charged_on: ChargedOn | None = None
    snapshot: dt.date | None = None

    def __post_init__(self) -> None:
        for field, allowed in (("shape", Shape), ("unit", SizeUnit), ("charged_on", ChargedOn)):
            value = getattr(self, field)
            if value is not None and value not in get_args(allowed):
                choices = ", ".join(map(repr, get_args(allowed)))
                raise ParameterError(f"{field}={value!r} is unknown; give one of {choices}, or leave it out")
        if isinstance(self.contract, Contract) and self.contract_size is not None:
            raise ParameterError(
                f"contract_size={self.contract_size!r} and a Contract, whose multiplier says the same, are both given; "
                "leave one of them out"
            )

    def names(self) -> list[str]:
        """Fields that were given."""
        return [field for field in self.__dataclass_fields__ if getattr(self, field) is not None]


def _day(snapshot: str | dt.date | None) -> dt.date | None:
    try:
        return parse_date("snapshot", snapshot)
    except VenueDataError as error:
        raise ParameterError(str(error)) from None


def venue_from_ccxt(
    tiers: Any,
    symbol: str | None = None,
    *,
    contract: Contract | Literal["linear", "inverse"] | None = None,
    contract_size: float | None = None,
    taker_fee: float | None = None,
    maker_fee: float | None = None,
    funding: FundingRule | None = None,
    name: str | None = None,
    shape: Shape | None = None,
    unit: SizeUnit | None = None,
    charged_on: ChargedOn | None = None,
    snapshot: str | dt.date | None = None,
) -> Venue:
    """Make a venue of the leverage tiers that ccxt returns.

    Parameters
    ----------
    tiers : mapping, list, str, bytes or pathlib.Path
        What ``fetch_leverage_tiers(symbols)`` (symbols to lists of tiers) or ``fetch_market_leverage_tiers(symbol)``
        (a list) returns, the same as JSON text, freqtrade's cached ``{"updated": time, "data": {...}}``, or the path
        of a JSON file. Both ``minNotional``/``maxNotional`` and the older ``notionalFloor``/``notionalCap`` are read.
    symbol : str, optional
        Which contract, such as ``"BTC/USDT:USDT"``; the only one unless given.
    contract : {"linear", "inverse"} or Contract, optional
        Read off the symbol unless given.
    contract_size : float, optional
        Base units of one contract (linear), quote units (inverse), ccxt's ``contractSize``; needed where the bounds
        count contracts. A Contract has it as its ``multiplier``.
    taker_fee, maker_fee : float, optional
        Fractions of notional. Without them the venue lists them as absent, and a simulation asks for the taker fee.
    funding : funding rule, optional
        A tier table holds none; nothing is paid unless given.
    name : str, optional
        Identifier of the venue; from the symbol unless given.
    shape : {"marginal", "whole-position"}, optional
        Whether each slice pays the rate of its own tier, or the rate of the tier that holds the position applies to
        all of it. Read off the maintenance amounts (``info.cum``, Bybit's ``mmDeduction``) where there are any;
        needed otherwise.
    unit : {"quote", "base", "contracts"}, optional
        How the bounds count size. Notional in quote currency on a linear contract, and what the venue's own rows say
        where they are known to say otherwise; needed on an inverse contract whose rows do not tell.
    charged_on : {"mark", "entry"}, optional
        Value on which the requirement is charged; mark, marked as assumed, unless given.
    snapshot : str or datetime.date, optional
        Day for which the tiers are held; what the file says unless given.

    Returns
    -------
    Venue
        With a checked tier table, and sources that tell what was read, given and assumed.

    Raises
    ------
    VenueDataError
        If a value is missing or not a number, the table breaks a sanity rule, its maintenance amounts are not those
        of marginal tiers, or shape or unit cannot be known. The row is named.
    ParameterError
        If an argument is out of range, or contradicts the symbol.

    Notes
    -----
    Checked: floors ascending and contiguous, maintenance rates never falling, maximum leverages never rising,
    ``1 / max_leverage`` above the maintenance rate, and
    ``cum_k = cum_{k-1} + floor_k (rate_k - rate_{k-1})`` within 0.01 % of ``rate_k floor_k``, or half of the last
    decimal place in which the amounts are written. The deductions that are used are the rebuilt ones. ccxt has no
    unified field for them [1]_.

    References
    ----------
    .. [1] https://github.com/ccxt/ccxt/wiki/Manual, leverage tiers structure (ccxt 4.5, 2026)

    Examples
    --------
    >>> rows = [
    ...     {"minNotional": 0, "maxNotional": 50_000, "maintenanceMarginRate": 0.004, "maxLeverage": 125},
    ...     {"minNotional": 50_000, "maxNotional": None, "maintenanceMarginRate": 0.005, "maxLeverage": 100},
    ... ]
    >>> venue = venue_from_ccxt(rows, "BTC/USDT:USDT", shape="marginal")
    >>> venue.id, venue.margin.deductions.tolist()
    ('btcusdt', [0.0, 50.0])
    """
    told = _Told(
        contract,
        contract_size,
        taker_fee,
        maker_fee,
        funding,
        name,
        shape,
        unit,
        charged_on,
        _day(snapshot),
    )
    if isinstance(tiers, bytes) or (isinstance(tiers, str) and tiers.lstrip()[:1] in ("{", "[")):
        book = book_from_json(tiers, "tiers")
    elif isinstance(tiers, (str, Path)):
        found = read_book(Path(tiers), "json")
        assert found is not None
        book = found
    else:
        book = book_from_object(tiers, "tiers")
    return _venue(book.table(symbol), told)


def read_tiers(
    path: str | Path,
    symbol: str | None = None,
    *,
    format: TierFormat | None = None,
    contract: Contract | Literal["linear", "inverse"] | None = None,
    contract_size: float | None = None,
    taker_fee: float | None = None,
    maker_fee: float | None = None,
    funding: FundingRule | None = None,
    name: str | None = None,
    shape: Shape | None = None,
    unit: SizeUnit | None = None,
    charged_on: ChargedOn | None = None,
    snapshot: str | dt.date | None = None,
) -> Venue:
    """Read a venue from a file of tiers.

    Parameters
    ----------
    path : str or pathlib.Path
        One of, gzip-compressed or not:

        - JSON that ccxt or freqtrade wrote: ``binance_leverage_tiers.json``, one object per pair, or a cached
          ``leverage_tiers_USDT.json``, whose time becomes the snapshot date;
        - CSV with a header: ``floor, cap, maintenance_rate, max_leverage``, and if there are any
          ``maintenance_amount``, ``symbol``, ``currency``. Names such as ``notional_floor`` or
          ``maintenance_margin_rate`` are known too;
        - TOML with ``tiers``, and if there are any ``symbol``, ``unit``, ``shape``, ``currency``, ``snapshot``;
        - TOML of a whole venue, in the form of those shipped.
    symbol : str, optional
        Which contract; the only one unless given.
    format : {"json", "csv", "toml"}, optional
        From the file's name unless given.
    contract, contract_size, taker_fee, maker_fee, funding, name, shape, unit, charged_on, snapshot
        As in :func:`venue_from_ccxt`. The file of a whole venue says all of it itself.

    Returns
    -------
    Venue
        With a checked tier table, and sources that name the file and its SHA-256.

    Raises
    ------
    VenueDataError
        If the file cannot be read, does not hold the symbol, or its table is refused; file, row, value and the
        allowed form are named.
    ParameterError
        If an argument is out of range, or contradicts the file.
    """
    told = _Told(
        contract,
        contract_size,
        taker_fee,
        maker_fee,
        funding,
        name,
        shape,
        unit,
        charged_on,
        _day(snapshot),
    )
    if not isinstance(path, (str, PathLike)):
        raise ParameterError(f"path={path!r} is not a path; give the name of a JSON, CSV or TOML file")
    path = Path(path)
    book = read_book(path, format)
    if book is not None:
        return _venue(book.table(symbol), told)
    given = [*told.names(), *(["symbol"] if symbol is not None else [])]
    if given:
        raise ParameterError(
            f"{path.name} describes a whole venue, so {', '.join(given)} must be left out; change the file, or "
            "dataclasses.replace the venue"
        )
    if path.suffix.lower() == ".gz":
        raise VenueDataError(f"{path.name}: the file of a whole venue is read as plain text; decompress it first")
    return read_venue(path)


def _venue(table: TierTable, told: _Told) -> Venue:
    made = symbol_contract(table.symbol, told.contract, told.contract_size)
    unit = table.unit_for(made, told.unit)
    rows = table.tiers(unit)
    counted_in = {"quote": made.quote, "base": made.base, "contracts": "contracts"}[unit]
    shape, how = table.shape_for(rows, counted_in, told.shape)
    if unit == "contracts":
        rows, unit, how = _contracts(table, rows, made, told, how)
    charged_on = told.charged_on or "mark"
    try:
        schedule: MarginalTiers | WholePositionTiers = (
            MarginalTiers(tiers=rows, unit=unit, charged_on=charged_on)
            if shape == "marginal"
            else WholePositionTiers(tiers=rows, unit=unit, charged_on=charged_on)
        )
        name = told.name if told.name is not None else _identifier(table.symbol)
        venue = Venue(
            id=name,
            name=name,
            product=table.symbol or f"{made.kind} {made.base}{made.quote}",
            contract=made,
            margin=schedule,
            funding=told.funding,
            fees=Fees(taker=told.taker_fee, maker=told.maker_fee),
            snapshot=told.snapshot or table.snapshot,
        )
    except VenueDataError:
        raise
    except LiqsimError as error:
        raise ParameterError(f"{table.owner}: {error}") from None
    return replace(venue, sources=_sources(venue, table, told, how), absent=_absent(venue))


def _identifier(symbol: str | None) -> str:
    """``BTC/USDT:USDT-261225`` as ``btcusdt-261225``."""
    match = None if symbol is None else _SYMBOL.fullmatch(symbol)
    if match:
        return f"{match[1]}{match[2]}{match[4] or ''}".lower()
    return re.sub(r"[^\w-]+", "-", symbol or "custom").strip("-").lower() or "custom"


def _contracts(
    table: TierTable, rows: tuple[Tier, ...], made: Contract, told: _Told, how: str
) -> tuple[tuple[Tier, ...], SizeUnit, str]:
    """Bounds in contracts: kept on a linear contract, turned into quote currency on an inverse one."""
    if not isinstance(told.contract, Contract) and told.contract_size is None:
        of = made.quote if made.kind == "inverse" else made.base
        raise VenueDataError(
            f"{table.owner}: the bounds count contracts, and nothing tells how large one is; give contract_size, the "
            f"{of} of one contract"
        )
    if made.kind != "inverse":
        return rows, "contracts", how
    size = made.multiplier
    scaled = tuple(tier._replace(floor=tier.floor * size, cap=tier.cap * size) for tier in rows)
    return scaled, "quote", f"{how}; bounds in contracts of {size:g} {made.quote}"


def _sources(venue: Venue, table: TierTable, told: _Told, how: str) -> tuple[Source, ...]:
    """Who says each value: the table, the symbol, the caller, or nobody."""
    groups: dict[str, list[str]] = {"table": [], "symbol": [], "caller": [], "nobody": []}
    for section, values in venue_sections(venue).items():
        for field in values:
            if field != "kind":
                groups[_who(section, field, table.symbol, told)].append(f"{section}.{field}")
    date = "n/d" if venue.snapshot is None else venue.snapshot.isoformat()
    digest = "" if table.digest is None else f"SHA-256 {table.digest}; "
    notes: Mapping[str, tuple[str, str, str, str]] = {
        "table": (table.origin, date, "S", f"{digest}{how}."),
        "symbol": (f"symbol {table.symbol}", date, "I", ""),
        "caller": ("given on import", "n/d", "U", ""),
        "nobody": (_NOT_IN_TABLE, "n/d", "I", "Assumed on import; put right what is otherwise at this venue."),
    }
    return tuple(
        Source(tuple(covers), origin, as_of, confidence, note)
        for who, covers in groups.items()
        for origin, as_of, confidence, note in [notes[who]]
        if covers
    )


def _who(section: str, field: str, symbol: str | None, told: _Told) -> str:
    if section == "margin":
        if getattr(told, field, None) is not None:
            return "caller"
        return "table" if field in ("tiers", "unit") else "nobody"
    if section == "contract" and field == "multiplier" and told.contract_size is not None:
        return "caller"
    if section == "contract" and not isinstance(told.contract, Contract):
        return "nobody" if symbol is None or not _SYMBOL.fullmatch(symbol) else "symbol"
    return "nobody" if section == "liquidation" else "caller"


def _absent(venue: Venue) -> tuple[tuple[str, str], ...]:
    contract, fees = venue.contract, venue.fees
    missing = {
        "contract.tick": contract.tick is None,
        "contract.lot": contract.lot is None,
        "fees.taker": fees.taker is None,
        "fees.maker": fees.maker is None,
    }
    gaps = [(name, _NOT_IN_TABLE) for name, is_missing in missing.items() if is_missing]
    if venue.funding is None:
        gaps.append(("funding", f"{_NOT_IN_TABLE}; nothing is paid unless a rule is given"))
    return tuple(gaps)
