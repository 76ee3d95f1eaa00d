"""From descriptions to the numbers a kernel takes: one :class:`Pass` per model, venue, notional and timeline."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from liqsim._core import kernel_module
from liqsim.engine.terms import (
    CUT,
    CUT_TIERS,
    STEPS,
    fee_terms,
    funding_terms,
    liquidation_terms,
    requirement_terms,
    visits_per_year,
)
from liqsim.engine.timeline import Timeline
from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models import Kou, Merton, OUPremium, PriceModel
from liqsim.venues import Venue

__all__ = [
    "NORMAL_JUMPS",
    "SIDES",
    "Grid",
    "Pass",
    "passage_pass",
    "seed_key",
    "sweep_pass",
    "tilted_passes",
    "watching_pass",
]

SIDES = ("long", "short")

_NEVER = 1e300
_PREMIUM = ("premium_start", "premium_mean", "reversion", "premium_vol", "correlation")
_NO_JUMPS, NORMAL_JUMPS, _EXPONENTIAL_JUMPS = range(3)


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

    @cached_property
    def key(self) -> str:
        """SHA-256 of the numbers and of the form of the tally: passes with the same key book the same sums."""
        kernel = self.kernel()
        # the bins of the shortfall are the P&L's
        form = [kernel.tally_shape(), kernel.carried_shape(), kernel.passages_shape(), kernel.pnl_shape()]
        text = json.dumps([self.law, self.rules, self.horizons, form], sort_keys=True, default=str)
        made = hashlib.sha256(text.encode())
        for name in sorted(self.arrays):
            made.update(name.encode() + self.arrays[name].tobytes())
        return made.hexdigest()

    @property
    def margin(self) -> np.ndarray:
        """Initial margin per entry notional of each row."""
        return self.arrays["margin"][:-1]

    @property
    def coin(self) -> np.ndarray:
        """The part of the margin posted in the coin itself, whose value follows the price; of each row."""
        return float(self.rules.get("coin", 0.0)) * self.margin

    @property
    def entry_fee(self) -> float:
        """Fee paid at entry, per entry notional."""
        return float(self.rules["entry_fee"])

    @property
    def exit_fee(self) -> float:
        """Fee paid at the exit, share of the value then."""
        return float(self.rules["exit_fee"])

    @property
    def exit_money(self) -> float:
        """What is paid at the exit whatever the price, per entry notional."""
        return float(self.rules["exit_money"])

    @property
    def directions(self) -> np.ndarray:
        """1 for sides whose profit rises with the value ratio, -1 for the others."""
        return np.array([-1.0, 1.0]) if self.rules["inverse"] else np.array([1.0, -1.0])

    @property
    def exposures(self) -> np.ndarray:
        """Gain of an account for a price gain of 1, shape (side, row, 1): the position, and coin posted as margin."""
        return 1.0 + self.directions[:, np.newaxis, np.newaxis] * self.coin[:, np.newaxis]

    @property
    def returns_rest(self) -> bool:
        """Whether the trader keeps what is left after a liquidation."""
        return bool(self.rules["returns_rest"])

    @property
    def client_pays(self) -> bool:
        """Whether the trader owes a loss beyond the margin."""
        return bool(self.rules["client_pays"])

    @property
    def fund(self) -> float:
        """What the venue's fund covers of a loss beyond the margin, per entry notional."""
        return float(self.rules["procedure"]["fund"])

    @property
    def is_weighted(self) -> bool:
        """Whether ends are booked with weights, as paths are drawn from other laws too."""
        return bool(self.rules.get("tilts"))

    @property
    def carries(self) -> bool:
        """Whether positions may live on after the venue has acted on them."""
        return bool(self.rules["carries"])


def _law(model: PriceModel, premium: OUPremium | None, visits: float = 0.0) -> dict[str, Any]:
    events = model.jump_rate + visits
    law: dict[str, Any] = {
        "log_drift": model.log_drift,
        "sigma": model.sigma,
        "mean_gap": 1.0 / events if events > 0 else math.inf,
        "jump_law": _NO_JUMPS,
        "jump_mean": 0.0,
        "jump_std": 0.0,
        "p_up": 0.5,
        "mean_up": 0.0,
        "mean_down": 0.0,
        "visit_share": visits / events if events > 0 else 0.0,
        "premium_start": premium.start if premium else 0.0,
        "premium_mean": premium.mean if premium else 0.0,
        "reversion": premium.mean_reversion if premium else 1.0,
        "premium_vol": premium.vol if premium else 0.0,
        "correlation": premium.correlation if premium and premium.vol > 0 else 0.0,
    }
    if visits > 0:
        law["jump_law"] = _EXPONENTIAL_JUMPS  # of size 0, unless the model has jumps of its own
    if model.jump_rate > 0:
        if isinstance(model, Merton):
            law |= {"jump_law": NORMAL_JUMPS, "jump_mean": model.jump_mean, "jump_std": model.jump_std}
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


