"""A venue file that is wrong: the message names the file, the key, the value and the form that is allowed."""

import pytest

from liqsim.errors import VenueDataError
from liqsim.venues.files import read_venue
from liqsim.venues.registry import _DATA

BINANCE = (_DATA / "binance-usdm-btcusdt_2024-10-24.toml").read_text()
COINBASE = (_DATA / "coinbase-bip_2026-08-29.toml").read_text()
CME = (_DATA / "cme-mbt_2026-08-29.toml").read_text()
DERIBIT = (_DATA / "deribit-btc-perpetual_2026-09-18.toml").read_text()
SPOT = (_DATA / "kraken-spot-xbtusd_2026-02-10.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # unknown keys
        (
            "multiplier = 1.0",
            "multiplyer = 1.0",
            r"contract.multiplyer=1.0 is an unknown key; did you mean 'multiplier'\? \[contract\] may hold base,",
        ),
        ("[fees]", "[fes]", r"fes is an unknown key; did you mean 'fees'\? a venue file may hold absent, closures"),
        (
            "tiers = [",
            "teers = [",
            r"margin.teers is an unknown key; did you mean 'tiers'\? \[margin\] may hold charged_on",
        ),
        ("fee_rate = ", "slippage = ", r"liquidation.slippage=0.0125 is an unknown key; \[liquidation\] may hold"),
        # missing ones
        ('unit = "quote"\n', "", 'margin.unit is missing; give one of "quote", "base", "contracts"'),
        ('interval = "8h"\n', "", 'funding.interval is missing; give a duration with its unit, such as "8h"'),
        (
            'kind = "marginal-tiers"\n',
            "",
            'margin.kind is missing; give one of "marginal-tiers", "whole-position-tiers"',
        ),
        ("snapshot = 2024-10-24\n", "", "snapshot is missing; give a date, YYYY-MM-DD"),
        ('confidence = "S"\n', "", r"sources, row 6 confidence is missing; give one of \"D\", \"P\", \"S\""),
        # values of another kind
        ("multiplier = 1.0", 'multiplier = "1"', "contract.multiplier='1' is not allowed; give a number"),
        (
            'unit = "quote"',
            'unit = "USDT"',
            'margin.unit=\'USDT\' is not allowed; give one of "quote", "base", "contracts"',
        ),
        (
            'kind = "marginal-tiers"',
            'kind = "tiers"',
            "margin.kind='tiers' is not allowed; give one of \"marginal-tiers\"",
        ),
        (
            'interval = "8h"',
            "interval = 8",
            'funding.interval=8 is not allowed; give a duration with its unit, such as "8h"',
        ),
        (
            "0.0065, 75.0]",
            "0.0065]",
            r"margin.tiers, row 3=\[600000.0, 3000000.0, 0.0065\] is not allowed; give a row of 4",
        ),
        ("0.0065, 75.0]", "0.0065, '75x']", "margin.tiers, row 3, value 4='75x' is not allowed; give a number"),
        ("us_persons = false", 'us_persons = "no"', "rules.us_persons='no' is not allowed; give true or false"),
        (
            "tiers_per_step = 1",
            "tiers_per_step = 1.5",
            "liquidation.tiers_per_step=1.5 is not allowed; give a whole number",
        ),
        ('bearers = ["', 'bearers = "', "not TOML"),
        ('id = "binance-usdm-btcusdt"', "id = 3", "id=3 is not allowed; give text in quotes"),
        (
            'covers = ["margin.tiers"]',
            'covers = "margin.tiers"',
            "sources, row 2 covers='margin.tiers' is not allowed; give a list",
        ),
        # values out of range
        ('interval = "8h"', 'interval = "8"', r"\[funding\] .*interval='8' cannot be read.*with a unit"),
        (
            'interval = "8h"',
            'interval = "7h"',
            r"\[funding\] .*interval='7h' does not divide a day, so anchor='00:00' would drift",
        ),
        ('anchor = "00:00"', 'anchor = "8 am"', r"anchor='8 am' is not a time of day; give \"HH:MM\", in UTC"),
        (
            "[600e3, 3e6",
            "[500e3, 3e6",
            r"\[margin\] .*tier 3 overlaps tier 2: its floor 500000 is below the cap 600000",
        ),
        ("[600e3, 3e6", "[700e3, 3e6", r"\[margin\] .*there is a hole between tier 2 \(cap 600000\) and tier 3"),
        ("0.0065, 75.0", "5, 75.0", r"tier 3: maintenance_rate=5.0 is not allowed; give a finite number in \[0, 1\)"),
        ("0.0065, 75.0", "0.001, 75.0", "tier 3 has maintenance_rate 0.001, below 0.005 of tier 2"),
        ("0.0065, 75.0", "0.0065, 200.0", "tier 3 has max_leverage 200, above 100 of tier 2"),
        ("taker = 0.0005", "taker = 5.0", r"\[fees\] Fees: taker=5.0 is not allowed.*0.0005 is 0.05 %"),
        (
            "fee_rate = 0.0125",
            "fee_rate = 1.25",
            r"\[liquidation\] Liquidation: fee_rate=1.25 is not allowed.*\[0, 1\]",
        ),
        (
            "steps_from_tier = 2",
            "steps_from_tier = 1",
            r"steps_from_tier=1 is not allowed; give a whole number of tiers, 2 or more",
        ),
        ('procedure = "tier-down"', 'procedure = "sell"', "procedure='sell' is unknown; give one of 'takeover'"),
        # dates
        (
            "snapshot = 2024-10-24",
            'snapshot = "24.10.2024"',
            "snapshot='24.10.2024' is not allowed; give a date, YYYY-MM-DD",
        ),
        ("snapshot = 2024-10-24", "snapshot = 2024-10-24T12:00:00", "snapshot='2024-10-24T12:00:00' is not allowed"),
        ("snapshot = 2024-10-24", "snapshot = 2024-02-30", r"snapshot=2024-02-30 \(line 4\) is not a day .*YYYY-MM-DD"),
        ("snapshot = 2024-10-24", "snapshot = 24/10/2024  # day", r"snapshot=24/10/2024 \(line 4\) is not a day"),
        ("snapshot = 2024-10-24", "snapshot = 2204-10-24", "snapshot=2204-10-24 is too late; .* to 2099-12-31"),
        (
            "snapshot = 2024-10-24",
            "snapshot = 1024-10-24",
            "snapshot=1024-10-24 is before bitcoin; give a date from 2009-01-03",
        ),
        (
            'as_of = "n/d"',
            'as_of = "2024-06-31"',
            r"sources, row \d as_of='2024-06-31' is not a date; give \"YYYY-MM-DD\"",
        ),
        ('as_of = "n/d"', 'as_of = "last week"', "as_of='last week' is not a date"),
        ('as_of = "n/d"', 'as_of = "2024-13"', "as_of='2024-13' is not a date"),
        # sources
        ('covers = ["margin.tiers"]', "covers = []", "margin.tiers has no source; name it in the covers list"),
        (
            'covers = ["margin.tiers"]',
            'covers = ["margin.tiers", "fees.x"]',
            "covers fees.x, which the file does not give",
        ),
        (
            'covers = ["margin.tiers"]',
            'covers = ["margin.tiers", "fees.taker"]',
            "fees.taker is covered by more than one",
        ),
        ('value = "contract.tick"', 'value = "fees.taker"', "fees.taker is listed as absent and given as well"),
        # what is not TOML
        ("[contract]", "[contract", r"not TOML: .*line 6.*'\[contract'; give lines such as"),
        ("multiplier = 1.0", "multiplier = 1,0", "not TOML: .*'multiplier = 1,0'"),
    ],
)
def test_the_file_the_key_the_value_and_the_form(tmp_path, old, new, message):
    refused(tmp_path, BINANCE, old, new, message)


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (COINBASE, "long_rate = 0.1000185", "long_rate = 10.00185", r"'intraday': long_rate=10.00185 .* 0.05 is 5 %"),
        (COINBASE, 'end = "16:00"', 'end = "4 pm"', "end='4 pm' is not a time of day"),
        (COINBASE, 'end = "16:00"\n', "", r"\[margin\] .*give both start and end, or neither"),
        (COINBASE, 'end = "16:00"\n', "end = 16\n", "margin.windows, row 1 end=16 is not allowed; give text in quotes"),
        (COINBASE, "short_rate = 0.1000008\n", "", "margin.windows, row 1 short_rate is missing; give a number"),
        (
            COINBASE,
            "short_rate = 0.306375",
            'short_rate = 0.306375\nstart = "15:00"\nend = "08:00"\ntimezone = "America/New_York"',
            r"windows 'intraday' \(08:00 to 16:00 America/New_York\) and 'overnight' .* overlap",
        ),
        (
            COINBASE,
            "smoothing = 0.25",
            "smoothing = 25",
            r"smoothing=25.0 is not allowed; give a finite number in \[0, 1\)",
        ),
        (COINBASE, 'times = ["00:00"]', "times = []", r"\[funding\] DailyTimes: times=\(\) is empty"),
        (COINBASE, 'start = "Fri 17:00"', 'start = "17:00"', r"\[closures\] .*must both name a day, or neither"),
        (
            CME,
            '"America/Chicago"',
            '"America/Chikago"',
            "timezone='America/Chikago' is unknown; did you mean 'America/Chicago'",
        ),
        (
            CME,
            'times = ["16:00"]',
            'times = "16:00"',
            r"margin_times.times='16:00' is not allowed; give a list of local times",
        ),
        (CME, 'deadline = "1D"', 'deadline = "1"', r"\[liquidation\] .*deadline='1' cannot be read"),
        (
            CME,
            "initial_ratio = 1.1",
            "initial_ratio = 110",
            r"initial_ratio=110.0 is not allowed; give .* in \[1, 10\]",
        ),
        (CME, "basis = 0.056", "basis = 5.6", r"basis=5.6 is not allowed.*\(fraction of value per year, 0.05 is 5 %\)"),
        (CME, 'roll_interval = "730h"\n', "", r"covers funding.roll_interval, which the file does not give"),
        (CME, '"rules.hours", "closures"]', '"rules.hours"]', "closures has no source"),
        (CME, 'bearers = ["client"]', 'bearers = [""]', r"bearers=\(?\[?''.* is not allowed; give names in order"),
        (DERIBIT, "maintenance_base = 0.01", "maintenance_base = 1.0", r"maintenance_base=1.0 is not allowed.*5 %"),
        (
            SPOT,
            "call_level = 0.8",
            "call_level = 0.3",
            r"call_level=0.3 is not allowed; give a finite number in \[0.4, 10\]",
        ),
    ],
)
def test_rules_that_only_some_venues_have(tmp_path, text, old, new, message):
    refused(tmp_path, text, old, new, message)


def refused(tmp_path, text, old, new, message):
    assert old in text
    path = tmp_path / "mine_2024-10-24.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(VenueDataError, match=message) as caught:
        read_venue(path)
    assert str(caught.value).startswith("mine_2024-10-24.toml: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(VenueDataError, match=r"none\.toml: cannot be read \(No such file"):
        read_venue(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "Bö"'.encode("latin-1"))
    with pytest.raises(VenueDataError, match=r"latin\.toml: not text in UTF-8"):
        read_venue(path)
