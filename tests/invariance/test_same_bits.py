"""Same seed, same bits: threads, batches, instruction sets, and whatever else is asked for."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import liqsim as lq
from liqsim import cells
from liqsim._core import available_levels
from liqsim.engine import run, tasks
from liqsim.engine.tally import Sums, Tallies
from liqsim.variables import OUTPUTS
from liqsim.venues import DailyTimes, Liquidation, load_venue

MODEL = lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=4e-4, correlation=0.3)
TIERS = [(0, 5e4, 0.004, 125), (5e4, 1e6, 0.008, 80)]
FUNDING = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
VENUE = lq.Venue.from_tiers(TIERS, taker_fee=5e-4, funding=FUNDING)
GRID = {"leverage": [2, 5, 10, 25, 50], "stop": [0.02, 0.05, 0.1, np.inf]}

# What the venue does with a position and when: closes it whole, or acts on it and carries it on by itself.
STEEP = [(0, 4e4, 0.004, 125), (4e4, 8e4, 0.006, 80), (8e4, 1.2e5, 0.01, 60), (1.2e5, None, 0.015, 52)]
MIDNIGHT = DailyTimes(("00:00", "12:00"), "America/New_York")
CASES = {
    "whole": {},
    "cut in rounds": {
        "venue": dataclasses.replace(
            lq.Venue.from_tiers(STEEP, taker_fee=5e-4, funding=FUNDING),
            liquidation=Liquidation("incremental", "kept-minus-fee", fee_rate=2e-3, step_fraction=0.2),
        ),
        "notional": 1.5e5,
    },
    "cut with a cooldown, hourly looks": {
        "venue": dataclasses.replace(
            lq.Venue.from_tiers(STEEP, contract="inverse"),
            liquidation=Liquidation("incremental", "kept", step_fraction=0.3, cooldown=3600.0, insurance_fund=0.01),
        ),
        "notional": 1.5e5, "monitoring": "1h", "gap_rule": "stop",
    },
    "cut, windows, deferred funding": {
        "venue": dataclasses.replace(
            load_venue("coinbase-bip").assume(maintenance_share=0.8),
            liquidation=Liquidation("incremental", "kept-minus-fee", fee_rate=1e-3),
        ),
        "leverage": [1.5, 2, 3], "start": "2026-03-06T15:00Z",
    },
    "called for margin": {
        "venue": dataclasses.replace(load_venue("cme-mbt"), margin_times=MIDNIGHT),
        "leverage": [2, 2.5, 3.1], "start": "2026-03-05T03:30Z", "top_up": 0.02,
    },
    "at the venue's discretion": {
        "venue": load_venue("kraken-spot-xbtusd").assume(taker=0.0026, hazard=3.0), "leverage": [2, 3, 5],
    },
}  # fmt: skip


def sweep(case="whole", **changes):
    arguments = {"venue": VENUE, "premium": PREMIUM, "horizon": "10D", "n_paths": 7000, "seed": 3, **GRID}
    arguments["outputs"] = list(OUTPUTS)
    return lq.sweep(MODEL, **{**arguments, **CASES[case], **changes})


def assert_same_bits(a, b):
    for name in a.data_vars:
        assert a[name].values.tobytes() == b[name].values.tobytes(), name


def passes(case):
    """The kernel's passes of a case, with the numbers that ``sweep`` gives them."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "run_groups", lambda tasks, *rest: found.extend(tasks) or run.run_groups(tasks, *rest))
        sweep(case, n_paths=1)
    return found


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def whole(case):
    return sweep(case, threads=1)


def test_something_happens(case, whole):
    """The cases are what their names say."""
    assert float(whole.p_liquidation.max()) > 0.2
    assert (float(whole.p_partial.max()) > 0.05) == ("cut" in case)
    assert (float(whole.p_margin_call.max()) > 0.2) == (case == "called for margin")


