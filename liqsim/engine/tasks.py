"""Ranges of paths as tasks: one plan for threads, processes and a cluster.

A task is a range of path numbers of one pass, added to an integer tally with the GIL released. Integer sums do not
depend on the order of tasks, so workers simply take the next range, whoever they are; a range that a worker has lost is
run again. Tasks are cut to take about the same time, whatever a path costs.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.tally import Sums, Tallies
from liqsim.errors import LiqsimError, ParameterError

__all__ = ["SMALLEST_TASK", "Bench", "Job", "Scheduler", "WorkerLost", "run_jobs"]

SMALLEST_TASK = 1024
_MOST_PATHS = 65_536  # what one int64 tally can hold
_MOST_LOSSES = 5  # of one range, before it is taken for the cause


class WorkerLost(LiqsimError, RuntimeError):
    """A worker has gone before it returned its task."""


@dataclass(frozen=True)
class Job:
    """One pass, and the ranges of paths that are still to be run.

    Parameters
    ----------
    number : int
        Of the pass, in the plan.
    make : callable
        Returns the pass; called once, when its first task is due.
    ranges : tuple of (int, int)
        First path and the one after the last.
    """

    number: int
    make: Callable[[], Pass]
    ranges: tuple[tuple[int, int], ...]

    @property
    def n_paths(self) -> int:
        """Paths that are still to be run."""
        return sum(end - first for first, end in self.ranges)


class Scheduler(Protocol):
    """Where tasks run. A context manager; on leaving, what still runs is stopped."""

    @property
    def seconds(self) -> float:
        """What a task should take, summed over the workers that share it."""
        ...

    @property
    def slots(self) -> int:
        """Tasks that run at a time."""
        ...

    def submit(self, number: int, task: Pass, first: int, count: int) -> Future[tuple[Sums, float]]:
        """Run paths ``first .. first + count - 1``; the sums, and the seconds of work that they took."""
        ...


class Bench:
    """What a worker keeps between tasks of one pass: its kernel and its tallies.

    Parameters
    ----------
    stop : ndarray of int32, shape (1,)
        Another thread sets it to end a task within one interval; its sums are then not to be used.
    """

    def __init__(self, stop: np.ndarray) -> None:
        self.stop = stop
        self.key: object = None

    def run(self, key: object, task: Pass, first: int, count: int) -> tuple[Sums, float]:
        """Run paths ``first .. first + count - 1`` of a pass; ``key`` tells passes apart.

        Raises
        ------
        ParameterError
            If a value leaves the range of the sums.
        """
        begun = time.perf_counter()
        if key != self.key:
            self.kernel = task.kernel()
            self.tallies = Tallies(self.kernel)
            self.key = key
        sums = Sums.empty(self.kernel)
        for start in range(first, first + count, _MOST_PATHS):
            n = min(_MOST_PATHS, first + count - start)
            if not self.tallies.run(start, n, self.stop, sums):
                self.key = None  # what the tallies hold is of no use
                raise ParameterError(
                    f"a path among {start}..{start + n - 1} gained or paid more than 16384 times the entry notional, "
                    "beyond what the sums can hold; lower the volatility, the jump sizes or the horizon"
                )
            if self.stop[0]:
                self.key = None
                break
        self.tallies.flush(sums)
        return sums, time.perf_counter() - begun


class _Sizes:
    """How many paths make a task of the wanted time; fewer towards the end, so that all workers end together."""

    def __init__(self, jobs: Sequence[Job], scheduler: Scheduler) -> None:
        self.left = sum(job.n_paths for job in jobs)
        self.scheduler = scheduler
        self.rate = 0.0  # paths per second of the pass that was timed last
        self.rates: dict[int, float] = {}

    def next(self, number: int, left: int) -> int:
        rate = self.rates.get(number, self.rate)
        fair = self.left // (2 * self.scheduler.slots)
        count = min(left, max(SMALLEST_TASK, min(int(rate * self.scheduler.seconds), fair)))
        self.left -= count
        return count

    def timed(self, number: int, count: int, seconds: float) -> None:
        self.rate = self.rates[number] = count / max(seconds, 1e-6)


def _tasks(jobs: Sequence[Job], sizes: _Sizes) -> Iterator[tuple[int, Pass, int, int]]:
    for job in jobs:
        task = job.make()
        for first, end in job.ranges:
            while first < end:
                count = sizes.next(job.number, end - first)
                yield job.number, task, first, count
                first += count


def run_jobs(jobs: Sequence[Job], scheduler: Scheduler, add: Callable[[int, int, int, Sums], None]) -> None:
    """Run what is left of every pass.

    The calling thread only waits and adds, so that an interrupt reaches it at once.

    Parameters
    ----------
    jobs : sequence of Job
    scheduler : Scheduler
        Already entered.
    add : callable
        Called in this thread with pass number, first path, number of paths and sums of each finished task.

    Raises
    ------
    WorkerLost
        If workers went again and again with the same range.
    """
    sizes = _Sizes([job for job in jobs if job.ranges], scheduler)
    tasks = _tasks([job for job in jobs if job.ranges], sizes)
    again: deque[tuple[int, Pass, int, int]] = deque()
    running: dict[Future[tuple[Sums, float]], tuple[int, Pass, int, int]] = {}
    losses: dict[tuple[int, int], int] = {}
    try:
        while True:
            while len(running) < 2 * scheduler.slots:
                item = again.popleft() if again else next(tasks, None)
                if item is None:
                    break
                running[scheduler.submit(*item)] = item
            if not running:
                return
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                number, _, first, count = item
                try:
                    sums, seconds = future.result()
                except WorkerLost:
                    losses[number, first] = losses.get((number, first), 0) + 1
                    if losses[number, first] > _MOST_LOSSES:
                        raise
                    again.append(item)
                    continue
                sizes.timed(number, count, seconds)
                add(number, first, count, sums)
    finally:
        for future in itertools.chain(running):
            future.cancel()
