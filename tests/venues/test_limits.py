"""Limits that pin each rule: where one venue's rules become another's, a sweep must give the same numbers.

The same bits where the arithmetic is the same; where it is not, the same counts and the rest to the resolution of the
sums; less than four standard errors from a closed form where paths differ.
"""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm

import liqsim as lq
from liqsim.engine.terms import liquidation_terms
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
    MarginalTiers,
    MarginWindow,
    Rollover,
    Venue,
    WholePositionTiers,
    WindowedRates,
    load_venue,
)

GBM = lq.GBM(sigma=0.9, drift=0.2)
KOU = lq.Kou(sigma=0.5, intensity=300, p_up=0.45, eta_up=40, eta_down=35)
PREMIUM = lq.OUPremium(mean=2e-4, half_life="8h", vol=1e-3, correlation=0.3)
STOPS = [0.03, 0.2, math.inf]
N = 20_000
ROUNDING = 3e-9  # two roundings to 2**-32
SOLD = {"procedure": "market", "residual": "kept"}
FLAT = [(0, None, 0.01, 1000)]


def sweep(venue, model=KOU, **changes):
    arguments = {"leverage": [3, 10, 40], "stop": STOPS, "horizon": "4D", "n_paths": N, "seed": 11, **changes}
    return lq.sweep(model, venue, **arguments)


def assert_same_bits(one, other):
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        assert one[name].values.tobytes() == other[name].values.tobytes(), name


def assert_same(one, other):
    """Equal counts, and every other estimate and its error to the resolution of the sums."""
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        if name.startswith("p_"):
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
        else:  # an error is the root of a difference of squares
            noise = 1e-7 if name.endswith("_se") else ROUNDING
            np.testing.assert_allclose(one[name], other[name], rtol=1e-7, atol=noise, err_msg=name)


def assert_agrees(estimate, se, exact, what=""):
    z = (float(estimate) - exact) / float(se)
    assert abs(z) < 4.0, f"{what}: {float(estimate)} against {exact}, z = {z:.2f}"


def flat(contract="linear", rate=0.01, funding=None, **liquidation):
    venue = Venue.from_tiers([(0, None, rate, 1000)], contract=contract, taker_fee=5e-4, funding=funding)
    return dataclasses.replace(venue, liquidation=Liquidation(**liquidation))


def with_rule(venue, **changes):
    return dataclasses.replace(venue, liquidation=dataclasses.replace(venue.liquidation, **changes))


# Schedules

ONE_RATE = {
    "three tiers of one rate": MarginalTiers(tiers=[(0, 5e3, 0.01, 99), (5e3, 2e4, 0.01, 80), (2e4, None, 0.01, 50)]),
    "on the whole position": WholePositionTiers(tiers=FLAT),
    "linear in size, slope 0": LinearInSize(maintenance_base=0.01, initial_base=0.02, slope=0.0),
    "one window": WindowedRates(windows=(MarginWindow("all", 0.02, 0.02),), maintenance_share=0.5),
}


@pytest.mark.parametrize("contract", ["linear", "inverse"])
@pytest.mark.parametrize("name", ONE_RATE)
def test_schedules_of_one_rate_are_the_flat_rule(name, contract):
    funding = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4)
    venue = flat(contract, funding=funding)
    other = dataclasses.replace(venue, margin=ONE_RATE[name])
    assert_same_bits(sweep(venue, premium=PREMIUM), sweep(other, premium=PREMIUM))


def test_money_per_contract_is_the_flat_rule_on_the_entry_value():
    contract = Contract("linear", multiplier=0.1)
    entry = dataclasses.replace(flat(contract), margin=MarginalTiers(tiers=FLAT, charged_on="entry"))
    money = dataclasses.replace(entry, margin=FixedPerContract(maintenance_per_contract=60.0))  # 1 % of 6 000
    assert_same(sweep(entry), sweep(money))


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("contract", ["linear", "inverse"])
def test_the_flat_rule_is_a_first_passage(contract, side):
    """Linear: (1 -/+ 1/l) / (1 -/+ r); inverse: (1 +/- r) / (1 +/- 1/l)."""
    s = 1 if side == "long" else -1
    ds = sweep(flat(contract), GBM, side=side, stop=math.inf, n_paths=100_000).squeeze()
    for k, lev in enumerate(ds.leverage.values):
        level = (1 - s / lev) / (1 - s * 0.01) if contract == "linear" else (1 + s * 0.01) / (1 + s / lev)
        exact = lq.analytic.first_passage_probability(GBM, level, "4D")
        assert_agrees(ds.p_liquidation[k], ds.p_liquidation_se[k], exact, f"{lev} times")


