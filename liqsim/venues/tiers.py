"""Margin schedules given as a table of tiers: marginal (with deduction) and whole-position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from liqsim.errors import VenueDataError
from liqsim.models._checks import number
from liqsim.venues.contract import FloatArray, SizeUnit
from liqsim.venues.margin import LONG, ChargedOn, Requirement, ScheduleBase, Terms

__all__ = ["InitialShape", "MarginalTiers", "Tier", "WholePositionTiers"]

InitialShape: TypeAlias = Literal["whole", "marginal"]
TierRow: TypeAlias = Sequence[float | None]


class Tier(NamedTuple):
    """One row of a tier table; sizes in the schedule's unit, ``cap`` inf for no limit."""

    floor: float
    cap: float
    maintenance_rate: float
    max_leverage: float


_FORM = "(floor, cap, maintenance_rate, max_leverage)"


def _read_row(owner: str, k: int, row: Any) -> Tier:
    try:
        values = list(row)
    except TypeError:
        values = []
    if len(values) != 4:
        raise VenueDataError(f"{owner}: tier {k} is {row!r}; give {_FORM}, four numbers")
    floor, cap, rate, leverage = values
    if cap is None:
        cap = math.inf
    where = f"{owner}: tier {k}"
    try:
        floor = number(where, "floor", floor, "(size)", low=0)
        if isinstance(cap, bool) or cap != math.inf:
            cap = number(where, "cap", cap, "(size; None or inf for the last row)", low=floor, low_open=True)
        rate = number(
            where, "maintenance_rate", rate, "(fraction of value, 0.05 is 5 %)", low=0, high=1, high_open=True
        )
        leverage = number(where, "max_leverage", leverage, "(value / initial margin)", low=1)
    except VenueDataError:
        raise
    except ValueError as error:
        raise VenueDataError(str(error)) from None
    return Tier(floor, float(cap), rate, leverage)


def checked_tiers(owner: str, rows: Iterable[Any]) -> tuple[Tier, ...]:
    """Read a tier table and refuse one that overlaps, has holes, or is not ordered.

    Bounds ascending and contiguous, maintenance rate never falling, maximum leverage never rising.
    """
    try:
        listed = list(rows)
    except TypeError:
        raise VenueDataError(f"{owner}: tiers={rows!r} is not a table; give a list of rows {_FORM}") from None
    tiers = tuple(_read_row(owner, k, row) for k, row in enumerate(listed, start=1))
    if not tiers:
        raise VenueDataError(f"{owner}: the tier table is empty; give at least one row {_FORM}")
    if tiers[0].floor != 0:
        raise VenueDataError(
            f"{owner}: tier 1 starts at {tiers[0].floor:g}; the first floor must be 0 so that no size is left out"
        )
    for k, (low, high) in enumerate(pairwise(tiers), start=2):
        slack = 1e-12 * high.floor
        if high.floor < low.cap - slack:
            raise VenueDataError(
                f"{owner}: tier {k} overlaps tier {k - 1}: its floor {high.floor:g} is below the cap "
                f"{low.cap:g}; make floor and cap equal"
            )
        if high.floor > low.cap + slack:
            raise VenueDataError(
                f"{owner}: there is a hole between tier {k - 1} (cap {low.cap:g}) and tier {k} "
                f"(floor {high.floor:g}); make floor and cap equal"
            )
        if high.maintenance_rate < low.maintenance_rate:
            raise VenueDataError(
                f"{owner}: tier {k} has maintenance_rate {high.maintenance_rate:g}, below "
                f"{low.maintenance_rate:g} of tier {k - 1}; rates must not decrease with size"
            )
        if high.max_leverage > low.max_leverage:
            raise VenueDataError(
                f"{owner}: tier {k} has max_leverage {high.max_leverage:g}, above {low.max_leverage:g} "
                f"of tier {k - 1}; leverage must not increase with size"
            )
    return tiers


