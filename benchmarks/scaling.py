"""How the time of a sweep grows with paths, cells, intervals and threads; what a small call costs; memory.

``python benchmarks/scaling.py PATHS THREADS SECONDS`` is the process whose memory is looked at.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from contest import instruction_set
from peers import Peer
from peers.problem import STOP, W1, Problem, run_liqsim

from liqsim._core import available_levels

GRIDS = ((1, 1), (4, 3), (12, 10), (40, 25), (100, 100))
HOURS = (24, 8, 4, 2, 1)
CALL_PATHS = 20_000


def seconds_of(functions: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Wall times of each, taken in turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            taken.append(round(time.perf_counter() - begun, 6))
    return times


def _grid(rows: int, columns: int) -> Problem:
    """W1 with so many leverages and stops."""
    leverage = tuple(np.geomspace(100.0, 2.0, rows).tolist()) if rows > 1 else (10.0,)
    stop = (STOP[-1],) if columns == 1 else (*np.linspace(0.01, 0.5, columns - 1).tolist(), STOP[-1])
    return replace(W1, leverage=leverage, stop=stop)


def axes(
    peer: Peer | None, n_paths: int, most_paths: int, rounds: int, threads: int
) -> dict[str, list[dict[str, Any]]]:
    """Shortest seconds of W1 along each axis: liqsim on both sides, and a peer on one."""
    theirs = peer.load() if peer else None

    def row(value: int, problem: Problem, n_paths: int, threads: int) -> dict[str, Any]:
        runs = [lambda: run_liqsim(problem, n_paths, threads=threads)]
        if theirs is not None:
            runs.append(lambda: theirs(problem, n_paths, 1, threads))
        return dict(zip(("at", "liqsim", "peer"), (value, *map(min, seconds_of(runs, rounds))), strict=False))

    counts = np.unique(np.geomspace(most_paths / 100, most_paths, 5).astype(int)).tolist()
    powers = sorted({1, *(2**k for k in range(1, 11) if 2**k <= threads), threads})
    return {
        "paths": [row(count, W1, count, threads) for count in counts],
        "cells": [row(2 * r * c, _grid(r, c), n_paths, threads) for r, c in GRIDS],
        "intervals": [
            row(720 // hours, replace(W1, hours=hours, intervals=720 // hours), n_paths, threads) for hours in HOURS
        ],
        "threads": [row(n, W1, n_paths, n) for n in powers],
    }


def latency(rounds: int, threads: Sequence[int]) -> list[dict[str, Any]]:
    """Wall times of whole calls of `sweep` with few paths and W1's 240 cells."""
    rows = []
    for isa in available_levels():
        with instruction_set(isa):
            calls = [lambda n=n: run_liqsim(W1, CALL_PATHS, threads=n) for n in threads]
            rows += [
                {"isa": isa, "threads": n, "wall_s": wall}
                for n, wall in zip(threads, seconds_of(calls, rounds), strict=True)
            ]
    return rows


def resident_memory(n_paths: int, threads: int, seconds: int) -> dict[str, Any]:
    """Resident memory, MiB, of a process before and at the worst while it sweeps W1, stopped after so many seconds."""
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, (n_paths, threads, seconds))]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def status(name: str) -> float:
    """MiB by Linux's account of this process; ``getrusage`` would remember the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**10, 1)


def _sweep_and_tell(n_paths: int, threads: int, seconds: int) -> None:
    """Run W1 once, or begin to, and print the memory that it took."""
    run_liqsim(W1, 1000, threads=threads)  # what is loaded and built once

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    before, begun, finished = status("VmRSS"), time.perf_counter(), True
    signal.alarm(seconds)
    try:
        run_liqsim(W1, n_paths, threads=threads)
    except TimeoutError:
        finished = False
    signal.alarm(0)
    took = round(time.perf_counter() - begun, 1)
    print(json.dumps({"paths": n_paths, "before_MiB": before, "most_MiB": status("VmHWM"), "seconds": took,
                      "finished": finished}))  # fmt: skip


if __name__ == "__main__":
    _sweep_and_tell(*map(int, sys.argv[1:]))