def test_deribit_without_its_slope_is_the_flat_rule():
    deribit = load_venue("deribit-btc-perpetual")
    bare = dataclasses.replace(deribit, margin=dataclasses.replace(deribit.margin, slope=0.0))
    other = dataclasses.replace(deribit, margin=MarginalTiers(tiers=FLAT))
    at = {"premium": PREMIUM, "notional": 2e6}
    one = sweep(bare, **at)
    assert_same_bits(one, sweep(other, **at))
    closed = sweep(dataclasses.replace(other, liquidation=Liquidation("market", "kept")), **at)
    for name in ("p_liquidation", "p_stop", "p_survival"):  # the first act comes at the same time whatever it is
        np.testing.assert_array_equal(one[name], closed[name])
    assert float((sweep(deribit, **at).p_liquidation - one.p_liquidation).max()) > 0  # and the slope matters


def test_inverse_and_linear_agree_to_first_order():
    """Halve every move: what the two forms of profit and loss differ by is quartered."""
    year = 365.0 * 24
    apart, prices = [], []
    for scale in (0.02, 0.01):
        model = lq.GBM(scale * math.sqrt(year))  # a standard deviation of `scale` in an hour
        at = {"leverage": 1 / scale, "stop": [1.5 * scale, math.inf], "horizon": "1h", "n_paths": 100_000}
        linear, inverse = (sweep(flat(kind, 0.3 * scale, **SOLD), model, **at) for kind in ("linear", "inverse"))
        apart.append({name: linear[name] - inverse[name] for name in ("pnl", "returned")})
        prices.append(linear.liquidation_price - inverse.liquidation_price)
        for name, difference in apart[-1].items():
            assert float(abs(difference).max()) < 2 * scale**2, name
    for name in apart[0]:
        large, small = (float(abs(found[name]).sel(stop=math.inf).min()) for found in apart)
        assert large / small == pytest.approx(4.0, rel=0.1), name
    np.testing.assert_allclose(prices[0] / prices[1], 4.0, rtol=0.05)


# Procedures


def future(**rules):
    """Ten thousand dollars' worth of CME micro futures on a clock without closures, margin tested at midnight."""
    mbt = load_venue("cme-mbt")
    venue = dataclasses.replace(mbt, closures=(), margin_times=DailyTimes(("00:00",)))
    return with_rule(venue, **rules)


FUTURE = {"leverage": [2.2, 3.0, 3.8], "price": 77_835.0, "model": GBM, "start": "2026-03-02"}


def test_a_call_due_at_once_is_an_immediate_close_out():
    at_once = dataclasses.replace(future(deadline="0h"), margin_times=None)
    market = with_rule(at_once, procedure="market", deadline=None)
    assert_same_bits(sweep(at_once, **FUTURE), sweep(market, **FUTURE))


def test_a_daily_test_due_at_once_is_a_daily_look():
    at = {**FUTURE, "stop": math.inf}
    market = dataclasses.replace(with_rule(future(), procedure="market", deadline=None), margin_times=None)
    called, looked = sweep(future(deadline="0h"), **at), sweep(market, monitoring="1D", **at)
    np.testing.assert_array_equal(called.p_margin_call, called.p_liquidation)
    assert float(called.p_liquidation.min()) > 0
    names = [name for name in called if not name.startswith("p_margin_call")]
    assert_same(called[names], looked[names])


