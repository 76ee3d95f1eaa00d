from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from liqsim.analytic import (
    expected_alive_payments,
    expected_clamped_rate,
    expected_time_alive,
    first_passage,
    first_passage_probability,
    held_funding,
)
from liqsim.errors import ParameterError
from liqsim.models import GBM, Kou, Merton, OUPremium

MODEL = GBM(0.6)


@pytest.mark.parametrize("compute", [first_passage, first_passage_probability, expected_time_alive])
@pytest.mark.parametrize(
    ("level", "message"),
    [
        (1.0, "level=1.0 is not allowed; give price ratios in (0, 1), reached downward, or (1, inf)"),
        (0.0, "level=0.0 is not allowed"),
        ([0.5, -2.0], "level=-2.0 is not allowed"),
        (math.nan, "give finite numbers: the level over the starting price"),
        ([0.9, math.inf], "give finite numbers"),
        ("0.9", "level='0.9' is not allowed; give finite numbers"),
        (True, "level=True is not allowed"),
        (None, "level=None is not allowed"),
    ],
)
def test_level(compute: Any, level: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        compute(MODEL, level, "7D")


@pytest.mark.parametrize("horizon", ["7", 7, "-1D", "0D", "7 fortnights", None])
def test_horizon(horizon: Any) -> None:
    with pytest.raises(ParameterError, match=r"horizon=.*positive duration with a unit"):
        first_passage_probability(MODEL, 0.9, horizon)


@pytest.mark.parametrize(
    ("monitoring", "message"),
    [
        ("never", 'monitoring=\'never\' cannot be read; give "continuous" or an interval such as "1h"'),
        ("7h", "monitoring='7h' does not divide horizon='1D': 3.42857 intervals"),
        ("2D", "monitoring='2D' does not divide horizon='1D': 0.5 intervals"),
        (5, "monitoring=5 has no unit"),
    ],
)
def test_monitoring(monitoring: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        first_passage_probability(MODEL, 0.9, "1D", monitoring=monitoring)


def test_model() -> None:
    with pytest.raises(ParameterError, match=r"model='gbm' is not a price model; give liqsim\.GBM, Kou or Merton"):
        first_passage_probability("gbm", 0.9, "1D")  # type: ignore[arg-type]
    for model in (Kou(0.0, 10, 0.5, 30, 30), Merton(0.0, 10, 0.0, 0.1)):
        with pytest.raises(ParameterError, match=r"sigma=0 .*give sigma > 0 \[1/sqrt\(yr\)\]"):
            first_passage_probability(model, 0.9, "1D")


def test_jumps_of_one_size_are_refused_with_the_way_out() -> None:
    with pytest.raises(ParameterError, match=r"jumps of one size .*simulate with liqsim\.first_passage"):
        first_passage_probability(Merton(0.3, 50, -0.05, 0.0), 0.9, "7D")


def test_funding_arguments() -> None:
    premium = OUPremium(mean=1e-4, half_life="8h", vol=3e-4)
    with pytest.raises(ParameterError, match=r"std=-0\.1 is not allowed; give numbers in \[0, inf\)"):
        expected_clamped_rate(0.0, [0.1, -0.1], 0.0, 1e-4)
    with pytest.raises(ParameterError, match=r"clamp=-1\.0 is not allowed"):
        expected_clamped_rate(0.0, 0.1, 0.0, -1)
    with pytest.raises(ParameterError, match=r"mean=nan is not allowed; give finite numbers"):
        expected_clamped_rate(np.nan, 0.1, 0.0, 1e-4)
    with pytest.raises(ParameterError, match=r"premium=1 is not a premium model; give liqsim\.OUPremium"):
        held_funding(1, "8h", "1D")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"interval='1s' makes .* payments over horizon='1y'.*longer interval"):
        held_funding(premium, "1s", "1y")
    with pytest.raises(ParameterError, match=r"interval=8 has no unit"):
        expected_alive_payments(MODEL, 0.9, 8, "1D")  # type: ignore[arg-type]
