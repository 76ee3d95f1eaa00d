"""The public front door: liquidation grids."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from liqsim.cells import cell_draws, control_cell, run_cells
from liqsim.control import CONTROL_GROUPS, Control
from liqsim.durations import Duration
from liqsim.engine.memory import check_memory, needed_memory, tally_bytes
from liqsim.engine.plan import Pass
from liqsim.errors import ParameterError
from liqsim.importance import laws_in_words
from liqsim.models import OUPremium, PriceModel
from liqsim.models._checks import check_flag
from liqsim.outputs import QUANTILES, output_estimates
from liqsim.planning import Plan, plan_sweep
from liqsim.results import provenance
from liqsim.stopping import Target, most_paths, own_groups, reached_by, read_groups
from liqsim.variables import CONTROLLED, WEIGHTED
from liqsim.venues import Venue

__all__ = ["Prepared", "prepare", "sweep"]


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
    n_paths: int | None = None,
    rel_error: float | Mapping[str, float] | None = None,
    abs_error: float | Mapping[str, float] | None = None,
    error_at: Mapping[str, Any] | None = None,
    groups: int | None = None,
    control: bool = False,
    importance: bool = False,
    outputs: str | Sequence[str] = (),
    quantiles: npt.ArrayLike = QUANTILES,
    times: Duration | Sequence[Duration] | None = None,
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
    n_paths : int, optional
        Paths, in [1, 2**40]; 100,000 unless given. With an error target the most that are simulated, 2**24 unless
        given.
    rel_error, abs_error : float or mapping of str to float, optional
        Standard error at which the run may end: over the estimate, in (0, 0.1], and in the variable's own unit. A
        number is about ``p_liquidation``, a mapping names variables. Every cell has to meet its target; of a relative
        and an absolute one for the same variable, either.
    error_at : mapping of str to label or list of labels, optional
        The cells that have to, by dimension, such as ``{"leverage": [5, 10], "stop": inf}``; all unless given.
    groups : int, optional
        Groups of paths, in [8, 1024] (64 is a good choice), of which every estimate ``x`` is given as ``x_by_group``:
        what :func:`difference` and :func:`jackknife` need. None unless given.
    control : bool
        Correct the estimates by control variates: first passages of fixed levels on the same paths, whose law closed
        forms know. A second pass, for a variance that is often 10 to 100 times smaller; at least 64 paths.
    importance : bool
        Draw ``n_paths`` paths from each of up to eight other laws besides, under which rare liquidations and stops are
        usual, and weigh them; at least 64 paths. For probabilities below some per cent.
    outputs : str or list of str, optional
        What to compute besides, by name; see Notes.
    quantiles : array_like
        Probabilities, in (0, 1), of the quantiles among ``outputs``.
    times : duration or list, optional
        Time axis of ``outputs`` that have one: up to the longest horizon, which is added; instants at which every venue
        of the run acts or looks, so that the numbers are exact. At most 120 of these, evenly spread, unless given.
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
        the rules in force then, and before tick rounding. ``attrs["notes"]`` names closed venues, assumed values and
        the laws of ``importance``.

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

    An error target is looked at after 16,384 paths and then whenever their number has grown by a fifth, so that seed
    and target alone decide where the run ends; the result is that of ``n_paths`` of that number, bit for bit. What has
    been reached is in ``attrs["accuracy"]`` (JSON) and, where it falls short, in the notes, with an upper confidence
    bound for an event that was never seen. Ending when enough events have been seen biases a probability upwards, by
    about ``rel_error`` standard errors and at most a tenth of one.

    With ``control``, how many paths reach the price of liquidation at entry, that after the funding expected, and the
    stop, is held against how many should, and every estimate is corrected by regression over groups of paths, without
    bias. Liquidation and stop gain most where the expected funding tells well when they happen, and are exact where
    nothing is paid. A liquidation by a jump through a nearer stop gains nothing. Estimates are no counts then: they may
    leave their range by a fraction of their error.
    ``outputs`` may name, each coming with its standard error ``*_se``:

    - ``funding_cost_given``, ``fees_given``, ``pnl_given``, ``shortfall_given``, ``exit_time_given``: means over the
      paths that end in liquidation, in the stop, or open at the horizon, along the dimension ``given``. ``paths_given``
      is the number of those paths; where it is 0 the mean is not-a-number, and where it is 1 its standard error is inf.
    - ``p_shortfall``, ``p_ruin``: probability of a loss beyond the margin, and that nothing of the margin is left once
      the venue has closed the position or a stop has.
    - ``p_liquidation_by``, ``p_stop_by``: probabilities along the dimension ``time``, at the longest horizon
      ``p_liquidation`` and ``p_stop``; 1 less both is the survival curve. ``time_to_liquidation``: quantiles over the
      paths that are liquidated by the longest horizon, interpolated between these times.
    - ``pnl_quantile``, ``value_at_risk`` (its negative) and ``expected_shortfall``, the mean loss in the worst share
      ``quantile`` of all cases: by bins of the P&L whose width, a 32nd of ``abs(P&L) + 0.001`` up to 4 and an octave
      beyond, is the most they can be off; ``p_pnl_below``: the distribution itself, along the bins' ends ``pnl_level``.
      Each bin holds the mean and spread of its paths, so that a stop's fill or a lost margin is met exactly, and where
      the density is smooth the error is below a thousandth of a standard deviation. A standard error is inf where
      about one path or none is expected beyond the quantile. The tally takes 115 kB for each leverage, stop, horizon,
      model, venue and notional.
    - ``p_shortfall_above``: probability of a loss beyond the margin of at least ``shortfall_level``, whoever bears it;
      at level 0 it is ``p_shortfall``. ``shortfall_beyond``: expected part of that loss beyond the level, which a fund
      of that size would leave uncovered; at level 0 it is ``shortfall``. ``shortfall_quantile``: quantiles over the
      paths that have such a loss, not-a-number without any. By the P&L's bins from 0 on, at whose ends the first two
      are exact; the tally takes 57 kB for each leverage, stop, horizon, model, venue and notional.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)], contract="linear")
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=[5, 20], stop=[0.03, float("inf")], horizon="7D",
    ...               n_paths=4000, seed=1)
    >>> dict(ds.sizes)
    {'side': 2, 'leverage': 2, 'stop': 2}
    """
    ready = prepare(
        model, venue, leverage=leverage, stop=stop, side=side, notional=notional, price=price, horizon=horizon,
        premium=premium, monitoring=monitoring, gap_rule=gap_rule, start=start, top_up=top_up, n_paths=n_paths,
        rel_error=rel_error, abs_error=abs_error, error_at=error_at, groups=groups, control=control,
        importance=importance, outputs=outputs, quantiles=quantiles, times=times, seed=seed, threads=threads,
    )  # fmt: skip
    plan, target, n_groups = ready.plan, ready.target, ready.n_groups
    passes, settings = ready.passes, plan.settings
    run = run_cells(
        passes, [plan.grid] * len(passes), settings, progress, n_groups,
        None if target is None else lambda found, n: target.is_met(plan.estimates(found), n), ready.controls,
        ready.draws,
    )  # fmt: skip
    booked, totals = run.booked, iter(run.booked.totals())
    found = []
    for cell, group in zip(run.found, passes, strict=True):
        sums = [(task, next(totals), booked.n_paths) for task in group]
        found.append(cell | output_estimates(plan.outputs, sums, plan.grid, settings.horizons))
    estimates = plan.estimates(found)
    if not ready.shows_groups:
        estimates = {name: x for name, x in estimates.items() if not name.endswith("_by_group")}
    inputs = plan.inputs() | ({"groups": n_groups} if n_groups else {})
    inputs |= {name: True for name, on in (("control", control), ("importance", importance)) if on}
    reached = reached_by(target, estimates, booked.n_paths, settings.n_paths)
    attrs = provenance("sweep", inputs | reached.inputs, seed, booked.n_paths, booked.seconds) | reached.attrs
    estimator = CONTROLLED if control else WEIGHTED if importance else ""
    note = "\n".join(filter(None, [_laws(ready, booked.n_paths), reached.note]))
    return plan.dataset(estimates, booked.group_paths, attrs, note, estimator)


