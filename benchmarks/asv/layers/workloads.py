"""Passes of the kernel that several layers work on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from peers.problem import Problem

import liqsim as lq
from liqsim.engine.plan import Grid, Pass, seed_key, sweep_pass
from liqsim.engine.timeline import build_timelines, to_nanoseconds, venue_clock


def pass_of(problem: Problem, liquidation: lq.Liquidation | None = None) -> Pass:
    """A problem as `sweep` would plan it, both sides."""
    venue = problem.venue if liquidation is None else replace(problem.venue, liquidation=liquidation)
    horizon = to_nanoseconds(problem.intervals * problem.hours / 24)
    (timeline,) = build_timelines([horizon], venue_clock(venue, horizon, None, 60_000.0), None)
    grid = Grid(np.array(problem.leverage), np.array(problem.stop), ("long", "short"))
    key = seed_key(7)
    return sweep_pass(problem.model, venue, problem.premium, grid, 1e5, 6e4, timeline, key, liquidation_first=True)


def new_tallies(kernel: Any) -> list[np.ndarray]:
    """Zeros that a kernel adds to."""
    return [np.zeros(shape, dtype=np.int64) for shape in (kernel.tally_shape(), kernel.carried_shape())]
