"""Shipped counts and fits: they repeat, and need nothing but the package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from liqsim import presets
from liqsim.calibrate import compare, fit
from liqsim.errors import CalibrationError, ParameterError
from liqsim.models import GBM, Kou, Merton

NAMES = ("btc-2017-2019", "btc-2020-2021", "btc-2025", "eth-2018-2019", "eth-2020-2021", "eth-2025")
KINDS = {"gbm": GBM, "merton": Merton, "kou": Kou}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "make_return_counts.py"
    if not path.exists():
        pytest.skip("tools/ is not part of this installation")
    spec = importlib.util.spec_from_file_location("make_return_counts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_names() -> None:
    assert presets.list() == NAMES
    assert set(json.loads(files("liqsim.presets").joinpath("fits.json").read_text())["fits"]) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_cited_and_complete(name: str) -> None:
    counts = presets.counts(name)
    hours = np.datetime64(counts.window[1][:-1]) - np.datetime64(counts.window[0][:-1])
    expected = hours // np.timedelta64(1, "h") + 1
    assert expected - 250 < counts.n <= expected
    assert counts.source in counts.citation
    assert "github.com/" in counts.citation
    assert counts.asset.startswith(name[:3].upper())
    assert 0.3 < counts.annual_volatility < 1.2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_stored_fits_are_usable(name: str, kind: str) -> None:
    result = presets.fit(name, kind)
    assert result.converged
    assert result.n_obs == presets.counts(name).n
    assert set(result.se) == set(result.params)
    assert isinstance(presets.model(name, kind), KINDS[kind])
    assert presets.model(name, kind).total_drift == 0
    assert presets.model(name, kind, drift="fitted") == result.model
    assert presets.model(name, kind, drift=0.25).total_drift == 0.25


@pytest.mark.parametrize("name", NAMES)
def test_kou_fits_best(name: str) -> None:
    table = compare(presets.fit(name, kind) for kind in KINDS)
    assert [result.model.name for result in table.results] == ["kou", "merton", "gbm"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_fits_repeat(name: str, kind: str) -> None:
    stored, again = presets.fit(name, kind), fit(kind, presets.counts(name))
    assert again.data_id == stored.data_id
    assert again.loglik == pytest.approx(stored.loglik, abs=1e-3)
    for parameter, se in stored.se.items():
        assert abs(again.params[parameter] - stored.params[parameter]) < 1e-3 * se
        assert again.se[parameter] == pytest.approx(se, rel=1e-3)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(CalibrationError, match=r"'btc-2021' is unknown; did you mean 'btc-20.*eth-2025"):
        presets.counts("btc-2021")
    with pytest.raises(CalibrationError, match=r"'\?\?' is unknown; known are btc-2017-2019"):
        presets.model("??")
    with pytest.raises(CalibrationError, match=r"model 'cou' is unknown; did you mean 'kou'"):
        presets.fit("btc-2025", "cou")
    with pytest.raises(ParameterError, match=r"drift='zero' is not allowed"):
        presets.model("btc-2025", drift="zero")


def test_counts_repeat_from_the_bars(shared: Path, tool: ModuleType) -> None:
    written = tool.as_text(tool.count_all(shared / "data"))
    assert written == files("liqsim.presets").joinpath("return_counts.json").read_text("utf-8")


def test_the_bars_are_those_cited(shared: Path) -> None:
    stored = json.loads(files("liqsim.presets").joinpath("return_counts.json").read_text("utf-8"))
    for name, digest in stored["sha256"].items():
        assert hashlib.sha256((shared / "data" / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
def test_fits_repeat_from_the_tool(tool: ModuleType) -> None:
    stored = json.loads(files("liqsim.presets").joinpath("return_counts.json").read_text("utf-8"))
    first, second = (tool.as_text(tool.fit_all(stored)) for _ in range(2))
    assert first == second
