"""The kernel's twin: one path at a time, one cell at a time, in plain Python on the same random numbers.

It shares the numbers of a :class:`liqsim.engine.plan.Pass` with the kernel and nothing else: it draws the path first,
then walks it once for every cell with a position that has a size and a cash balance, and applies the margin rules in
terms of equity, without staircase, records or levels in common. Tests hold the two together path by path.
"""

from liqsim.reference.paths import Path, philox4x32, simulate_path
from liqsim.reference.position import CellOutcome
from liqsim.reference.walk import cell_outcome

__all__ = ["CellOutcome", "Path", "cell_outcome", "philox4x32", "simulate_path"]
