"""Confidence intervals, paired differences and errors of functions: exact numbers, shapes, words for bad input."""

import math
import re

import numpy as np
import pytest
from scipy import stats

import liqsim as lq
from liqsim.stats import clopper_pearson_interval, quantile_of_t, upper_bound, wilson_interval

INF = math.inf
VENUE = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], taker_fee=5e-4, funding=lq.FixedFunding(1e-4, "8h"))
KOU = lq.Kou(sigma=0.6, intensity=100, p_up=0.4, eta_up=30, eta_down=25)


def sweep(**changes):
    given = {"leverage": [2, 10, 25], "stop": [0.02, INF], "horizon": "2D", "n_paths": 3000, "seed": 5, "groups": 16}
    return lq.sweep(**{"model": KOU, "venue": VENUE, **given, **changes})


@pytest.fixture(scope="module")
def ds():
    return sweep()


def refused(text):
    return pytest.raises(lq.ParameterError, match=re.escape(text))


@pytest.mark.parametrize(("method", "theirs"), [("wilson", "wilson"), ("clopper-pearson", "exact")])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_proportions_as_scipy_has_them(ds, method, theirs, level):
    found = lq.confidence_interval(ds, level, method)
    for name in ("p_liquidation", "p_stop", "p_survival"):
        for p, bounds in zip(ds[name].values.flat, found[name].values.reshape(-1, 2), strict=True):
            exact = stats.binomtest(round(p * 3000), 3000).proportion_ci(level, theirs)
            np.testing.assert_allclose(bounds, exact, rtol=1e-9, atol=1e-15)


def test_means_have_normal_intervals(ds):
    found = lq.confidence_interval(ds, 0.95)
    z = stats.norm.ppf(0.975)
    for name in ("funding_cost", "pnl", "exit_time"):
        np.testing.assert_allclose(found[name].sel(bound="lower"), ds[name] - z * ds[f"{name}_se"], rtol=1e-12)
        np.testing.assert_allclose(found[name].sel(bound="upper"), ds[name] + z * ds[f"{name}_se"], rtol=1e-12)
        assert found[name].attrs["interval"] == "normal"
    assert found.p_stop.attrs["interval"] == "wilson"
    assert found.pnl.attrs["units"] == ds.pnl.attrs["units"]
    assert set(found.data_vars) == {name[:-3] for name in ds.data_vars if name.endswith("_se")}
    assert found.pnl.dims == (*ds.pnl.dims, "bound")


def test_normal_intervals_of_proportions_on_demand(ds):
    found = lq.confidence_interval(ds, 0.9, "normal").p_stop
    np.testing.assert_allclose(found.mean("bound"), ds.p_stop, atol=1e-15)
    assert found.attrs["interval"] == "normal"


def test_differences_have_intervals_of_students_t(ds):
    change = lq.difference(ds, {"leverage": 25}, {"leverage": 10})
    found = lq.confidence_interval(change, 0.95).p_liquidation
    half = stats.t.ppf(0.975, 15) * change.p_liquidation_se
    np.testing.assert_allclose(found.sel(bound="upper"), change.p_liquidation + half, rtol=1e-12)
    assert found.attrs["interval"] == "student-t"


def test_an_event_never_seen_has_an_upper_bound():
    never = sweep(leverage=1.5, stop=INF, horizon="8h", groups=None)
    assert (never.p_liquidation == 0).all()
    low, high = lq.confidence_interval(never, 0.9, "clopper-pearson").p_liquidation.values[0, 0, 0]
    assert low == 0
    assert high == pytest.approx(3 / 3000, rel=0.01)  # the rule of three
    assert high == upper_bound(0.0, 3000, 0.95) == pytest.approx(1 - 0.05 ** (1 / 3000), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 999, 2000, 4097, 1_000_003])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.9999])
def test_bounds_at_the_ends_are_the_ends(n, level):
    ends = np.array([0.0, 1.0, np.nan])
    for low, high in (wilson_interval(ends, n, quantile_of_t(level)), clopper_pearson_interval(ends, n, level)):
        assert low[0] == 0.0 < high[0] < 1.0
        assert high[1] == 1.0 > low[1] > 0.0
        assert np.isnan([low[2], high[2]]).all()


def test_first_passages_too():
    found = lq.confidence_interval(lq.first_passage(KOU, [0.9, 1.1], "2D", n_paths=500))
    assert set(found.data_vars) == {"p_hit", "alive_time"}
    assert found.p_hit.attrs["interval"] == "wilson"


