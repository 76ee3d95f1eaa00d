"""Exact sums over paths and the estimates they give.

A kernel books a crossing once, at the corner of the rectangle of cells that are still open. Prefix sums over the grid
(rows for stops, columns for liquidations, both for survivors) recover every cell; see the kernel's header. What is
booked are sums of what was paid, the time and the price gain, and of their products: fees, P&L, shortfall and what the
engine keeps are affine in them for every row and kind of end. A position that lives on after the venue has acted on it
is booked by itself, amount by amount, in every column that is left when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from liqsim.engine.plan import Pass

__all__ = ["OUTCOMES", "CellSums", "Moments", "OutcomeSums", "Sums", "Tallies", "Totals", "cell_sums", "pnl_terms"]

OUTCOMES = ("liquidation", "stop", "survival")

_LIQUIDATED, _DRAINED, _BANKRUPT, _STOPPED, _OVERDRAWN, _SURVIVED = range(6)
_LOW_BITS = 31
_VALUE_SCALE = 2.0**-32
_SQUARE_HIGH_SCALE = 2.0**-16
_SQUARE_LOW_SCALE = 2.0**-58
_PRODUCT_HIGH_SCALE = 4.0
_PRODUCT_LOW_SCALE = 2.0**-44
_WEIGHTED_LOW_SCALE = 2.0**-76
_MOST_WAITING = 2**32  # paths that an int64 tally of passages or of a histogram can hold
_CALLED, _SHORT, _RUINED = 28, 29, 30  # counts of carried positions


class Totals:
    """Running sum of int64 tallies in two limbs, exact for up to 2**31 batches."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.low = np.zeros(shape, dtype=np.int64)
        self.high = np.zeros(shape, dtype=np.int64)

    def add(self, tally: np.ndarray) -> None:
        """Add one batch."""
        self.low += tally & ((1 << _LOW_BITS) - 1)
        self.high += tally >> _LOW_BITS

    def merge(self, other: Totals) -> None:
        """Add the sums of another worker."""
        if self.low.size:  # else nothing of the kind is booked, whatever the shape
            self.low += other.low
            self.high += other.high

    def __add__(self, other: Totals) -> Totals:
        both = Totals(self.low.shape)
        both.merge(self)
        both.merge(other)
        return both

    @classmethod
    def from_limbs(cls, limbs: np.ndarray) -> Totals:
        """Sums that :meth:`limbs` has written out."""
        made = cls(limbs.shape[1:])
        made.low += limbs[0]
        made.high += limbs[1]
        return made

    def limbs(self) -> np.ndarray:
        """Low and high limb, int64 of shape (2, ...), the low one in [0, 2**31): the same for equal sums."""
        carry = self.low >> _LOW_BITS
        return np.stack([self.low & ((1 << _LOW_BITS) - 1), self.high + carry])

    def prefix(self, outcome: int, axes: tuple[int, ...]) -> np.ndarray:
        """Sums of one outcome over all corners that reach a cell, as floats rounded once."""
        low, high = self.low[:, :, outcome], self.high[:, :, outcome]
        for axis in axes:
            low, high = np.cumsum(low, axis=axis), np.cumsum(high, axis=axis)
        return np.ldexp(high.astype(np.float64), _LOW_BITS) + low.astype(np.float64)


@dataclass(frozen=True)
class Moments:
    """Sum and sum of squares over paths of one quantity."""

    total: np.ndarray
    squares: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.total + other.total, self.squares + other.squares)

    def times(self, factor: float) -> Moments:
        """The same quantity in another unit."""
        return Moments(self.total * factor, self.squares * factor * factor)

    def mean(self, n: int) -> np.ndarray:
        """Sample mean."""
        return self.total / n

    def standard_error(self, n: int) -> np.ndarray:
        """Standard error of the mean; inf for a single path, which says nothing of its spread."""
        if n < 2:
            return np.full_like(self.total, np.inf)
        variance = np.maximum(self.squares / n - (self.total / n) ** 2, 0.0)
        return np.sqrt(variance / (n - 1))


