"""Bad arguments of sweep and first_passage: refused before a path is simulated, in words that help."""

import datetime as dt
import importlib
import math
import re

import numpy as np
import pandas as pd
import pytest

import liqsim as lq

NAN, INF = math.nan, math.inf
GBM = lq.GBM(sigma=0.6)
KOU = lq.Kou(sigma=0.5, intensity=40, p_up=0.5, eta_up=30, eta_down=30)
VENUE = lq.Venue.from_tiers([(0, 5e4, 0.004, 125), (5e4, 1e6, 0.008, 80)], name="two-tiers")


@pytest.fixture(autouse=True)
def no_simulation(monkeypatch):
    """Any path simulated after bad input is a failure of its own."""

    def refuse(*args, **kwargs):
        raise AssertionError("the simulation started")

    monkeypatch.setattr(importlib.import_module("liqsim.cells"), "run_groups", refuse)


def sweep(model=GBM, venue=VENUE, **changes):
    return lq.sweep(model, venue, **{"leverage": [5, 20], "stop": 0.05, "horizon": "1D", "n_paths": 10, **changes})


def first_passage(model=GBM, **changes):
    return lq.first_passage(model, **{"levels": [0.9, 1.1], "horizon": "1D", "n_paths": 10, **changes})


def refused(text, error=lq.ParameterError):
    assert issubclass(error, ValueError)
    return pytest.raises(error, match=re.escape(text))


def test_good_input_reaches_the_simulation():
    for call in (sweep, first_passage):
        with pytest.raises(AssertionError, match="the simulation started"):
            call()


RANGES = {
    "leverage": "give numbers in (0, 1000] (notional over margin)",
    "stop": "give numbers in (0, inf] (fraction of the entry price)",
    "notional": "give numbers in (1e-09, 1e+15] (quote currency)",
    "price": "give numbers in (1e-12, 1e+12] (quote per base)",
    "levels": "give numbers in (0, 1e+12] (price ratio to the start)",
}


def call_with(name, value):
    return first_passage(levels=value) if name == "levels" else sweep(**{name: value})


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, NAN, -INF, [5, NAN]])
def test_numbers_out_of_range(name, value):
    worst = value[1] if isinstance(value, list) else value
    with refused(f"{name}={worst:g} is not allowed; {RANGES[name]}"):
        call_with(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("leverage", 1001), ("leverage", INF), ("notional", INF), ("price", INF), ("levels", INF), ("notional", 1e20)],
)
def test_numbers_too_large(name, value):
    with refused(f"{name}={value:g} is not allowed; {RANGES[name]}"):
        call_with(name, value)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", ["5", "5%", None, True, [True], 5j, {"a": 5}, [5, None], [[5, 10]], [[5], [5, 10]]])
def test_numbers_of_the_wrong_type_or_shape(name, value):
    with refused(f"{name}={value!r} is not a number or a flat list of numbers; {RANGES[name]}"):
        call_with(name, value)


@pytest.mark.parametrize("name", RANGES)
def test_numbers_missing(name):
    with refused(f"{name} is empty; {RANGES[name]}"):
        call_with(name, [])


@pytest.mark.parametrize("name", ["leverage", "stop", "notional", "levels"])
def test_numbers_twice(name):
    with refused(f"{name}=[0.2, 0.5, 0.2] holds a value twice; name each once"):
        call_with(name, [0.2, 0.5, 0.2])


def test_price_is_one_number():
    with refused("price=[60000, 61000]"):
        sweep(price=[60_000, 61_000])


@pytest.mark.parametrize("name", ["notional", "price"])
def test_denormal_numbers(name):
    with refused(f"{name}="):
        sweep(**{name: 1e-320})


@pytest.mark.parametrize("stop", [1, 1.5, [0.1, 5.0]])
def test_stop_below_a_price_of_zero(stop):
    worst = max(np.atleast_1d(stop))
    with refused(f"stop={worst:g} would put a long's stop at or below a price of 0; give stops in (0, 1) or inf"):
        sweep(stop=stop)
    with pytest.raises(AssertionError, match="the simulation started"):
        sweep(stop=stop, side="short")


def test_level_at_the_start():
    for levels in (1, 1.0, [0.9, 1.0]):
        with refused("levels=1 is the start itself; give ratios below or above 1"):
            first_passage(levels=levels)


@pytest.mark.parametrize("leverage", [126, [5, 126], 200])
def test_leverage_above_the_tiers_maximum(leverage):
    worst = float(np.max(leverage))
    text = f"leverage={worst} exceeds 125.0 allowed for notional 10000 USD (tier 1 of two-tiers); lower the leverage"
    with refused(text, lq.MarginRuleError):
        sweep(leverage=leverage)
    with refused(
        "leverage=100.0 exceeds 80.0 allowed for notional 60000 USD (tier 2 of two-tiers)", lq.MarginRuleError
    ):
        sweep(leverage=100, notional=[1e4, 6e4])


