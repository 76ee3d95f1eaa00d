"""What is asked for by name: what it is called, how it adds up, and words for bad input."""

import dataclasses
import json
import math

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.histograms import Histogram
from liqsim.outputs import QUANTILES
from liqsim.variables import OUTPUTS

INF = math.inf
KOU = lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=35, eta_down=28)
FUNDING = lq.FixedFunding(3e-4, "8h")
VENUE = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], taker_fee=5e-4, funding=FUNDING)
N = 3000
VENUES = {
    "taken over": VENUE,
    "rest returned": dataclasses.replace(VENUE, liquidation=lq.Liquidation("zero-equity-order", "kept")),
    "cut": lq.load_venue("deribit-btc-perpetual"),
    "called": lq.load_venue("cme-mbt"),
}
GIVEN = ["funding_cost", "fees", "pnl", "shortfall", "exit_time"]


def sweep(venue=VENUE, **changes):
    given = {"leverage": [2, 3], "stop": [0.03, INF], "horizon": "5D", "n_paths": N, "seed": 3, "threads": 1}
    return lq.sweep(KOU, venue, **{**given, **changes})


@pytest.mark.parametrize("label", VENUES)
def test_conditional_means_add_up(label):
    ds = sweep(VENUES[label], notional=60_000, outputs=[f"{name}_given" for name in GIVEN])
    assert (ds.paths_given.sum("given") == N).all()
    for outcome in ("liquidation", "stop", "survival"):
        np.testing.assert_allclose(ds.paths_given.sel(given=outcome) / N, ds[f"p_{outcome}"], rtol=0, atol=1e-15)
    for name in GIVEN:
        whole = (ds[f"{name}_given"].fillna(0) * ds.paths_given).sum("given") / N
        # a time is booked to 2**-32 years, and what that adds to the horizon is taken off
        resolution = 2.0**-32 * 365 if name == "exit_time" else 1e-15
        np.testing.assert_allclose(whole, ds[name], rtol=1e-12, atol=resolution)


def test_no_path_is_not_a_number_and_one_path_has_no_error_bar():
    ds = sweep(leverage=2, horizon="1D", outputs="pnl_given")
    assert (ds.paths_given.sel(stop=INF, given="stop") == 0).all()
    assert np.isnan(ds.pnl_given.sel(stop=INF, given="stop")).all()
    assert np.isnan(ds.pnl_given_se.sel(stop=INF, given="stop")).all()
    one = sweep(n_paths=1, outputs="pnl_given")
    assert np.isinf(one.pnl_given_se.where(one.paths_given == 1, INF)).all()
    assert np.isfinite(one.pnl_given.where(one.paths_given == 1, 0)).all()


def test_the_spread_of_a_conditional_mean_is_that_of_its_paths():
    """All longs that survive have paid every stamp on entry value; all that are stopped nearby have lost as much."""
    venue = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], funding=lq.FixedFunding(3e-4, "8h", notional="entry"))
    ds = lq.sweep(
        lq.GBM(0.6), venue, leverage=2, stop=0.05, side="long", horizon="5D", n_paths=N,
        outputs=["funding_cost_given", "pnl_given"],
    ).squeeze()  # fmt: skip
    paid = ds.sel(given="survival")
    assert float(paid.funding_cost_given) == pytest.approx(15 * 3e-4, abs=1e-8)
    assert float(paid.funding_cost_given_se) < 1e-7
    lost = ds.sel(given="stop")
    assert float(lost.pnl_given + lost.funding_cost_given) == pytest.approx(-0.05, abs=1e-8)


@pytest.mark.parametrize("label", VENUES)
def test_a_loss_beyond_the_margin_is_ruin(label):
    ds = sweep(VENUES[label], notional=60_000, outputs=["p_ruin", "p_shortfall", "shortfall_given"])
    assert (ds.p_ruin >= ds.p_shortfall).all()
    assert (ds.p_ruin <= ds.p_liquidation + ds.p_stop).all()
    assert ((ds.p_shortfall > 0) == (ds.shortfall > 1e-9)).all()
    if label == "taken over":
        assert (ds.p_ruin == ds.p_liquidation).all()
    else:
        assert (ds.p_ruin < ds.p_liquidation).any()


