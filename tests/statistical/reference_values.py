"""Reference values of the shared folder, as models and horizons."""

import dataclasses
import json

import numpy as np

import liqsim as lq
from liqsim.durations import DAYS_PER_YEAR

NS_PER_DAY = 86_400_000_000_000


def load(shared):
    return json.loads((shared / "reference" / "truths_public.json").read_text())


def model_of(params):
    """The model whose log drift between jumps is the one given."""
    if "lam" not in params:
        raw = lq.GBM(sigma=params["sigma"])
    elif "muJ" in params:
        raw = lq.Merton(params["sigma"], params["lam"], params["muJ"], params["delta"])
    else:
        raw = lq.Kou(params["sigma"], params["lam"], params["p"], params["eta1"], params["eta2"])
    return dataclasses.replace(raw, drift=params["log_drift"] - raw.log_drift)


def nanoseconds(days):
    return np.timedelta64(round(days * NS_PER_DAY), "ns")


def horizon_of(contract):
    return nanoseconds(contract["horizon_years"] * DAYS_PER_YEAR)