def test_missing_cells_stay_missing():
    ds = lq.compare_venues(
        KOU, {"a": VENUE, "b": lq.Venue.from_tiers([(0, 1e9, 0.005, 20)])}, leverage=[10, 50], n_paths=200, groups=8,
        horizon="1D",
    )  # fmt: skip
    assert np.isnan(ds.p_liquidation.sel(venue="b", leverage=50))
    for method in ("wilson", "clopper-pearson", "normal"):
        found = lq.confidence_interval(ds, method=method).p_liquidation
        assert np.isnan(found.sel(venue="b", leverage=50)).all()
        assert np.isfinite(found.sel(venue="a")).all()
    change = lq.difference(ds, {"venue": "a"}, {"venue": "b"})
    assert np.isfinite(change.pnl_se.sel(leverage=10))
    assert np.isnan(change.pnl_se.sel(leverage=50))


def test_difference_is_that_of_the_estimates(ds):
    a, b = {"leverage": 25, "side": "long"}, {"leverage": 10, "side": "short"}
    change = lq.difference(ds, a, b)
    assert change.p_stop.dims == ("stop",)
    for name in ("p_liquidation", "pnl", "funding_cost"):
        np.testing.assert_array_equal(change[name], ds[name].sel(a, drop=True) - ds[name].sel(b, drop=True))
        assert change[name].attrs["units"] == change[f"{name}_se"].attrs["units"] == ds[name].attrs["units"]
    assert change.attrs == {"a": "leverage=25, side=long", "b": "leverage=10, side=short"}
    assert float(abs(lq.difference(ds, a, a).pnl_se).max()) == 0


def test_of_a_linear_function_the_jackknife_is_the_error_by_batch_means():
    ds = sweep(n_paths=3200)  # groups of the same size
    parts = ds.pnl_by_group.sel(leverage=10) - ds.pnl_by_group.sel(leverage=2)
    found = lq.difference(ds, {"leverage": 10}, {"leverage": 2}).pnl_se
    np.testing.assert_allclose(found, parts.std("group", ddof=1) / math.sqrt(16), rtol=1e-9)


def test_jackknife_takes_arrays_and_datasets(ds):
    both = lq.jackknife(ds, lambda x: x[["pnl", "fees"]] * 2)
    assert set(both.data_vars) == {"pnl", "pnl_se", "fees", "fees_se"}
    one = lq.jackknife(ds, lambda x: x.pnl / x.exit_time)
    assert set(one.data_vars) == {"value", "value_se"}
    np.testing.assert_array_equal(one.value, ds.pnl / ds.exit_time)


@pytest.mark.parametrize("level", [0, 1, 0.49, 95, True, "0.95", None, math.nan])
def test_levels(ds, level):
    with refused(f"level={level!r} is not allowed; give a number in [0.5, 0.9999]"):
        lq.confidence_interval(ds, level)


def test_bad_input(ds):
    with refused("method='score' is not known; give one of wilson, clopper-pearson, normal"):
        lq.confidence_interval(ds, method="score")
    with refused("ds holds no estimates"):
        lq.confidence_interval(ds[["pnl"]])
    with refused("ds holds no groups of paths; simulate again with groups=64"):
        lq.difference(ds.drop_vars("group_paths"), {"leverage": 2}, {"leverage": 10})
    with refused("ds holds no groups of paths"):
        lq.jackknife(sweep(groups=None), lambda x: x.pnl)
    with refused("a names leverage and b names stop"):
        lq.difference(ds, {"leverage": 2}, {"stop": INF})
    with refused("a='long' is not a mapping"):
        lq.difference(ds, "long", "short")
    with refused("a: 'venue' is not a dimension; give some of side, leverage, stop"):
        lq.difference(ds, {"venue": "custom"}, {"venue": "bitmex-xbtusd"})
    with refused("a={'leverage': 7} is not in the result, which holds leverage: 2.0, 10.0, 25.0"):
        lq.difference(ds, {"leverage": 7}, {"leverage": 10})
    with refused("a={'leverage': [2, 10]} holds a list"):
        lq.difference(ds, {"leverage": [2, 10]}, {"leverage": [10, 25]})
    with refused("function gave float; let it return an xarray DataArray or Dataset"):
        lq.jackknife(ds, lambda x: 1.0)
