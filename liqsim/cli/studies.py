"""``liqsim sweep`` and ``liqsim resume``: studies from a file to a store."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import xarray as xr

from liqsim.cli.runs import limits_text, risk_text
from liqsim.engine.schedulers import make_scheduler
from liqsim.errors import ParameterError
from liqsim.plot.captions import caption
from liqsim.study import read_study, run_study
from liqsim.study import resume as go_on
from liqsim.study.estimate import check_fits, estimate
from liqsim.study.resolve import Study

__all__ = ["EXAMPLE", "resume", "sweep"]

EXAMPLE = """\
venue = ["binance-usdm-btcusdt", "kraken-pi-xbtusd"]   # ids, ID@YYYY-MM-DD, or files "my-venue.toml"
leverage = [2, 3, 5, 10, 20, 50]
stop = [0.02, 0.05, 0.10, inf]                         # fractions of the entry price; inf: no stop
side = ["long", "short"]
notional = 100_000
price = 60_000
horizon = "30D"
# start = 2026-03-04T15:00:00Z                         # entry; places margin windows, tests and closures
# top_up = 0.1                                         # added on margin calls in all, of the notional
n_paths = 1_000_000
# rel_error = 0.01                                     # of p_liquidation: end once all cells are as accurate
seed = 7
# outputs = ["value_at_risk", "p_liquidation_by"]      # more of every path, with their quantiles and times
# quantiles = [0.01, 0.05]

# include = "common.toml"                              # keys of this file replace those of included ones

[model]                                                # several: [[model]], each with a label; lists are multiplied out
kind = "kou"                                           # gbm, merton, kou, or preset = "btc-2025"
sigma = 0.2
intensity = 4400
p_up = 0.55
eta_up = 270
eta_down = 230

[premium]                                              # leave out for none
mean = 1e-4
half_life = "15h"
vol = 3e-4

# [assume.kraken-spot-xbtusd]                          # what no source states; liqsim venues list says what is needed
# fees.taker = 0.0026
# liquidation.hazard = 0.5

