"""Fixtures that every kind of test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# every cluster has a home of its own, and would compile for six seconds in each of its processes
os.environ.setdefault("RIFTLINE_KERNELS_DIR", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "kernels"))


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder of real match data, from RIFTLINE_TEST_DATA or beside the checkout; skips where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RIFTLINE_TEST_DATA", beside))
    if not (folder / "lol").is_dir():
        pytest.skip(f"no real match data at {folder}: set RIFTLINE_TEST_DATA")
    return folder
