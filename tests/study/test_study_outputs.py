"""Outputs by name in a study: those of sweep to the bit, whatever the study has been through."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim._core import available_levels
from liqsim.engine import memory
from liqsim.engine.run import Threads
from liqsim.engine.schedulers import make_scheduler
from liqsim.errors import LiqsimError, StoreError
from liqsim.results import fingerprint
from liqsim.study import open_store, rerun, resume, run_study
from liqsim.study.estimate import check_fits, estimate
from liqsim.study.resolve import Study, study_from
from liqsim.variables import OUTPUTS

sys.path.insert(0, str(Path(__file__).parent))
from studies import STUDY, assert_same_bits, assert_same_stores, command, run, study_in, write

EVERY = STUDY.replace(
    "seed = 4",
    f'seed = 4\noutputs = {list(OUTPUTS)}\nquantiles = [0.05, 0.5]\ntimes = ["16h", "3D"]',
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_in(tmp_path_factory.mktemp("study"), text=EVERY)


@pytest.fixture(scope="module")
def wanted(study: Study) -> xr.Dataset:
    return lq.sweep(**study.arguments, threads=1)


@pytest.fixture(scope="module")
def whole(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "whole.zarr"
    run_study(study, store, scheduler=make_scheduler("threads", 1))
    return store


class Stopping(Threads):
    """Threads that are interrupted once they have been given a number of tasks, each as small as may be."""

    seconds = 0.0

    def __init__(self, after: int) -> None:
        super().__init__(2)
        self.left = after

    def submit(self, *item: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().submit(*item)


def stopped(study: Study, store: Path, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_study(study, store, scheduler=lambda: Stopping(after), checkpoint=1e-9)


def test_a_study_computes_what_sweep_computes(wanted: xr.Dataset, whole: Path) -> None:
    ds = open_store(whole)
    assert set(OUTPUTS) <= set(ds.data_vars)
    assert float(ds.p_liquidation_by.max()) > 0.1
    assert float(ds.expected_shortfall.max()) > 0.1
    assert_same_bits(ds, wanted)
    xr.testing.assert_identical(ds.load().drop_attrs(), wanted.drop_attrs())
    for name in wanted.variables:
        assert ds[name].attrs == wanted[name].attrs, name
    np.testing.assert_array_equal(ds.p_liquidation_by.isel(time=-1), ds.p_liquidation.sel(horizon="5D"))


@pytest.mark.parametrize("after", [1, 20, 50])
def test_an_interrupted_run_goes_on(study: Study, whole: Path, tmp_path: Path, after: int) -> None:
    stopped(study, tmp_path / "a.zarr", after)
    stopped(study, tmp_path / "a.zarr", 5)
    resume(tmp_path / "a.zarr")
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_a_partial_store_shows_what_is_done(study: Study, wanted: xr.Dataset, tmp_path: Path) -> None:
    stopped(study, tmp_path / "a.zarr", 40)
    ds = open_store(tmp_path / "a.zarr")
    done = ds.n_paths_done
    full = done == 6000
    assert bool(full.any())
    assert int(done.min()) == 0
    assert np.isnan(ds.value_at_risk.where(done == 0, drop=True)).all()
    for name in ("value_at_risk", "expected_shortfall_se", "pnl_given", "p_ruin"):
        np.testing.assert_array_equal(ds[name].where(full), wanted[name].where(full))
    longest = full.sel(horizon="5D")
    np.testing.assert_array_equal(ds.p_stop_by.where(longest), wanted.p_stop_by.where(longest))


def test_added_paths_are_those_of_one_longer_run(study: Study, whole: Path, tmp_path: Path) -> None:
    run_study(study, tmp_path / "a.zarr")
    result = run("resume", tmp_path / "a.zarr", "--add-paths", 3333, "--no-progress")
    assert result.exit_code == 0, result.output
    run_study(study_in(tmp_path, "n_paths=9333", text=EVERY), tmp_path / "b.zarr")
    assert_same_stores(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert_same_bits(open_store(tmp_path / "a.zarr"), lq.sweep(**{**study.arguments, "n_paths": 9333}))


@pytest.mark.parametrize("where", ["processes", pytest.param("local:2", marks=pytest.mark.slow)])
def test_elsewhere(study: Study, whole: Path, tmp_path: Path, where: str) -> None:
    if where != "processes":
        pytest.importorskip("distributed", reason='dask is not installed (pip install "liqsim[cluster]")')
    run_study(study, tmp_path / "a.zarr", scheduler=make_scheduler(where, 2))
    assert_same_stores(tmp_path / "a.zarr", whole)


@pytest.mark.slow
@pytest.mark.parametrize("level", available_levels())
def test_on_other_instructions(whole: Path, tmp_path: Path, level: str) -> None:
    process = command("sweep", write(tmp_path, EVERY), "--out", tmp_path / "a.zarr", "--no-progress", LIQSIM_ISA=level)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert_same_stores(tmp_path / "a.zarr", whole)


def test_rerun(whole: Path) -> None:
    again = rerun(whole, threads=2)
    assert again.differing == ()
    assert fingerprint(again.dataset) == fingerprint(open_store(whole))


def test_a_target_ends_a_study_where_it_ends_a_sweep(tmp_path: Path) -> None:
    text = EVERY.replace("n_paths = 6000", "n_paths = 100_000\nabs_error = 0.004")
    study = study_in(tmp_path, 'venue="binance-usdm-btcusdt"', 'horizon="3D"', "notional=1e4", text=text)
    ds = run_study(study, tmp_path / "a.zarr")
    assert 16_000 < ds.attrs["n_paths"] < 100_000
    assert_same_bits(ds, lq.sweep(**study.arguments, **study.accuracy))
    assert rerun(tmp_path / "a.zarr").differing == ()


def test_another_output_is_another_study(whole: Path, tmp_path: Path) -> None:
    other = study_in(tmp_path, 'outputs=["p_ruin"]', text=EVERY.replace("quantiles =", "# ").replace("times =", "# "))
    with pytest.raises(StoreError, match=r"outputs: .* -> \[\"p_ruin\"\]; quantiles: .* -> absent; times: "):
        run_study(other, whole)


def test_passes_that_book_other_things_have_other_keys(tmp_path: Path) -> None:
    studies = [
        study_in(tmp_path, 'horizon="5D"', *changes)
        for changes in ((), ('outputs="pnl_quantile"',), ('outputs="p_stop_by"',), ('outputs="p_ruin"',))
    ]
    plain, with_pnl, with_times, from_the_same_sums = (set(study.keys) for study in studies)
    assert not plain & with_pnl
    assert not plain & with_times
    assert plain == from_the_same_sums


def test_a_resolved_study_holds_its_outputs(study: Study) -> None:
    again = study_from(study.resolved, "a store")
    assert again.resolved == study.resolved
    assert again.keys == study.keys
    assert again.plan.inputs() == study.plan.inputs()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('outputs = ["p_ruin", "valu_at_risk"]', "line 11: outputs: 'valu_at_risk' is unknown; did you mean 'value_at"),
        ("outputs = 3", "line 11: outputs=3 is not allowed; give names, such as"),
        ('outputs = "p_ruin"\nquantiles = [0.5, 2]', "line 12: quantiles=2 is not allowed"),
        ('outputs = "p_ruin"\ntimes = "1D"', "line 12: times='1D' needs an output over time"),
        ('outputs = "p_stop_by"\ntimes = ["1D", "25h"]', "line 12: times='25h' is not an instant at which the run"),
        ('outputs = "p_stop_by"\ntimes = 1', "line 12: times=1 is not allowed; give durations with a unit"),
        ('output = ["p_ruin"]', "line 11: output=['p_ruin'] is not allowed; give a section [output]"),
        ('outptus = "p_ruin"', "line 11: key 'outptus' is unknown; did you mean 'outputs'?"),
        ("groups = 64", "line 11: groups=64 cannot be had in a study: the groups of a longer run"),
        ("control = true", "line 11: control=True cannot be had in a study: control variates need groups"),
        ("importance = true", "line 11: importance=True cannot be had in a study: its errors come from groups"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_file_and_line(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(LiqsimError) as caught:
        _ = study_in(tmp_path, text=STUDY.replace("seed = 4", f"seed = 4\n{lines}", 1)).keys
    assert str(caught.value).startswith("study.toml, line ")
    assert message in str(caught.value)


def test_the_estimate_counts_what_is_booked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, distribution = (estimate(study_in(tmp_path, *more)) for more in ((), ('outputs="p_pnl_below"',)))
    n_bins = len(lq.sweep(lq.GBM(0.5), "bitmex-xbtusd", leverage=5, n_paths=8, outputs="p_pnl_below").pnl_level) + 1
    corners = 2 * 3 * 2 * 3 * n_bins * 3  # side, way, rows and columns with their sentinels, count and two moments
    assert distribution.memory - plain.memory > 8 * corners * 8
    assert distribution.disk - plain.disk > 128 * 2 * 8 * (n_bins - 1)
    from_the_same_sums = check_fits(study_in(tmp_path, 'outputs=["pnl_given", "p_ruin"]'), 2)
    assert from_the_same_sums - check_fits(study_in(tmp_path), 2) >= 8 * 128 * (3 * 3 + 2)
    monkeypatch.setattr(memory, "available_memory", lambda: 600 * 10**6)
    stops = ", ".join(f"{x:.6f}" for x in np.linspace(0.01, 0.9, 40))
    changes = [f"stop=[{stops}]", "leverage=[2, 3, 4, 5, 6, 7, 8, 9]"]
    check_fits(study_in(tmp_path, *changes), 2)
    with pytest.raises(lq.ParameterError, match=r"make 10,240 cells, which need .* GB of memory, and 600 MB are free"):
        estimate(study_in(tmp_path, *changes, 'outputs="p_pnl_below"'))


def test_values_of_a_cell_are_counted(study: Study, wanted: xr.Dataset) -> None:
    named = [x for name, x in wanted.items() if name == "paths_given" or str(name).removesuffix("_se") in OUTPUTS]
    per_cell = sum(x.size // (128 if "horizon" in x.dims else 64) for x in named)
    assert study.plan.outputs.n_values == per_cell


def test_the_sums_fill_memory_as_far_as_agreed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished sums are written once they are many, those of outputs among them."""
    monkeypatch.setattr("liqsim.study.runner._FLUSH_BYTES", 10**6)
    study = study_in(tmp_path, 'outputs="pnl_quantile"')
    run_study(study, tmp_path / "a.nc", checkpoint=1e6, scheduler=lambda: Threads(1))
    writes = []
    monkeypatch.setattr("liqsim.study.runner.Work._write", lambda self, entries: writes.append(len(entries)) or _stop())
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "b.nc", checkpoint=1e6, scheduler=lambda: Threads(1))
    assert 0 < writes[0] < len(study.plan.passes) // 2


def _stop() -> None:
    raise KeyboardInterrupt
