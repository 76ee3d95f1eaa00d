"""Margin schedules that are not tier tables: linear in size, per contract, flat leverage, by time of day."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from liqsim.errors import MarginRuleError, ParameterError, VenueDataError
from liqsim.models._checks import number
from liqsim.venues.contract import FloatArray, SizeUnit, side_sign
from liqsim.venues.margin import LONG, Requirement, ScheduleBase, Terms

__all__ = ["FixedPerContract", "FlatLeverage", "LinearInSize", "MarginWindow", "WindowedRates"]

_FRACTION = "(fraction of value, 0.05 is 5 %)"


@dataclass(frozen=True, kw_only=True)
class LinearInSize(ScheduleBase):
    """Rates that grow with the size of the position, so that the requirement is quadratic in size.

    Parameters
    ----------
    maintenance_base, initial_base : float
        Rates of a vanishing position, fractions of value.
    slope : float
        Increase of both rates per unit of base coin held.
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement.

    Notes
    -----
    ``rate(x) = base + slope x`` with ``x`` the position in base coin, applied to the whole position; in coin
    for inverse contracts, where ``x = quantity / price`` moves with price, and at the current price for
    linear ones. Deribit standard margin, in force since 2022-01-11 [1]_.

    References
    ----------
    .. [1] https://support.deribit.com/hc/en-us/articles/25944826427293-11-January-2022
    """

    maintenance_base: float
    initial_base: float
    slope: float
    unit: SizeUnit = "base"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = "LinearInSize"
        if self.unit != "base":
            raise ParameterError(f'{owner}: unit={self.unit!r} is not allowed; rates grow per base coin, give "base"')
        mm = number(owner, "maintenance_base", self.maintenance_base, _FRACTION, low=0, high=1, high_open=True)
        im = number(owner, "initial_base", self.initial_base, _FRACTION, low=mm, high=1, low_open=True)
        slope = number(owner, "slope", self.slope, "(per unit of base coin)", low=0, high=1)
        for field, value in (("maintenance_base", mm), ("initial_base", im), ("slope", slope)):
            object.__setattr__(self, field, value)

    @property
    def max_notional(self) -> float:
        """Base coin at which the initial margin would be the whole value."""
        return (1.0 - self.initial_base) / self.slope if self.slope > 0 else math.inf

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Maintenance margin of ``size`` coins, in coin."""
        x = np.asarray(size, dtype=float)
        return (self.maintenance_base + self.slope * x) * x

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Least initial margin of ``size`` coins, in coin."""
        x = np.asarray(size, dtype=float)
        return (self.initial_base + self.slope * x) * x

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        return np.asarray(self.initial_base + self.slope * np.asarray(size, dtype=float))

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        slope = self.slope * np.asarray(size, dtype=float)
        return self._one_rate(self.maintenance_base, on_mark=True, moves=moves, slope=slope)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "LinearInSize",
            "unit": self.unit,
            "maintenance_base": self.maintenance_base,
            "initial_base": self.initial_base,
            "slope": self.slope,
            "closing_fee_rate": self.closing_fee_rate,
        }


@dataclass(frozen=True, kw_only=True)
class FixedPerContract(ScheduleBase):
    """A fixed amount of money per contract, whatever its price, until the venue resets it.

    Parameters
    ----------
    maintenance_per_contract : float
        Maintenance margin of one contract, quote currency.
    initial_ratio : float, default 1
        Initial over maintenance margin (CME asks more than 1 of speculative accounts, 1 of members and hedgers).
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement.

    Notes
    -----
    Initial over maintenance from the CME margin file kept by QuantConnect Lean,
    Data/future/cme/margins/BTC.csv (2017-2022).
    """

    maintenance_per_contract: float
    initial_ratio: float = 1.0
    unit: SizeUnit = "contracts"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = "FixedPerContract"
        if self.unit != "contracts":
            raise ParameterError(f'{owner}: unit={self.unit!r} is not allowed; give "contracts"')
        money = "(quote currency per contract)"
        mm = number(owner, "maintenance_per_contract", self.maintenance_per_contract, money, low=0, low_open=True)
        ratio = number(owner, "initial_ratio", self.initial_ratio, "(initial / maintenance)", low=1, high=10)
        object.__setattr__(self, "maintenance_per_contract", mm)
        object.__setattr__(self, "initial_ratio", ratio)

    @property
    def max_notional(self) -> float:
        """No limit on the number of contracts is held here."""
        return math.inf

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Maintenance margin of ``size`` contracts, quote currency."""
        return self.maintenance_per_contract * np.asarray(size, dtype=float)

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Initial margin of ``size`` contracts, quote currency."""
        return self.initial_ratio * self.maintenance(size)

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        return self.initial(size) / np.asarray(value, dtype=float)

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        return self._one_rate(self.maintenance(size) / np.asarray(value, dtype=float), on_mark=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "FixedPerContract",
            "unit": self.unit,
            "maintenance_per_contract": self.maintenance_per_contract,
            "initial_ratio": self.initial_ratio,
            "closing_fee_rate": self.closing_fee_rate,
        }


@dataclass(frozen=True, kw_only=True)
class FlatLeverage(ScheduleBase):
    """Used margin of 1 / leverage, with liquidation when equity falls to a share (level) of it.

    Parameters
    ----------
    max_leverage : float
        Largest leverage offered.
    liquidation_level, call_level : float
        Equity over used margin at which the venue must, and may, liquidate.
    shorts_in_base : bool, default True
        Whether the used margin of a short is fixed in base coin, so that its value follows the price.
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement.

    Notes
    -----
    The leverage chosen when opening stays with the position: the functions here need it. Long:
    ``U = cost / L`` in quote; short: ``U = quantity / L`` in base, times the price. Kraken spot margin [1]_
    [2]_ (n/d).

    References
    ----------
    .. [1] https://support.kraken.com/hc/en-us/articles/203053156-Margin-trading-examples
    .. [2] https://support.kraken.com/hc/en-us/articles/203325763-Margin-call-level-and-margin-liquidation-level
    """

    max_leverage: float
    liquidation_level: float
    call_level: float
    shorts_in_base: bool = True
    unit: SizeUnit = "quote"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = "FlatLeverage"
        if self.unit != "quote":
            raise ParameterError(f'{owner}: unit={self.unit!r} is not allowed; give "quote"')
        level = "(equity / used margin)"
        low = number(owner, "liquidation_level", self.liquidation_level, level, low=0, high=1, high_open=True)
        call = number(owner, "call_level", self.call_level, level, low=low, high=10)
        top = number(owner, "max_leverage", self.max_leverage, "(value / used margin)", low=1)
        for field, value in (("liquidation_level", low), ("call_level", call), ("max_leverage", top)):
            object.__setattr__(self, field, value)

    @property
    def max_notional(self) -> float:
        """No limit is held here."""
        return math.inf

    def _used_rate(self, leverage: Any) -> FloatArray:
        if leverage is None:
            raise MarginRuleError(
                "the requirement depends on the leverage chosen when opening; give leverage, "
                f"a number in [1, {self.max_leverage:g}]"
            )
        return 1.0 / np.asarray(leverage, dtype=float)

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Equity below which a position of quote ``size`` opened at ``leverage`` is liquidated."""
        return self.liquidation_level * self.initial(size, terms)

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Used margin of quote ``size`` at ``leverage``, quote currency."""
        return self._used_rate(terms.leverage) * np.asarray(size, dtype=float)

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        return np.full(np.shape(size), 1.0 / self.max_leverage)

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        rate = self.liquidation_level * self._used_rate(terms.leverage) * np.ones(np.shape(size))
        return self._one_rate(rate, on_mark=side_sign(terms.side) < 0 and self.shorts_in_base)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "FlatLeverage",
            "unit": self.unit,
            "max_leverage": self.max_leverage,
            "liquidation_level": self.liquidation_level,
            "call_level": self.call_level,
            "shorts_in_base": self.shorts_in_base,
            "closing_fee_rate": self.closing_fee_rate,
        }


@dataclass(frozen=True)
class MarginWindow:
    """Initial margin rates of one part of the day; without hours it is all the time left over.

    Parameters
    ----------
    name : str
        Such as ``"intraday"``.
    long_rate, short_rate : float
        Initial margin, fractions of value.
    start, end : str, optional
        Local times ``"HH:MM"`` between which the window holds.
    timezone : str, default "UTC"
        Zone of ``start`` and ``end``, IANA name.
    """

    name: str
    long_rate: float
    short_rate: float
    start: str | None = None
    end: str | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        owner = f"MarginWindow {self.name!r}"
        for field in ("long_rate", "short_rate"):
            rate = number(owner, field, getattr(self, field), _FRACTION, low=0, high=1, low_open=True)
            object.__setattr__(self, field, rate)
        if (self.start is None) != (self.end is None):
            raise ParameterError(f"{owner}: give both start and end, or neither")
        for field in ("start", "end"):
            value = getattr(self, field)
            if value is not None and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value) is None:
                raise ParameterError(f'{owner}: {field}={value!r} is not a time of day; give "HH:MM"')

    def rate(self, side: str) -> float:
        """Initial margin rate of ``side``."""
        return self.long_rate if side_sign(side) > 0 else self.short_rate

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return {
            "name": self.name,
            "long_rate": self.long_rate,
            "short_rate": self.short_rate,
            "start": self.start,
            "end": self.end,
            "timezone": self.timezone,
        }


@dataclass(frozen=True, kw_only=True)
class WindowedRates(ScheduleBase):
    """Rates by time of day and side, charged on the current value.

    Parameters
    ----------
    windows : sequence of MarginWindow
        At most one has no hours: it holds whenever no other does.
    maintenance_share : float, optional
        Liquidation threshold as a share of the initial margin. Absent where no source states it; functions
        that need it then say so.
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement.

    Notes
    -----
    Coinbase Derivatives margin windows, product endpoint ``future_product_details`` (2026-02-08, 2026-08-29).
    """

    windows: tuple[MarginWindow, ...]
    maintenance_share: float | None = None
    unit: SizeUnit = "quote"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "windows", tuple(self.windows))
        names = [w.name for w in self.windows]
        if not names or len(set(names)) != len(names) or sum(w.start is None for w in self.windows) > 1:
            raise ParameterError(f"WindowedRates: windows {names} need different names, and at most one without hours")
        if self.unit != "quote":
            raise ParameterError(f'WindowedRates: unit={self.unit!r} is not allowed; give "quote"')
        if self.maintenance_share is not None:
            share = number(
                "WindowedRates",
                "maintenance_share",
                self.maintenance_share,
                "(of initial margin)",
                low=0,
                high=1,
            )
            object.__setattr__(self, "maintenance_share", share)

    @property
    def max_notional(self) -> float:
        """No limit is held here."""
        return math.inf

    def window_rate(self, side: str, window: str | None) -> float:
        """Initial margin rate of ``side`` in ``window``; without a name, the one that all windows share."""
        rates = {w.name: w.rate(side) for w in self.windows}
        if window is not None:
            if window not in rates:
                raise ParameterError(f"window={window!r} is unknown; give one of {', '.join(map(repr, rates))}")
            return rates[window]
        if len(set(rates.values())) > 1:
            raise MarginRuleError(
                f"the requirement of a {side} changes with the time of day "
                f"({', '.join(f'{k} {v:g}' for k, v in rates.items())}); say which window holds, "
                f"such as window={self.windows[0].name!r}"
            )
        return self.windows[0].rate(side)

    def _share(self) -> float:
        if self.maintenance_share is None:
            raise VenueDataError(
                "no source states the liquidation threshold as a share of the initial margin; give one with "
                'Venue.assume({"margin.maintenance_share": ...})'
            )
        return self.maintenance_share

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Liquidation threshold of quote ``size``, quote currency."""
        return self._share() * self.initial(size, terms)

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Initial margin of quote ``size``, quote currency."""
        return self.window_rate(terms.side, terms.window) * np.asarray(size, dtype=float)

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Rate of the window; without one, the highest of the day."""
        if terms.window is None:
            rate = max(w.rate(terms.side) for w in self.windows)
        else:
            rate = self.window_rate(terms.side, terms.window)
        return np.full(np.shape(size), rate)

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        rate = self._share() * self.window_rate(terms.side, terms.window)
        return self._one_rate(rate * np.ones(np.shape(size)), on_mark=True)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "WindowedRates",
            "unit": self.unit,
            "windows": [w.to_dict() for w in self.windows],
            "maintenance_share": self.maintenance_share,
            "closing_fee_rate": self.closing_fee_rate,
        }
