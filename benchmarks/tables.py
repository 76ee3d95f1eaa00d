"""Tables and a figure of what :mod:`compare` has measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import machine
from peers.problem import PROBLEMS

TITLES = {
    "W1": "W1: sigma 0.8, 50 jumps a year; 12 leverages x 10 stops, 90 funding intervals of 8 h",
    "W2": "W2: sigma 0.3, 5000 jumps a year; 12 leverages x 10 stops, 90 funding intervals of 8 h",
    "GBM": "GBM, sigma 0.8, 30 days: one barrier, no funding",
}
FLOOR = "2 normals and 1 log a path-interval alone"
OURS, THEIRS = "#1b6ca8", "#b0b0b0"


def _find(result: dict[str, Any], problem: str, label: str, isa: str, threads: int) -> float | None:
    for row in result["times"]:
        if (row["problem"], row["label"], row["isa"], row["threads"]) == (problem, label, isa, threads):
            return float(row["us_per_path"])
    return None


def _agreement(result: dict[str, Any]) -> list[str]:
    lines = [
        "| problem | who | p at 10x, no stop | max z, liquidated | max z, stopped | hourly bias there | worst |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["agreement"]:
        bias = f"{100 * row['bias']:+.2f} points" if row["largest_bias"] else "-"
        worst = f"{100 * row['largest_bias']:+.1f} %" if row["largest_bias"] else "-"
        lines.append(
            f"| {row['problem']} | {row['name']} | {row['p']:.4f} | {row['z_liquidation']:.2f} | {row['z_stop']:.2f} "
            f"| {bias} | {worst} |"
        )
    return lines


def _times(result: dict[str, Any], problem: str) -> list[str]:
    ours = {
        (isa, side): f"liqsim, {side}, all outputs"
        for isa in reversed(result["machine"]["instruction_sets"])
        for side in ("both sides", "long side")
    }
    rows = [row for row in result["times"] if row["problem"] == problem]
    references = [key for key in ours if any(r["label"] == ours[key] and r["isa"] == key[0] for r in rows)]
    lines = [
        "| who | ISA | threads | s per 1e6 paths (wall) | cores busy | "
        + " | ".join(f"x {isa} {side}" for isa, side in references)
        + " |",
        "| --- | --- | --- | --- | --- |" + " --- |" * len(references),
    ]
    for row in sorted(rows, key=lambda r: (not r["ours"], r["label"], r["threads"], r["isa"])):
        ratios = []
        for key in references:
            mine = _find(result, problem, ours[key], key[0], row["threads"])
            ratios.append("-" if mine is None or row["ours"] else f"{row['us_per_path'] / mine:.1f}")
        busy = row["processor_us_per_path"] / row["us_per_path"]
        lines.append(
            f"| {row['label']}{' (biased)' if row['hourly'] else ''} | {row['isa'] or '-'} | {row['threads']} "
            f"| {row['us_per_path']:.3g} | {busy:.2f} | {' | '.join(ratios)} |"
        )
    return lines


def _gains(result: dict[str, Any]) -> list[str]:
    """Times the floor, and what more threads bring."""
    lines = [
        "An event is the end of an interval or a jump; the floor is 2 normals and 1 log for each.",
        "",
        "| problem | ISA | ns an event, both sides, 1 thread | times the floor | threads | speed-up |",
        "|" + " --- |" * 6,
    ]
    most = max(row["threads"] for row in result["times"])
    for problem in ("W1", "W2"):
        events = 1.0 + PROBLEMS[problem].intensity * PROBLEMS[problem].years  # an interval
        intervals = PROBLEMS[problem].intervals
        for isa in result["machine"]["instruction_sets"]:
            one = _find(result, problem, "liqsim, both sides, all outputs", isa, 1)
            many = _find(result, problem, "liqsim, both sides, all outputs", isa, most)
            floor = _find(result, problem, FLOOR, isa, 1)
            if one and many and floor:
                lines.append(
                    f"| {problem} | {isa} | {1e3 * one / intervals / events:.1f} | {one / floor / events:.1f} | {most} "
                    f"| {one / many:.2f} |"
                )
    return lines


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    load = ", ".join(f"{result[key][0]:.1f}" for key in ("load_before", "load_after"))
    lines = ["# liqsim and its peers", "", *machine.as_lines(result["machine"])]
    lines += [
        f"- {result['taken']}; median of {result['repeats']} interleaved runs, compilation and warm-up left out; "
        f"load of the machine before and after: {load}",
        *(["- beware: a kernel was rebuilt while it was timed"] if result.get("kernels_changed") else []),
        *(f"- not run: {label}: {why}" for label, why in sorted(result["skipped"].items())),
        "",
        "## Do they agree?",
        "",
        "Against liqsim under the same law, funding and monitoring, over all cells of the long side, in joint standard "
        "errors. The bias of looking hourly is against a venue that always looks: at 10x without a stop in points of "
        "probability, and the worst cell above 5 % in relative terms.",
        "",
        *_agreement(result),
        "",
        "## How long do they take?",
        "",
        "Peers solve the long side and count liquidations and stops only; `x` columns are their wall time over that of "
        "liqsim on as many threads. NumPy and JAX pay no funding. `(biased)` marks those that look hourly. Where fewer "
        "cores were busy than threads asked for, others were using the machine, or the program could not.",
    ]
    for problem, title in TITLES.items():
        lines += ["", f"### {title}", "", *_times(result, problem)]
    lines += ["", "### liqsim against its random numbers and its threads", "", *_gains(result)]
    if "scaling" in result:
        memory = result["scaling"]["axes"]["memory"]
        lines += [
            "",
            "Resident memory: " + ", ".join(f"{m['MiB']:.0f} MiB at {m['paths']:,} paths" for m in memory) + ".",
        ]
    return "\n".join(lines) + "\n"


def _log_ticks(ax: Any, direction: str) -> None:
    """A log axis with plain numbers at 1, 2 and 5, or at the decades alone where there are many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(getattr(ax.dataLim, f"interval{direction}"))
    narrow = low <= 0 or high / low < 50  # bars begin at 0
    getattr(ax, f"set_{direction}scale")("log")
    axis = getattr(ax, f"{direction}axis")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _bars(ax: Any, result: dict[str, Any], problem: str) -> None:
    threads = max(row["threads"] for row in result["times"] if row["problem"] == problem)
    rows = [
        row for row in result["times"]
        if row["problem"] == problem and row["threads"] == threads and row["label"] != FLOOR
    ]  # fmt: skip
    rows.sort(key=lambda row: -row["us_per_path"])
    needed = result["paths_needed"][problem]
    seconds = [row["us_per_path"] * needed / 1e6 for row in rows]
    names = [row["label"] + (f" [{row['isa']}]" if row["ours"] else "") for row in rows]
    bars = ax.barh(names, seconds, color=[OURS if row["ours"] else THEIRS for row in rows])
    for bar, row, value in zip(bars, rows, seconds, strict=True):
        if row["hourly"]:
            bar.set_hatch("///")
            bar.set_edgecolor("white")
        ax.annotate(f" {value:.3g} s", (value, bar.get_y() + bar.get_height() / 2), va="center", fontsize=7)
    _log_ticks(ax, "x")
    ax.margins(x=0.15)
    ax.tick_params(axis="y", labelsize=7)
    ax.set_xlabel(
        f"s to a standard error of 0.1 % at 10x, no stop ({needed:,.0f} paths, {threads} threads)", fontsize=8
    )
    ax.set_title(TITLES[problem].split(";")[0], fontsize=9)


