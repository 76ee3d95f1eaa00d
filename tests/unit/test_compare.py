"""One position on many venues: the same paths for all, each by its own rules, and what is left out says why."""

import dataclasses
import json
import math

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.compare import COMPARED

INF = math.inf
KOU = lq.Kou(sigma=0.6, intensity=300, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=4e-4)
TIERS = [(0, 5e4, 0.004, 125), (5e4, 1e6, 0.008, 80)]
EIGHT = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
PLAIN = lq.Venue.from_tiers(TIERS, taker_fee=5e-4, funding=EIGHT, name="plain")
STRICT = lq.Venue.from_tiers([(0, 1e6, 0.02, 40)], taker_fee=5e-4, funding=EIGHT, name="strict")
ASSUMED = {
    "coinbase-bip": {"margin.maintenance_share": 0.8},
    "kraken-pf-xbtusd": {"liquidation.fee_rate": 0.004},
    "kraken-spot-xbtusd": {"fees.taker": 0.0026, "liquidation.hazard": 0.5},
}


def compare(venues=None, **changes):
    given = {"leverage": 5, "horizon": "7D", "premium": PREMIUM, "n_paths": 2000, "seed": 3}
    return lq.compare_venues(KOU, venues, **{**given, **changes})


@pytest.fixture(scope="module")
def full():
    return compare(
        leverage=[2, 3, 10, 100], side=["long", "short"], price=77_835, notional=100_000, assume=ASSUMED, n_paths=1024
    )


def numbers(ds):
    return ds.drop_vars([name for name in ("why", "bearer", "status", "us_persons") if name in ds])


def test_the_same_rules_give_the_same_bits_whatever_stands_beside_them():
    twin = dataclasses.replace(PLAIN, id="twin")
    ds = numbers(compare([PLAIN, "hyperliquid-btc", twin, "cme-mbt"], leverage=[2, 3], side=["long", "short"]))
    xr.testing.assert_equal(ds.sel(venue="plain", drop=True), ds.sel(venue="twin", drop=True))
    assert float(ds.p_liquidation.sel(venue="plain").max()) > 0


def test_clocks_that_pay_nothing_see_the_same_paths():
    """Hourly, never and at odd hours: where nothing is paid, the clock alone must not change a liquidation."""
    quiet = {
        "never": dataclasses.replace(PLAIN, funding=None),
        "hourly": dataclasses.replace(PLAIN, funding=lq.FixedFunding(0.0, "1h")),
        "odd": dataclasses.replace(PLAIN, funding=lq.FixedFunding(0.0, "7h")),
    }
    together = numbers(compare(quiet, leverage=20))
    for label in ("hourly", "odd"):
        xr.testing.assert_equal(together.sel(venue="never", drop=True), together.sel(venue=label, drop=True))
    apart = lq.sweep(KOU, quiet, leverage=20, side="long", horizon="7D", n_paths=2000, seed=3).p_liquidation
    assert len(np.unique(apart)) > 1


def test_stricter_rules_liquidate_on_every_path_on_which_milder_ones_do():
    ds = compare([PLAIN, STRICT], leverage=[5, 10, 20, 30], side=["long", "short"])
    assert (ds.p_liquidation.sel(venue="strict") > ds.p_liquidation.sel(venue="plain")).all()
    assert (ds.exit_time.sel(venue="strict") <= ds.exit_time.sel(venue="plain")).all()


def test_common_paths_make_differences_precise():
    found = [compare([PLAIN, STRICT], leverage=10, seed=seed, n_paths=1024).p_liquidation.values for seed in range(40)]
    plain, strict = np.array(found).T
    bound = math.sqrt(plain.var(ddof=1) + strict.var(ddof=1))
    assert (strict - plain).std(ddof=1) < 0.6 * bound


def test_numbers_are_those_of_a_sweep_to_within_their_errors(full):
    for label in ("cme-mbt", "kraken-pi-xbtusd", "deribit-btc-perpetual", "hyperliquid-btc", "kraken-spot-xbtusd"):
        venue = lq.load_venue(label).assume(ASSUMED.get(label, {}))
        given = {
            "premium": PREMIUM,
            "price": 77_835,
            "notional": 100_000,
            "horizon": "7D",
            "n_paths": 20_000,
            "seed": 8,
        }
        alone = lq.sweep(KOU, venue, leverage=3, **given).squeeze(drop=True)
        cell = full.sel(venue=label, leverage=3)
        for name in ("p_liquidation", "funding_cost", "fees", "exit_time", "returned", "engine_kept"):
            error = alone[f"{name}_se"] * math.sqrt(1 + 20_000 / 1024)  # that of the larger run, at either size
            bound = 4 * error + 2.0**-32  # to which money is booked
            assert (abs(alone[name] - cell[name]) < bound).all(), (label, name)


