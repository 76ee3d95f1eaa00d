"""``liqsim venues`` and ``liqsim price``: margin rules and what they mean for one position."""

from __future__ import annotations

import math
from typing import Any

import click

from liqsim.cli.base import echo_json, text_table
from liqsim.errors import LiqsimError, MarginRuleError
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price, maintenance_margin
from liqsim.venues import PremiumFunding, Venue, list_venues, load_venue
from liqsim.venues.tiers import MarginalTiers, WholePositionTiers
from liqsim.venues.venue import CONFIDENCE

__all__ = ["price", "venues"]

_NOTIONAL, _PRICE = 10_000.0, 60_000.0


@click.group(invoke_without_command=True, short_help="List the venues whose rules are shipped, or show one in full.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def venues(ctx: click.Context, as_json: bool) -> None:
    """List the venues whose rules are shipped; "show ID" prints one in full.

    Maximum leverage and maintenance rate are those of a position of 10,000 quote units at 60,000; "n/s" means that no
    source states the figure.

    \b
    Examples:
      liqsim venues
      liqsim venues show binance-usdm-btcusdt
      liqsim venues show bitmex-xbtusd --json
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
                    "n/s" if row["max_leverage"] is None else f"{row['max_leverage']:.4g}x",
                    _percent(row["maintenance_rate"]),
                    row["funding"],
                    row["taker_fee_text"],
                    row["snapshot"] or "",
                    row["status"],
                ]
                for row in rows
            ],
            left=(0, 1, 4, 6, 7),
        )
    )
    click.echo('\nShow one in full, with its sources: liqsim venues show ID. "n/s": not stated by any source.')


def _percent(rate: float | None) -> str:
    return "n/s" if rate is None else f"{100 * rate:.4g} %"


def _asked(call: Any) -> float | None:
    """A figure, or None where the venue's sources do not state it."""
    try:
        value = float(call())
    except LiqsimError:
        return None
    return value if math.isfinite(value) else None


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
        "funding": _funding(venue),
        "taker_fee": fees.taker,
        "taker_fee_text": _fee(fees.taker, fees.taker_per_contract, contract.quote),
        "snapshot": None if venue.snapshot is None else venue.snapshot.isoformat(),
        "status": venue.status,
        "hash": venue.hash,
    }


def _fee(rate: float | None, per_contract: float, quote: str) -> str:
    if per_contract and not rate:
        return f"{per_contract:g} {quote}/contract"
    return _percent(rate) + (f" + {per_contract:g} {quote}/contract" if per_contract else "")


def _funding(venue: Venue) -> str:
    rule = venue.funding
    if rule is None:
        return "none"
    if not isinstance(rule, PremiumFunding):
        return f"{type(rule).__name__.lower().replace('fixedfunding', 'fixed')}, every {rule.interval}"
    text = f"every {rule.interval}"
    if rule.scale != 1.0:
        text += f", premium/{1.0 / rule.scale:.4g}"
    if rule.interest:
        text += f", interest {100 * rule.interest:g} %"
    if math.isfinite(rule.cap):
        text += f", cap {100 * rule.cap:.4g} %"
    return text


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
        echo_json({**venue.to_dict(), "hash": venue.hash})
        return
    contract, fees, liquidation = venue.contract, venue.fees, venue.liquidation
    click.echo(f"{venue.name}, {venue.product} ({venue.id}), rules of {venue.snapshot or 'no date'}")
    if venue.status == "closed":
        click.echo(f"CLOSED. {venue.status_note}")
    unit = contract.quote if contract.kind == "inverse" else contract.base
    steps = f"tick {contract.tick or 'n/s'}, lot {contract.lot or 'n/s'}"
    rows = [
        [
            "contract",
            f"{contract.kind}, {contract.base} in {contract.quote}, settled in {contract.settlement}, {steps}",
        ],
        ["contract size", f"{contract.multiplier:g} {unit}"],
        ["funding", _funding(venue)],
        [
            "fees",
            f"taker {_fee(fees.taker, fees.taker_per_contract, contract.quote)}, "
            f"maker {_fee(fees.maker, fees.maker_per_contract, contract.quote)}",
        ],
        [
            "liquidation",
            f"{liquidation.procedure}, remainder {liquidation.residual}, deficit to the {liquidation.deficit}",
        ],
        ["backstop", liquidation.backstop],
        ["mark price", venue.mark],
        ["eligibility", venue.eligibility],
        ["SHA-256", venue.hash],
    ]
    click.echo()
    for name, text in rows:
        if text:
            click.echo(f"{name:<14}{text}")
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
                _percent(tier.maintenance_rate),
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
    as_json: bool,
) -> None:
    """Print the liquidation price, bankruptcy price and margins of an isolated position at VENUE.

    \b
    Examples:
      liqsim price binance-usdm-btcusdt --entry 60000 --leverage 10 --quantity 2
      liqsim price kraken-pi-xbtusd --side short --entry 60000 --leverage 25 --notional 100000 --json
    """
    if (quantity is None) == (notional is None):
        raise click.UsageError("give exactly one of --quantity and --notional")
    venue = load_venue(venue_id, as_of)
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
        "bankruptcy_price": bankruptcy_price(venue, **position, funding_paid=funding_paid),
        "initial_margin": initial_margin(venue, **position, window=window),
        "maintenance_margin": maintenance_margin(
            venue, side, price=entry, quantity=quantity, leverage=leverage, window=window
        ),
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
    if venue.status == "closed":
        click.echo(f"note: {venue.status_note}", err=True)


def _level(value: float, entry: float, quote: str) -> str:
    if not math.isfinite(value) or value <= 0:
        return f"{'none':>16}: no price liquidates the position"
    return f"{value:>16,.2f} {quote} ({100 * (value / entry - 1):+.3f} %)"


def _money(value: float) -> str:
    return f"{value:>16,.2f}" if value >= 100 else f"{value:>16,.8f}"
