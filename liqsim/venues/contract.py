"""Contract payoffs: what a position is worth, and how its size is measured, at a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models._checks import number

__all__ = ["Contract", "ContractKind", "FloatArray", "Side", "SizeUnit", "side_sign"]

FloatArray: TypeAlias = NDArray[np.float64]
ContractKind: TypeAlias = Literal["linear", "inverse", "quanto"]
Side: TypeAlias = Literal["long", "short"]
SizeUnit: TypeAlias = Literal["quote", "base", "contracts"]


def side_sign(side: str) -> int:
    """Return +1 for ``"long"`` and -1 for ``"short"``; raise for anything else."""
    if side == "long":
        return 1
    if side == "short":
        return -1
    raise ParameterError(f'side={side!r} is not a side; give "long" or "short"')


@dataclass(frozen=True)
class Contract:
    """Payoff and units of a contract.

    Parameters
    ----------
    kind : {"linear", "inverse", "quanto"}
        ``linear`` pays ``quantity * (P - P0)`` in quote currency; ``inverse`` pays
        ``quantity * (1/P0 - 1/P)`` in base coin; ``quanto`` pays ``quantity * multiplier * (P - P0)`` in a third
        currency.
    base, quote : str, default "BTC", "USD"
        Currencies of the price, quote per base.
    settlement : str, optional
        Currency of margin and profit; ``quote`` for linear and ``base`` for inverse unless given. A quanto contract
        needs it.
    multiplier : float, default 1
        Base units per contract (linear), quote units per contract (inverse), settlement currency per contract and unit
        of price (quanto; BitMEX ETHUSD: 1e-6 XBT per contract and USD).
    tick : float, optional
        Smallest price step, quote per base; absent where no source states it.
    lot : float, optional
        Smallest quantity step, base units (linear), quote units (inverse) or contracts (quanto).
    position_limit : float, optional
        Most contracts that one account may hold; None where no source states a limit.

    Notes
    -----
    **Quantity** means base units for a linear contract, quote units (1-USD contracts) for an inverse one and contracts
    for a quanto one. **Value** is the position's worth in settlement currency: ``quantity * P``, ``quantity / P`` or
    ``quantity * multiplier * P``. The value ratio ``w`` is value over entry value: ``P / P0``, or ``P0 / P`` for an
    inverse contract. **Notional** is counted in quote currency; of a quanto contract it is the value, in settlement
    currency, since its worth in quote currency depends on a price that is not the contract's.

    Examples
    --------
    >>> ether = Contract("quanto", base="ETH", quote="USD", settlement="XBT", multiplier=1e-6)
    >>> float(ether.value(1000, 3000.0))
    3.0
    """

    kind: ContractKind
    base: str = "BTC"
    quote: str = "USD"
    settlement: str = ""
    multiplier: float = 1.0
    tick: float | None = None
    lot: float | None = None
    position_limit: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(ContractKind):
            raise ParameterError(
                f'Contract: kind={self.kind!r} is not a contract kind; give "linear", "inverse" or "quanto"'
            )
        for field in ("base", "quote"):
            if not (isinstance(getattr(self, field), str) and getattr(self, field)):
                value = getattr(self, field)
                raise ParameterError(f"Contract: {field}={value!r} is not a currency; give a code such as BTC")
        if self.kind == "quanto" and self.settlement in ("", self.base, self.quote):
            raise ParameterError(
                f"Contract: settlement={self.settlement!r} of a quanto contract must be a third currency; give it, and "
                'the multiplier, such as Contract("quanto", "ETH", "USD", settlement="XBT", multiplier=1e-6)'
            )
        if not self.settlement:
            object.__setattr__(self, "settlement", self.base if self.kind == "inverse" else self.quote)
        unit = f"({self.quote if self.kind == 'inverse' else self.base} per contract)"
        if self.kind == "quanto":
            unit = f"({self.settlement} per contract and {self.quote})"
        multiplier = number("Contract", "multiplier", self.multiplier, unit, low=0, low_open=True)
        object.__setattr__(self, "multiplier", multiplier)
        for field, what in (("tick", "price step"), ("lot", "quantity step"), ("position_limit", "contracts")):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, number("Contract", field, value, f"({what})", low=0, low_open=True))

    @property
    def is_inverse(self) -> bool:
        """Whether the value falls as the price rises."""
        return self.kind == "inverse"

    @property
    def quantity_unit(self) -> str:
        """What quantities are counted in: base (linear), quote (inverse) or contracts (quanto)."""
        return {"linear": self.base, "inverse": self.quote, "quanto": "contracts"}[self.kind]

    @property
    def notional_unit(self) -> str:
        """Currency in which notional is counted: quote, or the settlement currency of a quanto contract."""
        return self.settlement if self.kind == "quanto" else self.quote

    @property
    def _per_quantity(self) -> float:
        """Value of one unit of quantity at a price of 1."""
        return self.multiplier if self.kind == "quanto" else 1.0

    def direction(self, side: str) -> int:
        """+1 where profit rises with the value ratio (a long, but of an inverse contract a short), otherwise -1."""
        return side_sign(side) * (-1 if self.is_inverse else 1)

    def value(self, quantity: ArrayLike, price: ArrayLike) -> FloatArray:
        """Value of ``quantity`` at ``price``, settlement currency."""
        q, p = np.asarray(quantity, dtype=float), np.asarray(price, dtype=float)
        return q / p if self.is_inverse else q * self._per_quantity * p

    def quantity(self, notional: ArrayLike, price: ArrayLike) -> FloatArray:
        """Quantity that has ``notional`` (:attr:`notional_unit`) at ``price``."""
        n, p = np.broadcast_arrays(np.asarray(notional, dtype=float), np.asarray(price, dtype=float))
        return n.copy() if self.is_inverse else n / (self._per_quantity * p)

    def notional(self, quantity: ArrayLike, price: ArrayLike) -> FloatArray:
        """Notional of ``quantity`` at ``price``, :attr:`notional_unit`."""
        q, p = np.broadcast_arrays(np.asarray(quantity, dtype=float), np.asarray(price, dtype=float))
        return q.copy() if self.is_inverse else q * self._per_quantity * p

    def size(self, quantity: ArrayLike, price: ArrayLike, unit: SizeUnit) -> FloatArray:
        """Size of ``quantity`` at ``price`` in the unit in which a margin schedule counts it.

        ``quote`` is the notional, ``base`` the coin held or the coin value; a quanto contract has no such coin.
        """
        q, p = np.broadcast_arrays(np.asarray(quantity, dtype=float), np.asarray(price, dtype=float))
        if unit == "contracts":
            return q.copy() if self.kind == "quanto" else q / self.multiplier
        if unit == "quote":
            return self.notional(q, p)
        if self.kind == "quanto":
            raise MarginRuleError(
                'a quanto contract holds no base coin to count its size in; give a schedule with unit="quote" '
                f'(its value in {self.settlement}) or "contracts"'
            )
        return q / p if self.is_inverse else q.copy()

    def size_moves(self, unit: SizeUnit) -> bool:
        """Whether the size in ``unit`` follows the value ratio (True) or stays fixed as price moves."""
        return unit == ("base" if self.is_inverse else "quote")

    def price_at(self, entry_price: ArrayLike, value_ratio: ArrayLike) -> FloatArray:
        """Price at which the value ratio is ``value_ratio``; 0 and inf map to each other for inverse."""
        p, w = np.asarray(entry_price, dtype=float), np.asarray(value_ratio, dtype=float)
        if not self.is_inverse:
            return p * w
        with np.errstate(divide="ignore"):
            return p / w

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {
            "kind": self.kind,
            "base": self.base,
            "quote": self.quote,
            "settlement": self.settlement,
            "multiplier": self.multiplier,
            "tick": self.tick,
            "lot": self.lot,
        } | ({} if self.position_limit is None else {"position_limit": self.position_limit})
