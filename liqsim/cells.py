"""From checked arguments to estimates: the cells of a run, simulated and put in the user's order."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim.arguments import Request, Settings
from liqsim.engine.plan import SIDES, Grid, Pass, sweep_pass
from liqsim.engine.run import run_passes
from liqsim.engine.tally import cell_sums
from liqsim.engine.timeline import Clock, build_timelines, venue_clock
from liqsim.models import PriceModel
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price
from liqsim.results import sweep_estimates
from liqsim.venues import Venue
from liqsim.venues.gaps import ASSUMED

__all__ = [
    "ASSUMED_NOTE",
    "Cell",
    "cell_passes",
    "cells_of",
    "clock_of",
    "currencies",
    "entry_prices",
    "entry_window",
    "grid_axes",
    "notes_of",
    "progress_bar",
    "run_cells",
    "run_inputs",
]

ASSUMED_NOTE = " is assumed, no source states it."

ENTRY_PRICES = ("liquidation_price", "bankruptcy_price", "initial_margin")


@dataclass(frozen=True)
class Cell:
    """One model under one venue's rules with one notional, on a grid of leverages, stops and sides."""

    model: PriceModel
    venue: Venue
    notional: float
    grid: Grid


def cells_of(request: Request) -> list[Cell]:
    """Every model on every venue with every notional, the last turning fastest."""
    chosen = itertools.product(request.models.values(), request.venues.values(), request.notionals.tolist())
    return [Cell(*cell, request.grid) for cell in chosen]


def clock_of(venue: Venue, settings: Settings) -> Clock:
    """The venue's clock over the longest horizon."""
    return venue_clock(venue, max(settings.horizons), settings.start)


def entry_window(venue: Venue, settings: Settings) -> str | None:
    """Margin window in which a position is opened; None where rates do not change with the time of day."""
    windows = clock_of(venue, settings).windows
    return windows[0][1] if windows else None


def cell_passes(cell: Cell, settings: Settings, shared: np.ndarray | None = None) -> list[Pass]:
    """Runs of the kernel that a cell asks for.

    Parameters
    ----------
    cell : Cell
    settings : Settings
    shared : ndarray of int64, optional
        Instants of other venues at which this one stops too, so that all see the same paths.

    Raises
    ------
    MarginRuleError
        If the venue does not allow the position.
    VenueDataError
        If a rule needs a value that no source states.
    """
    timelines = build_timelines(settings.horizons, clock_of(cell.venue, settings), settings.looks, shared)
    return [
        sweep_pass(
            cell.model,
            cell.venue,
            settings.premium,
            cell.grid,
            cell.notional,
            settings.price,
            timeline,
            settings.key,
            liquidation_first=settings.gap_rule == "liquidation",
            top_up=settings.top_up,
        )
        for timeline in timelines
    ]


def run_cells(
    passes: Sequence[list[Pass]], grids: Sequence[Grid], settings: Settings, progress: bool
) -> tuple[list[dict[str, np.ndarray]], float]:
    """Simulate.

    Parameters
    ----------
    passes : sequence of list of Pass
        Of each cell.
    grids : sequence of Grid
        Of each cell.
    settings : Settings
    progress : bool
        Whether to show a bar.

    Returns
    -------
    estimates : list of dict
        For each cell, estimates and standard errors by name, arrays of shape (horizon, side, leverage, stop) in the
        user's order.
    seconds : float
        Wall time.
    """
    n_paths = settings.n_paths
    flat = list(itertools.chain.from_iterable(passes))
    begun = time.perf_counter()
    with progress_bar(progress, len(flat) * n_paths) as report:
        totals = iter(run_passes(flat, n_paths, settings.threads, report))
    seconds = time.perf_counter() - begun
    cells: list[dict[str, np.ndarray]] = []
    for group, grid in zip(passes, grids, strict=True):
        shape = (len(settings.horizons), len(grid.sides), len(grid.leverage), len(grid.stop))
        sides = [SIDES.index(name) for name in grid.sides]
        rows, columns = grid.rows, grid.columns
        found: dict[str, np.ndarray] = {}
        for task in group:
            sums = cell_sums(task, next(totals))
            for name, values in sweep_estimates(task, sums, n_paths).items():
                out = found.setdefault(name, np.empty(shape))
                out[list(task.horizons)] = values[:, sides][:, :, rows][:, :, :, columns]
        cells.append(found)
    return cells, seconds


