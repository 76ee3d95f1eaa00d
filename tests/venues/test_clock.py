"""Calendar rules in local time, expanded to nanoseconds after a start: summer time, clipping, overlaps."""

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqsim.errors import ParameterError, VenueDataError
from liqsim.venues import (
    Closure,
    DailyTimes,
    MarginWindow,
    closed_windows,
    load_venue,
    parse_start,
    window_switches,
)

HOUR = 3_600_000_000_000
NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")


def span(start, end):
    return parse_start(start), parse_start(end)


def hours(pairs):
    return [tuple(ns / HOUR for ns in pair) for pair in pairs]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-02T14:30Z", "2026-03-02T14:30:00+00:00"),
        ("2026-03-02 09:30-05:00", "2026-03-02T14:30:00+00:00"),
        ("2026-03-02T14:30", "2026-03-02T14:30:00+00:00"),
        (" 2026-03-02 ", "2026-03-02T00:00:00+00:00"),
        (dt.date(2026, 3, 2), "2026-03-02T00:00:00+00:00"),
        (dt.datetime(2026, 3, 2, 14, 30), "2026-03-02T14:30:00+00:00"),
        (dt.datetime(2026, 7, 2, 16, 0, tzinfo=NEW_YORK), "2026-07-02T20:00:00+00:00"),
        (np.datetime64("2026-03-02"), "2026-03-02T00:00:00+00:00"),
        (np.datetime64("2026-03-02T14:30:00.000001999", "ns"), "2026-03-02T14:30:00.000001+00:00"),
    ],
)
def test_a_start_is_an_instant_in_utc(value, expected):
    found = parse_start(value)
    assert found.isoformat() == expected
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tomorrow", "start='tomorrow' is not an instant; give ISO 8601 text such as"),
        ("2026-02-30", "'2026-02-30' is not an instant"),
        (np.datetime64("NaT", "s"), "NaT.* is not an instant"),
        (1_700_000_000, "1700000000 is not an instant"),
        (None, "None is not an instant"),
        ("0001-01-01", "out of range; give a date from 1901 to 2199"),
        ("9999-12-31T23:59-05:00", "out of range"),
        (np.datetime64(10**9, "Y"), "is not an instant"),
    ],
)
def test_what_is_no_start_is_refused(value, message):
    with pytest.raises(ParameterError, match=message):
        parse_start(value)


def test_daily_times_keep_to_the_wall_clock():
    # 16:00 in Chicago is 21:00 UTC until summer time ends on 2026-11-01, then 22:00; no clearing on the weekend
    clearing = DailyTimes(("16:00",), "America/Chicago", ("Mon", "Tue", "Wed", "Thu", "Fri"))
    start, end = span("2026-10-29", "2026-11-04")
    assert [ns / HOUR for ns in clearing.instants(start, end)] == [21, 45, 118, 142]


def test_a_time_that_is_skipped_or_shown_twice():
    # New York, 2026-03-08: 02:00 becomes 03:00; 2026-11-01: 02:00 becomes 01:00
    night = DailyTimes(("02:30",), "America/New_York")
    assert night.instants(*span("2026-03-08", "2026-03-09")) == [int(7.5 * HOUR)]
    twice = DailyTimes(("01:30",), "America/New_York")
    assert twice.instants(*span("2026-11-01", "2026-11-02")) == [int(5.5 * HOUR)]
    together = DailyTimes(("02:30", "03:30"), "America/New_York")
    assert together.instants(*span("2026-03-08", "2026-03-09")) == [int(7.5 * HOUR)]


def test_the_start_is_left_out_and_the_end_is_taken_in():
    noon = DailyTimes(("12:00",))
    start, end = span("2026-03-02T12:00Z", "2026-03-03T12:00Z")
    assert noon.instants(start, end) == [24 * HOUR]
    assert noon.instants(start, end - dt.timedelta(microseconds=1)) == []
    assert noon.instants(start, start) == []


@given(
    start=st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2027, 1, 1)),
    days=st.integers(0, 20),
    more=st.integers(0, 20),
    zone=st.sampled_from(["UTC", "America/Chicago", "America/New_York", "Europe/London", "Australia/Lord_Howe"]),
)
def test_a_run_cut_in_two_has_the_instants_of_the_whole(start, days, more, zone):
    rule = DailyTimes(("00:00", "01:30", "16:00"), zone)
    a = parse_start(start)
    b = a + dt.timedelta(days=days, hours=7)
    c = b + dt.timedelta(days=more)
    shift = (b - a) // dt.timedelta(microseconds=1) * 1000
    whole = rule.instants(a, c)
    assert whole == rule.instants(a, b) + [ns + shift for ns in rule.instants(b, c)]
    assert whole == sorted(set(whole))