def test_notional_beyond_the_last_tier():
    text = "notional=1000000.01 USD is beyond the last tier of two-tiers, which ends at 1000000 USD; make the position"
    with refused(text, lq.MarginRuleError):
        sweep(notional=[1e4, 1e6 + 0.01])


def test_leverage_that_liquidates_at_entry():
    venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 125)], closing_fee_rate=0.004, name="reserved-fee")
    text = "leverage=120 leaves a margin of 0.00833333 of the notional, not above the maintenance requirement 0.009"
    with refused(text, lq.MarginRuleError):
        sweep(venue=venue, leverage=[5, 120])


UNIT = 'horizon must be a positive duration with a unit, such as "30D", "8h" or numpy.timedelta64(30, "D")'


@pytest.mark.parametrize("call", [sweep, first_passage])
@pytest.mark.parametrize(
    ("horizon", "what"),
    [
        *[(value, "has no unit") for value in (30, 30.0, None, True, {"a": "30D"}, b"30D")],
        *[(value, "cannot be read") for value in ("30", "", "-1D", "nanD", "inf D", "3,5D", "1D 2h")],
        ("30 fortnights", "has the unknown unit 'fortnights'"),
        ("1M", "has the unknown unit 'M'"),
        *[(value, "is not positive") for value in ("0D", "0.0h", np.timedelta64(-1, "D"), dt.timedelta(0))],
        *[(np.timedelta64(*value), "is not a fixed length of time") for value in [("NaT", "s"), (1, "M"), (1, "Y")]],
    ],
)
def test_horizon(call, horizon, what):
    with refused(f"horizon={horizon!r} {what}; {UNIT}"):
        call(horizon=horizon)
    with refused(f"horizon={horizon!r} {what}; {UNIT}"):
        call(horizon=["8h", horizon])


@pytest.mark.parametrize("call", [sweep, first_passage])
def test_horizons(call):
    with refused('horizon is empty; give at least one duration such as "30D"'):
        call(horizon=[])
    with refused("horizon=['1D', '24h'] holds a duration twice; name each once"):
        call(horizon=["1D", "24h"])
    with refused("horizon='1e-20s' is shorter than a nanosecond"):
        call(horizon="1e-20s")


@pytest.mark.parametrize("call", [sweep, first_passage])
@pytest.mark.parametrize("horizon", ["300y", "1e300y"])
def test_horizon_beyond_the_clock(call, horizon):
    with refused(f"horizon={horizon!r}"):
        call(horizon=horizon)


def test_too_many_intervals():
    with refused("the horizon of 30 days holds 2.59e+12 intervals, more than the"):
        first_passage(horizon="30D", monitoring="1e-6s")


@pytest.mark.parametrize("call", [sweep, first_passage])
@pytest.mark.parametrize("monitoring", ["continuos", "Continuous", "5", 5, None, "-1h", "0h", INF, ["1h"], "1M", True])
def test_monitoring(call, monitoring):
    with refused(f"monitoring={monitoring!r} ") as caught:
        call(monitoring=monitoring)
    assert str(caught.value).endswith(
        'duration with a unit, such as "30D", "8h" or numpy.timedelta64(30, "D"); or "continuous"'
    )


@pytest.mark.parametrize("gap_rule", ["stops", "Stop", None, True, ["stop"]])
def test_gap_rule(gap_rule):
    with refused(f'gap_rule={gap_rule!r} is not allowed; give "liquidation" or "stop"'):
        sweep(gap_rule=gap_rule)


@pytest.mark.parametrize(
    "side",
    [
        *["buy", "LONG", "", [], ["long", "long"], ["long", "buy"], [1, -1]],
        5,
        None,
        [["long"]],
    ],
)
def test_side(side):
    with refused(f'side={side!r} is not allowed; give "long", "short" or a list of both, each once'):
        sweep(side=side)


@pytest.mark.parametrize("call", [sweep, first_passage])
@pytest.mark.parametrize("n_paths", [0, -5, 1.5, True, "100", NAN, INF, 2**41, [300], 1j])
def test_n_paths(call, n_paths):
    with refused(f"n_paths={n_paths!r} is not allowed; give a whole number in [1, 1099511627776]"):
        call(n_paths=n_paths)


@pytest.mark.parametrize("call", [sweep, first_passage])
@pytest.mark.parametrize("seed", [1.0, -1, True, "1", None, NAN, [1, 2], np.float64(3), np.array(1)])
def test_seed(call, seed):
    with refused(f"seed={seed!r} is not allowed; give a non-negative integer or a numpy.random.SeedSequence"):
        call(seed=seed)


@pytest.mark.parametrize("call", [sweep, first_passage])
@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2", 1025, NAN])
def test_threads(call, threads):
    with refused(f"threads={threads!r} is not allowed; give a whole number in [1, 1024], or None for all processors"):
        call(threads=threads)


