"""The plan of a sweep: checked arguments, the cells they ask for, and the dataset that their sums become.

:func:`liqsim.sweep` runs a plan in one go; a study runs the same plan piece by piece.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from liqsim.arguments import Settings, read_grid, read_horizons, read_named, read_numbers, read_settings, read_venues
from liqsim.cells import (
    Cell,
    cell_estimates,
    cell_pass,
    clock_of,
    currencies,
    entry_prices,
    grid_axes,
    notes_of,
    run_inputs,
)
from liqsim.engine.memory import check_memory, needed_memory, tally_bytes
from liqsim.engine.plan import Grid, Pass
from liqsim.engine.tally import Sums
from liqsim.engine.timeline import Timeline, build_timelines, correlated_memory
from liqsim.models import PriceModel
from liqsim.outputs import QUANTILES, Outputs, output_estimates, read_outputs
from liqsim.results import sweep_dataset
from liqsim.stopping import Target, horizon_labels, most_paths, read_target
from liqsim.variables import ESTIMATES, SWEEP_AXES
from liqsim.venues import Venue

__all__ = ["Plan", "plan_arguments", "plan_sweep"]


@dataclass(frozen=True)
class Plan:
    """What a sweep will run.

    Parameters
    ----------
    models, venues : mapping
        By label.
    notionals : ndarray
        Quote currency.
    grid : Grid
    settings : Settings
    given : tuple of str
        Those of model, venue, notional, horizon that were given as a list.
    outputs : Outputs
        What is computed by name besides; nothing unless given.
    """

    models: Mapping[str, PriceModel]
    venues: Mapping[str, Venue]
    notionals: np.ndarray
    grid: Grid
    settings: Settings
    given: tuple[str, ...]
    outputs: Outputs = field(default_factory=Outputs)
    _timelines: dict[int, list[Timeline]] = field(default_factory=dict, repr=False, compare=False)

    def booking(self, outputs: Any = (), quantiles: Any = QUANTILES, times: Any = None) -> Plan:
        """The same plan, which computes outputs by name besides; see :func:`liqsim.sweep`."""
        clocks = [clock_of(venue, self.settings) for venue in self.venues.values()]
        found = read_outputs(outputs, quantiles, times, clocks, self.settings)
        found.check_venues(self.venues)
        return replace(self, outputs=found)

    @cached_property
    def cells(self) -> list[Cell]:
        """A cell for each model, venue and notional, the last running fastest."""
        every = itertools.product(self.models.values(), self.venues.values(), self.notionals.tolist())
        return [Cell(*cell, self.grid) for cell in every]

    @cached_property
    def passes(self) -> list[tuple[int, Timeline]]:
        """Runs of the kernel in order: which cell, and when it stops."""
        return [(k, timeline) for k, cell in enumerate(self.cells) for timeline in self.timelines(cell.venue)]

    def timelines(self, venue: Venue) -> list[Timeline]:
        """Timelines of a venue, one for each run of the kernel that its horizons ask for."""
        if id(venue) not in self._timelines:
            settings = self.settings
            clock, memory = clock_of(venue, settings), correlated_memory(settings.premium)
            made = build_timelines(settings.horizons, clock, settings.looks, memory=memory)
            self._timelines[id(venue)] = made
        return self._timelines[id(venue)]

    def make(self, cell: Cell, timeline: Timeline) -> Pass:
        """The numbers of one run of the kernel; raises where the venue does not allow the position."""
        return self.outputs.booking(cell_pass(cell, self.settings, timeline))

    def make_all(self) -> Iterator[Pass]:
        """All of :attr:`passes`, one after the other."""
        for k, timeline in self.passes:
            yield self.make(self.cells[k], timeline)

    @property
    def n_cells(self) -> int:
        """Cells of the result."""
        inner = len(self.grid.sides) * len(self.grid.leverage) * len(self.grid.stop)
        return len(self.cells) * len(self.settings.horizons) * inner

    @cached_property
    def tallies(self) -> list[int]:
        """Bytes of the tally of each pass; those of one model and notional stand for the others of their venue."""
        known: dict[int, int] = {}
        for k, timeline in self.passes:
            if id(timeline) not in known:
                known[id(timeline)] = tally_bytes(self.make(self.cells[k], timeline))
        return [known[id(timeline)] for _, timeline in self.passes]

    def check_memory(self, workers: int, *, kept: int | None = None) -> int:
        """Bytes that the run needs; see :func:`liqsim.engine.memory.needed_memory`.

        Raises
        ------
        ParameterError
            If there are not as many; the message holds both figures.
        """
        needed = needed_memory(self.tallies, self.n_cells, workers, kept=kept, n_added=self.outputs.n_values)
        check_memory(needed, self.n_cells)
        return needed

    def inputs(self) -> dict[str, Any]:
        """Arguments that change the numbers, as plain values."""
        found = run_inputs(self.models, self.venues, self.notionals, self.grid, self.settings)
        return found | {"axes": list(self.given)} | self.outputs.to_dict()

    def target(self, rel_error: Any, abs_error: Any, error_at: Any, are_counts: bool = True) -> Target | None:
        """Check an accuracy that is asked for; see :func:`liqsim.sweep` and :func:`liqsim.stopping.read_target`."""
        labels = {"model": list(self.models), "venue": list(self.venues), "notional": self.notionals.tolist()}
        labels |= {"horizon": horizon_labels(self.settings.horizons)}
        labels |= {name: np.asarray(values).tolist() for name, values in grid_axes(self.grid).items()}
        return read_target(rel_error, abs_error, error_at, "p_liquidation", list(ESTIMATES), labels, are_counts)

    def cell_results(self, group: Sequence[tuple[Pass, Sums | None, int]]) -> dict[str, np.ndarray]:
        """Estimates of one cell, and its outputs by name, from what each of its passes has booked over how many paths.

        See :func:`liqsim.cells.cell_estimates` and :func:`liqsim.outputs.output_estimates`.
        """
        horizons = self.settings.horizons
        return cell_estimates(group, self.grid, horizons) | output_estimates(self.outputs, group, self.grid, horizons)

    def estimates(self, found: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Estimates of all cells by name, of shape (model, venue, notional[, horizon], side, leverage, stop[, axis]).

        Parameters
        ----------
        found : sequence of mapping
            Estimates of each of :attr:`cells`, such as :meth:`cell_results`; empty where nothing has been run, which
            becomes not-a-number.
        """
        outer = (len(self.models), len(self.venues), len(self.notionals))
        shapes = {name: values.shape for cell in found for name, values in cell.items()}
        return {
            name: np.stack([cell.get(name, np.full(shape, np.nan)) for cell in found]).reshape(outer + shape)
            for name, shape in shapes.items()
        }

    def notes(self, more: str = "") -> str:
        """What a reader of the numbers must know: of the venues, and ``more``."""
        return "\n".join(filter(None, [notes_of(self.venues), more]))

    def dataset(
        self,
        estimates: Mapping[str, np.ndarray],
        group_paths: np.ndarray,
        attrs: Mapping[str, Any],
        note: str = "",
        estimator: str = "",
    ) -> xr.Dataset:
        """The result.

        Parameters
        ----------
        estimates : mapping
            As :meth:`estimates` returns them.
        group_paths : ndarray of int, shape (group,)
            Paths of every group.
        attrs : mapping
        note : str
            To be added to the notes.
        estimator : str
            What gives estimates and errors by groups of paths; empty where all paths are one.
        """
        n_outer = (len(self.venues), len(self.notionals))
        prices = [entry_prices(cell, self.settings) for cell in self.cells[: n_outer[0] * n_outer[1]]]
        axes = {
            "model": list(self.models),
            "venue": list(self.venues),
            "notional": self.notionals,
            "horizon": self.settings.horizons,
            **grid_axes(self.grid),
        }
        return sweep_dataset(
            estimates,
            {name: np.stack([p[name] for p in prices]).reshape(n_outer + prices[0][name].shape) for name in prices[0]},
            axes,
            set(self.given),
            currencies(self.venues),
            group_paths,
            {**attrs, "notes": self.notes(note)},
            estimator,
            self.outputs.axes,
        )


