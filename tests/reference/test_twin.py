"""The kernel against its plain-Python twin, path by path and cell by cell, on the same random numbers."""

import dataclasses
import datetime as dt
import math

import numpy as np
import pytest

import liqsim as lq
from liqsim.engine.binned import (
    booking_passages,
    booking_pnl,
    booking_shortfall,
    passage_counts,
    pnl_bins,
    shortfall_bins,
)
from liqsim.engine.plan import Grid, seed_key, sweep_pass
from liqsim.engine.tally import Sums, Tallies, cell_sums
from liqsim.engine.terms import CALL, CUT_TIERS
from liqsim.engine.terms import CUT as CUT_FIRST
from liqsim.engine.timeline import build_timelines, to_nanoseconds, venue_clock
from liqsim.reference import cell_outcome, philox4x32, simulate_path
from liqsim.venues import (
    BasisCarry,
    Closure,
    Contract,
    DailyTimes,
    Fees,
    FixedPerContract,
    FlatLeverage,
    LinearInSize,
    Liquidation,
    MarginWindow,
    Rollover,
    Venue,
    WholePositionTiers,
    WindowedRates,
)

LEVERAGE = np.array([3.0, 10.0, 50.0, 25.0])
LOW = np.array([1.5, 2.5, 3.8, 3.5])
STOP = np.array([0.1, 0.01, math.inf, 0.03])
NS_PER_DAY = 86_400_000_000_000
START = dt.datetime(2026, 3, 6, 15, 0, tzinfo=dt.UTC)  # a Friday; US clocks move on the Sunday
TIERS = [(0, 5e4, 0.004, 125), (5e4, 2e5, 0.01, 80), (2e5, 1e9, 0.015, 60)]
STEEP = [(0, 5e4, 0.004, 125), (5e4, 1e5, 0.008, 80), (1e5, 1.45e5, 0.012, 60), (1.45e5, 1e9, 0.016, 55)]
GBM = lq.GBM(sigma=0.9, drift=0.3)
MERTON = lq.Merton(sigma=0.6, intensity=300, jump_mean=-0.01, jump_std=0.03)
KOU = lq.Kou(sigma=0.5, intensity=900, p_up=0.45, eta_up=40, eta_down=30)
PREMIUM = lq.OUPremium(mean=1e-3, half_life="8h", vol=4e-3, initial=-2e-3)
INFORMED = lq.OUPremium(mean=1e-3, half_life="8h", vol=4e-3, correlation=-0.7)
BITMEX_LIKE = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3.75e-3)
ODD = lq.PremiumFunding(
    "3h", interest=2e-4, clamp=1e-4, cap=5e-3, scale=0.5, smoothing=0.25, change_cap=1e-3, notional="index", first="1h"
)
DEFERRED = lq.PremiumFunding(
    "1h", scale=0.25, smoothing=0.25, settlement=DailyTimes(("00:00", "12:00"), "America/New_York"),
    changes=(("1D", "2h"),),
)  # fmt: skip
BITCOIN = Contract("linear", multiplier=0.1)
COIN = Contract("inverse")
CHICAGO = DailyTimes(("16:00",), "America/Chicago", ("Mon", "Tue", "Wed", "Thu", "Fri"))
WINDOWS = WindowedRates(
    windows=(
        MarginWindow("day", 0.1, 0.1, "08:00", "16:00", "America/New_York"),
        MarginWindow("night", 0.2, 0.22),
    ),
    maintenance_share=0.8,
)


def tiered(contract="linear", funding=None, tiers=TIERS, **liquidation):
    venue = Venue.from_tiers(tiers, contract=contract, taker_fee=7e-4, funding=funding)
    return dataclasses.replace(venue, liquidation=Liquidation(**liquidation))


def in_coin(venue, haircut):
    return dataclasses.replace(venue, collateral_haircut=haircut)


def other(margin, contract, liquidation=Liquidation(), funding=None, **rules):  # noqa: B008
    return Venue("other", "other", "other", contract, margin, funding, Fees(7e-4, 0.0), liquidation, **rules)


def future(**liquidation):
    return other(
        FixedPerContract(maintenance_per_contract=1400.0, initial_ratio=1.1), BITCOIN,
        Liquidation("margin-call", "kept", "client", **liquidation),
        BasisCarry(0.2, roll_interval="2D", roll_cost=1e-3),
        margin_times=CHICAGO, closures=(Closure("Fri 16:00", "Sun 17:00", "America/Chicago"),),
    )  # fmt: skip


