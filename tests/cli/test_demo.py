"""The demo: real returns to figures and a report, and what happens on the way out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import liqsim as lq
from liqsim.cli import main
from liqsim.demo import (
    COMPARED_LEVERAGES,
    DEMO_ASSUMED,
    DEMO_PREMIUM,
    DEMO_VENUES,
    LEVERAGES,
    STOPS,
    allowed_leverages,
    run_demo,
)
from liqsim.report import load_result, record_of


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def result(out: Path) -> Result:
    return CliRunner().invoke(main, ["demo", "--out", str(out), "--paths", "4000", "--seed", "3"])


def test_it_prints_fits_limits_and_the_first_table(result: Result) -> None:
    assert result.exit_code == 0, result.output
    for part in (
        "6,552 log returns over 1h: BTC/USDT spot",
        "btcusdt_binance_mark_last_spot_1h_2025_01_09.csv.gz",
        "eta_down",
        "AIC - best",
        "P(liquidation) at or below a level, no stop",
        "kraken-pi-xbtusd, short",
        "P(stop)",
        "seed 3",
        "exact first-passage probability",
        "The same 3x long, venue by venue",
        "deribit-btc-perpetual",
        "insurance fund, then socialised loss",
        "Left out: bybit-btcusdt",
        "coinbase-bip: margin.maintenance_share = 0.8",
        "bitmex-xbtusd is closed.",
        "report.html",
    ):
        assert part in result.stdout, part
    assert "simulating" in result.stderr
    assert "100%" in result.stderr


def test_it_writes_result_figures_and_report(result: Result, out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [
            "result.nc",
            "venues.nc",
            "report.html",
            "cliff.png",
            "venues.png",
            "venues_cliff.png",
            "returns.png",
            *[f"p_liquidation_{v.replace('-', '_')}_{side}.png" for v in DEMO_VENUES for side in ("long", "short")],
        ]
    )
    for path in out.glob("*.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"
    page = (out / "report.html").read_text("utf-8")
    assert "<title>Liquidation risk</title>" in page
    assert "The same leverage, venue by venue" in page
    assert "Long at 3x" not in page  # that is in the picture
    assert "The same long position at 3x on every venue" in page
    assert "liquidation.hazard = 0.5" in page


def test_the_comparison_is_that_of_the_assumptions_named(result: Result, out: Path) -> None:
    ds = load_result(out / "venues.nc")
    model = record_of(load_result(out / "result.nc")).fits["kou"].model_with(drift=0.0)
    again = lq.compare_venues(
        model,
        premium=DEMO_PREMIUM,
        leverage=COMPARED_LEVERAGES,
        notional=100_000,
        price=77_835,
        assume=DEMO_ASSUMED,
        n_paths=4000,
        seed=3,
    )
    xr.testing.assert_equal(ds, again)
    for named in ("cme-mbt", "coinbase-bip", "kraken-pf-xbtusd", "kraken-spot-xbtusd", "bitmex-xbtusd"):
        assert bool(ds.is_allowed.sel(venue=named, leverage=3))


def test_result_is_the_sweep_and_opens_with_plain_xarray(result: Result, out: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_dataset(out / "result.nc") as ds:
            ds.load()
    assert dict(ds.sizes) == {"venue": 2, "side": 2, "leverage": 12, "stop": 10}
    record = record_of(ds)
    assert record.counts == lq.presets.counts("btc-2025")
    for name, fit in record.fits.items():
        stored = lq.presets.fit("btc-2025", name)
        for parameter, value in fit.params.items():
            # a thousandth of an error beside the fit that was stored
            assert abs(value - stored.params[parameter]) < 1e-3 * stored.se[parameter], (name, parameter)
    again = lq.sweep(
        record.fits["kou"].model_with(drift=0.0),
        list(DEMO_VENUES),
        premium=DEMO_PREMIUM,
        leverage=LEVERAGES,
        stop=STOPS,
        notional=100_000,
        n_paths=4000,
        seed=3,
        threads=1,
    )
    xr.testing.assert_equal(ds, again)
    assert all(abs(row.z) < 4.5 for row in record.check)


@pytest.mark.slow
def test_dataset_in_memory_equals_the_file(tmp_path: Path) -> None:
    made = run_demo(tmp_path, n_paths=1000, venues=["kraken-pf-xbtusd@2026-03-01"], preset="eth-2025")
    with xr.open_dataset(tmp_path / "result.nc") as ds:
        xr.testing.assert_identical(ds.load(), made.dataset)
    xr.testing.assert_identical(load_result(tmp_path / "venues.nc"), made.comparison)
    assert made.files[0] == tmp_path / "result.nc"
    assert all(path.is_file() for path in made.files)


@pytest.mark.slow
def test_own_bars(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    prices = 3000 * np.exp(np.cumsum(0.006 * rng.standard_t(4, 1500)))
    times = np.datetime64("2025-01-01T00:00", "m") + 60 * np.arange(1500)
    data = tmp_path / "bars.csv"
    data.write_text("time,last\n" + "".join(f"{t},{p:.2f}\n" for t, p in zip(times, prices, strict=True)))
    out = tmp_path / "out"
    arguments = ["demo", "--data", data, "--column", "last", "--out", out, "--paths", 1000, "--no-progress"]
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert "1,499 log returns over 1h: bars.csv" in result.stdout
    assert f"at {round(prices[-1], 2):,.10g} " in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--preset", "btc-2026"], 2, "'btc-2026' is not one of btc-2017-2019"),
        (["--venue", "kraken"], 3, "venue 'kraken' is unknown"),
        (["--data", "absent.csv"], 3, "No such file"),
        (["--paths", "0"], 2, "n_paths=0 is not allowed"),
        (["--seed", "-1"], 2, "seed=-1 is not allowed"),
        (["--threads", "0"], 2, "threads=0 is not allowed"),
        (["--venue", "bybit-btcusdt"], 3, "no source states margin.tiers; give it: load_venue"),
    ],
)
def test_it_refuses(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_leverages_are_what_every_venue_allows() -> None:
    venues = {name: lq.load_venue(name) for name in ("binance-usdm-btcusdt", "kraken-pi-xbtusd", "cme-btc")}
    assert allowed_leverages([venues["binance-usdm-btcusdt"], venues["kraken-pi-xbtusd"]], 60_000.0) == list(LEVERAGES)
    assert allowed_leverages(list(venues.values()), 60_000.0) == [2, 3, 4, 5]
    whole = lq.Venue.from_tiers([(0, None, 0.5, 1.5)])
    with pytest.raises(lq.MarginRuleError, match=r"allow at most 1\.5x together .*; choose other venues"):
        allowed_leverages([whole], 60_000.0)


def signals_of(pid: int) -> str:
    """Signals that a process and its threads have pending, block, ignore and catch, where the system tells."""
    tasks = sorted(Path(f"/proc/{pid}/task").glob("*/status"))
    return "; ".join(
        " ".join(line for line in path.read_text().splitlines() if line.startswith(("Name", "Pid", "Sig", "ShdPnd")))
        for path in tasks
    )


@pytest.mark.slow
def test_ctrl_c_ends_within_two_seconds_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "liqsim", "demo", "--out", str(out), "--paths", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Simulating"):
                    break
            time.sleep(1.0)
            begun = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            try:
                _, errors = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                pytest.fail(f"still running 30 s after SIGINT; {signals_of(process.pid)}")
            assert time.monotonic() - begun < 2.0
        finally:
            process.kill()
    assert process.returncode == 4
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not out.exists()
