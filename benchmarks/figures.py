"""A record of the benchmarks as figures: error against time, and scaling."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tables
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#7f7f7f"  # Okabe and Ito; fills and dashes tell them apart too
DASHES = ("-", "--", ":", "-.", (0, (1, 3)))


def _plain(ax: Axes, direction: str) -> None:
    """A log axis with plain numbers at 1, 2 and 5, or at the decades alone where there are many."""
    getattr(ax, f"set_{direction}scale")("log")
    axis = getattr(ax, f"{direction}axis")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _named(row: dict[str, Any], most: int) -> str:
    name = row["label"] + (f", {tables.ISA_NAMES.get(row['isa'], row['isa'])}" if row["isa"] else "")
    return name + (", 1 thread" if row["threads"] < most else "")


def _rows(result: dict[str, Any], problem: str) -> list[dict[str, Any]]:
    most = result["threads"][-1]
    ours = [row for isa in tables.levels(result) if (row := tables.find(result, problem, "liqsim", isa, most))]
    return [*ours, *tables.peers_of(result, problem)]


def _colour(row: dict[str, Any]) -> str:
    return BLUE if row["isa"] else GREY if row["hourly"] else ORANGE


def _dots(ax: Axes, result: dict[str, Any], problem: str) -> None:
    """Seconds to the standard error; hollow where a bias stays."""
    p, target, most = result["p"][problem], result["target_se"], result["threads"][-1]
    rows = sorted(_rows(result, problem), key=tables.per_million, reverse=True)
    seconds = [tables.per_million(row) * p * (1.0 - p) / target**2 / 1e6 for row in rows]
    for k, (row, value) in enumerate(zip(rows, seconds, strict=True)):
        found = tables.bias(result, row)
        ax.plot(value, k, "o", color=_colour(row), fillstyle="none" if found else "full", markersize=7)
        stays = f", biased by {100 * found['points']:+.1f} points" if found else ""
        ax.annotate(f"   {value:.2g} s{stays}", (value, k), va="center", fontsize=7)
    ax.set_yticks(range(len(rows)), [_named(row, most) for row in rows], fontsize=7)
    ax.set_xlim(min(seconds) / 2, max(seconds) * 8)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    _plain(ax, "x")
    ax.grid(axis="x", alpha=0.3)
    ax.set_xlabel(f"s to a standard error of {100 * target:g} points", fontsize=8)
    ax.set_title(tables.TITLES[problem], fontsize=9)


def _curves(ax: Axes, result: dict[str, Any], problem: str) -> None:
    """Root-mean-square error, bias and all, after so many seconds."""
    p = result["p"][problem]
    seconds = np.geomspace(0.03, 300.0, 200)
    seen = {colour: 0 for colour in (BLUE, ORANGE, GREY)}
    for row in _rows(result, problem):
        found, colour = tables.bias(result, row), _colour(row)
        variance = p * (1.0 - p) * tables.per_million(row) / (1e6 * seconds)
        rms = 100.0 * np.sqrt(variance + (found["points"] if found else 0.0) ** 2)
        dash = DASHES[seen[colour] % len(DASHES)]
        name = _named(row, result["threads"][-1])
        if found:
            name = "_" if seen[colour] else "all that look hourly"
        ax.plot(seconds, rms, color=colour, linestyle=dash, linewidth=1.2, label=name)
        seen[colour] += 1
    _plain(ax, "x")
    _plain(ax, "y")
    ax.set_xlabel("s", fontsize=8)
    ax.set_ylabel("error at 10x, no stop, points (root mean square)", fontsize=8)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7, loc="lower left")


def error(result: dict[str, Any], path: Path) -> None:
    """Time to a given standard error, and error against time with what looking hourly misses."""
    fig = Figure(figsize=(13, 9), layout="constrained")
    axes = fig.subplots(2, 2, height_ratios=[1.0, 1.1])
    for k, problem in enumerate(("W1", "W2")):
        _dots(axes[0, k], result, problem)
        _curves(axes[1, k], result, problem)
    fig.supxlabel(f"Hollow and flat: looks hourly, and stays biased. {_caption(result)}", fontsize=7)
    fig.savefig(path, dpi=110)


def scaling(result: dict[str, Any], path: Path) -> None:
    """Seconds of W1 over paths, cells, intervals and threads, with a line of proportion."""
    most = result["threads"][-1]
    names = {
        "paths": f"paths ({most} threads, 240 cells)",
        "cells": "cells, both sides",
        "intervals": "funding intervals in 30 days",
        "threads": "threads",
    }
    fig = Figure(figsize=(13, 3.6), layout="constrained")
    for ax, (axis, name) in zip(fig.subplots(1, 4), names.items(), strict=True):
        points = result["axes"][axis]
        at = np.array([row["at"] for row in points], dtype=float)
        for who, colour, dash, label in (
            ("liqsim", BLUE, "-", "liqsim, both sides"),
            ("peer", ORANGE, "--", "numba, exact, own generator,\nlong side"),
        ):
            if all(who in row for row in points):
                ax.plot(at, [row[who] for row in points], "o", color=colour, linestyle=dash, label=label, markersize=4)
        if axis != "cells":
            power = -1.0 if axis == "threads" else 1.0
            ax.plot(at, points[-1]["liqsim"] * (at / at[-1]) ** power, color=GREY, linewidth=0.8, label="in proportion")
        _plain(ax, "x")
        _plain(ax, "y")
        ax.set_xlabel(name, fontsize=8)
        ax.set_ylabel("s", fontsize=8)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=6)
    fig.supxlabel(f"W1, {result['axes_paths']:,} paths where these do not vary. {_caption(result)}", fontsize=7)
    fig.savefig(path, dpi=110)


def _caption(result: dict[str, Any]) -> str:
    text = tables.origin(result)
    middle = text.find(",", math.ceil(len(text) / 2)) + 1
    return f"{text[:middle]}\n{text[middle:].lstrip()}"
