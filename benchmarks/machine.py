"""What a measured time depends on: processor, instruction sets, compiler, flags, versions, load."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import liqsim as lq
from liqsim._core import available_levels, kernel_module

LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "xarray", "jax", "QuantLib", "stochastic-rs")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = {
        key: re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        for key in ("model name", "cpu family", "model", "cpu MHz")
    }
    name, family, model, clock = (match.group(1).strip() if match else "?" for match in found.values())
    return f"{name} (family {family}, model {model}, {clock} MHz)"


def _compiler() -> str:
    command = [*shlex.split(os.environ.get("CC") or "cc"), "--version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "none found"


def _flags() -> dict[str, str]:
    """Compiler flags of each instruction-set level, as setup.py has them; empty outside the source tree."""
    setup = Path(__file__).resolve().parents[1] / "setup.py"
    if not setup.exists():
        return {}
    values: dict[str, Any] = {}
    for node in ast.parse(setup.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("STRICT", "LEVELS"):
                values[name] = ast.literal_eval(node.value)
    if len(values) < 2:
        return {}
    return {level: " ".join([*values["STRICT"], *extra]) for level, extra in values["LEVELS"].items()}


def kernels() -> dict[str, str]:
    """A hash of each level's kernel on disk, all of them loaded first: tells builds apart."""
    found = {}
    for level in available_levels():
        file = importlib.import_module(f"liqsim._core.kernel_{level}").__file__
        found[level] = hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()[:12]
    return found


def _built_by() -> str:
    """Compiler that built the kernel in use."""
    made = re.findall(rb"(?:GCC: |clang version )[^\0\n]{3,80}", Path(str(kernel_module().__file__)).read_bytes())
    return made[0].decode(errors="replace") if made else "an unknown compiler"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def describe() -> dict[str, Any]:
    """All of it, ready for JSON."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction_sets": list(available_levels()),
        "compiler": _compiler(),
        "flags": _flags(),
        "built_by": _built_by(),
        "kernels": kernels(),
        "python": platform.python_version(),
        "liqsim": lq.__version__,
        **{name: _version(name) for name in LIBRARIES},
    }


def as_lines(machine: dict[str, Any]) -> list[str]:
    """The same as lines of Markdown."""
    flags = machine["flags"].get(machine["instruction_sets"][-1], "unknown")
    libraries = ", ".join(f"{name} {machine[name]}" for name in LIBRARIES if machine[name] != "absent")
    return [
        f"- {machine['processor']}, {machine['cores']} cores, {machine['system']}; instruction sets "
        f"{', '.join(machine['instruction_sets'])}",
        f"- {machine['compiler']}; kernel built by {machine['built_by']} with `{flags}`",
        f"- Python {machine['python']}, liqsim {machine['liqsim']}, {libraries}",
    ]
