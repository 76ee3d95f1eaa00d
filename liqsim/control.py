"""Control variates: on the same paths, first passages of fixed levels, whose law closed forms know.

What makes a liquidation hard to compute, funding that moves its level, a stop beside it, a procedure, hardly changes
who is liquidated: most paths reach the price at which the position would be liquidated without all that, or do not.
How many should reach it is known exactly, so that an estimate can be corrected for how many did. A second pass over the
same random numbers counts them for all levels at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liqsim.analytic import first_passage
from liqsim.arguments import Settings
from liqsim.engine.plan import Grid, Pass, watching_pass
from liqsim.engine.tally import Sums
from liqsim.errors import ParameterError
from liqsim.estimates import passage_estimates
from liqsim.fixed_levels import fixed_levels
from liqsim.models import PriceModel
from liqsim.stats import jackknife_se, left_out
from liqsim.variables import group_name, se_name
from liqsim.venues import Venue

__all__ = ["CONTROL_GROUPS", "Control", "make_control", "regressed"]

CONTROL_GROUPS = 64
"""Groups of paths, unless asked for otherwise."""

_FOLDS = 8
_LEAST_HITS = 50  # expected on either side: below, a level says too little of the estimate
_SMALLEST_DIRECTION = 1e-3  # of the controls' correlations: what is nearly the same is one control
_DOUBT = 2.0  # paths that may disagree with their control though none has been seen to


@dataclass(frozen=True)
class Control:
    """First passages that belong to one cell, and their law.

    Parameters
    ----------
    passes : list of Pass
        That count the first passages of ``levels``, one for each of the cell's passes; none without levels.
    levels : ndarray, shape (level,)
        Price ratios.
    p_hit, alive_time : ndarray, shape (horizon, level)
        Exact probability, and expected time until then in days.
    columns : ndarray of int, shape (side, leverage, stop, 3)
        Levels that tell of each cell: liquidation without and with the funding that is expected, stop; -1 for none.
    """

    passes: list[Pass]
    levels: np.ndarray
    p_hit: np.ndarray
    alive_time: np.ndarray
    columns: np.ndarray

    def counts(self, sums: Sequence[Sums], n_paths: int) -> dict[str, np.ndarray]:
        """Share of paths that reached each level, and their mean time until then, each of shape (horizon, level)."""
        out = {name: np.empty(self.p_hit.shape) for name in ("p_hit", "alive_time")}
        for task, total in zip(self.passes, sums, strict=True):
            found = passage_estimates(task, total, self.levels, n_paths)
            for name, x in out.items():
                x[list(task.horizons)] = found[name]
        return out

    def adjust(
        self,
        parts: Mapping[str, np.ndarray],
        counts: Sequence[Mapping[str, np.ndarray]],
        group_paths: np.ndarray,
        longest: float,
    ) -> dict[str, np.ndarray]:
        """Estimates corrected by the controls.

        Parameters
        ----------
        parts : mapping of str to ndarray
            Estimates of every group, of shape (horizon, side, leverage, stop, group).
        counts : sequence of mapping
            What :meth:`counts` says of every group.
        group_paths : ndarray of int, shape (group,)
        longest : float
            Longest horizon, days: what a path in doubt can add to a time.

        Returns
        -------
        dict of str to ndarray
            Estimates, standard errors, and estimates of every group.

        Notes
        -----
        The spread over groups gives the error; to that of probabilities and times that of two paths in doubt is added,
        since controls that have agreed with every path so far may still differ.
        """
        n_paths = int(group_paths.sum())
        adjusted = regressed(np.stack(list(parts.values())), self._centred(counts, n_paths))
        whole = adjusted @ (group_paths / n_paths)
        errors = jackknife_se(np.moveaxis(left_out(whole, adjusted, group_paths), -1, 0))
        out: dict[str, np.ndarray] = {}
        for i, name in enumerate(parts):
            doubt = {"exit_time": longest}.get(name, 1.0 if name.startswith("p_") else 0.0) * _DOUBT / n_paths
            out |= {name: whole[i], se_name(name): np.hypot(errors[i], doubt), group_name(name): adjusted[i]}
        for suffix in ("", group_name("")):  # as without controls, so that the floats add up too
            out[f"p_survival{suffix}"] = 1.0 - (out[f"p_liquidation{suffix}"] + out[f"p_stop{suffix}"])
        return out

    def _centred(self, counts: Sequence[Mapping[str, np.ndarray]], n_paths: int) -> np.ndarray:
        """Controls of every cell less their expectations, of shape (horizon, side, leverage, stop, control, group)."""
        seen = np.minimum(self.p_hit, 1.0 - self.p_hit) * n_paths >= _LEAST_HITS
        hits = np.stack([(c["p_hit"] - self.p_hit) * seen for c in counts], axis=-1)
        times = np.stack([(c["alive_time"] - self.alive_time) * seen for c in counts], axis=-1)
        nothing = np.zeros((len(hits), 1, len(counts)))
        hits, times = (np.concatenate([x, nothing], axis=1) for x in (hits, times))  # column -1
        distance = np.append(np.abs(np.log(self.levels)), np.inf)
        nearest = np.take_along_axis(self.columns, np.argmin(distance[self.columns], axis=-1)[..., np.newaxis], axis=-1)
        return np.concatenate([hits[:, self.columns], times[:, nearest]], axis=-2)


def regressed(y: np.ndarray, centred: np.ndarray) -> np.ndarray:
    """Estimates of groups of paths, corrected by controls.

    Parameters
    ----------
    y : ndarray, shape (variable, ..., group)
    centred : ndarray, shape (..., control, group)
        Controls less their expectations.

    Returns
    -------
    ndarray, shape (variable, ..., group)

    Notes
    -----
    Of the groups in a fold, ``y - b c`` with the regression coefficients ``b`` of all groups outside it, so that ``b``
    and ``c`` are independent and the estimate has no bias, whatever the fit [1]_.

    References
    ----------
    .. [1] A. N. Avramidis, J. R. Wilson (1993), A splitting scheme for control variates, Operations Research
       Letters 14.
    """
    fold = np.arange(y.shape[-1]) % _FOLDS
    out = y.copy()
    for k in range(_FOLDS):
        slope = _slopes(centred[..., fold != k], y[..., fold != k])
        out[..., fold == k] -= np.einsum("...cv,...cg->v...g", slope, centred[..., fold == k])
    return out


def _slopes(c: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Regression coefficients of each variable on the controls, of shape (..., control, variable)."""
    c = c - c.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.mean(c * c, axis=-1))
    safe = np.where(scale > 0.0, scale, 1.0)
    c = c / safe[..., np.newaxis]
    y = y - y.mean(axis=-1, keepdims=True)
    inverse = np.linalg.pinv(np.einsum("...cg,...dg->...cd", c, c), rcond=_SMALLEST_DIRECTION, hermitian=True)
    return np.einsum("...cd,...dg,v...g->...cv", inverse, c, y, optimize=True) / safe[..., np.newaxis]