def test_nothing_is_added_unless_asked_for():
    plain, asked = sweep(), sweep(outputs=tuple(OUTPUTS))
    assert set(asked.data_vars) - set(plain.data_vars) >= {*OUTPUTS, *(f"{name}_se" for name in OUTPUTS)}
    for name in plain.data_vars:
        assert plain[name].values.tobytes() == asked[name].values.tobytes(), name
    assert "outputs" not in json.loads(plain.attrs["provenance"])["inputs"]
    assert json.loads(asked.attrs["provenance"])["inputs"]["outputs"] == list(OUTPUTS)


def test_units_names_and_the_way_through_a_file(tmp_path):
    ds = sweep(
        {"a": VENUE, "b": VENUES["cut"]}, notional=[1e4, 6e4], horizon=["1D", "5D", "7h"], outputs=list(OUTPUTS)
    )  # fmt: skip
    for name, what in OUTPUTS.items():
        for variable in (ds[name], ds[f"{name}_se"]):
            assert variable.attrs["units"] == what.units
            assert variable.attrs["n_paths"] == N
        outer = ("venue", "notional", "horizon") if what.has_horizon else ("venue", "notional")
        assert ds[name].dims == (*outer, "side", "leverage", "stop", *([what.axis] if what.axis else []))
        assert ds[name].attrs["long_name"] == what.long_name
    for name in ds.dims:
        assert ds[name].attrs["long_name"]
    ds.to_netcdf(tmp_path / "x.nc")
    again = xr.load_dataset(tmp_path / "x.nc", decode_timedelta=True)
    xr.testing.assert_identical(again.p_ruin, ds.p_ruin)
    for name in OUTPUTS:
        np.testing.assert_array_equal(again[name], ds[name])


def test_every_output_is_in_the_docstring():
    for name in OUTPUTS:
        assert f"``{name}``" in lq.sweep.__doc__, name


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["p_ruins"], "outputs: 'p_ruins' is unknown; did you mean 'p_ruin'? known: funding_cost_given, "),
        ([3], "outputs: 3 is unknown; known: "),
        (7, "outputs=7 is not a list; give some of "),
        ({"p_ruin": 1}, "is not a list"),
    ],
)
def test_bad_names_list_the_good_ones(outputs, message):
    with pytest.raises(lq.ParameterError) as caught:
        sweep(outputs=outputs)
    assert message in str(caught.value)
    assert "expected" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantiles": [0.5, 1.0]}, "quantiles=1 is not allowed; give numbers in (0, 1) (probability)"),
        (
            {"quantiles": 0.5, "outputs": ["p_ruin", "p_stop_by"]},
            "quantiles=0.5 needs an output that has quantiles; give",
        ),
        ({"quantiles": 0.5, "outputs": ()}, "quantiles=0.5 needs an output that has quantiles; give some of time_to"),
        ({"quantiles": []}, "quantiles is empty"),
        (
            {"times": ["9h"]},
            "times='9h' is not an instant at which the run stops (a funding stamp, a look, the horizon)",
        ),
        ({"times": "9h"}, "the nearest are 0.333333333333D, 0.666666666667D"),
        ({"times": "6D"}, "the nearest are 5D"),
        ({"times": ["soon"]}, "times='soon'"),
        ({"times": "8h", "outputs": "p_ruin"}, "times='8h' needs an output over time; give some of p_liquidation_by,"),
    ],
)
def test_bad_axes(changes, message):
    with pytest.raises(lq.ParameterError) as caught:
        sweep(**{"outputs": ["p_stop_by", "value_at_risk"], **changes})
    assert message in str(caught.value)


def test_tallies_that_are_too_large_are_refused_with_the_figure():
    grid = {"leverage": np.linspace(2, 50, 300), "stop": np.linspace(0.01, 0.5, 300)}
    with pytest.raises(lq.ParameterError, match=r"would book 51\.7 GB, above the 4 GB that are allowed; ask for fewer"):
        sweep(outputs="value_at_risk", **grid)
    with pytest.raises(lq.ParameterError, match=r"would book 25\.9 GB, above the 4 GB that are allowed; ask for fewer"):
        sweep(outputs="p_shortfall_above", **grid)
    with pytest.raises(lq.ParameterError, match=r"would book 16\.2 GB"):
        sweep(outputs="p_stop_by", groups=1024, n_paths=1024, **{**grid, "leverage": np.linspace(2, 50, 55)})


