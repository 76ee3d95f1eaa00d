"""How likely one position is to be liquidated or stopped, to high accuracy."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.durations import Duration
from liqsim.models import OUPremium, PriceModel
from liqsim.results import provenance, smoothed_dataset
from liqsim.smoothing.asked import Asked, rare_note, read_position, sequence_of
from liqsim.smoothing.averages import Position, averages
from liqsim.smoothing.controls import make_controls
from liqsim.variables import se_name
from liqsim.venues import Venue

__all__ = ["liquidation_probability"]

_NAMES = ("p_liquidation", "p_stop", "p_survival", "funding_cost")


def liquidation_probability(
    model: PriceModel,
    venue: Venue | str,
    *,
    leverage: float,
    side: Literal["long", "short"],
    stop: float = float("inf"),
    notional: float = 10_000.0,
    price: float = 60_000.0,
    horizon: Duration = "30D",
    premium: OUPremium | None = None,
    monitoring: Duration | Literal["continuous"] = "continuous",
    gap_rule: Literal["liquidation", "stop"] = "liquidation",
    start: str | dt.datetime | np.datetime64 | None = None,
    n_points: int = 4096,
    n_scrambles: int = 32,
    seed: int | np.random.SeedSequence = 0,
) -> xr.Dataset:
    """Compute how likely one position is to be liquidated or stopped, to high accuracy.

    Parameters
    ----------
    model, venue, leverage, side, stop, notional, price, horizon, premium, monitoring, gap_rule, start
        As in :func:`sweep`, one of each.
    n_points : int
        Points of each quasi-random sequence in the likeliest number of jumps, a power of two in [16, 2**20].
    n_scrambles : int
        Independent randomisations of the sequences, in [16, 256], whose spread is the error; 32 are a good choice.
    seed : int or numpy.random.SeedSequence
        Of the randomisations.

    Returns
    -------
    xarray.Dataset
        ``p_liquidation``, ``p_stop``, ``p_survival`` [1] and ``funding_cost`` [fraction of entry notional], each with
        its standard error ``*_se``, and ``liquidation_price``, ``bankruptcy_price``, ``initial_margin`` at entry; no
        dims. No ``funding_cost`` where the venue may close a position in parts.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, or the venue's rules are not covered.
    MarginRuleError
        If the venue does not allow the position.
    VenueDataError
        If a rule needs a value that no source states.

    Notes
    -----
    The same quantities as :func:`sweep`, by the same numbers of the same rules. Three things make the error small:

    - *Conditional Monte Carlo.* Where a simulation draws whether a level ``b`` is reached between ``x`` and ``y``, here
      a path loses that share of its weight, ``exp(-2 (x - b)(y - b)/(sigma^2 dt))`` [1]_; a jump likewise by the law of
      its size, which is then drawn from those that leave the position open [2]_. The liquidation level is the one that
      funding has left in each interval.
    - *Strata* by the number of jumps, with their Poisson probabilities. Without jumps, and where nothing is paid, the
      probability is the closed form; the tail beyond the last stratum, below 1e-18, counts with it.
    - *Randomised quasi-Monte Carlo* [3]_: scrambled Sobol points, the Brownian motion's last value first, then its
      bridge through jump times and instants.

    Every path is walked twice or three times: for the position, for a straight line along the liquidation level that
    is expected, and for the stop. The law of the first passage of a line is known, and the estimate is corrected by how
    far that of the points is from it, without bias. Without funding the closed form is all that is left.

    The estimate has no bias beyond what a sweep has. The error is the spread over scrambles, ``n_scrambles - 1``
    degrees of freedom. Corrected probabilities sum to 1 but may leave [0, 1] by a fraction of their error. An event
    that few of the points see (a probability below thirty over their number, or below 1e-5) may be missed by them, and
    the error with it; ``attrs["notes"]`` says so then, and :func:`sweep` with ``importance`` is for such events.

    It pays from a day to a month of 8-hourly funding, thousands of times to fifty times; not where the premium itself
    decides who is liquidated, or where the venue looks at intervals only, for then little is smooth. Not covered:
    margin calls, looks at the venue's discretion, and requirements that step for the whole position.

    References
    ----------
    .. [1] P. Glasserman (2004), Monte Carlo Methods in Financial Engineering, section 6.4.
    .. [2] P. Glasserman, J. Staum (2001), Conditioning on one-step survival for barrier option simulations, Operations
       Research 49.
    .. [3] A. B. Owen (1997), Scrambled net variance for integrals of smooth functions, Annals of Statistics 25.

    Examples
    --------
    >>> import liqsim as lq
    >>> model = lq.Merton(sigma=0.6, intensity=12, jump_mean=-0.03, jump_std=0.04)
    >>> ds = lq.liquidation_probability(
    ...     model, lq.Venue.from_tiers([(0, 1e6, 0.005, 100)]), leverage=10, side="long", horizon="7D", n_points=256
    ... )
    >>> exact = lq.analytic.first_passage_probability(model, float(ds.liquidation_price) / 60_000, "7D")
    >>> bool(abs(ds.p_liquidation - exact) < 4 * ds.p_liquidation_se), bool(ds.p_liquidation_se < 1e-4)
    (True, True)
    """
    asked = read_position(
        n_points, n_scrambles, model=model, venue=venue, leverage=leverage, stop=stop, side=side, notional=notional,
        price=price, horizon=horizon, premium=premium, monitoring=monitoring, gap_rule=gap_rule, start=start, seed=seed,
    )  # fmt: skip
    begun = time.perf_counter()
    controls = make_controls(asked.contract, asked.model, asked.horizon)
    position = Position(asked.contract, controls.contracts, asked.mean_jumps(asked.model))
    (found,), n_paths = averages([position], asked.n_points, asked.n_scrambles, sequence_of(seed))
    values, errors = controls.adjust(found)
    return _dataset(asked, values, errors, n_paths, seed, time.perf_counter() - begun)


def _dataset(
    asked: Asked, values: np.ndarray, errors: np.ndarray, n_paths: int, seed: Any, seconds: float
) -> xr.Dataset:
    found = dict(zip(_NAMES, values.tolist(), strict=True))
    found["p_survival"] = 1.0 - (found["p_liquidation"] + found["p_stop"])
    found |= {se_name(name): error for name, error in zip(_NAMES, errors.tolist(), strict=True)}
    if asked.task.carries:
        del found["funding_cost"], found["funding_cost_se"]
    attrs = provenance("liquidation_probability", asked.inputs(), seed, n_paths, seconds)
    shaped = {name: np.full((1,) * 7, x) for name, x in found.items()}
    seen = {name: found[name] for name in _NAMES[:2]}
    note = rare_note(seen, {name: found[se_name(name)] for name in seen}, n_paths)
    return smoothed_dataset(asked.plan.dataset(shaped, np.array([n_paths]), attrs, note), asked.n_scrambles)
