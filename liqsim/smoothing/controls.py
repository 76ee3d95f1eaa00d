"""Control variates of smoothed estimates: on the same points, first passages of straight lines.

Funding moves the liquidation level a little at a time, almost along a straight line. Position and line lose nearly the
same weight on every path, jumps and all: how far the one is from its known value says how far the other is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim.analytic import first_passage
from liqsim.errors import ParameterError
from liqsim.models import PriceModel
from liqsim.smoothing.contract import Contract

__all__ = ["Controls", "make_controls"]

_FOLDS = 8
_STEEPEST = 2.0
_COMMON = 1e-3
_LOWEST, _NEAREST = -10.0, 1e-9  # log levels that are looked at: others are never reached, or at once


@dataclass(frozen=True)
class Controls:
    """First passages on the paths of a position.

    Parameters
    ----------
    contracts : list of Contract
        Each is stopped at a level.
    exact, bound : ndarray, shape (control,)
        Probability of its stop, and bound of that value's error.
    """

    contracts: list[Contract]
    exact: np.ndarray
    bound: np.ndarray

    def adjust(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correct estimates by regression on the controls.

        Parameters
        ----------
        found : ndarray, shape (3 + control, scramble)
            Liquidation, stop and funding, and the stop of every control.

        Returns
        -------
        values, errors : ndarray, shape (4,)
            Liquidation, stop, survival and funding, and their standard errors.

        Notes
        -----
        The scrambles of a fold are corrected with the coefficients of all others, so that there is no bias [1]_. The
        coefficients are those of the scrambles' means, not of single points: what quasi-random points leave of either.
        A probability hardly changes by more than that of its control; a line that is hardly ever met, or nearly always,
        says nothing of the funding. Without these bounds a rare line's few hits would decide.

        References
        ----------
        .. [1] A. N. Avramidis, J. R. Wilson (1993), A splitting scheme for control variates, Operations Research
           Letters 14.
        """
        return _corrected(*self._parts(found), self.bound, self._are_common)

    def slope_to(
        self, other: Controls, found: np.ndarray, theirs: np.ndarray, distance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Correct the slopes of estimates likewise, from here to where the same controls stand a distance further.

        Parameters
        ----------
        other : Controls
            The same controls there.
        found, theirs : ndarray, shape (3 + control, scramble)
            Estimates here and there, on the same points.
        distance : float

        Returns
        -------
        values, errors : ndarray, shape (4,)
        """
        y, c = ((b - a) / distance for a, b in zip(self._parts(found), other._parts(theirs), strict=True))
        return _corrected(y, c, (self.bound + other.bound) / abs(distance), self._are_common)

    @property
    def _are_common(self) -> np.ndarray:
        return np.minimum(self.exact, 1.0 - self.exact) > _COMMON

    def _parts(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Liquidation, stop, survival and funding; and controls less what they should be."""
        y = np.stack([found[0], found[1], 1.0 - (found[0] + found[1]), found[2]])
        return y, found[3:] - self.exact[:, np.newaxis]


def _corrected(
    y: np.ndarray, c: np.ndarray, bound: np.ndarray, are_common: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n, slopes = y.shape[1], np.zeros((4, len(c)))
    if len(c):
        adjusted = y.copy()
        fold = np.arange(n) % _FOLDS
        for k in range(_FOLDS):
            slope = _coefficients(c[:, fold != k], y[:, fold != k], are_common)
            adjusted[:, fold == k] -= slope @ c[:, fold == k]
            slopes = np.maximum(slopes, np.abs(slope))
        y = adjusted
    spread = y.std(axis=1, ddof=1) / np.sqrt(n)
    return y.mean(axis=1), np.hypot(spread, slopes @ bound)


def _coefficients(c: np.ndarray, y: np.ndarray, are_common: np.ndarray) -> np.ndarray:
    """Of liquidation, stop, survival and funding, of shape (4, control)."""
    out = np.zeros((4, len(c)))
    out[:3] = np.clip(_slopes(c, y[:3]), -_STEEPEST, _STEEPEST)
    out[3:, are_common] = _slopes(c[are_common], y[3:])
    return out


def _slopes(c: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients of a regression, of shape (estimate, control)."""
    c = c - c.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.mean(c * c, axis=1))
    scale = np.where(scale > 0.0, scale, 1.0)
    found, *_ = np.linalg.lstsq((c / scale[:, np.newaxis]).T, (y - y.mean(axis=1, keepdims=True)).T, rcond=1e-6)
    return np.asarray((found / scale[:, np.newaxis]).T)


def make_controls(contract: Contract, model: PriceModel, horizon: np.timedelta64) -> Controls:
    """Choose the lines: one along the liquidation level that is expected, and the stop.

    Parameters
    ----------
    contract : Contract
    model : PriceModel
        Seen from a line that rises or falls it is itself with another drift, so that the law of its first passage is
        known as well.
    horizon : numpy.timedelta64

    Returns
    -------
    Controls
        Without those whose law is not known.
    """
    contracts, exact, bound = [], [], []
    for level, slope in dict.fromkeys([contract.expected_level(), (contract.stop, 0.0)]):
        if not _LOWEST < level < -_NEAREST:
            continue
        seen: Any = dataclasses.replace(model, drift=model.total_drift - contract.e * slope)  # type: ignore[call-arg]
        try:
            law = first_passage(seen, float(np.exp(contract.e * level)), horizon)
        except ParameterError:
            continue
        contracts.append(contract.stopped_at(level, slope))
        exact.append(law.p_hit)
        bound.append(law.p_hit_bound)
    return Controls(contracts, np.array(exact), np.array(bound))
