"""What every margin schedule offers, and the forms in which requirements are solved.

Let ``w`` be the price's effect on the position's value, 1 at entry (price over entry price, or its inverse), and ``q``
the share of the position that is left. A schedule turns an entry size into the maintenance requirement per unit of
entry value as a function of both, a :class:`Requirement`. For the whole position it is made of :class:`Pieces`

    m(w) = c0 + c1 w + c2 w^2        for lo < w <= hi.

The last piece reaches to infinity: a position that outgrows the table keeps its last rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models._checks import number
from liqsim.venues.contract import FloatArray, SizeUnit

__all__ = ["LONG", "ChargedOn", "MarginSchedule", "Pieces", "Requirement", "ScheduleBase", "Terms"]

ChargedOn: TypeAlias = Literal["mark", "entry"]

# Relative slack for a root that rounding puts a hair outside its piece.
_SLACK = 1e-12
# Lines that could only bind beyond this value ratio are left out: a position is gone long before.
_LARGEST_RATIO = 10.0


class Terms(NamedTuple):
    """What some schedules ask about a position beyond its size.

    Parameters
    ----------
    side : {"long", "short"}
        Side of the position.
    leverage : array_like, optional
        Leverage chosen when opening, where it stays with the position (Kraken spot).
    window : str, optional
        Margin window in force, where rates change with the time of day (Coinbase Derivatives).
    """

    side: str = "long"
    leverage: Any = None
    window: str | None = None


LONG = Terms()


@runtime_checkable
class MarginSchedule(Protocol):
    """Maintenance and initial margin as functions of size; the frozen types of this package implement it.

    ``unit`` says how size is counted: quote currency, base coin, or contracts. Rates are fractions of the
    position's value. ``terms`` matter only to the schedules that ask for them.
    """

    @property
    def unit(self) -> SizeUnit: ...

    @property
    def closing_fee_rate(self) -> float: ...

    @property
    def max_notional(self) -> float:
        """Largest size allowed, in ``unit``; inf where there is no limit."""
        ...

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Maintenance margin of ``size``, in ``unit`` (per-contract schedules: in quote currency)."""
        ...

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Initial margin of ``size``, in ``unit`` (per-contract schedules: in quote currency)."""
        ...

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        """Least initial margin as a fraction of the position's ``value``; 1 / maximum leverage."""
        ...

    def tier_index(self, size: ArrayLike) -> np.ndarray | None:
        """Zero-based row that holds ``size``, or None for a schedule without rows."""
        ...

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        """Requirement per entry value for entry ``size`` and ``value``; ``moves``: size follows ``w``."""
        ...

    def pieces(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Pieces:
        """The same for the whole position, as a function of ``w`` alone."""
        ...

    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class ScheduleBase:
    """Fields shared by the schedules: the closing fee reserved on top of the requirement."""

    closing_fee_rate: float = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        fee = number(
            owner,
            "closing_fee_rate",
            self.closing_fee_rate,
            "(fraction of value)",
            low=0,
            high=1,
            high_open=True,
        )
        object.__setattr__(self, "closing_fee_rate", fee)

    def _choice(self, name: str, allowed: Any) -> None:
        value = getattr(self, name)
        if value not in get_args(allowed):
            choices = ", ".join(repr(a) for a in get_args(allowed))
            raise ParameterError(f"{type(self).__name__}: {name}={value!r} is unknown; give one of {choices}")

    def tier_index(self, size: ArrayLike) -> np.ndarray | None:
        return None

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        raise NotImplementedError

    def pieces(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Pieces:
        return self.requirement(size, value, moves, terms).pieces()

    def _one_rate(self, rate: ArrayLike, *, on_mark: bool, moves: bool = False, slope: ArrayLike = 0.0) -> Requirement:
        """One rate whatever the size."""
        rates, slopes = np.broadcast_arrays(np.asarray(rate, dtype=float), np.asarray(slope, dtype=float))
        rates = rates[..., np.newaxis].copy()
        return Requirement(
            caps=np.full_like(rates, np.inf),
            rates=rates,
            deductions=np.zeros_like(rates),
            slope=slopes.copy(),
            on_mark=on_mark,
            size_moves=moves,
            closing_fee_rate=self.closing_fee_rate,
        )


@dataclass(frozen=True)
class Requirement:
    """Maintenance requirement per entry value when a share ``q`` of the position is left at value ratio ``w``.

    Parameters
    ----------
    caps, rates, deductions : ndarray, shape (..., K)
        Tiers in ascending order: largest size relative to the size at entry (the last is inf), rate, and what is
        deducted, per entry value.
    slope : ndarray, shape (...)
        Increase of the rate per unit of relative size.
    on_mark : bool
        The rate is charged on the current value ``q w``, otherwise on the entry value ``q``.
    size_moves : bool
        The size that chooses the tier is ``q w``, otherwise ``q``.
    closing_fee_rate : float
        Closing fee reserved on top, fraction of the current value.

    Notes
    -----
    With size ``z``, base ``y`` and ``caps[k-1] < z <= caps[k]`` the requirement is ``(rates[k] + slope z) y -
    deductions[k] u + closing_fee_rate q w``; ``u`` is ``w`` where deductions are counted in units whose worth follows
    the price (a rate on the mark of a size that does not move with it), otherwise 1.
    """

    caps: FloatArray
    rates: FloatArray
    deductions: FloatArray
    slope: FloatArray
    on_mark: bool
    size_moves: bool
    closing_fee_rate: float

    def pieces(self) -> Pieces:
        """The requirement of the whole position, ``q = 1``."""
        if self.on_mark and self.size_moves:
            lo = np.concatenate([np.zeros_like(self.caps[..., :1]), self.caps[..., :-1]], axis=-1)
            slope = np.broadcast_to(self.slope[..., np.newaxis], self.rates.shape).copy()
            return Pieces(lo, self.caps, 0.0 - self.deductions, self.rates + self.closing_fee_rate, slope)
        k = np.sum(self.caps[..., :-1] < 1.0, axis=-1, keepdims=True)
        at_entry = np.take_along_axis(self.rates, k, axis=-1) + self.slope[..., np.newaxis]
        at_entry = at_entry - np.take_along_axis(self.deductions, k, axis=-1)
        zero, fee = np.zeros_like(at_entry), self.closing_fee_rate
        everywhere = np.full_like(at_entry, np.inf)
        if self.on_mark:
            return Pieces(zero, everywhere, zero, at_entry + fee, zero)
        return Pieces(zero, everywhere, at_entry, zero + fee, zero)


@dataclass(frozen=True)
class Pieces:
    """Maintenance requirement per entry value, ``m(w) = c0 + c1 w + c2 w^2`` on ``lo < w <= hi``.

    Parameters
    ----------
    lo, hi, c0, c1, c2 : ndarray, shape (..., K)
        Pieces in ascending order along the last axis; the last ``hi`` is inf.
    """

    lo: FloatArray
    hi: FloatArray
    c0: FloatArray
    c1: FloatArray
    c2: FloatArray

    def __call__(self, value_ratio: ArrayLike) -> FloatArray:
        """Requirement per entry value at ``value_ratio`` (broadcast against the leading axes)."""
        w = np.asarray(value_ratio, dtype=float)
        k = np.sum(w[..., np.newaxis] > self.hi[..., :-1], axis=-1)
        shape = np.broadcast_shapes(k.shape, self.c0.shape[:-1])
        index = np.broadcast_to(k, shape)[..., np.newaxis]

        def pick(c: FloatArray) -> FloatArray:
            return np.take_along_axis(np.broadcast_to(c, (*shape, c.shape[-1])), index, axis=-1)[..., 0]

        return pick(self.c0) + pick(self.c1) * w + pick(self.c2) * w * w

    def solve(self, cash: ArrayLike, direction: int) -> FloatArray:
        """Value ratio at which ``cash + direction (w - 1) = m(w)``, the first met from entry.

        Parameters
        ----------
        cash : array_like
            Margin balance net of everything that does not move with ``w``, per entry value.
        direction : {+1, -1}
            Sign of profit with the value ratio: +1 linear long and inverse short, -1 the others.

        Returns
        -------
        ndarray
            If equity at entry is above the requirement, the first ``w`` in the adverse direction where it is
            not; otherwise the first in the favourable direction where it is. 0 or inf if there is none.
        """
        s = float(direction)
        cash = np.asarray(cash, dtype=float)
        a, b = -self.c2, s - self.c1
        c = cash[..., np.newaxis] - s - self.c0
        a, b, c, lo, hi = np.broadcast_arrays(a, b, c, self.lo, self.hi)

        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Roots of a w^2 + b w + c without cancellation; the second form covers a = 0.
            half = -0.5 * (b + np.copysign(np.sqrt(b * b - 4.0 * a * c), b))
            roots = np.stack([c / half, np.where(a == 0.0, np.nan, half / a)])
            inside = (roots >= lo * (1.0 - _SLACK)) & (roots <= hi * (1.0 + _SLACK)) & (roots > 0.0)
            candidates = list(np.where(inside, roots, np.nan))
            if hi.shape[-1] > 1:
                edge = hi[..., :-1]
                below = (a[..., :-1] * edge + b[..., :-1]) * edge + c[..., :-1]
                above = (a[..., 1:] * edge + b[..., 1:]) * edge + c[..., 1:]
                candidates.append(np.where((below > 0.0) != (above > 0.0), edge, np.nan))
        found = np.concatenate(candidates, axis=-1)
        solvent = cash - self(np.ones(found.shape[:-1])) > 0.0
        up = np.where(solvent, s < 0.0, s > 0.0)
        rising = np.where(found >= 1.0 - _SLACK, found, np.inf).min(axis=-1)
        falling = np.where(found <= 1.0 + _SLACK, found, 0.0).max(axis=-1)
        return np.where(up, rising, falling)

    def is_convex(self) -> bool:
        """Whether ``m(w)`` is the maximum of its lines: no quadratic piece, no jump, slopes that never fall."""
        edge = self.hi[..., :-1]
        below = self.c0[..., :-1] + self.c1[..., :-1] * edge
        above = self.c0[..., 1:] + self.c1[..., 1:] * edge
        scale = np.maximum(np.abs(above), np.finfo(float).tiny)
        jumps = np.any(np.abs(above - below) > 1e-9 * scale)
        return not (np.any(self.c2 != 0.0) or jumps or np.any(np.diff(self.c1, axis=-1) < -1e-15))

    def lines(self, owner: str) -> tuple[FloatArray, FloatArray]:
        """Slopes and intercepts whose maximum is ``m(w)``; refused unless ``m`` is convex and made of lines."""
        if self.c0.ndim != 1:
            raise ParameterError("lines exist for one position at a time; give scalar notional and price")
        if np.any(self.c2 != 0.0):
            raise MarginRuleError(
                f"{owner}: the requirement is quadratic in the position's value, not piecewise linear; "
                "use liquidation_price, or a venue whose rate does not grow with coin size"
            )
        if not self.is_convex():
            raise MarginRuleError(
                f"{owner}: the requirement jumps when the position's value crosses a tier, so it is not a "
                "maximum of lines; use liquidation_price, or marginal tiers"
            )
        used = self.lo < _LARGEST_RATIO
        return self.c1[used].copy(), self.c0[used].copy()
