"""A path as the kernel writes it down: against the twin, against the tallies, on every instruction set."""

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import liqsim as lq
from liqsim._core import available_levels, kernel_module
from liqsim.engine.plan import Grid, seed_key, sweep_pass
from liqsim.engine.timeline import build_timelines, to_nanoseconds
from liqsim.engine.trace import EVENTS, trace_path
from liqsim.reference import cell_outcome, simulate_path
from liqsim.reference.paths import Instant, Payment, Segment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "property"))

from strategies import cases, gap_rules, hours, looks, models, premiums, seeds, stops
from test_any_twin import passes_of
from test_twin import CASES, make_pass

NUMBERS = [0, 1, 2**33 + 7, 2**64 - 1]
few = settings(max_examples=25, deadline=None)


def at_the_last_horizon(task):
    """The same pass without its earlier horizons."""
    horizon = task.arrays["horizon"]
    only = np.where(horizon == horizon.max(), 0, -1).astype(np.int32)
    return dataclasses.replace(task, arrays={**task.arrays, "horizon": only}, horizons=task.horizons[-1:])


def assert_told_as_by_the_twin(task, number):
    """Every event, in order, and every cell's end."""
    trace, sums = trace_path(task, number)
    head = trace.head
    path = simulate_path(task, number)
    told = np.flatnonzero(head["kind"] <= EVENTS.index("horizon"))
    assert len(told) == len(path.events)
    for i, event in zip(told, path.events, strict=True):
        name = EVENTS[head["kind"][i]]
        if isinstance(event, Segment):
            assert name == "segment end"
            assert (head["interval"][i], head["index"][i]) == (event.k, event.index)
            seen = [head[key][i] for key in ("time", "x", "low", "high")]
            assert seen == pytest.approx([event.t + event.dt, event.y, event.low, event.high], abs=1e-11)
        elif isinstance(event, Payment):
            assert name in ("entry", "instant")
            assert head["funding"][i] == pytest.approx(event.funding, abs=1e-13)
            assert (head["charge_long"][i], head["charge_short"][i]) == event.charge
        else:
            assert isinstance(event, Instant)
            assert name == {"test": "margin test"}.get(event.kind, event.kind)
            assert [head["time"][i], head["x"][i]] == pytest.approx([event.t, event.x], abs=1e-11)
    assert np.all(np.diff(head["time"]) >= 0)
    for cell in np.ndindex(sums.liquidated.shape):
        if not task.rules["sides"][cell[1]]:
            continue
        twin = cell_outcome(task, path, *cell[1:], 0)
        exit_event = trace.exit_event[cell[1:]]
        kinds = {"liquidated": {"liquidation"}, "stopped": {"stop", "stop of the rest"}, "survived": {"horizon"}}
        allowed = {"horizon", "stop of the rest"} if twin.is_cut else kinds[twin.outcome]
        assert EVENTS[head["kind"][exit_event]] in allowed, cell
        assert sums.pnl.total[cell] == pytest.approx(twin.pnl, abs=3e-9), cell
        if twin.outcome == "survived":
            assert_equity_is_what_is_paid_out(task, trace, cell, exit_event, twin)


def assert_equity_is_what_is_paid_out(task, trace, cell, event, twin):
    """At the horizon: equity less what is owed and the fee of closing is margin, what was added, and P&L."""
    side, row = cell[1], cell[2]
    share = trace.share[event, side, row]
    w = np.exp((-1 if task.rules["inverse"] else 1) * trace.head["x"][event])
    owed = share * (1 - 2 * side) * trace.head["accrued"][event]
    fee = share * (task.rules["exit_fee"] * w + task.rules["exit_money"])
    left = trace.equity[event, side, row] - owed - fee
    worst = left if task.client_pays or not twin.is_called else max(left, 0.0)
    assert worst == pytest.approx(task.margin[row] + twin.topped_up + twin.pnl + task.entry_fee, abs=1e-9), cell


