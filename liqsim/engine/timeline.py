"""The instants at which a run stops, and what happens at each.

Price moves always; margin is tested when the venue looks; cash moves when funding is paid. The instants of all three
are merged. Random numbers are counted by interval, so the intervals must not depend on what else was asked: between the
venue's own instants nothing is added but whole days where nothing is paid, and a horizon that falls between two
instants runs in a pass of its own instead of splitting an interval for the others.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liqsim.durations import DAYS_PER_YEAR, parse_days
from liqsim.errors import ParameterError
from liqsim.models import OUPremium
from liqsim.venues import BasisCarry, Rollover, Venue, WindowedRates
from liqsim.venues.clock import closed_windows, window_switches

__all__ = [
    "REFERENCE_START",
    "Clock",
    "Timeline",
    "build_timelines",
    "common_instants",
    "correlated_memory",
    "to_nanoseconds",
    "venue_clock",
]

# A Monday midnight, where rules follow the calendar and no time of entry is given.
REFERENCE_START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)

# A closure under way at the last horizon is followed to its end, so that the horizon is not taken for the reopening.
_LONGEST_CLOSURE = dt.timedelta(days=8)
_NANOSECONDS_PER_DAY = 86_400_000_000_000
_SHARE_OF_MEMORY = 0.05  # of a correlated premium, over which it is drawn at once before an instant
_MOST_INTERVALS = 2**24  # 5-second checks over two and a half years; 2**28 is what the counter can tell apart


def to_nanoseconds(days: float) -> int:
    """Days as whole nanoseconds, so that instants compare exactly."""
    return round(days * _NANOSECONDS_PER_DAY)


def _instants(values: Iterable[int] = ()) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)


@dataclass(frozen=True)
class Clock:
    """What a venue does when; instants are nanoseconds after entry, up to ``end``.

    Parameters
    ----------
    end : int
        Last instant that the clock knows of.
    payments, weights : ndarray
        Funding stamps, and the length of the interval that each ends over the usual one.
    settlements : ndarray
        When accrued funding becomes cash; none where it is at once.
    charges : tuple of dict
        For longs and shorts: what is charged besides, per entry notional, by instant (0 is entry).
    windows : list of (int, str)
        Margin window in force from each instant on; the first at 0. Empty where rates do not change.
    changes : list of (int, float)
        What the maintenance requirement is multiplied by from each instant on.
    closed : list of (int, int)
        Hours without trading.
    tests : ndarray
        When margin is tested, where it is not tested all the time.
    deadline : int, optional
        Time from a margin call to the forced close.
    """

    end: int
    payments: np.ndarray = field(default_factory=_instants)
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    settlements: np.ndarray = field(default_factory=_instants)
    charges: tuple[dict[int, float], dict[int, float]] = ({}, {})
    windows: tuple[tuple[int, str], ...] = ()
    changes: tuple[tuple[int, float], ...] = ()
    closed: tuple[tuple[int, int], ...] = ()
    tests: np.ndarray = field(default_factory=_instants)
    deadline: int | None = None

    def is_halted(self, at: np.ndarray) -> np.ndarray:
        """Whether there is no trading: after a closure's first instant, before its last."""
        halted = np.zeros(len(at), dtype=bool)
        for opens, closes in self.closed:
            halted |= (at > opens) & (at < closes)
        return halted

    def deadlines(self) -> np.ndarray:
        """When calls made at each of ``tests`` fall due: at the deadline, or when trading resumes after it."""
        due = self.tests + (self.deadline or 0)
        for opens, closes in self.closed:
            due = np.where((due > opens) & (due < closes), closes, due)
        return due

    def instants(self) -> np.ndarray:
        """Every instant after entry at which the venue does something; whole days where it never pays."""
        found = [self.payments, self.settlements, self.tests]
        if self.deadline:
            found.append(self.deadlines())
        found += [_instants(edge for span in self.closed for edge in span)]
        found += [_instants(at for at, _ in self.windows), _instants(at for at, _ in self.changes)]
        found += [_instants(by_instant) for by_instant in self.charges]
        if len(self.payments) == 0:
            found.append(np.arange(_NANOSECONDS_PER_DAY, self.end + 1, _NANOSECONDS_PER_DAY, dtype=np.int64))
        merged = np.unique(np.concatenate(found))
        return merged[(merged > 0) & (merged <= self.end)]


