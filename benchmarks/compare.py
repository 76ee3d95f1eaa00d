"""Set liqsim against what one would otherwise write: first that all give the same answer, then how long they take.

Run with ``python benchmarks/compare.py [--paths N] [--quick] [--out DIR]``. Writes ``compare.json`` (raw),
``compare.md`` (tables) and ``compare.png`` (time to a standard error of 0.1 %; scaling in paths, cells, intervals,
threads).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine
import scaling
import tables
from peers import PEERS, Peer
from peers.problem import PROBLEMS, Answer, Problem, liqsim_answer, run_liqsim

import liqsim as lq
from liqsim._core import available_levels, kernel_module

CELL = (10.0, math.inf)  # leverage and stop of the cell whose error the figure is about
TARGET_SE = 1e-3
MOST_Z = 4.5
LANES = 256


@contextmanager
def instruction_set(level: str | None) -> Iterator[None]:
    """Let liqsim use this level."""
    before = os.environ.pop("LIQSIM_ISA", None)
    if level:
        os.environ["LIQSIM_ISA"] = level
    try:
        yield
    finally:
        os.environ.pop("LIQSIM_ISA", None)
        if before is not None:
            os.environ["LIQSIM_ISA"] = before


# -------------------------------------------------------------------------------------------------- agreement


def largest_z(one: np.ndarray, n_one: int, other: np.ndarray, n_other: int) -> float:
    """Largest distance of two arrays of proportions in joint standard errors."""
    pooled = (one * n_one + other * n_other) / (n_one + n_other)
    se = np.sqrt(pooled * (1 - pooled) * (1 / n_one + 1 / n_other))
    return float(np.max(np.abs(one - other) / np.where(se > 0, se, 1.0)))


def position(problem: Problem) -> tuple[int, int]:
    """Row and column of the cell that the figure is about."""
    row = sorted(problem.leverage, reverse=True).index(CELL[0])
    return row, sorted(problem.stop).index(CELL[1])


def agree(n_paths: int, threads: int) -> list[dict[str, Any]]:
    """Compare every peer that can be run with liqsim under the same law and monitoring; hourly bias besides."""
    rows = []
    for key, problem in PROBLEMS.items():
        cell = position(problem)
        ours: dict[tuple[str, bool], Answer] = {}

        def solved(
            monitoring: str, funding: bool, problem: Problem = problem, ours: dict[tuple[str, bool], Answer] = ours
        ) -> Answer:
            if (monitoring, funding) not in ours:
                ds = run_liqsim(
                    replace(problem, funding=funding), n_paths, threads=threads, side="long", monitoring=monitoring
                )
                ours[monitoring, funding] = replace(liqsim_answer(ds), n_paths=n_paths)
            return ours[monitoring, funding]

        if key == "GBM":
            level = float(np.exp(problem.log_liquidation[0]))
            exact = lq.analytic.first_passage_probability(problem.model, level, f"{problem.intervals * problem.hours}h")
            p = solved("continuous", False).p_liquidation
            z = float(abs(p[0, 0] - exact) / math.sqrt(exact * (1 - exact) / n_paths))
            rows.append(
                {"problem": key, "name": "liqsim against the closed form", "z_liquidation": z, "z_stop": 0.0,
                 "p": float(p[0, 0]), "bias": 0.0, "largest_bias": 0.0, "agrees": z < MOST_Z}
            )  # fmt: skip
        for peer in PEERS.values():
            if peer.missing or key not in peer.problems:
                continue
            funding = peer.funding and problem.funding
            asked = replace(problem, funding=funding)
            found = peer.load()(asked, n_paths, 11, 1 if peer.threads == "one" else threads)
            same = solved(peer.monitoring, funding)
            always = solved("continuous", funding)
            z = [
                largest_z(getattr(found, name), found.n_paths, getattr(same, name), n_paths)
                for name in ("p_liquidation", "p_stop")
            ]
            hourly = peer.monitoring != "continuous"
            common = always.p_liquidation > 0.05
            relative = found.p_liquidation[common] / always.p_liquidation[common] - 1
            rows.append(
                {"problem": key, "name": peer.label, "z_liquidation": z[0], "z_stop": z[1],
                 "p": float(found.p_liquidation[cell]),
                 "bias": float(found.p_liquidation[cell] - always.p_liquidation[cell]) if hourly else 0.0,
                 "largest_bias": float(relative.min()) if hourly and relative.size else 0.0,
                 "agrees": max(z) < MOST_Z}
            )  # fmt: skip
    return rows


# --------------------------------------------------------------------------------------------------- stopwatch


@dataclass
class Contestant:
    """Somebody to be timed on a problem.

    Parameters
    ----------
    label, problem, isa : str
    threads : int
    ours, hourly : bool
    run : callable
        Takes the number of paths.
    multiple : int
        Numbers of paths that it is timed with are multiples of this.
    """

    label: str
    problem: str
    isa: str
    threads: int
    ours: bool
    hourly: bool
    run: Callable[[int], Any]
    multiple: int = 1


def _ours(key: str, problem: Problem, isa: str, threads: int, side: Any, label: str, hourly: bool) -> Contestant:
    def run(n_paths: int) -> Any:
        with instruction_set(isa):
            return run_liqsim(problem, n_paths, threads=threads, side=side, monitoring="1h" if hourly else "continuous")

    return Contestant(label, key, isa, threads, True, hourly, run)


def _floor(key: str, isa: str, problem: Problem) -> Contestant:
    def run(n_paths: int) -> Any:
        with instruction_set(isa):
            return kernel_module().random_numbers(max(n_paths // LANES, 1), problem.intervals)

    return Contestant("2 normals and 1 log a path-interval alone", key, isa, 1, True, False, run)


def _theirs(key: str, problem: Problem, peer: Peer, threads: int) -> Contestant:
    function = peer.load()
    asked = replace(problem, funding=peer.funding and problem.funding)
    return Contestant(
        peer.label, key, "", threads, False, peer.monitoring != "continuous",
        lambda n_paths: function(asked, n_paths, 5, threads), peer.block * threads,
    )  # fmt: skip


def contestants(threads: tuple[int, ...]) -> list[Contestant]:
    """Everybody who can be run here."""
    both = ("long", "short")
    found = []
    for key, problem in PROBLEMS.items():
        for isa in available_levels():
            found.append(_floor(key, isa, problem))
            for n in threads:
                if key != "GBM":
                    found.append(_ours(key, problem, isa, n, both, "liqsim, both sides, all outputs", False))
                found.append(_ours(key, problem, isa, n, "long", "liqsim, long side, all outputs", False))
        if key != "GBM":
            best = available_levels()[-1]
            found.append(_ours(key, problem, best, threads[-1], "long", "liqsim, long side, looking hourly", True))
        for peer in PEERS.values():
            if not peer.missing and key in peer.problems:
                allowed = {"any": threads, "one": (1,), "all": threads[-1:]}[peer.threads]
                found += [_theirs(key, problem, peer, n) for n in allowed]
    return found


def stopwatch(everybody: list[Contestant], most_paths: int, seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Median wall and processor time of interleaved runs, each of about so many seconds and at most so many paths."""
    paths = []
    for one in everybody:
        pilot = min(most_paths, max(16384, one.multiple))
        one.run(min(pilot, 2048))  # compilation and warm-up
        begun = time.perf_counter()
        one.run(pilot)
        took = max(time.perf_counter() - begun, 1e-6)
        wanted = min(most_paths, max(pilot, pilot * seconds / took)) / one.multiple
        paths.append(math.floor(wanted) * one.multiple if wanted >= 1 else pilot)
    measured: list[list[tuple[float, float]]] = [[] for _ in everybody]
    for _ in range(repeats):
        for one, n, times in zip(everybody, paths, measured, strict=True):
            wall, processor = time.perf_counter(), time.process_time()
            one.run(n)
            times.append((time.perf_counter() - wall, time.process_time() - processor))
    rows = []
    for one, n, times in zip(everybody, paths, measured, strict=True):
        wall, processor = ([pair[k] for pair in times] for k in (0, 1))
        rows.append(
            {"problem": one.problem, "label": one.label, "isa": one.isa, "threads": one.threads, "ours": one.ours,
             "hourly": one.hourly, "paths": n, "wall_s": wall, "processor_s": processor,
             "us_per_path": 1e6 * statistics.median(wall) / n,
             "best_us_per_path": 1e6 * min(wall) / n,
             "processor_us_per_path": 1e6 * statistics.median(processor) / n}
        )  # fmt: skip
    return rows


