"""A store that is damaged: every command names what, reads the rest, and resume makes it whole."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import liqsim as lq
from liqsim.study import open_store, resume, run_study

sys.path.insert(0, str(Path(__file__).parent))
from studies import assert_same_stores, run, study_in, write


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run_study(study_in(folder, "n_paths=600", 'outputs=["pnl_given"]'), folder / "whole.zarr")
    return folder / "whole.zarr"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def chunk_of(folder: Path) -> Path:
    return next(p for p in sorted((folder / "c").rglob("*")) if p.is_file())


DAMAGE: dict[str, Any] = {  # what is done to the store, and how it is named
    "a chunk": (lambda store: flip(chunk_of(store / "pnl")), "pnl, chunk c/0/0/0/0/0/0/0: "),
    "a chunk of an output": (
        lambda store: flip(chunk_of(store / "pnl_given_se")),
        "pnl_given_se, chunk c/0/0/0/0/0/0/0/0: ",
    ),
    "labels": (lambda store: flip(chunk_of(store / "venue")), "venue, chunk c/0"),
    "numbers of an axis": (lambda store: flip(chunk_of(store / "leverage")), "leverage, chunk c/0: "),
    "metadata": (
        lambda store: (store / "fees" / "zarr.json").write_text('{"zarr_format": 3,'),
        "the metadata of array fees is corrupted",
    ),
}


@pytest.fixture(params=DAMAGE)
def damaged(request: pytest.FixtureRequest, whole: Path, tmp_path: Path) -> tuple[Path, str]:
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    break_it, named = DAMAGE[request.param]
    break_it(store)
    return store, named


@pytest.mark.parametrize(
    "words", [["inspect"], ["report"], ["rerun", "--check", "--no-progress"], ["export", "--csv", "--var", "pnl"]]
)
def test_every_command_names_it(damaged: tuple[Path, str], words: list[str]) -> None:
    store, named = damaged
    result = run(words[0], store, *words[1:])
    if words[0] == "export" and named.startswith("pnl_given_se"):
        assert result.exit_code == 0, result.stderr  # what is asked for is whole
        return
    assert result.exit_code == 3, result.output
    assert named in result.stderr
    assert "liqsim resume" in result.stderr


def test_resume_makes_it_whole(damaged: tuple[Path, str], whole: Path) -> None:
    resume(damaged[0])
    assert_same_stores(damaged[0], whole)


def test_damaged_sums_are_named(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    shutil.copytree(whole, store)
    flip(chunk_of(store / "tallies" / "000000"))
    result = run("inspect", store)
    assert result.exit_code == 3
    assert "tallies/000000, chunks c/0..0 are corrupted" in result.stderr
    assert float(open_store(store).pnl.max()) < 1.0
    said = run("resume", store, "--no-progress")
    assert said.exit_code == 0
    assert_same_stores(store, whole)


def test_a_store_in_which_nothing_is_saved_yet(tmp_path: Path) -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study_in(tmp_path), tmp_path / "a.zarr", scheduler=interrupted)
    result = run("inspect", tmp_path / "a.zarr")
    assert result.exit_code == 0
    assert "128 cells = 2 model x 2 venue x 2 notional x 2 horizon x 2 side x 2 leverage x 2 stop" in result.output
    assert "unfinished   0.0 % of 6,000 paths" in result.output
    assert bool(open_store(tmp_path / "a.zarr").p_liquidation_se.isnull().all())


def test_threads_in_the_file_are_named_with_their_line(tmp_path: Path) -> None:
    text = write(tmp_path).read_text().replace("seed = 4", "seed = 4\nthreads = 0")
    result = run("sweep", write(tmp_path, text), "--out", tmp_path / "a.zarr")
    assert result.exit_code == 2
    assert "study.toml, line 11: threads=0 is not allowed" in result.stderr


def test_no_far_fetched_hint(tmp_path: Path) -> None:
    with pytest.raises(lq.ParameterError, match=r"key 'orders' is unknown; Known: "):
        study_in(tmp_path, "orders=1")
