"""The five named venues in a sweep, each by its own rules: long and short, small, mid-tier and top-tier."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm

import liqsim as lq
from liqsim.errors import MarginRuleError
from liqsim.venues import load_venue

PRICE = 60_000.0
START = "2026-03-04T22:00Z"  # a Wednesday, 16:00 in Chicago and 17:00 in New York
N = 20_000
FIRST = (1e4, 1e6, 2e7)  # where the rules know no tiers

# What no source gives is assumed: Coinbase liquidates at 80 % of the initial margin, the fee on Kraken's partial
# liquidations is 0.5 % and that of Deribit's linear contracts the 0.75 % of the inverse ones, Kraken's spot fee is
# 0.26 % and it uses its discretion every other day.
VENUES = {
    "cme-mbt": (load_venue("cme-mbt"), FIRST),
    "coinbase-bip": (load_venue("coinbase-bip").assume(maintenance_share=0.8), FIRST),
    "kraken-pf": (load_venue("kraken-pf-xbtusd").assume(fee_rate=0.005), (1e5, 4e6, 8e7)),
    "kraken-pf, all at once": (load_venue("kraken-pf-xbtusd", "2026-03-01"), (1e5, 4e6, 8e7)),
    "kraken-pi": (load_venue("kraken-pi-xbtusd"), (1e5, 4e6, 6e7)),
    "kraken-spot": (load_venue("kraken-spot-xbtusd").assume(taker=0.0026, hazard=0.5), FIRST),
    "bitmex": (load_venue("bitmex-xbtusd"), (1e5, 6e7, 1.79e9)),  # 1.7, 1 000 and 29 833 BTC: tiers 1, 7 and 199
    "deribit": (load_venue("deribit-btc-perpetual"), FIRST),
    "deribit, linear": (load_venue("deribit-btc_usdc").assume(fee_rate=0.0075), FIRST),
}
GROWS = ("kraken-pf", "kraken-pf, all at once", "kraken-pi", "bitmex", "deribit", "deribit, linear")
PARTIAL = ("kraken-pf", "deribit", "deribit, linear")
CASES = [(name, k) for name in VENUES for k in range(3)]


def window_of(venue):
    return "overnight" if hasattr(venue.margin, "windows") else None


def highest(venue, side, notional):
    """What the venue allows, and what of that is not liquidated at once."""
    window = window_of(venue)
    allowed = float(venue.max_leverage(notional, PRICE, side, window))
    quantity = float(venue.contract.quantity(notional, PRICE))
    required = float(venue.pieces(quantity, PRICE, side, leverage=allowed, window=window)(np.ones(1))[0])
    return allowed, min(allowed, 0.999 / required)


def model_for(venue, side, notional, leverage, days):
    """A price whose standard deviation over some days is the distance to the liquidation price."""
    price = lq.liquidation_price(
        venue, side, entry_price=PRICE, quantity=float(venue.contract.quantity(notional, PRICE)), leverage=leverage,
        window=window_of(venue),
    )  # fmt: skip
    return lq.GBM(sigma=abs(math.log(price / PRICE)) / math.sqrt(days / 365))


def sweep(model, venue, **changes):
    arguments = {"price": PRICE, "horizon": "2D", "start": START, "n_paths": N, "seed": 9, **changes}
    return lq.sweep(model, venue, **arguments)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(("name", "k"), CASES)
def test_every_venue_runs_by_its_own_rules(name, k, side):
    venue, sizes = VENUES[name]
    notional = sizes[k]
    allowed, top = highest(venue, side, notional)
    model = model_for(venue, side, notional, 0.9 * top, 2)
    with pytest.raises(MarginRuleError, match="exceeds"):
        sweep(model, venue, leverage=1.001 * allowed, side=side, notional=notional)
    leverage = [0.5 * top, 0.9 * top, 0.999 * top]
    ds = sweep(model, venue, leverage=leverage, stop=[0.1, math.inf], side=side, notional=notional).squeeze("side")
    counts = sum((N * ds[outcome]).round() for outcome in ("p_liquidation", "p_stop", "p_survival"))
    assert (counts == N).all()
    for variable in set(ds.data_vars) - {"liquidation_price", "bankruptcy_price"}:  # a short in coin may have none
        assert np.isfinite(ds[variable]).all(), variable
    value = venue.contract.value(venue.contract.quantity(notional, PRICE), PRICE)
    np.testing.assert_allclose(ds.initial_margin, value / np.array(leverage), rtol=1e-12)

    cell = ds.isel(leverage=1).sel(stop=math.inf)
    assert cell.p_liquidation > 0.05
    assert (cell.p_partial > 0) == (name in PARTIAL or (name == "bitmex" and k > 0))
    assert (cell.p_margin_call > 0) == (name == "cme-mbt")
    if name != "bitmex" or k == 0:  # a larger position at BitMEX is cut by tiers, and taken over in the lowest
        assert (cell.engine_kept > 0) == (name in PARTIAL or name == "bitmex")
        assert (cell.returned > 1e-9) == (name != "bitmex")
    if venue.liquidation.deficit == "client":
        assert cell.insurance_draw == cell.uncovered_loss == 0
    else:
        assert cell.client_debit == 0


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(("name", "k"), [(name, k) for name, k in CASES if name != "cme-mbt"])
def test_the_first_act_is_the_first_passage_of_the_liquidation_price(name, k, side):
    """Without funding and halts, and no discretion: the venue watches all the time, and its margin window holds."""
    venue, sizes = VENUES[name]
    bare = dataclasses.replace(venue, funding=None, closures=())
    if name == "kraken-spot":
        bare = dataclasses.replace(bare, liquidation=dataclasses.replace(bare.liquidation, hazard=0.0))
    _, top = highest(bare, side, sizes[k])
    model = model_for(bare, side, sizes[k], 0.8 * top, 0.5)
    ds = sweep(model, bare, leverage=[0.7 * top, 0.9 * top], side=side, notional=sizes[k], horizon="12h").squeeze()
    exact = lq.analytic.first_passage_probability(model, ds.liquidation_price.values / PRICE, "12h")
    for i in range(2):
        se = max(float(ds.p_liquidation_se[i]), math.sqrt(exact[i] * (1 - exact[i]) / N))
        assert abs(float(ds.p_liquidation[i]) - exact[i]) < 4 * se, (float(ds.p_liquidation[i]), exact[i])
    assert exact[1] > 0.05


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("notional", FIRST)
def test_cme_calls_for_margin_at_the_close(notional, side):
    """Of the price at the next day's close; whoever is called has a day, and is closed out at the next close."""
    venue = dataclasses.replace(VENUES["cme-mbt"][0], funding=None)
    _, top = highest(venue, side, notional)
    model = model_for(venue, side, notional, 0.95 * top, 1)
    at = {"model": model, "leverage": 0.95 * top, "side": side, "notional": notional}
    ds = sweep(venue=venue, horizon=["25h", "47h", "2D"], **at).squeeze()
    sign, years = (1 if side == "long" else -1), 1 / 365
    level = math.log(float(ds.liquidation_price) / PRICE) - model.log_drift * years
    exact = norm.cdf(sign * level / (model.sigma * math.sqrt(years)))
    called = ds.p_margin_call.values
    assert abs(called[0] - exact) < 4 * math.sqrt(exact * (1 - exact) / N)
    assert ds.p_liquidation.values[:2].max() == 0.0
    closed = float(ds.p_liquidation[2])
    assert 0.6 * exact < closed < called[0] + 4 * math.sqrt(exact / N)  # unless initial margin is covered again by then
    paid = sweep(venue=venue, horizon="2D", top_up=1000.0, **at).squeeze()
    assert paid.p_liquidation == 0.0
    assert paid.topped_up > 0.0


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("name", VENUES)
def test_larger_positions_are_liquidated_sooner_where_tiers_say_so(name, side):
    venue, sizes = VENUES[name]
    if name == "bitmex":  # at the leverage of its last tier a short in coin could not be liquidated in the first
        sizes = (*sizes[:2], 3e8)
    leverage = 0.9 * min(highest(venue, side, notional)[1] for notional in sizes)
    model = model_for(venue, side, sizes[1], leverage, 2)
    ds = sweep(model, venue, leverage=leverage, side=side, notional=list(sizes)).squeeze()
    if name in GROWS:
        assert (ds.p_liquidation.diff("notional") > 0).all()
        assert ((ds.liquidation_price.diff("notional") > 0) == (side == "long")).all()
        if name in ("kraken-pf, all at once", "kraken-pi"):  # elsewhere what is left of a position lives on
            assert (ds.exit_time.diff("notional") < 0).all()
    else:
        for variable in ("p_liquidation", "exit_time", "pnl", "fees", "returned", "shortfall"):
            np.testing.assert_allclose(ds[variable], ds[variable][0], rtol=1e-9, atol=1e-9, err_msg=variable)
