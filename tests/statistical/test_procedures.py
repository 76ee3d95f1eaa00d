"""Liquidation procedures against values that no simulation of ours has made.

Fixed seeds; every comparison is in units of the estimate's own standard error and must stay below 4.
"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import integrate, stats

import liqsim as lq
from liqsim.analytic.laplace import invert
from liqsim.durations import DAYS_PER_YEAR
from liqsim.venues import (
    BasisCarry,
    Contract,
    DailyTimes,
    Fees,
    FixedPerContract,
    FlatLeverage,
    LinearInSize,
    Liquidation,
    Rollover,
    Venue,
    WholePositionTiers,
)

BOUND = 4.0
N_PATHS = 400_000
SEED = 20261125
GBM = lq.GBM(sigma=0.8)
EVERY_DAY = DailyTimes(("00:00",), "UTC")
FEE = 5e-4


def agrees(estimate, se, exact, what=""):
    z = (float(estimate) - exact) / float(se)
    assert abs(z) < BOUND, f"{what}: {float(estimate)} against {exact}, z = {z:.2f}"


def venue(margin, contract="linear", funding=None, fee=0.0, rules=None, **liquidation):
    kind = contract if isinstance(contract, Contract) else Contract(contract)
    return Venue(
        "test", "test", "test", kind, margin, funding, Fees(fee, fee), Liquidation(**liquidation), **(rules or {})
    )


def flat(rate=0.01, contract="linear", fee=0.0, **liquidation):
    made = Venue.from_tiers([(0, None, rate, 100)], contract=contract, taker_fee=fee)
    return dataclasses.replace(made, liquidation=Liquidation(**liquidation))


def run(model, where, side="long", leverage=10.0, horizon="7D", n_paths=N_PATHS, **more):
    return lq.sweep(
        model, where, leverage=leverage, side=side, horizon=horizon, n_paths=n_paths, seed=SEED, **more
    ).squeeze()


def passage(model, where, side, leverage, horizon, notional=10_000.0, **more):
    """Probability that the price reaches the liquidation level."""
    quantity = float(where.contract.quantity(notional, 60_000.0))
    price = lq.liquidation_price(where, side, entry_price=60_000.0, quantity=quantity, leverage=leverage)
    return lq.analytic.first_passage_probability(model, price / 60_000.0, horizon, **more)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("contract", ["linear", "inverse"])
@pytest.mark.parametrize(
    "procedure",
    [
        {"procedure": "zero-equity-order", "residual": "kept"},
        {"procedure": "incremental", "residual": "kept-minus-fee", "fee_rate": 2e-3},
        {"procedure": "incremental", "residual": "kept", "step_fraction": 0.2, "cooldown": 30.0},
        {"procedure": "tier-down"},
        {"procedure": "market", "residual": "kept", "deficit": "client", "insurance_fund": 1.0},
    ],
    ids=lambda p: "-".join(str(v) for v in p.values()),
)
def test_the_first_act_is_the_first_passage_whatever_follows(side, contract, procedure):
    model = lq.Kou(sigma=0.6, intensity=40, p_up=0.45, eta_up=30, eta_down=25)
    where = flat(0.01, contract, **procedure)
    ds = run(model, where, side, n_paths=100_000)
    agrees(ds.p_liquidation, ds.p_liquidation_se, passage(model, where, side, 10.0, "7D"))


def test_a_rate_that_grows_with_size_moves_the_level():
    margin = LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=5e-5)
    where = venue(margin, "inverse", procedure="incremental", residual="kept-minus-fee", fee_rate=0.0075)
    for notional in (1e4, 6e6, 2e7):
        ds = run(GBM, where, leverage=8.0, notional=notional, n_paths=100_000)
        exact = passage(GBM, where, "long", 8.0, "7D", notional)
        agrees(ds.p_liquidation, ds.p_liquidation_se, exact, f"{notional:g}")


@pytest.mark.parametrize("side", ["long", "short"])
def test_what_a_zero_equity_order_returns(side):
    """Continuous paths are closed at the level, where equity is the requirement; all but the fee is kept."""
    where = flat(0.01, fee=FEE, procedure="zero-equity-order", residual="kept")
    ds = run(GBM, where, side)
    level = float(ds.liquidation_price) / 60_000.0
    p = passage(GBM, where, side, 10.0, "7D")
    agrees(ds.returned, ds.returned_se, p * level * (0.01 - FEE), "returned")
    assert float(ds.engine_kept) == 0 == float(ds.shortfall)


@pytest.mark.parametrize(("side", "sign"), [("long", 1), ("short", -1)])
def test_small_rounds_follow_the_running_extreme(side, sign):
    """In the limit of small rounds a position at the requirement shrinks as a power of the price.

    On the boundary equity is a q w; a move dw costs q dw, a sale of dq the fee f w dq:
    d ln q / d ln w = (1 -+ a) / (a - f), so the share left is (extreme / level) ** k from the first passage on.
    """
    a, taker, engine = 0.06, 5e-4, 0.01
    where = flat(a, fee=taker, procedure="incremental", residual="kept-minus-fee", fee_rate=engine, step_fraction=5e-4)
    ds = run(GBM, where, side, leverage=6.0, n_paths=40_000)
    level = math.log(float(ds.liquidation_price) / 60_000.0)
    k = (1 - sign * a) / (a - taker - engine)
    years = 7 / DAYS_PER_YEAR
    drift, spread = -0.5 * GBM.sigma**2, GBM.sigma * math.sqrt(years)

    def beyond(b):
        """P(the extreme goes as far as log price b)."""
        near, d = -sign * b, -sign * drift
        return stats.norm.cdf((-near + d * years) / spread) + math.exp(2 * d * near / GBM.sigma**2) * stats.norm.cdf(
            (-near - d * years) / spread
        )

    left, _ = integrate.quad(lambda s: k * math.exp(-k * s) * beyond(level - sign * s), 0, 40 / k, epsabs=1e-12)
    agrees(ds.closed_share, ds.closed_share_se, left, "closed share")


def test_a_fund_that_runs_out():
    """With exponential overshoots the loss beyond a deeper level is the loss beyond the bankruptcy price, shrunk."""
    model = lq.Kou(sigma=0.5, intensity=60, p_up=0.4, eta_up=25, eta_down=18)
    fund = 0.02
    where = flat(0.01, insurance_fund=fund * 10_000.0)
    ds = run(model, where, n_paths=1_000_000)
    bankrupt = 0.9
    ratio = ((bankrupt - fund) / bankrupt) ** (model.eta_down + 1)
    agrees(ds.uncovered_loss, ds.uncovered_loss_se, ratio * float(ds.shortfall))
    assert float(ds.insurance_draw + ds.uncovered_loss) == pytest.approx(float(ds.shortfall), rel=1e-9)


def called(deadline, top_up=0.0, ratio=9.0, **more):
    """A future whose margin is tested at midnight; a ratio of 9 means that no recovery makes a call lapse."""
    margin = FixedPerContract(maintenance_per_contract=100.0, initial_ratio=ratio)
    return venue(
        margin, Contract("linear", multiplier=0.1), procedure="margin-call", residual="kept", deficit="client",
        deadline=deadline, rules={"margin_times": EVERY_DAY}, **more,
    )  # fmt: skip


def daily_passage(model, level, days):
    return lq.analytic.first_passage_probability(model, level, f"{days}D", monitoring="1D")


def test_margin_is_called_for_at_the_tests_and_positions_are_closed_at_the_deadline():
    """Margin 1/6, maintenance 100 of a contract of 6,000: called at the first midnight below 1 - 1/6 + 1/60."""
    level = 1 - 1 / 6 + 100 / 6000
    ds = run(GBM, called("2D"), leverage=6.0, horizon="10D")
    agrees(ds.p_margin_call, ds.p_margin_call_se, daily_passage(GBM, level, 10), "called")
    agrees(ds.p_liquidation, ds.p_liquidation_se, daily_passage(GBM, level, 8), "closed")
    at_once = run(GBM, called("0h"), leverage=6.0, horizon="10D")
    agrees(at_once.p_liquidation, at_once.p_liquidation_se, daily_passage(GBM, level, 10), "at once")


def test_a_call_that_is_met_restores_initial_margin():
    """Enough money for one call only: the second is closed. One test a horizon: what is added is known."""
    ds = run(lq.GBM(sigma=1.2), called("0h", ratio=1.5), leverage=6.0, horizon="1D", top_up=10.0)
    level = 1 - 1 / 6 + 100 / 6000
    drift, spread = -0.5 * 1.2**2 / DAYS_PER_YEAR, 1.2 / math.sqrt(DAYS_PER_YEAR)
    # expected addition: 1.5 x 1/60 - (1/6 + R - 1) where R <= level at the test
    d = (math.log(level) - drift) / spread
    p, mean = stats.norm.cdf(d), math.exp(drift + spread**2 / 2) * stats.norm.cdf(d - spread)
    agrees(ds.topped_up, ds.topped_up_se, p * (1.5 / 60 - 1 / 6 + 1) - mean, "added")
    agrees(ds.p_margin_call, ds.p_margin_call_se, p, "called")
    assert float(ds.p_liquidation) == 0


def killed_passage(model, near, far, hazard, years):
    """P(liquidated): absorbed at log level `far`, or killed at rate `hazard` while below `near`.

    The transform solves s^2/2 f'' + m f' = (alpha + h 1{x < near}) f - h 1{x < near} with f(far) = 1, f(inf) = 0, f and
    f' continuous at `near`.
    """
    m, s2 = model.log_drift, model.sigma**2

    def transform(alpha):
        a = np.asarray(alpha, dtype=complex)
        outer = (-m - np.sqrt(m * m + 2 * s2 * a)) / s2
        root = np.sqrt(m * m + 2 * s2 * (a + hazard))
        down, up = (-m - root) / s2, (-m + root) / s2
        rest = hazard / (a + hazard)
        # f = rest + c1 e^{down (x - far)} + c2 e^{up (x - near)} between the levels, c0 e^{outer (x - near)} above
        gap = near - far
        e_down, e_up = np.exp(down * gap), np.exp(-up * gap)
        matrix = np.empty((len(a), 3, 3), dtype=complex)
        matrix[:, 0] = np.stack([np.zeros_like(a), np.ones_like(a), e_up], axis=-1)
        matrix[:, 1] = np.stack([np.ones_like(a), -e_down, -np.ones_like(a)], axis=-1)
        matrix[:, 2] = np.stack([outer, -down * e_down, -up], axis=-1)
        right = np.stack([1 - rest, rest, np.zeros_like(a)], axis=-1)[..., np.newaxis]
        c0 = np.linalg.solve(matrix, right)[:, 0, 0]
        return (c0 * np.exp(outer * (0.0 - near)))[np.newaxis]

    return float(invert(transform, years).probability[0])


@pytest.mark.parametrize("hazard", [0.05, 1.0, 20.0])
def test_a_venue_that_liquidates_at_its_discretion(hazard):
    """Kraken's levels: 80 % of used margin may be closed, 40 % must; a Poisson process of looks is an exact hazard."""
    margin = FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8)
    where = venue(margin, procedure="discretionary", residual="kept", deficit="client", hazard=hazard)
    ds = run(GBM, where, leverage=4.0, horizon="14D")
    near, far = (math.log(1 - (1 - level) / 4.0) for level in (0.8, 0.4))
    exact = killed_passage(GBM, near, far, hazard * DAYS_PER_YEAR, 14 / DAYS_PER_YEAR)
    agrees(ds.p_liquidation, ds.p_liquidation_se, exact)


