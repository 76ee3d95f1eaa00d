"""Count hourly log returns of BTC and ETH and fit the price models to them.

    python tools/make_return_counts.py DATA_FOLDER [--output liqsim/presets]

DATA_FOLDER holds the bar files named in ``PRESETS``. Writes ``return_counts.json`` and ``fits.json``; the
bars themselves are not copied. Running it again gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from liqsim.calibrate import FitResult, ReturnCounts, compare, fit, load_prices

BIN_WIDTH = 2e-4
MODELS = ("gbm", "merton", "kou")
S2 = "github.com/djienne/3EMA_SRSI_ATR at 29af186a61a7"
S11 = "github.com/Harthor/marketlab at 6135a753162d"
NOTE = (
    "Counts of hourly log returns, derived from Binance spot bars kept in public repositories; no bars are contained. "
    "A bar is stamped with its open time and a return with the stamp of its later bar. No return spans a gap, and bars "
    "without trades are left out. See LICENSES/DATA.md."
)


@dataclass(frozen=True)
class Preset:
    """What one preset counts: returns stamped in ``[start, stop)``."""

    name: str
    asset: str
    file: str
    column: str
    volume: str | None
    start: str
    stop: str
    origin: str
    remark: str = ""


_EARLY, _LATE = (
    "{}usdt_binance_spot_1h_2017_2021.csv.gz",
    "{}usdt_binance_mark_last_spot_1h_2025_01_09.csv.gz",
)
PRESETS = (
    Preset(
        "btc-2017-2019", "BTC/USDT spot, Binance", _EARLY.format("btc"), "close", "volume",
        "2017-10-01", "2020-01-01", S2, "The illiquid first weeks, August and September 2017, are left out.",
    ),
    Preset(
        "btc-2020-2021", "BTC/USDT spot, Binance", _EARLY.format("btc"), "close", "volume",
        "2020-01-01", "2021-11-01", S2,
    ),
    Preset(
        "btc-2025", "BTC/USDT spot, Binance", _LATE.format("btc"), "spot_close", None,
        "2025-01-01", "2025-10-01", S11,
    ),
    Preset(
        "eth-2018-2019", "ETH/USDT spot, Binance", _EARLY.format("eth"), "close", "volume",
        "2018-01-01", "2020-01-01", S2, "2017 is left out: its market was illiquid, with jumps between bars.",
    ),
    Preset(
        "eth-2020-2021", "ETH/USDT spot, Binance", _EARLY.format("eth"), "close", "volume",
        "2020-01-01", "2021-11-01", S2,
    ),
    Preset(
        "eth-2025", "ETH/USDT spot, Binance", _LATE.format("eth"), "spot_close", None,
        "2025-01-01", "2025-10-01", S11,
    ),
)  # fmt: skip


def count(preset: Preset, folder: Path) -> ReturnCounts:
    """Counts of one preset."""
    series = load_prices(folder / preset.file, preset.column, volume_column=preset.volume)
    window = series.between(preset.start, preset.stop)
    citation = (
        f"Hourly {preset.column.replace('_', ' ')} prices, {preset.file}, {window.window[0]} to {window.window[1]}; "
        f"bars from {preset.origin}, originally the exchange's public candle API. {preset.remark}"
    )
    return ReturnCounts.from_returns(window, bin_width=BIN_WIDTH, asset=preset.asset, citation=citation.strip())


def count_all(folder: Path) -> dict[str, Any]:
    """Content of ``return_counts.json``."""
    inputs = sorted({preset.file for preset in PRESETS})
    return {
        "schema": 1,
        "note": NOTE,
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in inputs},
        "counts": {preset.name: count(preset, folder).to_dict() for preset in PRESETS},
    }


def fit_all(counts: dict[str, Any]) -> dict[str, Any]:
    """Content of ``fits.json`` for the content of ``return_counts.json``."""
    fits = {}
    for name, stored in counts["counts"].items():
        results = [rounded(fit(model, ReturnCounts.from_dict(stored))) for model in MODELS]
        print(f"{name}: {compare(results)}\n")
        fits[name] = {result.model.name: result.to_dict() for result in results}
    return {"schema": 1, "note": "Maximum-likelihood fits of the counts in return_counts.json.", "fits": fits}


def rounded(result: FitResult) -> FitResult:
    """Keep seven significant digits of parameters and covariance, and four decimals of the log likelihood."""
    model = replace(result.model, **{name: significant(value) for name, value in result.params.items()})
    covariance = tuple(tuple(significant(value) for value in row) for row in result.covariance)
    return replace(result, model=model, covariance=covariance, loglik=round(result.loglik, 4))


def significant(value: float, digits: int = 7) -> float:
    """Round to a number of significant digits."""
    return round(value, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0.0


def as_text(content: dict[str, Any]) -> str:
    """JSON with one line per preset."""
    lines = []
    for key, value in content.items():
        if key in ("counts", "fits"):
            inner = ",\n".join(f"{json.dumps(name)}:{dump(entry)}" for name, entry in value.items())
            lines.append(f"{json.dumps(key)}:{{\n{inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}:{dump(value)}")
    return "{" + ",\n".join(lines) + "}\n"


def dump(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the bar files")
    default = Path(__file__).parents[1] / "liqsim" / "presets"
    parser.add_argument("--output", type=Path, default=default, help="folder to write to (default: %(default)s)")
    arguments = parser.parse_args()
    counts = count_all(arguments.folder)
    (arguments.output / "return_counts.json").write_text(as_text(counts), "utf-8")
    (arguments.output / "fits.json").write_text(as_text(fit_all(counts)), "utf-8")


if __name__ == "__main__":
    main()
