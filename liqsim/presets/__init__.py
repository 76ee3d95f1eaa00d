"""Return counts and fitted models of real BTC and ETH prices, shipped with the package.

Counts are of hourly log returns in bins of two basis points; fits are GBM, Merton and Kou by maximum
likelihood. ``tools/make_return_counts.py`` makes both from the bars named in each ``citation``;
``LICENSES/DATA.md`` says where those come from. A preset describes the past of one asset in one regime, not a
forecast.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from liqsim.calibrate import FitResult, ReturnCounts
from liqsim.errors import CalibrationError
from liqsim.models.price import PriceModel

__all__ = ["counts", "data_hash", "fit", "list", "list_presets", "model"]


def list_presets() -> tuple[str, ...]:
    """Names of the presets, such as ``"btc-2020-2021"``; also available as ``presets.list``.

    Examples
    --------
    >>> "btc-2020-2021" in list_presets()
    True
    """
    return tuple(_stored("return_counts.json")["counts"])


@cache
def counts(name: str) -> ReturnCounts:
    """Binned hourly log returns of a preset.

    Parameters
    ----------
    name : str
        One of :func:`list_presets`.

    Returns
    -------
    ReturnCounts

    Raises
    ------
    CalibrationError
        If the name is unknown.

    Examples
    --------
    >>> counts("btc-2020-2021").interval
    '1h'
    """
    stored = _stored("return_counts.json")["counts"]
    return ReturnCounts.from_dict(stored[_known(name, stored, "preset")])


def data_hash(name: str) -> str:
    """SHA-256 of the counts that a preset was fitted to, as JSON with sorted keys, for provenance.

    Parameters
    ----------
    name : str
        One of :func:`list_presets`.

    Returns
    -------
    str

    Raises
    ------
    CalibrationError
        If the name is unknown.

    Examples
    --------
    >>> len(data_hash("btc-2025"))
    64
    """
    stored = _stored("return_counts.json")["counts"]
    return hashlib.sha256(json.dumps(stored[_known(name, stored, "preset")], sort_keys=True).encode()).hexdigest()


@cache
def fit(name: str, model: str = "kou") -> FitResult:
    """Stored fit with covariance; ``calibrate.fit(model, counts(name))`` repeats it.

    Parameters
    ----------
    name : str
        One of :func:`list_presets`.
    model : {"gbm", "merton", "kou"}

    Returns
    -------
    FitResult
        With the drift estimated.

    Raises
    ------
    CalibrationError
        If a name is unknown.
    """
    stored = _stored("fits.json")["fits"]
    by_model = stored[_known(name, stored, "preset")]
    return FitResult.from_dict(by_model[_known(model, by_model, "model")])


def model(name: str, model: str = "kou", *, drift: float | Literal["fitted"] = 0.0) -> PriceModel:
    """Fitted price model of a preset.

    Parameters
    ----------
    name : str
        One of :func:`list_presets`.
    model : {"gbm", "merton", "kou"}
    drift : float or "fitted", default 0.0
        Growth rate of the expected price, 1/yr. The default makes the price a martingale, as a study over
        days should; the fitted drift has a standard error of 0.5 a year and more.

    Returns
    -------
    PriceModel

    Raises
    ------
    CalibrationError
        If a name is unknown.
    ParameterError
        If the drift is not a number in [-1000, 1000].

    Examples
    --------
    >>> model("btc-2020-2021", "kou").total_drift
    0.0
    """
    result = fit(name, model)
    return result.model if drift == "fitted" else result.model_with(drift=drift)


def _known(name: str, known: Iterable[str], what: str) -> str:
    names = tuple(known)
    if name in names:
        return name
    close = difflib.get_close_matches(str(name).lower(), names, 1, 0.4)
    hint = f"; did you mean {close[0]!r}? Known:" if close else "; known are"
    raise CalibrationError(f"{what} {name!r} is unknown{hint} {', '.join(names)}")


@cache
def _stored(name: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(files(__name__).joinpath(name).read_text("utf-8"))
    return stored


list = list_presets
