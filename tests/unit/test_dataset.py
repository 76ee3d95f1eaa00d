"""What a result holds: dimensions, labels, units, provenance, and its way through a netCDF file and back."""

import json
import math

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.durations import parse_days

INF = math.inf
OUTCOMES = ["p_liquidation", "p_stop", "p_survival"]
PROBABILITIES = [*OUTCOMES, "p_partial", "p_margin_call"]
LOSSES = ["shortfall", "insurance_draw", "uncovered_loss", "client_debit"]
MONEY = ["funding_cost", "fees", "pnl", "engine_kept", "returned", "topped_up", *LOSSES]
ESTIMATES = [*PROBABILITIES, *MONEY, "closed_share", "exit_time"]
ENTRY = ["liquidation_price", "bankruptcy_price", "initial_margin"]
KOU = lq.Kou(sigma=0.6, intensity=300, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=4e-4)
TIERS = [(0, 5e4, 0.004, 125), (5e4, 1e6, 0.008, 80)]
FUNDING = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
LINEAR = lq.Venue.from_tiers(TIERS, taker_fee=5e-4, funding=FUNDING, name="linear")
INVERSE = lq.Venue.from_tiers(TIERS, contract="inverse", taker_fee=5e-4, name="inverse")
LEVERAGE, STOP = [25, 2, 50, 10, 5], [INF, 0.05, 0.02, 0.1]


def sweep(model=KOU, venue=LINEAR, **changes):
    given = {"leverage": LEVERAGE, "stop": STOP, "horizon": "3D", "n_paths": 300, "seed": 3, "premium": PREMIUM}
    return lq.sweep(model, venue, **{**given, **changes})


@pytest.fixture(scope="module")
def plain():
    return sweep()


@pytest.fixture(scope="module")
def full():
    return sweep(
        {"tails": KOU, "smooth": lq.GBM(0.8)}, [INVERSE, LINEAR], notional=[2e5, 1e4], horizon=["3D", "7h", "1D"]
    )


def test_dimensions_and_variables(plain, full):
    assert plain.p_liquidation.dims == ("side", "leverage", "stop")
    assert full.p_liquidation.dims == ("model", "venue", "notional", "horizon", "side", "leverage", "stop")
    for ds in (plain, full):
        assert set(ds.data_vars) == {*ESTIMATES, *(f"{name}_se" for name in ESTIMATES), *ENTRY}
        for name in ESTIMATES:
            assert ds[name].dims == ds[f"{name}_se"].dims == ds.p_liquidation.dims
    assert plain.liquidation_price.dims == ("side", "leverage")
    assert full.liquidation_price.dims == ("venue", "notional", "side", "leverage")


def test_coordinates_keep_the_users_order(plain, full):
    assert plain.leverage.values.tolist() == LEVERAGE
    assert plain.stop.values.tolist() == STOP
    assert plain.side.values.tolist() == ["long", "short"]
    assert sweep(side=["short", "long"]).side.values.tolist() == ["short", "long"]
    assert full.model.values.tolist() == ["tails", "smooth"]
    assert full.venue.values.tolist() == ["inverse", "linear"]
    assert full.notional.values.tolist() == [2e5, 1e4]
    assert list(full.horizon.values) == [np.timedelta64(hours, "h") for hours in (72, 7, 24)]
    assert (plain.model, plain.venue, plain.notional) == ("kou", "linear", 1e4)
    assert plain.horizon == np.timedelta64(3, "D")


@pytest.mark.parametrize("name", ["model", "venue", "notional", "horizon"])
def test_one_more_dimension_for_each_list(name):
    one = {"model": KOU, "venue": LINEAR, "notional": 1e4, "horizon": "3D"}
    for listed in ([one[name]], (one[name],)):
        assert sweep(**{name: listed}).p_stop.dims == (name, "side", "leverage", "stop")
    assert sweep(**{name: one[name]}).p_stop.dims == ("side", "leverage", "stop")


