"""The same tasks on processes, or on a dask cluster.

Sums are exact integers, so it does not matter which worker ran a task, in which order results come in, or whether one
was run twice because its first worker was lost.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import numpy as np

from liqsim.engine.plan import Pass
from liqsim.engine.run import Threads, check_threads
from liqsim.engine.tally import Sums
from liqsim.engine.tasks import SMALLEST_TASK, Bench, Scheduler, WorkerLost
from liqsim.errors import ParameterError

__all__ = ["Cluster", "Processes", "local_cluster", "make_scheduler"]

_FAN_IN = 8  # tasks of a bundle, whose sums are added on the workers before they travel
_LEAST_SECONDS = 1.0  # of a task on a cluster; each costs the dask scheduler about a millisecond
_MOST_RATE = 2.0  # bundles a second that the client shall have to add
_CONNECT_SECONDS = 30.0

_own = threading.local()


def _run_here(stop: np.ndarray, key: object, blob: bytes, first: int, count: int) -> tuple[Sums, float]:
    """Run a task on the bench of this thread."""
    if getattr(_own, "key", None) != key:
        _own.key, _own.task, _own.bench = key, pickle.loads(blob), Bench(stop)
    return _own.bench.run(key, _own.task, first, count)


def _serve(connection: Connection, flag: Any) -> None:
    """Run tasks that come in by a pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and sets the flag
    stop = np.frombuffer(flag, dtype=np.int32)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        answer: tuple[bool, Any]
        try:
            answer = True, _run_here(stop, *item)
        except Exception as error:
            answer = False, error
        try:
            connection.send(answer)
        except OSError:  # nobody waits for it any longer
            return


class _Process:
    """A process that runs one task at a time, with a pipe of its own.

    Whatever becomes of it, nobody else waits: if it dies, even half way through an answer, the pipe ends.
    """

    def __init__(self, context: Any, flag: Any) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, flag), daemon=True, name="liqsim")
        self.process.start()
        theirs.close()

    def run(self, *item: Any) -> tuple[Sums, float]:
        try:
            self.connection.send(item)
            done, value = self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerLost(f"a process was lost while it ran a task: {error or 'its pipe has closed'}") from None
        if not done:
            raise value
        return value

    def close(self) -> None:
        self.connection.close()
        self.process.join()


class _Blobs:
    """Passes as bytes, written once."""

    def __init__(self) -> None:
        self._number, self._blob = -1, b""

    def of(self, number: int, task: Pass) -> bytes:
        if number != self._number:
            self._number, self._blob = number, pickle.dumps(task)
        return self._blob


class Processes:
    """Processes of this machine.

    Parameters
    ----------
    n : int
        Number of processes.
    """

    seconds = 0.5

    def __init__(self, n: int) -> None:
        self.slots = n
        self._context = multiprocessing.get_context("forkserver" if hasattr(signal, "SIGKILL") else "spawn")
        self._flag = self._context.RawArray("i", 1)
        self._blobs = _Blobs()
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="liqsim")  # each waits for a process
        self._idle: SimpleQueue[_Process | None] = SimpleQueue()
        for _ in range(n):
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._flag[0] = 1
        self._threads.shutdown(cancel_futures=True)
        while not self._idle.empty():
            if (process := self._idle.get()) is not None:
                process.close()

    def submit(self, number: int, task: Pass, first: int, count: int) -> Future[tuple[Sums, float]]:
        """Run paths ``first .. first + count - 1``; in place of a process that has died another begins."""
        return self._threads.submit(self._run, number, self._blobs.of(number, task), first, count)

    def _run(self, *item: Any) -> tuple[Sums, float]:
        process = self._idle.get()
        try:
            process = process or _Process(self._context, self._flag)
            return process.run(*item)
        except WorkerLost:
            assert process is not None
            process.close()
            process = None
            raise
        finally:
            self._idle.put(process)


def _translated(inner: Any, lost: type[BaseException] | tuple[type[BaseException], ...], who: str) -> Future[Any]:
    """A future whose loss of a worker is :class:`WorkerLost`."""
    outer: Future[Any] = Future()

    def settle(done: Any) -> None:
        if outer.cancelled():
            return
        try:
            outer.set_result(done.result())
        except lost as error:
            outer.set_exception(WorkerLost(f"{who} was lost while it ran a task: {error}"))
        except BaseException as error:
            outer.set_exception(error)

    inner.add_done_callback(settle)
    return outer