def entry_prices(cell: Cell, settings: Settings) -> dict[str, np.ndarray]:
    """Liquidation price, bankruptcy price and initial margin at entry, each of shape (side, leverage)."""
    venue, grid = cell.venue, cell.grid
    window = entry_window(venue, settings)
    quantity = float(venue.contract.quantity(cell.notional, settings.price))
    shape = (len(grid.sides), len(grid.leverage))
    out = {name: np.empty(shape) for name in ENTRY_PRICES}
    for k, side in enumerate(grid.sides):
        position: dict[str, Any] = {
            "side": side,
            "entry_price": settings.price,
            "quantity": quantity,
            "leverage": grid.leverage,
        }
        out["liquidation_price"][k] = liquidation_price(venue, **position, window=window)
        out["bankruptcy_price"][k] = bankruptcy_price(venue, **position, window=window)
        out["initial_margin"][k] = initial_margin(venue, **position, window=window)
    return out


def grid_axes(grid: Grid) -> dict[str, Any]:
    """Coordinates of a grid."""
    return {"side": grid.sides, "leverage": grid.leverage, "stop": grid.stop}


def currencies(venues: Mapping[str, Venue]) -> tuple[str, str]:
    """Quote and settlement currencies, such as ``("USD/USDT", "BTC/USDT")``."""
    contracts = [venue.contract for venue in venues.values()]
    return "/".join(dict.fromkeys(c.quote for c in contracts)), "/".join(dict.fromkeys(c.settlement for c in contracts))


def run_inputs(
    models: Mapping[str, PriceModel], venues: Mapping[str, Venue], notionals: np.ndarray, grid: Grid, settings: Settings
) -> dict[str, Any]:
    """Arguments that change the numbers, as plain values, for provenance."""
    return {
        "model": {name: m.to_dict() for name, m in models.items()},
        "venue": {name: {**v.to_dict(), "hash": v.hash} for name, v in venues.items()},
        "leverage": grid.leverage.tolist(),
        "stop": [str(s) if np.isinf(s) else s for s in grid.stop.tolist()],
        "side": list(grid.sides),
        "notional": notionals.tolist(),
        **settings.to_dict(),
    }


def notes_of(venues: Mapping[str, Venue]) -> str:
    """What a reader of the numbers must know of the venues: one line for each that is closed, and each value assumed.

    Parameters
    ----------
    venues : mapping of str to Venue
        By label.

    Examples
    --------
    >>> from liqsim.venues import load_venue
    >>> print(notes_of({"spot": load_venue("kraken-spot-xbtusd").assume({"fees.taker": 0.0026}, hazard=0.5)}))
    spot: fees.taker = 0.0026 is assumed, no source states it.
    spot: liquidation.hazard = 0.5 is assumed, no source states it.
    """
    lines = []
    for label, venue in venues.items():
        if venue.status == "closed":
            lines.append(f"{label} is closed. {venue.status_note}".strip())
        for source in venue.sources:
            if source.origin == ASSUMED:
                lines += [f"{label}: {_assumed(venue, name)}{ASSUMED_NOTE}" for name in source.covers]
    return "\n".join(lines)


def _assumed(venue: Venue, name: str) -> str:
    section, _, field = name.partition(".")
    value = getattr(getattr(venue, section, None), field, None)
    if value is None:
        return name
    if isinstance(value, (tuple, list)):
        return f"{name} ({len(value)} rows)"
    return f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"


@contextmanager
def progress_bar(show: bool, total: int) -> Iterator[Callable[[int], Any]]:
    """A bar with the time left, or nothing."""
    if not show:
        yield lambda count: None
        return
    from tqdm.auto import tqdm

    is_watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    with tqdm(
        total=total,
        unit="path",
        unit_scale=True,
        desc="simulating",
        smoothing=0.1,
        mininterval=0.1 if is_watched else 5.0,
    ) as bar:
        yield bar.update
