"""Checks of what a simulation is asked for: every argument that cannot be is refused here, before a path is drawn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from liqsim.durations import listed, parse_days
from liqsim.engine.plan import SIDES, Grid, seed_key
from liqsim.engine.run import check_threads
from liqsim.engine.timeline import to_nanoseconds
from liqsim.errors import ParameterError
from liqsim.models import OUPremium
from liqsim.venues import Venue, load_venue
from liqsim.venues.clock import parse_start

__all__ = [
    "Settings",
    "load_ids",
    "read_grid",
    "read_horizons",
    "read_looks",
    "read_named",
    "read_numbers",
    "read_one",
    "read_paths",
    "read_settings",
    "read_venues",
]

_MOST_PATHS = 2**40


@dataclass(frozen=True)
class Settings:
    """What all cells of a run share.

    Parameters
    ----------
    premium : OUPremium or None
    price : float
        Entry price.
    horizons : list of int
        Nanoseconds, in the user's order.
    looks : int, optional
        Time between the venue's looks at the price, ns; None for continuous monitoring.
    gap_rule : str
    start : datetime.datetime, optional
    top_up : float
    n_paths, threads : int
    key : tuple of int
        Of the random numbers.
    """

    premium: OUPremium | None
    price: float
    horizons: list[int]
    looks: int | None
    gap_rule: str
    start: dt.datetime | None
    top_up: float
    n_paths: int
    threads: int
    key: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Those that change the numbers, as plain values; paths and seed are recorded elsewhere."""
        return {
            "premium": None if self.premium is None else self.premium.to_dict(),
            "price": self.price,
            "horizon_ns": self.horizons,
            "monitoring_ns": self.looks,
            "gap_rule": self.gap_rule,
            "start": None if self.start is None else self.start.isoformat(),
            "top_up": self.top_up,
        }


def read_numbers(
    name: str, value: Any, unit: str, low: float, high: float, *, allow_inf: bool = False, high_open: bool = False
) -> np.ndarray:
    """A non-empty, 1-D, duplicate-free float array inside ``(low, high]``, or ``(low, high)``."""
    allowed = f"give numbers in ({low:g}, {high:g}{')' if high_open else ']'} {unit}"
    try:
        x = np.atleast_1d(np.asarray(value))
        if x.dtype.kind not in "iuf" or x.ndim != 1:
            raise TypeError
        x = x.astype(float)
    except (TypeError, ValueError):
        raise ParameterError(f"{name}={value!r} is not a number or a flat list of numbers; {allowed}") from None
    if x.size == 0:
        raise ParameterError(f"{name} is empty; {allowed}")
    fine = (x > low) & ((x < high) if high_open else (x <= high)) & (np.isfinite(x) | (allow_inf & (x == np.inf)))
    if not fine.all():
        raise ParameterError(f"{name}={x[~fine][0]:g} is not allowed; {allowed}")
    if np.unique(x).size != x.size:
        raise ParameterError(f"{name}={value!r} holds a value twice; name each once")
    return x


def read_one(name: str, value: Any, unit: str, low: float, high: float, what: str) -> float:
    """One number inside ``(low, high]``; a list is refused."""
    number = float(read_numbers(name, value, unit, low, high)[0])
    if np.ndim(value) > 0:
        raise ParameterError(f"{name}={value!r} is a list; give one {what} {unit} and call once for each")
    return number


def read_named(name: str, value: Any, kind: type, get_label: Callable[[Any], str]) -> tuple[dict[str, Any], bool]:
    """One item, a list of items or a mapping of labels to items -> labelled items, and whether it was a list."""
    if isinstance(value, kind):
        return {get_label(value): value}, False
    if isinstance(value, Mapping):
        items = {str(key): item for key, item in value.items()}
        if len(items) < len(value):
            raise ParameterError(f"{name} has labels that read the same, among {list(value)!r}; give each its own")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = {}
        for item in value:
            text = get_label(item) if isinstance(item, kind) else ""
            if text in items:
                raise ParameterError(
                    f"{name} holds two items called {text!r}; pass a mapping of labels to items instead of a list"
                )
            items[text] = item
    else:
        items = {"": value}
    if not items:
        raise ParameterError(f"{name} is empty; give at least one")
    for item in items.values():
        if not isinstance(item, kind):
            raise ParameterError(
                f"{name}={item!r} is not a {kind.__name__}; give one, a list of them or a mapping of labels to them"
            )
    return items, True


