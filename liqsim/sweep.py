"""The public front door: liquidation grids and first passages."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from liqsim.arguments import read_horizons, read_looks, read_numbers, read_paths, read_sweep
from liqsim.cells import (
    cell_passes,
    cells_of,
    currencies,
    entry_prices,
    grid_axes,
    notes_of,
    progress_bar,
    run_cells,
    run_inputs,
)
from liqsim.durations import Duration
from liqsim.engine.plan import passage_pass, seed_key
from liqsim.engine.run import check_threads, run_passes
from liqsim.engine.tally import cell_sums
from liqsim.engine.timeline import build_timelines
from liqsim.errors import ParameterError
from liqsim.models import OUPremium, PriceModel
from liqsim.results import passage_dataset, provenance, sweep_dataset
from liqsim.stats import proportion_se
from liqsim.venues import Venue

__all__ = ["first_passage", "sweep"]


def sweep(
    model: PriceModel | Sequence[PriceModel] | Mapping[str, PriceModel],
    venue: Venue | str | Sequence[Venue | str] | Mapping[str, Venue | str],
    *,
    leverage: npt.ArrayLike,
    stop: npt.ArrayLike = float("inf"),
    side: str | Sequence[str] = ("long", "short"),
    notional: npt.ArrayLike = 10_000.0,
    price: float = 60_000.0,
    horizon: Duration | Sequence[Duration] = "30D",
    premium: OUPremium | None = None,
    monitoring: Duration | Literal["continuous"] = "continuous",
    gap_rule: Literal["liquidation", "stop"] = "liquidation",
    start: str | dt.datetime | np.datetime64 | None = None,
    top_up: float = 0.0,
    n_paths: int = 100_000,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Simulate a leveraged position for a whole grid of leverages, stops and sides at once.

    Parameters
    ----------
    model : PriceModel, list or mapping
        Price dynamics: :class:`GBM`, :class:`Merton` or :class:`Kou`. A list or a mapping becomes a dimension.
    venue : Venue or str, list or mapping
        Rules, or the id of a shipped venue. A list or a mapping becomes a dimension.
    leverage : array_like, shape (n_leverage,)
        Notional over initial margin of an isolated position, in (0, 1000] and within the venue's limits.
    stop : array_like, shape (n_stop,)
        Adverse moves at which the stop triggers, fractions of the entry price, in (0, inf]; below 1 for longs;
        inf for no stop.
    side : {"long", "short"} or both
        Side of the position.
    notional : float or list
        Entry price times quantity, quote currency. A list becomes a dimension.
    price : float
        Entry mark price, quote per base.
    horizon : duration or list
        Time after which an open position is closed at the mark. A list becomes a dimension.
    premium : OUPremium, optional
        Premium that drives the venue's funding rate; without it the premium is 0 and a rate made from a premium
        is the venue's interest term.
    monitoring : "continuous" or duration
        How often the venue looks at the price for liquidations and stops.
    gap_rule : {"liquidation", "stop"}
        Outcome of a cell when a jump lands beyond both its stop and its liquidation level.
    start : str, datetime or numpy.datetime64, optional
        Entry, UTC unless it has an offset. Places funding stamps, margin windows, margin tests and closures. Without it
        funding stamps count from entry, and calendars from Monday 2026-01-05 00:00 UTC.
    top_up : float
        What the trader will add on margin calls in all, fraction of entry notional, in [0, 1000].
    n_paths : int
        Paths, in [1, 2**40].
    seed : int or numpy.random.SeedSequence
        Same seed, same bits: on any number of threads, instruction set, and whatever else is asked for.
    threads : int, optional
        Threads; all processors allowed to the process unless given.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    xarray.Dataset
        dims ``(side, leverage, stop)`` and one more for each of model, venue, notional, horizon given as a list.
        ``p_liquidation``, ``p_stop``, ``p_survival``, ``p_partial``, ``p_margin_call`` [1]; ``funding_cost``, ``fees``,
        ``pnl``, ``shortfall`` and who bears it (``insurance_draw``, ``uncovered_loss``, ``client_debit``),
        ``engine_kept``, ``returned``, ``topped_up`` [fraction of entry notional, in the settlement currency];
        ``closed_share`` [fraction of entry position]; ``exit_time`` [d]; each with its standard error ``*_se``.
        ``liquidation_price``, ``bankruptcy_price`` [quote], ``initial_margin`` [settlement currency], at entry, under
        the rules in force then, and before tick rounding. ``attrs["notes"]`` names closed venues and assumed values.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be.
    MarginRuleError
        If the venue does not allow the position.
    VenueDataError
        If a rule needs a value that no source states; the message shows the call of :meth:`Venue.assume` that gives it.

    Notes
    -----
    The estimate has no time-step error: between funding stamps and jumps the extremes of the price are drawn from
    the Brownian bridge. Margin is isolated; the entry fee is paid from outside the margin. A stop fills at its
    price on a continuous crossing and at the landing price of a jump. A liquidated position is closed by the venue's
    procedure, whole or in parts; ``p_liquidation`` counts every path on which the venue closes any of it. What is left
    of the margin is ``returned`` or ``engine_kept``, a loss beyond it is ``shortfall``. Funding is paid by whoever is
    open at the stamp, a stamp at the horizon included. A position open at the horizon is closed there at the taker fee.
    Long and short cells each have their exact law, but not their joint law: minima and maxima share a random number.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)], contract="linear")
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=[5, 20], stop=[0.03, float("inf")], horizon="7D",
    ...               n_paths=4000, seed=1)
    >>> dict(ds.sizes)
    {'side': 2, 'leverage': 2, 'stop': 2}
    """
    asked = read_sweep(
        model, venue, leverage=leverage, stop=stop, side=side, notional=notional, horizon=horizon, premium=premium,
        price=price, monitoring=monitoring, gap_rule=gap_rule, start=start, top_up=top_up, n_paths=n_paths, seed=seed,
        threads=threads,
    )  # fmt: skip
    models, venues, notionals, grid, settings = asked.models, asked.venues, asked.notionals, asked.grid, asked.settings
    cells = cells_of(asked)
    passes = [cell_passes(cell, settings) for cell in cells]
    prices = [entry_prices(cell, settings) for cell in cells[: len(venues) * len(notionals)]]
    found, seconds = run_cells(passes, [grid] * len(cells), settings, progress)

    outer = (len(models), len(venues), len(notionals))
    inputs = run_inputs(models, venues, notionals, grid, settings) | {"axes": asked.given}
    return sweep_dataset(
        {name: np.stack([cell[name] for cell in found]).reshape(outer + found[0][name].shape) for name in found[0]},
        {name: np.stack([p[name] for p in prices]).reshape(outer[1:] + prices[0][name].shape) for name in prices[0]},
        {
            "model": list(models),
            "venue": list(venues),
            "notional": notionals,
            "horizon": settings.horizons,
            **grid_axes(grid),
        },
        set(asked.given),
        currencies(venues),
        settings.n_paths,
        provenance("sweep", inputs, seed, settings.n_paths, seconds) | {"notes": notes_of(venues)},
    )


