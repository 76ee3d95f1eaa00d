"""Where the price lands beyond a level, against independent values, limits and the whole first-passage law."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liqsim.analytic import first_passage_probability, overshoot_probability
from liqsim.errors import ParameterError
from liqsim.models import GBM, Kou, Merton

KOU = Kou(sigma=0.6, intensity=60, p_up=0.4, eta_up=30, eta_down=25, drift=0.1)


def test_reference_values(shared: Path) -> None:
    """The probability, and for a long the mean loss beyond bankruptcy, ``bankruptcy/(eta + 1)`` of it."""
    done = 0
    for case in json.loads((shared / "reference" / "truths_public.json").read_text()):
        kinds = {"prob_liquidated_beyond_bankruptcy": 0.0, "expected_bad_debt_per_entry_notional": 1.0}
        if case["model"] != "kou" or case["quantity"] not in kinds:
            continue
        p, contract = case["params"], case["contract"]
        assert contract["side"] == "long"
        model = Kou(p["sigma"], p["lam"], p["p"], p["eta1"], p["eta2"])
        model = dataclasses.replace(model, drift=p["log_drift"] - model.log_drift)
        bankrupt = contract["bankruptcy_ratio"]
        value = overshoot_probability(model, contract["barrier_ratio"], bankrupt, f"{contract['horizon_days']}D")
        if kinds[case["quantity"]]:
            value *= bankrupt / (model.eta_down + 1)
        assert abs(value - case["value"]) <= case["abs_error_bound"] + 1e-13, case["id"]
        done += 1
    assert done >= 4


def test_without_a_jump_on_that_side_nothing_lands_beyond() -> None:
    levels = np.array([0.9, 1.1])
    assert overshoot_probability(dataclasses.replace(KOU, intensity=0.0), levels, levels, "7D").tolist() == [0.0, 0.0]
    assert overshoot_probability(dataclasses.replace(KOU, p_up=0.0), levels, levels, "7D")[1] == 0.0
    assert overshoot_probability(dataclasses.replace(KOU, p_up=1.0), levels, levels, "7D")[0] == 0.0


def test_jumps_and_the_brownian_motion_share_the_passages() -> None:
    levels = np.array([0.8, 0.9, 0.97, 1.02, 1.1, 1.3])
    by_jump = overshoot_probability(KOU, levels, levels, "7D")
    whole = first_passage_probability(KOU, levels, "7D")
    assert np.all((by_jump > 0) & (by_jump < whole))


def test_when_it_hardly_diffuses_jumps_lead_down() -> None:
    """With a log drift ``m > 0`` it creeps over ``d`` with probability ``exp(-2 m d/sigma^2)``, else it has to jump."""
    m, sigma, levels = 0.05, 1e-3, np.array([0.8, 0.9, 0.97])
    model = dataclasses.replace(KOU, sigma=sigma)
    model = dataclasses.replace(model, drift=model.drift - model.log_drift + m)
    by_jump = overshoot_probability(model, levels, levels, "7D")
    creeping = first_passage_probability(model, levels, "7D") / by_jump - 1
    np.testing.assert_allclose(creeping, model.eta_down * sigma**2 / (2 * m), rtol=0.05)


def test_the_one_jump_that_a_short_time_holds() -> None:
    """Over a millisecond a far level is passed by one jump or not at all: ``rate T p exp(-eta a)`` to first order."""
    horizon = 1e-3 / (365 * 86400)
    value = overshoot_probability(KOU, 0.8, 0.7, "0.001s")
    first = KOU.intensity * horizon * (1 - KOU.p_up) * 0.7**KOU.eta_down
    assert value == pytest.approx(first, rel=1e-3, abs=1e-14)


def test_the_law_beyond_the_level_is_a_power() -> None:
    beyond = np.array([0.9, 0.85, 0.7, 0.3])
    p = overshoot_probability(KOU, 0.9, beyond, "7D")
    np.testing.assert_allclose(p / p[0], (beyond / 0.9) ** KOU.eta_down, rtol=1e-12)
    up = overshoot_probability(KOU, [[1.05], [1.1]], [1.1, 1.4], "7D")
    assert up.shape == (2, 2)
    np.testing.assert_allclose(up[:, 1] / up[:, 0], (1.4 / 1.1) ** -KOU.eta_up, rtol=1e-12)
    assert overshoot_probability(KOU, 1.05, 1.1, "7D") == pytest.approx(up[0, 0], rel=1e-12)


@pytest.mark.parametrize(
    ("model", "level", "beyond", "message"),
    [
        (GBM(0.6), 0.9, 0.8, "has no closed form for where a jump lands; give liqsim.Kou, or simulate"),
        (Merton(0.6, 10, 0.0, 0.1), 0.9, 0.8, "has no closed form for where a jump lands"),
        (dataclasses.replace(KOU, sigma=0.0), 0.9, 0.8, "sigma=0 has no closed-form first passage"),
        (KOU, 1.0, 0.8, "level=1.0 is not allowed"),
        (KOU, 0.9, 0.95, "beyond=0.95 is not beyond level=0.9; give price ratios in (0, level] for a level below 1"),
        (KOU, 0.9, [0.8, 0.0], "beyond=0.0 is not beyond level=0.9"),
        (KOU, [0.9, 1.1], 0.8, "beyond=0.8 is not beyond level=1.1"),
        (KOU, 0.9, math.nan, "give finite numbers: where the jump lands, over the starting price"),
        (KOU, [0.9, 0.8], [0.7] * 3, "beyond has shape (3,), which does not broadcast against that of level, (2,)"),
    ],
)
def test_bad_input(model: Any, level: Any, beyond: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        overshoot_probability(model, level, beyond, "7D")
