"""Every worked example of the reference collection that these rules express, by the kind of its inputs."""

import dataclasses
import json
import math

import numpy as np
import pytest

from liqsim.positions import (
    bankruptcy_price,
    initial_margin,
    liquidation_price,
    maintenance_margin,
    unrealised_pnl,
)
from liqsim.venues import (
    Contract,
    Fees,
    FixedPerContract,
    FlatLeverage,
    LinearInSize,
    MarginalTiers,
    PremiumFunding,
    Venue,
    WholePositionTiers,
    load_venue,
)
from liqsim.venues.liquidation import bankruptcy_value, fillable_price, liquidation_buffer, margin_level


def tiers_with_amount(rate, amount):
    """A table whose second row has the rate and the deduction of a bracket quoted alone."""
    if not amount:
        return [(0, None, rate, 0.99 / rate)]
    floor = 2 * amount / rate
    return [(0, floor, rate / 2, 1 / rate), (floor, None, rate, 0.99 / rate)]


def one_rate(example, **options):
    rate = example["inputs"]["maintenance_margin_rate"]
    return Venue.from_tiers([(0, None, rate, 0.99 / rate)], contract=example["contract_type"], **options)


def binance(example):
    x = example["inputs"]
    venue = Venue.from_tiers(tiers_with_amount(x["maintenance_margin_rate"], x["maintenance_amount"]))
    pnl = requirement = 0.0
    for other in x.get("other_positions", []):
        rules = Venue.from_tiers(tiers_with_amount(other["maintenance_margin_rate"], other["maintenance_amount"]))
        mark, size = other["mark_price"], other["size"]
        pnl += unrealised_pnl(rules, other["side"], entry_price=other["entry_price"], price=mark, quantity=size)
        requirement += maintenance_margin(rules, other["side"], price=mark, quantity=size)
    price = liquidation_price(
        venue,
        example["side"],
        entry_price=x["entry_price"],
        quantity=x["size"],
        margin=x["wallet_balance"],
        margin_mode=example["margin_mode"],
        other_pnl=pnl,
        other_maintenance=requirement,
    )
    buffered = price + x.get("liquidation_buffer", 0.0) * (x["entry_price"] - price)
    return {"liquidation_price": price, "liquidation_price_with_buffer": buffered}


def with_fee(example):
    x = example["inputs"]
    venue = one_rate(example, closing_fee_rate=x["taker_fee_rate"])
    terms = {"entry_price": x["entry_price"], "quantity": x["size"], "margin": x["margin"]}
    return {"liquidation_price": liquidation_price(venue, example["side"], **terms)}


def bybit(example):
    x = example["inputs"]
    inverse = example["contract_type"] == "inverse"
    venue = one_rate(example, charged_on="entry", unit="base" if inverse else "quote")
    q = x["contracts_usd"] if inverse else x["size"]
    value = float(venue.contract.value(q, x["entry_price"]))
    posted = value / x["leverage"]
    margin = posted + x["extra_margin"] + x.get("maintenance_deduction", 0.0)
    terms = {"entry_price": x["entry_price"], "quantity": q}
    return {
        "position_value_btc": value,
        "initial_margin_btc": posted,
        "maintenance_margin_btc": maintenance_margin(venue, price=x["entry_price"], quantity=q),
        "liquidation_price": liquidation_price(venue, example["side"], margin=margin, **terms),
    }


