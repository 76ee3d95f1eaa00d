"""What is asked for by name against values that no simulation of ours has made. Every |z| is below 4."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

import liqsim as lq

sys.path.insert(0, str(Path(__file__).parent))
from reference_values import horizon_of, load, model_of, nanoseconds

INF = math.inf
SEED = 20261126
BOUND = 4.0
N = 200_000
GBM = lq.GBM(sigma=0.8, drift=-0.5)
KOU = lq.Kou(sigma=0.6, intensity=60, p_up=0.45, eta_up=45, eta_down=40)
FREE = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])


def assert_agrees(estimate, se, exact, what):
    z = (float(estimate) - float(exact)) / float(se)
    assert abs(z) < BOUND, f"{what}: {float(estimate)} against {float(exact)}, z = {z:.2f}"


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_time_given_liquidation_and_given_survival(model, side):
    """``E[tau; tau <= T] = E[min(tau, T)] - T P(tau > T)``."""
    ds = lq.sweep(
        model, FREE, leverage=[5, 20], side=side, horizon="7D", n_paths=N, seed=SEED, outputs="exit_time_given"
    )
    for leverage in (5, 20):
        level = (1 - 1 / leverage) / 0.995 if side == "long" else (1 + 1 / leverage) / 1.005
        law = lq.analytic.first_passage(model, level, "7D")
        here = ds.sel(leverage=leverage).squeeze()
        exact = (law.alive_time - 7 * (1 - law.p_hit)) / law.p_hit
        closed = here.sel(given="liquidation")
        assert_agrees(closed.exit_time_given, closed.exit_time_given_se, float(exact), f"{side} {leverage}")
        assert float(here.exit_time_given.sel(given="survival")) == pytest.approx(7, abs=1e-6)


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
def test_funding_given_the_stop(model):
    """A fixed rate times the stamps before the stop: ``sum_k P(t_k < tau <= T) / P(tau <= T)``."""
    rate, stop = 2e-4, 0.04
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.FixedFunding(rate, "8h", notional="entry"))
    ds = lq.sweep(
        model, venue, leverage=1.5, stop=stop, horizon="5D", n_paths=N, seed=SEED, outputs="funding_cost_given"
    )
    for side, sign in (("long", 1), ("short", -1)):
        level = 1 - sign * stop
        alive = lq.analytic.expected_alive_payments(model, level, "8h", "5D")
        p = lq.analytic.first_passage_probability(model, level, "5D")
        here = ds.sel(side=side).squeeze()
        stopped = here.sel(given="stop")
        exact = sign * rate * float((alive - 15 * (1 - p)) / p)
        assert_agrees(stopped.funding_cost_given, stopped.funding_cost_given_se, exact, side)
        held = here.sel(given="survival")
        assert float(held.funding_cost_given) == pytest.approx(sign * 15 * rate, abs=1e-8)


def test_profit_given_survival():
    """``E[S_T; tau > T] = exp(drift T) P'(tau > T)``, where under P' the log drift is larger by the variance."""
    tilted = lq.GBM(sigma=0.8, drift=-0.5 + 0.8**2)
    ds = lq.sweep(GBM, FREE, leverage=[4, 15], side="long", horizon="7D", n_paths=N, seed=SEED, outputs="pnl_given")
    for leverage in (4, 15):
        level = (1 - 1 / leverage) / 0.995
        p, q = (lq.analytic.first_passage_probability(m, level, "7D") for m in (GBM, tilted))
        exact = math.exp(-0.5 * 7 / 365) * (1 - q) / (1 - p) - 1
        here = ds.sel(leverage=leverage, given="survival").squeeze()
        assert_agrees(here.pnl_given, here.pnl_given_se, float(exact), leverage)


@pytest.mark.slow
def test_reference_losses_beyond_the_margin(shared):
    """Probability of a loss beyond the margin, and its mean given liquidation."""
    truths = load(shared)
    done = 0
    for truth in truths:
        params, contract = truth["params"], truth["contract"]
        if truth["quantity"] not in ("prob_liquidated_beyond_bankruptcy", "expected_bad_debt_per_entry_notional"):
            continue
        venue = lq.Venue.from_tiers(
            [(0, 1e9, contract["maintenance_margin_rate"], contract["leverage"])], contract=contract["kind"]
        )
        ds = lq.sweep(
            model_of(params), venue, leverage=contract["leverage"], side=contract["side"],
            horizon=horizon_of(contract), n_paths=1_000_000, seed=SEED, outputs=["p_shortfall", "shortfall_given"],
        ).squeeze()  # fmt: skip
        if truth["quantity"].startswith("prob"):
            assert_agrees(ds.p_shortfall, ds.p_shortfall_se, truth["value"], truth["id"])
        else:
            p = lq.analytic.first_passage_probability(
                model_of(params), math.exp(contract["barrier_log"]), horizon_of(contract)
            )
            given = ds.sel(given="liquidation")
            assert_agrees(given.shortfall_given, given.shortfall_given_se, truth["value"] / float(p), truth["id"])
        done += 1
    assert done >= 6


def test_standard_errors_match_the_spread_over_seeds():
    runs = [
        lq.sweep(
            KOU, FREE, leverage=20, stop=0.03, side="long", horizon="2D", n_paths=2000, seed=s, threads=1,
            outputs=["exit_time_given", "pnl_given", "p_shortfall", "p_ruin"],
        ).squeeze()
        for s in range(150)
    ]  # fmt: skip
    for name, given in [
        ("exit_time_given", "stop"),
        ("pnl_given", "stop"),
        ("pnl_given", "survival"),
        ("p_ruin", None),
    ]:
        values, errors = (
            np.array([float(ds[key] if given is None else ds[key].sel(given=given)) for ds in runs])
            for key in (name, f"{name}_se")
        )
        assert np.std(values, ddof=1) == pytest.approx(math.sqrt(np.mean(errors**2)), rel=BOUND / math.sqrt(2 * 149)), (
            name
        )


HOURLY = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], funding=lq.FixedFunding(0.0, "1h"))


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_liquidation_by_each_time(model, side):
    ds = lq.sweep(
        model, HOURLY, leverage=[6, 30], side=side, horizon="7D", n_paths=N, seed=SEED, outputs="p_liquidation_by",
        times=["1h", "5h", "1D", "76h", "6D"],
    )  # fmt: skip
    assert ds.time.values.tolist() == [x * 3_600_000_000_000 for x in (1, 5, 24, 76, 144, 168)]
    for leverage in (6, 30):
        level = (1 - 1 / leverage) / 0.995 if side == "long" else (1 + 1 / leverage) / 1.005
        for time in ds.time.values:
            exact = lq.analytic.first_passage_probability(model, level, time)
            here = ds.sel(leverage=leverage, time=time).squeeze()
            if exact * N > 10:
                assert_agrees(here.p_liquidation_by, here.p_liquidation_by_se, exact, f"{side} {leverage} {time}")


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
def test_stop_by_each_time(model):
    ds = lq.sweep(
        model, HOURLY, leverage=2, stop=[0.02, 0.08], side="long", horizon="2D", n_paths=N, seed=SEED,
        outputs="p_stop_by",
    )  # fmt: skip
    for stop in (0.02, 0.08):
        for hours in (1, 7, 30, 48):
            time = np.timedelta64(hours, "h")
            exact = lq.analytic.first_passage_probability(model, 1 - stop, time)
            here = ds.sel(stop=stop, time=time).squeeze()
            if exact * N > 10:
                assert_agrees(here.p_stop_by, here.p_stop_by_se, exact, f"{stop} {hours}")


def test_quantiles_of_the_time_to_liquidation():
    ds = lq.sweep(
        GBM, HOURLY, leverage=[8, 20], side="long", horizon="5D", n_paths=N, seed=SEED, outputs="time_to_liquidation",
        quantiles=[0.1, 0.5, 0.9],
    )  # fmt: skip
    for leverage in (8, 20):
        level = (1 - 1 / leverage) / 0.995
        p = lq.analytic.first_passage_probability(GBM, level, "5D")
        for q in (0.1, 0.5, 0.9):

            def missing(days, level=level, p=p, q=q):
                time = nanoseconds(days)
                return float(lq.analytic.first_passage_probability(GBM, level, time) - q * p)

            exact = optimize.brentq(missing, 1e-3, 5)
            here = ds.sel(leverage=leverage, quantile=q).squeeze()
            assert_agrees(here.time_to_liquidation, here.time_to_liquidation_se, exact, f"{leverage} {q}")


def lognormal(p, side="long"):
    """Quantile of the terminal P&L of GBM over 7 days without an exit, and mean of the worst share ``p``."""
    t = 7 / 365
    scale, sign = GBM.sigma * math.sqrt(t), 1 if side == "long" else -1
    z = sign * stats.norm.ppf(p)
    q = sign * math.expm1(GBM.log_drift * t + scale * z)
    return q, sign * (math.exp(GBM.drift * t) * stats.norm.cdf(sign * (z - scale)) / p - 1)


@pytest.mark.parametrize("side", ["long", "short"])
def test_profit_at_the_horizon(side):
    """Without an exit: quantiles and tail means of the lognormal law."""
    quantiles = [0.001, 0.01, 0.05, 0.5, 0.9, 0.999]
    ds = lq.sweep(
        GBM, FREE, leverage=1, side=side, horizon="7D", n_paths=N, seed=SEED, quantiles=quantiles,
        outputs=["pnl_quantile", "value_at_risk", "expected_shortfall"],
    ).squeeze()  # fmt: skip
    for p in quantiles:
        here = ds.sel(quantile=p)
        q, mean = lognormal(p, side)
        assert_agrees(here.pnl_quantile, here.pnl_quantile_se, q, f"quantile {p}")
        assert float(here.value_at_risk) == -float(here.pnl_quantile)
        assert_agrees(here.expected_shortfall, here.expected_shortfall_se, -mean, f"expected shortfall {p}")


def below(x, level):
    """``P(X_T <= x, min X > level)`` of GBM over 7 days, by reflection."""
    t = 7 / 365
    m, s = GBM.log_drift * t, GBM.sigma * math.sqrt(t)
    turned = math.exp(2 * m * level / s**2)
    cdf = stats.norm.cdf
    return cdf((x - m) / s) - cdf((level - m) / s) - turned * (cdf((x - 2 * level - m) / s) - cdf((-level - m) / s))


@pytest.mark.parametrize(("leverage", "stop"), [(10, INF), (10, 0.05), (3, 0.15)])
def test_distribution_of_the_profit_with_an_exit(leverage, stop):
    """A lost margin or a stop's fill, and beyond it the law of the survivors."""
    ds = lq.sweep(
        GBM, FREE, leverage=leverage, stop=stop, side="long", horizon="7D", n_paths=N, seed=SEED,
        outputs=["p_pnl_below", "value_at_risk", "expected_shortfall"],
    ).squeeze()  # fmt: skip
    level = max((1 - 1 / leverage) / 0.995, 1 - stop)
    lost = 1 / leverage if level > 1 - stop else stop
    p = float(lq.analytic.first_passage_probability(GBM, level, "7D"))
    for x in ds.pnl_level.values[::3]:
        exact = (p if x > -lost else 0.0) + (below(math.log1p(x), math.log(level)) if 1 + x > level else 0.0)
        here = ds.sel(pnl_level=x)
        if abs(x + lost) > 1e-6 and 10 / N < exact < 1 - 10 / N:
            assert_agrees(here.p_pnl_below, here.p_pnl_below_se, exact, f"P(P&L < {x})")
    worst = ds.sel(quantile=0.05)
    width = (lost + 0.001) / 32
    assert abs(float(worst.value_at_risk) - lost) < BOUND * float(worst.value_at_risk_se) + 1e-7
    assert float(worst.value_at_risk_se) < 0.1 * width
    assert float(worst.expected_shortfall) == pytest.approx(lost, abs=0.1 * width)


