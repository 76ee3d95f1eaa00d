"""``liqsim inspect``, ``rerun``, ``export`` and ``cite``: what one does with a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from liqsim._version import __version__
from liqsim.cli.base import DATA, echo_json
from liqsim.engine.memory import bytes_text
from liqsim.engine.schedulers import make_scheduler
from liqsim.errors import ParameterError, StoreError
from liqsim.files import replacing
from liqsim.results import fingerprint
from liqsim.store.place import Place
from liqsim.store.result import faults, naming_faults, read_record
from liqsim.study import open_store
from liqsim.study import rerun as run_again
from liqsim.study.export import export_table
from liqsim.study.session import bad_sums

__all__ = ["cite", "export", "inspect", "rerun"]


@click.command(short_help="Say what a result holds, where it comes from, and whether it is whole.")
@click.argument("result")
@click.option("--json", "as_json", is_flag=True, help="Print the whole provenance as JSON.")
def inspect(result: str, as_json: bool) -> None:
    """Say what RESULT holds and where it comes from; a store is read through, an unfinished one says what is done.

    \b
    Examples:
      liqsim inspect out/my-grid.zarr
      liqsim inspect result.nc --json
    """
    place = Place(result)
    is_store = place.exists(False) or place.exists(True)
    is_partial = is_store and not place.exists(False)
    damaged = [*faults(place), *bad_sums(place)] if is_store and not is_partial else []
    ds = open_store(result)
    record: dict[str, Any] = json.loads(ds.attrs["provenance"])
    if as_json:
        echo_json(record)
        return
    cells = ds["p_liquidation" if "p_liquidation" in ds else next(iter(ds.data_vars))]
    sizes = " x ".join(f"{n} {name}" for name, n in cells.sizes.items())
    lines = [f"{ds.attrs.get('title', 'liqsim')}: {cells.size:,} cells = {sizes}"]
    if is_partial:
        done = ds["n_paths_done"]
        wanted = int(read_record(place, True)["n_paths"])
        share = 100.0 * float(done.clip(max=wanted).mean()) / wanted
        lines.append(f"unfinished   {share:.1f} % of {wanted:,} paths; liqsim resume {place.name}")
    elif is_store:
        lines.append(f"finished     {bytes_text(place.size(False))} on disk; liqsim resume --add-paths extends it")
    version = f"{record['version']} ({record['git']})" if record.get("git") else record["version"]
    lines += [
        f"made by      liqsim {version}, {record['function']}, {record['created']}",
        f"paths, seed  {record['n_paths']:,}, {record['seed']}",
        f"run on       {record['platform']}, {record['instruction_set']}, {record['elapsed_seconds']:g} s",
    ]
    for label, venue in record["inputs"].get("venue", {}).items():
        lines.append(f"venue        {label}, rules of {venue['snapshot']}, SHA-256 {venue['hash'][:16]}")
    for label, model in record["inputs"].get("model", {}).items():
        if isinstance(model, dict):
            numbers = ", ".join(f"{k} {v:g}" for k, v in model.items() if isinstance(v, (int, float)))
            lines.append(f"model        {label}: {model['model']}, {numbers}")
    tables = record.get("study", {}).get("model", [])
    for table in tables if isinstance(tables, list) else [tables]:
        if "source" in table:
            lines.append(f"source       {table.get('label', table['kind'])}: {table['source']}")
    if outputs := record["inputs"].get("outputs"):
        lines.append(f"outputs      {', '.join(outputs)}")
    if not is_partial:
        lines.append(f"fingerprint  {record.get('fingerprint', 'none')}")
    lines += [f"note         {note}" for note in ds.attrs.get("notes", "").splitlines()]
    click.echo("\n".join(lines))
    if damaged:
        click.echo("\n".join(["damaged, all else is readable:", *(f"  {fault}" for fault in damaged)]), err=True)
        raise StoreError(f"store={place.name!r} is damaged; liqsim resume {place.name} repairs it")
    if not is_partial and "fingerprint" in record and fingerprint(ds) != record["fingerprint"]:
        raise StoreError(f"result={result!r}: its numbers are not those that its fingerprint was made of")


@click.command(short_help="Run again what a result comes from, and compare the bits.")
@click.argument("result")
@click.option("--check", is_flag=True, help="Only say whether the bits agree; exit code 3 if they do not.")
@click.option("--out", type=click.Path(path_type=Path), help="netCDF4 file for the new result.")
@click.option("--threads", type=int, help="Threads; all processors unless given.")
@click.option("--scheduler", metavar="WHERE", help="As for liqsim sweep.")
@click.option("--progress/--no-progress", default=True, show_default=True)
def rerun(
    result: str, check: bool, out: Path | None, threads: int | None, scheduler: str | None, progress: bool
) -> None:
    """Run again what RESULT says it comes from, and say whether every bit agrees.

    RESULT is that of a study, or a file in which a result of liqsim.sweep, first_passage or compare_venues was saved.
    The venues' rules are those stored in RESULT, whatever has changed since.

    \b
    Examples:
      liqsim rerun out/my-grid.zarr --check
      LIQSIM_ISA=base liqsim rerun result.nc --check --threads 1
    """
    if not check and out is None:
        raise ParameterError("give --out FILE.nc for the new result, or --check to compare only")
    making = None if scheduler is None else make_scheduler(scheduler, threads)
    again = run_again(result, scheduler=making, threads=threads, progress=progress)
    if out is not None:
        from liqsim.files import save_result

        save_result(again.dataset, out)
        click.echo(f"Written: {out}")
    was, now = (
        f"liqsim {x['version']}{' (' + x['git'] + ')' if x.get('git') else ''}, {x['instruction_set']}, {x['platform']}"
        for x in (again.was, again.now)
    )
    if again.differing:
        click.echo(f"differs: {', '.join(again.differing)}\n  was: {was}\n  now: {now}", err=True)
        click.get_current_context().exit(DATA)
    click.echo(f"every bit agrees: {len(again.dataset.variables)} variables\n  was: {was}\n  now: {now}")


@click.command(short_help="Write a result as a table for a paper.")
@click.argument("result")
@click.option("--tex", "style", flag_value="tex", help="LaTeX, a booktabs tabular.")
@click.option("--csv", "style", flag_value="csv", help="CSV, all digits.")
@click.option("--md", "style", flag_value="md", default=True, help="Markdown.  [default]")
@click.option("--var", "variables", multiple=True, help="Estimate to show; repeat for more.  [p_liquidation]")
@click.option("--columns", help="Dimension that runs along the columns.")
@click.option("--sel", "select", multiple=True, metavar="DIM=VALUE", help="Show one value of a dimension; repeat.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; the terminal unless given.")
def export(
    result: str,
    style: str,
    variables: tuple[str, ...],
    columns: str | None,
    select: tuple[str, ...],
    out: Path | None,
) -> None:
    """Write RESULT as a table, each estimate with its standard error, rounded to two digits of the error.

    \b
    Examples:
      liqsim export result.nc --tex --columns leverage --sel side=long --out table.tex
      liqsim export out/my-grid.zarr --csv --var p_liquidation --var pnl
    """
    chosen = {}
    for text in select:
        dim, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--sel {text} is not allowed; give DIM=VALUE, such as side=long")
        chosen[dim] = value
    with naming_faults(Place(result)):
        table = export_table(
            open_store(result),
            style,  # type: ignore[arg-type]
            variables=variables or ("p_liquidation",),
            columns=columns,
            select=chosen,
        )
    if out is None:
        click.echo(table, nl=False)
        return
    with replacing(out) as temporary:
        temporary.write_text(table, encoding="utf-8")
    click.echo(f"Written: {out}")


@click.command(short_help="How to cite liqsim, and a result made with it.")
@click.argument("result", required=False)
def cite(result: str | None) -> None:
    """Print a BibTeX entry; with RESULT, of the version that made it, and a line that identifies the numbers.

    \b
    Examples:
      liqsim cite
      liqsim cite result.nc
    """
    record = {} if result is None else json.loads(open_store(result).attrs["provenance"])
    version = record.get("version", __version__)
    click.echo(
        f"@software{{liqsim,\n  author  = {{{{The liqsim developers}}}},\n"
        "  title   = {{liqsim: Monte Carlo liquidation risk of leveraged crypto positions}},\n"
        f"  version = {{{version}}},\n}}"
    )
    if record:
        git = f", commit {record['git']}" if record.get("git") else ""
        click.echo(
            f"\nComputed with liqsim {version}{git}: {record['n_paths']:,} paths, seed {record['seed']}, "
            f"numbers with SHA-256 {record.get('fingerprint', 'unknown')[:16]}."
        )
