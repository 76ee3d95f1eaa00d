"""What a sweep computes where it is asked for by name: from the sums it books anyway, or from tallies of their own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liqsim.arguments import Settings, read_numbers
from liqsim.durations import listed, parse_days
from liqsim.engine.binned import (
    booked_bytes,
    booking_passages,
    booking_pnl,
    booking_shortfall,
    passage_counts,
    pnl_bins,
    pnl_edges,
    shortfall_bins,
    shortfall_edges,
)
from liqsim.engine.plan import SIDES, Grid, Pass
from liqsim.engine.tally import OUTCOMES, CellSums, Moments, Sums, cell_sums
from liqsim.engine.timeline import Clock, common_instants, to_nanoseconds
from liqsim.errors import ParameterError
from liqsim.estimates import no_longer
from liqsim.histograms import Histogram
from liqsim.stats import proportion_se
from liqsim.variables import OUTPUTS, se_name
from liqsim.venues import Venue

__all__ = ["QUANTILES", "Outputs", "output_estimates", "read_outputs"]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_DAYS_PER_YEAR = 365.0
_MOST_TIMES = 120  # unless they are named
_MOST_BYTES = 4 * 10**9
_WITH_TIMES = ("p_liquidation_by", "p_stop_by", "time_to_liquidation")
_WITH_PNL = ("pnl_quantile", "value_at_risk", "expected_shortfall", "p_pnl_below")
_WITH_SHORTFALL = ("p_shortfall_above", "shortfall_beyond", "shortfall_quantile")


@dataclass(frozen=True)
class Outputs:
    """What was asked for.

    Parameters
    ----------
    names : tuple of str
    quantiles : ndarray
        Probabilities.
    times : ndarray of int64
        Nanoseconds, rising, the longest horizon the last; empty where nothing that was asked for is over time.
    longest : int
        Position of the longest horizon in the user's list.
    """

    names: tuple[str, ...] = ()
    quantiles: np.ndarray = field(default_factory=lambda: np.empty(0))
    times: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    longest: int = 0

    def has(self, *names: str) -> bool:
        """Whether any of these was asked for."""
        return any(name in self.names for name in names)

    def on(self, axis: str | None) -> list[str]:
        """Names of those that have a dimension of their own, or none."""
        return [name for name in self.names if OUTPUTS[name].axis == axis]

    @property
    def axes(self) -> dict[str, Any]:
        """Coordinates of the dimensions that are not those of a cell."""
        every = {
            "given": list(OUTCOMES),
            "time": self.times.astype("timedelta64[ns]"),
            "quantile": self.quantiles,
            "pnl_level": pnl_edges()[1:-1],
            "shortfall_level": shortfall_edges()[:-1],
        }
        return {axis: values for axis, values in every.items() if self.on(axis)}

    @property
    def n_values(self) -> int:
        """Values that a result holds of each cell besides, errors included."""
        over_axes = sum(2 * len(values) * len(self.on(axis)) for axis, values in self.axes.items())
        return 2 * len(self.on(None)) + over_axes + (len(OUTCOMES) if self.on("given") else 0)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for provenance; empty where nothing was asked for."""
        out: dict[str, Any] = {"outputs": list(self.names)} if self.names else {}
        if self.on("quantile"):
            out["quantiles"] = self.quantiles.tolist()
        if self.has(*_WITH_TIMES):
            out["times_ns"] = self.times.tolist()
        return out

    def booking(self, task: Pass) -> Pass:
        """The same pass, with what is needed booked besides."""
        if self.has(*_WITH_TIMES) and self.longest in task.horizons:
            task = booking_passages(task, self.times)
        if self.has(*_WITH_PNL):
            task = booking_pnl(task)
        return booking_shortfall(task) if self.has(*_WITH_SHORTFALL) else task

    def check_venues(self, venues: Mapping[str, Venue]) -> None:
        """Refuse distributions of the P&L where it depends on the leverage: a path books one for all."""
        coin = [label for label, venue in venues.items() if venue.collateral_haircut is not None]
        asked = [name for name in self.names if name in _WITH_PNL]
        if coin and asked:
            raise ParameterError(
                f"outputs={asked} of {coin[0]}, whose margin is posted in coin, would need a distribution for each "
                "leverage, which is not booked; leave them out, or give a venue without collateral_haircut"
            )

    def check_memory(self, passes: Sequence[Sequence[Pass]], n_groups: int, threads: int) -> None:
        """Refuse tallies that are too large: two integers for each sum of a group, and what threads book in."""
        if not self.has(*_WITH_TIMES, *_WITH_PNL, *_WITH_SHORTFALL):
            return
        sizes = [booked_bytes(task) for group in passes for task in group]
        needed = 2 * n_groups * sum(sizes) + 3 * threads * max(sizes)
        if needed > _MOST_BYTES:
            raise ParameterError(
                f"outputs={list(self.names)} would book {needed / 1e9:.3g} GB, above the {_MOST_BYTES / 1e9:g} GB that "
                "are allowed; ask for fewer leverages, stops, horizons or times, without groups, or in several runs"
            )


