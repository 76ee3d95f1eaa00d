"""What is asked for by name: what it is called, how it adds up, and words for bad input."""

import dataclasses
import json
import math

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.results import OUTPUTS

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
        np.testing.assert_allclose(whole, ds[name], rtol=1e-12, atol=1e-15)


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