def paths_needed(threads: int, n_paths: int) -> dict[str, float]:
    """Paths for the target standard error in the cell of the figure, by problem."""
    needed = {}
    for key, problem in PROBLEMS.items():
        ds = run_liqsim(problem, n_paths, threads=threads, side="long")
        p = liqsim_answer(ds).p_liquidation[position(problem)]
        needed[key] = float(p * (1 - p) / TARGET_SE**2)
    return needed


def measure(
    most_paths: int, seconds: float, repeats: int, threads: tuple[int, ...], with_scaling: bool, quick: bool
) -> dict[str, Any]:
    """Everything that is written: machine, agreement, times, scaling."""
    described = machine.describe()
    skipped = {peer.label: peer.missing for peer in PEERS.values() if peer.missing}
    checks = agree(min(most_paths, 200_000), threads[-1])
    wrong = [f"{row['problem']}: {row['name']}" for row in checks if not row["agrees"]]
    if wrong:
        raise SystemExit(f"no times taken: the answers differ by more than {MOST_Z} standard errors for {wrong}")
    before = os.getloadavg()
    rows = stopwatch(contestants(threads), most_paths, seconds, repeats)
    result = {
        "machine": described, "agreement": checks, "times": rows, "skipped": skipped, "repeats": repeats,
        "paths_needed": paths_needed(threads[-1], min(most_paths, 100_000)), "target_se": TARGET_SE, "cell": list(CELL),
        "load_before": before, "load_after": os.getloadavg(), "taken": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
    }  # fmt: skip
    if with_scaling:
        result["scaling"] = scaling.measure(quick)
    result["kernels_changed"] = machine.kernels() != described["kernels"]
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paths", type=int, default=1_000_000, help="paths of a run, at most (default 1e6)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a run, about (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of everybody, interleaved (default 5)")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads (default 1 and 2, if there are 2)")
    parser.add_argument("--quick", action="store_true", help="one short run of everybody, to see that all works")
    parser.add_argument("--no-scaling", action="store_true", help="leave out the scaling in paths, cells, ...")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder (default out/bench)")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.paths, chosen.seconds, chosen.repeats = min(chosen.paths, 20_000), 0.02, 1
    threads = tuple(sorted(set(chosen.threads) if chosen.threads else {1, min(2, machine.cores())}))
    result = measure(chosen.paths, chosen.seconds, chosen.repeats, threads, not chosen.no_scaling, chosen.quick)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "compare.json").write_text(json.dumps(result, indent=1) + "\n")
    text = tables.markdown(result)
    (chosen.out / "compare.md").write_text(text)
    tables.figure(result, chosen.out / "compare.png")
    print(text)
    return result


if __name__ == "__main__":
    main()
