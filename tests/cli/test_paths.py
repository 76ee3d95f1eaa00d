"""``liqsim replay``, ``liqsim explain`` and ``liqsim config``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import liqsim as lq
from liqsim.cli import main
from liqsim.report import save_result


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], env=environment)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    model = lq.Kou(sigma=0.5, intensity=200, p_up=0.45, eta_up=30, eta_down=28)
    return lq.sweep(
        model, ["bitmex-xbtusd", "hyperliquid-btc"], premium=lq.OUPremium(1e-4, "8h", 3e-4), leverage=[5, 10, 20],
        stop=[0.05, np.inf], horizon="10D", n_paths=300, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result(ds: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_result(ds, tmp_path_factory.mktemp("results") / "result.nc")


CELL = ("--venue", "hyperliquid-btc", "--side", "long", "--leverage", 20, "--stop", "inf")


@pytest.mark.parametrize("command", ["replay", "explain", "config"])
def test_help_shows_an_example(command: str) -> None:
    text = run(command, "--help").output
    assert "Example" in text
    assert f"liqsim {command}" in text
    assert command in run("--help").output


def test_a_path_in_words(ds: xr.Dataset, result: Path) -> None:
    done = run("replay", result, "--path", 7, "--venue", "bitmex-xbtusd")
    assert done.exit_code == 0, done.output
    path = lq.replay(ds.sel(venue="bitmex-xbtusd"), path=7)
    assert "· path 7" in done.output
    assert f"price 60,000 to {path.mark[-1].item():,.0f} USD" in done.output
    assert f"{(path.event == 'jump').sum().item()} jumps, 30 funding payments" in done.output
    cell = path.sel(side="long", leverage=5, stop=np.inf)
    (line,) = [line for line in done.output.splitlines() if line.startswith("long   none        5x")]
    assert line.split()[3:] == [
        cell.outcome.item(), f"{cell.exit_time.item():.2f}", f"{cell.exit_price.item():,.0f}",
        f"{1e4 * cell.pnl.item():.1f}", f"{1e4 * cell.funding_cost.item():.1f}", f"{1e4 * cell.fees.item():.1f}",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["worst", "median", "first_liquidated"])
def test_a_search_a_figure_and_a_file(ds: xr.Dataset, result: Path, tmp_path: Path, how: str) -> None:
    done = run("replay", result, f"--{how.replace('_', '-')}", *CELL, "--out", tmp_path / "path.nc", "--figure",
               tmp_path / "path.png", "--no-progress", "--threads", 1)  # fmt: skip
    assert done.exit_code == 0, done.output
    cell = ds.sel(venue="hyperliquid-btc", side="long", leverage=20, stop=np.inf)
    mine = lq.replay(cell, **{how: True})
    assert f"· path {int(mine.path):,}\nthe {mine.attrs['picked']}" in done.output
    saved = xr.load_dataset(tmp_path / "path.nc", engine="h5netcdf")
    np.testing.assert_array_equal(saved.x, mine.x)
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")
    if how == "first_liquidated":
        assert "liquidation  long       20x  all open" in done.output or "cut          long" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path", 0], "RESULT holds 2 values of venue, bitmex-xbtusd, hyperliquid-btc; a path is of one: --venue"),
        (["--venue", "okx"], "--venue 'okx' is not in the result; it holds bitmex-xbtusd, hyperliquid-btc"),
        (["--venue", "bitmex-xbtusd", "--leverage", "7"], "--leverage '7' is not in the result; it holds 5.0, 10.0"),
        (["--venue", "bitmex-xbtusd", "--stop", "none"], "--stop 'none' is not a number"),
        (["--venue", "bitmex-xbtusd", "--horizon", "10"], "horizon='10' cannot be read"),
        (["--venue", "bitmex-xbtusd"], "give one of path, worst, median, first_liquidated"),
        (["--venue", "bitmex-xbtusd", "--path", -1], "path=-1 is not allowed"),
        (["--venue", "bitmex-xbtusd", "--worst", "--side", "long"], "RESULT holds 3 values of leverage, 5.0, 10.0"),
        (["--venue", "bitmex-xbtusd", "--path", 0, "--figure", "x.png"], "--figure draws one side"),
        (["--venue", "bitmex-xbtusd", "--path", 0, "--figure", "x.doc"], "must end in .png, .pdf or .svg"),
    ],
)
def test_what_cannot_be_done_is_said(result: Path, arguments: list[object], message: str) -> None:
    done = run("replay", result, *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert done.output.count("\n") == 1


CONFIG = """
venue = ["kraken-pi-xbtusd", "hyperliquid-btc"]
leverage = [5, 10]
n_paths = 2000
[model]
kind = "gbm"
sigma = 0.6
"""


def test_explain(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(CONFIG)
    done = run("explain", path, "--threads", 1)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("runs            2 of 2,000 paths for 8 cells, on 1 thread\n")
    assert "hyperliquid-btc: carried positions: the venue cuts a position in rounds" in done.output
    found = json.loads(run("explain", path, "--paths", 10**8, "--json").output)
    assert found["n_paths"] == 10**8
    assert [r["evaluator"] for r in found["runs"]] == ["shared records", "carried positions"]


def test_config() -> None:
    done = run("config")
    assert done.exit_code == 0
    assert done.output.startswith(f"liqsim       {lq.__version__}\n")
    found = json.loads(run("config", "--json", LIQSIM_ISA="v9").output)
    assert found["kernel"]["selected"].startswith("none: LIQSIM_ISA='v9' is not a level; choose one of base, v3, v4")
    assert found["environment"]["LIQSIM_ISA"] == "v9"


@pytest.mark.parametrize("command", ["sweep", "explain"])
def test_an_unknown_instruction_set_is_one_line_and_exit_code_2(tmp_path: Path, command: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(CONFIG)
    extra = ["--no-progress", "--out", tmp_path / "r.nc"] if command == "sweep" else []
    done = run(command, path, *extra, LIQSIM_ISA="v9")
    assert done.exit_code == 2
    assert f" {command}: LIQSIM_ISA='v9' is not a level; choose one of base, v3, v4 (available here" in done.output
    assert done.output.count("\n") == 1
    assert not (tmp_path / "r.nc").exists()
