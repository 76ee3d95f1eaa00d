"""``lq.replay``: the dataset of one path, from a result or from the arguments of a sweep."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.replay import _PICKERS
from liqsim.report import load_result, save_result
from liqsim.venues import DailyTimes, Liquidation, load_venue

KOU = lq.Kou(sigma=0.5, intensity=200, p_up=0.45, eta_up=30, eta_down=28)
PREMIUM = lq.OUPremium(1e-4, "8h", 3e-4, 0.2)
GRID = {"leverage": [5, 25, 10], "stop": [0.05, math.inf, 0.02]}
SAME = {"premium": PREMIUM, "n_paths": 400, "seed": 3, "horizon": "10D", **GRID}
TIERS = [(0, 5e4, 0.004, 125), (5e4, 1e5, 0.008, 80), (1e5, None, 0.012, 60)]
FUNDING = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
CUT = dataclasses.replace(
    lq.Venue.from_tiers(TIERS, taker_fee=5e-4, funding=FUNDING),
    liquidation=Liquidation("incremental", "kept-minus-fee", fee_rate=2e-3, step_fraction=0.2),
)
CALLED = dataclasses.replace(load_venue("cme-mbt"), margin_times=DailyTimes(("00:00",), "America/New_York"))
LONG10 = {"side": "long", "leverage": 10, "stop": math.inf}


@pytest.fixture(scope="module")
def ds():
    return lq.sweep(KOU, "binance-usdm-btcusdt", **SAME)


def assert_same(a, b):
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        assert a[name].values.tobytes() == b[name].values.tobytes(), name


def test_the_dataset_and_the_arguments_say_the_same(ds, tmp_path):
    path = lq.replay(ds, path=7)
    assert_same(path, lq.replay(KOU, "binance-usdm-btcusdt", path=7, **SAME))
    assert_same(path, lq.replay(load_result(save_result(ds, tmp_path / "result.nc")), path=7))
    assert path.attrs["title"] == "liqsim replay"
    assert path.path.item() == 7
    assert dict(path.sizes) == {"time": path.sizes["time"], "side": 2, "leverage": 3, "stop": 3}
    for name in path.variables:
        assert path[name].attrs.get("long_name"), name
    for name in ("mark", "index", "low", "high", "exit_price", "liquidation_level"):
        assert path[name].attrs["units"] == "USDT", name
    assert "expected" not in path.pnl.attrs["long_name"]


def test_a_replay_is_written_and_read(ds, tmp_path):
    path = lq.replay(ds, path=7)
    path.to_netcdf(tmp_path / "path.nc", engine="h5netcdf")
    assert_same(path, xr.load_dataset(tmp_path / "path.nc", engine="h5netcdf"))


VENUES = {
    "whole": ("binance-usdm-btcusdt", {}),
    "inverse": ("bitmex-xbtusd", {"gap_rule": "stop"}),
    "cut": (CUT, {"notional": 1.5e5}),
    "called": (CALLED, {"leverage": [2, 3, 2.5], "start": "2026-03-05T03:30Z", "top_up": 0.02}),
    "hourly looks": ("bitmex-xbtusd", {"monitoring": "1h"}),
    "looked at": (load_venue("kraken-spot-xbtusd").assume(taker=0.0026, hazard=3.0), {"leverage": [2, 3, 5]}),
}


@pytest.mark.parametrize("name", VENUES)
def test_paths_add_up_to_the_sweep(name):
    venue, changes = VENUES[name]
    n = 12
    ds = lq.sweep(KOU, venue, **{**SAME, **changes, "n_paths": n})
    paths = [lq.replay(ds, path=number) for number in range(n)]
    for variable in ("pnl", "fees", "funding_cost", "exit_time", "shortfall", "returned", "closed_share", "topped_up"):
        mean = sum(path[variable] for path in paths) / n
        # a time is booked to 2**-32 years, and what that adds to the horizon is taken off
        resolution = 2.0**-32 * 365 if variable == "exit_time" else 1e-15
        np.testing.assert_allclose(mean, ds[variable], rtol=1e-12, atol=resolution, err_msg=variable)
    for outcome, variable in (("liquidated", "p_liquidation"), ("stopped", "p_stop"), ("open", "p_survival")):
        np.testing.assert_allclose(sum(path.outcome == outcome for path in paths) / n, ds[variable], atol=1e-15)


@pytest.mark.parametrize("name", VENUES)
def test_what_a_cell_shows_agrees_with_how_it_ends(name):
    venue, changes = VENUES[name]
    for number in range(4):
        path = lq.replay(KOU, venue, path=number, **{**SAME, **changes})
        is_open = path.share.notnull()
        days = path.time / np.timedelta64(1, "D")
        assert float((days.where(is_open).max("time") - path.exit_time).max()) < 1e-6
        final = path.exit_time > path.horizon / np.timedelta64(1, "D") - 1e-6
        assert bool(((path.outcome == "open") == final).where(~path.is_partial, True).all())
        stopped = path.outcome == "stopped"
        move = xr.where(path.side == "long", 1 - path.exit_price / 60_000, path.exit_price / 60_000 - 1)
        assert bool((move >= path.stop - 1e-12).where(stopped, True).all())
        last = len(path.time) - 1 - is_open[::-1].argmax("time")
        at_the_end = path.margin_ratio.isel(time=last)
        closed_by_venue = (path.outcome == "liquidated") & ~path.is_partial
        if name in ("whole", "inverse", "cut", "hourly looks"):
            assert bool((at_the_end <= 1 + 1e-9).where(closed_by_venue, True).all())
            assert bool((at_the_end > 1).where(path.outcome == "open", True).all())


def test_margin_ratio_is_one_where_a_position_is_liquidated_without_a_jump():
    path = lq.replay(
        lq.GBM(0.9), "binance-usdm-btcusdt", side="long", leverage=20, horizon="30D", n_paths=1000, seed=1,
        first_liquidated=True,
    )  # fmt: skip
    last = int(np.flatnonzero(path.event == "liquidation")[0])
    cell = path.isel(side=0, leverage=0, stop=0)
    assert cell.margin_ratio[last] == pytest.approx(1.0, abs=1e-12)
    assert cell.mark[last].item() == cell.exit_price.item() == pytest.approx(cell.liquidation_level[last].item())
    assert bool(cell.margin_ratio[last + 1 :].isnull().all())
    assert bool((cell.margin_ratio[:last] > 1).all())
    ends = last + np.flatnonzero(path.event[last:] == "segment end")
    assert path.low[ends[0]] <= cell.exit_price


def test_cuts_and_calls_are_events():
    cut = lq.replay(KOU, CUT, first_liquidated={"side": "long", "leverage": 25}, notional=1.5e5,
                    **{**SAME, "stop": math.inf})  # fmt: skip
    events = cut.where((cut.event == "cut") & (cut.event_leverage == 25) & (cut.event_side == "long"), drop=True)
    assert events.sizes["time"] > 0
    share = events.share.sel(LONG10 | {"leverage": 25})
    np.testing.assert_allclose(share % 0.2, 0, atol=1e-9)
    assert (np.diff(share) < 0).all()
    called = lq.replay(
        KOU, CALLED, first_liquidated={"side": "short", "leverage": 3}, start="2026-03-05T03:30Z", horizon="20D",
        leverage=[3, 2], n_paths=400,
    )  # fmt: skip
    assert {"margin test", "margin call", "liquidation"} <= set(called.event.values)
    assert called.is_called.sel(side="short", leverage=3).item()
    test = called.where(called.event == "margin test", drop=True)
    assert bool((test.clock.dt.strftime("%H:%M") == "05:00").any())  # midnight in New York, in winter


def test_index_is_mark_over_one_plus_the_premium(ds):
    path = lq.replay(ds, path=3)
    drawn = path.premium.notnull()
    stamps = np.isin(path.event, ["entry", "funding", "look", "instant", "horizon"])
    np.testing.assert_array_equal(drawn, stamps)
    np.testing.assert_allclose((path.index * (1 + path.premium))[drawn], path.mark[drawn], rtol=1e-15)
    flat = lq.replay(KOU, "binance-usdm-btcusdt", path=3, leverage=5)
    assert bool((flat.index == flat.mark).all())


def test_funding_is_what_a_whole_position_has_paid(ds):
    path = lq.replay(ds, path=3)
    total = path.funding_payment.cumsum("time")
    np.testing.assert_allclose(path.paid.sel(side="long"), total, atol=1e-15)
    np.testing.assert_allclose(path.paid.sel(side="short"), -total, atol=1e-15)
    held = path.sel(leverage=5, stop=math.inf)
    kept = held.outcome == "open"
    assert kept.any()
    np.testing.assert_allclose(
        held.funding_cost.where(kept, drop=True), held.paid.isel(time=-1).where(kept, drop=True), atol=1e-9
    )


def test_a_selection_is_a_narrower_replay(ds):
    whole, part = lq.replay(ds, path=5), lq.replay(ds.sel(LONG10), path=5)
    assert dict(part.sizes) == {"time": part.sizes["time"], "side": 1, "leverage": 1, "stop": 1}
    for name in ("pnl", "exit_time", "outcome"):
        assert part[name].item() == whole[name].sel(LONG10).item()
    moves = ("entry", "segment end", "jump", "funding", "horizon")
    for path in (whole, part):
        path["keep"] = path.event.isin(moves)
    np.testing.assert_array_equal(whole.x[whole.keep], part.x[part.keep])


def test_pickers():
    ds = lq.sweep(KOU, "binance-usdm-btcusdt", **{**SAME, "n_paths": 100})
    paths = [lq.replay(ds.sel(LONG10), path=number) for number in range(100)]
    pnl = np.array([path.pnl.item() for path in paths])
    worst = lq.replay(ds, worst=LONG10)
    assert worst.pnl.sel(LONG10) == pnl.min()
    assert worst.path == np.flatnonzero(pnl < pnl.min() + 1e-9)[0]
    assert lq.replay(ds, median=LONG10).pnl.sel(LONG10) == pytest.approx(np.sort(pnl)[49], abs=1e-9)
    first = [path.outcome.item() for path in paths].index("liquidated")
    found = lq.replay(ds.sel(LONG10), first_liquidated=True, threads=2)
    assert found.path == first
    assert found.attrs["picked"] == "first liquidation of 100 paths, long, 10x, no stop"
    assert worst.attrs["picked"].startswith("worst profit and loss")


def test_venues_of_a_comparison_are_replayed_on_the_paths_of_all():
    ds = lq.compare_venues(
        KOU, ["bitmex-xbtusd", "hyperliquid-btc", "cme-mbt"], leverage=[3, 30], side=["long", "short"], n_paths=1,
        horizon="10D", seed=4, premium=PREMIUM,
    )  # fmt: skip
    prices = []
    for venue in ("bitmex-xbtusd", "hyperliquid-btc"):
        path = lq.replay(ds.sel(venue=venue), path=0)
        for name in ("pnl", "exit_time", "fees", "funding_cost"):
            np.testing.assert_array_equal(path[name].squeeze("stop"), ds[name].sel(venue=venue))
        prices.append(path.x[path.event == "segment end"].values)
    np.testing.assert_array_equal(*prices)
    narrow = lq.compare_venues(KOU, ["bitmex-xbtusd", "cme-mbt"], leverage=30, n_paths=1, horizon="10D", seed=4)
    assert narrow.sizes["venue"] == 1  # the other allows no such leverage, and all the same shapes the paths
    path = lq.replay(narrow, path=0)
    assert path.pnl.item() == narrow.pnl.item()


def refused(message):
    return pytest.raises(lq.ParameterError, match=message)


def test_bad_input(ds):
    with refused(r"give one of path, worst, median, first_liquidated \(none was given\)"):
        lq.replay(ds)
    with refused(r"\(path and worst were given\)"):
        lq.replay(ds, path=0, worst=LONG10)
    for path in (-1, 2**64, 1.0, True, "7"):
        with refused(rf"path={path!r} is not allowed; give a whole number in \[0, 2\*\*64\)"):
            lq.replay(ds, path=path)
    with refused("leverage, seed: the dataset says how it was made"):
        lq.replay(ds, path=0, leverage=5, seed=3)
    with refused("result=DataArray is neither a dataset nor a price model"):
        lq.replay(ds.pnl, path=0)
    with refused("leverge is no argument of a sweep; did you mean 'leverage'"):
        lq.replay(KOU, "bitmex-xbtusd", leverge=5, path=0)
    with refused("give a venue and leverage"):
        lq.replay(KOU, path=0)
    with refused("no provenance of liqsim in its attrs"):
        lq.replay(ds.drop_attrs(), path=0)
    with refused("was made by first_passage"):
        lq.replay(lq.first_passage(KOU, 0.9, "1D", n_paths=10), path=0)
    with refused("threads=0 is not allowed"):
        lq.replay(ds, path=0, threads=0)
    with refused(r"there are 2 values of venue, bitmex-xbtusd, hyperliquid-btc; .*choose it with one venue"):
        lq.replay(KOU, ["bitmex-xbtusd", "hyperliquid-btc"], leverage=5, path=0)
    with refused("more than 2 GiB; replay fewer leverages and stops"):
        lq.replay(KOU, "bitmex-xbtusd", path=0, monitoring="10min", horizon="90D", leverage=np.linspace(1, 9, 40),
                  stop=np.linspace(0.01, 0.2, 40))  # fmt: skip


def test_bad_cells(ds):
    with refused(r'worst must say which leverage, one of 5.0, 25.0, 10.0, as in worst={"side": "long"'):
        lq.replay(ds, worst={"side": "long", "stop": 0.05})
    with refused("worst: leverage=7 is not in the grid; it holds 5.0, 25.0, 10.0"):
        lq.replay(ds, worst={"side": "long", "leverage": 7, "stop": 0.05})
    with refused("median names 'levrage'; did you mean 'leverage'"):
        lq.replay(ds, median={"levrage": 5})
    with refused("first_liquidated=3 names no cell"):
        lq.replay(ds, first_liquidated=3)
    with refused(r"none of 400 paths is liquidated in the cell short, 1x, no stop; .* worst="):
        lq.replay(lq.GBM(0.1), "binance-usdm-btcusdt", leverage=1, side="short", n_paths=400, first_liquidated=True)


def test_many_runs_in_one_dataset_are_told_apart():
    ds = lq.sweep(
        [lq.GBM(0.5), KOU], "bitmex-xbtusd", leverage=5, horizon=["1D", "36h"], n_paths=50, notional=[1e4, 2e4]
    )
    with refused(r"there are 2 values of model, gbm, kou; .*ds\.sel\(model=\.\.\.\)"):
        lq.replay(ds, path=0)
    with refused(r"there are 2 values of horizon, 1 days, 1\.5 days"):
        lq.replay(ds.sel(model="kou", notional=2e4), path=0)
    one = ds.sel(model="kou", notional=2e4, horizon=np.timedelta64(36, "h"))
    path = lq.replay(one, path=11)
    assert path.time[-1] == np.timedelta64(36, "h")
    alone = lq.replay(KOU, "bitmex-xbtusd", leverage=5, horizon="36h", notional=2e4, path=11)
    assert_same(path, alone)


def test_every_picker_says_what_it_found():
    assert set(_PICKERS) == {"worst", "median", "first_liquidated"}


def test_the_price_goes_on_after_the_last_position_is_closed(ds):
    """What others of the grid would see on this path is there, though nothing is open."""
    cell = {"side": "long", "leverage": 25, "stop": 0.02}
    alone = lq.replay(ds.sel(cell), first_liquidated=True)
    number = int(alone.path)
    whole = lq.replay(ds, path=number)
    assert alone.outcome.item() == "liquidated"
    assert alone.time[-1] == whole.time[-1] == np.timedelta64(10, "D")
    for name in ("segment end", "jump", "funding", "horizon"):
        np.testing.assert_array_equal(alone.x[alone.event == name], whole.x[whole.event == name])


@pytest.mark.parametrize(
    "more",
    [
        {"n_paths": None, "rel_error": {"p_stop": 0.1}, "error_at": {"leverage": 5, "stop": 0.02}},
        {"outputs": ["pnl_quantile", "p_liquidation_by"], "quantiles": [0.1], "times": "5D"},
        {"control": True, "groups": 8},
    ],
    ids=["target", "outputs", "control"],
)
def test_what_else_a_sweep_is_asked_for_does_not_change_its_paths(ds, more):
    path = lq.replay(ds, path=7)
    arguments = {**SAME, **more}
    assert_same(path, lq.replay(KOU, "binance-usdm-btcusdt", path=7, **arguments))
    assert_same(path, lq.replay(lq.sweep(KOU, "binance-usdm-btcusdt", **arguments), path=7))
