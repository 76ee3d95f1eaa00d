"""How a venue closes a position that fell below maintenance, and the arithmetic of the close-out."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from liqsim.durations import Duration, parse_days
from liqsim.errors import ParameterError
from liqsim.models._checks import number
from liqsim.venues.contract import FloatArray

__all__ = ["Liquidation", "bankruptcy_value", "fillable_price", "liquidation_buffer", "margin_level"]

Procedure: TypeAlias = Literal[
    "takeover", "zero-equity-order", "incremental", "tier-down", "market", "margin-call", "discretionary"
]
Residual: TypeAlias = Literal["none", "kept", "kept-minus-fee"]
DeficitBearer: TypeAlias = Literal["venue", "client"]

# Optional numbers of a procedure: unit, largest value, whether 0 is refused.
_NUMBERS: dict[str, tuple[str, float, bool]] = {
    "fee_rate": ("(fraction of the value closed)", 1.0, False),
    "step_fraction": ("(fraction of the entry position)", 1.0, True),
    "step_threshold": ("(quote currency)", np.inf, False),
    "cooldown": ("(seconds)", np.inf, False),
    "backstop_fraction": ("(fraction of maintenance margin)", 1.0, False),
    "immediate_below": ("(fraction of maintenance margin)", 1.0, False),
    "hazard": ("(liquidations per day)", np.inf, False),
    "insurance_fund": ("(settlement currency)", np.inf, False),
}


def _no_time(value: Any) -> bool:
    """Whether ``value`` is a duration of zero with a unit, which :func:`parse_days` refuses."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*0+(?:\.0*)?\s*([A-Za-z]+)\s*", value)
        try:
            return match is not None and parse_days(f"1{match[1]}") > 0
        except ParameterError:
            return False
    return bool(isinstance(value, (dt.timedelta, np.timedelta64)) and value == 0 * value)


@dataclass(frozen=True)
class Liquidation:
    """Liquidation procedure of a venue.

    Parameters
    ----------
    procedure : str
        ``takeover``: the engine takes the position at its bankruptcy price; ``zero-equity-order``: an
        immediate-or-cancel order limited at the zero-equity price; ``incremental``: cut in rounds until back
        above maintenance; ``tier-down``: an order cuts the position to the cap of a lower tier, and a position that
        is in the lowest tier or still short after it is taken over whole at the bankruptcy price; ``market``: closed
        by market order; ``margin-call``: a call with a deadline first; ``discretionary``: a zone in which the venue
        may close, above the level at which it must.
    residual : {"none", "kept", "kept-minus-fee"}
        What is left of the margin for the trader after the close. A take-over at the bankruptcy price leaves nothing
        under any of them.
    deficit : {"venue", "client"}
        Who bears a loss beyond the margin: the venue's backstops or the client.
    fee_rate : float, optional
        Liquidation fee, fraction of the value closed; it goes to the venue's fund.
    step_fraction : float, optional
        Share of the position at entry that one round closes. None: rounds so small that the reduction ends as soon
        as maintenance is covered again.
    step_threshold : float, optional
        Notional (quote currency) above which a position is cut in steps; at or below it is closed whole.
    cooldown : float, optional
        Seconds after a partial close within which the next order is for the whole position.
    backstop_fraction : float, optional
        Share of the maintenance margin below which a backstop takes over everything and returns nothing.
    backstop : str
        What stands behind the margin, in words.
    tiers_per_step : int, default 1
        Tiers that one order of ``tier-down`` cuts.
    steps_from_tier : int, default 2
        Lowest tier, counted from 1, from which ``tier-down`` cuts; a position in a lower one is taken over whole.
    deadline : duration, optional
        Time from a margin call to the forced close, such as ``"1D"``; ``"0h"`` closes at the call.
    immediate_below : float, optional
        Share of the maintenance margin below which a called position is closed at once, watched continuously. None:
        the broker waits for the deadline.
    hazard : float, optional
        Liquidations per day at the venue's discretion while the account is below the call level and above the
        liquidation level.
    bearers : tuple of str
        Who bears a loss beyond the margin, in order, such as ``("insurance fund", "auto-deleveraging")``.
    insurance_fund : float, optional
        Amount, settlement currency, that stands behind this position's deficit; 0 where the venue has no fund. None:
        not stated, so the fund is taken to be large enough.

    Examples
    --------
    >>> Liquidation("margin-call", "kept", "client").needs()
    ('liquidation.deadline',)
    >>> Liquidation("margin-call", "kept", "client", deadline="0h").deadline_days
    0.0
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
    tiers_per_step: int = 1
    steps_from_tier: int = 2
    deadline: Duration | None = None
    immediate_below: float | None = None
    hazard: float | None = None
    bearers: tuple[str, ...] = ()
    insurance_fund: float | None = None

    def __post_init__(self) -> None:
        for field, allowed in (("procedure", Procedure), ("residual", Residual), ("deficit", DeficitBearer)):
            if getattr(self, field) not in get_args(allowed):
                choices = ", ".join(repr(a) for a in get_args(allowed))
                raise ParameterError(f"Liquidation: {field}={getattr(self, field)!r} is unknown; give one of {choices}")
        for field, (unit, high, low_open) in _NUMBERS.items():
            value = getattr(self, field)
            if value is not None:
                checked = number("Liquidation", field, value, unit, low=0, high=float(high), low_open=low_open)
                object.__setattr__(self, field, checked)
        if self.backstop_fraction == 1.0:
            raise ParameterError(
                "Liquidation: backstop_fraction=1.0 would take every position over at maintenance; give a number in "
                '[0, 1) (fraction of maintenance margin), or procedure="takeover"'
            )
        for field, least in (("tiers_per_step", 1), ("steps_from_tier", 2)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ParameterError(
                    f"Liquidation: {field}={value!r} is not allowed; give a whole number of tiers, {least} or more"
                )
            object.__setattr__(self, field, int(value))
        if self.deadline is not None and not _no_time(self.deadline):
            parse_days(self.deadline, "Liquidation: deadline")
        bearers = self.bearers
        if isinstance(bearers, str) or not all(isinstance(b, str) and b for b in bearers):
            raise ParameterError(
                f"Liquidation: bearers={bearers!r} is not allowed; give names in order, such as "
                '("insurance fund", "auto-deleveraging")'
            )
        object.__setattr__(self, "bearers", tuple(bearers))

    @property
    def deadline_days(self) -> float | None:
        """Time from a margin call to the forced close, days; 0 where it is immediate, None where not known."""
        if self.deadline is None:
            return None
        return 0.0 if _no_time(self.deadline) else parse_days(self.deadline, "deadline")

    def needs(self) -> tuple[str, ...]:
        """Dotted names of what the procedure cannot do without and nobody stated."""
        needed = []
        if self.procedure != "takeover" and self.residual == "kept-minus-fee" and self.fee_rate is None:
            needed.append("liquidation.fee_rate")
        if self.procedure == "margin-call" and self.deadline is None:
            needed.append("liquidation.deadline")
        if self.procedure == "discretionary" and self.hazard is None:
            needed.append("liquidation.hazard")
        return tuple(needed)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, for provenance."""
        return {
            **asdict(self),
            "deadline": self.deadline if isinstance(self.deadline, str | None) else f"{self.deadline_days!r}D",
            "bearers": list(self.bearers),
        }


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
    bankruptcy_adjustment: float,
    spread_to_maintenance: float,
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
        Venue parameters BA and SMMR (1.0 and 1.5 in protocol/testing/genesis.sh, 2026-03-05).

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