CUT = {"procedure": "incremental", "residual": "kept-minus-fee", "fee_rate": 1e-3}
CASES = {  # model, venue, premium, monitoring, gap rule, leverages, top-up
    "gbm, no funding": (GBM, tiered()),
    "gbm, fixed funding that liquidates": (GBM, tiered(funding=lq.FixedFunding(4e-3, "8h"))),
    "merton, inverse, premium": (MERTON, tiered("inverse", BITMEX_LIKE), PREMIUM),
    "kou, linear, premium": (KOU, tiered("linear", BITMEX_LIKE), PREMIUM),
    "kou, inverse, informed premium, odd rule": (KOU, tiered("inverse", ODD), INFORMED),
    "kou, stop first": (KOU, tiered("linear", ODD), INFORMED, None, "stop"),
    "merton, hourly checks": (MERTON, tiered("linear", BITMEX_LIKE), PREMIUM, "1h"),
    "jumps only": (lq.Kou(0.0, 800, 0.5, 60, 40), tiered("inverse"), None, None, "stop"),
    "rest returned": (KOU, tiered("linear", ODD, procedure="zero-equity-order", residual="kept"), INFORMED),
    "rest returned, inverse, client pays": (
        MERTON, tiered("inverse", procedure="market", residual="kept", deficit="client"), None, None, "stop",
    ),
    "small rounds": (KOU, tiered("linear", ODD, STEEP, **CUT), INFORMED),
    "rounds of a fifth, inverse, stop first": (
        MERTON, tiered("inverse", BITMEX_LIKE, STEEP, step_fraction=0.2, **CUT), PREMIUM, None, "stop",
    ),
    "a fifth, then a cooldown and a backstop": (
        GBM,
        tiered(
            procedure="incremental", residual="kept", step_fraction=0.2, step_threshold=6e4, cooldown=7200.0,
            backstop_fraction=2 / 3,
        ),
    ),
    "cuts with hourly checks": (KOU, tiered("linear", ODD, STEEP, step_fraction=0.3, **CUT), PREMIUM, "1h"),
    "a tier down, then taken over": (KOU, tiered("linear", None, STEEP, procedure="tier-down"), None),
    "two tiers down with a fee, then taken over": (
        GBM,
        tiered(
            "linear", BITMEX_LIKE, STEEP, procedure="tier-down", residual="kept-minus-fee", fee_rate=2e-3,
            tiers_per_step=2, steps_from_tier=3,
        ),
        PREMIUM,
    ),
    "a fund that runs out": (MERTON, tiered("linear", ODD, insurance_fund=300.0), PREMIUM),
    "steps on the whole position, at the mark": (
        KOU,
        other(WholePositionTiers(tiers=STEEP), Contract("linear"), Liquidation(procedure="tier-down"), BITMEX_LIKE),
        PREMIUM,
    ),
    "risk limits on entry value": (
        MERTON,
        other(
            WholePositionTiers.from_steps(base_limit=1.0, step=0.7, base_maintenance=0.004, base_initial=0.008),
            COIN, Liquidation(procedure="tier-down"), BITMEX_LIKE,
        ),
        PREMIUM,
    ),
    "rates that grow with size, inverse": (
        KOU,
        other(LinearInSize(maintenance_base=0.005, initial_base=0.01, slope=2e-3), COIN, Liquidation(**CUT), ODD),
        INFORMED,
    ),
    "rates that grow with size, linear, taken over": (
        MERTON, other(LinearInSize(maintenance_base=0.005, initial_base=0.01, slope=2e-3), Contract("linear")),
    ),
    "windows, deferred funding": (
        KOU, other(WINDOWS, Contract("linear"), Liquidation("market", "kept", "client"), DEFERRED), INFORMED, None,
        "liquidation", LOW,
    ),
    "windows, cut": (
        GBM, other(WINDOWS, Contract("linear"), Liquidation(**CUT), DEFERRED), INFORMED, None, "liquidation", LOW,
    ),
    "spot on margin, looked at now and then": (
        KOU,
        other(
            FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8), Contract("linear"),
            Liquidation("discretionary", "kept", "client", hazard=3.0), Rollover(2.5e-4, 1e-4, 2.5e-4, 1e-4),
        ),
        None, None, "liquidation", LOW,
    ),
    "the same, gbm and stop first": (
        GBM,
        other(
            FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8), Contract("linear"),
            Liquidation("discretionary", "kept", "client", hazard=30.0), Rollover(2.5e-4, 1e-4, 2.5e-4, 1e-4),
        ),
        None, None, "stop", LOW,
    ),
    "margin calls, a day to pay": (KOU, future(deadline="1D"), None, None, "liquidation", LOW, 0.0),
    "margin calls that are met once": (KOU, future(deadline="1D"), None, None, "stop", LOW, 0.04),
    "margin calls with a floor": (
        MERTON, future(deadline="30h", immediate_below=0.9), None, None, "liquidation", LOW, 0.05,
    ),
    "margin that is raised and lowered, funded": (
        KOU,
        dataclasses.replace(tiered("linear", BITMEX_LIKE, STEEP, **CUT), margin_changes=(("7h", 2.0), ("36h", 0.5))),
        PREMIUM,
    ),
    "margin calls after a reset": (
        KOU, dataclasses.replace(future(deadline="1D", immediate_below=0.5), margin_changes=(("20h", 1.3),)),
        None, None, "liquidation", LOW, 0.03,
    ),
    "spot on margin, levels that change": (
        GBM,
        other(
            FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8), Contract("linear"),
            Liquidation("discretionary", "kept", "client", hazard=3.0), margin_changes=(("1D", 1.2),),
        ),
        None, None, "liquidation", LOW,
    ),
    "windows that are raised": (
        KOU,
        other(
            WINDOWS, Contract("linear"), Liquidation("market", "kept", "client"), DEFERRED,
            margin_changes=(("30h", 1.2),),
        ),
        INFORMED, None, "liquidation", LOW,
    ),
    "coin posted": (KOU, in_coin(tiered("linear", BITMEX_LIKE), 0.1), PREMIUM),
    "coin posted, rest returned, stop first": (
        KOU, in_coin(tiered("linear", ODD, procedure="zero-equity-order", residual="kept"), 0.0), INFORMED, None,
        "stop",
    ),
    "coin posted, cut in rounds": (MERTON, in_coin(tiered("linear", ODD, STEEP, **CUT), 0.05), INFORMED),
    "coin posted, a cooldown and a backstop": (
        GBM,
        in_coin(
            tiered(
                procedure="incremental", residual="kept", step_fraction=0.2, step_threshold=6e4, cooldown=7200.0,
                backstop_fraction=2 / 3,
            ),
            0.1,
        ),
    ),
    "coin posted, rates that grow with size, cut": (
        KOU,
        in_coin(
            other(
                LinearInSize(maintenance_base=0.005, initial_base=0.01, slope=2e-3), Contract("linear"),
                Liquidation(**CUT), ODD,
            ),
            0.02,
        ),
        INFORMED, None, "liquidation", np.array([1.02, 2.0, 9.0, 30.0]),
    ),
    "coin posted, rates that grow with size, taken over": (
        GBM,
        in_coin(other(LinearInSize(maintenance_base=0.005, initial_base=0.01, slope=2e-2), Contract("linear")), 0.02),
        None, None, "stop", np.array([1.02, 2.0, 9.0, 15.0]),
    ),
    "coin posted, steps on the whole position": (
        KOU,
        in_coin(
            other(WholePositionTiers(tiers=STEEP), Contract("linear"), Liquidation(procedure="tier-down"), BITMEX_LIKE),
            0.1,
        ),
        PREMIUM, None, "liquidation", np.array([3.0, 10.0, 40.0, 25.0]),
    ),
    "coin posted, margin calls that are met once": (
        KOU, in_coin(future(deadline="1D", immediate_below=0.5), 0.02), None, None, "liquidation", LOW, 0.04,
    ),
    "coin posted, windows": (
        KOU, in_coin(other(WINDOWS, Contract("linear"), Liquidation("market", "kept", "client"), DEFERRED), 0.05),
        INFORMED, None, "liquidation", LOW,
    ),
    "coin posted, spot": (
        GBM,
        in_coin(
            other(
                FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8), Contract("linear"),
                Liquidation("discretionary", "kept", "client", hazard=3.0), Rollover(2.5e-4, 1e-4, 2.5e-4, 1e-4),
            ),
            0.1,
        ),
        None, None, "liquidation", np.array([1.1, 1.5, 3.0, 4.0]),
    ),
    "margin calls due at once": (GBM, future(deadline="0h"), None, None, "liquidation", LOW, 0.0),
}  # fmt: skip


