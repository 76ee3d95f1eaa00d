"""One benchmark for each layer, for asv: what a change costs, from random numbers to whole sweeps."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the problems are those of the peers
