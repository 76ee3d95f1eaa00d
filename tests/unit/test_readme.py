"""What the README shows has to run, and what it names has to exist."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

import liqsim as lq

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs():
    mpl.use("agg")
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    code = code.replace("200_000", "2_000").replace("progress=True", "progress=False")
    space = {}
    exec(code, space)
    assert space["ds"].p_liquidation.dims == ("venue", "horizon", "side", "leverage", "stop")
    assert space["venues"].p_liquidation.dims == ("venue",)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_every_venue_is_listed():
    assert {name for name in re.findall(r"`([a-z0-9_-]+)`", TEXT) if name in lq.list_venues()} == set(lq.list_venues())


def test_venues_said_to_be_simulated_are():
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    for row in rows:
        names, can = re.findall(r"`([a-z0-9_-]+)`", row.split("|")[1]), "yes" in row.split("|")[3]
        for name in names:
            venue = lq.load_venue(name)
            run = lambda venue=venue: lq.sweep(lq.GBM(0.5), venue, leverage=2, n_paths=10, notional=60_000)  # noqa: E731
            if can:
                assert run().attrs["n_paths"] == 10
            else:
                assert "once you give" in row
                assert venue.needs()
                with pytest.raises(lq.VenueDataError):
                    run()