def bitmex(example):
    x = example["inputs"]
    if "im" in x:
        cap = 0.75 * (x["im"] - x["mm"])
        rule = PremiumFunding("8h", cap=cap, change_cap=0.75 * x["mm"])
        most = float(rule.rates(1.0, previous=cap))
        return {
            "abs_cap_per_interval": most,
            "abs_cap_per_day": [most * n for n in x["intervals_per_day"]],
            "change_cap_between_intervals": float(rule.rates(1.0, previous=-cap / 2)) + cap / 2,
        }
    if "base_risk_limit_xbt" in x:
        schedule = WholePositionTiers.from_steps(
            base_limit=x["base_risk_limit_xbt"],
            step=x["risk_step_xbt"],
            base_maintenance=x["base_mm"],
            base_initial=x["base_im"],
        )
        value = np.asarray(x["position_value_xbt"], dtype=float)
        k = schedule.tier_index(value)
        return {
            "steps": k,
            "mm_rate": schedule.rates[k],
            "im_rate": schedule.initial_rates[k],
            "maintenance_margin_xbt": schedule.maintenance(value),
            "maintenance_margin_xbt_first": schedule.maintenance(np.ravel(value)[0]),
        }
    venue = one_rate(example, charged_on="entry")
    venue = dataclasses.replace(venue, contract=Contract("inverse", tick=0.5))
    side, entry, q = example["side"], x["entry_price"], x["contracts"]
    margin = (x["pos_init_sat"] + x["pos_cross_sat"]) / 1e8
    terms = {"entry_price": entry, "quantity": q, "margin": margin, "round_to_tick": True}
    rate = maintenance_margin(venue, side, price=entry, quantity=q) / float(venue.contract.value(q, entry))
    fee = math.ceil(x["taker_fee_rate"] * (x["pos_cost_sat"] + x["pos_init_sat"] + x["pos_cross_sat"]))
    sign = 1 if side == "long" else -1
    assert fee == x["pos_comm_sat"]
    return {
        "pos_margin_sat": margin * 1e8 + fee,
        "pos_maint_sat": rate * x["pos_cost_sat"] + fee,
        "liquidation_price": liquidation_price(venue, side, **terms),
        "bankruptcy_price": bankruptcy_price(venue, side, **terms),
        # the engine values a contract in whole satoshis before it multiplies
        "unrealised_pnl_sat": sign * (x["pos_cost_sat"] - q * round(1e8 / x["mark_price"])),
    }


def deribit(example):
    x = example["inputs"]
    if "rate_8h" in x:
        rule = PremiumFunding(f"{x['minutes']}min", scale=x["minutes"] / 480)
        return {"funding_paid_btc": rule.rates(x["rate_8h"]) * x["position_btc"]}
    if "taker_fee" in x:
        contract = Contract("inverse", base="ETH")
        rate = float(Fees(taker=x["taker_fee"]).rate("taker", contract, x["price"]))
        return {"fee_eth": rate * float(contract.value(x["trade_usd"], x["price"]))}
    linear = example["contract_type"] == "linear"
    coin = next(x[k] for k in ("position_base", "position_btc", "position_eth", "position_sol") if k in x)
    slope = next(v for k, v in x.items() if k.startswith("slope_per"))
    schedule = LinearInSize(maintenance_base=x["mm_base"], initial_base=x["im_base"], slope=slope)
    venue = Venue(
        id="x",
        name="x",
        product="x",
        contract=Contract("linear" if linear else "inverse"),
        margin=schedule,
    )
    price = np.asarray(x.get("index_price", 1.0), dtype=float)
    q = np.asarray(coin, dtype=float) * (1.0 if linear else price)
    im = initial_margin(venue, entry_price=price, quantity=q)
    mm = maintenance_margin(venue, price=price, quantity=q)
    value = venue.contract.value(q, price)
    return {
        "im_rate": im / value,
        "mm_rate": mm / value,
        **dict.fromkeys(("initial_margin", "initial_margin_btc", "initial_margin_eth"), im),
        **dict.fromkeys(("maintenance_margin", "maintenance_margin_btc", "maintenance_margin_eth"), mm),
    }


def kraken_futures(example):
    x = example["inputs"]
    if "hourly_mean_premium" in x:
        rule = PremiumFunding("1h", scale=1 / x["coefficient"], cap=x["max_relative_rate"])
        return {"hourly_rate": rule.rates(x["hourly_mean_premium"])}
    schedule = load_venue("kraken-pi-xbtusd").margin
    k = schedule.tier_index(x["contracts_usd"])
    return {"im_rate": schedule.initial_rates[k], "mm_rate": schedule.rates[k]}


def kraken_spot(example):
    x = example["inputs"]
    schedule = FlatLeverage(max_leverage=10, liquidation_level=0.4, call_level=0.8)
    venue = Venue(id="x", name="x", product="x", contract=Contract("linear"), margin=schedule)
    if "position_cost" in x:
        used = initial_margin(venue, entry_price=1.0, quantity=x["position_cost"], leverage=x["leverage"])
        return {"used_margin": used, "loss_over_used_margin": -x["realised_pnl"] / used}
    side, q, entry, price = example["side"], x["size_btc"], x["entry_price"], x["price"]
    pnl = unrealised_pnl(venue, side, entry_price=entry, price=price, quantity=q)
    opening = initial_margin(venue, side, entry_price=entry, quantity=q, leverage=x["leverage"])
    at = price if side == "short" else entry
    used = initial_margin(venue, side, entry_price=at, quantity=q, leverage=x["leverage"])
    equity = x["equity_start"] + pnl
    return {
        "used_margin_btc": opening / entry,
        "opening_margin_level": float(margin_level(x["equity_start"], opening)),
        "unrealised_loss": -pnl,
        "unrealised_profit": pnl,
        "equity": equity,
        "used_margin_usd": used,
        "margin_level": float(margin_level(equity, used)),
    }


