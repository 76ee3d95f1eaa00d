"""``liqsim venues compare``: the same position on many venues, as a table, a picture and a file."""

from __future__ import annotations

import difflib
import json
import math
import textwrap
from pathlib import Path
from typing import Any

import click
import xarray as xr

from liqsim import presets
from liqsim.cli.assumed import assume_option, read_assumed
from liqsim.cli.base import echo_json, text_table
from liqsim.compare import compare_venues
from liqsim.errors import ParameterError
from liqsim.models import OUPremium
from liqsim.plot._data import inputs, plus_minus, stop_text
from liqsim.plot.captions import caption, footnotes, quote_text
from liqsim.report import VenueRow, replacing, save_result, venue_table
from liqsim.report.tables import probability

__all__ = ["compare", "comparison_text"]

_WIDTH = 116


@click.command("compare", short_help="The same position on many venues, on the same price paths.")
@click.argument("venue_ids", nargs=-1, metavar="[ID]...")
@click.option("--leverage", "leverages", type=float, multiple=True, required=True, help="Repeat for more.")
@click.option("--side", "sides", type=click.Choice(["long", "short"]), multiple=True, help="Repeat for both.  [long]")
@click.option("--stop", type=float, default=math.inf, help="Adverse move, fraction of the entry price.  [no stop]")
@click.option("--notional", type=float, default=10_000.0, show_default=True, help="Quote currency.")
@click.option("--price", type=float, default=60_000.0, show_default=True, help="Entry price, quote per base.")
@click.option("--horizon", default="30D", show_default=True)
@click.option("--start", help='Entry, UTC, such as "2026-03-04T15:00Z"; it places margin windows and tests.')
@click.option("--top-up", type=float, default=0.0, show_default=True, help="Added on calls in all, of the notional.")
@click.option("--model", "model_text", default="preset btc-2025", show_default=True, help='"preset NAME [KIND]".')
@click.option("--premium", help='"MEAN HALF_LIFE VOL", such as "1e-4 15h 3e-4".  [none]')
@assume_option
@click.option("--paths", type=int, default=100_000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=int, help="Threads; all processors unless given.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for compare.nc and PNG figures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--progress/--no-progress", default=True, show_default=True, help="Show a bar with the time left.")
def compare(
    venue_ids: tuple[str, ...],
    leverages: tuple[float, ...],
    sides: tuple[str, ...],
    stop: float,
    notional: float,
    price: float,
    horizon: str,
    start: str | None,
    top_up: float,
    model_text: str,
    premium: str | None,
    assumed: tuple[str, ...],
    paths: int,
    seed: int,
    threads: int | None,
    out: Path | None,
    as_json: bool,
    progress: bool,
) -> None:
    """Simulate the same position on many venues and print what differs, and why.

    Without an ID the five venues of the package's focus and five others are compared; those of them that lack a value
    which no source states are left out, with the reason, unless --assume gives it.

    \b
    Examples:
      liqsim venues compare --leverage 3 --price 77835 --notional 100000
      liqsim venues compare --leverage 3 --assume coinbase-bip:margin.maintenance_share=0.8 --out out/compare
      liqsim venues compare bitmex-xbtusd deribit-btc-perpetual --leverage 5 --leverage 10 --side short --json
    """
    ds = compare_venues(
        _model(model_text),
        list(venue_ids) or None,
        leverage=list(leverages) if len(leverages) > 1 else leverages[0],
        side=list(dict.fromkeys(sides)) if len(sides) > 1 else (sides or ("long",))[0],
        stop=stop,
        notional=notional,
        price=price,
        horizon=horizon,
        premium=_premium(premium),
        start=start,
        top_up=top_up,
        assume=read_assumed(assumed),
        n_paths=paths,
        seed=seed,
        threads=threads,
        progress=progress and not as_json,
    )
    written = [] if out is None else _write(ds, out)
    if as_json:
        echo_json({**_plain(ds), "written": [str(path) for path in written]})
        return
    click.echo(comparison_text(ds))
    for path in written:
        click.echo(f"Written: {path}")


