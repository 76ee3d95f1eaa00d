"""Time the kernel on two workloads and set it against the cost of its random numbers alone.

Run with ``python benchmarks/throughput.py [--paths N] [--json FILE]``. Every row is measured in this process, after
checking that all instruction sets and thread counts return the same bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import liqsim as lq
from liqsim._core import available_levels, kernel_module

DAYS, INTERVALS = "30D", 90
LEVERAGE = [2, 3, 4, 5, 8, 10, 15, 20, 25, 40, 50, 100]
STOP = [0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, math.inf]
WORKLOADS = {
    "W1 sparse jumps": lq.Kou(sigma=0.8, intensity=50, p_up=0.45, eta_up=30, eta_down=25),
    "W2 dense jumps": lq.Kou(sigma=0.3, intensity=5000, p_up=0.55, eta_up=150, eta_down=130),
}
LANES = 256


def run(model: lq.Kou, n_paths: int, threads: int) -> Any:
    """One sweep of 12 leverages, 10 stops, both sides, 8-hourly clamped funding, every output."""
    venue = lq.Venue.from_tiers(
        [(0, 1e6, 0.005, 125)],
        taker_fee=5e-4,
        funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3.75e-3),
    )
    premium = lq.OUPremium(mean=1e-4, half_life="8h", vol=3e-4)
    return lq.sweep(
        model, venue, premium=premium, leverage=LEVERAGE, stop=STOP, horizon=DAYS, n_paths=n_paths, seed=7,
        threads=threads,
    )  # fmt: skip


def fingerprint(ds: Any) -> str:
    """Hash of every number of a result."""
    return hashlib.sha256(b"".join(ds[name].values.tobytes() for name in ds.data_vars)).hexdigest()[:16]


def best(function: Any, repeats: int = 3) -> float:
    """Shortest wall time of a few calls, seconds."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def measure(n_paths: int) -> dict[str, Any]:
    """All rows."""
    rows = []
    prints: dict[str, set[str]] = {}
    for level in available_levels():
        os.environ["LIQSIM_ISA"] = level
        blocks = max(n_paths // LANES, 1)
        floor = best(lambda blocks=blocks: kernel_module().random_numbers(blocks, INTERVALS))
        floor_ns = 1e9 * floor / (blocks * LANES * INTERVALS)
        for name, model in WORKLOADS.items():
            events = INTERVALS + model.intensity * 30 / 365
            for threads in (1, 2):
                prints.setdefault(name, set()).add(fingerprint(run(model, min(n_paths, 20_000), threads)))
                seconds = best(lambda model=model, threads=threads: run(model, n_paths, threads))
                ns = 1e9 * seconds * threads / (n_paths * events)
                rows.append(
                    {"workload": name, "isa": level, "threads": threads, "paths": n_paths, "seconds": round(seconds, 4),
                     "ns_per_event_and_thread": round(ns, 2), "times_floor": round(ns / floor_ns, 2)}
                )  # fmt: skip
    os.environ.pop("LIQSIM_ISA", None)
    assert all(len(found) == 1 for found in prints.values()), f"bits differ: {prints}"
    return {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "liqsim": lq.__version__,
        "rows": rows,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.paths)
    print(f"{'workload':18s} {'isa':5s} {'threads':>7s} {'seconds':>9s} {'ns/event':>9s} {'x floor':>8s}")
    for row in result["rows"]:
        print(
            f"{row['workload']:18s} {row['isa']:5s} {row['threads']:7d} {row['seconds']:9.3f} "
            f"{row['ns_per_event_and_thread']:9.1f} {row['times_floor']:8.1f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
