"""Same seed, same bits: threads, batches, instruction sets, and whatever else is asked for."""

import os
import subprocess
import sys

import numpy as np
import pytest

import liqsim as lq
from liqsim._core import available_levels
from liqsim.engine import run

MODEL = lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=4e-4, correlation=0.3)
VENUE = lq.Venue.from_tiers(
    [(0, 5e4, 0.004, 125), (5e4, 1e6, 0.008, 80)],
    taker_fee=5e-4,
    funding=lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3),
)
GRID = {"leverage": [2, 5, 10, 25, 50], "stop": [0.02, 0.05, 0.1, np.inf]}


def sweep(**changes):
    arguments = {"premium": PREMIUM, "horizon": "10D", "n_paths": 7000, "seed": 3, **GRID, **changes}
    return lq.sweep(MODEL, VENUE, **arguments)


def assert_same_bits(a, b):
    for name in a.data_vars:
        assert a[name].values.tobytes() == b[name].values.tobytes(), name


@pytest.fixture(scope="module")
def whole():
    return sweep(threads=1)


def test_threads(whole):
    assert_same_bits(whole, sweep(threads=2))
    assert_same_bits(whole, sweep(threads=5))


@pytest.mark.parametrize("size", [1, 77, 256, 4096])
def test_batches(whole, monkeypatch, size):
    monkeypatch.setattr(run, "_SMALLEST_BATCH", size)
    monkeypatch.setattr(run, "_LARGEST_BATCH", size)
    assert_same_bits(whole, sweep(threads=2))


@pytest.mark.parametrize("level", ["base", "v3", "v4"])
def test_instruction_sets(whole, monkeypatch, level):
    if level not in available_levels():
        pytest.skip(f"level {level} is not built or not supported by this processor")
    monkeypatch.setenv("LIQSIM_ISA", level)
    again = sweep()
    assert again.attrs["instruction_set"] == level
    assert_same_bits(whole, again)


def test_one_cell_alone_or_in_the_grid(whole):
    for side in ("long", "short"):
        for leverage in GRID["leverage"]:
            for stop in GRID["stop"]:
                alone = sweep(leverage=leverage, stop=stop, side=side)
                cell = whole.sel(side=[side], leverage=[leverage], stop=[stop])
                assert_same_bits(alone, cell)


def test_order_of_the_grid_is_the_users(whole):
    turned = sweep(leverage=[25, 2, 50, 10, 5], stop=[np.inf, 0.05, 0.02, 0.1], side=["short", "long"])
    assert_same_bits(whole, turned.sel(side=whole.side, leverage=whole.leverage, stop=whole.stop))


@pytest.mark.parametrize("horizon", ["8h", "3D", "10D", "7h", "100h"])
def test_one_horizon_alone_or_in_a_list(horizon):
    listed = sweep(horizon=["3D", "7h", "10D", "8h", "100h"])
    alone = sweep(horizon=horizon)
    assert_same_bits(alone, listed.sel(horizon=alone.horizon))


def test_one_model_venue_and_notional_alone_or_in_a_list():
    models = {"kou": MODEL, "gbm": lq.GBM(0.5)}
    venues = {"a": VENUE, "b": lq.Venue.from_tiers([(0, 1e6, 0.005, 100)], contract="inverse")}
    listed = lq.sweep(models, venues, notional=[1e4, 2e5], horizon="2D", n_paths=3000, seed=1, **GRID)
    assert listed.p_liquidation.dims == ("model", "venue", "notional", "side", "leverage", "stop")
    for m, v in np.ndindex(2, 2):
        alone = lq.sweep(
            list(models.values())[m], list(venues.values())[v], notional=2e5, horizon="2D", n_paths=3000, seed=1, **GRID
        )
        assert_same_bits(alone, listed.isel(model=m, venue=v, notional=1))


def test_more_paths_extend_a_run():
    short, long = sweep(n_paths=3000), sweep(n_paths=6000)
    extra = 2 * long.p_liquidation - short.p_liquidation
    assert float(extra.min()) >= 0
    assert float(extra.max()) <= 1


def test_first_passage_levels_alone_or_together():
    levels = [0.8, 0.95, 1.02, 1.3, 0.99]
    together = lq.first_passage(MODEL, levels, "5D", n_paths=5000, seed=2)
    for level in levels:
        assert_same_bits(lq.first_passage(MODEL, level, "5D", n_paths=5000, seed=2), together.sel(level=[level]))


def test_seed_sequence_equals_its_integer():
    assert_same_bits(sweep(seed=3), sweep(seed=np.random.SeedSequence(3)))
    assert not np.array_equal(sweep(seed=4).p_liquidation, sweep(seed=3).p_liquidation)


def test_another_process_gives_the_same_bits(whole):
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); from test_same_bits import sweep; d = sweep();"
        "print(hashlib.sha256(b''.join(d[n].values.tobytes() for n in d.data_vars)).hexdigest())"
    )
    import hashlib

    mine = hashlib.sha256(b"".join(whole[n].values.tobytes() for n in whole.data_vars)).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LIQSIM_ISA": "base"}
    theirs = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert theirs.stdout.strip() == mine