def read_outputs(outputs: Any, quantiles: Any, times: Any, clocks: Sequence[Clock], settings: Settings) -> Outputs:
    """Check what was asked for."""
    names = [outputs] if isinstance(outputs, str) else outputs
    if not isinstance(names, (list, tuple)):
        raise ParameterError(f"outputs={outputs!r} is not a list; give some of {', '.join(OUTPUTS)}")
    for name in names:
        if name not in OUTPUTS:
            near = difflib.get_close_matches(str(name), OUTPUTS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"outputs: {name!r} is unknown; {hint}known: {', '.join(OUTPUTS)}")
    p = read_numbers("quantiles", quantiles, "(probability)", 0.0, 1.0, high_open=True)
    with_quantiles = [name for name, output in OUTPUTS.items() if output.axis == "quantile"]
    if not set(names) & set(with_quantiles) and not np.array_equal(p, QUANTILES):
        raise ParameterError(
            f"quantiles={quantiles!r} needs an output that has quantiles; give some of {', '.join(with_quantiles)}"
        )
    longest = int(np.argmax(settings.horizons))
    at = np.empty(0, dtype=np.int64)
    if set(names) & set(_WITH_TIMES):
        at = _times(times, common_instants(clocks, settings.looks, settings.horizons[longest]))
    elif times is not None:
        raise ParameterError(f"times={times!r} needs an output over time; give some of {', '.join(_WITH_TIMES)}")
    return Outputs(tuple(dict.fromkeys(names)), p, at, longest)