def _nothing() -> Totals:
    return Totals((0,))


@dataclass(frozen=True)
class Sums:
    """What one pass has booked.

    Parameters
    ----------
    whole, carried : Totals
        Whole positions, and those that lived on after the venue had acted on them.
    passages, pnl, shortfall : Totals
        Where they were asked for, liquidations and stops by time, and histograms of the P&L and of the shortfall; see
        :mod:`liqsim.engine.binned`.
    """

    whole: Totals
    carried: Totals
    passages: Totals = field(default_factory=_nothing)
    pnl: Totals = field(default_factory=_nothing)
    shortfall: Totals = field(default_factory=_nothing)

    @classmethod
    def empty(cls, kernel: Any) -> Sums:
        """Those of no path."""
        return cls(*(Totals(shape) for shape in _shapes(kernel)))

    @property
    def parts(self) -> tuple[Totals, ...]:
        """All there is, in order."""
        return self.whole, self.carried, self.passages, self.pnl, self.shortfall

    @property
    def n_integers(self) -> int:
        """Integers of all limbs."""
        return 2 * sum(total.low.size for total in self.parts)

    def merge(self, other: Sums) -> None:
        """Add the sums of another worker."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            mine.merge(theirs)

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(self.parts, other.parts, strict=True)))


def _shapes(kernel: Any) -> tuple[tuple[int, ...], ...]:
    return (
        kernel.tally_shape(),
        kernel.carried_shape(),
        kernel.passages_shape(),
        kernel.pnl_shape(),
        kernel.shortfall_shape(),
    )


class Tallies:
    """The int64 arrays that a kernel books paths in, on their way to :class:`Sums`.

    Parameters
    ----------
    kernel : Kernel
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._arrays = [np.zeros(shape, dtype=np.int64) for shape in _shapes(kernel)]
        self._waiting = 0

    def run(self, first: int, count: int, stop: np.ndarray, sums: Sums) -> bool:
        """Book paths ``first .. first + count - 1``, at most 2**16; False if a value left the range of the sums.

        The large tallies hold more paths than a batch, and are added to ``sums`` by :meth:`flush` only.
        """
        if self._waiting + count > _MOST_WAITING:
            self.flush(sums)
        whole, carried, *others = self._arrays
        if not self.kernel.run(first, count, whole, carried, stop, *others):
            return False
        self._waiting += count
        self._move(sums, slice(0, 2))
        return True

    def flush(self, sums: Sums) -> None:
        """Add what has not been added yet."""
        self._move(sums, slice(2, None))
        self._waiting = 0

    def _move(self, sums: Sums, which: slice) -> None:
        for array, total in zip(self._arrays[which], sums.parts[which], strict=True):
            if array.size:
                total.add(array)
                array[...] = 0


@dataclass(frozen=True)
class OutcomeSums:
    """Sums over the paths that ended in one way, shaped like those of :class:`CellSums`."""

    count: np.ndarray
    funding_cost: Moments
    time: Moments
    fees: Moments
    pnl: Moments
    shortfall: Moments

    def __add__(self, other: OutcomeSums) -> OutcomeSums:
        return OutcomeSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class CellSums:
    """Sums of every cell, each array of shape (horizon, side, row, column), at the kernel's rows and columns.

    ``liquidated`` counts the paths on which the venue has closed any part of the position, ``cut`` those of them on
    which it did not close all, ``called`` those on which it called for margin, ``short`` those with a loss beyond the
    margin, ``ruined`` those on which nothing of the margin is left. ``returned`` is what a trader who was liquidated
    gets back, less what they have added on calls. ``by_outcome`` holds what belongs to each of :data:`OUTCOMES`. Where
    ends are weighted, ``weight_squares`` are sums of the squared weights of liquidations and stops.
    """

    liquidated: np.ndarray
    stopped: np.ndarray
    survived: np.ndarray
    cut: np.ndarray
    called: np.ndarray
    short: np.ndarray
    ruined: np.ndarray
    by_outcome: dict[str, OutcomeSums]
    funding_cost: Moments
    time: Moments
    fees: Moments
    pnl: Moments
    shortfall: Moments
    engine_kept: Moments
    returned: Moments
    closed_share: Moments
    topped_up: Moments
    uncovered: Moments
    weight_squares: dict[str, np.ndarray] = field(default_factory=dict)