def test_numbers_become_grids_of_one():
    ds = sweep(leverage=5, stop=0.1, side="short", notional=1e4)
    assert dict(ds.sizes) == {"side": 1, "leverage": 1, "stop": 1}
    assert dict(sweep(leverage=np.arange(1, 4), stop=np.float32(0.5)).sizes) == {"side": 2, "leverage": 3, "stop": 1}


def test_units_and_names(full):
    units = dict.fromkeys(PROBABILITIES, "1") | {"exit_time": "d", "closed_share": "fraction of entry position"}
    for name in ESTIMATES:
        expected = units.get(name, "fraction of entry notional")
        for variable in (full[name], full[f"{name}_se"]):
            assert variable.attrs["units"] == expected
            assert variable.attrs["n_paths"] == 300
        assert full[name].attrs["long_name"]
        assert full[f"{name}_se"].attrs["long_name"] == f"standard error of {name}"
    for name in ENTRY:
        assert full[name].attrs["long_name"]
        assert full[name].attrs["estimator"] == "exact"
    for name in full.coords:
        assert full[name].attrs["long_name"]
    assert (full.leverage.units, full.stop.units, full.notional.units) == ("1", "fraction of entry price", "USD")
    settlement = {"linear": "USD", "inverse": "BTC"}
    for venue in (LINEAR, INVERSE):
        ds = sweep(venue=venue)
        assert ds.initial_margin.units == settlement[venue.id]
        assert ds.liquidation_price.units == ds.bankruptcy_price.units == "USD"


def assert_add_up(ds, n_paths):
    counts = [ds[name] * n_paths for name in OUTCOMES]
    for count in counts:
        np.testing.assert_allclose(count, np.round(count), atol=1e-9)
    assert (sum(count.round() for count in counts) == n_paths).all()
    np.testing.assert_allclose(sum(ds[name] for name in OUTCOMES), 1.0, rtol=0, atol=2.0**-52)


def test_outcomes_are_counts_that_add_up_to_every_path(full):
    assert_add_up(full, 300)


def test_standard_errors_of_probabilities(full):
    for name in PROBABILITIES:
        p = full[name]
        np.testing.assert_allclose(full[f"{name}_se"], np.sqrt(p * (1 - p) / 300), rtol=1e-12)


def test_numbers_are_finite_and_in_range(full):
    for name in full.data_vars:
        assert np.isfinite(full[name]).all(), name
        if name.endswith("_se") or name not in ("funding_cost", "pnl"):
            assert float(full[name].min()) >= 0, name
    rounding = 365 * 2.0**-32  # times are summed as whole multiples of 2**-32 years
    assert (full.exit_time <= full.horizon / np.timedelta64(1, "D") + rounding).all()
    assert (full.fees >= 5e-4 - 2.0**-32).all()


def test_a_loss_beyond_the_margin_is_borne_by_someone(full):
    borne = full.insurance_draw + full.uncovered_loss + full.client_debit
    np.testing.assert_allclose(full.shortfall, borne, rtol=0, atol=1e-12)
    assert (full.shortfall.sel(venue="linear") > 0).any()
    assert (full.client_debit == 0).all()


def test_a_take_over_closes_everything_and_hands_nothing_back(full):
    np.testing.assert_array_equal(full.closed_share, full.p_liquidation)
    for name in ("p_partial", "p_margin_call", "returned", "topped_up"):
        assert (full[name] == 0).all(), name


def test_no_stop_is_never_hit_and_a_nearer_stop_more_often(full):
    by_distance = full.sortby("stop")
    assert (full.p_stop.sel(stop=INF) == 0).all()
    assert (by_distance.p_stop.diff("stop") <= 0).all()
    assert (by_distance.p_liquidation.diff("stop") >= 0).all()


def test_risk_rises_with_leverage_and_horizon(full):
    by_leverage = full.p_liquidation.sortby("leverage")
    assert (by_leverage.diff("leverage") >= 0).all()
    assert (by_leverage.isel(leverage=-1) > by_leverage.isel(leverage=0)).any()
    assert (full.p_liquidation.sortby("horizon").diff("horizon") >= 0).all()
    assert (full.p_survival.sortby("horizon").diff("horizon") <= 0).all()


