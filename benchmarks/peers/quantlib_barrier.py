"""QuantLib's Monte Carlo barrier engine: one barrier, no jumps, no funding, one thread.

A down-and-out call that is never in the money and pays a rebate of 1 when the barrier is hit is worth, at no interest,
the probability of the hit. The engine corrects for crossings inside a step with the Brownian bridge, so one step is
exact for this law. Does not: jumps, funding, moving levels, grids (one run a level), shorts, threads.
"""

from __future__ import annotations

import numpy as np
import QuantLib as ql

from .problem import Answer, Problem


def _run(problem: Problem, n_paths: int, seed: int, threads: int, steps: int) -> Answer:
    if problem.intensity or problem.funding or np.isfinite(problem.stop).any():
        raise ValueError("only for a law without jumps, funding or stops")
    if threads != 1:
        raise ValueError(f"threads={threads}: QuantLib uses one")
    today = ql.Date(1, 1, 2024)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    days = problem.intervals * problem.hours // 24
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, count))
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), problem.sigma, count))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(1.0)), flat, flat, vol)
    exercise = ql.EuropeanExercise(today + ql.Period(days, ql.Days))
    payoff = ql.PlainVanillaPayoff(ql.Option.Call, 1e12)
    hits = []
    for level in np.exp(problem.log_liquidation):
        option = ql.BarrierOption(ql.Barrier.DownOut, float(level), 1.0, payoff, exercise)
        engine = ql.MCBarrierEngine(
            process, "pseudorandom", timeSteps=steps, requiredSamples=n_paths, seed=seed, isBiased=False
        )
        option.setPricingEngine(engine)
        hits.append([option.NPV()])
    return Answer(np.array(hits), np.zeros((len(hits), 1)), n_paths)


def simulate(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in one step, which is exact."""
    return _run(problem, n_paths, seed, threads, 1)


def simulate_steps(problem: Problem, n_paths: int, seed: int, threads: int) -> Answer:
    """Solve the problem in a step for each funding interval, as it would have to be if funding moved the level."""
    return _run(problem, n_paths, seed, threads, problem.intervals)
