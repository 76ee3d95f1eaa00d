"""Error bars of Monte Carlo estimates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["proportion_se"]


def proportion_se(p: npt.ArrayLike, n: int) -> np.ndarray:
    """Standard error ``sqrt(p (1 - p) / n)`` of a proportion of ``n`` independent paths.

    It is 0 where no path, or every path, had the outcome; a Wilson interval is the honest statement there.
    """
    p = np.asarray(p, dtype=float)
    return np.sqrt(np.maximum(p * (1.0 - p), 0.0) / n)
