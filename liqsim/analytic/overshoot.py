"""How far beyond a level the price lands when it first passes it: what a liquidation loses to a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from liqsim.analytic._checks import levels, price_model, real_array
from liqsim.analytic.kou import passage_transform
from liqsim.analytic.laplace import invert
from liqsim.analytic.passage import Values
from liqsim.durations import Duration, parse_years
from liqsim.errors import ParameterError
from liqsim.models import Kou

__all__ = ["overshoot_probability"]


def overshoot_probability(model: Any, level: npt.ArrayLike, beyond: npt.ArrayLike, horizon: Duration) -> Values:
    """Compute the probability that the price first passes a level by a jump that lands beyond another.

    Parameters
    ----------
    model : Kou
        With ``sigma > 0``.
    level : array_like
        Level over the starting price, dimensionless, positive and not 1.
    beyond : array_like
        Where the jump has to land beyond, over the starting price: in (0, level] for a level below 1, else in
        [level, inf). Broadcast against ``level``.
    horizon : str, numpy.timedelta64 or datetime.timedelta
        Such as ``"30D"``.

    Returns
    -------
    float or ndarray
        Dimensionless; absolute error near 1e-13 for parameters met in markets.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    A jump that passes the level lands beyond it by an exponential distance in log price, whatever the time and place it
    started from, as exponential jumps have no memory [1]_. The probability of such a jump is inverted from its
    transform. With the liquidation level and the bankruptcy price of a position without funding and fees, this is the
    ``p_shortfall`` of :func:`liqsim.sweep`.

    References
    ----------
    .. [1] S. G. Kou, H. Wang (2003), First passage times of a jump diffusion process, Advances in Applied
       Probability 35, theorem 3.1.

    Examples
    --------
    >>> from liqsim import Kou
    >>> model = Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25, drift=0.1)
    >>> round(overshoot_probability(model, level=0.9 / 0.99, beyond=0.9, horizon="7D"), 12)
    0.011799644695
    """
    if not isinstance(model, Kou):
        raise ParameterError(f"model={model!r} has no closed form for where a jump lands; give liqsim.Kou, or simulate")
    price_model(model)
    ratios, ends = levels(level), real_array("beyond", beyond, "where the jump lands, over the starting price")
    try:
        ratios, ends = np.broadcast_arrays(ratios, ends)
    except ValueError:
        raise ParameterError(
            f"beyond has shape {ends.shape}, which does not broadcast against that of level, {ratios.shape}; give one "
            "number, or one for each level"
        ) from None
    years = parse_years(horizon, "horizon")
    upward = ratios > 1.0
    bad = np.where(upward, ends < ratios, (ends > ratios) | (ends <= 0.0))
    if np.any(bad):
        raise ParameterError(
            f"beyond={float(ends[bad][0])!r} is not beyond level={float(ratios[bad][0])!r}; give price ratios in "
            "(0, level] for a level below 1, else in [level, inf)"
        )
    result = np.zeros(ratios.shape)
    for up, eta, share in ((False, model.eta_down, 1.0 - model.p_up), (True, model.eta_up, model.p_up)):
        chosen = upward == up
        if not np.any(chosen) or model.intensity * share == 0.0:
            continue
        passed, where = np.unique(ratios[chosen], return_inverse=True)
        by_jump = invert(passage_transform(model, np.abs(np.log(passed)), up, by_jump=True), years).probability
        farther = np.abs(np.log(ends[chosen] / ratios[chosen]))
        result[chosen] = np.clip(by_jump, 0.0, 1.0)[where] * np.exp(-eta * farther)
    return result if result.ndim else float(result)
