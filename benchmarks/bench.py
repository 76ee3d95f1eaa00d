"""Set liqsim against what one would otherwise write, on the same problem in one process: `make bench`.

First everybody has to agree on the answer; then they are timed in turns, and liqsim beside the cost of its random
numbers alone. Writes bench.json (all that was measured), bench.md (tables), error.png and scaling.png; with
--write-docs, into docs/bench, and brings the tables in README.md and docs/performance.md up to date.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import carried
import contest
import machine
import pages
import scaling
import stages
from peers import PEERS, Peer
from peers.problem import PROBLEMS

TARGET_SE = 1e-3


@dataclass(frozen=True)
class Effort:
    """How much is run.

    Parameters
    ----------
    seconds, rounds : float, int
        Length of a timed run, about, and how often everybody has one.
    paths : int
        Paths of a timed run, at most.
    agreement, truth : int
        Paths with which peers are compared, and those of liqsim that they are compared with.
    axes : tuple of int
        Paths of each point of the scaling, most paths on its axis of paths, rounds.
    calls : int
        Timed small calls.
    memory : tuple of int
        Numbers of paths at which memory is looked at.
    carried, stages : tuple of int
        Paths and rounds of the second evaluator and of the parts of a sweep; no paths, no run.
    """

    seconds: float
    rounds: int
    paths: int
    agreement: int
    truth: int
    axes: tuple[int, int, int]
    calls: int
    memory: tuple[int, ...]
    carried: tuple[int, int]
    stages: tuple[int, int]


FULL = Effort(
    0.5, 5, 1_000_000, 100_000, 600_000, (100_000, 1_000_000, 3), 30, (10**5, 10**6, 10**7, 10**8), (5_000, 3),
    (51_200, 5),
)  # fmt: skip
QUICK = Effort(0.08, 2, 1_000_000, 8_000, 40_000, (10_000, 100_000, 1), 5, (10**4, 10**5, 10**6), (0, 0), (10_240, 2))


def _progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure(
    effort: Effort, peers: dict[str, Peer], threads: tuple[int, ...], memory_seconds: int = 20
) -> dict[str, Any]:
    """Everything that is written: machine, agreement, times, scaling.

    Raises
    ------
    SystemExit
        If somebody does not agree on the answer, before any time is taken.
    """
    most = threads[-1]
    described = machine.describe()
    able = {who: peer for who, peer in peers.items() if not peer.missing}
    result: dict[str, Any] = {
        "taken": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()), "machine": described, "threads": list(threads),
        "rounds": effort.rounds, "seconds": effort.seconds, "target_se": TARGET_SE, "cell": "10x, no stop",
        "skipped": {p.label: p.missing or "not asked for" for who, p in PEERS.items() if who not in able},
        "load": [round(os.getloadavg()[0], 1)],
    }  # fmt: skip

    _progress("do all agree?")
    truth = contest.Truth(effort.truth, most)
    result["agreement"] = contest.agree(able, truth, effort.agreement, most)
    wrong = [f"{row['problem']}: {row['label']}" for row in result["agreement"] if not row["agrees"]]
    if wrong:
        raise SystemExit(f"no times taken: differs from liqsim by more than {contest.MOST_Z} standard errors: {wrong}")
    result["p"] = {
        key: float(truth(key, "continuous", problem.funding).p_liquidation[contest.position(problem)])
        for key, problem in PROBLEMS.items()
    }
    result["bias"] = {
        key: {"funding": truth.bias(key, problem.funding), "no funding": truth.bias(key, False)}
        for key, problem in PROBLEMS.items()
    }

    result["times"] = []
    for key in PROBLEMS:
        _progress(f"{key}: {effort.rounds} rounds")
        everybody = contest.contenders(key, able, threads)
        result["times"] += contest.timed(everybody, effort.paths, effort.seconds, effort.rounds)
    _progress("scaling")
    result["axes"] = scaling.axes(able.get("numba_events"), *effort.axes, most)
    result["axes_paths"] = effort.axes[0]
    result["calls"] = scaling.latency(effort.calls, threads)
    _progress("memory")
    on_linux = sys.platform == "linux"
    result["memory"] = [scaling.resident_memory(n, most, memory_seconds) for n in effort.memory if on_linux]
    if effort.carried[0]:
        _progress("carried positions")
        result["carried"] = carried.measure(*effort.carried)
    if effort.stages[0]:
        _progress("what a sweep is made of")
        result["stages"] = stages.measure(*effort.stages)
    result["load"].append(round(os.getloadavg()[0], 1))
    result["kernels_changed"] = machine.kernels() != described["kernels"]
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="rough numbers in about a minute; some peers left out")
    parser.add_argument("--ours", action="store_true", help="leave the peers out: liqsim and its random numbers only")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads (default 1 and 2, if there are 2)")
    parser.add_argument(
        "--memory-seconds", type=int, default=20, metavar="N",
        help="stop the runs whose memory is looked at after N seconds (default 20; 1e8 paths take minutes)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder to write to (default out/bench)")
    parser.add_argument("--write-docs", action="store_true", help="write docs/bench and the tables of README and docs")
    parser.add_argument("--from", type=Path, dest="record", metavar="JSON", help="measure nothing, take this record")
    chosen = parser.parse_args(arguments)
    if chosen.write_docs and (chosen.quick or chosen.ours):
        parser.error("--write-docs wants a full run with all peers; leave out --quick and --ours")
    if chosen.record:
        result = json.loads(chosen.record.read_text("utf-8"))
    else:
        threads = tuple(sorted(set(chosen.threads or {1, min(2, machine.cores())})))
        asked = {who: peer for who, peer in PEERS.items() if not chosen.ours and (peer.in_quick or not chosen.quick)}
        result = measure(QUICK if chosen.quick else FULL, asked, threads, chosen.memory_seconds)
    pages.write_record(result, chosen.out)
    if chosen.write_docs:
        pages.write_record(result, pages.ROOT / pages.FOLDER)
        pages.write_pages(result, pages.ROOT)
    print((chosen.out / "bench.md").read_text("utf-8"))
    return result


if __name__ == "__main__":
    main()
