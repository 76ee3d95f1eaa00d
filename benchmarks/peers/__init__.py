"""The same problem solved by what one would otherwise write.

Each module has functions of one signature, ``simulate(problem, n_paths, seed, threads) -> Answer``: as fast as its
author could make it and, where that is far from what one writes first, a second function for that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .problem import Answer

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    """Where a peer is, and what part of the problem it solves.

    Parameters
    ----------
    label : str
    module, function : str
    library : str
        What must be importable.
    monitoring : {"continuous", "1h"}
        When it looks at the price; hourly peers are biased against a venue that always looks.
    funding : bool
        Whether it pays funding.
    threads : {"any", "one", "all"}
        What it can run on; XLA does not keep to one.
    block : int
        Paths that a thread works on at a time; runs are timed with whole multiples, so that none are wasted.
    problems : tuple of str
        Keys of the problems on which it is set against liqsim.
    in_quick : bool
        Whether it takes part in a quick run.
    """

    label: str
    module: str
    library: str
    function: str = "simulate"
    monitoring: Literal["continuous", "1h"] = "continuous"
    funding: bool = True
    threads: Literal["any", "one", "all"] = "any"
    block: int = 512
    problems: tuple[str, ...] = ("W1", "W2")
    in_quick: bool = True

    def load(self) -> Callable[..., Answer]:
        """The function; ImportError where the library is absent."""
        importlib.import_module(self.library)
        return getattr(importlib.import_module(f".{self.module}", __name__), self.function)

    @property
    def missing(self) -> str:
        """Why it cannot be run here; empty if it can."""
        try:
            importlib.import_module(self.library)
        except ImportError as error:
            return f"{self.library} cannot be imported ({error})"
        return ""


_HOURLY: dict[str, Any] = {"monitoring": "1h"}
_NO_FUNDING: dict[str, Any] = {"monitoring": "1h", "funding": False}
_BARRIER: dict[str, Any] = {"funding": False, "threads": "one", "problems": ("GBM",), "in_quick": False}

PEERS = {
    "numba_events": Peer("numba, exact, own generator", "numba_events", "numba", problems=("W1", "W2", "GBM")),
    "numba_events_generators": Peer(
        "numba, exact, NumPy's generators", "numba_events", "numba", "simulate_generators", in_quick=False
    ),
    "numba_events_library": Peer("numba, exact, np.random", "numba_events", "numba", "simulate_library"),
    "numba_hourly": Peer("numba, hourly, own generator", "numba_hourly", "numba", in_quick=False, **_HOURLY),
    "numba_hourly_library": Peer("numba, hourly, np.random", "numba_hourly", "numba", "simulate_library", **_HOURLY),
    "numpy_hourly": Peer("NumPy, hourly, tuned", "numpy_hourly", "numpy", block=65536, **_NO_FUNDING),
    "numpy_hourly_usual": Peer("NumPy, hourly, as usual", "numpy_hourly", "numpy", "simulate_usual", **_NO_FUNDING),
    "jax_hourly": Peer(
        "JAX float32, hourly", "jax_hourly", "jax", threads="all", block=32768, in_quick=False, **_NO_FUNDING
    ),
    "stochastic_rs_kou": Peer(
        "stochastic-rs Kou, hourly", "stochastic_rs_hourly", "stochastic_rs", threads="one", block=2048,
        problems=("W1",), in_quick=False, **_NO_FUNDING,
    ),
    "stochastic_rs_gbm": Peer(
        "stochastic-rs GBM, hourly", "stochastic_rs_hourly", "stochastic_rs", threads="all", block=2048,
        problems=("GBM",), in_quick=False, **_NO_FUNDING,
    ),
    "quantlib_barrier": Peer("QuantLib MC barrier, 1 step", "quantlib_barrier", "QuantLib", **_BARRIER),
    "quantlib_barrier_steps": Peer(
        "QuantLib MC barrier, a step per 8 h", "quantlib_barrier", "QuantLib", "simulate_steps", **_BARRIER
    ),
}  # fmt: skip
