"""What must hold for the margin rules of every schedule, contract, side and margin mode."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import liqsim as lq
from liqsim.positions import maintenance_margin, unrealised_pnl
from liqsim.venues import Contract, Fees, FlatLeverage, Liquidation, Venue, WholePositionTiers, WindowedRates

sys.path.insert(0, str(Path(__file__).resolve().parent))

from strategies import PRICE, contracts, highest_leverage, schedules, sides

many = settings(max_examples=150, deadline=None)


@st.composite
def venues(draw):
    """A venue and the notional around which its tiers lie."""
    kind = draw(contracts)
    notional = draw(st.floats(1e3, 3e6))
    contract = Contract(kind, multiplier=0.1 if kind == "linear" else 1.0)
    return Venue("drawn", "drawn", "drawn", contract, draw(schedules(contract, notional))), notional


def terms_of(venue, notional, **more):
    """Arguments of the price functions."""
    terms = {"entry_price": PRICE, "quantity": float(venue.contract.quantity(notional, PRICE)), **more}
    return terms | ({"window": "night"} if isinstance(venue.margin, WindowedRates) else {})


def top_leverage(venue, notional):
    """The highest that can be opened in the strictest window."""
    if isinstance(venue.margin, WindowedRates):
        return 1.0 / max(window.rate(side) for window in venue.margin.windows for side in ("long", "short"))
    return highest_leverage(venue, notional, None)


def is_nearer(side, one, other):
    """Whether a price against the position of ``side`` is not further from entry than another."""
    return one >= other if side == "long" else one <= other


@many
@given(venues(), sides, st.floats(0.02, 1.0), st.floats(0.5, 0.99))
def test_liquidation_moves_toward_the_entry_with_leverage(found, side, share, less):
    venue, notional = found
    top = share * top_leverage(venue, notional)
    near, far = lq.liquidation_price(venue, side, leverage=np.array([top, less * top]), **terms_of(venue, notional))
    assert is_nearer(side, PRICE, near)
    assert is_nearer(side, near, far)
    if not isinstance(venue.margin, WholePositionTiers) and 0.0 < far < math.inf:
        assert near != far


@many
@given(venues(), sides, st.floats(0.02, 1.0))
def test_bankruptcy_lies_beyond_liquidation_and_uses_up_the_margin(found, side, share):
    venue, notional = found
    terms = terms_of(venue, notional, leverage=share * top_leverage(venue, notional))
    liquidation, bankruptcy = (price(venue, side, **terms) for price in (lq.liquidation_price, lq.bankruptcy_price))
    assert is_nearer(side, liquidation * (1 + 1e-12 if side == "long" else 1 - 1e-12), bankruptcy)
    if 0.0 < bankruptcy < math.inf:
        lost = unrealised_pnl(venue, side, entry_price=PRICE, price=bankruptcy, quantity=terms["quantity"])
        assert -lost == pytest.approx(lq.initial_margin(venue, side, **terms), rel=1e-9)


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@many
@given(
    found=venues(), side=sides, wallet=st.floats(0.05, 0.9), leverage=st.floats(1.0, 5.0), paid=st.floats(-0.02, 0.02),
    others=st.tuples(st.floats(-0.1, 0.1), st.floats(0.0, 0.1)),
)  # fmt: skip
def test_equity_at_the_liquidation_price_is_the_requirement(mode, found, side, wallet, leverage, paid, others):
    venue, notional = found
    terms = terms_of(venue, notional)
    value = float(venue.contract.value(terms["quantity"], PRICE))
    kept = {"leverage": leverage} if isinstance(venue.margin, FlatLeverage) else {}
    pnl, maintenance = np.array(others) * value if mode == "cross" else (0.0, 0.0)
    account = {"margin": wallet * value, "funding_paid": paid * value, "margin_mode": mode}
    if mode == "cross":
        account |= {"other_pnl": pnl, "other_maintenance": maintenance}

    def equity(price):
        made = unrealised_pnl(venue, side, entry_price=PRICE, price=price, quantity=terms["quantity"])
        return wallet * value - paid * value + pnl - maintenance + made

    def requirement(price):
        return maintenance_margin(venue, side, price=price, **terms, **kept)

    assume(equity(PRICE) > requirement(PRICE))
    price = lq.liquidation_price(venue, side, **terms, **kept, **account)
    assume(PRICE / 20 < price < PRICE * 20)
    if isinstance(venue.margin, WholePositionTiers):  # it may jump there: covered just before, not just after
        step = -1e-9 if side == "long" else 1e-9
        assert equity(price * (1 - step)) >= requirement(price * (1 - step)) * (1 - 1e-7)
        assert equity(price * (1 + step)) <= requirement(price * (1 + step)) * (1 + 1e-7)
    else:
        assert equity(price) == pytest.approx(requirement(price), rel=1e-9)


@many
@given(venues(), sides, st.floats(0.1, 3.0), st.floats(1.0, 1.5), st.floats(1.0, 5.0))
def test_maintenance_grows_with_size_and_jumps_only_where_a_tier_holds_for_the_whole(found, side, size, more, leverage):
    """At every cap, and anywhere; from one unit to the next the requirement per unit never falls, either."""
    venue, notional = found
    kept = {"leverage": leverage} if isinstance(venue.margin, FlatLeverage) else {}
    quantity = size * terms_of(venue, notional)["quantity"]

    def requirement(amount):
        window = {"window": "night"} if isinstance(venue.margin, WindowedRates) else {}
        return maintenance_margin(venue, side, price=PRICE, quantity=amount, **kept, **window)

    assert requirement(quantity) <= requirement(quantity * more) * (1 + 1e-12)
    assert requirement(quantity) * more <= requirement(quantity * more) * (1 + 1e-12)
    caps = getattr(venue.margin, "caps", np.array([math.inf]))[:-1]
    per_size = float(venue.contract.size(1.0, PRICE, venue.margin.unit))
    for cap in caps / per_size:
        below, above = requirement(cap * (1 - 1e-9)), requirement(cap * (1 + 1e-9))
        if isinstance(venue.margin, WholePositionTiers):
            k = int(np.argmin(abs(venue.margin.caps[:-1] / per_size - cap)))
            fee, rates = venue.margin.closing_fee_rate, venue.margin.rates
            assert above / below == pytest.approx((rates[k + 1] + fee) / (rates[k] + fee), rel=1e-8)
        else:
            assert above == pytest.approx(below, rel=1e-6)


# A tier of 1 % up to 100 000 and one of 20 % beyond, on the whole position at the mark price.
STEEP = Venue(
    "steep", "steep", "steep", Contract("linear"),
    WholePositionTiers(tiers=[(0, 1e5, 0.01, 50), (1e5, None, 0.2, 4)]), fees=Fees(0.0, 0.0),
    liquidation=Liquidation("market", "kept"),
)  # fmt: skip


def test_a_short_is_liquidated_by_the_tier_that_it_grows_into():
    """90 000 with a quarter of margin: 22 500 - 10 000 = 12 500 is left where 1 000 are asked for below 100 000, and
    20 000 above. In the first tier alone it would have lived to 60 000 * 1.25 / 1.01."""
    at = {"entry_price": 60_000.0, "quantity": 1.5, "leverage": 4.0}
    price = lq.liquidation_price(STEEP, "short", **at)
    assert price == pytest.approx(60_000 / 0.9, rel=1e-12)
    low = Venue.from_tiers([(0, None, 0.01, 50)])
    assert lq.liquidation_price(low, "short", **at) == pytest.approx(60_000 * 1.25 / 1.01, rel=1e-12)
    model = lq.GBM(0.9)
    ds = lq.sweep(model, STEEP, leverage=4.0, side="short", notional=9e4, horizon="5D", n_paths=100_000, seed=4)
    exact = lq.analytic.first_passage_probability(model, 1 / 0.9, "5D")
    assert abs(ds.p_liquidation.item() - exact) < 4 * ds.p_liquidation_se.item()
    returned = ds.returned.item() / ds.p_liquidation.item()  # always closed at the cap: 12 500 of 90 000
    assert returned == pytest.approx(12_500 / 90_000, abs=1e-9)


def test_a_long_in_profit_is_liquidated_by_the_tier_that_it_has_grown_into():
    """95 000 at 20 times leverage, 6 % up after a day: 4 750 + 5 700 are there, 20 % of 100 700 are asked for.

    The venue looks anew at the start of each interval, here a day; a position that stays below 100 000 lives.
    """
    for rise, liquidated in ((0.06, 1.0), (0.05, 0.0)):
        model = lq.GBM(1e-6, drift=365.0 * math.log1p(rise))
        ds = lq.sweep(model, STEEP, leverage=20.0, side="long", notional=9.5e4, horizon="1.5D", n_paths=1000).squeeze()
        assert ds.p_liquidation.item() == liquidated
        if liquidated:
            assert ds.exit_time.item() == pytest.approx(1.0, abs=1e-6)
            assert ds.returned.item() == pytest.approx((4750 + 5700) / 95_000, abs=1e-5)
            assert ds.pnl.item() == pytest.approx(0.06, abs=1e-5)
