"""Changed parameters, for derivatives: what can be changed, by how much, and the passes that follow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liqsim.arguments import Settings
from liqsim.cells import Cell, cell_passes, entry_window
from liqsim.durations import DAYS_PER_YEAR, parse_days
from liqsim.engine.plan import Pass
from liqsim.engine.stress import scaled_funding, scaled_requirement
from liqsim.engine.timeline import to_nanoseconds
from liqsim.errors import ParameterError
from liqsim.models import PriceModel

__all__ = ["PARAMETERS", "changed_model", "changed_passes", "chosen_steps", "wide_steps"]

PARAMETERS = {
    "sigma": "1/sqrt(yr)",
    "intensity": "1/yr",
    "drift": "1/yr",
    "maintenance": "relative change",
    "funding": "relative change",
}
"""What can be differentiated by, and the unit of a change."""

_STEP = 0.06  # of the log return's standard deviation, or of that of a level


def wide_steps(cell: Cell, settings: Settings, base: Sequence[Pass]) -> dict[str, float | str]:
    """Step of every parameter, or why it has none.

    A step changes the log return, or a level, by about 6 % of its standard deviation.

    Parameters
    ----------
    cell : Cell
    settings : Settings
    base : sequence of Pass
        The passes of the cell.
    """
    model, venue = cell.model, cell.venue
    years = max(settings.horizons) / to_nanoseconds(1.0) / DAYS_PER_YEAR
    vol, rate = model.annual_volatility, model.jump_rate
    spread = _STEP * vol * math.sqrt(years)
    out: dict[str, float | str] = dict.fromkeys(PARAMETERS, "")
    out["sigma"] = min(_STEP * vol**2 / model.sigma, 0.2 * model.sigma) if model.sigma > 0 else "the model has none"
    out["intensity"] = min(0.2 * math.sqrt(rate / years), 0.4 * rate) if rate > 0 else "the model has no jumps"
    out["drift"] = _STEP * vol / math.sqrt(years)
    quantity = float(venue.contract.quantity(cell.notional, settings.price))
    highest, window = float(cell.grid.leverage.max()), entry_window(venue, settings)
    required = max(
        float(venue.pieces(quantity, settings.price, side, leverage=highest, window=window)(np.ones(1)).max())
        for side in cell.grid.sides
    )
    room = 0.2 * (venue.counted_share / highest - required)  # so that no position is liquidated as it is opened
    factors = [x for after, x in venue.margin_changes if to_nanoseconds(parse_days(after)) < max(settings.horizons)]
    step = min(spread / max([1.0, *factors]), room)
    out["maintenance"] = min(step / required, 0.4) if required > 0 else "the venue requires none"
    paid = max(_paid(task) for task in base)
    out["funding"] = min(spread / paid, 0.25) if paid > 0 else "nothing is paid"
    return out


def _paid(task: Pass) -> float:
    """What about is paid until the horizon, per entry notional."""
    rules, law, arrays = task.rules, task.law, task.arrays
    payments = float(arrays["pays"].sum())
    rates = abs(rules["first_rate"]) * payments + rules["scale"] * law["premium_vol"] * math.sqrt(payments)
    return rates + max(float(np.abs(arrays[name]).sum()) for name in ("charge_long", "charge_short"))


def chosen_steps(steps: Mapping[str, float | str], parameters: Any) -> dict[str, float]:
    """Steps of the parameters that are asked for, or of all that apply.

    Parameters
    ----------
    steps : mapping
        As :func:`wide_steps` returns them.
    parameters : sequence of str, str or None

    Raises
    ------
    ParameterError
        If one is unknown, named twice, or does not apply.
    """
    if parameters is None:
        return {name: step for name, step in steps.items() if isinstance(step, float)}
    try:
        names = [parameters] if isinstance(parameters, str) else [str(name) for name in parameters]
    except TypeError:
        raise ParameterError(
            f"parameters={parameters!r} is not a list of names; give some of {', '.join(steps)}"
        ) from None
    if not names or len(set(names)) != len(names):
        raise ParameterError(f"parameters={parameters!r} is empty or names one twice; give some of {', '.join(steps)}")
    chosen: dict[str, float] = {}
    for name in names:
        step = steps.get(name)
        if step is None:
            raise ParameterError(f"parameters: {name!r} is not known; give some of {', '.join(steps)}")
        if isinstance(step, str):
            raise ParameterError(f"parameters: {name!r} does not apply, {step}; leave it out")
        chosen[name] = step
    return chosen


def changed_model(name: str, change: float, model: PriceModel) -> PriceModel:
    """The model with one parameter changed; itself where the parameter is none of its own."""
    if name in ("maintenance", "funding"):
        return model
    changed: Any = model
    return dataclasses.replace(changed, **{name: getattr(model, name) + change})


def changed_passes(name: str, change: float, cell: Cell, settings: Settings, base: Sequence[Pass]) -> list[Pass]:
    """Passes of a cell with one parameter changed."""
    if name == "maintenance":
        return [scaled_requirement(task, 1.0 + change) for task in base]
    if name == "funding":
        return [scaled_funding(task, 1.0 + change) for task in base]
    return cell_passes(dataclasses.replace(cell, model=changed_model(name, change, cell.model)), settings)
