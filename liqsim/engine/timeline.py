"""The instants at which a run stops: funding stamps, discrete checks, horizons.

Random numbers are counted by interval, so the intervals must not depend on what else was asked: between funding
stamps nothing is added but whole days where nothing is paid, and a horizon that falls between two instants runs in a
pass of its own instead of splitting an interval for the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liqsim.durations import DAYS_PER_YEAR
from liqsim.errors import ParameterError

__all__ = ["Timeline", "build_timelines", "to_nanoseconds"]

_NANOSECONDS_PER_DAY = 86_400_000_000_000
_MOST_INTERVALS = 2**24  # 5-second checks over two and a half years; 2**28 is what the counter can tell apart


def to_nanoseconds(days: float) -> int:
    """Days as whole nanoseconds, so that instants compare exactly."""
    return round(days * _NANOSECONDS_PER_DAY)


@dataclass(frozen=True)
class Timeline:
    """Instants of one pass and what happens at each.

    Parameters
    ----------
    instant : ndarray of float64, shape (n_intervals + 1,)
        Years from entry; the first is 0.
    pays, checks : ndarray of uint8, shape (n_intervals,)
        Funding is paid, or the venue looks at the price, at the end of the interval.
    horizon : ndarray of int32, shape (n_intervals,)
        Which of ``horizons`` ends with the interval, or -1.
    horizons : tuple of int
        Positions of this pass's horizons in the list that was asked for.
    """

    instant: np.ndarray
    pays: np.ndarray
    checks: np.ndarray
    horizon: np.ndarray
    horizons: tuple[int, ...]


def build_timelines(
    horizons: list[int],
    funding: tuple[int, int] | None = None,
    monitoring: int | None = None,
) -> list[Timeline]:
    """Timelines that serve all horizons.

    Parameters
    ----------
    horizons : list of int
        Horizons, ns, in the order of the result.
    funding : (first, interval), optional
        First payment after entry and time between payments, ns; None where nothing is paid.
    monitoring : int, optional
        Time between the venue's looks at the price, ns; None for continuous monitoring.

    Returns
    -------
    list of Timeline
        One for all horizons that fall on an instant of the common grid, one more for each that does not.
    """
    first, step = funding if funding is not None else (_NANOSECONDS_PER_DAY, _NANOSECONDS_PER_DAY)

    def on_grid(ns: int) -> bool:
        aligned = ns >= first and (ns - first) % step == 0
        return aligned or (monitoring is not None and ns % monitoring == 0)

    together = [i for i, ns in enumerate(horizons) if on_grid(ns)]
    groups = [together] if together else []
    groups += [[i] for i, ns in enumerate(horizons) if not on_grid(ns)]
    return [_build(horizons, group, first, step, funding is not None, monitoring) for group in groups]


def _build(
    horizons: list[int], group: list[int], first: int, step: int, has_funding: bool, monitoring: int | None
) -> Timeline:
    end = max(horizons[i] for i in group)
    n = (max(end - first, 0)) // step + (end // monitoring if monitoring else 0)
    if n > _MOST_INTERVALS:
        raise ParameterError(
            f"the horizon of {end / _NANOSECONDS_PER_DAY:g} days holds {n:.3g} intervals, more than the "
            f"{_MOST_INTERVALS:.3g} that can be simulated; lengthen the funding or monitoring interval"
        )
    grid = np.arange(first, end + 1, step, dtype=np.int64)
    looks = np.arange(monitoring, end + 1, monitoring, dtype=np.int64) if monitoring else np.empty(0, np.int64)
    ends = np.array(sorted({horizons[i] for i in group}), dtype=np.int64)
    instants = np.union1d(np.union1d(grid, looks), ends)
    order = sorted(group, key=lambda i: horizons[i])
    horizon = np.full(len(instants), -1, dtype=np.int32)
    horizon[np.searchsorted(instants, ends)] = np.arange(len(ends))
    return Timeline(
        instant=np.concatenate([[0.0], instants / _NANOSECONDS_PER_DAY / DAYS_PER_YEAR]),
        pays=(np.isin(instants, grid) & has_funding).astype(np.uint8),
        checks=np.isin(instants, looks).astype(np.uint8),
        horizon=horizon,
        horizons=tuple(order),
    )
