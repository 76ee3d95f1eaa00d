"""Path numbers worth looking at: the worst, the middling, the first that is liquidated.

Every path is run, on a grid of the one cell in question, and nothing is kept but the candidates; order statistics come
from counts of the leading bits of a number, so memory does not grow with the number of paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.trace import Ends, end_paths

__all__ = ["first_liquidated_path", "median_path", "worst_path"]

_BATCH = 4096
_BITS = 16  # of a number that one pass over the paths finds out
_MOST_KEPT = 2**21  # numbers that are kept to be sorted

Report = Callable[[int], Any]


def _ends(task: Pass, n_paths: int, threads: int, report: Report) -> Iterator[tuple[int, Ends]]:
    """First path number and ends of every batch, in order; the calling thread waits, so an interrupt reaches it."""
    kernel = task.kernel()
    stop = np.zeros(1, dtype=np.int32)
    starts = iter(range(0, n_paths, _BATCH))
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="liqsim") as pool:
        try:
            while True:
                while len(waiting) < 2 * threads and (first := next(starts, None)) is not None:
                    count = min(_BATCH, n_paths - first)
                    waiting.append((first, count, pool.submit(end_paths, task, kernel, first, count, stop)))
                if not waiting:
                    return
                first, count, future = waiting.popleft()
                yield first, future.result()
                report(count)
        finally:
            stop[0] = 1


def first_liquidated_path(task: Pass, n_paths: int, threads: int, report: Report) -> int | None:
    """Lowest path number on which the venue closes any part of the position; None if there is none.

    Parameters
    ----------
    task : Pass
        Of one cell.
    n_paths : int
        Paths ``0 .. n_paths - 1`` are looked at, up to the one that is found.
    threads : int
    report : callable
        Called with the number of paths of each batch.
    """
    for first, ends in _ends(task, n_paths, threads, report):
        if ends.is_liquidated.any():
            return first + int(np.argmax(ends.is_liquidated))
    return None


def worst_path(task: Pass, n_paths: int, threads: int, report: Report) -> int:
    """Path of the least profit and loss, the lowest number among equals; parameters as of the others."""
    least, found = np.inf, 0
    for first, ends in _ends(task, n_paths, threads, report):
        k = int(np.argmin(ends.pnl))
        if ends.pnl[k] < least:
            least, found = ends.pnl[k], first + k
    return found


def median_path(task: Pass, n_paths: int, threads: int, report: Report) -> int:
    """Path of the lower median of profit and loss, the lowest number among equals; parameters as of the others.

    The first pass over the paths counts them by the leading 16 bits of their profit and loss. The next keeps those that
    agree with the median so far, if there are few enough, and counts them by the next 16 bits otherwise. Two passes as
    a rule; one where many paths share the median to the last bit, as liquidated ones do; four at most.
    """
    rank, known, prefix = (n_paths - 1) // 2, 0, 0  # rank of the median among those that begin with the known bits
    n_left = n_paths
    while n_left > _MOST_KEPT or known == 0:
        counts = np.zeros(2**_BITS, dtype=np.int64)
        lowest = np.full(2**_BITS, np.iinfo(np.uint64).max, dtype=np.uint64)
        highest = np.zeros(2**_BITS, dtype=np.uint64)
        firsts = np.zeros(2**_BITS, dtype=np.int64)
        for first, ends in _ends(task, n_paths, threads, report):
            keys, numbers = _matching(ends.pnl, first, prefix, known)
            bins = (keys >> np.uint64(64 - known - _BITS)) & np.uint64(2**_BITS - 1)
            places, at, n = np.unique(bins, return_index=True, return_counts=True)
            firsts[places] = np.where(counts[places] == 0, numbers[at], firsts[places])
            counts[places] += n
            np.minimum.at(lowest, bins, keys)
            np.maximum.at(highest, bins, keys)
        before = np.cumsum(counts) - counts
        k = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
        if lowest[k] == highest[k]:
            return int(firsts[k])
        rank, n_left = rank - int(before[k]), int(counts[k])
        prefix, known = prefix << _BITS | k, known + _BITS
    kept = [_matching(ends.pnl, first, prefix, known) for first, ends in _ends(task, n_paths, threads, report)]
    keys = np.concatenate([keys for keys, _ in kept])
    numbers = np.concatenate([numbers for _, numbers in kept])
    return int(numbers[np.flatnonzero(keys == np.partition(keys, rank)[rank])[0]])


def _matching(values: np.ndarray, first: int, prefix: int, known: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as integers of the same order, and their paths, of those whose leading bits are the median's."""
    bits = (values + 0.0).view(np.uint64)  # the sum turns -0.0 into 0.0
    negative = bits >> np.uint64(63) == 1
    keys = np.where(negative, ~bits, bits | np.uint64(1 << 63))
    numbers = first + np.arange(len(values))
    if known == 0:
        return keys, numbers
    fits = keys >> np.uint64(64 - known) == prefix
    return keys[fits], numbers[fits]
