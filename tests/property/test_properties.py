"""What must hold for every model, venue and grid; few paths, since nothing here is statistical."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqsim as lq

N_PATHS = 300
INF = math.inf
RESOLUTION = 2.0**-32  # of the sums over paths, fraction of the entry notional
few = settings(max_examples=40, deadline=None)
many = settings(max_examples=200, deadline=None)

sigmas = st.floats(0.05, 3.0)
drifts = st.floats(-2.0, 2.0)
intensities = st.floats(0.0, 2000.0)
jump_rates = st.floats(10.0, 500.0)
models = st.one_of(
    st.builds(lq.GBM, sigmas, drifts),
    st.builds(lq.Merton, sigmas, intensities, st.floats(-0.05, 0.05), st.floats(0.0, 0.05), drifts),
    st.builds(lq.Kou, sigmas, intensities, st.floats(0.0, 1.0), jump_rates, jump_rates, drifts),
)
premiums = st.none() | st.builds(
    lq.OUPremium,
    mean=st.floats(-1e-3, 1e-3),
    half_life=st.sampled_from(["1h", "8h", "3D"]),
    vol=st.floats(0.0, 5e-3),
    correlation=st.floats(-1.0, 1.0),
)
contracts = st.sampled_from(["linear", "inverse"])
fundings = st.one_of(
    st.none(),
    st.builds(lq.FixedFunding, st.floats(-1e-3, 1e-3), st.sampled_from(["1h", "8h"])),
    st.builds(
        lq.PremiumFunding,
        st.sampled_from(["3h", "8h"]),
        interest=st.floats(-1e-3, 1e-3),
        clamp=st.floats(0.0, 1e-3),
        cap=st.floats(1e-4, 1e-2),
        smoothing=st.sampled_from([0.0, 0.25]),
    ),
)


@st.composite
def tables(draw):
    """Tiers whose first lets 50 times leverage in at least and whose last has no end."""
    rates = sorted(draw(st.lists(st.floats(0.001, 0.015), min_size=1, max_size=4)))
    caps = np.cumsum(draw(st.lists(st.floats(2e4, 1e6), min_size=len(rates), max_size=len(rates)))).tolist()
    return [(low, high, rate, 60.0) for low, high, rate in zip([0.0, *caps], [*caps[:-1], INF], rates, strict=False)]


venues = st.builds(
    lambda rows, contract, fee, funding: lq.Venue.from_tiers(rows, contract=contract, taker_fee=fee, funding=funding),
    tables(), contracts, st.floats(0.0, 1e-3), fundings,
)  # fmt: skip
leverages = st.lists(st.floats(0.5, 60.0), min_size=1, max_size=5, unique=True)
stops = st.lists(st.floats(0.001, 0.9) | st.just(INF), min_size=1, max_size=4, unique=True)
horizons = st.lists(st.integers(1, 72), min_size=1, max_size=3, unique=True).map(lambda hours: [f"{h}h" for h in hours])
seeds = st.integers(0, 2**64 - 1)


@few
@given(
    models, premiums, venues, leverages, stops, horizons, seeds,
    st.sampled_from(["liquidation", "stop"]), st.sampled_from(["continuous", "1h"]),
)  # fmt: skip
def test_any_sweep(model, premium, venue, leverage, stop, horizon, seed, gap_rule, monitoring):
    ds = lq.sweep(
        model, venue, premium=premium, leverage=leverage, stop=stop, horizon=horizon, seed=seed, gap_rule=gap_rule,
        monitoring=monitoring, n_paths=N_PATHS, threads=1,
    )  # fmt: skip
    outcomes = [ds.p_liquidation, ds.p_stop, ds.p_survival]
    assert (sum((p * N_PATHS).round() for p in outcomes) == N_PATHS).all()
    assert all(((p >= 0) & (p <= 1)).all() for p in outcomes)
    for name in set(ds.data_vars) - {"liquidation_price", "bankruptcy_price"}:
        assert np.isfinite(ds[name]).all(), name
    for name in ("fees", "shortfall", "engine_kept", "exit_time"):
        assert (ds[name] >= 0).all(), name
    if venue.funding is None:
        assert (ds.funding_cost == 0).all()
    assert (ds.p_liquidation.sortby("leverage").diff("leverage") >= 0).all()
    assert (ds.p_liquidation.sortby("stop").diff("stop") >= 0).all()
    by_time = ds.sortby("horizon")
    for name in ("p_liquidation", "p_stop", "exit_time", "shortfall"):
        assert (by_time[name].diff("horizon") >= 0).all(), name


@few
@given(models, st.lists(st.floats(0.3, 3.0).filter(lambda x: x != 1.0), min_size=1, max_size=6, unique=True), seeds)
def test_any_first_passage(model, levels, seed):
    ds = lq.first_passage(model, levels, ["5h", "2D"], seed=seed, n_paths=N_PATHS, threads=1)
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
@given(rows=tables(), contract=contracts, **positions)
def test_liquidation_lies_between_entry_and_bankruptcy(rows, contract, entry_price, leverage, notional):
    venue = lq.Venue.from_tiers(rows, contract=contract)
    quantity = float(venue.contract.quantity(notional, entry_price))
    at = {"entry_price": entry_price, "quantity": quantity, "leverage": leverage}
    slack = 1 + 1e-9
    long = lq.liquidation_price(venue, "long", **at), lq.bankruptcy_price(venue, "long", **at)
    short = lq.liquidation_price(venue, "short", **at), lq.bankruptcy_price(venue, "short", **at)
    assert long[1] <= long[0] * slack
    assert long[0] <= entry_price * slack
    assert entry_price <= short[0] * slack
    assert short[0] <= short[1] * slack


@many
@given(rate=st.floats(0.0, 0.015), side=st.sampled_from(["long", "short"]), **positions)
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
@given(rows=tables(), contract=contracts, side=st.sampled_from(["long", "short"]), **positions)
def test_more_margin_is_safer(rows, contract, side, entry_price, leverage, notional):
    venue = lq.Venue.from_tiers(rows, contract=contract)
    quantity = float(venue.contract.quantity(notional, entry_price))
    at = {"entry_price": entry_price, "quantity": quantity}
    near = lq.liquidation_price(venue, side, leverage=leverage, **at)
    far = lq.liquidation_price(venue, side, leverage=leverage / 2, **at)
    assert (far <= near * (1 + 1e-9)) if side == "long" else (far >= near * (1 - 1e-9))
    margin = float(venue.contract.value(quantity, entry_price)) / leverage
    assert lq.liquidation_price(venue, side, margin=margin, **at) == pytest.approx(near, rel=1e-9)
    assert lq.initial_margin(venue, side, leverage=leverage, **at) == pytest.approx(margin, rel=1e-12)


@few
@given(models, contracts, leverages, stops, seeds)
def test_the_size_does_not_matter_where_there_is_one_tier(model, contract, leverage, stop, seed):
    venue = lq.Venue.from_tiers([(0, None, 0.005, 60)], contract=contract)
    ds = lq.sweep(
        model, venue, leverage=leverage, stop=stop, notional=[1e2, 1e7], horizon="1D", n_paths=N_PATHS, seed=seed,
        threads=1,
    )  # fmt: skip
    for name in ("p_liquidation", "p_stop", "pnl", "exit_time", "shortfall"):
        small, large = ds[name].isel(notional=0), ds[name].isel(notional=1)
        np.testing.assert_allclose(small, large, rtol=0, atol=1e-9)
