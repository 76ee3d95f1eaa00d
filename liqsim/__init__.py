"""Monte Carlo liquidation risk of leveraged crypto positions under each venue's own rules."""

import importlib
from typing import Any

from liqsim import analytic, calibrate, presets
from liqsim._version import __version__
from liqsim.compare import compare_venues
from liqsim.environment import show_config
from liqsim.errors import (
    CalibrationError,
    KernelUnavailable,
    LiqsimError,
    MarginRuleError,
    ParameterError,
    StoreError,
    Unfinished,
    VenueDataError,
)
from liqsim.explain import Explanation, explain
from liqsim.intervals import confidence_interval, difference, jackknife
from liqsim.inverse import max_leverage, min_stop, position_size
from liqsim.models import GBM, Kou, Merton, OUPremium
from liqsim.passages import first_passage
from liqsim.positions import bankruptcy_price, initial_margin, liquidation_price
from liqsim.replay import replay
from liqsim.sensitivity import sensitivities
from liqsim.smoothing import liquidation_probability, liquidation_sensitivities
from liqsim.sweep import sweep
from liqsim.venues import (
    BasisCarry,
    DailyTimes,
    FixedFunding,
    Liquidation,
    PremiumFunding,
    Rollover,
    Venue,
    fetch_tiers,
    list_venues,
    load_venue,
    read_tiers,
    venue_from_ccxt,
    write_venue,
)

__all__ = [
    "GBM",
    "BasisCarry",
    "CalibrationError",
    "DailyTimes",
    "Explanation",
    "FixedFunding",
    "KernelUnavailable",
    "Kou",
    "LiqsimError",
    "Liquidation",
    "MarginRuleError",
    "Merton",
    "OUPremium",
    "ParameterError",
    "PremiumFunding",
    "Rollover",
    "StoreError",
    "Unfinished",
    "Venue",
    "VenueDataError",
    "__version__",
    "analytic",
    "bankruptcy_price",
    "calibrate",
    "compare_venues",
    "confidence_interval",
    "difference",
    "explain",
    "fetch_tiers",
    "first_passage",
    "initial_margin",
    "jackknife",
    "liquidation_price",
    "liquidation_probability",
    "liquidation_sensitivities",
    "list_venues",
    "load_venue",
    "max_leverage",
    "min_stop",
    "plot",
    "position_size",
    "presets",
    "read_tiers",
    "replay",
    "report",
    "sensitivities",
    "show_config",
    "study",
    "sweep",
    "venue_from_ccxt",
    "write_venue",
]


def __getattr__(name: str) -> Any:
    if name in ("plot", "report", "study"):  # they bring matplotlib, jinja2 and zarr, which not every run needs
        return importlib.import_module(f"liqsim.{name}")
    raise AttributeError(f"module 'liqsim' has no attribute {name!r}")