def test_a_weekend_without_trading():
    # CME before 2026-05-29: Friday 16:00 to Sunday 17:00 CT, about 49 h, an hour less as summer time begins
    weekend = Closure("Fri 16:00", "Sun 17:00", "America/Chicago")
    assert hours(weekend.windows(*span("2020-04-20", "2020-05-04"))) == [(117, 166), (285, 334)]
    ((a, b),) = weekend.windows(*span("2020-03-02", "2020-03-09"))
    assert (b - a) / HOUR == 48
    # entered on the Saturday, left on the Sunday
    assert hours(weekend.windows(*span("2020-04-25", "2020-04-26T12:00Z"))) == [(0, 36)]
    assert weekend.windows(*span("2020-04-20", "2020-04-24T21:00Z")) == []


def test_a_daily_pause():
    pause = Closure("16:00", "17:00", "America/Chicago", ("Mon", "Tue", "Wed", "Thu"))
    assert hours(pause.windows(*span("2020-04-24", "2020-04-29"))) == [(93, 94), (117, 118)]
    over_midnight = Closure("23:30", "00:30", "UTC")
    assert hours(over_midnight.windows(*span("2026-01-01", "2026-01-02"))) == [(0, 0.5), (23.5, 24)]
    assert Closure("16:00", "17:00").weekdays == ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def test_a_week_all_but_an_hour():
    almost = Closure("Mon 01:00", "Mon 00:00", "UTC")
    assert hours(almost.windows(*span("2026-01-05", "2026-01-12"))) == [(1, 168)]


def test_closures_together():
    closures = [
        Closure("12:00", "13:00"),
        Closure("13:00", "14:00"),
        Closure("12:30", "13:30"),
        Closure("18:00", "19:00"),
    ]
    assert hours(closed_windows(closures, *span("2026-01-01", "2026-01-02"))) == [(12, 14), (18, 19)]
    assert closed_windows([], *span("2026-01-01", "2026-01-02")) == []


def test_the_closures_of_cme():
    # contract specifications: 2020 and, from 2026-05-29, 24/7 with a pause of 2 minutes and two hours on Saturday
    old, new = load_venue("cme-btc", "2020-04-28"), load_venue("cme-mbt")
    start, end = span("2020-04-20", "2020-04-27")
    closed = hours(closed_windows(old.closures, start, end))
    assert closed == [(21, 22), (45, 46), (69, 70), (93, 94), (117, 166)]
    closed = hours(closed_windows(new.closures, *span("2026-08-24", "2026-08-31")))
    assert [round((b - a) * 60) for a, b in closed] == [2, 2, 2, 2, 2, 120]
    assert closed[-1] == (127, 129)
    assert [ns / HOUR for ns in new.margin_times.instants(*span("2026-08-24", "2026-08-31"))] == [21, 45, 69, 93, 117]


def test_funding_of_coinbase_becomes_cash_at_midnight_in_new_york():
    times = load_venue("coinbase-bip").funding.settlement.instants(*span("2026-08-28", "2026-09-01"))
    assert [ns / HOUR for ns in times] == [4, 76]  # Friday and Monday 00:00 ET; not on the weekend


def test_the_margin_windows_of_coinbase():
    windows = load_venue("coinbase-bip").margin.windows
    found = window_switches(windows, *span("2026-08-28T13:00Z", "2026-08-29T20:00Z"))
    assert [(ns / HOUR, name) for ns, name in found] == [
        (0, "intraday"),
        (7, "overnight"),  # 16:00 in New York
        (23, "intraday"),
        (31, "overnight"),
    ]
    before = window_switches(windows, *span("2026-10-31", "2026-11-03"))
    assert [ns / HOUR for ns, _ in before] == [0, 12, 20, 37, 45, 61, 69]  # a night of 17 hours


@given(start=st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2026, 12, 31)), hours_after=st.integers(0, 100))
def test_the_window_in_force_is_that_of_the_wall_clock(start, hours_after):
    windows = load_venue("coinbase-bip").margin.windows
    a = parse_start(start)
    at = a + dt.timedelta(hours=hours_after)
    switches = window_switches(windows, a, a + dt.timedelta(hours=100))
    held = [name for ns, name in switches if ns <= hours_after * HOUR][-1]
    local = at.astimezone(NEW_YORK)
    assert held == ("intraday" if 8 <= local.hour < 16 else "overnight")
    assert switches[0][0] == 0
    assert all(one[0] < two[0] and one[1] != two[1] for one, two in pairwise(switches))


