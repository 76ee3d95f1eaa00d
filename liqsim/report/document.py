"""One self-contained HTML file: figures, tables, parameters, check and provenance."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from liqsim._version import __version__
from liqsim.calibrate import FitResult, ReturnCounts
from liqsim.errors import ParameterError
from liqsim.files import replacing
from liqsim.plot._data import horizon_text, inputs, plus_minus, stop_text
from liqsim.plot.captions import footnotes, model_text, quote_text
from liqsim.report.check import CheckRow
from liqsim.report.comparison import VenueRow, is_comparison, venue_table
from liqsim.report.figures import MOST_HEATMAPS, Picture, draw_all, draw_comparison
from liqsim.report.records import Record, record_of
from liqsim.report.tables import RiskRow, cases, leverage_limits, probability, risk_table, some
from liqsim.venues.venue import CONFIDENCE

__all__ = ["write_report"]

_LIMITS = (0.01, 0.05, 0.10)
_TAILS = (-0.05, -0.03, -0.02, 0.02, 0.03, 0.05)
_MINUS = "\N{MINUS SIGN}"


def write_report(
    path: str | Path,
    ds: xr.Dataset,
    *,
    counts: ReturnCounts | None = None,
    fits: Mapping[str, FitResult] | None = None,
    check: Sequence[CheckRow] = (),
    title: str = "Liquidation risk",
    pictures: Sequence[Picture] | None = None,
    comparison: xr.Dataset | None = None,
    comparison_pictures: Sequence[Picture] | None = None,
) -> Path:
    """Write a sweep, a comparison of venues, or both as one HTML file that needs nothing but itself.

    Parameters
    ----------
    path : str or pathlib.Path
        Name of the file, such as ``"report.html"``.
    ds : xarray.Dataset
        Result of :func:`liqsim.sweep` or :func:`liqsim.compare_venues`.
    counts, fits, check : optional
        Calibration to print with it, instead of what :func:`attach` put into the dataset.
    title : str, default "Liquidation risk"
    pictures : sequence of Picture, optional
        Figures already drawn for this dataset; drawn now unless given.
    comparison : xarray.Dataset, optional
        Result of :func:`liqsim.compare_venues`, to print with the sweep.
    comparison_pictures : sequence of Picture, optional
        Figures already drawn for it; drawn now unless given.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ParameterError
        If the dataset is not a sweep, or the file cannot be written.
    ModuleNotFoundError
        Without jinja2 and matplotlib.
    """
    if not isinstance(ds, xr.Dataset) or "p_liquidation" not in ds or not inputs(ds):
        raise ParameterError("ds is not the result of liqsim.sweep (no p_liquidation or provenance); give one")
    if comparison is not None and not is_comparison(comparison):
        raise ParameterError("comparison is not the result of liqsim.compare_venues; give one, or leave it out")
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'liqsim.report needs jinja2; install it with: pip install "liqsim[report]"', name=error.name
        ) from None
    record = record_of(ds)
    record = replace(
        record,
        counts=counts if counts is not None else record.counts,
        fits=fits if fits is not None else record.fits,
        check=tuple(check) or record.check,
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("liqsim.report").joinpath("report.html").read_text("utf-8"))
    if is_comparison(ds):
        comparison, comparison_pictures = ds, pictures if comparison_pictures is None else comparison_pictures
        context = _frame(ds, record, title) | _NO_GRID | {"venue_notes": []}  # the comparison says them
    else:
        context = _frame(ds, record, title) | _grid(ds, record, draw_all(ds, record) if pictures is None else pictures)
    html = template.render(context | _comparison(comparison, comparison_pictures))
    with replacing(path) as temporary:
        temporary.write_text(html, "utf-8")
    return Path(path)


_NO_GRID: dict[str, Any] = {
    "limits": [], "limit_levels": [], "limit_stop": "", "tables": [], "pictures": [], "maps_left_out": 0,
}  # fmt: skip


def _frame(ds: xr.Dataset, record: Record, title: str) -> dict[str, Any]:
    """What every report has: the run, the calibration behind it, and the venues' rules."""
    given, made = inputs(ds), json.loads(ds.attrs["provenance"])
    return {
        "title": title,
        "version": __version__,
        "lead": _lead(ds, given),
        "quote": quote_text(given),
        "n_paths": int(ds.attrs.get("n_paths", 0)),
        "fits": _fit_rows(record),
        "tails": _tails(record),
        "counts": record.counts,
        "check": [_check_cells(row) for row in record.check],
        "check_paths": record.check[0].n_paths if record.check else 0,
        "worst_z": max((abs(row.z) for row in record.check), default=0.0),
        "notes": record.notes,
        "venue_notes": [line for line in str(ds.attrs.get("notes", "")).splitlines() if line],
        "exact": _exact(given),
        "modelled": _modelled(given),
        "run": _run_rows(ds, given, made),
        "venues": [_venue(label, venue) for label, venue in given.get("venue", {}).items()],
        "provenance": json.dumps(made, indent=1),
    }


