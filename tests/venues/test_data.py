import dataclasses
import datetime as dt
import json

import msgspec
import pytest

from liqsim.errors import MarginRuleError, ParameterError, VenueDataError
from liqsim.positions import bankruptcy_price, liquidation_price
from liqsim.venues import Venue, list_venues, load_venue
from liqsim.venues.files import read_venue
from liqsim.venues.registry import _DATA
from liqsim.venues.venue import CONFIDENCE

FILES = sorted(_DATA.glob("*.toml"))
NAMED = {
    "binance-usdm-btcusdt", "bitmex-xbtusd", "bybit-btcusdt", "cme-btc", "cme-mbt", "coinbase-bip",
    "deribit-btc-perpetual", "deribit-btc_usdc", "dydx-btc-usd", "hyperliquid-btc", "kraken-pf-xbtusd",
    "kraken-pi-xbtusd", "kraken-spot-xbtusd", "okx-btcusdt",
}  # fmt: skip


def numbers(value, path):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_number_has_a_source_and_a_confidence(path):
    venue = read_venue(path)
    assert f"{venue.id}_{venue.snapshot.isoformat()}" == path.stem
    sources = {field: source for source in venue.sources for field in source.covers}
    raw = msgspec.toml.decode(path.read_bytes())
    for name in set(numbers({k: v for k, v in raw.items() if k != "sources"}, "")):
        section, field = name.split(".")[:2]
        source = sources[f"{section}.{field}"]
        assert source.origin
        assert source.as_of
        assert source.confidence in CONFIDENCE


def test_the_list():
    names = list_venues()
    assert names == sorted(names)
    assert set(names) >= NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_descriptions_are_json_and_hashed(name):
    venue = load_venue(name)
    assert load_venue(name) is venue
    again = json.loads(json.dumps(venue.to_dict(), allow_nan=False))
    assert again["id"] == name
    assert len(venue.hash) == 64
    assert dataclasses.replace(venue, name="other").hash != venue.hash
    assert dataclasses.replace(venue).hash == venue.hash
    with pytest.raises(dataclasses.FrozenInstanceError):
        venue.name = "other"


@pytest.mark.parametrize(
    "name",
    [
        "binance-usdm-btcusdt",
        "bitmex-xbtusd",
        "hyperliquid-btc",
        "kraken-pf-xbtusd",
        "kraken-pi-xbtusd",
        "dydx-btc-usd",
    ],
)
@pytest.mark.parametrize("side", ["long", "short"])
def test_lines_and_prices_of_the_shipped_venues_agree(name, side):
    venue = load_venue(name)
    notional, price, leverage = 1e5, 6e4, 10.0
    venue.check(leverage, notional, price, side)
    slopes, intercepts = venue.maintenance_lines(notional, price, side)
    q = float(venue.contract.quantity(notional, price))
    found = liquidation_price(venue, side, entry_price=price, quantity=q, leverage=leverage)
    w = found / price if venue.contract.kind == "linear" else price / found
    equity = 1 / leverage + venue.contract.direction(side) * (w - 1)
    assert equity == pytest.approx(max(slopes * w + intercepts), rel=1e-9)
    bankrupt = bankruptcy_price(venue, side, entry_price=price, quantity=q, leverage=leverage)
    assert bankrupt < found < price if side == "long" else price < found < bankrupt


def test_unknown_venue_suggests_what_was_meant():
    with pytest.raises(VenueDataError, match=r"venue 'bitmx' is unknown; did you mean 'bitmex-xbtusd'\? list_venues"):
        load_venue("bitmx")
    with pytest.raises(VenueDataError, match="venue 'zzzzzzzzzzzz' is unknown; list_venues"):
        load_venue("zzzzzzzzzzzz")


def test_snapshots_by_date():
    old, new = load_venue("kraken-pf-xbtusd", as_of="2026-03-01"), load_venue("kraken-pf-xbtusd")
    assert (old.liquidation.procedure, new.liquidation.procedure) == ("zero-equity-order", "incremental")
    assert load_venue("kraken-pf-xbtusd", as_of=dt.date(2030, 1, 1)) is new
    assert load_venue("cme-btc", "2020-06-01").margin.maintenance_per_contract == 12_837.0
    with pytest.raises(VenueDataError, match="no snapshot on or before 2001-01-01; the first is of"):
        load_venue("cme-btc", "2001-01-01")
    with pytest.raises(ParameterError, match="as_of='yesterday' is not a date"):
        load_venue("cme-btc", "yesterday")


def test_a_closed_venue_loads_with_its_status():
    venue = load_venue("bitmex-xbtusd")
    assert venue.status == "closed"
    assert "2026-09-23" in venue.status_note


def test_absent_values_are_named():
    assert "margin.maintenance_share" in dict(load_venue("coinbase-bip").absent)
    assert "margin.tiers" in dict(load_venue("okx-btcusdt").absent)
    with pytest.raises((VenueDataError, MarginRuleError)):
        load_venue("coinbase-bip").maintenance_lines(1e4, 6e4, "long", window="overnight")


GOOD = (_DATA / "binance-usdm-btcusdt_2024-10-24.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("multiplier = 1.0", "multiplyer = 1.0", "unknown field `multiplyer`.*contract"),
        ("multiplier = 1.0", 'multiplier = "1"', r"Expected `float`, got `str` - at `\$.contract.multiplier`"),
        ("snapshot = 2024-10-24", 'snapshot = "24.10.2024"', "snapshot"),
        ("[600e3, 3e6", "[500e3, 3e6", "tier 3 overlaps tier 2"),
        ("0.0065, 75.0", "5, 75.0", r"tier 3: maintenance_rate=5.0 is not allowed; give a finite number in \[0, 1\)"),
        ("taker = 0.0005", "taker = 5.0", "taker=5.0 is not allowed"),
        ('interval = "8h"', 'interval = "8"', "interval='8' cannot be read.*with a unit"),
        ('covers = ["margin.tiers"]', "covers = []", "margin.tiers has no source; name it in the covers list"),
        ('covers = ["margin.tiers"]', 'covers = ["margin.tiers", "fees.x"]', "covers fees.x, which the file does not"),
        ('covers = ["margin.tiers"]', 'covers = ["margin.tiers", "fees.taker"]', "fees.taker is covered by more than"),
        ('value = "contract.tick"', 'value = "fees.taker"', "fees.taker is listed as absent and given as well"),
        ('kind = "marginal-tiers"', 'kind = "tiers"', "Invalid value 'tiers' - at `.*margin"),
        ("[contract]", "[contract", "TOML|Expected|Invalid"),
        ('procedure = "takeover"', 'procedure = "sell"', "procedure='sell' is unknown"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path, old, new, message):
    assert old in GOOD
    path = tmp_path / "mine_2024-10-24.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(VenueDataError, match=message) as caught:
        read_venue(path)
    assert str(caught.value).startswith("mine_2024-10-24.toml: ")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VenueDataError, match=r"none\.toml: cannot be read"):
        read_venue(tmp_path / "none.toml")


def test_a_venue_of_ones_own():
    venue = Venue.from_tiers([(0, None, 0.01, 50)], name="mine")
    assert (venue.id, venue.label, venue.funding) == ("mine", "mine", None)
    assert (venue.fees.taker, venue.fees.maker) == (0.0, 0.0)
