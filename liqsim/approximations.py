"""What is not exact in a run, or a convention where rules leave something open, in words.

docs/method.md says more of each. Both :func:`liqsim.explain` and the dry run of a study print these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from liqsim.arguments import Settings
from liqsim.cells import Cell, clock_of
from liqsim.engine.plan import Pass
from liqsim.engine.terms import CUT, SMALL_ROUND, STEPS
from liqsim.engine.timeline import REFERENCE_START
from liqsim.venues import PremiumFunding

__all__ = ["approximations"]


def approximations(runs: Iterable[tuple[Cell, Pass]], settings: Settings, labels: Mapping[int, str]) -> list[str]:
    """What applies to some runs, each line that rests on a venue's rules with the venues that it is about.

    Parameters
    ----------
    runs : iterable of (Cell, Pass)
    settings : Settings
    labels : mapping of int to str
        Labels of all venues, by the id of the object; a single one is not named.
    """
    of_venues: dict[str, dict[str, None]] = {}
    of_all: dict[str, None] = {}
    for cell, task in runs:
        for text in _of_venue(cell, task, settings):
            of_venues.setdefault(text, {})[labels[id(cell.venue)]] = None
        of_all |= dict.fromkeys(_of_run(cell, task, settings))
    about = {text: f"{', '.join(names)}: " if len(labels) > 1 else "" for text, names in of_venues.items()}
    return [*(f"{about[text]}{text}" for text in of_venues), *of_all]


def _of_venue(cell: Cell, task: Pass, settings: Settings) -> list[str]:
    venue, procedure = cell.venue, task.rules["procedure"]
    clock = clock_of(venue, settings)
    follows_calendar = len(clock.windows) > 1 or clock.closed or len(clock.tests) or len(clock.settlements)
    has_premium = isinstance(venue.funding, PremiumFunding)
    is_lookup = any(tiers["form"] == STEPS for pair in task.rules["tiers"] for tiers in pair)
    texts = {
        "the premium at the stamp stands for its average over the funding interval": (
            has_premium and settings.premium is not None
        ),
        "no premium is given: it is 0, and the funding rate is the venue's interest term": (
            has_premium and settings.premium is None
        ),
        f"rounds of {SMALL_ROUND:.0%} of the entry position, where no source states their size": (
            procedure["kind"] == CUT and venue.liquidation.step_fraction is None
        ),
        "steps of the requirement are looked up in the tier of the interval's start or the venue's last act": is_lookup,
        "a cooldown's passage times are drawn without regard to the segment's extreme": procedure["cooldown"] > 0,
        "the fund behind a position is taken to be large enough": (
            math.isinf(procedure["fund"]) and not task.client_pays
        ),
        "coin posted as margin is worth the mark price when it is needed, without a fee for its conversion": (
            venue.collateral_haircut is not None
        ),
        f"looks at the account come at random, {venue.liquidation.hazard or 0.0:g} a day": (
            venue.liquidation.procedure == "discretionary"
        ),
        f"calendars begin on {REFERENCE_START:%A %Y-%m-%d %H:%M} UTC, as no start is given": (
            bool(follows_calendar) and settings.start is None
        ),
    }
    return [text for text, applies in texts.items() if applies]


def _of_run(cell: Cell, task: Pass, settings: Settings) -> list[str]:
    texts = {
        "the premium is correlated with the price: intervals are cut to a twentieth of its memory and more, within "
        "which its innovation is drawn without regard to the price's extremes": task.law["correlation"] != 0.0,
        "the time of a crossing within a segment is booked as its conditional mean": bool(task.arrays["watches"].any()),
        "monitoring is discrete: what happens between two looks is not seen, as on the venue": (
            settings.looks is not None
        ),
        "long and short cells have their own exact law, not their joint one: they share a random number": (
            len(cell.grid.sides) == 2
        ),
        "mark and traded price are one, liquidity is unlimited: a stop slips by no more than a jump": True,
        "32-bit uniforms (normals end at 9.5 standard deviations); sums to 2^-32 of the entry notional and of a year": (
            True
        ),
    }
    return [text for text, applies in texts.items() if applies]
