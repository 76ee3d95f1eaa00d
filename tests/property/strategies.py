"""Models, venues and positions of every kind, for the property tests."""

import dataclasses
import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import liqsim as lq
from liqsim.engine.timeline import REFERENCE_START
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
    parse_start,
    window_switches,
)

INF = math.inf
PRICE = 60_000.0
WHOLE = {"takeover", "zero-equity-order", "market", "margin-call", "discretionary"}  # never close a part
STARTS = ["2026-03-04T15:00Z", "2026-03-06T21:30Z", "2026-10-31T23:10Z"]  # summer time begins on 03-08, ends on 11-01

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
sides = st.sampled_from(["long", "short"])
paid_on = st.sampled_from(["entry", "mark", "index"])
fundings = st.one_of(
    st.none(),
    st.builds(lq.FixedFunding, st.floats(-1e-3, 1e-3), st.sampled_from(["1h", "8h"]), paid_on),
    st.builds(
        lq.PremiumFunding,
        st.sampled_from(["3h", "8h"]),
        interest=st.floats(-1e-3, 1e-3),
        clamp=st.floats(0.0, 1e-3),
        cap=st.floats(1e-4, 1e-2),
        smoothing=st.sampled_from([0.0, 0.25]),
        change_cap=st.sampled_from([INF, 1e-3]),
        notional=paid_on,
        anchor=st.sampled_from([None, "01:00"]),
        settlement=st.sampled_from([None, DailyTimes(("00:00", "12:00"), "America/New_York")]),
        changes=st.sampled_from([(), (("10h", "1h"),)]),
    ),
    st.builds(BasisCarry, st.floats(-1.0, 1.0), st.sampled_from(["8h", "1D"]), roll_interval=st.just("10h"),
              roll_cost=st.floats(0.0, 2e-3)),
    st.builds(Rollover, *[st.floats(0.0, 5e-4)] * 4),
)  # fmt: skip
seeds = st.integers(0, 2**64 - 1)
hours = st.lists(st.integers(1, 72), min_size=1, max_size=3, unique=True).map(lambda found: [f"{h}h" for h in found])
days = st.lists(st.integers(1, 4), min_size=2, max_size=3, unique=True).map(lambda found: [f"{d}D" for d in found])
gap_rules = st.sampled_from(["liquidation", "stop"])
looks = st.sampled_from(["continuous", "continuous", "1h"])
stops = st.lists(st.floats(0.001, 0.9) | st.just(INF), min_size=1, max_size=3, unique=True)


@st.composite
def tables(draw, scale=5e5, highest=0.015):
    """Tiers that let 50 times leverage in at least; the last has no end. Their caps are of the order of ``scale``."""
    n = draw(st.integers(1, 4))
    rates = sorted(draw(st.lists(st.floats(0.001, highest), min_size=n, max_size=n)))
    caps = np.cumsum(draw(st.lists(st.floats(0.04 * scale, 2.0 * scale), min_size=n, max_size=n))).tolist()
    return [(low, high, rate, 60.0) for low, high, rate in zip([0.0, *caps], [*caps[:-1], INF], rates, strict=False)]


@st.composite
def schedules(draw, contract, notional):
    """A margin schedule in whose tiers the position, of ``notional``, may move up and down."""
    shapes = ["marginal", "whole", "linear-in-size", "windows"]  # the others are of spot loans and of futures
    shape = draw(st.sampled_from([*shapes, "flat", "per-contract"] if contract.kind == "linear" else shapes))
    fee = {"closing_fee_rate": draw(st.sampled_from([0.0, 1e-3]))}
    if shape in ("marginal", "whole"):
        unit, charged_on = draw(st.sampled_from(["quote", "base"])), draw(st.sampled_from(["mark", "entry"]))
        tiers = draw(tables(notional if unit == "quote" else notional / PRICE))
        kind = MarginalTiers if shape == "marginal" else WholePositionTiers
        return kind(tiers=tiers, unit=unit, charged_on=charged_on, **fee)
    if shape == "linear-in-size":
        slope = min(draw(st.floats(0.0, 0.02)) * PRICE / notional, 1.0)
        return LinearInSize(maintenance_base=draw(st.floats(0.002, 0.02)), initial_base=0.03, slope=slope, **fee)
    if shape == "flat":
        low = draw(st.floats(0.1, 0.6))
        call = draw(st.floats(low, 0.95))
        return FlatLeverage(
            max_leverage=draw(st.sampled_from([5.0, 20.0])), liquidation_level=low, call_level=call,
            shorts_in_base=draw(st.booleans()), **fee,
        )  # fmt: skip
    if shape == "per-contract":
        share = draw(st.floats(0.01, 0.1))
        money = share * PRICE * contract.multiplier
        return FixedPerContract(maintenance_per_contract=money, initial_ratio=1.1, **fee)
    windows = [MarginWindow("day", 0.05, 0.06, "08:00", "16:00", "America/New_York"), MarginWindow("night", 0.12, 0.15)]
    return WindowedRates(
        windows=draw(st.sampled_from([windows, windows[1:]])), maintenance_share=draw(st.floats(0.3, 1.0))
    )


