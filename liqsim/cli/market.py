"""``liqsim calibrate``: price models from the user's own bars."""

from __future__ import annotations

from pathlib import Path

import click

from liqsim.calibrate import FitResult, ReturnCounts, compare, fit, load_prices
from liqsim.cli.base import echo_json, text_table

__all__ = ["calibrate", "counts_text", "fits_text"]

_TITLES = {"gbm": "GBM", "merton": "Merton", "kou": "Kou"}


@click.command(short_help="Fit price models to a CSV file of bars.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--column", default="close", show_default=True, help="Price column.")
@click.option("--time-column", help="Column of time stamps; found by its usual names unless given.")
@click.option("--volume-column", help="Column of traded volume; bars without trades are then left out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def calibrate(data: Path, column: str, time_column: str | None, volume_column: str | None, as_json: bool) -> None:
    """Fit GBM, Merton and Kou to the prices in DATA by maximum likelihood.

    DATA is a CSV file, plain or gzip-compressed, with a header line, a column of time stamps (ISO 8601 or Unix
    epoch, UTC) and a price column. Returns across gaps are left out.

    \b
    Examples:
      liqsim calibrate bars.csv
      liqsim calibrate bars.csv.gz --column last_close --volume-column last_volume --json > fit.json
    """
    series = load_prices(data, column, time_column=time_column, volume_column=volume_column)
    results = {name: fit(name, series) for name in _TITLES}
    if as_json:
        echo_json(
            {
                "data": {
                    "source": series.source,
                    "interval": series.interval,
                    "n_returns": series.n_obs,
                    "n_gaps": series.n_gaps,
                    "n_stale": series.stale.size,
                    "window": series.window,
                },
                "best": compare(results).best.model.name,
                "fits": {name: {**result.to_dict(), "se": result.se} for name, result in results.items()},
            }
        )
        return
    click.echo(
        f"{series.source}: {series.n_obs:,} returns over {series.interval}, {series.window[0]} to {series.window[1]}"
    )
    click.echo(f"left out: {series.n_gaps:,} steps across gaps, {series.stale.size:,} bars without trades")
    click.echo()
    click.echo(fits_text(results))
    best = compare(results).best
    click.echo()
    arguments = ", ".join(f"{name}={0 if name == 'drift' else f'{value:.6g}'}" for name, value in best.params.items())
    click.echo(f"Best by AIC, ready to use without its drift: lq.{_TITLES[best.model.name]}({arguments})")


def counts_text(counts: ReturnCounts) -> str:
    """What was fitted, in one or two lines."""
    what = counts.asset or counts.source
    window = f", {counts.window[0]} to {counts.window[1]}" if counts.window[0] else ""
    text = f"{counts.n:,} log returns over {counts.interval}: {what}{window}"
    return f"{text}\n{counts.citation}" if counts.citation else text


def fits_text(fits: dict[str, FitResult]) -> str:
    """Parameters with standard errors, log likelihood and AIC of each fit, as a table."""
    best = min(result.aic for result in fits.values())
    rows = []
    for name, result in fits.items():
        for k, (parameter, value) in enumerate(result.params.items()):
            se = result.se.get(parameter)
            error = f"{se:.2g}" if se is not None else "held" if parameter in result.fixed else "at bound"
            error = f"{se:.0f}" if se is not None and se >= 100 else error
            ends = [f"{result.loglik:,.1f}", f"{result.aic:,.1f}", f"{result.aic - best:,.1f}"] if k == 0 else [""] * 3
            rows.append([_TITLES.get(name, name) if k == 0 else "", parameter, f"{value:.5g}", error, *ends])
    head = ["model", "parameter", "estimate", "std. error", "log likelihood", "AIC", "AIC - best"]
    table = text_table(head, rows, left=(0, 1))
    notes = [f"{_TITLES.get(name, name)}: {result.note}" for name, result in fits.items() if not result.converged]
    units = "sigma in 1/sqrt(yr), intensity and drift in 1/yr, jump sizes in log returns (mean jump 1/eta)"
    return "\n".join([table, units, *notes])
