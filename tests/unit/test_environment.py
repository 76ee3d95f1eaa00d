"""``lq.show_config``: what a bug report shows, whatever is wrong."""

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import pytest

import liqsim as lq
from liqsim import _core, environment

REPOSITORY = Path(__file__).parents[2]


def test_it_says_what_there_is():
    config = lq.show_config("dict")
    assert config["liqsim"] == lq.__version__
    assert config["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert config["processors"][0] >= 1
    kernel = config["kernel"]
    assert kernel["selected"] == _core.selected_level()
    for name in _core.available_levels():
        level = kernel["levels"][name]
        assert level["state"] == "available"
        assert re.search(r"GCC|Clang|MSVC|unknown", level["compiler"])
        assert "-O3" in level["flags"] or "MSVC" in level["compiler"]
        assert Path(level["file"]).is_file()
    json.dumps(config)


def test_it_prints_a_table(capsys):
    assert lq.show_config() is None
    text = capsys.readouterr().out
    for word in ("liqsim ", "python", "system", "processor", "kernel", "  base", "flags: ", "numpy"):
        assert word in text
    assert text == environment.config_text(lq.show_config("dict")) + "\n"


@pytest.mark.parametrize("asked", ["v9", "avx2"])
def test_it_works_where_a_simulation_would_not(monkeypatch, capsys, asked):
    monkeypatch.setenv("LIQSIM_ISA", asked)
    lq.show_config()
    text = capsys.readouterr().out
    assert f"none: LIQSIM_ISA='{asked}' is not a level; choose one of base, v3, v4" in text
    assert f"LIQSIM_ISA={asked}" in text


def test_levels_that_cannot_be_had_say_why(monkeypatch):
    monkeypatch.setattr(_core, "_processor_levels", lambda: ("base",))
    monkeypatch.setattr(_core, "_built", lambda level: level != "v3")
    levels = lq.show_config("dict")["kernel"]["levels"]
    assert levels["base"]["state"] == "available"
    assert levels["v3"] == {"state": "not built here"}
    assert levels["v4"]["state"].startswith("not supported by this ")
    assert "flags" not in levels["v4"]
    monkeypatch.setattr(_core, "_built", lambda level: False)
    assert "no compiled kernel was found" in lq.show_config("dict")["kernel"]["selected"]


def test_other_modes_are_refused():
    with pytest.raises(lq.ParameterError, match='mode=\'dicts\' is not allowed; give "print" or "dict"'):
        lq.show_config("dicts")


def test_every_dependency_is_shown():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[><=\[ ]", item)[0] for item in project["dependencies"]}
    assert set(environment._NEEDED) == needed
