"""What a sweep would do, before it does it: evaluator, instruction set, timeline, approximations, time and memory."""

from __future__ import annotations

import html
import inspect
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from liqsim._core import ISA_LEVELS, available_levels, level_states, selected_level
from liqsim.approximations import approximations
from liqsim.arguments import Settings
from liqsim.cells import Cell, entry_prices
from liqsim.engine.forecast import forecast
from liqsim.engine.memory import run_bytes
from liqsim.engine.plan import Pass
from liqsim.engine.run import pass_threads
from liqsim.engine.terms import CALL, CUT, CUT_TIERS, visits_per_year
from liqsim.results import dataset_bytes
from liqsim.sweep import Prepared, prepare, sweep
from liqsim.variables import ESTIMATES

__all__ = ["Explanation", "Run", "explain"]

SHARED, CARRIED = "shared records", "carried positions"

P = ParamSpec("P")
R = TypeVar("R")

_SHOWN = 8
_VECTORS = {"base": "128-bit vectors", "v3": "AVX2", "v4": "AVX-512"}


@dataclass(frozen=True)
class Run:
    """One run of the kernel over all paths.

    Parameters
    ----------
    model, venue : str
        Labels.
    notional : float
        Quote currency.
    horizons : tuple of float
        Days.
    evaluator : {"shared records", "carried positions"}
        How positions are followed. With shared records a path books each level that it crosses once for the whole
        grid. Positions that outlive the venue's first act are carried one by one from then on.
    why : str
        Why the faster evaluator does not serve; empty where it does.
    intervals : int
        Intervals of the timeline; between their ends and the jumps nothing is stepped.
    payments, settlements, looks, margin_tests, rechecks : int
        Instants at which funding or a charge is paid, at which accrued funding becomes cash, at which a venue that does
        not watch looks at the price, at which it tests margin, and at which it looks again as cash or rules have
        changed.
    halted : int
        Intervals in which trading halts.
    jumps, visits : float
        Expected jumps, and looks of the venue's own choosing, on a path.
    """

    model: str
    venue: str
    notional: float
    horizons: tuple[float, ...]
    evaluator: str
    why: str
    intervals: int
    payments: int
    settlements: int
    looks: int
    margin_tests: int
    rechecks: int
    halted: int
    jumps: float
    visits: float


@dataclass(frozen=True)
class Explanation:
    """What a call of :func:`liqsim.sweep` would do.

    Parameters
    ----------
    runs : tuple of Run
        Runs of the kernel, one for each model, venue, notional and timeline.
    controls : int
        Runs besides that count control variates.
    tilted : int or None
        Runs besides over paths of other laws; 0 where no level is rare enough for them, None without importance
        sampling.
    cells : int
        Cells of the result.
    n_paths, threads : int
        Paths of every run, and threads that it can use.
    target : str
        Accuracy at which the runs end before ``n_paths``; empty where none was asked for.
    instruction_set, why_instruction_set : str
        Level of the kernel, and why not a faster one; empty where it is the fastest.
    approximations : tuple of str
        What is not exact in these runs, with the venues that it is about where not all are.
    batches : int
        Batches of paths, about; between two of them progress is reported and an interrupt is honoured.
    seconds, seconds_sd : float
        Expected time of the simulation with all of ``n_paths``, from a short run of the kernel, and its standard
        deviation.
    timing : str
        How it was found.
    memory_bytes, result_bytes : int
        What the run needs at most, and what the dataset takes of it.
    """

    runs: tuple[Run, ...]
    controls: int
    tilted: int | None
    cells: int
    n_paths: int
    target: str
    threads: int
    instruction_set: str
    why_instruction_set: str
    approximations: tuple[str, ...]
    batches: int
    seconds: float
    seconds_sd: float
    timing: str
    memory_bytes: int
    result_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return asdict(self)

    def _lines(self) -> list[tuple[str, list[str]]]:
        level = f"{self.instruction_set} ({_VECTORS[self.instruction_set]})"
        if self.why_instruction_set:
            level += f"; {self.why_instruction_set}"
        evaluators: dict[str, list[str]] = {}
        timelines: dict[str, list[str]] = {}
        for run in self.runs:
            evaluators.setdefault(f"{run.evaluator}{f': {run.why}' if run.why else ''}", []).append(run.venue)
            timelines.setdefault(_timeline(run), []).append(f"{run.model} on {run.venue}")
        most = "at most " if self.target else ""
        runs = [
            f"{len(self.runs):,} of {most}{self.n_paths:,} paths for {self.cells:,} cells, on "
            f"{_plural(self.threads, 'thread')}"
        ]
        if self.controls:
            runs.append(f"{self.controls:,} more that count control variates")
        if self.tilted:
            runs.append(f"{self.tilted:,} more over paths of other laws, weighted")
        elif self.tilted == 0:
            runs.append("none over paths of other laws: no level is rare enough for importance sampling")
        if self.target:
            runs.append(f"until {self.target}")
        return [
            ("runs", runs),
            ("evaluator", _grouped(evaluators, len({run.venue for run in self.runs}))),
            ("instruction set", [level]),
            ("timeline", _grouped(timelines, len({(run.model, run.venue) for run in self.runs}))),
            ("approximations", list(self.approximations)),
            ("batches", [f"about {self.batches:,}"]),
            ("time", [f"{most}{_seconds(self.seconds)} ± {_seconds(self.seconds_sd)} ({self.timing})"]),
            ("memory", [f"{_bytes(self.memory_bytes)}, the result {_bytes(self.result_bytes)} of it"]),
        ]

    def __repr__(self) -> str:
        text = ["<liqsim.Explanation>"]
        for name, lines in self._lines():
            for k, line in enumerate(lines):
                text.append(f"  {name if k == 0 else '':16}{line}")
        return "\n".join(text)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left;vertical-align:top">{html.escape(name)}</th><td style="text-align:left">'
            f"{'<br>'.join(map(html.escape, lines))}</td></tr>"
            for name, lines in self._lines()
        )
        return f"<table>{rows}</table>"


