"""One position on many venues: the same model, seed and price paths, each venue by its own rules."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from liqsim.arguments import Settings, read_grid, read_horizons, read_one, read_settings, read_venues
from liqsim.cells import (
    Cell,
    cell_passes,
    clock_of,
    currencies,
    entry_prices,
    entry_window,
    grid_axes,
    notes_of,
    run_cells,
    run_inputs,
)
from liqsim.durations import Duration
from liqsim.engine.plan import Grid, Pass
from liqsim.errors import MarginRuleError, ParameterError
from liqsim.models import OUPremium, PriceModel
from liqsim.results import comparison_dataset, provenance, sweep_dataset
from liqsim.stopping import read_groups
from liqsim.venues import FlatLeverage, Venue, WindowedRates
from liqsim.venues.words import NOT_STATED, rules_in_words, why_in_words

__all__ = ["COMPARED", "compare_venues"]

COMPARED = (
    "cme-mbt",
    "coinbase-bip",
    "kraken-pi-xbtusd",
    "kraken-pf-xbtusd",
    "kraken-spot-xbtusd",
    "bitmex-xbtusd",
    "deribit-btc-perpetual",
    "binance-usdm-btcusdt",
    "bybit-btcusdt",
    "okx-btcusdt",
    "hyperliquid-btc",
    "dydx-btc-usd",
)
"""Venues that :func:`compare_venues` looks at unless told otherwise."""


def compare_venues(
    model: PriceModel,
    venues: Sequence[Venue | str] | Mapping[str, Venue | str] | None = None,
    *,
    leverage: npt.ArrayLike,
    side: str | Sequence[str] = "long",
    stop: npt.ArrayLike = float("inf"),
    notional: float = 10_000.0,
    price: float = 60_000.0,
    horizon: Duration = "30D",
    premium: OUPremium | None = None,
    start: str | dt.datetime | np.datetime64 | None = None,
    top_up: float = 0.0,
    assume: Mapping[str, Mapping[str, Any]] | None = None,
    monitoring: Duration | Literal["continuous"] = "continuous",
    gap_rule: Literal["liquidation", "stop"] = "liquidation",
    n_paths: int = 100_000,
    groups: int | None = None,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Simulate the same position on many venues, on the same price paths.

    Parameters
    ----------
    model : PriceModel
        Price dynamics.
    venues : list or mapping, optional
        Venues or ids of shipped ones, or a mapping of labels to them; :data:`COMPARED` unless given. One that is named
        here and lacks a value is refused; one of the default list is left out, with the reason.
    leverage : float or list
        Notional over initial margin. Where a venue does not allow a leverage its cells are not-a-number and
        ``is_allowed`` is False; a venue that allows none is left out. So it is where a short has its margin in coin and
        cannot be simulated, which ``notes`` says.
    side : {"long", "short"} or both
    stop : float or list
        Adverse move at which the stop triggers, fraction of the entry price; inf for none.
    notional : float
        Entry price times quantity, each venue's quote currency.
    price : float
        Entry mark price, quote per base, the same on every venue.
    horizon : duration
    premium, start, top_up, monitoring, gap_rule, n_paths, groups, seed, threads, progress
        As in :func:`sweep`.
    assume : mapping of str to mapping, optional
        For a venue's label, values that no source states: see :meth:`Venue.assume`. They are named in the notes.

    Returns
    -------
    xarray.Dataset
        dims ``(venue,)`` and one more for each of side, leverage, stop given as a list. What :func:`sweep` gives, and
        ``call_price`` [quote], from which the venue may act at its discretion, ``max_leverage`` and ``is_allowed``; in
        words ``why`` the venue behaves as it does, the ``bearer`` of a loss beyond the margin, ``status`` and
        ``us_persons``. ``attrs["left_out"]`` is JSON, venue to reason; ``attrs["notes"]`` names closed venues,
        assumed values, liquidation prices that are nearer at other hours, and shorts that are not simulated;
        ``attrs["own_paths"]`` is JSON, see below.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be.
    VenueDataError
        If a venue that was named lacks a value.
    MarginRuleError
        If no venue allows the position.

    Notes
    -----
    All venues stop at the instants of all, so that every one sees the same price and premium: what differs between them
    is their rules. Two venues with the same rules give the same bits. The exception is a venue that liquidates at its
    discretion (Kraken spot): its looks at the account are drawn with the jumps, so it sees paths of its own, of the
    same law; ``own_paths`` names it. Because of the common instants a venue's numbers are those of :func:`sweep` to
    within their errors, not to the bit.

    Outcomes on the same paths rise and fall together, so a difference between two venues has a smaller error than
    ``sqrt(se_1**2 + se_2**2)``: give ``groups`` and ask :func:`difference`.

    Amounts are fractions of the entry value in the settlement currency: of the coin value on an inverse contract.

    Examples
    --------
    >>> import liqsim as lq
    >>> ds = lq.compare_venues(lq.GBM(sigma=0.6), ["bitmex-xbtusd", "hyperliquid-btc"], leverage=5, horizon="7D",
    ...                        n_paths=4000, seed=1)
    >>> dict(ds.sizes), ds.bearer.values.tolist()
    ({'venue': 2}, ['insurance fund, then auto-deleveraging', 'HLP vault, then auto-deleveraging'])
    """
    if not isinstance(model, PriceModel):
        raise ParameterError(f"model={model!r} is not a PriceModel; give GBM, Merton or Kou")
    chosen = _venues(venues, assume or {})
    size = read_one("notional", notional, "(quote currency)", 1e-9, 1e15, "notional")
    grid = read_grid(leverage, stop, side)
    horizons, has_horizons = read_horizons(horizon)
    if has_horizons:
        raise ParameterError(f"horizon={horizon!r} is a list; give one duration and call once for each")
    settings = read_settings(
        horizons, premium=premium, price=price, monitoring=monitoring, gap_rule=gap_rule, start=start, top_up=top_up,
        n_paths=n_paths, seed=seed, threads=threads,
    )  # fmt: skip
    n_groups = read_groups(groups, settings.n_paths)
    left_out: dict[str, str] = {}
    cells: dict[str, Cell] = {}
    for label, venue in chosen.items():
        if missing := venue.needs():
            if venues is not None:
                venue.check_known()
            left_out[label] = f"no source states {' and '.join(missing)}"
        else:
            cells[label] = Cell(model, venue, size, grid)
    instants = [clock_of(cell.venue, settings).instants() for cell in cells.values()]
    shared = np.unique(np.concatenate(instants)) if instants else None
    parts: list[_Part] = []
    kept: dict[str, Venue] = {}
    for label, cell in cells.items():
        try:
            parts += _parts(len(kept), cell, settings, shared)
            kept[label] = cell.venue
        except MarginRuleError as error:
            left_out[label] = str(error)
    if not parts:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in left_out.items())
        raise MarginRuleError(f"leverage={leverage!r}: no venue can be simulated; {reasons}")
    run = run_cells([p.passes for p in parts], [p.cell.grid for p in parts], settings, progress, n_groups)

    values = _filled([{name: x[0] for name, x in arrays.items()} for arrays in run.found], parts, len(kept), grid)
    prices = _filled([_prices(part.cell, settings) for part in parts], parts, len(kept), grid)
    inputs = run_inputs({model.name: model}, kept, np.array([size]), grid, settings)
    own_paths = [label for label, venue in kept.items() if venue.liquidation.procedure == "discretionary"]
    stopped_for = {label: cell.venue.to_dict() for label, cell in cells.items() if label not in kept}
    record = inputs | {"axes": ["venue"], "left_out": left_out, "stopped_for": stopped_for}
    record |= {"groups": n_groups} if n_groups else {}
    ds = sweep_dataset(
        {name: x[np.newaxis, :, np.newaxis, np.newaxis] for name, x in values.items()},
        {name: x[:, np.newaxis] for name, x in prices.items()},
        {"model": [model.name], "venue": list(kept), "notional": [size], "horizon": horizons, **grid_axes(grid)},
        {"venue"},
        currencies(kept),
        run.booked.group_paths,
        provenance("compare_venues", record, seed, settings.n_paths, run.booked.seconds)
        | {
            "notes": _notes(kept, parts, grid, settings),
            "left_out": json.dumps(left_out),
            "own_paths": json.dumps(own_paths),
        },
    )
    return comparison_dataset(
        ds,
        np.isfinite(values["p_liquidation"][..., 0]),
        np.array([[_max_leverage(venue, size, side, settings) for side in grid.sides] for venue in kept.values()]),
        {name: [text(venue, size, settings.price) for venue in kept.values()] for name, text in _WORDS.items()},
        {name for name, value in (("side", side), ("leverage", leverage), ("stop", stop)) if _is_list(value)},
    )


