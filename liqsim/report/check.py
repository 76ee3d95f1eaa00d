"""Simulation beside the exact answer, in the one setting where both exist."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from liqsim.analytic import first_passage
from liqsim.durations import Duration
from liqsim.models import PriceModel
from liqsim.sweep import sweep
from liqsim.venues import Venue

__all__ = ["CheckRow", "closed_form_check"]

_PRICE = 60_000.0
_MAINTENANCE = 0.005


class CheckRow(NamedTuple):
    """One cell: estimate and exact probability of liquidation, and their distance in standard errors."""

    side: str
    leverage: float
    level: float
    estimate: float
    se: float
    exact: float
    bound: float
    z: float
    n_paths: int


def closed_form_check(
    model: PriceModel,
    horizon: Duration = "30D",
    *,
    leverage: Sequence[float] = (5.0, 10.0, 25.0),
    n_paths: int = 200_000,
    seed: int | np.random.SeedSequence = 0,
    threads: int | None = None,
) -> list[CheckRow]:
    """Compare P(liquidation) with the first-passage probability of the liquidation price.

    Parameters
    ----------
    model : PriceModel
        With ``sigma > 0``.
    horizon : duration, default "30D"
    leverage : sequence of float, default (5, 10, 25)
        Up to 100.
    n_paths, seed, threads
        As in :func:`liqsim.sweep`.

    Returns
    -------
    list of CheckRow
        Both sides of every leverage. ``level`` is the liquidation price over the entry price, ``se`` the standard
        error that the exact probability implies, ``bound`` the numerical error bound of the exact value.

    Notes
    -----
    The venue is linear with one tier of 0.5 % maintenance and neither fees, funding nor stop, so that liquidation is
    the first passage of the price through one level. All rows share their paths: their z are correlated.

    Examples
    --------
    >>> from liqsim import GBM
    >>> rows = closed_form_check(GBM(sigma=0.6), "7D", leverage=[10], n_paths=20_000, seed=1)
    >>> all(abs(row.z) < 4 for row in rows)
    True
    """
    venue = Venue.from_tiers([(0.0, None, _MAINTENANCE, 100.0)], name="closed-form-check")
    ds = sweep(
        model,
        venue,
        leverage=list(leverage),
        horizon=horizon,
        price=_PRICE,
        n_paths=n_paths,
        seed=seed,
        threads=threads,
    )
    rows = []
    for side in ds["side"].values:
        cells = ds.sel(side=side).isel(stop=0)
        levels = cells["liquidation_price"].values / _PRICE
        law = first_passage(model, levels, horizon)
        for k, lev in enumerate(cells["leverage"].values):
            p = float(np.asarray(law.p_hit)[k])
            estimate, se = float(cells["p_liquidation"].values[k]), math.sqrt(p * (1 - p) / n_paths)
            z = (estimate - p) / se if se > 0 else 0.0 if estimate == p else math.inf
            bound = float(np.asarray(law.p_hit_bound)[k])
            rows.append(CheckRow(str(side), float(lev), float(levels[k]), estimate, se, p, bound, z, n_paths))
    return rows
