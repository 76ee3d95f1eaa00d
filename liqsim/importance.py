"""Importance sampling: paths that go where positions are liquidated, and the weights that make up for it.

Besides the model's own law, paths are drawn from Esscher transforms of it, under which a rare move is a usual one. Each
end of a position counts with its likelihood under the model's law over that under all the laws together (the balance
heuristic), taken at the very time and price of the end, so that one run serves every cell of the grid. Weights never
exceed one: an estimate's variance is at most that of the paths of the model's own law alone, and its square over their
number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from liqsim.control import regressed
from liqsim.durations import DAYS_PER_YEAR
from liqsim.engine.timeline import to_nanoseconds
from liqsim.errors import ParameterError
from liqsim.models import PriceModel
from liqsim.stats import jackknife_se, left_out
from liqsim.variables import TOTAL_WEIGHT, effective_name, group_name, se_name

__all__ = ["choose_tilts", "laws_in_words", "weighted_estimates"]

_TILTS = 4  # on either side
_CHERNOFF = 0.1  # bound of a probability below which a level is rare
_MARGIN = 0.03  # of the strip in which the exponent is finite, at either end
_LARGEST = 700.0  # tilt; a move of 1 % changes the density by exp(7)


def choose_tilts(model: PriceModel, levels: np.ndarray, horizons: Sequence[int]) -> list[float]:
    """Tilts under which the levels that are rarely reached are reached about at the horizon.

    Parameters
    ----------
    model : PriceModel
    levels : ndarray
        Price ratios to entry; not-a-number counts for nothing.
    horizons : sequence of int
        Nanoseconds.

    Returns
    -------
    list of float
        Four for levels below and four for those above, as far as there are rare ones.

    Notes
    -----
    A tilt ``theta`` with ``psi'(theta) T = b`` moves the mean of the log price at ``T`` to the level ``b``; for a rare
    first passage it is asymptotically the best [1]_. ``exp(psi(theta) T - theta b)`` bounds the probability that the
    price is there (Chernoff); where it is below a tenth the level is rare. The tilts are spread geometrically between
    those of the nearest and the farthest rare level.

    References
    ----------
    .. [1] S. Asmussen, P. W. Glynn (2007), Stochastic Simulation, chapter VI.
    """
    found: list[float] = []
    targets = np.log(np.unique(levels[np.isfinite(levels) & (levels > 0.0)]))
    for side in (-1.0, 1.0):
        sizes = []
        for horizon in (min(horizons), max(horizons)):
            years = horizon / to_nanoseconds(1.0) / DAYS_PER_YEAR
            for level in targets[targets * side > 0.0]:
                theta = _tilt(model, float(level), years)
                exponent = float(np.real(model.exponent(theta)))
                if theta * side > 0.0 and exponent * years - theta * level < math.log(_CHERNOFF):
                    sizes.append(abs(theta))
        if sizes:
            found += (side * np.geomspace(min(sizes), max(sizes), _TILTS)).tolist()
    return [theta for theta in found if _exists(model, theta)]


def _tilt(model: PriceModel, level: float, years: float) -> float:
    """Root of ``psi'(theta) years = level``, or the end of where it is looked for."""
    from scipy.optimize import brentq

    low, high = (float(np.clip(end * (1.0 - _MARGIN), -_LARGEST, _LARGEST)) for end in model.exponent_strip)

    def excess(theta: float) -> float:
        step = 1e-20  # complex step: the derivative of an analytic function without cancellation
        return float(np.imag(model.exponent(complex(theta, step)))) / step * years - level

    if excess(low) >= 0.0:
        return low
    return high if excess(high) <= 0.0 else float(brentq(excess, low, high, xtol=1e-6))


def _exists(model: PriceModel, theta: float) -> bool:
    try:
        model.tilted(theta)
    except ParameterError:
        return False
    return True


def laws_in_words(n_laws: Mapping[str, int], n_paths: int) -> str:
    """From how many laws paths were drawn, for the notes of a result.

    Parameters
    ----------
    n_laws : mapping of str to int
        Laws of each part of the result, by its label.
    n_paths : int
        Paths of each law.

    Examples
    --------
    >>> laws_in_words({"": 9}, 2000)
    'Paths were drawn from 9 laws, 2,000 from each.'
    >>> print(laws_in_words({"near": 5, "far": 9, "tiny": 1}, 2000))
    near: Paths were drawn from 5 laws, 2,000 from each.
    far: Paths were drawn from 9 laws, 2,000 from each.
    tiny: No level is rarely reached, so that all 2,000 paths were drawn from the model's own law.
    """
    lines: dict[int, list[str]] = {}
    for label, n in n_laws.items():
        lines.setdefault(n, []).append(label)
    words = {n: f"Paths were drawn from {n} laws, {n_paths:,} from each." for n in lines}
    words[1] = f"No level is rarely reached, so that all {n_paths:,} paths were drawn from the model's own law."
    if len(lines) == 1:
        return words[next(iter(lines))]
    return "\n".join(f"{'; '.join(labels)}: {words[n]}" for n, labels in lines.items())


def weighted_estimates(
    found: Mapping[str, np.ndarray], parts: Mapping[str, np.ndarray], group_paths: np.ndarray
) -> dict[str, np.ndarray]:
    """Estimates of weighted paths and their errors, from groups of them.

    Parameters
    ----------
    found : mapping of str to ndarray
        Of all paths; only the effective numbers are taken from it.
    parts : mapping of str to ndarray, shape (..., group)
        Of every group.
    group_paths : ndarray of int, shape (group,)

    Returns
    -------
    dict of str to ndarray
        Estimates, standard errors, estimates of every group, and effective numbers.

    Notes
    -----
    The mean weight of all ends of a cell should be 1. How far it is from that in a group corrects the group's estimates
    by regression, without bias: what is common, such as the time until the horizon, keeps the error that it has without
    weights.
    """
    if TOTAL_WEIGHT not in parts:  # no level is rare: paths of the model's law alone
        events = {name: found[name] for name in ("p_liquidation", "p_stop", "p_hit") if name in found}
        numbers = {effective_name(name): p * group_paths.sum() for name, p in events.items()}
        return {**found, **numbers, **{group_name(name): values for name, values in parts.items()}}
    names = [name for name in parts if name != TOTAL_WEIGHT]
    centred = parts[TOTAL_WEIGHT][..., np.newaxis, :] - 1.0
    adjusted = regressed(np.stack([parts[name] for name in names]), centred)
    whole = adjusted @ (group_paths / group_paths.sum())
    errors = jackknife_se(np.moveaxis(left_out(whole, adjusted, group_paths), -1, 0))
    out = {name: values for name, values in found.items() if name.endswith("_ess")}
    for i, name in enumerate(names):
        out |= {name: whole[i], se_name(name): errors[i], group_name(name): adjusted[i]}
    for suffix in ("", group_name("")) if "p_survival" in parts else ():
        out[f"p_survival{suffix}"] = 1.0 - (out[f"p_liquidation{suffix}"] + out[f"p_stop{suffix}"])
    return out