def test_a_deadline_beyond_the_horizon_never_comes():
    """Nobody is closed out, though as many are called."""
    patient, at_once = sweep(future(deadline="30D"), **FUTURE), sweep(future(deadline="0h"), **FUTURE)
    assert float(patient.p_liquidation.max()) == 0
    np.testing.assert_array_equal(patient.p_margin_call, at_once.p_margin_call)


def test_immediate_below_all_of_the_requirement_is_continuous_watch():
    watched = sweep(future(immediate_below=1.0), **FUTURE)
    market = dataclasses.replace(with_rule(future(), procedure="market", deadline=None), margin_times=None)
    assert float(watched.p_margin_call.max()) == 0
    assert_same(watched, sweep(market, **FUTURE))


@pytest.mark.parametrize("fee_rate", [0.0, 0.004])
def test_kraken_partial_with_all_in_one_step_is_kraken_full(fee_rate):
    partial = with_rule(load_venue("kraken-pf-xbtusd"), fee_rate=fee_rate, step_fraction=1.0)
    full = load_venue("kraken-pf-xbtusd", "2026-03-01")
    if fee_rate:
        full = with_rule(full, residual="kept-minus-fee", fee_rate=fee_rate)
    at = {"notional": 3e6, "leverage": [3, 10, 20], "premium": PREMIUM}
    one, other = sweep(partial, **at), sweep(full, **at)
    assert float(one.p_partial.max()) == 0
    assert_same(one, other)
    smaller = sweep(with_rule(partial, step_fraction=0.1), **at)
    np.testing.assert_array_equal(smaller.p_liquidation, one.p_liquidation)
    assert float(smaller.p_partial.max()) > 0.1


def test_coinbase_with_one_rate_all_day_is_the_flat_rule():
    bip = load_venue("coinbase-bip").assume(maintenance_share=0.8)
    windows = tuple(dataclasses.replace(w, long_rate=0.2, short_rate=0.2) for w in bip.margin.windows)
    same = dataclasses.replace(bip, margin=dataclasses.replace(bip.margin, windows=windows))
    one_rate = dataclasses.replace(bip, margin=MarginalTiers(tiers=[(0, None, 0.8 * 0.2, 5)]))
    at = {"leverage": [1.5, 3, 5], "start": "2026-03-04T15:00Z", "premium": PREMIUM}
    assert_same_bits(sweep(same, **at), sweep(one_rate, **at))


@pytest.mark.parametrize("gap_rule", ["liquidation", "stop"])
@pytest.mark.parametrize("monitoring", ["continuous", "6h"])
@pytest.mark.parametrize("contract", ["linear", "inverse"])
@pytest.mark.parametrize(
    "rule",
    [
        {"procedure": "takeover"},
        {"procedure": "takeover", "deficit": "client"},
        {"procedure": "market", "residual": "none"},
        {"procedure": "zero-equity-order", "residual": "kept"},
        {"procedure": "market", "residual": "kept", "deficit": "client"},
    ],
    ids=lambda rule: " ".join(rule.values()),
)
def test_a_fund_that_never_runs_out_is_as_good_as_none_named(rule, contract, monitoring, gap_rule):
    """With a fund named, positions are carried one by one: the second evaluator against the first, in every output."""
    settles = DailyTimes(("00:00", "12:00"))
    funding = lq.PremiumFunding("8h", interest=1e-4, clamp=5e-4, cap=3e-3, settlement=settles)
    at = {"premium": PREMIUM, "monitoring": monitoring, "gap_rule": gap_rule, "n_paths": 5000}
    venue = flat(contract, funding=funding, **rule)
    one, other = sweep(venue, **at), sweep(with_rule(venue, insurance_fund=1e12), **at)
    assert_same(one, other)
    assert float(one.shortfall.max()) > 0


