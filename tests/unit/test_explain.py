"""``lq.explain``: what it says of a call against what the call does."""

import dataclasses
import inspect
import math
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import liqsim as lq
from liqsim import _core
from liqsim.engine import forecast
from liqsim.explain import CARRIED, SHARED, why_carried
from liqsim.sweep import sweep
from liqsim.venues import Closure, DailyTimes, Liquidation, WholePositionTiers, load_venue

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "property"))

from strategies import cases, gap_rules, hours, looks, models, premiums, seeds, stops
from test_any_twin import passes_of

KOU = lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(1e-4, "8h", 3e-4)
PLAIN = lq.Venue.from_tiers([(0, None, 0.005, 100)], funding=lq.PremiumFunding("8h", interest=1e-4))
SPOT = load_venue("kraken-spot-xbtusd").assume(taker=0.0026, hazard=3.0)


def explain(venue=PLAIN, model=KOU, **changes):
    return lq.explain(model, venue, **{"leverage": [2, 3], "premium": PREMIUM, "n_paths": 2000, **changes})


def test_it_takes_what_a_sweep_takes():
    mine, theirs = inspect.signature(lq.explain), inspect.signature(sweep)
    assert list(mine.parameters.values()) == list(theirs.parameters.values())
    with pytest.raises(TypeError, match=r"missing a required (keyword-only )?argument: 'leverage'"):
        lq.explain(KOU, PLAIN)
    for bad in ({"leverage": -1}, {"threads": 0}, {"horizon": "30"}, {"n_paths": 0}):
        with pytest.raises(lq.ParameterError) as mine:
            explain(**bad)
        with pytest.raises(lq.ParameterError) as theirs:
            sweep(KOU, PLAIN, **{"leverage": 2, "premium": PREMIUM, **bad})
        assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("venue", "evaluator", "why"),
    [
        (PLAIN, SHARED, ""),
        ("bitmex-xbtusd", SHARED, ""),
        (SPOT, SHARED, ""),
        ("hyperliquid-btc", CARRIED, "the venue cuts a position in rounds"),
        ("binance-usdm-btcusdt", CARRIED, "the venue cuts a position to the cap of a lower tier"),
        ("cme-mbt", CARRIED, "the venue calls for margin"),
        (dataclasses.replace(PLAIN, liquidation=Liquidation(insurance_fund=1.0)), CARRIED, "the fund behind"),
        (
            dataclasses.replace(PLAIN, liquidation=Liquidation("market", "kept-minus-fee", fee_rate=0.01)), CARRIED,
            "the venue's fee takes no more than what is left",
        ),
    ],
)  # fmt: skip
def test_the_evaluator_and_why_not_the_faster(venue, evaluator, why):
    (run,) = explain(venue).runs
    assert run.evaluator == evaluator
    assert (why in run.why) if why else run.why == ""


