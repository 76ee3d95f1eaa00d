"""A result made again from what its provenance says of it, and compared to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from liqsim.cells import progress_bar
from liqsim.compare import compare_venues
from liqsim.engine.run import Threads
from liqsim.engine.tally import Sums
from liqsim.engine.tasks import Job, run_jobs
from liqsim.errors import ParameterError, StoreError
from liqsim.files import load_any
from liqsim.passages import first_passage
from liqsim.rebuild import REPEATED, arguments_of, provenance_of
from liqsim.results import digests, provenance
from liqsim.store.place import Place
from liqsim.study.resolve import TARGETS, study_from
from liqsim.study.session import Making
from liqsim.sweep import sweep

__all__ = ["Rerun", "rerun"]

_FUNCTIONS: dict[str, Callable[..., xr.Dataset]] = {
    "sweep": sweep,
    "first_passage": first_passage,
    "compare_venues": compare_venues,
}


@dataclass(frozen=True)
class Rerun:
    """A result made again.

    Parameters
    ----------
    dataset : xarray.Dataset
    differing : tuple of str
        Variables whose bits are not those of the result.
    was, now : dict
        Version, instruction set and platform of both.
    """

    dataset: xr.Dataset
    differing: tuple[str, ...]
    was: dict[str, Any]
    now: dict[str, Any]


def rerun(
    result: str | Path,
    *,
    scheduler: Making | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Rerun:
    """Run again what a result says it comes from, and compare the bits.

    Parameters
    ----------
    result : str or pathlib.Path
        Store or netCDF file of a study, or netCDF file of a result of :func:`liqsim.sweep`,
        :func:`liqsim.first_passage` or :func:`liqsim.compare_venues`.
    scheduler : callable, optional
        Of a study, as in :func:`resume`; the others run on threads of this process.
    threads, progress
        As in :func:`resume`.

    Returns
    -------
    Rerun

    Raises
    ------
    ParameterError
        If another function made the result, or its provenance lacks something.
    StoreError
        If the result is an unfinished store.
    VenueDataError
        If a venue has rules of one's own that the provenance does not hold.
    """
    place = Place(result)
    if place.exists(True) and not place.exists(False):
        raise StoreError(f"store={place.name!r} is unfinished; liqsim resume {place.name} goes on")
    old = load_any(result)
    record = provenance_of(old.attrs)
    if "study" in record:
        ds = _study_again(record, str(result), scheduler, threads, progress)
    elif record["function"] not in REPEATED:
        raise ParameterError(
            f"result={str(result)!r} was made by {record['function']}, which is repeated by hand: its arguments are in "
            f"attrs['provenance'] (liqsim inspect --json); those of {', '.join(REPEATED)} and studies are run again"
        )
    elif scheduler is not None:
        raise ParameterError(
            f"result={str(result)!r} was made by a call of liqsim.{record['function']}, which runs on threads of this "
            "process; leave scheduler out"
        )
    else:
        dims = [str(name) for name in old.dims]
        function = _FUNCTIONS[record["function"]]
        ds = function(**arguments_of(record, dims), threads=threads, progress=progress)
    mine, theirs = digests(ds), digests(old)
    differing = tuple(name for name in dict.fromkeys([*theirs, *mine]) if mine.get(name) != theirs.get(name))
    kept = ("version", "git", "instruction_set", "platform")
    now = provenance_of(ds.attrs)
    return Rerun(ds, differing, {k: record.get(k) for k in kept}, {k: now.get(k) for k in kept})


def _study_again(
    record: dict[str, Any], name: str, scheduler: Making | None, threads: int | None, progress: bool
) -> xr.Dataset:
    """The result of a study; all in memory."""
    wanted = {key: value for key, value in record["study"].items() if key not in TARGETS}
    n_paths = int(record["n_paths"])
    study = study_from({**wanted, "n_paths": n_paths, "threads": threads}, name)
    plan = study.plan
    plan.check_memory(plan.settings.threads)
    sums: dict[int, Sums] = {}

    def add(number: int, first: int, count: int, more: Sums) -> None:
        if number in sums:
            sums[number].merge(more)
        else:
            sums[number] = more
        report(count)

    passes = list(plan.make_all())
    jobs = [Job(k, lambda task=task: task, ((0, n_paths),)) for k, task in enumerate(passes)]  # type: ignore[misc]
    making = scheduler or (lambda: Threads(plan.settings.threads))
    with progress_bar(progress, len(passes) * n_paths) as report, making() as where:
        run_jobs(jobs, where, add)
    groups: list[list[Any]] = [[] for _ in plan.cells]
    for number, (cell, _) in enumerate(plan.passes):
        groups[cell].append((passes[number], sums[number], n_paths))
    found = [plan.cell_results(group) for group in groups]
    attrs = provenance("sweep", plan.inputs(), study.arguments["seed"], n_paths, 0.0, study.resolved)
    return plan.dataset(plan.estimates(found), np.array([n_paths]), attrs)
