"""What control variates save: variance and time against plain Monte Carlo on the same paths.

Run with ``python benchmarks/gains.py [--paths N] [--repeats K] [--out FILE]``. The gain is the ratio of variances over
the ratio of times, both measured here, with the same paths and one thread; 10 means a tenth of the time for the same
standard error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine

import liqsim as lq

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
class Spread:
    """Ratios of variances of one variable over all cells with stops and without: how they spread."""

    variable: str
    least: float
    median: float
    most: float


def _timed(repeats: int, **arguments: Any) -> tuple[Any, float]:
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        ds = lq.sweep(**arguments)
        seconds.append(time.perf_counter() - begun)
    return ds, statistics.median(seconds)


def _both(repeats: int, **arguments: Any) -> tuple[Any, Any, float]:
    """Plain and controlled result, and the ratio of their times."""
    plain, fast = _timed(repeats, **arguments)
    controlled, slow = _timed(repeats, **arguments, control=True)
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


def _cell(p: float, variance: float, slower: float) -> str:
    if not math.isfinite(variance):
        return "-"
    return f"{variance / slower:.1f} ({p:.2g})"


def table(rows: list[Row], spreads: list[Spread]) -> list[str]:
    """Both as Markdown."""
    lines = [
        "| model | horizon | time | " + " | ".join(f"{leverage}x" for leverage in LEVERAGES) + " |",
        "| --- | --- | --- |" + " --- |" * len(LEVERAGES),
    ]
    for row in rows:
        cells = " | ".join(_cell(p, v, row.slower) for p, v in zip(row.p, row.variance, strict=True))
        lines.append(f"| {row.model} | {row.horizon} | x {row.slower:.1f} | {cells} |")
    stops = ", ".join(map(str, STOPS))
    lines += [
        "", f"Ratio of variances, all models, horizons, leverages and both sides, stops of {stops} and none:", "",
        "| variable | 5 % of cells below | median | 5 % above |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [f"| `{s.variable}` | {s.least:.2g} | {s.median:.2g} | {s.most:.2g} |" for s in spreads]
    return lines


def main(arguments: list[str] | None = None) -> tuple[list[Row], list[Spread]]:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write a Markdown page here")
    asked = parser.parse_args(arguments)
    rows, spreads = measure(asked.paths, asked.repeats)
    lines = table(rows, spreads)
    print("\n".join(lines))
    if asked.out:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        head = [
            "# What control variates save", "",
            "Long positions without a stop, funding every 8 h from a premium. Variance of `p_liquidation` by plain",
            "Monte Carlo over that with `control=True`, over the ratio of times (third column); in brackets the",
            "probability; - where plain Monte Carlo has seen nothing. Below 50 expected hits a control is not used.",
            "",
            *machine.as_lines(machine.describe()),
            f"- {now}; one thread; {asked.paths} paths, medians of {asked.repeats} runs", "",
        ]  # fmt: skip
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text("\n".join([*head, *lines]) + "\n")
    return rows, spreads


if __name__ == "__main__":
    main()
