"""Extensions only; metadata lives in pyproject.toml.

The kernel is one Cython source built once per instruction-set level, as separate modules that are chosen at
import. ``LIQSIM_BUILD_ISA=base`` (or a comma-separated list) limits the build; ``LIQSIM_SANITIZE=address,undefined``
builds with sanitizers, the kernel's debug build: it works on raw pointers, which no Cython directive checks.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCE = Path("pyx/liqsim/_core/kernel.pyx")
STRICT = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fno-strict-aliasing"]
LEVELS = {
    "base": [],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mtune=icelake-server", "-mprefer-vector-width=512"],
}
# GCC stops inlining once a file has grown by so much, and a loop with a call in it is not vectorised.
INLINE = ["--param=inline-unit-growth=1000", "--param=large-function-growth=10000"]
SANITIZE = os.environ.get("LIQSIM_SANITIZE", "")


def compiler_accepts(flags):
    """Whether the C compiler that setuptools will call builds an empty file with these flags."""
    compiler = (os.environ.get("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("int probe(int x) { return x; }\n")
        command = [*compiler, *flags, "-c", str(source), "-o", str(Path(folder, "probe.o"))]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


def levels():
    """Instruction-set levels to build here: the baseline always, the others where compiler and CPU family allow."""
    asked = os.environ.get("LIQSIM_BUILD_ISA")
    if asked:
        chosen = [level.strip() for level in asked.split(",")]
        unknown = set(chosen) - set(LEVELS)
        if unknown:
            raise SystemExit(f"LIQSIM_BUILD_ISA={asked!r}: unknown {sorted(unknown)}; choose from {list(LEVELS)}")
        return chosen
    if sys.platform == "win32" or platform.machine().lower() not in ("x86_64", "amd64"):
        return ["base"]
    return [level for level, flags in LEVELS.items() if compiler_accepts(flags)]


def extension(level):
    """One build of the kernel: a copy of the source under the level's module name."""
    module = f"kernel_{level}"
    folder = Path("build/isa/liqsim/_core")
    folder.mkdir(parents=True, exist_ok=True)
    flags = []
    if sys.platform != "win32":
        flags = STRICT + (INLINE if compiler_accepts(INLINE) else []) + LEVELS[level]
    if SANITIZE:
        flags = [*flags, "-O1", "-g", f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
    source = folder / f"{module}.pyx"
    text = f"{SOURCE.read_text()}\n\nBUILD_FLAGS = {' '.join(flags)!r}\n"
    if not source.exists() or source.read_text() != text:  # other flags are another source, and build anew
        source.write_text(text)
    return Extension(
        f"liqsim._core.{module}",
        [str(source)],
        extra_compile_args=flags,
        extra_link_args=[f"-fsanitize={SANITIZE}"] if SANITIZE else [],
        include_dirs=[str(SOURCE.parent)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=[str(path) for path in SOURCE.parent.glob("*.[ph]*")],
    )


setup(
    ext_modules=cythonize(
        [extension(level) for level in levels()],
        include_path=["pyx"],
        language_level=3,
        compiler_directives={
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
            "embedsignature": False,
        },
    )
)
