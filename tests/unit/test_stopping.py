"""Runs that end when they are accurate enough, and groups of paths: where they end, same bits, words for bad input."""

import importlib
import json
import math
import re

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.stopping import schedule

INF = math.inf
VENUE = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])
GBM = lq.GBM(sigma=0.6)
KOU = lq.Kou(sigma=0.6, intensity=100, p_up=0.4, eta_up=30, eta_down=25)


def sweep(model=GBM, venue=VENUE, **changes):
    given = {"leverage": [6, 10], "side": "long", "horizon": "7D", "seed": 5}
    return lq.sweep(model, venue, **{**given, **changes})


def accuracy(ds):
    return json.loads(ds.attrs["accuracy"])


def assert_same_estimates(a, b):
    for name in a.data_vars:
        assert a[name].values.tobytes() == b[name].values.tobytes(), name


def test_schedule_is_geometric_and_its_looks_do_not_depend_on_the_end():
    looks = schedule(10**9)
    assert looks[0] == 16384
    assert looks[-1] == 10**9
    growth = np.diff(np.log(looks[:-1]))
    assert np.all((growth > 0.11) & (growth < 0.24))
    for end in (1, 16384, 16385, 20_000, 10**6):
        assert schedule(end) == [n for n in looks if n < end] + [end]


def test_it_ends_at_the_first_look_at_which_the_worst_cell_is_accurate():
    ds = sweep(rel_error=0.02)
    n = ds.attrs["n_paths"]
    assert n in schedule(10**9)
    assert (ds.p_liquidation_se <= 0.02 * ds.p_liquidation).all()
    before = [look for look in schedule(10**9) if look < n][-1]
    short = sweep(n_paths=before)
    assert not (short.p_liquidation_se <= 0.02 * short.p_liquidation).all()
    found = accuracy(ds)
    assert found["is_met"]
    assert found["worst"]["leverage"] == "6"
    assert found["worst"]["error"] == pytest.approx(ds.p_liquidation_se.sel(leverage=6).item(), rel=0.01)
    assert ds.attrs["notes"] == ""


@pytest.mark.parametrize("threads", [1, 2])
def test_the_result_is_that_of_so_many_paths(threads):
    ds = sweep(rel_error=0.05, threads=threads, groups=16)
    assert_same_estimates(sweep(n_paths=ds.attrs["n_paths"]), ds)
    assert_same_estimates(sweep(rel_error=0.05, n_paths=10**8, threads=3 - threads, groups=16), ds)
    many = lq.first_passage(KOU, [0.9, 1.2], ["7D", "30h"], rel_error=0.05, seed=3, threads=threads)
    assert_same_estimates(lq.first_passage(KOU, [0.9, 1.2], ["7D", "30h"], n_paths=many.attrs["n_paths"], seed=3), many)
    assert (many.p_hit_se <= 0.05 * many.p_hit).all()


def test_only_the_cells_that_were_named_count():
    every = sweep(rel_error=0.02).attrs["n_paths"]
    for cells in (
        {"leverage": 10},
        {"leverage": [10], "stop": INF, "side": "long"},
        {"horizon": "168h", "leverage": 10},
    ):
        ds = sweep(rel_error=0.02, error_at=cells)
        assert ds.attrs["n_paths"] == 16384 < every
        assert not (ds.p_liquidation_se <= 0.02 * ds.p_liquidation).all()
    assert accuracy(ds)["error_at"] == {"horizon": ["7D"], "leverage": ["10"]}


def test_of_two_targets_for_one_variable_a_cell_meets_either():
    both = sweep(leverage=[2, 10], rel_error=0.02, abs_error=2e-4, n_paths=10**6)
    assert accuracy(both)["is_met"]
    p, se = both.p_liquidation, both.p_liquidation_se
    assert ((se <= 0.02 * p) | (se <= 2e-4)).all()
    assert not (se <= 0.02 * p).where(p > 0, False).all()


def test_targets_by_variable():
    ds = sweep(rel_error={"p_liquidation": 0.1}, abs_error={"pnl": 1e-4, "exit_time": 0.02}, n_paths=10**6)
    assert (ds.pnl_se <= 1e-4).all()
    assert (ds.exit_time_se <= 0.02).all()
    assert ds.attrs["n_paths"] > sweep(rel_error=0.1).attrs["n_paths"]


def test_an_event_that_never_occurs_ends_at_the_cap_with_an_upper_bound():
    ds = sweep(leverage=[1.5, 10], rel_error=0.02, n_paths=50_000)
    assert ds.attrs["n_paths"] == 50_000
    found = accuracy(ds)
    assert not found["is_met"]
    assert found["worst"]["upper_bound_95"] == pytest.approx(1 - 0.05 ** (1 / 50_000))
    note = "p_liquidation at leverage=1.5 was never seen on 50000 paths: it is below 6e-05 with 95 % confidence"
    assert ds.attrs["notes"].startswith(note)
    hits = lq.first_passage(GBM, 0.1, "1D", rel_error=0.01, n_paths=20_000)
    assert hits.attrs["n_paths"] == 20_000
    assert "p_hit was never seen" in hits.attrs["notes"]


def test_a_variable_that_is_always_nothing_ends_at_the_cap():
    ds = sweep(rel_error={"funding_cost": 0.05}, n_paths=20_000)
    assert ds.attrs["n_paths"] == 20_000
    assert ds.attrs["notes"] == "The error of funding_cost at leverage=6 is 0 after 20000 paths, above its target."


