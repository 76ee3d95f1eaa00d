"""Who is set against whom: first whether all give the same answer, then how long they take, in turns.

Every contender is timed alone in this process with a number of paths that takes it about as long as the others; rounds
go through all contenders of a problem one after the other, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from peers import Peer
from peers.problem import PROBLEMS, Answer, Problem, liqsim_answer, run_liqsim

import liqsim as lq
from liqsim._core import available_levels, kernel_module

CELL = (10.0, math.inf)  # leverage and stop of the cell whose error is spoken of
MOST_Z = 4.5
LANES = 256
BOTH = ("long", "short")
ROUNDING = 6  # decimals of a wall time in seconds


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
    """Largest distance of two arrays of proportions in joint standard errors.

    Of the arcsines of their roots, whose error does not depend on the proportion: a single path in a cell that hardly
    any reaches is no sign of anything.
    """
    apart = 2.0 * np.abs(np.arcsin(np.sqrt(one)) - np.arcsin(np.sqrt(other)))
    return float(np.max(apart) / math.sqrt(1.0 / n_one + 1.0 / n_other))


def position(problem: Problem) -> tuple[int, int]:
    """Row and column of the cell whose error is spoken of."""
    row = sorted(problem.leverage, reverse=True).index(CELL[0])
    return row, sorted(problem.stop).index(CELL[1])


class Truth:
    """What liqsim says of the long side of a problem, computed once for each monitoring, with and without funding."""

    def __init__(self, n_paths: int, threads: int) -> None:
        self.n_paths, self.threads = n_paths, threads
        self.known: dict[tuple[str, str, bool], Answer] = {}

    def __call__(self, key: str, monitoring: str, funding: bool) -> Answer:
        if (key, monitoring, funding) not in self.known:
            asked = replace(PROBLEMS[key], funding=funding)
            ds = run_liqsim(asked, self.n_paths, threads=self.threads, side="long", monitoring=monitoring)
            self.known[key, monitoring, funding] = liqsim_answer(ds)
        return self.known[key, monitoring, funding]

    def bias(self, key: str, funding: bool) -> dict[str, float]:
        """What looking hourly misses: at the cell, and at worst in relative terms among cells above 5 %."""
        hourly, always = (self(key, monitoring, funding).p_liquidation for monitoring in ("1h", "continuous"))
        cell, common = position(PROBLEMS[key]), always > 0.05
        p = always[cell]
        return {
            "points": float(hourly[cell] - p),
            "points_se": float(math.sqrt(2.0 * p * (1.0 - p) / self.n_paths)),
            "worst": float(np.min(hourly[common] / always[common] - 1.0)),
        }


def agree(peers: dict[str, Peer], truth: Truth, n_paths: int, threads: int) -> list[dict[str, Any]]:
    """Compare each peer with liqsim under the same law, funding and monitoring, and liqsim with a closed form.

    Hundreds of cells are compared, so that one may differ by chance: who seems to differ is looked at once more, on
    other paths and four times as many, and differs if it does so there.
    """
    barrier = PROBLEMS["GBM"]
    level = float(np.exp(barrier.log_liquidation[0]))
    exact = lq.analytic.first_passage_probability(barrier.model, level, f"{barrier.intervals * barrier.hours}h")
    p = float(truth("GBM", "continuous", False).p_liquidation[0, 0])
    z = float(abs(p - exact) / math.sqrt(exact * (1 - exact) / truth.n_paths))
    rows = [
        {"problem": "GBM", "who": "closed form", "label": "the closed form", "p": float(exact), "z_liquidation": z,
         "z_stop": 0.0, "agrees": z < MOST_Z}
    ]  # fmt: skip
    for key, problem in PROBLEMS.items():
        for who, peer in peers.items():
            if key not in peer.problems:
                continue
            funding = peer.funding and problem.funding
            asked = replace(problem, funding=funding)
            same = truth(key, peer.monitoring, funding)
            for seed, n in ((11, n_paths), (12, 4 * n_paths)):
                found = peer.load()(asked, n, seed, 1 if peer.threads == "one" else threads)
                z_liquidation, z_stop = (
                    largest_z(getattr(found, name), n, getattr(same, name), truth.n_paths)
                    for name in ("p_liquidation", "p_stop")
                )
                if max(z_liquidation, z_stop) < MOST_Z:
                    break
            rows.append(
                {"problem": key, "who": who, "label": peer.label, "p": float(found.p_liquidation[position(problem)]),
                 "z_liquidation": z_liquidation, "z_stop": z_stop, "agrees": max(z_liquidation, z_stop) < MOST_Z}
            )  # fmt: skip
    return rows


# ------------------------------------------------------------------------------------------------- contenders


@dataclass
class Contender:
    """Somebody to be timed on a problem.

    Parameters
    ----------
    who : str
        ``liqsim`` (both sides), ``liqsim-long``, ``liqsim-hourly``, ``floor``, or the key of a peer.
    label, problem, isa : str
        ``isa`` is empty for peers.
    threads : int
    hourly, funding : bool
    run : callable
        Takes the number of paths.
    multiple : int
        Numbers of paths that it is timed with are multiples of this.
    """

    who: str
    label: str
    problem: str
    isa: str
    threads: int
    hourly: bool
    funding: bool
    run: Callable[[int], Any]
    multiple: int = 1


def _ours(who: str, label: str, key: str, isa: str, threads: int) -> Contender:
    problem, side = PROBLEMS[key], BOTH if who == "liqsim" else "long"
    hourly = who == "liqsim-hourly"

    def run(n_paths: int) -> Any:
        with instruction_set(isa):
            return run_liqsim(problem, n_paths, threads=threads, side=side, monitoring="1h" if hourly else "continuous")

    return Contender(who, label, key, isa, threads, hourly, problem.funding, run)


def _floor(key: str, isa: str, threads: int) -> Contender:
    """The random numbers of a path-interval alone, a share of the paths on each thread."""
    intervals = PROBLEMS[key].intervals

    def run(n_paths: int) -> Any:
        with instruction_set(isa), ThreadPoolExecutor(threads) as pool:
            draw = kernel_module().random_numbers
            return list(pool.map(lambda _: draw(n_paths // (LANES * threads), intervals), range(threads)))

    label = "the floor: random numbers alone"
    return Contender("floor", label, key, isa, threads, False, False, run, LANES * threads)


def _theirs(who: str, peer: Peer, key: str, threads: int) -> Contender:
    function, funding = peer.load(), peer.funding and PROBLEMS[key].funding
    asked = replace(PROBLEMS[key], funding=funding)
    return Contender(
        who, peer.label, key, "", threads, peer.monitoring != "continuous", funding,
        lambda n_paths: function(asked, n_paths, 5, threads), peer.block * threads,
    )  # fmt: skip


def contenders(key: str, peers: dict[str, Peer], threads: Sequence[int]) -> list[Contender]:
    """Everybody who can be run on a problem here: liqsim and its floor on each level and number of threads, peers."""
    found = []
    for isa in available_levels():
        for n in threads:
            if key == "GBM":
                found.append(_ours("liqsim-long", "liqsim, long side", key, isa, n))
                continue
            if key == "W1":
                found.append(_floor(key, isa, n))
            found.append(_ours("liqsim", "liqsim, both sides", key, isa, n))
            found.append(_ours("liqsim-long", "liqsim, long side", key, isa, n))
    if key != "GBM":
        best = available_levels()[-1]
        found.append(_ours("liqsim-hourly", "liqsim, long side, looking hourly", key, best, threads[-1]))
    for who, peer in peers.items():
        if key in peer.problems:
            allowed = {"any": threads, "one": (1,), "all": threads[-1:]}[peer.threads]
            found += [_theirs(who, peer, key, n) for n in allowed]
    return found


# -------------------------------------------------------------------------------------------------- stopwatch


def wanted_paths(one: Contender, seconds: float, most_paths: int) -> int:
    """Number of paths that takes about so many seconds, at most so many; the first calls compile and warm up."""
    one.run(min(2048, most_paths))
    pilot = max(min(8192, most_paths) // one.multiple, 1) * one.multiple
    begun = time.perf_counter()
    one.run(pilot)
    took = max(time.perf_counter() - begun, 1e-6)
    wanted = min(most_paths, pilot * seconds / took)
    return max(int(wanted // one.multiple), 1) * one.multiple


def timed(everybody: Sequence[Contender], most_paths: int, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Wall and processor time of rounds through all of them, there and back again."""
    paths = [wanted_paths(one, seconds, most_paths) for one in everybody]
    wall: list[list[float]] = [[] for _ in everybody]
    busy: list[list[float]] = [[] for _ in everybody]
    for turn in range(rounds):
        for k in range(len(everybody))[:: 1 if turn % 2 == 0 else -1]:
            begun, processor = time.perf_counter(), time.process_time()
            everybody[k].run(paths[k])
            wall[k].append(round(time.perf_counter() - begun, ROUNDING))
            busy[k].append(round(time.process_time() - processor, ROUNDING))
    return [
        {"problem": one.problem, "who": one.who, "label": one.label, "isa": one.isa, "threads": one.threads,
         "hourly": one.hourly, "funding": one.funding, "paths": n, "wall_s": w, "processor_s": b}
        for one, n, w, b in zip(everybody, paths, wall, busy, strict=True)
    ]  # fmt: skip
