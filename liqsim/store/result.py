"""A store as a whole: its record, the estimates in it, and what is wrong with it."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from liqsim.errors import LiqsimError, StoreError
from liqsim.results import digests
from liqsim.store.place import ROOT, Place

__all__ = [
    "SCHEMA",
    "check_codecs",
    "faults",
    "naming_faults",
    "open_dataset",
    "read_record",
    "write_dataset",
    "write_record",
]

SCHEMA = 1
_KEY = "liqsim"
_UNKNOWN = "unknown"
_CHUNK_BYTES = 4 * 2**20
_CODECS = {"bytes", "zstd", "crc32c", "vlen-utf8", "gzip", "blosc", "transpose", "sharding_indexed"}


def read_record(place: Place, partial: bool) -> dict[str, Any]:
    """The record of a store: schema, status, version, study, number of paths.

    Raises
    ------
    StoreError
        If it is not a store of ours, or one of a newer schema.
    """
    import zarr

    try:
        attrs = zarr.open_group(place.zarr(partial), mode="r", zarr_format=3).attrs.asdict()
        record: Any = attrs[_KEY]
        schema = int(record["store"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"store={place.name!r} is not a store of liqsim ({error}); give one written by liqsim sweep"
        ) from None
    if schema > SCHEMA:
        raise StoreError(
            f"store={place.name!r} has schema {schema}, written by liqsim {record.get('version')}; this version reads "
            f"schemas up to {SCHEMA}: install a newer liqsim"
        )
    return record


def write_record(
    place: Place, partial: bool, record: Mapping[str, Any], attrs: Mapping[str, Any] | None = None
) -> None:
    """Write the record, in one step; ``attrs`` are those of the dataset."""
    import zarr

    store = place.zarr(partial, read_only=False)
    attributes = {**(attrs or {}), _KEY: {"store": SCHEMA, **record}}
    if place.exists(partial):
        zarr.open_group(store, mode="r+", zarr_format=3).attrs.put(attributes)
    else:
        zarr.create_group(store, attributes=attributes, zarr_format=3)  # never there without its record


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of a few MB, cut along the outermost dimensions."""
    chunks = list(shape)
    for k in range(len(chunks)):
        while chunks[k] > 1 and math.prod(chunks) * itemsize > _CHUNK_BYTES:
            chunks[k] = -(-chunks[k] // 2)
    return tuple(max(1, c) for c in chunks)


def write_dataset(place: Place, ds: xr.Dataset) -> None:
    """Write the estimates into the growing store."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    for name in place.names(True, ""):
        if name not in ("journal", "tallies", ROOT):  # of an attempt that was killed
            place.remove(True, name)
    codecs = [ZstdCodec(level=3), Crc32cCodec()]
    plain = ds.drop_attrs(deep=False)
    plain.attrs = zarr.open_group(place.zarr(True), mode="r").attrs.asdict()  # xarray writes them anew: the same ones
    texts = [name for name, x in plain.variables.items() if x.dtype.kind in "UT"]
    plain = plain.assign_coords({name: plain[name].astype(object) for name in texts if name in plain.coords})
    encoding: dict[Any, dict[str, Any]] = {
        name: {"compressors": codecs, "chunks": _chunks(x.shape, x.dtype.itemsize)} if x.ndim else {}
        for name, x in plain.variables.items()
    }
    plain.to_zarr(
        place.zarr(True, read_only=False), mode="a", zarr_format=3, consolidated=False, encoding=encoding
    )  # fmt: skip


def check_codecs(place: Place, partial: bool) -> None:
    """Refuse arrays whose metadata is not readable, or asks for another codec than plain bytes, text and checksums.

    Zarr looks codecs up among what is installed; data that one does not trust should not choose from that.
    """
    for name, path in _arrays(place, partial):
        try:
            text = Path(path).read_bytes() if place.is_local else place._fs.cat_file(path)
            codecs = {str(codec["name"]) for codec in json.loads(text).get("codecs", [])}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"store={place.name!r}: the metadata of array {name} is corrupted ({error}); "
                f"liqsim resume {place.name} makes it again"
            ) from None
        if strange := codecs - _CODECS:
            raise StoreError(
                f"store={place.name!r}: array {name} asks for the codec {sorted(strange)[0]!r}, which no store of "
                f"liqsim has; allowed are {', '.join(sorted(_CODECS))}"
            )


def _arrays(place: Place, partial: bool) -> Iterator[tuple[str, str]]:
    for name in place.names(partial, ""):
        path = f"{place.path(partial)}/{name}/zarr.json"
        if place._exists(path):
            yield name, path


def open_dataset(place: Place) -> xr.Dataset:
    """Open a finished store; values are read when they are asked for.

    Raises
    ------
    StoreError
        If there is none, it is not one of ours, or its metadata or labels are damaged.
    """
    record = read_record(place, False)
    check_codecs(place, False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Zarr V3 specification.*")
            ds = xr.open_zarr(place.zarr(False), consolidated=False, zarr_format=3, chunks=None)
        ds.attrs.pop(_KEY, None)
        ds = ds[[name for name in record.get("variables", ds.data_vars) if name in ds]]  # a folder has no order
        texts = [name for name, x in ds.coords.items() if x.dtype.kind in "OT"]
        return ds.assign_coords(
            {name: (ds[name].dims, np.array(ds[name].values.tolist(), dtype=str), ds[name].attrs) for name in texts}
        )
    except (OSError, ValueError, RuntimeError) as error:  # labels are read at once
        bad = [(name, _bad_chunk(place, name)) for name, _ in _arrays(place, False)]
        named = "; ".join(f"{name}, chunk {chunk}" for name, chunk in bad if chunk != _UNKNOWN)
        raise StoreError(
            f"store={place.name!r} cannot be opened: {named}: {str(error).splitlines()[0]}; liqsim resume {place.name} "
            "makes it again"
        ) from None


def faults(place: Place) -> list[str]:
    """Names of the arrays of a finished store that do not read back as they were written, and why.

    The others are readable.
    """
    record = read_record(place, False)
    known: dict[str, str] = record.get("digests", {})
    found = []
    try:
        ds = open_dataset(place)
    except StoreError as error:
        return [str(error)]
    for name, digest in known.items():
        if name not in ds.variables:
            found.append(f"{name}: missing")
            continue
        try:
            if digests(ds[[name]].drop_vars([c for c in ds[[name]].coords if c != name]))[name] != digest:
                found.append(f"{name}: the values are not those that were written")
        except (OSError, ValueError, RuntimeError) as error:
            found.append(f"{name}, chunk {_bad_chunk(place, name)}: {str(error).splitlines()[0]}")
    return found


@contextmanager
def naming_faults(place: Place) -> Iterator[None]:
    """Say which array and chunk of a finished store cannot be read, where reading fails."""
    try:
        yield
    except LiqsimError:
        raise
    except (OSError, ValueError, RuntimeError):
        if not place.exists(False) or not (found := faults(place)):
            raise
        raise StoreError(
            f"store={place.name!r} is damaged: {'; '.join(found)}; the rest is readable, and "
            f"liqsim resume {place.name} makes it again"
        ) from None


def _bad_chunk(place: Place, name: str) -> str:
    """Key of the first chunk of an array that cannot be read."""
    import zarr

    try:
        array = zarr.open_array(place.zarr(False), path=name, mode="r", zarr_format=3)
        counts = [-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]
        for index in np.ndindex(*counts):
            region = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, array.chunks, strict=True))
            try:
                array[region]
            except (OSError, ValueError, RuntimeError):
                return "/".join(["c", *map(str, index)])
    except (OSError, ValueError):
        pass
    return _UNKNOWN
