"""Argument checks shared by the closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from liqsim.durations import Duration, parse_days
from liqsim.errors import ParameterError
from liqsim.models import PriceModel


def price_model(model: Any) -> PriceModel:
    """Return the model if it is a price model that diffuses, or raise."""
    if not isinstance(model, PriceModel):
        raise ParameterError(f"model={model!r} is not a price model; give liqsim.GBM, Kou or Merton")
    if model.sigma == 0:
        raise ParameterError(
            f"model={model!r}: sigma=0 has no closed-form first passage; give sigma > 0 [1/sqrt(yr)] or "
            "simulate with liqsim.first_passage"
        )
    return model


def levels(level: npt.ArrayLike) -> np.ndarray:
    """Return the levels as floats, or raise naming the first one that is out of range."""
    ratios = real_array("level", level, "the level over the starting price")
    bad = ~((ratios > 0) & (ratios != 1))
    if np.any(bad):
        first = float(ratios[bad].flat[0])
        raise ParameterError(
            f"level={first!r} is not allowed; give price ratios in (0, 1), reached downward, or (1, inf), "
            "reached upward (at 1 the price stands at the level already)"
        )
    return ratios


def real_array(name: str, values: npt.ArrayLike, meaning: str) -> np.ndarray:
    """Return finite floats of any shape, or raise."""
    message = f"{name}={values!r} is not allowed; give finite numbers: {meaning}"
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ParameterError(message)
    array = array.astype(float)
    if not np.all(np.isfinite(array)):
        raise ParameterError(message)
    return array


def whole_multiple(horizon: Duration, interval: Duration, name: str) -> int:
    """Return ``horizon / interval``, or raise if it is not a whole number."""
    if isinstance(interval, str) and not any(c.isdigit() for c in interval):
        raise ParameterError(f'{name}={interval!r} cannot be read; give "continuous" or an interval such as "1h"')
    total, step = parse_days(horizon, "horizon"), parse_days(interval, name)
    n = round(total / step)
    if n < 1 or abs(n * step - total) > 1e-9 * total:
        raise ParameterError(
            f"{name}={interval!r} does not divide horizon={horizon!r}: {total / step:.6g} intervals; give an "
            "interval of which the horizon is a whole multiple"
        )
    return n
