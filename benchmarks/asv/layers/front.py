"""What a user calls: sweeps, first passages, closed forms, prices."""

from __future__ import annotations

import numpy as np
from peers.problem import W1, W2, run_liqsim

import liqsim as lq

MODELS = {
    "gbm": lq.GBM(sigma=0.8),
    "kou": W1.model,
    "merton": lq.Merton(sigma=0.6, intensity=50, jump_mean=-0.01, jump_std=0.03),
}


class Sweep:
    """Whole calls with 240 cells on one thread."""

    params = ("W1", "W2")
    param_names = ("problem",)

    def time_small_call(self, problem: str) -> None:
        run_liqsim({"W1": W1, "W2": W2}[problem], 1024, threads=1)

    def time_20000_paths(self, problem: str) -> None:
        run_liqsim({"W1": W1, "W2": W2}[problem], 20_000, threads=1)

    def peakmem_20000_paths(self, problem: str) -> None:
        run_liqsim({"W1": W1, "W2": W2}[problem], 20_000, threads=1)


class FirstPassage:
    """Two levels, 20,000 paths, one thread."""

    params = tuple(MODELS)
    param_names = ("model",)

    def time_first_passage(self, model: str) -> None:
        lq.first_passage(MODELS[model], [0.9, 1.1], "30D", n_paths=20_000, seed=1, threads=1)


class Analytic:
    """Closed forms and inversions at 12 levels."""

    params = tuple(MODELS)
    param_names = ("model",)
    levels = tuple(np.linspace(0.5, 0.99, 12).tolist())

    def time_first_passage_probability(self, model: str) -> None:
        lq.analytic.first_passage_probability(MODELS[model], list(self.levels), "30D")

    def time_expected_time_alive(self, model: str) -> None:
        lq.analytic.expected_time_alive(MODELS[model], list(self.levels), "30D")


class Venues:
    """Liquidation prices of one position and of 10,000."""

    params = ("binance-usdm-btcusdt", "bitmex-xbtusd", "deribit-btc-perpetual")
    param_names = ("venue",)

    def setup(self, venue: str) -> None:
        self.rules = lq.load_venue(venue)
        contract = self.rules.contract
        self.one = float(contract.quantity(1e5, 6e4))
        self.many = np.linspace(0.5, 2.0, 10_000) * self.one

    def time_liquidation_price(self, venue: str) -> None:
        lq.liquidation_price(self.rules, side="long", entry_price=6e4, quantity=self.one, leverage=10.0)

    def time_liquidation_prices(self, venue: str) -> None:
        lq.liquidation_price(self.rules, side="long", entry_price=6e4, quantity=self.many, leverage=10.0)
