"""No race under threads: many threads on small batches, again and again, always return the same bits."""

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import liqsim as lq
from liqsim.engine import run, tasks

MODEL = lq.Kou(sigma=0.6, intensity=400, p_up=0.45, eta_up=35, eta_down=28)
PREMIUM = lq.OUPremium(mean=1e-4, half_life="8h", vol=4e-4, correlation=0.3)
FUNDING = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3)
WHOLE = lq.Venue.from_tiers([(0, 1e6, 0.008, 80)], taker_fee=5e-4, funding=FUNDING)
CUT = dataclasses.replace(WHOLE, liquidation=lq.Liquidation("incremental", "kept", step_fraction=0.3))
VENUES = {"whole": WHOLE, "cut": CUT}
THREADS, REPEATS = 12, 8


def bits(venue, threads, n_paths=6000):
    ds = lq.sweep(
        MODEL, VENUES[venue], premium=PREMIUM, leverage=[5, 25, 50], stop=[0.02, 0.1, np.inf], horizon=["2D", "5D"],
        n_paths=n_paths, seed=3, threads=threads,
    )  # fmt: skip
    return b"".join(ds[name].values.tobytes() for name in ds.data_vars)


@pytest.fixture(autouse=True)
def busy(monkeypatch):
    """Small batches, and threads that are switched far more often than usual."""
    monkeypatch.setattr(tasks, "SMALLEST_TASK", 64)
    monkeypatch.setattr(run, "SMALLEST_TASK", 64)
    monkeypatch.setattr(tasks, "_MOST_PATHS", 128)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.parametrize("venue", VENUES)
def test_many_threads_again_and_again(venue):
    alone = bits(venue, 1)
    assert {bits(venue, THREADS) for _ in range(REPEATS)} == {alone}


def test_sweeps_beside_each_other():
    """Each caller has its own kernel and sums, whatever others run at the same time."""
    alone = {venue: bits(venue, 1) for venue in VENUES}
    with ThreadPoolExecutor(4) as pool:
        asked = list(VENUES) * 4
        for venue, found in zip(asked, pool.map(lambda venue: bits(venue, 3), asked), strict=True):
            assert found == alone[venue]
