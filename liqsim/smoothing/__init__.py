"""One position to high accuracy: conditional probabilities on quasi-random paths, in strata by the number of jumps."""

from liqsim.smoothing.derivatives import liquidation_sensitivities
from liqsim.smoothing.estimate import liquidation_probability

__all__ = ["liquidation_probability", "liquidation_sensitivities"]
