"""``liqsim venues`` and ``liqsim price``: margin rules and what they mean for one position."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import click

from liqsim.cells import notes_of
from liqsim.cli.assumed import assume_option, read_assumed
from liqsim.cli.base import echo_json, text_table
from liqsim.errors import LiqsimError, MarginRuleError, ParameterError
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price, maintenance_margin
from liqsim.venues import PremiumFunding, Venue, list_venues, load_venue, snapshot_dates
from liqsim.venues.funding import FundingRule
from liqsim.venues.tiers import MarginalTiers, WholePositionTiers
from liqsim.venues.venue import CONFIDENCE
from liqsim.venues.words import NOT_STATED, different_rules, fee_text, funding_text, percent, rules_in_words

__all__ = ["price", "venues"]

_NOTIONAL, _PRICE = 10_000.0, 60_000.0
_COLUMN = 46


@click.group(
    invoke_without_command=True, short_help="List the venues whose rules are shipped, show one, or compare two."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def venues(ctx: click.Context, as_json: bool) -> None:
    """List the venues whose rules are shipped, with their main figures.

    "list" says who may trade and what has to be given before a simulation, "show ID" prints the rules of one in full,
    "diff A B" those that two venues, or two snapshots of one, do not share.

    Maximum leverage and maintenance rate are those of a position of 10,000 quote units at 60,000; "n/s" means that no
    source states the figure.

    \b
    Examples:
      liqsim venues
      liqsim venues list
      liqsim venues show binance-usdm-btcusdt
      liqsim venues diff kraken-pf-xbtusd@2026-03-01 kraken-pf-xbtusd
    """
    if ctx.invoked_subcommand is not None:
        return
    rows = [_summary(load_venue(name)) for name in list_venues()]
    if as_json:
        echo_json(rows)
        return
    click.echo(
        text_table(
            ["id", "contract", "max leverage", "maintenance", "funding", "taker fee", "rules of", "status"],
            [
                [
                    row["id"],
                    row["contract"],
                    NOT_STATED if row["max_leverage"] is None else f"{row['max_leverage']:.4g}x",
                    percent(row["maintenance_rate"]),
                    _funding(load_venue(row["id"]).funding),
                    row["taker_fee_text"].replace(" per ", "/"),
                    row["snapshot"] or "",
                    row["status"],
                ]
                for row in rows
            ],
            left=(0, 1, 4, 6, 7),
        )
    )
    click.echo('\nShow one in full, with its sources: liqsim venues show ID. "n/s": not stated by any source.')


def _asked(call: Any) -> float | None:
    """A figure, or None where the venue's sources do not state it."""
    try:
        value = float(call())
    except LiqsimError:
        return None
    return value if math.isfinite(value) else None


def _funding(rule: FundingRule | None) -> str:
    """A funding rule in a few words."""
    if rule is None:
        return "none"
    kind = {"FixedFunding": "fixed, ", "BasisCarry": "basis, ", "Rollover": "rollover, "}.get(type(rule).__name__, "")
    cap = f", cap {percent(rule.cap)}" if isinstance(rule, PremiumFunding) and math.isfinite(rule.cap) else ""
    return f"{kind}every {rule.interval}{cap}"


def _summary(venue: Venue) -> dict[str, Any]:
    contract, fees = venue.contract, venue.fees
    quantity = float(contract.quantity(_NOTIONAL, _PRICE))
    value = float(contract.value(quantity, _PRICE))
    return {
        "id": venue.id,
        "name": venue.name,
        "product": venue.product,
        "contract": f"{contract.kind} {contract.base}/{contract.quote}",
        "max_leverage": _asked(lambda: venue.max_leverage(_NOTIONAL, _PRICE)),
        "maintenance_rate": _asked(lambda: maintenance_margin(venue, price=_PRICE, quantity=quantity) / value),
        "funding": funding_text(venue.funding),
        "taker_fee": fees.taker,
        "taker_fee_text": fee_text(fees.taker, fees.taker_per_contract, contract.quote),
        "snapshot": None if venue.snapshot is None else venue.snapshot.isoformat(),
        "snapshots": [date.isoformat() for date in snapshot_dates(venue.id)],
        "status": venue.status,
        "us_persons": venue.us_persons,
        "needs": list(venue.needs()),
        "hash": venue.hash,
    }


@venues.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def list_(as_json: bool) -> None:
    """List the venues: who may trade, and what must be given before a simulation.

    What no source states is never guessed: give it with assume, as the last line shows.

    \b
    Example:
      liqsim venues list
    """
    rows = [_summary(load_venue(name)) for name in list_venues()]
    if as_json:
        echo_json(rows)
        return
    us = {True: "yes", False: "no", None: NOT_STATED}
    click.echo(
        text_table(
            ["id", "product", "status", "US persons", "must be given"],
            [
                [row["id"], row["product"], row["status"], us[row["us_persons"]], ", ".join(row["needs"]) or "nothing"]
                for row in rows
            ],
            left=(0, 1, 2, 3, 4),
        )
    )
    click.echo("\nGive what is missing with --assume ID:NAME=VALUE (liqsim price, liqsim venues compare), in a section")
    click.echo('[assume.ID] of a study (liqsim sweep), or in Python, lq.load_venue(ID).assume({"fees.taker": 0.0005}).')


