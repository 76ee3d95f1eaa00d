"""Maximum likelihood: recovery of known parameters, standard errors, and what cannot be fitted."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from liqsim import GBM, Kou, Merton
from liqsim.calibrate import FitResult, ReturnCounts, compare, fit
from liqsim.errors import CalibrationError, ParameterError
from liqsim.models.price import PriceModel

HOUR = 1 / 8760
GBM_TRUE = GBM(sigma=0.8, drift=0.3)
MERTON_TRUE = Merton(sigma=0.36, intensity=3000.0, jump_mean=-0.0004, jump_std=0.0125, drift=0.4)
KOU_TRUE = Kou(sigma=0.3, intensity=5000.0, p_up=0.55, eta_up=160.0, eta_down=135.0, drift=0.4)


def simulate(model: PriceModel, n: int, seed: int, dt: float = HOUR) -> np.ndarray:
    rng = np.random.default_rng(seed)
    jumps = rng.poisson(model.jump_rate * dt, n)
    x = model.log_drift * dt + model.sigma * math.sqrt(dt) * rng.standard_normal(n)
    if isinstance(model, Merton):
        x += model.jump_mean * jumps + model.jump_std * np.sqrt(jumps) * rng.standard_normal(n)
    if isinstance(model, Kou):
        up = rng.binomial(jumps, model.p_up)
        x += rng.standard_gamma(up) / model.eta_up - rng.standard_gamma(jumps - up) / model.eta_down
    return x


def z_scores(result: FitResult, true: PriceModel) -> dict[str, float]:
    return {name: (result.params[name] - getattr(true, name)) / se for name, se in result.se.items()}


@pytest.mark.parametrize("true", [GBM_TRUE, MERTON_TRUE, KOU_TRUE], ids=lambda model: model.name)
def test_parameters_are_recovered(true: PriceModel) -> None:
    counts = ReturnCounts.from_returns(simulate(true, 40_000, seed=11), "1h")
    result = fit(type(true), counts)
    assert result.converged, result.note
    assert set(result.se) == set(result.params)
    z = z_scores(result, true)
    assert max(map(abs, z.values())) < 4, z
    difference = np.array([result.params[name] - getattr(true, name) for name in result.free])
    joint = difference @ np.linalg.solve(np.array(result.covariance), difference)
    assert joint < len(z) + 5 * math.sqrt(2 * len(z)), joint


def test_rare_large_jumps_are_recovered() -> None:
    true = Kou(sigma=0.6, intensity=60.0, p_up=0.4, eta_up=30.0, eta_down=25.0)
    result = fit("kou", ReturnCounts.from_returns(simulate(true, 60_000, seed=3), "1h"))
    z = z_scores(result, true)
    assert result.converged
    assert max(map(abs, z.values())) < 4, z


@pytest.mark.parametrize("true", [GBM_TRUE, MERTON_TRUE, KOU_TRUE], ids=lambda model: model.name)
def test_counts_and_returns_give_the_same_fit(true: PriceModel) -> None:
    returns = simulate(true, 8_000, seed=5)
    raw = fit(true.name, returns, interval="1h")
    binned = fit(true.name, ReturnCounts.from_returns(returns, "1h", bin_width=1e-4))
    assert raw.converged
    assert binned.converged
    for name, se in raw.se.items():
        assert abs(raw.params[name] - binned.params[name]) < 0.15 * se
        assert binned.se[name] == pytest.approx(se, rel=0.05)
    assert binned.loglik == pytest.approx(raw.loglik, abs=3)


def test_gbm_has_the_textbook_estimate() -> None:
    returns = simulate(GBM_TRUE, 3000, seed=2)
    result = fit(GBM, returns, interval=np.timedelta64(1, "h"))
    sigma = returns.std() / math.sqrt(HOUR)
    assert result.params["sigma"] == pytest.approx(sigma, rel=1e-7)
    assert result.params["drift"] == pytest.approx(returns.mean() / HOUR + sigma**2 / 2, rel=1e-6)
    assert result.se["sigma"] == pytest.approx(sigma / math.sqrt(2 * 3000), rel=1e-4)
    exact = -1500 * (math.log(2 * math.pi * returns.var()) + 1)
    assert result.loglik == pytest.approx(exact, abs=1e-6)
    assert result.aic == pytest.approx(4 - 2 * exact)
    assert result.bic == pytest.approx(2 * math.log(3000) - 2 * exact)


def test_the_estimate_is_a_maximum() -> None:
    counts = ReturnCounts.from_returns(simulate(KOU_TRUE, 10_000, seed=8), "1h")
    result = fit("kou", counts)

    def loglik(model: PriceModel) -> float:
        return float(np.array(counts.count) @ np.log(counts.model_probabilities(model) / counts.bin_width))

    assert loglik(result.model) == pytest.approx(result.loglik, abs=1e-6)
    for name, se in result.se.items():
        for sign in (-1, 1):
            moved = result.model_with(**{name: result.params[name] + 0.2 * sign * se})
            loss = result.loglik - loglik(moved)
            assert 0.01 < loss < 0.6, (name, loss)


def test_nested_models_gain_likelihood_and_aic_picks_the_truth() -> None:
    counts = ReturnCounts.from_returns(simulate(KOU_TRUE, 20_000, seed=21), "1h")
    fits = [fit(name, counts) for name in ("gbm", "merton", "kou")]
    table = compare(fits)
    assert [r.model.name for r in table.results] == ["kou", "merton", "gbm"]
    assert table.best is fits[2]
    assert table.to_dict()[0]["delta_aic"] == 0
    assert "AIC" in str(table)
    assert compare({"a": fits[0]}).best is fits[0]


def test_a_fixed_drift_is_held_and_has_no_error() -> None:
    counts = ReturnCounts.from_returns(simulate(KOU_TRUE, 10_000, seed=8), "1h")
    free, held = fit("kou", counts), fit("kou", counts, drift=0.0)
    assert held.model.total_drift == 0
    assert held.fixed == ("drift",)
    assert "drift" not in held.se
    assert "fixed" in held.summary()
    assert held.n_params == 5
    assert (
        0 <= free.loglik - held.loglik == pytest.approx(0.5 * (free.params["drift"] / free.se["drift"]) ** 2, rel=0.1)
    )
    assert free.model_with(drift=0.0).total_drift == 0
    assert free.model_with(drift=0.0).sigma == free.model.sigma


def test_stored_fits_come_back() -> None:
    result = fit("merton", ReturnCounts.from_returns(simulate(MERTON_TRUE, 5000, seed=8), "1h"))
    assert FitResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert result.correlation.shape == (5, 5)
    assert np.diag(result.correlation) == pytest.approx(np.ones(5))
    assert "std. error" in result.summary()
    with pytest.raises(CalibrationError, match="not a stored fit"):
        FitResult.from_dict({"model": {"model": "heston"}})


def test_jumps_that_are_not_there_are_reported() -> None:
    returns = simulate(GBM_TRUE, 4000, seed=4)
    result, gbm = fit("merton", returns, interval="1h"), fit("gbm", returns, interval="1h")
    assert "intensity" in result.note
    assert "note:" in result.summary()
    assert gbm.loglik - 0.01 <= result.loglik < gbm.loglik + 6
    assert gbm.bic < result.bic


@pytest.mark.slow
def test_a_collapsing_variance_is_reported() -> None:
    returns = simulate(GBM_TRUE, 1500, seed=4)
    returns[np.random.default_rng(0).random(returns.size) < 0.6] = 0.0
    result = fit("kou", ReturnCounts.from_returns(returns, "1h"))
    assert not result.converged
    assert result.at_bound == ("sigma",)
    assert "sigma" not in result.se
    assert "at bound" in result.summary()
    assert "NOT CONVERGED" in result.summary()
    assert math.isfinite(fit("merton", returns, interval="1h").loglik)


def test_stale_prices_are_noted() -> None:
    returns = simulate(GBM_TRUE, 1500, seed=4)
    returns[::8] = 0.0
    assert "exactly zero" in fit("gbm", returns, interval="1h").note


@pytest.mark.slow
def test_standard_errors_cover_the_truth() -> None:
    z = []
    for seed in range(12):
        counts = ReturnCounts.from_returns(simulate(MERTON_TRUE, 8_000, seed=100 + seed), "1h", bin_width=5e-4)
        z.append(list(z_scores(fit("merton", counts), MERTON_TRUE).values()))
    inside = (np.abs(z) < 1.96).mean()
    assert 0.82 < inside <= 1.0, inside
    assert 0.7 < np.std(z) < 1.35


@pytest.mark.slow
@pytest.mark.parametrize("true", [MERTON_TRUE, KOU_TRUE], ids=lambda model: model.name)
def test_standard_errors_are_calibrated(true: PriceModel) -> None:
    z = []
    for seed in range(120):
        counts = ReturnCounts.from_returns(simulate(true, 10_000, seed=1000 + seed), "1h", bin_width=5e-4)
        z.append(list(z_scores(fit(true.name, counts), true).values()))
    inside = (np.abs(z) < 1.96).mean(axis=0)
    assert (inside > 0.88).all(), inside
    assert np.std(z, axis=0) == pytest.approx(np.ones(len(z[0])), abs=0.25)
    assert np.abs(np.mean(z, axis=0)).max() < 4 / math.sqrt(120)


GOOD = 0.01 * np.random.default_rng(0).standard_normal(500)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("heston", GOOD), "model='heston' cannot be fitted; give one of gbm, merton, kou"),
        (("mertn", GOOD), "did you mean 'merton'"),
        ((3, GOOD), "cannot be fitted"),
        (("gbm", GOOD[:50]), "holds 50 values; at least 100"),
        (("gbm", np.append(GOOD, np.nan)), r"returns\[500\]=nan is not allowed"),
        (("gbm", GOOD.reshape(2, -1)), r"shape \(2, 250\)"),
        (("gbm", np.full(500, 0.01)), "never moves"),
        (("gbm", ["a"] * 500), "returns are not numbers"),
    ],
)
def test_what_cannot_be_fitted(arguments: tuple[object, object], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        fit(*arguments, interval="1h")


def test_intervals_and_drifts_are_checked() -> None:
    with pytest.raises(CalibrationError, match="interval is missing"):
        fit("gbm", GOOD)
    with pytest.raises(ParameterError, match="interval='hour'"):
        fit("gbm", GOOD, interval="hour")
    with pytest.raises(CalibrationError, match=r"drift=nan is not allowed; .*\[-1000, 1000\] 1/yr"):
        fit("gbm", GOOD, interval="1h", drift=float("nan"))
    counts = ReturnCounts.from_returns(GOOD, "1h")
    with pytest.raises(CalibrationError, match="differs from the 1h of the counts"):
        fit("gbm", counts, interval="1D")
    with pytest.raises(CalibrationError, match="not a parameter of gbm; give sigma, drift"):
        fit("gbm", counts).model_with(mu=0.0)


def test_likelihoods_of_different_data_do_not_compare() -> None:
    with pytest.raises(CalibrationError, match="results mix data"):
        compare([fit("gbm", GOOD, interval="1h"), fit("gbm", GOOD[1:], interval="1h")])
    with pytest.raises(CalibrationError, match="results is empty"):
        compare([])
