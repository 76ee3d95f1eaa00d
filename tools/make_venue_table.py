"""Write docs/venues.md: what of each venue's rules is simulated exactly, what is simplified, what no source gave.

    python tools/make_venue_table.py [--output docs/venues.md]

Figures and gaps are read from the venue files; what the simulation makes of them is written by hand in
venue_notes.toml.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

from liqsim.venues import Venue, list_venues, load_venue, snapshot_dates
from liqsim.venues.words import rules_in_words

ROOT = Path(__file__).resolve().parents[1]

HEAD = """\
# Venues: what is exact, what is simplified, what no source gave

Made by `python tools/make_venue_table.py` from the venue files in `liqsim/venues/data` and from
`tools/venue_notes.toml`; do not edit by hand. `liqsim venues show ID` prints a file in full with the source and
confidence of every value, `liqsim venues diff A B` what two of them do not share, and `liqsim venues compare` what it
means for a position. How paths, funding and liquidations are computed is in [method.md](method.md).

## On every venue

Exact:

- The margin schedule at the size and price reached: tiers, slopes, money per contract or rates by the clock, on the
  value that the venue charges them on, for long and short, linear and inverse.
- The clock: funding stamps, settlements of accrued funding, margin windows, margin tests, deadlines and closures are
  instants at which the simulation stops, in the venue's local time, summer time included.
- The funding formula on the simulated premium: interest, clamp or dead band, scale, smoothing and caps, paid on the
  mark, index or entry value.
- The order of events in a close-out and where the money goes: fees, what the venue keeps, what the trader gets back,
  and a loss beyond the margin with who bears it.

Simplified:

- **One price.** Mark, last and index move together; the premium drives funding only. A venue's mark (averages, bands,
  settlement prices) is that price.
- **The venue acts in an instant and does not move the price.** Rounds that take seconds or blocks happen at one price;
  orders fill whole; there is no slippage.
- **Rounds of unknown size** close 5 % of the entry position each, until maintenance is covered again.
- **Margin is isolated**, in the settlement currency or, for linear contracts with `Venue(collateral_haircut=...)`, in
  the coin itself; not in a mix, and without conversion fees or netting with other positions.
- **Rules do not change within a run**: no tier updates; margins are reset where `Venue(margin_changes=...)` says so,
  and the funding interval changes where `PremiumFunding(changes=...)` does.
- **Price limits and halts** other than the closures of the file do not delay a close-out. Prices are not rounded to
  ticks.
- **The fund behind a position** is taken to be large enough: no source states an amount. Kraken Derivatives names no
  fund, so that others bear all of a loss there; `liquidation.insurance_fund` sets an amount.
- **Fees** are the taker fees of the file. A liquidation fee takes no more than is left of the margin.
"""

GLANCE = """\
## The rules at a glance

What the rates mean for a position of some size, `liqsim venues compare` and `liqsim price` say. `n/s`: no source
states it.
"""

DEPTH = """\
## Exact, simplified, not given

What must be given before a simulation is in **bold**: `venue.assume({...})` takes it, and the result names it.
"""

NOTES: dict[str, dict[str, str]] = tomllib.loads((ROOT / "tools" / "venue_notes.toml").read_text("utf-8"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "-"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *[[_cell(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(venue: Venue) -> list[str]:
    """One line of the table at a glance."""
    words = rules_in_words(venue)
    kind = re.sub(r", \w+ in \w+, settled in ", ", settled in ", words["contract"])
    steps = f" ({words['its steps']})" if words["its steps"] else ""
    fee = f"; fee {words['liquidation fee']}" if words["liquidation fee"] else ""
    keeps = "nothing" if venue.liquidation.procedure == "takeover" else words["trader keeps"]
    return [
        f"`{venue.id}`, {venue.snapshot}{' (closed)' if venue.status == 'closed' else ''}",
        kind,
        f"{words['margin shape']}: {words['maintenance']}",
        words["funding"] + (f"; cash {words['funding cash']}" if words["funding cash"] not in ("", "at once") else ""),
        f"{words['liquidation']}{steps}{fee}",
        f"{keeps}; {words['loss beyond margin']} ({words['borne by'] or 'n/s'})",
        words["US persons"],
    ]


def _deep(id: str) -> list[str]:
    venue, notes = load_venue(id), NOTES[id]
    missing = venue.needs()
    given = dict(venue.absent)
    names = list(dict.fromkeys([*missing, *given]))
    gaps = "; ".join(f"**`{name}`**" if name in missing else f"`{name}`" for name in names)
    return [f"`{id}`", notes["exact"], notes["simplified"], gaps or "nothing"]


def render() -> str:
    """The page."""
    ids = list_venues()
    every = [load_venue(id, date) for id in ids for date in reversed(snapshot_dates(id))]
    head = ["file, rules of", "contract", "maintenance margin", "funding", "close-out"]
    head += ["trader keeps; owes more?", "US persons"]
    glance = _table(head, [_short(venue) for venue in every])
    deep = _table(["venue", "exact", "simplified, and how", "not given by the sources"], [_deep(id) for id in ids])
    closed = [f"- `{v.id}`: {v.status_note}" for v in (load_venue(id) for id in ids) if v.status == "closed"]
    return "\n".join([HEAD, GLANCE, glance, "", *closed, "", DEPTH, deep, ""])


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "venues.md")
    parser.parse_args().output.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