def test_threads_do_not_matter():
    xr.testing.assert_equal(compare([PLAIN, STRICT], threads=1), compare([PLAIN, STRICT], threads=2))


def test_dimensions_are_those_given_as_lists():
    assert compare([PLAIN, STRICT]).p_liquidation.dims == ("venue",)
    assert compare(PLAIN, side=["long"]).p_liquidation.dims == ("venue", "side")
    ds = compare([PLAIN, STRICT], leverage=[5, 2], stop=[INF, 0.1, 0.05])
    assert ds.p_liquidation.dims == ("venue", "leverage", "stop")
    assert ds.leverage.values.tolist() == [5, 2]
    assert ds.stop.values.tolist() == [INF, 0.1, 0.05]
    assert ds.liquidation_price.dims == ds.is_allowed.dims == ("venue", "leverage")
    assert ds.max_leverage.dims == ds.why.dims == ("venue",)
    assert (str(ds.side.values), str(ds.model.values), float(ds.notional)) == ("long", "kou", 10_000)


def test_a_grid_has_the_bits_of_its_cells():
    ds = numbers(compare([PLAIN, STRICT], leverage=[5, 20, 2], side=["short", "long"], stop=[0.05, INF]))
    cell = numbers(compare([PLAIN, STRICT], leverage=20, side="long", stop=INF))
    xr.testing.assert_equal(
        ds.sel(leverage=20, side="long", stop=INF).drop_vars("max_leverage"), cell.drop_vars("max_leverage")
    )


def test_what_a_venue_does_not_allow_is_marked_and_not_simulated(full):
    assert full.venue.values.tolist() == [label for label in COMPARED if label not in ("bybit-btcusdt", "okx-btcusdt")]
    for label in full.venue.values:
        venue = lq.load_venue(label).assume(ASSUMED.get(label, {}))
        window = "overnight" if label == "coinbase-bip" else None
        for side in full.side.values:
            most = float(venue.max_leverage(100_000, 77_835, side, window))
            cell = full.sel(venue=label, side=side)
            assert float(cell.max_leverage) == most
            assert cell.is_allowed.values.tolist() == [leverage <= most for leverage in full.leverage.values]
    assert not full.is_allowed.sel(leverage=10, venue=["cme-mbt", "coinbase-bip", "kraken-spot-xbtusd"]).any()
    assert full.is_allowed.sel(leverage=3, venue="coinbase-bip").values.tolist() == [True, True]
    coinbase = compare(
        ["coinbase-bip"], leverage=4, side=["long", "short"], assume={"coinbase-bip": ASSUMED["coinbase-bip"]}
    )
    assert coinbase.is_allowed.values.tolist() == [[True, False]]
    for name in full.data_vars:
        if name in ("why", "bearer", "status", "us_persons", "max_leverage", "is_allowed"):
            continue
        known = np.isfinite(full[name]) | np.isinf(full[name])
        assert (known == full.is_allowed).all(), name


def test_prices_are_those_of_the_position(full):
    for label in full.venue.values:
        venue = lq.load_venue(label).assume(ASSUMED.get(label, {}))
        quantity = float(venue.contract.quantity(100_000, 77_835))
        for side in full.side.values:
            cell = full.sel(venue=label, side=side, leverage=3)
            position = {"side": side, "entry_price": 77_835.0, "quantity": quantity, "leverage": 3}
            window = "overnight" if label == "coinbase-bip" else None
            assert float(cell.liquidation_price) == lq.liquidation_price(venue, **position, window=window)
            assert float(cell.bankruptcy_price) == lq.bankruptcy_price(venue, **position)
            assert float(cell.initial_margin) == lq.initial_margin(venue, **position)