@pytest.mark.parametrize("name", CASES)
def test_a_path_is_told_as_by_the_twin(name):
    task = at_the_last_horizon(make_pass(*CASES[name]))
    for number in NUMBERS[1:3]:
        assert_told_as_by_the_twin(task, number)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_more_paths_are_told_as_by_the_twin(name):
    task = at_the_last_horizon(make_pass(*CASES[name]))
    for number in range(2, 20):
        assert_told_as_by_the_twin(task, number)


@few
@given(models, premiums, cases(), stops, hours, seeds, gap_rules, looks)
def test_a_path_is_told_as_by_the_twin_on_any_venue(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
    for task in passes_of(model, premium, case, stop, horizon[:1], seed, gap_rule, monitoring):
        for number in (0, 1):
            assert_told_as_by_the_twin(task, number)


@pytest.mark.parametrize("name", CASES)
def test_paths_add_up_to_the_tally(name):
    """Single paths, followed, against blocks of 256 that nobody follows: to the last bit of the integers."""
    task = make_pass(*CASES[name])
    kernel = task.kernel()
    shapes = kernel.tally_shape(), kernel.carried_shape()
    together = [np.zeros(shape, dtype=np.int64) for shape in shapes]
    one_by_one = [np.zeros(shape, dtype=np.int64) for shape in shapes]
    assert kernel.run(2**33, 300, *together, np.zeros(1, dtype=np.int32))
    for number in range(2**33, 2**33 + 300):
        kernel.trace(number, *one_by_one)
    for one, other in zip(together, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_every_instruction_set_tells_the_same_bits(name):
    task = make_pass(*CASES[name])
    for number in NUMBERS:
        told = set()
        for level in available_levels():
            kernel = importlib.import_module(f"liqsim._core.kernel_{level}").Kernel(task.law, task.rules, task.arrays)
            tallies = (np.zeros(shape, dtype=np.int64) for shape in (kernel.tally_shape(), kernel.carried_shape()))
            told.add(kernel.trace(number, *tallies).tobytes())
        assert len(told) == 1


@pytest.mark.parametrize("number", [0, 37, 200, 255])
def test_the_price_at_a_stamp_is_that_of_the_sweep_to_the_last_bit(number):
    """A stop at the lowest price seen at a stamp triggers, in a block of neighbours; at the next lower one never."""
    model = lq.Kou(sigma=0.8, intensity=300, p_up=0.45, eta_up=30, eta_down=25)
    venue = lq.Venue.from_tiers([(0, None, 0.0, 1)])
    day = to_nanoseconds(1)
    (timeline,) = build_timelines([5 * day], None, day // 3)
    grid = Grid(np.array([0.01]), np.array([0.5, np.inf]), ("long",))
    task = sweep_pass(
        model, venue, None, grid, 1e4, 100.0, timeline, seed_key(11), liquidation_first=True
    )  # fmt: skip
    trace, _ = trace_path(task, number)
    stamps = np.flatnonzero(trace.head["kind"] == EVENTS.index("check"))
    lowest = stamps[np.argmin(trace.head["x"][stamps])]
    x = trace.head["x"][lowest]
    lower = x - 2.0**-60 * np.arange(1, 1000)
    lower = lower[kernel_module().elementary("exp", lower) < trace.head["ratio"][lowest]][0]
    task.arrays["stop_long"][:2] = x, lower
    kernel = task.kernel()
    tallies = []
    for count in (number, number + 1):  # the path is the last of its block
        tally = np.zeros(kernel.tally_shape(), dtype=np.int64)
        assert kernel.run(0, count, tally, np.zeros(kernel.carried_shape(), np.int64), np.zeros(1, dtype=np.int32))
        tallies.append(tally)
    booked = (tallies[1] - tallies[0])[0, 0, :, 0]  # outcome, column, field
    stopped, survived = booked[3], booked[5]
    assert stopped[:, 0].tolist() == [1, 0]
    assert stopped[0, 2] == round(trace.head["time"][lowest] * 2**32)
    assert survived[:, 0].tolist() == [0, 1]