def _arrays(
    margin: np.ndarray, stop_long: np.ndarray, stop_short: np.ndarray, timeline: Timeline
) -> dict[str, np.ndarray]:
    return {
        "margin": np.append(margin, _NEVER),
        "stop_long": np.append(stop_long, -_NEVER),
        "stop_short": np.append(stop_short, _NEVER),
        "instant": np.ascontiguousarray(timeline.instant, dtype=np.float64),
        "pays": np.ascontiguousarray(timeline.pays, dtype=np.float64),
        "charge_long": np.ascontiguousarray(timeline.charge[0], dtype=np.float64),
        "charge_short": np.ascontiguousarray(timeline.charge[1], dtype=np.float64),
        "settles": np.ascontiguousarray(timeline.settles, dtype=np.uint8),
        "set_of": np.zeros(len(timeline.pays), dtype=np.uint8),
        "watches": np.ascontiguousarray(timeline.watches, dtype=np.uint8),
        "retests": np.ascontiguousarray(timeline.retests, dtype=np.uint8),
        "checks": np.ascontiguousarray(timeline.checks, dtype=np.uint8),
        "calls": np.ascontiguousarray(timeline.calls, dtype=np.uint8),
        "due": np.ascontiguousarray(timeline.due, dtype=np.int32),
        "horizon": np.ascontiguousarray(timeline.horizon, dtype=np.int32),
    }


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
    top_up: float = 0.0,
) -> Pass:
    """One pass of :func:`liqsim.sweep`.

    Parameters
    ----------
    model, venue, premium, grid, notional, price, timeline, key
        What is simulated.
    liquidation_first : bool
        Whether a jump beyond both stop and liquidation level liquidates.
    top_up : float
        What the trader will add on margin calls in all, per entry notional.

    Raises
    ------
    MarginRuleError
        If the venue does not allow the position, or it would be liquidated the moment it is opened.
    VenueDataError
        If a rule needs a value that no source states.
    """
    venue.check_known()
    margin = np.sort(1.0 / grid.leverage)
    window = timeline.window[0] or None
    states = list(dict.fromkeys(zip(timeline.window, timeline.factor, strict=True)))
    try:
        for side in grid.sides:
            venue.check(grid.leverage, notional, price, side=side, window=window)
        requirements = requirement_terms(venue, notional, price, grid.sides, states)
    except ParameterError as error:
        if venue.id in str(error):
            raise
        raise type(error)(f"{venue.label} cannot be simulated: {error}") from None
    _refuse_instant_liquidation(venue, notional, price, grid, margin, window)
    law = _law(model, premium, visits_per_year(venue))
    stops = np.sort(grid.stop)
    with np.errstate(divide="ignore", invalid="ignore"):
        stop_long = np.where(stops < 1.0, np.log1p(-np.minimum(stops, 1.0)), -_NEVER)
        stop_short = np.where(np.isfinite(stops), np.log1p(stops), _NEVER)
    rules = {
        "inverse": venue.contract.is_inverse,
        "liquidation_first": liquidation_first,
        "key": key,
        "sides": [side in grid.sides for side in SIDES],
        **fee_terms(venue, price),
        **requirements,
        **liquidation_terms(venue, notional, price, top_up),
        **funding_terms(venue, law["premium_start"]),
    }
    _refuse_hedged_shorts(venue, grid, rules["procedure"]["kind"])
    arrays = _arrays(margin, stop_long, stop_short, timeline)
    arrays["set_of"][:] = [states.index(state) for state in zip(timeline.window, timeline.factor, strict=True)]
    if any(numbers["form"] == STEPS for pair in requirements["tiers"] for numbers in pair):
        arrays["retests"][1:] = 1  # a position that has grown into another tier meets another requirement
    return Pass(law, rules, arrays, timeline.horizons)


