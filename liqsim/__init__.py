"""Monte Carlo liquidation risk of leveraged crypto positions under each venue's own rules."""

from liqsim._version import __version__
from liqsim.errors import (
    CalibrationError,
    KernelUnavailable,
    LiqsimError,
    MarginRuleError,
    ParameterError,
    VenueDataError,
)
from liqsim.models import GBM, Kou, Merton, OUPremium

__all__ = [
    "GBM",
    "CalibrationError",
    "KernelUnavailable",
    "Kou",
    "LiqsimError",
    "MarginRuleError",
    "Merton",
    "OUPremium",
    "ParameterError",
    "VenueDataError",
    "__version__",
]
