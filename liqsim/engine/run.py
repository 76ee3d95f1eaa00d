"""Passes on the threads of this process."""

from __future__ import annotations

import bisect
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.tally import Sums
from liqsim.engine.tasks import SMALLEST_TASK, Bench, Job, run_jobs
from liqsim.errors import ParameterError

__all__ = [
    "Threads",
    "available_threads",
    "batch_paths",
    "check_threads",
    "pass_threads",
    "run_groups",
    "run_passes",
]


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


class Threads:
    """Plain threads: the kernel releases the GIL.

    Parameters
    ----------
    n : int
        Number of threads.
    """

    seconds = 0.25

    def __init__(self, n: int) -> None:
        self.slots = n
        self._stop = np.zeros(1, dtype=np.int32)
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(n, thread_name_prefix="liqsim")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop[0] = 1
        self._pool.shutdown(cancel_futures=True)

    def submit(self, number: int, task: Pass, first: int, count: int) -> Future[tuple[Sums, float]]:
        """Run paths ``first .. first + count - 1``."""
        return self._pool.submit(self._run, number, task, first, count)

    def _run(self, number: int, task: Pass, first: int, count: int) -> tuple[Sums, float]:
        if not hasattr(self._own, "bench"):
            self._own.bench = Bench(self._stop)
        return self._own.bench.run(number, task, first, count)


def batch_paths(seconds_per_path: float) -> int:
    """Paths that a thread takes at a time, about."""
    return max(int(Threads.seconds / seconds_per_path), SMALLEST_TASK)


def pass_threads(threads: int, n_paths: int) -> int:
    """Threads that one pass can use: each has a smallest task at least."""
    return max(1, min(threads, n_paths // SMALLEST_TASK))


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
        Called with the number of paths of each finished task.

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

    Parameters
    ----------
    passes : sequence of Pass
    edges : sequence of int
        Not falling: group ``g`` holds paths ``edges[g] .. edges[g + 1] - 1``.
    threads : int
    report : callable
        Called with the number of paths of each finished task.

    Returns
    -------
    list of list of Sums
        Of every group, in the order of ``passes``.
    """
    ranges = tuple((first, end) for first, end in itertools.pairwise(edges) if first < end)
    found = [[Sums.empty(task.kernel()) for _ in edges[1:]] for task in passes]

    def add(number: int, first: int, count: int, sums: Sums) -> None:
        found[number][bisect.bisect_right(edges, first) - 1].merge(sums)
        report(count)

    jobs = [Job(k, lambda task=task: task, ranges) for k, task in enumerate(passes)]  # type: ignore[misc]
    most = max(1, len(passes) * (edges[-1] - edges[0]) // SMALLEST_TASK)
    with Threads(min(threads, most)) as scheduler:
        run_jobs(jobs, scheduler, add)
    return found
