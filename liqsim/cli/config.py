"""A sweep described in a TOML file: strict keys, and the arguments of :func:`liqsim.sweep`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from liqsim import presets
from liqsim.errors import ParameterError
from liqsim.models import GBM, Kou, Merton, OUPremium, PriceModel
from liqsim.venues import Venue, load_venue
from liqsim.venues.files import read_venue

__all__ = ["EXAMPLE", "read_config", "sweep_arguments"]

EXAMPLE = """\
venue = ["binance-usdm-btcusdt", "kraken-pi-xbtusd"]   # ids, ID@YYYY-MM-DD, or files "my-venue.toml"
leverage = [2, 3, 5, 10, 20, 50]
stop = [0.02, 0.05, 0.10, inf]                         # fractions of the entry price; inf: no stop
side = ["long", "short"]
notional = 100_000
price = 60_000
horizon = "30D"
# start = 2026-03-04T15:00:00Z                         # entry; places margin windows, tests and closures
# top_up = 0.1                                         # added on margin calls in all, of the notional
n_paths = 1_000_000
# outputs = ["expected_shortfall", "p_liquidation_by"] # what to compute besides; help(liqsim.sweep) names them
seed = 7

[model]
kind = "kou"                                           # gbm, merton, kou, or preset = "btc-2025"
sigma = 0.2
intensity = 4400
p_up = 0.55
eta_up = 270
eta_down = 230

[premium]                                              # leave out for none
mean = 1e-4
half_life = "15h"
vol = 3e-4

# [assume.kraken-spot-xbtusd]                          # what no source states; liqsim venues list says what is needed
# fees.taker = 0.0026
# liquidation.hazard = 0.5
"""

_MODELS: dict[str, type[PriceModel]] = {"gbm": GBM, "merton": Merton, "kou": Kou}
_PARAMETERS = {
    "gbm": ("sigma", "drift"),
    "merton": ("sigma", "intensity", "jump_mean", "jump_std", "drift"),
    "kou": ("sigma", "intensity", "p_up", "eta_up", "eta_down", "drift"),
}
_PLAIN = (
    "leverage",
    "stop",
    "side",
    "notional",
    "price",
    "horizon",
    "monitoring",
    "gap_rule",
    "start",
    "top_up",
    "n_paths",
    "outputs",
    "quantiles",
    "times",
    "seed",
    "threads",
)


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ParameterError
        If it is missing or not TOML; the message holds the line.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ParameterError(
            f"CONFIG={str(path)!r} cannot be read: {error.strerror or error}; give a TOML file, "
            "liqsim sweep --help shows one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"CONFIG={str(path)!r} is not TOML: {error}; liqsim sweep --help shows an example"
        ) from None


def sweep_arguments(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Turn a configuration into the arguments of :func:`liqsim.sweep`.

    Parameters
    ----------
    config : mapping
        Parsed TOML.
    folder : pathlib.Path
        Where file names of venues start.

    Raises
    ------
    ParameterError
        If a key is unknown (the nearest known one is offered) or one that is needed is missing.
    """
    _check_keys(config, (*_PLAIN, "model", "venue", "premium", "assume"), ("model", "venue", "leverage"), "")
    arguments: dict[str, Any] = {name: config[name] for name in _PLAIN if name in config}
    arguments["model"] = _models(config["model"])
    arguments["venue"] = _venues(config["venue"], folder, _table(config.get("assume", {}), "assume"))
    if "premium" in config:
        table = _table(config["premium"], "premium")
        _check_keys(
            table, ("mean", "half_life", "vol", "correlation", "initial"), ("mean", "half_life", "vol"), "premium"
        )
        arguments["premium"] = OUPremium(**table)
    return arguments


def _check_keys(table: Mapping[str, Any], known: Collection[str], needed: Collection[str], section: str) -> None:
    where = f" in [{section}]" if section else ""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ParameterError(f"key {key!r}{where} is unknown; {hint}Known: {', '.join(known)}")
    for key in needed:
        if key not in table:
            raise ParameterError(f"key {key!r}{where} is missing; liqsim sweep --help shows an example")


def _table(value: Any, section: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ParameterError(f"{section}={value!r} is not a table; write it as a section [{section}]")
    return value


def _models(value: Any) -> Any:
    if isinstance(value, list):
        made: dict[str, PriceModel] = {}
        for item in value:
            table = dict(_table(item, "model"))
            label = str(table.pop("label", table.get("kind", table.get("preset", ""))))
            if label in made:
                raise ParameterError(f'two models are called {label!r}; give each [[model]] its own label = "..."')
            made[label] = _model(table)
        return made
    return _model(_table(value, "model"))


def _model(table: Mapping[str, Any]) -> PriceModel:
    if "preset" in table:
        _check_keys(table, ("preset", "kind", "drift"), ("preset",), "model")
        return presets.model(table["preset"], table.get("kind", "kou"), drift=table.get("drift", 0.0))
    if "kind" not in table:
        raise ParameterError('key "kind" in [model] is missing; give kind = "gbm", "merton" or "kou", or a preset')
    kind = table["kind"]
    if kind not in _MODELS:
        near = difflib.get_close_matches(str(kind), _MODELS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ParameterError(f"kind={kind!r} in [model] is unknown; {hint}Known: {', '.join(_MODELS)}")
    names = _PARAMETERS[kind]
    _check_keys(table, ("kind", *names), names[:-1], "model")
    return _MODELS[kind](**{name: table[name] for name in names if name in table})


def _venues(value: Any, folder: Path, assume: Mapping[str, Any]) -> Venue | list[Venue]:
    found = [_venue(item, folder) for item in (value if isinstance(value, list) else [value])]
    _check_keys(assume, list(dict.fromkeys(venue.id for venue in found)), (), "assume")
    found = [
        venue.assume(dict(_dotted(_table(assume[venue.id], f"assume.{venue.id}")))) if venue.id in assume else venue
        for venue in found
    ]
    return found if isinstance(value, list) else found[0]


def _dotted(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted name, whether they were written as ``fees.taker = 1`` or in a section of their own."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _venue(value: Any, folder: Path) -> Venue:
    if not isinstance(value, str):
        raise ParameterError(f"venue={value!r} is not an id or a file name; liqsim venues lists the ids")
    if not value.endswith(".toml"):
        return load_venue(value)
    path = folder / value
    if not path.is_file():
        raise ParameterError(f"venue={value!r} is not a file in {folder or '.'}; give an id or the name of a TOML file")
    return read_venue(path)
