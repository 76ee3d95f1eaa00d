"""Margin posted in coin, whose value falls with the price: simulated against closed forms, |z| < 4 with fixed seeds."""

import dataclasses

import numpy as np
import pytest

import liqsim as lq
from liqsim.analytic import first_passage_probability, overshoot_probability
from liqsim.venues import (
    Contract,
    Fees,
    FlatLeverage,
    LinearInSize,
    MarginalTiers,
    MarginWindow,
    Venue,
    WindowedRates,
)

BOUND = 4.0
PRICE, RATE, LEVERAGE = 60_000.0, 0.01, 4.0
GBM = lq.GBM(sigma=0.7, drift=0.0)
KOU = lq.Kou(sigma=0.5, intensity=60, p_up=0.4, eta_up=25, eta_down=20, drift=0.0)
FLAT = lq.Venue.from_tiers([(0, 1e9, RATE, 100)])


def in_coin(haircut, **rules):
    venue = dataclasses.replace(FLAT, collateral_haircut=haircut)
    return dataclasses.replace(venue, liquidation=lq.Liquidation(**rules)) if rules else venue


def level_of(side, haircut):
    """Price ratio at which what counts of the coin, and the position's profit, are the requirement."""
    d, coin = (1.0 if side == "long" else -1.0), (1.0 - haircut) / LEVERAGE
    return d / (d + coin - RATE)


def z_score(ds, name, exact):
    return abs(float(ds[name] - exact) / float(ds[f"{name}_se"]))


@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
@pytest.mark.parametrize("haircut", [0.0, 0.15])
@pytest.mark.parametrize("side", ["long", "short"])
def test_liquidation(model, haircut, side):
    level = level_of(side, haircut)
    venue = in_coin(haircut)
    ds = lq.sweep(model, venue, leverage=LEVERAGE, side=side, price=PRICE, n_paths=200_000, seed=11).squeeze()
    assert float(ds.liquidation_price) == pytest.approx(level * PRICE, rel=1e-12)
    assert z_score(ds, "p_liquidation", first_passage_probability(model, level, "30D")) < BOUND
    plain = lq.sweep(model, FLAT, leverage=LEVERAGE, side=side, price=PRICE, n_paths=50_000, seed=11).squeeze()
    nearer = float(ds.p_liquidation) - float(plain.p_liquidation)
    assert nearer > 0.05 if side == "long" else nearer < 0


@pytest.mark.parametrize("side", ["long", "short"])
def test_the_account_is_a_fair_game(side):
    """Coin and position at the stopped price of a martingale: what is lost on average is what the venue keeps."""
    haircut, d = 0.1, 1.0 if side == "long" else -1.0
    level = level_of(side, haircut)
    left = level / LEVERAGE + d * (level - 1.0)
    p = first_passage_probability(GBM, level, "30D")
    position = {"leverage": LEVERAGE, "side": side, "n_paths": 200_000, "seed": 12}
    kept = lq.sweep(GBM, in_coin(haircut, procedure="takeover", residual="none"), **position).squeeze()
    assert left > 0.01
    assert z_score(kept, "pnl", -p * left) < BOUND
    assert z_score(kept, "engine_kept", p * left) < BOUND
    handed_back = lq.sweep(GBM, in_coin(haircut, procedure="market", residual="kept"), **position).squeeze()
    assert z_score(handed_back, "pnl", 0.0) < BOUND
    assert z_score(handed_back, "returned", p * left) < BOUND
    stopped = lq.sweep(GBM, in_coin(haircut, procedure="market", residual="kept"), stop=0.08, **position).squeeze()
    assert z_score(stopped, "pnl", 0.0) < BOUND


