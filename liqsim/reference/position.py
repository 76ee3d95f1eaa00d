"""One position on one path: its size, its cash, and what its venue does with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from liqsim.engine.plan import Pass
from liqsim.engine.terms import CUT, CUT_TIERS, STEPS, TAKE_OVER
from liqsim.reference.paths import Path, Payment

__all__ = ["CellOutcome", "Position"]


@dataclass(frozen=True)
class CellOutcome:
    """How one cell ended on one path; amounts per entry notional, time in years.

    ``outcome`` is ``liquidated`` once the venue has closed any part of the position; ``is_cut`` says that it did not
    close all of it. ``balance`` is the trader's money after the end.
    """

    outcome: Literal["liquidated", "stopped", "survived"]
    time: float
    funding_cost: float
    fees: float
    pnl: float
    shortfall: float
    engine_kept: float
    price_pnl: float
    is_cut: bool = False
    is_called: bool = False
    closed_share: float = 0.0
    topped_up: float = 0.0
    uncovered: float = 0.0


class Position:
    """One position on one path: share left, cash, and what has been booked so far."""

    def __init__(self, task: Pass, path: Path, side: int, row: int, column: int) -> None:
        self.task, self.path, self.rules, self.side = task, path, task.rules, side
        self.e = 1 - 2 * side
        self.turn = -1 if self.rules["inverse"] else 1
        self.direction = self.e * self.turn
        self.margin = float(task.arrays["margin"][row])
        self.coin = self.margin if self.rules.get("coin") else 0.0
        self.stop = float(task.arrays["stop_short" if side else "stop_long"][column])
        self.q, self.cash, self.owed = 1.0, self.margin, 0.0
        self.paid, self.gain, self.kept, self.closed, self.topped = 0.0, 0.0, 0.0, 0.0, 0.0
        self.fees = self.rules["entry_fee"]
        self.is_touched, self.is_called, self.tier = False, False, 10**9
        self.held: tuple[int, float] | None = None
        self.due, self.acted_at, self.acted_level, self.acts = -1, -math.inf, 0.0, (-1, -1, 0)

    def ratio(self, x: float) -> float:
        return math.exp(self.turn * x)

    def equity(self, w: float) -> float:
        return self.cash + (self.direction * self.q + self.coin) * (w - 1.0)

    def haircut(self, tiers: dict[str, Any], w: float) -> float:
        """What of the coin posted as margin does not count."""
        return float(tiers.get("haircut", 0.0)) * self.coin * w

    def tier_at(self, tiers: dict[str, Any], w: float) -> int:
        z = (self.q * w if tiers["size_moves"] else self.q) * (1.0 - 1e-12)
        return sum(z > cap for cap in tiers["caps"][:-1])

    def requirement(self, tiers: dict[str, Any], w: float) -> float:
        if tiers["form"] == 0:
            return -math.inf
        q = self.q
        z = q * w if tiers["size_moves"] else q
        k = self.tier_at(tiers, w)
        base = q * w if tiers["on_mark"] else q
        worth = w if tiers["on_mark"] and not tiers["size_moves"] else 1.0
        need = (tiers["rates"][k] + tiers["slope"] * z) * base - tiers["deductions"][k] * worth
        return need * (self.margin if tiers["per_margin"] else 1.0) + tiers["fee"] * q * w

    def falls_short(self, tiers: dict[str, Any], w: float) -> bool:
        return self.equity(w) - self.haircut(tiers, w) <= self.requirement(tiers, w)

    def level(self, tiers: dict[str, Any], x: float) -> float:
        """Log price from ``x`` on, going against the position, at which the requirement is met."""
        if tiers["form"] == 0:
            return -self.e * math.inf
        start = self.ratio(x)
        if self.falls_short(tiers, start):
            return x
        edges = [cap / self.q for cap in tiers["caps"][:-1]] if tiers["size_moves"] else []
        if self.direction > 0:
            stops = [*sorted((w for w in edges if w < start), reverse=True), 1e-300]
        else:
            stops = [*sorted(w for w in edges if w > start), 1e300]
        low = start
        for stop in stops:
            for end in (stop * (1.0 + self.direction * 1e-9), stop * (1.0 - self.direction * 1e-9)):
                if self.direction * (low - end) <= 0.0:
                    continue  # the position stands at a tier's edge, where a cut has left it
                if self.falls_short(tiers, end):
                    return self._bisect(tiers, low, end)
                low = end
        return -self.e * math.inf

    def held_level(self, tiers: dict[str, Any], k: int, x: float) -> float:
        """The same, where steps are looked up in the tier of the interval's start or the venue's last act."""
        if tiers["form"] != STEPS:
            return self.level(tiers, x)
        if self.held is None or self.held[0] != k:
            self.held = (k, self.level(tiers, x))
        return self.held[1]

    def _bisect(self, tiers: dict[str, Any], fine: float, short: float) -> float:
        a, b = math.log(fine), math.log(short)
        for _ in range(200):
            middle = 0.5 * (a + b)
            if self.falls_short(tiers, math.exp(middle)):
                b = middle
            else:
                a = middle
        return self.turn * b

    def pay(self, event: Payment) -> None:
        self.owed += self.e * event.funding
        amount = self.q * event.charge[self.side]
        if event.settles:
            amount += self.q * self.owed
            self.owed = 0.0
        self.cash -= amount
        self.paid += amount

    def settle(self, share: float) -> None:
        """Pay the funding that has accrued on a share of the entry position."""
        self.cash -= share * self.owed
        self.paid += share * self.owed

    def sell(self, share: float, w: float, fee_rate: float = 0.0) -> None:
        self.settle(share)
        gain = self.direction * share * (w - 1.0)
        fee = share * (self.rules["exit_fee"] * w + self.rules["exit_money"])
        self.q = self.q - share if self.q - share > 1e-12 else 0.0
        self.cash += gain - fee
        self.gain += gain
        self.fees += fee
        kept = min(share * fee_rate * w, max(self.equity(w), 0.0))
        self.cash -= kept
        self.kept += kept

    def force(self, share: float, w: float) -> None:
        """The venue sells."""
        self.is_touched = True
        self.closed += share
        self.sell(share, w, self.rules["procedure"]["fee"])

    def take_over(self, w: float) -> None:
        self.is_touched = True
        self.settle(self.q)
        left = self.equity(w)
        self.closed += self.q
        self.gain += (self.direction * self.q + self.coin) * (w - 1.0)
        self.kept += max(left, 0.0)
        self.q, self.cash, self.coin = 0.0, min(left, 0.0), 0.0

    def close_out(self, w: float) -> None:
        """The venue sells everything, or takes it over where nothing is left and the trader owes nothing."""
        if self.equity(w) - self.q * self.owed > 1e-12 or self.rules["client_pays"]:
            self.force(self.q, w)
        else:
            self.take_over(w)

    def act(self, tiers: dict[str, Any], w: float, t: float) -> None:
        """The venue finds the requirement not met."""
        p = self.rules["procedure"]
        counted = self.equity(w) - self.haircut(tiers, w)
        is_beyond = p["backstop"] > 0 and counted < p["backstop"] * self.requirement(tiers, w)
        if p["kind"] == TAKE_OVER or is_beyond:
            self.take_over(w)
            return
        is_cooling = p["cooldown"] > 0 and t - self.acted_at < p["cooldown"]
        self.acted_at = t
        is_met = False
        if p["kind"] == CUT and self.q * w > p["threshold"] and not is_cooling:
            while self.q > 0 and self.equity(w) > 1e-12 and not is_met:
                self.force(min(p["step"], self.q), w)
                is_met = not self.falls_short(tiers, w)
        if p["kind"] == CUT_TIERS:
            k = min(self.tier_at(tiers, w), self.tier)
            while k > 0 and k + 1 >= p["steps_from_tier"] and self.equity(w) > 1e-12 and not is_met:
                k = max(k - p["tiers_per_step"], 0)
                target = tiers["caps"][k] / (w if tiers["size_moves"] else 1.0)
                self.force(max(self.q - target, 0.0), w)
                is_met = not self.falls_short(tiers, w)
            self.tier = k
        if self.q > 0 and not is_met:
            if p["kind"] == CUT_TIERS:
                self.take_over(w)
            else:
                self.close_out(w)

    def test(self, k: int, w: float) -> None:
        """Margin is tested at the end of interval ``k``, or a call made earlier falls due."""
        p, arrays = self.rules["procedure"], self.task.arrays
        tiers = self.rules["tiers"][self.rules["occasion"] + int(arrays["set_of"][k])][self.side]
        is_due = self.due == k
        if not is_due and not (arrays["calls"][k] & 1 and self.due < 0 and self.falls_short(tiers, w)):
            return
        self.is_called = True
        amount = p["initial_ratio"] * self.requirement(tiers, w) - (self.equity(w) - self.haircut(tiers, w))
        if amount <= p["top_up"] - self.topped:
            self.cash += max(amount, 0.0)
            self.topped += max(amount, 0.0)
            self.due = -1
        elif is_due or arrays["due"][k] == k:
            self.close_out(w)
        else:
            self.due = int(arrays["due"][k])

    def end(
        self, outcome: Literal["liquidated", "stopped", "survived"], t: float, x: float, limit: float = math.inf
    ) -> CellOutcome:
        """Close what is left at ``x``; a whole position's loss is limited to ``limit``."""
        was_carried = self.is_touched or self.is_called
        is_cut = self.is_touched and self.q > 0
        if self.q > 0:
            self.sell(self.q, self.ratio(x))
        self.cash += self.coin * (self.ratio(x) - 1.0)
        self.gain += self.coin * (self.ratio(x) - 1.0)
        if was_carried:
            limit = self.margin + self.topped
        put_in = self.margin + self.topped + self.rules["entry_fee"]
        pnl = self.cash - self.margin - self.topped - self.rules["entry_fee"]
        worst = -limit - self.rules["entry_fee"]
        if was_carried or not math.isinf(limit):
            worst = -put_in
        shortfall = max(worst - pnl, 0.0)
        return CellOutcome(
            "liquidated" if self.is_touched else outcome,
            t,
            self.paid,
            self.fees,
            pnl if self.rules["client_pays"] else max(pnl, worst),
            shortfall,
            self.kept,
            self.gain,
            is_cut,
            self.is_called,
            self.closed,
            self.topped,
            max(shortfall - self.rules["procedure"]["fund"], 0.0),
        )