def test_a_fund_of_nothing_covers_nothing():
    """By either evaluator, and nothing else depends on it; the first serves whoever is closed whole."""
    losses = [f"{name}{suffix}" for name in ("insurance_draw", "uncovered_loss") for suffix in ("", "_se")]
    for rule in ({"procedure": "takeover"}, {"procedure": "incremental", "residual": "kept", "step_fraction": 0.3}):
        at = {"gap_rule": "stop", "monitoring": "6h"}
        one, other = sweep(flat(**rule, insurance_fund=0.0), **at), sweep(flat(**rule), **at)
        assert float(abs(one.insurance_draw).max()) < ROUNDING
        assert float(one.shortfall.max()) > 0
        np.testing.assert_array_equal(one.uncovered_loss, one.shortfall)
        np.testing.assert_array_equal(one.uncovered_loss_se, one.shortfall_se)
        assert_same_bits(one.drop_vars(losses), other.drop_vars(losses))


def test_a_position_that_is_taken_over_whole_shares_its_paths_records():
    """The venue cuts and takes a fee in higher tiers only; below them it makes no difference that it would."""
    tiers = WholePositionTiers(tiers=[(0, 1e6, 0.01, 50), (1e6, 2e6, 0.02, 25), (2e6, None, 0.03, 20)])
    rule = Liquidation("tier-down", "kept-minus-fee", fee_rate=0.005, steps_from_tier=3)
    small = dataclasses.replace(flat(), margin=tiers, liquidation=rule)
    at = {"notional": 1e5, "leverage": [3, 10, 40], "stop": STOPS}
    assert [liquidation_terms(small, notional, 6e4, 0.0)["carries"] for notional in (1e5, 1e6)] == [False, True]
    taken_over = dataclasses.replace(small, liquidation=Liquidation("takeover"))
    assert_same_bits(sweep(small, **at), sweep(taken_over, **at))
    followed = dataclasses.replace(small, liquidation=dataclasses.replace(rule, insurance_fund=1e12))
    assert_same(sweep(small, **at), sweep(followed, **at))


STEEP = [(0, 4e4, 0.004, 125), (4e4, 8e4, 0.008, 80), (8e4, 1.2e5, 0.016, 55), (1.2e5, None, 0.019, 50)]


def test_no_cooldown_is_a_cooldown_of_no_time():
    venue = Venue.from_tiers(STEEP, funding=lq.FixedFunding(1e-3, "8h"))
    at = {"notional": 1.1e5, "premium": PREMIUM}
    cut = {"procedure": "incremental", "residual": "kept", "step_fraction": 0.2}
    bare, none, long = (
        sweep(dataclasses.replace(venue, liquidation=Liquidation(**cut, cooldown=seconds)), **at)
        for seconds in (None, 0.0, 30 * 86_400.0)
    )
    assert_same_bits(bare, none)
    assert float((long.closed_share - bare.closed_share).max()) > 0.05  # whose second order is always for the rest
    np.testing.assert_array_equal(long.p_liquidation, bare.p_liquidation)


def spot(hazard, **changes):
    margin = FlatLeverage(max_leverage=5.0, liquidation_level=0.4, call_level=0.8)
    rule = Liquidation("discretionary", "kept", "client", hazard=hazard)
    return Venue("spot", "spot", "spot", Contract("linear"), margin, None, Fees(0.0, 0.0), rule, **changes)


def spot_level(side, share, leverage):
    """Price ratio at which equity is a share of the used margin, which is that of the coin for a short."""
    if side == "long":
        return 1 - (1 - share) / leverage
    return (1 + 1 / leverage) / (1 + share / leverage)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["long", "short"])
def test_discretion_lies_between_the_two_levels(side):
    """Never used, the venue closes at 40 %; used all the time, at 80 %; and the more often, the more are closed."""
    model, at = lq.GBM(1.5), {"leverage": 4.0, "stop": math.inf, "side": side, "horizon": "1D"}
    never = sweep(spot(0.0), model, **at)
    market = dataclasses.replace(spot(0.0), liquidation=Liquidation("market", "kept", "client"))
    assert_same_bits(never, sweep(market, model, **at))
    exact = [lq.analytic.first_passage_probability(model, spot_level(side, s, 4.0), "1D") for s in (0.4, 0.8)]
    assert_agrees(never.p_liquidation.item(), never.p_liquidation_se.item(), exact[0], "never")
    sometimes = [sweep(spot(hazard), model, **at).p_liquidation.item() for hazard in (1.0, 10.0)]
    assert exact[0] < sometimes[0] < sometimes[1] < exact[1]
    always = sweep(spot(2e4), model, **at, n_paths=4000)
    assert_agrees(always.p_liquidation.item(), always.p_liquidation_se.item(), exact[1], "always")