@pytest.mark.parametrize("side", ["long", "short"])
def test_shortfall_after_a_jump(side):
    """A jump beyond the price at which coin and position are worth nothing together."""
    haircut, d = 0.05, 1.0 if side == "long" else -1.0
    nothing = d / (d + 1.0 / LEVERAGE)
    exact = overshoot_probability(KOU, level_of(side, haircut), nothing, "30D")
    ds = lq.sweep(
        KOU, in_coin(haircut), leverage=LEVERAGE, side=side, price=PRICE, n_paths=300_000, seed=13,
        outputs=["p_shortfall", "p_ruin", "p_shortfall_above"],
    ).squeeze()  # fmt: skip
    assert float(ds.bankruptcy_price) == pytest.approx(nothing * PRICE, rel=1e-12)
    assert z_score(ds, "p_shortfall", exact) < BOUND
    assert float(ds.p_shortfall_above[0]) == pytest.approx(float(ds.p_shortfall), abs=1e-12)
    further = 1.0 / (KOU.eta_down + 1.0) if side == "long" else 1.0 / (KOU.eta_up - 1.0)  # mean relative move beyond it
    assert z_score(ds, "shortfall", exact * abs(d + 1.0 / LEVERAGE) * nothing * further) < BOUND


def test_control_and_importance():
    """Both know the level of coin, and neither is biased."""
    level = level_of("long", 0.1)
    exact = first_passage_probability(KOU, level, "7D")
    position = {"leverage": LEVERAGE, "side": "long", "horizon": "7D", "n_paths": 100_000, "seed": 14}
    controlled = lq.sweep(KOU, in_coin(0.1), control=True, **position).squeeze()
    assert float(controlled.p_liquidation) == pytest.approx(exact, rel=1e-9)
    weighted = lq.sweep(KOU, in_coin(0.1), importance=True, **position).squeeze()
    assert z_score(weighted, "p_liquidation", exact) < BOUND
    assert float(weighted.p_liquidation_se) < 0.02 * exact


@pytest.mark.parametrize("side", ["long", "short"])
def test_the_largest_leverage_leaves_room_for_the_haircut(side):
    """Of a short only leverages above what hedges it are looked at."""
    d = 1.0 if side == "long" else -1.0
    answer = lq.max_leverage(GBM, in_coin(0.2), p_target=0.02, side=side, n_paths=100_000, seed=15)
    p = [
        first_passage_probability(GBM, d / (d + 0.8 / leverage - RATE), "30D")
        for leverage in (answer.value - 2 * answer.se, answer.value + 2 * answer.se)
    ]
    assert answer.limited_by == "target"
    assert p[0] < 0.02 < p[1]


@pytest.mark.parametrize(
    ("venue", "arguments", "message"),
    [
        (in_coin(0.1, procedure="incremental"), {}, 'may be cut below its collateral.*give side="long"'),
        (in_coin(0.1), {"leverage": 0.9}, r"leverage=0.9 of a short .* keep leverage above 0.9, or give side"),
        (in_coin(0.5), {"leverage": 60.0, "side": "long"}, "leverage=60.0 exceeds 50.0 .* counts 0.5 of the coin"),
        (
            dataclasses.replace(
                in_coin(0.2, procedure="discretionary", residual="kept", hazard=1.0),
                margin=FlatLeverage(max_leverage=20.0, liquidation_level=0.4, call_level=0.8),
            ),
            {},
            "an equity of 0.8 times the used margin is asked for, .* below 0.8",
        ),
        (in_coin(0.1), {"outputs": ["pnl_quantile"]}, r"outputs=\['pnl_quantile'\] of custom, whose margin is posted"),
    ],
)
def test_refused(venue, arguments, message):
    with pytest.raises(lq.LiqsimError, match=message):
        lq.sweep(GBM, venue, **{"leverage": 5.0, "n_paths": 1000, **arguments})


def test_a_comparison_says_which_shorts_are_not_simulated():
    venues = {"whole": in_coin(0.1), "cut": in_coin(0.1, procedure="incremental"), "plain": FLAT}
    ds = lq.compare_venues(GBM, venues, leverage=[0.5, 3.0, 200.0], side=["long", "short"], n_paths=1000, seed=16)
    assert ds.is_allowed.sel(side="short").values.tolist() == [[False, True, False], [False] * 3, [True, True, False]]
    assert ds.is_allowed.sel(side="long").values.tolist() == [[True, True, False]] * 3
    said = [line for line in ds.attrs["notes"].splitlines() if "not simulated" in line]
    assert [line[: line.index(" are")] for line in said] == [
        "whole: shorts at leverage 0.5", "cut: shorts at leverage 0.5, 3",
    ]  # fmt: skip


