"""From descriptions to the numbers a kernel takes: one :class:`Pass` per model, venue, notional and timeline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim._core import kernel_module
from liqsim.engine.timeline import Timeline, to_nanoseconds
from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models import Kou, Merton, OUPremium, PriceModel
from liqsim.venues import FixedFunding, PremiumFunding, Venue

__all__ = ["SIDES", "Grid", "Pass", "funding_clock", "passage_pass", "seed_key", "sweep_pass"]

SIDES = ("long", "short")

_NEVER = 1e300
_MOST_LINES = 64
_PAID_ON = {"entry": 0, "mark": 1, "index": 2}
_NO_JUMPS, _NORMAL_JUMPS, _EXPONENTIAL_JUMPS = range(3)


def seed_key(seed: int | np.random.SeedSequence) -> tuple[int, int]:
    """The two key words of the random-number generator.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        A non-negative integer, or a seed sequence.

    Raises
    ------
    ParameterError
        If the seed is anything else.
    """
    if not isinstance(seed, np.random.SeedSequence):
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ParameterError(
                f"seed={seed!r} is not allowed; give a non-negative integer or a numpy.random.SeedSequence"
            )
        seed = np.random.SeedSequence(int(seed))
    words = seed.generate_state(2, np.uint32)
    return int(words[0]), int(words[1])


@dataclass(frozen=True)
class Grid:
    """Leverages from the highest down and stops from the nearest out, as the kernel wants them.

    Parameters
    ----------
    leverage, stop : ndarray
        In the user's order.
    sides : tuple of str
        In the user's order.
    """

    leverage: np.ndarray
    stop: np.ndarray
    sides: tuple[str, ...]

    @property
    def rows(self) -> np.ndarray:
        """Kernel row of each leverage."""
        return np.argsort(np.argsort(-self.leverage, kind="stable"), kind="stable")

    @property
    def columns(self) -> np.ndarray:
        """Kernel column of each stop."""
        return np.argsort(np.argsort(self.stop, kind="stable"), kind="stable")


@dataclass(frozen=True)
class Pass:
    """The numbers of one run of the kernel, and what it takes to read its tally.

    Parameters
    ----------
    law : dict
        Price and premium dynamics.
    rules : dict
        Contract, requirement, funding, fees, key of the random numbers.
    arrays : dict
        Margins and stop levels in the kernel's order, each with a sentinel at its end, and the timeline.
    horizons : tuple of int
        Positions of this pass's horizons, shortest first, in the list that was asked for.
    """

    law: dict[str, Any]
    rules: dict[str, Any]
    arrays: dict[str, np.ndarray]
    horizons: tuple[int, ...]

    def kernel(self) -> Any:
        """The compiled kernel of this pass, at the selected instruction-set level."""
        return kernel_module().Kernel(self.law, self.rules, self.arrays)

    @property
    def margin(self) -> np.ndarray:
        """Initial margin per entry notional of each row."""
        return self.arrays["margin"][:-1]

    @property
    def entry_fee(self) -> float:
        """Fee paid at entry, per entry notional."""
        return float(self.rules["entry_fee"])


def funding_clock(venue: Venue) -> tuple[int, int] | None:
    """First payment and interval of a venue's funding, ns; None where nothing is paid."""
    rule = venue.funding
    if rule is None:
        return None
    return to_nanoseconds(rule.first_days), to_nanoseconds(rule.interval_days)


def _law(model: PriceModel, premium: OUPremium | None) -> dict[str, Any]:
    law: dict[str, Any] = {
        "log_drift": model.log_drift,
        "sigma": model.sigma,
        "mean_gap": 1.0 / model.jump_rate if model.jump_rate > 0 else math.inf,
        "jump_law": _NO_JUMPS,
        "jump_mean": 0.0,
        "jump_std": 0.0,
        "p_up": 0.5,
        "mean_up": 0.0,
        "mean_down": 0.0,
        "premium_start": premium.start if premium else 0.0,
        "premium_mean": premium.mean if premium else 0.0,
        "reversion": premium.mean_reversion if premium else 1.0,
        "premium_vol": premium.vol if premium else 0.0,
        "correlation": premium.correlation if premium and premium.vol > 0 else 0.0,
    }
    if model.jump_rate > 0:
        if isinstance(model, Merton):
            law |= {"jump_law": _NORMAL_JUMPS, "jump_mean": model.jump_mean, "jump_std": model.jump_std}
        elif isinstance(model, Kou):
            law |= {
                "jump_law": _EXPONENTIAL_JUMPS,
                "p_up": model.p_up,
                "mean_up": 1.0 / model.eta_up,
                "mean_down": 1.0 / model.eta_down,
            }
        else:
            raise ParameterError(f"model={model!r}: the kernel has no such jump law; use GBM, Merton or Kou")
    return law


