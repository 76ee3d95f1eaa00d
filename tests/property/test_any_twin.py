"""The kernel against its plain-Python twin, and cash conserved, for venues of every kind."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from liqsim.arguments import read_grid, read_horizons, read_settings
from liqsim.cells import Cell, cell_passes
from liqsim.engine.run import run_passes
from liqsim.engine.tally import Sums, Totals, cell_sums
from liqsim.reference import cell_outcome, simulate_path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from strategies import PRICE, cases, gap_rules, hours, looks, models, premiums, seeds, stops

few = settings(max_examples=40, deadline=None)
SIDES = ("long", "short")
QUANTITIES = (
    "time", "funding_cost", "fees", "pnl", "shortfall", "engine_kept", "closed_share", "topped_up", "uncovered",
)  # fmt: skip
ROUNDING = 3e-9


def passes_of(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
    settings = read_settings(
        read_horizons(horizon)[0], premium=premium, price=PRICE, monitoring=monitoring, gap_rule=gap_rule,
        start=case.start, top_up=case.top_up, n_paths=1, seed=seed, threads=1,
    )  # fmt: skip
    grid = read_grid(case.leverage, stop, SIDES)
    return cell_passes(Cell(model, case.venue, case.notional, grid), settings)


def booked(task, first, count):
    """The two tallies of some paths."""
    kernel = task.kernel()
    tallies = [np.zeros(shape, dtype=np.int64) for shape in (kernel.tally_shape(), kernel.carried_shape())]
    assert kernel.run(first, count, *tallies, np.zeros(1, dtype=np.int32))
    return tallies


@few
@given(models, premiums, cases(), stops, hours, seeds, gap_rules, looks)
def test_kernel_equals_twin_and_cash_is_conserved(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
    """Price profit and loss = pnl + fees + funding + what the engine kept - what others than the trader covered."""
    for task in passes_of(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
        for number in range(2):
            tallies = booked(task, number, 1)
            sums = Sums(*(Totals(tally.shape) for tally in tallies))
            sums.whole.add(tallies[0])
            sums.carried.add(tallies[1])
            found = cell_sums(task, sums)
            path = simulate_path(task, number)
            for cell in np.ndindex(found.liquidated.shape):
                horizon_index, side, row, column = cell
                twin = cell_outcome(task, path, side, row, column, horizon_index)
                counts = [float(x[cell]) for x in (found.liquidated, found.stopped, found.survived)]
                assert counts == [twin.outcome == name for name in ("liquidated", "stopped", "survived")], cell
                assert [found.cut[cell], found.called[cell]] == [twin.is_cut, twin.is_called], cell
                totals = {name: float(getattr(found, name).total[cell]) for name in QUANTITIES}
                for name, total in totals.items():
                    assert total == pytest.approx(getattr(twin, name), abs=ROUNDING), (cell, name)
                covered = 0.0 if task.client_pays else totals["shortfall"]
                spent = sum(totals[name] for name in ("pnl", "fees", "funding_cost", "engine_kept"))
                assert spent - covered == pytest.approx(twin.price_pnl, abs=5 * ROUNDING), cell


@few
@given(models, premiums, cases(), stops, hours, seeds, gap_rules, looks)
def test_the_tally_does_not_depend_on_how_paths_are_batched(
    model, premium, case, stop, horizon, seed, gap_rule, monitoring
):
    """To the last bit of the integers, for any rules: blocks of other paths leave no trace."""
    for task in passes_of(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
        (together,) = run_passes([task], 90, 1)
        sums = Sums(Totals(together.whole.low.shape), Totals(together.carried.low.shape))
        for first in range(0, 90, 9):
            whole, carried = booked(task, first, 9 if first else 1)
            sums.whole.add(whole)
            sums.carried.add(carried)
        for number in range(1, 9):
            whole, carried = booked(task, number, 1)
            sums.whole.add(whole)
            sums.carried.add(carried)
        for one, other in ((together.whole, sums.whole), (together.carried, sums.carried)):
            assert ((one.high - other.high) * 2**31 + (one.low - other.low) == 0).all()
