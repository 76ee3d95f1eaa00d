"""Batches of paths on threads.

A batch is a range of path numbers added to an integer tally with the GIL released. Integer sums do not depend on the
order of batches, so threads simply take the next range. Between batches progress is reported and Ctrl-C is honoured.
Sums may be kept apart for groups of paths, which are ranges of path numbers and know nothing of batches.
"""

from __future__ import annotations

import bisect
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.tally import Sums, Tallies
from liqsim.errors import ParameterError

__all__ = ["available_threads", "check_threads", "run_groups", "run_passes"]

_SMALLEST_BATCH = 1024
_LARGEST_BATCH = 65536  # what one int64 tally can hold
_BATCH_SECONDS = 0.05


def available_threads() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """Number of threads to use: all processors allowed to the process unless given."""
    if threads is None:
        return available_threads()
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or not 1 <= threads <= 1024:
        raise ParameterError(
            f"threads={threads!r} is not allowed; give a whole number in [1, 1024], or None for all processors"
        )
    return int(threads)


class _Work:
    """Ranges of paths of one pass, handed out in sizes that take about the same time, and the sums of its groups."""

    def __init__(self, edges: Sequence[int], n_threads: int) -> None:
        self.edges = edges
        self.next = edges[0]
        self.share = 4 * n_threads
        self.batch = _SMALLEST_BATCH
        self.sums: list[Sums | None] = [None] * (len(edges) - 1)
        self.lock = threading.Lock()

    def take(self) -> tuple[int, int, int]:
        """A group, the first path and the number of paths."""
        with self.lock:
            first, left = self.next, self.edges[-1] - self.next
            group = bisect.bisect_right(self.edges, first) - 1
            in_group = self.edges[group + 1] - first if left else 0
            count = min(in_group, max(min(self.batch, left // self.share), _SMALLEST_BATCH))
            self.next += count
            return group, first, count

    def add(self, group: int, sums: Sums) -> None:
        with self.lock:
            known = self.sums[group]
            if known is None:
                self.sums[group] = sums
            else:
                known.merge(sums)

    def timed(self, count: int, seconds: float) -> None:
        with self.lock:
            ideal = count * _BATCH_SECONDS / max(seconds, 1e-6)
            self.batch = int(min(max(ideal, _SMALLEST_BATCH), _LARGEST_BATCH))


def _worker(task: Pass, work: _Work, stop: np.ndarray, report: Callable[[int], Any]) -> None:
    kernel = task.kernel()
    tallies, sums, at = Tallies(kernel), Sums.empty(kernel), 0
    while not stop[0]:
        group, first, count = work.take()
        if count == 0:
            break
        if group != at:
            tallies.flush(sums)
            work.add(at, sums)
            sums, at = Sums.empty(kernel), group
        begun = time.perf_counter()
        fits = tallies.run(first, count, stop, sums)
        work.timed(count, time.perf_counter() - begun)
        if not fits:
            stop[0] = 1
            raise ParameterError(
                f"a path among {first}..{first + count - 1} gained or paid more than 16384 times the entry notional, "
                "beyond what the sums can hold; lower the volatility, the jump sizes or the horizon"
            )
        report(count)
    tallies.flush(sums)
    work.add(at, sums)


def run_passes(
    passes: Sequence[Pass], n_paths: int, threads: int, report: Callable[[int], Any] = lambda count: None
) -> list[Sums]:
    """Run every pass over paths ``0 .. n_paths - 1``.

    Parameters
    ----------
    passes : sequence of Pass
    n_paths : int
    threads : int
    report : callable
        Called with the number of paths of each finished batch, from any thread.

    Returns
    -------
    list of Sums
        In the order of ``passes``.
    """
    return [sums for (sums,) in run_groups(passes, (0, n_paths), threads, report)]


def run_groups(
    passes: Sequence[Pass], edges: Sequence[int], threads: int, report: Callable[[int], Any] = lambda count: None
) -> list[list[Sums]]:
    """Run every pass over paths ``edges[0] .. edges[-1] - 1`` and keep the sums of groups of paths apart.

    The calling thread only waits, so that an interrupt reaches it at once; it then stops the kernels.

    Parameters
    ----------
    passes : sequence of Pass
    edges : sequence of int
        Not falling: group ``g`` holds paths ``edges[g] .. edges[g + 1] - 1``.
    threads : int
    report : callable
        Called with the number of paths of each finished batch, from any thread.

    Returns
    -------
    list of list of Sums
        Of every group, in the order of ``passes``.
    """
    results = []
    stop = np.zeros(1, dtype=np.int32)
    with ThreadPoolExecutor(threads, thread_name_prefix="liqsim") as pool:
        try:
            for task in passes:
                n_threads = max(1, min(threads, (edges[-1] - edges[0]) // _SMALLEST_BATCH))
                work = _Work(edges, n_threads)
                waiting = {pool.submit(_worker, task, work, stop, report) for _ in range(n_threads)}
                while waiting:
                    done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                results.append([Sums.empty(task.kernel()) if sums is None else sums for sums in work.sums])
        finally:
            stop[0] = 1
    return results
