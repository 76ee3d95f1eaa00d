"""Trading fees, as a share of notional or in money per contract."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from liqsim.errors import VenueDataError
from liqsim.models._checks import number
from liqsim.venues.contract import Contract, FloatArray

__all__ = ["Fees"]


@dataclass(frozen=True)
class Fees:
    """Fees for one side of a trade; a negative maker fee is a rebate.

    Parameters
    ----------
    taker, maker : float or None
        Fraction of notional. None: no source states it, so a run that needs it must be given one.
    taker_per_contract, maker_per_contract : float, default 0
        Money per contract and side, quote currency (CME, Coinbase Derivatives).
    """

    taker: float | None = None
    maker: float | None = None
    taker_per_contract: float = 0.0
    maker_per_contract: float = 0.0

    def __post_init__(self) -> None:
        for field in ("taker", "maker"):
            value = getattr(self, field)
            if value is not None:
                fraction = "(fraction of notional, 0.0005 is 0.05 %)"
                object.__setattr__(self, field, number("Fees", field, value, fraction, low=-0.1, high=0.1))
        for field in ("taker_per_contract", "maker_per_contract"):
            value = number("Fees", field, getattr(self, field), "(quote currency per contract)", low=-1e6, high=1e6)
            object.__setattr__(self, field, value)

    def rate(self, kind: str, contract: Contract, price: ArrayLike) -> FloatArray:
        """Fee of a ``"taker"`` or ``"maker"`` fill at ``price`` as a fraction of notional."""
        fraction = self.taker if kind == "taker" else self.maker
        if fraction is None:
            raise VenueDataError(
                f"the {kind} fee is not known for this venue; give one, for example "
                f'venue.assume({{"fees.{kind}": 0.0005}})'
            )
        money = self.taker_per_contract if kind == "taker" else self.maker_per_contract
        p = np.asarray(price, dtype=float)
        unit = contract.multiplier * (np.ones_like(p) if contract.is_inverse else p)
        return fraction + money / unit

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return asdict(self)