def _lines(ax: Any, rows: list[dict[str, float]], axis: str, title: str) -> None:
    for who, colour, label in (("liqsim", OURS, "liqsim, both sides"), ("numba", "#808080", "numba, exact, one side")):
        points = [(row[axis], row[who]) for row in rows if who in row]
        if points:
            ax.plot(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=4)
    for direction in "xy":
        _log_ticks(ax, direction)
    ax.set_xlabel(axis)
    ax.set_ylabel("s")
    ax.set_title(title, fontsize=9)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7)


def figure(result: dict[str, Any], path: Path) -> None:
    """Bars of time to a given error, hatched where biased; lines of scaling."""
    from matplotlib.figure import Figure

    scaling = result.get("scaling")
    fig = Figure(figsize=(14, 9.5 if scaling else 5.5), layout="constrained")
    parts = fig.subfigures(2, 1, height_ratios=[1.5, 1]) if scaling else [fig]
    for ax, problem in zip(parts[0].subplots(1, 2), ("W1", "W2"), strict=True):
        _bars(ax, result, problem)
    if scaling:
        paths, threads = scaling["paths"], scaling["threads"]
        titles = {
            "paths": f"120 cells a side, {threads} threads",
            "cells": f"cells a side, {paths:,} paths, {threads} threads",
            "intervals": f"funding intervals in 30 days, {paths:,} paths",
            "threads": f"threads, {paths:,} paths",
        }
        for ax, (axis, title) in zip(parts[1].subplots(1, 4), titles.items(), strict=True):
            _lines(ax, scaling["axes"][axis], axis, title)
    described = result["machine"]
    fig.supxlabel(
        f"{described['processor']}, {described['compiler']}, Python {described['python']}, NumPy {described['numpy']}, "
        f"numba {described['numba']}, liqsim {described['liqsim']}; hatched: biased by looking hourly",
        fontsize=7,
    )
    fig.savefig(path, dpi=130)
