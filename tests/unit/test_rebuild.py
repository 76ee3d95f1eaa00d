"""A result's provenance holds all that is needed to repeat it: models, venues, premium, seed, arguments."""

import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import liqsim as lq
from liqsim.rebuild import model_from_dict, provenance_of, seed_of, sweep_arguments_of
from liqsim.results import provenance
from liqsim.venues import DailyTimes, Liquidation, list_venues, load_venue, snapshot_dates
from liqsim.venues.plain import venue_from_dict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "property"))

from strategies import cases, models

SNAPSHOTS = [(name, date) for name in list_venues() for date in snapshot_dates(name)]


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


def assert_rebuilt(venue):
    assert venue_from_dict(through_json({**venue.to_dict(), "hash": venue.hash})) == venue


@pytest.mark.parametrize(("name", "date"), SNAPSHOTS)
def test_shipped_venues(name, date):
    assert_rebuilt(load_venue(name, date))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_venues_of_every_kind(case):
    assert_rebuilt(case.venue)


@settings(max_examples=60, deadline=None)
@given(models)
def test_models_of_every_kind(model):
    assert model_from_dict(through_json(model.to_dict())) == model


@pytest.mark.parametrize("interval", [np.timedelta64(7, "h"), dt.timedelta(minutes=100), "7h"])
def test_durations_of_any_type_are_kept_exactly(interval):
    premium = lq.OUPremium(mean=1e-4, half_life=interval, vol=1e-4)
    again = lq.OUPremium(**through_json(premium.to_dict()))
    assert again.mean_reversion == premium.mean_reversion
    venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)], funding=lq.FixedFunding(1e-4, interval))
    venue = dataclasses.replace(venue, liquidation=Liquidation("margin-call", "kept", "client", deadline=interval))
    again = venue_from_dict(through_json(venue.to_dict()))
    assert again.funding.interval_days == venue.funding.interval_days
    assert again.liquidation.deadline_days == venue.liquidation.deadline_days


SEEDS = [0, 2**70, np.random.SeedSequence([1, 2, 3], spawn_key=(4,)), np.random.SeedSequence(5, pool_size=8)]


@pytest.mark.parametrize("seed", SEEDS, ids=["int", "large", "sequence", "pool"])
def test_seeds(seed):
    record = provenance_of(provenance("sweep", {}, seed, 1, 0.0))
    again = seed_of(record["seed"])
    if isinstance(seed, int):
        assert again == seed
    else:
        np.testing.assert_array_equal(again.generate_state(4), seed.generate_state(4))


def test_the_arguments_repeat_a_sweep_to_the_last_bit():
    venue = dataclasses.replace(load_venue("cme-mbt"), margin_times=DailyTimes(("00:00",), "America/New_York"))
    ds = lq.sweep(
        [lq.GBM(0.7), lq.Merton(0.5, 100, -0.01, 0.03)],
        {"mine": venue, "other": "bitmex-xbtusd"},
        leverage=[2, 3],
        stop=[0.1, np.inf],
        side="short",
        notional=[5e4, 6e4],
        horizon=["36h", np.timedelta64(3, "D")],
        premium=lq.OUPremium(1e-4, dt.timedelta(hours=7), 2e-4, 0.3, 0.0),
        monitoring="1h",
        gap_rule="stop",
        start="2026-03-06T15:00-05:00",
        top_up=0.02,
        n_paths=500,
        seed=np.random.SeedSequence(9, pool_size=8),
    )
    again = lq.sweep(**sweep_arguments_of(provenance_of(ds.attrs)))
    for name in ds.data_vars:
        assert again[name].values.tobytes() == ds[name].values.tobytes(), name


def test_what_cannot_be_rebuilt_says_so():
    venue = load_venue("bitmex-xbtusd")
    values = through_json({**venue.to_dict(), "hash": venue.hash})
    values["fees"]["taker"] = 0.02
    with pytest.raises(lq.VenueDataError, match=r"'bitmex-xbtusd' cannot be rebuilt.*they were changed"):
        venue_from_dict(values)
    del values["margin"]
    with pytest.raises(lq.VenueDataError, match=r"cannot be rebuilt.*'margin'"):
        venue_from_dict(values)
    with pytest.raises(lq.ParameterError, match="model 'heston' cannot be rebuilt"):
        model_from_dict({"model": "heston"})
    for attrs in ({}, {"provenance": "no JSON"}, {"provenance": "{}"}, {"provenance": 3}):
        with pytest.raises(lq.ParameterError, match="no provenance of liqsim"):
            provenance_of(attrs)
    with pytest.raises(lq.ParameterError, match=r"lacks 'price'.*liqsim 0\.0 made it"):
        sweep_arguments_of({"inputs": {"premium": None, "monitoring_ns": None, "model": {}, "venue": {}, "leverage": 1,
                                       "stop": [], "side": [], "notional": []}, "version": "0.0"})  # fmt: skip
