"""One position of a pass: its levels and payments, interval by interval, with what changes nothing left out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.terms import CONVEX

__all__ = ["Contract", "contract_of"]

_NEVER = 1e300


@dataclass(frozen=True)
class Contract:
    """A position, seen from its own side: log prices count as ``e ln(S/S_0)``, and fall towards its levels.

    Parameters
    ----------
    task : Pass
        Its law and its rules.
    side : int
        0 long, 1 short.
    margin : float
        Initial margin per entry notional.
    stop : float
        Level of the stop; -inf for none.
    end : ndarray, shape (interval,)
        End of each interval, years.
    watches, checks, settles : ndarray of bool, shape (interval,)
        The venue watches throughout; it looks at the end; what has accrued is paid there.
    requirement : ndarray of int, shape (interval,)
        Requirement in force.
    pays, charge : ndarray, shape (interval,)
        Funding at the end, its interval over the usual one; what is charged there besides, per entry notional.
    entry_charge : float
        What is charged at entry, per entry notional.
    """

    task: Pass
    side: int
    margin: float
    stop: float
    end: np.ndarray
    watches: np.ndarray
    checks: np.ndarray
    settles: np.ndarray
    requirement: np.ndarray
    pays: np.ndarray
    charge: np.ndarray
    entry_charge: float

    @property
    def e(self) -> float:
        """1 for a long, -1 for a short."""
        return 1.0 - 2.0 * self.side

    @property
    def turn(self) -> float:
        """1 where value goes with the price, -1 where it goes against it."""
        return -1.0 if self.task.rules["inverse"] else 1.0

    @property
    def direction(self) -> float:
        """1 where the profit rises with the value ratio, -1 where it falls."""
        return self.e * self.turn

    @property
    def has_premium(self) -> bool:
        """Whether a premium that moves at random decides what is paid."""
        return bool(self.task.law["premium_vol"] > 0 and self.pays.any())

    @cached_property
    def stamp(self) -> np.ndarray:
        """Which funding stamp comes next in or at the end of each interval."""
        return np.cumsum(self.pays > 0) - (self.pays > 0)

    @property
    def stamp_times(self) -> np.ndarray:
        """Funding stamps, years, and for intervals after the last of them the horizon."""
        return np.append(self.end[self.pays > 0], self.end[-1])

    @cached_property
    def moves(self) -> bool:
        """Whether anything happens at the ends of intervals."""
        changes = self.pays.any() or self.charge.any() or self.settles.any() or len(np.unique(self.requirement)) > 1
        return bool(changes or self.checks.any() or self.entry_charge)

    @property
    def has_closed_form(self) -> bool:
        """Whether a path without jumps meets levels that never move, watched all the time, and pays nothing."""
        return len(self.end) == 1 and not self.moves and bool(self.watches[0]) and self.task.law["sigma"] > 0

    def expected_level(self) -> tuple[float, float]:
        """About where the liquidation level starts, and its slope per year; it only has to be near.

        The line lies half a payment behind the level, as what is paid in steps does.
        """
        law, rules = self.task.law, self.task.rules
        mean = law["premium_mean"]
        rate = rules["scale"] * (mean + float(np.clip(rules["interest"] - mean, -rules["clamp"], rules["clamp"])))
        rate = self.e * float(np.clip(rate, -rules["cap"], rules["cap"]))
        paid = self.entry_charge + np.array([0.0, self.charge.sum() + rate * self.pays.sum()])
        n_payments = np.count_nonzero((self.pays > 0) | (self.charge != 0))
        paid -= 0.5 * (paid[1] - paid[0]) / max(n_payments, 1)
        first, last = self.liquidation_level(int(self.requirement[0]), paid).tolist()
        return first, (last - first) / float(self.end[-1])

    def stopped_at(self, level: float, slope: float = 0.0) -> Contract:
        """A position on the same paths that pays nothing, is never liquidated, and has its stop at a straight line.

        The line rises by ``slope`` a year; seen from it, the price has so much less drift.
        """
        none, zero = np.zeros(len(self.end), dtype=bool), np.zeros(len(self.end))
        law = self.task.law | {"log_drift": self.task.law["log_drift"] - self.e * slope}
        return dataclasses.replace(
            self, task=dataclasses.replace(self.task, law=law), margin=_NEVER, stop=level, watches=~none,
            checks=none, settles=none, requirement=np.zeros(len(self.end), dtype=int), pays=zero, charge=zero,
            entry_charge=0.0,
        )  # fmt: skip

    def tiers(self, requirement: int) -> Any:
        """The numbers of a requirement."""
        return self.task.rules["tiers"][requirement][self.side]

    def liquidation_level(self, requirement: int, paid: np.ndarray) -> np.ndarray:
        """Level at which equity meets the requirement once ``paid`` has been paid.

        Equity ``margin - paid + d (w - 1)`` at the value ratio ``w`` meets a line ``alpha w + beta`` at
        ``w = (1 - d (margin - paid - beta))/(1 - d alpha)``, and the first of the lines that is met counts. What counts
        at ``w`` of margin in coin is taken from the requirement instead.
        """
        d, tiers = self.direction, self.tiers(requirement)
        coin = float(self.task.coin[0]) if self.margin < _NEVER else 0.0
        cash = self.margin - coin - paid
        counted = (1.0 - tiers.get("haircut", 0.0)) * coin
        if tiers["form"] == CONVEX:
            levels = [(1.0 - d * (cash - beta)) / (1.0 - d * (alpha - counted)) for alpha, beta in tiers["lines"]]
            w = d * np.max([d * level for level in levels], axis=0)
        else:
            w = self._root(tiers, cash, counted)
        return np.asarray(d * np.log(np.clip(w, 1e-300, 1e300)))

    def _root(self, tiers: Any, cash: np.ndarray, counted: float) -> np.ndarray:
        """The same for one rate that may grow with the position's size: a quadratic in the value ratio."""
        d, rate, deduction, slope = self.direction, tiers["rates"][0], tiers["deductions"][0], tiers["slope"]
        share = self.margin if tiers["per_margin"] else 1.0
        linear, constant, square = 0.0, 0.0, 0.0
        if tiers["on_mark"] and tiers["size_moves"]:
            linear, constant, square = rate, -deduction, slope
        elif tiers["on_mark"]:
            linear = rate + slope - deduction
        else:
            constant = rate + slope - deduction
        p = share * linear + tiers["fee"] - d - counted
        r = share * constant + d - cash
        inner = np.maximum(p * p - 4.0 * share * square * r, 0.0)
        return np.asarray(2.0 * d * r / (abs(p) + np.sqrt(inner)))


