"""Fixtures of the integration tests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import ray

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A Ray of our own with four logical cores, whatever else runs on this machine; stopped with the module."""
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