def plan_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments of :func:`liqsim.sweep` that say what is simulated, with the paths that an accuracy allows."""
    known = inspect.signature(plan_sweep).parameters
    found = {name: value for name, value in arguments.items() if name in known}
    targets = (arguments.get(name) for name in ("n_paths", "rel_error", "abs_error"))
    return found | {"n_paths": most_paths(*targets)}


def plan_sweep(
    model: Any,
    venue: Any,
    *,
    leverage: Any,
    stop: Any = float("inf"),
    side: Any = ("long", "short"),
    notional: Any = 10_000.0,
    price: Any = 60_000.0,
    horizon: Any = "30D",
    premium: Any = None,
    monitoring: Any = "continuous",
    gap_rule: Any = "liquidation",
    start: Any = None,
    top_up: Any = 0.0,
    n_paths: Any = 100_000,
    seed: Any = 0,
    threads: Any = None,
) -> Plan:
    """Check the arguments of :func:`liqsim.sweep`, whose defaults these are; nothing is simulated."""
    models, has_models = read_named("model", model, PriceModel, lambda m: m.name)
    venues, has_venues = read_venues("venue", venue)
    notionals = read_numbers("notional", notional, "(quote currency)", 1e-9, 1e15)
    grid = read_grid(leverage, stop, side)
    horizons, has_horizons = read_horizons(horizon)
    settings = read_settings(
        horizons, premium=premium, price=price, monitoring=monitoring, gap_rule=gap_rule, start=start, top_up=top_up,
        n_paths=n_paths, seed=seed, threads=threads,
    )  # fmt: skip
    has_axes = (has_models, has_venues, np.ndim(notional) > 0, has_horizons)
    given = tuple(name for name, many in zip(SWEEP_AXES, has_axes, strict=True) if many)
    return Plan(models, venues, notionals, grid, settings, given)
