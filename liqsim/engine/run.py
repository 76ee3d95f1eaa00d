"""Batches of paths on threads.

A batch is a range of path numbers added to an integer tally with the GIL released. Integer sums do not depend on the
order of batches, so threads simply take the next range. Between batches progress is reported and Ctrl-C is honoured.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.tally import Sums, Totals
from liqsim.errors import ParameterError

__all__ = ["available_threads", "batch_paths", "check_threads", "pass_threads", "run_passes"]

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


def batch_paths(seconds_per_path: float) -> int:
    """Paths of a batch on one thread: some 50 ms of work, within what one tally can hold."""
    return int(min(max(_BATCH_SECONDS / seconds_per_path, _SMALLEST_BATCH), _LARGEST_BATCH))


def pass_threads(threads: int, n_paths: int) -> int:
    """Threads that one pass can use: each has a batch at least."""
    return max(1, min(threads, n_paths // _SMALLEST_BATCH))


class _Work:
    """Ranges of paths of one pass, handed out in sizes that take about the same time."""

    def __init__(self, n_paths: int, n_threads: int) -> None:
        self.left = n_paths
        self.next = 0
        self.share = 4 * n_threads
        self.batch = _SMALLEST_BATCH
        self.lock = threading.Lock()

    def take(self) -> tuple[int, int]:
        with self.lock:
            count = min(self.left, max(min(self.batch, self.left // self.share), _SMALLEST_BATCH))
            first = self.next
            self.next += count
            self.left -= count
            return first, count

    def timed(self, count: int, seconds: float) -> None:
        with self.lock:
            self.batch = batch_paths(max(seconds, 1e-6) / count)


def _worker(task: Pass, work: _Work, stop: np.ndarray, report: Callable[[int], Any]) -> Sums:
    kernel = task.kernel()
    tally = np.zeros(kernel.tally_shape(), dtype=np.int64)
    carried = np.zeros(kernel.carried_shape(), dtype=np.int64)
    sums = Sums(Totals(tally.shape), Totals(carried.shape))
    while not stop[0]:
        first, count = work.take()
        if count == 0:
            break
        begun = time.perf_counter()
        fits = kernel.run(first, count, tally, carried, stop)
        work.timed(count, time.perf_counter() - begun)
        if not fits:
            stop[0] = 1
            raise ParameterError(
                f"a path among {first}..{first + count - 1} gained or paid more than 16384 times the entry notional, "
                "beyond what the sums can hold; lower the volatility, the jump sizes or the horizon"
            )
        sums.whole.add(tally)
        sums.carried.add(carried)
        tally[...] = 0
        carried[...] = 0
        report(count)
    return sums


def run_passes(
    passes: Sequence[Pass], n_paths: int, threads: int, report: Callable[[int], Any] = lambda count: None
) -> list[Sums]:
    """Run every pass over paths ``0 .. n_paths - 1``.

    The calling thread only waits, so that an interrupt reaches it at once; it then stops the kernels.

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
    results = []
    stop = np.zeros(1, dtype=np.int32)
    with ThreadPoolExecutor(threads, thread_name_prefix="liqsim") as pool:
        try:
            for task in passes:
                n_threads = pass_threads(threads, n_paths)
                work = _Work(n_paths, n_threads)
                waiting = {pool.submit(_worker, task, work, stop, report) for _ in range(n_threads)}
                parts = []
                while waiting:
                    done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                    parts += [future.result() for future in done]
                for part in parts[1:]:
                    parts[0].merge(part)
                results.append(parts[0])
        finally:
            stop[0] = 1
    return results
