"""Studies run piece by piece: each finished range of paths is saved, and nothing saved is run again."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from liqsim._version import __version__
from liqsim.cells import cell_estimates
from liqsim.engine.plan import Pass
from liqsim.engine.tally import Sums
from liqsim.engine.tasks import Job, Scheduler, run_jobs
from liqsim.errors import LiqsimError, StoreError, Unfinished
from liqsim.files import save_result
from liqsim.results import digests, provenance
from liqsim.stopping import reached_by, schedule
from liqsim.store.place import Place
from liqsim.store.result import read_record, write_dataset, write_record
from liqsim.store.tallies import SEGMENT, Entry, Held, Journal, covered, missing
from liqsim.study.resolve import Study

__all__ = ["Work"]

log = logging.getLogger("liqsim.study")

_FLUSH_BYTES = 64 * 2**20  # finished sums kept in memory between checkpoints
_SHARE = 25.0  # a checkpoint is followed by at least this many times its own duration of work


class Work:
    """One session of work on a store; the caller holds its lock.

    Parameters
    ----------
    study : Study
    place : Place
    n_paths : int
        Paths of every pass once the work is done, or the most where the study asks for an accuracy.
    checkpoint : float
        Seconds between writes of what is under way, at least.
    """

    def __init__(self, study: Study, place: Place, n_paths: int, checkpoint: float) -> None:
        self.study, self.plan, self.place, self.n_paths = study, study.plan, place, n_paths
        self.checkpoint = checkpoint
        self.reached = n_paths
        self.seconds = 0.0
        self.created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.journal = Journal(place, True)
        self.held: dict[int, Held] = {}
        self._open: dict[int, Entry] = {}
        self._done: dict[int, Entry] = {}
        self._dirty: set[int] = set()
        self.keys = study.keys

    def begin(self) -> None:
        """Take stock of what there is, and put the record in place.

        Raises
        ------
        StoreError
            If sums of other passes than the study's are there.
        """
        self.place.clear_debris()
        sources = [Journal(self.place, False, "tallies")] if self.place.exists(False) else []
        sources += [self.journal] if self.place.exists(True) else []
        for journal in sources:
            for number, held in journal.index().items():
                if number not in self.held or covered(held.ranges) > covered(self.held[number].ranges):
                    self._check(number, held)
                    self.held[number] = held
            for fault in journal.unreadable:
                log.warning("unreadable, will be run again: %s", fault, extra={"fault": fault})
        for number, held in list(self.held.items()):
            try:
                held.read()
            except StoreError as error:
                log.warning("corrupted, will be run again: %s", error, extra={"fault": str(error)})
                del self.held[number]
        for partial in (False, True):
            if self.place.exists(partial):
                record = read_record(self.place, partial)
                self.seconds, self.created = float(record["seconds"]), record["created"]
        with self._writing():
            self._record("partial")
        log.info("begun", extra={"store": self.place.name, "paths": self.n_done, "of": self.n_all})

    def _check(self, number: int, held: Held) -> None:
        if number >= len(self.keys) or held.key != self.keys[number]:
            where = "" if number >= len(self.keys) else f" ({self._name(number)})"
            raise StoreError(
                f"store={self.place.name!r}: pass {number}{where} was run with other numbers than the study gives now: "
                "the rules of the package have changed since; install the version that the store names, or give "
                "another store"
            )

    def _name(self, number: int) -> str:
        cell = self.plan.cells[self.plan.passes[number][0]]
        return f"{cell.model.name} on {cell.venue.id}, notional {cell.notional:g}"

    @property
    def n_done(self) -> int:
        """Paths that are saved, over all passes."""
        return sum(min(covered(held.ranges), self.n_paths) for held in self.held.values())

    @property
    def n_all(self) -> int:
        """Paths of all passes."""
        return len(self.keys) * self.n_paths

    def run(self, scheduler: Scheduler, report: Callable[[int], Any]) -> None:
        """Run what is missing; a checkpoint is written however it ends.

        Raises
        ------
        Unfinished
            If the store cannot be written to.
        KeyboardInterrupt
            With a note that says what is saved.
        """
        self._begun = time.perf_counter()
        self._earlier = self.seconds
        self._due = self._begun + self.checkpoint
        target = self.study.target
        if target is None:
            self._run(self.n_paths, scheduler, report)
            return
        there = max((covered(held.ranges) for held in self.held.values()), default=0)
        for last in schedule(self.n_paths):
            if last < there:
                continue  # it has been looked at, and was not enough
            self._run(last, scheduler, report)
            horizons = self.plan.settings.horizons
            found = [cell_estimates(group, self.plan.grid, horizons) for group in self._groups(last)]
            if target.is_met(self.plan.estimates(found), last):
                self.reached = last
                break

    def _run(self, n_paths: int, scheduler: Scheduler, report: Callable[[int], Any]) -> None:
        self.reached = n_paths
        jobs = []
        for number, (cell, timeline) in enumerate(self.plan.passes):
            ranges = missing(self.held[number].ranges if number in self.held else (), n_paths)
            if ranges:
                make = lambda cell=cell, timeline=timeline: self.plan.make(self.plan.cells[cell], timeline)  # noqa: E731
                jobs.append(Job(number, make, ranges))

        def add(number: int, first: int, count: int, sums: Sums) -> None:
            self._add(number, first, count, sums)
            report(count)

        with self._interruptible():
            try:
                run_jobs(jobs, scheduler, add)
            except Unfinished:
                raise
            except BaseException:
                with contextlib.suppress(LiqsimError):
                    self._save()
                raise
            self._save()

    def _add(self, number: int, first: int, count: int, sums: Sums) -> None:
        entry = self._open.get(number)
        if entry is not None:
            entry.add(first, count, sums)
        elif number in self.held:
            entry = self.held[number].read()
            entry.add(first, count, sums)
        else:
            entry = Entry(self.keys[number], sums, ((first, first + count),))
        self._open[number] = entry
        self._dirty.add(number)
        if entry.n_paths >= self.reached:
            self._done[number] = self._open.pop(number)
            self._dirty.discard(number)
        waiting = 8 * sum(e.sums.n_integers for e in self._done.values())
        if time.perf_counter() >= self._due or waiting > _FLUSH_BYTES:
            self._save()

    def _save(self) -> None:
        begun = time.perf_counter()
        self.seconds = self._earlier + begun - self._begun
        with self._writing():
            if self._done:
                self._write(self._done)
                self._done = {}
            dirty = {number: self._open[number] for number in sorted(self._dirty)}
            if dirty:
                self._write(dirty)
                self._dirty = set()
            self.journal.prune()
            self._record("partial")
            self.place.refresh_lock()
        took = time.perf_counter() - begun
        self._due = time.perf_counter() + max(self.checkpoint, _SHARE * took)
        log.info("checkpoint", extra={"paths": self.n_done, "of": self.n_all, "write_seconds": round(took, 4)})

    def _write(self, entries: dict[int, Entry]) -> None:
        self.held |= self.journal.write(entries)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unfinished(self._state(f"cannot be written ({error.strerror or error})")) from error

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt as stop:
            stop.add_note(self._state("interrupted"))
            raise

    def _state(self, what: str) -> str:
        share = 100.0 * self.n_done / self.n_all
        return (
            f"store={self.place.name!r} {what}: {share:.1f} % of the paths are saved and will not be run again; "
            f"go on with: liqsim resume {self.place.name}"
        )

    def _record(self, status: str, attrs: dict[str, Any] | None = None, more: dict[str, Any] | None = None) -> None:
        record = {
            "status": status,
            "version": __version__,
            "study": self.study.resolved,
            "n_paths": self.n_paths,
            "reached": self.reached,
            "seconds": round(self.seconds, 3),
            "created": self.created,
        }
        write_record(self.place, True, record | (more or {}), attrs)

    def finish(self, netcdf: Path | None, publish: bool) -> None:
        """Turn the sums into estimates, and give the store its name.

        Parameters
        ----------
        netcdf : pathlib.Path or None
            Single file to write besides.
        publish : bool
            Whether the store is kept; if not, only the file is.
        """
        with self._writing(), self._interruptible():
            ds = self._dataset()
            if publish:
                write_dataset(self.place, ds)
                more = {"digests": digests(ds), "variables": [str(name) for name in ds.data_vars]}
                self._record("complete", {k: v for k, v in ds.attrs.items()}, more)
                self.place.remove(True, "journal")
            if netcdf is not None:
                save_result(ds, netcdf)
            if publish:
                self.place.publish()
            else:
                self.place.remove(True)
        log.info(
            "finished", extra={"store": self.place.name, "n_paths": self.reached, "seconds": round(self.seconds, 3)}
        )

    def _groups(self, n_paths: int, tallies: Journal | None = None) -> Iterator[list[tuple[Pass, Sums, int]]]:
        """Passes of every cell with their sums, which are put in order in ``tallies``, whatever their history."""
        group: list[tuple[Pass, Sums, int]] = []
        segment: dict[int, Entry] = {}
        size = 0
        passes = self.plan.passes
        for number, (cell, timeline) in enumerate(passes):
            entry = self.held[number].read()
            group.append((self.plan.make(self.plan.cells[cell], timeline), entry.sums, n_paths))
            if number + 1 == len(passes) or passes[number + 1][0] != cell:
                yield group
                group = []
            if tallies is None:
                continue
            if segment and size + entry.sums.n_integers > SEGMENT:
                tallies.write(segment)
                segment, size = {}, 0
            segment[number] = entry
            size += entry.sums.n_integers
        if tallies is not None:
            tallies.write(segment)

    def _dataset(self) -> xr.Dataset:
        plan, study, n_paths = self.plan, self.study, self.reached
        self.place.remove(True, "tallies")
        groups = self._groups(n_paths, Journal(self.place, True, "tallies"))
        estimates = plan.estimates([plan.cell_results(group) for group in groups])
        reached = reached_by(study.target, estimates, n_paths, self.n_paths)
        inputs = plan.inputs() | reached.inputs
        attrs = provenance("sweep", inputs, study.arguments["seed"], n_paths, self.seconds, study.resolved)
        attrs |= reached.attrs | ({"title": study.title} if study.title else {})
        return plan.dataset(estimates, np.array([n_paths]), attrs, reached.note)
