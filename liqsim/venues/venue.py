"""A venue: contract, margin schedule, funding, fees and liquidation procedure under one name and date."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from liqsim.durations import Duration, duration_text
from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models._checks import number
from liqsim.venues import gaps
from liqsim.venues.clock import Closure, DailyTimes, ascending_changes
from liqsim.venues.contract import Contract, FloatArray, SizeUnit, side_sign
from liqsim.venues.fees import Fees
from liqsim.venues.funding import FundingRule
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.margin import ChargedOn, MarginSchedule, Pieces, Terms
from liqsim.venues.tiers import MarginalTiers, checked_tiers

__all__ = ["Source", "Venue", "numeric_array", "positive_array"]

CONFIDENCE = {
    "D": "documented by the venue",
    "P": "primary document quoted by a dated note",
    "S": "secondary source",
    "M": "from memory, unconfirmed",
    "C": "computed from documented figures",
    "I": "inferred",
    "U": "given by the user",
}


def numeric_array(name: str, value: ArrayLike, wanted: str) -> FloatArray:
    """Return ``value`` as a float array, or raise saying what is ``wanted``."""
    try:
        x = np.asarray(value)
        if x.dtype == bool or x.dtype.kind not in "iuf":
            raise TypeError
        return x.astype(float)
    except (TypeError, ValueError):
        raise ParameterError(f"{name}={value!r} is not a number; give {wanted}") from None


def positive_array(name: str, value: ArrayLike, unit: str) -> FloatArray:
    """Return ``value`` as a float array, or raise unless every entry is finite and above 0."""
    x = numeric_array(name, value, f"a finite number above 0 {unit}")
    bad = ~(np.isfinite(x) & (x > 0.0))
    if bad.any():
        raise ParameterError(f"{name}={float(x[bad].flat[0])!r} is not allowed; give a finite number above 0 {unit}")
    return x


@dataclass(frozen=True)
class Source:
    """Where values of a venue come from: the fields covered, the page or record, its date, our confidence.

    ``confidence`` is one of D (documented by the venue), P (primary document quoted by a dated note),
    S (secondary), M (from memory), C (computed from documented figures), I (inferred), U (given by the user).
    """

    covers: tuple[str, ...]
    origin: str
    as_of: str
    confidence: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values."""
        return {
            "covers": list(self.covers),
            "origin": self.origin,
            "as_of": self.as_of,
            "confidence": self.confidence,
            "note": self.note,
        }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