def _funding(venue: Venue | None, law: dict[str, Any]) -> dict[str, Any]:
    terms: dict[str, Any] = {
        "scale": 1.0, "interest": 0.0, "clamp": 0.0, "cap": math.inf, "smoothing": 0.0, "change_cap": math.inf,
        "first_rate": 0.0, "paid_on": 0,
    }  # fmt: skip
    rule = venue.funding if venue is not None else None
    if venue is None or rule is None:
        return terms
    terms["paid_on"] = _PAID_ON[rule.notional]
    if isinstance(rule, FixedFunding):
        terms |= {"interest": rule.rate, "clamp": math.inf, "first_rate": rule.rate}
        return terms
    if not isinstance(rule, PremiumFunding):
        raise ParameterError(
            f"venue={venue.label}: a {type(rule).__name__} cannot be simulated; use dataclasses.replace(venue, "
            "funding=PremiumFunding(...), FixedFunding(...) or None) to choose another funding rule"
        )
    for name in ("scale", "interest", "clamp", "cap", "smoothing", "change_cap"):
        terms[name] = getattr(rule, name)
    start = law["premium_start"]
    steady = rule.scale * (start + min(max(rule.interest - start, -rule.clamp), rule.clamp))
    terms["first_rate"] = min(max(steady, -rule.cap), rule.cap)
    return terms


def _arrays(
    margin: np.ndarray, stop_long: np.ndarray, stop_short: np.ndarray, timeline: Timeline
) -> dict[str, np.ndarray]:
    return {
        "margin": np.append(margin, _NEVER),
        "stop_long": np.append(stop_long, -_NEVER),
        "stop_short": np.append(stop_short, _NEVER),
        "instant": np.ascontiguousarray(timeline.instant, dtype=np.float64),
        "pays": np.ascontiguousarray(timeline.pays, dtype=np.uint8),
        "checks": np.ascontiguousarray(timeline.checks, dtype=np.uint8),
        "horizon": np.ascontiguousarray(timeline.horizon, dtype=np.int32),
    }


def _lines(venue: Venue, notional: float, price: float, side: str) -> list[tuple[float, float]]:
    alpha, beta = venue.maintenance_lines(notional, price, side)
    if len(alpha) > _MOST_LINES:
        raise MarginRuleError(
            f"the requirement of {venue.label} has {len(alpha)} pieces, more than the {_MOST_LINES} that can be "
            "simulated; merge tiers that this position cannot reach"
        )
    return list(zip(alpha.tolist(), beta.tolist(), strict=True))


def sweep_pass(
    model: PriceModel,
    venue: Venue,
    premium: OUPremium | None,
    grid: Grid,
    notional: float,
    price: float,
    timeline: Timeline,
    key: tuple[int, int],
    *,
    liquidation_first: bool,
    continuous: bool,
) -> Pass:
    """One pass of :func:`liqsim.sweep`.

    Raises
    ------
    MarginRuleError
        If the venue does not allow the position, or it would be liquidated the moment it is opened.
    """
    margin = np.sort(1.0 / grid.leverage)
    lines: list[list[tuple[float, float]]] = []
    for side in SIDES:
        if side not in grid.sides:
            lines.append([(0.0, 0.0)])
            continue
        try:
            venue.check(grid.leverage, notional, price, side=side)
            lines.append(_lines(venue, notional, price, side))
        except ParameterError as error:
            if venue.id in str(error):
                raise
            raise type(error)(f"{venue.label} cannot be simulated: {error}") from None
        required = max(alpha + beta for alpha, beta in lines[-1])
        if required >= margin[0]:
            worst = 1.0 / margin[0]
            raise MarginRuleError(
                f"leverage={worst:g} leaves a margin of {margin[0]:g} of the notional, not above the maintenance "
                f"requirement {required:g} of {venue.label} at entry: the position would be liquidated at once; "
                f"keep leverage below {1.0 / required:g}"
            )
    entry_fee = float(venue.fees.rate("taker", venue.contract, price))
    share = entry_fee if venue.contract.kind == "inverse" else float(venue.fees.taker or 0.0)
    law = _law(model, premium)
    stops = np.sort(grid.stop)
    with np.errstate(divide="ignore", invalid="ignore"):
        stop_long = np.where(stops < 1.0, np.log1p(-np.minimum(stops, 1.0)), -_NEVER)
        stop_short = np.where(np.isfinite(stops), np.log1p(stops), _NEVER)
    rules = {
        "inverse": venue.contract.kind == "inverse",
        "continuous": continuous,
        "liquidation_first": liquidation_first,
        "entry_fee": entry_fee,
        "exit_fee": share,
        "exit_money": entry_fee - share,
        "key": key,
        "sides": [side in grid.sides for side in SIDES],
        "lines": lines,
        **_funding(venue, law),
    }
    return Pass(law, rules, _arrays(margin, stop_long, stop_short, timeline), timeline.horizons)


def passage_pass(
    model: PriceModel, levels: np.ndarray, timeline: Timeline, key: tuple[int, int], *, continuous: bool
) -> Pass:
    """One pass of :func:`liqsim.first_passage`: levels are stops of a position that is never liquidated."""
    below = np.log(np.sort(levels[levels < 1.0])[::-1])
    above = np.log(np.sort(levels[levels > 1.0]))
    width = max(len(below), len(above))
    stop_long = np.concatenate([below, np.full(width - len(below), -_NEVER)])
    stop_short = np.concatenate([above, np.full(width - len(above), _NEVER)])
    rules = {
        "inverse": False,
        "continuous": continuous,
        "liquidation_first": True,
        "entry_fee": 0.0,
        "exit_fee": 0.0,
        "exit_money": 0.0,
        "key": key,
        "sides": [len(below) > 0, len(above) > 0],
        "lines": [[(0.0, 0.0)], [(0.0, 0.0)]],
        **_funding(None, {}),
    }
    arrays = _arrays(np.array([_NEVER]), stop_long, stop_short, timeline)
    return Pass(_law(model, None), rules, arrays, timeline.horizons)
