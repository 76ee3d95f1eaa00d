"""Each benchmark is imported and run once at tiny sizes, so that none can rot; times mean nothing here."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import compare
import coverage
import evaluators
import gains
import machine
import scaling
import throughput
from peers import PEERS
from peers.problem import PROBLEMS, W1, W2, liqsim_answer, run_liqsim

THREADS = min(2, machine.cores())


def test_throughput():
    result = throughput.measure(1024)
    assert len(result["rows"]) == 4 * len(machine.describe()["instruction_sets"])
    assert all(row["seconds"] > 0 for row in result["rows"])


def test_evaluators(tmp_path, capsys):
    page = tmp_path / "bench" / "evaluators.md"
    rows = evaluators.main(["--paths", "512", "--repeats", "1", "--out", str(page)])
    assert len(rows) == len(evaluators.CASES) * len(machine.describe()["instruction_sets"])
    for row in rows:  # nearly every position is carried, or, where it has to fall below in an hour, nearly half
        least = 0.35 if row.case.startswith("called") else 0.9
        assert least * 2 * evaluators.ROWS < row.alive_per_path <= 2 * evaluators.ROWS
    assert capsys.readouterr().out.rstrip("\n") in page.read_text()


def test_coverage(tmp_path, capsys):
    page = tmp_path / "bench" / "coverage.md"
    rows = coverage.main(["--replications", "2", "--out", str(page)])
    assert len(rows) == 5 * 3 + 2 + 2 + 3 + 1 + 2
    assert capsys.readouterr().out.rstrip("\n") in page.read_text()


def test_gains(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gains, "MODELS", {"GBM": gains.MODELS["GBM, sigma 0.6"]})
    monkeypatch.setattr(gains, "HORIZONS", ("7D",))
    page = tmp_path / "bench" / "gains.md"
    rows, spreads = gains.main(["--paths", "6400", "--repeats", "1", "--out", str(page)])
    assert len(rows) == 1
    assert [spread.variable for spread in spreads] == list(gains.VARIABLES)
    assert spreads[0].median > 5  # ratios of variances do not depend on the machine
    assert capsys.readouterr().out.rstrip("\n") in page.read_text()


@pytest.mark.slow
def test_intervals_cover_what_they_say():
    """Of 400 intervals 95 % hold the exact value, within four standard errors; conservative ones hold it oftener."""
    n = 400
    slack = 4 * np.sqrt(0.95 * 0.05 / n)
    for row in coverage.measure(n):
        if row.interval == "normal" and row.exact < 1e-3 and row.what.startswith("probability"):
            continue  # ten hits: this one is here to show that it fails
        most = 1.0 if row.interval in ("clopper-pearson", "order statistics") else 0.95 + slack
        assert 0.95 - slack < row.covered <= most, row


def test_machine_names_what_a_time_depends_on():
    found = machine.describe()
    assert found["processor"]
    assert list(found["kernels"]) == found["instruction_sets"]
    assert found["numpy"] == np.__version__
    assert all("-O3" in flags for flags in found["flags"].values())
    assert machine.as_lines(found)[0].startswith("- ")


def test_problem_is_the_same_for_liqsim_and_its_peers():
    for problem in PROBLEMS.values():
        assert problem.log_drift == pytest.approx(problem.model.log_drift, rel=1e-12)
    assert np.all(np.diff(W1.margins) > 0)
    assert np.all(np.diff(W1.log_stops) < 0)


def test_largest_z():
    one, other = np.array([0.5, 0.0]), np.array([0.6, 0.0])
    pooled = 0.55
    assert compare.largest_z(one, 100, other, 100) == pytest.approx(0.1 / np.sqrt(pooled * (1 - pooled) * 0.02))


@pytest.mark.parametrize(
    "key", [k if k.startswith("numpy") else pytest.param(k, marks=pytest.mark.slow) for k in PEERS]
)
def test_peer_agrees(key):
    peer = PEERS[key]
    if peer.missing:
        pytest.skip(peer.missing)
    n_paths = 4000
    simulate = peer.load()
    for name in peer.problems:
        problem = replace(PROBLEMS[name], funding=peer.funding and PROBLEMS[name].funding)
        if name != "GBM":  # 10 days are enough
            problem = replace(problem, intervals=30)
        found = simulate(problem, n_paths, 3, 1 if peer.threads == "one" else THREADS)
        ds = run_liqsim(problem, n_paths, side="long", monitoring=peer.monitoring, threads=THREADS)
        ours = liqsim_answer(ds)
        for field in ("p_liquidation", "p_stop"):
            z = compare.largest_z(getattr(found, field), n_paths, getattr(ours, field), n_paths)
            assert z < compare.MOST_Z, f"{key} {name} {field}: z = {z:.2f}"
        assert np.all(found.p_liquidation + found.p_stop <= 1 + 1e-12)


def test_looking_hourly_is_biased_low():
    always = liqsim_answer(run_liqsim(W2, 4000, side="long", threads=THREADS)).p_liquidation
    hourly = liqsim_answer(run_liqsim(W2, 4000, side="long", threads=THREADS, monitoring="1h")).p_liquidation
    assert hourly[0, -1] < always[0, -1]


@pytest.mark.slow
def test_compare(tmp_path, capsys):
    result = compare.main(["--quick", "--paths", "2000", "--no-scaling", "--out", str(tmp_path)])
    assert json.loads((tmp_path / "compare.json").read_text())["times"]
    assert (tmp_path / "compare.md").read_text() == capsys.readouterr().out.rstrip("\n") + "\n"
    assert (tmp_path / "compare.png").stat().st_size > 10_000
    assert all(row["agrees"] for row in result["agreement"])


def test_compare_refuses_to_time_those_who_disagree(monkeypatch):
    wrong = {"problem": "W1", "name": "somebody", "agrees": False}
    monkeypatch.setattr(compare, "agree", lambda n_paths, threads: [wrong])
    with pytest.raises(SystemExit, match="somebody"):
        compare.measure(1000, 0.01, 1, (1,), False, True)


@pytest.mark.slow
def test_scaling():
    axes = scaling.measure(quick=True)["axes"]
    assert set(axes) == {"paths", "cells", "intervals", "threads", "memory"}
    small, large = (row["MiB"] for row in axes["memory"])
    assert abs(large - small) < 0.2 * small
