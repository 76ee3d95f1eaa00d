"""Closed forms and transform inversions: exact answers for single levels, to hold simulation against."""

from liqsim.analytic.funding import (
    HeldFunding,
    expected_alive_payments,
    expected_clamped_rate,
    held_funding,
)
from liqsim.analytic.overshoot import overshoot_probability
from liqsim.analytic.passage import (
    FirstPassage,
    expected_time_alive,
    first_passage,
    first_passage_probability,
)

__all__ = [
    "FirstPassage",
    "HeldFunding",
    "expected_alive_payments",
    "expected_clamped_rate",
    "expected_time_alive",
    "first_passage",
    "first_passage_probability",
    "held_funding",
    "overshoot_probability",
]