def _moments(sums: np.ndarray, quantity: int) -> Moments:
    field = 1 + 3 * quantity
    return Moments(
        sums[..., field] * _VALUE_SCALE,
        sums[..., field + 1] * _SQUARE_HIGH_SCALE + sums[..., field + 2] * _SQUARE_LOW_SCALE,
    )


def _affine(count: np.ndarray, x: Moments, a: np.ndarray, b: np.ndarray | float) -> Moments:
    """Moments of ``a + b x`` over ``count`` paths."""
    return Moments(a * count + b * x.total, a * (a * count) + 2.0 * b * (a * x.total) + b * b * x.squares)


class _Ends:
    """Whole positions that ended in one way: their number, moments of what was paid, of the time and the price gain."""

    def __init__(self, sums: np.ndarray) -> None:
        self.count = self.square_count = sums[..., 0]
        self.paid, self.time, self.gain = (sums[..., 1 + k] * _VALUE_SCALE for k in range(3))
        self.paid2, self.time2, self.gain2, self.paid_gain = (
            sums[..., 4 + k] * _PRODUCT_LOW_SCALE + sums[..., 8 + k] * _PRODUCT_HIGH_SCALE for k in range(4)
        )

    @classmethod
    def read(cls, task: Pass, sums: np.ndarray) -> _Ends:
        """Those that a pass has booked."""
        return _WeightedEnds(sums) if task.is_weighted else cls(sums)

    def amount(self, constant: np.ndarray | float = 0.0, paid: float = 0.0, gain: np.ndarray | float = 0.0) -> Moments:
        """Moments of ``constant + paid * (what was paid) + gain * (price gain)``."""
        total = paid * self.paid + gain * self.gain
        squares = paid * paid * self.paid2 + gain * gain * self.gain2 + 2.0 * paid * gain * self.paid_gain
        return Moments(
            constant * self.count + total,
            np.maximum(constant * (constant * self.count) + 2.0 * constant * total + squares, 0.0),
        )

    @property
    def funding(self) -> Moments:
        return Moments(self.paid, self.paid2)

    @property
    def duration(self) -> Moments:
        return Moments(self.time, self.time2)


class _WeightedEnds(_Ends):
    """The same with weights, but without second moments, which groups of paths have to give.

    ``square_count`` is the sum of the squared weights.
    """

    def __init__(self, sums: np.ndarray) -> None:
        self.count, self.paid, self.time, self.gain = (
            sums[..., k] * _VALUE_SCALE + sums[..., 4 + k] * _WEIGHTED_LOW_SCALE for k in range(4)
        )
        self.square_count = sums[..., 8] * _VALUE_SCALE + sums[..., 9] * _WEIGHTED_LOW_SCALE
        self.paid2 = self.time2 = self.gain2 = self.paid_gain = np.zeros_like(self.count)


Terms = tuple[np.ndarray | float, float, np.ndarray | float]


def pnl_terms(task: Pass) -> tuple[Terms, ...]:
    """P&L after fees of whole positions by the end they come to, in the kernel's order.

    Parameters
    ----------
    task : Pass

    Returns
    -------
    tuple of (constant, paid, gain)
        P&L is ``constant + paid * (what was paid) + gain * (price gain)``; each broadcasts to (side, row, column).
    """
    closing = task.exit_fee + task.exit_money
    worth = task.directions[:, np.newaxis, np.newaxis]
    net: Terms = (-task.entry_fee - closing, -1.0, task.exposures - task.exit_fee * worth)
    lost: Terms = (-(task.margin[:, np.newaxis] + task.entry_fee), 0.0, 0.0)
    beyond = net if task.client_pays else lost  # where a loss is more than the margin
    if task.returns_rest:
        return net, beyond, lost, net, beyond, net
    taken_over: Terms = (-task.entry_fee, -1.0, task.exposures) if task.client_pays else lost
    return lost, lost, taken_over, net, beyond, net


