"""Pages that are made from data are up to date, and say what they must."""

import importlib.util
import re
from pathlib import Path

import pytest

import liqsim as lq

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_venue_table", ROOT / "tools" / "make_venue_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_venues_is_up_to_date(tool):
    page = (ROOT / "docs" / "venues.md").read_text("utf-8")
    assert page == tool.render(), "run python tools/make_venue_table.py"


def test_every_venue_has_its_notes(tool):
    assert set(tool.NOTES) == set(lq.list_venues())
    for notes in tool.NOTES.values():
        assert set(notes) == {"exact", "simplified"}
        assert all(len(text) > 60 for text in notes.values())


def test_every_snapshot_and_every_gap_is_named(tool):
    page = tool.render()
    glance, deep = page.split("## Exact, simplified, not given")
    for id in lq.list_venues():
        for date in lq.venues.snapshot_dates(id):
            assert f"| `{id}`, {date}" in glance
        row = next(line for line in deep.splitlines() if line.startswith(f"| `{id}` |"))
        venue = lq.load_venue(id)
        for name in venue.needs():
            assert f"**`{name}`**" in row
        for name, _ in venue.absent:
            assert f"`{name}`" in row


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