def test_nothing_seen_yet_is_not_taken_for_certainty():
    """On 16,384 paths the estimate is 0 and so is its standard error; that is no error of 1e-5."""
    ds = sweep(leverage=2, abs_error=1e-5, n_paths=10**6)
    assert ds.attrs["n_paths"] >= 1.4e5


def test_the_worst_of_several_models_venues_and_notionals():
    ds = sweep(
        {"calm": lq.GBM(0.5), "wild": lq.GBM(0.9)}, [VENUE, "hyperliquid-btc"], notional=[1e4, 2e4], leverage=10,
        rel_error=0.05, horizon=["2D", "7D"],
    )  # fmt: skip
    assert (ds.p_liquidation_se <= 0.05 * ds.p_liquidation).all()
    worst = accuracy(ds)["worst"]
    assert (worst["model"], worst["horizon"]) == ("calm", "2D")
    assert set(worst) == {"variable", "model", "venue", "notional", "horizon", "estimate", "error"}


def test_groups_are_ranges_of_paths():
    ds = sweep(KOU, n_paths=4000, groups=16)
    assert ds.group_paths.values.tolist() == [250] * 16
    assert_same_estimates(sweep(KOU, n_paths=4000), ds)
    first = sweep(KOU, n_paths=250)
    for name in ("p_liquidation", "pnl", "exit_time"):
        np.testing.assert_array_equal(ds[f"{name}_by_group"].isel(group=0), first[name])
    two = sweep(KOU, n_paths=500)
    np.testing.assert_allclose(ds.pnl_by_group[..., :2].mean("group"), two.pnl, rtol=1e-12)


def test_groups_of_unequal_size_add_up():
    ds = sweep(KOU, n_paths=1001, groups=10)
    assert sorted(set(ds.group_paths.values.tolist())) == [100, 101]
    assert int(ds.group_paths.sum()) == 1001
    for name in ("p_liquidation", "pnl", "exit_time"):
        mean = (ds[f"{name}_by_group"] * ds.group_paths).sum("group") / 1001
        np.testing.assert_allclose(mean, ds[name], rtol=1e-12)
        assert ds[f"{name}_by_group"].attrs["units"] == ds[name].attrs["units"]


def test_groups_and_targets_survive_a_file(tmp_path):
    ds = sweep(rel_error=0.1, groups=16)
    ds.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "result.nc") as opened:
        xr.testing.assert_identical(opened.load(), ds)
    inputs = json.loads(ds.attrs["provenance"])["inputs"]
    assert inputs["groups"] == 16
    assert inputs["accuracy"]["rel_error"] == {"p_liquidation": 0.1}
    assert inputs["accuracy"]["most_paths"] == 2**24


@pytest.fixture
def no_simulation(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the simulation started")

    monkeypatch.setattr(importlib.import_module("liqsim.cells"), "run_groups", refuse)


def refused(text):
    return pytest.raises(lq.ParameterError, match=re.escape(text))


@pytest.mark.usefixtures("no_simulation")
class TestBadInput:
    @pytest.mark.parametrize("error", [0, -0.1, 0.11, 1, INF, math.nan, True, "1 %", [0.1], None])
    def test_errors(self, error):
        shown = f"rel_error={error!r} is not allowed; give a number in (0, 0.1] (standard error over estimate)"
        if error is not None:
            with refused(shown):
                sweep(rel_error=error)
        with refused(shown):
            sweep(rel_error={"pnl": error})

    def test_absolute_errors(self):
        with refused(
            "abs_error=0 is not allowed; give a number in (0, 1e+06] (standard error, in the variable's unit)"
        ):
            sweep(abs_error=0)

    def test_variables(self):
        with refused("rel_error: 'p_liq' is not a variable; give one of p_liquidation, p_stop"):
            sweep(rel_error={"p_liq": 0.1})
        with refused("abs_error: 'pnl' is not a variable; give one of p_hit, alive_time"):
            lq.first_passage(GBM, 0.9, abs_error={"pnl": 0.1})

    def test_cells(self):
        with refused(
            "error_at: 'levrage' is not a dimension; give one of model, venue, notional, horizon, side, leverage"
        ):
            sweep(rel_error=0.1, error_at={"levrage": 10})
        with refused("error_at: leverage=5 is not simulated; give some of 6, 10"):
            sweep(rel_error=0.1, error_at={"leverage": 5})
        with refused("error_at: horizon='8D' is not simulated; give some of 7D"):
            sweep(rel_error=0.1, error_at={"horizon": "8D"})
        with refused("error_at: leverage is empty"):
            sweep(rel_error=0.1, error_at={"leverage": []})
        with refused("error_at='long' is not a mapping"):
            sweep(rel_error=0.1, error_at="long")
        with refused("error_at={'leverage': 10} needs a target; give rel_error or abs_error"):
            sweep(error_at={"leverage": 10})

    @pytest.mark.parametrize("groups", [0, 1, 7, 1025, 64.0, True, "64", [64]])
    def test_groups(self, groups):
        shown = f"groups={groups!r} is not allowed; give a whole number in [8, 1024], at most n_paths=100000"
        with refused(shown):
            sweep(groups=groups)
        with refused(shown):
            lq.compare_venues(GBM, [VENUE], leverage=10, groups=groups)

    def test_fewer_paths_than_groups(self):
        with refused("groups=64 is not allowed; give a whole number in [8, 1024], at most n_paths=50"):
            sweep(groups=64, n_paths=50)
