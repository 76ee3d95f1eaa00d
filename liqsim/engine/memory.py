"""What a run needs of memory, and what there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from liqsim.engine.binned import booked_bytes
from liqsim.engine.plan import Pass
from liqsim.engine.run import pass_threads
from liqsim.errors import ParameterError

__all__ = ["LANES", "available_memory", "bytes_text", "check_memory", "needed_memory", "run_bytes", "tally_bytes"]

_BASE = 200 * 2**20  # the interpreter and its libraries
LANES = 256  # paths that the kernel runs side by side
_BLOCK_BYTES = 2**18
_CARRIED_BYTES = 148  # of a slot for a carried position
_VARIABLES = 40  # estimates and standard errors of a cell
_COPIES = 4  # of the dataset: per cell, stacked, in order, encoded


def tally_bytes(task: Pass) -> int:
    """Bytes of the integers that a kernel books one batch of a pass in."""
    kernel = task.kernel()
    return 8 * (math.prod(kernel.tally_shape()) + math.prod(kernel.carried_shape())) + booked_bytes(task)


def needed_memory(
    tallies: Sequence[int], n_cells: int, workers: int, *, kept: int | None = None, n_added: int = 0
) -> int:
    """Bytes that a run holds at its worst.

    Parameters
    ----------
    tallies : sequence of int
        :func:`tally_bytes` of each pass.
    n_cells : int
        Cells of the dataset.
    workers : int
        In this process.
    kept : int, optional
        Bytes of finished sums that are kept before they are written; those of all passes unless given.
    n_added : int
        Values of each cell that the dataset holds besides; see :attr:`liqsim.outputs.Outputs.n_values`.
    """
    largest = max(tallies)
    sums = 2 * sum(tallies) if kept is None else kept + 4 * largest
    return _BASE + workers * 8 * largest + sums + _COPIES * 8 * (_VARIABLES + n_added) * n_cells


def run_bytes(passes: Sequence[Pass], n_paths: int, threads: int, n_groups: int = 1) -> int:
    """Memory for sums: what every thread works on, and what is kept of every pass until it is turned into estimates.

    It does not depend on the number of paths, but for the threads that few paths leave idle.
    """
    n_threads = pass_threads(threads, n_paths)
    total, most = 0, 0
    known: dict[tuple[int, ...], int] = {}
    for task in passes:
        arrays = task.arrays
        n_times = int(arrays["time_bin"][-1]) + 1 if "time_bin" in arrays else 0
        shape = (len(task.horizons), len(task.margin), len(arrays["stop_long"]), int(task.carries), n_times)
        if shape not in known:
            known[shape] = tally_bytes(task)
        slots = 2 * (len(task.margin) if task.carries else 0) * LANES
        total += 2 * n_groups * known[shape]
        most = max(most, n_threads * (3 * known[shape] + slots * _CARRIED_BYTES + _BLOCK_BYTES))
    return total + most


def available_memory() -> int | None:
    """Bytes that this process may still take; None where it cannot be told."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError, IndexError):
        pass
    return min(found, default=None)


def check_memory(needed: int, n_cells: int) -> None:
    """Refuse a run that would not fit.

    Raises
    ------
    ParameterError
        With what it needs and what there is.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise ParameterError(
            f"leverage, stop and the other axes make {n_cells:,} cells, which need {bytes_text(needed)} of memory, and "
            f"{bytes_text(there)} are free; shorten an axis, ask for fewer outputs, or split the study into several"
        )


def bytes_text(n: float) -> str:
    """A number of bytes, such as ``1.4 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 1000 or unit == "TB":
            break
        n /= 1000
    return f"{n:.3g} {unit}"