def _laws(ready: Prepared, n_paths: int) -> str:
    """What paths were drawn from where these were several laws: a line of notes."""
    if not ready.draws:
        return ""
    plan = ready.plan
    axes = [[*plan.models], [*plan.venues], [f"notional {x:.12g}" for x in plan.notionals.tolist()]]
    cells = itertools.product(*(labels if len(labels) > 1 else [""] for labels in axes))
    n_laws = {", ".join(filter(None, cell)): len(laws[0]) for cell, laws in zip(cells, ready.draws, strict=True)}
    return laws_in_words(n_laws, n_paths)


@dataclass(frozen=True)
class Prepared:
    """A sweep whose arguments have been checked: all that is left is to run it.

    Parameters
    ----------
    plan : Plan
    target : Target or None
        Accuracy at which the run ends.
    n_groups : int or None
        Groups of paths whose sums are kept apart.
    shows_groups : bool
        Whether the result gives the estimates of every group.
    passes : list of list of Pass
        Of each cell of the plan.
    controls : list of Control
        Of each cell; none where none were asked for.
    draws : list of list of list of Pass
        For each pass of each cell, itself and the same over paths of other laws; none where none were asked for.
    """

    plan: Plan
    target: Target | None
    n_groups: int | None
    shows_groups: bool
    passes: list[list[Pass]]
    controls: list[Control]
    draws: list[list[list[Pass]]]