@pytest.mark.parametrize("premium", [1e-4, "8h", {}, lq.OUPremium, GBM])
def test_premium(premium):
    with refused(f"premium={premium!r} is not an OUPremium; give one or None"):
        sweep(premium=premium)


@pytest.mark.parametrize("model", ["gbm", None, 5, lq.GBM, VENUE])
def test_model_type(model):
    for given in (model, [KOU, model], {"a": model}):
        with refused(f"model={model!r} is not a PriceModel; give one, a list of them or a mapping of labels to them"):
            sweep(model=given)
    with refused(f"model={model!r} is not a PriceModel; give GBM, Merton or Kou"):
        first_passage(model=model)


@pytest.mark.parametrize("venue", [None, 5, lq.Venue, GBM])
def test_venue_type(venue):
    for given in (venue, [VENUE, venue], {"a": venue}):
        with refused(f"venue={venue!r} is not a Venue; give one, a list of them or a mapping of labels to them"):
            sweep(venue=given)


@pytest.mark.parametrize(
    ("venue", "hint"),
    [
        ("bitmx-xbtusd", "did you mean 'bitmex-xbtusd'"),
        ("bitmex", "did you mean 'bitmex-xbtusd'"),
        ("zzzz", ""),
        ("", ""),
    ],
)
def test_unknown_venue(venue, hint):
    for given in (venue, [VENUE, venue], {"a": venue}):
        with refused(f"venue {venue!r} is unknown; {hint}", lq.VenueDataError) as caught:
            sweep(venue=given)
        assert str(caught.value).endswith("list_venues(), or `liqsim venues` in a shell, gives the identifiers")


@pytest.mark.parametrize(("name", "item", "label"), [("model", GBM, "gbm"), ("venue", VENUE, "two-tiers")])
def test_lists_that_are_empty_or_ambiguous(name, item, label):
    for empty in ([], (), {}):
        with refused(f"{name} is empty; give at least one"):
            sweep(**{name: empty})
    with refused(f"{name} holds two items called {label!r}; pass a mapping of labels to items instead of a list"):
        sweep(**{name: [item, item]})


@pytest.mark.parametrize(("name", "item"), [("model", GBM), ("venue", VENUE)])
def test_labels_that_read_alike(name, item):
    with refused(f"{name} has labels that read the same"):
        sweep(**{name: {1: item, "1": item}})


@pytest.mark.parametrize("name", ["control", "importance"])
def test_paths_too_few_for_an_estimator_by_groups(name):
    with refused(f"n_paths=63 are too few for {name}=True; give at least 64"):
        sweep(n_paths=63, **{name: True})
    if name == "importance":
        with refused("n_paths=63 are too few for importance=True; give at least 64"):
            first_passage(n_paths=63, importance=True)


@pytest.mark.parametrize("name", ["control", "importance", "progress"])
@pytest.mark.parametrize("value", ["yes", 1, 0, None, [True]])
def test_flags(name, value):
    with refused(f"{name}={value!r} is not allowed; give True or False"):
        sweep(n_paths=100, **{name: value})


@pytest.mark.parametrize("name", ["control", "importance", "progress"])
def test_flags_of_numpy(name):
    with pytest.raises(AssertionError, match="the simulation started"):
        sweep(n_paths=100, **{name: np.True_})


@pytest.mark.parametrize("value", ["yes", 1])
def test_progress_of_the_other_simulations(value):
    text = f"progress={value!r} is not allowed; give True or False"
    for call in (
        lambda: first_passage(progress=value),
        lambda: lq.compare_venues(GBM, [VENUE], leverage=5, progress=value),
        lambda: lq.sensitivities(GBM, VENUE, leverage=5, progress=value),
    ):
        with refused(text):
            call()


def test_targets_that_name_nothing():
    for name in ("rel_error", "abs_error"):
        with refused(f"{name}={{}} names no variable; name one, such as {{'p_liquidation': 0.05}}"):
            sweep(**{name: {}})


def test_start_that_is_not_a_time():
    with refused("start=NaT is not an instant"):
        sweep(start=pd.NaT)


@pytest.mark.parametrize("kind", [pd.to_timedelta, lambda x: pd.Series(pd.to_timedelta(x)), pd.Index])
def test_durations_of_pandas(kind):
    for call in (sweep, first_passage):
        with pytest.raises(AssertionError, match="the simulation started"):
            call(horizon=kind(["1D", "36h"]))
    with refused("horizon='1' cannot be read" if kind is pd.Index else "holds a duration twice"):
        sweep(horizon=pd.Index(["1D", "1"]) if kind is pd.Index else kind(["1D", "24h"]))


@pytest.mark.parametrize("call", [lq.confidence_interval, lambda ds: lq.jackknife(ds, abs)])
def test_what_is_no_result(call):
    with refused("ds=5 is not a dataset; give a result of sweep or first_passage"):
        call(5)
