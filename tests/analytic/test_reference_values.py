"""Published and independently computed first-passage values, each within its stated bound."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from liqsim.analytic import expected_clamped_rate, first_passage, held_funding
from liqsim.models import GBM, Kou, Merton, OUPremium, PriceModel

DAYS_PER_YEAR = 365.0


def price_model(case: dict) -> PriceModel:
    p = case["params"]
    model: PriceModel
    if case["model"] == "kou":
        model = Kou(p["sigma"], p["lam"], p["p"], p["eta1"], p["eta2"])
    elif case["model"] == "merton":
        model = Merton(p["sigma"], p["lam"], p["muJ"], p["delta"])
    else:
        model = GBM(p["sigma"])
    drift = p["mu"] if "mu" in p else p["log_drift"] - model.log_drift
    return dataclasses.replace(model, drift=drift)


def cases(shared: Path, model: str, monitoring: str) -> list[dict]:
    found = [
        case
        for case in json.loads((shared / "reference" / "truths_public.json").read_text())
        if case["model"] == model
        and case["quantity"] in ("prob_liquidation", "expected_min_tau_T_years")
        and case["contract"].get("monitoring") == monitoring
        and "n_funding" not in case["contract"]
    ]
    assert found
    return found


def level(contract: dict) -> float:
    stop = contract.get("stop_distance")
    barrier = contract["barrier_log"]
    if stop is None:
        return math.exp(barrier)
    if contract["side"] == "long":
        return max(1 - stop, math.exp(barrier))
    return min(1 + stop, math.exp(barrier))


@pytest.mark.parametrize("model", ["gbm", "kou", "merton"])
@pytest.mark.parametrize("monitoring", ["continuous", "discrete"])
def test_first_passage(shared: Path, model: str, monitoring: str) -> None:
    wrong = []
    for case in cases(shared, model, monitoring):
        contract = case["contract"]
        seconds = contract["horizon_years"] * DAYS_PER_YEAR * 86400
        checks = "continuous" if monitoring == "continuous" else f"{seconds / contract['n_monitoring']!r}s"
        law = first_passage(price_model(case), level(contract), f"{seconds!r}s", checks)
        if case["quantity"] == "prob_liquidation":
            value, bound = law.p_hit, law.p_hit_bound
        else:
            value, bound = law.alive_time / DAYS_PER_YEAR, law.alive_time_bound / DAYS_PER_YEAR
        assert bound < 1e-12
        if not abs(value - case["value"]) <= case["abs_error_bound"] + bound:
            wrong.append((case["id"], value, case["value"], case["abs_error_bound"], bound))
    assert not wrong


def test_clamped_rate(shared: Path) -> None:
    found = 0
    for case in json.loads((shared / "reference" / "truths_public.json").read_text()):
        if case["quantity"] == "expected_funding_rate" and case["model"] == "gaussian_premium":
            p = case["params"]
            value = expected_clamped_rate(p["mean"], p["std"], p["interest"], p["clamp"])
            assert abs(value - case["value"]) < 1e-18
            found += 1
    assert found


def test_held_funding_tends_to_continuous_accrual(shared: Path) -> None:
    found = {}
    for case in json.loads((shared / "reference" / "truths_public.json").read_text()):
        if case["id"].startswith("funding-hold-01"):
            found[case["quantity"]] = case
    case = found["expected_funding_per_entry_notional"]
    p, days = case["params"], case["contract"]["horizon_days"]
    premium = OUPremium(
        mean=p["theta"],
        half_life=f"{math.log(2) / p['kappa_f'] * DAYS_PER_YEAR!r}D",
        vol=p["xi"] / math.sqrt(2 * p["kappa_f"]),
        initial=p["f0"],
    )
    n = 200_000
    law = held_funding(premium, f"{days / n!r}D", f"{days}D")
    per_payment = days / DAYS_PER_YEAR / n
    std = found["std_funding_per_entry_notional"]["value"]
    assert law.mean * per_payment == pytest.approx(case["value"], rel=2e-5)
    assert law.std * per_payment == pytest.approx(std, rel=2e-5)
