"""The worst, the middling and the first liquidated path, against all paths one by one."""

import dataclasses
import math

import numpy as np
import pytest

import liqsim as lq
from liqsim.arguments import read_grid, read_horizons, read_settings
from liqsim.cells import Cell, cell_passes
from liqsim.engine import search
from liqsim.engine.trace import trace_path
from liqsim.venues import DailyTimes, Liquidation, load_venue

TIERS = [(0, 5e4, 0.004, 125), (5e4, 1e5, 0.008, 80), (1e5, None, 0.012, 60)]
FUNDING = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
KOU = lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=35, eta_down=28)
N = 400


def tiered(contract="linear", **liquidation):
    venue = lq.Venue.from_tiers(TIERS, contract=contract, taker_fee=5e-4, funding=FUNDING)
    return dataclasses.replace(venue, liquidation=Liquidation(**liquidation))


CASES = {  # venue, leverage, stop, side, gap rule
    "whole": (tiered(), 10, 0.05, "long", "liquidation"),
    "whole, no stop, half of all liquidated": (tiered(), 12, math.inf, "short", "liquidation"),
    "nobody liquidated": (tiered(), 1, math.inf, "long", "liquidation"),
    "stop first, inverse": (tiered("inverse"), 20, 0.04, "long", "stop"),
    "rest returned": (tiered(procedure="market", residual="kept", deficit="client"), 20, 0.2, "short", "liquidation"),
    "taken over, client pays": (tiered(deficit="client"), 30, math.inf, "long", "liquidation"),
    "cut": (
        tiered(procedure="incremental", residual="kept-minus-fee", fee_rate=2e-3, step_fraction=0.2), 25, 0.1, "long",
        "liquidation",
    ),
    "called": (
        dataclasses.replace(load_venue("cme-mbt"), margin_times=DailyTimes(("00:00",), "America/New_York")), 3, 0.3,
        "long", "liquidation",
    ),
    "looked at": (load_venue("kraken-spot-xbtusd").assume(taker=0.0026, hazard=3.0), 5, math.inf, "short",
                  "liquidation"),
}  # fmt: skip


def make_pass(name):
    venue, leverage, stop, side, gap_rule = CASES[name]
    run = read_settings(
        read_horizons("10D")[0], premium=lq.OUPremium(1e-4, "8h", 4e-4), price=60_000, monitoring="continuous",
        gap_rule=gap_rule, start=None, top_up=0.02, n_paths=1, seed=4, threads=1,
    )  # fmt: skip
    (task,) = cell_passes(Cell(KOU, venue, 1.5e5, read_grid(leverage, stop, side)), run)
    return task, ("long", "short").index(side)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A pass, and of each path its P&L, booked to 2**-32, and whether it is liquidated."""
    task, side = make_pass(request.param)
    sums = [trace_path(task, number)[1] for number in range(N)]
    pnl = np.array([s.pnl.total[0, side, 0, 0] for s in sums])
    return task, pnl, np.array([s.liquidated[0, side, 0, 0] == 1 for s in sums])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(search, "_BATCH", 128)


@pytest.mark.parametrize("threads", [1, 3])
def test_against_every_path(case, threads, monkeypatch):
    task, pnl, is_liquidated = case
    seen = []
    first = search.first_liquidated_path(task, N, threads, seen.append)
    assert first == (int(np.argmax(is_liquidated)) if is_liquidated.any() else None)
    assert sum(seen) <= N
    worst = search.worst_path(task, N, threads, seen.append)
    assert worst == int(np.argmin(pnl))
    median = np.partition(pnl, (N - 1) // 2)[(N - 1) // 2]
    for kept in (search._MOST_KEPT, 20, 0):  # found among few, among fewer, and to the last bit by counting alone
        monkeypatch.setattr(search, "_MOST_KEPT", kept)
        found = search.median_path(task, N, threads, seen.append)
        assert found == np.flatnonzero(pnl == median)[0]


def test_the_ties_are_there():
    """A position that is lost whole has one P&L: the median of a cell that is mostly liquidated is such a one."""
    task, side = make_pass("whole, no stop, half of all liquidated")
    reported = []
    number = search.median_path(dataclasses.replace(task), 4000, 1, reported.append)
    _, sums = trace_path(task, number)
    assert sums.liquidated[0, side, 0, 0] == 1
    assert sum(reported) == 4000  # one pass over the paths


def test_a_search_can_be_interrupted(monkeypatch):
    task, _ = make_pass("whole")

    def report(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.worst_path(task, 10**9, 2, report)


def test_sums_out_of_range_are_refused():
    model = lq.GBM(sigma=5.0, drift=500.0)
    run = read_settings(
        read_horizons("30D")[0], premium=None, price=60_000, monitoring="continuous", gap_rule="liquidation",
        start=None, top_up=0.0, n_paths=1, seed=4, threads=1,
    )  # fmt: skip
    (task,) = cell_passes(Cell(model, tiered(), 1.5e3, read_grid(2, math.inf, "long")), run)
    with pytest.raises(lq.ParameterError, match=r"among 0\.\.127 gained or paid more than 16384 times"):
        search.worst_path(task, 200, 1, lambda count: None)
    with pytest.raises(lq.ParameterError, match="path 0 gained or paid more than 16384 times"):
        trace_path(task, 0)