@dataclass(frozen=True)
class Venue:
    """Rules of one product of one venue at one date.

    Parameters
    ----------
    id, name, product : str
        Identifier such as ``"bitmex-xbtusd"``, the venue's name and the product's.
    contract : Contract
        Payoff, currencies and steps.
    margin : MarginSchedule
        Maintenance and initial margin.
    funding : PremiumFunding, FixedFunding, BasisCarry, Rollover or None
        None where nothing is paid.
    fees : Fees
        Trading fees.
    liquidation : Liquidation
        Close-out procedure.
    mark, hours, price_limits, eligibility : str
        The venue's mark price, trading hours, price limits and who may trade, in words; empty if not known.
    snapshot : datetime.date, optional
        Date for which the rules are held.
    status : {"open", "closed"}
        Whether the product still trades; ``status_note`` says more.
    sources : tuple of Source
        Origin of every value.
    absent : tuple of (str, str)
        Fields that were looked for and not found, with a word on the search.
    margin_times : DailyTimes, optional
        When margin is tested, where it is not tested all the time (CME: at clearing).
    closures : tuple of Closure
        Hours without trading: no stop, no forced close, no margin test. A test at the very instant at which trading
        stops takes place: it uses the closing price.
    margin_changes : tuple of (duration, float), optional
        Time after entry and what the maintenance requirement of open positions is multiplied by from then on,
        ascending: the venue resets its margins within a run. The opening requirement stays. A look or a margin test at
        the very instant is still by what held before it.
    collateral_haircut : float, optional
        Margin of a linear contract is posted in the base coin instead of the settlement currency, and this share of its
        value is not counted, [0, 1). The coin falls with the price: a long loses twice. P&L and shortfall are those of
        the account, the coin's own gain or loss included; leverage is notional over the coin's value at entry.
    us_persons : bool, optional
        Whether US persons may trade the product; None where it depends on more than that.
    jurisdictions : str
        Other limits by place of residence, in words.

    Notes
    -----
    The requirement is a function of the value ratio ``w``: price over entry price for linear contracts, its
    inverse for inverse ones (coin value over entry coin value).

    Examples
    --------
    >>> venue = Venue.from_tiers([(0, 1e6, 0.005, 100), (1e6, None, 0.01, 50)], contract="linear")
    >>> slopes, intercepts = venue.maintenance_lines(notional=2e5, price=60_000.0, side="long")
    >>> slopes.tolist(), intercepts.tolist()
    ([0.005, 0.01], [0.0, -0.025])
    """

    id: str
    name: str
    product: str
    contract: Contract
    margin: MarginSchedule
    funding: FundingRule | None = None
    fees: Fees = field(default_factory=Fees)
    liquidation: Liquidation = field(default_factory=Liquidation)
    mark: str = ""
    hours: str = ""
    price_limits: str = ""
    eligibility: str = ""
    snapshot: dt.date | None = None
    status: Literal["open", "closed"] = "open"
    status_note: str = ""
    sources: tuple[Source, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    margin_times: DailyTimes | None = None
    closures: tuple[Closure, ...] = ()
    us_persons: bool | None = None
    jurisdictions: str = ""
    margin_changes: tuple[tuple[Duration, float], ...] = ()
    collateral_haircut: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.id, str) and self.id):
            raise ParameterError(f"Venue: id={self.id!r} is not a name; give text such as 'bitmex-xbtusd'")
        for name, kind in (("contract", Contract), ("margin", MarginSchedule), ("fees", Fees)):
            if not isinstance(getattr(self, name), kind):
                raise ParameterError(f"Venue: {name}={getattr(self, name)!r} is not allowed; give a {kind.__name__}")
        if self.margin.unit == "contracts" and self.contract.is_inverse:
            raise ParameterError(
                f"Venue: margin of {type(self.margin).__name__} in contracts needs a linear contract, not "
                f"{self.contract.kind!r}; give a schedule counted in quote or base"
            )
        if self.funding is not None and not isinstance(self.funding, FundingRule):
            raise ParameterError(
                f"Venue: funding={self.funding!r} is not a funding rule; "
                "give PremiumFunding(...), FixedFunding(...), BasisCarry(...), Rollover(...) or None"
            )
        if not isinstance(self.liquidation, Liquidation):
            raise ParameterError(f"Venue: liquidation={self.liquidation!r} is not allowed; give a Liquidation")
        if self.margin_times is not None and not isinstance(self.margin_times, DailyTimes):
            raise ParameterError(
                f"Venue: margin_times={self.margin_times!r} is not allowed; give DailyTimes(...), or None where margin "
                "is tested all the time"
            )
        closures = (self.closures,) if isinstance(self.closures, Closure) else tuple(self.closures)
        if not all(isinstance(c, Closure) for c in closures):
            raise ParameterError(f"Venue: closures={self.closures!r} is not allowed; give Closure(...) objects")
        object.__setattr__(self, "closures", closures)
        if self.us_persons is not None and not isinstance(self.us_persons, bool):
            raise ParameterError(f"Venue: us_persons={self.us_persons!r} is not allowed; give True, False or None")
        self._check_margin_changes()
        if self.collateral_haircut is not None:
            self._check_collateral()

    def _check_collateral(self) -> None:
        unit = "(share of the coin's value that does not count), or None for margin in the settlement currency"
        share = number("Venue", "collateral_haircut", self.collateral_haircut, unit, low=0, high=1, high_open=True)
        if self.contract.kind != "linear":
            raise ParameterError(
                f"Venue: collateral_haircut={self.collateral_haircut!r} needs a linear contract, not "
                f"{self.contract.kind!r}; the margin of an inverse one is in coin by itself, so leave it out"
            )
        object.__setattr__(self, "collateral_haircut", share)

    @property
    def counted_share(self) -> float:
        """Share of the margin posted that the venue counts."""
        return 1.0 - (self.collateral_haircut or 0.0)

    def _check_margin_changes(self) -> None:
        form = 'give (time after entry, factor) pairs in ascending order, such as (("10D", 1.3),)'
        pairs = ascending_changes("Venue", "margin_changes", self.margin_changes, form)
        unit = "(of the requirement at entry, 1.3 is 30 % more)"
        checked = [
            (after, number("Venue", "margin_changes", factor, unit, low=0, high=100, low_open=True))
            for after, factor in pairs
        ]
        object.__setattr__(self, "margin_changes", tuple(checked))

    @classmethod
    def from_tiers(
        cls,
        tiers: Iterable[Any],
        contract: Contract | str = "linear",
        taker_fee: float = 0.0,
        maker_fee: float = 0.0,
        funding: FundingRule | None = None,
        name: str = "custom",
        *,
        unit: SizeUnit = "quote",
        charged_on: ChargedOn = "mark",
        closing_fee_rate: float = 0.0,
    ) -> Venue:
        """Make a venue of one's own from a table of marginal tiers; no fees or funding unless given.

        Parameters
        ----------
        tiers : sequence of (floor, cap, maintenance_rate, max_leverage)
            Rows in ascending order; the last cap may be inf or None.
        contract : {"linear", "inverse"} or Contract
            Payoff, BTC in USD with no price step unless a Contract is given.
        taker_fee, maker_fee : float, default 0
            Fractions of notional.
        funding : PremiumFunding, FixedFunding or None
            Funding rule.
        name : str, default "custom"
            Identifier of the venue.
        unit : {"quote", "base"}
            How tiers count size; ``quote`` is notional at the current price for a linear contract and the
            quote value of the contracts for an inverse one.
        charged_on : {"mark", "entry"}
            Value on which the requirement is charged.
        closing_fee_rate : float, default 0
            Closing fee reserved on top of the requirement.

        Raises
        ------
        VenueDataError
            If the table overlaps, has holes or is not ordered; the row is named.
        """
        made = contract if isinstance(contract, Contract) else Contract(kind=contract)  # type: ignore[arg-type]
        schedule = MarginalTiers(
            tiers=checked_tiers(MarginalTiers.__name__, tiers),
            unit=unit,
            charged_on=charged_on,
            closing_fee_rate=closing_fee_rate,
        )
        return cls(
            id=name,
            name=name,
            product=f"{made.kind} {made.base}{made.quote}",
            contract=made,
            margin=schedule,
            funding=funding,
            fees=Fees(taker=taker_fee, maker=maker_fee),
        )

    @property
    def label(self) -> str:
        """Identifier and date, for messages."""
        return self.id if self.snapshot is None else f"{self.id}, {self.snapshot.isoformat()}"

    def needs(self) -> tuple[str, ...]:
        """Dotted names of what a simulation of this venue needs and no source states, such as ``"fees.taker"``."""
        return gaps.needs(self)

    def assume(self, values: Mapping[str, Any] | None = None, /, **kwargs: Any) -> Venue:
        """Fill in values that no source states.

        Parameters
        ----------
        values : mapping of str to object, optional
            Values by dotted name, such as ``{"liquidation.hazard": 0.5}``. ``margin.tiers`` takes rows of
            (floor, cap, maintenance rate, maximum leverage) in the unit that the venue counts in.
        **kwargs
            The same by the last part of the name, such as ``hazard=0.5``.

        Returns
        -------
        Venue
            A copy that holds the values, no longer lists them as absent, and names the user as their source.

        Raises
        ------
        VenueDataError
            If a name is unknown, or the venue states the value already.
        ParameterError
            If a value is out of range.

        Examples
        --------
        >>> from liqsim.venues import load_venue
        >>> spot = load_venue("kraken-spot-xbtusd")
        >>> spot.needs()
        ('fees.taker', 'liquidation.hazard')
        >>> spot.assume({"fees.taker": 0.0026}, hazard=0.5).needs()
        ()
        """
        return gaps.assume(self, {**(values or {})}, kwargs)

    def check_known(self) -> None:
        """Raise VenueDataError, naming everything that is missing, unless a simulation has all it needs."""
        gaps.check_known(self)

    def max_leverage(
        self, notional: ArrayLike, price: ArrayLike, side: str = "long", window: str | None = None
    ) -> FloatArray:
        """Largest leverage at which ``notional`` (quote currency) may be opened at ``price``."""
        gaps.check_margin(self, for_initial=True)
        p = positive_array("price", price, "(quote per base)")
        q = self.contract.quantity(positive_array("notional", notional, f"({self.contract.notional_unit})"), p)
        size = self.contract.size(q, p, self.margin.unit)
        least = self.margin.initial_rate(size, self.contract.value(q, p), Terms(side, window=window))
        return self.counted_share / least

    def max_notional(self, price: ArrayLike) -> FloatArray:
        """Largest notional (quote currency) that schedule and position limit allow at ``price``; inf for no limit."""
        p = positive_array("price", price, "(quote per base)")
        contracts = self.contract.multiplier * (np.ones_like(p) if self.contract.is_inverse else p)
        of_unit = {"quote": np.ones_like(p), "base": p, "contracts": contracts}[self.margin.unit]
        limit = self.margin.max_notional * of_unit
        most = self.contract.position_limit
        return np.asarray(limit if most is None else np.minimum(limit, most * contracts))

    def check_size(self, quantity: ArrayLike, price: ArrayLike) -> None:
        """Raise MarginRuleError where a position is larger than the schedule or the position limit allows."""
        most = self.contract.position_limit
        held = self.contract.size(quantity, price, "contracts")
        if most is not None and np.any(held > most * (1.0 + 1e-12)):
            raise MarginRuleError(
                f"a position of {float(np.max(held)):,.12g} contracts is above the limit of {self.label}, "
                f"{most:,.12g} contracts of {self.contract.multiplier:g}; make the position smaller"
            )
        size = self.contract.size(quantity, price, self.margin.unit)
        limit = self.margin.max_notional
        over = size > limit * (1.0 + 1e-12)
        if np.any(over):
            notional = np.broadcast_to(self.contract.notional(quantity, price), np.shape(size))[over].flat[0]
            unit = {
                "quote": self.contract.notional_unit,
                "base": self.contract.base,
                "contracts": "contracts",
            }[self.margin.unit]
            raise MarginRuleError(
                f"notional={notional:.12g} {self.contract.notional_unit} is beyond the last tier of {self.label}, "
                f"which ends at {limit:.12g} {unit}; make the position smaller or add a tier"
            )

    def check(
        self,
        leverage: ArrayLike,
        notional: ArrayLike,
        price: ArrayLike,
        side: str = "long",
        window: str | None = None,
    ) -> None:
        """Raise MarginRuleError unless the venue lets ``notional`` be opened at ``leverage``.

        Parameters
        ----------
        leverage : array_like
            Notional over initial margin.
        notional : array_like
            Entry notional, quote currency.
        price : array_like
            Entry price, quote per base.
        side : {"long", "short"}
            Side, for schedules that tell them apart.
        window : str, optional
            Margin window, for schedules that change with the time of day; the strictest unless given.

        Raises
        ------
        MarginRuleError
            If the notional is beyond the last tier, or a leverage is above the maximum of its tier.
        """
        side_sign(side)
        lev = positive_array("leverage", leverage, "(notional / initial margin)")
        n = positive_array("notional", notional, f"({self.contract.notional_unit})")
        p = positive_array("price", price, "(quote per base)")
        lev, n, p = np.broadcast_arrays(lev, n, p)
        q = self.contract.quantity(n, p)
        self.check_size(q, p)
        allowed = self.max_leverage(n, p, side=side, window=window)
        over = lev > allowed * (1.0 + 1e-12)
        if not np.any(over):
            return
        i = int(np.flatnonzero(over)[0])
        size = self.contract.size(q, p, self.margin.unit)
        tier = self.margin.tier_index(size)
        counted = "" if self.counted_share == 1.0 else f", which counts {self.counted_share:.4g} of the coin posted"
        row = "" if tier is None else f"tier {int(np.ravel(tier)[i]) + 1} of "
        top = float(np.ravel(allowed)[i])
        shown = f"{top:.1f}" if abs(top - round(top, 1)) < 1e-9 * top else f"{top:.6g}"
        raise MarginRuleError(
            f"leverage={float(np.ravel(lev)[i])} exceeds {shown} allowed for notional "
            f"{_compact(float(np.ravel(n)[i]))} {self.contract.notional_unit} ({row}{self.label}{counted}); "
            "lower the leverage or the notional"
        )

    def pieces(
        self,
        quantity: ArrayLike,
        entry_price: ArrayLike,
        side: str = "long",
        *,
        leverage: Any = None,
        window: str | None = None,
    ) -> Pieces:
        """Requirement per entry value as a function of the value ratio, for a position opened as given."""
        gaps.check_margin(self)
        size = self.contract.size(quantity, entry_price, self.margin.unit)
        value = self.contract.value(quantity, entry_price)
        moves = self.contract.size_moves(self.margin.unit)
        return self.margin.pieces(size, value, moves, Terms(side, leverage, window))

    def maintenance_lines(
        self,
        notional: float,
        price: float,
        side: str,
        *,
        leverage: float | None = None,
        window: str | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Lines whose maximum is the maintenance requirement per unit of entry value.

        Parameters
        ----------
        notional, price : float
            Entry notional (quote currency) and price (quote per base).
        side : {"long", "short"}
            Side, for schedules that tell them apart.
        leverage, window : optional
            Needed by schedules that depend on the leverage chosen or on the time of day.

        Returns
        -------
        alpha, beta : ndarray of float64, shape (K,)
            The requirement at value ratio ``w`` is ``max_k(alpha_k w + beta_k)`` for every ``w`` in (0, 10];
            ``w`` is price over entry price (linear) or entry price over price (inverse).

        Raises
        ------
        MarginRuleError
            If the requirement is not a convex, piecewise linear function of ``w``, or the notional is beyond
            the last tier.
        """
        side_sign(side)
        p = positive_array("price", price, "(quote per base)")
        n = positive_array("notional", notional, f"({self.contract.notional_unit})")
        q = self.contract.quantity(n, p)
        self.check_size(q, p)
        return self.pieces(q, p, side, leverage=leverage, window=window).lines(self.label)

    def to_dict(self) -> dict[str, Any]:
        """All rules as plain values, for provenance; infinities are the text ``"inf"``."""
        changes = [[duration_text(after), factor] for after, factor in self.margin_changes]
        return _plain(
            {
                "id": self.id,
                "name": self.name,
                "product": self.product,
                "snapshot": None if self.snapshot is None else self.snapshot.isoformat(),
                "status": self.status,
                "status_note": self.status_note,
                "contract": self.contract.to_dict(),
                "margin": self.margin.to_dict(),
                "funding": None if self.funding is None else self.funding.to_dict(),
                "fees": self.fees.to_dict(),
                "liquidation": self.liquidation.to_dict(),
                "mark": self.mark,
                "hours": self.hours,
                "price_limits": self.price_limits,
                "eligibility": self.eligibility,
                "margin_times": None if self.margin_times is None else self.margin_times.to_dict(),
                "closures": [closure.to_dict() for closure in self.closures],
                "us_persons": self.us_persons,
                "jurisdictions": self.jurisdictions,
                "sources": [s.to_dict() for s in self.sources],
                "absent": {k: v for k, v in self.absent},
            }
            | ({"margin_changes": changes} if changes else {})
            | ({} if self.collateral_haircut is None else {"collateral_haircut": self.collateral_haircut})
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of :meth:`to_dict`."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _compact(x: float) -> str:
    """Write 1200000.0 as 1.2e6 and 50000.0 as 50000."""
    if x >= 1e6:
        mantissa, exponent = f"{x:.6e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{x:.10g}"
