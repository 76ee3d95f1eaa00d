"""The front door of the estimator for one position: checks, strata, scrambles, and the dataset."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.analytic import gbm
from liqsim.durations import Duration
from liqsim.engine.plan import SIDES, Pass
from liqsim.engine.terms import CALL, CONVEX, ONE_RATE
from liqsim.errors import ParameterError
from liqsim.models import OUPremium, PriceModel
from liqsim.planning import Plan, plan_sweep
from liqsim.results import provenance, smoothed_dataset
from liqsim.smoothing.contract import Contract, contract_of
from liqsim.smoothing.controls import make_controls
from liqsim.smoothing.path import Layout, Points, draw_paths
from liqsim.smoothing.strata import Stratum, poisson_strata
from liqsim.smoothing.walk import walk
from liqsim.variables import se_name
from liqsim.venues import Venue

__all__ = ["estimate", "liquidation_probability"]

_MOST_DIMENSIONS = 21_201  # of SciPy's Sobol sequence
_MOST_NUMBERS = 2**21  # coordinates of the points that are in memory at a time, in some 10 arrays of 16 MB
_NAMES = ("p_liquidation", "p_stop", "p_survival", "funding_cost")
_RARE = 1e-5
_RARER = "liqsim.sweep(importance=True) is for events as rare as this."
_SWEEP = "liqsim.sweep takes the same arguments, with n_paths for n_points and n_scrambles"


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
    degrees of freedom. Corrected probabilities sum to 1 but may leave [0, 1] by a fraction of their error. Where an
    event needs several rare things at once (below 1e-5, without a control that shares it) the points may miss them all,
    and the error with them; ``attrs["notes"]`` says so then, and :func:`sweep` with ``importance`` is for such events.

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
    points = _whole("n_points", n_points, 16, 2**20, "a power of two in [16, 1048576]")
    if points & (points - 1):
        nearest = 2 ** round(np.log2(points))
        raise ParameterError(f"n_points={n_points!r} is not a power of two, which Sobol points need; give {nearest}")
    scrambles = _whole("n_scrambles", n_scrambles, 16, 256, "a whole number in [16, 256]")
    plan = plan_sweep(
        model, venue, leverage=leverage, stop=stop, side=side, notional=notional, price=price, horizon=horizon,
        premium=premium, monitoring=monitoring, gap_rule=gap_rule, start=start, n_paths=points * scrambles, seed=seed,
    )  # fmt: skip
    if plan.n_cells != 1:
        raise ParameterError(f"this is about one position, and {plan.n_cells} were given; {_SWEEP}")
    (task,) = plan.make_all()
    label = next(iter(plan.venues.values())).label
    _check_covered(task, SIDES.index(plan.grid.sides[0]), label)
    contract = contract_of(task, SIDES.index(plan.grid.sides[0]))
    begun = time.perf_counter()
    law = next(iter(plan.models.values()))
    controls = make_controls(contract, law, np.timedelta64(plan.settings.horizons[0], "ns"))
    mean_jumps = law.jump_rate * float(contract.end[-1])
    found, n_paths = estimate(contract, controls.contracts, mean_jumps, points, scrambles, _sequence(seed))
    values, errors = controls.adjust(found)
    return _dataset(plan, values, errors, n_paths, (points, scrambles), seed, time.perf_counter() - begun, task)


def _whole(name: str, value: Any, low: int, high: int, allowed: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ParameterError(f"{name}={value!r} is not allowed; give {allowed}")
    return int(value)


def _sequence(seed: int | np.random.SeedSequence) -> np.random.SeedSequence:
    return seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(int(seed))


def _check_covered(task: Pass, side: int, label: str) -> None:
    forms = {pair[side]["form"] for pair in task.rules["tiers"][: task.rules["occasion"]]}
    why = ""
    if task.rules["procedure"]["kind"] == CALL:
        why = "calls for margin, so that a position lives on after it has fallen short"
    elif task.law["visit_share"] > 0:
        why = "looks at accounts at its discretion"
    elif not forms <= {CONVEX, ONE_RATE}:
        why = "has a requirement that steps for the whole position, and with it no single level"
    if why:
        raise ParameterError(f"venue={label} {why}, which is not covered here; {_SWEEP}")


def _layout(contract: Contract, stratum: Stratum) -> Layout:
    return Layout(len(contract.end), int(np.count_nonzero(contract.pays)) if contract.has_premium else 0, stratum)


def estimate(
    contract: Contract,
    controls: Sequence[Contract],
    mean_jumps: float,
    n_points: int,
    n_scrambles: int,
    seed: np.random.SeedSequence,
) -> tuple[np.ndarray, int]:
    """Estimates of every scramble, and the number of paths walked.

    Parameters
    ----------
    contract : Contract
    controls : sequence of Contract
        To be stopped at a level on the same paths.
    mean_jumps : float
        Expected jumps until the horizon.
    n_points, n_scrambles : int
    seed : numpy.random.SeedSequence

    Returns
    -------
    ndarray of shape (3 + control, scramble)
        Liquidation, stop and funding, and the stop of every control.
    int

    Raises
    ------
    ParameterError
        If a path takes more numbers than a Sobol point has.

    Notes
    -----
    Every stratum takes the next stretch of the same sequences, the longest first, so that each starts at a multiple of
    its length and is as evenly spread as the first points of a sequence.
    """
    total, n_paths = np.zeros((3 + len(controls), n_scrambles)), 0
    strata = poisson_strata(mean_jumps)
    likeliest = max(stratum.probability for stratum in strata)
    drawn = []
    for stratum in strata:
        if stratum.most == 0 and contract.has_closed_form:
            exact = np.append(_without_jumps(contract), [_without_jumps(control)[1] for control in controls])
            total += stratum.probability * exact[:, np.newaxis]
        else:
            drawn.append((stratum.points(n_points, likeliest), stratum))
    dimensions = max((_layout(contract, stratum).dimensions for _, stratum in drawn), default=0)
    if dimensions > _MOST_DIMENSIONS:
        raise ParameterError(
            f"paths of {len(contract.end)} intervals and up to {strata[-1].most} jumps take {dimensions} numbers, more "
            f"than the {_MOST_DIMENSIONS} of a Sobol point; shorten the horizon, or use a sweep: {_SWEEP}"
        )
    keys = [
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, k), pool_size=seed.pool_size)
        for k in range(n_scrambles if drawn else 0)
    ]
    sequences = [Points(dimensions, key) for key in keys]
    for n, stratum in sorted(drawn, key=lambda item: -item[0]):
        total += stratum.probability * _stratum_means(contract, controls, _layout(contract, stratum), n, sequences)
        n_paths += n * n_scrambles
    return total, n_paths


def _stratum_means(
    contract: Contract, controls: Sequence[Contract], layout: Layout, n: int, sequences: list[Points]
) -> np.ndarray:
    """Means over ``n`` points of every scramble, of shape (3 + control, scramble), a few points at a time."""
    width = max(_MOST_NUMBERS // max(layout.n_events, layout.dimensions), 1)
    step = min(n, 2 ** (width.bit_length() - 1))
    means = []
    together = max(width // n, 1)
    for first in range(0, len(sequences), together):
        some = sequences[first : first + together]
        sums = np.zeros((3 + len(controls), len(some)))
        for _ in range(0, n, step):
            points = np.concatenate([sequence.next(step, layout.dimensions) for sequence in some])
            paths = draw_paths(layout, contract.end, points)
            found = walk(contract, paths)
            values = [found.liquidation, found.stop, found.funding, *(walk(c, paths).stop for c in controls)]
            sums += np.reshape(values, (len(values), len(some), step)).sum(axis=-1)
        means.append(sums / n)
    return np.concatenate(means, axis=1)


def _without_jumps(contract: Contract) -> np.ndarray:
    """Liquidation, stop and funding where levels stay and the price does not jump."""
    law = contract.task.law
    level = float(contract.liquidation_level(int(contract.requirement[0]), np.array(contract.entry_charge)))
    nearest = max(level, contract.stop)
    out = np.array([0.0, 0.0, contract.entry_charge])
    if np.isfinite(nearest):
        is_first = contract.task.rules["liquidation_first"]
        is_liquidation = level >= contract.stop if is_first else level > contract.stop
        p = gbm.invert(
            np.array([-nearest]), -contract.e * law["log_drift"], law["sigma"], float(contract.end[-1])
        ).probability
        out[0 if is_liquidation else 1] = p[0]
    return out


def _dataset(
    plan: Plan,
    values: np.ndarray,
    errors: np.ndarray,
    n_paths: int,
    asked: tuple[int, int],
    seed: Any,
    seconds: float,
    task: Pass,
) -> xr.Dataset:
    found = dict(zip(_NAMES, values.tolist(), strict=True))
    found["p_survival"] = 1.0 - (found["p_liquidation"] + found["p_stop"])
    found |= {se_name(name): error for name, error in zip(_NAMES, errors.tolist(), strict=True)}
    if task.carries:
        del found["funding_cost"], found["funding_cost_se"]
    inputs = plan.inputs() | {"n_points": asked[0], "n_scrambles": asked[1]}
    attrs = provenance("liquidation_probability", inputs, seed, n_paths, seconds)
    shaped = {name: np.full((1,) * 7, x) for name, x in found.items()}
    rare = [name for name in _NAMES[:2] if abs(found[name]) < _RARE and found[se_name(name)] > 0.0]
    note = "\n".join(f"{name} is below {_RARE:g}: the points may miss what makes it; {_RARER}" for name in rare)
    return smoothed_dataset(plan.dataset(shaped, np.array([n_paths]), attrs, note), asked[1])