def test_threads(case, whole):
    assert_same_bits(whole, sweep(case, threads=2))
    assert_same_bits(whole, sweep(case, threads=5))


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 77, 256, 4096])
def test_batches(case, whole, monkeypatch, size):
    monkeypatch.setattr(tasks, "SMALLEST_TASK", size)
    monkeypatch.setattr(tasks, "_MOST_PATHS", size)
    monkeypatch.setattr(run.Threads, "seconds", 0.0)  # tasks as small as they may be
    assert_same_bits(whole, sweep(case, threads=2))


def test_blocks_leave_no_trace(case):
    """To the last bit of the integers that are summed: each path by itself, or 256 together."""
    for task in passes(case):
        kernel = task.kernel()
        together, alone = Sums.empty(kernel), Sums.empty(kernel)
        stop, tallies = np.zeros(1, dtype=np.int32), Tallies(kernel)
        assert tallies.run(0, 1000, stop, together)
        tallies.flush(together)
        for number in range(1000):
            assert tallies.run(number, 1, stop, alone)
        tallies.flush(alone)
        for one, other in zip(together.parts, alone.parts, strict=True):
            assert one.low.size > 0 or one is together.carried
            np.testing.assert_array_equal(one.low + (one.high << 31), other.low + (other.high << 31))


@pytest.mark.parametrize("level", ["base", "v3", "v4"])
def test_instruction_sets(case, whole, monkeypatch, level):
    if level not in available_levels():
        pytest.skip(f"level {level} is not built or not supported by this processor")
    monkeypatch.setenv("LIQSIM_ISA", level)
    again = sweep(case)
    assert again.attrs["instruction_set"] == level
    assert_same_bits(whole, again)


@pytest.mark.slow
def test_one_cell_alone_or_in_the_grid(case):
    whole = sweep(case, n_paths=3000)
    for side in ("long", "short"):
        for leverage in whole.leverage.values.tolist():
            for stop in whole.stop.values.tolist():
                alone = sweep(case, leverage=leverage, stop=stop, side=side, n_paths=3000)
                cell = whole.sel(side=[side], leverage=[leverage], stop=[stop])
                assert_same_bits(alone, cell)


def test_order_of_the_grid_is_the_users(case, whole):
    turned = sweep(
        case, leverage=whole.leverage.values[[2, 0, 1, *range(3, whole.leverage.size)]],
        stop=[np.inf, 0.05, 0.02, 0.1], side=["short", "long"],
    )  # fmt: skip
    assert_same_bits(whole, turned.sel(side=whole.side, leverage=whole.leverage, stop=whole.stop))


@pytest.mark.parametrize("horizon", ["8h", "3D", "10D", "7h", "100h"])
def test_one_horizon_alone_or_in_a_list(case, horizon):
    listed = sweep(case, horizon=["3D", "7h", "10D", "8h", "100h"], n_paths=3000)
    alone = sweep(case, horizon=horizon, n_paths=3000)
    of_longest = [f"{name}{end}" for name, what in OUTPUTS.items() if not what.has_horizon for end in ("", "_se")]
    assert_same_bits(alone.drop_vars(of_longest), listed.sel(horizon=alone.horizon))


def test_by_a_time_is_by_that_horizon(case):
    """A horizon books survivors besides, and the path goes on: liquidations and stops are those by that time."""
    whole = sweep(case, n_paths=3000)
    which = [0, whole.time.size // 3, -1]
    listed = sweep(case, horizon=whole.time.values[which], n_paths=3000)
    for name in ("p_liquidation", "p_stop"):
        by = whole[f"{name}_by"].values[..., which]
        np.testing.assert_array_equal(by, np.moveaxis(listed[name].values, 0, -1))


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


@pytest.mark.slow
def test_another_process_gives_the_same_bits(case, whole):
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); from test_same_bits import sweep;"
        "d = sweep(sys.argv[2]);"
        "print(hashlib.sha256(b''.join(d[n].values.tobytes() for n in d.data_vars)).hexdigest())"
    )
    mine = hashlib.sha256(b"".join(whole[n].values.tobytes() for n in whole.data_vars)).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LIQSIM_ISA": "base"}
    theirs = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__), case],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert theirs.stdout.strip() == mine
