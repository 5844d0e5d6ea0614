"""What a test does when a real server's program is missing: it skips by name on a laptop and fails in CI."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers.process import MissingServerError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needed() -> Iterator[None]:
    """Around the start of a real server in a fixture."""
    try:
        yield
    except MissingServerError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have every real server: {error}")
        pytest.skip(str(error))