def _times(times: Any, instants: np.ndarray) -> np.ndarray:
    """The time axis, ns: some of ``instants``, the last of them included."""
    if times is None:
        step = -(-len(instants) // _MOST_TIMES)
        return instants[::-1][::step][::-1]
    items, _ = listed(times)
    found = np.array([to_nanoseconds(parse_days(item, "times")) for item in items], dtype=np.int64)
    for item, ns in zip(items, found, strict=True):
        if ns not in instants:
            k = int(np.searchsorted(instants, ns))
            near = ", ".join(f"{x / to_nanoseconds(1.0):.12g}D" for x in instants[max(k - 1, 0) : k + 1])
            raise ParameterError(
                f"times={item!r} is not an instant at which the run stops (a funding stamp, a look, the horizon), so "
                f"that the number would not be exact; the nearest are {near}"
            )
    return np.union1d(found, instants[-1:])


def output_estimates(
    outputs: Outputs, group: Iterable[tuple[Pass, Sums | None, int]], grid: Grid, horizons: Sequence[int]
) -> dict[str, np.ndarray]:
    """What was asked for, of one cell.

    Parameters
    ----------
    outputs : Outputs
    group : iterable of (Pass, Sums or None, int)
        The passes of the cell, what each has booked and over how many paths; None where nothing has been run.
    grid : Grid
    horizons : sequence of int
        Nanoseconds.

    Returns
    -------
    dict of str to ndarray, shape ([horizon,] side, leverage, stop[, axis])
        Estimates and standard errors, in the user's order; not-a-number where nothing has been run.
    """
    sides = [SIDES.index(name) for name in grid.sides]

    def ordered(values: np.ndarray) -> np.ndarray:
        return values[:, sides][:, :, grid.rows][:, :, :, grid.columns]

    out: dict[str, np.ndarray] = {}
    for task, sums, n_paths in group:
        if sums is None:
            continue
        for name, values in _of_pass(outputs, task, sums, n_paths).items():
            inner = ordered(values)
            whole = out.setdefault(name, np.full((len(horizons), *inner.shape[1:]), np.nan))
            whole[list(task.horizons)] = inner
        if outputs.has(*_WITH_TIMES) and outputs.longest in task.horizons:
            found = _over_time(outputs, sums, n_paths)
            out |= {name: ordered(values[np.newaxis])[0] for name, values in found.items()}
    return out | {name: no_longer(out[name], horizons) for name in out.keys() & {"exit_time_given"}}


def _of_pass(outputs: Outputs, task: Pass, sums: Sums, n_paths: int) -> dict[str, np.ndarray]:
    """Arrays of shape (horizon, side, row, column[, axis])."""
    out: dict[str, np.ndarray] = {}
    cells = cell_sums(task, sums) if outputs.on("given") or outputs.on(None) else None
    if cells is not None:
        for name, count in (("p_shortfall", cells.short), ("p_ruin", cells.ruined)):
            if name in outputs.names:
                out[name] = count / n_paths
                out[se_name(name)] = proportion_se(out[name], n_paths)
    if cells is not None and outputs.on("given"):
        out["paths_given"] = np.stack([cells.by_outcome[outcome].count for outcome in OUTCOMES], axis=-1)
        for name in outputs.on("given"):
            out[name], out[se_name(name)] = _given(cells, name.removesuffix("_given"))
    if outputs.has(*_WITH_PNL):
        out |= _of_pnl(outputs, Histogram(*pnl_bins(sums), pnl_edges()), n_paths)
    if outputs.has(*_WITH_SHORTFALL):
        out |= _of_shortfall(outputs, Histogram(*shortfall_bins(sums), shortfall_edges()), n_paths)
    return out


def _of_pnl(outputs: Outputs, histogram: Histogram, n_paths: int) -> dict[str, np.ndarray]:
    """Arrays of shape (horizon, side, row, column, axis)."""
    out: dict[str, np.ndarray] = {}
    if outputs.has("pnl_quantile", "value_at_risk"):
        at, errors = _quantiles(outputs, histogram)
        for name, sign in (("pnl_quantile", 1.0), ("value_at_risk", -1.0)):
            if outputs.has(name):
                out[name], out[se_name(name)] = sign * at, errors
    if outputs.has("expected_shortfall"):
        worst = [histogram.lower_mean(p) for p in outputs.quantiles]
        out["expected_shortfall"] = -np.stack([mean for mean, _ in worst], axis=-1)
        out["expected_shortfall_se"] = np.stack([error for _, error in worst], axis=-1)
    if outputs.has("p_pnl_below"):
        out["p_pnl_below"] = np.cumsum(histogram.count, axis=-1)[..., :-1] / n_paths
        out["p_pnl_below_se"] = proportion_se(out["p_pnl_below"], n_paths)
    return out


def _of_shortfall(outputs: Outputs, histogram: Histogram, n_paths: int) -> dict[str, np.ndarray]:
    """Arrays of shape (horizon, side, row, column, axis)."""
    out: dict[str, np.ndarray] = {}
    if outputs.has("p_shortfall_above"):
        out["p_shortfall_above"] = np.cumsum(histogram.count[..., ::-1], axis=-1)[..., ::-1] / n_paths
        out["p_shortfall_above_se"] = proportion_se(out["p_shortfall_above"], n_paths)
    if outputs.has("shortfall_beyond"):
        moments = Moments(*histogram.upper_excess())
        out["shortfall_beyond"] = moments.mean(n_paths)
        out["shortfall_beyond_se"] = moments.standard_error(n_paths)
    if outputs.has("shortfall_quantile"):
        out["shortfall_quantile"], out["shortfall_quantile_se"] = _quantiles(outputs, histogram)
    return out


def _over_time(outputs: Outputs, sums: Sums, n_paths: int) -> dict[str, np.ndarray]:
    """Arrays of shape (side, row, column, axis)."""
    liquidated, stopped = passage_counts(sums)
    out: dict[str, np.ndarray] = {}
    for name, count in (("p_liquidation_by", liquidated), ("p_stop_by", stopped)):
        if outputs.has(name):
            out[name] = count / n_paths
            out[se_name(name)] = proportion_se(out[name], n_paths)
    if outputs.has("time_to_liquidation"):
        edges = np.concatenate([[0.0], outputs.times / to_nanoseconds(1.0)])
        count = np.diff(liquidated, axis=-1, prepend=0.0)
        middle, spread = 0.5 * (edges[:-1] + edges[1:]), np.diff(edges) / np.sqrt(12.0)
        middle, spread, count = np.broadcast_arrays(middle, spread, count)
        histogram = Histogram(count, middle, spread, edges)
        out["time_to_liquidation"], out["time_to_liquidation_se"] = _quantiles(outputs, histogram)
    return out


def _quantiles(outputs: Outputs, histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    every = outputs.quantiles
    return (
        np.stack([histogram.quantile(p) for p in every], axis=-1),
        np.stack([histogram.quantile_se(p) for p in every], axis=-1),
    )


def _given(cells: CellSums, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean of one quantity over the paths of each outcome, and its standard error.

    Given their number, these paths are independent draws of the conditional law: the mean is that of a plain sample.
    """
    means, errors = [], []
    for outcome in OUTCOMES:
        of = cells.by_outcome[outcome]
        moments: Moments = of.time.times(_DAYS_PER_YEAR) if name == "exit_time" else getattr(of, name)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = moments.total / of.count  # 0/0 where no path ended so
            variance = np.maximum(moments.squares / of.count - mean**2, 0.0)
            error = np.where(of.count > 1, np.sqrt(variance / (of.count - 1.0)), np.inf)
        means.append(mean)
        errors.append(np.where(of.count > 0, error, np.nan))
    return np.stack(means, axis=-1), np.stack(errors, axis=-1)
