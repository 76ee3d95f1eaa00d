"""The shape of the house: who may import whom, what an import costs, how long a file may be, what is documented."""

import ast
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import resources
from pathlib import Path

import pytest

import liqsim as lq

PACKAGE = Path(lq.__file__).parent
REPOSITORY = Path(__file__).parents[2]

FOUNDATION = {"errors", "durations", "_version"}
RULES = FOUNDATION | {"models", "venues", "positions", "orders"}
RESULTS = {"variables", "estimates", "results"}
SIMULATION = RULES | RESULTS | {
    "_core", "stats", "engine", "arguments", "stopping", "histograms", "outputs", "cells", "planning",
    "approximations", "sweep", "passages", "compare", "rebuild", "path_results", "replay", "explain",
    "environment",
}  # fmt: skip
FITS = FOUNDATION | {"models", "calibrate", "presets"}
PARTS = {  # part of the package: the other parts that it may import
    "errors": set(),
    "_version": set(),
    "durations": {"errors"},
    "stats": {"errors"},
    "_core": {"errors"},
    "models": {"errors", "durations"},
    "venues": {"errors", "durations", "models"},
    "positions": {"errors", "durations", "models", "venues"},
    "orders": {"errors", "durations", "models", "venues", "positions"},
    "engine": RULES | {"_core", "stats"},
    "reference": RULES | {"engine"},
    "variables": set(),
    "estimates": RULES | {"stats", "engine", "variables"},
    "results": RULES | {"_core", "engine", "variables"},
    "arguments": RULES | {"engine"},
    "stopping": RULES | {"engine", "stats"},
    "fixed_levels": RULES | {"engine", "arguments"},
    "control": RESULTS | RULES | {"engine", "stats", "arguments", "analytic", "fixed_levels"},
    "importance": RESULTS | RULES | {"engine", "stats", "control"},
    "histograms": set(),
    "outputs": RESULTS | RULES | {"engine", "stats", "arguments", "histograms"},
    "cells": RESULTS | RULES | {"engine", "arguments", "stopping", "fixed_levels", "control", "importance"},
    "approximations": RULES | {"engine", "arguments", "cells"},
    "planning": RESULTS | RULES | {"engine", "arguments", "stopping", "outputs", "cells"},
    "sweep": RULES
    | RESULTS
    | {"_core", "stats", "engine", "arguments", "stopping", "control", "importance", "outputs", "cells"}
    | {"planning"},
    "passages": RESULTS | RULES | {"engine", "arguments", "stopping", "control", "importance", "cells"},
    "compare": RESULTS | RULES | {"engine", "arguments", "stopping", "cells"},
    "order_statistics": {"stats"},
    "inverse": SIMULATION - RESULTS - {"_core", "compare"} | {"order_statistics"},
    "perturbation": RULES | {"engine", "arguments", "cells"},
    "sensitivity": RESULTS | RULES | {"stats", "arguments", "cells", "perturbation"},
    "smoothing": RESULTS | RULES | {"engine", "planning", "analytic", "perturbation"},
    "intervals": RESULTS | {"errors", "stats"},
    "store": RESULTS | FOUNDATION | {"engine"},
    "files": RESULTS | FOUNDATION | {"store"},
    "study": SIMULATION | FITS | {"store", "files"},
    "rebuild": FOUNDATION | {"models", "venues"},
    "path_results": RESULTS | RULES | {"engine", "arguments", "cells"},
    "replay": RESULTS | RULES | {"engine", "arguments", "cells", "planning", "sweep", "rebuild", "path_results"},
    "environment": {"errors", "_version", "_core", "engine"},
    "explain": RESULTS | RULES | {"_core", "engine", "arguments", "cells", "approximations", "planning", "sweep"},
    "analytic": {"errors", "durations", "models"},
    "calibrate": {"errors", "durations", "models"},
    "presets": {"errors", "durations", "models", "calibrate"},
    "plot": SIMULATION | FITS | {"analytic"},
    "report": SIMULATION | FITS | {"analytic", "plot", "files"},
    "demo": SIMULATION | FITS | {"analytic", "plot", "report", "files"},
    "cli": SIMULATION | FITS | {"analytic", "plot", "report", "demo", "store", "study", "files"},
    "__main__": {"cli"},
}
MAY_IMPORT_XARRAY = {
    "results",
    "intervals",
    "inverse",
    "sensitivity",
    "smoothing",
    "sweep",
    "passages",
    "path_results",
    "replay",
    "planning",
    "store",
    "files",
    "study",
    "compare",
    "plot",
    "report",
    "demo",
    "cli",
}
LONGEST_FILE = 600


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def part(module):
    """``liqsim.venues.tiers`` belongs to ``venues``; the package's own face to the empty part."""
    return module.partition(".")[2].partition(".")[0]