def refuse_unopenable(owner: str, tiers: Iterable[Tier]) -> None:
    """Refuse a venue's table in which a position at the maximum leverage would be liquidated as it opens.

    For tables that come from a venue, where it means a broken file. A table of one's own may name any maximum: a
    simulation refuses the leverages that it cannot open.
    """
    for k, tier in enumerate(tiers, start=1):
        if 1.0 / tier.max_leverage <= tier.maintenance_rate:
            raise VenueDataError(
                f"{owner}: tier {k} allows max_leverage {tier.max_leverage:g}, an initial margin of "
                f"{1.0 / tier.max_leverage:g}, which is not above its maintenance_rate "
                f"{tier.maintenance_rate:g}; a position would be liquidated as it opens"
            )


@dataclass(frozen=True, kw_only=True)
class _TierTable(ScheduleBase):
    """A checked tier table, how size is counted, and the value on which the rate is charged."""

    tiers: tuple[Tier, ...]
    unit: SizeUnit = "quote"
    charged_on: ChargedOn = "mark"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("unit", SizeUnit)
        self._choice("charged_on", ChargedOn)
        object.__setattr__(self, "tiers", checked_tiers(type(self).__name__, self.tiers))

    @cached_property
    def floors(self) -> FloatArray:
        """Lower bounds of the tiers."""
        return np.array([t.floor for t in self.tiers])

    @cached_property
    def caps(self) -> FloatArray:
        """Upper bounds of the tiers; a size equal to a cap belongs to that tier."""
        return np.array([t.cap for t in self.tiers])

    @cached_property
    def rates(self) -> FloatArray:
        """Maintenance rates of the tiers."""
        return np.array([t.maintenance_rate for t in self.tiers])

    @cached_property
    def initial_rates(self) -> FloatArray:
        """Initial margin rates of the tiers, 1 / max_leverage."""
        return 1.0 / np.array([t.max_leverage for t in self.tiers])

    @property
    def max_notional(self) -> float:
        """Cap of the last tier, in ``unit``."""
        return self.tiers[-1].cap

    def tier_index(self, size: ArrayLike) -> np.ndarray:
        """Zero-based row that holds ``size``; sizes beyond the last cap count into the last row."""
        k = np.searchsorted(self.caps, np.asarray(size, dtype=float), side="left")
        return np.minimum(k, len(self.tiers) - 1)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": type(self).__name__,
            "unit": self.unit,
            "charged_on": self.charged_on,
            "closing_fee_rate": self.closing_fee_rate,
            "tiers": [list(t) for t in self.tiers],
        }

    @property
    def deductions(self) -> FloatArray:
        """Amounts deducted from rate times size, in ``unit``; none where a rate applies to the whole position."""
        return np.zeros(len(self.tiers))

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        n = np.asarray(size, dtype=float)[..., np.newaxis]
        caps = np.append(self.caps[:-1], np.inf) / n
        on_mark = self.charged_on == "mark"
        return Requirement(
            caps=caps,
            rates=np.broadcast_to(self.rates, caps.shape),
            deductions=self.deductions / n,
            slope=np.zeros(caps.shape[:-1]),
            on_mark=on_mark,
            size_moves=moves and on_mark,
            closing_fee_rate=self.closing_fee_rate,
        )