def test_the_mean_of_all_is_the_worst_share_of_one():
    """Tail means tie the bins to the sums: of nearly all paths they are the mean P&L."""
    venue = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], taker_fee=5e-4, funding=lq.FixedFunding(3e-4, "8h"))
    ds = lq.sweep(
        KOU, venue, leverage=[3, 20, 60], stop=[0.02, 0.1, INF], horizon="10D", n_paths=20_000, seed=SEED,
        outputs="expected_shortfall", quantiles=np.nextafter(1, 0),
    )  # fmt: skip
    np.testing.assert_allclose(-ds.expected_shortfall.squeeze(), ds.pnl, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ds.expected_shortfall_se.squeeze(), ds.pnl_se, rtol=1e-3)


def test_reference_extremes(shared):
    """Quantile and tail mean of the running minimum."""
    truths = {t["id"]: t for t in load(shared)}
    quantile, tail = truths["quantile-01"], truths["cvar-01"]
    model, p = model_of(quantile["params"]), quantile["contract"]["tail_probability"]
    levels = np.linspace(-0.7, -0.15, 221)
    found = []
    for seed in range(32):
        ds = lq.first_passage(model, np.exp(levels), "7D", n_paths=20_000, seed=seed)
        hit = ds.p_hit.values
        q = np.interp(p, hit, levels)
        inner = levels < q
        x, f = np.append(levels[inner], q), np.append(hit[inner], p)
        found.append((q, q - np.trapezoid(f, x) / p))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(32)
    assert_agrees(mean[0], error[0], quantile["value"], "quantile")
    assert_agrees(mean[1], error[1], tail["value"], "tail mean")
    rate = 1e-6
    answer = lq.max_leverage(
        model, lq.Venue.from_tiers([(0, 1e9, rate, 1000)]), p, horizon="7D", n_paths=100_000, seed=SEED
    )
    assert_agrees(answer.value, answer.se, 1 / (1 - (1 - rate) * math.exp(quantile["value"])), "max_leverage")


