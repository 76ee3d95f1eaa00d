"""At the ends of what is allowed: numbers that stay finite, or an error in words."""

import math

import numpy as np
import pytest
import xarray as xr

import liqsim as lq

INF = math.inf
OUTCOMES = ["p_liquidation", "p_stop", "p_survival"]
KOU = lq.Kou(sigma=0.6, intensity=300, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=4e-4)
TIERS = [(0, 5e4, 0.004, 125), (5e4, 1e6, 0.008, 80)]
FUNDING = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
LINEAR = lq.Venue.from_tiers(TIERS, taker_fee=5e-4, funding=FUNDING)
INVERSE = lq.Venue.from_tiers(TIERS, contract="inverse", taker_fee=5e-4, funding=FUNDING)


def sweep(model=KOU, venue=LINEAR, **changes):
    given = {"leverage": [1, 50], "stop": [0.05, INF], "horizon": "1D", "n_paths": 200, "seed": 3, "premium": PREMIUM}
    return lq.sweep(model, venue, **{**given, **changes})


def assert_sound(ds, n_paths=200):
    for name in ds.data_vars:
        if name not in ("liquidation_price", "bankruptcy_price"):
            assert np.isfinite(ds[name]).all(), name
    assert (sum((ds[name] * n_paths).round() for name in OUTCOMES) == n_paths).all()


MODELS = [
    *[(lq.GBM(sigma), "30D") for sigma in (1e-300, 1e-9, 50.0)],
    *[(lq.GBM(0.5, drift), "30D") for drift in (-1000.0, 100.0)],
    (lq.Merton(sigma=0, intensity=1000, jump_mean=0, jump_std=0.05), "1D"),
    (lq.Merton(sigma=0.3, intensity=1e-300, jump_mean=0, jump_std=0), "1D"),
    (lq.Kou(sigma=0.3, intensity=1e6, p_up=0, eta_up=1e6, eta_down=1e6), "1h"),
    (lq.Kou(sigma=0.3, intensity=50, p_up=1, eta_up=40, eta_down=1e-6), "1D"),
    (KOU, "1e-9s"),
]


@pytest.mark.parametrize(("model", "horizon"), MODELS, ids=[f"{model}-{horizon}" for model, horizon in MODELS])
def test_models(model, horizon):
    assert_sound(sweep(model, horizon=horizon))


@pytest.mark.parametrize("venue", [LINEAR, INVERSE])
@pytest.mark.parametrize(
    "given",
    [
        {"leverage": [1e-300, 1e-9, 0.5, 1, 1 + 1e-15]},
        {"stop": [1e-300, 1e-17, 1 - 1e-16, INF]},
        {"stop": [1.0, 1e10, 1e300], "side": "short"},
        {"notional": [1e-8, 1e-3]},
        {"price": 1e-11},
        {"price": 1e12},
        {"premium": lq.OUPremium(mean=-1, half_life="1e-6s", vol=1, correlation=-1)},
        {"premium": lq.OUPremium(mean=1, half_life="100y", vol=1, correlation=1)},
    ],
    ids=str,
)
def test_arguments(venue, given):
    assert_sound(sweep(venue=venue, **given))


@pytest.mark.parametrize("level", [5e-324, 1e-300, 1 - 1e-16, 1 + 3e-16, 1e12])
def test_levels(level):
    ds = lq.first_passage(KOU, level, "1D", n_paths=200, seed=1)
    assert np.isfinite(ds.to_array()).all()
    assert ds.p_hit.item() == (1.0 if 0.5 < level < 2 else 0.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_sums_cannot_hold_is_an_error(threads):
    with pytest.raises(lq.ParameterError, match=r"more than 16384 times the entry notional.*lower the volatility"):
        sweep(lq.GBM(100), INVERSE, horizon="30D", n_paths=5000, threads=threads)


def test_one_path():
    ds = sweep(n_paths=1)
    for name in OUTCOMES:
        assert set(np.unique(ds[name])) <= {0.0, 1.0}
        assert (ds[f"{name}_se"] == 0).all()
    for name in ("funding_cost", "fees", "pnl", "exit_time", "shortfall", "engine_kept"):
        assert np.isfinite(ds[name]).all()


def test_a_large_grid():
    leverage, stop = np.linspace(1, 80, 400), np.append(np.linspace(0.001, 0.5, 100), INF)
    ds = sweep(leverage=leverage, stop=stop)
    assert ds.p_liquidation.shape == (2, 400, 101)
    assert_sound(ds)
    assert (ds.p_liquidation.diff("leverage") >= 0).all()
    some = sweep(leverage=leverage[::57], stop=stop[::20])
    xr.testing.assert_equal(some, ds.isel(leverage=slice(None, None, 57), stop=slice(None, None, 20)))


ROWS = [(0, 1e6, 0.005, 100), (1e6, None, 0.01, 50)]
SOME = {  # a value in range for whatever a shipped venue does not state
    "margin.tiers": ROWS,
    "margin.maintenance_share": 0.8,
    "fees.taker": 0.001,
    "liquidation.fee_rate": 0.004,
    "liquidation.hazard": 2.0,
}
LACKING = [id for id in lq.list_venues() if lq.load_venue(id).needs()]


@pytest.mark.parametrize("id", lq.list_venues())
def test_shipped_venues(id):
    venue = lq.load_venue(id)
    venue = venue.assume({name: SOME[name] for name in venue.needs()})
    for start in (None, "2026-03-06T20:30Z"):
        assert_sound(sweep(venue=venue, leverage=2, start=start))


@pytest.mark.parametrize("id", LACKING)
def test_shipped_venues_that_lack_a_value_say_which_and_how_to_give_it(id):
    venue = lq.load_venue(id)
    with pytest.raises(lq.VenueDataError) as refused:
        sweep(venue=["bitmex-xbtusd", id], leverage=2)
    message = str(refused.value)
    assert message.startswith(f"{id}, {venue.snapshot}: no source states ")
    assert f'load_venue("{id}").assume(' in message
    assert all(name in message for name in venue.needs())
