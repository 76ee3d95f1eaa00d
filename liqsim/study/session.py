"""What one does with a study: run it, resume or extend it, open what there is, run it again and compare."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from liqsim._version import __version__
from liqsim.arguments import read_paths
from liqsim.cells import progress_bar
from liqsim.engine.run import Threads
from liqsim.engine.tasks import Scheduler
from liqsim.errors import ParameterError, StoreError
from liqsim.files import load_any, load_result, save_result
from liqsim.models._checks import check_flag
from liqsim.results import provenance
from liqsim.store.place import Place
from liqsim.store.result import faults, open_dataset, read_record
from liqsim.store.tallies import Held, Journal, covered
from liqsim.study.resolve import TARGETS, Study, differences, study_from
from liqsim.study.runner import Work
from liqsim.variables import ESTIMATES, se_name

__all__ = ["Making", "bad_sums", "open_store", "partial_dataset", "resume", "run_study"]

CHECKPOINT = 10.0
"""Seconds between checkpoints unless told otherwise."""

Making = Callable[[], AbstractContextManager[Scheduler]]


def run_study(
    study: Study,
    store: str | Path,
    *,
    scheduler: Making | None = None,
    progress: bool = False,
    checkpoint: float = CHECKPOINT,
    netcdf: str | Path | None = None,
) -> xr.Dataset:
    """Run a study into a store, from where an earlier run of the same study has stopped.

    Parameters
    ----------
    study : Study
        From :func:`read_study`.
    store : str or pathlib.Path
        Folder or URL of the Zarr store. Until all is done it is called ``STORE.partial``. A name ending in ``.nc`` is a
        single netCDF4 file, whose sums are thrown away once it is written.
    scheduler : callable, optional
        Makes the scheduler, as the functions of :mod:`liqsim.engine.schedulers` do; threads of this process unless
        given.
    progress : bool
        Show progress and the time left.
    checkpoint : float
        Seconds between saves of what is under way, at least.
    netcdf : str or pathlib.Path, optional
        netCDF4 file to write besides.

    Returns
    -------
    xarray.Dataset
        That of :func:`liqsim.sweep`, to the bit; read from the store when its values are asked for.

    Raises
    ------
    StoreError
        If the store is being written by another process, or holds another study; the difference is named.
    Unfinished
        If the store could not be written any longer; what had been saved still is.
    """
    check_flag("progress", progress)
    name = str(store)
    is_file = name.endswith(".nc")
    if is_file and netcdf is not None:
        raise ParameterError(f"store={name!r} is a netCDF file; give netcdf=... only beside a store")
    place = Place(name)
    if not is_file and place.is_taken():
        raise StoreError(f"store={name!r} exists and is not a store of liqsim; give another name")
    _ = study.keys  # all of it can be run
    with place.lock():
        for partial in (False, True):
            if (is_file and not partial) or not place.exists(partial):
                continue
            record = read_record(place, partial)
            _compare(place, partial, study, record)
            if record["status"] == "complete" and not partial:
                return open_dataset(place)
        _work(place, study, study.plan.settings.n_paths, scheduler, progress, checkpoint, netcdf, is_file)
    return load_result(name) if is_file else open_dataset(place)


def _compare(place: Place, partial: bool, study: Study, record: dict[str, Any]) -> None:
    """Refuse what would mix results of different inputs."""
    path = place.path(partial)
    mine = {k: v for k, v in study.resolved.items() if k != "title"}
    theirs = {k: v for k, v in record["study"].items() if k != "title"}
    changes = differences(mine, theirs)
    if record["version"] != __version__:
        changes.insert(0, f"version of liqsim: {record['version']} -> {__version__}")
    if not changes:
        return
    way = "give another name for the result, or remove it"
    if list(changes) == [f"n_paths: {theirs.get('n_paths')} -> {mine.get('n_paths')}"]:
        way = f"to add paths: liqsim resume {place.name} --add-paths N"
    raise StoreError(f"{path!r} holds another study, and results would mix: {'; '.join(changes)}; {way}")


def _work(
    place: Place,
    study: Study,
    n_paths: int,
    scheduler: Making | None,
    progress: bool,
    checkpoint: float,
    netcdf: str | Path | None,
    is_file: bool,
) -> None:
    target = Path(place.name) if is_file else None if netcdf is None else Path(netcdf)
    if place.exists(True):
        record = read_record(place, True)
        if record["status"] == "complete" and record["n_paths"] == n_paths:  # killed when only the name was missing
            place.clear_debris()
            place.remove(True, "journal")
            place.publish()
            if target is not None:
                save_result(open_dataset(place).load(), target)
            return
    work = Work(study, place, n_paths, checkpoint)
    work.begin()
    threads = study.plan.settings.threads
    making = scheduler or (lambda: Threads(threads))
    left = work.n_all - work.n_done
    with progress_bar(progress, work.n_all, work.n_done) as report, making() if left else nullcontext() as where:
        if where is not None:
            work.run(where, report)
    work.finish(target, publish=not is_file)


def resume(
    store: str | Path,
    *,
    add_paths: int = 0,
    scheduler: Making | None = None,
    threads: int | None = None,
    progress: bool = False,
    checkpoint: float = CHECKPOINT,
    netcdf: str | Path | None = None,
) -> xr.Dataset:
    """Go on with a study that has stopped, repair a damaged store, or add paths to a finished one.

    Parameters
    ----------
    store : str or pathlib.Path
        As given to :func:`run_study`.
    add_paths : int
        Paths to add. The result has the bits of one longer run.
    threads : int, optional
        Threads of this process, unless a scheduler is given.
    scheduler, progress, checkpoint, netcdf
        As in :func:`run_study`.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    StoreError
        If there is nothing to resume, another process is at work, or another version of liqsim began the store.
    """
    check_flag("progress", progress)
    name = str(store).removesuffix(".partial")
    place = Place(name)
    is_file = name.endswith(".nc")
    added = 0 if add_paths == 0 else read_paths(add_paths)
    with place.lock():
        partial = place.exists(True)
        if not partial and (is_file or not place.exists(False)):
            raise StoreError(f"store={name!r}: there is no unfinished run; liqsim sweep STUDY begins one")
        record = read_record(place, partial)
        if not partial and not added and not faults(place) and not bad_sums(place):
            return open_dataset(place)
        wanted = dict(record["study"])
        n_paths = int(record["n_paths"]) + added
        if added and not partial:  # a fixed number from now on, whatever accuracy had been asked for
            n_paths = int(record["reached"]) + added
            wanted = {key: value for key, value in wanted.items() if key not in TARGETS}
        wanted["n_paths"] = read_paths(n_paths)
        study = study_from({**wanted, "threads": threads}, name)
        _compare(place, partial, study, {**record, "study": wanted})
        _work(place, study, n_paths, scheduler, progress, checkpoint, netcdf, is_file)
    return load_result(name) if is_file else open_dataset(place)


def bad_sums(place: Place) -> list[str]:
    """What of a finished store's sums does not read back."""
    journal = Journal(place, False, "tallies")
    found = []
    for held in journal.index().values():
        try:
            held.read()
        except StoreError as error:
            found.append(str(error))
    return journal.unreadable + found


