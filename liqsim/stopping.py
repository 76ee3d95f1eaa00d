"""How many paths: as many as were asked for, or until the estimates are as accurate as they shall be.

Accuracy is looked at after fixed numbers of paths only, so that the same seed and target stop at the same path, and
paths drawn so far are a prefix of any longer run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from liqsim.durations import listed, parse_days
from liqsim.engine.timeline import to_nanoseconds
from liqsim.errors import ParameterError
from liqsim.stats import proportion_se, upper_bound

__all__ = [
    "MOST_PATHS",
    "USUAL_PATHS",
    "Reached",
    "Target",
    "Worst",
    "horizon_labels",
    "most_paths",
    "own_groups",
    "reached_by",
    "read_groups",
    "read_target",
    "schedule",
]

USUAL_PATHS = 100_000
MOST_PATHS = 2**24  # with a target, unless said otherwise
_FIRST_LOOK = 16_384
_GROWTH = 2.0**0.25
_LARGEST_RELATIVE = 0.1  # beyond, fewer than a hundred events decide, and their count stops the run when it is high
_GROUPS = (8, 1024)


def schedule(n_paths: int) -> list[int]:
    """Numbers of paths after which accuracy is looked at: each about a fifth above the last, ``n_paths`` at the end."""
    looks: list[int] = []
    while (n := 1024 * round(_FIRST_LOOK / 1024 * _GROWTH ** len(looks))) < n_paths:
        looks.append(n)
    return [*looks, n_paths]


@dataclass(frozen=True)
class Worst:
    """The cell that is farthest from its target, and how far: ``excess`` is its error over what is allowed."""

    variable: str
    cell: dict[str, Any]
    estimate: float
    error: float
    excess: float


@dataclass(frozen=True)
class Target:
    """Standard errors that estimates shall not exceed.

    Parameters
    ----------
    relative, absolute : mapping of str to float
        By variable: fraction of the estimate, and in the variable's own unit. Of two for one variable, a cell meets
        either.
    cells : tuple of ndarray of int
        Cells that count, as positions along each axis.
    axes : mapping of str to sequence
        Labels along each axis.
    asked : mapping of str to list
        Labels that ``cells`` was made from.
    are_counts : bool
        Whether probabilities are shares of the paths.
    """

    relative: Mapping[str, float]
    absolute: Mapping[str, float]
    cells: tuple[np.ndarray, ...]
    axes: Mapping[str, Sequence[Any]]
    asked: Mapping[str, list[Any]]
    are_counts: bool = True

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that have a target."""
        return tuple(dict.fromkeys([*self.relative, *self.absolute]))

    def worst(self, estimates: Mapping[str, np.ndarray], n_paths: int) -> Worst:
        """The cell that is farthest from its target.

        Parameters
        ----------
        estimates : mapping of str to ndarray
            Estimates and standard errors ``*_se``, each with the shape of the axes.
        n_paths : int

        Notes
        -----
        The error of a proportion is taken at ``(hits + 2)/(n + 4)`` where that is larger, so that an event which has
        not been seen is not taken for one that is known exactly [1]_.

        References
        ----------
        .. [1] A. Agresti, B. A. Coull (1998), Approximate is better than exact for interval estimation of binomial
           proportions, The American Statistician 52.
        """
        found: list[Worst] = []
        for name in self.variables:
            x, error = (estimates[key][np.ix_(*self.cells)] for key in (name, f"{name}_se"))
            if self.are_counts and name.startswith("p_"):
                error = np.maximum(error, proportion_se((x * n_paths + 2.0) / (n_paths + 4.0), n_paths + 4))
            elif name.startswith("p_"):
                error = np.where(x == 0.0, np.maximum(error, 1.0 / n_paths), error)
            allowed = np.maximum(self.absolute.get(name, 0.0), self.relative.get(name, 0.0) * np.abs(x))
            with np.errstate(divide="ignore", invalid="ignore"):
                excess = np.where(allowed > 0.0, error / allowed, np.inf)
            at = np.unravel_index(np.argmax(excess), excess.shape)
            cell = {
                axis: labels[int(self.cells[k][at[k]])]
                for k, (axis, labels) in enumerate(self.axes.items())
                if len(labels) > 1
            }
            found.append(Worst(name, cell, float(x[at]), float(error[at]), float(excess[at])))
        return max(found, key=lambda worst: worst.excess)

    def is_met(self, estimates: Mapping[str, np.ndarray], n_paths: int) -> bool:
        """Whether every cell that counts has every variable's error within its target."""
        return self.worst(estimates, n_paths).excess <= 1.0

    def to_dict(self) -> dict[str, Any]:
        """What was asked for, as plain values, for provenance."""
        return {
            "rel_error": dict(self.relative),
            "abs_error": dict(self.absolute),
            "error_at": {axis: [_text(label) for label in labels] for axis, labels in self.asked.items()},
        }

    def report(self, estimates: Mapping[str, np.ndarray], n_paths: int) -> tuple[dict[str, Any], str]:
        """What has been reached, as plain values, and a line of notes that is empty where that is the target.

        Parameters
        ----------
        estimates : mapping of str to ndarray
        n_paths : int
        """
        worst = self.worst(estimates, n_paths)
        cell = {axis: _text(label) for axis, label in worst.cell.items()}
        farthest = {"variable": worst.variable, **cell, "estimate": worst.estimate, "error": worst.error}
        note = ""
        where = f" at {', '.join(f'{axis}={label}' for axis, label in cell.items())}" if cell else ""
        if worst.variable.startswith("p_") and worst.estimate == 0.0:
            farthest["upper_bound_95"] = upper_bound(0.0, n_paths, 0.95)
        if worst.excess > 1.0:
            note = f"The error of {worst.variable}{where} is {worst.error:.2g} after {n_paths} paths, above its target."
            if "upper_bound_95" in farthest:
                note = (
                    f"{worst.variable}{where} was never seen on {n_paths} paths: it is below "
                    f"{farthest['upper_bound_95']:.2g} with 95 % confidence (Clopper-Pearson, one-sided)."
                )
        return {"is_met": worst.excess <= 1.0, "worst": farthest}, note


