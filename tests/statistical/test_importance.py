"""Importance sampling against values that no simulation of ours has made, for events that plain paths hardly ever see.

The reference values of ``test_truths.py`` are met with importance sampling too.
"""

import json

import numpy as np
import pytest

import liqsim as lq
from liqsim.importance import choose_tilts
from liqsim.variables import ESTIMATES

SEED = 20261129
BOUND = 4.0
MODELS = {
    "gbm": lq.GBM(sigma=0.6, drift=0.3),
    "merton": lq.Merton(sigma=0.5, intensity=12, jump_mean=-0.03, jump_std=0.04),
    "kou": lq.Kou(sigma=0.6, intensity=12, p_up=0.4, eta_up=30, eta_down=25),
    "dense": lq.Kou(sigma=0.3, intensity=5000, p_up=0.55, eta_up=150, eta_down=130),
    "mostly jumps": lq.Kou(sigma=0.02, intensity=400, p_up=0.5, eta_up=40, eta_down=35),
}
FIXED = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)])


def assert_near(estimates, errors, truths, what):
    z = (np.asarray(estimates) - truths) / np.asarray(errors)
    assert np.all(np.abs(z) < BOUND), f"{what}: z = {np.round(z, 2)} at {truths}"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("horizon", ["1D", "7D"])
def test_levels_that_are_hardly_ever_reached(name, horizon):
    model = MODELS[name]
    levels = [0.55, 0.7, 0.8, 0.9, 0.97, 1.05, 1.15, 1.3, 1.6]
    ds = lq.first_passage(model, levels, horizon, n_paths=30_000, importance=True, seed=SEED)
    exact = lq.analytic.first_passage(model, np.array(levels), horizon)
    known = exact.p_hit > 1e-12
    assert_near(ds.p_hit[known], ds.p_hit_se[known], exact.p_hit[known], "P(hit)")
    assert_near(ds.alive_time[known], ds.alive_time_se[known], exact.alive_time[known], "E[min(tau, T)]")
    rare = (exact.p_hit > 1e-8) & (exact.p_hit < 1e-3)
    assert np.any(rare)
    plain = np.sqrt(exact.p_hit / 30_000)
    assert np.all(ds.p_hit_se.values[rare] < 0.4 * plain[rare])
    assert np.all(ds.p_hit_ess.values[rare] > 300)


@pytest.mark.parametrize("contract", ["linear", "inverse"])
def test_rare_liquidations_of_a_venue(contract):
    venue = lq.Venue.from_tiers([(0, 5e4, 0.004, 125), (5e4, 6e5, 0.005, 100)], contract=contract)
    ds = lq.sweep(
        MODELS["kou"], venue, leverage=[2.5, 3, 4, 6, 12], notional=3e5, horizon="2D", n_paths=30_000, importance=True,
        seed=SEED,
    ).squeeze()  # fmt: skip
    level = ds.liquidation_price.values / 60_000
    exact = lq.analytic.first_passage_probability(MODELS["kou"], level, "2D")
    assert np.min(exact) < 1e-6
    assert_near(ds.p_liquidation, ds.p_liquidation_se, exact, contract)


def test_a_target_of_one_per_cent_of_one_in_a_hundred_thousand():
    """What plain Monte Carlo needs a billion paths for."""
    model, level = lq.Kou(sigma=0.8, intensity=50, p_up=0.45, eta_up=30, eta_down=25), 0.667
    ds = lq.first_passage(model, level, "1D", rel_error=0.01, importance=True, seed=SEED).squeeze()
    exact = float(lq.analytic.first_passage_probability(model, level, "1D"))
    assert 0.5e-5 < exact < 2e-5
    assert json.loads(ds.attrs["accuracy"])["is_met"]
    assert ds.attrs["n_paths"] < 250_000 if "n_paths" in ds.attrs else ds.p_hit.attrs["n_paths"] < 250_000
    assert_near(ds.p_hit, ds.p_hit_se, exact, "P(hit)")


def test_funding_that_moves_with_the_price():
    """The premium keeps its law given the price, whatever law the price is drawn from: money paid until a stop."""
    rate, stop = 5e-4, 0.12
    venue = lq.Venue.from_tiers([(0, 1e9, 0.004, 100)], funding=lq.FixedFunding(rate, "8h", notional="entry"))
    model = MODELS["kou"]
    ds = lq.sweep(
        model, venue, leverage=1.2, stop=[stop, 0.3], horizon="5D", n_paths=40_000, importance=True, seed=SEED
    ).squeeze()
    for side, sign in (("long", 1), ("short", -1)):
        paid = sign * rate * lq.analytic.expected_alive_payments(model, 1 - sign * stop, "8h", "5D")
        here = ds.sel(side=side, stop=stop)
        assert_near(here.funding_cost, here.funding_cost_se, paid, f"funding {side}")


