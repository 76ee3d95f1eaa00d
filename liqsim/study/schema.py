"""What a study may say: its tables and keys, and what is wrong with one that does not keep to them."""

from __future__ import annotations

import difflib
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from liqsim.errors import ParameterError
from liqsim.study.document import Document, Steps

__all__ = [
    "MODEL_TABLES",
    "OutputTable",
    "PremiumTable",
    "PresetTable",
    "StudyTable",
    "VenueTable",
    "checked",
    "refuse",
]

_Numbers = float | list[float]


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class PremiumTable(_Table):
    """``[premium]``."""

    mean: float
    half_life: str
    vol: float
    correlation: float = 0.0
    initial: float | None = None


class OutputTable(_Table):
    """``[output]``: names of what is written, from the study's folder, or URLs."""

    store: str | None = None
    netcdf: str | None = None


class VenueTable(_Table):
    """One venue: an id, a file, or the text of one."""

    id: str | None = None
    file: str | None = None
    toml: str | None = None
    assume: dict[str, Any] = {}
    margin_changes: list[tuple[str, float]] = []
    collateral_haircut: float | None = None


class _GbmTable(_Table):
    kind: str
    sigma: _Numbers
    drift: _Numbers = 0.0
    label: str | None = None
    source: str | None = None


class _MertonTable(_Table):
    kind: str
    sigma: _Numbers
    intensity: _Numbers
    jump_mean: _Numbers
    jump_std: _Numbers
    drift: _Numbers = 0.0
    label: str | None = None
    source: str | None = None


class _KouTable(_Table):
    kind: str
    sigma: _Numbers
    intensity: _Numbers
    p_up: _Numbers
    eta_up: _Numbers
    eta_down: _Numbers
    drift: _Numbers = 0.0
    label: str | None = None
    source: str | None = None


class PresetTable(_Table):
    """A fit that ships with the package."""

    preset: str
    kind: str = "kou"
    drift: float = 0.0
    label: str | None = None


MODEL_TABLES: dict[str, type[_Table]] = {"gbm": _GbmTable, "merton": _MertonTable, "kou": _KouTable}


class StudyTable(_Table):
    """A whole study. ``model`` and ``venue`` have several forms, which :mod:`liqsim.study.resolve` takes apart."""

    leverage: _Numbers
    model: Any
    venue: Any
    stop: float | str | list[float | str] = float("inf")
    side: str | list[str] = msgspec.field(default_factory=lambda: ["long", "short"])
    notional: _Numbers = 10_000.0
    price: float = 60_000.0
    horizon: str | list[str] = "30D"
    premium: PremiumTable | None = None
    monitoring: str = "continuous"
    gap_rule: str = "liquidation"
    start: Any = None
    top_up: float = 0.0
    n_paths: int | float | None = None
    rel_error: Any = None
    abs_error: Any = None
    error_at: dict[str, Any] | None = None
    outputs: str | list[str] | None = None
    quantiles: _Numbers | None = None
    times: str | list[str] | None = None
    seed: Any = 0
    threads: int | None = None
    assume: dict[str, Any] = {}
    title: str = ""
    output: OutputTable = msgspec.field(default_factory=OutputTable)


_ALLOWED = {
    "leverage": "numbers in (0, 1000], notional over margin",
    "stop": "numbers above 0, fractions of the entry price, or inf for no stop",
    "side": '"long", "short" or both in a list',
    "notional": "numbers in (0, 1e15], quote currency",
    "price": "one number, quote per base",
    "horizon": 'durations with a unit, such as "30D" or ["7D", "30D"]',
    "premium": "a section [premium] with mean, half_life and vol",
    "monitoring": '"continuous" or a duration such as "10s"',
    "gap_rule": '"liquidation" or "stop"',
    "start": "a time such as 2026-03-04T15:00:00Z",
    "top_up": "a number in [0, 1000], of the entry notional",
    "n_paths": "a whole number such as 1_000_000 or 1e6",
    "error_at": "a section [error_at] with labels by dimension, such as leverage = 10",
    "outputs": 'names, such as ["value_at_risk", "p_liquidation_by"]; the outputs of liqsim.sweep',
    "quantiles": "probabilities in (0, 1)",
    "times": 'durations with a unit, such as ["1D", "7D"]',
    "threads": "a whole number in [1, 1024]",
    "assume": "sections [assume.VENUE] with values by dotted name",
    "title": "a text",
    "output": 'a section [output] with store = "NAME.zarr" or netcdf = "NAME.nc"',
    "half_life": 'a duration with a unit, such as "15h"',
    "label": "a text",
    "source": "a text that says where the parameters come from",
    "kind": '"gbm", "merton" or "kou"',
    "preset": 'the name of a preset, such as "btc-2025"',
    "id": "the id of a venue; liqsim venues lists them",
    "file": "the name of a TOML file",
    "toml": "the text of a venue file",
    "store": "a folder's name or a URL",
    "netcdf": "a file's name",
}

_T = TypeVar("_T", bound=_Table)


def refuse(document: Document, steps: Steps, message: str, kind: type[ParameterError] = ParameterError) -> NoReturn:
    """Raise with the file and the line of a key before the message."""
    raise kind(f"{document.where(steps)}: {message}") from None


def checked(document: Document, steps: Steps, value: Any, kind: type[_T]) -> _T:
    """A table in the form of ``kind``.

    Parameters
    ----------
    document : Document
    steps : tuple of str or int
        Where the table stands; empty for the whole study.
    value : object
    kind : type
        One of the structs of this module.

    Raises
    ------
    ParameterError
        If a key is unknown (the nearest known one is offered) or missing, or a value is of the wrong type.
    """
    section = ".".join(str(s) for s in steps if isinstance(s, str))
    if not isinstance(value, dict):
        refuse(document, steps, f"{section}={value!r} is not a table; write it as a section [{section}]")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
    inner = [m[1] or int(m[2]) for m in re.finditer(r"\.([\w-]+)|\[(\d+)\]", path.rstrip("`"))]
    names = [str(s) for s in (*steps, *inner) if isinstance(s, str)]
    if unknown := re.search(r"unknown field `(.*)`", text):
        known = list(_fields(kind, inner))
        near = difflib.get_close_matches(unknown[1], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        where = f" in [{'.'.join(names)}]" if names else ""
        refuse(
            document, (*steps, *inner, unknown[1]), f"key {unknown[1]!r}{where} is unknown; {hint}Known: "
            + ", ".join(known),
        )  # fmt: skip
    if missing := re.search(r"missing required field `(\w+)`", text):
        where = f" in [{'.'.join(names)}]" if names else ""
        allowed = _ALLOWED.get(missing[1])
        way = f"give {allowed}; " if allowed else ""
        refuse(
            document,
            (*steps, *inner),
            f"key {missing[1]!r}{where} is missing; {way}liqsim sweep --help shows an example",
        )
    found: Any = value
    for step in inner:
        found = found[step]
    key = names[-1] if names else "study"
    refuse(document, (*steps, *inner), f"{key}={found!r} is not allowed; give {_ALLOWED.get(key, 'a number')}")


def _fields(kind: type[_Table], inner: list[str | int]) -> tuple[str, ...]:
    for step in inner:
        nested: dict[str, type[_Table]] = {"premium": PremiumTable, "output": OutputTable}
        kind = nested.get(str(step), kind)
    return kind.__struct_fields__