def _arguments_of(function: Callable[P, Any]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function of any arguments the signature of ``function``, for readers, editors and type checkers."""

    def decorate(target: Callable[..., R]) -> Callable[P, R]:
        signature = inspect.signature(function).replace(return_annotation=target.__annotations__["return"])
        target.__signature__ = signature  # type: ignore[attr-defined]
        return target

    return decorate


@_arguments_of(sweep)
def explain(*args: Any, **kwargs: Any) -> Explanation:
    """Say what a sweep would do, without doing it.

    Parameters
    ----------
    model, venue, leverage, stop, side, notional, price, horizon, premium, monitoring, gap_rule, start, top_up
        As in :func:`sweep`.
    n_paths, rel_error, abs_error, error_at, groups, control, importance, outputs, quantiles, times, seed, threads, \
    progress
        As in :func:`sweep`; no bar is shown. With an accuracy to reach, all paths allowed are counted.

    Returns
    -------
    Explanation
        Frozen: runs of the kernel with their evaluator and timeline, instruction set, approximations, batches, expected
        time with its uncertainty, memory. It prints as a table.

    Raises
    ------
    ParameterError, MarginRuleError, VenueDataError
        As :func:`sweep` would.

    Notes
    -----
    The time comes from running the kernel itself for some 0.1 s, on the threads that the run would use; up to twelve
    runs are timed, the rest taken to be like them. Memory is counted from the shapes of the sums. Neither counts the
    interpreter and its libraries.

    Examples
    --------
    >>> import liqsim as lq
    >>> plan = lq.explain(lq.GBM(sigma=0.6), "hyperliquid-btc", leverage=[5, 20], n_paths=10_000_000)
    >>> plan.runs[0].evaluator, plan.runs[0].why
    ('carried positions', 'the venue cuts a position in rounds')
    """
    bound = inspect.signature(sweep).bind(*args, **kwargs)
    bound.apply_defaults()
    level = selected_level()
    ready = prepare(**{name: value for name, value in bound.arguments.items() if name != "progress"})
    plan, grid = ready.plan, ready.plan.grid
    settings, cells = plan.settings, plan.cells
    n_outer = len(plan.venues) * len(plan.notionals)
    for cell in cells[:n_outer]:
        entry_prices(cell, settings)
    model_names = {id(model): name for name, model in plan.models.items()}
    venue_names = {id(venue): name for name, venue in plan.venues.items()}
    flat = [(cell, task) for cell, group in zip(cells, ready.passes, strict=True) for task in group]
    counting = [task for control in ready.controls for task in control.passes]
    tilted = [task for groups in ready.draws for laws in groups for task in laws[1:]]
    tasks = [task for _, task in flat] + counting + tilted
    expected = forecast(tasks, settings.n_paths, settings.threads)
    n_groups = ready.n_groups or 1
    result = dataset_bytes(plan.n_cells, n_outer * len(grid.sides) * grid.leverage.size, _added(ready))
    how = f"from {expected.calibration_seconds:.2f} s of the kernel"
    if expected.measured < expected.passes:
        how += f" on {expected.measured} of {expected.passes:,} runs"
    if expected.is_extrapolated:
        how += ", from the first intervals only"
    return Explanation(
        runs=tuple(_run(cell, task, settings, model_names, venue_names) for cell, task in flat),
        controls=len(counting),
        tilted=len(tilted) if ready.draws else None,
        cells=plan.n_cells,
        n_paths=settings.n_paths,
        target=_target(ready),
        threads=pass_threads(settings.threads, settings.n_paths),
        instruction_set=level,
        why_instruction_set=_why_level(level),
        approximations=tuple(approximations(flat, settings, venue_names)),
        batches=expected.batches,
        seconds=expected.seconds,
        seconds_sd=expected.seconds_sd,
        timing=how,
        memory_bytes=run_bytes(tasks, settings.n_paths, settings.threads, n_groups) + 3 * result,
        result_bytes=result,
    )


def _target(ready: Prepared) -> str:
    """The accuracy that was asked for, in words."""
    if ready.target is None:
        return ""
    words = [f"the standard error of {name} is at most {x:g} of it" for name, x in ready.target.relative.items()]
    words += [f"the standard error of {name} is at most {x:g}" for name, x in ready.target.absolute.items()]
    return " and ".join(words)


def _added(ready: Prepared) -> int:
    """Values of each cell that a result holds besides: of groups and of outputs by name, with their errors."""
    return ready.plan.outputs.n_values + (ready.n_groups or 0) * (len(ESTIMATES) if ready.shows_groups else 0)


def _why_level(level: str) -> str:
    """Why a run does not use the fastest level there is."""
    states = level_states()
    better = ISA_LEVELS[ISA_LEVELS.index(level) + 1 :]
    reasons = [f"{name} is {states[name]}" for name in better if name not in available_levels()]
    faster = [name for name in better if name in available_levels()]
    if faster:
        reasons.insert(0, f"LIQSIM_ISA={os.environ['LIQSIM_ISA']} asks for it, though {faster[-1]} is available")
    return "; ".join(reasons)


def why_carried(task: Pass) -> str:
    """Why positions have to be carried one by one; empty where they share records."""
    rule = task.rules["procedure"]
    if not task.carries:
        return ""
    reasons = []
    if rule["kind"] == CUT:
        reasons.append("the venue cuts a position in rounds")
    if rule["kind"] == CUT_TIERS:
        reasons.append("the venue cuts a position to the cap of a lower tier before it takes it over")
    if rule["kind"] == CALL:
        reasons.append("the venue calls for margin, and what is called lives on until the deadline")
    if rule["fee"] > 0:
        reasons.append("the venue's fee takes no more than what is left of the margin")
    if math.isfinite(rule["fund"]):
        reasons.append("the fund behind a position may run out")
    return "; ".join(reasons)


def _run(cell: Cell, task: Pass, settings: Settings, model_names: dict[int, str], venue_names: dict[int, str]) -> Run:
    arrays, law = task.arrays, task.law
    years = float(arrays["instant"][-1])
    events = 0.0 if math.isinf(law["mean_gap"]) else years / law["mean_gap"]
    charges = (arrays["charge_long"][1:] != 0) | (arrays["charge_short"][1:] != 0)
    return Run(
        model=model_names[id(cell.model)],
        venue=venue_names[id(cell.venue)],
        notional=cell.notional,
        horizons=tuple(settings.horizons[k] / 86_400e9 for k in task.horizons),
        evaluator=CARRIED if task.carries else SHARED,
        why=why_carried(task),
        intervals=len(arrays["pays"]),
        payments=int(np.sum((arrays["pays"] > 0) | charges)),
        settlements=int(arrays["settles"].sum()),
        looks=int(arrays["checks"].sum()),
        margin_tests=int(np.sum(arrays["calls"] & 1)),
        rechecks=int(np.sum(arrays["retests"] & arrays["watches"])),
        halted=int(np.sum(~arrays["watches"].astype(bool))) if settings.looks is None else 0,
        jumps=events * (1.0 - law["visit_share"]),
        visits=years * visits_per_year(cell.venue),
    )


def _timeline(run: Run) -> str:
    """A run's timeline in words."""
    horizons = ", ".join(f"{days:g}" for days in run.horizons)
    parts = [f"{_plural(run.intervals, 'interval')} to {horizons} days"]
    for count, what in (
        (run.payments, "payment"),
        (run.settlements, "settlement"),
        (run.looks, "look"),
        (run.margin_tests, "margin test"),
    ):
        if count:
            parts.append(_plural(count, what))
    if run.halted:
        parts.append(f"{run.halted:,} halted")
    for expected, what in ((run.jumps, "jumps"), (run.visits, "looks at the venue's discretion")):
        if expected:
            parts.append(f"{expected:.3g} {what} a path")
    return "; ".join(parts)


def _grouped(texts: dict[str, list[str]], n_labels: int) -> list[str]:
    """Lines, each with the labels that it is about unless there is only one label."""
    lines = []
    for text, labels in list(texts.items())[:_SHOWN]:
        names = list(dict.fromkeys(labels))
        about = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        lines.append(text if n_labels == 1 else f"{about}: {text}")
    if len(texts) > _SHOWN:
        lines.append(f"and {len(texts) - _SHOWN:,} more, see .runs")
    return lines


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _seconds(seconds: float) -> str:
    """A time with two digits and a unit that suits it."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min")):
        if seconds < limit:
            return f"{float(f'{seconds * factor:.2g}'):g} {unit}"
    return f"{seconds / 3600:,.1f} h"


def _bytes(count: int) -> str:
    for limit, unit in ((2**20, "kB"), (2**30, "MB")):
        if count < limit:
            return f"{count / limit * 1024:.3g} {unit}"
    return f"{count / 2**30:.3g} GB"