def prepare(
    model: Any,
    venue: Any,
    *,
    n_paths: Any,
    rel_error: Any,
    abs_error: Any,
    error_at: Any,
    groups: Any,
    control: Any,
    importance: Any,
    outputs: Any,
    quantiles: Any,
    times: Any,
    **shared: Any,
) -> Prepared:
    """Check the arguments of :func:`sweep`; ``shared`` are the others of :func:`liqsim.planning.plan_sweep`."""
    plan = plan_sweep(model, venue, n_paths=most_paths(n_paths, rel_error, abs_error), **shared)
    check_flag("control", control)
    check_flag("importance", importance)
    if importance and (control or outputs):
        other = "control=True" if control else f"outputs={outputs!r}"
        raise ParameterError(f"importance=True does not go with {other}; ask for one after the other")
    settings, cells = plan.settings, plan.cells
    if (control or importance) and groups is None:
        n_groups: int | None = own_groups("control" if control else "importance", CONTROL_GROUPS, settings.n_paths)
    else:
        n_groups = read_groups(groups, settings.n_paths)
    plan = plan.booking(outputs, quantiles, times)
    target = plan.target(rel_error, abs_error, error_at, are_counts=not (control or importance))
    passes = [[plan.make(cell, timeline) for timeline in plan.timelines(cell.venue)] for cell in cells]
    plan.outputs.check_memory(passes, n_groups or 1, settings.threads)
    tallies = [tally_bytes(task) for group in passes for task in group]
    kept = 2 * sum(tallies) * (n_groups or 1)
    needed = needed_memory(tallies, plan.n_cells, settings.threads, kept=kept, n_added=plan.outputs.n_values)
    check_memory(needed, plan.n_cells)
    controls = []
    if control:
        controls = [control_cell(cell, settings, mine) for cell, mine in zip(cells, passes, strict=True)]
    draws = []
    if importance:
        draws = [cell_draws(cell, settings, mine) for cell, mine in zip(cells, passes, strict=True)]
        passes = [[laws[0] for laws in cell] for cell in draws]
    return Prepared(plan, target, n_groups, groups is not None, passes, controls, draws)