def load_ids(venue: Any) -> Any:
    """Replace venue ids by venues, wherever the argument may hold one."""
    if isinstance(venue, str):
        return load_venue(venue)
    if isinstance(venue, Mapping):
        return {key: load_ids(item) for key, item in venue.items()}
    if isinstance(venue, (list, tuple)):
        return [load_ids(item) for item in venue]
    return venue


def read_venues(name: str, value: Any) -> tuple[dict[str, Venue], bool]:
    """Venues by label, and whether a list was given."""
    return read_named(name, load_ids(value), Venue, lambda venue: venue.id)


def read_horizons(value: Any) -> tuple[list[int], bool]:
    """Horizons in nanoseconds, and whether a list was given."""
    items, many = listed(value)
    if not items:
        raise ParameterError('horizon is empty; give at least one duration such as "30D"')
    ns = [to_nanoseconds(parse_days(item, "horizon")) for item in items]
    if len(set(ns)) != len(ns):
        raise ParameterError(f"horizon={value!r} holds a duration twice; name each once")
    if min(ns) < 1:
        raise ParameterError(f"horizon={value!r} is shorter than a nanosecond")
    return ns, many


def read_looks(value: Any, horizons: list[int]) -> int | None:
    """Time between looks at the price, ns; None for continuous monitoring."""
    if isinstance(value, str) and value == "continuous":
        return None
    try:
        step = max(to_nanoseconds(parse_days(value, "monitoring")), 1)
    except ParameterError as error:
        raise ParameterError(f'{error}; or "continuous"') from None
    if step > min(horizons):
        raise ParameterError(
            f"monitoring={value!r} is longer than the shortest horizon, so the venue would never look; "
            'shorten it, or give "continuous"'
        )
    return step


def read_paths(n_paths: Any) -> int:
    """Number of paths."""
    whole = isinstance(n_paths, (int, np.integer)) or (isinstance(n_paths, float) and n_paths.is_integer())
    if isinstance(n_paths, bool) or not whole or not 1 <= n_paths <= _MOST_PATHS:
        raise ParameterError(f"n_paths={n_paths!r} is not allowed; give a whole number in [1, {_MOST_PATHS}]")
    return int(n_paths)


def _sides(value: Any) -> tuple[str, ...]:
    try:
        sides = (value,) if isinstance(value, str) else tuple(value)
        fine = 0 < len(sides) == len(set(sides)) and set(sides) <= set(SIDES)
    except TypeError:
        fine = False
    if not fine:
        raise ParameterError(f'side={value!r} is not allowed; give "long", "short" or a list of both, each once')
    return sides


def read_grid(leverage: Any, stop: Any, side: Any) -> Grid:
    """Leverages, stops and sides."""
    grid = Grid(
        read_numbers("leverage", leverage, "(notional over margin)", 0, 1000),
        read_numbers("stop", stop, "(fraction of the entry price)", 0, np.inf, allow_inf=True),
        _sides(side),
    )
    if "long" in grid.sides and np.any((grid.stop >= 1) & np.isfinite(grid.stop)):
        worst = grid.stop[(grid.stop >= 1) & np.isfinite(grid.stop)][0]
        raise ParameterError(
            f"stop={worst:g} would put a long's stop at or below a price of 0; give stops in (0, 1) or inf"
        )
    return grid


def read_settings(
    horizons: list[int],
    *,
    premium: Any,
    price: Any,
    monitoring: Any,
    gap_rule: Any,
    start: Any,
    top_up: Any,
    n_paths: Any,
    seed: Any,
    threads: Any,
) -> Settings:
    """Check what all cells share; ``horizons`` are those of :func:`read_horizons`."""
    if premium is not None and not isinstance(premium, OUPremium):
        raise ParameterError(f"premium={premium!r} is not an OUPremium; give one or None")
    entry = read_one("price", price, "(quote per base)", 1e-12, 1e12, "entry price")
    looks = read_looks(monitoring, horizons)
    if gap_rule not in ("liquidation", "stop"):
        raise ParameterError(f'gap_rule={gap_rule!r} is not allowed; give "liquidation" or "stop"')
    opened = None if start is None else parse_start(start)
    if isinstance(top_up, bool) or not isinstance(top_up, Real) or not 0 <= float(top_up) <= 1000:
        raise ParameterError(f"top_up={top_up!r} is not allowed; give a number in [0, 1000] (of entry notional)")
    return Settings(
        premium=premium,
        price=entry,
        horizons=horizons,
        looks=looks,
        gap_rule=gap_rule,
        start=opened,
        top_up=float(top_up),
        n_paths=read_paths(n_paths),
        threads=check_threads(threads),
        key=seed_key(seed),
    )
