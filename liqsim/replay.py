"""One path of a sweep, looked at: what the price did, and what became of every position on it."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.arguments import load_ids
from liqsim.cells import Cell, cell_passes, clock_of, notes_of, progress_bar, run_inputs
from liqsim.engine.plan import Grid
from liqsim.engine.run import check_threads
from liqsim.engine.search import first_liquidated_path, median_path, worst_path
from liqsim.engine.trace import trace_path
from liqsim.errors import ParameterError
from liqsim.models import PriceModel
from liqsim.path_results import path_bytes, path_dataset
from liqsim.planning import Plan, plan_arguments, plan_sweep
from liqsim.rebuild import provenance_of, sweep_arguments_of
from liqsim.results import provenance
from liqsim.sweep import sweep
from liqsim.variables import SWEEP_AXES
from liqsim.venues import Venue
from liqsim.venues.plain import venue_from_dict

__all__ = ["replay"]

_CELL = ("side", "leverage", "stop")
_MOST_BYTES = 2**31

_CellName = Mapping[str, Any] | Literal[True]
_PICKERS: dict[str, tuple[Callable[..., int | None], int, str]] = {
    "worst": (worst_path, 1, "worst profit and loss"),
    "median": (median_path, 2, "median profit and loss"),
    "first_liquidated": (first_liquidated_path, 1, "first liquidation"),
}


def replay(
    result: xr.Dataset | PriceModel,
    venue: Venue | str | None = None,
    *,
    path: int | None = None,
    worst: _CellName | None = None,
    median: _CellName | None = None,
    first_liquidated: _CellName | None = None,
    threads: int | None = None,
    progress: bool = False,
    **arguments: Any,
) -> xr.Dataset:
    """Look at one path of a sweep: what the price did, event by event, and what became of every position.

    Parameters
    ----------
    result : xarray.Dataset or PriceModel
        Result of :func:`sweep` or :func:`compare_venues`, or a selection of one (``ds.sel(venue="bitmex-xbtusd")``):
        its attributes hold all that is needed. Or a price model, with the other arguments of a sweep.
    venue : Venue or str, optional
        With a model, the venue or its id.
    path : int
        Path number, in [0, 2**64); a sweep of n paths runs those from 0 to n - 1. Give this or one of the next three.
    worst, median, first_liquidated : mapping or True
        Find the path number instead: that of the lowest P&L, of the (lower) median P&L, or of the first path on which
        the venue closes any part of the position, in the cell named by ``{"side": ..., "leverage": ..., "stop": ...}``.
        Sides, leverages and stops of which there is one only may be left out; True where that is so of all three. Among
        equals the lowest number.
    threads : int, optional
        Threads for the search; all processors allowed to the process unless given.
    progress : bool
        Show a bar while searching.
    **arguments
        With a model, as in :func:`sweep`: ``leverage``, ``stop``, ``side``, ``notional``, ``price``, ``horizon``,
        ``premium``, ``monitoring``, ``gap_rule``, ``start``, ``top_up``, ``seed``, and ``n_paths`` to search among.
        What else a sweep may be asked for does not change its paths.

    Returns
    -------
    xarray.Dataset
        Over ``time`` [time since entry; with ``start`` also ``clock``], one entry per event, those of the same instant
        in order: ``event``, one of ``entry``, ``segment end``, ``jump``, ``visit`` (the venue looks of its own accord),
        ``look`` (cash or requirement has changed), ``check`` (a discrete look), ``margin test``, ``funding``,
        ``settlement``, ``charge``, ``instant`` (an interval ends and nothing is paid), ``horizon``, ``liquidation``,
        ``cut``, ``margin call``, ``stop``; ``event_side``, ``event_leverage``, ``event_stop``: what these are about;
        ``mark``, ``index``, ``low``, ``high`` [quote], the latter of the Brownian segment that ends; ``premium`` and
        ``funding_rate`` [1]; ``funding_payment``, ``charge``, ``paid`` [fraction of entry notional]; ``x`` [log price
        ratio] and ``years``, to the last bit.

        Over ``(time, side, leverage, stop)``, after the event (its own end: before it), and not-a-number once the
        position is closed: ``share`` [fraction of entry position], ``equity`` and ``maintenance`` [fraction of entry
        notional; with any haircut on coin posted as margin], ``margin_ratio`` (equity over maintenance requirement; the
        venue acts at 1) and ``liquidation_level`` [quote].

        Over ``(side, leverage, stop)``: ``outcome`` (``liquidated``, ``stopped``, ``open``), ``exit_price`` [quote],
        and what the path adds to the sums of a sweep: ``exit_time`` [d], ``pnl``, ``fees``, ``funding_cost`` and the
        others.

    Raises
    ------
    ParameterError
        If the dataset does not say how it was made, or holds several models, venues, notionals or horizons; if the cell
        is not in it; if no path is liquidated; if the events would not fit into memory.
    VenueDataError
        If the venue has rules of one's own that the provenance does not hold.

    Notes
    -----
    The kernel runs the path, alone, and writes down what it does: every number is the one that the sweep has seen, on
    any instruction set, and the outcomes of all paths add up to the sweep's tally. It goes on to the horizon after the
    last position is closed. Between two events the price is a Brownian bridge that reaches ``low`` and ``high`` at
    times nobody has drawn; the time of a crossing is its conditional mean, and where two of them on one side of a
    segment are not in the order of their levels, the later level is put at the same time (``exit_time`` is as booked).
    Minimum and maximum share a random number, so long and short cells of one path do not have their joint law; at a
    crossing the other side's equity is left out.

    A search runs the sweep's paths again on a grid of one cell, in memory that does not depend on their number: up to
    the path found for ``first_liquidated``, all of them once for ``worst``, and, as a rule, twice for ``median``. A
    path costs two to four times what it costs in a sweep of one cell.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=[5, 20], horizon="7D", n_paths=4000, seed=1)
    >>> path = lq.replay(ds, first_liquidated={"side": "long", "leverage": 20})
    >>> int(path.path), path.outcome.sel(side="long", leverage=20).item()
    (0, 'liquidated')
    >>> bool(path.margin_ratio.sel(side="long", leverage=20).min() > 0.99)
    True
    """
    if isinstance(result, xr.Dataset):
        if venue is not None or arguments:
            extra = ", ".join([*(["venue"] if venue is not None else []), *arguments])
            raise ParameterError(
                f"{extra}: the dataset says how it was made; give a model and a venue to say it yourself"
            )
        case = _case_of(result)
    else:
        case = _case_from(result, venue, arguments)
    how, cell_name = _chosen(path=path, worst=worst, median=median, first_liquidated=first_liquidated)
    n_threads = check_threads(threads)
    begun = time.perf_counter()
    (task,) = cell_passes(case.cell, case.plan.settings, case.shared)
    if how == "path":
        number, picked = _path_number(path), ""
    else:
        number, picked = _search(case, how, cell_name, n_threads, progress)
    jumps = 0.0 if np.isinf(task.law["mean_gap"]) else task.arrays["instant"][-1] / task.law["mean_gap"]
    size = path_bytes(task, jumps)
    if size > _MOST_BYTES:
        raise ParameterError(
            f"the events of this path would take about {size / 2**30:.1f} GiB, more than {_MOST_BYTES / 2**30:g} GiB; "
            "replay fewer leverages and stops, such as ds.sel(leverage=[10], stop=[inf]), or a shorter horizon"
        )
    trace, sums = trace_path(task, number)
    seconds = time.perf_counter() - begun
    plan, cell = case.plan, case.cell
    venues = {case.labels["venue"]: cell.venue}
    models = {case.labels["model"]: cell.model}
    inputs = run_inputs(models, venues, plan.notionals, plan.grid, plan.settings)
    record = inputs | {"axes": [], "path": number, "picked": picked}
    attrs = provenance("replay", record, case.seed, plan.settings.n_paths, seconds)
    del attrs["n_paths"]
    coords = {**case.labels, "notional": cell.notional, "horizon": np.timedelta64(plan.settings.horizons[0], "ns")}
    attrs |= {"notes": notes_of(venues), "picked": picked}
    return path_dataset(trace, sums, task, cell, plan.settings, coords, attrs)


@dataclass(frozen=True)
class _Case:
    """One run: what a sweep is asked for, narrowed to one model, venue, notional and horizon."""

    plan: Plan
    cell: Cell
    labels: dict[str, str]
    seed: int | np.random.SeedSequence
    shared: np.ndarray | None = None


def _case(arguments: dict[str, Any], shared: np.ndarray | None = None, source: str = "") -> _Case:
    plan = plan_sweep(**plan_arguments(arguments))
    found = {
        "model": list(plan.models),
        "venue": list(plan.venues),
        "notional": plan.notionals.tolist(),
        "horizon": [f"{ns / 86_400e9:g} days" for ns in plan.settings.horizons],
    }
    for name in SWEEP_AXES:
        if len(found[name]) > 1:
            way = f"{source}.sel({name}=...)" if source else f"one {name}"
            raise ParameterError(
                f"there are {len(found[name])} values of {name}, {', '.join(map(str, found[name][:6]))}; "
                f"a path is of one; choose it with {way}"
            )
    (cell,) = plan.cells
    labels = {name: found[name][0] for name in ("model", "venue")}
    return _Case(plan, cell, labels, arguments["seed"], shared)


def _case_of(ds: xr.Dataset) -> _Case:
    """The run behind a dataset, narrowed to the coordinates that are left in it."""
    record = provenance_of(ds.attrs)
    if record["function"] not in ("sweep", "compare_venues"):
        raise ParameterError(
            f"the dataset was made by {record['function']}; give a result of liqsim.sweep or liqsim.compare_venues"
        )
    arguments = sweep_arguments_of(record)
    shared = None
    if record["function"] == "compare_venues":
        shared = _shared_instants(arguments, record)
    for name in ("model", "venue"):
        if name in ds.coords:
            arguments[name] = _narrowed(name, arguments[name], ds)
    for name in ("notional", *_CELL):
        if name in ds.coords:
            arguments[name] = [v for v in np.atleast_1d(ds[name].values).tolist() if v in arguments[name]]
    if "horizon" in ds.coords:
        arguments["horizon"] = list(np.atleast_1d(ds["horizon"].values).astype("timedelta64[ns]"))
    return _case(arguments, shared, "ds")


def _narrowed(name: str, items: dict[str, Any], ds: xr.Dataset) -> dict[str, Any]:
    labels = [str(label) for label in np.atleast_1d(ds[name].values)]
    return {label: items[label] for label in labels if label in items}


def _shared_instants(arguments: dict[str, Any], record: Mapping[str, Any]) -> np.ndarray:
    """Instants at which all venues of a comparison stop."""
    settings = plan_sweep(**plan_arguments(arguments)).settings
    others = [venue_from_dict(values) for values in record["inputs"]["stopped_for"].values()]
    venues = [*arguments["venue"].values(), *others]
    return np.unique(np.concatenate([clock_of(venue, settings).instants() for venue in venues]))


def _case_from(model: Any, venue: Any, arguments: dict[str, Any]) -> _Case:
    """The run that the arguments of a sweep describe."""
    if not isinstance(model, (PriceModel, Mapping, list, tuple)):
        raise ParameterError(
            f"result={type(model).__name__} is neither a dataset nor a price model; give the result of liqsim.sweep, "
            "or a model, a venue and the other arguments of a sweep"
        )
    known = inspect.signature(sweep).parameters
    for name in arguments:
        if name not in known or name in ("model", "venue"):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"{name} is no argument of a sweep; {hint}Known: {', '.join(known)}")
    if venue is None or "leverage" not in arguments:
        raise ParameterError("with a model, give a venue and leverage=... as well, as in liqsim.sweep")
    bound = inspect.signature(sweep).bind(model, load_ids(venue), **arguments)
    bound.apply_defaults()
    return _case(dict(bound.arguments))


def _chosen(**given: Any) -> tuple[str, Any]:
    """Which of path, worst, median and first_liquidated was given."""
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        what = f"{' and '.join(named)} were given" if named else "none was given"
        raise ParameterError(
            f'give one of path, worst, median, first_liquidated ({what}), such as path=0 or worst={{"side": "long", '
            '"leverage": 10}'
        )
    ((name, value),) = named.items()
    return name, value


def _path_number(path: Any) -> int:
    whole = isinstance(path, (int, np.integer)) and not isinstance(path, bool)
    if not whole or not 0 <= path < 2**64:
        raise ParameterError(f"path={path!r} is not allowed; give a whole number in [0, 2**64)")
    return int(path)


def _search(case: _Case, how: str, cell_name: Any, threads: int, progress: bool) -> tuple[int, str]:
    """Number of the path that is looked for, and what it is in words."""
    find, passes, what = _PICKERS[how]
    grid = _one_cell(case.plan.grid, how, cell_name)
    settings = case.plan.settings
    (task,) = cell_passes(dataclasses.replace(case.cell, grid=grid), settings, case.shared)
    with progress_bar(progress, passes * settings.n_paths) as report:
        number = find(task, settings.n_paths, threads, report)
    stop = "no stop" if np.isinf(grid.stop[0]) else f"stop {100 * grid.stop[0]:g} %"
    cell = f"{grid.sides[0]}, {grid.leverage[0]:g}x, {stop}"
    if number is None:
        raise ParameterError(
            f"none of {settings.n_paths:,} paths is liquidated in the cell {cell}; choose a cell of higher leverage, "
            "or worst= for the path of the lowest profit and loss"
        )
    return number, f"{what} of {settings.n_paths:,} paths, {cell}"


def _one_cell(grid: Grid, how: str, cell_name: Any) -> Grid:
    """The cell that is named; what there is one of need not be."""
    form = f'{how}={{"side": "long", "leverage": 10, "stop": 0.05}}'
    if cell_name is True:
        cell_name = {}
    if not isinstance(cell_name, Mapping):
        raise ParameterError(f"{how}={cell_name!r} names no cell; give a mapping such as {form}")
    for name in cell_name:
        if name not in _CELL:
            near = difflib.get_close_matches(str(name), _CELL, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"{how} names {name!r}; {hint}a cell is named by side, leverage and stop: {form}")
    chosen: dict[str, Any] = {}
    for name, values in (("side", grid.sides), ("leverage", grid.leverage.tolist()), ("stop", grid.stop.tolist())):
        known = ", ".join(map(str, values))
        if name in cell_name:
            if cell_name[name] not in values:
                raise ParameterError(f"{how}: {name}={cell_name[name]!r} is not in the grid; it holds {known}")
            chosen[name] = cell_name[name]
        elif len(values) == 1:
            chosen[name] = values[0]
        else:
            raise ParameterError(f"{how} must say which {name}, one of {known}, as in {form}")
    return Grid(np.array([float(chosen["leverage"])]), np.array([float(chosen["stop"])]), (chosen["side"],))
