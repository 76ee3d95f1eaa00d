"""``liqsim explain`` and ``liqsim config``: what a run would do, and what it runs on."""

from __future__ import annotations

from pathlib import Path

import click

from liqsim.cli.base import echo_json
from liqsim.environment import config_text, show_config
from liqsim.explain import explain as describe
from liqsim.study import read_study

__all__ = ["config", "explain"]


@click.command(short_help="What a sweep would do, without doing it.")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--paths", type=int, help="Paths, instead of those of STUDY.")
@click.option("--threads", type=int, help="Threads; all processors unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def explain(study: Path, paths: int | None, threads: int | None, as_json: bool) -> None:
    """Say what "liqsim sweep STUDY" would do: evaluator, timeline, approximations, expected time and memory.

    \b
    Examples:
      liqsim explain my-grid.toml
      liqsim explain my-grid.toml --paths 100000000 --json
    """
    given = {"n_paths": paths, "threads": threads}
    found = read_study(study, [f"{k}={v}" for k, v in given.items() if v is not None])
    plan = describe(**found.arguments, threads=found.threads)
    if as_json:
        echo_json(plan.to_dict())
    else:
        click.echo("\n".join(line[2:] for line in repr(plan).splitlines()[1:]))


@click.command(short_help="Versions, kernel builds and processor, for a bug report.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def config(as_json: bool) -> None:
    """Show versions, builds of the kernel, processor and threads, for a bug report.

    \b
    Examples:
      liqsim config
      LIQSIM_ISA=base liqsim config --json
    """
    found = show_config("dict")
    if as_json:
        echo_json(found)
    else:
        click.echo(config_text(found))
