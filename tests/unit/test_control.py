"""Control variates: exact where the control is the answer, sums, shapes, bits, words for bad input."""

import dataclasses
import importlib
import json
import math
import re

import numpy as np
import pytest

import liqsim as lq
from liqsim.control import _slopes

INF = math.inf
KOU = lq.Kou(sigma=0.6, intensity=50, p_up=0.4, eta_up=30, eta_down=25)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=3e-4)
FREE = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])
PAYING = lq.Venue.from_tiers(
    [(0, 1e9, 0.005, 100)], taker_fee=5e-4, funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
)
PROBABILITIES = ("p_liquidation", "p_stop", "p_survival")


def sweep(model=KOU, venue=PAYING, **changes):
    given = {
        "leverage": [3, 10, 25], "stop": [0.05, INF], "horizon": "5D", "n_paths": 6400, "seed": 5, "control": True,
        "premium": PREMIUM,
    }  # fmt: skip
    return lq.sweep(model, venue, **{**given, **changes})


def test_without_anything_in_its_way_a_first_passage_is_exact():
    ds = sweep(venue=FREE, stop=INF, leverage=[10, 25], horizon=["1D", "5D"])
    for horizon in ("1D", "5D"):
        for side in ("long", "short"):
            for leverage in (10, 25):
                level = (1 - 1 / leverage) / 0.995 if side == "long" else (1 + 1 / leverage) / 1.005
                law = lq.analytic.first_passage(KOU, level, horizon)
                here = ds.sel(horizon=np.timedelta64(int(horizon[0]), "D"), side=side, leverage=leverage)
                assert here.p_liquidation.item() == pytest.approx(law.p_hit, abs=1e-9)
                assert here.exit_time.item() == pytest.approx(law.alive_time, abs=1e-7)
                assert here.p_liquidation_se.item() == pytest.approx(2 / 6400, rel=1e-3)  # two paths in doubt


def test_errors_shrink_where_funding_only_moves_the_level():
    plain, ds = sweep(control=False, n_paths=20_000), sweep(n_paths=20_000)
    gain = (plain.p_liquidation_se / ds.p_liquidation_se) ** 2
    assert (gain.sel(leverage=[10, 25], stop=INF) > 10).all()
    for name in (*PROBABILITIES, "exit_time", "funding_cost", "pnl"):
        assert (abs(ds[name] - plain[name]) < 5 * plain[f"{name}_se"] + 1e-3).all(), name


def test_probabilities_sum_to_one():
    ds = sweep(groups=64)
    np.testing.assert_allclose(sum(ds[name] for name in PROBABILITIES), 1.0, rtol=0, atol=2.0**-52)
    np.testing.assert_allclose(sum(ds[f"{name}_by_group"] for name in PROBABILITIES), 1.0, rtol=0, atol=1e-12)


def test_groups_only_on_demand_and_consistent():
    assert "group" not in sweep().dims
    ds = sweep(groups=32)
    assert ds.sizes["group"] == 32
    for name in ("p_liquidation", "pnl", "exit_time"):
        mean = (ds[f"{name}_by_group"] * ds.group_paths).sum("group") / 6400
        np.testing.assert_allclose(mean, ds[name], rtol=1e-9, atol=1e-15)
    change = lq.difference(ds, {"leverage": 25}, {"leverage": 10})
    assert (change.p_liquidation_se.sel(stop=INF) < 0.5 * ds.p_liquidation_se.sel(leverage=25, stop=INF) + 0.005).all()


def test_same_bits_on_any_number_of_threads_and_nearly_so_alone():
    a, b = sweep(threads=1), sweep(threads=2)
    for name in a.data_vars:
        assert a[name].values.tobytes() == b[name].values.tobytes(), name
    one = sweep(leverage=10, stop=0.05, side="long")
    for name in ("p_liquidation", "pnl", "exit_time"):
        np.testing.assert_allclose(one[name].squeeze(), a[name].sel(leverage=10, stop=0.05, side="long"), rtol=1e-9)


