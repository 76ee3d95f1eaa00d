"""The kernel against its plain-Python twin, path by path and cell by cell, on the same random numbers."""

import math

import numpy as np
import pytest

import liqsim as lq
from liqsim.engine.plan import Grid, funding_clock, seed_key, sweep_pass
from liqsim.engine.tally import Totals, cell_sums
from liqsim.engine.timeline import build_timelines, to_nanoseconds
from liqsim.reference import cell_outcome, philox4x32, simulate_path

LEVERAGE = np.array([3.0, 10.0, 50.0, 25.0])
STOP = np.array([0.1, 0.01, math.inf, 0.03])
TIERS = [(0, 5e4, 0.004, 125), (5e4, 2e5, 0.01, 80), (2e5, 1e9, 0.015, 60)]
GBM = lq.GBM(sigma=0.9, drift=0.3)
MERTON = lq.Merton(sigma=0.6, intensity=300, jump_mean=-0.01, jump_std=0.03)
KOU = lq.Kou(sigma=0.5, intensity=900, p_up=0.45, eta_up=40, eta_down=30)
PREMIUM = lq.OUPremium(mean=1e-3, half_life="8h", vol=4e-3, initial=-2e-3)
INFORMED = lq.OUPremium(mean=1e-3, half_life="8h", vol=4e-3, correlation=-0.7)
BITMEX_LIKE = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3.75e-3)
ODD = lq.PremiumFunding(
    "3h", interest=2e-4, clamp=1e-4, cap=5e-3, scale=0.5, smoothing=0.25, change_cap=1e-3, notional="index", first="1h"
)

CASES = {
    "gbm, no funding": (GBM, "linear", None, None, None, "liquidation"),
    "gbm, fixed funding that liquidates": (GBM, "linear", lq.FixedFunding(4e-3, "8h"), None, None, "liquidation"),
    "merton, inverse, premium": (MERTON, "inverse", BITMEX_LIKE, PREMIUM, None, "liquidation"),
    "kou, linear, premium": (KOU, "linear", BITMEX_LIKE, PREMIUM, None, "liquidation"),
    "kou, inverse, informed premium, odd rule": (KOU, "inverse", ODD, INFORMED, None, "liquidation"),
    "kou, stop first": (KOU, "linear", ODD, INFORMED, None, "stop"),
    "merton, hourly checks": (MERTON, "linear", BITMEX_LIKE, PREMIUM, "1h", "liquidation"),
    "jumps only": (lq.Kou(0.0, 800, 0.5, 60, 40), "inverse", None, None, None, "stop"),
}


def make_pass(model, contract, funding, premium, monitoring, gap_rule):
    venue = lq.Venue.from_tiers(TIERS, contract=contract, taker_fee=7e-4, funding=funding)
    day = to_nanoseconds(1)
    looks = None if monitoring is None else day // 24
    (timeline,) = build_timelines([3 * day, day], funding_clock(venue), looks)[:1]
    grid = Grid(LEVERAGE, STOP, ("long", "short"))
    return sweep_pass(
        model, venue, premium, grid, 1.5e5, 60_000.0, timeline, seed_key(5),
        liquidation_first=gap_rule == "liquidation", continuous=monitoring is None,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_twin_on_every_path_and_cell(name):
    task = make_pass(*CASES[name])
    kernel = task.kernel()
    seen = set()
    for number in [*range(40), 2**33 + 7]:
        tally = np.zeros(kernel.tally_shape(), dtype=np.int64)
        assert kernel.run(number, 1, tally, np.zeros(1, dtype=np.int32))
        totals = Totals(tally.shape)
        totals.add(tally)
        sums = cell_sums(totals, task.margin, task.entry_fee)
        path = simulate_path(task, number)
        for cell in np.ndindex(sums.liquidated.shape):
            horizon, side, row, column = cell
            twin = cell_outcome(task, path, side, row, column, horizon)
            seen.add(twin.outcome)
            counts = [int(c[cell]) for c in (sums.liquidated, sums.stopped, sums.survived)]
            assert counts == [twin.outcome == o for o in ("liquidated", "stopped", "survived")], (number, cell)
            for quantity in ("time", "funding_cost", "fees", "pnl", "shortfall", "engine_kept"):
                booked = getattr(sums, quantity)
                exact = getattr(twin, quantity)
                assert booked.total[cell] == pytest.approx(exact, abs=1e-9), (number, cell, quantity)
                assert booked.squares[cell] == pytest.approx(exact**2, rel=1e-7, abs=1e-12), (number, cell, quantity)
    assert seen == {"liquidated", "stopped", "survived"}


@pytest.mark.parametrize("name", CASES)
def test_cash_is_conserved_on_every_path(name):
    task = make_pass(*CASES[name])
    for number in range(60):
        path = simulate_path(task, number)
        for side, row, column in np.ndindex(2, 4, 4):
            end = cell_outcome(task, path, side, row, column, 0)
            accounted = end.pnl + end.fees + end.funding_cost + end.engine_kept - end.shortfall
            assert end.price_pnl == pytest.approx(accounted, abs=1e-12)


KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, words):
    """Random123, kat_vectors."""
    from liqsim._core import kernel_module

    assert kernel_module().philox_words(counter, key) == words
    assert philox4x32(counter, key) == words
