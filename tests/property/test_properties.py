"""What must hold for every model, venue and grid; few paths, since nothing here is statistical."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqsim as lq

sys.path.insert(0, str(Path(__file__).resolve().parent))

from strategies import (
    PRICE,
    cases,
    contracts,
    days,
    gap_rules,
    hours,
    looks,
    models,
    premiums,
    seeds,
    sides,
    stops,
    tables,
)

N_PATHS = 300
RESOLUTION = 2.0**-32  # of the sums over paths, fraction of the entry notional
SLACK = 4 * RESOLUTION
few = settings(max_examples=60, deadline=None)
many = settings(max_examples=200, deadline=None)

leverages = st.lists(st.floats(0.5, 60.0), min_size=1, max_size=5, unique=True)

NEVER_NEGATIVE = (
    "fees", "shortfall", "engine_kept", "exit_time", "closed_share", "topped_up", "insurance_draw", "uncovered_loss",
    "client_debit",
)  # fmt: skip


@few
@given(models, premiums, cases(), stops, hours, seeds, gap_rules, looks)
def test_any_sweep(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
    venue, rule = case.venue, case.venue.liquidation
    ds = lq.sweep(
        model, venue, premium=premium, stop=stop, horizon=horizon, seed=seed, gap_rule=gap_rule, monitoring=monitoring,
        n_paths=N_PATHS, threads=1, **case.arguments,
    )  # fmt: skip
    outcomes = [ds.p_liquidation, ds.p_stop, ds.p_survival]
    assert (sum((p * N_PATHS).round() for p in outcomes) == N_PATHS).all()
    assert all(((p >= 0) & (p <= 1)).all() for p in outcomes)
    for name in set(ds.data_vars) - {"liquidation_price", "bankruptcy_price"}:
        assert np.isfinite(ds[name]).all(), name
    for name in NEVER_NEGATIVE:
        assert (ds[name] >= -SLACK).all(), name
    if venue.funding is None:
        assert (ds.funding_cost == 0).all()
    assert (ds.exit_time <= ds.horizon / np.timedelta64(1, "D") * (1 + 1e-9) + 1e-7).all()

    # who bears a loss beyond the margin
    borne = ds.insurance_draw + ds.uncovered_loss + ds.client_debit
    np.testing.assert_allclose(borne, ds.shortfall, rtol=1e-12, atol=SLACK)
    assert (ds.client_debit == (ds.shortfall if rule.deficit == "client" else 0)).all()
    if rule.insurance_fund is not None:
        assert (ds.insurance_draw <= rule.insurance_fund / case.value + SLACK).all()

    # parts
    assert (ds.p_partial <= ds.p_liquidation).all()
    assert (ds.closed_share <= ds.p_liquidation + SLACK).all()
    assert (ds.closed_share >= ds.p_liquidation - ds.p_partial - SLACK).all()
    if case.is_whole:
        assert (ds.p_partial == 0).all()
        np.testing.assert_allclose(ds.closed_share, ds.p_liquidation, rtol=0, atol=SLACK)

    # calls and what is handed back
    if venue.margin_times is None:
        assert (ds.p_margin_call == 0).all()
    assert (ds.topped_up <= case.top_up * ds.p_margin_call * (1 + 1e-9) + SLACK).all()
    assert (ds.returned + ds.topped_up >= -SLACK).all()
    if rule.residual == "none" and case.is_whole and venue.margin_times is None:
        assert (abs(ds.returned) <= SLACK).all()

    # a trader with less margin, or a stop further out, is liquidated sooner
    if not case.carries_whole:
        assert (ds.p_liquidation.sortby("leverage").diff("leverage") >= 0).all()
    assert (ds.p_liquidation.sortby("stop").diff("stop") >= 0).all()


@few
@given(models, premiums, cases(starts=(None,)), stops, days, seeds, gap_rules, looks)
def test_time_only_adds(model, premium, case, stop, horizon, seed, gap_rule, monitoring):
    """Whole days on a clock that counts from entry are instants of one pass, so all horizons see the same paths."""
    ds = lq.sweep(
        model, case.venue, premium=premium, stop=stop, horizon=horizon, seed=seed, gap_rule=gap_rule,
        monitoring=monitoring, n_paths=N_PATHS, threads=1, **case.arguments,
    ).sortby("horizon")  # fmt: skip
    names = ["p_liquidation", "p_stop", "p_margin_call", "exit_time", "closed_share", "topped_up", "engine_kept"]
    if case.is_whole and not case.carries_whole:  # what is open has not lost its margin for good
        names += ["shortfall", "insurance_draw", "uncovered_loss", "client_debit"]
    for name in names:
        assert (ds[name].diff("horizon") >= -SLACK).all(), name


@few
@given(models, st.lists(st.floats(0.3, 3.0).filter(lambda x: x != 1.0), min_size=1, max_size=6, unique=True), seeds)
def test_any_first_passage(model, levels, seed):
    ds = lq.first_passage(model, levels, ["1D", "2D"], seed=seed, n_paths=N_PATHS, threads=1)
    assert np.isfinite(ds.to_array()).all()
    assert (ds.p_hit.isel(horizon=0) <= ds.p_hit.isel(horizon=1)).all()
    assert (ds.alive_time.isel(horizon=0) <= ds.alive_time.isel(horizon=1)).all()
    down, up = ds.where(ds.level < 1, drop=True).sortby("level"), ds.where(ds.level > 1, drop=True).sortby("level")
    assert (down.p_hit.diff("level") >= 0).all()
    assert (up.p_hit.diff("level") <= 0).all()


@few
@given(models, tables(), contracts, st.floats(1e-5, 1e-3), st.floats(2.0, 40.0), seeds)
def test_whoever_is_open_at_a_payment_pays_or_receives_it(model, rows, contract, size, leverage, seed):
    """Two payments on the entry value before the horizon; positive rates go from longs to shorts."""
    for rate in (size, -size):
        venue = lq.Venue.from_tiers(rows, contract=contract, funding=lq.FixedFunding(rate, "8h", "entry"))
        ds = lq.sweep(model, venue, leverage=leverage, horizon="23h", n_paths=N_PATHS, seed=seed, threads=1)
        for side, sign in (("long", 1), ("short", -1)):
            cell = ds.sel(side=side).squeeze()
            moved = sign * math.copysign(1.0, rate) * float(cell.funding_cost)
            assert 2 * size * float(cell.p_survival) - RESOLUTION <= moved <= 2 * size + RESOLUTION


@few
@given(models, contracts, st.floats(1e-5, 1e-3), st.integers(1, 9), seeds)
def test_fixed_funding_of_a_position_that_cannot_die(model, contract, rate, payments, seed):
    """Unleveraged, without a stop and paid on the entry value: rate times payments, the same for both sides."""
    venue = lq.Venue.from_tiers([(0, None, 0.0, 100)], contract=contract, funding=lq.FixedFunding(rate, "8h", "entry"))
    horizon = f"{8 * payments}h"
    ds = lq.sweep(model, venue, leverage=0.001, horizon=horizon, n_paths=N_PATHS, seed=seed, threads=1)
    assert (ds.p_survival == 1).all()
    paid = rate * payments
    np.testing.assert_allclose(ds.funding_cost.squeeze(), [paid, -paid], rtol=1e-12, atol=RESOLUTION)


positions = {
    "entry_price": st.floats(1e-3, 1e6),
    "leverage": st.floats(1.01, 60.0),
    "notional": st.floats(10.0, 1e7),
}


@many
@given(rate=st.floats(0.0, 0.015), side=sides, **positions)
def test_an_inverse_position_is_the_opposite_linear_one_on_the_inverse_price(
    rate, side, entry_price, leverage, notional
):
    """Seen in coin, a long on the price is a short on coin per dollar."""
    rows = [(0, None, rate, 60.0)]
    inverse = lq.Venue.from_tiers(rows, contract="inverse")
    linear = lq.Venue.from_tiers(rows, contract="linear")
    other = {"long": "short", "short": "long"}[side]
    for price in (lq.liquidation_price, lq.bankruptcy_price):
        here = price(inverse, side, entry_price=entry_price, quantity=notional, leverage=leverage)
        there = price(linear, other, entry_price=1 / entry_price, quantity=notional, leverage=leverage)
        assert here * there == pytest.approx(1.0, rel=1e-9)


@many
@given(rows=tables(), contract=contracts, side=sides, **positions)
def test_margin_or_leverage_say_the_same(rows, contract, side, entry_price, leverage, notional):
    venue = lq.Venue.from_tiers(rows, contract=contract)
    quantity = float(venue.contract.quantity(notional, entry_price))
    at = {"entry_price": entry_price, "quantity": quantity}
    margin = float(venue.contract.value(quantity, entry_price)) / leverage
    found = lq.liquidation_price(venue, side, leverage=leverage, **at)
    assert lq.liquidation_price(venue, side, margin=margin, **at) == pytest.approx(found, rel=1e-9)
    assert lq.initial_margin(venue, side, leverage=leverage, **at) == pytest.approx(margin, rel=1e-12)


@few
@given(models, contracts, leverages, stops, seeds)
def test_the_size_does_not_matter_where_there_is_one_tier(model, contract, leverage, stop, seed):
    venue = lq.Venue.from_tiers([(0, None, 0.005, 60)], contract=contract)
    ds = lq.sweep(
        model, venue, leverage=leverage, stop=stop, notional=[1e2, 1e7], price=PRICE, horizon="1D", n_paths=N_PATHS,
        seed=seed, threads=1,
    )  # fmt: skip
    for name in ("p_liquidation", "p_stop", "pnl", "exit_time", "shortfall"):
        small, large = ds[name].isel(notional=0), ds[name].isel(notional=1)
        np.testing.assert_allclose(small, large, rtol=0, atol=1e-9)