def test_entry_prices_are_those_of_the_position(full):
    for venue in (LINEAR, INVERSE):
        for notional in (1e4, 2e5):
            for side in ("long", "short"):
                position = {
                    "side": side,
                    "entry_price": 60_000.0,
                    "quantity": float(venue.contract.quantity(notional, 60_000.0)),
                    "leverage": 10,
                }
                cell = full.sel(venue=venue.id, notional=notional, side=side, leverage=10)
                assert float(cell.liquidation_price) == lq.liquidation_price(venue, **position)
                assert float(cell.bankruptcy_price) == lq.bankruptcy_price(venue, **position)
                assert float(cell.initial_margin) == lq.initial_margin(venue, **position)


def test_provenance(full):
    assert full.attrs["Conventions"] == "liqsim-1"
    assert full.attrs["version"] == lq.__version__
    assert (full.attrs["seed"], full.attrs["n_paths"]) == (3, 300)
    assert lq.__version__ in full.attrs["history"]
    record = json.loads(full.attrs["provenance"], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert record["function"] == "sweep"
    assert (record["version"], record["seed"], record["n_paths"]) == (lq.__version__, 3, 300)
    assert record["instruction_set"] == full.attrs["instruction_set"]
    assert record["elapsed_seconds"] >= 0
    assert {"schema", "platform", "python", "numpy", "created"} <= set(record)
    inputs = record["inputs"]
    assert inputs["model"] == {"tails": KOU.to_dict(), "smooth": lq.GBM(0.8).to_dict()}
    assert inputs["premium"] == PREMIUM.to_dict()
    for venue in (LINEAR, INVERSE):
        assert inputs["venue"][venue.id] == {**json.loads(json.dumps(venue.to_dict())), "hash": venue.hash}
    assert inputs["leverage"] == LEVERAGE
    assert inputs["stop"] == ["inf", 0.05, 0.02, 0.1]
    assert inputs["side"] == ["long", "short"]
    assert inputs["notional"] == [2e5, 1e4]
    assert inputs["price"] == 60_000.0
    assert inputs["horizon_ns"] == [hours * 3_600 * 10**9 for hours in (72, 7, 24)]
    assert (inputs["monitoring_ns"], inputs["gap_rule"]) == (None, "liquidation")
    assert inputs["axes"] == ["model", "venue", "notional", "horizon"]


def test_nothing_to_note_on_open_venues(full):
    assert full.attrs["notes"] == ""


def test_a_closed_venue_and_assumed_values_are_noted():
    spot = lq.load_venue("kraken-spot-xbtusd").assume({"fees.taker": 0.0026}, hazard=0.5)
    ds = lq.sweep(KOU, {"old": "bitmex-xbtusd", "spot": spot}, leverage=5, horizon="1D", n_paths=50, seed=1)
    assert ds.attrs["notes"].splitlines() == [
        f"old is closed. {lq.load_venue('bitmex-xbtusd').status_note}",
        "spot: fees.taker = 0.0026 is assumed, no source states it.",
        "spot: liquidation.hazard = 0.5 is assumed, no source states it.",
    ]
    rows = [(0, 1e6, 0.005, 100), (1e6, None, 0.01, 50)]
    bybit = lq.load_venue("bybit-btcusdt").assume({"margin.tiers": rows})
    notes = lq.sweep(KOU, bybit, leverage=5, horizon="1D", n_paths=50).attrs["notes"]
    assert notes == "bybit-btcusdt: margin.tiers (2 rows) is assumed, no source states it."


def test_entry_prices_are_those_of_the_window_in_which_it_is_opened():
    venue = lq.load_venue("coinbase-bip").assume(maintenance_share=0.8)
    position = {"entry_price": 60_000.0, "quantity": 1 / 6, "leverage": 3}
    for start, window in (("2026-03-04T15:00Z", "intraday"), ("2026-03-04T02:00Z", "overnight")):
        ds = lq.sweep(KOU, venue, leverage=3, side="long", start=start, horizon="1h", n_paths=50, seed=1)
        assert float(ds.liquidation_price.item()) == lq.liquidation_price(venue, window=window, **position)
        assert float(ds.bankruptcy_price.item()) == lq.bankruptcy_price(venue, **position)
    ten = lq.sweep(
        KOU, venue, leverage=9.9, side="long", start="2026-03-04T15:00Z", horizon="30min", n_paths=50, seed=1
    )
    assert 0.97 < ten.liquidation_price.item() / 60_000 < 0.99


def test_a_shipped_venue_brings_its_date_and_hash():
    venue = lq.load_venue("bitmex-xbtusd")
    ds = lq.sweep(KOU, "bitmex-xbtusd", leverage=5, horizon="1D", n_paths=50, seed=1)
    stored = json.loads(ds.attrs["provenance"])["inputs"]["venue"]["bitmex-xbtusd"]
    assert (stored["snapshot"], stored["hash"]) == (venue.snapshot.isoformat(), venue.hash)
    assert stored["sources"]


SEEDS = {
    "int": 3,
    "largest int64": 2**63 - 1,
    "uint64": 2**64 - 1,
    "huge": 10**30,
    "sequence": np.random.SeedSequence(10**30, spawn_key=(1, 2)),
    "entropy list": np.random.SeedSequence([1, 2]),
}


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
def test_seeds_survive_a_file(tmp_path, seed):
    assert_survives(sweep(seed=seed), tmp_path / "result.nc")


@pytest.mark.parametrize("seed", [np.int64(3), np.uint32(3), np.random.SeedSequence(np.array([3]))])
def test_numpy_integers_are_integers(seed):
    xr.testing.assert_equal(sweep(seed=seed), sweep(seed=3))


def assert_survives(ds, path):
    ds.to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path) as opened:
        xr.testing.assert_identical(opened.load(), ds)
        assert opened.horizon.dtype == ds.horizon.dtype == np.dtype("timedelta64[ns]")
        for name in ds.data_vars:
            assert opened[name].values.tobytes() == ds[name].values.tobytes()
        assert json.loads(opened.attrs["provenance"]) == json.loads(ds.attrs["provenance"])


