"""The text of a study: TOML with includes and overrides, and the place of every key in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from liqsim.errors import ParameterError

__all__ = ["Document", "Steps", "read_document"]

Steps: TypeAlias = tuple[str | int, ...]

_KEY = r"(?:\"[^\"]*\"|'[^']*'|[\w-]+)"
_KEYS = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_TEXT = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*")


@dataclass(frozen=True)
class Document:
    """Keys and values of a study, and where each stands.

    Parameters
    ----------
    values : dict
        As read, includes merged and overrides made.
    name : str
        Of the file, for messages.
    folder : pathlib.Path
        Where file names in it start.
    places : dict
        For the path of a key, such as ``("model", 0, "sigma")``, its file and line.
    """

    values: dict[str, Any]
    name: str
    folder: Path
    places: dict[Steps, str] = field(default_factory=dict)

    def where(self, steps: Steps) -> str:
        """File and line of a key, or of the nearest one that holds it."""
        for n in range(len(steps), 0, -1):
            if steps[:n] in self.places:
                return self.places[steps[:n]]
        return self.name


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in re.findall(_KEY, dotted)]


def _lines(text: str) -> dict[Steps, int]:
    """Line of every key that starts one; what stands inside a list or a text of many lines is not looked at."""
    found: dict[Steps, int] = {}
    tables: dict[Steps, int] = {}
    head: Steps = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        rest = line
        if quote:
            if quote not in line:
                continue
            rest, quote = line.partition(quote)[2], ""
        elif depth == 0:
            if match := _HEADER.match(line):
                head = _resolved(_split(match[2]), tables, is_list=match[1] == "[[")
                found.setdefault(head, number)
                continue
            if match := _KEYS.match(line):
                steps = (*head, *_split(match[1]))
                for n in range(len(head) + 1, len(steps) + 1):
                    found.setdefault(steps[:n], number)
                rest = line[match.end() :]
        bare, quote = _bare(rest)
        depth = max(0, depth + sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}"))
    return found


def _bare(line: str) -> tuple[str, str]:
    """A line without its texts and comment, and the quotes of a text of many lines that begins in it."""
    kept, at = "", 0
    while match := _TEXT.search(line, at):
        kept += line[at : match.start()]
        at = match.end()
        if match[0] in ('"""', "'''"):
            end = line.find(match[0], at)
            if end < 0:
                return kept, match[0]
            at = end + 3
    return kept + line[at:], ""


def _resolved(names: list[str], tables: dict[Steps, int], *, is_list: bool) -> Steps:
    """Path of a header: ``[[model]]`` is the next of the list, ``[model.x]`` a table of its last one."""
    steps: Steps = ()
    for k, name in enumerate(names):
        steps = (*steps, name)
        if is_list and k == len(names) - 1:
            tables[steps] = tables.get(steps, -1) + 1
        if steps in tables:
            steps = (*steps, tables[steps])
    return steps


def _load(path: Path, inside: tuple[Path, ...]) -> tuple[dict[str, Any], dict[Steps, str]]:
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ParameterError(
            f"{str(path)!r} cannot be read: {error.strerror or error}; give a TOML file, liqsim sweep --help shows one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{str(path)!r} is not TOML: {error}; liqsim sweep --help shows an example") from None
    places = {steps: f"{path.name}, line {line}" for steps, line in _lines(text).items()}
    included = values.pop("include", [])
    names = [included] if isinstance(included, str) else included
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"{path.name}: include={included!r} is not allowed; give the name of a TOML file or a list"
        )
    merged: dict[str, Any] = {}
    merged_places: dict[Steps, str] = {}
    for name in names:
        other = (path.parent / name).resolve()
        if other in inside:
            chain = " -> ".join(p.name for p in (*inside, other))
            raise ParameterError(f"{path.name}: include={name!r} comes back to itself ({chain}); leave one out")
        more, more_places = _load(other, (*inside, other))
        _replace(merged, merged_places, more, more_places)
    _replace(merged, merged_places, values, places)
    return merged, merged_places


def _replace(
    values: dict[str, Any], places: dict[Steps, str], more: dict[str, Any], more_places: dict[Steps, str]
) -> None:
    """Keys of ``more`` replace those of ``values``, whole tables included."""
    for steps in [steps for steps in places if steps[0] in more]:
        del places[steps]
    values.update(more)
    places.update(more_places)


def _override(values: dict[str, Any], places: dict[Steps, str], text: str) -> None:
    """Make a change such as ``n_paths=1e7`` or ``model.0.sigma=0.5``; a value is read as in TOML, else it is text."""
    dotted, equals, written = text.partition("=")
    steps: list[str | int] = [int(s) if s.isdigit() else s for s in _split(dotted)]
    if not equals or not steps or not written.strip():
        raise ParameterError(f"--set={text!r} is not allowed; give KEY=VALUE, such as n_paths=1e7 or premium.vol=2e-4")
    try:
        value = tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        value = written.strip()
    table: Any = values
    for k, step in enumerate(steps):
        is_last = k == len(steps) - 1
        if isinstance(table, list):
            if not isinstance(step, int) or not 0 <= step < len(table):
                raise ParameterError(f"--set={text!r}: {step!r} is not a number in 0..{len(table) - 1}")
        elif isinstance(table, dict):
            step = str(step)
            if not is_last:
                table.setdefault(step, {})
        else:
            raise ParameterError(f"--set={text!r}: {'.'.join(map(str, steps[:k]))} is not a table")
        if is_last:
            table[step] = value
        else:
            table = table[step]
    places[tuple(steps)] = f"--set {dotted.strip()}"


def read_document(path: str | Path, changes: Sequence[str] | Iterable[str] = ()) -> Document:
    """Read a study's file.

    Parameters
    ----------
    path : str or pathlib.Path
        TOML file. Its ``include`` names others, whose keys it replaces.
    changes : sequence of str
        Overrides, ``"key=value"`` with dotted keys.

    Raises
    ------
    ParameterError
        If a file is missing or not TOML (the message holds the line), or an override cannot be made.
    """
    path = Path(path)
    values, places = _load(path, (path.resolve(),))
    for text in changes:
        _override(values, places, text)
    return Document(values, path.name, path.parent, places)