def _shown(picture: Picture) -> dict[str, str]:
    return {
        "heading": picture.heading,
        "caption": picture.caption,
        "name": picture.name,
        "data": base64.b64encode(picture.png).decode(),
    }


def _grid(ds: xr.Dataset, record: Record, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Limits, tables and pictures of a sweep."""
    n_maps = sum(part.sizes["side"] for _, part in cases(ds))
    farthest = float(ds["stop"].values.max())
    stops = some(ds["stop"].values, [0.05, math.inf])[::-1]
    return {
        "limits": [_limit_row(row) for row in leverage_limits(ds, _LIMITS)],
        "limit_levels": [f"{100 * level:g} %" for level in _LIMITS],
        "limit_stop": "no stop" if math.isinf(farthest) else f"stop at {stop_text(farthest)}",
        "tables": [
            {
                "heading": "Without a stop" if math.isinf(stop) else f"With a stop at {stop_text(stop)}",
                "rows": _marked([_risk_cells(row) for row in risk_table(ds, stop=[stop])]),
            }
            for stop in stops
        ],
        "pictures": [_shown(picture) for picture in pictures],
        "maps_left_out": max(0, n_maps - MOST_HEATMAPS),
    }


def _comparison(ds: xr.Dataset | None, pictures: Sequence[Picture] | None) -> dict[str, Any]:
    """Pictures, rows and words of a comparison of venues."""
    if ds is None:
        return {"compared": None}
    pictures = draw_comparison(ds) if pictures is None else pictures
    if "leverage" in ds.dims:
        ds = ds.sel(leverage=some(ds["leverage"].values, [3, 5, 10]))
    rows = venue_table(ds)
    why = {row.venue: row for row in rows}
    return {
        "compared": {
            "pictures": [_shown(picture) for picture in pictures],
            "rows": _marked_by_position([_venue_cells(row) for row in rows]),
            "why": [(row.venue + (" (closed)" if row.is_closed else ""), row.why) for row in why.values()],
            "notes": footnotes(ds),
            "quote": quote_text(inputs(ds)),
        }
    }


def _venue_cells(row: VenueRow) -> dict[str, Any]:
    chance, chance_se = probability(row.values["p_liquidation"], row.errors["p_liquidation"], row.n_paths)
    cells: dict[str, Any] = {
        "venue": row.venue + (" (closed)" if row.is_closed else ""),
        "position": f"{row.side}, {row.leverage:g}\N{MULTIPLICATION SIGN}, {_stop(row.stop)}",
        "price": _price(row.liquidation_price),
        "move": "" if math.isnan(row.move) else _signed(f"{100 * row.move:+.1f}"),
        "p_liquidation": (chance, chance_se),
        "back": ("", ""),
        "bearer": row.bearer,
    }
    if not math.isnan(row.back[0]):
        cells["back"] = plus_minus(max(row.back[0], 0.0), row.back[1], 100.0, 1)
    for name in ("p_partial", "p_margin_call"):
        shown = probability(row.values[name], row.errors[name], row.n_paths)
        cells[name] = shown if row.values[name] > 0 else ("0", "")
    for name, digits in (("funding_cost", 1), ("fees", 1), ("pnl", 1), ("shortfall", 3)):
        value, se = plus_minus(row.values[name], row.errors[name], 1e4, digits)
        cells[name] = (_signed(value), se)
    return cells


def _stop(stop: float) -> str:
    return "no stop" if math.isinf(stop) else f"stop at {stop_text(stop)}"


def _marked_by_position(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for above, row in zip([{"position": None}, *rows], rows, strict=False):
        row["first"] = row["position"] != above["position"]
    return rows


def _lead(ds: xr.Dataset, given: Mapping[str, Any]) -> str:
    notionals = " and ".join(f"{n:,.10g}" for n in given.get("notional", []))
    horizons = " and ".join(horizon_text(h) for h in np.atleast_1d(ds["horizon"].values))
    sides = " and ".join(str(side) for side in np.atleast_1d(ds["side"].values))
    venues = list(given.get("venue", {}))
    where = " and ".join(venues) if len(venues) <= 3 else f"{len(venues)} venues"
    return (
        f"{sides.capitalize()} positions of {notionals} {quote_text(given)} opened at "
        f"{given.get('price', math.nan):,.10g}, isolated margin, held for up to {horizons}, on {where}. "
        f"{int(ds.attrs.get('n_paths', 0)):,} simulated paths, the same in every cell of a venue; "
        "\N{PLUS-MINUS SIGN} is one standard error of the simulation."
    )


def _limit_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "limits": [f"{v:g}\N{MULTIPLICATION SIGN}" if v else "none" for v in row["limits"]]}


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)


def _risk_cells(row: RiskRow) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "case": row.case,
        "side": row.side,
        "leverage": f"{row.leverage:g}\N{MULTIPLICATION SIGN}",
        "liquidation_price": _price(row.liquidation_price),
    }
    for name, factor, digits in (("funding_cost", 1e4, 1), ("fees", 1e4, 1), ("pnl", 1e4, 1), ("exit_time", 1.0, 2)):
        value, se = plus_minus(row.values[name], row.errors[name], factor, digits)
        cells[name] = (_signed(value), se)
    for name in ("p_liquidation", "p_stop"):
        is_impossible = name == "p_stop" and math.isinf(row.stop)
        cells[name] = ("0", "") if is_impossible else probability(row.values[name], row.errors[name], row.n_paths)
    return cells


def _price(value: float) -> str:
    if not math.isfinite(value) or value <= 0:
        return "none"
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def _marked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark the first row of each venue and side, which gets a rule above."""
    for row in rows[:1]:
        row["first"] = True
    for above, row in pairwise(rows):
        row["first"] = (row["case"], row["side"]) != (above["case"], above["side"])
    return rows


def _fit_rows(record: Record) -> list[dict[str, Any]]:
    if not record.fits:
        return []
    best = min(fit.aic for fit in record.fits.values())
    names = {"gbm": "GBM", "merton": "Merton", "kou": "Kou"}
    rows = []
    for name, fit in record.fits.items():
        parameters = []
        for parameter, value in fit.params.items():
            se = fit.se.get(parameter)
            shown = plus_minus(value, se) if se else (f"{value:.4g}", "")
            why = "held" if parameter in fit.fixed else "at the bound of the search"
            parameters.append((parameter, _signed(shown[0]), f"\N{PLUS-MINUS SIGN} {shown[1]}" if se else f"({why})"))
        rows.append(
            {
                "name": names.get(name, name),
                "parameters": parameters,
                "loglik": f"{fit.loglik:,.1f}",
                "aic": _signed(f"{fit.aic:,.1f}"),
                "delta": f"{fit.aic - best:,.1f}",
                "volatility": f"{100 * fit.model.annual_volatility:.1f} %",
                "note": "" if fit.converged else fit.note,
            }
        )
    return rows


def _tails(record: Record) -> dict[str, Any] | None:
    if record.counts is None or not record.fits:
        return None
    names = {"gbm": "GBM", "merton": "Merton", "kou": "Kou"}
    models = {names.get(name, name): fit.model for name, fit in record.fits.items()}
    rows = [
        {
            "level": _signed(f"{100 * row['level']:+g} %"),
            "observed": f"{row['observed']:,.0f}",
            "expected": [f"{row[name]:,.1f}" if row[name] >= 0.05 else f"{row[name]:.1g}" for name in models],
        }
        for row in record.counts.tail_table(models, _TAILS)
    ]
    return {"models": list(models), "rows": rows}


def _check_cells(row: CheckRow) -> dict[str, str]:
    estimate, se = plus_minus(row.estimate, row.se, 100.0)
    return {
        "side": row.side,
        "leverage": f"{row.leverage:g}\N{MULTIPLICATION SIGN}",
        "level": f"{row.level:.5f}",
        "estimate": estimate,
        "se": se,
        "exact": f"{100 * row.exact:.6f}",
        "z": _signed(f"{row.z:+.2f}"),
    }


def _exact(given: Mapping[str, Any]) -> list[str]:
    looks = (
        "Liquidations and stops are looked for at every moment, not at time steps: between funding payments and jumps "
        "the extremes of the price are drawn from the law of the Brownian bridge."
    )
    if given.get("monitoring_ns"):
        looks = (
            f"The venue is taken to look at the price every {given['monitoring_ns'] / 1e9:g} s, as asked; prices at "
            "those times are drawn from the exact law of the model."
        )
    return [
        looks,
        "Every path of every cell ends in exactly one of liquidated, stopped, or open at the horizon; the three "
        "probabilities are counts over the same paths.",
        "Liquidation and bankruptcy prices at entry are closed forms of each venue's margin table.",
        "The same seed gives the same numbers on any number of threads and any processor.",
    ]


def _modelled(given: Mapping[str, Any]) -> list[str]:
    venues = given.get("venue", {})
    items = [
        "Returns are independent draws of the price model: quiet and violent spells do not cluster as they do in real "
        "markets, so the risk over the coming month depends on the regime the model was fitted to.",
        "Mark, last and index price are one price; the premium moves the funding rate only.",
        "Margin is isolated. Entries and exits pay the taker fee; there is no slippage. A stop fills at its price, or "
        "at the landing price of a jump over it. When a jump lands beyond both, "
        + ("liquidation comes first." if given.get("gap_rule") != "stop" else "the stop comes first."),
        "Each venue closes positions by its own procedure: whole or in rounds, with its fee, after a margin call with "
        "its deadline, or at its discretion. It acts in an instant, and its own selling does not move the price.",
        "Margin calls are not met."
        if not given.get("top_up")
        else f"On margin calls the trader adds up to {100 * given['top_up']:g} % of the entry notional in all.",
        "Error bars are those of the simulation. They do not hold the uncertainty of the parameters.",
    ]
    if any(venue.get("contract", {}).get("kind") == "inverse" for venue in venues.values()):
        items.append(
            "Profit, fees and funding of an inverse contract are counted in coin. A price without drift in dollars is "
            "not one in coin: the expected profit in coin leans to the short by about the variance of the return."
        )
    if len({venue.get("contract", {}).get("quote") for venue in venues.values()}) > 1:
        items.append("Prices are in each venue's own quote currency; USD and USDT are taken at par.")
    return items


def _run_rows(ds: xr.Dataset, given: Mapping[str, Any], made: Mapping[str, Any]) -> list[tuple[str, str]]:
    premium = given.get("premium")
    text = "none: funding at the venue's interest term"
    if premium:
        text = (
            f"Ornstein-Uhlenbeck, mean {1e4 * premium['mean']:g} bp, standard deviation {1e4 * premium['vol']:g} bp, "
            f"half-life {premium['half_life']}, correlation with the price {premium['correlation']:g}"
        )
    rows = [("Price model", "; ".join(model_text(model) for model in given.get("model", {}).values()))]
    rows += [("Premium", text)]
    rows += [("Paths", f"{made.get('n_paths', 0):,}"), ("Seed", str(made.get("seed", "")))]
    rows += [("Simulated in", f"{made.get('elapsed_seconds', 0):g} s"), ("Made", str(made.get("created", "")))]
    rows += [
        (
            "Software",
            f"liqsim {made.get('version')}, Python {made.get('python')}, NumPy {made.get('numpy')}, "
            f"kernel for instruction set {made.get('instruction_set')}, {made.get('platform')}",
        )
    ]
    return [row for row in rows if row[1]]


def _venue(label: str, venue: Mapping[str, Any]) -> dict[str, Any]:
    liquidation = venue.get("liquidation", {})
    return {
        "label": label,
        "title": " ".join(str(venue.get(key, "")) for key in ("name", "product")).strip(),
        "snapshot": venue.get("snapshot") or "not dated",
        "hash": venue.get("hash", ""),
        "status": venue.get("status_note", "") if venue.get("status") == "closed" else "",
        "procedure": f"{liquidation.get('procedure', '')}, remainder {liquidation.get('residual', '')}",
        "bearers": ", then ".join(liquidation.get("bearers", ())),
        "sources": [
            {
                "covers": ", ".join(source["covers"]),
                "origin": source["origin"],
                "as_of": source["as_of"],
                "confidence": CONFIDENCE.get(source["confidence"], source["confidence"]),
                "note": source["note"],
            }
            for source in venue.get("sources", [])
        ],
    }
