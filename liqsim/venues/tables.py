"""Tier tables as libraries and people write them down: names, numbers, units, and the checks on import.

A table may come from ccxt, freqtrade, a CSV or a TOML file. What they have in common is rows that name a floor, a cap,
a maintenance rate and a maximum leverage, under several names, and sometimes the deduction that makes the requirement
continuous. Whether the rates are marginal, and in what the bounds are counted, is seldom written beside them: it is
read where it can be known and asked for otherwise.
"""

from __future__ import annotations

import bisect
import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues.contract import Contract, SizeUnit
from liqsim.venues.tiers import MarginalTiers, Tier, checked_tiers, refuse_unopenable

__all__ = ["COLUMNS", "PASSED_OVER", "Shape", "TierRow", "TierTable", "plain_name", "read_row"]

Shape: TypeAlias = Literal["marginal", "whole-position"]

# Names of the columns, letters and digits only: ours, ccxt's (notionalFloor and notionalCap before mid-2022), the rows
# that freqtrade caches, and Binance's own.
COLUMNS = {
    "floor": ("floor", "notionalfloor", "minnotional", "min"),
    "cap": ("cap", "notionalcap", "maxnotional", "max"),
    "maintenance_rate": ("maintenancerate", "maintenancemarginrate", "maintmarginratio", "mmr"),
    "max_leverage": ("maxleverage", "initialleverage", "lev"),
    "maintenance_amount": ("maintenanceamount", "maintamount", "maintamt", "deduction", "cum", "mmdeduction"),
}
# Columns that are known and not needed.
PASSED_OVER = ("symbol", "pair", "tier", "bracket", "currency", "settle", "note", "info")
_FIELDS = {alias: field for field, aliases in COLUMNS.items() for alias in aliases}

_FORMS = {
    "floor": "the size at which the tier begins, such as 50000",
    "cap": "the size at which the tier ends, such as 600000, or nothing for no limit",
    "maintenance_rate": "a fraction of value, 0.05 for 5 %",
    "max_leverage": "value over initial margin, such as 20; 1 / initial margin rate where the venue gives that",
    "maintenance_amount": "the amount deducted from rate times size, such as 50, or no such column",
}

# What the fields of a venue's own row (ccxt: info) say about its bounds, on a linear and on an inverse contract. None:
# they are known not to be what ccxt calls them, and the venue's pages do not settle which unit they are.
# notionalCap, qtyCap: Binance brackets, "notional", "base asset quantity" (developers.binance.com, 2026). maxSz: OKX,
# "number of positions held" (docs-v5, 2026). riskLimitValue: Bybit, "position limit", in the settlement coin (docs v5,
# 2025: 150 for BTCUSD). contracts: Kraken Futures marginLevels. riskIncrVol: MEXC, volumes in contracts. The last four
# are fields of Kraken Futures, KuCoin's unified accounts, HTX and HashKey.
_UNIT_OF_FIELD: dict[str, tuple[SizeUnit | None, SizeUnit | None]] = {
    "notionalCap": ("quote", None),
    "qtyCap": (None, "base"),
    "maxSz": ("contracts", "contracts"),
    "riskLimitValue": ("quote", "base"),
    "contracts": ("contracts", "contracts"),
    "riskIncrVol": ("contracts", "contracts"),
    "numNonContractUnits": (None, None),
    "maxSize": (None, None),
    "max_size": (None, None),
    "quantity": (None, None),
}

# Largest jump of the requirement at a tier's floor, as a share of the rate times the floor, that passes for rounding;
# half of the last decimal place that the amounts are written with does as well.
_ROUNDING = 1e-4


class TierRow(NamedTuple):
    """One row as it was read: where it stands, its values by our names, and the fields of the venue's own row."""

    where: str
    values: Mapping[str, Any]
    currency: str | None = None
    symbol: str | None = None
    venue_fields: frozenset[str] = frozenset()


def plain_name(name: object) -> str:
    """Letters and digits of a column's name, in lower case."""
    return "".join(c for c in str(name).lower() if c.isalnum())


