"""Command line: ``liqsim demo | calibrate | venues | price | sweep | resume | explain | replay | report | ...``."""

from __future__ import annotations

import click

from liqsim._version import __version__
from liqsim.cli.about import config, explain
from liqsim.cli.base import Commands
from liqsim.cli.compare import compare
from liqsim.cli.ingest import import_tiers
from liqsim.cli.market import calibrate
from liqsim.cli.paths import replay
from liqsim.cli.results import cite, export, inspect, rerun
from liqsim.cli.rules import price, venues
from liqsim.cli.runs import demo, report
from liqsim.cli.studies import resume, sweep

__all__ = ["main"]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 usage, 3 data, 4 stopped before the end, what is done is saved.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Monte Carlo liquidation risk of leveraged crypto positions under each venue's own rules.

    \b
    New here? In this order:
      liqsim demo                     real BTC returns to a liquidation grid, in under a minute
      liqsim venues                   whose rules are shipped, and of when
      liqsim price bitmex-xbtusd --entry 60000 --leverage 10 --notional 100000
      liqsim venues compare --leverage 3 --price 77835     the same position, venue by venue
      liqsim sweep my-grid.toml       your own grid; liqsim sweep --help shows such a file
      liqsim resume my-grid.zarr      what was stopped goes on; liqsim rerun --check repeats it, bit for bit
      liqsim replay result.nc --path 0    what happened on one of its paths
    """


venues.add_command(import_tiers)
venues.add_command(compare)
for _command in (
    demo, calibrate, venues, price, explain, sweep, resume, rerun, inspect, export, replay, report, cite, config,
):  # fmt: skip
    main.add_command(_command)