def horizon_labels(horizons: Sequence[int]) -> list[str]:
    """Horizons, ns, as they are called in targets: ``"7D"``."""
    return [f"{ns / to_nanoseconds(1.0):.12g}D" for ns in horizons]


def _text(label: Any) -> str:
    if isinstance(label, float):
        return f"{label:g}" if float(f"{label:g}") == label else repr(float(label))
    return str(label)


def read_groups(groups: Any, n_paths: int) -> int | None:
    """Number of groups of paths whose sums are kept apart; None for none."""
    if groups is None:
        return None
    low, high = _GROUPS
    whole = isinstance(groups, (int, np.integer)) and not isinstance(groups, bool)
    if not whole or not low <= groups <= min(high, n_paths):
        raise ParameterError(
            f"groups={groups!r} is not allowed; give a whole number in [{low}, {high}], at most n_paths={n_paths}; 64 "
            "is a good choice"
        )
    return int(groups)


def own_groups(name: str, n_groups: int, n_paths: int) -> int:
    """Groups of paths that an estimator takes by itself, which ``name`` asks for; refuse fewer paths than these."""
    if n_paths < n_groups:
        raise ParameterError(f"n_paths={n_paths} are too few for {name}=True; give at least {n_groups}")
    return n_groups


def read_target(
    rel_error: Any,
    abs_error: Any,
    error_at: Any,
    usual: str,
    variables: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    are_counts: bool = True,
) -> Target | None:
    """Check an accuracy that was asked for.

    Parameters
    ----------
    rel_error, abs_error : float, mapping of str to float, or None
    error_at : mapping of str to label or list of labels, or None
    usual : str
        Variable that a plain number is about.
    variables : sequence of str
        Variables that may have a target.
    axes : mapping of str to sequence
        Labels along each axis of the estimates, in order.
    are_counts : bool
        Whether probabilities are shares of the paths.
    """
    relative = _errors("rel_error", rel_error, usual, variables, _LARGEST_RELATIVE, "(standard error over estimate)")
    absolute = _errors("abs_error", abs_error, usual, variables, 1e6, "(standard error, in the variable's unit)")
    if not relative and not absolute:
        if error_at is not None:
            raise ParameterError(f"error_at={error_at!r} needs a target; give rel_error or abs_error")
        return None
    asked = _asked(error_at, axes)
    cells = tuple(
        np.array([labels.index(label) for label in asked.get(axis, labels)], dtype=int)
        for axis, labels in ((axis, list(labels)) for axis, labels in axes.items())
    )
    return Target(relative, absolute, cells, axes, asked, are_counts)


