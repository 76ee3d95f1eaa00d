"""From market data to model parameters: reading prices, counting returns, maximum likelihood."""

from liqsim.calibrate.counts import Moments, ReturnCounts
from liqsim.calibrate.fit import fit
from liqsim.calibrate.likelihood import bin_probabilities, log_density
from liqsim.calibrate.prices import PriceSeries, load_prices, log_returns
from liqsim.calibrate.result import Comparison, FitResult, compare

__all__ = [
    "Comparison",
    "FitResult",
    "Moments",
    "PriceSeries",
    "ReturnCounts",
    "bin_probabilities",
    "compare",
    "fit",
    "load_prices",
    "log_density",
    "log_returns",
]
