"""The example reproduces what is published, and the study of many cells stays small."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import liqsim as lq
from liqsim.study import open_store

sys.path.insert(0, str(Path(__file__).parent))
from studies import run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

PUBLISHED = {"no jumps": 0.26061, "intensity 3": 0.25584}
"""P(max X >= 0.3 within a year): S. G. Kou and H. Wang (2003), Adv. Appl. Probab. 35, numerical example."""


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_first_passage_from_study_to_latex(tmp_path: Path) -> None:
    example = module(EXAMPLES / "first_passage.py")
    example.main(tmp_path, ["n_paths=100_000"])
    study = lq.study.read_study(EXAMPLES / "first_passage.toml")
    ds = open_store(tmp_path / "first_passage.zarr")
    table = list(example.rows(ds, study.plan.models))
    assert len(table) == 9
    assert max(abs(z) for *_, z in table) < 4
    text = (tmp_path / "first_passage.tex").read_text()
    assert text.count(" \\\\") == 10
    assert "intensity 3 & 0.3 & 0.25584 & 0.25584 & 0.2" in text
    result = run("export", tmp_path / "first_passage.zarr", "--tex", "--var", "p_stop", "--columns", "stop")
    assert result.output.count("$\\pm$") == 9


@pytest.mark.parametrize("label", PUBLISHED)
def test_the_study_is_the_published_one(label: str) -> None:
    """Exact values for the study's own parameters, to the digits that were printed."""
    model = lq.study.read_study(EXAMPLES / "first_passage.toml").plan.models[label]
    assert model.log_drift == pytest.approx(0.1, abs=1e-15)
    exact = lq.analytic.first_passage_probability(model, math.exp(0.3), "365D")
    assert round(float(exact), 5) == PUBLISHED[label]


MANY = """
import sys
sys.path.insert(0, {benchmarks!r})
import studies
studies.cells(2_000, 2)
"""


@pytest.mark.slow
def test_ten_thousand_cells_stay_small(tmp_path: Path) -> None:
    """Memory does not depend on the number of paths, so a few show what a million need."""
    pytest.importorskip("matplotlib", reason='pictures need pip install "liqsim[report]"')
    done = subprocess.run(
        [sys.executable, "-c", MANY.format(benchmarks=str(ROOT / "benchmarks"))],
        capture_output=True,
        text=True,
        check=True,
    )
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line[:1].isalpha())
    assert said["cells"].startswith("10,000 in 100 passes")
    value, unit = done.stdout.split("peak memory")[1].split()[:2]
    assert unit == "MB"
    assert float(value) < 1000