def _model(text: str) -> Any:
    words = text.split()
    if len(words) not in (2, 3) or words[0] != "preset":
        raise ParameterError(
            f'--model={text!r} is not allowed; give "preset NAME" or "preset NAME KIND", such as "preset btc-2025 kou"'
        )
    known = presets.list_presets()
    if words[1] not in known:
        near = difflib.get_close_matches(words[1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ParameterError(f"--model: preset {words[1]!r} is unknown; {hint}give one of {', '.join(known)}")
    return presets.model(words[1], *words[2:], drift=0.0)


def _premium(text: str | None) -> OUPremium | None:
    if text is None:
        return None
    words = text.split()
    try:
        mean, half_life, vol = float(words[0]), words[1], float(words[2])
        if len(words) != 3:
            raise ValueError
    except (ValueError, IndexError):
        raise ParameterError(
            f'--premium={text!r} is not allowed; give "MEAN HALF_LIFE VOL", such as "1e-4 15h 3e-4"'
        ) from None
    return OUPremium(mean=mean, half_life=half_life, vol=vol)


def _write(ds: xr.Dataset, out: Path) -> list[Path]:
    from liqsim.report.figures import draw_comparison

    written = [save_result(ds, out / "compare.nc")]
    for picture in draw_comparison(ds):
        path = out / f"{picture.name}.png"
        with replacing(path) as temporary:
            temporary.write_bytes(picture.png)
        written.append(path)
    return written


def _plain(ds: xr.Dataset) -> dict[str, Any]:
    return {
        "run": caption(ds),
        "rows": [
            {
                "venue": row.venue,
                "side": row.side,
                "leverage": row.leverage,
                "stop": row.stop,
                "liquidation_price": row.liquidation_price,
                **row.values,
                **{f"{name}_se": value for name, value in row.errors.items()},
                "handed_back": row.back[0],
                "handed_back_se": row.back[1],
                "bearer": row.bearer,
                "why": row.why,
                "is_closed": row.is_closed,
            }
            for row in venue_table(ds)
        ],
        "left_out": json.loads(ds.attrs["left_out"]),
        "notes": ds.attrs["notes"].splitlines(),
        "own_paths": json.loads(ds.attrs["own_paths"]),
    }


def comparison_text(ds: xr.Dataset, *, reasons: bool = True) -> str:
    """Table of a comparison, why the venues differ (if ``reasons``), and what a reader must know of it."""
    rows = venue_table(ds)
    head = ["venue", "liq. price", "move", "P(liq.)", "+-", "part", "call", "funding", "fees", "P&L", "+-", "back"]
    head += ["beyond", "borne by"]
    units = ["", quote_text(inputs(ds)), "%", "%", "", "%", "%", "bp", "bp", "bp", "", "%", "bp", ""]
    lines = text_table(head, [units, *[_cells(row) for row in rows]], left=(0, len(head) - 1)).splitlines()
    text, previous = [caption(ds), "", *lines[:2]], ("", 0.0, 0.0)
    for row, line in zip(rows, lines[2:], strict=True):
        if (row.side, row.leverage, row.stop) != previous:
            previous = (row.side, row.leverage, row.stop)
            stop = "no stop" if math.isinf(row.stop) else f"stop at {stop_text(row.stop)}"
            text.append(f"{row.side}, {row.leverage:g}x, {stop}")
        text.append(line)
    text.append(
        "+- is one standard error; bp of the entry value; part: only a part is closed; back: share of a liquidated\n"
        "position's margin handed back; beyond: expected loss beyond the margin; funding > 0 is paid"
    )
    text += ["", "Why they differ"] if reasons else []
    for label, why in {row.venue: row.why for row in rows if reasons}.items():
        text.append(textwrap.fill(f"{label}: {why}", _WIDTH, initial_indent="  ", subsequent_indent="    "))
    notes = footnotes(ds)
    if notes:
        text += ["", *[textwrap.fill(note, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for note in notes]]
    return "\n".join(text)


def _cells(row: VenueRow) -> list[str]:
    p, p_se = probability(row.values["p_liquidation"], row.errors["p_liquidation"], row.n_paths)
    part, call = (
        probability(row.values[name], row.errors[name], row.n_paths)[0] if row.values[name] > 0 else ""
        for name in ("p_partial", "p_margin_call")
    )
    pnl, pnl_se = plus_minus(row.values["pnl"], row.errors["pnl"], 1e4, 1)
    beyond, _ = plus_minus(row.values["shortfall"], row.errors["shortfall"], 1e4, 3)
    return [
        f"{row.venue} (closed)" if row.is_closed else row.venue,
        f"{row.liquidation_price:,.0f}" if 0 < row.liquidation_price < math.inf else "none",
        "" if math.isnan(row.move) else f"{100 * row.move:+.1f}",
        p,
        p_se,
        part,
        call,
        f"{1e4 * row.values['funding_cost']:.1f}",
        f"{1e4 * row.values['fees']:.1f}",
        pnl,
        pnl_se,
        "" if math.isnan(row.back[0]) else plus_minus(max(row.back[0], 0.0), row.back[1], 100.0, 1)[0],
        beyond if row.values["shortfall"] > 0 else "0",
        row.bearer,
    ]
