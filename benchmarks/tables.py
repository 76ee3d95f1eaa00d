"""A record of the benchmarks as Markdown: the page of all tables, and the blocks that other pages show."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

import machine
from peers.problem import PROBLEMS

Record = dict[str, Any]
Row = dict[str, Any]

TITLES = {
    "W1": "W1: sigma 0.8, 50 jumps a year",
    "W2": "W2: sigma 0.3, 5,000 jumps a year",
    "GBM": "GBM: sigma 0.8, one barrier, no funding",
}
ISA_NAMES = {"v4": "AVX-512", "v3": "AVX2", "base": "baseline"}


def per_million(row: Row) -> float:
    """Seconds for 1e6 paths, from the shortest round."""
    return 1e6 * min(row["wall_s"]) / row["paths"]


def find(result: Record, problem: str, who: str, isa: str, threads: int) -> Row | None:
    """The timed row of somebody."""
    for row in result["times"]:
        if (row["problem"], row["who"], row["isa"], row["threads"]) == (problem, who, isa, threads):
            return row
    return None


def levels(result: Record) -> list[str]:
    """Instruction-set levels, the best first."""
    return list(reversed(result["machine"]["instruction_sets"]))


def bias(result: Record, row: Row) -> dict[str, float] | None:
    """What somebody who looks hourly misses; None for the others."""
    if not row["hourly"]:
        return None
    return result["bias"][row["problem"]]["funding" if row["funding"] else "no funding"]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(value: float) -> str:
    return f"{value:.1f}" if value < 99.5 else f"{value:.0f}"


def _bias(result: Record, row: Row | None) -> str:
    found = bias(result, row) if row else None
    return f"{100 * found['points']:+.2f}" if found else "-"


def peers_of(result: Record, problem: str) -> list[Row]:
    """Every peer once, on as many threads as it can use, the fastest first."""
    rows: dict[str, Row] = {}
    for row in result["times"]:
        if row["problem"] == problem and not row["isa"]:
            last = rows.get(row["who"])
            if last is None or row["threads"] > last["threads"]:
                rows[row["who"]] = row
    return sorted(rows.values(), key=per_million)


def _matched(result: Record, problem: str, row: Row, who: str, isa: str) -> float | None:
    """How many times as long as liqsim on as many threads somebody takes."""
    ours = find(result, problem, who, isa, row["threads"])
    return per_million(row) / per_million(ours) if ours else None


# ------------------------------------------------------------------------------------------------------ blocks


def origin(result: Record) -> str:
    """One line on where and when."""
    m = result["machine"]
    libraries = ", ".join(f"{n} {m[n]}" for n in ("numpy", "numba", "jax", "QuantLib") if m[n] != "absent")
    compiler = m["built_by"].replace(": ", " ")
    return (
        f"{result['taken'][:10]}, liqsim {m['liqsim']}, {m['processor']}, {m['cores']} cores, best instruction set "
        f"{m['instruction_sets'][-1]}, kernel by {compiler}, Python {m['python']}, {libraries}; the best of "
        f"{result['rounds']} rounds in turns."
    )


def speed(result: Record) -> str:
    """Seconds for 1e6 paths of both workloads, everybody on all threads that were asked for."""
    most, best = result["threads"][-1], levels(result)[0]
    keys = ("W1", "W2")
    rows = []
    for isa in levels(result):
        cells = [f"liqsim, {ISA_NAMES.get(isa, isa)}: both sides, every output"]
        for key in keys:
            mine, first = find(result, key, "liqsim", isa, most), find(result, key, "liqsim", best, most)
            if mine and first:
                cells += [f"{per_million(mine):.3g}", _ratio(per_million(mine) / per_million(first)), "-"]
        rows.append(cells)
    found = {key: {row["who"]: row for row in peers_of(result, key)} for key in keys}
    for who, row in sorted({**found["W2"], **found["W1"]}.items(), key=lambda item: per_million(item[1])):
        cells = [row["label"] + (", 1 thread" if row["threads"] < most else "")]
        for key in keys:
            theirs = found[key].get(who)
            times = _matched(result, key, theirs, "liqsim", best) if theirs else None
            cells += ["-"] * 3 if theirs is None or times is None else [
                f"{per_million(theirs):.3g}", _ratio(times), _bias(result, theirs)
            ]  # fmt: skip
        rows.append(cells)
    head = [f"{most} threads"] + [f"{key}, {what}" for key in keys for what in ("s", "x liqsim", "bias, points")]
    return table(head, rows)


def ratios(result: Record) -> str:
    """How many times as long as liqsim each peer takes, on each instruction set and as many threads."""
    keys = ("W1", "W2")
    columns = [(key, isa) for key in keys for isa in levels(result)]
    found = {key: {row["who"]: row for row in peers_of(result, key)} for key in keys}
    rows = []
    for who, row in sorted({**found["W2"], **found["W1"]}.items(), key=lambda item: per_million(item[1])):
        cells = []
        for key, isa in columns:
            theirs = found[key].get(who)
            times = _matched(result, key, theirs, "liqsim", isa) if theirs else None
            cells.append("-" if times is None else _ratio(times))
        rows.append([row["label"], str(row["threads"]), *cells])
    return table(["who", "threads", *(f"{key} {isa}" for key, isa in columns)], rows)


def barrier(result: Record) -> str:
    """One barrier under GBM, where there is a closed form and QuantLib can take part."""
    best, most, rows = levels(result)[0], result["threads"][-1], []
    for isa in levels(result):
        mine, first = (find(result, "GBM", "liqsim-long", level, most) for level in (isa, best))
        if mine and first:
            times = per_million(mine) / per_million(first)
            rows.append([f"{mine['label']}, {isa}", str(most), f"{per_million(mine):.3g}", _ratio(times), "-"])
    for row in peers_of(result, "GBM"):
        times = _matched(result, "GBM", row, "liqsim-long", best)
        cells = [f"{per_million(row):.3g}", "-" if times is None else _ratio(times), _bias(result, row)]
        rows.append([row["label"], str(row["threads"]), *cells])
    return table(["who", "threads", "s", "x liqsim", "bias, points"], rows)


def error(result: Record) -> str:
    """Seconds to a standard error, and what of the error no time removes."""
    target, most = result["target_se"], result["threads"][-1]
    rows = []
    for key in ("W1", "W2"):
        needed = result["p"][key] * (1.0 - result["p"][key]) / target**2
        ours = [row for isa in levels(result) if (row := find(result, key, "liqsim", isa, most))]
        for row in [*ours, *peers_of(result, key)]:
            found = bias(result, row)
            seconds = f"{per_million(row) * needed / 1e6:.3g}"
            name = row["label"] + (f", {row['isa']}" if row["isa"] else "")
            if found is None:
                rows.append([key, name, str(row["threads"]), seconds, "-", "-"])
            else:
                amount = f"{100 * found['points']:+.2f} +- {100 * found['points_se']:.2f}"
                rows.append([key, name, str(row["threads"]), seconds, amount, f"{abs(found['points']) / target:.0f} x"])
    head = ["", "who", "threads", f"s to a standard error of {100 * target:g} points", "bias, points", "bias / error"]
    return table(head, rows)


def floor(result: Record) -> str:
    """liqsim against its random numbers, and what more threads bring to both."""
    most, rows = result["threads"][-1], []
    for key in ("W1", "W2"):
        intervals = PROBLEMS[key].intervals
        events = intervals * (1.0 + PROBLEMS[key].intensity * PROBLEMS[key].years)  # ends of intervals, and jumps
        for isa in levels(result):
            least, one, many = (
                find(result, problem, who, isa, threads)
                for problem, who, threads in (("W1", "floor", 1), (key, "liqsim", 1), (key, "liqsim", most))
            )
            if not (least and one and many):
                continue
            ns, floor_ns = 1e3 * per_million(one), 1e3 * per_million(least) / intervals
            rows.append(
                [key, isa, f"{floor_ns:.2f}", f"{ns / intervals:.1f}", f"{ns / intervals / floor_ns:.1f}",
                 f"{ns / events:.1f}", f"{ns / events / floor_ns:.1f}", f"{per_million(one) / per_million(many):.2f}"]
            )  # fmt: skip
    gains = []
    for isa in levels(result):
        one, many = (find(result, "W1", "floor", isa, threads) for threads in (1, most))
        if one and many:
            gains.append(f"{isa} {per_million(one) / per_million(many):.2f}")
    head = [
        "", "ISA", "floor, ns", "ns a path-interval", "x floor", "ns an event", "x floor", f"1 -> {most} threads",
    ]  # fmt: skip
    return table(head, rows) + (
        "\n\nThe floor is Philox, two normals and one logarithm for each path and interval; an event is the end of an "
        f"interval or a jump. What {most} threads bring the floor itself: {', '.join(gains)}."
    )


def calls(result: Record) -> str:
    """Small calls, and memory."""
    rows = []
    for row in reversed(result["calls"]):
        best, median = min(row["wall_s"]), statistics.median(row["wall_s"])
        rows.append([row["isa"], str(row["threads"]), f"{1e3 * best:.1f}", f"{1e3 * median:.1f}"])
    text = table(["ISA", "threads", "best, ms", "median, ms"], rows)
    if not result["memory"]:
        return text
    memory = [
        [f"{row['paths']:,}", f"{row['before_MiB']:.0f}", f"{row['most_MiB'] - row['before_MiB']:.1f}",
         f"{row['seconds']:.1f}", "yes" if row["finished"] else "stopped"]
        for row in result["memory"]
    ]  # fmt: skip
    head = ["paths of W1", "MiB before", "MiB more at most", "s", "run to its end"]
    return f"{text}\n\n{table(head, memory)}"


def stages(result: Record) -> str:
    """What each stage adds, nanoseconds a path and interval, and as a share of the whole."""
    rows, names = [], ("random numbers", "path", "funding", "long side", "short side")
    for row in result.get("stages", ()):
        whole, before, cells = row[names[-1]], 0.0, []
        for name in names:
            cells.append(f"{row[name] - before:.1f} ({100 * (row[name] - before) / whole:.0f} %)")
            before = row[name]
        rows.append([row["problem"], row["isa"], *cells, f"{whole:.1f}"])
    head = ["", "ISA", "random numbers", "+ path", "+ premium, funding", "+ long side", "+ short side", "together"]
    return table(head, rows)


def positions(result: Record) -> str:
    """The second evaluator."""
    rows = [
        [row["case"], row["isa"], f"{row['alive_per_path']:.1f}", f"{row['shared_ns']:.1f}", f"{row['carried_ns']:.2f}"]
        for row in result.get("carried", ())
    ]
    head = [
        "case", "ISA", "carried positions a path", "shared evaluator, ns a path and interval",
        "second evaluator, ns a position and interval",
    ]  # fmt: skip
    return table(head, rows)


BLOCKS: dict[str, Callable[[Record], str]] = {
    "origin": origin,
    "speed": speed,
    "ratios": ratios,
    "barrier": barrier,
    "error": error,
    "floor": floor,
    "calls": calls,
    "positions": positions,
    "stages": stages,
}


# -------------------------------------------------------------------------------------------------------- page


def agreement(result: Record) -> str:
    """Who was compared with liqsim, and how far off they are."""
    rows = [
        [row["problem"], row["label"], f"{row['p']:.4f}", f"{row['z_liquidation']:.2f}", f"{row['z_stop']:.2f}"]
        for row in result["agreement"]
    ]
    return table(["", "who", "p at 10x, no stop", "max z, liquidated", "max z, stopped"], rows)


def times(result: Record, problem: str) -> str:
    """Every run of a problem."""
    rows = sorted(
        (row for row in result["times"] if row["problem"] == problem),
        key=lambda row: (not row["isa"], row["who"], row["threads"], -len(row["isa"]), row["isa"]),
    )
    lines = []
    for row in rows:
        wall = row["wall_s"]
        fastest = wall.index(min(wall))
        lines.append(
            [row["label"] + (" (biased)" if row["hourly"] else ""), row["isa"] or "-", str(row["threads"]),
             f"{row['paths']:,}", f"{per_million(row):.3g}", f"{1e6 * statistics.median(wall) / row['paths']:.3g}",
             f"{100 * (max(wall) / min(wall) - 1):.0f} %", f"{row['processor_s'][fastest] / wall[fastest]:.2f}"]
        )  # fmt: skip
    head = ["who", "ISA", "threads", "paths a run", "s per 1e6 paths, best", "median", "spread", "cores busy"]
    return table(head, lines)


def scaling(result: Record) -> str:
    """The numbers behind the figure."""
    rows = [
        [axis, f"{row['at']:,}", f"{row['liqsim']:.3g}", f"{row['peer']:.3g}" if "peer" in row else "-"]
        for axis, points in result["axes"].items()
        for row in points
    ]
    return table(["axis", "at", "liqsim, both sides, s", "numba, exact, own generator, long side, s"], rows)


def page(result: Record) -> str:
    """Everything."""
    load = ", ".join(f"{value:.1f}" for value in result["load"])
    paths, most = result["axes_paths"], result["threads"][-1]
    parts = [
        "# liqsim and its peers",
        "\n".join(
            [
                *machine.as_lines(result["machine"]),
                f"- {result['taken']}; {result['rounds']} rounds in turns of about {result['seconds']:g} s, "
                f"compilation and warm-up left out; load of the machine before and after: {load}",
                *(["- beware: a kernel was rebuilt while it was timed"] if result["kernels_changed"] else []),
                *(f"- not run: {label}: {why}" for label, why in sorted(result["skipped"].items())),
            ]
        ),
        "The problem: 30 days of 8-hour funding intervals on a linear contract, Kou's jump-diffusion, an "
        "Ornstein-Uhlenbeck premium with clamped funding, 12 leverages x 10 stops. liqsim solves both sides with every "
        "output and its standard error; peers count liquidations and stops of the long side; NumPy, JAX and "
        "stochastic-rs pay no funding.",
        "## Do they agree?",
        "Against liqsim under the same law, funding and monitoring, over all cells, in joint standard errors. Nobody "
        "is timed before all agree.",
        agreement(result),
        "## How long do they take?",
        "Seconds for 1e6 paths and how many times as long as liqsim on as many threads; the bias is that of looking "
        "hourly, against a venue that always looks, at 10x without a stop.",
        speed(result),
        "How many times as long as liqsim, both sides, by instruction set:",
        ratios(result),
        "One barrier under GBM, 30 days, no funding:",
        barrier(result),
        "## Time to a standard error",
        "Of the probability of liquidation at 10x without a stop. More paths take down the standard error, not the "
        "bias.",
        error(result),
        "![Error against time](error.png)",
        "## liqsim against its random numbers and its threads",
        floor(result),
        *(["## What a sweep is made of", "Nanoseconds a path and interval, one thread.", stages(result)]
          if "stages" in result else []),
        "## Small calls and memory",
        "A call of `sweep` with 20,000 paths and 240 cells, and the resident memory of a process that sweeps.",
        calls(result),
        "## Scaling",
        f"W1 on {most} threads, {paths:,} paths where these do not vary; cells are those of both sides.",
        "![Scaling](scaling.png)",
        scaling(result),
        *(["## What a carried position costs", "One thread.", positions(result)] if "carried" in result else []),
        "## Every run",
        "The spread is the longest round over the shortest; where fewer cores were busy than threads asked for, others "
        "were using the machine, or the program could not.",
    ]  # fmt: skip
    for key, title in TITLES.items():
        parts += [f"### {title}", times(result, key)]
    return "\n\n".join(parts) + "\n"
