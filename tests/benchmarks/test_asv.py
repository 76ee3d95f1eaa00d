"""Every asv benchmark is found and called once with every parameter; times mean nothing here."""

import importlib
import inspect
import itertools
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "asv"
sys.path.insert(0, str(FOLDER))

MODULES = [importlib.import_module(f"layers.{name}") for name in ("kernel", "engine", "front")]
PREFIXES = ("time_", "peakmem_", "mem_", "track_")


def axes(group):
    """Parameters of a class as asv reads them: a flat sequence is one axis."""
    params = getattr(group, "params", ())
    return params if not params or isinstance(params[0], (tuple, list)) else (params,)


def calls():
    for module in MODULES:
        for name, group in inspect.getmembers(module, inspect.isclass):
            if group.__module__ == module.__name__ and not name.startswith("_"):
                assert len(getattr(group, "param_names", ())) == len(axes(group)), name
                methods = [m for m in dir(group) if m.startswith(PREFIXES)]
                assert methods, f"{name} measures nothing"
                for values in itertools.product(*axes(group)):
                    for method in methods:
                        yield pytest.param(group, method, values, id="-".join([name, method, *map(str, values)]))


@pytest.mark.parametrize(("group", "method", "values"), list(calls()))
def test_benchmark_runs(group, method, values):
    one = group()
    try:
        if hasattr(one, "setup"):
            one.setup(*values)
        getattr(one, method)(*values)
    except NotImplementedError as why:  # asv's way to leave one out
        pytest.skip(str(why))
    finally:
        if hasattr(one, "teardown"):
            one.teardown(*values)


def test_configuration():
    configured = json.loads((FOLDER / "asv.conf.json").read_text("utf-8"))
    assert (FOLDER / configured["benchmark_dir"] / "__init__.py").is_file()
    assert (FOLDER / configured["repo"] / "pyproject.toml").is_file()
    assert {path.stem for path in (FOLDER / "layers").glob("*.py")} == {
        "__init__", "workloads", *(module.__name__.partition(".")[2] for module in MODULES)
    }  # fmt: skip
