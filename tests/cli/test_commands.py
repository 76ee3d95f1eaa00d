"""The command line: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import liqsim as lq
from liqsim.cli import main
from liqsim.cli.base import text_table
from liqsim.cli.studies import EXAMPLE
from liqsim.study import read_study


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def write_bars(path: Path, n: int = 900) -> Path:
    """Hourly bars with fat tails."""
    rng = np.random.default_rng(4)
    prices = 50_000 * np.exp(np.cumsum(0.004 * rng.standard_t(4, n)))
    times = np.datetime64("2025-01-01T00:00", "m") + 60 * np.arange(n)
    path.write_text("time,close\n" + "".join(f"{t},{p:.2f}\n" for t, p in zip(times, prices, strict=True)))
    return path


CONFIG = """
venue = "kraken-pf-xbtusd@2026-03-01"
leverage = [5, 10]
stop = [0.05, inf]
n_paths = 2000
seed = 4
[model]
kind = "gbm"
sigma = 0.6
"""


def write_config(folder: Path, text: str = CONFIG) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "command",
    ["demo", "calibrate", "venues", "price", "sweep", "resume", "rerun", "inspect", "export", "cite", "report"],
)
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"liqsim {command}" in result.output
    assert command in run("--help").output


def test_version_and_module_entry() -> None:
    assert run("--version").output.split()[-1] == lq.__version__
    done = subprocess.run([sys.executable, "-m", "liqsim", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == f"liqsim {lq.__version__}"
    assert done.returncode == 0


def test_unknown_command_and_option_are_usage_errors() -> None:
    assert run("simulate").exit_code == 2
    assert run("sweep", "--speed", 3).exit_code == 2
    assert run("report").exit_code == 2


def test_venues_lists_every_venue() -> None:
    result = run("venues")
    assert result.exit_code == 0
    for name in lq.list_venues():
        assert name in result.output
    row = next(line for line in result.output.splitlines() if line.startswith("kraken-pf-xbtusd"))
    assert "50x" in row
    assert "1 %" in row
    assert "linear BTC/USD" in row
    rows = json.loads(run("venues", "--json").output)
    assert [row["id"] for row in rows] == lq.list_venues()
    bitmex = next(row for row in rows if row["id"] == "bitmex-xbtusd")
    assert bitmex["max_leverage"] == 100
    assert bitmex["maintenance_rate"] == pytest.approx(0.005)
    assert bitmex["status"] == "closed"
    assert bitmex["hash"] == lq.load_venue("bitmex-xbtusd").hash


@pytest.mark.parametrize("name", lq.list_venues())
def test_every_venue_can_be_shown(name: str) -> None:
    result = run("venues", "show", name)
    assert result.exit_code == 0, result.output
    assert lq.load_venue(name).hash in result.output
    assert "Sources" in result.output
    shown = json.loads(run("venues", "show", name, "--json").output)
    assert shown["id"] == name


def test_venue_of_a_date() -> None:
    result = run("venues", "show", "kraken-pf-xbtusd", "--as-of", "2026-05-01")
    assert "rules of 2026-03-01" in result.output
    assert run("venues", "show", "kraken-pf-xbtusd", "--as-of", "yesterday").exit_code == 2


def test_unknown_venue_is_a_data_error_with_a_hint() -> None:
    for command in (("venues", "show", "bitmex"), ("price", "bitmex", "--entry", 1, "--leverage", 1, "--quantity", 1)):
        result = run(*command)
        assert result.exit_code == 3
        assert "did you mean 'bitmex-xbtusd'" in result.stderr
        assert result.stdout == ""


def test_price_of_a_linear_position() -> None:
    result = run("price", "kraken-pf-xbtusd", "--entry", 60000, "--leverage", 10, "--quantity", 2)
    assert result.exit_code == 0
    venue = lq.load_venue("kraken-pf-xbtusd")
    level = lq.liquidation_price(venue, entry_price=60_000, quantity=2, leverage=10)
    assert f"{level:,.2f} USD" in result.output
    assert "54,000.00 USD (-10.000 %)" in result.output
    assert "12,000.00 USD" in result.output
    assert "1,200.00 USD at entry" in result.output


def test_price_of_an_inverse_position_as_json() -> None:
    arguments = ("--side", "short", "--entry", 60000, "--leverage", 25, "--notional", 120_000, "--json")
    values = json.loads(run("price", "kraken-pi-xbtusd", *arguments).output)
    venue = lq.load_venue("kraken-pi-xbtusd")
    position = {"side": "short", "entry_price": 60_000, "quantity": 120_000, "leverage": 25}
    assert values["liquidation_price"] == lq.liquidation_price(venue, **position)
    assert values["bankruptcy_price"] == lq.bankruptcy_price(venue, **position)
    assert values["initial_margin"] == pytest.approx(2 / 25)
    assert values["maintenance_margin"] == pytest.approx(0.02)
    assert values["settlement"] == "BTC"


def test_price_that_nothing_liquidates() -> None:
    result = run("price", "kraken-pi-xbtusd", "--side", "short", "--entry", 60000, "--leverage", 1, "--notional", 1000)
    assert result.exit_code == 0
    assert "no price liquidates the position" in result.output
    values = json.loads(
        run(
            "price",
            "kraken-pi-xbtusd",
            "--side",
            "short",
            "--entry",
            60000,
            "--leverage",
            1,
            "--notional",
            1000,
            "--json",
        ).output
    )
    assert values["liquidation_price"] == "inf"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--leverage", 10), 2, "exactly one of --quantity and --notional"),
        (("--leverage", 10, "--quantity", 1, "--notional", 1), 2, "exactly one of --quantity and --notional"),
        (("--leverage", 200, "--notional", 1000), 2, "leverage=200.0 exceeds 50.0 allowed"),
        (("--leverage", 0, "--notional", 1000), 2, "leverage=0.0 is not allowed"),
        (("--leverage", "ten", "--notional", 1000), 2, "'ten' is not a valid float"),
        (("--leverage", 10, "--notional", 1000, "--as-of", "2020-01-01"), 3, "no snapshot on or before 2020-01-01"),
    ],
)
def test_price_refuses(arguments: tuple[object, ...], code: int, message: str) -> None:
    result = run("price", "kraken-pf-xbtusd", "--entry", 60000, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_calibrate_prints_and_writes_json(tmp_path: Path) -> None:
    path = write_bars(tmp_path / "bars.csv")
    result = run("calibrate", path)
    assert result.exit_code == 0, result.output
    for part in ("899 returns over 1h", "GBM", "Merton", "Kou", "std. error", "AIC", "lq."):
        assert part in result.output
    values = json.loads(run("calibrate", path, "--json").output)
    assert values["data"]["n_returns"] == 899
    assert set(values["fits"]) == {"gbm", "merton", "kou"}
    assert values["fits"][values["best"]]["aic"] == min(fit["aic"] for fit in values["fits"].values())
    sigma, se = values["fits"]["gbm"]["model"]["sigma"], values["fits"]["gbm"]["se"]["sigma"]
    returns = lq.calibrate.load_prices(path).returns
    assert abs(sigma - returns.std() * np.sqrt(8760)) < se


def test_calibrate_refuses_bad_data(tmp_path: Path) -> None:
    missing = run("calibrate", tmp_path / "absent.csv")
    assert missing.exit_code == 3
    assert "No such file" in missing.stderr
    path = write_bars(tmp_path / "bars.csv")
    column = run("calibrate", path, "--column", "last")
    assert column.exit_code == 3
    assert "has no column 'last'; present are time, close" in column.stderr
    lines = path.read_text().splitlines()
    lines[7] = lines[7].split(",")[0] + ",0"
    path.write_text("\n".join(lines))
    zero = run("calibrate", path)
    assert zero.exit_code == 3
    assert "line 8" in zero.stderr


def test_sweep_writes_what_the_function_returns(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "result.nc"
    result = run("sweep", write_config(tmp_path), "--out", out, "--no-progress")
    assert result.exit_code == 0, result.output
    assert "kraken-pf-xbtusd, long" in result.output
    assert "seed 4" in result.output
    assert [path.name for path in out.parent.iterdir()] == ["result.nc"]
    wanted = lq.sweep(
        lq.GBM(sigma=0.6),
        "kraken-pf-xbtusd@2026-03-01",
        leverage=[5, 10],
        stop=[0.05, float("inf")],
        n_paths=2000,
        seed=4,
    )
    with xr.open_dataset(out) as ds:
        xr.testing.assert_equal(ds, wanted)
        assert ds.attrs["seed"] == 4
    assert (
        run("sweep", tmp_path / "grid.toml", "--out", out, "--seed", 5, "--paths", 500, "--no-progress").exit_code == 0
    )
    with xr.open_dataset(out) as ds:
        assert (ds.attrs["seed"], ds.attrs["n_paths"]) == (5, 500)


def test_sweep_shows_a_bar(tmp_path: Path) -> None:
    result = run("sweep", write_config(tmp_path), "--out", tmp_path / "r.nc")
    assert "simulating" in result.stderr
    assert "100%" in result.stderr


def test_example_of_the_help_is_a_valid_study(tmp_path: Path) -> None:
    study = read_study(write_config(tmp_path, EXAMPLE), ["n_paths=500"])
    ds = lq.sweep(**study.arguments)
    assert dict(ds.sizes) == {"venue": 2, "side": 2, "leverage": 6, "stop": 4}
    for line in EXAMPLE.splitlines():
        assert line.split("#")[0].strip() in run("sweep", "--help").output


def test_study_with_several_models_and_a_venue_file(tmp_path: Path) -> None:
    source = Path(lq.venues.__file__).parent / "data" / "kraken-pi-xbtusd_2026-03-17.toml"
    (tmp_path / "mine.toml").write_text(source.read_text())
    text = """