def test_the_call_price_is_where_discretion_begins(full):
    others = full.drop_sel(venue="kraken-spot-xbtusd")
    xr.testing.assert_equal(others.call_price.drop_attrs(), others.liquidation_price.drop_attrs())
    spot = full.sel(venue="kraken-spot-xbtusd", leverage=3)
    # equity 80 % of the margin used: a long's is 1/3 of the cost, a short's 1/3 of the coin
    assert float(spot.call_price.sel(side="long")) == pytest.approx(77_835 * (1 - 0.2 / 3))
    assert float(spot.call_price.sel(side="short")) == pytest.approx(77_835 * (1 + 1 / 3) / (1 + 0.8 / 3))


def test_defaults_that_lack_a_value_are_left_out_and_say_which():
    ds = compare(leverage=3, price=77_835, n_paths=1024)
    left_out = json.loads(ds.attrs["left_out"])
    assert set(left_out) == {id for id in COMPARED if lq.load_venue(id).needs()}
    assert left_out["coinbase-bip"] == "no source states margin.maintenance_share"
    assert "fees.taker and liquidation.hazard" in left_out["kraken-spot-xbtusd"]
    assert not set(left_out) & set(ds.venue.values)
    assert json.loads(ds.attrs["provenance"])["inputs"]["left_out"] == left_out


def test_leverages_that_are_not_allowed_are_left_out_and_say_so():
    ds = compare(["cme-mbt", "bitmex-xbtusd"], leverage=20)
    assert ds.venue.values.tolist() == ["bitmex-xbtusd"]
    assert json.loads(ds.attrs["left_out"])["cme-mbt"].startswith("leverage=20.0 exceeds 3.18")
    with pytest.raises(
        lq.MarginRuleError, match=r"leverage=20: no venue can be simulated; cme-mbt: leverage=20\.0 exc"
    ):
        compare(["cme-mbt"], leverage=20)


def test_a_venue_that_is_named_and_lacks_a_value_is_refused():
    with pytest.raises(
        lq.VenueDataError, match=r"coinbase-bip, 2026-08-29: no source states margin\.maintenance_share"
    ):
        compare(["bitmex-xbtusd", "coinbase-bip"])
    ds = compare(["coinbase-bip"], leverage=3, assume={"coinbase-bip": ASSUMED["coinbase-bip"]})
    assert ds.attrs["notes"] == "coinbase-bip: margin.maintenance_share = 0.8 is assumed, no source states it."


def test_two_values_of_one_assumption_side_by_side():
    coinbase = lq.load_venue("coinbase-bip")
    both = {f"share {share}": coinbase.assume(maintenance_share=share) for share in (0.5, 0.9)}
    ds = compare(both, leverage=3)
    assert float(ds.p_liquidation[1]) > float(ds.p_liquidation[0])
    assert ds.attrs["notes"].splitlines()[1].startswith("share 0.9: margin.maintenance_share = 0.9 is assumed")


def test_words(full):
    text = {str(label): str(why) for label, why in zip(full.venue.values, full.why.values, strict=True)}
    assert "1,713 USD for each 0.1 BTC whatever the price: 22 % of the value" in text["cme-mbt"]
    assert "tested only at 16:00 America/Chicago, Mon to Fri" in text["cme-mbt"]
    assert "due 1D after the call" in text["cme-mbt"]
    assert "intraday 8 % long" in text["coinbase-bip"]
    assert "overnight 19.6 % long, 24.5 % short" in text["coinbase-bip"].replace("19.7", "19.6")
    assert "keeps nothing and owes nothing more" in text["bitmex-xbtusd"]
    assert "taken over whole at the bankruptcy price, for it is below tier 2" in text["bitmex-xbtusd"]
    assert "(one tier at a time, from tier 2 up)" in text["binance-usdm-btcusdt"]
    assert "1.25 % of the value closed, nothing of what is taken over, and owes nothing" in text["binance-usdm-btcusdt"]
    assert "fee of 0.75 % of the value closed" in text["deribit-btc-perpetual"]
    assert "0.5 liquidations a day" in text["kraken-spot-xbtusd"]
    assert "whole, for its notional is not above 100,000" in text["hyperliquid-btc"]
    bearer = dict(zip(full.venue.values, full.bearer.values, strict=True))
    assert bearer["cme-mbt"] == "client"
    assert bearer["deribit-btc-perpetual"] == "insurance fund, then socialised loss"
    assert dict(zip(full.venue.values, full.us_persons.values, strict=True))["coinbase-bip"] == "yes"
    assert str(full.status.sel(venue="bitmex-xbtusd").values).startswith("closed: The exchange closed on 2026-09-23")
    assert "bitmex-xbtusd is closed." in full.attrs["notes"]


