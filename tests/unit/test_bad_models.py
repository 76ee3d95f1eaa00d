"""Bad parameters of models, premium, funding, durations and tier tables."""

import datetime as dt
import math
import re
import warnings

import numpy as np
import pytest

import liqsim as lq
from liqsim.durations import parse_days, parse_years

NAN, INF = math.nan, math.inf
KOU = {"sigma": 0.5, "intensity": 40, "p_up": 0.5, "eta_up": 30, "eta_down": 30}
MERTON = {"sigma": 0.5, "intensity": 40, "jump_mean": 0.0, "jump_std": 0.05}
PREMIUM = {"mean": 1e-4, "half_life": "8h", "vol": 3e-4}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2.5
    WITHOUT_UNIT = np.timedelta64(8)


def refused(text, error=lq.ParameterError):
    assert issubclass(error, ValueError)
    return pytest.raises(error, match=re.escape(text))


VOLATILITY = "(0, 100] 1/sqrt(yr)"
DRIFT = "[-1000, 1000] 1/yr"
FIELDS = [
    (lq.GBM, {"sigma": 0.5}, "sigma", VOLATILITY, [0, -0.1, 101]),
    (lq.GBM, {"sigma": 0.5}, "drift", DRIFT, [1001, -1001]),
    (lq.Merton, MERTON, "sigma", "[0, 100] 1/sqrt(yr)", [-0.1, 101]),
    (lq.Merton, MERTON, "intensity", "[0, 1e+06] jumps/yr", [-1, 1e7]),
    (lq.Merton, MERTON, "jump_mean", "[-5, 5] (log)", [-6, 6]),
    (lq.Merton, MERTON, "jump_std", "[0, 5] (log)", [-0.01, 6]),
    (lq.Merton, MERTON, "drift", DRIFT, [1001]),
    (lq.Kou, KOU, "sigma", "[0, 100] 1/sqrt(yr)", [-0.1]),
    (lq.Kou, KOU, "intensity", "[0, 1e+06] jumps/yr", [-1]),
    (lq.Kou, KOU, "p_up", "[0, 1] (probability)", [-0.1, 1.1]),
    (lq.Kou, KOU, "eta_up", "(1, 1e+06] (1/log)", [1, 0.5, -3, 1e7]),
    (lq.Kou, KOU, "eta_down", "(0, 1e+06] (1/log)", [0, -3, 1e7]),
    (lq.Kou, KOU, "drift", DRIFT, [-1001]),
    (lq.OUPremium, PREMIUM, "mean", "[-1, 1] (fraction of the index)", [-1.1, 2]),
    (lq.OUPremium, PREMIUM, "vol", "[0, 1] (fraction of the index)", [-1e-9, 2]),
    (lq.OUPremium, PREMIUM, "correlation", "[-1, 1]", [-1.01, 1.01]),
    (lq.OUPremium, PREMIUM, "initial", "[-1, 1] (fraction of the index)", [-1.1, 2]),
    (lq.FixedFunding, {"rate": 1e-4}, "rate", "[-1, 1] (fraction of notional per interval)", [-1.1, 2]),
    (lq.PremiumFunding, {"interval": "8h"}, "interest", "[-1, 1] (fraction of notional per interval)", [-1.1, 2]),
    (lq.PremiumFunding, {"interval": "8h"}, "clamp", "[0, 1] (fraction of notional per interval)", [-1e-9, 2]),
    (lq.PremiumFunding, {"interval": "8h"}, "cap", "(0, 1] (fraction of notional per interval) or inf", [0, -1, 2]),
    (lq.PremiumFunding, {"interval": "8h"}, "scale", "(0, 1]", [0, -1, 2]),
    (lq.PremiumFunding, {"interval": "8h"}, "smoothing", "[0, 1) (weight)", [-0.1, 1]),
]
ALSO_BAD = [NAN, -INF, True, "0.5", [0.5], 0.5j]


@pytest.mark.parametrize(
    ("make", "good", "field", "allowed", "values"), FIELDS, ids=[f"{row[0].__name__}.{row[2]}" for row in FIELDS]
)
def test_fields(make, good, field, allowed, values):
    make(**good)
    for value in [*values, *ALSO_BAD]:
        with refused(f"{make.__name__}: {field}={value!r} is not allowed; give a finite number in {allowed}"):
            make(**{**good, field: value})


def test_models_are_frozen_and_keep_floats():
    model = lq.GBM(sigma=np.float32(0.5), drift=np.int64(1))
    assert (type(model.sigma), type(model.drift)) == (float, float)
    with pytest.raises(AttributeError, match="cannot assign"):
        model.sigma = -1.0


@pytest.mark.parametrize(
    "make", [lambda: lq.Merton(0, 0, 0, 0.1), lambda: lq.Kou(sigma=0, intensity=0, p_up=0.5, eta_up=30, eta_down=30)]
)
def test_a_price_that_never_moves(make):
    with refused("sigma=0 without jumps never moves; give sigma > 0 [1/sqrt(yr)]"):
        make()