def test_the_transform_of_a_discretionary_close_has_its_limits():
    near, far, years = math.log(0.95), math.log(0.85), 14 / DAYS_PER_YEAR
    for hazard, level in ((1e-9, far), (1e9, near)):
        exact = lq.analytic.first_passage_probability(GBM, math.exp(level), "14D")
        assert killed_passage(GBM, near, far, hazard, years) == pytest.approx(exact, abs=1e-4)


def test_orders_in_the_cooldown_are_for_everything():
    """A third is sold at each of the levels, or all that is left where the second comes within the cooldown.

    The draw of the first passage does not look at the segment's extreme, which is known by then: the documented
    approximation. It shifts the share of second orders for everything by less than one point in a hundred here.
    The price falls for certain (drift -40 a year, quiet), so that only the time between two levels is random: an
    inverse Gaussian. Selling leaves equity as it is, so the levels follow from equity = rate x share x price.
    """
    model, rate, cooldown = lq.GBM(sigma=0.5, drift=-40.0), 0.02, 5000.0
    where = flat(rate, procedure="incremental", residual="kept", step_fraction=1 / 3, cooldown=cooldown)
    ds = run(model, where, leverage=10.0, horizon="14D", n_paths=1_000_000)
    cash, share, levels = 0.1, 1.0, []
    for _ in range(3):
        w = (share - cash) / (share * (1 - rate))
        levels.append(w)
        cash += (w - 1) / 3
        share -= 1 / 3
    distance, speed = math.log(levels[0] / levels[1]), -model.log_drift
    limit = cooldown / (365 * 86_400)
    spread = model.sigma * math.sqrt(limit)
    fast = stats.norm.cdf((speed * limit - distance) / spread) + math.exp(
        2 * speed * distance / model.sigma**2
    ) * stats.norm.cdf((-speed * limit - distance) / spread)
    assert 0.2 < fast < 0.8
    slow_pnl = sum(w - 1 for w in levels) / 3
    fast_pnl = (levels[0] - 1) / 3 + (levels[1] - 1) * 2 / 3
    estimate = (float(ds.pnl) - slow_pnl) / (fast_pnl - slow_pnl)
    assert float(ds.pnl_se) < 1e-3 * abs(fast_pnl - slow_pnl)
    assert abs(estimate - fast) < 0.01