@st.composite
def liquidations(draw, notional):
    """A liquidation procedure with any of its numbers given or left out."""
    procedure = draw(
        st.sampled_from(
            ["takeover", "zero-equity-order", "market", "incremental", "tier-down", "margin-call", "discretionary"]
        )
    )
    residual = draw(st.sampled_from(["none", "kept", "kept-minus-fee"]))
    rules = {"insurance_fund": draw(st.sampled_from([None, 0.0, 0.02, 1e3]))}
    if rules["insurance_fund"]:
        rules["insurance_fund"] *= notional
    if residual == "kept-minus-fee":
        rules["fee_rate"] = draw(st.sampled_from([0.0, 2e-3, 2e-2]))
    if procedure == "incremental":
        rules["step_fraction"] = draw(st.sampled_from([None, 0.1, 0.3, 1.0]))
        rules["step_threshold"] = draw(st.none() | st.floats(0.2, 1.2).map(lambda share: share * notional))
        rules["cooldown"] = draw(st.sampled_from([None, 0.0, 600.0, 7200.0]))
        rules["backstop_fraction"] = draw(st.sampled_from([None, 0.0, 0.5, 2 / 3]))
    if procedure == "tier-down":
        rules |= {"tiers_per_step": draw(st.integers(1, 2)), "steps_from_tier": draw(st.integers(2, 3))}
    if procedure == "margin-call":
        rules["deadline"] = draw(st.sampled_from(["0h", "5h", "1D", "30h"]))
        rules["immediate_below"] = draw(st.sampled_from([None, 0.0, 0.5, 0.9]))
    if procedure == "discretionary":
        rules["hazard"] = draw(st.sampled_from([0.0, 3.0, 50.0]))
    return Liquidation(procedure, residual, draw(st.sampled_from(["venue", "client"])), **rules)


@dataclass(frozen=True)
class Case:
    """A venue and a position that it allows."""

    venue: Venue
    notional: float
    leverage: list
    start: str | None
    top_up: float

    @property
    def arguments(self):
        """For ``lq.sweep``."""
        return {"leverage": self.leverage, "notional": self.notional, "price": PRICE, "start": self.start,
                "top_up": self.top_up}  # fmt: skip

    @property
    def value(self):
        """Entry value, settlement currency."""
        return self.notional if self.venue.contract.kind == "linear" else self.notional / PRICE

    @property
    def is_whole(self):
        """Whether the venue closes all or nothing."""
        return self.venue.liquidation.procedure in WHOLE

    @property
    def carries_whole(self):
        """Whether whole positions may live on after a margin call."""
        return self.venue.margin_times is not None


@st.composite
def cases(draw, starts=(None, *STARTS)):
    """A position on a venue of any kind, at up to the highest leverage that can be opened."""
    kind = draw(contracts)
    notional = draw(st.floats(1e3, 3e6))
    contract = Contract(kind, multiplier=0.1 if kind == "linear" else 1.0)
    start = draw(st.sampled_from(starts))
    margin = draw(schedules(contract, notional))
    rule = draw(liquidations(notional if kind == "linear" else notional / PRICE))
    fixed_rates = not (isinstance(margin, WindowedRates) and len(margin.windows) > 1)
    times = None
    if rule.procedure == "margin-call" or (rule.procedure == "market" and draw(st.booleans())):
        times = DailyTimes(draw(st.sampled_from([("16:00",), ("00:00", "06:00", "21:00")])), "America/Chicago")
        if not fixed_rates or isinstance(margin, FlatLeverage):
            margin = MarginalTiers(tiers=draw(tables(notional)))
    closed = (Closure("16:00", "16:30", "America/Chicago"), Closure("Fri 16:00", "Sun 17:00", "America/Chicago"))
    resets = [(), (("5h", 0.5),)]
    if not isinstance(margin, FlatLeverage):  # which cannot ask for more than was posted
        resets += [(("7h", 1.5),)] if not fixed_rates else [(("90min", 2.0), ("11h", 0.7), ("1D", 1.2))]
    venue = Venue(
        "drawn", "drawn", "drawn", contract, margin, draw(fundings),
        Fees(draw(st.floats(0.0, 1e-3)), 0.0, draw(st.sampled_from([0.0, 1.5 if kind == "linear" else 1e-4]))), rule,
        margin_times=times, closures=draw(st.sampled_from([(), closed])),
        margin_changes=draw(st.sampled_from(resets)),
    )  # fmt: skip
    top = highest_leverage(venue, notional, start)
    parts = draw(st.lists(st.integers(1, 60), min_size=1, max_size=3, unique=True))
    leverage = [top * part / 60 for part in parts]
    haircut = draw(st.sampled_from([None, 0.0, 0.07]))
    cuts = rule.procedure in ("incremental", "tier-down")
    if haircut is not None and kind == "linear" and not cuts and min(leverage) > 1.0:  # neither side is hedged by it
        venue = dataclasses.replace(venue, collateral_haircut=haircut)
        leverage = [x * venue.counted_share if x > 2.0 else x for x in leverage]
    return Case(venue, notional, leverage, start, draw(st.sampled_from([0.0, 0.03, 1000.0])))


def highest_leverage(venue, notional, start):
    """Just below what the venue allows and above what it would liquidate at once, on either side."""
    begin = REFERENCE_START if start is None else parse_start(start)
    window = None
    if isinstance(venue.margin, WindowedRates):
        window = window_switches(venue.margin.windows, begin, begin + dt.timedelta(hours=1))[0][1]
    quantity = float(venue.contract.quantity(notional, PRICE))
    top = INF
    for side in ("long", "short"):
        top = min(top, float(venue.max_leverage(notional, PRICE, side, window)))
        if not isinstance(venue.margin, FlatLeverage):
            top = min(top, 1.0 / float(venue.pieces(quantity, PRICE, side, window=window)(np.ones(1))[0]))
    return 0.999 * top
