"""From a result's provenance back to the arguments of the call that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from liqsim.errors import ParameterError
from liqsim.models import GBM, Kou, Merton, OUPremium, PriceModel
from liqsim.venues.plain import venue_from_dict

__all__ = ["model_from_dict", "provenance_of", "seed_of", "sweep_arguments_of"]

_MODELS: dict[str, type[PriceModel]] = {kind.name: kind for kind in (GBM, Merton, Kou)}
_WAY_OUT = "give the model, the venue and the other arguments of the sweep instead"


def provenance_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """The record that a result carries in its attributes.

    Raises
    ------
    ParameterError
        If there is none, or it is not one of this package's.
    """
    try:
        record = json.loads(attrs["provenance"])
        if not isinstance(record["inputs"], dict) or not isinstance(record["function"], str):
            raise TypeError
    except (KeyError, TypeError, ValueError):
        raise ParameterError(
            "the dataset has no provenance of liqsim in its attrs (some operations drop attrs; "
            f"xarray.set_options(keep_attrs=True) keeps them); {_WAY_OUT}"
        ) from None
    return record


def model_from_dict(values: Mapping[str, Any]) -> PriceModel:
    """A price model of what its ``to_dict`` returns.

    Examples
    --------
    >>> model_from_dict(GBM(sigma=0.6).to_dict())
    GBM(sigma=0.6, drift=0.0)
    """
    kind = _MODELS.get(values.get("model", ""))
    try:
        if kind is None:
            raise TypeError
        return kind(**{name: value for name, value in values.items() if name != "model"})
    except TypeError:
        raise ParameterError(
            f"model {values.get('model')!r} cannot be rebuilt from its plain values; {_WAY_OUT}"
        ) from None


def seed_of(value: Any) -> int | np.random.SeedSequence:
    """The seed as it was given."""
    if isinstance(value, Mapping):
        return np.random.SeedSequence(
            value["entropy"], spawn_key=tuple(value["spawn_key"]), pool_size=value.get("pool_size", 4)
        )
    return int(value)


def sweep_arguments_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with which :func:`liqsim.sweep` repeats a result to the last bit.

    Parameters
    ----------
    record : mapping
        Provenance of a result of :func:`liqsim.sweep` or :func:`liqsim.compare_venues`. The latter stops its venues at
        the instants of all, which no argument of a sweep can say.

    Returns
    -------
    dict
        By name; models and venues by label, whatever was given as one or as a list.

    Raises
    ------
    ParameterError
        If the record lacks something.
    VenueDataError
        If a venue has rules that plain values do not hold.
    """
    try:
        inputs = record["inputs"]
        premium = inputs["premium"]
        monitoring = inputs["monitoring_ns"]
        return {
            "model": {label: model_from_dict(values) for label, values in inputs["model"].items()},
            "venue": {label: venue_from_dict(values) for label, values in inputs["venue"].items()},
            "leverage": inputs["leverage"],
            "stop": [float(stop) for stop in inputs["stop"]],
            "side": inputs["side"],
            "notional": inputs["notional"],
            "price": inputs["price"],
            "horizon": [np.timedelta64(ns, "ns") for ns in inputs["horizon_ns"]],
            "premium": None if premium is None else OUPremium(**premium),
            "monitoring": "continuous" if monitoring is None else np.timedelta64(monitoring, "ns"),
            "gap_rule": inputs["gap_rule"],
            "start": inputs["start"],
            "top_up": inputs["top_up"],
            "n_paths": record["n_paths"],
            "seed": seed_of(record["seed"]),
        }
    except KeyError as error:
        raise ParameterError(
            f"the provenance lacks {error}, so the call cannot be repeated (liqsim {record.get('version')} made it); "
            f"{_WAY_OUT}"
        ) from None
