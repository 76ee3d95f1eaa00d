"""Where a record of the benchmarks goes: its own folder, and the marked blocks of README.md and docs/performance.md.

A block lies between ``<!-- begin bench:NAME -->`` and ``<!-- end bench:NAME -->``; what is between them is made from
the record by the function of that name in `tables.BLOCKS`, and by nobody else.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import figures
import tables

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("docs/bench")
PAGES = (Path("README.md"), Path("docs/performance.md"))
_BLOCK = re.compile(r"(<!-- begin bench:(\w+) -->\n).*?(<!-- end bench:\2 -->)", re.DOTALL)


def as_json(result: dict[str, Any]) -> str:
    """A record as text, lists of numbers on one line."""
    text = json.dumps(result, indent=1)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda match: re.sub(r"\s+", " ", match[0]), text) + "\n"


def filled(text: str, result: dict[str, Any]) -> str:
    """A page with its blocks made anew."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{tables.BLOCKS[m[2]](result)}\n\n{m[3]}", text)


def write_record(result: dict[str, Any], folder: Path) -> None:
    """Record, page of tables, and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(as_json(result), "utf-8")
    (folder / "bench.md").write_text(tables.page(result), "utf-8")
    figures.error(result, folder / "error.png")
    figures.scaling(result, folder / "scaling.png")


def write_pages(result: dict[str, Any], root: Path) -> None:
    """Fill the blocks of the pages in place."""
    for name in PAGES:
        text = (root / name).read_text("utf-8")
        (root / name).write_text(filled(text, result), "utf-8")