def test_jumps_beyond_double_precision():
    with refused("per year is out of range [-1e6, 1e6]; lower the intensity or the jump sizes"):
        lq.Merton(0.3, 100, 5, 5)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x: lq.OUPremium(mean=0, half_life=x, vol=0), "OUPremium: half_life"),
        (lambda x: lq.PremiumFunding(interval=x), "PremiumFunding: interval"),
        (lambda x: lq.FixedFunding(1e-4, interval=x), "FixedFunding: interval"),
        (lambda x: parse_days(x, "horizon"), "horizon"),
        (lambda x: parse_years(x, "horizon"), "horizon"),
    ],
)
@pytest.mark.parametrize("value", [8, None, "8", "0h", "-8h", "8 fortnights", dt.timedelta(0), WITHOUT_UNIT])
def test_durations(make, name, value):
    with refused(f"{name}={value!r}") as caught:
        make(value)
    assert f'{name} must be a positive duration with a unit, such as "30D", "8h"' in str(caught.value)


@pytest.mark.parametrize(
    ("value", "days"),
    [
        ("30D", 30), ("8h", 1 / 3), ("15min", 1 / 96), ("10s", 1 / 8640), ("2w", 14), ("1y", 365), (" 1.5 days ", 1.5),
        (".5d", 0.5), ("1e2h", 100 / 24), (np.timedelta64(36, "h"), 1.5), (dt.timedelta(hours=6), 0.25),
    ],
)  # fmt: skip
def test_durations_that_are_read(value, days):
    assert parse_days(value) == pytest.approx(days, rel=1e-15)
    assert parse_years(value) == pytest.approx(days / 365, rel=1e-15)


FIRST = (0, 1e5, 0.005, 100)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "the tier table is empty; give at least one row (floor, cap, maintenance_rate, max_leverage)"),
        ([(0, 1e5, 0.005)], "tier 1 is (0, 100000.0, 0.005); give (floor, cap, maintenance_rate, max_leverage)"),
        ([5], "tier 1 is 5; give (floor, cap, maintenance_rate, max_leverage), four numbers"),
        ([(1, 1e5, 0.005, 100)], "tier 1 starts at 1; the first floor must be 0"),
        ([FIRST, (9e4, 1e6, 0.01, 50)], "tier 2 overlaps tier 1: its floor 90000 is below the cap 100000; make floor"),
        ([FIRST, (2e5, 1e6, 0.01, 50)], "there is a hole between tier 1 (cap 100000) and tier 2 (floor 200000)"),
        ([FIRST, (1e5, 1e6, 0.004, 50)], "tier 2 has maintenance_rate 0.004, below 0.005 of tier 1; rates must not"),
        ([FIRST, (1e5, 1e6, 0.005, 125)], "tier 2 has max_leverage 125, above 100 of tier 1; leverage must not"),
        ([FIRST, (1e5, 5e4, 0.01, 50)], "tier 2: cap=50000.0 is not allowed; give a finite number in (100000, inf)"),
        ([(0, None, NAN, 50)], "tier 1: maintenance_rate=nan is not allowed; give a finite number in [0, 1)"),
        ([(0, None, -0.01, 50)], "tier 1: maintenance_rate=-0.01 is not allowed"),
        ([(0, None, 0.01, 0.5)], "tier 1: max_leverage=0.5 is not allowed; give a finite number in [1, inf)"),
        ([(0, "1e5", 0.01, 50)], "tier 1: cap='1e5' is not allowed"),
    ],
)
def test_tier_tables(rows, text):
    with refused(f"MarginalTiers: {text}", lq.VenueDataError):
        lq.Venue.from_tiers(rows)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"contract": "perp"}, 'kind=\'perp\' is not a contract kind; give "linear", "inverse" or "quanto"'),
        ({"taker_fee": 5}, "taker=5 is not allowed; give a finite number in [-0.1, 0.1] (fraction of notional"),
        ({"maker_fee": NAN}, "maker=nan is not allowed; give a finite number in [-0.1, 0.1]"),
        (
            {"funding": 1e-4},
            "funding=0.0001 is not a funding rule; give PremiumFunding(...), FixedFunding(...), BasisCarry(...), ",
        ),
        ({"closing_fee_rate": -1}, "closing_fee_rate=-1 is not allowed; give a finite number in [0, 1)"),
        ({"unit": "USD"}, "unit='USD' is unknown; give one of 'quote', 'base'"),
        ({"name": ""}, "id='' is not a name; give text such as 'bitmex-xbtusd'"),
    ],
)
def test_venue_arguments(changes, text):
    with refused(text):
        lq.Venue.from_tiers([FIRST], **changes)


def test_a_snapshot_that_is_not_there():
    with refused("venue 'bitmex-xbtusd' has no snapshot on or before 2001-01-01; the first is of", lq.VenueDataError):
        lq.load_venue("bitmex-xbtusd", as_of="2001-01-01")
    for date in ("yesterday", 2024, dt.datetime(2025, 1, 1)):
        with refused(f'as_of={date!r} is not a date; give "YYYY-MM-DD" or a datetime.date'):
            lq.load_venue("bitmex-xbtusd", as_of=date)


def test_rules_that_cannot_be_simulated_say_what_to_do():
    tiers = [(0, None, 0.005, 100)]
    with refused("settlement='' of a quanto contract must be a third currency; give it, and the multiplier"):
        lq.Venue.from_tiers(tiers, contract="quanto")
