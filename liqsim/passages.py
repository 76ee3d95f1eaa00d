"""First passages of fixed levels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from liqsim.arguments import read_horizons, read_looks, read_numbers, read_paths
from liqsim.cells import Booked, book
from liqsim.control import CONTROL_GROUPS
from liqsim.durations import Duration
from liqsim.engine.plan import Pass, passage_pass, seed_key, tilted_passes
from liqsim.engine.run import check_threads
from liqsim.engine.tally import Sums
from liqsim.engine.timeline import build_timelines
from liqsim.errors import ParameterError
from liqsim.estimates import by_group, no_longer, passage_estimates
from liqsim.importance import choose_tilts, laws_in_words, weighted_estimates
from liqsim.models import PriceModel
from liqsim.models._checks import check_flag
from liqsim.results import passage_dataset, provenance
from liqsim.stopping import horizon_labels, most_paths, own_groups, reached_by, read_target
from liqsim.variables import PASSAGE_ESTIMATES

__all__ = ["first_passage"]


def first_passage(
    model: PriceModel,
    levels: npt.ArrayLike,
    horizon: Duration | Sequence[Duration] = "30D",
    *,
    monitoring: Duration | Literal["continuous"] = "continuous",
    n_paths: int | None = None,
    rel_error: float | Mapping[str, float] | None = None,
    abs_error: float | Mapping[str, float] | None = None,
    error_at: Mapping[str, Any] | None = None,
    importance: bool = False,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Simulate when the price first reaches each of several levels.

    Parameters
    ----------
    model : PriceModel
        Price dynamics.
    levels : array_like, shape (n_level,)
        Price ratios to the start, in (0, inf) and not 1: below 1 the minimum has to reach them, above 1 the maximum.
    horizon : duration or list
        End of the watch. A list becomes a dimension.
    monitoring : "continuous" or duration
        Time between looks at the price; the first look is one interval after the start.
    n_paths, rel_error, abs_error, error_at, importance, seed, threads, progress
        As in :func:`sweep`; a number as error target is about ``p_hit``.

    Returns
    -------
    xarray.Dataset
        dims ``(level,)`` or ``(horizon, level)``: ``p_hit`` [1], ``alive_time`` = E[min(tau, T)] [d], each with its
        standard error.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be.

    Notes
    -----
    With continuous monitoring the estimate has no time-step error. A crossing within a Brownian segment enters
    ``alive_time`` with its conditional mean time given both ends of the segment, which is unbiased and less noisy.

    Examples
    --------
    >>> import liqsim as lq
    >>> ds = lq.first_passage(lq.GBM(sigma=0.6), levels=[0.9, 1.1], horizon="7D", n_paths=20_000, seed=1)
    >>> exact = lq.analytic.first_passage_probability(lq.GBM(sigma=0.6), 0.9, "7D")
    >>> bool(abs(ds.p_hit.sel(level=0.9) - exact) < 4 * ds.p_hit_se.sel(level=0.9))
    True
    """
    if not isinstance(model, PriceModel):
        raise ParameterError(f"model={model!r} is not a PriceModel; give GBM, Merton or Kou")
    ratios = read_numbers("levels", levels, "(price ratio to the start)", 0, 1e12)
    if np.any(ratios == 1.0):
        raise ParameterError("levels=1 is the start itself; give ratios below or above 1")
    horizons, has_horizons = read_horizons(horizon)
    checks = read_looks(monitoring, horizons)
    most = read_paths(most_paths(n_paths, rel_error, abs_error))
    threads = check_threads(threads)
    key = seed_key(seed)
    labels = {"horizon": horizon_labels(horizons), "level": ratios.tolist()}
    check_flag("importance", importance)
    target = read_target(rel_error, abs_error, error_at, "p_hit", list(PASSAGE_ESTIMATES), labels, not importance)
    passes = [passage_pass(model, ratios, timeline, key) for timeline in build_timelines(horizons, None, checks)]
    draws: list[list[Pass]] = []
    if importance:
        own_groups("importance", CONTROL_GROUPS, most)
        tilts = choose_tilts(model, ratios, horizons)
        draws = [tilted_passes(task, model, tilts) for task in passes]
        passes = [laws[0] for laws in draws]

    def plain(sums: Sequence[Sums], n_paths: int) -> dict[str, np.ndarray]:
        found = [passage_estimates(*both, ratios, n_paths) for both in zip(passes, sums, strict=True)]
        out = {name: np.empty((len(horizons), len(ratios))) for name in found[0]}
        for task, values in zip(passes, found, strict=True):
            for name, x in values.items():
                out[name][list(task.horizons)] = x
        if not draws:
            out["alive_time"] = no_longer(out["alive_time"], horizons)
        return out

    def estimates(booked: Booked) -> dict[str, np.ndarray]:
        booked = booked.over_laws(draws)
        found = plain(booked.totals(), booked.n_paths)
        if not draws:
            return found
        groups = zip(zip(*booked.sums, strict=True), booked.group_paths.tolist(), strict=True)
        parts = by_group([plain(sums, n) for sums, n in groups])
        weighted = weighted_estimates(found, parts, booked.group_paths)
        return {name: x for name, x in weighted.items() if not name.endswith("_by_group")}

    booked = book(
        [*passes, *itertools.chain(*(laws[1:] for laws in draws))], most, threads, progress,
        CONTROL_GROUPS if draws else 1,
        None if target is None else lambda booked: target.is_met(estimates(booked), booked.n_paths),
    )  # fmt: skip
    found = estimates(booked)
    inputs = {
        "model": model.to_dict(),
        "levels": ratios.tolist(),
        "horizon_ns": horizons,
        "monitoring_ns": checks,
    }
    inputs |= {"importance": True} if importance else {}
    reached = reached_by(target, found, booked.n_paths, most)
    attrs = provenance("first_passage", inputs | reached.inputs, seed, booked.n_paths, booked.seconds) | reached.attrs
    laws = laws_in_words({"": len(draws[0])}, booked.n_paths) if draws else ""
    if draws or target is not None:
        attrs["notes"] = "\n".join(filter(None, [laws, reached.note]))
    return passage_dataset(
        ratios, np.asarray(horizons), found, has_horizons, booked.n_paths, attrs, CONTROL_GROUPS if draws else 1
    )
