"""Derivatives of one position's probability of liquidation and funding cost, pathwise and by likelihood ratios."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.durations import Duration
from liqsim.errors import ParameterError
from liqsim.models import Merton, OUPremium, PriceModel
from liqsim.perturbation import PARAMETERS, changed_model, changed_passes, chosen_steps, wide_steps
from liqsim.results import provenance, smoothed_slopes
from liqsim.smoothing.asked import Asked, rare_note, read_position, sequence_of
from liqsim.smoothing.averages import Position, averages
from liqsim.smoothing.contract import contract_of
from liqsim.smoothing.controls import Controls, make_controls
from liqsim.variables import se_name
from liqsim.venues import Venue

__all__ = ["liquidation_sensitivities"]

_FINE = 1e-3  # of the step that a difference of counts would take: all that is left of the difference is the derivative
_DIFFERENCES = "liqsim.sensitivities takes the same arguments, with n_paths for n_points and n_scrambles"
_NAMES = ("p_liquidation", "p_stop", "p_survival", "funding_cost")


def liquidation_sensitivities(
    model: PriceModel,
    venue: Venue | str,
    *,
    leverage: float,
    side: Literal["long", "short"],
    parameters: Sequence[str] | None = None,
    notional: float = 10_000.0,
    price: float = 60_000.0,
    horizon: Duration = "30D",
    premium: OUPremium | None = None,
    start: str | dt.datetime | np.datetime64 | None = None,
    n_points: int = 1024,
    n_scrambles: int = 32,
    seed: int | np.random.SeedSequence = 0,
) -> xr.Dataset:
    """Differentiate one position's probability of liquidation and funding cost, to high accuracy.

    Parameters
    ----------
    model, venue, leverage, side, notional, price, horizon, premium, start
        As in :func:`sweep`, one of each; the position has no stop, and is watched all the time.
    parameters : sequence of str, optional
        As in :func:`sensitivities`.
    n_points, n_scrambles, seed
        As in :func:`liquidation_probability`.

    Returns
    -------
    xarray.Dataset
        dim ``parameter``: derivatives of ``p_liquidation`` and ``funding_cost`` per unit of the parameter
        (``parameter_unit``; for relative changes 1 is a doubling), each with its standard error. No ``funding_cost``
        where the venue may close a position in parts.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, a parameter does not apply, or the model or the venue's rules leave
        nothing that could be differentiated path by path.
    MarginRuleError
        If the venue does not allow the position.
    VenueDataError
        If a rule needs a value that no source states.

    Notes
    -----
    :func:`liquidation_probability` gives every path a probability that is a smooth function of the parameters at given
    points, and that can be differentiated path by path: the pathwise derivative of a conditional expectation [1]_. How
    many jumps there are depends on the intensity by its law alone, which gives a likelihood ratio [2]_. The derivative
    on each path is a central difference over a step of about 6e-5 standard deviations, which is off by some 1e-8 of it,
    and has the accuracy of the path's probability but for eleven digits. The controls are those of
    :func:`liquidation_probability`, whose derivatives closed forms know as well.

    The error is the spread over scrambles, ``n_scrambles - 1`` degrees of freedom.

    References
    ----------
    .. [1] P. Glasserman (2004), Monte Carlo Methods in Financial Engineering, section 7.2.
    .. [2] ibid., section 7.3.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)], funding=lq.FixedFunding(1e-4, "8h"))
    >>> ds = lq.liquidation_sensitivities(
    ...     lq.GBM(sigma=0.6), venue, leverage=10, side="long", horizon="7D", n_points=256
    ... )
    >>> ds.parameter.values.tolist()
    ['sigma', 'drift', 'maintenance', 'funding']
    >>> bool((ds.p_liquidation_se < 1e-3 * abs(ds.p_liquidation)).all())
    True
    """
    asked = read_position(
        n_points, n_scrambles, model=model, venue=venue, leverage=leverage, side=side, notional=notional, price=price,
        horizon=horizon, premium=premium, start=start, seed=seed,
    )  # fmt: skip
    _check_smooth(asked)
    (cell,) = asked.plan.cells
    wide = chosen_steps(wide_steps(cell, asked.plan.settings, [asked.task]), parameters)
    steps = {name: _FINE * step for name, step in wide.items()}
    begun = time.perf_counter()
    here, controls = _changed(asked, "", 0.0)
    sides = [(_changed(asked, name, -step), _changed(asked, name, step)) for name, step in steps.items()]
    positions = [here, *(position for pair in sides for position, _ in pair)]
    found, n_paths = averages(positions, asked.n_points, asked.n_scrambles, sequence_of(seed))
    values, errors = np.empty((2, len(steps), len(_NAMES)))
    for k, (((_, low), (_, high)), step) in enumerate(zip(sides, steps.values(), strict=True)):
        values[k], errors[k] = low.slope_to(high, found[1 + 2 * k], found[2 + 2 * k], 2.0 * step)
    p, error = (x[0] for x in controls.adjust(found[0]))
    note = rare_note({"p_liquidation": p}, {"p_liquidation": error}, n_paths)
    return _dataset(asked, list(steps), values, errors, n_paths, seed, time.perf_counter() - begun, note)


def _check_smooth(asked: Asked) -> None:
    contract, model = asked.contract, asked.model
    why = ""
    if model.sigma == 0.0:
        why = f"model={model!r} has no diffusion"
    elif isinstance(model, Merton) and model.intensity > 0.0 and model.jump_std == 0.0:
        why = f"model={model!r} has jumps of one size"
    elif contract.checks.any() or not contract.watches.all():
        why = f"venue={next(iter(asked.plan.venues.values())).label} does not watch the price all the time"
    if why:
        raise ParameterError(f"{why}: a path is liquidated or not, and nothing is smooth; {_DIFFERENCES}")


def _changed(asked: Asked, name: str, change: float) -> tuple[Position, Controls]:
    """The position with one parameter changed, and what controls it."""
    (cell,) = asked.plan.cells
    task, model = asked.task, cell.model
    if change:
        (task,) = changed_passes(name, change, cell, asked.plan.settings, [task])
        model = changed_model(name, change, model)
    contract = contract_of(task, asked.contract.side)
    controls = make_controls(contract, model, asked.horizon)
    return Position(contract, controls.contracts, asked.mean_jumps(model)), controls


def _dataset(
    asked: Asked,
    parameters: list[str],
    values: np.ndarray,
    errors: np.ndarray,
    n_paths: int,
    seed: Any,
    seconds: float,
    note: str,
) -> xr.Dataset:
    found: dict[str, np.ndarray] = {}
    for name in ("p_liquidation",) if asked.task.carries else ("p_liquidation", "funding_cost"):
        column = _NAMES.index(name)
        found |= {name: values[:, column], se_name(name): errors[:, column]}
    attrs = provenance("liquidation_sensitivities", asked.inputs() | {"parameters": parameters}, seed, n_paths, seconds)
    units = [PARAMETERS[name] for name in parameters]
    return smoothed_slopes(found, parameters, units, asked.n_scrambles, attrs | {"notes": asked.plan.notes(note)})
