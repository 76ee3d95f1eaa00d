"""The sanitizer script says why it runs nothing where the compiler has no sanitizer."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "sanitize.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("sanitize", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("asked", ["address,undefined", "thread"])
@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_a_compiler_without_sanitizers(script, monkeypatch, capsys, compiler, asked):
    monkeypatch.setenv("CC", compiler)
    assert script.main([asked]) == 0
    assert f"skipped: {compiler} cannot build with -fsanitize={asked.split(',')[0]}" in capsys.readouterr().out


def test_what_is_run_exists(script):
    for options in script.TESTS.values():
        for name in (name for name in options if name.startswith("tests/")):
            assert (script.ROOT / name).exists()
