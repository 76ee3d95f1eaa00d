"""The distribution of the loss beyond the margin against Kou's exponential overshoot, and against the exact sums."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import optimize

import liqsim as lq
from liqsim.analytic import overshoot_probability

INF = math.inf
SEED = 20261127
BOUND = 4.0
N = 200_000
RATE = 0.005
KOU = lq.Kou(sigma=0.6, intensity=120, p_up=0.45, eta_up=45, eta_down=40)
WILD = lq.Kou(sigma=0.8, intensity=60, p_up=0.5, eta_up=6, eta_down=4)
PROCEDURES = {
    "taken over": lq.Liquidation(),
    "rest returned": lq.Liquidation("zero-equity-order", "kept"),
    "client owes": lq.Liquidation("zero-equity-order", "kept", "client"),
    "taken over, client owes": lq.Liquidation(deficit="client"),
    "fund runs out": lq.Liquidation(insurance_fund=1.0),  # carried one by one
}
OUTPUTS = ["p_shortfall_above", "shortfall_beyond", "shortfall_quantile", "p_shortfall"]


def assert_agrees(estimate, se, exact, what):
    z = (float(estimate) - float(exact)) / float(se)
    assert abs(z) < BOUND, f"{what}: {float(estimate)} against {float(exact)}, z = {z:.2f}"


def venue(procedure, contract="linear"):
    plain = lq.Venue.from_tiers([(0, 1e9, RATE, 100)], contract=contract)
    return dataclasses.replace(plain, liquidation=PROCEDURES[procedure])


class Law:
    """Of the shortfall of a position without funding and fees: a jump takes it through its level beyond bankruptcy."""

    def __init__(self, side, leverage, contract="linear", stop=INF, horizon="7D"):
        turn = 1.0 if (side == "long") != (contract == "inverse") else -1.0  # of the value ratio, with the profit
        self.margin, self.turn, self.inverse = 1.0 / leverage, turn, contract == "inverse"
        level = self.price((1.0 - turn * self.margin) / (1.0 - turn * RATE))
        nearest = max if side == "long" else min
        self.level = nearest(level, 1.0 - stop if side == "long" else 1.0 + stop) if stop < INF else level
        self.passed = overshoot_probability(KOU, self.level, self.level, horizon)
        self.power = KOU.eta_down if side == "long" else -KOU.eta_up

    def price(self, ratio):
        return 1.0 / ratio if self.inverse else ratio

    def above(self, k):
        """``P(shortfall >= k)``: how far a jump lands beyond the level has no memory of where it came from."""
        landing = self.price(1.0 - self.turn * (self.margin + k))
        return self.passed * (landing / self.level) ** self.power

    def beyond(self, k):
        """``E[(shortfall - k)^+]``."""
        most = 1.0 - self.margin - 1e-9 if self.turn > 0 else 6.0  # the price cannot fall below 0
        nodes, weights = np.polynomial.legendre.leggauss(300)
        half = 0.5 * (most - k)
        return half * weights @ self.above(k + half * (1.0 + nodes))

    def quantile(self, p):
        """Of the paths that have a shortfall."""
        some = self.above(0.0)
        return optimize.brentq(lambda k: self.above(k) - (1.0 - p) * some, 0.0, 0.7)


def assert_follows(cell, law, what):
    for k in (0, 5, 20, 60, 110, 150, 180):
        here = cell.isel(shortfall_level=k)
        level = float(here.shortfall_level)
        exact = law.above(level)
        if exact * N > 10:
            assert_agrees(here.p_shortfall_above, here.p_shortfall_above_se, exact, f"{what}: above {level:.3g}")
    for k in (0, 60, 130):
        here = cell.isel(shortfall_level=k)
        level = float(here.shortfall_level)
        assert_agrees(here.shortfall_beyond, here.shortfall_beyond_se, law.beyond(level), f"{what}: beyond {level:.3g}")
    for p in cell["quantile"].values:
        here = cell.sel(quantile=p)
        assert_agrees(here.shortfall_quantile, here.shortfall_quantile_se, law.quantile(p), f"{what}: quantile {p}")


@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("side", ["long", "short"])
def test_whoever_bears_it(procedure, side):
    """Liquidated by a jump, with and without a stop that the jump passes too."""
    ds = lq.sweep(
        KOU, venue(procedure), leverage=[10, 25], stop=[0.025, INF], side=side, horizon="7D", n_paths=N, seed=SEED,
        outputs=OUTPUTS, quantiles=[0.1, 0.5, 0.9],
    ).squeeze()  # fmt: skip
    for leverage, stop in ((10, INF), (25, INF), (25, 0.025)):
        cell = ds.sel(leverage=leverage, stop=stop)
        assert_follows(cell, Law(side, leverage, stop=stop), f"{leverage}x, stop {stop}")


@pytest.mark.parametrize("procedure", ["taken over", "client owes", "fund runs out"])
def test_stops_that_a_jump_fills_beyond_bankruptcy(procedure):
    """Where the stop comes first, the trader still loses no more than the margin: the rest is a shortfall."""
    ds = lq.sweep(
        KOU, venue(procedure), leverage=[8, 20, 25], stop=[0.02, 0.03], side=["long", "short"], gap_rule="stop",
        horizon="7D", n_paths=N, seed=SEED, outputs=OUTPUTS, quantiles=[0.2, 0.8],
    )  # fmt: skip
    for side in ("long", "short"):
        for leverage in (8, 25):
            cell = ds.sel(side=side, leverage=leverage, stop=0.02)
            assert_follows(cell, Law(side, leverage, stop=0.02), f"{side} {leverage}x")


@pytest.mark.parametrize("procedure", ["taken over", "fund runs out"])
def test_inverse_contracts(procedure):
    ds = lq.sweep(
        KOU, venue(procedure, "inverse"), leverage=[10, 25], side=["long", "short"], horizon="7D", n_paths=N, seed=SEED,
        outputs=OUTPUTS, quantiles=[0.1, 0.9],
    ).squeeze()  # fmt: skip
    for side in ("long", "short"):
        assert_follows(ds.sel(side=side, leverage=25), Law(side, 25, "inverse"), side)


SHIPPED = {
    "deribit-btc-perpetual": {},  # cut in rounds
    "bitmex-xbtusd": {},
    "cme-mbt": {},  # called for margin; the client owes
    "coinbase-etp": {"margin.maintenance_share": 0.6},
}


def costly(name):
    """Rules with fees and funding, some of which carry positions."""
    if name in SHIPPED:
        return lq.load_venue(name).assume(SHIPPED[name]) if SHIPPED[name] else lq.load_venue(name)
    plain = lq.Venue.from_tiers([(0, 1e9, RATE, 100)], taker_fee=5e-4, funding=lq.FixedFunding(3e-4, "8h"))
    return dataclasses.replace(plain, liquidation=PROCEDURES[name])


@pytest.mark.parametrize("gap_rule", ["liquidation", "stop"])
@pytest.mark.parametrize("name", [*PROCEDURES, *SHIPPED])
def test_bins_hold_what_the_sums_hold(name, gap_rule):
    """At level 0 the probability is that of a shortfall, and the mean and its error are those of the exact sums."""
    ds = lq.sweep(
        WILD, costly(name), leverage=[1.5, 2, 2.9], stop=[0.02, 0.1, INF], horizon=["2D", "12D"], notional=60_000,
        n_paths=3000, seed=SEED, gap_rule=gap_rule, outputs=OUTPUTS,
    )  # fmt: skip
    first = ds.isel(shortfall_level=0)
    np.testing.assert_array_equal(first.p_shortfall_above, ds.p_shortfall)
    np.testing.assert_array_equal(first.p_shortfall_above_se, ds.p_shortfall_se)
    assert (ds.p_shortfall > 0).any()
    np.testing.assert_allclose(first.shortfall_beyond, ds.shortfall, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(first.shortfall_beyond_se, ds.shortfall_se, rtol=1e-6, atol=1e-9)
    assert (ds.p_shortfall_above.diff("shortfall_level") <= 0).all()
    assert (ds.shortfall_beyond.diff("shortfall_level") <= 1e-15).all()


def test_what_a_fund_does_not_cover():
    """The part beyond the fund, at a level that is the fund over the notional."""
    ds = lq.sweep(
        KOU, venue("fund runs out"), leverage=[10, 25], stop=[0.03, INF], horizon="7D", n_paths=5000, seed=SEED,
        outputs="shortfall_beyond", notional=1024 / 31,
    )  # fmt: skip
    left = ds.sel(shortfall_level=31 / 1024)
    assert (left.shortfall_beyond > 0).any()
    np.testing.assert_allclose(left.shortfall_beyond, ds.uncovered_loss, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(left.shortfall_beyond_se, ds.uncovered_loss_se, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_coverage():
    """Over 500 seeds, 95 % intervals cover 95 %, give or take their noise, where 1,000 paths have a shortfall."""
    law = Law("long", 20, horizon="3D")
    runs = [
        lq.sweep(
            KOU, venue("taken over"), leverage=20, side="long", horizon="3D", n_paths=20_000, seed=seed, threads=1,
            outputs=OUTPUTS, quantiles=[0.25, 0.75],
        ).squeeze().isel(shortfall_level=[0, 60, 110])
        for seed in range(500)
    ]  # fmt: skip
    levels = runs[0].shortfall_level.values
    noise = BOUND * math.sqrt(0.05 * 0.95 / len(runs))
    shares = {}
    for name, of in (("p_shortfall_above", law.above), ("shortfall_beyond", law.beyond)):
        for level in levels:
            shares[name, float(level)] = covered(runs, name, of(level), shortfall_level=level)
    for p in (0.25, 0.75):
        shares["shortfall_quantile", p] = covered(runs, "shortfall_quantile", law.quantile(p), quantile=p)
    assert all(abs(share - 0.95) < noise for share in shares.values()), shares


def covered(runs, name, exact, **where):
    values, errors = (np.array([float(ds[key].sel(where)) for ds in runs]) for key in (name, f"{name}_se"))
    return np.mean(np.abs(values - exact) < 1.96 * errors)
