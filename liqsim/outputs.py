"""What a sweep computes where it is asked for by name: from the sums it books anyway, or from tallies of their own."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim.engine.plan import SIDES, Grid, Pass
from liqsim.engine.tally import OUTCOMES, CellSums, Moments, Sums, cell_sums
from liqsim.errors import ParameterError
from liqsim.results import OUTPUTS, se_name
from liqsim.stats import proportion_se

__all__ = ["Outputs", "output_estimates", "read_outputs"]

_DAYS_PER_YEAR = 365.0


@dataclass(frozen=True)
class Outputs:
    """What was asked for.

    Parameters
    ----------
    names : tuple of str
    """

    names: tuple[str, ...] = ()

    def on(self, axis: str | None) -> list[str]:
        """Names of those that have a dimension of their own, or none."""
        return [name for name in self.names if OUTPUTS[name].axis == axis]

    @property
    def axes(self) -> dict[str, Any]:
        """Coordinates of the dimensions that are not those of a cell."""
        return {"given": list(OUTCOMES)} if self.on("given") else {}

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for provenance; empty where nothing was asked for."""
        return {"outputs": list(self.names)} if self.names else {}


def read_outputs(outputs: Any) -> Outputs:
    """Check what was asked for."""
    names = [outputs] if isinstance(outputs, str) else outputs
    if not isinstance(names, (list, tuple)):
        raise ParameterError(f"outputs={outputs!r} is not a list; give some of {', '.join(OUTPUTS)}")
    for name in names:
        if name not in OUTPUTS:
            near = difflib.get_close_matches(str(name), OUTPUTS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"outputs: {name!r} is unknown; {hint}known: {', '.join(OUTPUTS)}")
    return Outputs(tuple(dict.fromkeys(names)))


def output_estimates(
    outputs: Outputs, group: Sequence[tuple[Pass, Sums]], grid: Grid, n_paths: int
) -> dict[str, np.ndarray]:
    """What was asked for, of one cell.

    Parameters
    ----------
    outputs : Outputs
    group : sequence of (Pass, Sums)
        The passes of the cell and what each has booked.
    grid : Grid
    n_paths : int

    Returns
    -------
    dict of str to ndarray, shape ([horizon,] side, leverage, stop[, axis])
        Estimates and standard errors, in the user's order.
    """
    n_horizons = sum(len(task.horizons) for task, _ in group)
    sides = [SIDES.index(name) for name in grid.sides]
    out: dict[str, np.ndarray] = {}
    for task, sums in group:
        for name, values in _of_pass(outputs, task, sums, n_paths).items():
            inner = values[:, sides][:, :, grid.rows][:, :, :, grid.columns]
            whole = out.setdefault(name, np.empty((n_horizons, *inner.shape[1:])))
            whole[list(task.horizons)] = inner
    return out


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
    return out


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
