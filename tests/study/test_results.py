"""What a result says of itself, its repetition, its tables, and how a run is watched."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim._core import available_levels
from liqsim.results import fingerprint
from liqsim.study import open_store, rerun, run_study
from liqsim.study.export import export_table, rounded
from liqsim.study.resolve import Study

sys.path.insert(0, str(Path(__file__).parent))
from studies import command, run, study_in, write


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_in(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def store(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    run_study(study, path, netcdf=path.with_name("a.nc"))
    return path


def provenance(ds: xr.Dataset) -> dict[str, Any]:
    return json.loads(ds.attrs["provenance"], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


# provenance


def test_the_record_holds_what_repeats_the_numbers(study: Study, store: Path) -> None:
    record = provenance(open_store(store))
    assert record["schema"] == 2
    assert record["version"] == lq.__version__
    assert record["study"] == study.resolved
    for label, venue in study.plan.venues.items():
        assert record["inputs"]["venue"][label]["hash"] == venue.hash
    assert {"git", "seed", "n_paths", "instruction_set", "platform", "elapsed_seconds", "fingerprint"} <= set(record)


def test_the_fingerprint_is_of_the_numbers(store: Path) -> None:
    ds = open_store(store).load()
    stamp = provenance(ds)["fingerprint"]
    assert fingerprint(ds) == stamp == fingerprint(xr.load_dataset(store.with_name("a.nc")))
    other = ds.copy(deep=True)
    other.pnl.values.flat[3] = np.nextafter(other.pnl.values.flat[3], 1)
    assert fingerprint(other) != stamp
    assert fingerprint(ds.assign_coords(leverage=[5.0, 11.0])) != stamp


def test_every_result_is_stamped() -> None:
    model = lq.GBM(0.5)
    for ds in (
        lq.sweep(model, "bitmex-xbtusd", leverage=5, n_paths=50),
        lq.first_passage(model, [0.9], n_paths=50),
        lq.compare_venues(model, ["bitmex-xbtusd"], leverage=5, n_paths=50),
    ):
        assert provenance(ds)["fingerprint"] == fingerprint(ds)


def test_inspect(store: Path) -> None:
    said = run("inspect", store)
    assert said.exit_code == 0, said.output
    assert (
        "two venues: 128 cells = 2 model x 2 venue x 2 notional x 2 horizon x 2 side x 2 leverage x 2 stop"
        in said.output
    )
    assert "finished" in said.output
    assert provenance(open_store(store))["fingerprint"] in said.output
    assert json.loads(run("inspect", store, "--json").output)["study"]["seed"] == 4
    assert run("inspect", store.with_name("a.nc")).exit_code == 0
    assert run("inspect", store.with_name("b.nc")).exit_code == 2


def test_changed_numbers_are_noticed(store: Path, tmp_path: Path) -> None:
    ds = xr.load_dataset(store.with_name("a.nc"))
    ds.pnl.values.flat[0] += 1e-12
    ds.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    said = run("inspect", tmp_path / "b.nc")
    assert said.exit_code == 3
    assert "not those that its fingerprint was made of" in said.stderr
    again = run("rerun", tmp_path / "b.nc", "--check", "--no-progress")
    assert again.exit_code == 3
    assert again.stderr.startswith("differs: pnl\n")


# again


def test_rerun(study: Study, store: Path, tmp_path: Path) -> None:
    again = rerun(store, threads=1)
    assert again.differing == ()
    assert fingerprint(again.dataset) == provenance(open_store(store))["fingerprint"]
    result = run("rerun", store.with_name("a.nc"), "--check", "--out", tmp_path / "b.nc", "--no-progress")
    assert result.exit_code == 0, result.output
    assert "every bit agrees" in result.output
    assert fingerprint(xr.load_dataset(tmp_path / "b.nc")) == fingerprint(again.dataset)
    assert run("rerun", store).exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("level", available_levels())
def test_rerun_on_other_instructions_and_threads(store: Path, level: str) -> None:
    process = command("rerun", store, "--check", "--threads", 3, "--no-progress", LIQSIM_ISA=level)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "every bit agrees" in output
    assert f", {level}, " in output.split("now: ")[1]


def test_rerun_takes_the_rules_of_the_result(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the files that ship say today."""
    run_study(study, tmp_path / "a.nc")
    monkeypatch.setattr("liqsim.study.resolve.venue_file", lambda id: pytest.fail("a shipped file was read"))
    assert rerun(tmp_path / "a.nc").differing == ()


@pytest.mark.slow
def test_report_of_a_store(store: Path, tmp_path: Path) -> None:
    assert run("report", store, "--out", tmp_path / "r.html").exit_code == 0


# tables


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (0.2558437, 0.0013797, ("0.2558", "0.0014")),
        (0.2558437, 0.00996, ("0.256", "0.010")),
        (1.0, 0.5, ("1.00", "0.50")),
        (-12.345, 1.96, ("-12.3", "2.0")),
        (987654.0, 12345.0, ("988000", "12000")),
        (0.5, 0.0, ("0.5", "")),
        (3e-9, 1.24e-10, ("0.00000000300", "0.00000000012")),
        (0.05, np.inf, ("0.05", "inf")),
    ],
)
def test_rounding(value: float, error: float, shown: tuple[str, str]) -> None:
    assert rounded(value, error) == shown


