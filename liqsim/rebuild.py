"""From a result's provenance back to the arguments of the call that made it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from liqsim.errors import ParameterError
from liqsim.models import GBM, Kou, Merton, OUPremium, PriceModel
from liqsim.venues.plain import venue_from_dict

__all__ = ["REPEATED", "arguments_of", "model_from_dict", "provenance_of", "seed_of", "sweep_arguments_of"]

REPEATED = ("sweep", "first_passage", "compare_venues")
"""Functions whose results :func:`arguments_of` knows how to repeat."""

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
    with _complete(record):
        inputs = record["inputs"]
        premium = inputs["premium"]
        return {
            "model": {label: model_from_dict(values) for label, values in inputs["model"].items()},
            "venue": {label: venue_from_dict(values) for label, values in inputs["venue"].items()},
            "leverage": inputs["leverage"],
            "stop": [float(stop) for stop in inputs["stop"]],
            "side": inputs["side"],
            "notional": inputs["notional"],
            "price": inputs["price"],
            "horizon": _instants(inputs["horizon_ns"]),
            "premium": None if premium is None else OUPremium(**premium),
            "monitoring": _monitoring(inputs["monitoring_ns"]),
            "gap_rule": inputs["gap_rule"],
            "start": inputs["start"],
            "top_up": inputs["top_up"],
            "n_paths": record["n_paths"],
            "seed": seed_of(record["seed"]),
        }


def arguments_of(record: Mapping[str, Any], dims: Collection[str]) -> dict[str, Any]:
    """All arguments of the call that made a result, one of :data:`REPEATED`, so that it can be made again.

    Parameters
    ----------
    record : mapping
        Provenance of the result.
    dims : collection of str
        Dimensions of the result: where there is one value and no dimension, the call had no list.

    Returns
    -------
    dict
        By name, with an accuracy that was asked for, groups, control variates and outputs.

    Raises
    ------
    ParameterError, VenueDataError
        As :func:`sweep_arguments_of` does.
    """
    inputs, function = record["inputs"], record["function"]
    with _complete(record):
        if function == "first_passage":
            arguments = {
                "model": model_from_dict(inputs["model"]),
                "levels": inputs["levels"],
                "horizon": _instants(inputs["horizon_ns"]),
                "monitoring": _monitoring(inputs["monitoring_ns"]),
                "n_paths": record["n_paths"],
                "seed": seed_of(record["seed"]),
            }
        else:
            arguments = sweep_arguments_of(record)
        if function == "compare_venues":
            others = {label: venue_from_dict(values) for label, values in inputs["stopped_for"].items()}
            arguments["venues"] = arguments.pop("venue") | others
            (arguments["model"],) = arguments["model"].values()
    for name in ("model", "venue"):
        if isinstance(values := arguments.get(name), dict) and len(values) == 1 and name not in dims:
            (arguments[name],) = values.values()
    for name in ("notional", "horizon", "side", "leverage", "stop"):
        if len(values := arguments.get(name, ())) == 1 and name not in dims:
            (arguments[name],) = values
    has_own = inputs.get("control", False) or inputs.get("importance", False)  # groups, which nobody asked for
    shows_groups = "group" in dims or not has_own
    arguments |= {name: inputs[name] for name in ("control", "importance", "outputs", "quantiles") if name in inputs}
    if "groups" in inputs and shows_groups:
        arguments["groups"] = inputs["groups"]
    if "times_ns" in inputs:
        arguments["times"] = _instants(inputs["times_ns"])
    if "accuracy" in inputs:
        arguments |= _accuracy(inputs["accuracy"])
    return arguments


def _accuracy(asked: Mapping[str, Any]) -> dict[str, Any]:
    numbers = ("notional", "leverage", "stop", "level")
    cells = {
        axis: [float(label) for label in labels] if axis in numbers else labels
        for axis, labels in asked["error_at"].items()
    }
    return {
        "rel_error": asked["rel_error"] or None,
        "abs_error": asked["abs_error"] or None,
        "error_at": cells or None,
        "n_paths": asked["most_paths"],
    }


def _instants(ns: list[int]) -> list[np.timedelta64]:
    return [np.timedelta64(x, "ns") for x in ns]


def _monitoring(ns: int | None) -> str | np.timedelta64:
    return "continuous" if ns is None else np.timedelta64(ns, "ns")


@contextmanager
def _complete(record: Mapping[str, Any]) -> Iterator[None]:
    """Say so where the provenance lacks something."""
    try:
        yield
    except KeyError as error:
        raise ParameterError(
            f"the provenance lacks {error}, so the call cannot be repeated (liqsim {record.get('version')} made it); "
            f"{_WAY_OUT}"
        ) from None