def test_the_time_axis_is_common_to_all_venues_and_not_too_long():
    venues = {
        "a": lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], funding=lq.FixedFunding(0.0, "1h")),
        "b": lq.Venue.from_tiers([(0, 1e9, 0.005, 100)], funding=lq.FixedFunding(0.0, "3h", first="2h")),
    }
    ds = sweep(venues, horizon="1D", outputs="p_stop_by")
    assert (ds.time / np.timedelta64(1, "h")).values.tolist() == [2, 5, 8, 11, 14, 17, 20, 23, 24]
    ds = sweep(venues["a"], horizon=["2D", "20D"], outputs="p_stop_by", n_paths=100)
    assert (ds.time / np.timedelta64(1, "h")).values.tolist() == list(range(4, 481, 4))
    assert sweep(monitoring="12h", outputs="p_stop_by", n_paths=100).time.size == 20


def test_probabilities_over_time_rise_to_those_of_the_horizon():
    ds = sweep(horizon=["1D", "5D", "50h"], outputs=["p_liquidation_by", "p_stop_by"])
    for name in ("p_liquidation", "p_stop"):
        assert (ds[f"{name}_by"].diff("time") >= 0).all()
        assert (ds[f"{name}_by"].isel(time=-1) == ds[name].sel(horizon="5D")).all()
        assert (ds[f"{name}_by"].sel(time="1D") == ds[name].sel(horizon="1D")).all()
    assert "horizon" not in ds.p_stop_by.dims


