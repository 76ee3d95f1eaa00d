"""Dynamics of the perpetual's premium over the index, which drives the funding rate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from liqsim.durations import Duration, duration_text, parse_years
from liqsim.models._checks import number

__all__ = ["OUPremium"]


@dataclass(frozen=True)
class OUPremium:
    """Ornstein-Uhlenbeck premium ``db = k (mean - b) dt + xi dB`` with ``corr(dB, dW) = correlation``.

    Parameters
    ----------
    mean : float
        Long-run premium, fraction of the index, in [-1, 1].
    half_life : str, numpy.timedelta64 or datetime.timedelta
        Time after which half of a deviation from ``mean`` is left; ``k = ln 2 / half_life``.
    vol : float
        Stationary standard deviation ``xi / sqrt(2 k)``, fraction of the index, in [0, 1].
    correlation : float, default 0
        Correlation of the premium's and the price's Brownian increments, in [-1, 1].
    initial : float, optional
        Premium at entry; ``mean`` unless given.

    Raises
    ------
    ParameterError
        If a parameter is not a finite number in its range, or the half-life is not a positive duration.

    Examples
    --------
    >>> round(OUPremium(mean=1e-4, half_life="8h", vol=3e-4).mean_reversion, 3)
    758.996
    """

    mean: float
    half_life: Duration
    vol: float
    correlation: float = 0.0
    initial: float | None = None

    def __post_init__(self) -> None:
        fraction = "(fraction of the index)"
        for field, value in (
            ("mean", number("OUPremium", "mean", self.mean, fraction, low=-1, high=1)),
            ("vol", number("OUPremium", "vol", self.vol, fraction, low=0, high=1)),
            ("correlation", number("OUPremium", "correlation", self.correlation, "", low=-1, high=1)),
        ):
            object.__setattr__(self, field, value)
        if self.initial is not None:
            initial = number("OUPremium", "initial", self.initial, fraction, low=-1, high=1)
            object.__setattr__(self, "initial", initial)
        parse_years(self.half_life, "OUPremium: half_life")

    @property
    def mean_reversion(self) -> float:
        """``k``, 1/yr."""
        return math.log(2.0) / parse_years(self.half_life, "half_life")

    @property
    def start(self) -> float:
        """Premium at entry."""
        return self.mean if self.initial is None else self.initial

    def to_dict(self) -> dict[str, Any]:
        """Parameters as plain values, for provenance."""
        return {**asdict(self), "half_life": duration_text(self.half_life)}
