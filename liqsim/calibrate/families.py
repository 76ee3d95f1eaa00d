"""The models that can be fitted: their parameters, search ranges, transforms and starting points."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from liqsim.errors import CalibrationError
from liqsim.models.price import GBM, Kou, Merton, PriceModel

__all__ = ["AT_BOUND", "FAMILIES", "Family", "Parameter", "Scale", "family_of"]

AT_BOUND = 5e-3
"""Share of the search range beside a bound in which an estimate counts as lying at it."""

_CORE_FRACTION = 0.05  # of the core scale: least diffusive and jump size in the search
_MAX_JUMPS = 50.0  # per interval


@dataclass(frozen=True)
class Scale:
    """Scales of the data that bound and start the search.

    ``dt`` is the interval in years, ``core`` the interquartile range over that of a unit normal, ``std`` the
    standard deviation, ``reach`` the largest absolute return, ``bin_width`` zero for raw returns.
    """

    dt: float
    n: int
    mean: float
    std: float
    core: float
    reach: float
    bin_width: float


@dataclass(frozen=True)
class Parameter:
    """One parameter of the search: its range, mapped onto the real line by a logit, on a log scale if so said."""

    name: str
    low: float
    high: float
    is_log: bool = True

    @property
    def _ends(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.is_log else (self.low, self.high)

    def to_search(self, value: float) -> float:
        """Search variable of a natural value; values at or beyond the range are moved just inside."""
        low, high = self._ends
        place = ((math.log(value) if self.is_log else value) - low) / (high - low)
        place = min(max(place, 2 * AT_BOUND), 1 - 2 * AT_BOUND)
        return math.log(place / (1 - place))

    def place(self, z: float) -> float:
        """Place in the range, 0 at ``low`` and 1 at ``high``."""
        return float(expit(z))

    def to_natural(self, z: float) -> float:
        """Natural value of a search variable."""
        low, high = self._ends
        value = low + (high - low) * self.place(z)
        return min(max(math.exp(value) if self.is_log else value, self.low), self.high)

    def slope(self, z: float) -> float:
        """Derivative of the natural value by the search variable."""
        low, high = self._ends
        place = self.place(z)
        return (high - low) * place * (1 - place) * (self.to_natural(z) if self.is_log else 1.0)


@dataclass(frozen=True)
class Family:
    """A model class, its parameter names and units."""

    cls: type[PriceModel]
    names: tuple[str, ...]
    units: tuple[str, ...]

    def parameters(self, scale: Scale) -> list[Parameter]:
        """Search ranges in natural units.

        Notes
        -----
        Merton's likelihood grows without bound as one variance of the mixture collapses onto a data point (J.
        D. Hamilton (1994), Time Series Analysis, p. 689; P. Honore (1998)); hence the least diffusive and
        jump sizes of one twentieth of the core scale, a quarter of a bin, and at least one jump expected in
        the sample.
        """
        root = math.sqrt(scale.dt)
        least = max(_CORE_FRACTION * scale.core, 0.25 * scale.bin_width)
        longest = min(scale.reach, 0.9)
        ranges = {
            "sigma": Parameter("sigma", least / root, min(3 * scale.std / root, 100.0)),
            "intensity": Parameter("intensity", 1 / (scale.n * scale.dt), min(_MAX_JUMPS / scale.dt, 1e6)),
            "jump_mean": Parameter("jump_mean", -longest, longest, is_log=False),
            "jump_std": Parameter("jump_std", least, longest),
            "p_up": Parameter("p_up", 0.0, 1.0, is_log=False),
            "eta_up": Parameter("eta_up", max(1 / longest, 1.05), min(1 / least, 1e6)),
            "eta_down": Parameter("eta_down", 1 / longest, min(1 / least, 1e6)),
            "drift": Parameter("drift", -1000.0, 1000.0, is_log=False),
        }
        return [ranges[name] for name in self.names]

    def starts(self, scale: Scale) -> list[dict[str, float]]:
        """Starting points that split the sample variance between diffusion and jumps in several ways."""
        variance = scale.std**2 / scale.dt
        drift = scale.mean / scale.dt + 0.5 * variance
        if self.cls is GBM:
            return [{"sigma": math.sqrt(variance), "drift": drift}]
        points = []
        for share in (0.3, 0.6, 0.85):
            for jumps in (0.01, 0.1, 0.5, 2.0):
                second = share * scale.std**2 / jumps
                point = {
                    "sigma": math.sqrt((1 - share) * variance),
                    "intensity": jumps / scale.dt,
                    "drift": drift,
                }
                if self.cls is Merton:
                    point |= {"jump_mean": 0.0, "jump_std": math.sqrt(second)}
                else:
                    point |= {"p_up": 0.5, "eta_up": math.sqrt(2 / second), "eta_down": math.sqrt(2 / second)}
                points.append(point)
        return points


FAMILIES = {
    "gbm": Family(GBM, ("sigma", "drift"), ("1/sqrt(yr)", "1/yr")),
    "merton": Family(
        Merton,
        ("sigma", "intensity", "jump_mean", "jump_std", "drift"),
        ("1/sqrt(yr)", "1/yr", "log", "log", "1/yr"),
    ),
    "kou": Family(
        Kou,
        ("sigma", "intensity", "p_up", "eta_up", "eta_down", "drift"),
        ("1/sqrt(yr)", "1/yr", "1", "1/log", "1/log", "1/yr"),
    ),
}


def family_of(model: object) -> Family:
    """Family of a model class, a model or its name."""
    name = model if isinstance(model, str) else getattr(model, "name", None)
    if isinstance(name, str) and name.lower() in FAMILIES:
        return FAMILIES[name.lower()]
    close = difflib.get_close_matches(str(name).lower(), FAMILIES, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise CalibrationError(f"model={model!r} cannot be fitted; give one of {', '.join(FAMILIES)}{hint}")


def scale_of(x: np.ndarray, weight: np.ndarray, dt: float, bin_width: float) -> Scale:
    """Scales of values ``x`` that occur ``weight`` times, ``x`` sorted."""
    n = int(weight.sum())
    mean = float(weight @ x) / n
    std = math.sqrt(float(weight @ (x - mean) ** 2) / n)
    cumulative = np.cumsum(weight)
    low, high = (x[min(int(np.searchsorted(cumulative, q * n)), x.size - 1)] for q in (0.25, 0.75))
    core = min(float(high - low) / 1.349, std)
    return Scale(dt, n, mean, std, core if core > 0 else std, float(np.abs(x).max()), bin_width)
