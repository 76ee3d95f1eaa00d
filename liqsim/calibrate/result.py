"""What a fit returns, and the comparison of several fits of the same data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from liqsim.calibrate.families import FAMILIES
from liqsim.errors import CalibrationError
from liqsim.models.price import PriceModel

__all__ = ["Comparison", "FitResult", "compare"]


@dataclass(frozen=True)
class FitResult:
    """Maximum-likelihood fit of one price model to the returns of one interval.

    Parameters
    ----------
    model : PriceModel
        The fitted model.
    free : tuple of str
        Parameters that were estimated and have a standard error, in the order of ``covariance``.
    fixed : tuple of str
        Parameters held by the user.
    at_bound : tuple of str
        Parameters that ran into the bound of the search. They have no standard error, and those of the others
        are conditional on them.
    covariance : tuple of tuple of float
        Inverse observed information of ``free``; empty if the information is not positive definite.
    loglik : float
        Log likelihood with the mean density over its bin as the density of a binned return, so that fits of
        returns and of their counts compare.
    n_obs : int
        Number of returns.
    interval : str
        Length of a return.
    converged : bool
        Whether the gradient vanishes, no parameter is at a bound and the information is positive definite.
    note : str
        What is unusual about the fit, empty if nothing.
    data : str
        Asset, source and window.
    data_id : str
        Digest of the data; only fits with the same digest compare by AIC.

    Notes
    -----
    Standard errors take the returns as independent. Real returns have clustered volatility: for Kou on the BTC returns
    of 2020-2021, resampling blocks of one week gives errors of sigma, intensity, eta_up and eta_down about three times
    as large (those of p_up and drift are as stated). The parameters of another year differ by more than that.
    """

    model: PriceModel
    free: tuple[str, ...]
    fixed: tuple[str, ...]
    at_bound: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...]
    loglik: float
    n_obs: int
    interval: str
    converged: bool
    note: str = ""
    data: str = ""
    data_id: str = ""

    @property
    def params(self) -> dict[str, float]:
        """Natural parameters by name."""
        return {name: getattr(self.model, name) for name in FAMILIES[self.model.name].names}

    @property
    def se(self) -> dict[str, float]:
        """Standard errors of the free parameters; empty if there is no covariance."""
        return {name: math.sqrt(row[k]) for k, (name, row) in enumerate(self._rows())}

    @property
    def correlation(self) -> np.ndarray:
        """Correlation matrix of the free parameters, in the order of ``free``."""
        matrix = np.array(self.covariance)
        if matrix.size == 0:
            return np.zeros((0, 0))
        scale = np.sqrt(np.diag(matrix))
        return np.asarray(matrix / np.outer(scale, scale))

    @property
    def n_params(self) -> int:
        """Parameters estimated from the data, those at a bound included."""
        return len(self.free) + len(self.at_bound)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 k - 2 loglik``."""
        return 2 * self.n_params - 2 * self.loglik

    @property
    def bic(self) -> float:
        """Schwarz' criterion, ``k ln(n) - 2 loglik``."""
        return self.n_params * math.log(self.n_obs) - 2 * self.loglik

    def model_with(self, **changes: float) -> PriceModel:
        """Fitted model with parameters replaced, such as ``model_with(drift=0.0)`` for a driftless risk study."""
        known = FAMILIES[self.model.name].names
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise CalibrationError(f"{unknown[0]!r} is not a parameter of {self.model.name}; give {', '.join(known)}")
        return replace(self.model, **changes)

    def summary(self) -> str:
        """Text table of parameters, standard errors and fit statistics."""
        family = FAMILIES[self.model.name]
        title = f"{type(self.model).__name__} fitted to {self.n_obs} returns of {self.interval}"
        lines = [f"{title} ({self.data})" if self.data else title]
        lines.append(f"{'':12}{'estimate':>14}{'std. error':>14}  unit")
        for name, unit in zip(family.names, family.units, strict=True):
            error = f"{self.se[name]:.4g}" if name in self.se else self._why_no_error(name)
            lines.append(f"{name:12}{self.params[name]:>14.6g}{error:>14}  {unit}")
        lines.append(f"log likelihood {self.loglik:.2f}   AIC {self.aic:.2f}   BIC {self.bic:.2f}")
        lines.append(f"annual volatility {self.model.annual_volatility:.4f}   log drift {self.model.log_drift:.4f}")
        lines.append("converged" if self.converged else "NOT CONVERGED")
        if self.note:
            lines.append(f"note: {self.note}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and text, for JSON."""
        result = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **result,
            "model": self.model.to_dict(),
            "free": [*self.free],
            "fixed": [*self.fixed],
            "at_bound": [*self.at_bound],
            "covariance": [[*row] for row in self.covariance],
            "aic": self.aic,
            "bic": self.bic,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FitResult:
        """Rebuild what :meth:`to_dict` wrote."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        try:
            described = dict(values["model"])
            values["model"] = FAMILIES[described.pop("model")].cls(**described)
            for name in ("free", "fixed", "at_bound"):
                values[name] = tuple(values[name])
            values["covariance"] = tuple(tuple(row) for row in values["covariance"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise CalibrationError(f"data is not a stored fit: {error}; give what to_dict() wrote") from None

    def _rows(self) -> list[tuple[str, tuple[float, ...]]]:
        return list(zip(self.free, self.covariance, strict=True)) if self.covariance else []

    def _why_no_error(self, name: str) -> str:
        return "fixed" if name in self.fixed else "at bound" if name in self.at_bound else "n/a"


@dataclass(frozen=True)
class Comparison:
    """Fits of the same data, best first by AIC; ``str()`` gives a text table."""

    results: tuple[FitResult, ...]

    @property
    def best(self) -> FitResult:
        """The fit with the least AIC."""
        return self.results[0]

    def to_dict(self) -> list[dict[str, Any]]:
        """One plain row per fit."""
        return [
            {
                "model": r.model.name,
                "n_params": r.n_params,
                "loglik": r.loglik,
                "aic": r.aic,
                "delta_aic": r.aic - self.best.aic,
                "bic": r.bic,
                "converged": r.converged,
                **r.params,
            }
            for r in self.results
        ]

    def __str__(self) -> str:
        head = f"{'model':8}{'k':>3}{'log likelihood':>17}{'AIC':>14}{'AIC - best':>13}{'BIC':>14}  parameters"
        lines = [f"{self.best.n_obs} returns of {self.best.interval} {self.best.data}".rstrip(), head]
        for r in self.results:
            values = ", ".join(f"{name}={value:.4g}" for name, value in r.params.items())
            lines.append(
                f"{r.model.name:8}{r.n_params:>3}{r.loglik:>17.2f}{r.aic:>14.2f}{r.aic - self.best.aic:>13.2f}"
                f"{r.bic:>14.2f}  {values}{'' if r.converged else '  NOT CONVERGED'}"
            )
        return "\n".join(lines)


def compare(results: Iterable[FitResult] | Mapping[str, FitResult]) -> Comparison:
    """Sort fits of the same data by Akaike's criterion.

    Parameters
    ----------
    results : iterable or mapping of FitResult

    Returns
    -------
    Comparison

    Raises
    ------
    CalibrationError
        If there are no fits, or they are of different data, whose likelihoods do not compare.

    References
    ----------
    .. [1] H. Akaike (1974), IEEE Transactions on Automatic Control 19. G. Schwarz (1978), Annals of
       Statistics 6.
    """
    fits = list(results.values() if isinstance(results, Mapping) else results)
    if not fits:
        raise CalibrationError("results is empty; give one or more fits")
    for other in fits[1:]:
        if (other.data_id, other.interval) != (fits[0].data_id, fits[0].interval):
            raise CalibrationError(
                f"results mix data: {fits[0].model.name} was fitted to {fits[0].n_obs} returns of {fits[0].interval} "
                f"({fits[0].data_id}), {other.model.name} to {other.n_obs} of {other.interval} ({other.data_id}); AIC "
                "compares models on one set of data only"
            )
    return Comparison(tuple(sorted(fits, key=lambda fit: (fit.aic, fit.model.name))))