def _errors(name: str, value: Any, usual: str, variables: Sequence[str], largest: float, unit: str) -> dict[str, float]:
    if value is None:
        return {}
    errors = dict(value) if isinstance(value, Mapping) else {usual: value}
    if not errors:
        raise ParameterError(f"{name}={value!r} names no variable; name one, such as {{{usual!r}: 0.05}}")
    for variable, error in errors.items():
        if variable not in variables:
            raise ParameterError(f"{name}: {variable!r} is not a variable; give one of {', '.join(variables)}")
        is_number = isinstance(error, Real) and not isinstance(error, bool)
        if not is_number or not 0.0 < float(error) <= largest:
            raise ParameterError(f"{name}={error!r} is not allowed; give a number in (0, {largest:g}] {unit}")
    return {variable: float(error) for variable, error in errors.items()}


def _asked(error_at: Any, axes: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    if error_at is None:
        return {}
    if not isinstance(error_at, Mapping):
        raise ParameterError(
            f"error_at={error_at!r} is not a mapping; give labels by dimension, such as {{'leverage': 10}}"
        )
    asked: dict[str, list[Any]] = {}
    for axis, given in error_at.items():
        if axis not in axes:
            raise ParameterError(f"error_at: {axis!r} is not a dimension; give one of {', '.join(axes)}")
        items, _ = listed(given)
        labels = list(axes[axis])
        days = [to_nanoseconds(parse_days(item, "error_at: horizon")) for item in items] if axis == "horizon" else []
        asked[axis] = horizon_labels(days) if days else items
        for item, label in zip(items, asked[axis], strict=True):
            if label not in labels:
                known = ", ".join(map(_text, labels))
                raise ParameterError(f"error_at: {axis}={item!r} is not simulated; give some of {known}")
        if not items:
            raise ParameterError(f"error_at: {axis} is empty; give labels, or leave it out for all")
    return asked


@dataclass(frozen=True)
class Reached:
    """How accurate a run has become: for its provenance, its attributes and its notes; nothing without a target."""

    inputs: dict[str, Any]
    attrs: dict[str, str]
    note: str


def reached_by(target: Target | None, estimates: Mapping[str, np.ndarray], n_paths: int, most: int) -> Reached:
    """What a run with or without a target has reached; ``most`` are the paths that it might have taken."""
    if target is None:
        return Reached({}, {}, "")
    record, note = target.report(estimates, n_paths)
    asked = {"accuracy": target.to_dict() | {"most_paths": most}}
    return Reached(asked, {"accuracy": json.dumps(asked["accuracy"] | record)}, note)


def most_paths(n_paths: Any, rel_error: Any, abs_error: Any) -> Any:
    """Paths, or the most of them: what was given, or the usual number, which is larger with a target."""
    if n_paths is not None:
        return n_paths
    return USUAL_PATHS if rel_error is None and abs_error is None else MOST_PATHS
