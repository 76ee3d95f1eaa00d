"""From checked arguments to estimates: the cells of a run, simulated and put in the user's order."""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liqsim.arguments import Settings
from liqsim.control import Control, make_control
from liqsim.durations import duration_text
from liqsim.engine.plan import SIDES, Grid, Pass, sweep_pass, tilted_passes
from liqsim.engine.run import run_groups
from liqsim.engine.tally import Sums, cell_sums
from liqsim.engine.timeline import Clock, Timeline, build_timelines, correlated_memory, to_nanoseconds, venue_clock
from liqsim.estimates import by_group, no_longer, sweep_estimates
from liqsim.fixed_levels import fixed_levels
from liqsim.importance import choose_tilts, weighted_estimates
from liqsim.models import PriceModel
from liqsim.models._checks import check_flag
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price
from liqsim.stopping import schedule
from liqsim.variables import group_name
from liqsim.venues import Venue
from liqsim.venues.gaps import ASSUMED

__all__ = [
    "ASSUMED_NOTE",
    "Booked",
    "Cell",
    "CellRun",
    "book",
    "cell_draws",
    "cell_estimates",
    "cell_pass",
    "cell_passes",
    "clock_of",
    "control_cell",
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

_LINE_SECONDS = 10.0  # between lines of progress in a log file

ENTRY_PRICES = ("liquidation_price", "bankruptcy_price", "initial_margin")


@dataclass(frozen=True)
class Cell:
    """One model under one venue's rules with one notional, on a grid of leverages, stops and sides."""

    model: PriceModel
    venue: Venue
    notional: float
    grid: Grid


def clock_of(venue: Venue, settings: Settings) -> Clock:
    """The venue's clock over the longest horizon."""
    return venue_clock(venue, max(settings.horizons), settings.start, settings.price)


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
    memory = correlated_memory(settings.premium)
    timelines = build_timelines(settings.horizons, clock_of(cell.venue, settings), settings.looks, shared, memory)
    return [cell_pass(cell, settings, timeline) for timeline in timelines]


def cell_pass(cell: Cell, settings: Settings, timeline: Timeline) -> Pass:
    """One of the runs of :func:`cell_passes`."""
    return sweep_pass(
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


@dataclass(frozen=True)
class Booked:
    """What a run has booked: for every pass the sums of every group of paths, all paths being one group or more."""

    sums: list[list[Sums]]
    group_paths: np.ndarray
    seconds: float

    @property
    def n_paths(self) -> int:
        """Paths simulated."""
        return int(self.group_paths.sum())

    def totals(self) -> list[Sums]:
        """Sums of every pass over all paths."""
        return [functools.reduce(Sums.__add__, groups) for groups in self.sums]

    def over_laws(self, laws: Sequence[Sequence[Pass]]) -> Booked:
        """What several passes over paths of different laws have booked together.

        Parameters
        ----------
        laws : sequence of sequence of Pass
            For each of the first passes of this run, itself and those others, which came last and in this order;
            without any all stays as it is.
        """
        if not laws:
            return self
        others = iter(self.sums[len(laws) :])
        sums = []
        for own, mine in zip(self.sums, laws, strict=False):
            same = [own, *(next(others) for _ in mine[1:])]
            sums.append([functools.reduce(Sums.__add__, parts) for parts in zip(*same, strict=True)])
        return replace(self, sums=sums)


def book(
    passes: Sequence[Pass],
    n_paths: int,
    threads: int,
    progress: bool,
    n_groups: int = 1,
    is_enough: Callable[[Booked], bool] | None = None,
) -> Booked:
    """Simulate.

    Parameters
    ----------
    passes : sequence of Pass
    n_paths : int
        Paths, or the most where ``is_enough`` may end the run before.
    threads : int
    progress : bool
        Whether to show a bar.
    n_groups : int
        Groups of paths whose sums are kept apart. Between one look at the accuracy and the next each takes an equal
        share.
    is_enough : callable, optional
        Asked after each number of paths of :func:`liqsim.stopping.schedule`.
    """
    begun = time.perf_counter()
    sums: list[list[Sums]] = []
    counts = np.zeros(n_groups, dtype=np.int64)
    first = 0
    with progress_bar(progress, len(passes) * n_paths) as report:
        for last in [n_paths] if is_enough is None else schedule(n_paths):
            edges = first + (last - first) * np.arange(n_groups + 1) // n_groups
            more = run_groups(passes, edges.tolist(), threads, report)
            if sums:
                more = [[a + b for a, b in zip(*both, strict=True)] for both in zip(sums, more, strict=True)]
            sums = more
            counts += np.diff(edges)
            first = last
            booked = Booked(sums, counts.copy(), time.perf_counter() - begun)
            if is_enough is not None and is_enough(booked):
                break
    return booked


@dataclass(frozen=True)
class CellRun:
    """Estimates of all cells of a run.

    Parameters
    ----------
    found : list of dict
        For each cell, estimates, standard errors and, where groups were asked for, the estimates of each by name;
        arrays of shape (horizon, side, leverage, stop[, group]) in the user's order.
    booked : Booked
    """

    found: list[dict[str, np.ndarray]]
    booked: Booked


def run_cells(
    passes: Sequence[list[Pass]],
    grids: Sequence[Grid],
    settings: Settings,
    progress: bool,
    n_groups: int | None = None,
    is_enough: Callable[[list[dict[str, np.ndarray]], int], bool] | None = None,
    controls: Sequence[Control] = (),
    draws: Sequence[list[list[Pass]]] = (),
) -> CellRun:
    """Simulate cells.

    Parameters
    ----------
    passes : sequence of list of Pass
        Of each cell.
    grids : sequence of Grid
        Of each cell.
    settings : Settings
    progress : bool
        Whether to show a bar.
    n_groups : int, optional
        Groups of paths whose estimates are given besides; none unless given.
    is_enough : callable, optional
        Whether the estimates of all cells after a number of paths are accurate enough; all paths unless given.
    controls : sequence of Control, optional
        Of each cell, by which its estimates are corrected. They need groups.
    draws : sequence of list of list of Pass, optional
        For each pass of each cell the same over paths of several laws, the pass itself the first: their sums are
        added. They need groups.
    """
    every = [laws for cell in draws for laws in cell]
    flat = list(itertools.chain(*passes, *(control.passes for control in controls), *(laws[1:] for laws in every)))

    def plain(sums: Iterable[Sums], n_paths: int) -> list[dict[str, np.ndarray]]:
        left = iter(sums)
        return [
            cell_estimates([(task, next(left), n_paths) for task in group], grid, settings.horizons)
            for group, grid in zip(passes, grids, strict=True)
        ]

    def of_groups(booked: Booked) -> list[dict[str, np.ndarray]]:
        groups = zip(zip(*booked.sums, strict=True), booked.group_paths.tolist(), strict=True)
        parts = [plain(sums, n) for sums, n in groups]
        return [by_group(cell) for cell in zip(*parts, strict=True)]

    def estimates(booked: Booked, with_groups: bool) -> list[dict[str, np.ndarray]]:
        if not controls:
            found = plain(booked.totals(), booked.n_paths)
            parts = of_groups(booked) if with_groups or draws else [{} for _ in found]
            both = zip(found, parts, strict=True)
            if draws:
                return [weighted_estimates(cell, part, booked.group_paths) for cell, part in both]
            return [cell | {group_name(name): x for name, x in part.items()} for cell, part in both]
        sums = iter(booked.sums[sum(map(len, passes)) :])
        longest = max(settings.horizons) / to_nanoseconds(1.0)
        found = []
        for control, part in zip(controls, of_groups(booked), strict=True):
            mine = [next(sums) for _ in control.passes]
            groups = enumerate(booked.group_paths.tolist())
            counts = [control.counts([sums_of[g] for sums_of in mine], n) for g, n in groups]
            found.append(control.adjust(part, counts, booked.group_paths, longest))
        return found

    def look(booked: Booked) -> bool:
        assert is_enough is not None
        return is_enough(estimates(booked.over_laws(every), False), booked.n_paths)

    booked = book(
        flat, settings.n_paths, settings.threads, progress, n_groups or 1, look if is_enough is not None else None
    )
    booked = booked.over_laws(every)
    return CellRun(estimates(booked, n_groups is not None), booked)


def control_cell(cell: Cell, settings: Settings, passes: Sequence[Pass]) -> Control:
    """Control variates of a cell."""
    window = entry_window(cell.venue, settings)
    return make_control(cell.model, cell.venue, cell.notional, cell.grid, settings, passes, window)


def cell_draws(cell: Cell, settings: Settings, passes: Sequence[Pass]) -> list[list[Pass]]:
    """The passes of a cell over paths of several laws, chosen for its levels."""
    window = entry_window(cell.venue, settings)
    levels = fixed_levels(cell.venue, cell.notional, cell.grid, settings, passes, window)
    tilts = choose_tilts(cell.model, levels, settings.horizons)
    return [tilted_passes(task, cell.model, tilts) for task in passes]


def cell_estimates(
    group: Iterable[tuple[Pass, Sums | None, int]], grid: Grid, horizons: Sequence[int]
) -> dict[str, np.ndarray]:
    """Estimates and standard errors of one cell by name.

    Parameters
    ----------
    group : iterable of (Pass, Sums or None, int)
        The passes of the cell, what each has booked and over how many paths; None where nothing has been run.
    grid : Grid
    horizons : sequence of int
        Nanoseconds.

    Returns
    -------
    dict of str to ndarray, shape (horizon, side, leverage, stop)
        In the user's order; not-a-number where nothing has been run.
    """
    shape = (len(horizons), len(grid.sides), len(grid.leverage), len(grid.stop))
    sides = [SIDES.index(name) for name in grid.sides]
    rows, columns = grid.rows, grid.columns
    found: dict[str, np.ndarray] = {}
    for task, sums, n_paths in group:
        if sums is None:
            continue
        for name, values in sweep_estimates(task, cell_sums(task, sums), n_paths).items():
            out = found.setdefault(name, np.full(shape, np.nan))
            out[list(task.horizons)] = values[:, sides][:, :, rows][:, :, :, columns]
        if not task.is_weighted:
            found["exit_time"] = no_longer(found["exit_time"], horizons)
    return found


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
    """What a reader of the numbers must know of the venues: what is closed or assumed, margins that change, collateral.

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
        for after, factor in venue.margin_changes:
            lines.append(f"{label}: {factor:g} times the maintenance requirement from {duration_text(after)} on.")
        if venue.collateral_haircut is not None:
            lines.append(
                f"{label}: margin is posted in {venue.contract.base}, of whose value {venue.counted_share:.4g} counts; "
                "P&L and shortfall include its gain or loss."
            )
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
def progress_bar(show: bool, total: int, done: int = 0) -> Iterator[Callable[[int], Any]]:
    """Report paths as they are done: a bar where someone looks on, a plain line now and then elsewhere, or nothing.

    Parameters
    ----------
    show : bool
    total, done : int
        Paths in all, and those done before.
    """
    check_flag("progress", show)
    if not show:
        yield lambda count: None
    elif sys.stderr.isatty() or _in_notebook():
        from tqdm.auto import tqdm

        with tqdm(total=total, initial=done, unit="path", unit_scale=True, desc="simulating", smoothing=0.1) as bar:
            yield bar.update
    else:
        lines = _Lines(total, done)
        yield lines.update
        lines.write()


def _in_notebook() -> bool:
    """Whether this is a notebook's process; to have imported its library is not enough."""
    library = sys.modules.get("IPython")
    return library is not None and hasattr(library.get_ipython(), "kernel")


class _Lines:
    """Progress for a log file: how much, how fast, how long still."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.before = total, done, done
        self.begun = time.perf_counter()
        self.due = self.begun + _LINE_SECONDS
        self.shown = -1

    def update(self, count: int) -> None:
        self.done += count
        if time.perf_counter() >= self.due:
            self.write()

    def write(self) -> None:
        if self.done == self.shown:
            return
        self.shown = self.done
        now = time.perf_counter()
        self.due = now + _LINE_SECONDS
        rate = (self.done - self.before) / max(now - self.begun, 1e-9)
        left = "" if self.done >= self.total or rate == 0 else f", {_span((self.total - self.done) / rate)} left"
        share = 100.0 * self.done / self.total
        print(
            f"simulating: {share:.0f}% of {self.total:.4g} paths, {rate:.3g} paths/s, {_span(now - self.begun)}{left}",
            file=sys.stderr,
            flush=True,
        )


def _span(seconds: float) -> str:
    """A length of time, such as ``4 min 10 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