# Funding and charges


def test_a_basis_of_nothing_is_no_funding():
    assert_same_bits(sweep(flat(funding=BasisCarry(0.0))), sweep(flat()))


def test_a_change_of_interval_that_never_comes_changes_nothing():
    rule = {"interval": "8h", "interest": 1e-4, "clamp": 5e-4}
    one = flat(funding=lq.PremiumFunding(**rule))
    other = flat(funding=lq.PremiumFunding(**rule, changes=(("40D", "1h"),)))
    assert_same_bits(sweep(one, premium=PREMIUM), sweep(other, premium=PREMIUM))


def test_deferred_funding_costs_the_same_where_nobody_is_liquidated():
    """Only the balance sees it later: whoever is stopped or open at the horizon has paid all that has accrued."""
    rule = {"interval": "1h", "scale": 0.125, "smoothing": 0.25}
    later = DailyTimes(("00:00", "13:00"))
    at = {"premium": PREMIUM, "leverage": 0.02, "horizon": ["2D", "3D"], "start": "2026-03-04", "model": GBM}
    at_once = sweep(flat(funding=lq.PremiumFunding(**rule)), **at)
    assert float(at_once.p_liquidation.max()) == 0
    assert float(abs(at_once.funding_cost).min()) > 1e-5
    assert_same(at_once, sweep(flat(funding=lq.PremiumFunding(**rule, settlement=later)), **at))