def read_row(owner: str, where: str, item: Any) -> TierRow:
    """Take what we know from a mapping such as a row of ccxt; names that we do not know are passed over.

    Parameters
    ----------
    owner : str
        File and contract, for messages.
    where : str
        Place in the file, such as ``"tier 3"``.
    item : mapping
        Names to values, numbers or text.

    Raises
    ------
    VenueDataError
        If ``item`` is not a mapping, or two of its names mean the same and differ.
    """
    if not isinstance(item, Mapping):
        raise VenueDataError(f"{owner}, {where} is {item!r}; give a mapping with {', '.join(COLUMNS)}")
    values: dict[str, Any] = {}
    for key, value in item.items():
        field = _FIELDS.get(plain_name(key))
        if field is None or value is None:
            continue
        if field in values and values[field] != value:
            raise VenueDataError(
                f"{owner}, {where} gives {field} twice, {values[field]!r} and {value!r}; keep one of them"
            )
        values[field] = value
    info = item.get("info")
    info = info if isinstance(info, Mapping) else {}
    for key in info:
        if _FIELDS.get(plain_name(key)) == "maintenance_amount":
            values.setdefault("maintenance_amount", info[key])
    # Binance spells the floor of its coin-margined brackets qtylFloor, which ccxt does not find.
    if "floor" not in values and "qtylFloor" in info:
        values["floor"] = info["qtylFloor"]
    currency, symbol = item.get("currency"), item.get("symbol")
    return TierRow(
        where,
        values,
        currency if isinstance(currency, str) and currency else None,
        symbol if isinstance(symbol, str) and symbol else None,
        frozenset(str(key) for key in info),
    )


def _figure(where: str, field: str, value: Any) -> float | None:
    """Return ``value`` as a number, or None where it is empty; text may hold a number."""
    given = f"{where}: {field}={value!r}"
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            if text.endswith("%"):
                share = float(text[:-1]) / 100.0
                raise VenueDataError(f"{given} is a percentage; write the fraction {share:.10g}")
            number = float(text)
        except VenueDataError:
            raise
        except ValueError:
            hint = "; leave out separators of thousands" if "," in text else ""
            raise VenueDataError(f"{given} is not a number; give {_FORMS[field]}{hint}") from None
    elif isinstance(value, (Real, Decimal)) and not isinstance(value, (bool, np.bool_)):
        try:
            number = float(value)
        except (OverflowError, ValueError):
            number = math.nan
    else:
        raise VenueDataError(f"{given} is not a number; give {_FORMS[field]}")
    if math.isnan(number) or (math.isinf(number) and not (field == "cap" and number > 0)):
        raise VenueDataError(f"{given} is not finite; give {_FORMS[field]}")
    return number