def venue_clock(venue: Venue | None, end: int, start: dt.datetime | None, price: float) -> Clock:
    """The clock of a venue.

    Parameters
    ----------
    venue : Venue or None
        None: nothing ever happens.
    end : int
        Longest horizon, ns.
    start : datetime.datetime, optional
        Entry. Without it funding stamps count from entry and calendars from :data:`REFERENCE_START`.
    price : float
        At entry: fees that are money per contract are so much of the notional then.
    """
    if venue is None:
        return Clock(end)
    begin = REFERENCE_START if start is None else start
    stop = begin + dt.timedelta(microseconds=end // 1000)
    rule = venue.funding
    payments: list[tuple[int, float]] = []
    charges: tuple[dict[int, float], dict[int, float]] = ({}, {})
    settlements: list[int] = []
    if rule is not None:
        first = to_nanoseconds(rule.first_days if start is None else rule.first_after(start))
        _count(end, rule.interval_days)
        stamps = rule.stamps(end, first)
        if isinstance(rule, Rollover):
            for side, rate, opening in zip(
                charges, (rule.long_rate, rule.short_rate), (rule.opening_long, rule.opening_short), strict=True
            ):
                side.update({0: opening, **{at: rate for at, _ in stamps}})
        else:
            payments = stamps
        if isinstance(rule, BasisCarry) and rule.roll_days is not None:
            step = to_nanoseconds(rule.roll_days)
            cost = rule.roll_cost
            if venue.fees.taker is not None:  # without it nothing is simulated
                cost += 2.0 * float(venue.fees.rate("taker", venue.contract, price))
            for side in charges:
                side.update({at: cost for at in range(step, end + 1, step)})
        if rule.settlement is not None:
            settlements = rule.settlement.instants(begin, stop)
    deadline = None
    tests: list[int] = []
    if venue.margin_times is not None:
        tests = venue.margin_times.instants(begin, stop)
        deadline = to_nanoseconds(venue.liquidation.deadline_days or 0.0)
    closed = tuple(closed_windows(venue.closures, begin, stop + _LONGEST_CLOSURE))
    at = _instants(tests)
    tests = at[~Clock(end, closed=closed).is_halted(at)].tolist()
    windows: tuple[tuple[int, str], ...] = ()
    if isinstance(venue.margin, WindowedRates):
        windows = tuple(window_switches(venue.margin.windows, begin, stop))
    return Clock(
        end=end,
        payments=_instants(at for at, _ in payments),
        weights=np.array([weight for _, weight in payments], dtype=float),
        settlements=_instants(settlements),
        charges=charges,
        windows=windows,
        changes=tuple((to_nanoseconds(parse_days(after)), factor) for after, factor in venue.margin_changes),
        closed=closed,
        tests=_instants(tests),
        deadline=deadline,
    )


def _count(end: int, step_days: float, what: str = "funding") -> None:
    n = end / max(to_nanoseconds(step_days), 1)
    if n > _MOST_INTERVALS:
        raise ParameterError(
            f"the horizon of {end / _NANOSECONDS_PER_DAY:g} days holds {n:.3g} intervals, more than the "
            f"{_MOST_INTERVALS:.3g} that can be simulated; lengthen the {what} interval"
        )


@dataclass(frozen=True)
class Timeline:
    """Instants of one pass and what happens at each.

    Parameters
    ----------
    instant : ndarray of float64, shape (n_intervals + 1,)
        Years from entry; the first is 0.
    pays : ndarray of float64, shape (n_intervals,)
        Funding is paid at the end of the interval: its length over the usual one, or 0.
    charge : tuple of ndarray of float64, shape (n_intervals + 1,)
        What longs and shorts are charged at entry and at the end of each interval, per entry notional.
    settles, watches, retests, checks, calls : ndarray of uint8, shape (n_intervals,)
        Accrued funding is paid at the interval's end; the venue watches throughout; it looks again at the start, since
        cash or requirement changed; it looks at the end; it tests margin there (1) or a call may fall due (2).
    due : ndarray of int32, shape (n_intervals,)
        Interval at whose end a call made at the end of this one falls due; ``n_intervals`` if beyond the horizon.
    window : tuple of str, shape (n_intervals,)
        Margin window in force; empty names where rates do not change.
    factor : tuple of float, shape (n_intervals,)
        What the maintenance requirement is multiplied by.
    horizon : ndarray of int32, shape (n_intervals,)
        Which of ``horizons`` ends with the interval, or -1.
    horizons : tuple of int
        Positions of this pass's horizons in the list that was asked for.
    """

    instant: np.ndarray
    pays: np.ndarray
    charge: tuple[np.ndarray, np.ndarray]
    settles: np.ndarray
    watches: np.ndarray
    retests: np.ndarray
    checks: np.ndarray
    calls: np.ndarray
    due: np.ndarray
    window: tuple[str, ...]
    factor: tuple[float, ...]
    horizon: np.ndarray
    horizons: tuple[int, ...]


def common_instants(clocks: Iterable[Clock], looks: int | None, end: int) -> np.ndarray:
    """Instants, ns, up to ``end`` and with it, at which every venue stops that looks at the price each ``looks`` ns."""
    common: np.ndarray | None = None
    for clock in clocks:
        grid = clock.instants()
        if looks:
            grid = np.union1d(grid, np.arange(looks, end + 1, looks, dtype=np.int64))
        common = grid if common is None else np.intersect1d(common, grid)
    return np.union1d(_instants() if common is None else common[common <= end], _instants([end]))


def build_timelines(
    horizons: list[int],
    clock: Clock | None = None,
    monitoring: int | None = None,
    shared: np.ndarray | None = None,
    memory: int | None = None,
) -> list[Timeline]:
    """Timelines that serve all horizons.

    Parameters
    ----------
    horizons : list of int
        Horizons, ns, in the order of the result.
    clock : Clock, optional
        What the venue does; nothing unless given.
    monitoring : int, optional
        Time between the venue's looks at the price, ns; None for continuous monitoring.
    shared : ndarray of int64, optional
        Instants of other venues at which this one shall stop too, so that all see the same paths.
    memory : int, optional
        Memory of a premium that is correlated with the price, ns, by which intervals are cut; see
        :func:`correlated_memory`.

    Returns
    -------
    list of Timeline
        One for all horizons that fall on an instant of the common grid, one more for each that does not.
    """
    end = max(horizons)
    clock = clock or Clock(end)
    looks = _instants()
    if monitoring:
        _count(end, monitoring / _NANOSECONDS_PER_DAY, "monitoring")
        looks = np.arange(monitoring, end + 1, monitoring, dtype=np.int64)
    grid = np.union1d(clock.instants(), looks)
    if shared is not None:
        grid = np.union1d(grid, shared[(shared > 0) & (shared <= end)])
    on_grid = np.isin(horizons, grid)
    together = [i for i in range(len(horizons)) if on_grid[i]]
    groups = [together] if together else []
    groups += [[i] for i in range(len(horizons)) if not on_grid[i]]
    return [_build(horizons, group, clock, grid, looks, memory) for group in groups]


def correlated_memory(premium: OUPremium | None) -> int | None:
    """Time, ns, by which a premium that is correlated with the price has forgotten all but 1/e of a move; else None.

    Given a segment's increment the premium's innovation still depends a little on the segment's extremes, since it
    weighs the price's moves by their age. It is drawn as if it did not, so that intervals have to be short where moves
    still count at their end.
    """
    if premium is None or premium.correlation == 0.0 or premium.vol == 0.0:
        return None
    return max(int(DAYS_PER_YEAR * _NANOSECONDS_PER_DAY / premium.mean_reversion), 1)


def _cut(grid: np.ndarray, memory: int) -> np.ndarray:
    """Instants, with more of them before each: at first a twentieth of the memory apart, wider as moves are forgotten.

    What is left of a move after ``d`` is ``exp(-d/memory)``, and the error of an interval grows with its length to the
    power 3/2, so that ``exp(2 d/(3 memory))`` times the length does as well there: some thirty instants at most.
    """
    before = [0.0]
    length = np.diff(grid, prepend=0)
    while before[-1] < np.max(length, initial=0):
        before.append(before[-1] + _SHARE_OF_MEMORY * memory * math.exp(min(before[-1] / memory / 1.5, 300.0)))
    distance = np.ceil(np.array(before[:-1])).astype(np.int64)
    added = grid[:, np.newaxis] - distance
    return np.union1d(grid, added[distance < length[:, np.newaxis]])


def _in_force(since: Sequence[tuple[int, Any]], at: np.ndarray, before: Any) -> tuple[Any, ...]:
    """What holds at each instant, given from when on; ``before`` the first of these."""
    values = [before, *(value for _, value in since)]
    return tuple(values[k] for k in np.searchsorted(_instants(t for t, _ in since), at, side="right").tolist())


def _build(
    horizons: list[int], group: list[int], clock: Clock, grid: np.ndarray, looks: np.ndarray, memory: int | None
) -> Timeline:
    end = max(horizons[i] for i in group)
    ends = np.array(sorted({horizons[i] for i in group}), dtype=np.int64)
    instants = np.union1d(grid[grid <= end], ends)
    if memory is not None:
        instants = _cut(instants, memory)
    starts = np.concatenate([[0], instants[:-1]])
    n = len(instants)
    pays = np.zeros(n)
    place = np.searchsorted(instants, clock.payments[clock.payments <= end])
    pays[place] = clock.weights[clock.payments <= end]
    settles = np.isin(instants, clock.settlements)
    charge = tuple(
        np.array([by_instant.get(0, 0.0), *(by_instant.get(int(at), 0.0) for at in instants)])
        for by_instant in clock.charges
    )
    is_closed = np.zeros(n, dtype=bool)
    reopens = np.zeros(n, dtype=bool)
    for opens, closes in clock.closed:
        is_closed |= (starts >= opens) & (starts < closes)
        reopens |= instants == closes
    discrete = len(looks) > 0
    checks = (np.isin(instants, looks) & ~is_closed) if discrete else reopens
    switched = np.isin(starts, _instants(at for at, _ in (*clock.windows, *clock.changes) if at > 0))
    moved = (pays > 0) | settles | (charge[0][1:] != 0) | (charge[1][1:] != 0)
    retests = switched | np.concatenate([[bool(charge[0][0] or charge[1][0])], moved[:-1]])
    tests = np.isin(instants, clock.tests)
    due = np.full(n, n, dtype=np.int32)
    if clock.deadline is not None:
        called = clock.tests <= end
        place = np.searchsorted(instants, clock.tests[called])
        due[place] = np.searchsorted(instants, clock.deadlines()[called])
    falls_due = np.zeros(n, dtype=bool)
    falls_due[due[tests & (due < n)]] = True
    order = sorted(group, key=lambda i: horizons[i])
    horizon = np.full(n, -1, dtype=np.int32)
    horizon[np.searchsorted(instants, ends)] = np.arange(len(ends))
    return Timeline(
        instant=np.concatenate([[0.0], instants / _NANOSECONDS_PER_DAY / DAYS_PER_YEAR]),
        pays=pays,
        charge=charge,  # type: ignore[arg-type]
        settles=settles.astype(np.uint8),
        watches=(~is_closed & (not discrete)).astype(np.uint8),
        retests=retests.astype(np.uint8),
        checks=checks.astype(np.uint8),
        calls=(tests + 2 * falls_due).astype(np.uint8),
        due=due,
        window=_in_force(clock.windows, starts, ""),
        factor=_in_force(clock.changes, starts, 1.0),
        horizon=horizon,
        horizons=tuple(order),
    )
