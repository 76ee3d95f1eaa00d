"""Files that are whole or absent: written under a temporary name and renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from liqsim.errors import ParameterError
from liqsim.store.place import Place
from liqsim.store.result import naming_faults, open_dataset

__all__ = ["load_any", "load_result", "replacing", "save_result"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, renamed to ``path`` once the block has ended well.

    If the block raises, Ctrl-C included, the temporary file is removed and what was at ``path`` stays.

    Parameters
    ----------
    path : str or pathlib.Path
        Final name; missing folders are made.

    Raises
    ------
    ParameterError
        If the folder cannot be made or written to, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ParameterError(f"path={str(path)!r} is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ParameterError(f"path={str(path)!r} cannot be written: {reason}; give another folder") from None
    if not os.access(path.parent, os.W_OK):
        raise ParameterError(f"path={str(path)!r} cannot be written: {path.parent} is read-only; give another folder")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_result(ds: xr.Dataset, path: str | Path) -> Path:
    """Write a result to a netCDF4 file that ``xarray.open_dataset`` reads back as it was.

    Parameters
    ----------
    ds : xarray.Dataset
    path : str or pathlib.Path
        Name of the file, such as ``"result.nc"``.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> import liqsim as lq, tempfile
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=10, n_paths=1000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_result(save_result(ds, folder + "/result.nc")).identical(ds)
    True
    """
    with replacing(path) as temporary:
        ds.to_netcdf(temporary, engine="h5netcdf", format="NETCDF4")
    return Path(path)


def load_result(path: str | Path) -> xr.Dataset:
    """Read a result into memory.

    Parameters
    ----------
    path : str or pathlib.Path
        File or store written by :func:`save_result` or ``liqsim sweep``.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ParameterError
        If the file is missing, is not netCDF4, or does not hold a sweep.
    StoreError
        If a store is damaged, of a newer schema, or not one of ours.
    """
    ds = load_any(path)
    if "p_liquidation" not in ds:
        raise ParameterError(
            f"path={str(path)!r} holds no liqsim sweep (no p_liquidation); give a result written by liqsim sweep or "
            "liqsim demo"
        )
    return ds


def load_any(path: str | Path) -> xr.Dataset:
    """Read the result of any function into memory; raises as :func:`load_result`, which reads sweeps only."""
    if "://" in str(path) or Path(path, "zarr.json").exists():
        place = Place(path)
        with naming_faults(place):
            return open_dataset(place).load()
    path = Path(path)
    if not path.is_file():
        raise ParameterError(f"path={str(path)!r} is not a file; give a result written by liqsim sweep or liqsim demo")
    try:
        ds = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        text = str(error).splitlines()[0]
        raise ParameterError(
            f"path={str(path)!r} is not a netCDF4 file: {text}; give a result written by liqsim sweep or liqsim demo"
        ) from None
    if "provenance" not in ds.attrs:
        raise ParameterError(
            f"path={str(path)!r} holds no result of liqsim (no provenance); "
            "give a result written by liqsim sweep or liqsim demo"
        )
    return ds