def imports(path, everywhere):
    """Absolute names that a module imports: at its top level, or everywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import in line {node.lineno}; write it out"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def ours(names):
    return {name for name in names if name.split(".")[0] == "liqsim"}


def test_every_part_of_the_package_has_its_rule():
    assert {part(module) for module in MODULES} - {""} <= set(PARTS)


@pytest.mark.parametrize("module", [module for module in MODULES if part(module)])
def test_arrows_point_down(module):
    mine = part(module)
    others = {part(name) for name in ours(imports(MODULES[module], everywhere=True))} - {mine}
    assert others <= PARTS[mine], f"{module} must not import {sorted(others - PARTS[mine])}"


def test_the_rules_themselves_have_no_circle():
    tuple(TopologicalSorter(PARTS).static_order())


def test_no_module_imports_itself_through_others():
    graph = {module: ours(imports(path, everywhere=False)) - {module} for module, path in MODULES.items()}
    tuple(TopologicalSorter(graph).static_order())


def test_only_the_upper_floors_know_xarray():
    guilty = {
        module
        for module, path in MODULES.items()
        for name in imports(path, everywhere=True)
        if name.split(".")[0] == "xarray" and part(module) not in MAY_IMPORT_XARRAY
    }
    assert not guilty


def test_the_kernel_knows_no_names_and_no_files():
    for path in sorted((REPOSITORY / "pyx").rglob("*.p??")):
        names = re.findall(r"^\s*(?:from|c?import)\s+([\w.]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        allowed = ("numpy", "cython", "libc.", "liqsim._core.")
        assert all(name.startswith(allowed) for name in names), f"{path.name} imports {sorted(set(names))}"


def modules_after(statement):
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_stays_light():
    """What is slow to import waits for its first use."""
    added = modules_after("import liqsim") - modules_after("import numpy, scipy.special, xarray, msgspec")
    heavy = {"matplotlib", "dask", "distributed", "jinja2", "IPython", "ipywidgets", "numba", "click", "tqdm"}
    assert not {name.split(".")[0] for name in added} & heavy
    late = ("scipy.optimize", "scipy.stats", "scipy.interpolate", "liqsim.plot", "liqsim.report", "liqsim.cli")
    assert not {name for name in added if name.startswith(late)}


def sources():
    for root in (PACKAGE, REPOSITORY / "pyx"):
        for path in sorted(root.rglob("*.p*")):
            if path.suffix in (".py", ".pyi", ".pyx", ".pxd"):
                yield pytest.param(path, id=str(path.relative_to(root.parent)))


@pytest.mark.parametrize("path", list(sources()))
def test_no_file_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def public_functions():
    spaces = [lq, lq.analytic, lq.calibrate, lq.presets]
    found = {f"{space.__name__}.{name}": getattr(space, name) for space in spaces for name in space.__all__}
    return {name: item for name, item in found.items() if inspect.isroutine(item)}


def sections(doc):
    """Titles that are underlined with dashes -> their text."""
    pieces = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(doc), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


@pytest.mark.parametrize("name", public_functions())
def test_public_functions_are_documented(name):
    function = public_functions()[name]
    assert function.__doc__, f"{name} has no docstring"
    first = function.__doc__.strip().splitlines()[0]
    assert first.endswith((".", ":")), f"{name}: {first!r}"
    found = sections(function.__doc__)
    parameters = inspect.signature(function).parameters
    if parameters:
        lines = found["Parameters"].splitlines()
        named = {w.lstrip("*") for line in lines if line[:1].strip() for w in re.split(r"[,\s]+", line.split(":")[0])}
        assert named >= set(parameters), f"{name}: {sorted(set(parameters) - named)} not described"
        assert "Returns" in found, f"{name}: what does it return?"


@pytest.mark.parametrize(
    "name", ["sweep", "compare_venues", "replay", "explain", "first_passage", "liquidation_price", "load_venue"]
)
def test_the_front_door_says_what_it_raises_and_shows_how(name):
    found = sections(getattr(lq, name).__doc__)
    assert {"Parameters", "Returns", "Raises", "Examples"} <= set(found)


def test_public_classes_are_documented():
    for name in lq.__all__:
        item = getattr(lq, name)
        if inspect.isclass(item):
            assert item.__doc__, name
            if not issubclass(item, Exception):
                assert "Parameters" in sections(item.__doc__), name


def test_all_is_true_and_sorted():
    assert len(set(lq.__all__)) == len(lq.__all__)
    for name in lq.__all__:
        assert hasattr(lq, name)


def test_types_are_shipped():
    assert (resources.files("liqsim") / "py.typed").is_file()
