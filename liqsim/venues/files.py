"""The TOML form of a venue: strict decoding at the file edge, then the frozen types."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from liqsim.errors import LiqsimError, VenueDataError
from liqsim.venues.contract import Contract
from liqsim.venues.fees import Fees
from liqsim.venues.funding import FixedFunding, FundingRule, PremiumFunding, Rollover
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.margin import MarginSchedule
from liqsim.venues.schedules import FixedPerContract, FlatLeverage, LinearInSize, MarginWindow, WindowedRates
from liqsim.venues.tiers import MarginalTiers, Tier, WholePositionTiers, refuse_unopenable
from liqsim.venues.unstated import UnstatedSchedule
from liqsim.venues.venue import CONFIDENCE, Source, Venue

__all__ = ["read_venue"]


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


class _Fixed(_Struct, tag_field="kind", tag="fixed"):
    rate: float
    interval: str
    notional: Literal["mark", "entry", "index"] = "mark"
    first: str | None = None


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


class _Rules(_Struct):
    mark: str = ""
    hours: str = ""
    price_limits: str = ""
    eligibility: str = ""


class _Source(_Struct):
    covers: list[str]
    origin: str
    as_of: str
    confidence: Literal["D", "P", "S", "M", "C", "I"]
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
    funding: _Premium | _Fixed | _Rollover | None = None
    rules: _Rules = msgspec.field(default_factory=_Rules)
    status: Literal["open", "closed"] = "open"
    status_note: str = ""
    absent: list[_Absent] = msgspec.field(default_factory=list)


_SECTIONS = ("contract", "margin", "funding", "fees", "liquidation", "rules")


def _fields(section: str, value: Any) -> Iterator[str]:
    """Yield the dotted names of the values written in a section of the file."""
    for key in value:
        if key != "kind":
            yield f"{section}.{key}"


def _check_sources(raw: dict[str, Any], file: _File) -> None:
    """Every value has a source, every source and every gap points at something that a venue has."""
    written = {name for section in _SECTIONS if section in raw for name in _fields(section, raw[section])}
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


def _funding(f: _Premium | _Fixed | _Rollover | None) -> FundingRule | None:
    if f is None:
        return None
    values = msgspec.structs.asdict(f)
    if isinstance(f, _Rollover):
        return Rollover(**values)
    return PremiumFunding(**values) if isinstance(f, _Premium) else FixedFunding(**values)


def read_venue(path: Path) -> Venue:
    """Read one venue file.

    Parameters
    ----------
    path : pathlib.Path
        TOML file; see the files beside this module for the form.

    Raises
    ------
    VenueDataError
        If the file cannot be read, has an unknown key, a value of the wrong type or out of range, or a value
        without a source. The message names file, key, value and the allowed form.
    """
    try:
        text = path.read_bytes()
        raw = msgspec.toml.decode(text)
        file = msgspec.convert(raw, _File)
        _check_sources(raw, file)
        asdict = msgspec.structs.asdict
        margin = _schedule(file.margin)
        if isinstance(margin, (MarginalTiers, WholePositionTiers)):
            refuse_unopenable(type(margin).__name__, margin.tiers)
        return Venue(
            id=file.id,
            name=file.name,
            product=file.product,
            contract=Contract(**asdict(file.contract)),
            margin=margin,
            funding=_funding(file.funding),
            fees=Fees(**asdict(file.fees)),
            liquidation=Liquidation(**asdict(file.liquidation)),
            snapshot=file.snapshot,
            status=file.status,
            status_note=file.status_note,
            sources=tuple(Source(tuple(s.covers), s.origin, s.as_of, s.confidence, s.note) for s in file.sources),
            absent=tuple((gap.value, gap.note) for gap in file.absent),
            **asdict(file.rules),
        )
    except OSError as error:
        raise VenueDataError(f"{path.name}: cannot be read ({error.strerror}); give the path of a TOML file") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VenueDataError(f"{path.name}: {error}; see the venue files shipped with liqsim for the form") from None
    except LiqsimError as error:
        raise VenueDataError(f"{path.name}: {error}") from None
