"""The compiled kernel, built once per instruction-set level and chosen here.

``LIQSIM_ISA=base|v3|v4`` asks for a level; without it the best one that is built and that the processor has is
taken. Every level returns the same bits.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from functools import cache
from pathlib import Path
from types import ModuleType

from liqsim.errors import KernelUnavailable, ParameterError

__all__ = ["ISA_LEVELS", "available_levels", "kernel_module", "level_states", "selected_level"]

ISA_LEVELS = ("base", "v3", "v4")

_NEEDS = {
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


@cache
def _processor_levels() -> tuple[str, ...]:
    """Levels that this processor can run; only the baseline where it cannot be told."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ("base",)
    flags: set[str] = set()
    for line in text.splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            break
    levels = ["base"]
    if _NEEDS["v3"] <= flags:
        levels.append("v3")
        if _NEEDS["v4"] <= flags:
            levels.append("v4")
    return tuple(levels)


@cache
def _load(level: str) -> ModuleType:
    return importlib.import_module(f"liqsim._core.kernel_{level}")


@cache
def _built(level: str) -> bool:
    try:
        return importlib.util.find_spec(f"liqsim._core.kernel_{level}") is not None
    except ImportError:
        return False


def available_levels() -> tuple[str, ...]:
    """Levels that are built and that this processor has, slowest first."""
    return tuple(level for level in _processor_levels() if _built(level))


def level_states() -> dict[str, str]:
    """Of every level, ``"available"`` or why it cannot be used here."""
    lacks = f"not supported by this {platform.machine()} processor"
    return {
        level: "not built here" if not _built(level) else "available" if level in _processor_levels() else lacks
        for level in ISA_LEVELS
    }


def selected_level() -> str:
    """Level that a run would use now.

    Raises
    ------
    ParameterError
        If ``LIQSIM_ISA`` is not one of base, v3, v4.
    KernelUnavailable
        If the level asked for is not built, or the processor lacks it, or no kernel is built at all.
    """
    levels = available_levels()
    if not levels:
        raise KernelUnavailable('no compiled kernel was found; build it with "pip install ." (a C compiler is needed)')
    asked = os.environ.get("LIQSIM_ISA")
    if not asked:
        return levels[-1]
    if asked not in ISA_LEVELS:
        raise ParameterError(
            f"LIQSIM_ISA={asked!r} is not a level; choose one of {', '.join(ISA_LEVELS)} "
            f"(available here: {', '.join(levels)}), or unset it for the best one"
        )
    if asked not in levels:
        raise KernelUnavailable(
            f"LIQSIM_ISA={asked!r} is {level_states()[asked]}; available: {', '.join(levels)}; "
            "or unset it for the best one"
        )
    return asked


def kernel_module() -> ModuleType:
    """The kernel at the selected level."""
    return _load(selected_level())
