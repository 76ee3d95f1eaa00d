"""A comparison of venues as rows: the numbers of each, and in words why they differ."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from liqsim.errors import ParameterError
from liqsim.plot._data import inputs, share_of_margin

__all__ = ["VenueRow", "common_leverage", "is_comparison", "venue_table"]

_QUANTITIES = (
    "p_liquidation", "p_partial", "p_margin_call", "funding_cost", "fees", "pnl", "shortfall", "engine_kept",
)  # fmt: skip


@dataclass(frozen=True)
class VenueRow:
    """One venue of a comparison; ``values`` and ``errors`` by variable, as stored.

    ``move`` is the way from entry to the liquidation price, a signed fraction of the entry price; ``back`` the share of
    a liquidated position's margin that is handed back, and its standard error, not-a-number where no path was
    liquidated.
    """

    venue: str
    side: str
    leverage: float
    stop: float
    liquidation_price: float
    move: float
    values: dict[str, float]
    errors: dict[str, float]
    back: tuple[float, float]
    bearer: str
    why: str
    is_closed: bool
    n_paths: int


def is_comparison(ds: xr.Dataset) -> bool:
    """Whether a dataset is the result of :func:`liqsim.compare_venues`."""
    return "why" in ds and "is_allowed" in ds


def common_leverage(ds: xr.Dataset) -> float:
    """Highest leverage that most venues of a comparison allow, of one side."""
    if "leverage" not in ds.dims:
        return float(ds["leverage"])
    count = ds["is_allowed"].sum("venue")
    return float(ds["leverage"].where(count == count.max()).max())


def venue_table(ds: xr.Dataset) -> list[VenueRow]:
    """Cells of a comparison as rows: side, leverage and stop in turn, and for each the venues that allow it.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.compare_venues`.

    Returns
    -------
    list of VenueRow

    Raises
    ------
    ParameterError
        If the dataset is not a comparison.
    """
    if not is_comparison(ds) or "venue" not in ds.dims:
        raise ParameterError("ds is not a comparison of venues; give the result of liqsim.compare_venues")
    price = float(inputs(ds)["price"])
    rows = []
    sides, leverages, stops = (np.atleast_1d(ds[name].values) for name in ("side", "leverage", "stop"))
    for side, leverage, stop in itertools.product(sides, leverages, stops):
        where = {"side": side, "leverage": leverage, "stop": stop}
        part = ds.sel({name: value for name, value in where.items() if name in ds.dims})
        for label in ds["venue"].values:
            cell = part.sel(venue=label)
            if not bool(cell["is_allowed"]):
                continue
            level = float(cell["liquidation_price"])
            rows.append(
                VenueRow(
                    venue=str(label),
                    side=str(side),
                    leverage=float(leverage),
                    stop=float(stop),
                    liquidation_price=level,
                    move=level / price - 1.0 if 0 < level < math.inf else math.nan,
                    values={name: float(cell[name]) for name in _QUANTITIES},
                    errors={name: float(cell[f"{name}_se"]) for name in _QUANTITIES},
                    back=share_of_margin(cell, "returned"),
                    bearer=str(cell["bearer"].values),
                    why=str(cell["why"].values),
                    is_closed=str(cell["status"].values).startswith("closed"),
                    n_paths=int(cell["p_liquidation"].attrs["n_paths"]),
                )
            )
    return rows
