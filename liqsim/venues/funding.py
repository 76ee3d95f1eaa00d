"""Funding rules: the rate a venue charges for the premium in force, and on what amount."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from liqsim.durations import DAYS_PER_YEAR, Duration, parse_days
from liqsim.errors import ParameterError
from liqsim.models._checks import number
from liqsim.venues.contract import FloatArray, side_sign

__all__ = ["FixedFunding", "FundingNotional", "FundingRule", "PremiumFunding", "Rollover"]

FundingNotional: TypeAlias = Literal["mark", "entry", "index"]


class _Clock:
    """When funding is paid and on which value of the position."""

    interval: Duration
    notional: FundingNotional
    first: Duration | None

    def _check_clock(self) -> None:
        owner = type(self).__name__
        parse_days(self.interval, f"{owner}: interval")
        if self.first is not None:
            parse_days(self.first, f"{owner}: first")
        if self.notional not in get_args(FundingNotional):
            raise ParameterError(f'{owner}: notional={self.notional!r} is unknown; give "mark", "entry" or "index"')

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

    def _clock_dict(self) -> dict[str, Any]:
        return {
            "interval": str(self.interval),
            "notional": self.notional,
            "first": None if self.first is None else str(self.first),
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

    Notes
    -----
    ``F = clip((1 - smoothing) scale (P + clamp(I - P, -c, c)) + smoothing F_prev, F_prev -+ change_cap)``,
    then clipped to ``-+cap``; positive rates are paid by longs. BitMEX and Binance: I = 0.01 %, c = 0.05 %
    (https://bitmex.com/app/perpetualContractsGuideExamples). Deribit's dead band
    ``max(d, P) + min(-d, P)`` is I = 0, c = d (funding specifications as read 2026-09-18). Kraken PF and PI:
    premium / k with a cap (contract specifications, 2026). Coinbase: 0.75 mean premium / 24 + 0.25 previous
    (funding rate page, 2026-08-29). Hyperliquid: the Binance form per 8 h, one eighth paid hourly.

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

    def rates(self, premium: ArrayLike, previous: ArrayLike = 0.0) -> FloatArray:
        """Funding rate per interval for ``premium`` (fraction of index) and the ``previous`` rate."""
        p, last = np.asarray(premium, dtype=float), np.asarray(previous, dtype=float)
        rate = self.scale * (p + np.clip(self.interest - p, -self.clamp, self.clamp))
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
    """

    rate: float
    interval: Duration = "8h"
    notional: FundingNotional = "mark"
    first: Duration | None = None

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


FundingRule: TypeAlias = PremiumFunding | FixedFunding | Rollover
