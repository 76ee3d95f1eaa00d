"""Small studies, and what the tests of this folder ask of their results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from click.testing import CliRunner, Result

from liqsim.cli import main
from liqsim.results import digests
from liqsim.study import Study, read_study

STUDY = """
title = "two venues"
venue = ["binance-usdm-btcusdt", "deribit-btc-perpetual"]
leverage = [5, 10]
stop = [0.05, inf]
side = ["short", "long"]
horizon = ["5D", "31h"]
notional = [1e4, 1e5]
n_paths = 6000
seed = 4

[[model]]
kind = "gbm"
sigma = [0.5, 0.9]

[premium]
mean = 1e-4
half_life = "15h"
vol = 3e-4
"""


def write(folder: Path, text: str = STUDY, name: str = "study.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def study_in(folder: Path, *changes: str, text: str = STUDY) -> Study:
    return read_study(write(folder, text), changes)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def command(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "liqsim", *(str(a) for a in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def assert_same_bits(a: xr.Dataset, b: xr.Dataset) -> None:
    assert digests(a) == digests(b)


def tallies(store: Path) -> dict[str, bytes]:
    """Every file of the exact sums of a finished store."""
    folder = store / "tallies"
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    assert found
    return found


def estimates(store: Path) -> dict[str, bytes]:
    """Every file of the estimates; the record at the root tells times and is left out."""
    return {
        str(p.relative_to(store)): p.read_bytes()
        for p in sorted(store.rglob("*"))
        if p.is_file() and p.parent != store and not p.is_relative_to(store / "tallies")
    }


def assert_same_stores(a: Path, b: Path) -> None:
    assert tallies(a) == tallies(b)
    assert estimates(a) == estimates(b)


def record(store: Path) -> dict[str, Any]:
    return json.loads((store / "zarr.json").read_text())["attributes"]


def largest(ds: xr.Dataset) -> float:
    return float(np.nanmax(ds.p_liquidation.values))
