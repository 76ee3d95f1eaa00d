"""Exact sums in a Zarr store: what each pass has booked, and over which paths.

A segment is one array of integers that holds the sums of some passes, and becomes valid by its last write, which adds
the record of what is in it. Sums do not depend on how the paths were cut, so a pass is as its segment with the most
paths says, whatever else there is; segments that have been overtaken are removed one write later. Every entry carries a
SHA-256 of its integers and every chunk a checksum.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqsim.engine.tally import Sums, Totals
from liqsim.errors import StoreError
from liqsim.store.place import Place

__all__ = ["SEGMENT", "Entry", "Held", "Journal", "Ranges", "covered", "merged", "missing"]

Ranges = tuple[tuple[int, int], ...]

_CHUNK = 2**20  # integers of a chunk, 8 MiB
SEGMENT = 2**23
"""Integers of a segment of a finished store."""


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted ranges of paths, neighbours joined.

    Raises
    ------
    StoreError
        If two overlap: a path would be counted twice.
    """
    found: list[list[int]] = []
    for first, end in sorted(ranges):
        if found and first < found[-1][1]:
            raise StoreError(f"paths {first}..{found[-1][1] - 1} would be counted twice")
        if found and first == found[-1][1]:
            found[-1][1] = end
        else:
            found.append([first, end])
    return tuple((first, end) for first, end in found)


def covered(ranges: Ranges) -> int:
    """Number of paths."""
    return sum(end - first for first, end in ranges)


def missing(ranges: Ranges, n_paths: int) -> Ranges:
    """What of ``0 .. n_paths - 1`` is not in sorted ``ranges``."""
    gaps, at = [], 0
    for first, end in (*ranges, (n_paths, n_paths)):
        if at < min(first, n_paths):
            gaps.append((at, min(first, n_paths)))
        at = max(at, end)
    return tuple(gaps)


@dataclass
class Entry:
    """What one pass has booked.

    Parameters
    ----------
    key : str
        Fingerprint of the pass's numbers.
    sums : Sums
    ranges : tuple of (int, int)
        Paths that are in the sums.
    """

    key: str
    sums: Sums
    ranges: Ranges

    @property
    def n_paths(self) -> int:
        """Paths that are in the sums."""
        return covered(self.ranges)

    def add(self, first: int, count: int, sums: Sums) -> None:
        """Add a task's sums."""
        self.sums.merge(sums)
        self.ranges = merged([*self.ranges, (first, first + count)])


@dataclass(frozen=True)
class Held:
    """Where the sums of a pass lie."""

    journal: Journal
    segment: str
    key: str
    ranges: Ranges
    offset: int
    shapes: tuple[tuple[int, ...], ...]
    digest: str

    def read(self) -> Entry:
        """The sums.

        Raises
        ------
        StoreError
            If the bytes are not those that were written; the message names segment and chunk.
        """
        return self.journal.read(self)


