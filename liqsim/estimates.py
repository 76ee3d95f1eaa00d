"""From sums over paths to estimates and standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.tally import CellSums, Moments, Sums, cell_sums
from liqsim.stats import proportion_se
from liqsim.variables import TOTAL_WEIGHT, effective_name, se_name

__all__ = ["by_group", "no_longer", "passage_estimates", "sweep_estimates"]

_DAYS_PER_YEAR = 365.0
_NANOSECONDS_PER_DAY = 86_400_000_000_000


def sweep_estimates(task: Pass, sums: CellSums, n_paths: int) -> dict[str, np.ndarray]:
    """Estimates and standard errors of every cell, each of shape (horizon, side, row, column)."""
    out: dict[str, np.ndarray] = {}
    out["p_liquidation"] = sums.liquidated / n_paths
    out["p_stop"] = sums.stopped / n_paths
    out["p_survival"] = 1.0 - (out["p_liquidation"] + out["p_stop"])  # the counts add up; so do the floats, this way
    out["p_partial"] = sums.cut / n_paths
    out["p_margin_call"] = sums.called / n_paths
    for name in list(out):
        out[se_name(name)] = proportion_se(out[name], n_paths)
    if task.is_weighted:
        for total, outcome in ((sums.liquidated, "liquidation"), (sums.stopped, "stop")):
            out[effective_name(f"p_{outcome}")] = _effective(total, sums.weight_squares[outcome])
        out[TOTAL_WEIGHT] = (sums.liquidated + sums.stopped + sums.survived) / n_paths
    nothing = Moments(np.zeros_like(sums.liquidated), np.zeros_like(sums.liquidated))
    moments = {
        "funding_cost": sums.funding_cost,
        "fees": sums.fees,
        "pnl": sums.pnl,
        "exit_time": sums.time.times(_DAYS_PER_YEAR),
        "shortfall": sums.shortfall,
        "engine_kept": sums.engine_kept,
        "returned": sums.returned,
        "closed_share": sums.closed_share,
        "topped_up": sums.topped_up,
        "insurance_draw": nothing if task.client_pays else _covered(sums, task.fund),
        "uncovered_loss": nothing if task.client_pays else sums.uncovered,
        "client_debit": sums.shortfall if task.client_pays else nothing,
    }
    for name, moment in moments.items():
        out[name] = moment.mean(n_paths)
        out[se_name(name)] = moment.standard_error(n_paths)
    return out


def passage_estimates(task: Pass, sums: Sums, levels: np.ndarray, n_paths: int) -> dict[str, np.ndarray]:
    """Estimates and standard errors of first passages, each of shape (horizon, level), in the order of ``levels``."""
    cells = cell_sums(task, sums)
    side = (levels > 1.0).astype(int)
    distance = np.abs(np.log(levels))
    column = np.array([int(np.sum((side == side[i]) & (distance < distance[i]))) for i in range(len(levels))])
    p = cells.stopped[:, side, 0, column] / n_paths
    weighted = {}
    if task.is_weighted:
        number = _effective(cells.stopped, cells.weight_squares["stop"])
        weighted[effective_name("p_hit")] = number[:, side, 0, column]
        weighted[TOTAL_WEIGHT] = p + cells.survived[:, side, 0, column] / n_paths
    return {
        **weighted,
        "p_hit": p,
        "p_hit_se": proportion_se(p, n_paths),
        "alive_time": cells.time.mean(n_paths)[:, side, 0, column] * _DAYS_PER_YEAR,
        "alive_time_se": cells.time.standard_error(n_paths)[:, side, 0, column] * _DAYS_PER_YEAR,
    }


def by_group(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Estimates of groups of paths along a last axis, without errors and effective numbers, which are of all paths."""
    names = [name for name in parts[0] if not name.endswith(("_se", "_ess"))]
    return {name: np.stack([part[name] for part in parts], axis=-1) for name in names}


def no_longer(days: np.ndarray, horizons: Sequence[int]) -> np.ndarray:
    """Mean times, of shape (horizon, ...), less what their booking has rounded beyond the horizons, ns.

    The time of every path is booked to 2**-32 years.
    """
    longest = np.reshape(horizons, (-1,) + (1,) * (days.ndim - 1)) / _NANOSECONDS_PER_DAY
    return np.minimum(days, longest)


def _effective(total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Kish's effective number of events, ``(sum w)^2 / sum w^2``: as many without weights would say as much."""
    return np.divide(total**2, squares, out=np.zeros_like(squares), where=squares > 0.0)


def _covered(sums: CellSums, fund: float) -> Moments:
    """Shortfall up to the fund: with u the excess over it, (s - u)^2 = s^2 - u^2 - 2 fund u."""
    shortfall, uncovered = sums.shortfall, sums.uncovered
    beyond = 0.0 if np.isinf(fund) else 2.0 * fund * uncovered.total
    return Moments(shortfall.total - uncovered.total, shortfall.squares - uncovered.squares - beyond)
