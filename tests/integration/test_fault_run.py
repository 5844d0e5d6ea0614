"""A short fault run of every store; `make faults` makes a long one."""

from __future__ import annotations

import pytest

from tests.faults.run import run
from tests.faults.targets import TARGETS
from tests.servers.need import needed

KILLS = 2  # one of the server, one of the writer


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_lost_or_doubled(target: str) -> None:
    """Killed in the middle of a burst, everything acknowledged is there once."""
    with needed():
        verdict = run(TARGETS[target], KILLS, seed=7, tell=lambda _: None)
    assert verdict.clean, verdict
    assert verdict.acknowledged > KILLS * 20
