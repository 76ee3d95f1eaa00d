"""How long a run will take, before it is started."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from liqsim.engine.memory import LANES
from liqsim.engine.plan import Pass
from liqsim.engine.run import batch_paths, pass_threads
from liqsim.engine.tally import Sums, Tallies

__all__ = ["Forecast", "forecast"]

_MOST_MEASURED = 12  # passes
_REPEATS = 3
_FIRST_LOOK = 64  # intervals


@dataclass(frozen=True)
class Forecast:
    """What a short run of the kernel says of a long one.

    Parameters
    ----------
    seconds, seconds_sd : float
        Expected wall time of all passes, and the standard deviation that repeats and the choice of passes suggest.
    batches : int
        Batches that the paths will be cut into, about.
    measured, passes : int
        Passes that were timed, and all of them.
    is_extrapolated : bool
        Whether only the first part of a long timeline was timed.
    calibration_seconds : float
        What the timing took.
    """

    seconds: float
    seconds_sd: float
    batches: int
    measured: int
    passes: int
    is_extrapolated: bool
    calibration_seconds: float


def forecast(passes: Sequence[Pass], n_paths: int, threads: int, budget: float = 0.1) -> Forecast:
    """Time the kernel itself, on as many threads as the run would use.

    Parameters
    ----------
    passes : sequence of Pass
        At most twelve of them, evenly spread, are timed; the others are taken to be like these.
    n_paths, threads : int
        Of the run.
    budget : float
        Seconds to spend, about; each pass that is timed needs a few blocks of 256 paths at least.
    """
    begun = time.perf_counter()
    n = min(len(passes), _MOST_MEASURED)
    chosen = np.unique(np.linspace(0, len(passes) - 1, n).round().astype(int))
    n_threads = pass_threads(threads, n_paths)
    with ThreadPoolExecutor(n_threads) as pool:
        timed = [_time(passes[k], n_threads, pool, budget / n) for k in chosen]
    means = np.array([np.mean(times) for times, _ in timed])
    spreads = np.array([np.std(times, ddof=1) for times, _ in timed])
    scale = n_paths * len(passes)
    variance = float(np.mean(spreads**2)) / len(timed)
    if len(timed) < len(passes):
        variance += float(np.var(means, ddof=1)) / len(timed)
    return Forecast(
        seconds=float(np.mean(means)) * scale,
        seconds_sd=float(np.sqrt(variance)) * scale,
        batches=int(np.ceil(n_paths / batch_paths(float(np.mean(means)) * n_threads))) * len(passes),
        measured=len(timed),
        passes=len(passes),
        is_extrapolated=any(is_cut for _, is_cut in timed),
        calibration_seconds=time.perf_counter() - begun,
    )


def _time(task: Pass, n_threads: int, pool: ThreadPoolExecutor, budget: float) -> tuple[list[float], bool]:
    """Seconds of wall time a path in each of a few repeats, and whether the timeline was cut short."""
    n_intervals = len(task.arrays["pays"])
    looked = min(n_intervals, _FIRST_LOOK)
    _run(_beginning(task, looked), 1, 1, pool)  # touches the memory
    once = _run(_beginning(task, looked), 1, 1, pool)
    each = budget / (_REPEATS + 1)
    most = max(looked, int(each / once * looked))
    kept = min(n_intervals, most)
    blocks = max(1, int(each / (once * kept / looked)))
    part = _beginning(task, kept)
    stretch = n_intervals / kept / (blocks * LANES * n_threads)
    return [_run(part, blocks, n_threads, pool) * stretch for _ in range(_REPEATS)], kept < n_intervals


def _run(task: Pass, blocks: int, n_threads: int, pool: ThreadPoolExecutor) -> float:
    """Wall time of so many blocks on every thread."""
    kernel = task.kernel()
    stop = np.zeros(1, dtype=np.int32)
    tallies = [(Tallies(kernel), Sums.empty(kernel)) for _ in range(n_threads)]

    def work(k: int) -> None:
        tallies[k][0].run(k * blocks * LANES, blocks * LANES, stop, tallies[k][1])

    begun = time.perf_counter()
    for future in [pool.submit(work, k) for k in range(n_threads)]:
        future.result()
    return time.perf_counter() - begun


def _beginning(task: Pass, n: int) -> Pass:
    """The first ``n`` intervals of a pass, as one that ends there."""
    if n == len(task.arrays["pays"]):
        return task
    arrays = dict(task.arrays)
    for name in ("pays", "settles", "set_of", "watches", "retests", "checks", "calls", "due", "time_bin"):
        if name in arrays:
            arrays[name] = arrays[name][:n].copy()
    for name in ("instant", "charge_long", "charge_short"):
        arrays[name] = arrays[name][: n + 1].copy()
    arrays["horizon"] = np.full(n, -1, dtype=np.int32)
    arrays["horizon"][-1] = 0
    return dataclasses.replace(task, arrays=arrays, horizons=task.horizons[:1])
