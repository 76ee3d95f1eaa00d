"""The main job in one go: real returns, fitted models, a liquidation grid, figures, a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from liqsim import presets
from liqsim.calibrate import FitResult, ReturnCounts, fit, load_prices
from liqsim.compare import compare_venues
from liqsim.errors import MarginRuleError
from liqsim.models import OUPremium
from liqsim.positions import maintenance_margin
from liqsim.report import attach, closed_form_check, replacing, save_result, write_report
from liqsim.sweep import sweep
from liqsim.venues import Venue, load_venue

__all__ = ["DEMO_ASSUMED", "DEMO_PREMIUM", "DEMO_VENUES", "DemoResult", "run_demo"]

DEMO_VENUES = ("binance-usdm-btcusdt", "kraken-pi-xbtusd")
DEMO_PREMIUM = OUPremium(mean=1e-4, half_life="15h", vol=3e-4)
LEVERAGES = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 12.0, 15.0, 20.0, 25.0, 35.0, 50.0)
STOPS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, float("inf"))
HORIZON = "30D"
NOTIONAL = 100_000.0
PRICE = 60_000.0
MODELS = ("gbm", "merton", "kou")
_CHECK_PATHS = 200_000

# The comparison of venues: a long, and illustrative values for what no source states.
COMPARED_LEVERAGES = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0)
SHOWN_LEVERAGE = 3.0  # that every venue allows
COMPARED_PRICE = 77_835.0  # of 2026-08-29, at which CME's margin per contract was read
DEMO_ASSUMED = {
    "coinbase-bip": {"margin.maintenance_share": 0.8},
    "kraken-pf-xbtusd": {"liquidation.fee_rate": 0.005},
    "kraken-spot-xbtusd": {"fees.taker": 0.0026, "liquidation.hazard": 0.5},
}
_COMPARED_PATHS = 50_000

_PREMIUM_SOURCE = (
    "Premium (one process for all venues, an assumption): mean 1 bp, the interest term per 8 h of the Binance rule, "
    "between the mean realised BTCUSDT funding of 0.61 bp (May 2024 to September 2025, "
    "funding_binance_8h_2024-05_2025-09.csv.gz) and 2.23 bp (January 2020 to October 2021, "
    "funding_multi_venue_8h_2020_2021.csv.gz). Its standard deviation of 3 bp makes the rate of that rule vary by "
    "0.5 bp per 8 h (realised 2024-2025: 0.59 bp) and lies between those of the perpetual over spot in 2025 (1.3 bp) "
    "and 2020-2021 (8.5 bp). Its half-life of 15 h is that of the realised rate, whose correlation from one 8 h "
    "payment to the next is 0.69."
)


@dataclass(frozen=True)
class DemoResult:
    """What :func:`run_demo` made: the grid, the comparison of venues, the fits, and the files in the order written."""

    dataset: xr.Dataset
    comparison: xr.Dataset
    fits: dict[str, FitResult]
    files: tuple[Path, ...]


def run_demo(
    out: str | Path = "out/demo",
    *,
    data: str | Path | None = None,
    column: str = "close",
    preset: str = "btc-2025",
    venues: Sequence[str] = DEMO_VENUES,
    n_paths: int = 1_000_000,
    seed: int = 7,
    threads: int | None = None,
    progress: bool = False,
    on_fits: Callable[[ReturnCounts, dict[str, FitResult]], None] = lambda counts, fits: None,
    on_sweep: Callable[[xr.Dataset], None] = lambda ds: None,
    on_comparison: Callable[[xr.Dataset], None] = lambda ds: None,
) -> DemoResult:
    """Fit real returns, sweep venues, compare many, and write results, figures and report.

    Parameters
    ----------
    out : str or pathlib.Path, default "out/demo"
        Folder for ``result.nc``, ``venues.nc``, PNG figures and ``report.html``.
    data : str or pathlib.Path, optional
        CSV file of bars to fit instead of a preset; see :func:`liqsim.calibrate.load_prices`. Positions then open at
        its last price.
    column : str, default "close"
        Price column of ``data``.
    preset : str, default "btc-2025"
        Shipped return counts, one of :func:`liqsim.presets.list_presets`.
    venues : sequence of str
        Identifiers of shipped venues, for the grid.
    n_paths, seed, threads, progress
        As in :func:`liqsim.sweep`; the comparison of venues takes at most 50,000 paths.
    on_fits, on_sweep, on_comparison : callable
        Called with the counts and fits, and with the datasets, as soon as they are there.

    Returns
    -------
    DemoResult

    Notes
    -----
    GBM, Merton and Kou are fitted by maximum likelihood; the Kou fit with its drift set to 0 is simulated. Leverages
    that a venue does not allow for 100,000 of notional are left out for all. The comparison is that of a long on every
    venue of :func:`liqsim.compare_venues`, with the values of ``DEMO_ASSUMED`` for what no source states.
    """
    counts, price = _returns(data, column, preset)
    fits = {name: fit(name, counts) for name in MODELS}
    on_fits(counts, fits)
    model = fits["kou"].model_with(drift=0.0)
    rules = {name: load_venue(name) for name in venues}
    ds = sweep(
        model,
        rules,
        premium=DEMO_PREMIUM,
        leverage=allowed_leverages(list(rules.values()), price),
        stop=STOPS,
        side=("long", "short"),
        notional=NOTIONAL,
        price=price,
        horizon=HORIZON,
        n_paths=n_paths,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    check = closed_form_check(model, HORIZON, n_paths=min(n_paths, _CHECK_PATHS), seed=seed, threads=threads)
    ds = attach(ds, counts=counts, fits=fits, check=check, notes=[_PREMIUM_SOURCE])
    on_sweep(ds)
    compared = compare_venues(
        model,
        premium=DEMO_PREMIUM,
        leverage=COMPARED_LEVERAGES,
        notional=NOTIONAL,
        price=COMPARED_PRICE if data is None else price,
        horizon=HORIZON,
        assume=DEMO_ASSUMED,
        n_paths=min(n_paths, _COMPARED_PATHS),
        seed=seed,
        threads=threads,
        progress=progress,
    )
    on_comparison(compared)
    return DemoResult(ds, compared, fits, tuple(_write(Path(out), ds, compared)))


def _returns(data: str | Path | None, column: str, preset: str) -> tuple[ReturnCounts, float]:
    if data is None:
        return presets.counts(preset), PRICE
    series = load_prices(data, column)
    width = min(2e-4, float(f"{0.2 * float(np.std(series.returns)):.1g}"))
    return ReturnCounts.from_returns(series, bin_width=width), float(series.prices[-1])


def allowed_leverages(venues: Sequence[Venue], price: float, notional: float = NOTIONAL) -> list[float]:
    """Leverages of the demo's grid that every venue allows for ``notional``.

    Raises
    ------
    MarginRuleError
        If none is left.
    """
    top = np.inf
    for venue in venues:
        quantity = float(venue.contract.quantity(notional, price))
        value = float(venue.contract.value(quantity, price))
        for side in ("long", "short"):
            required = maintenance_margin(venue, side, price=price, quantity=quantity) / value
            limit = float(venue.max_leverage(notional, price, side=side)) * (1.0 + 1e-9)
            top = min(top, limit, np.nextafter(1.0 / required, 0.0) if required > 0 else np.inf)
    allowed = [leverage for leverage in LEVERAGES if leverage <= top]
    if not allowed:
        names = ", ".join(venue.id for venue in venues)
        raise MarginRuleError(
            f"venues={names} allow at most {top:.3g}x together for a notional of {notional:g}, below the lowest "
            f"leverage of the grid, {LEVERAGES[0]:g}x; choose other venues"
        )
    return allowed


def _write(out: Path, ds: xr.Dataset, compared: xr.Dataset) -> list[Path]:
    from liqsim.report.figures import draw_all, draw_comparison
    from liqsim.report.records import record_of

    written = [save_result(ds, out / "result.nc"), save_result(compared, out / "venues.nc")]
    pictures, venues = draw_all(ds, record_of(ds)), draw_comparison(compared, SHOWN_LEVERAGE)
    for picture in [*pictures, *venues]:
        path = out / f"{picture.name}.png"
        with replacing(path) as temporary:
            temporary.write_bytes(picture.png)
        written.append(path)
    written.append(
        write_report(out / "report.html", ds, pictures=pictures, comparison=compared, comparison_pictures=venues)
    )
    return written
