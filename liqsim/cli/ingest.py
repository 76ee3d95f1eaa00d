"""``liqsim venues import``: a venue from a file of tiers, shown and written as a venue file."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import click

from liqsim.cli.base import echo_json, text_table
from liqsim.errors import ParameterError
from liqsim.positions import bankruptcy_price, liquidation_price
from liqsim.venues import Venue
from liqsim.venues.ingest import read_tiers
from liqsim.venues.tiers import MarginalTiers, WholePositionTiers
from liqsim.venues.writing import write_venue

__all__ = ["import_tiers"]

_PRICE, _LEVERAGE, _NOTIONAL, _SHOWN = 100.0, 10.0, 10_000.0, 20


@click.command(
    "import", short_help="A venue from a file of tiers: ccxt's or freqtrade's JSON, CSV or TOML of one's own."
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbol", help="Contract, such as BTC/USDT:USDT; the only one in FILE unless given.")
@click.option(
    "--format", "file_format", type=click.Choice(["json", "csv", "toml"]), help="From FILE's name unless given."
)
@click.option(
    "--shape",
    type=click.Choice(["marginal", "whole-position"]),
    help="Whether a rate holds for its slice of the position or for all of it; needed where FILE has no amounts.",
)
@click.option(
    "--unit",
    type=click.Choice(["quote", "base", "contracts"]),
    help="What the bounds count; needed where FILE does not tell.",
)
@click.option("--contract", type=click.Choice(["linear", "inverse"]), help="From the symbol unless given.")
@click.option("--contract-size", type=float, help="Base units (linear) or quote units (inverse) of one contract.")
@click.option("--charged-on", type=click.Choice(["mark", "entry"]), help="Value on which the rate is charged.  [mark]")
@click.option("--taker-fee", type=float, help="Fraction of notional; liqsim sweep needs it.")
@click.option("--maker-fee", type=float, help="Fraction of notional.")
@click.option("--name", help="Identifier of the venue; from the symbol unless given.")
@click.option(
    "--snapshot", metavar="DATE", help="Day of the tiers, YYYY-MM-DD, where FILE does not tell; --out needs it."
)
@click.option("--side", type=click.Choice(["long", "short"]), default="long", show_default=True, help="Of the example.")
@click.option("--entry", type=float, help="Entry price of the example, quote per base.  [100]")
@click.option("--notional", type=float, help="Size of the example, quote currency.  [half of the first tier]")
@click.option("--leverage", type=float, help="Leverage of the example.  [10, or the most that is allowed]")
@click.option("--out", type=click.Path(path_type=Path), help="Venue file to write, such as my-venue.toml.")
@click.option("--force", is_flag=True, help="Let --out replace a file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def import_tiers(
    file: Path,
    symbol: str | None,
    file_format: Any,
    shape: Any,
    unit: Any,
    contract: Any,
    contract_size: float | None,
    charged_on: Any,
    taker_fee: float | None,
    maker_fee: float | None,
    name: str | None,
    snapshot: str | None,
    side: str,
    entry: float | None,
    notional: float | None,
    leverage: float | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Read the leverage tiers in FILE, check them, and print them with an example of a position.

    FILE is JSON that ccxt's fetch_leverage_tiers returned or freqtrade wrote, CSV with the columns floor, cap,
    maintenance_rate and max_leverage (and maintenance_amount and symbol, if there are any), or TOML; gzip-compressed
    or not. With --out the venue is written as a file that "liqsim sweep" takes in place of an id.

    \b
    Examples:
      liqsim venues import binance_leverage_tiers.json --symbol ETH/USDT:USDT
      liqsim venues import tiers.csv --contract linear --shape marginal --snapshot 2026-09-18 --out my-venue.toml
    """
    venue = read_tiers(
        file,
        symbol,
        format=file_format,
        contract=contract,
        contract_size=contract_size,
        taker_fee=taker_fee,
        maker_fee=maker_fee,
        name=name,
        shape=shape,
        unit=unit,
        charged_on=charged_on,
        snapshot=snapshot,
    )
    example = _example(venue, side, entry, notional, leverage)
    if out is not None:
        if venue.snapshot is None:
            changed = dt.date.fromtimestamp(file.stat().st_mtime)
            raise ParameterError(
                f"{file.name} does not tell of which day its tiers are; give --snapshot YYYY-MM-DD (the file was last "
                f"changed on {changed})"
            )
        write_venue(venue, out, overwrite=force)
    if as_json:
        written = None if out is None else str(out)
        echo_json({"venue": {**venue.to_dict(), "hash": venue.hash}, "example": example, "written": written})
        return
    of = "" if venue.snapshot is None else f", rules of {venue.snapshot}"
    click.echo(f"{venue.product} ({venue.id}), {venue.contract.kind}, settled in {venue.contract.settlement}{of}\n")
    click.echo(_tiers_text(venue))
    click.echo(
        "\n" + (_example_text(venue, example) if example else "No example of a position: give --entry, its price.")
    )
    gaps = [gap for gap, _ in venue.absent if gap.startswith(("fees", "funding"))]
    if gaps:
        click.echo(f"Not in the file: {', '.join(gaps)}.")
    if out is not None:
        click.echo(f'Written: {out}   (in a configuration of liqsim sweep: venue = "{out.name}")')


