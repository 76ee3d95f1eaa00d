from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference values and market data: LIQSIM_SHARED, or ``shared`` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("LIQSIM_SHARED", beside))
    if not (folder / "reference").is_dir():
        pytest.skip("reference values not present (set LIQSIM_SHARED to their folder)")
    return folder
