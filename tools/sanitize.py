"""Build the kernel with sanitizers and run its tests: out-of-bounds accesses, undefined behaviour, data races.

    python tools/sanitize.py [address,undefined | thread]

The build is a copy of the package below build/, so that the normal one stays as it is: baseline instruction set only.
A compiler without the sanitizer is not an error; it is said, and nothing is run. A report of a sanitizer is.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "LICENSES", "pyx", "liqsim", "tests")
RUNTIMES = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
OPTIONS = {  # Python keeps much until its end, and was not built with a sanitizer itself
    "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
TESTS = {  # what the kernel does in every case, not how often
    "address,undefined": [
        "tests/reference", "tests/invariance", "tests/unit/test_vmath.py",
        "-k", "equals_twin or blocks or 77 or levels or error",
    ],
    "thread": ["tests/invariance/test_races.py"],
}  # fmt: skip


class Unavailable(Exception):
    """Why the sanitizers cannot be had here."""


def runtimes(sanitizers: list[str]) -> str:
    """Libraries to load before Python."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "probe.c"), Path(folder, "probe.so")
        source.write_text("int probe(int x) { return x + 1; }\n")
        for sanitizer in sanitizers:
            library = RUNTIMES[sanitizer]
            build = [*compiler, f"-fsanitize={sanitizer}", "-shared", "-fPIC", str(source), "-o", str(target)]
            try:
                subprocess.run(build, capture_output=True, check=True)
                ask = [*compiler, f"-print-file-name={library}"]
                path = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
            except (OSError, subprocess.CalledProcessError) as error:
                raise Unavailable(f"{compiler[0]} cannot build with -fsanitize={sanitizer} ({error})") from None
            if not Path(path).is_absolute():  # the name comes back alone where there is no such file
                raise Unavailable(f"{compiler[0]} has no {library}")
            found.append(path)
    loaded = " ".join(found)
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": loaded}
    start = subprocess.run([sys.executable, "-c", ""], env=environment, capture_output=True, text=True, check=False)
    if start.returncode:  # some kernels place memory where a sanitizer wants its own
        raise Unavailable(f"Python does not start with {loaded}: {start.stderr.strip()[:200]}")
    return loaded


def copy(folder: Path) -> None:
    """The sources and the tests as they are now, with their times, so that only what has changed is built again."""
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            if name == "tests":  # none that are gone
                shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sanitizers", nargs="?", choices=list(TESTS), default="address,undefined")
    chosen = parser.parse_args(arguments).sanitizers
    try:
        loaded = runtimes(chosen.split(","))
    except Unavailable as why:
        print(f"skipped: {why}")
        return 0
    folder = ROOT / "build" / f"sanitize-{chosen.replace(',', '-')}"
    copy(folder)
    environment = {**os.environ, "LIQSIM_BUILD_ISA": "base", "LIQSIM_SANITIZE": chosen}
    environment.pop("PYTHONPATH", None)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=folder, env=environment, check=True)
    environment |= {**OPTIONS, "LD_PRELOAD": loaded}
    options = ["-m", "not slow", "-p", "no:cacheprovider", "--capture=sys"]  # reports go past pytest, which they end
    command = [sys.executable, "-m", "pytest", *options, *TESTS[chosen]]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