@pytest.mark.slow
def test_correlated_premium_without_weights_and_with():
    """By many more plain paths: funding, its effect on liquidations, and what is lost in them."""
    premium = lq.OUPremium(mean=2e-4, half_life="10h", vol=6e-4, correlation=0.7)
    given = {"leverage": [5, 8, 12], "stop": [0.06, np.inf], "horizon": "2D", "premium": premium}
    compare("bitmex-xbtusd", given)


@pytest.mark.slow
@pytest.mark.parametrize("venue", ["binance-usdm-btcusdt", "deribit-btc-perpetual", "hyperliquid-btc", "cme-mbt"])
def test_positions_that_outlive_the_first_act(venue):
    """Cuts, cooldowns and margin calls: the weight is that of the end of what was left."""
    compare(venue, {"leverage": [1.5, 2, 2.5], "stop": [0.3, np.inf], "horizon": "3D", "notional": 4e5, "top_up": 0.02})


def compare(venue, given):
    model = MODELS["kou"]
    weighted = lq.sweep(model, venue, n_paths=60_000, importance=True, seed=SEED, **given)
    plain = lq.sweep(model, venue, n_paths=6_000_000, seed=SEED + 1, **given)
    is_seen = plain.p_liquidation * 6_000_000 > 30
    assert np.any(is_seen)
    for name in ESTIMATES:
        if not np.any(plain[name].values):
            assert np.allclose(weighted[name], 0.0, rtol=0, atol=1e-12), name
            continue
        error = np.hypot(weighted[f"{name}_se"], plain[f"{name}_se"])
        z = ((weighted[name] - plain[name]) / error).where(is_seen & (plain[f"{name}_se"] < 0.2 * abs(plain[name])))
        assert float(abs(z).max().fillna(0.0)) < BOUND, f"{venue} {name}: {z.values.round(2)}"


def test_probabilities_add_up_and_weights_too():
    given = {"leverage": [3, 5, 10, 40], "stop": [0.02, 0.1, np.inf], "horizon": ["1D", "3D"]}
    ds = lq.sweep(MODELS["kou"], FIXED, n_paths=5_000, importance=True, groups=16, seed=SEED, **given)
    total = ds.p_liquidation + ds.p_stop + ds.p_survival
    assert np.allclose(total, 1.0, rtol=0, atol=1e-15)
    total = ds.p_liquidation_by_group + ds.p_stop_by_group + ds.p_survival_by_group
    assert np.allclose(total, 1.0, rtol=0, atol=1e-13)
    assert ds.p_liquidation.attrs["estimator"] == "importance sampling"
    assert float(ds.p_liquidation_ess.max()) < 5_000 * 9


@pytest.mark.slow
def test_errors_are_what_they_say():
    model, levels = MODELS["kou"], [0.7, 0.85, 0.95, 1.1, 1.4]
    exact = lq.analytic.first_passage_probability(model, levels, "2D")
    z = []
    for seed in range(60):
        ds = lq.first_passage(model, levels, "2D", n_paths=4_000, importance=True, seed=seed)
        z.append(((ds.p_hit - exact) / ds.p_hit_se).values)
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)) < BOUND / np.sqrt(60))
    assert np.all((z.std(axis=0) > 0.7) & (z.std(axis=0) < 1.35))


def test_never_seen_has_an_upper_bound():
    ds = lq.sweep(
        MODELS["gbm"], FIXED, leverage=[1.02, 5], stop=0.01, side="long", horizon="1h", n_paths=1_000, importance=True
    ).squeeze()
    bounds = lq.confidence_interval(ds).p_liquidation
    never = bounds.sel(leverage=1.02)
    assert float(ds.p_liquidation.sel(leverage=1.02)) == 0.0
    assert never.values.tolist() == pytest.approx([0.0, 3.68e-3], abs=1e-5)