venue = ["mine.toml", "kraken-pf-xbtusd"]
leverage = [5]
[[model]]
kind = "gbm"
sigma = 0.4
[[model]]
preset = "btc-2025"
label = "real"
[[model]]
kind = "merton"
sigma = 0.3
intensity = 10
jump_mean = 0
jump_std = 0.05
drift = 0.1
"""
    arguments = read_study(write_config(tmp_path, text)).arguments
    assert list(arguments["model"]) == ["gbm", "real", "merton"]
    assert arguments["model"]["real"] == lq.presets.model("btc-2025")
    assert arguments["model"]["merton"].drift == 0.1
    assert list(arguments["venue"]) == ["kraken-pi-xbtusd", "kraken-pf-xbtusd"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("leverage =", "leverige ="), 2, "key 'leverige' is unknown; did you mean 'leverage'?"),
        (("sigma = 0.6", "sigm = 0.6"), 2, "key 'sigm' in [model] is unknown; did you mean 'sigma'?"),
        (("sigma = 0.6", ""), 2, "key 'sigma' in [model] is missing"),
        (("sigma = 0.6", "sigma = -1"), 2, "sigma=-1"),
        (('kind = "gbm"', 'kind = "gmb"'), 2, "kind='gmb' in [model] is unknown; did you mean 'gbm'?"),
        (('kind = "gbm"', ""), 2, 'key "kind" in [model] is missing'),
        (('kind = "gbm"\nsigma = 0.6', 'preset = "btc-2026"'), 3, "'btc-2026' is unknown"),
        (("[model]", "[[model]]\nkind = 'gbm'\nsigma = 1\n[[model]]"), 2, "two models are called 'gbm'"),
        (
            ('[model]\nkind = "gbm"\nsigma = 0.6', "model = 3"),
            2,
            "model=3 is not a table; write it as a section [model]",
        ),
        (("leverage = [5, 10]", "leverage = [500]"), 2, "leverage=500.0 exceeds 50.0 allowed"),
        (("leverage = [5, 10]\n", ""), 2, "key 'leverage' is missing"),
        (("leverage = [5, 10]", "leverage = 5 10"), 2, "is not TOML: "),
        (("kraken-pf-xbtusd@2026-03-01", "kraken-pf"), 3, "did you mean 'kraken-pf-xbtusd'"),
        (('"kraken-pf-xbtusd@2026-03-01"', "4"), 2, "venue=4 is not an id or a file name"),
        (("kraken-pf-xbtusd@2026-03-01", "mine.toml"), 2, "venue='mine.toml' is not a file"),
        (("seed = 4", "seed = 4.5"), 2, "seed=4.5 is not allowed"),
        (("n_paths = 2000", "n_paths = 0"), 2, "n_paths=0 is not allowed"),
        (("seed = 4", 'horizon = "30M"'), 2, "horizon='30M'"),
        (("[model]", "[premium]\nmean = 1e-4\nvol = 1e-4\n[model]"), 2, "key 'half_life' in [premium] is missing"),
    ],
)
def test_sweep_refuses_before_any_work(tmp_path: Path, change: tuple[str, str], code: int, message: str) -> None:
    assert change[0] in CONFIG
    out = tmp_path / "result.nc"
    result = run("sweep", write_config(tmp_path, CONFIG.replace(*change)), "--out", out)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stderr.startswith("main sweep: ") or result.stderr.startswith("liqsim sweep: ")
    assert "Traceback" not in result.output
    assert not out.exists()


def test_sweep_without_a_configuration(tmp_path: Path) -> None:
    result = run("sweep", tmp_path / "absent.toml")
    assert result.exit_code == 2
    assert "absent.toml' cannot be read: No such file" in result.stderr


def test_entry_and_top_up_of_a_configuration(tmp_path: Path) -> None:
    text = CONFIG.replace('"kraken-pf-xbtusd@2026-03-01"', '"cme-mbt"').replace("[5, 10]", "[2, 3]")
    path = write_config(tmp_path, "start = 2026-03-04T15:00:00Z\ntop_up = 0.05\nprice = 77_835.0\n" + text)
    result = run("sweep", path, "--out", tmp_path / "r.nc", "--no-progress")
    assert result.exit_code == 0, result.output
    wanted = lq.sweep(
        lq.GBM(sigma=0.6), "cme-mbt", leverage=[2, 3], stop=[0.05, float("inf")], price=77_835, n_paths=2000, seed=4,
        start="2026-03-04T15:00Z", top_up=0.05,
    )  # fmt: skip
    with xr.open_dataset(tmp_path / "r.nc") as ds:
        xr.testing.assert_equal(ds, wanted)


def test_report_of_a_result(tmp_path: Path) -> None:
    out = tmp_path / "result.nc"
    run("sweep", write_config(tmp_path), "--out", out, "--no-progress")
    result = run("report", out, "--title", "My <grid>")
    assert result.exit_code == 0, result.output
    assert "My &lt;grid&gt;" in (tmp_path / "report.html").read_text("utf-8")
    assert run("report", out, "--out", tmp_path / "other.html").exit_code == 0
    assert (tmp_path / "other.html").is_file()
    wrong = run("report", tmp_path / "grid.toml")
    assert wrong.exit_code == 2
    assert "is not a netCDF4 file" in wrong.stderr


def test_ctrl_c_says_so_and_what_is_done_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out" / "result.nc"
    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", interrupted)
        result = run("sweep", write_config(tmp_path), "--out", out, "--no-progress")
    assert result.exit_code == 4
    assert "interrupted: 100.0 % of the paths are saved" in result.stderr
    assert f"liqsim resume {out}" in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in out.parent.iterdir()] == ["result.nc.partial"]
    assert run("resume", out, "--no-progress").exit_code == 0
    assert [path.name for path in out.parent.iterdir()] == ["result.nc"]


def test_our_own_bugs_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", broken)
    result = run("sweep", write_config(tmp_path), "--out", tmp_path / "r.nc", "--no-progress")
    assert isinstance(result.exception, RuntimeError)


def test_missing_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "result.nc"
    run("sweep", write_config(tmp_path), "--out", out, "--no-progress")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("report", out)
    assert result.exit_code == 2
    assert 'pip install "liqsim[report]"' in result.stderr


def test_text_table_aligns() -> None:
    assert text_table(["a", "bb"], [["x", "1"], ["long", "10"]]).splitlines() == ["a     bb", "x      1", "long  10"]


def test_price_takes_what_no_source_states() -> None:
    position = ("price", "coinbase-bip", "--entry", 60000, "--leverage", 2, "--quantity", 1, "--window", "overnight")
    result = run(*position)
    assert result.exit_code == 3
    assert "no source states margin.maintenance_share" in result.stderr
    assert (
        "In a shell, liqsim price and liqsim venues compare take --assume coinbase-bip:margin.maintenance_share=..."
        in result.stderr
    )
    assumed = ("--assume", "coinbase-bip:margin.maintenance_share=0.8")
    values = json.loads(run(*position, *assumed, "--json").output)
    venue = lq.load_venue("coinbase-bip").assume(maintenance_share=0.8)
    known = {"entry_price": 60_000, "quantity": 1, "leverage": 2, "window": "overnight"}
    assert values["liquidation_price"] == lq.liquidation_price(venue, **known)
    assert values["notes"] == ["coinbase-bip: margin.maintenance_share = 0.8 is assumed, no source states it."]
    assert "note: coinbase-bip: margin.maintenance_share = 0.8 is assumed" in run(*position, *assumed).stderr
    result = run(*position, "--assume", "coinbase-etp:margin.maintenance_share=0.8")
    assert result.exit_code == 2
    assert "--assume: 'coinbase-etp' is not asked about; give coinbase-bip:NAME=VALUE" in result.stderr


def test_messages_name_what_a_shell_has(tmp_path: Path) -> None:
    assert "`liqsim venues` in a shell" in run("price", "zz", "--entry", 1, "--leverage", 1, "--quantity", 1).stderr
    assert "CONFIG=" not in run("sweep", tmp_path / "none.toml").stderr
