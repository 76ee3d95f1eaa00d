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
        ``quantity * (1/P0 - 1/P)`` in base coin. ``quanto`` is kept as data and refused by the margin
        arithmetic.
    base, quote : str, default "BTC", "USD"
        Currencies of the price, quote per base.
    settlement : str, optional
        Currency of margin and profit; ``quote`` for linear and ``base`` for inverse unless given.
    multiplier : float, default 1
        Base units per contract (linear), quote units per contract (inverse).
    tick : float, optional
        Smallest price step, quote per base; absent where no source states it.
    lot : float, optional
        Smallest quantity step, base units (linear) or quote units (inverse).

    Notes
    -----
    **Quantity** means base units for a linear contract and quote units (1-USD contracts) for an inverse
    one. **Value** is the position's worth in settlement currency: ``quantity * P`` or ``quantity / P``. The
    value ratio ``w`` is value over entry value: ``P / P0`` (linear) or ``P0 / P`` (inverse).
    """

    kind: ContractKind
    base: str = "BTC"
    quote: str = "USD"
    settlement: str = ""
    multiplier: float = 1.0
    tick: float | None = None
    lot: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(ContractKind):
            raise ParameterError(
                f'Contract: kind={self.kind!r} is not a contract kind; give "linear", "inverse" or "quanto"'
            )
        for field in ("base", "quote"):
            if not (isinstance(getattr(self, field), str) and getattr(self, field)):
                value = getattr(self, field)
                raise ParameterError(f"Contract: {field}={value!r} is not a currency; give a code such as BTC")
        if not self.settlement:
            object.__setattr__(self, "settlement", self.base if self.kind == "inverse" else self.quote)
        unit = f"({self.quote if self.kind == 'inverse' else self.base} per contract)"
        multiplier = number("Contract", "multiplier", self.multiplier, unit, low=0, low_open=True)
        object.__setattr__(self, "multiplier", multiplier)
        for field in ("tick", "lot"):
            value = getattr(self, field)
            if value is not None:
                step = number("Contract", field, value, "(price or quantity step)", low=0, low_open=True)
                object.__setattr__(self, field, step)

    def _supported(self) -> None:
        if self.kind == "quanto":
            raise MarginRuleError(
                "kind='quanto' contracts can be described but not margined yet; "
                'give a contract of kind "linear" or "inverse"'
            )

    @property
    def quantity_unit(self) -> str:
        """Currency in which quantities are counted: base (linear) or quote (inverse)."""
        return self.quote if self.kind == "inverse" else self.base

    def direction(self, side: str) -> int:
        """+1 where profit rises with the value ratio (linear long, inverse short), otherwise -1."""
        self._supported()
        return side_sign(side) * (1 if self.kind == "linear" else -1)

    def value(self, quantity: ArrayLike, price: ArrayLike) -> FloatArray:
        """Value of ``quantity`` at ``price``, settlement currency."""
        self._supported()
        q, p = np.asarray(quantity, dtype=float), np.asarray(price, dtype=float)
        return q * p if self.kind == "linear" else q / p

    def quantity(self, notional: ArrayLike, price: ArrayLike) -> FloatArray:
        """Quantity that has ``notional`` (quote currency) at ``price``."""
        self._supported()
        n, p = np.broadcast_arrays(np.asarray(notional, dtype=float), np.asarray(price, dtype=float))
        return n / p if self.kind == "linear" else n.copy()

    def notional(self, quantity: ArrayLike, price: ArrayLike) -> FloatArray:
        """Notional of ``quantity`` at ``price``, quote currency."""
        self._supported()
        q, p = np.broadcast_arrays(np.asarray(quantity, dtype=float), np.asarray(price, dtype=float))
        return q * p if self.kind == "linear" else q.copy()

    def size(self, quantity: ArrayLike, price: ArrayLike, unit: SizeUnit) -> FloatArray:
        """Size of ``quantity`` at ``price`` in the unit in which a margin schedule counts it."""
        self._supported()
        q, p = np.broadcast_arrays(np.asarray(quantity, dtype=float), np.asarray(price, dtype=float))
        if unit == "contracts":
            return q / self.multiplier
        if unit == "quote":
            return q * p if self.kind == "linear" else q.copy()
        return q.copy() if self.kind == "linear" else q / p

    def size_moves(self, unit: SizeUnit) -> bool:
        """Whether the size in ``unit`` follows the value ratio (True) or stays fixed as price moves."""
        return (self.kind, unit) in {("linear", "quote"), ("inverse", "base")}

    def price_at(self, entry_price: ArrayLike, value_ratio: ArrayLike) -> FloatArray:
        """Price at which the value ratio is ``value_ratio``; 0 and inf map to each other for inverse."""
        self._supported()
        p, w = np.asarray(entry_price, dtype=float), np.asarray(value_ratio, dtype=float)
        if self.kind == "linear":
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
        }