@venues.command()
@click.argument("venue_id", metavar="ID")
@click.option(
    "--as-of", metavar="DATE", help="Newest snapshot not after this date, YYYY-MM-DD; the newest of all unless given."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def show(venue_id: str, as_of: str | None, as_json: bool) -> None:
    """Print the rules of the venue ID, every figure with its source.

    \b
    Examples:
      liqsim venues show kraken-pf-xbtusd
      liqsim venues show kraken-pf-xbtusd --as-of 2026-05-01
    """
    venue = load_venue(venue_id, as_of)
    if as_json:
        echo_json({**venue.to_dict(), "needs": list(venue.needs()), "hash": venue.hash})
        return
    click.echo(f"{venue.name}, {venue.product} ({venue.id}), rules of {venue.snapshot or 'no date'}")
    if venue.status == "closed":
        click.echo(f"CLOSED. {venue.status_note}")
    click.echo()
    shown = {k: v for k, v in rules_in_words(venue).items() if v and k not in ("product", "rules of", "status")}
    for name, text in {**shown, "SHA-256": venue.hash}.items():
        click.echo(textwrap.fill(f"{name:<20}{text}", 120, subsequent_indent=" " * 20, break_on_hyphens=False))
    click.echo()
    click.echo(_schedule_text(venue))
    click.echo("\nSources")
    for source in venue.sources:
        click.echo(f"  {', '.join(source.covers)}")
        click.echo(f"      {source.origin} ({source.as_of}; {CONFIDENCE.get(source.confidence, source.confidence)})")
        if source.note:
            click.echo(f"      {source.note}")
    for name, note in venue.absent:
        click.echo(f"  not found: {name} ({note})")
    older = [date.isoformat() for date in snapshot_dates(venue.id) if date != venue.snapshot]
    if older:
        click.echo(f"\nOther snapshots: {', '.join(older)} (--as-of)")


@venues.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def diff(one: str, other: str, as_json: bool) -> None:
    """Print the rules that A and B do not share, in words; each is an ID, or ID@YYYY-MM-DD for older rules.

    \b
    Examples:
      liqsim venues diff bitmex-xbtusd deribit-btc-perpetual
      liqsim venues diff kraken-pf-xbtusd@2026-03-01 kraken-pf-xbtusd
    """
    a, b = load_venue(one), load_venue(other)
    rules = different_rules(a, b)
    if as_json:
        heads = [{"id": v.id, "snapshot": v.snapshot and v.snapshot.isoformat(), "hash": v.hash} for v in (a, b)]
        echo_json({"a": heads[0], "b": heads[1], "rules": {k: {"a": x, "b": y} for k, (x, y) in rules.items()}})
        return
    if not rules:
        click.echo(f"{a.label} and {b.label} have the same rules.")
        return
    lines = [["rule", a.label, b.label]]
    for name, texts in rules.items():
        cells = [textwrap.wrap(text, _COLUMN, break_on_hyphens=False) or ["-"] for text in texts]
        for k in range(max(map(len, cells))):
            lines.append([name if k == 0 else "", *(cell[k] if k < len(cell) else "" for cell in cells)])
    click.echo(text_table(lines[0], lines[1:], left=(0, 1, 2)))
    same = len(rules_in_words(a)) - len(rules)
    click.echo(f'\n{same} other rules read the same. "n/s": not stated by any source; "-": there is no such rule.')


def _schedule_text(venue: Venue) -> str:
    schedule = venue.margin
    unit = {"quote": venue.contract.quote, "base": venue.contract.base, "contracts": "contracts"}[schedule.unit]
    if isinstance(schedule, (MarginalTiers, WholePositionTiers)):
        kind = (
            "marginal: each rate on its slice"
            if isinstance(schedule, MarginalTiers)
            else "one rate on the whole position"
        )
        rows = [
            [
                str(k),
                f"{tier.floor:,.10g}",
                f"{tier.cap:,.10g}",
                percent(tier.maintenance_rate),
                f"{tier.max_leverage:.4g}x",
            ]
            for k, tier in enumerate(schedule.tiers[:20], start=1)
        ]
        table = text_table(["tier", f"from [{unit}]", f"to [{unit}]", "maintenance", "max leverage"], rows)
        more = f"\n... {len(schedule.tiers) - 20} more tiers" if len(schedule.tiers) > 20 else ""
        return f"Margin tiers ({kind}; charged on {schedule.charged_on} value)\n{table}{more}"
    fields = {k: v for k, v in schedule.to_dict().items() if v is not None}
    width = max(len(k) for k in fields) + 2
    return "Margin schedule\n" + "\n".join(f"{k:<{width}}{v}" for k, v in fields.items())


@click.command(short_help="Liquidation price, bankruptcy price and margins of one position.")
@click.argument("venue_id", metavar="VENUE")
@click.option("--side", type=click.Choice(["long", "short"]), default="long", show_default=True)
@click.option("--entry", type=float, required=True, help="Entry price, quote per base.")
@click.option("--leverage", type=float, required=True, help="Notional over initial margin.")
@click.option("--quantity", type=float, help="Base units (linear) or quote units, that is 1-USD contracts (inverse).")
@click.option("--notional", type=float, help="Size in quote currency, instead of --quantity.")
@click.option(
    "--funding-paid", type=float, default=0.0, show_default=True, help="Funding paid so far, settlement currency."
)
@click.option("--window", help="Margin window, for venues whose rates change with the time of day.")
@click.option("--as-of", metavar="DATE", help="Newest rules not after this date, YYYY-MM-DD.")
@assume_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def price(
    venue_id: str,
    side: str,
    entry: float,
    leverage: float,
    quantity: float | None,
    notional: float | None,
    funding_paid: float,
    window: str | None,
    as_of: str | None,
    assumed: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the liquidation price, bankruptcy price and margins of an isolated position at VENUE.

    \b
    Examples:
      liqsim price binance-usdm-btcusdt --entry 60000 --leverage 10 --quantity 2
      liqsim price kraken-pi-xbtusd --side short --entry 60000 --leverage 25 --notional 100000 --json
      liqsim price coinbase-bip --entry 60000 --leverage 2 --quantity 1 --window overnight \\
        --assume coinbase-bip:margin.maintenance_share=0.8
    """
    if (quantity is None) == (notional is None):
        raise click.UsageError("give exactly one of --quantity and --notional")
    venue = load_venue(venue_id, as_of)
    for label, given in read_assumed(assumed).items():
        if label != venue.id:
            raise ParameterError(f"--assume: {label!r} is not asked about; give {venue.id}:NAME=VALUE")
        venue = venue.assume(given)
    contract = venue.contract
    if quantity is None:
        quantity = float(contract.quantity(notional, entry))  # type: ignore[arg-type]
    position: dict[str, Any] = {"side": side, "entry_price": entry, "quantity": quantity, "leverage": leverage}
    liquidation = liquidation_price(venue, **position, funding_paid=funding_paid, window=window)
    values = {
        "venue": venue.id,
        "rules_of": None if venue.snapshot is None else venue.snapshot.isoformat(),
        **position,
        "quantity_unit": contract.quantity_unit,
        "notional": float(contract.notional(quantity, entry)),
        "quote": contract.quote,
        "settlement": contract.settlement,
        "liquidation_price": liquidation,
        "bankruptcy_price": bankruptcy_price(venue, **position, funding_paid=funding_paid, window=window),
        "initial_margin": initial_margin(venue, **position, window=window),
        "maintenance_margin": maintenance_margin(
            venue, side, price=entry, quantity=quantity, leverage=leverage, window=window
        ),
        "notes": notes_of({venue.id: venue}).splitlines(),
    }
    quote, settlement = contract.quote, contract.settlement
    if values["maintenance_margin"] >= values["initial_margin"]:
        raise MarginRuleError(
            f"leverage={leverage:g} leaves a margin of {values['initial_margin']:.6g} {settlement}, not above the "
            f"maintenance margin {values['maintenance_margin']:.6g}: the position would be liquidated at once; "
            "lower the leverage"
        )
    if as_json:
        echo_json(values)
        return
    click.echo(
        f"{side} {quantity:,.10g} {contract.quantity_unit} of {venue.id} (rules of {values['rules_of']}) "
        f"at {entry:,.10g} {quote}, {leverage:g}x isolated"
    )
    click.echo(f"notional             {values['notional']:>16,.2f} {quote}")
    click.echo(f"liquidation price    {_level(liquidation, entry, quote)}")
    click.echo(f"bankruptcy price     {_level(values['bankruptcy_price'], entry, quote)}")
    click.echo(f"initial margin       {_money(values['initial_margin'])} {settlement}")
    click.echo(f"maintenance margin   {_money(values['maintenance_margin'])} {settlement} at entry")
    for note in values["notes"]:
        click.echo(f"note: {note}", err=True)


def _level(value: float, entry: float, quote: str) -> str:
    if not math.isfinite(value) or value <= 0:
        return f"{'none':>16}: no price liquidates the position"
    return f"{value:>16,.2f} {quote} ({100 * (value / entry - 1):+.3f} %)"


def _money(value: float) -> str:
    return f"{value:>16,.2f}" if value >= 100 else f"{value:>16,.8f}"
