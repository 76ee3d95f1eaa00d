"""The margin schedule of a venue whose figures no source gave: it says so wherever one is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from numpy.typing import ArrayLike

from liqsim.errors import VenueDataError
from liqsim.venues.contract import FloatArray, SizeUnit
from liqsim.venues.margin import LONG, ChargedOn, Requirement, ScheduleBase, Terms

__all__ = ["ScheduleShape", "UnstatedSchedule"]

ScheduleShape: TypeAlias = Literal["MarginalTiers", "WholePositionTiers", "FixedPerContract"]


@dataclass(frozen=True, kw_only=True)
class UnstatedSchedule(ScheduleBase):
    """A schedule of known shape and unknown numbers.

    Parameters
    ----------
    shape : {"MarginalTiers", "WholePositionTiers", "FixedPerContract"}
        Type to fill in.
    unit, charged_on
        As in :class:`liqsim.venues.tiers.MarginalTiers`.
    closing_fee_rate : float, default 0
        Closing fee reserved on top of the requirement.
    """

    shape: ScheduleShape
    unit: SizeUnit = "quote"
    charged_on: ChargedOn = "mark"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("shape", ScheduleShape)
        self._choice("unit", SizeUnit)
        self._choice("charged_on", ChargedOn)

    def _refuse(self) -> NoReturn:
        raise VenueDataError(
            f"no source states this venue's margin figures ({self.shape}, charged on {self.charged_on} "
            f"value, closing fee {self.closing_fee_rate:g}); give them with Venue.assume"
        )

    @property
    def max_notional(self) -> float:
        """Not stated."""
        return math.inf

    def maintenance(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        self._refuse()

    def initial(self, size: ArrayLike, terms: Terms = LONG) -> FloatArray:
        self._refuse()

    def initial_rate(self, size: ArrayLike, value: ArrayLike, terms: Terms = LONG) -> FloatArray:
        self._refuse()

    def requirement(self, size: ArrayLike, value: ArrayLike, moves: bool, terms: Terms = LONG) -> Requirement:
        self._refuse()

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "UnstatedSchedule",
            "shape": self.shape,
            "unit": self.unit,
            "charged_on": self.charged_on,
            "closing_fee_rate": self.closing_fee_rate,
        }