def contract_of(task: Pass, side: int) -> Contract:
    """The only position of a pass.

    Parameters
    ----------
    task : Pass
        Of one leverage, one stop, one horizon.
    side : int
        0 long, 1 short.
    """
    a, e = task.arrays, 1.0 - 2.0 * side
    charge = a["charge_short" if side else "charge_long"]
    n = len(a["pays"])
    settles = a["settles"].astype(bool) & bool(task.rules["defers"])
    ends = (a["pays"] > 0) | (charge[1:] != 0) | settles | (a["checks"] > 0) | (np.arange(n) == n - 1)
    if task.law["correlation"] and task.law["premium_vol"] > 0 and a["pays"].any():
        ends[:] = True  # a premium that goes with the price needs short ones: see engine.timeline.correlated_memory
    for name in ("watches", "set_of"):
        ends[:-1] |= a[name][1:] != a[name][:-1]
    last = np.flatnonzero(ends)
    first = np.append(0, last[:-1] + 1)
    stop = e * float(a["stop_short" if side else "stop_long"][0])
    return Contract(
        task=task, side=side, margin=float(task.margin[0]), stop=stop if stop > -_NEVER else -np.inf,
        end=a["instant"][1:][last], watches=a["watches"][first].astype(bool),
        checks=a["checks"][last].astype(bool), settles=settles[last], requirement=a["set_of"][first],
        pays=a["pays"][last], charge=charge[1:][last], entry_charge=float(charge[0]),
    )  # fmt: skip
