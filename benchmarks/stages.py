"""What a sweep's time is made of: the same paths with one thing more each time, down from random numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import inf
from typing import Any

from contest import BOTH, LANES, instruction_set
from peers.problem import W1, W2, Problem, run_liqsim
from scaling import seconds_of

import liqsim as lq
from liqsim._core import available_levels, kernel_module


@dataclass(frozen=True)
class _Unfunded(Problem):
    """The same without a premium, the price as it is at each stamp."""

    @property
    def venue(self) -> lq.Venue:
        """The rules, with a payment that is too small to matter."""
        return replace(super().venue, funding=lq.FixedFunding(1e-15, f"{self.hours}h", notional="entry"))

    @property
    def premium(self) -> None:
        """None."""
        return None


def _nowhere(problem: Problem) -> Problem:
    """The same with a level that hardly any path reaches."""
    return replace(problem, leverage=(1.01,), stop=(inf,))


def _path(problem: Problem) -> Problem:
    return _Unfunded(**asdict(_nowhere(problem)))


def _whole(problem: Problem) -> Problem:
    return problem


STAGES: dict[str, tuple[Callable[[Problem], Problem], Any]] = {  # what is run, and for which sides
    "path": (_path, BOTH), "funding": (_nowhere, BOTH), "long side": (_whole, "long"), "short side": (_whole, BOTH),
}  # fmt: skip


def measure(n_paths: int, rounds: int) -> list[dict[str, Any]]:
    """Nanoseconds a path and interval up to each stage on one thread, by workload and instruction set.

    A sweep of a block of paths is taken off, which is what a call costs besides; random numbers are those of a Brownian
    segment for each interval and jump.
    """
    rows = []
    for key, problem in (("W1", W1), ("W2", W2)):
        events = problem.intervals * (1.0 + problem.intensity * problem.years)
        for isa in reversed(available_levels()):
            with instruction_set(isa):
                draw = kernel_module().random_numbers
                runs: list[Callable[[], Any]] = [partial(draw, n_paths // LANES, problem.intervals)]
                for change, side in STAGES.values():
                    runs += [partial(run_liqsim, change(problem), n, threads=1, side=side) for n in (n_paths, LANES)]
                numbers, *sweeps = (min(times) for times in seconds_of(runs, rounds))
            ns = 1e9 / (n_paths * problem.intervals)
            row = {"problem": key, "isa": isa, "random numbers": numbers * ns * events / problem.intervals}
            row |= {name: (sweeps[2 * k] - sweeps[2 * k + 1]) * ns for k, name in enumerate(STAGES)}
            rows.append({name: round(x, 2) if isinstance(x, float) else x for name, x in row.items()})
    return rows
