"""The public front door: liquidation grids and first passages."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from liqsim.durations import Duration, parse_days
from liqsim.engine.plan import SIDES, Grid, funding_clock, passage_pass, seed_key, sweep_pass
from liqsim.engine.run import check_threads, run_passes
from liqsim.engine.tally import cell_sums
from liqsim.engine.timeline import build_timelines, to_nanoseconds
from liqsim.errors import ParameterError
from liqsim.models import OUPremium, PriceModel
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price
from liqsim.results import SWEEP_AXES, passage_dataset, provenance, sweep_dataset, sweep_estimates
from liqsim.stats import proportion_se
from liqsim.venues import Venue, load_venue

__all__ = ["first_passage", "sweep"]

_MOST_PATHS = 2**40


def _numbers(name: str, value: Any, unit: str, low: float, high: float, *, allow_inf: bool = False) -> np.ndarray:
    """A non-empty, 1-D, duplicate-free float array inside ``(low, high]``."""
    allowed = f"give numbers in ({low:g}, {high:g}] {unit}"
    try:
        x = np.atleast_1d(np.asarray(value))
        if x.dtype.kind not in "iuf" or x.ndim != 1:
            raise TypeError
        x = x.astype(float)
    except (TypeError, ValueError):
        raise ParameterError(f"{name}={value!r} is not a number or a flat list of numbers; {allowed}") from None
    if x.size == 0:
        raise ParameterError(f"{name} is empty; {allowed}")
    fine = (x > low) & (x <= high) & (np.isfinite(x) | (allow_inf & (x == np.inf)))
    if not fine.all():
        raise ParameterError(f"{name}={x[~fine][0]:g} is not allowed; {allowed}")
    if np.unique(x).size != x.size:
        raise ParameterError(f"{name}={value!r} holds a value twice; name each once")
    return x


def _named(name: str, value: Any, kind: type, get_label: Callable[[Any], str]) -> tuple[dict[str, Any], bool]:
    """One item, a list of items or a mapping of labels to items -> labelled items, and whether it was a list."""
    if isinstance(value, kind):
        return {get_label(value): value}, False
    if isinstance(value, Mapping):
        items = {str(key): item for key, item in value.items()}
        if len(items) < len(value):
            raise ParameterError(f"{name} has labels that read the same, among {list(value)!r}; give each its own")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = {}
        for item in value:
            text = get_label(item) if isinstance(item, kind) else ""
            if text in items:
                raise ParameterError(
                    f"{name} holds two items called {text!r}; pass a mapping of labels to items instead of a list"
                )
            items[text] = item
    else:
        items = {"": value}
    if not items:
        raise ParameterError(f"{name} is empty; give at least one")
    for item in items.values():
        if not isinstance(item, kind):
            raise ParameterError(
                f"{name}={item!r} is not a {kind.__name__}; give one, a list of them or a mapping of labels to them"
            )
    return items, True


def _horizons(value: Any) -> tuple[list[int], bool]:
    """Horizons in nanoseconds, and whether a list was given."""
    many = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)
    items = list(value) if many else [value]
    if not items:
        raise ParameterError('horizon is empty; give at least one duration such as "30D"')
    ns = [to_nanoseconds(parse_days(item, "horizon")) for item in items]
    if len(set(ns)) != len(ns):
        raise ParameterError(f"horizon={value!r} holds a duration twice; name each once")
    if min(ns) < 1:
        raise ParameterError(f"horizon={value!r} is shorter than a nanosecond")
    return ns, many


def _monitoring(value: Any, horizons: list[int]) -> int | None:
    if isinstance(value, str) and value == "continuous":
        return None
    try:
        step = max(to_nanoseconds(parse_days(value, "monitoring")), 1)
    except ParameterError as error:
        raise ParameterError(f'{error}; or "continuous"') from None
    if step > min(horizons):
        raise ParameterError(
            f"monitoring={value!r} is longer than the shortest horizon, so the venue would never look; "
            'shorten it, or give "continuous"'
        )
    return step


def _paths(n_paths: Any) -> int:
    whole = isinstance(n_paths, (int, np.integer)) or (isinstance(n_paths, float) and n_paths.is_integer())
    if isinstance(n_paths, bool) or not whole or not 1 <= n_paths <= _MOST_PATHS:
        raise ParameterError(f"n_paths={n_paths!r} is not allowed; give a whole number in [1, {_MOST_PATHS}]")
    return int(n_paths)


def _sides(value: Any) -> tuple[str, ...]:
    try:
        sides = (value,) if isinstance(value, str) else tuple(value)
        fine = 0 < len(sides) == len(set(sides)) and set(sides) <= set(SIDES)
    except TypeError:
        fine = False
    if not fine:
        raise ParameterError(f'side={value!r} is not allowed; give "long", "short" or a list of both, each once')
    return sides


@contextmanager
def _progress(show: bool, total: int) -> Iterator[Callable[[int], Any]]:
    if not show:
        yield lambda count: None
        return
    from tqdm.auto import tqdm

    is_watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    with tqdm(
        total=total,
        unit="path",
        unit_scale=True,
        desc="simulating",
        smoothing=0.1,
        mininterval=0.1 if is_watched else 5.0,
    ) as bar:
        yield bar.update


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
        ``p_liquidation``, ``p_stop``, ``p_survival`` [1]; ``funding_cost``, ``fees``, ``pnl``, ``shortfall``,
        ``engine_kept`` [fraction of entry notional, in the settlement currency]; ``exit_time`` [d]; each with its
        standard error ``*_se``. ``liquidation_price``, ``bankruptcy_price`` [quote], ``initial_margin``
        [settlement currency], at entry and before tick rounding.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be.
    MarginRuleError
        If the venue does not allow the position.

    Notes
    -----
    The estimate has no time-step error: between funding stamps and jumps the extremes of the price are drawn from
    the Brownian bridge. Margin is isolated; the entry fee is paid from outside the margin. A stop fills at its
    price on a continuous crossing and at the landing price of a jump. A liquidated position loses its margin;
    what is left of it is ``engine_kept``, a loss beyond it ``shortfall``. Funding is paid by whoever is open at the
    stamp, a stamp at the horizon included. A position open at the horizon is closed there at the taker fee.
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
    models, has_models = _named("model", model, PriceModel, lambda m: m.name)
    venue = _load_ids(venue)
    venues, has_venues = _named("venue", venue, Venue, lambda v: v.id)
    if premium is not None and not isinstance(premium, OUPremium):
        raise ParameterError(f"premium={premium!r} is not an OUPremium; give one or None")
    notionals = _numbers("notional", notional, "(quote currency)", 1e-9, 1e15)
    has_notionals = np.ndim(notional) > 0
    entry = float(_numbers("price", price, "(quote per base)", 1e-12, 1e12)[0])
    if np.ndim(price) > 0:
        raise ParameterError(f"price={price!r} is a list; give one entry price (quote per base) and call once for each")
    grid = Grid(
        _numbers("leverage", leverage, "(notional over margin)", 0, 1000),
        _numbers("stop", stop, "(fraction of the entry price)", 0, np.inf, allow_inf=True),
        _sides(side),
    )
    if "long" in grid.sides and np.any((grid.stop >= 1) & np.isfinite(grid.stop)):
        worst = grid.stop[(grid.stop >= 1) & np.isfinite(grid.stop)][0]
        raise ParameterError(
            f"stop={worst:g} would put a long's stop at or below a price of 0; give stops in (0, 1) or inf"
        )
    horizons, has_horizons = _horizons(horizon)
    checks = _monitoring(monitoring, horizons)
    if gap_rule not in ("liquidation", "stop"):
        raise ParameterError(f'gap_rule={gap_rule!r} is not allowed; give "liquidation" or "stop"')
    n_paths = _paths(n_paths)
    threads = check_threads(threads)
    key = seed_key(seed)

    cells = list(itertools.product(models.values(), venues.values(), notionals.tolist()))
    passes = [
        [
            sweep_pass(
                m, v, premium, grid, size, entry, timeline, key,
                liquidation_first=gap_rule == "liquidation", continuous=checks is None,
            )
            for timeline in build_timelines(horizons, funding_clock(v), checks)
        ]
        for m, v, size in cells
    ]  # fmt: skip
    flat = list(itertools.chain.from_iterable(passes))
    begun = time.perf_counter()
    with _progress(progress, len(flat) * n_paths) as report:
        totals = iter(run_passes(flat, n_paths, threads, report))
    seconds = time.perf_counter() - begun

    axes: dict[str, Any] = {
        "model": list(models),
        "venue": list(venues),
        "notional": notionals,
        "horizon": horizons,
        "side": grid.sides,
        "leverage": grid.leverage,
        "stop": grid.stop,
    }
    shape = tuple(len(values) for values in axes.values())
    estimates: dict[str, np.ndarray] = {}
    sides = [SIDES.index(name) for name in grid.sides]
    rows, columns = grid.rows, grid.columns
    for index, group in enumerate(passes):
        for task in group:
            sums = cell_sums(next(totals), task.margin, task.entry_fee)
            for name, values in sweep_estimates(sums, n_paths).items():
                out = estimates.setdefault(name, np.empty((len(cells), *shape[3:])))
                out[index, list(task.horizons)] = values[:, sides][:, :, rows][:, :, :, columns]
    estimates = {name: values.reshape(shape) for name, values in estimates.items()}

    quotes = dict.fromkeys(v.contract.quote for v in venues.values())
    settlements = dict.fromkeys(v.contract.settlement for v in venues.values())
    inputs = {
        "model": {name: m.to_dict() for name, m in models.items()},
        "venue": {name: {**v.to_dict(), "hash": v.hash} for name, v in venues.items()},
        "premium": None if premium is None else premium.to_dict(),
        "leverage": grid.leverage.tolist(),
        "stop": [str(s) if np.isinf(s) else s for s in grid.stop.tolist()],
        "side": list(grid.sides),
        "notional": notionals.tolist(),
        "price": entry,
        "horizon_ns": horizons,
        "monitoring_ns": checks,
        "gap_rule": gap_rule,
        "axes": [name for name, many in zip(
            SWEEP_AXES, (has_models, has_venues, has_notionals, has_horizons), strict=True) if many],
    }  # fmt: skip
    return sweep_dataset(
        estimates,
        _entry_prices(venues, notionals, entry, grid),
        axes,
        set(inputs["axes"]),
        ("/".join(quotes), "/".join(settlements)),
        n_paths,
        provenance("sweep", inputs, seed, n_paths, seconds),
    )


def _load_ids(venue: Any) -> Any:
    """Replace venue ids by venues, wherever the argument may hold one."""
    if isinstance(venue, str):
        return load_venue(venue)
    if isinstance(venue, Mapping):
        return {key: _load_ids(item) for key, item in venue.items()}
    if isinstance(venue, (list, tuple)):
        return [_load_ids(item) for item in venue]
    return venue


def _entry_prices(
    venues: Mapping[str, Venue], notionals: np.ndarray, price: float, grid: Grid
) -> dict[str, np.ndarray]:
    """Liquidation price, bankruptcy price and initial margin, of shape (venue, notional, side, leverage)."""
    shape = (len(venues), len(notionals), len(grid.sides), len(grid.leverage))
    out = {name: np.empty(shape) for name in ("liquidation_price", "bankruptcy_price", "initial_margin")}
    for i, venue in enumerate(venues.values()):
        for j, notional in enumerate(notionals.tolist()):
            quantity = float(venue.contract.quantity(notional, price))
            for k, side in enumerate(grid.sides):
                position: dict[str, Any] = {
                    "side": side,
                    "entry_price": price,
                    "quantity": quantity,
                    "leverage": grid.leverage,
                }
                out["liquidation_price"][i, j, k] = liquidation_price(venue, **position)
                out["bankruptcy_price"][i, j, k] = bankruptcy_price(venue, **position)
                out["initial_margin"][i, j, k] = initial_margin(venue, **position)
    return out


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
    ratios = _numbers("levels", levels, "(price ratio to the start)", 0, 1e12)
    if np.any(ratios == 1.0):
        raise ParameterError("levels=1 is the start itself; give ratios below or above 1")
    horizons, has_horizons = _horizons(horizon)
    checks = _monitoring(monitoring, horizons)
    n_paths = _paths(n_paths)
    threads = check_threads(threads)
    key = seed_key(seed)
    passes = [
        passage_pass(model, ratios, timeline, key, continuous=checks is None)
        for timeline in build_timelines(horizons, None, checks)
    ]
    begun = time.perf_counter()
    with _progress(progress, len(passes) * n_paths) as report:
        totals = run_passes(passes, n_paths, threads, report)
    seconds = time.perf_counter() - begun

    side = (ratios > 1.0).astype(int)
    distance = np.abs(np.log(ratios))
    column = np.array([int(np.sum((side == side[i]) & (distance < distance[i]))) for i in range(len(ratios))])
    names = ("p_hit", "p_hit_se", "alive_time", "alive_time_se")
    estimates = {name: np.empty((len(horizons), len(ratios))) for name in names}
    for task, total in zip(passes, totals, strict=True):
        sums = cell_sums(total, task.margin, 0.0)
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
