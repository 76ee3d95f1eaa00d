"""The dataset of one path: its dimensions, units and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from liqsim.arguments import Settings
from liqsim.cells import Cell
from liqsim.durations import DAYS_PER_YEAR
from liqsim.engine.plan import SIDES, Pass
from liqsim.engine.tally import CellSums
from liqsim.engine.trace import EVENTS, Trace
from liqsim.estimates import no_longer, sweep_estimates
from liqsim.results import described

__all__ = ["OUTCOMES", "path_bytes", "path_dataset"]

OUTCOMES = ("liquidated", "stopped", "open")

_NS_PER_YEAR = DAYS_PER_YEAR * 86_400e9
_ENTRY, _LOOK, _INSTANT, _HORIZON, _LIQUIDATION, _STOP, _STOP_OF_REST, _ACT = (
    EVENTS.index(name)
    for name in ("entry", "look", "instant", "horizon", "liquidation", "stop", "stop of the rest", "act")
)
_NO_LEVEL = 600.0  # of a log price: nothing the price does gets there
_FRACTION = "fraction of entry notional"
_ALONG: dict[str, tuple[str, str]] = {
    "event": (
        "",
        "what happens: the price moves to its end of a segment or jumps, the venue looks or acts, cash moves",
    ),
    "event_side": ("", "side that a liquidation, cut, call or stop is about"),
    "event_leverage": ("1", "leverage that it is about; not-a-number: all that are open"),
    "event_stop": ("fraction of entry price", "stop that it is about; not-a-number: all that are open"),
    "years": ("yr", "time since entry in years of 365 days, to the last bit"),
    "x": ("1", "log price ratio to entry, to the last bit"),
    "mark": ("quote", "mark price"),
    "low": ("quote", "lowest price of the segment that ends here"),
    "high": ("quote", "highest price of the segment that ends here"),
    "premium": ("1", "premium over the index, where it is drawn"),
    "index": ("quote", "index price, mark over one plus the premium"),
    "funding_rate": ("fraction of notional per interval", "funding rate in force, paid by longs"),
    "funding_payment": (_FRACTION, "funding that a whole long owes from here on and a whole short is owed"),
    "charge": (_FRACTION, "rollover, roll or opening fee paid here by a whole position"),
    "paid": (_FRACTION, "funding and charges paid so far by a whole position"),
}
_CELLS: dict[str, tuple[str, str]] = {
    "share": ("fraction of entry position", "share of the position that is open"),
    "equity": (_FRACTION, "equity: margin and unrealised P&L less what has been paid"),
    "maintenance": (_FRACTION, "maintenance requirement"),
    "margin_ratio": ("1", "equity over maintenance requirement; the venue acts at 1"),
    "liquidation_level": ("quote", "mark price at which the venue would act next"),
}


def path_bytes(task: Pass, jumps: float) -> float:
    """About how much memory the dataset of one path takes, given the jumps that it has on average."""
    n_rows, n_columns = len(task.arrays["margin"]) - 1, len(task.arrays["stop_long"]) - 1
    events = 4.0 * len(task.arrays["pays"]) + 2.0 * jumps
    return 8.0 * events * (2 * 22 + 8 * 2 * n_rows + len(_CELLS) * 2 * n_rows * n_columns)


def path_dataset(
    trace: Trace, sums: CellSums, task: Pass, cell: Cell, settings: Settings, coords: Mapping[str, Any], attrs: Mapping
) -> xr.Dataset:
    """Put a path into a dataset, with every cell in the user's order.

    Parameters
    ----------
    trace : Trace
    sums : CellSums
        Of that path alone.
    task : Pass
    cell : Cell
    settings : Settings
    coords : mapping
        Scalar coordinates that name the run: model, venue, notional, horizon.
    attrs : mapping
    """
    grid, head, price = cell.grid, trace.head, settings.price
    sides = [SIDES.index(name) for name in grid.sides]
    rows, columns = grid.rows, grid.columns

    def cells(values: np.ndarray) -> np.ndarray:
        """From the kernel's side, row and column, in the last three axes, to the user's."""
        return values[..., sides, :, :][..., rows, :][..., columns]

    def pairs(values: np.ndarray) -> np.ndarray:
        """The same of side and row, repeated for every stop."""
        return cells(np.broadcast_to(values[..., np.newaxis], (*values.shape, len(columns))))

    exit_event = cells(trace.exit_event)
    is_there = np.arange(len(head["kind"]))[:, np.newaxis, np.newaxis, np.newaxis] <= exit_event
    level = np.where(np.abs(trace.level) < _NO_LEVEL, trace.level, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = trace.equity / trace.requirement
    along = _along(trace, task, cell, settings)
    along |= {
        name: (("time", "side", "leverage", "stop"), np.where(is_there, pairs(values), np.nan))
        for name, values in (
            ("share", trace.share),
            ("equity", trace.equity),
            ("maintenance", trace.requirement),
            ("margin_ratio", ratio),
            ("liquidation_level", price * np.exp(level)),
        )
    }
    booked = {name: cells(values[0]) for name, values in sweep_estimates(task, sums, 1).items()}
    booked["exit_time"] = no_longer(booked["exit_time"][np.newaxis], settings.horizons)[0]
    codes = np.where(booked["p_liquidation"] == 1, 0, np.where(booked["p_stop"] == 1, 1, 2))
    ends: dict[str, Any] = {
        "outcome": np.array(OUTCOMES)[codes],
        "is_partial": booked["p_partial"] == 1,
        "is_called": booked["p_margin_call"] == 1,
        "exit_price": price * head["ratio"][exit_event],
        **{name: values for name, values in booked.items() if not name.startswith("p_") and not name.endswith("_se")},
    }
    since = np.rint(head["time"] * _NS_PER_YEAR).astype("timedelta64[ns]")
    given: dict[str, Any] = {"side": list(grid.sides), "leverage": grid.leverage, "stop": grid.stop, **coords}
    given["path"] = np.uint64(trace.number)
    if settings.start is not None:
        given["clock"] = ("time", np.datetime64(settings.start.replace(tzinfo=None), "ns") + since)
    ds = xr.Dataset(
        along | {name: (("side", "leverage", "stop"), values) for name, values in ends.items()},
        coords={"time": since, **given},
    )
    ds.attrs = dict(attrs)
    return _label(ds, cell)


def _along(trace: Trace, task: Pass, cell: Cell, settings: Settings) -> dict[str, Any]:
    """What does not depend on a cell, by name."""
    head, price = trace.head, settings.price
    kind, grid = head["kind"], cell.grid
    events = np.array(EVENTS, dtype=object)[kind]
    instants = np.flatnonzero(kind == _INSTANT)
    k = head["interval"][instants]
    charged = (head["charge_long"][instants] != 0) | (head["charge_short"][instants] != 0)
    arrays = task.arrays
    pays, settles = arrays["pays"][k] > 0, arrays["settles"][k] == 1
    events[instants] = np.select([pays, settles, charged], ["funding", "settlement", "charge"], "instant")
    events[kind == _STOP_OF_REST] = "stop"
    for event in np.flatnonzero(kind == _ACT):
        share = trace.share[: event + 1, head["side"][event], head["row"][event]]
        share = share[np.isfinite(share)]
        events[event] = "cut" if len(share) > 1 and share[-1] < share[-2] else "margin call"
    about_row = (kind == _LIQUIDATION) | (kind == _STOP_OF_REST) | (kind == _ACT)
    about_column = (kind == _STOP) | (kind == _STOP_OF_REST)
    leverage, stop = np.sort(grid.leverage)[::-1], np.sort(grid.stop)
    law = task.law
    is_drawn = np.isin(kind, (_ENTRY, _LOOK, _INSTANT, _HORIZON))
    if law["premium_vol"] == 0 and law["premium_start"] == law["premium_mean"]:
        is_drawn[:] = True
    mark, premium = price * head["ratio"], np.where(is_drawn, head["premium"], np.nan)
    has_rate = cell.venue.funding is not None and np.any(arrays["pays"] > 0)
    sides = [SIDES.index(name) for name in grid.sides]
    two = {
        name: np.stack([head[f"{name}_long"], head[f"{name}_short"]], axis=1)[:, sides] for name in ("charge", "paid")
    }
    return {
        "event": ("time", events.astype(str)),
        "event_side": ("time", np.array(["", *SIDES])[head["side"] + 1]),
        "event_leverage": ("time", np.where(about_row, leverage[head["row"]], np.nan)),
        "event_stop": ("time", np.where(about_column, stop[head["column"]], np.nan)),
        "years": ("time", head["time"]),
        "x": ("time", head["x"]),
        "mark": ("time", mark),
        "low": ("time", price * head["low_ratio"]),
        "high": ("time", price * head["high_ratio"]),
        "premium": ("time", premium),
        "index": ("time", mark / (1.0 + premium)),
        "funding_rate": ("time", head["rate"] if has_rate else np.full(len(kind), np.nan)),
        "funding_payment": ("time", head["funding"]),
        **{name: (("time", "side"), values) for name, values in two.items()},
    }


def _label(ds: xr.Dataset, cell: Cell) -> xr.Dataset:
    """Give every variable its unit and name."""
    quote = cell.venue.contract.quote
    texts = {
        **_ALONG,
        **_CELLS,
        "outcome": ("", "how the position ended"),
        "is_partial": ("", "whether the venue closed a part of the position, and never all of it"),
        "is_called": ("", "whether the venue called for margin"),
        "exit_price": ("quote", "mark price at the end"),
        "exit_time": ("d", "time to exit; of a crossing within a segment its conditional mean"),
        "notional": ("quote", "entry notional"),
        "time": ("", "time since entry"),
        "path": ("", "path number"),
        "clock": ("", "time, UTC"),
    }
    for name in map(str, ds.variables):
        units, long_name = texts.get(name) or described(name)
        attrs = {"units": quote if units == "quote" else units, "long_name": long_name.removeprefix("expected ")}
        ds[name].attrs = {key: text for key, text in attrs.items() if text}
    return ds