def cell_sums(task: Pass, sums: Sums) -> CellSums:
    """Turn booked corners into sums per cell.

    Parameters
    ----------
    task : Pass
    sums : Sums
        What its kernel has booked.
    """
    # axes after the end is taken: horizon, side, row, column, field
    liquidated, drained, bankrupt = (
        _Ends.read(task, sums.whole.prefix(end, (0, 3))) for end in (_LIQUIDATED, _DRAINED, _BANKRUPT)
    )
    stopped, overdrawn = (_Ends.read(task, sums.whole.prefix(end, (0, 2))) for end in (_STOPPED, _OVERDRAWN))
    survived = _Ends.read(task, sums.whole.prefix(_SURVIVED, (2, 3)))
    n_liquidated = liquidated.count + drained.count + bankrupt.count
    nothing = Moments(np.zeros_like(n_liquidated), np.zeros_like(n_liquidated))

    # of a position closed at the market: w = 1 + worth * gain is the value ratio there
    worth = task.directions[:, np.newaxis, np.newaxis]
    closing = task.exit_fee + task.exit_money
    entry_fee, margin = task.entry_fee, task.margin[:, np.newaxis]
    lost = margin + entry_fee

    def fees(ends: _Ends) -> Moments:
        return ends.amount(entry_fee + closing, gain=task.exit_fee * worth)

    def net(ends: _Ends, more: np.ndarray, sign: float = 1.0) -> Moments:
        """P&L after fees plus ``more``, times ``sign``."""
        return ends.amount(sign * (more - entry_fee - closing), -sign, sign * (task.exposures - task.exit_fee * worth))

    def outcome(all_ends: tuple[_Ends, ...], fees: Moments, pnl: Moments, shortfall: Moments) -> OutcomeSums:
        return OutcomeSums(
            sum((ends.count for ends in all_ends), nothing.total),
            sum((ends.funding for ends in all_ends), nothing),
            sum((ends.duration for ends in all_ends), nothing),
            fees,
            pnl,
            shortfall,
        )

    if task.returns_rest:
        liquidation_fees = fees(liquidated) + fees(drained) + bankrupt.amount(entry_fee)
        kept, returned = nothing, net(liquidated, lost)
        shortfall = net(drained, lost, -1.0) + bankrupt.amount(-margin, 1.0, -task.exposures)
        n_ruined = n_short = drained.count + bankrupt.count
    else:
        liquidation_fees = liquidated.amount(entry_fee) + bankrupt.amount(entry_fee)
        kept, returned = liquidated.amount(margin, -1.0, task.exposures), nothing
        shortfall = bankrupt.amount(-margin, 1.0, -task.exposures)
        n_ruined, n_short = n_liquidated, bankrupt.count
    every = (liquidated, drained, bankrupt, stopped, overdrawn, survived)
    pnl = [ends.amount(*terms) for ends, terms in zip(every, pnl_terms(task), strict=True)]
    by_outcome = {
        "liquidation": outcome(every[:_STOPPED], liquidation_fees, sum(pnl[:_STOPPED], nothing), shortfall),
        "stop": outcome(
            (stopped, overdrawn),
            fees(stopped) + fees(overdrawn),
            pnl[_STOPPED] + pnl[_OVERDRAWN],
            net(overdrawn, lost, -1.0),
        ),
        "survival": outcome((survived,), fees(survived), pnl[_SURVIVED], nothing),
    }
    whole = _cells(
        by_outcome,
        cut=nothing.total,
        called=nothing.total,
        short=n_short + overdrawn.count,
        ruined=n_ruined + overdrawn.count,
        engine_kept=kept,
        returned=returned,
        closed_share=Moments(n_liquidated, n_liquidated),
        topped_up=nothing,
        uncovered=sum((ends.shortfall for ends in by_outcome.values()), nothing) if task.fund == 0.0 else nothing,
        weight_squares=_weight_squares(task, every),
    )
    return _add_carried(task, whole, sums.carried) if task.carries else whole


