"""Names, units and long names of what results hold."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ALL_OUTPUTS",
    "CELL_AXES",
    "CONTROLLED",
    "COORDINATES",
    "ESTIMATES",
    "FREEDOM",
    "OUTPUTS",
    "PASSAGE_ESTIMATES",
    "PLAIN",
    "SMOOTHED",
    "SWEEP_AXES",
    "TOTAL_WEIGHT",
    "WEIGHTED",
    "Output",
    "effective_name",
    "group_name",
    "se_name",
]

SWEEP_AXES = ("model", "venue", "notional", "horizon")
CELL_AXES = ("side", "leverage", "stop")

CONTROLLED = "control variate"
"""Estimator of what control variates have corrected."""
WEIGHTED = "importance sampling"
"""Estimator of what weighted paths give."""
TOTAL_WEIGHT = "total_weight"
"""Mean weight of a path whatever its end, whose expectation is 1."""
SMOOTHED = "randomised quasi-Monte Carlo"
"""Estimator of conditional probabilities on quasi-random points."""
FREEDOM = "degrees_of_freedom"
"""Attribute of estimates whose error comes from groups of paths."""

_FRACTION = "fraction of entry notional"
ESTIMATES: dict[str, tuple[str, str]] = {
    "p_liquidation": ("1", "probability of liquidation by the horizon"),
    "p_stop": ("1", "probability that the stop closes the position by the horizon"),
    "p_survival": ("1", "probability that the position is open at the horizon"),
    "p_partial": ("1", "probability that the venue closes a part of the position, and never all of it"),
    "p_margin_call": ("1", "probability of a margin call"),
    "funding_cost": (_FRACTION, "expected funding paid until exit (negative: received)"),
    "fees": (_FRACTION, "expected trading fees paid, entry and exit"),
    "pnl": (_FRACTION, "expected profit and loss after funding and fees"),
    "exit_time": ("d", "expected time to exit, the horizon at the latest"),
    "shortfall": (_FRACTION, "expected loss beyond the margin"),
    "engine_kept": (_FRACTION, "expected margin kept by the liquidation engine"),
    "returned": (_FRACTION, "expected margin handed back after liquidation, less what was added on calls"),
    "closed_share": ("fraction of entry position", "expected share of the position that the venue closes"),
    "topped_up": (_FRACTION, "expected money added on margin calls"),
    "insurance_draw": (_FRACTION, "expected loss beyond the margin that the venue's fund covers"),
    "uncovered_loss": (_FRACTION, "expected loss beyond margin and fund: auto-deleveraged, assigned or socialised"),
    "client_debit": (_FRACTION, "expected loss beyond the margin that the trader owes"),
}
PASSAGE_ESTIMATES: dict[str, tuple[str, str]] = {
    "p_hit": ("1", "probability that the price reaches the level by the horizon"),
    "alive_time": ("d", "expected time until the level is reached, the horizon at the latest"),
}


class Output(NamedTuple):
    """What :func:`liqsim.sweep` computes where it is asked for by name.

    Parameters
    ----------
    units, long_name : str
    axis : str, optional
        Dimension besides those of a cell.
    has_horizon : bool
        Whether it depends on the horizon.
    estimator : str
    """

    units: str
    long_name: str
    axis: str | None = None
    has_horizon: bool = True
    estimator: str = "mean"


_GIVEN = "of paths that end in liquidation, stop or survival"
OUTPUTS: dict[str, Output] = {
    "funding_cost_given": Output(_FRACTION, f"expected funding paid until exit, {_GIVEN}", "given"),
    "fees_given": Output(_FRACTION, f"expected trading fees paid, {_GIVEN}", "given"),
    "pnl_given": Output(_FRACTION, f"expected profit and loss after funding and fees, {_GIVEN}", "given"),
    "shortfall_given": Output(_FRACTION, f"expected loss beyond the margin, {_GIVEN}", "given"),
    "exit_time_given": Output("d", f"expected time to exit, {_GIVEN}", "given"),
    "p_shortfall": Output("1", "probability of a loss beyond the margin", estimator="proportion"),
    "p_ruin": Output("1", "probability that nothing is left of the margin", estimator="proportion"),
    "p_liquidation_by": Output("1", "probability of liquidation by the time", "time", False, "proportion"),
    "p_stop_by": Output("1", "probability that the stop closes the position by the time", "time", False, "proportion"),
    "time_to_liquidation": Output(
        "d",
        "quantile of the time to liquidation, of paths liquidated by the longest horizon",
        "quantile",
        False,
        "quantile",
    ),
    "pnl_quantile": Output(_FRACTION, "quantile of the profit and loss", "quantile", estimator="quantile"),
    "value_at_risk": Output(
        _FRACTION, "loss that is exceeded with the quantile's probability", "quantile", estimator="quantile"
    ),
    "expected_shortfall": Output(
        _FRACTION, "expected loss in the worst cases, whose share is the quantile's probability", "quantile"
    ),
    "p_pnl_below": Output("1", "probability of a profit and loss below the level", "pnl_level", estimator="proportion"),
    "p_shortfall_above": Output(
        "1", "probability of a loss beyond the margin of at least the level", "shortfall_level", estimator="proportion"
    ),
    "shortfall_beyond": Output(
        _FRACTION, "expected part beyond the level of the loss beyond the margin", "shortfall_level"
    ),
    "shortfall_quantile": Output(
        _FRACTION,
        "quantile of the loss beyond the margin, of paths that have one",
        "quantile",
        estimator="quantile",
    ),
}
ALL_OUTPUTS = OUTPUTS | {"paths_given": Output("1", f"number {_GIVEN}", "given", estimator="count")}
PLAIN = Output("", "")
COORDINATES: dict[str, tuple[str, str]] = {
    "side": ("", "side of the position"),
    "leverage": ("1", "leverage, notional over initial margin"),
    "stop": ("fraction of entry price", "adverse move at which the stop triggers; inf for none"),
    "model": ("", "price model"),
    "venue": ("", "venue and product"),
    "notional": ("", "entry notional"),
    "horizon": ("", "horizon"),
    "level": ("fraction of start price", "price ratio to the start"),
    "parameter": ("", "what is differentiated by"),
    "given": ("", "outcome of the path"),
    "time": ("", "time after entry"),
    "quantile": ("1", "probability of the quantile"),
    "pnl_level": (_FRACTION, "profit and loss after funding and fees"),
    "shortfall_level": (_FRACTION, "loss beyond the margin"),
}


def se_name(name: str) -> str:
    """Name of an estimate's standard error."""
    return f"{name}_se"


def effective_name(name: str) -> str:
    """Name of an estimate's effective number of events."""
    return f"{name}_ess"


def group_name(name: str) -> str:
    """Name of what holds an estimate for every group of paths."""
    return f"{name}_by_group"
