"""What control variates, importance sampling and smoothing save: variance and time against plain Monte Carlo.

Run with ``python benchmarks/gains.py [--paths N] [--repeats K] [--points N] [--out FILE]``. The gain is the ratio of
variances over the ratio of times, both measured here, with one thread; 10 means a tenth of the time for the same
standard error. Control variates are set against the same paths, smoothed estimates against a sweep of their one cell.
Of rare events the variance of plain Monte Carlo is that of a proportion.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
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
from liqsim import demo

LEVERAGES = (2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="15h", vol=3e-4)
VENUE = lq.Venue.from_tiers(
    [(0, 1e9, 0.004, 125)], taker_fee=5e-4, funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
)
MODELS = {
    "GBM, sigma 0.6": lq.GBM(sigma=0.6),
    "Merton, 12 jumps a year": lq.Merton(sigma=0.6, intensity=12, jump_mean=-0.03, jump_std=0.04),
    "Kou, 12 jumps a year": lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25),
    "Kou, 50 jumps a year": lq.Kou(sigma=0.8, intensity=50, p_up=0.45, eta_up=30, eta_down=25),
    "Kou, 5000 jumps a year": lq.Kou(sigma=0.3, intensity=5000, p_up=0.55, eta_up=150, eta_down=130),
}
SMOOTHED = {label: model for label, model in MODELS.items() if model.jump_rate < 1000}
SMOOTHED_LEVERAGES = (2, 5, 10, 20, 50, 100)
NEVER = 1e-9  # probabilities at which nothing is compared
HORIZONS = ("1D", "7D", "30D")
STOPS = (0.02, 0.05, 0.1)
VARIABLES = ("p_liquidation", "p_stop", "exit_time", "funding_cost", "pnl")


@dataclass(frozen=True)
class Row:
    """One model and horizon: ratio of times, and by leverage the probability and the ratio of variances, no stop."""

    model: str
    horizon: str
    slower: float
    p: tuple[float, ...]
    variance: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """One position: probability, relative error and seconds of its smoothed estimate, and the gain."""

    model: str
    horizon: str
    leverage: int
    p: float
    rel_error: float
    seconds: float
    gain: float


@dataclass(frozen=True)
class Spread:
    """Ratios of variances of one variable over all cells with stops and without: how they spread."""

    variable: str
    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Slopes:
    """One position at 10x: seconds of all its derivatives, and by parameter the gain and the relative error."""

    model: str
    horizon: str
    variable: str
    seconds: float
    gains: dict[str, tuple[float, float]]


def _timed(run: Callable[..., Any], repeats: int, **arguments: Any) -> tuple[Any, float]:
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        ds = run(**arguments)
        seconds.append(time.perf_counter() - begun)
    return ds, statistics.median(seconds)


def _both(repeats: int, **arguments: Any) -> tuple[Any, Any, float]:
    """Plain and controlled result, and the ratio of their times."""
    plain, fast = _timed(lq.sweep, repeats, **arguments)
    controlled, slow = _timed(lq.sweep, repeats, **arguments, control=True)
    return plain, controlled, slow / fast


def _ratio(plain: Any, controlled: Any, name: str) -> np.ndarray:
    """Ratio of variances; not-a-number where plain Monte Carlo has seen nothing."""
    before, after = plain[f"{name}_se"].values, controlled[f"{name}_se"].values
    return np.where(before > 0, (before / np.where(after > 0, after, 1.0)) ** 2, np.nan)


def measure(n_paths: int, repeats: int = 3) -> tuple[list[Row], list[Spread]]:
    """Both tables."""
    rows, ratios = [], {name: [] for name in VARIABLES}
    for label, model in MODELS.items():
        for horizon in HORIZONS:
            arguments = {
                "model": model, "venue": VENUE, "premium": PREMIUM, "leverage": LEVERAGES, "side": "long",
                "horizon": horizon, "n_paths": n_paths, "seed": 1, "threads": 1,
            }  # fmt: skip
            plain, controlled, slower = _both(repeats, **arguments)
            p = controlled.p_liquidation.values.ravel()
            variance = _ratio(plain, controlled, "p_liquidation").ravel()
            rows.append(Row(label, horizon, slower, tuple(p.tolist()), tuple(variance.tolist())))
            arguments |= {"stop": [*STOPS, math.inf], "side": ["long", "short"]}
            plain, controlled, _ = _both(1, **arguments)
            for name in VARIABLES:
                seen = np.minimum(plain.p_liquidation, 1 - plain.p_liquidation).values * n_paths >= 100
                mine = _ratio(plain, controlled, name)
                ratios[name].append(mine[seen if name == "p_liquidation" else np.isfinite(mine) & (mine > 0)])
    spreads = [
        Spread(name, *np.quantile(np.concatenate(found), (0.05, 0.5, 0.95)).tolist()) for name, found in ratios.items()
    ]
    return rows, spreads


def measure_importance(n_paths: int, repeats: int = 3) -> list[Row]:
    """Whole grids with importance sampling, each from a fifth of the paths, since they come from five laws."""
    rows = []
    for label, model in MODELS.items():
        for horizon in HORIZONS:
            arguments: dict[str, Any] = {
                "model": model, "venue": VENUE, "premium": PREMIUM, "leverage": LEVERAGES, "side": "long",
                "horizon": horizon, "seed": 1, "threads": 1,
            }  # fmt: skip
            _, plain = _timed(lq.sweep, repeats, **arguments, n_paths=n_paths)
            ds, weighted = _timed(lq.sweep, repeats, **arguments, n_paths=n_paths // 5, importance=True)
            p, se = ds.p_liquidation.values.ravel(), ds.p_liquidation_se.values.ravel()
            variance = _plain_variance(p, n_paths) / np.where(se > 0.0, se, 1.0) ** 2
            rows.append(Row(label, horizon, weighted / plain, tuple(p.tolist()), tuple(variance.tolist())))
    return rows


def _plain_variance(p: np.ndarray, n_paths: int) -> np.ndarray:
    return np.where(p > NEVER, p * (1.0 - p) / n_paths, np.nan)


def measure_demo_grid(n_paths: int, repeats: int = 3) -> list[tuple[str, float]]:
    """How much less work than plain Monte Carlo gives the same worst error of a cell of the demo's grid."""
    arguments: dict[str, Any] = {
        "model": lq.presets.model("btc-2025", "kou", drift=0.0), "venue": "binance-usdm-btcusdt", "premium": PREMIUM,
        "leverage": demo.LEVERAGES, "stop": demo.STOPS, "notional": demo.NOTIONAL, "horizon": "30D", "seed": 1,
        "threads": 1,
    }  # fmt: skip
    usual, plain = _timed(lq.sweep, repeats, **arguments, n_paths=n_paths)
    controlled, slow = _timed(lq.sweep, repeats, **arguments, n_paths=n_paths, control=True)
    weighted, rare = _timed(lq.sweep, repeats, **arguments, n_paths=n_paths // 5, importance=True)
    found = []
    for name in VARIABLES:
        before, after = (float(ds[f"{name}_se"].max()) for ds in (usual, controlled))
        found.append((f"`{name}`, worst absolute error, `control=True`", (before / after) ** 2 * plain / slow))
    for what, cells, least in (("no stop", {"stop": math.inf}, NEVER), ("any stop", {}, 1e-4)):
        p, se = (weighted[x].sel(cells).values for x in ("p_liquidation", "p_liquidation_se"))
        counts = p > least
        before = float(np.max(np.sqrt(_plain_variance(p, n_paths)[counts]) / p[counts]))
        after = float(np.max(se[counts] / p[counts]))
        name = f"`p_liquidation` above {least:g}, {what}, worst relative error, `importance=True`"
        found.append((name, (before / after) ** 2 * plain / rare))
    return found


def measure_smoothing(n_paths: int, n_points: int, repeats: int = 3) -> list[Cell]:
    """One position at a time; the variance of plain Monte Carlo is that of a proportion, known better than it knows."""
    lq.liquidation_probability(lq.GBM(sigma=0.6), VENUE, leverage=10, side="long", n_points=16)  # imports
    cells = []
    for label, model in SMOOTHED.items():
        for horizon in HORIZONS:
            for leverage in SMOOTHED_LEVERAGES:
                arguments: dict[str, Any] = {
                    "model": model, "venue": VENUE, "premium": PREMIUM, "leverage": leverage, "side": "long",
                    "horizon": horizon, "seed": 1,
                }  # fmt: skip
                _, plain = _timed(lq.sweep, repeats, **arguments, n_paths=n_paths, threads=1)
                ds, smooth = _timed(lq.liquidation_probability, repeats, **arguments, n_points=n_points)
                p, se = float(ds.p_liquidation), float(ds.p_liquidation_se)
                gain = p * (1.0 - p) / n_paths / se**2 * plain / smooth if p > NEVER else math.nan
                cells.append(Cell(label, horizon, leverage, p, se / abs(p) if p > NEVER else math.nan, smooth, gain))
    return cells


def measure_slopes(n_paths: int, n_points: int, repeats: int = 3) -> list[Slopes]:
    """Derivatives of one position, path by path, against differences of counts on common random numbers."""
    rows = []
    for label, model in SMOOTHED.items():
        for horizon in HORIZONS:
            arguments: dict[str, Any] = {
                "model": model, "venue": VENUE, "premium": PREMIUM, "leverage": 10, "side": "long", "horizon": horizon,
                "seed": 1,
            }  # fmt: skip
            usual, plain = _timed(lq.sensitivities, repeats, **arguments, n_paths=n_paths, threads=1)
            fine, smooth = _timed(lq.liquidation_sensitivities, repeats, **arguments, n_points=n_points)
            for name in ("p_liquidation", "funding_cost"):
                ratio = _ratio(usual.squeeze(), fine, name) * plain / smooth
                known = (abs(fine[f"{name}_se"] / fine[name])).values
                gains = zip(fine.parameter.values.tolist(), ratio.tolist(), known.tolist(), strict=True)
                rows.append(Slopes(label, horizon, name, smooth, {key: (gain, error) for key, gain, error in gains}))
    return rows


def _cell(p: float, variance: float, slower: float) -> str:
    if not math.isfinite(variance):
        return "-"
    return f"{variance / slower:.3g} ({p:.2g})"


def grid_table(rows: list[Row]) -> list[str]:
    """What a method saves on whole grids, as Markdown."""
    lines = [
        "| model | horizon | time | " + " | ".join(f"{leverage}x" for leverage in LEVERAGES) + " |",
        "| --- | --- | --- |" + " --- |" * len(LEVERAGES),
    ]
    for row in rows:
        cells = " | ".join(_cell(p, v, row.slower) for p, v in zip(row.p, row.variance, strict=True))
        lines.append(f"| {row.model} | {row.horizon} | x {row.slower:.1f} | {cells} |")
    return lines


def spread_table(spreads: list[Spread]) -> list[str]:
    """How ratios of variances spread over cells, as Markdown."""
    stops = ", ".join(map(str, STOPS))
    lines = [
        f"Ratio of variances, all models, horizons, leverages and both sides, stops of {stops} and none:", "",
        "| variable | 5 % of cells below | median | 5 % above |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [f"| `{s.variable}` | {s.least:.2g} | {s.median:.2g} | {s.most:.2g} |" for s in spreads]
    return lines


def smoothing_table(cells: list[Cell]) -> list[str]:
    """What smoothing saves, as Markdown."""
    leverages = list(dict.fromkeys(cell.leverage for cell in cells))
    lines = [
        "| model | horizon | seconds | " + " | ".join(f"{leverage}x" for leverage in leverages) + " |",
        "| --- | --- | --- |" + " --- |" * len(leverages),
    ]
    for label, horizon in dict.fromkeys((cell.model, cell.horizon) for cell in cells):
        mine = [cell for cell in cells if (cell.model, cell.horizon) == (label, horizon)]
        seconds = statistics.median(cell.seconds for cell in mine)
        found = " | ".join("-" if math.isnan(c.gain) else f"{c.gain:.2g} ({c.p:.2g}, {c.rel_error:.0e})" for c in mine)
        lines.append(f"| {label} | {horizon} | {seconds:.2g} | {found} |")
    return lines


def slopes_table(rows: list[Slopes]) -> list[str]:
    """What derivatives path by path save, as Markdown."""
    parameters = list(dict.fromkeys(name for row in rows for name in row.gains))
    lines = [
        "| model | horizon | derivative of | seconds | " + " | ".join(parameters) + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(parameters),
    ]
    for row in rows:
        cells = " | ".join("{:.2g} ({:.0e})".format(*row.gains[x]) if x in row.gains else "-" for x in parameters)
        lines.append(f"| {row.model} | {row.horizon} | `{row.variable}` | {row.seconds:.2g} | {cells} |")
    return lines


def main(arguments: list[str] | None = None) -> tuple[list[Row], list[Spread], list[Cell]]:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--points", type=int, default=1024, help="of each scramble, in the likeliest stratum")
    parser.add_argument("--out", type=Path, help="write a Markdown page here")
    asked = parser.parse_args(arguments)
    rows, spreads = measure(asked.paths, asked.repeats)
    rare = measure_importance(asked.paths, asked.repeats)
    grid = measure_demo_grid(asked.paths, asked.repeats)
    cells = measure_smoothing(asked.paths // 4, asked.points, asked.repeats)
    slopes = measure_slopes(asked.paths // 4, asked.points, asked.repeats)
    lines = [
        *grid_table(rows), "", *spread_table(spreads), "", "## What importance sampling saves", "",
        "The same grids with `importance=True` and a fifth of the paths from each of five laws.", "",
        *grid_table(rare), "",
        "On the grid of the demo (the Kou fit of 2025, Binance, 30 days, 12 leverages, 10 stops, both sides), how much",
        "less work than plain Monte Carlo gives the same error in the worst cell:", "",
        "| error | gain |", "| --- | --- |", *(f"| {what} | {gain:.2g} |" for what, gain in grid),
    ]  # fmt: skip
    lines += [
        "", "## What smoothing saves", "",
        "The same positions one at a time by `liquidation_probability`, against a sweep of that one cell: variance",
        "times time of the sweep over that of the smoothed estimate; in brackets the probability and the relative",
        f"standard error that was reached, with {asked.points} points in each of 32 scrambles, in the seconds of the",
        f"third column; - below {NEVER:.0e}.", "", *smoothing_table(cells), "",
        "## What derivatives path by path save", "",
        "All derivatives of a long of 10x at once by `liquidation_sensitivities`, against `sensitivities`, which takes",
        "differences of counts; in brackets the relative standard error that was reached.", "", *slopes_table(slopes),
    ]  # fmt: skip
    print("\n".join(lines))
    if asked.out:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        head = [
            "# What control variates, importance sampling and smoothing save", "",
            "Long positions without a stop, funding every 8 h from a premium. Variance of `p_liquidation` by plain",
            "Monte Carlo over that with `control=True`, over the ratio of times (third column); in brackets the",
            "probability; - where plain Monte Carlo has seen nothing. Below 50 expected hits there is no control.", "",
            *machine.as_lines(machine.describe()),
            f"- {now}; one thread; {asked.paths} paths, medians of {asked.repeats} runs", "",
        ]  # fmt: skip
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text("\n".join([*head, *lines]) + "\n")
    return rows, spreads, cells


if __name__ == "__main__":
    main()