def make_control(
    model: PriceModel,
    venue: Venue,
    notional: float,
    grid: Grid,
    settings: Settings,
    passes: Sequence[Pass],
    window: str | None,
) -> Control:
    """Choose the levels that belong to a cell, and compute their law.

    Parameters
    ----------
    model, venue, notional, grid, settings
        The cell.
    passes : sequence of Pass
        Its passes.
    window : str, optional
        Margin window at entry.

    Raises
    ------
    ParameterError
        If the law of the first passages is not known.
    """
    found = fixed_levels(venue, notional, grid, settings, passes, window)
    levels, columns = np.unique(found, return_inverse=True)
    columns = np.where(np.isnan(found), -1, columns.reshape(found.shape))
    levels = levels[np.isfinite(levels)]
    columns[..., 1] = np.where(columns[..., 1] == columns[..., 0], -1, columns[..., 1])
    p_hit, alive_time = np.empty((2, len(settings.horizons), len(levels)))
    for i, horizon in enumerate(settings.horizons):
        try:
            law = first_passage(model, levels, np.timedelta64(horizon, "ns"))
        except ParameterError as error:
            raise ParameterError(f"control=True does not apply: {error}") from None
        p_hit[i], alive_time[i] = law.p_hit, law.alive_time
    counting = [watching_pass(task, model, levels) for task in passes] if len(levels) else []
    return Control(counting, levels, p_hit, alive_time, columns)
