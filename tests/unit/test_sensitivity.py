"""Derivatives: what is changed and by how much, shapes, words for bad input."""

import dataclasses
import importlib
import math
import re

import numpy as np
import pytest

import liqsim as lq
from liqsim.arguments import read_grid, read_settings
from liqsim.cells import Cell, cell_passes
from liqsim.engine.stress import scaled_funding, scaled_requirement
from liqsim.perturbation import PARAMETERS
from liqsim.reference import simulate_path
from liqsim.reference.paths import Payment
from liqsim.venues import Contract, LinearInSize, MarginalTiers

GBM = lq.GBM(sigma=0.6)
KOU = lq.Kou(sigma=0.6, intensity=50, p_up=0.4, eta_up=30, eta_down=25)
FUNDING = lq.FixedFunding(1e-4, "8h")
VENUE = lq.Venue.from_tiers([(0, 5e4, 0.005, 100), (5e4, 1e6, 0.02, 20)], funding=FUNDING)
PREMIUM = lq.OUPremium(mean=2e-4, half_life="8h", vol=6e-4)


def refused(text):
    return pytest.raises(lq.ParameterError, match=re.escape(text))


def derive(model=KOU, venue=VENUE, **changes):
    given = {"leverage": [5, 10], "stop": [0.1, math.inf], "horizon": "2D", "n_paths": 320, "seed": 1}
    return lq.sensitivities(model, venue, **{**given, **changes})


def one_pass(venue, premium=None):
    settings = read_settings(
        [2 * 86_400 * 10**9], premium=premium, price=60_000.0, monitoring="continuous", gap_rule="liquidation",
        start=None, top_up=0.0, n_paths=10, seed=3, threads=1,
    )  # fmt: skip
    (task,) = cell_passes(Cell(KOU, venue, 4e4, read_grid([3, 5], math.inf, ["long", "short"])), settings)
    return task


@pytest.mark.parametrize(
    ("kind", "schedule"),
    [
        ("linear", lambda f: MarginalTiers(tiers=[(0, 3e4, 0.01 * f, 50), (3e4, None, 0.03 * f, 20)])),
        ("inverse", lambda f: MarginalTiers(tiers=[(0, None, 0.01 * f, 50)], charged_on="entry")),
        ("inverse", lambda f: LinearInSize(maintenance_base=0.01 * f, initial_base=0.1, slope=2e-3 * f)),
    ],
    ids=["tiers", "entry value", "grows with size"],
)
def test_a_scaled_requirement_is_that_of_a_venue_with_scaled_rates(kind, schedule):
    def rules(factor):
        margin = schedule(factor)
        if isinstance(margin, LinearInSize):  # the slope also raises the initial rate, which does not matter here
            margin = dataclasses.replace(margin, initial_base=0.1)
        return dataclasses.replace(lq.Venue.from_tiers([(0, 1e9, 0.01, 50)]), contract=Contract(kind), margin=margin)

    ours = scaled_requirement(one_pass(rules(1.0)), 1.3).rules["tiers"]
    theirs = one_pass(rules(1.3)).rules["tiers"]
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            for name in ("rates", "deductions", "slope", "fee", "lines"):
                np.testing.assert_allclose(a[name], b[name], rtol=1e-12, err_msg=name)
            assert {k: a[k] for k in ("form", "caps", "on_mark")} == {k: b[k] for k in ("form", "caps", "on_mark")}


