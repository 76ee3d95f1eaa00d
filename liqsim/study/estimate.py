"""What a study will cost, and where it is approximate, before it is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from liqsim.approximations import approximations
from liqsim.cells import Cell, notes_of
from liqsim.engine.memory import bytes_text
from liqsim.engine.plan import Pass
from liqsim.engine.tasks import Bench
from liqsim.planning import Plan
from liqsim.study.resolve import Study

__all__ = ["Estimate", "check_fits", "estimate"]

_KEPT = 3 * 2**26  # finished sums and segments being written
_PROBE_SECONDS = 0.1
_PROBES = 24
_DISK_RATIO = 0.25  # sums compress to about this


@dataclass(frozen=True)
class Estimate:
    """Size and cost of a study.

    Parameters
    ----------
    axes : dict
        Length of each axis.
    n_cells, n_passes, n_paths : int
        Cells of the result, runs of the kernel, paths of each.
    seconds : float
        Of work for all workers together.
    workers : int
    memory, disk : int
        Bytes.
    notes : tuple of str
        Where the numbers are approximate or rest on an assumption.
    """

    axes: dict[str, int]
    n_cells: int
    n_passes: int
    n_paths: int
    seconds: float
    workers: int
    memory: int
    disk: int
    notes: tuple[str, ...]

    def text(self) -> str:
        """What ``liqsim sweep --dry-run`` prints."""
        product = " x ".join(f"{n} {name}" for name, n in self.axes.items())
        wall = self.seconds / self.workers
        lines = [
            f"cells     {self.n_cells:,} = {product}",
            f"passes    {self.n_passes:,} of {self.n_paths:,} paths each, {self.n_passes * self.n_paths:.4g} in all",
            f"time      about {_time(wall)} on {self.workers} workers ({_time(self.seconds)} of one processor), from a "
            "sample",
            f"memory    at most {bytes_text(self.memory)}",
            f"disk      about {bytes_text(self.disk)}",
            "approximate, or assumed:",
            *(f"  - {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("s", 60.0), ("min", 60.0), ("h", 24.0)):
        if seconds < size:
            return f"{seconds:.2g} {unit}" if seconds < 10 else f"{seconds:.0f} {unit}"
        seconds /= size
    return f"{seconds:.1f} days"


def check_fits(study: Study, workers: int) -> int:
    """Bytes that a study needs; raises ParameterError with the figure where there are not as many."""
    return study.plan.check_memory(workers, kept=_KEPT)


def estimate(study: Study) -> Estimate:
    """Say what a study will cost; a sample of its passes is run for about a second in all.

    Raises
    ------
    ParameterError
        If it cannot be run: see :func:`liqsim.sweep`; or if it needs more memory than there is.
    """
    _ = study.keys  # all of it can be run
    plan = study.plan
    settings, grid = plan.settings, plan.grid
    memory = check_fits(study, settings.threads)
    axes = {
        "models": len(plan.models),
        "venues": len(plan.venues),
        "notionals": len(plan.notionals),
        "horizons": len(settings.horizons),
        "sides": len(grid.sides),
        "leverages": len(grid.leverage),
        "stops": len(grid.stop),
    }
    n_cells = plan.n_cells
    return Estimate(
        axes=axes,
        n_cells=n_cells,
        n_passes=len(plan.passes),
        n_paths=settings.n_paths,
        seconds=_seconds(plan),
        workers=settings.threads,
        memory=memory,
        disk=int(2 * sum(plan.tallies) * _DISK_RATIO) + 8 * (40 + plan.outputs.n_values) * n_cells,
        notes=tuple(_notes(plan)),
    )


def _seconds(plan: Plan) -> float:
    """Processor time of all passes, from a few of them."""
    chosen = np.unique(np.linspace(0, len(plan.passes) - 1, min(_PROBES, len(plan.passes))).astype(int))
    bench = Bench(np.zeros(1, dtype=np.int32))
    spent = []
    for k in chosen.tolist():
        cell, timeline = plan.passes[k]
        task = plan.make(plan.cells[cell], timeline)
        count, seconds = 256, 0.0
        while seconds < _PROBE_SECONDS / 4 and count <= 2**20:
            _, seconds = bench.run(k, task, 0, count)
            count *= 4
        spent.append(seconds / (count // 4))
    return plan.settings.n_paths * len(plan.passes) * math.fsum(spent) / len(spent)


def _notes(plan: Plan) -> list[str]:
    first: dict[int, tuple[Cell, Pass]] = {}  # one run stands for all others of its venue
    for k, timeline in plan.passes:
        cell = plan.cells[k]
        if id(cell.venue) not in first:
            first[id(cell.venue)] = cell, plan.make(cell, timeline)
    labels = {id(venue): label for label, venue in plan.venues.items()}
    return approximations(first.values(), plan.settings, labels) + notes_of(plan.venues).splitlines()
