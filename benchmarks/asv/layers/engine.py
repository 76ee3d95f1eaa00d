"""From rules to a plan, and from sums to estimates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from peers.problem import W1

import liqsim as lq
from liqsim.engine.tally import Sums, Totals, cell_sums
from liqsim.engine.timeline import build_timelines, to_nanoseconds, venue_clock
from liqsim.estimates import sweep_estimates

from .workloads import new_tallies, pass_of

GRIDS = {"12 x 10": (12, 10), "100 x 100": (100, 100)}


class Plan:
    """W1 made ready for the kernel; the instants of a year at a venue whose rules follow a local clock."""

    def time_pass(self) -> None:
        pass_of(W1)

    def time_timeline_of_a_year(self) -> None:
        venue = lq.load_venue("coinbase-bip").assume(maintenance_share=0.8)
        year = to_nanoseconds(365)
        build_timelines([year], venue_clock(venue, year, None, 60_000.0), None)


class Tally:
    """Booked corners to sums, sums to estimates and their errors."""

    params = tuple(GRIDS)
    param_names = ("grid",)

    def setup(self, grid: str) -> None:
        rows, columns = GRIDS[grid]
        leverage = tuple(np.geomspace(2.0, 100.0, rows).tolist())
        stop = (*np.linspace(0.01, 0.5, columns - 1).tolist(), np.inf)
        self.task = pass_of(replace(W1, leverage=leverage, stop=stop))
        kernel = self.task.kernel()
        self.booked = new_tallies(kernel)
        kernel.run(0, 2048, *self.booked, np.zeros(1, dtype=np.int32))
        self.sums = Sums(*(Totals(tally.shape) for tally in self.booked))
        self.time_add(grid)
        self.cells = cell_sums(self.task, self.sums)

    def time_add(self, grid: str) -> None:
        self.sums.whole.add(self.booked[0])
        self.sums.carried.add(self.booked[1])

    def time_cell_sums(self, grid: str) -> None:
        cell_sums(self.task, self.sums)

    def time_estimates(self, grid: str) -> None:
        sweep_estimates(self.task, self.cells, 2048)