@dataclass(frozen=True)
class _Part:
    """Sides of one venue that allow the same leverages: where they stand in the result, and their runs."""

    row: int
    sides: list[int]
    leverages: list[int]
    cell: Cell
    passes: list[Pass]


def _is_list(value: Any) -> bool:
    return np.ndim(value) > 0


def _venues(given: Any, assume: Any) -> dict[str, Venue]:
    """Venues by label, with what is assumed of them filled in."""
    venues, _ = read_venues("venues", list(COMPARED) if given is None else given)
    if not isinstance(assume, Mapping):
        raise ParameterError(f"assume={assume!r} is not a mapping; give {{venue: {{name: value}}}}")
    for label, values in assume.items():
        if label not in venues:
            near = difflib.get_close_matches(str(label), venues, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"assume: {label!r} is not compared; {hint}give one of {', '.join(venues)}")
        if not isinstance(values, Mapping):
            raise ParameterError(
                f"assume[{label!r}]={values!r} is not a mapping; give values by dotted name, such as "
                '{"fees.taker": 0.0005}'
            )
        venues[label] = venues[label].assume(values)
    return venues


def _parts(row: int, cell: Cell, settings: Settings, shared: np.ndarray | None) -> list[_Part]:
    """Runs of what a venue allows of the grid; raises MarginRuleError where that is nothing."""
    grid = cell.grid
    every = list(range(len(grid.leverage)))
    try:
        return [_Part(row, list(range(len(grid.sides))), every, cell, cell_passes(cell, settings, shared))]
    except MarginRuleError as error:
        refusal = error
    groups: dict[tuple[int, ...], list[int]] = {}
    for k in range(len(grid.sides)):
        fine = tuple(j for j in every if _allows(cell, settings, [k], [j]))
        if fine:
            groups.setdefault(fine, []).append(k)
    if not groups:
        raise refusal
    parts = []
    for leverages, sides in groups.items():
        smaller = dataclasses.replace(cell, grid=_cut(grid, sides, list(leverages)))
        parts.append(_Part(row, sides, list(leverages), smaller, cell_passes(smaller, settings, shared)))
    return parts