def covered(name, exact, runs, **where):
    bounds = [lq.confidence_interval(ds[[name, f"{name}_se"]])[name].sel(where).values.ravel() for ds in runs]
    low, high = np.transpose(bounds)
    return np.mean((low <= exact) & (exact <= high))


@pytest.mark.slow
def test_coverage():
    """Over 500 seeds, 95 % intervals cover 95 %, give or take their noise of a point and the bias of 100 in a tail."""
    runs = [
        lq.sweep(
            GBM, FREE, leverage=[1, 20], side="long", horizon="7D", n_paths=2000, seed=seed, threads=1,
            quantiles=[0.05, 0.5], outputs=["pnl_quantile", "expected_shortfall", "exit_time_given", "pnl_given"],
        )
        for seed in range(500)
    ]  # fmt: skip
    noise = BOUND * math.sqrt(0.05 * 0.95 / 500)
    for p in (0.05, 0.5):
        q, mean = lognormal(p)
        assert abs(covered("pnl_quantile", q, runs, leverage=1, quantile=p) - 0.95) < noise
        assert abs(covered("expected_shortfall", -mean, runs, leverage=1, quantile=p) - 0.945) < noise
    law = lq.analytic.first_passage(GBM, (1 - 1 / 20) / 0.995, "7D")
    exact = (law.alive_time - 7 * (1 - law.p_hit)) / law.p_hit
    assert abs(covered("exit_time_given", float(exact), runs, leverage=20, given="liquidation") - 0.95) < noise