def test_tilts_are_chosen_for_rare_levels_only():
    model, day = MODELS["gbm"], 86_400_000_000_000
    assert choose_tilts(model, np.array([0.999, 1.001, np.nan]), [day]) == []
    below = choose_tilts(model, np.array([0.8, 0.9]), [day])
    assert len(below) == 4
    assert all(theta < 0 for theta in below)
    years = 1 / 365
    farthest = (np.log(0.8) / years - model.log_drift) / model.sigma**2  # psi'(theta) T = b
    assert min(below) == pytest.approx(farthest, rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_tilted_laws(name):
    """The exponent of the Esscher transform is psi(u + theta) - psi(theta)."""
    model = MODELS[name]
    for theta in (-11.0, -0.5, 7.0):
        law = model.tilted(theta)
        u = np.array([-3.0, -1.0, 0.5, 2.0, 0.3 + 2j])
        expected = model.exponent(u + theta) - model.exponent(theta)
        assert np.allclose(law.exponent(u), expected, rtol=1e-9, atol=1e-12)


def test_bits_do_not_depend_on_threads():
    given = {"leverage": [3, 10], "stop": [0.05, np.inf], "horizon": "1D", "importance": True, "seed": SEED}
    one = lq.sweep(MODELS["kou"], "bitmex-xbtusd", n_paths=9_000, threads=1, **given)
    two = lq.sweep(MODELS["kou"], "bitmex-xbtusd", n_paths=9_000, threads=2, **given)
    assert one.drop_attrs().identical(two.drop_attrs())


def test_what_importance_sampling_refuses():
    given = {"leverage": 5, "horizon": "1D", "n_paths": 1_000, "importance": True}
    with pytest.raises(lq.ParameterError, match="importance=True does not go with control=True"):
        lq.sweep(MODELS["gbm"], FIXED, control=True, **given)
    with pytest.raises(lq.ParameterError, match="importance=1 is not allowed; give True or False"):
        lq.sweep(MODELS["gbm"], FIXED, **{**given, "importance": 1})
    with pytest.raises(lq.ParameterError, match="does not go with outputs"):
        lq.sweep(MODELS["gbm"], FIXED, outputs=["p_ruin"], **given)


def test_explain_tells_of_other_laws():
    plan = lq.explain(MODELS["gbm"], FIXED, leverage=[5, 20], horizon="1D", importance=True)
    assert plan.tilted == 8
    assert "8 more over paths of other laws" in str(plan)
    assert lq.explain(MODELS["gbm"], FIXED, leverage=[100], side="long", horizon="7D", importance=True).tilted == 0


def test_notes_say_from_how_many_laws_paths_were_drawn():
    nine, five = (f"Paths were drawn from {n} laws, 1,000 from each." for n in (9, 5))
    usual = "No level is rarely reached, so that all 1,000 paths were drawn from the model's own law."
    calm, wild = lq.GBM(sigma=0.2), lq.GBM(sigma=5.0)
    asked = {"horizon": "1D", "n_paths": 1000, "importance": True, "threads": 1}

    def notes(model, leverage, **more):
        return lq.sweep(model, FIXED, leverage=leverage, **asked, **more).attrs["notes"].splitlines()

    assert notes(calm, 5) == [nine]
    assert notes(calm, 5, side="long") == [five]
    assert notes(wild, 60) == [usual]
    assert notes({"calm": calm, "wild": wild}, 5, notional=[1e3, 1e4], side="long") == [
        f"calm, notional 1000; calm, notional 10000: {five}",
        f"wild, notional 1000; wild, notional 10000: {usual}",
    ]
    assert lq.first_passage(calm, [0.8, 1.2], **asked).attrs["notes"] == nine
    assert lq.first_passage(wild, [0.99], **asked).attrs["notes"] == usual
    aimed = lq.first_passage(calm, [0.9], **{**asked, "n_paths": None}, rel_error=0.05)
    assert aimed.attrs["notes"] == f"Paths were drawn from 5 laws, {aimed.attrs['n_paths']:,} from each."


@pytest.mark.parametrize("order", [("calm", "wild"), ("wild", "calm")])
def test_cells_that_need_other_laws_beside_cells_that_do_not(order):
    models = {"calm": lq.GBM(sigma=0.2), "wild": lq.GBM(sigma=5.0)}
    asked = {"leverage": 5, "side": "long", "horizon": "1D", "n_paths": 1000, "importance": True, "threads": 1}
    both = lq.sweep({name: models[name] for name in order}, FIXED, **asked)
    for name in order:
        alone = lq.sweep(models[name], FIXED, **asked)
        for variable in alone.data_vars:
            np.testing.assert_array_equal(both.sel(model=name)[variable], alone[variable], err_msg=variable)
    assert both.p_liquidation_ess.sel(model="wild").item() == both.p_liquidation.sel(model="wild").item() * 1000
