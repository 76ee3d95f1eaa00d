"""``lq.liquidation_probability``: words for bad input, what it covers, its dataset, and what it is made of."""

import dataclasses
import importlib
import json
import math
import re

import numpy as np
import pytest
from scipy import stats

import liqsim as lq
from liqsim.planning import plan_sweep
from liqsim.smoothing.contract import contract_of
from liqsim.smoothing.path import Layout, Points, draw_paths
from liqsim.smoothing.strata import poisson_strata
from liqsim.smoothing.walk import _Sizes
from liqsim.venues import Closure, WholePositionTiers

KOU = lq.Kou(sigma=0.8, intensity=50, p_up=0.45, eta_up=30, eta_down=25)
MERTON = lq.Merton(sigma=0.6, intensity=12, jump_mean=-0.03, jump_std=0.04)
VENUE = lq.Venue.from_tiers([(0, 1e9, 0.005, 125)], funding=lq.FixedFunding(1e-4, "8h"))


def ask(model=KOU, venue=VENUE, **changes):
    given = {"leverage": 20, "side": "long", "horizon": "2D", "n_points": 32, "n_scrambles": 16}
    return lq.liquidation_probability(model, venue, **{**given, **changes})


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("n_points=1000 is not a power of two, which Sobol points need; give 1024", {"n_points": 1000}),
        ("n_points=8 is not allowed; give a power of two in [16, 1048576]", {"n_points": 8}),
        ("n_points=32.0 is not allowed", {"n_points": 32.0}),
        ("n_scrambles=8 is not allowed; give a whole number in [16, 256]", {"n_scrambles": 8}),
        ("n_scrambles=True is not allowed", {"n_scrambles": True}),
        ("this is about one position, and 2 were given; liqsim.sweep takes", {"leverage": [5, 10]}),
        ("this is about one position, and 2 were given", {"side": ["long", "short"]}),
        ("this is about one position, and 2 were given", {"horizon": ["1D", "2D"]}),
        ("seed=-1 is not allowed", {"seed": -1}),
        ("stop=-0.1 is not allowed", {"stop": -0.1}),
        ("gap_rule='x' is not allowed", {"gap_rule": "x"}),
        ("calls for margin, so that a position lives on after it has fallen short, which is not covered here; liqsim",
         {"venue": "cme-mbt", "leverage": 2, "notional": 1e6}),
        ("looks at accounts at its discretion, which is not covered here; liqsim.sweep",
         {"venue": lq.load_venue("kraken-spot-xbtusd").assume({"fees.taker": 0.0026}, hazard=0.5), "leverage": 2}),
        ("paths of 28800 intervals and up to 21 jumps take 28864 numbers, more than the 21201 of a Sobol point; "
         "shorten the horizon, or use a sweep", {"monitoring": "30s", "horizon": "10D"}),
    ],
)  # fmt: skip
def test_refusals_name_the_way_out(text, changes, monkeypatch):
    def refuse(*args):
        raise AssertionError("the computation started")

    monkeypatch.setattr(importlib.import_module("liqsim.smoothing.averages"), "walk", refuse)
    with pytest.raises(lq.ParameterError, match=re.escape(text)):
        ask(**changes)


def test_a_requirement_that_steps_is_refused():
    steps = WholePositionTiers(tiers=[(0, 1e5, 0.005, 100), (1e5, 1e9, 0.02, 20)])
    venue = dataclasses.replace(VENUE, margin=steps)
    with pytest.raises(lq.ParameterError, match="has a requirement that steps for the whole position"):
        ask(venue=venue, leverage=10, notional=2e5)


