"""What is wrong with a TOML file, in words: the key, the value, and the form that is allowed there."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["explain", "explain_syntax"]

_DATE_LIKE = re.compile(r"([\w.-]+)\s*=\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})\s*(?:#.*)?$")
_PATH = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_FORMS = {
    "interval": 'a duration with its unit, such as "8h"',
    "roll_interval": 'a duration with its unit, such as "30D"',
    "first": 'a duration with its unit, such as "8h"',
    "deadline": 'a duration with its unit, such as "1D", or "0h"',
    "tiers": "rows [floor, cap, maintenance rate, maximum leverage]",
    "maker": "a fraction of notional, 0.0002 is 0.02 %",
    "taker": "a fraction of notional, 0.0005 is 0.05 %",
    "times": 'a list of local times, ["HH:MM"]',
    "anchor": 'a UTC time of day, "HH:MM"',
    "timezone": 'an IANA name such as "America/New_York"',
    "weekdays": 'a list such as ["Mon", "Tue"]',
    "as_of": '"YYYY-MM-DD", a year or month, or "n/d"',
    "changes": 'pairs [time after entry, new interval], such as [["10D", "2h"]]',
}


def explain(error: msgspec.ValidationError, raw: dict[str, Any], root: type) -> str:
    """Say what a validation error means.

    Parameters
    ----------
    error : msgspec.ValidationError
        Raised when ``raw`` was converted to ``root``.
    raw : dict
        The file as it was read.
    root : type
        Struct that describes the file.

    Returns
    -------
    str
        Key, value, what is wrong and what is allowed.
    """
    text, _, path = str(error).partition(" - at `$")
    steps: list[str | int] = [m[1] or int(m[2] or 0) for m in _PATH.finditer(path.rstrip("`"))]
    if unknown := re.search(r"unknown field `(\w+)`", text):
        return _unknown(steps, unknown[1], raw, root)
    if missing := re.search(r"missing required field `(\w+)`", text):
        where = [*steps, missing[1]]
        return f"{_words(where)} is missing; give {_form(_kind(where, raw, root), missing[1])}"
    value = _value(steps, raw)
    name = next((step for step in reversed(steps) if isinstance(step, str)), "")
    wanted = _kind(steps, raw, root)
    whole = isinstance(steps[-1], str) if steps else False
    if isinstance(value, dt.date):
        value = value.isoformat()
    return f"{_words(steps)}={value!r} is not allowed; give {_form(wanted, name if whole else '')}"


def explain_syntax(error: msgspec.DecodeError, text: str) -> str:
    """Say what a syntax error means, with the line in which it is."""
    found = re.search(r"line (\d+)", str(error))
    lines = text.splitlines()
    line = lines[int(found[1]) - 1].strip() if found and int(found[1]) <= len(lines) else ""
    if date := _DATE_LIKE.match(line):
        return f"{date[1]}={date[2]} (line {found[1] if found else ''}) is not a day of the calendar; give YYYY-MM-DD"
    shown = f": {line!r}" if line else ""
    return (
        f'not TOML: {error}{shown}; give lines such as kind = "linear", multiplier = 1.0, snapshot = 2026-08-29, '
        "under headings such as [contract]"
    )


def _unknown(steps: list[str | int], key: str, raw: dict[str, Any], root: type) -> str:
    known = _keys(_kind(steps, raw, root), _value(steps, raw))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    value = _value([*steps, key], raw)
    shown = "" if isinstance(value, (dict, list)) else f"={value!r}"
    where = f"[{_words(steps)}]" if steps else "a venue file"
    return f"{_words([*steps, key])}{shown} is an unknown key; {hint}{where} may hold {', '.join(known)}"


def _words(steps: list[str | int]) -> str:
    """``margin.tiers, row 3, value 4`` for a path; rows are counted from 1."""
    said, nested = "", 0
    for step in steps:
        if isinstance(step, str):
            said, nested = f"{said}.{step}" if said and not nested else f"{said} {step}".strip(), 0
        else:
            said, nested = f"{said}, {'value' if nested else 'row'} {step + 1}", nested + 1
    return said


def _value(steps: list[str | int], raw: Any) -> Any:
    for step in steps:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _structs(kind: Any) -> list[Any]:
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return [p for p in parts if isinstance(p, type) and issubclass(p, msgspec.Struct)]


def _chosen(kind: Any, value: Any) -> list[Any]:
    """The struct of a union that the value's tag names, or all of them."""
    structs = _structs(kind)
    tag = value.get("kind") if isinstance(value, dict) else None
    return [s for s in structs if s.__struct_config__.tag == tag] or structs


def _keys(kind: Any, value: Any) -> list[str]:
    found = dict.fromkeys(key for struct in _chosen(kind, value) for key in struct.__struct_fields__)
    tagged = any(struct.__struct_config__.tag for struct in _structs(kind))
    return sorted(["kind", *found] if tagged and "kind" not in found else found)


def _kind(steps: list[str | int], raw: Any, kind: Any) -> Any:
    """The type that a file must have at a path."""
    for step in steps:
        if isinstance(step, str):
            hints = [get_type_hints(struct).get(step) for struct in _chosen(kind, raw)]
            if step == "kind" and not any(hints):
                return Literal[tuple(struct.__struct_config__.tag for struct in _structs(kind))]
            kind = next((hint for hint in hints if hint is not None), None)
        else:
            inner = get_args(kind)
            kind = inner[step if get_origin(kind) is tuple and step < len(inner) else 0] if inner else None
        raw = _value([step], raw)
    return kind


def _form(kind: Any, name: str = "") -> str:
    """Words for a type."""
    if name in _FORMS:
        return _FORMS[name]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{value}"' for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType) and not _structs(kind):
        return _form(next(part for part in get_args(kind) if part is not type(None)))
    if _structs(kind):
        return f"a table [{name}]" if name else "a table"
    if get_origin(kind) is list:
        return f"a list of {_form(get_args(kind)[0])}"
    if get_origin(kind) is tuple:
        parts = [_form(part) for part in get_args(kind)]
        return f"a row of {len(parts)}, each {parts[0]}" if len(set(parts)) == 1 else f"a row of {', '.join(parts)}"
    plain = {
        float: "a number",
        int: "a whole number",
        str: "text in quotes",
        bool: "true or false",
        dt.date: "a date, YYYY-MM-DD",
    }
    return plain.get(kind, "another value")
