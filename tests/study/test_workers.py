"""The same bits on threads, processes and a dask cluster, whoever is lost on the way."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import liqsim as lq
from liqsim.engine.plan import Pass
from liqsim.engine.run import Threads
from liqsim.engine.schedulers import Cluster, Processes, _Process, make_scheduler
from liqsim.engine.tally import Sums, Totals
from liqsim.engine.tasks import SMALLEST_TASK, Job, WorkerLost, run_jobs
from liqsim.study import resume, run_study
from liqsim.study.resolve import Study

sys.path.insert(0, str(Path(__file__).parent))
from studies import assert_same_bits, assert_same_stores, run, study_in, write

pytestmark = pytest.mark.slow  # processes and clusters take seconds to start


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_in(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "whole.zarr"
    run_study(study, store, scheduler=make_scheduler("threads", 1))
    return store


class Recorder:
    """A scheduler that runs nothing and takes as long as it is told; some of its workers are lost."""

    def __init__(self, rates: dict[int, float], lost: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.slots, self.seconds, self.rates, self.lost = 2, 0.5, rates, lost
        self.items: list[tuple[int, int, int]] = []

    def submit(self, number: int, task: Pass, first: int, count: int) -> Future[tuple[Sums, float]]:
        future: Future[tuple[Sums, float]] = Future()
        self.items.append((number, first, count))
        if len(self.items) in self.lost:
            future.set_exception(WorkerLost("gone"))
        else:
            nothing = Sums(Totals((1,)), Totals((0,)))
            future.set_result((nothing, count / self.rates[number]))
        return future


def paths_of(scheduler: Recorder, jobs: list[Job]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {job.number: [] for job in jobs}
    run_jobs(jobs, scheduler, lambda number, first, count, sums: found[number].extend(range(first, first + count)))
    return {number: sorted(paths) for number, paths in found.items()}


def test_tasks_cover_every_path_once_and_take_about_the_time_wanted() -> None:
    jobs = [Job(0, lambda: None, ((0, 300_000), (400_000, 1_000_000))), Job(3, lambda: None, ((7, 50_000),))]  # type: ignore
    scheduler = Recorder({0: 100_000.0, 3: 20_000.0})
    found = paths_of(scheduler, jobs)
    assert found[0] == [*range(300_000), *range(400_000, 1_000_000)]
    assert found[3] == list(range(7, 50_000))
    middle = [count for number, _, count in scheduler.items[8:14] if number == 0]
    assert all(0.4 < count / 100_000 <= 0.5 for count in middle)
    assert min(count for *_, count in scheduler.items) <= 2 * SMALLEST_TASK  # small at the ends
    assert len(scheduler.items) < 80


def test_a_lost_task_is_run_again() -> None:
    jobs = [Job(0, lambda: None, ((0, 100_000),))]  # type: ignore
    assert paths_of(Recorder({0: 1e5}, lost={1, 2, 5, 9}), jobs)[0] == list(range(100_000))
    with pytest.raises(WorkerLost):
        paths_of(Recorder({0: 1e5}, lost=set(range(1, 1000))), jobs)


def test_sums_travel_and_add_in_any_order() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    parts = []
    for _ in range(50):
        total = Totals((3, 4))
        for _ in range(3):
            total.add(rng.integers(-(2**62), 2**62, (3, 4)))
        parts.append(total)
    ways = []
    for order in (range(50), reversed(range(50)), rng.permutation(50)):
        total = Totals((3, 4))
        for k in order:
            total.merge(Totals.from_limbs(pickle.loads(pickle.dumps(parts[k])).limbs()))
        ways.append(total.limbs())
    assert np.array_equal(ways[0], ways[1])
    assert np.array_equal(ways[0], ways[2])
    exact = [sum(int(p.high.flat[k]) * 2**31 + int(p.low.flat[k]) for p in parts) for k in range(12)]
    low, high = ways[0].reshape(2, -1)
    assert [int(h) * 2**31 + int(x) for x, h in zip(low, high, strict=True)] == exact
    assert ((low >= 0) & (low < 2**31)).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_threads(study: Study, whole: Path, tmp_path: Path, n: int) -> None:
    run_study(study, tmp_path / "a.zarr", scheduler=make_scheduler("threads", n))
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_processes(study: Study, whole: Path, tmp_path: Path) -> None:
    run_study(study, tmp_path / "a.zarr", scheduler=make_scheduler("processes", 2))
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_a_killed_process(study: Study, whole: Path, tmp_path: Path) -> None:
    """At any moment: while it runs a task, while it answers, while it waits."""
    lost = []

    class Killed(Processes):
        seconds = 0.0
        n = 0

        def submit(self, *item: Any) -> Any:
            self.n += 1
            if self.n % 7 == 5 and len(lost) < 20:
                victim = next(child for child in multiprocessing.active_children() if child.name == "liqsim")
                lost.append(victim.pid)
                os.kill(victim.pid, signal.SIGKILL)
            return super().submit(*item)

    run_study(study, tmp_path / "a.zarr", scheduler=lambda: Killed(2))
    assert len(lost) > 2
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_a_process_that_dies_in_the_middle_of_its_answer() -> None:
    context = multiprocessing.get_context("forkserver")
    process = _Process(context, context.RawArray("i", 1))
    parent, child = context.Pipe()
    process.connection.close()
    process.process.join()
    process.connection = parent
    os.write(child.fileno(), (10**6).to_bytes(4, "big") + b"half an answer")
    child.close()
    with pytest.raises(WorkerLost, match="a process was lost"):
        process.run(1, b"", 0, 1)


def test_an_error_in_a_process_comes_back_as_it_is() -> None:
    with Processes(1) as processes, pytest.raises(pickle.UnpicklingError):
        processes._threads.submit(processes._run, 0, b"no pickle", 0, 1).result()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason='dask is not installed (pip install "liqsim[cluster]")')
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=0
    ) as made:
        yield made


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    import distributed

    with distributed.Client(cluster) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


def test_dask(study: Study, whole: Path, tmp_path: Path, client: Any) -> None:
    run_study(study, tmp_path / "a.zarr", scheduler=make_scheduler(client))
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_dask_by_its_address(study: Study, whole: Path, tmp_path: Path, cluster: Any) -> None:
    run_study(study, tmp_path / "a.zarr", scheduler=make_scheduler(cluster.scheduler_address))
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_a_killed_dask_worker(tmp_path: Path, cluster: Any, client: Any) -> None:
    """Each of the two worker processes is killed while bundles are under way; its nanny starts another."""
    study = study_in(tmp_path, "n_paths=400_000", 'venue="binance-usdm-btcusdt"', 'horizon="2D"')
    victims = list(client.run(os.getpid).values())
    n_submitted = 0

    class Short(Cluster):
        """Bundles so small that many are under way."""

        @property
        def seconds(self) -> float:
            return 0.1

        def submit(self, *item: Any) -> Any:
            nonlocal n_submitted
            future = super().submit(*item)
            n_submitted += 1
            if n_submitted in (3, 8):
                os.kill(victims[n_submitted == 8], signal.SIGKILL)
            return future

    ds = run_study(study, tmp_path / "a.zarr", scheduler=lambda: Short(client))
    assert n_submitted > 8, "too few bundles for two deaths"
    assert not set(victims) & set(client.run(os.getpid).values())
    assert_same_bits(ds, lq.sweep(**study.arguments))


def test_a_cluster_from_the_command_line(study: Study, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason='dask is not installed (pip install "liqsim[cluster]")')
    result = run("sweep", write(tmp_path), "--out", tmp_path / "a.zarr", "--cluster", "local:2", "--no-progress")
    assert result.exit_code == 0, result.output
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_a_store_begun_by_some_is_finished_by_others(study: Study, whole: Path, tmp_path: Path, client: Any) -> None:
    class Stopping(Threads):
        seconds = 0.0
        n = 0

        def submit(self, *item: Any) -> Any:
            self.n += 1
            if self.n > 30:
                raise KeyboardInterrupt
            return super().submit(*item)

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "a.zarr", scheduler=lambda: Stopping(2))
    resume(tmp_path / "a.zarr", scheduler=make_scheduler(client))
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_tasks_lengthen_with_the_cluster() -> None:
    class Many:
        def __init__(self, n: int) -> None:
            self.n = n

        def nthreads(self) -> dict[str, int]:
            return {"w": self.n}

    small, large = Cluster(Many(4)), Cluster(Many(1000))
    assert (small.slots, small.seconds) == (1, 8.0)
    assert (large.slots, large.seconds) == (125, 500.0)
    bundles_a_second = 1000 / large.seconds
    assert bundles_a_second <= 2


@pytest.mark.parametrize("what", ["gpu", "local:0", "local:x", "local:9999", 7, "tcp:", ""])
def test_what_is_no_scheduler(what: Any) -> None:
    with pytest.raises(lq.ParameterError, match=r'give "threads", "processes", "local:4", the address'):
        make_scheduler(what)


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason='dask is not installed (pip install "liqsim[cluster]")')
    monkeypatch.setattr("liqsim.engine.schedulers._CONNECT_SECONDS", 0.5)
    begun = time.monotonic()
    result = run("sweep", write(tmp_path), "--out", tmp_path / "a.zarr", "--scheduler", "tcp://127.0.0.1:9")
    assert result.exit_code == 2
    assert "does not answer" in result.stderr
    assert time.monotonic() - begun < 30


def test_both_ways_of_naming_a_cluster(tmp_path: Path) -> None:
    result = run("sweep", write(tmp_path), "--scheduler", "processes", "--cluster", "local:2")
    assert result.exit_code == 2
    assert "leave one of them out" in result.stderr


def test_an_error_of_a_task_comes_through(tmp_path: Path) -> None:
    changes = ('model={kind="gbm", sigma=100}', 'venue="bitmex-xbtusd"', 'horizon="30D"', "n_paths=5000")
    wild = study_in(tmp_path, *changes)
    for where in ("threads", "processes"):
        with pytest.raises(lq.ParameterError, match="16384 times the entry notional"):
            run_study(wild, tmp_path / "a.zarr", scheduler=make_scheduler(where, 1))


def test_the_result_of_a_study_is_that_of_sweep(study: Study, whole: Path) -> None:
    assert_same_bits(xr.open_zarr(whole, consolidated=False), lq.sweep(**study.arguments, threads=1))
