"""What is booked besides where it is asked for: liquidations and stops by time, histograms of P&L and shortfall.

All are booked at the corners of the open rectangles, like the sums, so that a path costs its levels whatever the
grid, and prefix sums recover every cell. Liquidations and stops fall into the interval in which they happen, and bins
of times end where intervals do: the counts are exact. The bins of the P&L are the same for every run; each holds the
number of its paths, their mean and their spread. Those of the shortfall are the P&L's from 0 on, and count the paths
with a loss beyond the margin alone; who bears it makes no difference.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from liqsim._core import kernel_module
from liqsim.durations import DAYS_PER_YEAR
from liqsim.engine.plan import Pass
from liqsim.engine.tally import Sums, Totals
from liqsim.engine.timeline import to_nanoseconds

__all__ = [
    "booked_bytes",
    "booking_passages",
    "booking_pnl",
    "booking_shortfall",
    "passage_counts",
    "pnl_bins",
    "pnl_edges",
    "shortfall_bins",
    "shortfall_edges",
]

_LIQUIDATED, _STOPPED, _SURVIVED = range(3)
_PLACE_SCALE = 2.0**-30


def booking_passages(task: Pass, times: np.ndarray) -> Pass:
    """The same pass, with liquidations and stops counted by time.

    Parameters
    ----------
    task : Pass
    times : ndarray of int64, shape (n_times,)
        Ends of the bins, rising, nanoseconds: instants at which the pass stops, its end the last.
    """
    edges = times / to_nanoseconds(1.0) / DAYS_PER_YEAR
    ends = task.arrays["instant"][1:]
    bins = np.searchsorted(edges, ends).astype(np.int32)
    return dataclasses.replace(task, arrays={**task.arrays, "time_bin": bins})


def booking_pnl(task: Pass) -> Pass:
    """The same pass, with a histogram of the P&L."""
    return dataclasses.replace(task, rules={**task.rules, "books_pnl": True})


def booking_shortfall(task: Pass) -> Pass:
    """The same pass, with a histogram of the shortfall."""
    return dataclasses.replace(task, rules={**task.rules, "books_shortfall": True})


def booked_bytes(task: Pass) -> int:
    """Bytes of the integers that a pass books besides."""
    kernel = task.kernel()
    return 8 * sum(map(math.prod, (kernel.passages_shape(), kernel.pnl_shape(), kernel.shortfall_shape())))


def passage_counts(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Paths liquidated and paths stopped by the end of each bin, each of shape (side, row, column, time)."""
    counts = (sums.passages.prefix(_LIQUIDATED, (0, 3)), sums.passages.prefix(_STOPPED, (0, 2)))
    return np.moveaxis(counts[0], 0, -1), np.moveaxis(counts[1], 0, -1)


def pnl_edges() -> np.ndarray:
    """Ends of the bins of the P&L, rising, per entry notional."""
    return np.asarray(kernel_module().pnl_edges())


def shortfall_edges() -> np.ndarray:
    """Ends of the bins of the shortfall, rising from 0, per entry notional."""
    edges = pnl_edges()
    return edges[edges >= 0.0]


def pnl_bins(sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of paths in every bin, mean and standard deviation of their P&L.

    Parameters
    ----------
    sums : Sums

    Returns
    -------
    tuple of ndarray, each of shape (horizon, side, row, column, bin)
    """
    return _bins(sums.pnl, pnl_edges())


def shortfall_bins(sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of the paths with a loss beyond the margin, and that loss."""
    return _bins(sums.shortfall, shortfall_edges())


def _bins(totals: Totals, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ways = ((_LIQUIDATED, (0, 3)), (_STOPPED, (0, 2)), (_SURVIVED, (2, 3)))
    booked = np.sum([totals.prefix(way, axes) for way, axes in ways], axis=0)
    count, place, square = (booked[..., k] for k in range(3))
    n = np.maximum(count, 1.0)
    place = place / n * _PLACE_SCALE
    spread = np.sqrt(np.maximum(square / n * _PLACE_SCALE - place**2, 0.0))
    return count, edges[:-1] + place * np.diff(edges), spread * np.diff(edges)
