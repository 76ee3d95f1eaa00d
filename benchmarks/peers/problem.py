"""The problem that all peers solve and the answer that they give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqsim as lq

HOURS_PER_YEAR = 8760.0
LEVERAGE = (2.0, 3.0, 4.0, 5.0, 8.0, 10.0, 15.0, 20.0, 25.0, 40.0, 50.0, 100.0)
STOP = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, math.inf)
FAR = -1e300  # log level of a stop that cannot be reached; finite, so that fast math may be used


@dataclass(frozen=True)
class Problem:
    """A long, isolated, linear position of unit notional under Kou's law and clamped funding on the mark value.

    Parameters
    ----------
    name : str
    sigma, intensity, p_up, eta_up, eta_down : float
        Kou's jump-diffusion, per year; the price is a martingale. No jumps when ``intensity`` is 0.
    leverage, stop : tuple of float
        The grid, in any order; a stop of inf is no stop.
    maintenance : float
        Maintenance margin over mark value.
    intervals, hours : int
        Number and length of the funding intervals.
    funding : bool
        Whether funding is paid: the clamped sum of an Ornstein-Uhlenbeck premium and an interest term.
    """

    name: str
    sigma: float
    intensity: float = 0.0
    p_up: float = 0.5
    eta_up: float = 30.0
    eta_down: float = 30.0
    leverage: tuple[float, ...] = LEVERAGE
    stop: tuple[float, ...] = STOP
    maintenance: float = 0.005
    intervals: int = 90
    hours: int = 8
    funding: bool = True
    premium_mean: float = 1e-4
    premium_half_life: float = 8.0
    premium_vol: float = 3e-4
    interest: float = 1e-4
    clamp: float = 5e-4
    cap: float = 3.75e-3

    @property
    def model(self) -> lq.GBM | lq.Kou:
        """The price law in liqsim."""
        if self.intensity == 0:
            return lq.GBM(sigma=self.sigma)
        return lq.Kou(
            sigma=self.sigma, intensity=self.intensity, p_up=self.p_up, eta_up=self.eta_up, eta_down=self.eta_down
        )

    @property
    def venue(self) -> lq.Venue:
        """The rules in liqsim."""
        funding = None
        if self.funding:
            funding = lq.PremiumFunding(
                f"{self.hours}h", interest=self.interest, clamp=self.clamp, cap=self.cap, notional="mark"
            )
        return lq.Venue.from_tiers([(0, 1e6, self.maintenance, 125)], taker_fee=5e-4, funding=funding)

    @property
    def premium(self) -> lq.OUPremium | None:
        """The premium in liqsim."""
        if not self.funding:
            return None
        return lq.OUPremium(mean=self.premium_mean, half_life=f"{self.premium_half_life:g}h", vol=self.premium_vol)

    @property
    def log_drift(self) -> float:
        """Drift of the log price between jumps that makes the price a martingale, 1/yr."""
        kappa = 0.0
        if self.intensity > 0:
            up = self.p_up * self.eta_up / (self.eta_up - 1)
            kappa = up + (1 - self.p_up) * self.eta_down / (self.eta_down + 1) - 1
        return -0.5 * self.sigma**2 - self.intensity * kappa

    @property
    def years(self) -> float:
        """Length of one funding interval."""
        return self.hours / HOURS_PER_YEAR

    @property
    def margins(self) -> np.ndarray:
        """Initial margin of each row, rising: the highest leverage first."""
        return np.sort(1.0 / np.array(self.leverage))

    @property
    def stops(self) -> np.ndarray:
        """Price ratio of each stop, the nearest first; 0 for none."""
        return 1.0 - np.minimum(np.sort(np.array(self.stop)), 1.0)

    @property
    def log_stops(self) -> np.ndarray:
        """Log price ratio of each stop, the nearest first."""
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(self.stops), FAR)

    @property
    def log_liquidation(self) -> np.ndarray:
        """Log price ratio at which each row is liquidated while no funding has been paid, the highest first."""
        return np.log((1.0 - self.margins) / (1.0 - self.maintenance))


W1 = Problem("W1 sparse jumps", sigma=0.8, intensity=50.0, p_up=0.45, eta_up=30.0, eta_down=25.0)
W2 = Problem("W2 dense jumps", sigma=0.3, intensity=5000.0, p_up=0.55, eta_up=150.0, eta_down=130.0)
BARRIER = Problem("GBM, one barrier", sigma=0.8, leverage=(10.0,), stop=(math.inf,), funding=False)
PROBLEMS = {"W1": W1, "W2": W2, "GBM": BARRIER}


@dataclass(frozen=True)
class Answer:
    """Probabilities of the long side, rows by falling leverage, columns by receding stop.

    Parameters
    ----------
    p_liquidation, p_stop : ndarray, shape (n_leverage, n_stop)
    n_paths : int
    """

    p_liquidation: np.ndarray
    p_stop: np.ndarray
    n_paths: int

    @classmethod
    def from_counts(cls, counts: np.ndarray, n_paths: int) -> Answer:
        """Of counts of liquidated and stopped paths, shape (2, n_leverage, n_stop)."""
        return cls(counts[0] / n_paths, counts[1] / n_paths, n_paths)


def run_liqsim(
    problem: Problem,
    n_paths: int,
    seed: int = 7,
    threads: int | None = None,
    side: Any = ("long", "short"),
    monitoring: str = "continuous",
) -> Any:
    """Solve the problem with liqsim, with every output that a sweep has."""
    return lq.sweep(
        problem.model, problem.venue, premium=problem.premium, leverage=list(problem.leverage),
        stop=list(problem.stop), side=side, horizon=f"{problem.intervals * problem.hours}h", monitoring=monitoring,
        n_paths=n_paths, seed=seed, threads=threads,
    )  # fmt: skip


def liqsim_answer(ds: Any) -> Answer:
    """The long side of a sweep as an :class:`Answer`."""
    long = ds.sel(side="long").sortby("leverage", ascending=False).sortby("stop")
    values = [long[name].transpose("leverage", "stop").values for name in ("p_liquidation", "p_stop")]
    return Answer(values[0], values[1], int(ds.attrs.get("n_paths", 0)))