def test_every_procedure_and_clock():
    """Where the control says little it does little."""
    for venue, given in (
        ("deribit-btc-perpetual", {}),
        ("bitmex-xbtusd", {"notional": 50_000.0}),
        (lq.load_venue("cme-mbt"), {"leverage": [1.5, 2], "notional": 60_000.0}),
        (lq.load_venue("kraken-spot-xbtusd").assume(taker=0.0026, hazard=3.0), {"leverage": [2, 5]}),
        (PAYING, {"monitoring": "1h"}),
    ):
        given = {"leverage": [3, 10], "horizon": "2D", "n_paths": 3200, **given}
        plain, ds = sweep(venue=venue, **given, control=False), sweep(venue=venue, **given)
        for name in ("p_liquidation", "p_stop", "pnl", "exit_time"):
            assert np.isfinite(ds[name]).all()
            far = abs(ds[name] - plain[name]) / np.hypot(ds[f"{name}_se"], plain[f"{name}_se"] + 1e-12)
            assert (far < 5).all(), name


def test_a_position_that_nothing_can_liquidate():
    ds = sweep(venue=FREE, leverage=0.5, side="long", stop=INF)
    assert ds.p_liquidation.item() == 0.0
    assert ds.p_survival.item() == 1.0
    assert ds.exit_time.item() == pytest.approx(5.0)


def test_regression_coefficients_are_those_of_least_squares():
    rng = np.random.default_rng(1)
    c = rng.normal(size=(5, 3, 56))
    y = np.stack([c[:, 0] - 2 * c[:, 1] + rng.normal(size=(5, 56)), rng.normal(size=(5, 56))])
    for cell in range(5):
        design = np.column_stack([np.ones(56), c[cell].T])
        for variable in range(2):
            exact = np.linalg.lstsq(design, y[variable, cell], rcond=None)[0][1:]
            np.testing.assert_allclose(_slopes(c, y)[cell, :, variable], exact, rtol=1e-9)


def test_controls_that_say_nothing_or_the_same_have_coefficients_all_the_same():
    rng = np.random.default_rng(2)
    x = rng.normal(size=56)
    c = np.stack([x, x, np.zeros(56)])[np.newaxis]
    slope = _slopes(c, (3 * x)[np.newaxis, np.newaxis])[0, :, 0]
    np.testing.assert_allclose(slope, [1.5, 1.5, 0.0], atol=1e-9)


def test_attributes_say_so():
    ds = sweep()
    assert ds.p_liquidation.attrs["estimator"] == "control variate"
    assert ds.p_liquidation.attrs["degrees_of_freedom"] == 63
    assert json.loads(ds.attrs["provenance"])["inputs"]["control"] is True
    found = lq.confidence_interval(ds)
    assert found.p_liquidation.attrs["interval"] == "student-t"
    assert float(found.p_liquidation.min()) >= 0.0
    assert float(found.p_liquidation.max()) <= 1.0


def test_a_target_needs_fewer_paths():
    given = {"venue": PAYING, "leverage": [10, 25], "stop": INF, "rel_error": 0.01}
    plain, ds = sweep(**given, n_paths=None, control=False), sweep(**given, n_paths=None)
    assert (ds.p_liquidation_se <= 0.01 * ds.p_liquidation).all()
    assert ds.attrs["n_paths"] < plain.attrs["n_paths"]


def test_bad_input(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the simulation started")

    monkeypatch.setattr(importlib.import_module("liqsim.cells"), "run_groups", refuse)
    for text, given in (
        ("control=True does not apply: ", {"model": dataclasses.replace(KOU, sigma=0.0)}),
        ("n_paths=50 are too few for control=True; give at least 64", {"n_paths": 50}),
        ("control='yes' is not allowed; give True or False", {"control": "yes"}),
    ):
        with pytest.raises(lq.ParameterError, match=re.escape(text)):
            sweep(**given)
