"""Single paths as the kernel ran them: what happened on one, event by event, and how each of many ended.

The kernel itself writes them down (``pyx/liqsim/_core/trace.pxd``); here the rows get their names and their order in
time. Nothing is simulated again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.tally import CellSums, Sums, Totals, cell_sums
from liqsim.errors import ParameterError

__all__ = ["EVENTS", "OUT_OF_RANGE", "Ends", "Trace", "end_paths", "trace_path"]

EVENTS = (
    "entry", "segment end", "jump", "visit", "look", "check", "margin test", "instant", "horizon", "liquidation",
    "stop", "stop of the rest", "act",
)  # fmt: skip
"""Kinds of events, by the kernel's number."""

OUT_OF_RANGE = (
    "path {} gained or paid more than 16384 times the entry notional, beyond what the sums can hold; lower the "
    "volatility, the jump sizes or the horizon"
)

_SEGMENT_END, _HORIZON, _LIQUIDATION, _STOP, _STOP_OF_REST, _ACT = 1, 8, 9, 10, 11, 12
_HEAD = (
    "kind", "interval", "index", "time", "x", "ratio", "low", "high", "premium", "rate", "accrued", "funding",
    "charge_long", "charge_short", "paid_long", "paid_short", "side", "row", "column", "horizon", "low_ratio",
    "high_ratio",
)  # fmt: skip
_N_STATE = 4


@dataclass(frozen=True)
class Trace:
    """What happened on one path, in the order of time, as the kernel had it.

    Parameters
    ----------
    number : int
        Path number.
    head : dict of str to ndarray, shape (event,)
        ``kind`` (index into :data:`EVENTS`), ``interval``, ``index`` of the segment within it, ``time`` [yr], ``x`` and
        the extremes ``low`` and ``high`` of the segment that ends, log price ratios, each with its ``ratio`` to the
        entry price; ``premium``, funding ``rate`` in force, funding ``accrued`` and not yet paid, ``funding`` that a
        whole long pays here, ``charge_long`` and ``charge_short``, what whole positions have ``paid_long`` and
        ``paid_short`` so far (per entry notional); ``side``, ``row``, ``column`` that a crossing is about, -1 for all
        that are open. Not-a-number where a quantity has no meaning.
    share, equity, requirement, level : ndarray, shape (event, 2, rows)
        Of each side and leverage after the event: share that is open, equity and maintenance requirement per entry
        notional, and log price at which the venue acts next. Not-a-number once it is closed, and at a crossing for the
        other side.
    exit_event : ndarray of int, shape (2, rows, columns)
        Event at which each cell is closed; the last one for those still open at the horizon.
    exit_x : ndarray, shape (2, rows, columns)
        Log price ratio there.
    """

    number: int
    head: dict[str, np.ndarray]
    share: np.ndarray
    equity: np.ndarray
    requirement: np.ndarray
    level: np.ndarray
    exit_event: np.ndarray
    exit_x: np.ndarray


def trace_path(task: Pass, number: int) -> tuple[Trace, CellSums]:
    """Run one path and write it down.

    Parameters
    ----------
    task : Pass
        With one horizon.
    number : int
        Path number, in [0, 2**64).

    Returns
    -------
    trace : Trace
    sums : CellSums
        What the path adds to the sums of every cell.
    """
    kernel = task.kernel()
    tally = np.zeros(kernel.tally_shape(), dtype=np.int64)
    carried = np.zeros(kernel.carried_shape(), dtype=np.int64)
    rows = kernel.trace(number, tally, carried)
    if rows is None:
        raise ParameterError(OUT_OF_RANGE.format(number))
    sums = Sums(Totals(tally.shape), Totals(carried.shape))
    sums.whole.add(tally)
    sums.carried.add(carried)
    rows = _in_time(rows)
    head = {name: rows[:, k] for k, name in enumerate(_HEAD)}
    for name in ("kind", "interval", "index", "side", "row", "column"):
        head[name] = np.nan_to_num(head[name], nan=-1.0).astype(np.int64)
    n_rows, n_columns = tally.shape[3:5]
    state = rows[:, len(_HEAD) :].reshape(len(rows), 2, n_rows, _N_STATE)
    exit_event = _exits(head, (2, n_rows, n_columns))
    trace = Trace(
        number, head, state[..., 0], state[..., 1], state[..., 2], state[..., 3], exit_event, head["x"][exit_event]
    )
    return trace, cell_sums(task, sums)