def make_pass(
    model, venue, premium=None, monitoring=None, gap_rule="liquidation", leverage=LEVERAGE, top_up=0.0, start=START
):
    day = to_nanoseconds(1)
    looks = None if monitoring is None else day // 24
    horizons = [3 * day, day]
    (timeline,) = build_timelines(horizons, venue_clock(venue, 3 * day, start, 60_000.0), looks, np.array(horizons))[:1]
    is_cut = venue.collateral_haircut is not None and venue.liquidation.procedure in ("incremental", "tier-down")
    grid = Grid(leverage, STOP, ("long",) if is_cut else ("long", "short"))
    return sweep_pass(
        model, venue, premium, grid, 1.5e5, 60_000.0, timeline, seed_key(5),
        liquidation_first=gap_rule == "liquidation", top_up=top_up,
    )  # fmt: skip


def assert_equal(name, numbers):
    """Every cell of every path is booked as the twin says; returns what was seen."""
    task = make_pass(*CASES[name])
    ends = task.arrays["instant"][1:]
    timed = booking_passages(task, np.rint(ends * 365.0 * NS_PER_DAY).astype(np.int64))
    has_histogram = not task.coin.any()
    kernel = booking_shortfall(booking_pnl(timed) if has_histogram else timed).kernel()
    tallies = Tallies(kernel)
    seen = set()
    for number in numbers:
        booked = Sums.empty(kernel)
        assert tallies.run(number, 1, np.zeros(1, dtype=np.int32), booked)
        tallies.flush(booked)
        sums = cell_sums(task, booked)
        histogram = pnl_bins(booked) if has_histogram else None
        shortfalls, passages = shortfall_bins(booked), passage_counts(booked)
        path = simulate_path(task, number)
        for cell in np.ndindex(sums.liquidated.shape):
            horizon, side, row, column = cell
            if not task.rules["sides"][side]:
                continue
            twin = cell_outcome(task, path, side, row, column, horizon)
            seen |= {twin.outcome} | ({"cut"} if twin.is_cut else set()) | ({"called"} if twin.is_called else set())
            counts = [int(c[cell]) for c in (sums.liquidated, sums.stopped, sums.survived)]
            assert counts == [twin.outcome == o for o in ("liquidated", "stopped", "survived")], (number, cell)
            assert [sums.cut[cell], sums.called[cell]] == [twin.is_cut, twin.is_called], (number, cell)
            for quantity in (
                "time", "funding_cost", "fees", "pnl", "shortfall", "engine_kept", "closed_share", "topped_up",
                "uncovered",
            ):  # fmt: skip
                moments = getattr(sums, quantity)
                exact = getattr(twin, quantity)
                assert moments.total[cell] == pytest.approx(exact, abs=3e-9), (number, cell, quantity)
                assert moments.squares[cell] == pytest.approx(exact**2, rel=1e-7, abs=1e-9), (number, cell, quantity)
            if histogram is not None:
                count, mean, _ = (x[cell] for x in histogram)
                assert count.sum() == 1
                assert mean[count.argmax()] == pytest.approx(twin.pnl, abs=1e-8 * (1 + abs(twin.pnl))), (number, cell)
            count, mean, _ = (x[cell] for x in shortfalls)
            assert count.sum() == sums.short[cell], (number, cell)
            assert count.sum() == 1 or twin.shortfall < 1e-9, (number, cell)
            if count.any():
                assert mean[count.argmax()] == pytest.approx(twin.shortfall, rel=1e-8, abs=1e-8), (number, cell)
                seen.add("short")
            last = task.arrays["horizon"].tolist().index(horizon)
            assert [x[side, row, column, last] for x in passages] == counts[:2], (number, cell)
            k = int(np.searchsorted(ends, twin.time)) - 1
            if k >= 0 and twin.outcome != "survived" and not task.carries:  # nothing by the end of the interval before
                assert [x[side, row, column, k] for x in passages] == [0, 0], (number, cell)
    return seen


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_twin_on_every_path_and_cell(name):
    assert_equal(name, [0, 2**33 + 7])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_twin_on_more_paths(name):
    seen = assert_equal(name, range(1, 25))
    assert seen >= {"liquidated", "stopped", "survived"}
    if make_pass(*CASES[name]).rules["procedure"]["kind"] == CALL:
        assert "called" in seen
    if make_pass(*CASES[name]).rules["procedure"]["kind"] in (CUT_FIRST, CUT_TIERS):
        assert "cut" in seen


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_cash_is_conserved_on_every_path(name):
    task = make_pass(*CASES[name])
    for number in range(10):
        path = simulate_path(task, number)
        for side, row, column in np.ndindex(2, 4, 4):
            end = cell_outcome(task, path, side, row, column, 0)
            covered = 0.0 if task.client_pays else end.shortfall
            accounted = end.pnl + end.fees + end.funding_cost + end.engine_kept - covered
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
