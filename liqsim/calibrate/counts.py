"""Binned counts of log returns: all that a fit of independent increments needs, without the bars."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from liqsim.calibrate.likelihood import bin_probabilities
from liqsim.calibrate.prices import MIN_RETURNS, PriceSeries, check_returns
from liqsim.durations import Duration, parse_years
from liqsim.errors import CalibrationError
from liqsim.models.price import PriceModel

__all__ = ["Moments", "ReturnCounts"]

_MAX_BINS = 10_000_000


class Moments(NamedTuple):
    """Sample moments of the return over one interval, dimensionless."""

    mean: float
    std: float
    skewness: float
    excess_kurtosis: float


@dataclass(frozen=True)
class ReturnCounts:
    """Counts of log returns in bins of one width centred on its multiples.

    Parameters
    ----------
    bin_width : float
        Log return; bin ``k`` covers ``[(k - 1/2) bin_width, (k + 1/2) bin_width)``.
    index : tuple of int
        Numbers of the bins that are not empty, increasing.
    count : tuple of int
        Returns in each of them, > 0.
    interval : str
        Length of a return, such as ``"1h"``.
    asset, source, citation : str
        What was counted, from which file, and how to cite it.
    window : tuple of str
        Stamps of the first and last return, ISO 8601 UTC.
    n_gaps : int
        Steps of the source left out because they were not one interval long.
    n_stale : int
        Bars of the source left out because nothing traded.

    Raises
    ------
    CalibrationError
        If the bins are not increasing, a count is not positive, or fewer than 100 returns are counted.

    Examples
    --------
    >>> import numpy as np
    >>> returns = 0.01 * np.random.default_rng(1).standard_normal(500)
    >>> counts = ReturnCounts.from_returns(returns, "1h", bin_width=1e-3)
    >>> counts.n, round(counts.annual_volatility, 2)
    (500, 0.86)
    """

    bin_width: float
    index: tuple[int, ...]
    count: tuple[int, ...]
    interval: str
    asset: str = ""
    source: str = ""
    window: tuple[str, str] = ("", "")
    citation: str = ""
    n_gaps: int = 0
    n_stale: int = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.bin_width, int | float) and 0 < self.bin_width <= 1):
            raise CalibrationError(f"bin_width={self.bin_width!r} is not allowed; give a log return in (0, 1]")
        for name in ("index", "count"):
            try:
                numbers = tuple(operator.index(k) for k in getattr(self, name))
            except TypeError as error:
                raise CalibrationError(f"{name} holds something else than integers: {error}; give integers") from None
            object.__setattr__(self, name, numbers)
        object.__setattr__(self, "window", tuple(self.window))
        parse_years(self.interval, "interval")
        if len(self.index) != len(self.count):
            raise CalibrationError(
                f"index has {len(self.index)} bins and count {len(self.count)}; give one count per bin"
            )
        for k, (low, high) in enumerate(zip(self.index, self.index[1:], strict=False), start=1):
            if high <= low:
                raise CalibrationError(f"index[{k}]={high} follows {low}; give bin numbers in increasing order")
        for k, (bin_number, count) in enumerate(zip(self.index, self.count, strict=True)):
            if count <= 0:
                raise CalibrationError(f"count[{k}]={count!r} is not allowed; give integers > 0, leave empty bins out")
            if abs(bin_number) * self.bin_width > 5:
                raise CalibrationError(f"index[{k}]={bin_number!r} is not allowed; give integers within +-5/bin_width")
        if self.n < MIN_RETURNS:
            raise CalibrationError(f"count sums to {self.n} returns; at least {MIN_RETURNS} are needed")
        if len(self.index) < 5:
            raise CalibrationError(
                f"the returns fill {len(self.index)} bins of width {self.bin_width:g}; narrow bin_width until they "
                "fill 5 or more"
            )

    @classmethod
    def from_returns(
        cls, returns: npt.ArrayLike | PriceSeries, interval: str = "", bin_width: float = 2e-4, **about: Any
    ) -> ReturnCounts:
        """Count returns.

        Parameters
        ----------
        returns : array_like or PriceSeries
            Log returns; a series also brings its interval, window, source and gaps.
        interval : str
            Length of a return; required with an array.
        bin_width : float, default 2e-4
            Log return, in (0, std/2]; two basis points by default.
        **about
            ``asset``, ``source``, ``window``, ``citation``, ``n_gaps``, ``n_stale``.

        Returns
        -------
        ReturnCounts

        Raises
        ------
        CalibrationError
            If the interval is missing or differs from the series', a return is not a number in [-5, 5], or
            the bins are wider than half a standard deviation.
        """
        if isinstance(returns, PriceSeries):
            about = {
                "source": returns.source,
                "window": returns.window,
                "n_gaps": returns.n_gaps,
                "n_stale": returns.stale.size,
                **about,
            }
            interval, returns = series_interval(returns, interval), returns.returns
        if not interval:
            raise CalibrationError('interval is missing; give the length of one return, such as "1h"')
        values = check_returns(returns)
        widest = 0.5 * float(values.std())
        if not (isinstance(bin_width, int | float) and 0 < bin_width <= widest):
            raise CalibrationError(
                f"bin_width={bin_width!r} is not allowed; give a log return in (0, {widest:.2g}], half a standard "
                "deviation of the returns"
            )
        if np.abs(values).max() / bin_width > _MAX_BINS:
            raise CalibrationError(f"bin_width={bin_width!r} makes more than {_MAX_BINS} bins; widen it")
        index, count = np.unique(np.floor(values / bin_width + 0.5).astype(np.int64), return_counts=True)
        return cls(float(bin_width), tuple(index.tolist()), tuple(count.tolist()), interval, **about)

    @property
    def n(self) -> int:
        """Number of returns."""
        return sum(self.count)

    @property
    def annual_volatility(self) -> float:
        """Standard deviation of the return scaled to one year, 1/sqrt(yr)."""
        return self.moments().std / math.sqrt(parse_years(self.interval, "interval"))

    def moments(self) -> Moments:
        """Moments with each return at the centre of its bin (no Sheppard correction)."""
        x, w = self.bin_width * np.array(self.index), np.array(self.count) / self.n
        mean = float(w @ x)
        second, third, fourth = (float(w @ (x - mean) ** k) for k in (2, 3, 4))
        return Moments(mean, math.sqrt(second), third / second**1.5, fourth / second**2 - 3)

    def quantile(self, q: float) -> float:
        """Centre of the bin that holds the ``q`` quantile, ``q`` in [0, 1]."""
        at = np.searchsorted(np.cumsum(self.count), q * self.n)
        return self.bin_width * self.index[min(int(at), len(self.index) - 1)]

    def density(self, coarsen: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Empirical density for a picture, empty bins included.

        Parameters
        ----------
        coarsen : int, default 1
            Bins joined into one, >= 1.

        Returns
        -------
        edges : numpy.ndarray, shape (m + 1,)
            Log returns.
        density, density_se : numpy.ndarray, shape (m,)
            Per unit of log return, and its binomial standard error.
        """
        first, m = self._groups(coarsen)
        grouped = np.zeros(m * coarsen)
        grouped[np.array(self.index) - first] = self.count
        share = grouped.reshape(m, coarsen).sum(axis=1) / self.n
        width = coarsen * self.bin_width
        edges = (first - 0.5) * self.bin_width + width * np.arange(m + 1)
        return edges, share / width, np.sqrt(share * (1 - share) / self.n) / width

    def model_density(self, model: PriceModel, coarsen: int = 1) -> np.ndarray:
        """Mean density of a model over the bins of :meth:`density`, per unit of log return, shape (m,)."""
        first, m = self._groups(coarsen)
        p = bin_probabilities(model, np.arange(first, first + m * coarsen), self.bin_width, self.interval)
        return np.asarray(p.reshape(m, coarsen).sum(axis=1) / (coarsen * self.bin_width))

    def model_probabilities(self, model: PriceModel) -> np.ndarray:
        """Probability that a model gives to each bin that is not empty, shape (len(index),)."""
        return bin_probabilities(model, self.index, self.bin_width, self.interval)

    def tail_table(
        self,
        models: Mapping[str, PriceModel],
        levels: Sequence[float] = (-0.1, -0.05, -0.02, 0.02, 0.05, 0.1),
    ) -> list[dict[str, float]]:
        """Returns seen beyond each level, and how many each model expects in a sample of this size.

        Parameters
        ----------
        models : mapping of str to PriceModel
        levels : sequence of float
            Log returns; a negative level counts falls at or below it, a positive one rises at or above it.

        Returns
        -------
        list of dict
            ``level``, ``observed``, and one entry per model.
        """
        centres, counts = self.bin_width * np.array(self.index), np.array(self.count)
        edge = max(abs(self.index[0]), abs(self.index[-1]))
        rows = []
        for level in levels:
            side = 1 if level > 0 else -1
            first = math.ceil(abs(level) / self.bin_width - 1e-9)
            last = first + 2 * edge
            row = {
                "level": float(level),
                "observed": float(counts[side * centres >= abs(level) - 1e-12].sum()),
            }
            for name, model in models.items():
                bins = side * np.arange(first, last + 1)
                row[name] = self.n * float(bin_probabilities(model, np.sort(bins), self.bin_width, self.interval).sum())
            rows.append(row)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and text, for JSON."""
        return {**asdict(self), "index": [*self.index], "count": [*self.count], "window": [*self.window]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReturnCounts:
        """Rebuild what :meth:`to_dict` wrote."""
        known = {f.name for f in fields(cls)}
        unknown, missing = set(data) - known, {"bin_width", "index", "count", "interval"} - set(data)
        if unknown or missing:
            raise CalibrationError(
                f"data has unknown keys {sorted(unknown)} and lacks {sorted(missing)}; give what to_dict() wrote"
            )
        return cls(**data)

    def _groups(self, coarsen: int) -> tuple[int, int]:
        if isinstance(coarsen, bool) or not isinstance(coarsen, int) or coarsen < 1:
            raise CalibrationError(f"coarsen={coarsen!r} is not allowed; give an integer >= 1")
        first = self.index[0]
        return first, -(-(self.index[-1] - first + 1) // coarsen)


def series_interval(series: PriceSeries, interval: Duration | None) -> str:
    """Interval of a series, after checking that one given beside it agrees."""
    if interval and not math.isclose(parse_years(interval, "interval"), parse_years(series.interval, "interval")):
        raise CalibrationError(
            f"interval={interval!r} differs from the {series.interval} of {series.source or 'the series'}; leave it out"
        )
    return series.interval