def _weight_squares(task: Pass, every: Sequence[_Ends]) -> dict[str, np.ndarray]:
    if not task.is_weighted:
        return {}
    ways = {"liquidation": every[:_STOPPED], "stop": every[_STOPPED:_SURVIVED]}
    return {name: np.sum([ends.square_count for ends in these], axis=0) for name, these in ways.items()}


def _unweighted(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of carried positions in the places of plain ones, squares being 0; and the squared weights."""
    out = np.zeros_like(sums)
    first_low = [(0, 3), *((1 + 3 * k, 2 + 3 * k) for k in range(9)), *((_CALLED + k, 12 + 3 * k) for k in range(3))]
    for high, low in first_low:
        scale = _VALUE_SCALE if high in (0, _CALLED, _SHORT, _RUINED) else 1.0
        out[..., high] = scale * (sums[..., high] + sums[..., low] * (_WEIGHTED_LOW_SCALE / _VALUE_SCALE))
    return out, sums[..., 6] * _VALUE_SCALE + sums[..., 9] * _WEIGHTED_LOW_SCALE


def _cells(by_outcome: dict[str, OutcomeSums], **others: Any) -> CellSums:
    liquidation, stop, survival = (by_outcome[name] for name in OUTCOMES)
    total = liquidation + stop + survival
    return CellSums(
        liquidated=liquidation.count,
        stopped=stop.count,
        survived=survival.count,
        by_outcome=by_outcome,
        **{f.name: getattr(total, f.name) for f in fields(total) if f.name != "count"},
        **others,
    )


def _returned(task: Pass, count: np.ndarray, pnl: Moments, shortfall: Moments) -> Moments:
    """What liquidated traders get back: P&L plus margin and entry fee, or nothing where they owe a shortfall."""
    back = _affine(count, pnl, task.margin[:, np.newaxis] + task.entry_fee, 1.0)
    if not task.client_pays:
        return back
    return Moments(back.total + shortfall.total, np.maximum(back.squares - shortfall.squares, 0.0))


def _add_carried(task: Pass, whole: CellSums, carried: Totals) -> CellSums:
    # Closed and stopped count from their horizon on, open at theirs; closed and open in all columns that are left.
    ends = [carried.prefix(end, axes) for end, axes in enumerate(((0, 3), (0,), (3,), (0,), (3,)))]
    squares = whole.weight_squares
    if task.is_weighted:
        ends, carried_squares = zip(*map(_unweighted, ends), strict=True)
        squares = {
            "liquidation": squares["liquidation"] + carried_squares[0] + carried_squares[3] + carried_squares[4],
            "stop": squares["stop"] + carried_squares[1],
        }
    booked = np.sum(ends, axis=0)
    cut = ends[3][..., 0] + ends[4][..., 0]
    parts = {"liquidation": ends[0] + ends[3] + ends[4], "stop": ends[1], "survival": ends[2]}
    by_outcome = {
        name: whole.by_outcome[name] + OutcomeSums(part[..., 0], *(_moments(part, k) for k in range(5)))
        for name, part in parts.items()
    }
    liquidated = parts["liquidation"]
    others = {
        name: getattr(whole, name) + _moments(booked, k)
        for name, k in (("engine_kept", 5), ("closed_share", 6), ("topped_up", 7), ("uncovered", 8))
    }
    return _cells(
        by_outcome,
        cut=cut,
        called=booked[..., _CALLED],
        short=whole.short + booked[..., _SHORT],
        ruined=whole.ruined + booked[..., _RUINED],
        returned=whole.returned + _returned(task, liquidated[..., 0], _moments(liquidated, 3), _moments(liquidated, 4)),
        weight_squares=squares,
        **others,
    )