def _refuse_instant_liquidation(
    venue: Venue, notional: float, price: float, grid: Grid, margin: np.ndarray, window: str | None
) -> None:
    quantity = float(venue.contract.quantity(notional, price))
    for side in grid.sides:
        leverage = np.sort(grid.leverage)[::-1]
        required = np.broadcast_to(
            venue.pieces(quantity, price, side, leverage=leverage, window=window)(np.ones(1)), margin.shape
        )
        counted = venue.counted_share * margin
        too_high = required >= counted
        if np.any(too_high):
            i = int(np.argmax(too_high))
            raise MarginRuleError(
                f"leverage={leverage[i]:g} leaves a margin of {counted[i]:g} of the notional, not above the "
                f"maintenance requirement {required[i]:g} of {venue.label} at entry: the position would be liquidated "
                f"at once; keep leverage below {venue.counted_share / required[i]:g}"
            )


def _refuse_hedged_shorts(venue: Venue, grid: Grid, kind: int) -> None:
    """Shorts that the coin posted for them outweighs, or may once the venue has cut them: a rise does them no harm."""
    if venue.collateral_haircut is None or "short" not in grid.sides:
        return
    if kind in (CUT, CUT_TIERS):
        raise MarginRuleError(
            f"{venue.label} cuts positions, and a short with its margin in coin may be cut below its collateral, which "
            'cannot be simulated; give side="long", or leave collateral_haircut out'
        )
    least = float(grid.leverage.min())
    if least <= venue.counted_share:
        raise MarginRuleError(
            f"leverage={least:g} of a short on {venue.label} with its margin in coin is hedged by it: no rise of the "
            f'price liquidates it; keep leverage above {venue.counted_share:g}, or give side="long"'
        )


def passage_pass(model: PriceModel, levels: np.ndarray, timeline: Timeline, key: tuple[int, int]) -> Pass:
    """One pass of :func:`liqsim.first_passage`: levels are stops of a position that is never liquidated."""
    below = np.log(np.sort(levels[levels < 1.0])[::-1])
    above = np.log(np.sort(levels[levels > 1.0]))
    width = max(len(below), len(above))
    stop_long = np.concatenate([below, np.full(width - len(below), -_NEVER)])
    stop_short = np.concatenate([above, np.full(width - len(above), _NEVER)])
    free = Venue.from_tiers([(0, None, 0.0, 1)])
    rules = {
        "inverse": False,
        "liquidation_first": True,
        "key": key,
        "sides": [len(below) > 0, len(above) > 0],
        **fee_terms(free, 1.0),
        **requirement_terms(free, 1.0, 1.0, SIDES, [("", 1.0)]),
        **liquidation_terms(free, 1.0, 1.0, 0.0),
        **funding_terms(None, 0.0),
    }
    arrays = _arrays(np.array([_NEVER]), stop_long, stop_short, timeline)
    return Pass(_law(model, None), rules, arrays, timeline.horizons)


def watching_pass(task: Pass, model: PriceModel, levels: np.ndarray) -> Pass:
    """First passages of fixed levels on the paths of another pass: the same instants, at which nothing is paid."""
    n = len(task.arrays["pays"])
    nothing, none = np.zeros(n + 1), np.zeros(n, dtype=np.uint8)
    timeline = Timeline(
        instant=task.arrays["instant"], pays=np.zeros(n), charge=(nothing, nothing), settles=none,
        watches=np.ones(n, dtype=np.uint8), retests=none, checks=none, calls=none, due=np.full(n, n, dtype=np.int32),
        window=("",) * n, factor=(1.0,) * n, horizon=task.arrays["horizon"], horizons=task.horizons,
    )  # fmt: skip
    return passage_pass(model, levels, timeline, task.rules["key"])


def tilted_passes(task: Pass, model: PriceModel, tilts: Sequence[float]) -> list[Pass]:
    """A pass over paths of the model's law, followed by the same over paths of its Esscher transforms.

    Each books ends with the weights of the balance heuristic, so that the sums of all, over the number of paths of one,
    are estimates under the model's law; see the kernel's ``weights.pxd``. The premium keeps its law given the price.

    Parameters
    ----------
    task : Pass
    model : PriceModel
        Its law.
    tilts : sequence of float
        At most 16.
    """
    weights = [(theta, float(model.exponent(theta))) for theta in tilts]
    visits = task.law["visit_share"] / task.law["mean_gap"]
    passes = []
    for k, theta in enumerate([0.0, *tilts]):
        price = _law(model.tilted(theta) if theta else model, None, visits)
        law = task.law | {name: x for name, x in price.items() if name not in _PREMIUM} | {"lean": theta * model.sigma}
        key = (task.rules["key"][0], task.rules["key"][1] ^ k)
        passes.append(replace(task, law=law, rules={**task.rules, "tilts": weights, "key": key}))
    return passes