def window(name, start=None, end=None, timezone="UTC"):
    return MarginWindow(name, 0.1, 0.1, start, end, timezone)


def test_windows_over_midnight_and_alone():
    day = span("2026-01-01T00:00Z", "2026-01-02T12:00Z")
    night = [window("night", "22:00", "06:00"), window("day", "06:00", "22:00")]
    assert [(ns / HOUR, name) for ns, name in window_switches(night, *day)] == [
        (0, "night"), (6, "day"), (22, "night"), (30, "day")
    ]  # fmt: skip
    assert window_switches([window("always")], *day) == [(0, "always")]
    assert window_switches([window("all", "00:00", "00:00")], *day) == [(0, "all")]
    at_end = window_switches([window("a", "12:00", "13:00"), window("b")], *span("2026-01-01", "2026-01-01T12:00Z"))
    assert at_end == [(0, "b"), (12 * HOUR, "a")]


def test_windows_that_overlap_or_leave_a_hole_are_refused():
    day = span("2026-01-01", "2026-01-02")
    with pytest.raises(
        VenueDataError, match=r"'a' \(08:00 to 12:00 UTC\) and 'b' \(11:00 to 16:00 UTC\) overlap; make their"
    ):
        window_switches([window("a", "08:00", "12:00"), window("b", "11:00", "16:00")], *day)
    with pytest.raises(VenueDataError, match=r"no margin window holds at 2026-01-01T00:00:00\+00:00; give one without"):
        window_switches([window("a", "08:00", "12:00"), window("b", "12:00", "16:00")], *day)
    with pytest.raises(VenueDataError, match="no margin window holds"):
        window_switches([], *day)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DailyTimes(("16",)), "DailyTimes: times='16' is not a local time; give \"HH:MM\", 00:00 to 23:59"),
        (lambda: DailyTimes(("24:00",)), "times='24:00' is not a local time"),
        (lambda: DailyTimes(()), r"times=\(\) is empty"),
        (
            lambda: DailyTimes(("16:00",), "America/Chicgo"),
            "timezone='America/Chicgo' is unknown; did you mean 'America/Chicago'",
        ),
        (lambda: DailyTimes(("16:00",), ""), "timezone='' is unknown; give an IANA name"),
        (lambda: DailyTimes(("16:00",), "../UTC"), "is unknown"),
        (
            lambda: DailyTimes(("16:00",), "UTC", ("Monday",)),
            "weekdays='Monday' is not a day of the week; give one of Mon",
        ),
        (lambda: DailyTimes(("16:00",), "UTC", ()), r"weekdays=\(\) is empty"),
        (lambda: Closure("Fri 16:00", "17:00"), "must both name a day, or neither"),
        (lambda: Closure("16:00", "16:00"), "end='16:00' is the start"),
        (lambda: Closure("Fr 16:00", "Sun 17:00"), "start='Fr' is not a day of the week"),
        (lambda: Closure("Fri 4pm", "Sun 17:00"), "start='4pm' is not a local time"),
        (lambda: Closure(16, "17:00"), "start=16 is not a local time"),
        (lambda: Closure("Fri 16:00", "Sun 17:00", "UTC", ("Fri",)), "weekdays=.* is for times without a day"),
        (lambda: DailyTimes(("16:00",)).instants(dt.datetime(2026, 1, 1), parse_start("2026-02-01")), "no time zone"),
        (lambda: DailyTimes(("16:00",)).instants(*span("2026-02-01", "2026-01-01")), "is before start"),
    ],
)
def test_bad_rules_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_equal_rules_are_written_alike():
    one, other = (
        DailyTimes(("16:00", "08:00"), "UTC", ("Fri", "Mon")),
        DailyTimes(["08:00", "16:00"], "UTC", ["Mon", "Fri"]),
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one.to_dict() == {"times": ["08:00", "16:00"], "timezone": "UTC", "weekdays": ["Mon", "Fri"]}
    assert Closure("16:00", "17:00").to_dict()["weekdays"] == list(DailyTimes(("00:00",)).weekdays)
    assert Closure("Fri 16:00", "Sun 17:00").to_dict()["weekdays"] is None
