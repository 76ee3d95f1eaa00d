"""Inverse questions: how much leverage, how near a stop, how large a position a risk budget allows."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.arguments import read_grid, read_horizons, read_one, read_paths, read_settings, read_venues
from liqsim.cells import entry_window
from liqsim.durations import Duration
from liqsim.engine.terms import fee_terms
from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models import OUPremium, PriceModel
from liqsim.order_statistics import invert
from liqsim.stats import quantile_of_t
from liqsim.sweep import sweep
from liqsim.venues import Venue

__all__ = ["Answer", "SizedPosition", "max_leverage", "min_stop", "position_size"]

_LEAST_LEVERAGE, _MOST_LEVERAGE = 0.01, 1000.0
_NEAREST_STOP = 1e-5
_FARTHEST_STOP = {"long": 0.999, "short": 10.0}
_LEAST_HITS = 20  # on either side of the target, for its order statistics to mean something


@dataclass(frozen=True)
class Answer:
    """The answer to an inverse question, with its error bar.

    Attributes
    ----------
    value : float
        The leverage or stop asked for: the last that meets the target on the paths simulated.
    low, high : float
        Confidence interval of the true one, at ``level``.
    se : float
        Standard error: half the interval's width over the normal quantile.
    level : float
    p_target : float
    p : float
        Simulated probability at ``value``.
    limited_by : {"target", "venue", "grid"}
        What keeps the answer from going on: the target; the venue, whose largest leverage meets the target; or the
        nearest stop that is looked at, which meets it.
    n_paths : int
    result : xarray.Dataset
        Result of :func:`liqsim.sweep` at ``value``.
    """

    value: float
    low: float
    high: float
    se: float
    level: float
    p_target: float
    p: float
    limited_by: Literal["target", "venue", "grid"]
    n_paths: int
    result: xr.Dataset = field(repr=False, compare=False)


@dataclass(frozen=True)
class SizedPosition:
    """A position that loses a given amount at its stop.

    Attributes
    ----------
    notional : float
        Entry notional, quote currency.
    quantity : float
        In the contract's unit, whole lots where the lot is known.
    loss : float
        Of the position at the stop, fees included, settlement currency; funding, slippage and what coin posted as
        margin gains or loses are not in it.
    leverage : Answer
        The largest leverage that meets the target.
    initial_margin : float
        At that leverage, settlement currency.
    liquidation_price : float
        At that leverage, quote currency, at entry.
    quote, settlement : str
        The currencies.
    """

    notional: float
    quantity: float
    loss: float
    leverage: Answer
    initial_margin: float
    liquidation_price: float
    quote: str
    settlement: str


def max_leverage(
    model: PriceModel,
    venue: Venue | str,
    p_target: float = 0.01,
    *,
    side: str = "long",
    stop: float = math.inf,
    notional: float = 10_000.0,
    price: float = 60_000.0,
    horizon: Duration = "30D",
    premium: OUPremium | None = None,
    monitoring: Duration | Literal["continuous"] = "continuous",
    gap_rule: Literal["liquidation", "stop"] = "liquidation",
    start: str | dt.datetime | np.datetime64 | None = None,
    top_up: float = 0.0,
    level: float = 0.95,
    n_paths: int = 100_000,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
) -> Answer:
    """Find the largest leverage at which liquidation is at most as likely as ``p_target``.

    Parameters
    ----------
    model : PriceModel
    venue : Venue or str
        Its largest leverage for this notional is respected.
    p_target : float
        Largest probability of liquidation by the horizon, in (0, 1).
    side : {"long", "short"}
    stop : float
        Adverse move at which the stop triggers, fraction of the entry price; inf for none.
    notional, price, horizon, premium, monitoring, gap_rule, start, top_up
        As in :func:`sweep`, one of each.
    level : float
        Confidence level of the interval, in [0.5, 0.9999].
    n_paths : int
        Paths of each pass, with ``n_paths * min(p_target, 1 - p_target)`` at least 20.
    seed, threads
        As in :func:`sweep`.

    Returns
    -------
    Answer
        ``limited_by`` is "venue" where every leverage that the venue allows meets the target.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, or no leverage from 0.01 meets the target.
    MarginRuleError
        If the venue does not allow the position.

    Notes
    -----
    The leverages from which the paths are liquidated are a sample, and the answer is a quantile of it. With ``k`` of
    ``n`` paths binomial at the true answer, the order statistics at the binomial quantiles give an interval that covers
    at least ``level``, whatever the law [1]_. About three passes are simulated, on the same paths.

    References
    ----------
    .. [1] H. A. David, H. N. Nagaraja (2003), Order Statistics, section 7.1.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> answer = lq.max_leverage(lq.GBM(sigma=0.6), venue, p_target=0.05, horizon="7D", n_paths=20_000, seed=1)
    >>> answer.low < answer.value < answer.high, answer.limited_by
    (True, 'target')
    """
    rules = _one_of_each(model, venue)
    target, paths = _target(p_target, n_paths, level)
    rules.check_known()
    grid = read_grid(1.0, stop, side)
    if len(grid.sides) > 1 or len(grid.stop) > 1:
        raise ParameterError(f"side={side!r}, stop={stop!r}: give one side and one stop, and call once for each")
    position: dict[str, Any] = {
        "side": side, "stop": stop, "notional": notional, "price": price, "horizon": horizon, "premium": premium,
        "monitoring": monitoring, "gap_rule": gap_rule, "start": start, "top_up": top_up, "seed": seed,
        "threads": threads,
    }  # fmt: skip
    least, limit = _leverage_range(rules, position, paths)

    def count(leverages: np.ndarray, n: int) -> np.ndarray:
        ds = sweep(model, rules, leverage=leverages, n_paths=n, **position)
        return np.rint(ds.p_liquidation.values.ravel() * n).astype(np.int64)

    low, value, high = invert(count, least, limit, target, paths, level)
    if math.isnan(value):
        p = count(np.array([least]), paths)[0] / paths
        raise ParameterError(
            f"p_target={target:g}: no leverage meets it; even leverage={least:g} is liquidated with "
            f"probability {p:.3g} by the horizon. Raise p_target or shorten the horizon"
        )
    result = sweep(model, rules, leverage=value, n_paths=paths, **position).squeeze()
    p = float(result.p_liquidation)
    return _answer((low, value, high), level, target, p, "venue" if value == limit else "target", paths, result)


def min_stop(
    model: PriceModel,
    venue: Venue | str,
    p_target: float = 0.1,
    *,
    leverage: float,
    side: str = "long",
    notional: float = 10_000.0,
    price: float = 60_000.0,
    horizon: Duration = "30D",
    premium: OUPremium | None = None,
    monitoring: Duration | Literal["continuous"] = "continuous",
    gap_rule: Literal["liquidation", "stop"] = "liquidation",
    start: str | dt.datetime | np.datetime64 | None = None,
    top_up: float = 0.0,
    level: float = 0.95,
    n_paths: int = 100_000,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
) -> Answer:
    """Find the nearest stop with which the position is closed before the horizon at most as likely as ``p_target``.

    Parameters
    ----------
    model : PriceModel
    venue : Venue or str
    p_target : float
        Largest probability that the position is stopped or liquidated by the horizon, in (0, 1).
    leverage : float
        Notional over initial margin.
    side : {"long", "short"}
    notional, price, horizon, premium, monitoring, gap_rule, start, top_up
        As in :func:`sweep`, one of each.
    level, n_paths, seed, threads
        As in :func:`max_leverage`.

    Returns
    -------
    Answer
        ``value`` is a fraction of the entry price. ``limited_by`` is "grid" where the nearest stop that is looked at,
        1e-5, meets the target.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, or no stop meets the target, since liquidation alone is likelier.
    MarginRuleError
        If the venue does not allow the position.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> answer = lq.min_stop(lq.GBM(sigma=0.6), venue, 0.2, leverage=3, horizon="1D", n_paths=20_000, seed=1)
    >>> answer.low < answer.value < answer.high
    True
    """
    rules = _one_of_each(model, venue)
    target, paths = _target(p_target, n_paths, level)
    grid = read_grid(leverage, math.inf, side)
    if len(grid.sides) > 1 or len(grid.leverage) > 1:
        raise ParameterError(
            f"side={side!r}, leverage={leverage!r}: give one side and one leverage, and call once for each"
        )
    position: dict[str, Any] = {
        "side": side, "leverage": leverage, "notional": notional, "price": price, "horizon": horizon,
        "premium": premium, "monitoring": monitoring, "gap_rule": gap_rule, "start": start, "top_up": top_up,
        "seed": seed, "threads": threads,
    }  # fmt: skip
    _one_horizon(horizon)

    def count(nearness: np.ndarray, n: int) -> np.ndarray:
        ds = sweep(model, rules, stop=1.0 / nearness, n_paths=n, **position)
        return n - np.rint(ds.p_survival.values.ravel() * n).astype(np.int64)

    farthest = 1.0 / _FARTHEST_STOP[side]
    near, value, far = invert(count, farthest, 1.0 / _NEAREST_STOP, target, paths, level)
    if math.isnan(value):
        p = 1.0 - float(sweep(model, rules, n_paths=paths, **position).p_survival.item())
        raise ParameterError(
            f"p_target={target:g}: no stop meets it; at leverage={leverage:g} the position is liquidated with "
            f"probability {p:.3g} by the horizon even without a stop. Raise p_target or lower the leverage"
        )
    result = sweep(model, rules, stop=1.0 / value, n_paths=paths, **position).squeeze()
    p = 1.0 - float(result.p_survival)
    limited_by: Literal["target", "grid"] = "grid" if value == 1.0 / _NEAREST_STOP else "target"
    return _answer((1.0 / far, 1.0 / value, 1.0 / near), level, target, p, limited_by, paths, result)


def position_size(
    model: PriceModel,
    venue: Venue | str,
    *,
    risk: float,
    stop: float,
    p_target: float = 0.01,
    side: str = "long",
    price: float = 60_000.0,
    horizon: Duration = "30D",
    premium: OUPremium | None = None,
    monitoring: Duration | Literal["continuous"] = "continuous",
    gap_rule: Literal["liquidation", "stop"] = "liquidation",
    start: str | dt.datetime | np.datetime64 | None = None,
    top_up: float = 0.0,
    level: float = 0.95,
    n_paths: int = 100_000,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
) -> SizedPosition:
    """Size a position by the money at risk: the stop decides the size, and leverage comes last.

    Parameters
    ----------
    model : PriceModel
    venue : Venue or str
    risk : float
        What the position may lose at the stop, fees included, settlement currency. Coin posted as margin
        (``collateral_haircut``) gains or loses besides, ``stop`` of its value.
    stop : float
        Adverse move at which the stop triggers, fraction of the entry price; in (0, 1) for longs, (0, inf) for shorts.
    p_target : float
        Largest probability of liquidation by the horizon, in (0, 1): of a liquidation nearer than the stop, or of a
        jump through both.
    side : {"long", "short"}
    price, horizon, premium, monitoring, gap_rule, start, top_up
        As in :func:`sweep`, one of each.
    level, n_paths, seed, threads
        As in :func:`max_leverage`.

    Returns
    -------
    SizedPosition

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, the budget is below one lot, or no leverage meets the target.
    MarginRuleError
        If the venue does not allow the position.

    Notes
    -----
    The size is ``risk`` over the loss per unit at the stop price, entry and exit fee included. A jump that lands beyond
    the stop, and funding, can cost more; what they cost on average is in ``leverage.result``.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> sized = lq.position_size(lq.GBM(sigma=0.6), venue, risk=300.0, stop=0.03, horizon="3D", n_paths=5000, seed=1)
    >>> round(sized.notional, 6), 25 < sized.leverage.value < 30
    (10000.0, True)
    """
    rules = _one_of_each(model, venue)
    budget = read_one("risk", risk, f"({rules.contract.settlement})", 0, 1e15, "amount")
    _target(p_target, n_paths, level)
    distance = read_one("stop", stop, "(fraction of the entry price)", 0, 1e6, "stop")
    if len(read_grid(1.0, distance, side).sides) > 1:
        raise ParameterError(f"side={side!r}: give one side, and call once for each")
    entry = read_one("price", price, "(quote per base)", 1e-12, 1e12, "entry price")
    rules.check_known()
    contract = rules.contract
    worst = entry * (1.0 - distance if side == "long" else 1.0 + distance)
    one = contract.quantity(1.0, entry)
    ratio = float(contract.value(one, worst) / contract.value(one, entry))
    fees = fee_terms(rules, entry)
    share = contract.direction(side) * (1.0 - ratio)
    share += fees["entry_fee"] + fees["exit_fee"] * ratio + fees["exit_money"]
    value = budget / share
    quantity = float(contract.quantity(value * entry if contract.is_inverse else value, entry))
    if contract.lot is not None:
        lots = math.floor(quantity / contract.lot * (1.0 + 1e-12))
        if lots < 1:
            least = share * float(contract.value(contract.lot, entry))
            raise ParameterError(
                f"risk={risk!r} buys less than a lot of {contract.lot:g} {contract.quantity_unit} of {rules.label}; "
                f"give at least {least:.6g} {contract.settlement}, or a nearer stop"
            )
        quantity = lots * contract.lot
    notional = float(contract.notional(quantity, entry))
    answer = max_leverage(
        model, rules, p_target, side=side, stop=distance, notional=notional, price=entry, horizon=horizon,
        premium=premium, monitoring=monitoring, gap_rule=gap_rule, start=start, top_up=top_up, level=level,
        n_paths=n_paths, seed=seed, threads=threads,
    )  # fmt: skip
    return SizedPosition(
        notional=notional,
        quantity=quantity,
        loss=share * float(contract.value(quantity, entry)),
        leverage=answer,
        initial_margin=float(answer.result.initial_margin),
        liquidation_price=float(answer.result.liquidation_price),
        quote=contract.quote,
        settlement=contract.settlement,
    )


def _one_of_each(model: Any, venue: Any) -> Venue:
    if not isinstance(model, PriceModel):
        raise ParameterError(f"model={model!r} is not a PriceModel; give one GBM, Merton or Kou")
    venues, has_many = read_venues("venue", venue)
    if has_many:
        raise ParameterError(f"venue={venue!r} is a list; give one and call once for each")
    return next(iter(venues.values()))


def _one_horizon(horizon: Any) -> list[int]:
    horizons, has_many = read_horizons(horizon)
    if has_many:
        raise ParameterError(f"horizon={horizon!r} is a list; give one duration and call once for each")
    return horizons


def _target(p_target: Any, n_paths: Any, level: Any) -> tuple[float, int]:
    if isinstance(p_target, bool) or not isinstance(p_target, Real) or not 0.0 < float(p_target) < 1.0:
        raise ParameterError(f"p_target={p_target!r} is not allowed; give a probability in (0, 1)")
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.5 <= float(level) <= 0.9999:
        raise ParameterError(f"level={level!r} is not allowed; give a number in [0.5, 0.9999]")
    target, paths = float(p_target), read_paths(n_paths)
    if paths * min(target, 1.0 - target) < _LEAST_HITS:
        least = math.ceil(_LEAST_HITS / min(target, 1.0 - target))
        raise ParameterError(
            f"n_paths={paths} are too few for p_target={target:g}; give at least {least}, or a target nearer to 1/2"
        )
    return target, paths


def _leverage_range(venue: Venue, position: dict[str, Any], n_paths: int) -> tuple[float, float]:
    """The least leverage that is looked at, and the largest that is allowed and not liquidated as it is opened."""
    settings = read_settings(
        _one_horizon(position["horizon"]), n_paths=n_paths,
        **{key: position[key] for key in (
            "premium", "price", "monitoring", "gap_rule", "start", "top_up", "seed", "threads",
        )},
    )  # fmt: skip
    side, window = position["side"], entry_window(venue, settings)
    notional = read_one("notional", position["notional"], "(quote currency)", 1e-9, 1e15, "notional")
    quantity = float(venue.contract.quantity(notional, settings.price))
    venue.check_size(quantity, settings.price)
    limit = min(float(venue.max_leverage(notional, settings.price, side, window)), _MOST_LEVERAGE)
    pieces = venue.pieces(quantity, settings.price, side, leverage=np.array([limit]), window=window)
    required = float(np.ravel(pieces(np.ones(1)))[0])
    if required * limit >= venue.counted_share:
        limit = (1.0 - 1e-9) * venue.counted_share / required
    least = _LEAST_LEVERAGE
    if venue.collateral_haircut is not None and side == "short":  # below, the coin outweighs it: no rise liquidates it
        least = (1.0 + 1e-9) * venue.counted_share
    if limit <= least:
        raise MarginRuleError(
            f"{venue.label} allows a leverage of {limit:g} only for notional={notional:g}, below {least:g}; "
            "make the position smaller"
        )
    return least, limit


def _answer(
    bounds: tuple[float, float, float],
    level: float,
    target: float,
    p: float,
    limited_by: Literal["target", "venue", "grid"],
    n_paths: int,
    result: xr.Dataset,
) -> Answer:
    low, value, high = bounds
    se = (high - low) / (2.0 * quantile_of_t(level))
    return Answer(value, low, high, se, float(level), target, p, limited_by, n_paths, result)