def coinbase(example):
    x = example["inputs"]
    found = liquidation_buffer(x["available_for_margin"], x["initial_margin"], x["liquidation_threshold"])
    return {"liquidation_buffer": found}


def cme(example):
    x = example["inputs"]
    schedule = FixedPerContract(
        maintenance_per_contract=x["maintenance_margin_usd"], initial_ratio=x.get("hrp_multiplier", 1.1)
    )
    contract = Contract("linear", multiplier=x.get("contract_size", 5.0))
    venue = Venue(id="x", name="x", product="x", contract=contract, margin=schedule)
    q, price = contract.multiplier, x.get("price", 1.0)
    return {
        "initial_margin_usd": initial_margin(venue, entry_price=price, quantity=q),
        "maintenance_pct": maintenance_margin(venue, price=price, quantity=q) / (q * price),
    }


def hyperliquid(example):
    x = example["inputs"]
    if "tiers" in x:
        bounds = [*(low for low, _ in x["tiers"][1:]), None]
        rows = [(low, cap, 0.5 / lev, lev) for (low, lev), cap in zip(x["tiers"], bounds, strict=True)]
        schedule = MarginalTiers(tiers=rows)
        return {"deduction": schedule.deductions, "maintenance_margin": schedule.maintenance(x["notional"])}
    top = x["max_leverage"]
    venue = Venue.from_tiers([(0, None, 0.5 / top, top)])
    terms = {"entry_price": x["price"], "quantity": x["size"], "leverage": x["leverage"]}
    posted = initial_margin(venue, **terms)
    required = maintenance_margin(venue, price=x["price"], quantity=x["size"])
    return {
        "margin_available": posted - required,
        "liquidation_price": liquidation_price(venue, example["side"], **terms),
    }


def dydx(example):
    x = example["inputs"]
    if "clamp_factor" in x:
        return {"max_abs_rate_8h": x["clamp_factor"] * (np.array(x["imr"]) - np.array(x["mmr"]))}
    positions = x["positions"]
    collateral = x["quote_balance"] + sum(p["size"] * p["oracle_price"] for p in positions)
    margins = [abs(p["size"]) * p["oracle_price"] * p["mmr"] for p in positions]
    chosen, margin, total = positions[x["close_index"]], margins[x["close_index"]], sum(margins)
    price = chosen["oracle_price"]
    if "close_size" in x:
        released = margin * abs(x["close_size"] / chosen["size"])
        value = bankruptcy_value(x["close_size"], price, collateral, released, total)
        return {"bankruptcy_value_quote": value}
    terms = {
        "bankruptcy_adjustment": x["bankruptcy_adjustment"],
        "spread_to_maintenance": x["spread_to_mmr"],
    }
    return {"fillable_price": fillable_price(chosen["size"], price, collateral, margin, total, **terms)}


BY_VENUE = {
    "binance": binance,
    "okx": with_fee,
    "gate": with_fee,
    "bybit": bybit,
    "bitmex": bitmex,
    "deribit": deribit,
    "kraken_futures": kraken_futures,
    "kraken_spot": kraken_spot,
    "coinbase_derivatives": coinbase,
    "cme": cme,
    "hyperliquid": hyperliquid,
    "dydx_v4": dydx,
}


def test_worked_examples(shared):
    path = shared / "reference" / "venue_examples_public.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    failures = []
    examples = json.loads(path.read_text())
    for example in examples:
        found = BY_VENUE[example["venue"]](example)
        for name, expected in example["expected"].items():
            tolerance = example["tolerance"]
            own = "margin_abs_sat" if name.endswith("_sat") else f"{name}_abs"
            loose = tolerance.get(own, tolerance.get("abs", 0.0))
            close = np.allclose(found[name], expected, rtol=tolerance.get("rel", 0.0), atol=loose)
            if not close:
                failures.append(f"{example['id']}: {name} is {found[name]!r}, expected {expected!r}")
    assert len(examples) > 0
    assert not failures, "\n".join(failures)
