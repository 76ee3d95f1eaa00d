"""A study as a file: what it may say, what is refused and how, and that it means what sweep means."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import liqsim as lq
from liqsim.engine import memory
from liqsim.errors import LiqsimError
from liqsim.study import read_study
from liqsim.study.estimate import estimate
from liqsim.study.resolve import differences, study_from

sys.path.insert(0, str(Path(__file__).parent))
from studies import STUDY, run, study_in, write


def refused(folder: Path, *changes: str, text: str = STUDY) -> str:
    with pytest.raises(LiqsimError) as caught:
        _ = study_in(folder, *changes, text=text).keys
    return str(caught.value)


def test_a_study_is_the_arguments_of_sweep(tmp_path: Path) -> None:
    plan = study_in(tmp_path).plan
    assert list(plan.models) == ["gbm sigma=0.5", "gbm sigma=0.9"]
    assert [m.sigma for m in plan.models.values()] == [0.5, 0.9]  # type: ignore[attr-defined]
    assert list(plan.venues.values()) == [lq.load_venue("binance-usdm-btcusdt"), lq.load_venue("deribit-btc-perpetual")]
    assert plan.notionals.tolist() == [1e4, 1e5]
    assert plan.settings.horizons == [hours * 3_600 * 10**9 for hours in (120, 31)]
    assert plan.settings.premium == lq.OUPremium(mean=1e-4, half_life="15h", vol=3e-4)
    assert (plan.grid.leverage.tolist(), plan.grid.stop.tolist()) == ([5, 10], [0.05, math.inf])
    assert plan.grid.sides == ("short", "long")
    assert (plan.settings.n_paths, plan.given) == (6000, ("model", "venue", "notional", "horizon"))


def test_products_multiply_out(tmp_path: Path) -> None:
    text = STUDY + '[[model]]\nkind = "kou"\nlabel = "k {sigma}"\nsigma = [0.2, 0.3]\nintensity = [10, 20, 30]\n'
    text += "p_up = 0.5\neta_up = 30\neta_down = 25\n"
    text = text.replace("\n[premium]", "\n[premium]", 1)
    models = study_in(tmp_path, text=text.replace('[premium]\nmean = 1e-4\nhalf_life = "15h"\nvol = 3e-4\n', "")).plan
    labels = list(models.models)
    assert labels[2:5] == ["k 0.2 intensity=10", "k 0.2 intensity=20", "k 0.2 intensity=30"]
    assert models.models["k 0.3 intensity=20"] == lq.Kou(0.3, 20, 0.5, 30, 25)
    assert len(labels) == 8


def test_one_table_of_products_is_an_axis(tmp_path: Path) -> None:
    text = 'venue = "bitmex-xbtusd"\nleverage = 5\n[model]\nkind = "gbm"\nsigma = [0.5, 0.9]\n'
    assert study_in(tmp_path, text=text).plan.given == ("model",)
    assert study_in(tmp_path, "model.sigma=0.5", text=text).plan.given == ()


def test_includes_give_way_to_the_file(tmp_path: Path) -> None:
    write(
        tmp_path, 'price = 50_000\n[model]\nkind = "kou"\n[premium]\nmean = 0\nhalf_life = "8h"\nvol = 1e-4\n', "b.toml"
    )
    write(tmp_path, 'include = "b.toml"\nprice = 40_000\nn_paths = 7\n', "a.toml")
    text = (
        'include = ["a.toml"]\nvenue = "bitmex-xbtusd"\nleverage = 5\nn_paths = 9\n[model]\nkind = "gbm"\nsigma = 1\n'
    )
    settings = study_in(tmp_path, text=text).plan.settings
    assert (settings.price, settings.n_paths, settings.premium.half_life) == (40_000, 9, "8h")  # type: ignore[union-attr]
    write(tmp_path, 'include = "b.toml"\nprice = -1\n', "a.toml")
    assert refused(tmp_path, text=text).startswith("a.toml, line 2: price=-1")
    write(tmp_path, 'include = "study.toml"\n', "b.toml")
    assert "comes back to itself (study.toml -> a.toml -> b.toml -> study.toml)" in refused(tmp_path, text=text)


def test_overrides(tmp_path: Path) -> None:
    study = study_in(tmp_path, "n_paths=1e7", "model.0.sigma=0.7", "premium.half_life=3h", 'venue=["bitmex-xbtusd"]')
    plan = study.plan
    assert (plan.settings.n_paths, list(plan.models), list(plan.venues)) == (10**7, ["gbm"], ["bitmex-xbtusd"])
    assert plan.settings.premium.half_life == "3h"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("leverage =", "leverige =", "study.toml, line 4: key 'leverige' is unknown; did you mean 'leverage'?"),
        ("leverage = [5, 10]", "leverage = []", "study.toml, line 4: leverage is empty"),
        ("leverage = [5, 10]", 'leverage = "5"', "line 4: leverage='5' is not allowed; give numbers in (0, 1000]"),
        ("leverage = [5, 10]", "leverage = [5, 300]", "line 4: leverage=300.0 exceeds"),
        ("stop = [0.05, inf]", 'stop = [0.05, "far"]', "line 5: stop='far' is not allowed"),
        ("stop = [0.05, inf]", "stop = [-0.05]", "line 5: stop=-0.05 is not allowed"),
        ("horizon = [", "horizon = [3, ", "line 7: horizon=3 is not allowed; give durations with a unit"),
        ("n_paths = 6000", "n_paths = 0.5", "line 9: n_paths=0.5 is not allowed; give a whole number in [1, "),
        ("seed = 4", "seed = 4\nrel_error = 3", "line 11: rel_error=3 is not allowed; give a number in (0, 0.1]"),
        ("seed = 4", 'seed = 4\nabs_error.p_win = 3', "line 11: abs_error: 'p_win' is not a variable"),
        ("seed = 4", "seed = 4\nerror_at.leverage = 5", "line 11: error_at={'leverage': 5} needs a target"),
        ("seed = 4", "seed = -4", "line 10: seed=-4 is not allowed"),
        ("sigma = [0.5, 0.9]", "sigma = []", "line 14: sigma=[] in [model] is an empty axis"),
        ("sigma = [0.5, 0.9]", "sigma = [0.5, -1]", "line 14: GBM: sigma=-1.0 is not allowed"),
        ("sigma = [0.5, 0.9]", "sigma = 1\n[[model]]\nkind = 'gbm'\nsigma = 2", "15: two models are called 'gbm'"),
        ("sigma = [0.5, 0.9]", "sigma = 1\nnu = 3", "line 15: key 'nu' in [model] is unknown"),
        ("vol = 3e-4", "vol = [3e-4]", "line 19: vol=[0.0003] is not allowed; give a number"),
        ("vol = 3e-4", "vol = -3e-4", "line 16: OUPremium: vol=-0.0003 is not allowed"),
        ("vol = 3e-4", "vola = 3e-4", "line 19: key 'vola' in [premium] is unknown; did you mean 'vol'?"),
        ('mean = 1e-4\n', "", "line 16: key 'mean' in [premium] is missing"),
        ('"deribit-btc-perpetual"', '"deribit-btc-perp"', "line 3: venue 'deribit-btc-perp' is unknown; did you mean"),
        ('"deribit-btc-perpetual"', '"binance-usdm-btcusdt"', "line 3: two venues are called 'binance-usdm-btcusdt'"),
        ("[premium]", '[output]\nstores = "x"\n[premium]', "line 17: key 'stores' in [output] is unknown; did"),
        ("seed = 4", "seed = 4\nstart = 7", "line 11: start=7 is not allowed; give a time such as"),
        ("seed = 4", "seed = 4\nseed = 5", "is not TOML"),
        ("seed = 4", 'seed = 4\ninclude = 3', "include=3 is not allowed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    said = refused(tmp_path, text=STUDY.replace(old, new, 1))
    assert message in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("n_paths", "--set='n_paths' is not allowed; give KEY=VALUE"),
        ("model.5.sigma=1", "5 is not a number in 0..0"),
        ("seed.x=1", "seed is not a table"),
        ("n_path=1", "--set n_path: key 'n_path' is unknown; did you mean 'n_paths'?"),
        ("leverage=[]", "--set leverage: leverage is empty"),
        ('venue={id = "cme-mbt", margin_changes = [["2D", -1]]}', "margin_changes=-1.0 is not allowed"),
        ('venue={id = "bitmex-xbtusd", collateral_haircut = 0.1}', "collateral_haircut=0.1 needs a linear contract"),
    ],
)
def test_overrides_that_cannot_be(tmp_path: Path, change: str, message: str) -> None:
    assert message in refused(tmp_path, change)


def test_keys_are_found_whatever_the_layout(tmp_path: Path) -> None:
    text = (
        'venue = [  # a comment with ] and "\n  "bitmex-xbtusd",\n]\ntitle = """\nleverage = 3\n"""\nleverage = 500\n'
        'model.kind = "gbm"\nmodel.sigma = 1\n'
    )
    assert refused(tmp_path, text=text).startswith("study.toml, line 7: leverage=500")


def test_a_resolved_study_is_a_study_and_gives_the_same_bits(tmp_path: Path) -> None:
    text = STUDY + '[assume.deribit-btc-perpetual]\n"fees.taker" = 0.001\n'
    with pytest.raises(lq.ParameterError, match=r"line 20: .*fees.taker is stated already"):
        study_in(tmp_path, text=text)
    spot = 'venue = ["kraken-spot-xbtusd"]\nleverage = 3\nstart = 2026-03-04T15:00:00Z\nstop = inf\n'
    spot += "[assume.kraken-spot-xbtusd]\nfees.taker = 0.0026\nliquidation.hazard = 0.5\n"
    spot += '[model]\npreset = "btc-2025"\n'
    reset = 'leverage = 2\nnotional = 1e6\n[venue.raised]\nid = "cme-mbt"\nmargin_changes = [["10D", 1.3]]\n'
    reset += "collateral_haircut = 0.2\n"
    reset += '[model]\npreset = "btc-2025"\n'
    raised = study_in(tmp_path, text=reset)
    assert raised.plan.venues["raised"].margin_changes == (("10D", 1.3),)
    assert raised.plan.venues["raised"].collateral_haircut == 0.2
    for study in (study_in(tmp_path), study_in(tmp_path, text=spot), raised):
        again = study_from(json.loads(json.dumps(study.resolved)), "a store")
        assert again.resolved == study.resolved
        assert again.plan.inputs() == study.plan.inputs()
        assert again.keys == study.keys


def test_a_stored_study_reads_no_files(tmp_path: Path) -> None:
    resolved = study_in(tmp_path).resolved
    write(tmp_path, "secret = 1", "private.toml")
    for venue in ("bitmex-xbtusd", {"a": {"file": str(tmp_path / "private.toml")}}, {"a": "private.toml"}, None):
        with pytest.raises(lq.StoreError, match="does not hold its venues"):
            study_from({**resolved, "venue": venue}, "a store")


def test_differences_are_named(tmp_path: Path) -> None:
    mine = study_in(tmp_path, "model.0.sigma=[0.5, 0.8]", "seed=5", "premium.vol=2e-4").resolved
    theirs = study_in(tmp_path).resolved
    assert differences(theirs, theirs) == []
    assert differences(mine, theirs) == [
        "seed: 4 -> 5",
        'model[1].label: "gbm sigma=0.9" -> "gbm sigma=0.8"',
        "model[1].sigma: 0.9 -> 0.8",
        "premium.vol: 0.0003 -> 0.0002",
    ]
    changed = json.loads(json.dumps(theirs))
    label = "deribit-btc-perpetual"
    changed["venue"][label]["toml"] = changed["venue"][label]["toml"].replace("BTC", "XBT", 1)
    (found,) = differences(changed, theirs)
    assert found.startswith(f"venue.{label}.toml: rules of the venue: -")


def test_dry_run_says_what_it_will_cost_and_simulates_nothing(tmp_path: Path) -> None:
    result = run("sweep", write(tmp_path), "--dry-run", "--out", tmp_path / "x.zarr", "--threads", 2)
    assert result.exit_code == 0, result.output
    assert "cells     128 = 2 models x 2 venues x 2 notionals x 2 horizons x 2 sides x 2 leverages x 2 stops" in (
        result.output
    )
    assert "passes    12 of 6,000 paths each, 7.2e+04 in all" in result.output  # 31 h is on Deribit's hourly grid only
    assert "deribit-btc-perpetual: the premium at the stamp stands for its average" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.toml"]


def test_the_estimate_of_time_is_of_the_right_size(tmp_path: Path) -> None:
    import time

    study = study_in(tmp_path, "threads=1", "n_paths=2e4")
    guess = estimate(study).seconds
    begun = time.perf_counter()
    lq.sweep(**study.arguments, threads=1)
    assert 0.2 < guess / (time.perf_counter() - begun) < 5  # other work on the machine slows either


def test_a_grid_beyond_memory_is_refused_with_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * 10**9)
    stops = ", ".join(f"{x:.6f}" for x in np.linspace(0.01, 0.9, 3000))
    leverages = ", ".join(f"{x:.6f}" for x in np.linspace(1, 9, 1000))
    text = STUDY.replace("[0.05, inf]", f"[{stops}]").replace("[5, 10]", f"[{leverages}]")
    result = run("sweep", write(tmp_path, text), "--out", tmp_path / "x.zarr")
    assert result.exit_code == 2
    assert "make 96,000,000 cells, which need " in result.stderr
    assert "GB of memory, and 2 GB are free; shorten an axis" in result.stderr or "TB of memory" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.toml"]


def test_a_study_that_is_not_there() -> None:
    with pytest.raises(lq.ParameterError, match=r"absent.toml' cannot be read: No such file"):
        read_study("absent.toml")