def test_a_rollover_costs_what_it_says():
    """Opened, and again every four hours: seven times in 30 hours, eight in 32."""
    rule = Rollover(2.5e-4, 1e-4, 2e-4, 3e-4)
    at = {"leverage": 0.02, "stop": math.inf, "horizon": ["30h", "32h", "3h"], "n_paths": 1000}
    ds = sweep(flat(funding=rule), **at).squeeze()
    np.testing.assert_allclose(ds.funding_cost.sel(side="long"), [19.5e-4, 22e-4, 2e-4], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(ds.funding_cost.sel(side="short"), [10e-4, 11e-4, 3e-4], rtol=0, atol=ROUNDING)
    for side in ("long", "short"):
        costs = [rule.cost(side, horizon) for horizon in ("30h", "32h", "3h")]
        np.testing.assert_allclose(ds.funding_cost.sel(side=side), costs, rtol=0, atol=ROUNDING)


# The calendar

CALM = lq.GBM(1e-6)


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(
    ("start", "hours"),
    [
        ("2026-03-04T15:00Z", 6.0),  # 10:00 in New York
        ("2026-03-09T15:00Z", 5.0),  # 11:00: summer time has begun the day before
        ("2026-10-31T19:00Z", 1.0),
        ("2026-11-01T19:00Z", 2.0),  # and has ended
    ],
)
def test_an_account_fully_used_intraday_fails_at_four_in_new_york(start, hours, side, share):
    """With no price move: what is asked for jumps to two and a half or three times as much."""
    bip = load_venue("coinbase-bip").assume(maintenance_share=share)
    at = {"model": CALM, "stop": [0.01, math.inf], "start": start, "horizon": "1D", "n_paths": 500}
    overnight = {"long": 4.05, "short": 3.25}[side]
    ds = sweep(bip, leverage=[overnight, 9.9], side=side, **at).squeeze()
    np.testing.assert_array_equal(ds.p_liquidation, [[0, 0], [1, 1]])
    np.testing.assert_allclose(ds.exit_time, [[1, 1], [hours / 24] * 2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ds.pnl, -ds.fees, rtol=0, atol=1e-6)
    with pytest.raises(lq.errors.MarginRuleError, match=r"leverage=9\.9 exceeds"):
        sweep(bip, leverage=9.9, side=side, **{**at, "start": "2026-03-04T22:00Z"})


WEEKEND = (Closure("Fri 16:00", "Sun 17:00", "America/Chicago"),)


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        ("2026-02-06T22:30Z", 48.5),  # half past four in Chicago, in each case
        ("2026-03-06T22:30Z", 47.5),  # summer time begins on the Sunday
        ("2026-10-30T21:30Z", 49.5),  # or ends
    ],
)
@pytest.mark.parametrize("procedure", ["takeover", "incremental"])
def test_nothing_happens_until_trading_resumes(procedure, start, hours):
    """Whatever the price does over a weekend, stops and liquidations are done at the price of the reopening."""
    model = lq.GBM(1.5)
    rule = {"residual": "kept"} if procedure == "incremental" else {}
    venue = dataclasses.replace(flat(procedure=procedure, **rule), closures=WEEKEND)
    at = {"model": model, "start": start, "leverage": 5.0, "stop": [0.05, math.inf], "side": "long"}
    closed = sweep(venue, horizon="47h", **at)
    assert float(closed.p_liquidation.max()) == float(closed.p_stop.max()) == 0.0
    np.testing.assert_allclose(closed.exit_time, 47 / 24, rtol=0, atol=1e-6)
    opened = sweep(venue, horizon=f"{hours}h", n_paths=100_000, **at).squeeze()
    np.testing.assert_allclose(opened.exit_time, hours / 24, rtol=0, atol=1e-6)
    years = hours / 24 / 365
    law = norm(model.log_drift * years, model.sigma * math.sqrt(years))
    dead, stopped = law.cdf(math.log(0.8 / 0.99)), law.cdf(math.log(0.95))
    for stop, p_stop in ((0.05, stopped - dead), (math.inf, 0.0)):
        cell = opened.sel(stop=stop)
        assert_agrees(cell.p_liquidation, cell.p_liquidation_se, dead, "liquidated")
        if p_stop:
            assert_agrees(cell.p_stop, cell.p_stop_se, p_stop, "stopped")
        else:
            assert cell.p_stop.item() == 0.0
    fee = 5e-4 if rule else 0.0  # of selling, where the engine does not take over: the loss beyond 80 is a put
    strike, moved = math.log(0.8 / (1 - fee)), model.sigma * math.sqrt(years)
    put = 0.8 * norm.cdf(strike, law.mean(), moved) - (1 - fee) * norm.cdf(strike, law.mean() + moved**2, moved)
    assert_agrees(opened.shortfall[0], opened.shortfall_se[0], put, "beyond the margin")


def test_a_closed_horizon_is_the_same_alone_and_in_a_list():
    venue = dataclasses.replace(flat(), closures=WEEKEND)
    listed = sweep(venue, GBM, start="2026-02-06T20:30Z", horizon=["40h", "3D"])
    alone = sweep(venue, GBM, start="2026-02-06T20:30Z", horizon="40h")
    assert_same_bits(alone, listed.isel(horizon=0))


def test_margin_is_not_tested_nor_anything_closed_while_trading_is_halted():
    """A test at three on Saturday is left out; a close that falls due then waits until four, when trading resumes."""
    halted = dataclasses.replace(future(deadline="1D"), closures=(Closure("Sat 02:00", "Sat 04:00"),))
    at = {**FUTURE, "start": "2026-03-06T12:00Z", "stop": math.inf, "model": lq.GBM(3.0), "leverage": 3.8}
    tested = dataclasses.replace(halted, margin_times=DailyTimes(("03:00",), weekdays=("Sat",)))
    assert sweep(tested, horizon="30h", **at).p_margin_call.max().item() == 0.0
    called = dataclasses.replace(halted, margin_times=DailyTimes(("21:00",), weekdays=("Fri",)))
    ds = sweep(with_rule(called, deadline="6h"), horizon="30h", **at).squeeze()  # due at three
    assert ds.p_liquidation.min().item() > 0.1
    closed_after = (ds.exit_time - (1 - ds.p_liquidation) * 30 / 24) / ds.p_liquidation
    np.testing.assert_allclose(closed_after, 16 / 24, rtol=0, atol=1e-6)
