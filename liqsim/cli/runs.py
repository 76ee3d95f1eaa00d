"""``liqsim demo`` and ``liqsim report``, and the tables that a run prints."""

from __future__ import annotations

import math
import time
from pathlib import Path

import click
import xarray as xr

from liqsim import presets
from liqsim.calibrate import FitResult, ReturnCounts
from liqsim.cli.base import text_table
from liqsim.cli.compare import comparison_text
from liqsim.cli.market import counts_text, fits_text
from liqsim.plot._data import inputs, plus_minus, stop_text
from liqsim.plot.captions import caption, quote_text
from liqsim.report import (
    leverage_limits,
    load_result,
    record_of,
    risk_table,
    write_report,
)
from liqsim.report.tables import probability, some

__all__ = ["demo", "limits_text", "report", "risk_text"]

_LIMITS = (0.01, 0.05, 0.10)


@click.command(short_help="Real BTC returns to a liquidation grid, figures and a report.")
@click.option("--data", type=click.Path(path_type=Path), help="CSV file of bars to fit instead of the shipped returns.")
@click.option("--column", default="close", show_default=True, help="Price column of --data.")
@click.option("--preset", default="btc-2025", show_default=True, help="Shipped returns to fit.")
@click.option(
    "--venue", "venues", multiple=True, help="Venue id; repeat for more.  [default: a linear and an inverse one]"
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/demo"), show_default=True, help="Folder to write to."
)
@click.option("--paths", type=int, default=1_000_000, show_default=True, help="Simulated paths.")
@click.option("--seed", type=int, default=7, show_default=True, help="Same seed, same numbers.")
@click.option("--threads", type=int, help="Threads; all processors unless given.")
@click.option("--progress/--no-progress", default=True, show_default=True, help="Show a bar with the time left.")
def demo(
    data: Path | None,
    column: str,
    preset: str,
    venues: tuple[str, ...],
    out: Path,
    paths: int,
    seed: int,
    threads: int | None,
    progress: bool,
) -> None:
    """From real BTC returns to a liquidation grid, figures and a report.

    Fits GBM, Merton and Kou to hourly BTC returns, simulates 30 days of 100,000 quote units of notional over 12
    leverages, 10 stops and both sides on a linear and an inverse venue, then the same long on ten venues, each by its
    own rules, and writes result.nc, venues.nc, PNG figures and report.html. Takes less than a minute on two cores.

    \b
    Examples:
      liqsim demo
      liqsim demo --paths 100000 --out quick
      liqsim demo --data bars.csv --venue kraken-pf-xbtusd --venue bitmex-xbtusd
    """
    from liqsim.demo import DEMO_VENUES, run_demo

    known = presets.list_presets()
    if preset not in known:
        raise click.BadParameter(f"{preset!r} is not one of {', '.join(known)}", param_hint="--preset")
    begun = time.perf_counter()
    result = run_demo(
        out,
        data=data,
        column=column,
        preset=preset,
        venues=venues or DEMO_VENUES,
        n_paths=paths,
        seed=seed,
        threads=threads,
        progress=progress,
        on_fits=_show_fits,
        on_sweep=_show_sweep,
        on_comparison=_show_comparison,
    )
    click.echo(f"\nWritten in {time.perf_counter() - begun:.0f} s:")
    for path in result.files:
        click.echo(f"  {path}")
    click.echo(f"Open {result.files[-1]} in a browser, or result.nc with xarray.open_dataset.")


def _show_fits(counts: ReturnCounts, fits: dict[str, FitResult]) -> None:
    click.echo(counts_text(counts))
    click.echo("\nMaximum likelihood")
    click.echo(fits_text(fits))
    click.echo("\nSimulating the Kou fit with drift 0")


def _show_sweep(ds: xr.Dataset) -> None:
    click.echo(f"\n{caption(ds)}")
    click.echo("\n" + limits_text(ds))
    click.echo("\n" + risk_text(ds))
    check = record_of(ds).check
    if check:
        worst = max(abs(row.z) for row in check)
        click.echo(
            f"\nCheck against the exact first-passage probability ({len(check)} cells without funding and fees, "
            f"{check[0].n_paths:,} paths): largest |z| = {worst:.2f}"
        )


