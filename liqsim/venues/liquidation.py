"""How a venue closes a position that fell below maintenance, and the arithmetic of the close-out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from liqsim.errors import ParameterError
from liqsim.models._checks import number
from liqsim.venues.contract import FloatArray

__all__ = ["Liquidation", "bankruptcy_value", "fillable_price", "liquidation_buffer", "margin_level"]

Procedure: TypeAlias = Literal["takeover", "zero-equity-order", "incremental", "market", "margin-call", "discretionary"]
Residual: TypeAlias = Literal["none", "kept", "kept-minus-fee"]
DeficitBearer: TypeAlias = Literal["venue", "client"]


@dataclass(frozen=True)
class Liquidation:
    """Liquidation procedure of a venue.

    Parameters
    ----------
    procedure : str
        ``takeover``: the engine takes the position at its bankruptcy price; ``zero-equity-order``: an
        immediate-or-cancel order limited at the zero-equity price; ``incremental``: cut in rounds until back
        above maintenance; ``market``: closed by market order; ``margin-call``: a call with a deadline first;
        ``discretionary``: a zone in which the venue may close, above the level at which it must.
    residual : {"none", "kept", "kept-minus-fee"}
        What is left of the margin for the trader after the close.
    deficit : {"venue", "client"}
        Who bears a loss beyond the margin: the venue's backstops or the client.
    fee_rate : float, optional
        Liquidation fee, fraction of the amount closed.
    step_fraction : float, optional
        Share of the position closed in one round.
    step_threshold : float, optional
        Notional (quote currency) above which positions are closed in steps.
    cooldown : float, optional
        Seconds between rounds.
    backstop_fraction : float, optional
        Share of the maintenance margin below which a backstop takes over everything.
    backstop : str
        What stands behind the margin, in words.
    """

    procedure: Procedure = "takeover"
    residual: Residual = "none"
    deficit: DeficitBearer = "venue"
    fee_rate: float | None = None
    step_fraction: float | None = None
    step_threshold: float | None = None
    cooldown: float | None = None
    backstop_fraction: float | None = None
    backstop: str = ""

    def __post_init__(self) -> None:
        for field, allowed in (("procedure", Procedure), ("residual", Residual), ("deficit", DeficitBearer)):
            if getattr(self, field) not in get_args(allowed):
                choices = ", ".join(repr(a) for a in get_args(allowed))
                raise ParameterError(f"Liquidation: {field}={getattr(self, field)!r} is unknown; give one of {choices}")
        for field, unit, high in (
            ("fee_rate", "(fraction of the amount closed)", 1.0),
            ("step_fraction", "(fraction of the position)", 1.0),
            ("step_threshold", "(quote currency)", np.inf),
            ("cooldown", "seconds", np.inf),
            ("backstop_fraction", "(fraction of maintenance margin)", 1.0),
        ):
            value = getattr(self, field)
            if value is not None:
                checked = number("Liquidation", field, value, unit, low=0, high=float(high))
                object.__setattr__(self, field, checked)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return asdict(self)


def liquidation_buffer(available: ArrayLike, initial_margin: ArrayLike, threshold: ArrayLike) -> FloatArray:
    """Coinbase's liquidation buffer ``(A - L) / (IM - L)``; liquidation when it is not above 0.

    Parameters
    ----------
    available : array_like
        Funds available for margin, quote currency.
    initial_margin, threshold : array_like
        Initial margin requirement and liquidation threshold, quote currency; the first is larger.

    References
    ----------
    .. [1] https://support.pro.coinbase.com/en/coinbase/trading-and-funding/derivatives/futures-liquidation-buffer
       (n/d)
    """
    a, im, low = (np.asarray(x, dtype=float) for x in (available, initial_margin, threshold))
    if not np.all(im > low):
        raise ParameterError(
            f"initial_margin={initial_margin!r} must be above threshold={threshold!r} (quote currency)"
        )
    return (a - low) / (im - low)


def margin_level(equity: ArrayLike, used_margin: ArrayLike) -> FloatArray:
    """Equity over used margin, the measure of Kraken spot margin (called at 0.8, closed at 0.4).

    References
    ----------
    .. [1] https://support.kraken.com/hc/en-us/articles/203325763 (n/d)
    """
    used = np.asarray(used_margin, dtype=float)
    if not np.all(used > 0):
        raise ParameterError(f"used_margin={used_margin!r} must be positive (quote currency)")
    return np.asarray(equity, dtype=float) / used


def bankruptcy_value(
    close_quantity: ArrayLike,
    oracle_price: ArrayLike,
    total_net_collateral: ArrayLike,
    closed_maintenance: ArrayLike,
    total_maintenance: ArrayLike,
) -> FloatArray:
    """Quote amount at which closing part of an account uses up that part's share of the collateral.

    Parameters
    ----------
    close_quantity : array_like
        Signed change of position, base units; negative sells a long.
    oracle_price : array_like
        Oracle price, quote per base.
    total_net_collateral : array_like
        Quote balance plus positions at oracle prices, TNC.
    closed_maintenance : array_like
        Maintenance margin released by the close (positive), quote currency.
    total_maintenance : array_like
        Maintenance margin of the account, TMMR, quote currency.

    Returns
    -------
    ndarray
        ``-dq O - TNC |dMMR| / TMMR``: positive is the least proceeds of selling, negative the most that
        buying back may cost.

    References
    ----------
    .. [1] https://github.com/dydxprotocol/v4-chain protocol/x/clob/keeper/liquidations_test.go
       (commit 84d4664, 2026-03-05)
    """
    dq, price, tnc, dm, tm = (
        np.asarray(x, dtype=float)
        for x in (close_quantity, oracle_price, total_net_collateral, closed_maintenance, total_maintenance)
    )
    if not np.all(tm > 0):
        raise ParameterError(f"total_maintenance={total_maintenance!r} must be positive (quote currency)")
    return -dq * price - tnc * np.abs(dm) / tm


def fillable_price(
    quantity: ArrayLike,
    oracle_price: ArrayLike,
    total_net_collateral: ArrayLike,
    position_maintenance: ArrayLike,
    total_maintenance: ArrayLike,
    *,
    bankruptcy_adjustment: float = 1.0,
    spread_to_maintenance: float = 1.5,
) -> FloatArray:
    """Price at which a dYdX liquidation order may be filled.

    Parameters
    ----------
    quantity : array_like
        Signed position, base units.
    oracle_price, total_net_collateral, total_maintenance
        As in :func:`bankruptcy_value`.
    position_maintenance : array_like
        Maintenance margin of this position, quote currency.
    bankruptcy_adjustment, spread_to_maintenance : float
        Venue parameters BA and SMMR.

    Returns
    -------
    ndarray
        ``(q O - ABR SMMR PMMR) / q`` with ``ABR = clamp(BA (1 - TNC / TMMR), 0, 1)``.

    References
    ----------
    .. [1] https://github.com/dydxprotocol/v4-chain protocol/x/clob/keeper/liquidations_test.go
       (commit 84d4664, 2026-03-05)
    """
    q, price, tnc, pm, tm = (
        np.asarray(x, dtype=float)
        for x in (quantity, oracle_price, total_net_collateral, position_maintenance, total_maintenance)
    )
    if not (np.all(tm > 0) and np.all(q != 0)):
        raise ParameterError(
            f"total_maintenance={total_maintenance!r} must be positive and quantity={quantity!r} not 0"
        )
    abr = np.clip(bankruptcy_adjustment * (1.0 - tnc / tm), 0.0, 1.0)
    return (q * price - abr * spread_to_maintenance * pm) / q