class Journal:
    """The segments of a store.

    Parameters
    ----------
    place : Place
    partial : bool
        Of the growing store, or of the finished one.
    folder : str
        Group in the store.
    """

    def __init__(self, place: Place, partial: bool, folder: str = "journal") -> None:
        self.place, self.partial, self.folder = place, partial, folder
        self._live: dict[int, str] = {}
        self._overtaken: set[str] = set()
        self._next = 0
        self.unreadable: list[str] = []

    def index(self) -> dict[int, Held]:
        """For each pass the entry with the most paths; what cannot be read is named in :attr:`unreadable`."""
        best: dict[int, Held] = {}
        for name in self.place.names(self.partial, self.folder):
            if not name.isdigit():
                continue
            self._next = max(self._next, int(name) + 1)
            for number, held in self._entries(name):
                if number not in best or covered(held.ranges) > covered(best[number].ranges):
                    best[number] = held
        self._live = {number: held.segment for number, held in best.items()}
        return best

    def _entries(self, name: str) -> list[tuple[int, Held]]:
        path = f"{self.folder}/{name}"
        try:
            attrs = self._open(path).attrs.asdict()
            return [self._held(path, record) for record in attrs.get("entries", ())]  # absent until all is there
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self.place._exists(f"{self.place.path(self.partial)}/{path}/zarr.json"):
                self.unreadable.append(f"{path}/zarr.json: {error}")
            return []

    def _held(self, path: str, e: Mapping[str, Any]) -> tuple[int, Held]:
        ranges = tuple((int(a), int(b)) for a, b in e["ranges"])
        shapes = tuple(tuple(map(int, shape)) for shape in e["shapes"])
        return int(e["pass"]), Held(self, path, str(e["key"]), ranges, int(e["offset"]), shapes, str(e["sha256"]))

    def _open(self, path: str) -> Any:
        import zarr

        array = zarr.open_array(self.place.zarr(self.partial), path=path, mode="r", zarr_format=3)
        if array.dtype != np.int64 or array.ndim != 1:
            raise ValueError(f"holds {array.dtype} of {array.ndim} dimensions, not a row of int64")
        return array

    def read(self, held: Held) -> Entry:
        """Sums of an entry; see :meth:`Held.read`."""
        sizes = [2 * math.prod(shape) for shape in held.shapes]
        end = held.offset + sum(sizes)
        try:
            numbers = np.asarray(self._open(held.segment)[held.offset : end])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            chunks = f"{held.offset // _CHUNK}..{(end - 1) // _CHUNK}"
            raise StoreError(
                f"store={self.place.name!r}: {held.segment}, chunks c/{chunks} are corrupted ({error}); "
                "liqsim resume runs again what they held"
            ) from None
        if len(numbers) != sum(sizes) or hashlib.sha256(numbers.tobytes()).hexdigest() != held.digest:
            raise StoreError(
                f"store={self.place.name!r}: {held.segment}, integers {held.offset}..{end - 1} are "
                "not those that were written; liqsim resume runs again what they held"
            )
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        limbs = [part.reshape(2, *shape) for part, shape in zip(parts, held.shapes, strict=True)]
        return Entry(held.key, Sums(*map(Totals.from_limbs, limbs)), held.ranges)

    def write(self, entries: Mapping[int, Entry]) -> dict[int, Held]:
        """Write a segment of entries by number of the pass, and say where they lie; it counts once all is there."""
        name = f"{self.folder}/{self._next:06d}"
        self._next += 1
        parts: list[np.ndarray] = []
        records: list[dict[str, Any]] = []
        offset = 0
        for number, entry in entries.items():
            limbs = [total.limbs() for total in entry.sums.parts]
            numbers = np.concatenate([x.reshape(-1) for x in limbs])
            records.append(
                {
                    "pass": number,
                    "key": entry.key,
                    "ranges": [list(r) for r in entry.ranges],
                    "offset": offset,
                    "shapes": [list(x.shape[1:]) for x in limbs],
                    "sha256": hashlib.sha256(numbers.tobytes()).hexdigest(),
                }
            )
            parts.append(numbers)
            offset += len(numbers)
        try:
            self._write(name, np.concatenate(parts), records)
        except OSError:
            self.place.remove(self.partial, name)  # what does not count must not take the room that is left
            raise
        self._live |= dict.fromkeys(entries, name)
        return dict(self._held(name, record) for record in records)

    def _write(self, name: str, data: np.ndarray, records: list[dict[str, Any]]) -> None:
        import zarr
        from zarr.codecs import Crc32cCodec, ZstdCodec

        array = zarr.create_array(
            self.place.zarr(self.partial, read_only=False),
            name=name,
            shape=data.shape,
            dtype="int64",
            chunks=(min(_CHUNK, max(1, len(data))),),
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
            fill_value=0,
            dimension_names=["limb"],
            config={"write_empty_chunks": True},
            zarr_format=3,
        )
        array[:] = data
        array.update_attributes({"entries": records})

    def prune(self) -> None:
        """Remove the segments that had been overtaken at the last call."""
        names = {f"{self.folder}/{n}" for n in self.place.names(self.partial, self.folder) if n.isdigit()}
        for name in self._overtaken & names:
            self.place.remove(self.partial, name)
        self._overtaken = names - set(self._live.values()) - self._overtaken
