"""Liquidation, bankruptcy and margin of a position: closed forms for every schedule and contract.

Equity and requirement, both per entry value, are functions of the value ratio ``w`` (see
:mod:`liqsim.venues.margin`). With ``d = +1`` for a linear long or inverse short and ``-1`` otherwise,

    cash + d (w - 1) = m(w)      liquidation
    cash + d (w - 1) = 0         bankruptcy

where ``cash`` is the margin balance net of funding, over the entry value. Coin posted as margin adds its value at
entry to ``d``, and its haircut to ``m``. ``m`` is made of linear or quadratic pieces, so every crossing has a closed
form; the tier is the one at the liquidation price.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from liqsim.errors import ParameterError
from liqsim.models._checks import check_flag
from liqsim.venues.contract import FloatArray, side_sign
from liqsim.venues.gaps import check_margin
from liqsim.venues.margin import Pieces, Terms
from liqsim.venues.registry import load_venue
from liqsim.venues.schedules import FlatLeverage, WindowedRates
from liqsim.venues.venue import Venue, numeric_array, positive_array

__all__ = ["bankruptcy_price", "initial_margin", "liquidation_price", "maintenance_margin", "unrealised_pnl"]

MarginMode = Literal["isolated", "cross"]


def _out(x: Any) -> Any:
    """Arrays stay arrays; scalars become floats."""
    return float(x) if np.ndim(x) == 0 else x


def _finite(name: str, value: ArrayLike, unit: str) -> FloatArray:
    x = numeric_array(name, value, f"a finite number {unit}")
    if not np.all(np.isfinite(x)):
        raise ParameterError(f"{name}={value!r} is not finite; give a finite number {unit}")
    return x


def _rules(venue: Venue | str, window: str | None = None) -> Venue:
    """The venue, whose rates change with the time of day where a margin window is named."""
    found = load_venue(venue) if isinstance(venue, str) else venue
    if not isinstance(found, Venue):
        raise ParameterError(f"venue={venue!r} is not a Venue; give one, or the id of a shipped one")
    if window is not None and not isinstance(found.margin, WindowedRates):
        raise ParameterError(
            f"window={window!r} means nothing to {found.label}, whose rates are the same at all times; leave it out"
        )
    return found


class _Position:
    """Checked inputs, broadcast together, and cash per entry value."""

    def __init__(
        self,
        venue: Venue | str,
        side: str,
        entry_price: ArrayLike,
        quantity: ArrayLike,
        leverage: ArrayLike | None,
        margin: ArrayLike | None,
        margin_mode: str,
        funding_paid: ArrayLike,
        other_pnl: ArrayLike,
        other_maintenance: ArrayLike = 0.0,
        window: str | None = None,
    ) -> None:
        venue = _rules(venue, window)
        contract = venue.contract
        self.direction = contract.direction(side)
        price = positive_array("entry_price", entry_price, f"({contract.quote} per {contract.base})")
        amount = positive_array("quantity", quantity, f"({contract.quantity_unit})")
        currency = contract.settlement
        money = f"({currency})"
        paid = _finite("funding_paid", funding_paid, money)
        pnl = _finite("other_pnl", other_pnl, money)
        others = _finite("other_maintenance", other_maintenance, money)
        if margin_mode not in ("isolated", "cross"):
            raise ParameterError(f'margin_mode={margin_mode!r} is unknown; give "isolated" or "cross"')
        if margin_mode == "isolated" and (np.any(pnl) or np.any(others)):
            raise ParameterError(
                "other_pnl and other_maintenance belong to the other positions of a cross-margined account; "
                'give margin_mode="cross", or leave them out'
            )
        if np.any(others < 0):
            raise ParameterError(f"other_maintenance={other_maintenance!r} must be 0 or more {money}")
        chosen = None if leverage is None else positive_array("leverage", leverage, "(notional / initial margin)")
        balance = None if margin is None else _finite("margin", margin, money)
        keeps_leverage = isinstance(venue.margin, FlatLeverage)
        if margin_mode == "cross" and balance is None:
            raise ParameterError(f'margin_mode="cross" needs margin, the wallet balance {money}')
        if chosen is None and balance is None:
            raise ParameterError(f"neither leverage nor margin is given; give exactly one (margin in {currency})")
        if chosen is not None and balance is not None and not keeps_leverage:
            raise ParameterError(
                f"leverage={leverage!r} and margin={margin!r} are both given; give exactly one (margin in {currency})"
            )
        if balance is not None and margin_mode == "isolated" and np.any(balance <= 0):
            raise ParameterError(f"margin={margin!r} is not allowed; give a finite number above 0 {money}")
        arrays = [price, amount, paid, pnl, others] + [x for x in (chosen, balance) if x is not None]
        try:
            price, amount, paid, pnl, others, *rest = np.broadcast_arrays(*arrays)
        except ValueError:
            shapes = ", ".join(str(np.shape(x)) for x in arrays)
            raise ParameterError(
                f"the shapes {shapes} do not broadcast together; give scalars or arrays of matching shape"
            ) from None
        self.venue, self.side, self.window = venue, side, window
        self.entry_price, self.quantity = price, amount
        self.value = contract.value(amount, price)
        venue.check_size(amount, price)
        if chosen is not None:
            venue.check(chosen, contract.notional(amount, price), price, side, window)
        self.leverage = None if chosen is None else rest[0]
        posted = rest[-1] if balance is not None else self.value / rest[0]
        self.cash = (posted - paid + pnl - others) / self.value
        self.coin = posted / self.value if venue.collateral_haircut is not None else np.zeros_like(self.value)

    def pieces(self) -> Pieces:
        """The requirement, less what the coin posted as margin has gained and counts for."""
        found = self.venue.pieces(
            self.quantity, self.entry_price, self.side, leverage=self.leverage, window=self.window
        )
        if self.venue.collateral_haircut is None:
            return found
        coin = self.coin[..., np.newaxis]
        return replace(found, c0=found.c0 + coin, c1=found.c1 - self.venue.counted_share * coin)

    def solve(self) -> FloatArray:
        """Value ratio at which the requirement is met."""
        pieces = self.pieces()
        found = pieces.solve(self.cash, self.direction)
        if self.venue.collateral_haircut is None or self.direction > 0:
            return found
        # a short that its collateral outweighs loses as the price falls: solved as a long, 2 (w - 1) more on both sides
        falling = replace(pieces, c0=pieces.c0 - 2.0, c1=pieces.c1 + 2.0).solve(self.cash, 1)
        is_none = np.isinf(found) | (found == 0.0)
        return np.where(is_none, np.where(falling > 0.0, falling, np.inf), found)

    def price(self, value_ratio: FloatArray) -> FloatArray:
        return self.venue.contract.price_at(self.entry_price, np.maximum(value_ratio, 0.0))


def _to_tick(venue: Venue, price: FloatArray, entry_price: FloatArray) -> FloatArray:
    tick = venue.contract.tick
    if tick is None:
        raise ParameterError(
            f"round_to_tick=True needs the tick of {venue.label}, which is not known; "
            "give a Contract with tick, or round_to_tick=False"
        )
    steps = price / tick
    toward = np.where(price < entry_price, np.ceil(steps - 1e-9), np.floor(steps + 1e-9))
    per_unit = round(1.0 / tick)  # a tenth is no float: a count of tenths over ten is the float nearest to the price
    is_whole = per_unit > 0 and abs(per_unit * tick - 1.0) < 1e-12
    rounded = toward / per_unit if is_whole else toward * tick
    return np.asarray(np.where(np.isfinite(steps), rounded, price))


def liquidation_price(
    venue: Venue | str,
    side: str = "long",
    *,
    entry_price: ArrayLike,
    quantity: ArrayLike,
    leverage: ArrayLike | None = None,
    margin: ArrayLike | None = None,
    margin_mode: MarginMode = "isolated",
    funding_paid: ArrayLike = 0.0,
    other_pnl: ArrayLike = 0.0,
    other_maintenance: ArrayLike = 0.0,
    window: str | None = None,
    round_to_tick: bool = False,
) -> Any:
    """Mark price at which a position's equity meets its maintenance requirement.

    Parameters
    ----------
    venue : Venue or str
        Rules, or the id of a shipped venue; the maintenance rate is that of the tier at the liquidation price.
    side : {"long", "short"}
        Side of the position.
    entry_price : array_like
        Quote per base, above 0.
    quantity : array_like
        Base units for a linear contract, quote units (1-USD contracts) for an inverse one; above 0.
    leverage : array_like, optional
        Notional over initial margin, at most the maximum of the tier that holds the entry notional.
    margin : array_like, optional
        Margin of the position (isolated) or wallet balance (cross), settlement currency; of coin posted as margin
        (``collateral_haircut``), its value at entry. Give exactly one of
        ``leverage`` and ``margin``; where the requirement depends on the leverage chosen (Kraken spot), both
        may be given. Fees that a venue sets aside on top of the margin and returns (BitMEX) do not count.
    margin_mode : {"isolated", "cross"}
        In cross mode the wallet and the other positions support this one.
    funding_paid : array_like, default 0
        Funding paid so far, settlement currency; negative if received.
    other_pnl, other_maintenance : array_like, default 0
        Unrealised profit and maintenance margin of the account's other positions (cross),
        settlement currency.
    window : str, optional
        Margin window, for schedules that change with the time of day.
    round_to_tick : bool, default False
        Round toward the entry price by the contract's tick, as BitMEX does.

    Returns
    -------
    float or ndarray
        Quote per base, broadcast over the inputs; 0.0 (long) or inf (short) where no price liquidates the
        position. Of several crossings it is the first that the price meets from entry. A price on the
        favourable side of the entry says that the position is below maintenance already. A short that the coin posted
        for it outweighs loses as the price falls, and the price that liquidates it, if any, is below the entry.

    Raises
    ------
    ParameterError
        If an input is not finite, not positive, or both or neither of ``leverage`` and ``margin`` are given.
    MarginRuleError
        If the position is beyond the last tier, or ``leverage`` above the tier's maximum.

    Notes
    -----
    Reproduces the published forms of Binance (support FAQ b3c689c1f50a44cabb3a84e663b81d93), OKX and Gate
    (requirement with closing fee, 2024-10), Bybit (on entry value to 2024, on mark value 2026), BitMEX
    (``Q / (v + s (m - k))``, recorded frames of 2019-01-19), Kraken Futures
    (https://support.kraken.com/hc/en-us/articles/360022835671, 2026-03-17), Kraken spot (articles 203053156
    and 203325763), Deribit (2022-01-11), Hyperliquid and CME margin arithmetic.

    Examples
    --------
    >>> venue = Venue.from_tiers([(0, None, 0.01, 50)])
    >>> round(liquidation_price(venue, "short", entry_price=8, quantity=1, leverage=5), 6)
    9.50495
    >>> in_coin = replace(venue, collateral_haircut=0.1)  # margin falls with the price: a 2x long is liquidated sooner
    >>> [round(liquidation_price(v, entry_price=60_000, quantity=1, leverage=2)) for v in (venue, in_coin)]
    [30303, 41667]
    """
    check_flag("round_to_tick", round_to_tick)
    position = _Position(
        venue,
        side,
        entry_price,
        quantity,
        leverage,
        margin,
        margin_mode,
        funding_paid,
        other_pnl,
        other_maintenance,
        window,
    )
    price = position.price(position.solve())
    return _out(_to_tick(position.venue, price, position.entry_price) if round_to_tick else price)


def bankruptcy_price(
    venue: Venue | str,
    side: str = "long",
    *,
    entry_price: ArrayLike,
    quantity: ArrayLike,
    leverage: ArrayLike | None = None,
    margin: ArrayLike | None = None,
    margin_mode: MarginMode = "isolated",
    funding_paid: ArrayLike = 0.0,
    other_pnl: ArrayLike = 0.0,
    closing_fee_rate: float = 0.0,
    window: str | None = None,
    round_to_tick: bool = False,
) -> Any:
    """Price at which a position's equity is zero: closing there uses up the margin exactly.

    Parameters
    ----------
    venue, side, entry_price, quantity, leverage, margin, margin_mode, funding_paid, other_pnl, round_to_tick
        As in :func:`liquidation_price`.
    window : str, optional
        Margin window in which the position is opened: it limits ``leverage``. The strictest unless given.
    closing_fee_rate : float, default 0
        Fee of the closing trade to be covered as well, fraction of the value at the bankruptcy price.

    Returns
    -------
    float or ndarray
        Quote per base; 0.0 (long) or inf (short) where no price uses up the margin.

    Notes
    -----
    BitMEX: ``Q / (v + s (posInit + posCross))`` (recorded frames, 2019-01-19). Bybit cross inverse, with fee:
    ``(1 + fee) Q / (Q / P0 + free balance)``.

    Examples
    --------
    >>> venue = Venue.from_tiers([(0, None, 0.005, 100)], contract="inverse")
    >>> bankruptcy_price(venue, entry_price=3621.0, quantity=1000, leverage=5)
    3017.5
    """
    check_flag("round_to_tick", round_to_tick)
    position = _Position(
        venue, side, entry_price, quantity, leverage, margin, margin_mode, funding_paid, other_pnl, window=window
    )
    fee = float(_finite("closing_fee_rate", closing_fee_rate, "(fraction of value)"))
    if not 0.0 <= fee < 1.0:
        raise ParameterError(
            f"closing_fee_rate={closing_fee_rate!r} is not allowed; give a number in [0, 1) (fraction of value)"
        )
    d = position.direction
    exposure = d + position.coin
    is_hedged = (d < 0) & (exposure >= fee)  # a short that its collateral outweighs: a fall may use up the margin
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (position.cash - exposure) / (fee - exposure)
    price = position.price(np.where(is_hedged & ~(np.isfinite(ratio) & (ratio > 0.0)), np.inf, ratio))
    return _out(_to_tick(position.venue, price, position.entry_price) if round_to_tick else price)


def initial_margin(
    venue: Venue | str,
    side: str = "long",
    *,
    entry_price: ArrayLike,
    quantity: ArrayLike,
    leverage: ArrayLike | None = None,
    window: str | None = None,
) -> Any:
    """Margin to open a position: value over leverage, or the least the venue asks for.

    Parameters
    ----------
    venue, side, entry_price, quantity
        As in :func:`liquidation_price`.
    leverage : array_like, optional
        Notional over initial margin; the maximum of the tier unless given.
    window : str, optional
        Margin window, for schedules that change with the time of day; the strictest unless given.

    Returns
    -------
    float or ndarray
        Settlement currency.
    """
    venue = _rules(venue, window)
    contract = venue.contract
    side_sign(side)
    price = positive_array("entry_price", entry_price, f"({contract.quote} per {contract.base})")
    amount = positive_array("quantity", quantity, f"({contract.quantity_unit})")
    notional, value = contract.notional(amount, price), contract.value(amount, price)
    venue.check_size(amount, price)
    if leverage is None:
        size = contract.size(amount, price, venue.margin.unit)
        check_margin(venue, for_initial=True)
        return _out(venue.margin.initial_rate(size, value, Terms(side, window=window)) * value / venue.counted_share)
    venue.check(leverage, notional, price, side, window)
    return _out(value / np.asarray(leverage, dtype=float))


def maintenance_margin(
    venue: Venue | str,
    side: str = "long",
    *,
    price: ArrayLike,
    quantity: ArrayLike,
    entry_price: ArrayLike | None = None,
    leverage: ArrayLike | None = None,
    window: str | None = None,
) -> Any:
    """Maintenance requirement of a position at a mark price, reserved closing fee included.

    Parameters
    ----------
    venue, side, quantity, leverage, window
        As in :func:`liquidation_price`; ``leverage`` matters only where the requirement depends on it.
    price : array_like
        Mark price, quote per base.
    entry_price : array_like, optional
        ``price`` unless given.

    Returns
    -------
    float or ndarray
        Settlement currency.

    Examples
    --------
    >>> venue = Venue.from_tiers([(0, 1e6, 0.01, 50), (1e6, None, 0.02, 25)])
    >>> maintenance_margin(venue, price=60_000.0, quantity=20.0)
    14000.0
    """
    venue = _rules(venue, window)
    contract = venue.contract
    side_sign(side)
    unit = f"({contract.quote} per {contract.base})"
    mark = positive_array("price", price, unit)
    entry = mark if entry_price is None else positive_array("entry_price", entry_price, unit)
    amount = positive_array("quantity", quantity, f"({contract.quantity_unit})")
    mark, entry, amount = np.broadcast_arrays(mark, entry, amount)
    venue.check_size(amount, mark)
    value = contract.value(amount, entry)
    ratio = contract.value(amount, mark) / value
    return _out(venue.pieces(amount, entry, side, leverage=leverage, window=window)(ratio) * value)


def unrealised_pnl(
    venue: Venue | str, side: str = "long", *, entry_price: ArrayLike, price: ArrayLike, quantity: ArrayLike
) -> Any:
    """Profit of a position at a mark price, settlement currency.

    ``quantity (P - P0)`` for a linear long, ``quantity (1/P0 - 1/P)`` for an inverse long; shorts mirrored.

    Examples
    --------
    >>> venue = Venue.from_tiers([(0, None, 0.005, 100)], contract="inverse")
    >>> round(unrealised_pnl(venue, entry_price=3621.0, price=3617.84, quantity=1000), 8)
    -0.00024122
    """
    venue = _rules(venue)
    contract = venue.contract
    unit = f"({contract.quote} per {contract.base})"
    entry, mark = positive_array("entry_price", entry_price, unit), positive_array("price", price, unit)
    amount = positive_array("quantity", quantity, f"({contract.quantity_unit})")
    change = contract.value(amount, mark) - contract.value(amount, entry)
    return _out(contract.direction(side) * change)