def _leaf(key: object, blob: bytes, first: int, count: int) -> tuple[Sums, float]:
    return _run_here(np.zeros(1, dtype=np.int32), key, blob, first, count)


def _sum(parts: list[tuple[Sums, float]]) -> tuple[Sums, float]:
    total = Sums(*(type(t).from_limbs(t.limbs()) for t in parts[0][0].parts))
    for sums, _ in parts[1:]:
        total.merge(sums)
    return total, sum(seconds for _, seconds in parts)


class Cluster:
    """Workers of a dask cluster, which need nothing but the package.

    A bundle of tasks is added up on the workers, in the order of its paths, and comes back as one. Tasks lengthen with
    the number of workers, so that neither the dask scheduler nor this process is flooded.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._run = uuid.uuid4().hex
        self._held: dict[int, Any] = {}
        self._workers = 0
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.clear()

    @property
    def n_workers(self) -> int:
        """Threads of all workers, as of a moment ago."""
        if self._asked % 50 == 0 or self._workers == 0:
            self._workers = sum(self.client.nthreads().values())
            if self._workers == 0:
                self.client.wait_for_workers(1)
                self._workers = sum(self.client.nthreads().values())
        self._asked += 1
        return self._workers

    @property
    def slots(self) -> int:
        """Bundles that run at a time."""
        return max(1, -(-self.n_workers // _FAN_IN))

    @property
    def seconds(self) -> float:
        """Work of a bundle."""
        return max(_FAN_IN * _LEAST_SECONDS, self.n_workers / _MOST_RATE)

    def submit(self, number: int, task: Pass, first: int, count: int) -> Future[tuple[Sums, float]]:
        """Run paths ``first .. first + count - 1`` as a bundle of tasks."""
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        if number not in self._held:
            self._held = {number: self.client.submit(bytes, pickle.dumps(task), pure=False)}
        size = max(SMALLEST_TASK, -(-count // _FAN_IN))
        key = (self._run, number)
        leaves = [
            self.client.submit(_leaf, key, self._held[number], k, min(size, first + count - k), pure=False, retries=3)
            for k in range(first, first + count, size)
        ]
        root = self.client.submit(_sum, leaves, pure=False, retries=3)
        return _translated(root, (KilledWorker, FutureCancelledError), "a worker")


@contextmanager
def local_cluster(n: int) -> Iterator[Cluster]:
    """A dask cluster of ``n`` processes of one thread on this machine, for as long as the block runs."""
    distributed = _distributed()
    with (
        distributed.LocalCluster(
            n_workers=n, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Cluster(client)


@contextmanager
def _remote(address: str) -> Iterator[Cluster]:
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"scheduler={address!r} does not answer ({error}); start one: dask scheduler, then dask worker {address}"
        ) from None
    with contextlib.closing(client):
        yield Cluster(client)


def _distributed() -> Any:
    try:
        import distributed
    except ModuleNotFoundError:
        raise ModuleNotFoundError('a cluster needs dask: pip install "liqsim[cluster]"') from None
    return distributed


def make_scheduler(what: Any = None, threads: int | None = None) -> Callable[[], AbstractContextManager[Scheduler]]:
    """Say where to run.

    Parameters
    ----------
    what : str or distributed.Client, optional
        ``"threads"``, which is the default, ``"processes"``, ``"local:N"`` for a dask cluster of N processes on this
        machine, the address of a dask scheduler such as ``"tcp://10.0.0.1:8786"``, or a client.
    threads : int, optional
        Number of threads or processes; all processors unless given.

    Returns
    -------
    callable
        Makes the scheduler, a context manager.

    Raises
    ------
    ParameterError
        If it cannot be understood.
    """
    n = check_threads(threads)
    if what is None or what == "threads":
        return lambda: Threads(n)
    if what == "processes":
        return lambda: Processes(n)
    if isinstance(what, str):
        kind, colon, rest = what.partition(":")
        if kind == "local" and rest.isdigit() and 1 <= int(rest) <= 1024:
            return lambda: local_cluster(int(rest))
        if colon and rest.startswith("//"):
            return lambda: _remote(what)
    elif hasattr(what, "submit") and hasattr(what, "nthreads"):
        return lambda: Cluster(what)
    raise ParameterError(
        f'scheduler={what!r} is not allowed; give "threads", "processes", "local:4", the address of a dask scheduler '
        'such as "tcp://10.0.0.1:8786", or a distributed.Client'
    )
