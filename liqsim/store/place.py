"""Where a store lies: a folder or a URL, a name for it while it grows, and one writer at a time.

While work is under way all of it is in ``NAME.partial``. A finished store gets its name in one step: by a rename in a
folder; elsewhere by its root record, written last. What stood there before stays until then.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from liqsim.errors import StoreError

__all__ = ["ROOT", "Place", "lock_owner"]

ROOT = "zarr.json"
_STALE = 300.0  # seconds after which a lock on a remote store counts as left behind


class Place:
    """A store's name.

    Parameters
    ----------
    name : str or pathlib.Path
        Folder, such as ``"study.zarr"``, or URL of any file system that fsspec knows, such as
        ``"s3://bucket/study.zarr"``.

    Raises
    ------
    StoreError
        If the name cannot be that of a store.
    """

    def __init__(self, name: str | Path) -> None:
        text = str(name).rstrip("/").removeprefix("file://").removesuffix(".partial")
        if not text:
            raise StoreError(f"store={str(name)!r} is not a name; give a folder such as study.zarr, or a URL")
        self.name = text
        self.is_local = "://" not in text
        self._fs: Any = None
        if self.is_local:
            self._final = text
        else:
            import fsspec

            try:
                self._fs, self._final = fsspec.core.url_to_fs(text)
            except (ImportError, ValueError) as error:
                raise StoreError(f"store={text!r} cannot be reached: {error}") from None
        self._token = uuid.uuid4().hex

    def path(self, partial: bool) -> str:
        """Name of the folder, finished or growing."""
        return f"{self._final}.partial" if partial else self._final

    def exists(self, partial: bool) -> bool:
        """Whether there is a store, finished or growing."""
        return self._exists(f"{self.path(partial)}/{ROOT}")

    def is_taken(self) -> bool:
        """Whether something else has the name."""
        return self._exists(self.path(False)) and not self.exists(False)

    def _exists(self, path: str) -> bool:
        return Path(path).exists() if self.is_local else bool(self._fs.exists(path))

    def zarr(self, partial: bool, read_only: bool = True) -> Any:
        """The Zarr store."""
        from zarr.storage import FsspecStore, LocalStore

        if self.is_local:
            return LocalStore(self.path(partial), read_only=read_only)
        import warnings

        scheme = self.name.partition("://")[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # file systems without coroutines are wrapped, and say so
            return FsspecStore.from_url(f"{scheme}://{self.path(partial).lstrip('/')}", read_only=read_only)

    def names(self, partial: bool, folder: str) -> list[str]:
        """What lies in a folder of the store, sorted; nothing where there is none."""
        path = f"{self.path(partial)}/{folder}"
        if self.is_local:
            return sorted(p.name for p in Path(path).iterdir()) if Path(path).is_dir() else []
        if not self._fs.exists(path):
            return []
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in self._fs.ls(path, detail=False))

    def remove(self, partial: bool, folder: str = "") -> None:
        """Remove a folder of the store, its record first, so that a part of it is never taken for the whole."""
        path = f"{self.path(partial)}/{folder}".rstrip("/")
        if self.is_local:
            with suppress(NotADirectoryError):
                Path(path, ROOT).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
        elif self._fs.exists(path):
            if self._fs.exists(f"{path}/{ROOT}"):
                self._fs.rm(f"{path}/{ROOT}")
            self._fs.rm(path, recursive=True)

    def clear_debris(self) -> None:
        """Remove the files that a killed writer had not yet given their names."""
        if self.is_local:
            for path in Path(self.path(True)).rglob("*.partial"):
                path.unlink(missing_ok=True)

    def size(self, partial: bool) -> int:
        """Bytes on disk."""
        if self.is_local:
            return sum(p.stat().st_size for p in Path(self.path(partial)).rglob("*") if p.is_file())
        return int(self._fs.du(self.path(partial)))

    def publish(self) -> None:
        """Give the growing store its final name; what had that name is gone afterwards, and not before."""
        partial, final, old = self.path(True), self._final, f"{self._final}.old"
        if self.is_local:
            if Path(final).exists():
                os.rename(final, old)
            os.rename(partial, final)
            shutil.rmtree(old, ignore_errors=True)
            return
        if self._fs.exists(f"{final}/{ROOT}"):
            self.remove(False)
        for path in self._fs.find(partial):
            inner = str(path)[len(partial.rstrip("/")) :].lstrip("/")
            if inner != ROOT:
                self._fs.makedirs(f"{final}/{inner}".rpartition("/")[0], exist_ok=True)
                self._fs.cp_file(path, f"{final}/{inner}")
        self._fs.cp_file(f"{partial}/{ROOT}", f"{final}/{ROOT}")
        self._fs.rm(partial, recursive=True)

    def _recover(self) -> None:
        """Put right what a kill between the two renames of :meth:`publish` has left."""
        old = Path(f"{self._final}.old")
        if not self.is_local or not old.exists():
            return
        if not Path(self._final).exists():
            os.rename(old, self._final)
        else:
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer.

        Raises
        ------
        StoreError
            If another process is at work; the message says which, and since when.
        """
        with self._local_lock() if self.is_local else self._remote_lock():
            self._recover()
            yield

    @contextmanager
    def _local_lock(self) -> Iterator[None]:
        import fcntl

        path = Path(f"{self._final}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                    raise self._refused(path.read_text("utf-8", "replace")) from None
                if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                    break
                os.close(handle)  # the holder has removed it meanwhile
            os.truncate(handle, 0)
            os.write(handle, lock_owner(self._token).encode())
        except OSError as error:
            raise StoreError(
                f"store={self.name!r} cannot be written: {error.strerror or error}; give another folder, or make room"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)

    @contextmanager
    def _remote_lock(self) -> Iterator[None]:
        path = f"{self._final}.lock"
        if self._fs.exists(path):
            text = self._fs.cat_file(path).decode("utf-8", "replace")
            try:
                age = time.time() - float(json.loads(text)["time"])
            except (ValueError, KeyError, TypeError):
                age = 0.0
            if age < _STALE:
                raise self._refused(text)
        self.refresh_lock()
        try:
            yield
        finally:
            self._fs.rm(path)

    def refresh_lock(self) -> None:
        """Say that the writer is alive; only a remote store needs to be told."""
        if not self.is_local:
            path = f"{self._final}.lock"
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, lock_owner(self._token).encode())

    def _refused(self, text: str) -> StoreError:
        try:
            owner = json.loads(text)
            who = f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except (ValueError, KeyError, TypeError):
            who = "another process"
        return StoreError(
            f"store={self.name!r} is being written by {who}; wait for it or stop it, or give another store"
        )


def lock_owner(token: str) -> str:
    """Who holds a lock, as JSON."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps(
        {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "time": time.time(), "token": token}
    )