def test_the_dataset():
    ds = ask(stop=0.02, seed=np.random.SeedSequence(5))
    assert not ds.sizes
    assert abs(float(ds.p_liquidation + ds.p_stop + ds.p_survival) - 1.0) < 1e-15
    for name in ("p_liquidation", "p_stop", "p_survival", "funding_cost"):
        sweep = lq.sweep(KOU, VENUE, leverage=20, side="long", stop=0.02, horizon="2D", n_paths=64)[name]
        assert (ds[name].units, ds[name].long_name) == (sweep.units, sweep.long_name)
        assert ds[name].estimator == "randomised quasi-Monte Carlo"
        assert ds[f"{name}_se"].long_name == f"standard error of {name}"
    assert float(ds.leverage) == 20
    record = json.loads(ds.attrs["provenance"])
    assert record["function"] == "liquidation_probability"
    assert (record["inputs"]["n_points"], record["inputs"]["n_scrambles"]) == (32, 16)
    assert record["n_paths"] == ds.p_stop.n_paths > 32 * 16
    bounds = lq.confidence_interval(ds)
    assert bounds.p_liquidation.interval == "student-t"
    width = float(bounds.p_liquidation.sel(bound="upper") - ds.p_liquidation) / float(ds.p_liquidation_se)
    assert width == pytest.approx(stats.t.ppf(0.975, 15))


def test_same_seed_same_numbers():
    first, again, other = (ask(seed=seed) for seed in (1, np.random.SeedSequence(1), 2))
    assert float(first.p_liquidation) == float(again.p_liquidation) != float(other.p_liquidation)


def test_parts_change_what_funding_costs():
    """Where a venue may close a position in parts, what is paid until its end is not known here."""
    ds = ask(venue="binance-usdm-btcusdt", premium=lq.OUPremium(1e-4, "8h", 3e-4))
    assert "funding_cost" not in ds
    assert "p_survival" in ds


def test_memory_is_bounded(monkeypatch):
    """However few points are in memory at a time, the result is the same to rounding."""
    whole = ask(premium=lq.OUPremium(1e-4, "8h", 3e-4), n_points=256, stop=0.03)
    monkeypatch.setattr(importlib.import_module("liqsim.smoothing.averages"), "_MOST_NUMBERS", 2**10)
    parts = ask(premium=lq.OUPremium(1e-4, "8h", 3e-4), n_points=256, stop=0.03)
    for name in ("p_liquidation", "p_stop", "funding_cost"):
        assert float(parts[name]) == pytest.approx(float(whole[name]), rel=1e-3)


@pytest.mark.parametrize("mean", [0.0, 1e-19, 1e-6, 9e-5, 0.03, 1.0, 9.5, 40.0, 411.0])
def test_strata_hold_every_number_of_jumps_once(mean):
    strata = poisson_strata(mean)
    assert [s.least for s in strata] == [0, *(s.most + 1 for s in strata[:-1])]
    assert sum(s.probability for s in strata) == pytest.approx(1.0, abs=1e-15)
    for s in strata:
        law = stats.poisson(mean)
        assert s.probability == pytest.approx(law.cdf(s.most) - law.cdf(s.least - 1), rel=1e-9, abs=1e-15)
    assert stats.poisson.sf(strata[-1].most, mean) <= 1e-18
    assert not 0.0 < mean < 1e-4 or strata[0].most == 0  # no point would fall on a jump among so many without


def test_numbers_of_jumps_within_a_stratum():
    stratum = poisson_strata(40.0)[10]
    n = np.bincount(stratum.jumps((np.arange(100_000) + 0.5) / 100_000) - stratum.least) / 100_000
    masses = stats.poisson.pmf(np.arange(stratum.least, stratum.most + 1), 40.0)
    assert n == pytest.approx(masses / masses.sum(), abs=2e-5)


def test_paths_are_brownian_and_in_order():
    stratum = poisson_strata(40.0)[10]
    instants = np.array([0.2, 0.5, 1.0])
    layout = Layout(3, 2, stratum)
    points = Points(layout.dimensions, np.random.SeedSequence(1)).next(2**14, layout.dimensions)
    assert points.min() > 0.0 < 1.0 - points.max()
    paths = draw_paths(layout, instants, points)
    who = np.arange(2**14)
    assert np.all(np.diff(paths.time, axis=0) >= 0.0)
    at = np.stack([paths.motion[row, who] for row in paths.arrival])
    assert np.all(np.stack([paths.time[row, who] for row in paths.arrival]) == instants[:, np.newaxis])
    assert np.cov(at) == pytest.approx(np.minimum.outer(instants, instants), abs=0.02)
    jumps = paths.arrival[-1] - 3 - (paths.first - 1)
    assert set(np.unique(jumps)) == set(range(stratum.least, stratum.most + 1))
    before = paths.arrival[0] - paths.first  # those in the first fifth
    assert before.mean() == pytest.approx(0.2 * jumps.mean(), rel=0.01)
    z = np.diff(paths.motion, axis=0) / np.sqrt(np.maximum(np.diff(paths.time, axis=0), 1e-300))
    assert stats.kstest(z[-1], "norm").statistic < 0.01
    assert np.cov(paths.premium) == pytest.approx(np.eye(2), abs=0.02)