# [output]
# store = "study.zarr"                                 # or netcdf = "study.nc"; --out overrides it
"""

_SHOWN_CELLS = 2000  # results with more are not printed


def _running(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that simulate."""
    options = [
        click.option("--threads", type=int, help="Threads or processes; all processors unless given."),
        click.option(
            "--scheduler",
            metavar="WHERE",
            help="threads, processes, or the address of a dask scheduler such as tcp://10.0.0.1:8786.  [threads]",
        ),
        click.option("--cluster", metavar="local:N", help="Start a dask cluster of N processes on this machine."),
        click.option(
            "--checkpoint", type=float, default=10.0, show_default=True, help="Seconds between saves, at least."
        ),
        click.option("--log", type=click.Path(path_type=Path), help="File that gets one JSON record a line."),
        click.option("--progress/--no-progress", default=True, show_default=True, help="Show progress and time left."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    short_help="Run the study described in a TOML file.",
    epilog="\b\nA study:\n" + "\n".join(f"  {line}" for line in EXAMPLE.splitlines()),
)
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--out", help="NAME.zarr or a URL: a store that can be resumed and extended. NAME.nc: one file.  [result.nc]"
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key of STUDY; repeat for more.")
@click.option("--paths", type=int, help="Short for --set n_paths=N.")
@click.option("--seed", type=int, help="Short for --set seed=N.")
@click.option("--dry-run", is_flag=True, help="Print cells, time, memory and approximations; simulate nothing.")
@_running
def sweep(
    study: Path,
    out: str | None,
    changes: tuple[str, ...],
    paths: int | None,
    seed: int | None,
    dry_run: bool,
    threads: int | None,
    scheduler: str | None,
    cluster: str | None,
    checkpoint: float,
    log: Path | None,
    progress: bool,
) -> None:
    """Run the study in the TOML file STUDY into a Zarr store or a netCDF4 file.

    Everything done is saved as it is done, in NAME.partial: after Ctrl-C, a crash or a full disk, the same command or
    "liqsim resume NAME" goes on from there and ends with the same bits. The keys are the arguments of liqsim.sweep.

    \b
    Examples:
      liqsim sweep my-grid.toml
      liqsim sweep my-grid.toml --dry-run --set n_paths=1e7
      liqsim sweep my-grid.toml --out out/my-grid.zarr --cluster local:4
      liqsim sweep my-grid.toml --out out/my-grid.nc --paths 100000 && liqsim report out/my-grid.nc
    """
    given = {"n_paths": paths, "seed": seed, "threads": threads}
    found = read_study(study, [*changes, *(f"{k}={v}" for k, v in given.items() if v is not None)])
    store, netcdf = _outputs(found, out)
    making = _making(scheduler, cluster, found.plan.settings.threads)
    if dry_run:
        click.echo(estimate(found).text())
        click.echo(f"would write: {store}" + (f" and {netcdf}" if netcdf else ""))
        return
    check_fits(found, found.plan.settings.threads)
    begun = time.perf_counter()
    with _session(log):
        ds = run_study(
            found, store, scheduler=making, progress=progress, checkpoint=_seconds(checkpoint), netcdf=netcdf
        )
    _show(ds, store, time.perf_counter() - begun)


def _outputs(study: Study, out: str | None) -> tuple[str, Path | None]:
    """Store, or single file, and the file beside a store."""
    netcdf = None if study.output.netcdf is None else study.folder / study.output.netcdf
    if out is not None:
        return out, None
    if study.output.store is not None:
        store = study.output.store
        return store if "://" in store else str(study.folder / store), netcdf
    return str(netcdf or "result.nc"), None


def _making(scheduler: str | None, cluster: str | None, threads: int | None) -> Any:
    if scheduler is not None and cluster is not None:
        raise ParameterError("--scheduler and --cluster are both given; leave one of them out")
    return make_scheduler(cluster or scheduler, threads)


def _seconds(checkpoint: float) -> float:
    if not 0 < checkpoint <= 86_400:
        raise ParameterError(f"--checkpoint={checkpoint:g} is not allowed; give seconds in (0, 86400]")
    return checkpoint


def _show(ds: xr.Dataset, store: str, seconds: float) -> None:
    if ds["p_liquidation"].size <= _SHOWN_CELLS:
        ds = ds.load()
        click.echo(caption(ds))
        click.echo("\n" + limits_text(ds))
        click.echo("\n" + risk_text(ds))
    else:
        click.echo(f"{ds['p_liquidation'].size:,} cells")
    way = f"liqsim inspect {store}; liqsim export {store} --md; liqsim report {store}"
    click.echo(f"\nWritten in {seconds:.1f} s: {store}   ({way})")


@click.command(short_help="Go on with a study that has stopped, or add paths to a finished one.")
@click.argument("store")
@click.option("--add-paths", type=int, default=0, metavar="N", help="Paths to add: the bits of one longer run.")
@click.option("--netcdf", type=click.Path(path_type=Path), help="netCDF4 file to write besides.")
@_running
def resume(
    store: str,
    add_paths: int,
    netcdf: Path | None,
    threads: int | None,
    scheduler: str | None,
    cluster: str | None,
    checkpoint: float,
    log: Path | None,
    progress: bool,
) -> None:
    """Go on with the study in STORE from where it has stopped; repair it if it is damaged; or add paths to it.

    \b
    Examples:
      liqsim resume out/my-grid.zarr
      liqsim resume out/my-grid.zarr --add-paths 1000000
    """
    making = _making(scheduler, cluster, threads)
    begun = time.perf_counter()
    with _session(log):
        ds = go_on(
            store,
            add_paths=add_paths,
            scheduler=making,
            threads=threads,
            progress=progress,
            checkpoint=_seconds(checkpoint),
            netcdf=netcdf,
        )
    _show(ds, store.removesuffix(".partial"), time.perf_counter() - begun)


class _JsonLines(logging.Formatter):
    """One JSON object a record: time, level, event, and what else it holds."""

    _usual = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        more = {k: v for k, v in vars(record).items() if k not in self._usual}
        return json.dumps(
            {"time": at, "level": record.levelname.lower(), "event": record.getMessage(), **more}, default=str
        )


@contextmanager
def _session(log: Path | None) -> Iterator[None]:
    """Write the log, and take a request to terminate as an interrupt, so that what is done is saved."""
    logger = logging.getLogger("liqsim")
    handler: logging.Handler | None = None
    if log is not None:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(log, encoding="utf-8")
        except OSError as error:
            raise ParameterError(f"--log={str(log)!r} cannot be written: {error.strerror or error}") from None
        handler.setFormatter(_JsonLines())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if handler is not None:
            logger.removeHandler(handler)
            handler.close()