def _show_comparison(ds: xr.Dataset) -> None:
    from liqsim.demo import SHOWN_LEVERAGE

    click.echo(f"\nThe same {SHOWN_LEVERAGE:g}x long, venue by venue, each by its own rules\n")
    click.echo(comparison_text(ds.sel(leverage=SHOWN_LEVERAGE), reasons=False))


def limits_text(ds: xr.Dataset) -> str:
    """Table of the highest leverages at which P(liquidation) stays below a few levels."""
    rows = leverage_limits(ds, _LIMITS)
    stop = rows[0]["stop"]
    what = "no stop" if math.isinf(stop) else f"stop at {stop_text(stop)}"
    head = ["venue", "side", *[f"<= {100 * level:g} %" for level in _LIMITS]]
    table = text_table(
        head,
        [[row["case"], row["side"], *[f"{v:g}x" if v else "none" for v in row["limits"]]] for row in rows],
        left=(0, 1),
    )
    return f"Highest leverage of the grid with P(liquidation) at or below a level, {what}\n{table}"


def risk_text(ds: xr.Dataset) -> str:
    """Table of a few leverages with and without a stop."""
    leverages = some(ds["leverage"].values, [3, 5, 10, 25])
    stops = some(ds["stop"].values, [0.05, math.inf])[::-1]
    shown = risk_table(ds, leverages, stops)
    rows = []
    for row in shown:
        p, p_se = probability(row.values["p_liquidation"], row.errors["p_liquidation"], row.n_paths)
        stopped, _ = probability(row.values["p_stop"], row.errors["p_stop"], row.n_paths)
        pnl, pnl_se = plus_minus(row.values["pnl"], row.errors["pnl"], 1e4, 1)
        rows.append(
            [
                stop_text(row.stop),
                f"{row.leverage:g}x",
                f"{row.liquidation_price:,.0f}" if 0 < row.liquidation_price < math.inf else "none",
                p,
                p_se,
                "" if math.isinf(row.stop) else stopped,
                f"{1e4 * row.values['funding_cost']:.1f}",
                f"{1e4 * row.values['fees']:.1f}",
                pnl,
                pnl_se,
                f"{row.values['exit_time']:.1f}",
            ]
        )
    head = ["stop", "leverage", "liq. price", "P(liq.)", "+-", "P(stop)", "funding", "fees", "P&L", "+-", "exit"]
    units = ["", "", quote_text(inputs(ds)), "%", "", "%", "bp", "bp", "bp", "", "days"]
    lines = text_table(head, [units, *rows]).splitlines()
    text, previous = lines[:2], ("", "")
    for row, line in zip(shown, lines[2:], strict=True):
        if (row.case, row.side) != previous:
            previous = (row.case, row.side)
            text.append(f"{row.case}, {row.side}")
        text.append(line)
    text.append("+- is one standard error; bp of entry notional; funding > 0 is paid; P&L is after funding and fees")
    return "\n".join(text)


@click.command(short_help="Write a result as one HTML file.")
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="HTML file to write; report.html beside RESULT unless given."
)
@click.option("--venues", type=click.Path(path_type=Path), help="Comparison of venues to print with RESULT.")
@click.option("--title", default="Liquidation risk", show_default=True)
def report(result: Path, out: Path | None, venues: Path | None, title: str) -> None:
    """Write a result of "liqsim sweep", "venues compare" or "demo" as one self-contained HTML file.

    \b
    Examples:
      liqsim report result.nc --out report.html
      liqsim report out/demo/result.nc --venues out/demo/venues.nc
    """
    ds = load_result(result)
    compared = None if venues is None else load_result(venues)
    path = write_report(out or result.with_name("report.html"), ds, title=title, comparison=compared)
    click.echo(f"Written: {path}")