@pytest.mark.parametrize("e", [1.0, -1.0])
@pytest.mark.parametrize("model", [KOU, MERTON, dataclasses.replace(KOU, p_up=0.0), dataclasses.replace(KOU, p_up=1.0)])
def test_sizes_of_jumps(model, e):
    (task,) = plan_sweep(model, VENUE, leverage=20, side="long").make_all()
    sizes = _Sizes(task.law, e)
    y = np.linspace(-0.2, 0.2, 41)
    assert sizes.below(y) + sizes.above(y) == pytest.approx(np.ones(41), abs=1e-15)
    p = (np.arange(4096) + 0.5) / 4096
    assert sizes.above(sizes.at(p)) == pytest.approx(p, abs=1e-12)
    assert sizes.at(p).mean() == pytest.approx(e * model.jump_moment(1), abs=2e-5)
    assert sizes.below(np.array([-np.inf])) == 0.0
    assert sizes.above(np.array([-np.inf])) == 1.0


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("kind", ["linear", "inverse"])
def test_levels_are_liquidation_prices(kind, side):
    """Tiers, a fee reserved, what has been paid: the level is the price that the rules give."""
    rows = [(0, 5e4, 0.005, 100), (5e4, 1e6, 0.02, 20), (1e6, 1e9, 0.05, 10)]
    venue = lq.Venue.from_tiers(rows, contract=kind, taker_fee=5e-4, funding=lq.FixedFunding(1e-4, "8h"))
    name, notional = ("long", "short")[side], 2e5
    (task,) = plan_sweep(KOU, venue, leverage=8, side=name, notional=notional).make_all()
    contract = contract_of(task, side)
    quantity = float(venue.contract.quantity(notional, 60_000.0))
    for paid in (0.0, 0.02, -0.01):
        price = lq.liquidation_price(
            venue, name, entry_price=60_000.0, quantity=quantity, leverage=8,
            funding_paid=paid * float(venue.contract.value(quantity, 60_000.0)),
        )  # fmt: skip
        level = float(contract.liquidation_level(0, np.array(paid)))
        assert 60_000.0 * math.exp(contract.e * level) == pytest.approx(float(price), rel=1e-12)


def test_instants_at_which_nothing_happens_are_left_out():
    free = lq.Venue.from_tiers([(0, 1e9, 0.005, 125)])
    for venue, n in ((free, 1), (VENUE, 90), (lq.load_venue("bitmex-xbtusd"), 90)):
        (task,) = plan_sweep(KOU, venue, leverage=20, side="long").make_all()
        contract = contract_of(task, 0)
        assert len(contract.end) == n
        assert contract.end[-1] == 30 / 365
        assert contract.has_closed_form == (venue is free)


def test_no_jumps_and_no_payments_are_a_closed_form():
    ds = ask(lq.GBM(sigma=0.6), lq.Venue.from_tiers([(0, 1e9, 0.005, 125)]), stop=0.03)
    exact = lq.analytic.first_passage_probability(lq.GBM(sigma=0.6), 0.97, "2D")
    assert float(ds.p_stop) == pytest.approx(exact, abs=1e-13)
    assert float(ds.p_liquidation) == 0.0
    assert float(ds.p_stop_se) < 1e-12
    assert ds.attrs["n_paths"] == 0


