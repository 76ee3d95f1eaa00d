"""Where a share of the paths first exceeds a target, as the level that each path bears is approached step by step.

On common random numbers every path bears a largest leverage, or a nearest stop, so that the number of paths that do not
bear ``x`` rises with ``x``, and one pass over the paths counts a whole grid. The largest ``x`` that all but a share of
the paths bear is an order statistic of a sample, and its confidence interval that of a quantile.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import bdtr, bdtrik

from liqsim.stats import wilson_interval

__all__ = ["invert"]

_PILOT_SHARE, _PILOT_AT_LEAST = 16, 1024
_PILOT_GRID, _GRID, _REFINEMENT = 64, 48, 42
_FINENESS = 0.02  # of the interval
_FINEST = 1e-5


def invert(
    count: Callable[[np.ndarray, int], np.ndarray], least: float, most: float, target: float, n: int, level: float
) -> tuple[float, float, float]:
    """Largest ``x`` up to which at most a share ``target`` of the paths count, and its confidence interval.

    Parameters
    ----------
    count : callable
        How many of the first so many paths count at each of some rising ``x``.
    least, most : float
        Range of ``x``, positive.
    target : float
    n : int
        Paths.
    level : float
        Of the interval.

    Returns
    -------
    low, value, high : float
        ``value`` is not-a-number where already ``least`` is too much.

    Notes
    -----
    A sixteenth of the paths tell where to look. A grid over that range is counted on all paths, and again within the
    steps that hold the answer and the ends of its interval, until these are known to a fiftieth of the interval or,
    where the count leaps, to 1e-5. With ``K`` binomial, ``P(K <= k) <= (1 - level)/2`` for the mark of the lower end
    and ``P(K > k) <= (1 - level)/2`` for that of the upper.
    """
    pilot = max(n // _PILOT_SHARE, min(n, _PILOT_AT_LEAST))
    x = _between(least, most, _PILOT_GRID)
    share = count(x, pilot) / pilot
    sure_low, sure_high = wilson_interval(share, pilot, 5.0)
    left = x[np.flatnonzero(np.logical_and.accumulate(sure_high < target))[-1:]]
    right = x[np.flatnonzero(sure_low > target)[:1]]
    tail = 0.5 * (1.0 - level)
    marks = (_quantile(tail, n, target) - 1, math.floor(target * n * (1 + 1e-12)), _quantile(1.0 - tail, n, target))
    x = _between(left[0] if left.size else least, right[0] if right.size else most, _GRID)
    k = count(x, n)
    while True:
        low, value, high = (int(np.argmax(k > mark)) if np.any(k > mark) else len(x) for mark in marks)
        missing = [end for end, is_out in ((least, low == 0), (most, high == len(x))) if is_out and end not in x]
        more = [np.array(missing)] if missing else []
        if not more:
            fine = max(_FINENESS * (x[max(high, 1) - 1] / x[max(low, 1) - 1] - 1.0), _FINEST)
            steps = sorted({i for i in (low, value, high) if 0 < i < len(x)})
            more = [_between(x[i - 1], x[i], _REFINEMENT)[1:-1] for i in steps if x[i] / x[i - 1] - 1.0 > fine]
        if not more:
            break
        x, k = np.append(x, np.concatenate(more)), np.append(k, count(np.concatenate(more), n))
        order = np.argsort(x)
        x, k = x[order], k[order]
    return (
        float(x[max(low - 1, 0)]),
        float(x[value - 1]) if value > 0 else math.nan,
        float(x[min(high, len(x) - 1)]),
    )


def _between(low: float, high: float, n: int) -> np.ndarray:
    x = np.geomspace(low, high, n)
    x[0], x[-1] = low, high
    return np.unique(np.clip(x, low, high))


def _quantile(share: float, n: int, p: float) -> int:
    """Quantile of the binomial law."""
    k = max(math.ceil(bdtrik(share, n, p)) - 1, 0)
    return k if bdtr(k, n, p) >= share else k + 1
