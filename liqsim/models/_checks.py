"""Checks of numbers and flags, shared by the model descriptions and the floors above."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from liqsim.errors import ParameterError


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name}={value!r} is not allowed; give True or False")


def number(
    owner: str,
    name: str,
    value: Any,
    unit: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Return ``value`` as a float, or raise naming the argument, the value, the range and its unit."""
    opening = "(" if low_open or low == -math.inf else "["
    closing = ")" if high_open or high == math.inf else "]"
    interval = f"{opening}{low:g}, {high:g}{closing}"
    message = f"{owner}: {name}={value!r} is not allowed; give a finite number in {interval} {unit}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ParameterError(message)
    x = float(value)
    inside = (x > low if low_open else x >= low) and (x < high if high_open else x <= high)
    if not (math.isfinite(x) and inside):
        raise ParameterError(message)
    return x