def _tiers_text(venue: Venue) -> str:
    margin = venue.margin
    if not isinstance(margin, (MarginalTiers, WholePositionTiers)):
        return f"margin: {type(margin).__name__}"
    unit = {"quote": venue.contract.quote, "base": venue.contract.base, "contracts": "contracts"}[margin.unit]
    marginal = isinstance(margin, MarginalTiers)
    amounts = margin.deductions if isinstance(margin, MarginalTiers) else [0.0] * len(margin.tiers)
    rows = [
        [
            str(k),
            f"{tier.floor:,.10g}",
            f"{tier.cap:,.10g}",
            f"{100 * tier.maintenance_rate:.6g} %",
            *([f"{amount:,.10g}"] if marginal else []),
            f"{tier.max_leverage:.6g}x",
        ]
        for k, (tier, amount) in enumerate(zip(margin.tiers[:_SHOWN], amounts, strict=False), start=1)
    ]
    kind = "marginal: each rate on its slice" if marginal else "one rate on the whole position"
    head = ["tier", f"from [{unit}]", f"to [{unit}]", "maintenance", *(["amount"] if marginal else []), "max leverage"]
    more = len(margin.tiers) - _SHOWN
    return f"Margin tiers ({kind}; charged on {margin.charged_on} value)\n{text_table(head, rows)}" + (
        f"\n... {more} more tiers" if more > 0 else ""
    )


def _example(
    venue: Venue, side: str, entry: float | None, notional: float | None, leverage: float | None
) -> dict[str, Any] | None:
    """Liquidation and bankruptcy price of one position; None without tiers, or where they need a price not given."""
    contract, margin = venue.contract, venue.margin
    if not isinstance(margin, (MarginalTiers, WholePositionTiers)) or (entry is None and margin.unit != "quote"):
        return None
    entry = _PRICE if entry is None else entry
    if notional is None:
        per_contract = contract.multiplier * (1.0 if contract.kind == "inverse" else entry)
        cap = margin.tiers[0].cap * {"quote": 1.0, "base": entry, "contracts": per_contract}[margin.unit]
        notional = cap / 2 if math.isfinite(cap) else _NOTIONAL
    if leverage is None:
        leverage = min(_LEVERAGE, float(venue.max_leverage(notional, entry, side)))
    quantity = float(contract.quantity(notional, entry))
    position: dict[str, Any] = {"side": side, "entry_price": entry, "quantity": quantity, "leverage": leverage}
    return {
        **position,
        "notional": notional,
        "liquidation_price": liquidation_price(venue, **position),
        "bankruptcy_price": bankruptcy_price(venue, **position),
    }


def _example_text(venue: Venue, example: dict[str, Any]) -> str:
    quote, entry, level = venue.contract.quote, example["entry_price"], example["liquidation_price"]
    found = (
        f"liquidation at {level:,.6g} {quote} ({100 * (level / entry - 1):+.3f} %)"
        if 0 < level < math.inf
        else "no price liquidates it"
    )
    return (
        f"Example: {example['side']} {example['notional']:,.10g} {quote} at {entry:,.10g} {quote}, "
        f"{example['leverage']:g}x isolated: {found}"
    )
