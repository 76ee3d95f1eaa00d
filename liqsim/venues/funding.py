"""Funding rules: the rate a venue charges for the premium in force, on what amount, and on which clock."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from liqsim.durations import DAYS_PER_YEAR, Duration, duration_text, parse_days
from liqsim.errors import ParameterError
from liqsim.models._checks import number
from liqsim.venues.clock import DailyTimes, ascending_changes, parse_start
from liqsim.venues.contract import FloatArray, side_sign

__all__ = ["BasisCarry", "FixedFunding", "FundingNotional", "FundingRule", "PremiumFunding", "Rollover"]

FundingNotional: TypeAlias = Literal["mark", "entry", "index"]

_NANOSECONDS_PER_DAY = 86_400_000_000_000


def _whole_ns(days: float) -> int:
    return round(days * _NANOSECONDS_PER_DAY)


class _Clock:
    """When funding is paid, when it becomes cash, and on which value of the position."""

    interval: Duration
    notional: FundingNotional
    first: Duration | None
    anchor: str | None = None
    settlement: DailyTimes | None = None
    changes: tuple[tuple[Duration, Duration], ...] = ()

    def _check_clock(self) -> None:
        owner = type(self).__name__
        parse_days(self.interval, f"{owner}: interval")
        if self.first is not None:
            parse_days(self.first, f"{owner}: first")
        if self.notional not in get_args(FundingNotional):
            raise ParameterError(f'{owner}: notional={self.notional!r} is unknown; give "mark", "entry" or "index"')
        if self.settlement is not None and not isinstance(self.settlement, DailyTimes):
            raise ParameterError(
                f"{owner}: settlement={self.settlement!r} is not allowed; give DailyTimes(...), or None where funding "
                "is cash at once"
            )
        self._check_changes(owner)
        if self.anchor is not None:
            self._check_anchor(owner)

    def _check_changes(self, owner: str) -> None:
        form = 'give (time after entry, new interval) pairs in ascending order, such as (("10D", "1h"),)'
        pairs = ascending_changes(owner, "changes", self.changes, form)
        for _, interval in pairs:
            parse_days(interval, f"{owner}: changes: interval")
        if not isinstance(self.changes, tuple) or pairs:
            object.__setattr__(self, "changes", pairs)

    def _check_anchor(self, owner: str) -> None:
        if not (isinstance(self.anchor, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.anchor)):
            raise ParameterError(f'{owner}: anchor={self.anchor!r} is not a time of day; give "HH:MM", in UTC')
        if self.first is not None:
            raise ParameterError(
                f"{owner}: first={self.first!r} and anchor={self.anchor!r} both place the stamps; leave one of them out"
            )
        for interval in (self.interval, *(new for _, new in self.changes)):
            if _NANOSECONDS_PER_DAY % _whole_ns(parse_days(interval)):
                raise ParameterError(
                    f"{owner}: interval={interval!r} does not divide a day, so anchor={self.anchor!r} would drift; "
                    'give an interval such as "1h" or "8h", or leave anchor out'
                )

    @property
    def interval_days(self) -> float:
        """Time between payments, days."""
        return parse_days(self.interval, "interval")

    @property
    def interval_years(self) -> float:
        """Time between payments, years of 365 days."""
        return self.interval_days / DAYS_PER_YEAR

    @property
    def first_days(self) -> float:
        """Time from entry to the first payment, days; one interval unless ``first`` is given."""
        return self.interval_days if self.first is None else parse_days(self.first, "first")

    def first_after(self, start: dt.datetime) -> float:
        """Days from ``start`` to the first stamp after it; :attr:`first_days` where no anchor places the stamps."""
        if self.anchor is None:
            return self.first_days
        utc = parse_start(start)
        since = utc - utc.replace(hour=int(self.anchor[:2]), minute=int(self.anchor[3:]), second=0, microsecond=0)
        step = _whole_ns(self.interval_days)
        elapsed = since // dt.timedelta(microseconds=1) * 1000 % step
        return (step - elapsed) / _NANOSECONDS_PER_DAY

    def stamps(self, end: int, first: int | None = None) -> list[tuple[int, float]]:
        """Payments up to ``end``, under the intervals of ``changes``.

        Parameters
        ----------
        end : int
            Nanoseconds after entry; a payment at ``end`` is included.
        first : int, optional
            Nanoseconds after entry of the first payment, such as ``first_after`` gives; :attr:`first_days` otherwise.

        Returns
        -------
        list of (int, float)
            Nanoseconds after entry, and the length of the interval that the payment ends over :attr:`interval`, the
            ``length`` of :meth:`PremiumFunding.rates`. The interval that runs when a change comes is finished first.
            The first payment is for a whole interval, whenever in it the position was opened.
        """
        base = _whole_ns(self.interval_days)
        changes = [(_whole_ns(parse_days(after)), _whole_ns(parse_days(new))) for after, new in self.changes]
        at, step, found = _whole_ns(self.first_days) if first is None else first, base, []
        while at <= end:
            found.append((at, step / base))
            while changes and changes[0][0] <= at:
                step = changes.pop(0)[1]
            at += step
        return found

    def _clock_dict(self) -> dict[str, Any]:
        return {
            "interval": duration_text(self.interval),
            "notional": self.notional,
            "first": None if self.first is None else duration_text(self.first),
            "anchor": self.anchor,
            "settlement": None if self.settlement is None else self.settlement.to_dict(),
            "changes": [[duration_text(after), duration_text(interval)] for after, interval in self.changes],
        }


@dataclass(frozen=True)
class PremiumFunding(_Clock):
    """Rate made from the premium in force at the payment stamp.

    Parameters
    ----------
    interval : duration
        Time between payments, such as ``"8h"``; the rate is per interval.
    interest : float, default 0
        Interest term I, fraction per interval.
    clamp : float, default 0
        Half-width c of the clamp on ``I - P``; with ``interest=0`` it is a dead band.
    cap : float, default inf
        Largest absolute rate per interval.
    scale : float, default 1
        Factor on the clamped sum (Kraken PF: 1/8, an hourly share of the premium).
    smoothing : float, default 0
        Weight of the previous rate (Coinbase: 0.25).
    change_cap : float, default inf
        Largest change from the previous rate (BitMEX: 75 % of the maintenance rate).
    notional : {"mark", "entry", "index"}
        Value of the position on which the rate is paid: at the mark price, at entry, or at the index or
        oracle price.
    first : duration, optional
        Time from entry to the first payment; one interval unless given.
    anchor : str, optional
        UTC time of day ``"HH:MM"`` at which there is a stamp, used when the time of entry is known; the interval must
        divide a day (BitMEX ``"04:00"``).
    settlement : DailyTimes, optional
        When payments become cash; until then they are owed but not taken from the balance. At once unless given.
    changes : tuple of (duration, duration), optional
        Time after entry and the interval from then on, ascending: the venue changes the interval within a run.

    Notes
    -----
    ``F = clip((1 - smoothing) scale (P + clamp(I - P, -c, c)) + smoothing F_prev, F_prev -+ change_cap)``,
    then clipped to ``-+cap``; positive rates are paid by longs. BitMEX and Binance: I = 0.01 %, c = 0.05 %
    (https://bitmex.com/app/perpetualContractsGuideExamples). Deribit's dead band
    ``max(d, P) + min(-d, P)`` is I = 0, c = d (funding specifications as read 2026-09-18). Kraken PF and PI:
    premium / k with a cap (contract specifications, 2026). Coinbase: 0.75 mean premium / 24 + 0.25 previous
    (funding rate page, 2026-08-29). Hyperliquid: the Binance form per 8 h, one eighth paid hourly. dYdX: an 8 h rate
    of at most 600 % of initial less maintenance margin, one eighth paid hourly
    (https://github.com/dydxprotocol/v4-chain protocol/testing/genesis.sh, 2026-03-05).

    When the interval changes, ``scale`` is multiplied by the new length over ``interval``: the same premium costs as
    much per day as before. Caps stay per interval, so a shorter one allows more per day: BitMEX's 0.375 % is 1.125 %
    a day at 8 h and 4.5 % at 2 h (https://blog.bitmex.com/important-changes-to-bitcoin-usd-swap-funding).

    Examples
    --------
    >>> rule = PremiumFunding(interval="8h", interest=1e-4, clamp=5e-4, cap=3.75e-3)
    >>> rule.rates([0.0, 0.002, 0.02]).tolist()
    [0.0001, 0.0015, 0.00375]
    """

    interval: Duration
    interest: float = 0.0
    clamp: float = 0.0
    cap: float = math.inf
    scale: float = 1.0
    smoothing: float = 0.0
    change_cap: float = math.inf
    notional: FundingNotional = "mark"
    first: Duration | None = None
    anchor: str | None = None
    settlement: DailyTimes | None = None
    changes: tuple[tuple[Duration, Duration], ...] = ()

    def __post_init__(self) -> None:
        self._check_clock()
        unit = "(fraction of notional per interval)"
        owner = "PremiumFunding"
        checked = {
            "interest": number(owner, "interest", self.interest, unit, low=-1, high=1),
            "clamp": number(owner, "clamp", self.clamp, unit, low=0, high=1),
            "scale": number(owner, "scale", self.scale, "", low=0, high=1, low_open=True),
            "smoothing": number(owner, "smoothing", self.smoothing, "(weight)", low=0, high=1, high_open=True),
        }
        for field in ("cap", "change_cap"):
            value = getattr(self, field)
            if isinstance(value, bool) or value != math.inf:
                checked[field] = number(owner, field, value, unit + " or inf", low=0, high=1, low_open=True)
        for field, value in checked.items():
            object.__setattr__(self, field, value)

    def rates(self, premium: ArrayLike, previous: ArrayLike = 0.0, length: ArrayLike = 1.0) -> FloatArray:
        """Funding rate per interval.

        Parameters
        ----------
        premium : array_like
            Perpetual / index - 1.
        previous : array_like, default 0
            Rate of the interval before.
        length : array_like, default 1
            Length of the interval over ``interval``, where ``changes`` made it another.

        Returns
        -------
        ndarray
            Fraction of notional, positive where longs pay.
        """
        p, last = np.asarray(premium, dtype=float), np.asarray(previous, dtype=float)
        rate = self.scale * np.asarray(length, dtype=float) * (p + np.clip(self.interest - p, -self.clamp, self.clamp))
        if self.smoothing:
            rate = (1.0 - self.smoothing) * rate + self.smoothing * last
        if self.change_cap < math.inf:
            rate = np.clip(rate, last - self.change_cap, last + self.change_cap)
        return np.asarray(np.clip(rate, -self.cap, self.cap))

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {
            "kind": "PremiumFunding",
            **self._clock_dict(),
            "interest": self.interest,
            "clamp": self.clamp,
            "cap": self.cap,
            "scale": self.scale,
            "smoothing": self.smoothing,
            "change_cap": self.change_cap,
        }


@dataclass(frozen=True)
class FixedFunding(_Clock):
    """The same rate at every payment, whatever the premium.

    Parameters
    ----------
    rate : float
        Paid by longs to shorts, fraction of notional per interval; negative where shorts pay.
    interval : duration, default "8h"
        Time between payments.
    notional : {"mark", "entry", "index"}
        Value of the position on which the rate is paid.
    first : duration, optional
        Time from entry to the first payment; one interval unless given.
    anchor, settlement
        As in :class:`PremiumFunding`.
    """

    rate: float
    interval: Duration = "8h"
    notional: FundingNotional = "mark"
    first: Duration | None = None
    anchor: str | None = None
    settlement: DailyTimes | None = None

    def __post_init__(self) -> None:
        self._check_clock()
        rate = number("FixedFunding", "rate", self.rate, "(fraction of notional per interval)", low=-1, high=1)
        object.__setattr__(self, "rate", rate)

    def rates(self, premium: ArrayLike, previous: ArrayLike = 0.0) -> FloatArray:
        """Funding rate per interval, of the broadcast shape of ``premium`` and ``previous``."""
        shape = np.broadcast_shapes(np.shape(premium), np.shape(previous))
        return np.full(shape, self.rate)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {"kind": "FixedFunding", "rate": self.rate, **self._clock_dict()}


@dataclass(frozen=True)
class BasisCarry(_Clock):
    """What holding a dated future costs as it converges to spot, and what it costs to roll it.

    The price that is simulated is spot. A future above it loses the difference by its expiry: a long pays the basis
    as time passes and a short receives it, and both pay to roll into the next contract.

    Parameters
    ----------
    basis : float
        Rate b at which the future stands above spot, fraction of value per year; negative where it is below.
    interval : duration, default "1D"
        Time between the charges into which the carry is cut.
    notional : {"mark", "entry", "index"}
        Value of the position on which it is charged.
    first : duration, optional
        Time from entry to the first charge; one interval unless given.
    roll_interval : duration, optional
        Time from entry to the first roll and between rolls. None: the position ends before one is due.
    roll_cost : float, default 0
        What a roll costs besides two taker fees, the spread between the two contracts: fraction of notional, paid by
        either side.
    anchor : str, optional
        As in :class:`PremiumFunding`.

    Notes
    -----
    ``F(t) = S(t) exp(b (T - t))``, so the future returns ``b dt`` less than spot over ``dt``. A roll costs the spread
    between the two contracts and two fees. CME bitcoin futures trade on a curve of this form, 5.5 to 5.7 % a year in
    the quotes page of the micro future on 2026-08-29.

    Examples
    --------
    >>> round(float(BasisCarry(0.0365).rates(0.0)), 12)
    0.0001
    """

    basis: float
    interval: Duration = "1D"
    notional: FundingNotional = "mark"
    first: Duration | None = None
    roll_interval: Duration | None = None
    roll_cost: float = 0.0
    anchor: str | None = None

    def __post_init__(self) -> None:
        self._check_clock()
        basis = number("BasisCarry", "basis", self.basis, "(fraction of value per year, 0.05 is 5 %)", low=-2, high=2)
        cost = number("BasisCarry", "roll_cost", self.roll_cost, "(fraction of notional per roll)", low=0, high=1)
        if self.roll_interval is not None:
            parse_days(self.roll_interval, "BasisCarry: roll_interval")
        elif cost > 0:
            raise ParameterError(
                f'BasisCarry: roll_cost={cost:g} is never charged; give roll_interval, such as "30D", or leave it out'
            )
        object.__setattr__(self, "basis", basis)
        object.__setattr__(self, "roll_cost", cost)

    @property
    def roll_days(self) -> float | None:
        """Time between rolls, days; None where there are none."""
        return None if self.roll_interval is None else parse_days(self.roll_interval, "roll_interval")

    def rates(self, premium: ArrayLike, previous: ArrayLike = 0.0) -> FloatArray:
        """Carry per interval, paid by longs, of the broadcast shape of ``premium`` and ``previous``."""
        shape = np.broadcast_shapes(np.shape(premium), np.shape(previous))
        return np.full(shape, self.basis * self.interval_years)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {
            "kind": "BasisCarry",
            "basis": self.basis,
            "roll_interval": None if self.roll_interval is None else duration_text(self.roll_interval),
            "roll_cost": self.roll_cost,
            **self._clock_dict(),
        }


@dataclass(frozen=True)
class Rollover(_Clock):
    """Interest on what a margin trade borrows: charged at opening and again at every interval.

    Unlike funding it is paid by both sides, to the lender.

    Parameters
    ----------
    long_rate, short_rate : float
        Fee per interval of a long (quote borrowed) and a short (base borrowed), fraction of the amount.
    opening_long, opening_short : float
        Fee at opening, fraction of the amount borrowed.
    interval : duration, default "4h"
        Time between charges.

    Notes
    -----
    Kraken spot margin, https://support.kraken.com/articles/206161568 (2026-02-10).
    """

    long_rate: float
    short_rate: float
    opening_long: float
    opening_short: float
    interval: Duration = "4h"
    notional: FundingNotional = "entry"
    first: Duration | None = None

    def __post_init__(self) -> None:
        self._check_clock()
        for field in ("long_rate", "short_rate", "opening_long", "opening_short"):
            value = number("Rollover", field, getattr(self, field), "(fraction borrowed)", low=0, high=1)
            object.__setattr__(self, field, value)

    def cost(self, side: str, elapsed: Duration) -> float:
        """Fees of ``side`` up to ``elapsed`` after opening, fraction of the amount borrowed."""
        long = side_sign(side) > 0
        days = parse_days(elapsed, "elapsed")
        past_first = days - self.first_days
        n = 0 if past_first < 0 else 1 + math.floor(past_first / self.interval_days + 1e-9)
        opening = self.opening_long if long else self.opening_short
        return opening + n * (self.long_rate if long else self.short_rate)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {
            "kind": "Rollover",
            "long_rate": self.long_rate,
            "short_rate": self.short_rate,
            "opening_long": self.opening_long,
            "opening_short": self.opening_short,
            **self._clock_dict(),
        }


FundingRule: TypeAlias = PremiumFunding | FixedFunding | BasisCarry | Rollover
