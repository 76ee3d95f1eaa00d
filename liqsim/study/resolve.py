"""From the text of a study to the plan that it asks for, with everything it rests on written out."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import difflib
import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from liqsim import presets
from liqsim.errors import LiqsimError, ParameterError, StoreError
from liqsim.models import GBM, Kou, Merton, OUPremium, PriceModel
from liqsim.planning import Plan, plan_sweep
from liqsim.stopping import Target, most_paths
from liqsim.study.document import Document, Steps, read_document
from liqsim.study.schema import (
    MODEL_TABLES,
    OutputTable,
    PresetTable,
    StudyTable,
    VenueTable,
    checked,
    refuse,
)
from liqsim.venues import Venue
from liqsim.venues.files import parse_venue
from liqsim.venues.registry import venue_file

__all__ = ["Study", "differences", "read_study", "study_from"]

_MODELS: dict[str, type[PriceModel]] = {"gbm": GBM, "merton": Merton, "kou": Kou}
_PLAIN = ("leverage", "stop", "side", "notional", "price", "horizon", "monitoring", "gap_rule", "top_up")
TARGETS = ("rel_error", "abs_error", "error_at")
"""Keys that ask for an accuracy."""

_OUTPUTS = ("outputs", "quantiles", "times")
_ELSEWHERE = {
    "groups": "the groups of a longer run are other groups, so that paths could not be added",
    "control": "control variates need groups of paths, and those of a longer run are other groups",
    "importance": "its errors come from groups of paths, and those of a longer run are other groups",
}
_VENUE_KEYS = {"id", "file", "toml", "assume", "margin_changes", "collateral_haircut"}
_MOST_MODELS = 100_000


@dataclass(frozen=True)
class Study:
    """A checked study.

    Parameters
    ----------
    resolved : dict
        The study as plain values that JSON holds: includes merged, products multiplied out, presets as their numbers,
        venues as the text of their files. It is itself a study, and gives the same bits.
    arguments, accuracy : dict
        Of :func:`liqsim.sweep`, those that ask for an accuracy apart.
    threads : int or None
    output : OutputTable
    folder : pathlib.Path
        Where names of outputs start.
    title : str
    document : Document
        For the places of keys in messages.
    """

    resolved: dict[str, Any]
    arguments: dict[str, Any]
    accuracy: dict[str, Any]
    threads: int | None
    output: OutputTable
    folder: Path
    title: str
    document: Document

    @cached_property
    def plan(self) -> Plan:
        """What will be run; raises ParameterError, with file and line, where it cannot be."""
        asked = {name: self.arguments[name] for name in _OUTPUTS if name in self.arguments}
        simulated = {name: value for name, value in self.arguments.items() if name not in asked}
        try:
            return plan_sweep(**simulated, threads=self.threads).booking(**asked)
        except LiqsimError as error:
            raise type(error)(f"{self._place(str(error))}{error}") from None

    @cached_property
    def target(self) -> Target | None:
        """Accuracy at which the study ends before all of its paths are run."""
        plan = self.plan
        try:
            rel_error, abs_error, error_at = (self.accuracy.get(name) for name in TARGETS)
            return plan.target(rel_error, abs_error, error_at)
        except LiqsimError as error:
            raise type(error)(f"{self._place(str(error))}{error}") from None

    @cached_property
    def keys(self) -> list[str]:
        """Key of every pass; each is built, so that what a venue does not allow is refused before a path is drawn."""
        plan, _ = self.plan, self.target
        try:
            return [task.key for task in plan.make_all()]
        except LiqsimError as error:
            raise type(error)(f"{self._place(str(error))}{error}") from None

    def _place(self, message: str) -> str:
        key = re.match(r"[A-Za-z_]+", message)
        place = self.document.where((key[0],)) if key else self.document.name
        return f"{place}: " if place else ""


def read_study(path: str | Path, changes: Iterable[str] = ()) -> Study:
    """Read a study's file.

    Parameters
    ----------
    path : str or pathlib.Path
        TOML file; ``liqsim sweep --help`` shows one.
    changes : iterable of str
        Overrides such as ``"n_paths=1e7"``.

    Returns
    -------
    Study

    Raises
    ------
    ParameterError
        If a key or value cannot be; the message holds file, line, key, value and what is allowed.
    VenueDataError
        If a venue is unknown or its file is wrong.
    """
    return _study(read_document(path, tuple(changes)))


def study_from(resolved: Mapping[str, Any], name: str) -> Study:
    """Study that a store or a result holds; ``name`` is that of the result in messages.

    Raises
    ------
    StoreError
        If a venue is not there as text: a result does not choose which files are read.
    """
    venue = resolved.get("venue")
    tables = [] if not isinstance(venue, dict) else [venue] if "toml" in venue else list(venue.values())
    if not tables or not all(isinstance(t, dict) and isinstance(t.get("toml"), str) for t in tables):
        raise StoreError(f"store={name!r}: the study in it does not hold its venues; give one written by liqsim sweep")
    return _study(Document(copy.deepcopy(dict(resolved)), name, Path()))


def _study(document: Document) -> Study:
    for name, why in _ELSEWHERE.items():
        if name in document.values:
            refuse(
                document, (name,),
                f"{name}={document.values[name]!r} cannot be had in a study: {why}; call liqsim.sweep({name}=...) "
                "and save its result, which liqsim rerun repeats",
            )  # fmt: skip
    table = checked(document, (), document.values, StudyTable)
    model, models = _models(document, table.model)
    venue, venues = _venues(document, table)
    arguments: dict[str, Any] = {name: getattr(table, name) for name in _PLAIN}
    arguments["stop"] = _stops(document, table.stop)
    asked = {name: getattr(table, name) for name in TARGETS if getattr(table, name) is not None}
    n_paths = most_paths(table.n_paths, table.rel_error, table.abs_error)
    if isinstance(n_paths, float) and n_paths.is_integer():
        n_paths = int(n_paths)
    outputs = {name: getattr(table, name) for name in _OUTPUTS if getattr(table, name) is not None}
    arguments |= {"seed": table.seed, "n_paths": n_paths, "model": model, "venue": venue, **outputs}
    start = table.start
    if start is not None:
        if not isinstance(start, (str, dt.date)):
            refuse(document, ("start",), f"start={start!r} is not allowed; give a time such as 2026-03-04T15:00:00Z")
        arguments["start"] = start if isinstance(start, str) else start.isoformat()
        if isinstance(start, dt.datetime) and start.tzinfo is None:
            arguments["start"] = f"{start.isoformat()}Z"
    if table.premium is not None:
        try:
            given = msgspec.to_builtins(table.premium)
            arguments["premium"] = OUPremium(**{k: v for k, v in given.items() if v is not None})
        except ParameterError as error:
            refuse(document, ("premium",), str(error))
    resolved: dict[str, Any] = {"title": table.title} if table.title else {}
    resolved |= {name: arguments[name] for name in _PLAIN}
    resolved["stop"] = _plain_stops(resolved["stop"])
    resolved |= {"seed": table.seed, "n_paths": n_paths, **asked, **outputs, "model": models, "venue": venues}
    if "start" in arguments:
        resolved["start"] = arguments["start"]
    if table.premium is not None:
        resolved["premium"] = {k: v for k, v in msgspec.to_builtins(table.premium).items() if v is not None}
    return Study(
        resolved=json.loads(json.dumps(resolved, default=str)),
        arguments=arguments,
        accuracy=asked,
        threads=table.threads,
        output=table.output,
        folder=document.folder,
        title=table.title,
        document=document,
    )


def _stops(document: Document, value: Any) -> Any:
    if isinstance(value, list):
        return [_stops(document, item) for item in value]
    if isinstance(value, str):
        if value != "inf":
            refuse(document, ("stop",), f'stop={value!r} is not allowed; give a number, or "inf" for no stop')
        return math.inf
    return value


def _plain_stops(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_stops(item) for item in value]
    return "inf" if value == math.inf else value


def _models(document: Document, value: Any) -> tuple[Any, Any]:
    """Models by label (or one model), and the tables that repeat them."""
    if isinstance(value, dict):
        made: list[tuple[Steps, str, PriceModel, str | None]] = [
            (("model",), *item) for item in _product(document, ("model",), value)
        ]
        if len(made) == 1 and not _varied(value):
            return made[0][2], _table_of(*made[0][2:])
    elif isinstance(value, list):
        made = [
            (("model", k), *item) for k, table in enumerate(value) for item in _product(document, ("model", k), table)
        ]
        if not made:
            refuse(document, ("model",), "model is empty; give at least one [[model]]")
    else:
        refuse(document, ("model",), f"model={value!r} is not a table; write it as a section [model]")
    models: dict[str, PriceModel] = {}
    for at, label, model, _ in made:
        if label in models:
            refuse(document, at, f'two models are called {label!r}; give each [[model]] its own label = "..."')
        models[label] = model
    return models, [{"label": label, **_table_of(model, source)} for _, label, model, source in made]


def _table_of(model: PriceModel, source: str | None) -> dict[str, Any]:
    values = model.to_dict()
    return {"kind": values.pop("model"), **values} | ({"source": source} if source else {})


def _varied(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: value for name, value in table.items() if isinstance(value, list)}


def _product(document: Document, steps: Steps, value: Any) -> Iterator[tuple[str, PriceModel, str | None]]:
    """Labelled models of one table, and their source: one for each combination of the parameters given as lists."""
    if not isinstance(value, dict):
        refuse(document, steps, f"model={value!r} is not a table; write it as a section [model]")
    if "preset" in value:
        preset = checked(document, steps, value, PresetTable)
        made = presets.model(preset.preset, preset.kind, drift=preset.drift)
        source = f"preset {preset.preset}, fitted to counts with SHA-256 {presets.data_hash(preset.preset)}"
        yield preset.label or str(preset.preset), made, source
        return
    if "kind" not in value:
        refuse(
            document, steps,
            'key "kind" in [model] is missing; give kind = "gbm", "merton" or "kou", or a preset',
        )  # fmt: skip
    kind = value["kind"]
    if kind not in _MODELS:
        near = difflib.get_close_matches(str(kind), _MODELS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        refuse(
            document, (*steps, "kind"),
            f"kind={kind!r} in [model] is unknown; {hint}Known: {', '.join(_MODELS)}",
        )  # fmt: skip
    table = msgspec.to_builtins(checked(document, steps, value, MODEL_TABLES[kind]))
    template, source = table.pop("label") or kind, table.pop("source")
    table.pop("kind")
    varied = _varied(table)
    for name, values in varied.items():
        if not values:
            refuse(document, (*steps, name), f"{name}=[] in [model] is an empty axis; give at least one number")
    if math.prod(len(values) for values in varied.values()) > _MOST_MODELS:
        refuse(document, steps, f"[model] asks for more than {_MOST_MODELS:,} models; give shorter lists")
    for combination in itertools.product(*varied.values()):
        chosen = dict(zip(varied, combination, strict=True))
        label = template
        for name, number in chosen.items():
            if f"{{{name}}}" in label:
                label = label.replace(f"{{{name}}}", f"{number:g}")
            else:
                label = f"{label} {name}={number:g}"
        try:
            yield label, _MODELS[kind](**table | chosen), source
        except ParameterError as error:
            at = next((name for name in table if f"{name}=" in str(error)), "kind")
            refuse(document, (*steps, at), str(error))


def _venues(document: Document, table: StudyTable) -> tuple[Any, Any]:
    """Venues by label (or one venue), and the tables that repeat them."""
    value = table.venue
    if isinstance(value, list):
        if not value:
            refuse(document, ("venue",), "venue is empty; give at least one id or file")
        found = [_venue(document, ("venue", k), item) for k, item in enumerate(value)]
        labels = [venue.id for _, venue, _ in found]
        for label in labels:
            if labels.count(label) > 1:
                refuse(
                    document, ("venue",), f"two venues are called {label!r}; write [venue.LABEL] sections with an id"
                )
    elif isinstance(value, dict) and not (_VENUE_KEYS & {k for k, v in value.items() if not isinstance(v, dict)}):
        found = [_venue(document, ("venue", label), item) for label, item in value.items()]
        labels = [str(label) for label in value]
        if not found:
            refuse(document, ("venue",), "venue is empty; give at least one id or file")
    else:
        found, labels = [_venue(document, ("venue",), value)], []
    known = list(dict.fromkeys([*labels, *(venue.id for _, venue, _ in found)]))
    _check_assumed(document, table.assume, known)
    venues: dict[str, Venue] = {}
    tables: dict[str, Any] = {}
    for k, (kept, venue, assume) in enumerate(found):
        label = labels[k] if labels else venue.id
        more = table.assume.get(label, table.assume.get(venue.id, {}))
        assumed = dict(_dotted(assume)) | dict(_dotted(more))
        try:
            venues[label] = venue.assume(assumed) if assumed else venue
        except ParameterError as error:
            refuse(document, ("assume", venue.id), str(error), type(error))
        tables[label] = kept | ({"assume": assumed} if assumed else {})
    if labels:
        return venues, tables
    return next(iter(venues.values())), next(iter(tables.values()))


def _check_assumed(document: Document, assume: Mapping[str, Any], known: Collection[str]) -> None:
    for key, values in assume.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            refuse(document, ("assume", key), f"key {key!r} in [assume] is unknown; {hint}Known: {', '.join(known)}")
        if not isinstance(values, dict):
            refuse(document, ("assume", key), f"assume.{key}={values!r} is not a table; write [assume.{key}]")


def _venue(document: Document, steps: Steps, value: Any) -> tuple[dict[str, Any], Venue, dict[str, Any]]:
    """What repeats a venue, its file's text above all; the venue; and what is to be assumed of it."""
    if isinstance(value, dict):
        table = checked(document, steps, value, VenueTable)
        if sum(x is not None for x in (table.id, table.file, table.toml)) != 1:
            refuse(document, steps, "a venue is one of id, file and toml; give exactly one of them")
        if table.toml is not None:
            kept: dict[str, Any] = {"toml": table.toml}
            venue = parse_venue(table.toml, f"{document.name}, {'.'.join(map(str, steps))}")
        else:
            kept, venue, _ = _venue(document, steps, table.id or table.file)
        changes: dict[str, Any] = {}
        if table.margin_changes:
            changes["margin_changes"] = [list(pair) for pair in table.margin_changes]
        if table.collateral_haircut is not None:
            changes["collateral_haircut"] = table.collateral_haircut
        for name, change in changes.items():
            try:
                venue = dataclasses.replace(venue, **{name: change})
            except ParameterError as error:
                refuse(document, (*steps, name), str(error), type(error))
        kept = kept | changes
        return kept, venue, table.assume
    if not isinstance(value, str):
        refuse(document, steps, f"venue={value!r} is not an id or a file name; liqsim venues lists the ids")
    if value.endswith(".toml"):
        path = document.folder / value
        if not path.is_file():
            refuse(
                document, steps,
                f"venue={value!r} is not a file in {document.folder or '.'}; give an id or the name of a TOML file",
            )  # fmt: skip
    else:
        try:
            path = venue_file(value)
        except ParameterError as error:
            refuse(document, steps, str(error), type(error))
    text = path.read_text("utf-8")
    return {"toml": text}, parse_venue(text, path.name), {}


def _dotted(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted name, whether they were written as ``fees.taker = 1`` or in a section of their own."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def differences(mine: Any, theirs: Any, path: str = "") -> list[str]:
    """What two resolved studies differ in, one line each: ``key: theirs -> mine``."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = list(dict.fromkeys([*theirs, *mine]))
        found = [differences(mine.get(k), theirs.get(k), f"{path}.{k}" if path else str(k)) for k in keys]
        return list(itertools.chain.from_iterable(found))
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        pairs = zip(mine, theirs, strict=True)
        return list(itertools.chain.from_iterable(differences(a, b, f"{path}[{k}]") for k, (a, b) in enumerate(pairs)))
    if mine == theirs:
        return []
    if path.endswith(".toml") and isinstance(mine, str) and isinstance(theirs, str):
        lines = difflib.unified_diff(theirs.splitlines(), mine.splitlines(), lineterm="", n=0)
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return [f"{path}: rules of the venue: {'; '.join(changed[:4])}"]
    return [f"{path}: {_shown(theirs)} -> {_shown(mine)}"]


def _shown(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
