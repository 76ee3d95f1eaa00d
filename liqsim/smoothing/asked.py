"""What is asked for: one position under rules that are covered, and how many points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim.engine.plan import SIDES, Pass
from liqsim.engine.terms import CALL, CONVEX, ONE_RATE
from liqsim.errors import ParameterError
from liqsim.models import PriceModel
from liqsim.planning import Plan, plan_sweep
from liqsim.smoothing.averages import SWEEP
from liqsim.smoothing.contract import Contract, contract_of

__all__ = ["Asked", "rare_note", "read_position", "sequence_of"]

_RARE = 1e-5
_LEAST_SEEN = 30  # points in the event's share of the unit cube: fewer say too little of what they miss
_ROUNDING = 1e-9  # of the probability


@dataclass(frozen=True)
class Asked:
    """One position, and the points that are to look at it.

    Parameters
    ----------
    plan : Plan
        Of one cell.
    task : Pass
        Its pass.
    contract : Contract
    n_points, n_scrambles : int
    """

    plan: Plan
    task: Pass
    contract: Contract
    n_points: int
    n_scrambles: int

    @property
    def model(self) -> PriceModel:
        """Its price model."""
        return self.plan.cells[0].model

    @property
    def horizon(self) -> np.timedelta64:
        """When it ends."""
        return np.timedelta64(self.plan.settings.horizons[0], "ns")

    def mean_jumps(self, model: PriceModel) -> float:
        """Jumps that a model has until the horizon, on average."""
        return model.jump_rate * float(self.contract.end[-1])

    def inputs(self) -> dict[str, Any]:
        """Arguments that change the numbers, as plain values."""
        return self.plan.inputs() | {"n_points": self.n_points, "n_scrambles": self.n_scrambles}


def read_position(n_points: Any, n_scrambles: Any, **position: Any) -> Asked:
    """Check what is asked for.

    Parameters
    ----------
    n_points : int
        A power of two in [16, 2**20].
    n_scrambles : int
        In [16, 256].
    **position
        Arguments of :func:`liqsim.sweep` that make one cell.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, or the venue's rules are not covered.
    MarginRuleError
        If the venue does not allow the position.
    VenueDataError
        If a rule needs a value that no source states.
    """
    points = _whole("n_points", n_points, 16, 2**20, "a power of two in [16, 1048576]")
    if points & (points - 1):
        nearest = 2 ** round(np.log2(points))
        raise ParameterError(f"n_points={n_points!r} is not a power of two, which Sobol points need; give {nearest}")
    scrambles = _whole("n_scrambles", n_scrambles, 16, 256, "a whole number in [16, 256]")
    plan = plan_sweep(position.pop("model"), position.pop("venue"), n_paths=points * scrambles, **position)
    if plan.n_cells != 1:
        raise ParameterError(f"this is about one position, and {plan.n_cells} were given; {SWEEP}")
    (task,) = plan.make_all()
    side = SIDES.index(plan.grid.sides[0])
    _check_covered(task, side, next(iter(plan.venues.values())).label)
    return Asked(plan, task, contract_of(task, side), points, scrambles)


def sequence_of(seed: int | np.random.SeedSequence) -> np.random.SeedSequence:
    """A seed as a seed sequence."""
    return seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(int(seed))


def rare_note(probabilities: Mapping[str, float], errors: Mapping[str, float], n_paths: int) -> str:
    """What to know of probabilities that are too small for the points to see, one line each.

    Those of a closed form, whose error is that of rounding, are none of them.
    """
    least = max(_RARE, _LEAST_SEEN / max(n_paths, 1))
    rare = [name for name, p in probabilities.items() if abs(p) < least and errors[name] > _ROUNDING * abs(p)]
    return "\n".join(
        f"{name} is below {least:.1g}, so that few of the {n_paths:,} points see it and its error may be too small; "
        f"give more n_points, or use liqsim.sweep(importance=True), which is for rare events"
        for name in rare
    )


def _whole(name: str, value: Any, low: int, high: int, allowed: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ParameterError(f"{name}={value!r} is not allowed; give {allowed}")
    return int(value)


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
        raise ParameterError(f"venue={label} {why}, which is not covered here; {SWEEP}")