def test_a_rare_event_is_noted():
    """What the points may miss is said, and which way leads on."""
    venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)], funding=lq.FixedFunding(1e-4, "8h"))
    given = {"side": "long", "horizon": "1D", "n_points": 64}
    rare = lq.liquidation_probability(lq.GBM(sigma=0.6), venue, leverage=5, **given)
    usual = lq.liquidation_probability(lq.GBM(sigma=0.6), venue, leverage=20, **given)
    assert float(rare.p_liquidation) < 1e-5
    assert "importance=True" in rare.attrs["notes"]
    assert usual.attrs["notes"] == ""


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("parameters: 'vega' is not known; give some of sigma, intensity, drift", {"parameters": "vega"}),
        ("parameters=3 is not a list of names; give some of sigma, intensity, drift", {"parameters": 3}),
        ("""parameters: "['sigma']" is not known; give some of""", {"parameters": [["sigma"]]}),
        ("parameters: 'intensity' does not apply, the model has no jumps; leave it out",
         {"model": lq.GBM(0.5), "parameters": ["sigma", "intensity"]}),
        ("this is about one position, and 2 were given", {"leverage": [5, 10]}),
        ("n_points=1000 is not a power of two", {"n_points": 1000}),
        ("has no diffusion: a path is liquidated or not, and nothing is smooth; liqsim.sensitivities takes",
         {"model": dataclasses.replace(KOU, sigma=0.0)}),
        ("has jumps of one size: a path", {"model": dataclasses.replace(MERTON, jump_std=0.0)}),
        ("does not watch the price all the time: a path",
         {"venue": dataclasses.replace(VENUE, closures=(Closure("Fri 16:00", "Sun 17:00", "America/Chicago"),)),
          "start": "2026-03-05T15:00", "horizon": "5D"}),
    ],
)  # fmt: skip
def test_what_cannot_be_differentiated(text, changes, monkeypatch):
    def refuse(*args):
        raise AssertionError("the computation started")

    monkeypatch.setattr(importlib.import_module("liqsim.smoothing.averages"), "walk", refuse)
    given = {"model": KOU, "venue": VENUE, "leverage": 20, "side": "long", "horizon": "2D", "n_points": 32}
    with pytest.raises(lq.ParameterError, match=re.escape(text)):
        lq.liquidation_sensitivities(**given | changes)


def test_the_dataset_of_derivatives():
    given = {"model": KOU, "venue": VENUE, "leverage": 20, "side": "long", "horizon": "2D"}
    ds = lq.liquidation_sensitivities(**given, n_points=32, n_scrambles=16, seed=1)
    assert ds.sizes == {"parameter": 5}
    assert ds.parameter_unit.values.tolist() == ["1/sqrt(yr)", "1/yr", "1/yr", "relative change", "relative change"]
    sweep = lq.sensitivities(**given, n_paths=64)
    for name in ("p_liquidation", "funding_cost"):
        assert (ds[name].units, ds[name].long_name) == (sweep[name].units, sweep[name].long_name)
        assert ds[name].attrs["degrees_of_freedom"] == 15
        assert (ds[f"{name}_se"] > 0).all()
    assert json.loads(ds.attrs["provenance"])["inputs"]["parameters"] == ds.parameter.values.tolist()
    one = lq.liquidation_sensitivities(**given, parameters="drift", n_points=32, n_scrambles=16, seed=1)
    assert float(one.p_liquidation[0]) == pytest.approx(float(ds.p_liquidation.sel(parameter="drift")), rel=1e-9)
    reset = given | {"venue": dataclasses.replace(VENUE, margin_changes=(("1D", 2.0),))}
    smooth, counts = lq.liquidation_sensitivities(**reset, n_points=32), lq.sensitivities(**reset, n_paths=64)
    assert smooth.attrs["notes"] == counts.attrs["notes"] == "custom: 2 times the maintenance requirement from 1D on."
    rare = lq.liquidation_sensitivities(
        **given | {"leverage": 2, "horizon": "6h"}, parameters="sigma", n_points=32, n_scrambles=16
    )
    assert re.search("p_liquidation is below 0.0., so that few of the .* points see it", rare.attrs["notes"])
