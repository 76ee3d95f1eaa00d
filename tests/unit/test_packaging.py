"""What is shipped and what is promised about it: dependencies, versions, the source archive and the wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import liqsim as lq

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def bounds(requirements):
    """``["numpy>=2.0"]`` -> ``{"numpy": ">=2.0"}``; extras of liqsim itself are left out."""
    pairs = (re.fullmatch(r"([A-Za-z0-9_.-]+)(\[[\w,]+\])?(.*)", text.strip()).group(1, 3) for text in requirements)
    return {name.lower(): bound for name, bound in pairs if name != "liqsim"}


def conda_requirements():
    lines = (REPOSITORY / "environment.yml").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("  - ") for line in lines[lines.index("dependencies:") + 1 :] if line.startswith("  - ")]


def test_environment_is_the_twin_of_the_project(project):
    meta = project["project"]
    extras = meta["optional-dependencies"]
    expected = {
        "python": meta["requires-python"],
        "c-compiler": "",
        "pip": "",
        **bounds(project["build-system"]["requires"]),
        **bounds(meta["dependencies"]),
        **bounds(extras["report"]),
        **bounds(extras["lab"]),
    }
    found = conda_requirements()
    assert found.pop() == "pip:"
    assert bounds(found) == expected
    assert len(found) == len(set(found)) == len(expected)


def test_every_dependency_has_a_lower_bound(project):
    meta = project["project"]
    lists = [project["build-system"]["requires"], meta["dependencies"], *meta["optional-dependencies"].values()]
    for name, bound in (pair for group in lists for pair in bounds(group).items()):
        assert re.fullmatch(r">=\d+(\.\d+)*", bound), name


def test_what_is_imported_is_declared(project):
    declared = {*bounds(project["project"]["dependencies"])}
    for extra in ("report", "cluster"):
        declared |= {*bounds(project["project"]["optional-dependencies"][extra])}
    standard = sys.stdlib_module_names | {"liqsim"}
    imported = set()
    for path in Path(lq.__file__).parent.rglob("*.py"):
        imported |= set(re.findall(r"^ *(?:from|import) (\w+)", code_of(path), flags=re.MULTILINE))
    assert imported - standard <= declared


def code_of(path):
    """The file without its docstrings and examples."""
    return re.sub(r'"""(?:.|\n)*?"""', "", path.read_text(encoding="utf-8"))


def test_version_is_said_alike(project):
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(a|b|rc|dev|post)\d+)?", lq.__version__)
    assert "version" in project["project"]["dynamic"]
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, flags=re.MULTILINE)[1] == lq.__version__
    licence = re.search(r"^license: (\S+)$", citation, flags=re.MULTILINE)[1]
    assert licence == project["project"]["license"]


def test_changelog_has_this_version():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^##.*\b{re.escape(lq.__version__)}\b", changelog, flags=re.MULTILINE)


def test_files_that_the_metadata_names_are_there(project):
    meta = project["project"]
    for pattern in [meta["readme"], *meta["license-files"]]:
        assert list(REPOSITORY.glob(pattern)), pattern
    for target in meta["scripts"].values():
        module = Path(*target.partition(":")[0].split("."))
        assert (REPOSITORY / module).with_suffix(".py").is_file() or (REPOSITORY / module / "__init__.py").is_file()


BUILD = """
import os, sys
from setuptools import build_meta
os.chdir(sys.argv[2])
print(getattr(build_meta, f"build_{sys.argv[1]}")(sys.argv[3]))
"""


def build(kind, source, target):
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, source, target],
        env={**os.environ, "LIQSIM_BUILD_ISA": "base", "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The source archive, built from a clean copy."""
    pytest.importorskip("Cython", reason="building needs Cython")
    pytest.importorskip("setuptools", reason="building needs setuptools")
    if not (REPOSITORY / "setup.py").is_file():
        pytest.skip("not a source tree")
    folder = tmp_path_factory.mktemp("archive")
    junk = shutil.ignore_patterns(".*", "build", "dist", "out", "*.egg-info", "__pycache__", "*.so", "*.c")
    shutil.copytree(REPOSITORY, folder / "source", ignore=junk)
    return build("sdist", folder / "source", folder)


@pytest.mark.slow
def test_source_archive_is_whole(archive):
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {"setup.py", "pyproject.toml", "environment.yml", "Makefile", "README.md", "LICENSE", "CITATION.cff"}
    wanted |= {"CHANGELOG.md", "liqsim/py.typed"}
    for pattern in ("pyx/**/*.p??", "liqsim/**/*.py", "liqsim/**/*.toml", "liqsim/**/*.json", "tests/**/*.py"):
        wanted |= {path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob(pattern)}
    assert wanted <= names
    assert not {name for name in names if name.endswith((".so", ".pyc", ".nc", ".o"))}


@pytest.mark.slow
def test_source_archive_builds_a_wheel(archive, tmp_path):
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    target = tmp_path / "wheel"
    target.mkdir()
    with zipfile.ZipFile(build("wheel", source, target)) as wheel:
        names = set(wheel.namelist())
    package = REPOSITORY / "liqsim"
    wanted = {"liqsim/py.typed"}
    for pattern in ("**/*.py", "**/*.toml", "**/*.json", "report/*.html"):
        wanted |= {f"liqsim/{path.relative_to(package).as_posix()}" for path in package.glob(pattern)}
    assert wanted <= names
    assert any(re.fullmatch(r"liqsim/_core/kernel_base\..*\.(so|pyd)", name) for name in names)
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/", "tools/", "build/", "pyx/"))}