def test_quantiles_rise_and_the_worst_are_worse():
    ds = sweep(horizon=["1D", "50h"], outputs=["pnl_quantile", "value_at_risk", "expected_shortfall", "p_pnl_below"])
    assert ds["quantile"].values.tolist() == [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    assert (ds.pnl_quantile.diff("quantile") >= 0).all()
    assert (ds.expected_shortfall >= ds.value_at_risk - 1e-9).all()
    assert (ds.p_pnl_below.diff("pnl_level") >= 0).all()
    assert (ds.value_at_risk == -ds.pnl_quantile).all()
    for p in (0.05, 0.5):
        lower, upper = (
            ds.p_pnl_below.sel(pnl_level=ds.pnl_quantile.sel(quantile=p) + shift, method=method)
            for method, shift in (("ffill", -1e-9), ("bfill", 1e-9))
        )
        assert (lower <= p + 1e-12).all()
        assert (upper >= p - 1e-12).all()


def test_a_single_path_has_one_quantile():
    ds = sweep(n_paths=1, outputs=["pnl_quantile", "expected_shortfall"])
    for name, sign in (("pnl_quantile", 1), ("expected_shortfall", -1)):
        np.testing.assert_allclose(sign * ds[name], ds.pnl.expand_dims(quantile=7, axis=-1), rtol=1e-5, atol=1e-8)
        assert np.isinf(ds[f"{name}_se"].isel(quantile=0)).all()


def test_shortfalls_fall_and_only_those_who_are_short_have_a_quantile():
    ds = sweep(leverage=[2, 40], stop=INF, outputs=["p_shortfall_above", "shortfall_quantile", "p_shortfall"])
    assert float(ds.shortfall_level[0]) == 0
    assert (ds.p_shortfall_above.sel(shortfall_level=0) == ds.p_shortfall).all()
    assert (ds.p_shortfall_above.diff("shortfall_level") <= 0).all()
    has_any = ds.p_shortfall > 0
    assert has_any.any()
    assert not has_any.all()
    assert (np.isnan(ds.shortfall_quantile) == ~has_any).all()
    assert (np.isnan(ds.shortfall_quantile_se) == ~has_any).all()
    some = ds.where(has_any, drop=True).shortfall_quantile
    assert (some.diff("quantile").fillna(0) >= 0).all()
    assert (some.fillna(0) >= 0).all()


@pytest.mark.parametrize("label", VENUES)
def test_a_cell_has_the_shortfalls_it_has_alone(label):
    """In a grid and for itself, on one thread and on several: the same bits."""
    asked = ["p_shortfall_above", "shortfall_beyond", "shortfall_quantile"]
    most = 2.9 if label == "called" else 3
    wild = lq.Kou(sigma=0.6, intensity=200, p_up=0.45, eta_up=8, eta_down=6)
    given = {"horizon": "5D", "n_paths": N, "seed": 3, "notional": 60_000, "gap_rule": "stop", "outputs": asked}
    whole = lq.sweep(wild, VENUES[label], leverage=[1.5, 2, most], stop=[0.03, 0.1, INF], threads=3, **given)
    for leverage, stop in ((2, 0.03), (most, INF)):
        one = lq.sweep(wild, VENUES[label], leverage=leverage, stop=stop, threads=1, **given).squeeze()
        for name in asked:
            assert one[name].values.tobytes() == whole[name].sel(leverage=leverage, stop=stop).values.tobytes(), name
    assert (whole.p_shortfall_above.isel(shortfall_level=0) > 0).any()


class TestHistogram:
    def made(self, values, edges):
        count, _ = np.histogram(values, edges)
        at = np.digitize(values, edges) - 1
        inside = [values[at == k] for k in range(len(edges) - 1)]
        mean, std = (np.array([f(x) if x.size else 0.0 for x in inside]) for f in (np.mean, np.std))
        return Histogram(count.astype(float), mean, std, edges)

    def test_the_quantile_of_values_that_are_all_the_same(self):
        histogram = self.made(np.full(50, 0.3), np.linspace(0, 1, 4))
        for p in (0.01, 0.5, 0.99):
            assert histogram.quantile(p) == pytest.approx(0.3)
            assert histogram.lower_mean(p)[0] == pytest.approx(0.3)
        assert histogram.quantile_se(0.5) < 1e-15

    def test_it_is_never_off_by_more_than_a_bin(self):
        values = np.random.default_rng(1).choice([0.1, 0.12, 0.4, 0.44, 0.9], 1000)
        edges = np.linspace(0, 1, 7)
        histogram = self.made(values, edges)
        for p in np.linspace(0.005, 0.995, 67):
            worst = np.sort(values)[: round(p * 1000)]
            assert abs(histogram.quantile(p) - worst[-1]) < 1 / 6
            assert abs(histogram.lower_mean(p)[0] - worst.mean()) < 1 / 6

    def test_what_is_beyond_each_end(self):
        values = np.random.default_rng(3).exponential(size=1000)
        edges = np.linspace(0, 10, 41)
        first, second = self.made(values, edges).upper_excess()
        for k, low in enumerate(edges[:-1]):
            over = np.maximum(values - low, 0)
            assert first[k] == pytest.approx(over.sum(), rel=1e-12, abs=1e-12)
            assert second[k] == pytest.approx((over**2).sum(), rel=1e-12, abs=1e-12)

    def test_it_is_nearly_exact_where_the_density_is_smooth(self):
        values = np.random.default_rng(2).normal(size=200_000)
        histogram = self.made(values, np.linspace(-6, 6, 121))
        for p in (0.001, 0.05, 0.5, 0.99):
            exact = np.sort(values)[: round(p * values.size)]
            assert histogram.quantile(p) == pytest.approx(exact[-1], abs=2e-3 if p > 0.01 else 2e-2)
            mean, error = histogram.lower_mean(p)
            assert mean == pytest.approx(exact.mean(), abs=1e-3 if p > 0.01 else 1e-2)
            spread = np.var(np.maximum(exact[-1] - values, 0)) ** 0.5 / p / values.size**0.5
            assert error == pytest.approx(spread, rel=0.02)

    def test_a_tail_within_one_bin(self):
        """Uniform values in two bins: quantile, tail mean and its error in closed form."""
        n, p = 3e6, 0.2
        histogram = Histogram(
            np.full(2, n / 2), np.array([0.25, 0.75]), np.full(2, 0.5 / 12**0.5), np.array([0, 0.5, 1])
        )
        assert histogram.quantile(p) == pytest.approx(p)
        mean, error = histogram.lower_mean(p)
        assert mean == pytest.approx(p / 2)
        assert error == pytest.approx(((p**3 / 3 - p**4 / 4) / n) ** 0.5 / p)
        assert histogram.quantile_se(p) == pytest.approx((p * (1 - p) / n) ** 0.5)


def test_axes_that_are_the_usual_ones_need_no_output():
    xr.testing.assert_equal(sweep(n_paths=100, quantiles=list(QUANTILES)), sweep(n_paths=100))
