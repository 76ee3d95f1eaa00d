"""Results of calls in Python, made again from their provenance: to the bit, or refused with the way out."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim._core import available_levels
from liqsim.engine.schedulers import make_scheduler
from liqsim.errors import StoreError
from liqsim.report import save_result
from liqsim.results import fingerprint
from liqsim.study import rerun, run_study
from liqsim.variables import OUTPUTS

sys.path.insert(0, str(Path(__file__).parent))
from studies import command, run, study_in

MODEL = lq.Kou(sigma=0.6, intensity=60, p_up=0.4, eta_up=40, eta_down=30)
PREMIUM = lq.OUPremium(1e-4, dt.timedelta(hours=7), 2e-4, 0.3, 0.0)


def small(**more: Any) -> xr.Dataset:
    given = {"leverage": [5, 25], "stop": [0.03, np.inf], "horizon": "2D", "n_paths": 3000, "seed": 5, "threads": 1}
    return lq.sweep(MODEL, "bitmex-xbtusd", **{**given, **more})


CALLS: dict[str, Callable[[], xr.Dataset]] = {
    "plain": small,
    "axes": lambda: lq.sweep(
        [lq.GBM(0.7), lq.Merton(0.5, 100, -0.01, 0.03)],
        {"mine": "cme-mbt", "other": "bitmex-xbtusd"},
        leverage=[2],
        stop=0.1,
        side="short",
        notional=[5e4, 60_001.5],
        horizon=["36h", np.timedelta64(3, "D")],
        premium=PREMIUM,
        monitoring="1h",
        gap_rule="stop",
        start="2026-03-06T15:00-05:00",
        top_up=0.02,
        n_paths=500,
        seed=np.random.SeedSequence(9, pool_size=8),
    ),
    "lists of one": lambda: lq.sweep([MODEL], ["bitmex-xbtusd"], leverage=5, notional=[9e3], horizon=["2D"], n_paths=9),
    "assumed": lambda: lq.sweep(
        MODEL, lq.load_venue("kraken-spot-xbtusd").assume({"fees.taker": 0.0026}, hazard=0.5), leverage=3, n_paths=99
    ),
    "outputs": lambda: small(outputs=list(OUTPUTS), quantiles=[0.1, 0.5], times=["8h", "1D"]),
    "times of its own": lambda: small(outputs="p_stop_by", horizon=["2D", "7D"]),
    "groups": lambda: small(groups=16),
    "control": lambda: small(control=True),
    "importance": lambda: small(importance=True, leverage=[2, 5]),
    "control and groups": lambda: small(control=True, groups=64, outputs="pnl_quantile"),
    "target": lambda: small(
        n_paths=None,
        leverage=[5.123456789, 25],
        rel_error={"p_liquidation": 0.1, "p_stop": 0.05},
        abs_error={"pnl": 0.01},
        error_at={"leverage": 5.123456789, "stop": [0.03], "horizon": "48h", "side": "long"},
    ),
    "control and target": lambda: small(control=True, n_paths=60_000, abs_error=1e-3, error_at={"stop": np.inf}),
    "first passage, weighted": lambda: lq.first_passage(MODEL, [0.8, 1.3], "1D", importance=True, n_paths=500),
    "first passage": lambda: lq.first_passage(MODEL, [0.9, 1.1, 0.95], ["1D", "2D"], n_paths=2000, seed=3),
    "first passage, looked at": lambda: lq.first_passage(
        MODEL, [0.9123456789, 1.1], "2D", monitoring="1h", rel_error=0.05, error_at={"level": 0.9123456789}
    ),
    "venues": lambda: lq.compare_venues(
        MODEL, ["bitmex-xbtusd", "hyperliquid-btc", "cme-mbt"], leverage=[5, 60], side=["long"], stop=0.1, n_paths=500,
        premium=PREMIUM, groups=8, start="2026-03-06T15:00Z", assume={},
    ),
    "every venue": lambda: lq.compare_venues(MODEL, leverage=5, horizon="3D", n_paths=200),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_made_again(tmp_path: Path, name: str) -> None:
    ds = CALLS[name]()
    again = rerun(save_result(ds, tmp_path / "a.nc"), threads=2)
    assert again.differing == ()
    assert fingerprint(again.dataset) == json.loads(ds.attrs["provenance"])["fingerprint"]
    xr.testing.assert_identical(again.dataset.drop_attrs(), ds.drop_attrs())
    assert again.dataset.attrs["n_paths"] == ds.attrs["n_paths"]
    assert again.dataset.attrs.get("accuracy") == ds.attrs.get("accuracy")
    assert again.dataset.attrs.get("notes") == ds.attrs.get("notes")


def test_targets_end_before_all_paths_are_run() -> None:
    """So that the test above tells whether the target was repeated: the paths allowed would be others."""
    for name, most in (("target", 2**24), ("control and target", 60_000), ("first passage, looked at", 2**24)):
        assert CALLS[name]().attrs["n_paths"] < most


@pytest.mark.slow
@pytest.mark.parametrize("level", available_levels())
def test_from_the_command_line_on_other_instructions(tmp_path: Path, level: str) -> None:
    save_result(CALLS["control and groups"](), tmp_path / "a.nc")
    process = command("rerun", tmp_path / "a.nc", "--check", "--threads", 3, "--no-progress", LIQSIM_ISA=level)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "every bit agrees" in output


def test_changed_numbers_are_named(tmp_path: Path) -> None:
    ds = small(groups=8)
    ds.pnl_by_group.values.flat[3] += 1e-12
    result = run("rerun", save_result(ds, tmp_path / "a.nc"), "--check", "--no-progress")
    assert result.exit_code == 3
    assert result.stderr.startswith("differs: pnl_by_group\n")


def test_the_new_result_is_written(tmp_path: Path) -> None:
    ds = small()
    save_result(ds, tmp_path / "a.nc")
    result = run("rerun", tmp_path / "a.nc", "--out", tmp_path / "b.nc", "--no-progress")
    assert result.exit_code == 0, result.output
    xr.testing.assert_identical(lq.report.load_result(tmp_path / "b.nc").drop_attrs(), ds.drop_attrs())


def test_what_cannot_be_made_again_says_what_can(tmp_path: Path) -> None:
    derived = lq.sensitivities(MODEL, "bitmex-xbtusd", leverage=5, horizon="2D", n_paths=64, parameters=["sigma"])
    with pytest.raises(lq.ParameterError, match=r"made by sensitivities, which is repeated by hand.*sweep, first_pass"):
        rerun(save_result(derived, tmp_path / "a.nc"))
    with pytest.raises(lq.ParameterError, match=r"made by a call of liqsim.sweep, which runs on threads"):
        rerun(save_result(small(), tmp_path / "b.nc"), scheduler=make_scheduler("processes", 1))
    with pytest.raises(lq.ParameterError, match=r"holds no result of liqsim"):
        rerun(save_result(small().drop_attrs(), tmp_path / "c.nc"))
    ds = small()
    record = json.loads(ds.attrs["provenance"])
    del record["inputs"]["price"]
    ds.attrs["provenance"] = json.dumps(record)
    with pytest.raises(lq.ParameterError, match=r"the provenance lacks 'price', so the call cannot be repeated"):
        rerun(save_result(ds, tmp_path / "d.nc"))


def test_an_unfinished_store_is_not_run_again(tmp_path: Path) -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study_in(tmp_path), tmp_path / "a.zarr", scheduler=interrupted)
    with pytest.raises(StoreError, match=r"is unfinished; liqsim resume .*a\.zarr goes on"):
        rerun(tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["first passage", "venues", "outputs"])
def test_inspect(tmp_path: Path, name: str) -> None:
    ds = CALLS[name]()
    said = run("inspect", save_result(ds, tmp_path / "a.nc"))
    assert said.exit_code == 0, said.stderr
    assert f"{ds[next(iter(ds.data_vars))].size} cells = " in said.output
    assert json.loads(ds.attrs["provenance"])["fingerprint"] in said.output
    assert ("outputs      funding_cost_given, " in said.output) == (name == "outputs")


def test_a_study_keeps_where_its_parameters_come_from(tmp_path: Path) -> None:
    """The hash of a preset's data, or a source in words, through a store, inspect and another run."""
    text = (
        'venue = "bitmex-xbtusd"\nleverage = 5\nhorizon = "1D"\nn_paths = 500\n[[model]]\npreset = "btc-2025"\n'
        '[[model]]\nkind = "gbm"\nsigma = [0.4, 0.6]\nsource = "the desk"\n'
    )
    study = study_in(tmp_path, text=text)
    run_study(study, tmp_path / "a.zarr")
    sources = [table["source"] for table in study.resolved["model"]]
    assert sources[0].endswith(lq.presets.data_hash("btc-2025"))
    assert sources[1:] == ["the desk", "the desk"]
    shown = run("inspect", tmp_path / "a.zarr").output
    assert f"source       btc-2025: {sources[0]}" in shown
    assert "gbm sigma=0.6: the desk" in shown
    again = rerun(tmp_path / "a.zarr")
    assert again.differing == ()
    assert json.loads(again.dataset.attrs["provenance"])["study"]["model"] == study.resolved["model"]