def test_a_price_that_is_nearer_at_other_hours_is_said_to_be_so(full):
    """Opened at 10:00 in New York, where the rates of the night are higher; and at night, where they are not."""
    at = {"leverage": 3, "side": ["long", "short"], "assume": {"coinbase-bip": ASSUMED["coinbase-bip"]}}
    day = compare(["coinbase-bip"], start="2026-03-04T15:00Z", **at).attrs["notes"].splitlines()
    words = "is that of the intraday window, in which the position is opened; in the overnight window it is nearer."
    assert day[1:] == [f"coinbase-bip: the liquidation price {words}"]
    assert "window" not in full.attrs["notes"]


def test_paths_of_its_own_are_said_to_be_so(full):
    assert json.loads(full.attrs["own_paths"]) == ["kraken-spot-xbtusd"]
    assert json.loads(compare([PLAIN, STRICT]).attrs["own_paths"]) == []


def test_units_names_and_file(full, tmp_path):
    for name in full.data_vars:
        assert full[name].attrs["long_name"], name
        if name not in ("why", "bearer", "status", "us_persons", "is_allowed"):
            assert full[name].attrs["units"], name
    assert full.call_price.units == full.liquidation_price.units == "USD/USDT"
    full.to_netcdf(tmp_path / "compare.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "compare.nc") as opened:
        xr.testing.assert_identical(opened.load(), full)


def test_provenance_repeats_it(full):
    record = json.loads(full.attrs["provenance"])
    assert (record["function"], record["seed"], record["n_paths"]) == ("compare_venues", 3, 1024)
    inputs = record["inputs"]
    assert list(inputs["venue"]) == full.venue.values.tolist()
    assert inputs["venue"]["coinbase-bip"]["margin"]["maintenance_share"] == 0.8
    assert inputs["venue"]["bitmex-xbtusd"]["hash"] == lq.load_venue("bitmex-xbtusd").hash
    assert (inputs["price"], inputs["notional"], inputs["leverage"]) == (77_835, [100_000], [2, 3, 10, 100])


REFUSED = [
    ({"assume": {"coinbase": {"margin.maintenance_share": 0.8}}}, "assume: 'coinbase' is not compared; did you mean"),
    ({"assume": {"cme-mbt": 0.5}}, "assume['cme-mbt']=0.5 is not a mapping; give values by dotted name"),
    ({"assume": "coinbase-bip:0.8"}, "assume='coinbase-bip:0.8' is not a mapping; give {venue: {name: value}}"),
    ({"assume": {"cme-mbt": {"liquidation.hazard": 1.0}}}, "liquidation.hazard means nothing to 'margin-call'"),
    ({"horizon": ["7D", "30D"]}, "is a list; give one duration and call once for each"),
    ({"notional": [1e4, 1e5]}, "notional=[10000.0, 100000.0] is a list; give one notional (quote currency)"),
    ({"leverage": 0}, "leverage=0 is not allowed; give numbers in (0, 1000]"),
    ({"venues": []}, "venues is empty; give at least one"),
    ({"venues": ["bitmx"]}, "venue 'bitmx' is unknown; did you mean 'bitmex-xbtusd'"),
    ({"venues": ["cme-btc@2020-06-01", "cme-btc"]}, "venues holds two items called 'cme-btc'; pass a mapping"),
    ({"top_up": -0.1}, "top_up=-0.1 is not allowed"),
    ({"start": "noon"}, "start='noon' is not an instant"),
    ({"side": "both"}, "side='both' is not allowed"),
    ({"n_paths": 0}, "n_paths=0 is not allowed"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[str(given)[:40] for given, _ in REFUSED])
def test_it_refuses(given, message):
    with pytest.raises(lq.LiqsimError) as refused:
        compare(**given)
    assert message in str(refused.value)


def test_models_are_not_lists():
    with pytest.raises(lq.ParameterError, match="is not a PriceModel; give GBM, Merton or Kou"):
        lq.compare_venues([KOU], leverage=2)
