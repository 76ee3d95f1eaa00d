"""The compiled layers, on each instruction set: random numbers, elementary functions, blocks of paths."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from contest import LANES
from peers.problem import W1, W2

import liqsim as lq
from liqsim._core import ISA_LEVELS, available_levels, kernel_module

from .workloads import new_tallies, pass_of

HALVED = lq.Liquidation("incremental", "kept", step_fraction=0.5)


class _OnLevel:
    """Benchmarks whose first parameter is an instruction-set level."""

    def setup(self, isa: str, *rest: Any) -> None:
        if isa not in available_levels():
            raise NotImplementedError(f"{isa} is not built, or this processor lacks it")
        self.before = os.environ.get("LIQSIM_ISA")
        os.environ["LIQSIM_ISA"] = isa
        self.module = kernel_module()

    def teardown(self, isa: str, *rest: Any) -> None:
        os.environ.pop("LIQSIM_ISA", None)
        if getattr(self, "before", None) is not None:
            os.environ["LIQSIM_ISA"] = self.before


class RandomNumbers(_OnLevel):
    """Philox, two normals and one logarithm for each path-interval."""

    params = ISA_LEVELS
    param_names = ("isa",)

    def time_block_of_paths(self, isa: str) -> None:
        self.module.random_numbers(4096 // LANES, W1.intervals)


class Elementary(_OnLevel):
    """`vmath` over 65,536 numbers."""

    params = (ISA_LEVELS, ("log", "exp", "sin", "cos", "mills"))
    param_names = ("isa", "function")

    def setup(self, isa: str, function: str) -> None:
        super().setup(isa)
        self.x = np.linspace(1e-3, np.pi / 4, 65_536)

    def time_array(self, isa: str, function: str) -> None:
        self.module.elementary(function, self.x)


class Kernel(_OnLevel):
    """4,096 paths of 30 days: sparse jumps, dense jumps, and positions that live on after a cut."""

    params = (ISA_LEVELS, ("W1", "W2", "cut"))
    param_names = ("isa", "case")

    def setup(self, isa: str, case: str) -> None:
        super().setup(isa)
        self.kernel = pass_of(W2 if case == "W2" else W1, HALVED if case == "cut" else None).kernel()
        self.tallies = new_tallies(self.kernel)
        self.stop = np.zeros(1, dtype=np.int32)

    def time_run(self, isa: str, case: str) -> None:
        for tally in self.tallies:
            tally[...] = 0
        self.kernel.run(0, 4096, *self.tallies, self.stop)
