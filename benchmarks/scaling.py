"""How the time of a sweep grows with paths, cells, intervals and threads, and whether its memory grows with paths.

Run with ``python benchmarks/scaling.py [--quick]``; :mod:`compare` calls it too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine
from peers import PEERS
from peers.problem import STOP, W1, Problem, run_liqsim

GRIDS = ((1, 1), (4, 3), (12, 10), (40, 25), (100, 100))
HOURS = (24, 8, 4, 2, 1)
_MEMORY = """
import sys
sys.path.insert(0, {folder!r})
from peers.problem import W1, run_liqsim
run_liqsim(W1, {n_paths}, threads={threads})
if sys.platform == "linux":  # ru_maxrss would remember the parent
    lines = open("/proc/self/status").read().splitlines()
    print(int([line.split()[1] for line in lines if line.startswith("VmHWM")][0]) / 2**10)
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
"""


def _seconds(function: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _grid(rows: int, columns: int) -> Problem:
    """W1 with so many leverages and stops."""
    leverage = tuple(np.geomspace(100.0, 2.0, rows).tolist()) if rows > 1 else (10.0,)
    stop = (STOP[-1],) if columns == 1 else (*np.linspace(0.01, 0.5, columns - 1).tolist(), STOP[-1])
    return replace(W1, leverage=leverage, stop=stop)


def resident_memory(n_paths: int, threads: int) -> float:
    """Largest resident memory of a process that sweeps W1 once, MiB."""
    code = _MEMORY.format(folder=str(Path(__file__).resolve().parent), n_paths=n_paths, threads=threads)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(quick: bool = False, repeats: int = 3) -> dict[str, Any]:
    """Seconds of W1 along each axis: liqsim on both sides, and numba's exact events on one where it applies."""
    most = machine.cores()
    n, repeats = (2_000, 1) if quick else (100_000, repeats)
    counts = (500, 2_000) if quick else (10_000, 31_623, 100_000, 316_228, 1_000_000)
    peer = PEERS["numba_events"]
    numba = None if peer.missing else peer.load()
    out: dict[str, Any] = {"paths": [], "cells": [], "intervals": [], "threads": [], "memory": []}

    def both(axis: str, value: int, problem: Problem, n_paths: int, threads: int) -> None:
        run_liqsim(problem, 500, threads=threads)
        row = {axis: value, "liqsim": _seconds(lambda: run_liqsim(problem, n_paths, threads=threads), repeats)}
        if numba is not None:
            numba(problem, 500, 1, threads)
            row["numba"] = _seconds(lambda: numba(problem, n_paths, 1, threads), repeats)
        out[axis].append(row)

    for count in counts:
        both("paths", count, W1, count, most)
    for rows, columns in GRIDS:
        both("cells", rows * columns, _grid(rows, columns), n, most)
    for hours in HOURS:
        both("intervals", 720 // hours, replace(W1, hours=hours, intervals=720 // hours), n, most)
    for threads in sorted({1, *(2**k for k in range(1, 11) if 2**k <= most), most}):
        both("threads", threads, W1, n, threads)
    for count in (1_000, 5_000) if quick else (100_000, 10_000_000):
        out["memory"].append({"paths": count, "MiB": resident_memory(count, most)})
    return {"axes": out, "paths": n, "threads": most, "problem": W1.name}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    print(json.dumps(measure(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