@pytest.mark.parametrize(
    "rule",
    [
        FUNDING,
        lq.PremiumFunding("8h", interest=2e-4, clamp=1e-4, cap=3e-4, notional="entry"),
        lq.PremiumFunding("4h", interest=2e-4, clamp=1e-4, cap=6e-4, smoothing=0.5, change_cap=1e-4),
        lq.Rollover(long_rate=2e-4, short_rate=1e-4, opening_long=2e-4, opening_short=3e-4),
    ],
    ids=["fixed", "premium", "smoothed", "rollover"],
)
def test_scaled_funding_pays_so_much_more_at_every_stamp(rule):
    task = one_pass(lq.Venue.from_tiers([(0, 1e9, 0.01, 50)], funding=rule), PREMIUM)
    found = [
        [(e.funding, *e.charge) for e in simulate_path(t, 5).events if isinstance(e, Payment)]
        for t in (task, scaled_funding(task, 1.25))
    ]
    assert np.abs(found[0]).sum() > 0
    np.testing.assert_allclose(found[1], 1.25 * np.array(found[0]), rtol=1e-12)


def test_shape_names_and_units():
    ds = derive(horizon=["1D", "2D"])
    assert set(ds.data_vars) == {"p_liquidation", "p_liquidation_se", "funding_cost", "funding_cost_se", "step"}
    assert ds.p_liquidation.dims == ("parameter", "horizon", "side", "leverage", "stop")
    assert ds.parameter.values.tolist() == list(PARAMETERS)
    assert ds.parameter_unit.values.tolist() == list(PARAMETERS.values())
    assert np.isfinite(ds.p_liquidation_se).all()
    assert (ds.p_liquidation_se.sel(parameter="sigma", stop=math.inf, leverage=10) > 0).all()
    assert ds.p_liquidation.attrs["units"] == "1 per unit of the parameter"
    assert "funding paid" in ds.funding_cost.attrs["long_name"]
    assert derive().p_liquidation.dims == ("parameter", "side", "leverage", "stop")


def test_those_that_apply_are_taken_in_order():
    assert derive(GBM, lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])).parameter.values.tolist() == [
        "sigma", "drift", "maintenance",
    ]  # fmt: skip
    assert derive(parameters=["funding", "sigma"]).parameter.values.tolist() == ["funding", "sigma"]
    every, one = derive(), derive(parameters=["drift"])
    np.testing.assert_array_equal(every.p_liquidation.sel(parameter="drift"), one.p_liquidation.sel(parameter="drift"))


def test_a_position_near_its_limit_is_not_liquidated_as_it_is_opened():
    ds = derive(GBM, lq.Venue.from_tiers([(0, 1e9, 0.005, 200)]), leverage=[10, 199], parameters="maintenance")
    assert 2 * ds.step.item() * 0.005 < 1 / 199 - 0.005


def test_same_bits_on_any_number_of_threads():
    a, b = derive(threads=1), derive(threads=2)
    for name in a.data_vars:
        assert a[name].values.tobytes() == b[name].values.tobytes()


def test_bad_input(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the simulation started")

    monkeypatch.setattr(importlib.import_module("liqsim.cells"), "run_groups", refuse)
    with refused("parameters: 'vega' is not known; give some of sigma, intensity, drift, maintenance, funding"):
        derive(parameters=["vega"])
    with refused("parameters: 'intensity' does not apply, the model has no jumps; leave it out"):
        derive(GBM, parameters=["sigma", "intensity"])
    with refused("parameters: 'funding' does not apply, nothing is paid; leave it out"):
        derive(venue=lq.Venue.from_tiers([(0, 1e9, 0.005, 100)]), parameters="funding")
    with refused("parameters: 'sigma' does not apply, the model has none; leave it out"):
        derive(dataclasses.replace(KOU, sigma=0.0), parameters="sigma")
    with refused("parameters=[] is empty or names one twice"):
        derive(parameters=[])
    with refused("parameters=['sigma', 'sigma'] is empty or names one twice"):
        derive(parameters=["sigma", "sigma"])
    with refused("n_paths=31 are too few for an error bar; give at least 32"):
        derive(n_paths=31)
    with refused("is not a PriceModel"):
        derive([GBM, KOU])
    with refused("is a list; give one and call once for each"):
        derive(venue=[VENUE, "bitmex-xbtusd"])
    with refused("notional=[10000.0, 20000.0] is a list"):
        derive(notional=[1e4, 2e4])