def first_passage(
    model: PriceModel,
    levels: npt.ArrayLike,
    horizon: Duration | Sequence[Duration] = "30D",
    *,
    monitoring: Duration | Literal["continuous"] = "continuous",
    n_paths: int = 100_000,
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
    n_paths, seed, threads, progress
        As in :func:`sweep`.

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
    n_paths = read_paths(n_paths)
    threads = check_threads(threads)
    key = seed_key(seed)
    passes = [passage_pass(model, ratios, timeline, key) for timeline in build_timelines(horizons, None, checks)]
    begun = time.perf_counter()
    with progress_bar(progress, len(passes) * n_paths) as report:
        totals = run_passes(passes, n_paths, threads, report)
    seconds = time.perf_counter() - begun

    side = (ratios > 1.0).astype(int)
    distance = np.abs(np.log(ratios))
    column = np.array([int(np.sum((side == side[i]) & (distance < distance[i]))) for i in range(len(ratios))])
    names = ("p_hit", "p_hit_se", "alive_time", "alive_time_se")
    estimates = {name: np.empty((len(horizons), len(ratios))) for name in names}
    for task, total in zip(passes, totals, strict=True):
        sums = cell_sums(task, total)
        at = list(task.horizons)
        p = sums.stopped[:, side, 0, column] / n_paths
        estimates["p_hit"][at] = p
        estimates["p_hit_se"][at] = proportion_se(p, n_paths)
        estimates["alive_time"][at] = sums.time.mean(n_paths)[:, side, 0, column] * 365.0
        estimates["alive_time_se"][at] = sums.time.standard_error(n_paths)[:, side, 0, column] * 365.0
    inputs = {
        "model": model.to_dict(),
        "levels": ratios.tolist(),
        "horizon_ns": horizons,
        "monitoring_ns": checks,
    }
    attrs = provenance("first_passage", inputs, seed, n_paths, seconds)
    return passage_dataset(ratios, np.asarray(horizons), estimates, has_horizons, n_paths, attrs)