def test_interest_on_what_is_borrowed():
    margin = FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8)
    rule = Rollover(2.5e-4, 1e-4, 2e-4, 3e-4, "4h")
    where = venue(margin, funding=rule, procedure="discretionary", residual="kept", deficit="client", hazard=0.0)
    ds = run(lq.GBM(sigma=0.01), where, ["long", "short"], leverage=2.0, horizon="3D", n_paths=2000)
    assert float(ds.p_liquidation.max()) == 0
    assert float(ds.funding_cost.sel(side="long")) == pytest.approx(rule.cost("long", "3D"), abs=1e-9)
    assert float(ds.funding_cost.sel(side="short")) == pytest.approx(rule.cost("short", "3D"), abs=1e-9)


def test_a_long_future_loses_the_basis_and_both_sides_pay_to_roll():
    rule = BasisCarry(0.0567, roll_interval="10D", roll_cost=4e-4)
    where = dataclasses.replace(flat(0.01), funding=rule)
    ds = run(lq.GBM(sigma=0.3), where, ["long", "short"], leverage=1.5, horizon="30D", n_paths=200_000)
    assert float(ds.p_liquidation.max()) < 1e-4
    for side, sign in (("long", 1), ("short", -1)):
        one = ds.sel(side=side)
        agrees(one.funding_cost, one.funding_cost_se, sign * 0.0567 * 30 / 365 + 3 * 4e-4, side)


def test_tiers_on_the_whole_position_are_those_of_the_price_reached():
    """A short grows into a tier: at the cap the requirement jumps, and equity there decides."""
    tiers = [(0, 110_000, 0.01, 20), (110_000, None, 0.05, 10)]
    where = venue(WholePositionTiers(tiers=tiers))
    ds = run(GBM, where, "short", leverage=8.0, notional=100_000.0)
    # at w = 1.1 equity is 0.025, above 0.011 and below 0.055: liquidated at the cap
    assert float(ds.liquidation_price) == pytest.approx(66_000.0)
    agrees(ds.p_liquidation, ds.p_liquidation_se, lq.analytic.first_passage_probability(GBM, 1.1, "7D"))