@settings(max_examples=60, deadline=None)
@given(models, premiums, cases(), stops, hours, seeds, gap_rules, looks)
def test_there_is_a_reason_wherever_positions_are_carried(
    model, premium, case, stop, horizon, seed, gap_rule, monitoring
):
    for task in passes_of(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
        assert bool(why_carried(task)) == task.carries


def test_timelines():
    (run,) = explain(horizon="30D").runs
    assert (run.intervals, run.payments, run.looks, run.rechecks, run.halted) == (90, 90, 0, 89, 0)
    assert run.jumps == pytest.approx(120 * 30 / 365)
    assert (run.model, run.venue, run.notional, run.horizons) == ("kou", "custom", 10_000.0, (30.0,))
    (run,) = explain(monitoring="1h", horizon="2D").runs
    assert (run.intervals, run.payments, run.looks, run.rechecks) == (48, 6, 48, 0)
    (run,) = explain(SPOT, lq.GBM(0.5), horizon="10D").runs
    assert (run.payments, run.jumps, run.visits) == (60, 0.0, pytest.approx(30.0))
    (run,) = explain("cme-mbt", horizon="7D", start="2026-03-02").runs
    assert (run.margin_tests, run.halted > 0) == (5, True)
    both = explain({"a": PLAIN, "b": "bitmex-xbtusd"}, horizon=["1D", "20h"], notional=[1e4, 2e4])
    assert len(both.runs) == 8
    assert both.cells == 2 * 2 * 2 * 2 * 2
    assert {run.horizons for run in both.runs} == {(1.0,), (20 / 24,)}


@pytest.mark.parametrize(
    ("text", "venue", "changes"),
    [
        ("the premium at the stamp", PLAIN, {}),
        ("no premium is given", PLAIN, {"premium": None}),
        ("rounds of 5%", "deribit-btc-perpetual", {}),
        ("a cooldown's passage times", "hyperliquid-btc", {}),
        ("steps of the requirement", dataclasses.replace(
            PLAIN, margin=WholePositionTiers(tiers=[(0, 2e4, 0.01, 50), (2e4, None, 0.02, 20)])), {}),
        ("the fund behind a position", PLAIN, {}),
        ("calendars begin on Monday", dataclasses.replace(PLAIN, closures=(Closure("16:00", "17:00"),)), {}),
        ("conditional mean", PLAIN, {}),
        ("share a random number", PLAIN, {}),
    ],
)  # fmt: skip
def test_approximations(text, venue, changes):
    assert any(text in line for line in explain(venue, **changes).approximations)


@pytest.mark.parametrize(
    ("text", "venue", "changes"),
    [
        ("no premium is given", PLAIN, {}),
        ("rounds of 5%", "hyperliquid-btc", {}),
        ("steps of the requirement", PLAIN, {}),
        ("the fund behind a position", "cme-mbt", {}),
        ("calendars begin", "cme-mbt", {"start": "2026-03-02"}),
        ("conditional mean", PLAIN, {"monitoring": "1h"}),
        ("share a random number", PLAIN, {"side": "long"}),
    ],
)
def test_approximations_that_do_not_apply(text, venue, changes):
    assert not any(text in line for line in explain(venue, **changes).approximations)


def test_approximations_name_the_venues_that_they_are_about():
    lines = explain([PLAIN, "hyperliquid-btc"]).approximations
    assert "hyperliquid-btc: a cooldown's passage times are drawn without regard to the segment's extreme" in lines
    assert "the time of a crossing within a segment is booked as its conditional mean" in lines


@pytest.mark.parametrize("venue", [PLAIN, "hyperliquid-btc"])
def test_memory_is_that_of_the_sweep(venue):
    grid = {"leverage": np.linspace(1, 25, 60), "stop": np.linspace(0.01, 0.6, 60), "horizon": ["1D", "2D"]}
    expected = explain(venue, **grid)
    tracemalloc.start()
    ds = sweep(KOU, venue, premium=PREMIUM, n_paths=2000, threads=1, **grid)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert expected.result_bytes == pytest.approx(ds.nbytes, rel=0.01)
    assert 0.5 < expected.memory_bytes / peak < 2.0


def test_memory_does_not_grow_with_paths():
    few, many = (explain(n_paths=n, threads=1) for n in (10_000, 10**12))
    assert few.memory_bytes == many.memory_bytes
    assert many.seconds > 1e6 * few.seconds


@pytest.mark.parametrize("venue", [PLAIN, "hyperliquid-btc"])
def test_time_is_of_the_order_of_what_it_takes(venue):
    expected = explain(venue, n_paths=60_000, threads=1)
    begun = time.perf_counter()
    sweep(KOU, venue, leverage=[2, 3], premium=PREMIUM, n_paths=60_000, threads=1)
    took = time.perf_counter() - begun
    assert took / 5 < expected.seconds < 5 * took
    assert 0 < expected.seconds_sd < expected.seconds
    assert "of the kernel" in expected.timing


def test_long_timelines_and_many_runs_are_timed_in_part():
    long = explain(monitoring="5min", horizon="90D", n_paths=10**6)
    assert "from the first intervals only" in long.timing
    assert long.runs[0].intervals == 25_920
    many = explain(notional=np.linspace(1e3, 5e4, 40).tolist(), n_paths=10**6)
    assert "on 12 of 40 runs" in many.timing
    one = explain(n_paths=10**6)
    assert 8 * one.seconds < many.seconds < 200 * one.seconds


def test_the_beginning_of_a_pass_is_a_pass():
    """The first instants of a timeline are those of a shorter horizon: to the last bit of the tally."""
    from liqsim.arguments import read_grid, read_horizons, read_settings
    from liqsim.cells import Cell, cell_passes

    tallies = []
    for days in (9, 3):
        run = read_settings(
            read_horizons(f"{days}D")[0], premium=PREMIUM, price=6e4, monitoring="continuous", gap_rule="stop",
            start=None, top_up=0.0, n_paths=1, seed=1, threads=1,
        )  # fmt: skip
        (task,) = cell_passes(Cell(KOU, load_venue("hyperliquid-btc"), 1e4, read_grid([5, 20], 0.1, "long")), run)
        task = forecast._beginning(task, 72)
        kernel = task.kernel()
        tally, carried = (np.zeros(shape, dtype=np.int64) for shape in (kernel.tally_shape(), kernel.carried_shape()))
        kernel.run(0, 500, tally, carried, np.zeros(1, dtype=np.int32))
        tallies.append((tally, carried))
    for one, other in zip(*tallies, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_instruction_set_and_why_not_a_faster(monkeypatch):
    monkeypatch.delenv("LIQSIM_ISA", raising=False)
    best = _core.available_levels()[-1]
    assert explain().instruction_set == best
    monkeypatch.setenv("LIQSIM_ISA", "base")
    plan = explain()
    assert plan.instruction_set == "base"
    if best != "base":
        assert plan.why_instruction_set.startswith(f"LIQSIM_ISA=base asks for it, though {best} is available")
    monkeypatch.delenv("LIQSIM_ISA")
    monkeypatch.setattr(_core, "_processor_levels", lambda: ("base",))
    monkeypatch.setattr(_core, "_built", lambda level: level != "v3")
    why = explain().why_instruction_set
    assert why.startswith("v3 is not built here; v4 is not supported by this ")
    monkeypatch.setenv("LIQSIM_ISA", "v4")
    with pytest.raises(lq.KernelUnavailable, match="available: base"):
        explain()


def test_it_prints_as_a_table():
    plan = explain(["bitmex-xbtusd", "hyperliquid-btc"], {"<calm>": lq.GBM(0.3), "wild": KOU})
    text = repr(plan)
    for word in (
        "4 of 2,000 paths for 16 cells, on 1 thread\n", "evaluator", "hyperliquid-btc: carried positions",
        "bitmex-xbtusd: shared", "instruction set", "90 intervals to 30 days; 90 payments", "jumps a path",
        "approximations", "batches", "±", "memory",
    ):  # fmt: skip
        assert word in text, word
    assert max(map(len, text.splitlines())) < 200
    page = plan._repr_html_()
    assert page.startswith("<table>")
    assert "&lt;calm&gt;" in page
    assert "<calm>" not in page
    assert plan.to_dict()["runs"][0]["venue"] == "bitmex-xbtusd"
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.cells = 3


def test_nothing_is_said_of_what_cannot_run():
    with pytest.raises(lq.MarginRuleError, match="leverage=101"):
        explain(leverage=101)
    with pytest.raises(lq.VenueDataError, match="no source states"):
        explain("kraken-spot-xbtusd")


def test_daily_margin_tests_make_positions_live_on():
    venue = dataclasses.replace(
        PLAIN, margin_times=DailyTimes(("00:00",)), liquidation=Liquidation("market", "kept", "client")
    )
    (run,) = explain(venue, stop=math.inf).runs
    assert run.evaluator == CARRIED


def test_what_is_asked_for_besides():
    plain = explain(n_paths=4000)
    assert (plain.controls, plain.target) == (0, "")
    aimed = explain(n_paths=None, rel_error=0.05, abs_error={"pnl": 1e-3})
    assert aimed.n_paths == 2**24
    assert aimed.target == (
        "the standard error of p_liquidation is at most 0.05 of it and the standard error of pnl is at most 0.001"
    )
    assert "1 of at most 16,777,216 paths for 4 cells" in repr(aimed)
    assert "  time            at most " in repr(aimed)
    controlled = explain(n_paths=4000, control=True)
    assert controlled.controls == 1
    assert "1 more that count control variates" in repr(controlled)
    with pytest.raises(lq.ParameterError, match="outputs: 'quantiles' is unknown"):
        explain(outputs=["quantiles"])


@pytest.mark.parametrize(
    "more",
    [
        {"groups": 16},
        {"control": True},
        {"outputs": ["pnl_quantile", "p_ruin", "pnl_given"]},
        {"outputs": ["p_shortfall_above", "shortfall_quantile"]},
        {"outputs": ["time_to_liquidation", "p_liquidation_by"], "groups": 8},
    ],
    ids=["groups", "control", "outputs", "shortfall", "both"],
)
def test_memory_of_what_is_asked_for_besides(more):
    grid = {"leverage": np.linspace(1, 9, 12), "stop": np.linspace(0.01, 0.6, 12), "horizon": ["1D", "2D"]}
    expected = explain(**grid, **more)
    tracemalloc.start()
    ds = sweep(KOU, PLAIN, premium=PREMIUM, n_paths=2000, threads=1, **grid, **more)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 < expected.result_bytes / ds.nbytes < 2.0
    assert 0.3 < expected.memory_bytes / peak < 3.0
