"""Fixtures that every kind of test shares, and which tests run in one process when there are several."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from xdist.remote import Producer  # type: ignore[import-untyped]

TESTS = Path(__file__).parent
RAY = "ray"
LONGEST = (RAY, "contract/lake", "contract/postgres", "contract/clickhouse", "contract/event_log", "contract/redis")


class SharedServers(LoadScopeScheduling):  # type: ignore[misc]
    """Gives whole groups of tests to the processes of `pytest -n`."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(TESTS.parent / nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedServers:
    """Tests that share servers run in one process, in the order of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False
    return SharedServers(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest groups where several processes share the work."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _begins(item.path))


@cache
def _group(file: Path) -> str:
    """All that starts Ray, so that there is one cluster at a time; a folder of contracts; else a file by itself."""
    kind, *inside = file.relative_to(TESTS).parts
    return RAY if kind == "e2e" or "ray_cluster" in file.read_text() else f"{kind}/{inside[0]}"


def _begins(file: Path) -> tuple[int, bool]:
    group = _group(file)
    of_group = LONGEST.index(group) if group in LONGEST else len(LONGEST)
    return of_group, file.is_relative_to(TESTS / "e2e")  # its cluster works even when nobody asks


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder of real match data, from RIFTLINE_TEST_DATA or beside the checkout; skips where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RIFTLINE_TEST_DATA", beside))
    if not (folder / "lol").is_dir():
        pytest.skip(f"no real match data at {folder}: set RIFTLINE_TEST_DATA")
    return folder
