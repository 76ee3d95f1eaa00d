"""What a position costs that lives on after the venue has acted on it: the second evaluator beside the shared one.

Run with ``python benchmarks/evaluators.py [--paths N] [--repeats K] [--out FILE]``. Positions are called for margin, or
cut, within the first day and then carried through hourly funding to the horizon. The same paths are run with positions
that nobody acts on. What four days more cost the first, less what they cost the second, over the positions that are
alive and the hours, is the second evaluator's time per position and interval; what is done once cancels.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine

import liqsim as lq
from liqsim._core import available_levels
from liqsim.venues import (
    Contract,
    DailyTimes,
    Fees,
    FixedPerContract,
    LinearInSize,
    Liquidation,
    MarginalTiers,
    MarginSchedule,
    Venue,
)

PRICE, NOTIONAL, START = 60_000.0, 1e6, "2026-01-05"  # a Monday
DAYS = (2, 6)
ROWS = 20
CALM = lq.GBM(sigma=0.05)
HOURLY = lq.PremiumFunding("1h", interest=1e-6, clamp=1e-5, cap=1e-4)
HALVED = Liquidation("incremental", "kept", step_fraction=0.5)


def _venue(margin: MarginSchedule, kind: str, liquidation: Liquidation, **rules: Any) -> Venue:
    contract = Contract(kind, multiplier=0.1 if kind == "linear" else 1.0)  # type: ignore[arg-type]
    return Venue("bench", "bench", "bench", contract, margin, HOURLY, Fees(5e-4, 0.0), liquidation, **rules)


# Tested once, in the first hour; nobody's deadline comes. Cuts halve a position, which is then far from the next.
CASES = {
    "called, money per contract": _venue(
        FixedPerContract(maintenance_per_contract=1200.0, initial_ratio=1.0), "linear",
        Liquidation("margin-call", "kept", "client", deadline="30D", immediate_below=0.1),
        margin_times=DailyTimes(("01:00",), weekdays=("Mon",)),
    ),
    "cut, marginal tiers": _venue(
        MarginalTiers(tiers=[(0, 5e5, 0.1, 99), (5e5, 2e6, 0.15, 99), (2e6, None, 0.2, 99)]), "linear", HALVED
    ),
    "cut, rate grows with size": _venue(
        LinearInSize(maintenance_base=0.1, initial_base=0.100001, slope=2e-3), "inverse", HALVED
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One case at one instruction-set level; times in ns."""

    case: str
    isa: str
    alive_per_path: float
    shared_ns_per_path_interval: float
    carried_ns_per_position_interval: float


def _leverages(venue: Venue, near: bool) -> np.ndarray:
    """Just above what the venue asks for, or so much that nobody is ever near it."""
    quantity = float(venue.contract.quantity(NOTIONAL, PRICE))
    required = float(venue.pieces(quantity, PRICE)(np.ones(1))[0])
    share = np.linspace(1.00005, 1.001, ROWS) if near else np.linspace(3.0, 4.0, ROWS)
    return 1.0 / (required * share)


def _sweep(venue: Venue, near: bool, n_paths: int, horizon: Any) -> Any:
    leverage = _leverages(venue, near)
    return lq.sweep(
        CALM, venue, leverage=leverage, notional=NOTIONAL, price=PRICE, horizon=horizon, start=START, n_paths=n_paths,
        seed=1, threads=1,
    )  # fmt: skip


def _median_seconds(functions: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Median wall time of each, taken in turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begun)
    return [statistics.median(taken) for taken in times]


def alive(venue: Venue, n_paths: int) -> np.ndarray:
    """Carried positions per path at each day's end between the two horizons: called or cut, and not closed."""
    ds = _sweep(venue, True, n_paths, [f"{day}D" for day in range(DAYS[0], DAYS[1] + 1)])
    touched = ds.p_margin_call - ds.p_liquidation if venue.margin_times is not None else ds.p_partial
    return touched.sum(("side", "leverage", "stop")).values


def measure(n_paths: int, repeats: int = 5) -> list[Row]:
    """All cases at every level that is built and that the processor has."""
    rows = []
    asked = os.environ.get("LIQSIM_ISA")
    hours = 24 * (DAYS[1] - DAYS[0])
    try:
        for isa in available_levels():
            os.environ["LIQSIM_ISA"] = isa
            for name, venue in CASES.items():
                living = alive(venue, n_paths)
                runs = [
                    lambda venue=venue, near=near, day=day: _sweep(venue, near, n_paths, f"{day}D")
                    for near in (True, False) for day in DAYS
                ]  # fmt: skip
                early, late, calm_early, calm_late = _median_seconds(runs, repeats)
                shared = 1e9 * (calm_late - calm_early) / (n_paths * hours)
                carried = 1e9 * (late - early) / (n_paths * hours) - shared
                mean = float(np.mean(0.5 * (living[1:] + living[:-1])))
                rows.append(Row(name, isa, mean, shared, carried / mean))
    finally:
        if asked is None:
            os.environ.pop("LIQSIM_ISA", None)
        else:
            os.environ["LIQSIM_ISA"] = asked
    return rows


def table(rows: list[Row]) -> list[str]:
    """Rows as Markdown."""
    lines = [
        "| case | ISA | carried positions a path | shared evaluator, ns a path and interval | "
        "second evaluator, ns a position and interval |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.case} | {row.isa} | {row.alive_per_path:.1f} | {row.shared_ns_per_path_interval:.1f} | "
        f"{row.carried_ns_per_position_interval:.2f} |"
        for row in rows
    ]
    return lines


def main(arguments: list[str] | None = None) -> list[Row]:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write a Markdown page here")
    asked = parser.parse_args(arguments)
    rows = measure(asked.paths, asked.repeats)
    lines = table(rows)
    print("\n".join(lines))
    if asked.out:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        head = [
            "# What a carried position costs", "", *machine.as_lines(machine.describe()),
            f"- {now}; one thread; {asked.paths} paths, {2 * ROWS} cells, medians of {asked.repeats} runs", "",
        ]  # fmt: skip
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text("\n".join([*head, *lines]) + "\n")
    return rows


if __name__ == "__main__":
    main()
