"""What a report needs beyond the numbers, kept as JSON in the attributes of the dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from liqsim.calibrate import FitResult, ReturnCounts
from liqsim.errors import ParameterError
from liqsim.report.check import CheckRow

__all__ = ["Record", "attach", "record_of"]

_KEY = "calibration"


@dataclass(frozen=True)
class Record:
    """Calibration behind a sweep.

    Attributes
    ----------
    counts : ReturnCounts or None
        Returns that were fitted.
    fits : dict of str to FitResult
    check : tuple of CheckRow
        Comparison with the closed form.
    notes : tuple of str
        Sources and choices to be printed with the result.
    """

    counts: ReturnCounts | None = None
    fits: Mapping[str, FitResult] | None = None
    check: tuple[CheckRow, ...] = ()
    notes: tuple[str, ...] = ()


def attach(
    ds: xr.Dataset,
    *,
    counts: ReturnCounts | None = None,
    fits: Mapping[str, FitResult] | None = None,
    check: Sequence[CheckRow] = (),
    notes: Sequence[str] = (),
) -> xr.Dataset:
    """Return the dataset with its calibration among its attributes, where :func:`write_report` finds it.

    Parameters
    ----------
    ds : xarray.Dataset
    counts : ReturnCounts, optional
    fits : mapping of str to FitResult, optional
    check : sequence of CheckRow
        From :func:`closed_form_check`.
    notes : sequence of str

    Returns
    -------
    xarray.Dataset
        A shallow copy; the numbers are not touched.
    """
    text = json.dumps(
        {
            "schema": 1,
            "counts": None if counts is None else counts.to_dict(),
            "fits": {name: fit.to_dict() for name, fit in (fits or {}).items()},
            "check": [row._asdict() for row in check],
            "notes": list(notes),
        }
    )
    return ds.assign_attrs({_KEY: text})


def record_of(ds: xr.Dataset) -> Record:
    """Calibration attached to a dataset; an empty record where there is none."""
    if _KEY not in ds.attrs:
        return Record()
    try:
        data: dict[str, Any] = json.loads(ds.attrs[_KEY])
        return Record(
            counts=ReturnCounts.from_dict(data["counts"]) if data["counts"] else None,
            fits={name: FitResult.from_dict(fit) for name, fit in data["fits"].items()},
            check=tuple(CheckRow(**row) for row in data["check"]),
            notes=tuple(data["notes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ParameterError(
            f"attribute {_KEY!r} of the dataset cannot be read ({error}); drop it with ds.attrs.pop({_KEY!r})"
        ) from None
