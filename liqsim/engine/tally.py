"""Exact sums over paths and the estimates they give.

A kernel books a crossing once, at the corner of the rectangle of cells that are still open. Prefix sums over the grid
(rows for stops, columns for liquidations, both for survivors) recover every cell; see the kernel's header.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CellSums", "Moments", "Totals", "cell_sums"]

_LIQUIDATED, _STOPPED, _SURVIVED = range(3)
_LOW_BITS = 31
_VALUE_SCALE = 2.0**-32
_SQUARE_HIGH_SCALE = 2.0**-16
_SQUARE_LOW_SCALE = 2.0**-58


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
        self.low += other.low
        self.high += other.high

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

    def mean(self, n: int) -> np.ndarray:
        """Sample mean."""
        return self.total / n

    def standard_error(self, n: int) -> np.ndarray:
        """Standard error of the mean; inf for a single path, which says nothing of its spread."""
        if n < 2:
            return np.full_like(self.total, np.inf)
        variance = np.maximum(self.squares / n - (self.total / n) ** 2, 0.0)
        return np.sqrt(variance / (n - 1))


@dataclass(frozen=True)
class CellSums:
    """Sums of every cell, each array of shape (horizon, side, row, column), at the kernel's rows and columns."""

    liquidated: np.ndarray
    stopped: np.ndarray
    survived: np.ndarray
    funding_cost: Moments
    time: Moments
    fees: Moments
    pnl: Moments
    shortfall: Moments
    engine_kept: Moments
    price_pnl: Moments


def _moments(sums: np.ndarray, quantity: int) -> Moments:
    field = 1 + 3 * quantity
    return Moments(
        sums[..., field] * _VALUE_SCALE,
        sums[..., field + 1] * _SQUARE_HIGH_SCALE + sums[..., field + 2] * _SQUARE_LOW_SCALE,
    )


def cell_sums(totals: Totals, margin: np.ndarray, entry_fee: float) -> CellSums:
    """Turn booked corners into sums per cell.

    Parameters
    ----------
    totals : Totals
        Of shape (horizon, side, outcome, row, column, field).
    margin : ndarray, shape (row,)
        Initial margin per entry notional.
    entry_fee : float
        Fee paid at entry, per entry notional.
    """
    # axes after the outcome is taken: horizon, side, row, column, field
    liquidated = totals.prefix(_LIQUIDATED, (0, 3))
    stopped = totals.prefix(_STOPPED, (0, 2))
    survived = totals.prefix(_SURVIVED, (2, 3))
    n_liquidated = liquidated[..., 0]
    fees_in = n_liquidated * entry_fee
    lost = margin[:, None] + entry_fee
    margin_lost = Moments(-n_liquidated * lost, n_liquidated * lost * lost)
    return CellSums(
        liquidated=n_liquidated,
        stopped=stopped[..., 0],
        survived=survived[..., 0],
        funding_cost=_moments(liquidated, 0) + _moments(stopped, 0) + _moments(survived, 0),
        time=_moments(liquidated, 1) + _moments(stopped, 1) + _moments(survived, 1),
        fees=Moments(fees_in, fees_in * entry_fee) + _moments(stopped, 2) + _moments(survived, 2),
        pnl=margin_lost + _moments(stopped, 3) + _moments(survived, 3),
        shortfall=_moments(liquidated, 4) + _moments(stopped, 4),
        engine_kept=_moments(liquidated, 2),
        price_pnl=_moments(liquidated, 3),
    )
