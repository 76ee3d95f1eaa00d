"""The TOML form of a venue: strict decoding at the file edge, then the frozen types."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from liqsim.errors import LiqsimError, VenueDataError
from liqsim.venues.clock import WEEKDAYS, Closure, DailyTimes, parse_start, window_switches
from liqsim.venues.contract import Contract
from liqsim.venues.explain import explain, explain_syntax
from liqsim.venues.fees import Fees
from liqsim.venues.funding import BasisCarry, FixedFunding, FundingRule, PremiumFunding, Rollover
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.margin import MarginSchedule
from liqsim.venues.schedules import FixedPerContract, FlatLeverage, LinearInSize, MarginWindow, WindowedRates
from liqsim.venues.tiers import MarginalTiers, Tier, WholePositionTiers, refuse_unopenable
from liqsim.venues.unstated import UnstatedSchedule
from liqsim.venues.venue import CONFIDENCE, Source, Venue

__all__ = ["parse_venue", "read_venue"]


class _Struct(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class _Contract(_Struct):
    kind: Literal["linear", "inverse", "quanto"]
    base: str
    quote: str
    settlement: str
    multiplier: float
    tick: float | None = None
    lot: float | None = None
    position_limit: float | None = None


class _Margin(_Struct, tag_field="kind", kw_only=True):
    closing_fee_rate: float = 0.0


class _Marginal(_Margin, tag="marginal-tiers", kw_only=True):
    unit: Literal["quote", "base", "contracts"]
    charged_on: Literal["mark", "entry"]
    initial_shape: Literal["whole", "marginal"]
    tiers: list[tuple[float, float, float, float]]


class _Whole(_Margin, tag="whole-position-tiers", kw_only=True):
    unit: Literal["quote", "base", "contracts"]
    charged_on: Literal["mark", "entry"]
    tiers: list[tuple[float, float, float, float]]


class _Steps(_Margin, tag="risk-limit-steps", kw_only=True):
    unit: Literal["quote", "base", "contracts"]
    charged_on: Literal["mark", "entry"]
    base_limit: float
    step: float
    base_maintenance: float
    base_initial: float


class _LinearInSize(_Margin, tag="linear-in-size", kw_only=True):
    maintenance_base: float
    initial_base: float
    slope: float


class _PerContract(_Margin, tag="per-contract", kw_only=True):
    maintenance_per_contract: float
    initial_ratio: float


class _Flat(_Margin, tag="flat-leverage", kw_only=True):
    max_leverage: float
    liquidation_level: float
    call_level: float
    shorts_in_base: bool


class _Window(_Struct):
    name: str
    long_rate: float
    short_rate: float
    start: str | None = None
    end: str | None = None
    timezone: str = "UTC"


class _Windowed(_Margin, tag="windowed-rates", kw_only=True):
    windows: list[_Window]
    maintenance_share: float | None = None


class _Unstated(_Margin, tag="unstated", kw_only=True):
    shape: Literal["MarginalTiers", "WholePositionTiers", "FixedPerContract"]
    unit: Literal["quote", "base", "contracts"]
    charged_on: Literal["mark", "entry"]


class _DailyTimes(_Struct):
    times: list[str]
    timezone: str
    weekdays: list[str] = msgspec.field(default_factory=lambda: list(WEEKDAYS))


class _Closure(_Struct):
    start: str
    end: str
    timezone: str
    weekdays: list[str] | None = None


class _Premium(_Struct, tag_field="kind", tag="premium"):
    interval: str
    interest: float = 0.0
    clamp: float = 0.0
    cap: float = math.inf
    scale: float = 1.0
    smoothing: float = 0.0
    change_cap: float = math.inf
    notional: Literal["mark", "entry", "index"] = "mark"
    first: str | None = None
    anchor: str | None = None
    settlement: _DailyTimes | None = None
    changes: list[tuple[str, str]] = msgspec.field(default_factory=list)


class _Fixed(_Struct, tag_field="kind", tag="fixed"):
    rate: float
    interval: str
    notional: Literal["mark", "entry", "index"] = "mark"
    first: str | None = None
    anchor: str | None = None
    settlement: _DailyTimes | None = None


class _Basis(_Struct, tag_field="kind", tag="basis"):
    basis: float
    interval: str = "1D"
    notional: Literal["mark", "entry", "index"] = "mark"
    first: str | None = None
    roll_interval: str | None = None
    roll_cost: float = 0.0
    anchor: str | None = None


class _Rollover(_Struct, tag_field="kind", tag="rollover"):
    long_rate: float
    short_rate: float
    opening_long: float
    opening_short: float
    interval: str
    notional: Literal["mark", "entry", "index"] = "entry"
    first: str | None = None


class _Fees(_Struct):
    taker: float | None = None
    maker: float | None = None
    taker_per_contract: float = 0.0
    maker_per_contract: float = 0.0


class _Liquidation(_Struct):
    procedure: str
    residual: str
    deficit: str
    fee_rate: float | None = None
    step_fraction: float | None = None
    step_threshold: float | None = None
    cooldown: float | None = None
    backstop_fraction: float | None = None
    backstop: str = ""
    tiers_per_step: int = 1
    steps_from_tier: int = 2
    deadline: str | None = None
    immediate_below: float | None = None
    hazard: float | None = None
    bearers: list[str] = msgspec.field(default_factory=list)
    insurance_fund: float | None = None


class _Rules(_Struct):
    mark: str = ""
    hours: str = ""
    price_limits: str = ""
    eligibility: str = ""
    us_persons: bool | None = None
    jurisdictions: str = ""


class _Source(_Struct):
    covers: list[str]
    origin: str
    as_of: str
    confidence: Literal["D", "P", "S", "M", "C", "I", "U"]
    note: str = ""


class _Absent(_Struct):
    value: str
    note: str


class _File(_Struct):
    id: str
    name: str
    product: str
    snapshot: dt.date
    contract: _Contract
    margin: _Marginal | _Whole | _Steps | _LinearInSize | _PerContract | _Flat | _Windowed | _Unstated
    fees: _Fees
    liquidation: _Liquidation
    sources: list[_Source]
    funding: _Premium | _Fixed | _Basis | _Rollover | None = None
    margin_times: _DailyTimes | None = None
    closures: list[_Closure] = msgspec.field(default_factory=list)
    rules: _Rules = msgspec.field(default_factory=_Rules)
    status: Literal["open", "closed"] = "open"
    status_note: str = ""
    absent: list[_Absent] = msgspec.field(default_factory=list)


_SECTIONS = ("contract", "margin", "funding", "fees", "liquidation", "rules")
_WHOLE = ("margin_times", "closures")  # sections that have one source
_YEAR = r"(?:19|20)\d{2}"
_AS_OF = re.compile(rf"n/d|{_YEAR}|{_YEAR}-(?:0[1-9]|1[0-2])|{_YEAR}-{_YEAR}|{_YEAR}-\d{{2}}-\d{{2}}")
_FIRST_DATE, _LAST_DATE = dt.date(2009, 1, 3), dt.date(2099, 12, 31)  # the first is that of bitcoin's first block


def _fields(section: str, value: Any) -> Iterator[str]:
    """Yield the dotted names of the values written in a section of the file."""
    for key in value:
        if key != "kind":
            yield f"{section}.{key}"


def _check_sources(raw: dict[str, Any], file: _File) -> None:
    """Every value has a source, every source and every gap points at something that a venue has."""
    written = {name for section in _SECTIONS if section in raw for name in _fields(section, raw[section])}
    written |= {section for section in _WHOLE if section in raw}
    covered = [name for source in file.sources for name in source.covers]
    for name in sorted(written - set(covered)):
        raise VenueDataError(
            f"{name} has no source; name it in the covers list of a [[sources]] entry "
            f"with origin, as_of and confidence ({', '.join(CONFIDENCE)})"
        )
    for name in covered:
        if name not in written and name not in ("status", "funding"):
            raise VenueDataError(f"a source covers {name}, which the file does not give; remove it from covers")
    for name in covered:
        if covered.count(name) > 1:
            raise VenueDataError(f"{name} is covered by more than one source; keep the one it was taken from")
    for gap in file.absent:
        if gap.value in written:
            raise VenueDataError(f"{gap.value} is listed as absent and given as well; keep one of the two")


def _schedule(m: Any) -> MarginSchedule:
    fee = m.closing_fee_rate
    if isinstance(m, _Marginal):
        return MarginalTiers(
            tiers=tuple(Tier(*t) for t in m.tiers),
            unit=m.unit,
            charged_on=m.charged_on,
            initial_shape=m.initial_shape,
            closing_fee_rate=fee,
        )
    if isinstance(m, _Whole):
        rows = tuple(Tier(*t) for t in m.tiers)
        return WholePositionTiers(tiers=rows, unit=m.unit, charged_on=m.charged_on, closing_fee_rate=fee)
    if isinstance(m, _Steps):
        return WholePositionTiers.from_steps(
            base_limit=m.base_limit,
            step=m.step,
            base_maintenance=m.base_maintenance,
            base_initial=m.base_initial,
            unit=m.unit,
            charged_on=m.charged_on,
            closing_fee_rate=fee,
        )
    values = msgspec.structs.asdict(m)
    if isinstance(m, _LinearInSize):
        return LinearInSize(**values)
    if isinstance(m, _PerContract):
        return FixedPerContract(**values)
    if isinstance(m, _Flat):
        return FlatLeverage(**values)
    if isinstance(m, _Unstated):
        return UnstatedSchedule(**values)
    windows = tuple(MarginWindow(**msgspec.structs.asdict(w)) for w in m.windows)
    return WindowedRates(windows=windows, maintenance_share=m.maintenance_share, closing_fee_rate=fee)


def _check_dates(file: _File) -> None:
    """Dates that cannot be: a snapshot before there was anything to trade, a source of the 31st of June."""
    if not _FIRST_DATE <= file.snapshot <= _LAST_DATE:
        when = "before bitcoin" if file.snapshot < _FIRST_DATE else "too late"
        raise VenueDataError(f"snapshot={file.snapshot} is {when}; give a date from {_FIRST_DATE} to {_LAST_DATE}")
    for k, source in enumerate(file.sources, start=1):
        try:
            if _AS_OF.fullmatch(source.as_of) is None:
                raise ValueError
            if len(source.as_of) == 10:
                dt.date.fromisoformat(source.as_of)
        except ValueError:
            raise VenueDataError(
                f"sources, row {k} as_of={source.as_of!r} is not a date; give "
                '"YYYY-MM-DD", "YYYY-MM", "YYYY", years "YYYY-YYYY", or "n/d" where the page has none'
            ) from None


def _check_windows(margin: MarginSchedule) -> None:
    """Every instant of a week in winter and of one in summer has one margin window."""
    if isinstance(margin, WindowedRates):
        for day in ("2026-01-05", "2026-07-06"):
            start = parse_start(day)
            window_switches(margin.windows, start, start + dt.timedelta(days=7))


def _times(t: _DailyTimes | None) -> DailyTimes | None:
    return None if t is None else DailyTimes(tuple(t.times), t.timezone, tuple(t.weekdays))


def _closure(c: _Closure) -> Closure:
    return Closure(c.start, c.end, c.timezone, None if c.weekdays is None else tuple(c.weekdays))


def _funding(f: _Premium | _Fixed | _Basis | _Rollover | None) -> FundingRule | None:
    if f is None:
        return None
    values = msgspec.structs.asdict(f)
    if isinstance(f, _Rollover):
        return Rollover(**values)
    if isinstance(f, _Basis):
        return BasisCarry(**values)
    values["settlement"] = _times(f.settlement)
    return PremiumFunding(**values) if isinstance(f, _Premium) else FixedFunding(**values)


@contextmanager
def _section(name: str) -> Iterator[None]:
    """Name the section of the file in which a value is refused."""
    try:
        yield
    except LiqsimError as error:
        raise VenueDataError(f"[{name}] {error}") from None


def _venue(raw: dict[str, Any], file: _File) -> Venue:
    _check_dates(file)
    _check_sources(raw, file)
    asdict = msgspec.structs.asdict
    with _section("contract"):
        contract = Contract(**asdict(file.contract))
    with _section("margin"):
        margin = _schedule(file.margin)
        if isinstance(margin, (MarginalTiers, WholePositionTiers)):
            refuse_unopenable(type(margin).__name__, margin.tiers)
        _check_windows(margin)
    with _section("funding"):
        funding = _funding(file.funding)
    with _section("fees"):
        fees = Fees(**asdict(file.fees))
    with _section("liquidation"):
        liquidation = Liquidation(**asdict(file.liquidation))
    with _section("margin_times"):
        margin_times = _times(file.margin_times)
    with _section("closures"):
        closures = tuple(_closure(c) for c in file.closures)
    return Venue(
        id=file.id,
        name=file.name,
        product=file.product,
        contract=contract,
        margin=margin,
        funding=funding,
        fees=fees,
        liquidation=liquidation,
        snapshot=file.snapshot,
        status=file.status,
        status_note=file.status_note,
        sources=tuple(Source(tuple(s.covers), s.origin, s.as_of, s.confidence, s.note) for s in file.sources),
        absent=tuple((gap.value, gap.note) for gap in file.absent),
        margin_times=margin_times,
        closures=closures,
        **asdict(file.rules),
    )


def read_venue(path: Path) -> Venue:
    """Read one venue file.

    Parameters
    ----------
    path : pathlib.Path
        TOML file; see the files beside this module for the form.

    Returns
    -------
    Venue
        The rules that the file holds.

    Raises
    ------
    VenueDataError
        If the file cannot be read, has an unknown key, a value of the wrong type or out of range, or a value
        without a source. The message names file, key, value and the allowed form.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise VenueDataError(f"{path.name}: cannot be read ({error.strerror}); give the path of a TOML file") from None
    except UnicodeDecodeError as error:
        raise VenueDataError(f"{path.name}: not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    return parse_venue(text, path.name)


def parse_venue(text: str, name: str) -> Venue:
    """Read a venue from the text of its file, whose name is for messages; see :func:`read_venue`."""
    try:
        raw = msgspec.toml.decode(text)
    except msgspec.DecodeError as error:
        raise VenueDataError(f"{name}: {explain_syntax(error, text)}") from None
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise VenueDataError(f"{name}: {explain(error, raw, _File)}") from None
    try:
        return _venue(raw, file)
    except LiqsimError as error:
        raise VenueDataError(f"{name}: {error}") from None