def test_tables_hold_the_numbers_within_their_rounding(store: Path) -> None:
    ds = open_store(store)
    table = export_table(ds, "md", columns="leverage", select={"side": "long", "venue": "deribit-btc-perpetual"})
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    assert rows[0] == ["model", "notional", "horizon", "stop", "leverage=5", "leverage=10"]
    assert len(rows) == 2 + 16
    labels = {"5D": 0, "31h": 1}
    checked = 0
    for model, notional, horizon, stop, *cells in rows[2:]:
        for leverage, cell in zip((5, 10), cells, strict=True):
            at = ds.p_liquidation.sel(model=model, notional=float(notional), side="long", leverage=leverage)
            at = at.sel(stop=np.inf if stop == "none" else float(stop), venue="deribit-btc-perpetual")
            p = float(at.isel(horizon=labels[horizon]))
            if "±" in cell:
                shown, se = (float(x) for x in cell.split("±"))
                assert abs(shown - p) <= 0.06 * se
                assert se == pytest.approx((p * (1 - p) / 6000) ** 0.5, rel=0.06)
                checked += 1
            else:
                assert (p, cell) == (0.0, "< 0.0005")
    assert checked >= 4


def test_csv_holds_all_digits(store: Path) -> None:
    ds = open_store(store)
    rows = list(csv.DictReader(io.StringIO(export_table(ds, "csv", variables=["pnl", "liquidation_price"]))))
    assert len(rows) == 128
    assert [float(row["pnl"]) for row in rows] == ds.pnl.values.reshape(-1).tolist()
    assert [float(row["pnl, se"]) for row in rows] == ds.pnl_se.values.reshape(-1).tolist()
    assert "liquidation_price, se" not in rows[0]


def test_latex(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.tex"
    result = run("export", store, "--tex", "--columns", "leverage", "--sel", "side=short", "--var", "p_liquidation",
                 "--var", "pnl", "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    text = out.read_text()
    lines = text.splitlines()
    assert "\\begin{tabular}{lllllrrrr}" in text
    assert "p\\_liquidation, leverage=5" in text
    assert "$\\pm$" in text
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert len(body) == 32
    assert all(line.count(" & ") == 8 and line.endswith(" \\\\") for line in body)


def test_no_stop_is_chosen_as_a_study_writes_it(tmp_path: Path) -> None:
    run("sweep", write(tmp_path), "--set", "stop=[0.05, inf]", "--out", tmp_path / "a.zarr")
    words = ("--columns", "leverage", "--sel", "side=long", "--md")
    tables = [run("export", tmp_path / "a.zarr", *words, "--sel", f"stop={text}") for text in ("inf", "none")]
    assert tables[0].exit_code == 0
    assert tables[0].output == tables[1].output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--var", "p_win"], "--var p_win is not in the result; it holds p_liquidation"),
        (["--columns", "price"], "--columns price is not a dimension of it; those are model, venue"),
        (["--sel", "side=up"], "--sel side=up is not in the result; it has short, long"),
        (["--sel", "price=3"], "--sel price=3: the result has the dimensions"),
        (["--sel", "side"], "--sel side is not allowed; give DIM=VALUE"),
    ],
)
def test_tables_that_cannot_be(store: Path, words: list[str], message: str) -> None:
    result = run("export", store, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_cite(store: Path) -> None:
    said = run("cite", store)
    assert said.exit_code == 0
    assert f"version = {{{lq.__version__}}}" in said.output
    assert provenance(open_store(store))["fingerprint"][:16] in said.output
    assert run("cite").exit_code == 0


# watching


def test_plain_lines_where_no_one_looks_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liqsim.cells._LINE_SECONDS", 0.0)
    result = run("sweep", write(tmp_path), "--out", tmp_path / "a.zarr")
    lines = result.stderr.splitlines()
    assert len(lines) >= 12
    assert all(line.startswith("simulating: ") and "paths/s" in line and "\r" not in line for line in lines)
    assert lines[-1].startswith("simulating: 100% of 7.2e+04 paths")
    assert any(" left" in line for line in lines[:-1])


def test_the_log_is_json_lines(tmp_path: Path) -> None:
    result = run("sweep", write(tmp_path), "--out", tmp_path / "a.zarr", "--log", tmp_path / "logs" / "a.log")
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in (tmp_path / "logs" / "a.log").read_text().splitlines()]
    assert all({"time", "level", "event"} <= set(record) for record in records)
    assert {record["event"] for record in records} == {"begun", "checkpoint", "finished"}
    last = [record for record in records if record["event"] == "checkpoint"][-1]
    assert last["paths"] == last["of"] == 72_000


@pytest.mark.parametrize(("option", "value"), [("--checkpoint", 0), ("--checkpoint", 1e9), ("--log", "/dev/null/x")])
def test_options_that_cannot_be(tmp_path: Path, option: str, value: object) -> None:
    result = run("sweep", write(tmp_path), "--out", tmp_path / "a.zarr", option, value)
    assert result.exit_code == 2
    assert option in result.stderr


def test_the_store_that_the_study_names(tmp_path: Path) -> None:
    text = write(tmp_path).read_text() + '[output]\nstore = "out/a.zarr"\nnetcdf = "out/a.nc"\n'
    assert run("sweep", write(tmp_path, text), "--no-progress", "--set", "n_paths=500").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.nc", "a.zarr"]
