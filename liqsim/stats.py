"""Error bars of Monte Carlo estimates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["proportion_se", "wilson_interval"]


def proportion_se(p: npt.ArrayLike, n: int) -> np.ndarray:
    """Standard error ``sqrt(p (1 - p) / n)`` of a proportion of ``n`` independent paths.

    It is 0 where no path, or every path, had the outcome; a Wilson interval is the honest statement there.
    """
    p = np.asarray(p, dtype=float)
    return np.sqrt(np.maximum(p * (1.0 - p), 0.0) / n)


def wilson_interval(p: np.ndarray, n: int, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval of a proportion ``p`` of ``n`` independent paths.

    Notes
    -----
    Unlike ``p +- z se`` it stays inside [0, 1] and does not shrink to nothing at its ends.

    References
    ----------
    .. [1] E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of the
       American Statistical Association 22.
    """
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4.0 * n * n))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
