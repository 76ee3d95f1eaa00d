"""What a position costs that lives on after the venue has acted on it: the second evaluator beside the shared one.

Positions are called for margin, or cut, within the first day and then carried through hourly funding to the horizon.
The same paths are run with positions that nobody acts on. What four days more cost the first, less what they cost the
second, over the positions that are alive and the hours, is the second evaluator's time per position and interval; what
is done once cancels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import instruction_set
from scaling import seconds_of

import liqsim as lq
from liqsim._core import available_levels
from liqsim.venues import (
    Contract,
    DailyTimes,
    Fees,
    FixedPerContract,
    LinearInSize,
    Liquidation,
    MarginalTiers,
    MarginSchedule,
    Venue,
)

PRICE, NOTIONAL, START = 60_000.0, 1e6, "2026-01-05"  # a Monday
DAYS = (2, 6)
ROWS = 20
CALM = lq.GBM(sigma=0.05)
HOURLY = lq.PremiumFunding("1h", interest=1e-6, clamp=1e-5, cap=1e-4)
HALVED = Liquidation("incremental", "kept", step_fraction=0.5)


def _venue(margin: MarginSchedule, kind: str, liquidation: Liquidation, **rules: Any) -> Venue:
    contract = Contract(kind, multiplier=0.1 if kind == "linear" else 1.0)  # type: ignore[arg-type]
    return Venue("bench", "bench", "bench", contract, margin, HOURLY, Fees(5e-4, 0.0), liquidation, **rules)


# Tested once, in the first hour; nobody's deadline comes. Cuts halve a position, which is then far from the next.
CASES = {
    "called, money per contract": _venue(
        FixedPerContract(maintenance_per_contract=1200.0, initial_ratio=1.0), "linear",
        Liquidation("margin-call", "kept", "client", deadline="30D", immediate_below=0.1),
        margin_times=DailyTimes(("01:00",), weekdays=("Mon",)),
    ),
    "cut, marginal tiers": _venue(
        MarginalTiers(tiers=[(0, 5e5, 0.1, 99), (5e5, 2e6, 0.15, 99), (2e6, None, 0.2, 99)]), "linear", HALVED
    ),
    "cut, rate grows with size": _venue(
        LinearInSize(maintenance_base=0.1, initial_base=0.100001, slope=2e-3), "inverse", HALVED
    ),
}  # fmt: skip


def _leverages(venue: Venue, near: bool) -> np.ndarray:
    """Just above what the venue asks for, or so much that nobody is ever near it."""
    quantity = float(venue.contract.quantity(NOTIONAL, PRICE))
    required = float(venue.pieces(quantity, PRICE)(np.ones(1))[0])
    share = np.linspace(1.00005, 1.001, ROWS) if near else np.linspace(3.0, 4.0, ROWS)
    return 1.0 / (required * share)


def _sweep(venue: Venue, near: bool, n_paths: int, horizon: Any) -> Any:
    leverage = _leverages(venue, near)
    return lq.sweep(
        CALM, venue, leverage=leverage, notional=NOTIONAL, price=PRICE, horizon=horizon, start=START, n_paths=n_paths,
        seed=1, threads=1,
    )  # fmt: skip


def alive(venue: Venue, n_paths: int) -> np.ndarray:
    """Carried positions per path at each day's end between the two horizons: called or cut, and not closed."""
    ds = _sweep(venue, True, n_paths, [f"{day}D" for day in range(DAYS[0], DAYS[1] + 1)])
    touched = ds.p_margin_call - ds.p_liquidation if venue.margin_times is not None else ds.p_partial
    return touched.sum(("side", "leverage", "stop")).values


def measure(n_paths: int, rounds: int) -> list[dict[str, Any]]:
    """Each case at every level that is built and that the processor has; times in ns."""
    rows = []
    hours = 24 * (DAYS[1] - DAYS[0])
    for isa in available_levels():
        with instruction_set(isa):
            for name, venue in CASES.items():
                living = alive(venue, n_paths)
                runs = [
                    lambda venue=venue, near=near, day=day: _sweep(venue, near, n_paths, f"{day}D")
                    for near in (True, False) for day in DAYS
                ]  # fmt: skip
                early, late, calm_early, calm_late = map(min, seconds_of(runs, rounds))
                mean = float(np.mean(0.5 * (living[1:] + living[:-1])))
                shared = 1e9 * (calm_late - calm_early) / (n_paths * hours)
                both = 1e9 * (late - early) / (n_paths * hours)
                rows.append(
                    {"case": name, "isa": isa, "paths": n_paths, "alive_per_path": mean, "shared_ns": shared,
                     "carried_ns": (both - shared) / mean}
                )  # fmt: skip
    return rows