@dataclass(frozen=True, kw_only=True)
class MarginalTiers(_TierTable):
    """Each slice of the size pays the rate of its own tier; the requirement is continuous in size.

    Parameters
    ----------
    tiers : sequence of (floor, cap, maintenance_rate, max_leverage)
        Rows in ascending order; the last cap may be inf or None.
    unit : {"quote", "base", "contracts"}
        How size is counted: quote currency (linear: notional at the current price; inverse: quote value of
        the contracts, which does not move with price) or base coin.
    charged_on : {"mark", "entry"}
        Whether the requirement follows the price or stays at its entry value.
    initial_shape : {"whole", "marginal"}
        ``whole``: the tier's maximum leverage holds for all of the position; ``marginal``: initial margin is
        summed by slices as maintenance is.
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement, fraction of current value.

    Notes
    -----
    The requirement is ``rate_k n - cum_k`` with ``cum_0 = 0`` and
    ``cum_k = cum_{k-1} + floor_k (rate_k - rate_{k-1})``. Published in this form by Binance [1]_ and
    Hyperliquid [2]_; Kraken Futures describes the same sum by slices [3]_.

    References
    ----------
    .. [1] https://www.binance.com/en/futures/trading-rules/perpetual/portfolio-margin/notional-limit
    .. [2] https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers (2025-26)
    .. [3] https://support.kraken.com/hc/en-us/articles/360022632452 (2025)

    Examples
    --------
    >>> tiers = MarginalTiers(tiers=[(0, 50_000, 0.004, 125), (50_000, None, 0.005, 100)])
    >>> float(tiers.maintenance(100_000))
    450.0
    """

    initial_shape: InitialShape = "whole"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("initial_shape", InitialShape)

    @cached_property
    def deductions(self) -> FloatArray:
        """Maintenance amounts ``cum_k`` that make the requirement continuous, in ``unit``."""
        return self._cumulated(self.rates)

    def _cumulated(self, rates: FloatArray) -> FloatArray:
        return np.concatenate([[0.0], np.cumsum(self.floors[1:] * np.diff(rates))])

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Maintenance margin of ``size``, in ``unit``."""
        n, k = np.asarray(size, dtype=float), self.tier_index(size)
        return self.rates[k] * n - self.deductions[k]

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Least initial margin of ``size``, in ``unit``."""
        n, k = np.asarray(size, dtype=float), self.tier_index(size)
        if self.initial_shape == "whole":
            return self.initial_rates[k] * n
        return self.initial_rates[k] * n - self._cumulated(self.initial_rates)[k]

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        return self.initial(size) / np.asarray(size, dtype=float)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "initial_shape": self.initial_shape}


@dataclass(frozen=True, kw_only=True)
class WholePositionTiers(_TierTable):
    """The rate of the tier that holds the position applies to all of it; the requirement jumps at a cap.

    Parameters
    ----------
    tiers : sequence of (floor, cap, maintenance_rate, max_leverage)
        Rows in ascending order; the last cap may be inf or None.
    unit : {"quote", "base", "contracts"}
        How size is counted.
    charged_on : {"mark", "entry"}
        With ``entry`` the tier, too, is that of the entry value (BitMEX: position cost).
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement, fraction of current value.

    Notes
    -----
    BitMEX: https://www.bitmex.com/app/riskLimitsExamples (n/d). OKX:
    https://okx.huicker.com/fr-fr/help/v-tiered-maintenance-margin-ratio-rules (2025-05-16).
    """

    @classmethod
    def from_steps(
        cls,
        *,
        base_limit: float,
        step: float,
        base_maintenance: float,
        base_initial: float,
        unit: SizeUnit = "base",
        charged_on: ChargedOn = "entry",
        closing_fee_rate: float = 0.0,
    ) -> WholePositionTiers:
        """Build the rows of a risk-limit rule: each step adds the base maintenance rate to both rates.

        ``n = ceil(max(0, value - base_limit) / step)``, maintenance ``base_maintenance (1 + n)``, initial
        ``base_initial + n base_maintenance`` (BitMEX, https://www.bitmex.com/app/riskLimitsExamples). Rows
        end where the initial margin would exceed the whole value.
        """
        owner = "WholePositionTiers.from_steps"
        rate = "(fraction of value)"
        limit = number(owner, "base_limit", base_limit, "(size)", low=0, low_open=True)
        width = number(owner, "step", step, "(size)", low=0, low_open=True)
        mm = number(owner, "base_maintenance", base_maintenance, rate, low=0, high=1, low_open=True, high_open=True)
        im = number(owner, "base_initial", base_initial, rate, low=mm, high=1, low_open=True)
        n_steps = math.floor((1.0 - im) / mm + 1e-9)
        rows = [(0.0, limit, mm, 1.0 / im)] + [
            (limit + (n - 1) * width, limit + n * width, mm * (1 + n), max(1.0, 1.0 / (im + n * mm)))
            for n in range(1, n_steps + 1)
        ]
        return cls(
            tiers=tuple(Tier(*r) for r in rows),
            unit=unit,
            charged_on=charged_on,
            closing_fee_rate=closing_fee_rate,
        )

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Maintenance margin of ``size``, in ``unit``."""
        return self.rates[self.tier_index(size)] * np.asarray(size, dtype=float)

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Least initial margin of ``size``, in ``unit``."""
        return self.initial_rates[self.tier_index(size)] * np.asarray(size, dtype=float)

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        return self.initial_rates[self.tier_index(size)]