@dataclass(frozen=True)
class TierTable:
    """The rows of one contract, with what their file says about them.

    Parameters
    ----------
    origin : str
        File name, or what was passed, for messages and sources.
    rows : tuple of TierRow
        In the order of the file.
    symbol : str, optional
        Contract that they are of.
    unit, shape, snapshot, digest
        What the file says: unit of the bounds, marginal or whole-position, date, and its SHA-256; None if nothing.
    """

    origin: str
    rows: tuple[TierRow, ...]
    symbol: str | None = None
    unit: SizeUnit | None = None
    shape: Shape | None = None
    snapshot: dt.date | None = None
    digest: str | None = None

    @property
    def owner(self) -> str:
        """File and contract, for messages."""
        return self.origin if self.symbol is None else f"{self.origin}: {self.symbol}"

    def unit_for(self, contract: Contract, unit: SizeUnit | None) -> SizeUnit:
        """How the bounds count size: as told by the caller, the file or the venue's own rows, else by ccxt's rule.

        By that rule the bounds of a linear contract are notional in quote currency.

        Raises
        ------
        VenueDataError
            If it cannot be known.
        """
        if unit is not None or self.unit is not None:
            return unit if unit is not None else self.unit  # type: ignore[return-value]
        inverse = contract.kind == "inverse"
        fields = frozenset().union(*(row.venue_fields for row in self.rows))
        for field, units in _UNIT_OF_FIELD.items():
            if field in fields:
                known = units[inverse]
                if known is not None:
                    return known
                raise VenueDataError(self._which_unit(contract, f"the venue's {field} does not tell which"))
        currencies = {row.currency for row in self.rows} - {None}
        if not inverse and currencies <= {contract.quote, contract.settlement}:
            return "quote"
        said = f"currency={' and '.join(map(repr, sorted(map(str, currencies))))} does not tell which"
        raise VenueDataError(self._which_unit(contract, said if currencies else "no currency is given"))

    def _which_unit(self, contract: Contract, why: str) -> str:
        return (
            f"{self.owner}: the bounds of {'an inverse' if contract.kind == 'inverse' else 'this linear'} contract may "
            f'count {contract.quote}, {contract.base} or contracts, and {why}; give unit="quote", "base" or "contracts"'
        )

    def tiers(self, unit: SizeUnit) -> tuple[Tier, ...]:
        """Return the rows as tiers that pass the sanity rules.

        A bound that is missing is that of the neighbouring tier; a missing last cap means no limit. Where size is
        counted in contracts, a floor one step above the cap before it is that cap: 0 to 2000, 2001 to 4000.

        Raises
        ------
        VenueDataError
            If a value is missing or not a number, floors are not ascending and contiguous, maintenance rates fall,
            maximum leverages rise, or 1 / max_leverage is not above the maintenance rate. The row is named.
        """
        read: list[list[float | None]] = []
        for row in self.rows:
            where = f"{self.owner}, {row.where}"
            line = [_figure(where, field, row.values.get(field)) for field in list(COLUMNS)[:4]]
            for field, value in zip(list(COLUMNS)[2:4], line[2:], strict=True):
                if value is None:
                    raise VenueDataError(f"{where}: {field} is missing; add it: {_FORMS[field]}")
            read.append(line)
        self._fill_bounds(read)
        if unit == "contracts":
            _join_steps(read)
        return self._checked(read)

    def _fill_bounds(self, read: list[list[float | None]]) -> None:
        for k, line in enumerate(read):
            if line[0] is None:
                line[0] = read[k - 1][1] if k else 0.0
            if line[1] is None:
                line[1] = read[k + 1][0] if k + 1 < len(read) else math.inf
            if line[0] is None or line[1] is None:
                raise VenueDataError(
                    f"{self.owner}, {self.rows[k].where}: neither its bounds nor those of its neighbours are given; "
                    "add floor and cap"
                )

    def _checked(self, read: Sequence[Sequence[float | None]]) -> tuple[Tier, ...]:
        try:
            return _sane(self.owner, read)
        except VenueDataError as error:
            reason = str(error)
        # The first row with which the table is out of order; those before it are in order.
        k = bisect.bisect_left(range(1, len(read) + 1), True, key=lambda n: not _is_sane(read[:n]))
        where = self.rows[k].where if self.rows else ""
        if where and where not in reason:
            reason += f" ({where})"
        if all(rate is not None and lev and rate / 100.0 * lev < 1.0 <= rate * lev for _, _, rate, lev in read):
            reason += "; the rates look like percentages: write 0.005 for 0.5 %"
        raise VenueDataError(reason) from None

    def shape_for(self, tiers: tuple[Tier, ...], unit: str, shape: Shape | None) -> tuple[Shape, str]:
        """Whether a rate holds for its slice of the position or for all of it, and how that is known.

        Parameters
        ----------
        tiers : tuple of Tier
            From :meth:`tiers`.
        unit : str
            In what they count size, for messages.
        shape : {"marginal", "whole-position"}, optional
            What the caller says.

        Raises
        ------
        VenueDataError
            If the table does not tell and the caller does not either, or if they disagree.
        """
        told = shape if shape is not None else self.shape
        amounts = self._amounts()
        if amounts is None:
            if told is not None:
                return told, "the table holds no maintenance amounts; the shape was given on import"
            if len({tier.maintenance_rate for tier in tiers}) == 1:
                return "marginal", "one rate for every size"
            raise VenueDataError(self._which_shape(tiers, unit))
        mismatch = self._mismatch(tiers, amounts)
        if mismatch is None:
            if told == "whole-position" and any(amounts):
                raise VenueDataError(
                    f'{self.owner}: shape="whole-position" contradicts the maintenance amounts, which are those of '
                    "marginal tiers in every row; leave shape out, or the amounts"
                )
            return told or "marginal", "the maintenance amounts are those of marginal tiers"
        if told == "whole-position":
            return told, "the maintenance amounts are not those of marginal tiers; the shape was given on import"
        raise VenueDataError(mismatch)

    def _amounts(self) -> list[float] | None:
        """Deductions of the rows; None if there are none."""
        name = "maintenance_amount"
        found = [_figure(f"{self.owner}, {row.where}", name, row.values.get(name)) for row in self.rows]
        if all(amount is None for amount in found):
            return None
        found[0] = found[0] or 0.0  # Bybit leaves it empty there
        for row, amount in zip(self.rows, found, strict=True):
            if amount is None:
                raise VenueDataError(
                    f"{self.owner}, {row.where}: {name} is missing, which other rows have; give it in every row, or in "
                    "none"
                )
        return [amount for amount in found if amount is not None]

    def _mismatch(self, tiers: tuple[Tier, ...], amounts: list[float]) -> str | None:
        """What is wrong with the amounts as those of marginal tiers; None if nothing beyond rounding."""
        rebuilt = MarginalTiers(tiers=tiers).deductions
        last_place = 0.5 * 10.0 ** -max(_decimals(amount) for amount in amounts)
        for row, tier, amount, wanted in zip(self.rows, tiers, amounts, rebuilt.tolist(), strict=True):
            slack = _ROUNDING * tier.maintenance_rate * tier.floor
            if abs(amount - wanted) > (max(slack, last_place) if amount else slack):
                return (
                    f"{self.owner}, {row.where}: maintenance_amount={amount:.10g} is not the {wanted:.10g} of marginal "
                    "tiers, cum_k = cum_(k-1) + floor_k (rate_k - rate_(k-1)): either each rate holds for the whole "
                    'position or the file is broken; give shape="whole-position" if the venue says the first, '
                    "otherwise mend or remove the amounts"
                )
        return None

    def _which_shape(self, tiers: tuple[Tier, ...], unit: str) -> str:
        schedule = MarginalTiers(tiers=tiers)
        k = int(np.flatnonzero(np.diff(schedule.rates))[0]) + 1
        size = tiers[k].cap if math.isfinite(tiers[k].cap) else 2.0 * tiers[k].floor
        sliced, whole = float(schedule.maintenance(size)), tiers[k].maintenance_rate * size
        return (
            f"{self.owner}: the table has no maintenance amounts, so it does not tell whether a rate holds for its "
            f"slice of the position or for all of it: at {size:.10g} {unit} the requirement is {sliced:.10g} or "
            f'{whole:.10g} {unit}; give shape="marginal" (as Binance, Bybit, Kraken Futures and Hyperliquid) or '
            'shape="whole-position" (as BitMEX and OKX)'
        )


def _decimals(amount: float) -> int:
    """Decimal places with which a number is written."""
    exponent = Decimal(repr(amount)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _sane(owner: str, rows: Iterable[Any]) -> tuple[Tier, ...]:
    tiers = checked_tiers(owner, rows)
    refuse_unopenable(owner, tiers)
    return tiers


def _is_sane(rows: Iterable[Any]) -> bool:
    try:
        _sane("", rows)
    except ParameterError:
        return False
    return True


def _join_steps(read: list[list[float | None]]) -> None:
    """Let each tier begin at the cap before it where all begin one and the same step above it, the first at 0."""
    gaps = {round(high[0] - low[1], 9) for low, high in pairwise(read) if low[1] is not None and high[0] is not None}
    step = gaps.pop() if len(gaps) == 1 else 0.0
    bounds = [bound for line in read for bound in line[:2] if bound is not None and math.isfinite(bound)]
    if step > 0.0 and all(math.isclose(bound / step, round(bound / step), abs_tol=1e-6) for bound in bounds):
        if read[0][0] == step:
            read[0][0] = 0.0
        for low, high in pairwise(read):
            high[0] = low[1]
