"""What a bug report needs to know: versions, the kernel's builds, processor, threads."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any, Literal, overload

from liqsim._core import available_levels, level_states, selected_level
from liqsim._version import __version__
from liqsim.engine.run import available_threads
from liqsim.errors import LiqsimError, ParameterError

__all__ = ["config_text", "show_config"]

_NEEDED = ("numpy", "scipy", "xarray", "h5netcdf", "h5py", "zarr", "fsspec", "click", "tqdm", "msgspec", "tzdata")
_OPTIONAL = ("matplotlib", "jinja2", "ccxt", "dask", "distributed")


@overload
def show_config(mode: Literal["print"] = "print") -> None: ...
@overload
def show_config(mode: Literal["dict"]) -> dict[str, Any]: ...
def show_config(mode: Literal["print", "dict"] = "print") -> dict[str, Any] | None:
    """Show versions, builds of the kernel, processor and threads, for a bug report.

    Parameters
    ----------
    mode : {"print", "dict"}
        Print a table, or return the same as plain values.

    Returns
    -------
    dict or None
        ``liqsim``, ``python``, ``system``, ``processor``, ``processors`` (those that this process may use, and all),
        ``kernel`` (level selected, or why none; state, compiler, flags and file of every level), ``environment``
        (variables that matter), ``packages``.

    Raises
    ------
    ParameterError
        If the mode is neither.

    Notes
    -----
    It works where a simulation would not: a level that cannot be had is shown with the reason.

    Examples
    --------
    >>> import liqsim as lq
    >>> sorted(lq.show_config("dict")["kernel"]["levels"])
    ['base', 'v3', 'v4']
    """
    if mode not in ("print", "dict"):
        raise ParameterError(f'mode={mode!r} is not allowed; give "print" or "dict"')
    found = _config()
    if mode == "dict":
        return found
    print(config_text(found))
    return None


def config_text(config: dict[str, Any]) -> str:
    """The configuration as a table."""
    kernel = config["kernel"]
    lines = [
        ("liqsim", config["liqsim"]),
        ("python", config["python"]),
        ("system", config["system"]),
        ("processor", f"{config['processor']}; {config['processors'][0]} of {config['processors'][1]} processors"),
        ("kernel", kernel["selected"]),
    ]
    for name, level in kernel["levels"].items():
        lines.append((f"  {name}", level["state"]))
        lines += [("", f"{key}: {level[key]}") for key in ("compiler", "flags", "file") if level.get(key)]
    lines += [("environment", f"{name}={value}") for name, value in config["environment"].items()]
    lines += [(name, version) for name, version in config["packages"].items()]
    return "\n".join(f"{name:<12} {value}".rstrip() for name, value in lines)


def _config() -> dict[str, Any]:
    try:
        selected = selected_level()
    except LiqsimError as error:
        selected = f"none: {error}"
    return {
        "liqsim": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": _processor(),
        "processors": [available_threads(), os.cpu_count() or 1],
        "kernel": {
            "selected": selected,
            "levels": {name: _level(name, state) for name, state in level_states().items()},
        },
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith("LIQSIM_")},
        "packages": {name: _version(name) for name in (*_NEEDED, *_OPTIONAL)},
    }


def _level(name: str, state: str) -> dict[str, str]:
    found = {"state": state}
    if name in available_levels():  # another would end the process at its first instruction
        module = importlib.import_module(f"liqsim._core.kernel_{name}")
        found |= {"compiler": module.COMPILER, "flags": module.BUILD_FLAGS, "file": str(module.__file__)}
    return found


def _processor() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