def test_a_short_that_its_collateral_outweighs_is_liquidated_by_a_fall():
    """A wallet of five coins, a short of one, and other positions that ask for more than the short's whole value."""
    wallet = {"entry_price": PRICE, "quantity": 1.0, "margin": 5.0 * PRICE, "margin_mode": "cross"}
    found = lq.liquidation_price(in_coin(0.1), "short", other_maintenance=1.6 * PRICE, **wallet) / PRICE
    assert 0.9 * 5.0 * found - (found - 1.0) - 1.6 == pytest.approx(RATE * found, rel=1e-12)
    assert lq.liquidation_price(in_coin(0.1), "short", **wallet) == np.inf
    losses = np.array([0.0, -0.9, -1.6]) * PRICE
    nothing = lq.bankruptcy_price(in_coin(0.1), "short", other_pnl=losses, closing_fee_rate=0.001, **wallet) / PRICE
    assert nothing[:2].tolist() == [np.inf, np.inf]
    assert 5.0 * nothing[2] - (nothing[2] - 1.0) - 1.6 == pytest.approx(0.001 * nothing[2], rel=1e-12)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("model", [GBM, KOU], ids=["gbm", "kou"])
def test_one_position_to_high_accuracy(model, side):
    venue = in_coin(0.15)
    exact = first_passage_probability(model, level_of(side, 0.15), "7D")
    position = {"leverage": LEVERAGE, "side": side, "horizon": "7D", "seed": 16}
    smooth = lq.liquidation_probability(model, venue, n_points=512, **position)
    assert float(smooth.p_liquidation) == pytest.approx(exact, abs=BOUND * float(smooth.p_liquidation_se) + 1e-12)
    assert float(smooth.p_liquidation_se) < 1e-4
    step = 1e-4 * model.sigma
    sides = [dataclasses.replace(model, sigma=model.sigma + k * step) for k in (-1, 1)]
    low, high = (first_passage_probability(x, level_of(side, 0.15), "7D") for x in sides)
    slope = lq.liquidation_sensitivities(model, venue, parameters="sigma", n_points=512, **position).squeeze()
    error = BOUND * float(slope.p_liquidation_se) + 1e-7  # of the difference
    assert float(slope.p_liquidation) == pytest.approx((high - low) / (2.0 * step), abs=error)


def test_one_position_that_funding_pays_and_counts():
    """Against counts, with a rate that grows with size and funding that moves the level."""
    rates = LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=1e-3)
    funding = lq.FixedFunding(2e-3, "8h")
    venue = Venue("v", "v", "v", Contract("linear"), rates, funding, Fees(0.0, 0.0), collateral_haircut=0.1)
    position = {"leverage": LEVERAGE, "side": "long", "horizon": "7D", "notional": 1e6, "price": PRICE, "seed": 17}
    counts = lq.sweep(KOU, venue, n_paths=400_000, **position).squeeze()
    smooth = lq.liquidation_probability(KOU, venue, n_points=512, **position).squeeze()
    for name in ("p_liquidation", "funding_cost"):
        error = np.hypot(float(counts[f"{name}_se"]), float(smooth[f"{name}_se"]))
        assert abs(float(counts[name] - smooth[name])) < BOUND * error


@pytest.mark.parametrize(
    ("margin", "window"),
    [
        (WindowedRates(windows=(MarginWindow("night", 0.2, 0.22),), maintenance_share=0.5), "night"),
        (FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8), None),
        (LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=1e-3), None),
        (MarginalTiers(tiers=[(0, 5e4, 0.01, 50), (5e4, 1e6, 0.03, 20)]), None),
    ],
    ids=["windows", "flat", "in size", "tiers"],
)
def test_prices_of_other_schedules_meet_their_requirement(margin, window):
    venue = Venue("v", "v", "v", Contract("linear"), margin, collateral_haircut=0.1)
    for side, d in (("long", 1.0), ("short", -1.0)):
        leverage = np.array([1.5, 2.0, 4.0])
        found = lq.liquidation_price(venue, side, entry_price=PRICE, quantity=2.0, leverage=leverage, window=window)
        found = found / PRICE
        pieces = venue.pieces(2.0, PRICE, side, leverage=leverage, window=window)
        counted = 0.9 * found / leverage + d * (found - 1.0)
        np.testing.assert_allclose(counted, pieces(found), rtol=1e-9)