def _cut(grid: Grid, sides: list[int], leverages: list[int]) -> Grid:
    return Grid(grid.leverage[leverages], grid.stop, tuple(grid.sides[k] for k in sides))


def _allows(cell: Cell, settings: Settings, sides: list[int], leverages: list[int]) -> bool:
    try:
        cell_passes(dataclasses.replace(cell, grid=_cut(cell.grid, sides, leverages)), settings)
    except MarginRuleError:
        return False
    return True


def _filled(
    arrays: Sequence[dict[str, np.ndarray]], parts: Sequence[_Part], n_venues: int, grid: Grid
) -> dict[str, np.ndarray]:
    """Arrays of shape (side, leverage, ...) put in their place in one of all venues, among not-a-numbers."""
    shape = (n_venues, len(grid.sides), len(grid.leverage))
    out = {name: np.full(shape + x.shape[2:], np.nan) for name, x in arrays[0].items()}
    for part, found in zip(parts, arrays, strict=True):
        where = np.ix_([part.row], part.sides, part.leverages)
        for name, x in found.items():
            out[name][where] = x
    return out


def _prices(cell: Cell, settings: Settings) -> dict[str, np.ndarray]:
    """Prices at entry, and the one from which the venue may act at its discretion."""
    found = entry_prices(cell, settings)
    margin, call = cell.venue.margin, found["liquidation_price"]
    if isinstance(margin, FlatLeverage):
        level = min(margin.call_level, 1.0 - 1e-12)  # at 1 the position is called as it is opened
        venue = dataclasses.replace(cell.venue, margin=dataclasses.replace(margin, liquidation_level=level))
        call = entry_prices(dataclasses.replace(cell, venue=venue), settings)["liquidation_price"]
    return found | {"call_price": call}


def _notes(venues: Mapping[str, Venue], parts: Sequence[_Part], grid: Grid, settings: Settings) -> str:
    """What is closed and assumed, of whom the price shown is not the nearest of the day, and what is not simulated."""
    lines = [*notes_of(venues).splitlines(), *_hedged_shorts(venues, parts, grid, settings)]
    for label, venue in venues.items():
        window = entry_window(venue, settings)
        if window is None or not isinstance(venue.margin, WindowedRates):
            continue
        for side in grid.sides:
            rates = {w.name: w.rate(side) for w in venue.margin.windows}
            if rates[window] < max(rates.values()):
                lines.append(
                    f"{label}: the liquidation price is that of the {window} window, in which the position is opened; "
                    f"in the {max(rates, key=rates.__getitem__)} window it is nearer."
                )
                break
    return "\n".join(lines)


def _hedged_shorts(
    venues: Mapping[str, Venue], parts: Sequence[_Part], grid: Grid, settings: Settings
) -> Iterator[str]:
    """Which shorts with their margin in coin are left out though the venue allows their leverage."""
    for row, (label, venue) in enumerate(venues.items()):
        if venue.collateral_haircut is None or "short" not in grid.sides:
            continue
        short = grid.sides.index("short")
        known = {j for part in parts if part.row == row and short in part.sides for j in part.leverages}
        most = _max_leverage(venue, parts[0].cell.notional, "short", settings)
        missing = [f"{x:g}" for j, x in enumerate(grid.leverage.tolist()) if j not in known and x <= most]
        if missing:
            yield (
                f"{label}: shorts at leverage {', '.join(missing)} are not simulated: the coin posted for them "
                "outweighs them, or may once they are cut."
            )


def _max_leverage(venue: Venue, notional: float, side: str, settings: Settings) -> float:
    return float(venue.max_leverage(notional, settings.price, side, entry_window(venue, settings)))


def _bearer(venue: Venue, notional: float, price: float) -> str:
    return ", then ".join(venue.liquidation.bearers) or NOT_STATED


def _status(venue: Venue, notional: float, price: float) -> str:
    return rules_in_words(venue)["status"]


def _us_persons(venue: Venue, notional: float, price: float) -> str:
    return rules_in_words(venue)["US persons"]


_WORDS: dict[str, Callable[[Venue, float, float], str]] = {
    "why": why_in_words,
    "bearer": _bearer,
    "status": _status,
    "us_persons": _us_persons,
}
