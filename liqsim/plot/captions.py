"""One line that says what a picture shows and how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from liqsim.cells import ASSUMED_NOTE
from liqsim.plot._data import horizon_text, inputs, scalar

__all__ = ["caption", "footnotes"]

_MOST_VENUES = 3  # that are named one by one
_NAMES = {"gbm": "GBM", "merton": "Merton", "kou": "Kou"}
_SYMBOLS = {
    "sigma": "volatility",
    "intensity": "jumps/yr",
    "p_up": "P(up)",
    "eta_up": "eta up",
    "eta_down": "eta down",
    "jump_mean": "jump mean",
    "jump_std": "jump std",
    "drift": "drift",
}


def model_text(description: Mapping[str, Any]) -> str:
    """Name and parameters of a model as stored in the provenance."""
    values = ", ".join(
        f"{_SYMBOLS.get(name, name)} {value:.4g}" for name, value in description.items() if name != "model"
    )
    name = str(description.get("model", "model"))
    return f"{_NAMES.get(name, name)} ({values})"


def quote_text(given: Mapping[str, Any], venue: str | None = None) -> str:
    """Quote currency of one venue or of all in a provenance, such as ``USD/USDT``."""
    venues = given.get("venue", {})
    chosen = [venues[venue]] if venue in venues else list(venues.values())
    return "/".join(sorted({str(v.get("contract", {}).get("quote", "")) for v in chosen} - {""}))


def caption(ds: xr.Dataset) -> str:
    """Describe the run behind a dataset in one line.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep`, or a selection of it.

    Returns
    -------
    str
        Model, venue with snapshot date, position, horizon, paths and seed, as far as the dataset says.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=10, side="long", n_paths=1000, seed=1)
    >>> caption(ds)
    'GBM (volatility 0.6, drift 0) · custom · long · 10,000 USD at 60,000 · 30 days · 1,000 paths · seed 1'
    """
    given = inputs(ds)
    parts: list[str] = []
    models, venues = given.get("model", {}), given.get("venue", {})
    chosen = scalar(ds, "model")
    if chosen is not None and chosen in models:
        parts.append(model_text(models[chosen]))
    elif models:
        parts.append(", ".join(models))
    label = scalar(ds, "venue")
    if label is not None:
        snapshot = venues.get(label, {}).get("snapshot")
        parts.append(f"{label}, rules of {snapshot}" if snapshot else str(label))
    elif venues:
        shown = [str(v) for v in np.atleast_1d(ds["venue"].values)] if "venue" in ds.coords else list(venues)
        parts.append(" and ".join(shown) if len(shown) <= _MOST_VENUES else f"{len(shown)} venues")
    side = scalar(ds, "side")
    if side is not None:
        parts.append(str(side))
    notional = scalar(ds, "notional")
    if notional is not None:
        unit = quote_text(given, None if label is None else str(label)) or ds["notional"].attrs.get("units", "")
        at = f" at {given['price']:,.10g}" if "price" in given else ""
        parts.append(f"{float(notional):,.10g} {unit}".rstrip() + at)
    horizon = scalar(ds, "horizon")
    if horizon is not None:
        parts.append(horizon_text(np.timedelta64(horizon)))
    if "n_paths" in ds.attrs:
        parts.append(f"{int(ds.attrs['n_paths']):,} paths")
    if "seed" in ds.attrs:
        parts.append(f"seed {ds.attrs['seed']}")
    return " · ".join(parts)


def footnotes(ds: xr.Dataset) -> list[str]:
    """What a reader must know of a comparison: which venues are left out, closed, or need an assumption.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`liqsim.compare_venues`.

    Returns
    -------
    list of str
        One sentence or two each; empty where there is nothing to say.
    """
    left_out = json.loads(ds.attrs.get("left_out", "{}"))
    said = []
    if left_out:
        lacking = any(reason.startswith("no source states") for reason in left_out.values())
        why = "; ".join(f"{label}, {reason}" for label, reason in left_out.items())
        said.append(f"Left out: {why}{' (assume gives such values)' if lacking else ''}.")
    notes = [line for line in str(ds.attrs.get("notes", "")).splitlines() if line]
    assumed = [line.removesuffix(ASSUMED_NOTE) for line in notes if line.endswith(ASSUMED_NOTE)]
    if assumed:
        said.append(f"Assumed, for no source states it: {'; '.join(assumed)}.")
    said += [line for line in notes if not line.endswith(ASSUMED_NOTE)]
    own = json.loads(ds.attrs.get("own_paths", "[]"))
    if own:
        said.append(f"All venues see the same price paths, but for {', '.join(own)}: other paths of the same law.")
    return said
