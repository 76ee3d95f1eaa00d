"""Fixed levels that tell of a cell: about where the price has to go before a position is liquidated or stopped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liqsim.arguments import Settings
from liqsim.engine.plan import Grid, Pass
from liqsim.positions import liquidation_price
from liqsim.venues import Venue

__all__ = ["fixed_levels"]


def fixed_levels(
    venue: Venue, notional: float, grid: Grid, settings: Settings, passes: Sequence[Pass], window: str | None
) -> np.ndarray:
    """Levels of every cell.

    Parameters
    ----------
    venue, notional, grid, settings
        The cell.
    passes : sequence of Pass
        Its passes.
    window : str, optional
        Margin window at entry.

    Returns
    -------
    ndarray, shape (side, leverage, stop, 3)
        Price ratios to entry: liquidation without and with the funding that is expected until the horizon, and the
        stop; not-a-number where no adverse move gets there.
    """
    quantity = float(venue.contract.quantity(notional, settings.price))
    value = float(venue.contract.value(quantity, settings.price))
    shape = (len(grid.sides), len(grid.leverage), len(grid.stop))
    found = np.full((*shape, 3), np.nan)
    longest = max(passes, key=lambda task: task.arrays["instant"][-1])
    for k, side in enumerate(grid.sides):
        turn = 1.0 if side == "long" else -1.0
        for i, paid in enumerate(_expected_payments(longest, side)):
            price = liquidation_price(
                venue, side, entry_price=settings.price, quantity=quantity, leverage=grid.leverage,
                funding_paid=paid * value, window=window,
            )  # fmt: skip
            found[k, :, :, i] = (np.broadcast_to(price, shape[1]) / settings.price)[:, np.newaxis]
        found[k, :, :, 2] = 1.0 - turn * grid.stop
        is_adverse = (found[k] > 0.0) & (turn * (1.0 - found[k]) > 1e-9) & np.isfinite(found[k])
        found[k] = np.where(is_adverse, found[k], np.nan)
    return found


def _expected_payments(task: Pass, side: str) -> tuple[float, float]:
    """What is about paid at entry, and until the horizon, per entry notional; it only has to be near."""
    rules, arrays = task.rules, task.arrays
    charges = arrays[f"charge_{side}"]
    mean = task.law["premium_mean"]
    rate = rules["scale"] * (mean + float(np.clip(rules["interest"] - mean, -rules["clamp"], rules["clamp"])))
    rate = float(np.clip(rate, -rules["cap"], rules["cap"])) * (1.0 if side == "long" else -1.0)
    return float(charges[0]), float(charges.sum() + rate * arrays["pays"].sum())
