"""Pictures of results: each function takes a dataset and an optional axes, and returns what it drew.

matplotlib is imported when a function is first asked for; it comes with ``pip install "liqsim[report]"``. Nothing
here changes matplotlib's settings or shows a window.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from liqsim.plot.captions import caption

if TYPE_CHECKING:
    from liqsim.plot.curves import Cliff, CliffLine, cliff
    from liqsim.plot.distributions import PnlPicture, ShortfallPicture, SurvivalPicture, pnl, shortfall, survival
    from liqsim.plot.grids import Heatmap, heatmap
    from liqsim.plot.paths import Replay, replay
    from liqsim.plot.returns import ReturnFit, return_fit, widening_density
    from liqsim.plot.venues import VenueComparison, compare

__all__ = [
    "Cliff",
    "CliffLine",
    "Heatmap",
    "PnlPicture",
    "Replay",
    "ReturnFit",
    "ShortfallPicture",
    "SurvivalPicture",
    "VenueComparison",
    "caption",
    "cliff",
    "compare",
    "heatmap",
    "pnl",
    "replay",
    "return_fit",
    "shortfall",
    "survival",
    "widening_density",
]

_HOME = {
    "Cliff": "curves",
    "CliffLine": "curves",
    "cliff": "curves",
    "Heatmap": "grids",
    "heatmap": "grids",
    "PnlPicture": "distributions",
    "ShortfallPicture": "distributions",
    "SurvivalPicture": "distributions",
    "pnl": "distributions",
    "shortfall": "distributions",
    "survival": "distributions",
    "Replay": "paths",
    "replay": "paths",
    "ReturnFit": "returns",
    "return_fit": "returns",
    "widening_density": "returns",
    "VenueComparison": "venues",
    "compare": "venues",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError(
                'liqsim.plot needs matplotlib; install it with: pip install "liqsim[report]"', name=error.name
            ) from None
        raise


def __dir__() -> list[str]:
    return __all__