def test_netcdf_round_trip(plain, full, tmp_path):
    assert_survives(plain, tmp_path / "plain.nc")
    assert_survives(full, tmp_path / "full.nc")
    assert_survives(full.isel(horizon=0), tmp_path / "cut.nc")


def test_first_passage_dataset(tmp_path):
    levels = [1.1, 0.9, 0.99, 1.01]
    one = lq.first_passage(KOU, levels, "3D", n_paths=300, seed=3)
    many = lq.first_passage(KOU, levels, ["3D", "7h"], n_paths=300, seed=3)
    assert one.p_hit.dims == ("level",)
    assert many.p_hit.dims == ("horizon", "level")
    assert one.level.values.tolist() == many.level.values.tolist() == levels
    assert set(many.data_vars) == {"p_hit", "p_hit_se", "alive_time", "alive_time_se"}
    for name, units in (("p_hit", "1"), ("alive_time", "d")):
        assert many[name].attrs["units"] == many[f"{name}_se"].attrs["units"] == units
        assert many[name].attrs["long_name"]
        assert many[f"{name}_se"].attrs["long_name"] == f"standard error of {name}"
    assert (many.p_hit.sel(horizon=np.timedelta64(7, "h")) <= one.p_hit).all()
    assert (one.p_hit.sel(level=[0.9, 1.1]).values <= one.p_hit.sel(level=[0.99, 1.01]).values).all()
    inputs = json.loads(one.attrs["provenance"])["inputs"]
    assert inputs == {
        "model": KOU.to_dict(),
        "levels": levels,
        "horizon_ns": [259_200 * 10**9],
        "monitoring_ns": None,
    }
    for name, ds in (("one", one), ("many", many)):
        assert_survives(ds, tmp_path / f"{name}.nc")


def test_whole_float_paths():
    xr.testing.assert_equal(sweep(n_paths=300.0), sweep(n_paths=300))


def test_many_horizons():
    hours = list(range(1, 49))
    ds = sweep(horizon=[f"{h}h" for h in hours], leverage=[10, 40], stop=0.05)
    assert ds.sizes["horizon"] == 48
    assert (ds.horizon / np.timedelta64(1, "h") == hours).all()
    assert (ds.exit_time.diff("horizon") >= 0).all()