def open_store(store: str | Path) -> xr.Dataset:
    """Open a result: a finished store, a netCDF file, or what an unfinished store holds so far.

    Parameters
    ----------
    store : str or pathlib.Path

    Returns
    -------
    xarray.Dataset
        Of an unfinished store: estimates from the paths that are saved, whose number is ``n_paths_done``;
        not-a-number where there are none.
    """
    place = Place(store)
    if place.exists(False):
        return open_dataset(place)
    if place.exists(True):
        return partial_dataset(place)
    return load_any(store)


def partial_dataset(place: Place) -> xr.Dataset:
    """What an unfinished store holds so far."""
    record = read_record(place, True)
    study = study_from(record["study"], place.name)
    plan = study.plan
    best: dict[int, Held] = {}
    for journal in (Journal(place, False, "tallies"), Journal(place, True)):
        for number, held in journal.index().items():
            if number not in best or covered(held.ranges) > covered(best[number].ranges):
                best[number] = held
    n_horizons = len(plan.settings.horizons)
    done = np.zeros((len(plan.cells), n_horizons), dtype=np.int64)
    groups: list[list[Any]] = [[] for _ in plan.cells]
    for number, (cell, timeline) in enumerate(plan.passes):
        if number in best:
            entry = best[number].read()
            done[cell, list(timeline.horizons)] = entry.n_paths
            groups[cell].append((plan.make(plan.cells[cell], timeline), entry.sums, entry.n_paths))
    found = [plan.cell_results(group) for group in groups]
    if not best:  # begun, and nothing saved yet
        shape = (n_horizons, len(plan.grid.sides), len(plan.grid.leverage), len(plan.grid.stop))
        found[0] = {name: np.full(shape, np.nan) for of in ESTIMATES for name in (of, se_name(of))}
    seconds = float(record.get("seconds", 0.0))
    attrs = provenance(
        "sweep", plan.inputs(), study.arguments["seed"], int(done.max()), seconds, study.resolved
    )  # fmt: skip
    ds = plan.dataset(plan.estimates(found), np.array([int(done.max())]), attrs)
    shape = (len(plan.models), len(plan.venues), len(plan.notionals), n_horizons)
    names = ("model", "venue", "notional", "horizon")
    index = tuple(slice(None) if name in plan.given else 0 for name in names)
    dims = [name for name in names if name in plan.given]
    counts = (dims, done.reshape(shape)[index], {"units": "1", "long_name": "paths that are saved so far"})
    return ds.assign(n_paths_done=counts)
