"""``liqsim replay``: one path of a result, in text, as a figure and as a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import xarray as xr

from liqsim.cli.base import text_table
from liqsim.durations import parse_days
from liqsim.errors import ParameterError
from liqsim.plot._data import horizon_text, stop_text
from liqsim.plot.captions import caption
from liqsim.replay import replay as look_at
from liqsim.report import load_result, replacing, save_result

__all__ = ["replay"]

_MOST_ROWS = 24
_ACTS = ("liquidation", "cut", "margin call", "stop")


def _nanoseconds(text: str) -> np.timedelta64:
    return np.timedelta64(round(parse_days(text) * 86_400e9), "ns")


_AXES: dict[str, Callable[[str], Any]] = {
    "model": str, "venue": str, "notional": float, "horizon": _nanoseconds, "side": str, "leverage": float,
    "stop": float,
}  # fmt: skip


@click.command(short_help="What happened on one path of a result.")
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--path", "number", type=int, help="Path number.")
@click.option("--worst", is_flag=True, help="Find the path of the lowest P&L.")
@click.option("--median", is_flag=True, help="Find the path of the median P&L.")
@click.option("--first-liquidated", is_flag=True, help="Find the first path with a liquidation.")
@click.option("--model", help="Model, where RESULT holds several; likewise:")
@click.option("--venue")
@click.option("--notional")
@click.option("--horizon", help='Such as "30D".')
@click.option("--side", help="long or short; both unless given. With leverage and stop it names a cell:")
@click.option("--leverage")
@click.option("--stop", help='Fraction of the entry price, or "inf".')
@click.option("--figure", type=click.Path(path_type=Path), help="PNG, PDF or SVG file to draw one side to.")
@click.option("--out", type=click.Path(path_type=Path), help="netCDF4 file to write every event to.")
@click.option("--threads", type=int, help="Threads for the search; all processors unless given.")
@click.option("--progress/--no-progress", default=True, show_default=True, help="Show a bar while searching.")
def replay(
    result: Path,
    number: int | None,
    worst: bool,
    median: bool,
    first_liquidated: bool,
    figure: Path | None,
    out: Path | None,
    threads: int | None,
    progress: bool,
    **chosen: str | None,
) -> None:
    """Run one path of RESULT again, to the last bit, and say what happened on it.

    RESULT is a file of "liqsim sweep", "venues compare" or "demo". Give a path number, or a cell and what to look for
    in it; a search runs all paths of that cell again.

    \b
    Examples:
      liqsim replay result.nc --path 123456
      liqsim replay result.nc --worst --side long --leverage 10 --stop inf --figure worst.png
      liqsim replay out/demo/result.nc --venue kraken-pi-xbtusd --first-liquidated --side short --leverage 5 --stop inf
    """
    ds = load_result(result)
    for name, text in chosen.items():
        if text is not None:
            ds = _select(ds, name, text)
    _check_single(ds, ("model", "venue", "notional", "horizon"), "a path is of one")
    if worst or median or first_liquidated:
        _check_single(ds, ("side", "leverage", "stop"), "a search is about one cell")
    if figure is not None:
        _check_figure(ds, figure)
    found = look_at(
        ds,
        path=number,
        worst=True if worst else None,
        median=True if median else None,
        first_liquidated=True if first_liquidated else None,
        threads=threads,
        progress=progress,
    )
    click.echo(f"{caption(found)} · path {int(found['path']):,}")
    if found.attrs["picked"]:
        click.echo(f"the {found.attrs['picked']}")
    click.echo(f"\n{_path_text(found)}\n\n{_ends_text(found)}")
    acts = _acts_text(found)
    if acts:
        click.echo(f"\n{acts}")
    if out is not None:
        save_result(found, out)
        click.echo(f"\nWritten: {out}")
    if figure is not None:
        _draw(found, figure)
        click.echo(f"\nWritten: {figure}")


def _select(ds: xr.Dataset, name: str, text: str) -> xr.Dataset:
    """Narrow a result to one value of a coordinate."""
    known = np.atleast_1d(ds[name].values)
    try:
        value = _AXES[name](text)
    except ValueError as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(f"--{name} {text!r} is not a number") from None
    at = np.flatnonzero(known == value)
    if at.size == 0:
        raise ParameterError(f"--{name} {text!r} is not in the result; it holds {_words(ds, name)}")
    return ds.isel({name: [int(at[0])]}) if name in ds.dims else ds


def _path_text(ds: xr.Dataset) -> str:
    """What the price did."""
    counts = {name: int((ds["event"] == name).sum()) for name in ("jump", "funding", "margin test", "visit")}
    seen = [f"{n:,} {name}{'s' if name != 'funding' else ' payments'}" for name, n in counts.items() if n]
    unit = ds["mark"].attrs["units"]
    low, high = float(np.nanmin(ds["low"])), float(np.nanmax(ds["high"]))
    first, last = float(ds["mark"][0]), float(ds["mark"][-1])
    return (
        f"price {first:,.0f} to {last:,.0f} {unit}, between {low:,.0f} and {high:,.0f}; {', '.join(seen) or 'no jumps'}"
    )


def _ends_text(ds: xr.Dataset) -> str:
    """How the positions ended."""
    head = ["side", "stop", "leverage", "end", "after", "price", "P&L", "funding", "fees"]
    rows = []
    for side in ds["side"].values:
        for stop in ds["stop"].values:
            for leverage in ds["leverage"].values:
                cell = ds.sel(side=side, stop=stop, leverage=leverage)
                outcome = f"{cell['outcome'].values}{', in part' if bool(cell['is_partial']) else ''}"
                row = [str(side), stop_text(stop), f"{leverage:g}x", outcome, f"{float(cell['exit_time']):.2f}"]
                row += [f"{float(cell['exit_price']):,.0f}"]
                row += [f"{1e4 * float(cell[name]):.1f}" for name in ("pnl", "funding_cost", "fees")]
                rows.append(row)
    table = text_table(head, [["", "", "", "", "days", "", "bp", "bp", "bp"], *rows[:_MOST_ROWS]], left=(0, 3))
    more = len(rows) - _MOST_ROWS
    return table if more <= 0 else f"{table}\nand {more} more; narrow with --side, --leverage, --stop"


def _acts_text(ds: xr.Dataset) -> str:
    """What the venue and the stops did."""
    at = np.flatnonzero(np.isin(ds["event"].values, _ACTS))
    rows = []
    for event in at[:_MOST_ROWS]:
        row = ds.isel(time=int(event))
        leverage, stop = float(row["event_leverage"]), float(row["event_stop"])
        rows.append(
            [
                f"{365 * float(row['years']):.3f}",
                str(row["event"].values),
                str(row["event_side"].values),
                "all open" if math.isnan(leverage) else f"{leverage:g}x",
                "all open" if math.isnan(stop) else stop_text(stop),
                f"{float(row['mark']):,.0f}",
            ]
        )
    if not rows:
        return ""
    table = text_table(["days", "event", "side", "leverage", "stop", "price"], rows, left=(1, 2))
    more = at.size - len(rows)
    return table if more <= 0 else f"{table}\nand {more} more, all of them in --out"


def _check_single(ds: xr.Dataset, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if ds[name].size > 1:
            raise ParameterError(
                f"RESULT holds {ds[name].size} values of {name}, {_words(ds, name)}; {why}: --{name} ..."
            )


def _words(ds: xr.Dataset, name: str) -> str:
    values = np.atleast_1d(ds[name].values)
    return ", ".join(horizon_text(v) if name == "horizon" else str(v) for v in values)


def _check_figure(ds: xr.Dataset, path: Path) -> None:
    """Refuse before the search what could not be drawn after it."""
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ParameterError(f"--figure {str(path)!r} must end in .png, .pdf or .svg")
    if ds["side"].size > 1:
        raise ParameterError("--figure draws one side; give --side long or --side short")
    if ds["leverage"].size > 6:
        raise ParameterError(f"--figure draws up to 6 leverages, not {ds['leverage'].size}; give --leverage")


def _draw(ds: xr.Dataset, path: Path) -> None:
    from matplotlib.figure import Figure

    from liqsim.plot import replay as draw

    art = draw(ds, Figure())
    with replacing(path) as temporary:
        art.figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower())