@pytest.mark.parametrize("horizon", ["30D", "1D", "90D", "200D", "7h", "12.3456789D"])
@pytest.mark.parametrize("more", [{}, {"outputs": "exit_time_given"}, {"control": True}, {"importance": True}])
def test_no_position_outlives_its_horizon(horizon, more):
    """Also where every path is open at the horizon, each booked with a rounded time."""
    model, venue, longest = lq.GBM(sigma=0.05), lq.Venue.from_tiers(TIERS), parse_days(horizon)
    ds = lq.sweep(model, venue, leverage=[0.5, 1], horizon=[horizon, "6h"], n_paths=1000, seed=1, threads=1, **more)
    assert (ds.p_survival == 1).all()
    rounding = 1 + 1e-15 * ("importance" in more)  # of a weighted mean
    for name in ("exit_time", *({"exit_time_given"} & set(ds))):
        last = ds[name].sel(given="survival") if name.endswith("_given") else ds[name]
        np.testing.assert_allclose(last.isel(horizon=0), longest, rtol=0, atol=2.0**-32 * 365)
        assert (last.isel(horizon=0) <= longest * rounding).all()
        assert (last.isel(horizon=1) <= 0.25 * rounding).all()
    path = lq.replay(model, venue, path=0, leverage=0.5, side="long", horizon=horizon, threads=1)
    assert path.outcome == "open"
    assert path.exit_time <= longest
    if "outputs" not in more and "control" not in more:
        ds = lq.first_passage(model, [0.1, 9.0], [horizon, "6h"], n_paths=1000, seed=1, threads=1, **more)
        np.testing.assert_allclose(ds.alive_time.isel(horizon=0), longest, rtol=0, atol=2.0**-32 * 365)
        assert (ds.alive_time.isel(horizon=0) <= longest * rounding).all()


def every_kind_of_result():
    outputs = ["p_stop_by", "pnl_quantile", "pnl_given"]
    grouped = sweep(leverage=[2, 5], horizon=["1D", "3D"], groups=16, outputs=outputs)
    yield "sweep", grouped
    yield "cell", grouped.isel(side=0, leverage=0, stop=0, horizon=0)
    yield "intervals", lq.confidence_interval(grouped)
    yield "difference", lq.difference(grouped, {"leverage": 5}, {"leverage": 2})
    yield "jackknife", lq.jackknife(grouped, lambda x: x[["pnl", "fees"]])
    yield "ratio", lq.jackknife(grouped, lambda x: x.pnl / x.p_survival)
    yield "comparison", lq.compare_venues(KOU, [LINEAR, INVERSE], leverage=5, horizon="1D", n_paths=100)
    yield "passages", lq.first_passage(KOU, [0.9, 1.1], ["1D", "2D"], n_paths=100)
    yield "passage", lq.first_passage(KOU, [0.9], "1D", n_paths=100)
    yield "derivatives", lq.sensitivities(KOU, LINEAR, leverage=5, horizon="1D", n_paths=100)
    yield (
        "probability",
        lq.liquidation_probability(
            lq.GBM(sigma=0.6), lq.Venue.from_tiers(TIERS), leverage=5, side="long", horizon="1D"
        ),
    )
    yield "path", lq.replay(grouped.sel(horizon="1D"), path=1)


def test_every_coordinate_says_what_it_is(tmp_path):
    """Also after netCDF, where the unit of a duration is written by its encoding."""
    for kind, ds in every_kind_of_result():
        path = tmp_path / f"{kind}.nc"
        ds.to_netcdf(path, engine="h5netcdf")
        for found in (ds, xr.load_dataset(path, engine="h5netcdf", decode_timedelta=True)):
            for name, x in found.coords.items():
                assert x.attrs.get("long_name"), (kind, name)
                is_number = x.dtype.kind == "f"
                assert ("units" in x.attrs) == is_number, (kind, name)
            xr.testing.assert_equal(found, ds)