def _in_time(rows: np.ndarray) -> np.ndarray:
    """Put the crossings within a segment in order.

    The kernel handles one side after the other, each from the nearest level to the farthest. The time of a crossing is
    its conditional mean, which for two levels of one side may be the other way round; a later one is then moved up.
    """
    kind = rows[:, 0]
    order = np.arange(len(rows))
    for end in np.flatnonzero((kind == _SEGMENT_END) & (np.concatenate([[0], kind[:-1]]) >= _LIQUIDATION)):
        first = end
        while kind[first - 1] >= _LIQUIDATION:
            first -= 1
        group = slice(first, end)
        for side in (0.0, 1.0):
            mine = first + np.flatnonzero(rows[group, 16] == side)
            rows[mine, 3] = np.minimum(np.maximum.accumulate(rows[mine, 3]), rows[end, 3])
        order[group] = first + np.argsort(rows[group, 3], kind="stable")
    return rows[order]


def _exits(head: dict[str, np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """Event at which each cell is closed.

    A liquidation closes a row in every column that is left, a stop a column in every row that is left, or what is left
    of one row. Where a jump has gone beyond both of several rows, each has a record of its own, after that for all.
    """
    found = np.full(shape, len(head["kind"]) - 1)
    is_open = np.ones(shape, dtype=bool)
    kind, side, row, column = (head[name] for name in ("kind", "side", "row", "column"))
    for event in np.flatnonzero((kind >= _LIQUIDATION) & (kind != _ACT)):
        s, r, c = side[event], row[event], column[event]
        if kind[event] == _LIQUIDATION:
            cells = (s, r, slice(c, None))
        else:
            cells = (s, slice(r, None if kind[event] == _STOP else r + 1), c)
        found[cells] = np.where(is_open[cells], event, found[cells])
        is_open[cells] = False
    return found


@dataclass(frozen=True)
class Ends:
    """How each of many paths ended in the only cell of a pass.

    Parameters
    ----------
    is_liquidated : ndarray of bool, shape (path,)
        Whether the venue has closed any part of the position.
    pnl : ndarray, shape (path,)
        Trader's profit and loss, per entry notional, as booked: to 2**-32.
    """

    is_liquidated: np.ndarray
    pnl: np.ndarray


def end_paths(task: Pass, kernel: Any, first: int, count: int, stop: np.ndarray) -> Ends:
    """Run paths ``first .. first + count - 1``, each with a tally of its own.

    Parameters
    ----------
    task : Pass
        With one leverage, one stop, one side and one horizon.
    kernel : Kernel
        That of the pass; threads may share one.
    first, count : int
    stop : ndarray of int32, shape (1,)
        Once another thread has set it, the result is not to be used.
    """
    tallies = [np.zeros((count, *shape), dtype=np.int64) for shape in (kernel.tally_shape(), kernel.carried_shape())]
    if not kernel.run_apart(first, count, *tallies, stop):
        raise ParameterError(OUT_OF_RANGE.format(f"among {first}..{first + count - 1}"))
    side = task.rules["sides"].index(True)
    sums = cell_sums(task, Sums(*(_Apart(tally[:, :, side]) for tally in tallies)))
    return Ends(sums.liquidated[0, :, 0, 0] == 1, sums.pnl.total[0, :, 0, 0])


class _Apart(Totals):
    """Tallies of single paths, (path, horizon, outcome, 1, 1, field): paths stand for sides, nothing is summed."""

    def __init__(self, tally: np.ndarray) -> None:
        self.by_field = np.moveaxis(tally, -1, 0)

    def prefix(self, outcome: int, axes: tuple[int, ...]) -> np.ndarray:
        values = self.by_field[:, :, :, outcome].swapaxes(1, 2).astype(np.float64, order="C")
        return np.moveaxis(values, 0, -1)
