"""Stores: what is saved is never lost, never mixed, never half there, and always the bits of one run."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.engine import tasks
from liqsim.engine.run import Threads
from liqsim.errors import StoreError, Unfinished
from liqsim.store import tallies as sums
from liqsim.store.place import Place
from liqsim.store.tallies import covered, merged, missing
from liqsim.study import open_store, rerun, resume, run_study
from liqsim.study.resolve import Study

sys.path.insert(0, str(Path(__file__).parent))
from studies import (
    STUDY,
    assert_same_bits,
    assert_same_stores,
    command,
    largest,
    record,
    run,
    study_in,
    tallies,
    write,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_in(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def wanted(study: Study) -> xr.Dataset:
    return lq.sweep(**study.arguments, threads=1)


@pytest.fixture(scope="module")
def whole(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that nothing has happened to."""
    store = tmp_path_factory.mktemp("whole") / "whole.zarr"
    run_study(study, store)
    return store


class Stopping(Threads):
    """Threads that are interrupted once they have been given a number of tasks, each as small as may be."""

    seconds = 0.0

    def __init__(self, after: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__(2)
        self.left, self.error = after, error

    def submit(self, *item: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().submit(*item)


def stopped(study: Study, store: Path, after: int, **more: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_study(study, store, scheduler=lambda: Stopping(after), **more)


# ranges of paths


def test_ranges() -> None:
    assert merged([(5, 7), (0, 2), (2, 5)]) == ((0, 7),)
    assert merged([(5, 7), (0, 2)]) == ((0, 2), (5, 7))
    assert missing(((0, 2), (5, 7)), 9) == ((2, 5), (7, 9))
    assert missing(((0, 2), (5, 7)), 6) == ((2, 5),)
    assert missing(((0, 9),), 9) == missing(((0, 9),), 4) == ()
    assert missing((), 3) == ((0, 3),)
    assert covered(((0, 2), (5, 7))) == 4


@pytest.mark.parametrize("ranges", [[(0, 3), (2, 5)], [(0, 9), (3, 4)], [(0, 1), (0, 1)]])
def test_no_path_is_counted_twice(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(StoreError, match="counted twice"):
        merged(ranges)


# a store holds what sweep returns


def test_a_store_holds_what_sweep_returns(study: Study, wanted: xr.Dataset, whole: Path) -> None:
    assert largest(wanted) > 0.1
    ds = open_store(whole)
    assert_same_bits(ds, wanted)
    xr.testing.assert_identical(ds.load().drop_attrs(), wanted.drop_attrs())
    for name in wanted.variables:
        assert ds[name].attrs == wanted[name].attrs, name
    assert sorted(p.name for p in whole.parent.iterdir()) == ["whole.zarr"]


def test_plain_xarray_opens_it(wanted: xr.Dataset, whole: Path) -> None:
    with xr.open_zarr(whole, consolidated=False) as ds:
        assert float(ds.pnl.sum()) == float(wanted.pnl.sum())
        assert ds.p_liquidation.attrs["units"] == "1"
        assert json.loads(ds.attrs["provenance"])["function"] == "sweep"


def test_a_file_beside_the_store_and_a_file_alone(study: Study, wanted: xr.Dataset, tmp_path: Path) -> None:
    run_study(study, tmp_path / "a.zarr", netcdf=tmp_path / "a.nc")
    alone = run_study(study, tmp_path / "b.nc")
    assert_same_bits(alone, wanted)
    assert_same_bits(xr.load_dataset(tmp_path / "a.nc"), wanted)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nc", "a.zarr", "b.nc"]


def test_urls(study: Study, wanted: xr.Dataset) -> None:
    url = "memory://bucket/deep/study.zarr"
    stop = lambda: Stopping(9)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run_study(study, url, scheduler=stop, checkpoint=1e-9)
    assert int(open_store(url).n_paths_done.max()) > 0
    assert_same_bits(resume(url), wanted)
    more = resume(url, add_paths=1000)
    assert_same_bits(more, lq.sweep(**{**study.arguments, "n_paths": 7000}))


# stopping and going on


@pytest.mark.parametrize("after", [0, 1, 7, 20])
def test_an_interrupted_run_goes_on(study: Study, whole: Path, tmp_path: Path, after: int) -> None:
    store = tmp_path / "a.zarr"
    stopped(study, store, after)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr.partial"]
    assert record(tmp_path / "a.zarr.partial")["liqsim"]["status"] == "partial"
    resume(store)
    assert_same_stores(store, whole)


def test_the_same_command_goes_on_as_well(study: Study, whole: Path, tmp_path: Path) -> None:
    stopped(study, tmp_path / "a.zarr", 9, checkpoint=1e-9)
    stopped(study, tmp_path / "a.zarr", 5, checkpoint=1e-9)
    run_study(study, tmp_path / "a.zarr")
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_nothing_saved_is_run_again(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[int, int, int]] = []
    run_task = tasks.Bench.run

    def counted(self: Any, key: Any, task: Any, first: int, count: int) -> Any:
        ran.append((key, first, count))
        return run_task(self, key, task, first, count)

    monkeypatch.setattr(tasks.Bench, "run", counted)
    stopped(study, tmp_path / "a.zarr", 10)
    saved = open_store(tmp_path / "a.zarr").n_paths_done
    ran.clear()
    resume(tmp_path / "a.zarr")
    done = {(key, path) for key, first, count in ran for path in range(first, first + count)}
    assert len(done) == sum(count for *_, count in ran) < len(study.plan.passes) * 6000
    assert int(saved.sum()) > 0
    ran.clear()
    resume(tmp_path / "a.zarr")
    assert ran == []


def test_a_partial_store_shows_what_is_done(
    study: Study, wanted: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.zarr"
    monkeypatch.setattr(tasks, "SMALLEST_TASK", 6000)  # a pass is one task, however fast the machine is
    stopped(study, store, 5)
    ds = open_store(store)
    done = ds.n_paths_done
    assert done.dims == ("model", "venue", "notional", "horizon")
    assert 0 < int(done.max()) <= 6000
    assert int(done.min()) == 0
    assert np.isnan(ds.p_liquidation.where(done == 0, drop=True)).all()
    full = done == 6000
    assert bool(full.any())
    np.testing.assert_array_equal(ds.pnl.where(full), wanted.pnl.where(full))
    said = run("inspect", store)
    assert said.exit_code == 0
    assert "unfinished" in said.output
    assert "liqsim resume" in said.output


def test_added_paths_are_those_of_one_longer_run(study: Study, tmp_path: Path) -> None:
    store, longer = tmp_path / "a.zarr", tmp_path / "b.zarr"
    run_study(study, store)
    result = run("resume", store, "--add-paths", 3333, "--no-progress")
    assert result.exit_code == 0, result.output
    run_study(study_in(tmp_path, "n_paths=9333"), longer)
    assert_same_stores(store, longer)
    assert open_store(store).attrs["n_paths"] == 9333


def test_a_store_keeps_its_result_until_the_longer_one_is_there(study: Study, whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    with pytest.raises(KeyboardInterrupt):
        resume(store, add_paths=4000, scheduler=lambda: Stopping(5))
    assert_same_stores(store, whole)
    assert_same_bits(resume(store), lq.sweep(**{**study.arguments, "n_paths": 10_000}))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]


@pytest.mark.parametrize("left", ["old", "both"])
def test_killed_between_two_renames(study: Study, whole: Path, tmp_path: Path, left: str) -> None:
    """What stands at the final name is moved away before the new store moves in."""
    shutil.copytree(whole, tmp_path / "a.zarr.old")
    if left == "both":
        shutil.copytree(whole, tmp_path / "a.zarr")
    assert run("resume", tmp_path / "a.zarr", "--no-progress").exit_code == 0
    assert_same_stores(tmp_path / "a.zarr", whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]


def test_killed_before_the_store_had_its_name(
    study: Study, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Place, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tmp_path / "a.zarr")
    monkeypatch.setattr(tasks.Bench, "run", None)  # nothing is left to run
    resume(tmp_path / "a.zarr", netcdf=tmp_path / "a.nc")
    assert_same_stores(tmp_path / "a.zarr", whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nc", "a.zarr"]


# until the estimates are as accurate as asked


TARGET = ("n_paths=200_000", "abs_error=0.0025", 'venue="binance-usdm-btcusdt"', 'horizon="2D"')


@pytest.fixture(scope="module")
def accurate(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """What sweep returns for the target."""
    study = study_in(tmp_path_factory.mktemp("accurate"), *TARGET)
    return lq.sweep(**study.arguments, **study.accuracy)


@pytest.mark.parametrize("after", [None, 0, 3, 30, 60, 80])
def test_a_target_ends_a_study_where_it_ends_a_sweep(tmp_path: Path, accurate: xr.Dataset, after: int | None) -> None:
    assert 20_000 < accurate.attrs["n_paths"] < 200_000
    study = study_in(tmp_path, *TARGET)
    if after is not None:
        stopped(study, tmp_path / "a.zarr", after)
    ds = run_study(study, tmp_path / "a.zarr")
    assert_same_bits(ds, accurate)
    assert ds.attrs["accuracy"] == accurate.attrs["accuracy"]
    assert ds.attrs["notes"] == accurate.attrs["notes"]


def test_a_study_with_a_target_is_repeated_and_extended(tmp_path: Path, accurate: xr.Dataset) -> None:
    study = study_in(tmp_path, *TARGET)
    run_study(study, tmp_path / "a.zarr")
    assert rerun(tmp_path / "a.zarr").differing == ()
    n_paths = accurate.attrs["n_paths"] + 1000
    more = resume(tmp_path / "a.zarr", add_paths=1000)
    assert_same_bits(more, lq.sweep(**{**study.arguments, "n_paths": n_paths}))
    assert rerun(tmp_path / "a.zarr").differing == ()


# what would mix is refused


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("seed=5", "seed: 4 -> 5"),
        ("model.0.sigma=[0.5, 0.8]", "model[1].sigma: 0.9 -> 0.8"),
        ("premium.vol=1e-4", "premium.vol: 0.0003 -> 0.0001"),
        ("stop=[0.05, 0.06]", 'stop[1]: "inf" -> 0.06'),
        ("notional=1e4", "notional: [10000.0, 100000.0] -> 10000.0"),
        ("n_paths=7000", "n_paths: 6000 -> 7000"),
    ],
)
def test_another_input_is_refused_and_named(whole: Path, study: Study, tmp_path: Path, change: str, named: str) -> None:
    store = tmp_path / "a.zarr"
    other = study_in(tmp_path, change)
    stopped(study, store, 5)
    with pytest.raises(StoreError) as caught:
        run_study(other, store)
    assert named in str(caught.value)
    shutil.copytree(whole, tmp_path / "b.zarr")
    with pytest.raises(StoreError) as caught:
        run_study(other, tmp_path / "b.zarr")
    assert named in str(caught.value)
    assert ("--add-paths" in str(caught.value)) == change.startswith("n_paths")
    assert_same_stores(tmp_path / "b.zarr", whole)


def change_record(folder: Path, **changes: Any) -> None:
    path = folder / "zarr.json"
    meta = json.loads(path.read_text())
    meta["attributes"]["liqsim"] |= changes
    path.write_text(json.dumps(meta))


def test_another_version_is_refused(study: Study, tmp_path: Path) -> None:
    stopped(study, tmp_path / "a.zarr", 5)
    change_record(tmp_path / "a.zarr.partial", version="0.0.9")
    for again in (lambda: resume(tmp_path / "a.zarr"), lambda: run_study(study, tmp_path / "a.zarr")):
        with pytest.raises(StoreError, match=r"version of liqsim: 0\.0\.9 -> "):
            again()


def test_sums_of_other_rules_are_refused(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the package give other numbers for the same study, without a new version."""
    stopped(study, tmp_path / "a.zarr", 9)
    monkeypatch.setattr(Study, "keys", ["0" * 64] * len(study.keys))
    with pytest.raises(StoreError, match=r"pass \d+ \(gbm on .*, notional 1e?\d+\) was run with other"):
        resume(tmp_path / "a.zarr")


def test_a_newer_schema_is_refused(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    change_record(store, store=2)
    for again in (lambda: open_store(store), lambda: resume(store)):
        with pytest.raises(StoreError, match=r"has schema 2, written by liqsim .*install a newer liqsim"):
            again()
    assert run("inspect", store).exit_code == 3


def test_what_is_no_store_of_ours(study: Study, tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(StoreError, match="exists and is not a store of liqsim"):
        run_study(study, tmp_path / "a.zarr")
    xr.Dataset({"x": 1}).to_zarr(tmp_path / "b.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StoreError, match="is not a store of liqsim"):
        open_store(tmp_path / "b.zarr")
    with pytest.raises(StoreError, match="there is no unfinished run"):
        resume(tmp_path / "c.zarr")
    assert run("resume", tmp_path / "c.zarr").exit_code == 3


# damage


def test_a_corrupted_chunk_is_named_and_the_rest_readable(whole: Path, wanted: xr.Dataset, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    chunk = next(p for p in (store / "pnl" / "c").rglob("*") if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    ds = open_store(store)
    np.testing.assert_array_equal(ds.p_liquidation, wanted.p_liquidation)
    with pytest.raises(ValueError, match=r"[Cc]hecksum|crc32c"):
        ds.pnl.load()
    said = run("inspect", store)
    assert said.exit_code == 3
    key = chunk.relative_to(store / "pnl").as_posix()
    assert f"pnl, chunk {key}: " in said.stderr
    assert "liqsim resume" in said.stderr
    assert "fees" not in said.stderr
    resume(store)
    assert_same_stores(store, whole)


def test_a_missing_chunk_is_not_taken_for_zeros(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    shutil.rmtree(store / "fees" / "c")
    assert "fees: the values are not those that were written" in run("inspect", store).stderr
    shutil.rmtree(store / "tallies" / "000000" / "c")
    resume(store)
    assert_same_stores(store, whole)


@pytest.mark.parametrize("how", ["flip", "cut", "remove", "record"])
def test_corrupted_sums_are_run_again(study: Study, whole: Path, tmp_path: Path, how: str) -> None:
    store = tmp_path / "a.zarr"
    stopped(study, store, 12, checkpoint=1e-9)
    segment = sorted((tmp_path / "a.zarr.partial" / "journal").glob("0*"))[0]
    path = segment / "zarr.json" if how == "record" else segment / "c" / "0"
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 1
    path.unlink()
    if how in ("flip", "cut", "record"):
        path.write_bytes(data if how == "flip" else data[: len(data) // 2])
    resume(store)
    assert_same_stores(store, whole)


def test_a_store_cannot_choose_what_is_run(whole: Path, tmp_path: Path) -> None:
    """Zarr looks codecs up by name among what is installed."""
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    path = store / "pnl" / "zarr.json"
    meta = json.loads(path.read_text())
    meta["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    path.write_text(json.dumps(meta))
    with pytest.raises(StoreError, match=r"array pnl asks for the codec 'numcodecs\.pickle'"):
        open_store(store)


def test_nothing_in_a_store_is_pickled(whole: Path) -> None:
    for path in whole.rglob("zarr.json"):
        meta = json.loads(path.read_text())
        assert meta["zarr_format"] == 3
        names = {codec["name"] for codec in meta.get("codecs", [])}
        assert names <= {"bytes", "zstd", "crc32c", "vlen-utf8"}


# one writer


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes ``a.zarr``."""
    write(tmp_path)
    process = command("sweep", tmp_path / "study.toml", "--out", tmp_path / "a.zarr", "--paths", 10**9, "--threads", 1,
                      "--checkpoint", 0.2)  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "a.zarr.partial" / "journal").glob("0*")):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_two_writers(busy: subprocess.Popen[str], study: Study, tmp_path: Path) -> None:
    for arguments in (
        ["sweep", tmp_path / "study.toml", "--out", tmp_path / "a.zarr"],
        ["resume", tmp_path / "a.zarr"],
    ):
        result = run(*arguments)
        assert result.exit_code == 3
        assert f"is being written by process {busy.pid} on " in result.stderr
    assert open_store(tmp_path / "a.zarr").n_paths_done.max() > 0  # reading is free


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_what_is_done(busy: subprocess.Popen[str], tmp_path: Path, number: signal.Signals) -> None:
    busy.send_signal(number)
    _, errors = busy.communicate(timeout=20)
    assert busy.returncode == 4
    assert "interrupted: " in errors
    assert "liqsim resume" in errors
    assert "Traceback" not in errors
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr.partial", "study.toml"]


def test_two_writers_of_a_url(study: Study) -> None:
    with Place("memory://locks/a.zarr").lock(), pytest.raises(StoreError, match=f"written by process {os.getpid()}"):
        run_study(study, "memory://locks/a.zarr")
    run_study(study_like(study), "memory://locks/a.zarr")


def study_like(study: Study) -> Study:
    return study


# killed, and out of room


def killed_and_resumed(folder: Path, rng: random.Random, times: int, *options: object) -> Path:
    """A store whose writer was killed again and again, at random moments, and finished at last."""
    store = folder / "killed.zarr"
    kills = 0
    while kills < times:
        words: list[object] = ["resume", store]
        if not (folder / "killed.zarr.partial" / "zarr.json").exists():
            words = ["sweep", folder / "study.toml", "--out", store]
        process = command(*words, "--checkpoint", 0.02, "--no-progress", *options)
        try:
            process.communicate(timeout=rng.uniform(0.5, 3.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        else:
            assert process.returncode == 0
            shutil.rmtree(store)  # done before it was killed: from the start again
    if not store.exists():
        begun = (folder / "killed.zarr.partial" / "zarr.json").exists()
        words = ["resume", store] if begun else ["sweep", folder / "study.toml", "--out", store]
        last = command(*words, "--no-progress", *options)
        last.communicate()
        assert last.returncode == 0
    return store


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_killed_twenty_times(tmp_path: Path) -> None:
    study = study_in(tmp_path, "n_paths=150_000", 'venue="binance-usdm-btcusdt"', 'horizon="2D"')
    run_study(study, tmp_path / "whole.zarr")
    write(tmp_path, STUDY.replace("6000", "150_000").replace('["binance-usdm-btcusdt", "deribit-btc-perpetual"]',
          '"binance-usdm-btcusdt"').replace('["5D", "31h"]', '"2D"'))  # fmt: skip
    store = killed_and_resumed(tmp_path, random.Random(3), 20)
    assert_same_stores(store, tmp_path / "whole.zarr")


DYING = """
import os, sys
folder, left = sys.argv[1], int(sys.argv[2])
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
def hook(event, arguments):
    global left
    opens = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if (opens or event in CHANGES) and str(arguments[0]).startswith(folder):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
from liqsim.cli import main
try:
    main(sys.argv[3:])
except SystemExit as end:
    print("changes", int(sys.argv[2]) - left)
    raise
"""


@pytest.mark.slow
def test_killed_before_any_change_of_the_disk(tmp_path: Path) -> None:
    """The process ends before its n-th write, rename or removal, for many n, up to the last."""
    small = ("n_paths=20_000", 'horizon="2D"')
    text = STUDY.replace("6000", "20_000").replace('["5D", "31h"]', '"2D"')
    run_study(study_in(tmp_path, *small), tmp_path / "whole.zarr")
    store = tmp_path / "a" / "a.zarr"
    words = ["sweep", write(tmp_path, text), "--out", store, "--no-progress", "--checkpoint", 0.02, "--threads", 1]

    def dies(left: int) -> str:
        (tmp_path / "a").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", DYING, tmp_path / "a", str(left), *map(str, words)], capture_output=True, text=True
        )
        assert done.returncode in (0, 9), done.stderr
        return done.stdout

    total = int(dies(10**6).split()[-1])
    assert total > 100
    assert_same_stores(store, tmp_path / "whole.zarr")
    ends = [*range(0, 8, 2), *range(8, total - 8, total // 12), *range(total - 8, total)]
    for left in ends:
        shutil.rmtree(tmp_path / "a")
        dies(left)
        if not store.exists() and not (tmp_path / "a" / "a.zarr.partial" / "zarr.json").exists():
            continue  # nothing had been written
        resume(store)
        assert_same_stores(store, tmp_path / "whole.zarr")
        assert sorted(p.name for p in store.parent.iterdir()) in (["a.zarr"], ["a.zarr", "a.zarr.lock"])


def test_out_of_room(study: Study, whole: Path, tmp_path: Path) -> None:
    """A full file system: a clear error, what was saved stays, and it goes on once there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = 700
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        ballast = disk / "ballast"
        store = disk / "a.zarr"
        stopped(study, store, 9)
        saved = open_store(store).n_paths_done
        room = os.statvfs(disk)
        ballast.write_bytes(b"x" * (room.f_bavail * room.f_frsize - 4096))
        with pytest.raises(Unfinished, match=r"cannot be written \(No space left on device\).*liqsim resume"):
            resume(store)
        xr.testing.assert_equal(open_store(store).n_paths_done, saved)
        result = run("resume", store, "--no-progress")
        assert result.exit_code == 4
        assert "No space left on device" in result.stderr
        ballast.unlink()
        resume(store)
        assert_same_stores(store, whole)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_limit_on_the_size_of_files(
    study: Study, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where no file system can be mounted: no file may grow beyond 20 kB."""
    store = tmp_path / "a.zarr"
    stopped(study, store, 9)
    saved = open_store(store).n_paths_done
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
    try:
        with pytest.raises(Unfinished, match=r"cannot be written \(File too large\)"):
            resume(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    xr.testing.assert_equal(open_store(store).n_paths_done, saved)
    resume(store)
    assert_same_stores(store, whole)


def test_a_folder_that_cannot_be_written(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        run_study(study, tmp_path / "file" / "a.zarr")


# finished stores do not depend on their history


def test_segments_of_a_finished_store_do_not_depend_on_history(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "SEGMENT", 10_000)
    monkeypatch.setattr("liqsim.study.runner.SEGMENT", 10_000)
    run_study(study, tmp_path / "a.zarr")
    assert len(list((tmp_path / "a.zarr" / "tallies").glob("0*"))) > 1
    for after in (4, 6, 8):
        stopped(study, tmp_path / "b.zarr", after, checkpoint=1e-9)
    resume(tmp_path / "b.zarr", scheduler=lambda: Threads(1))
    assert tallies(tmp_path / "a.zarr") == tallies(tmp_path / "b.zarr")


def test_overtaken_segments_are_removed(study: Study, tmp_path: Path) -> None:
    stopped(study, tmp_path / "a.zarr", 30, checkpoint=1e-9)
    assert len(list((tmp_path / "a.zarr.partial" / "journal").glob("0*"))) <= 18
