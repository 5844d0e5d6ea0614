"""When a replica is near enough to answer."""

from __future__ import annotations

import pytest

from stores.postgres.routing import is_near

POSITIONS = [(100.0, 1000), (101.0, 2000), (102.0, 3000)]  # moments, and where the primary was


@pytest.mark.parametrize(
    ("replayed", "within_s", "near"),
    [
        (3000, 0.0, True),
        (2999, 0.5, False),
        (2999, 1.0, True),
        (1000, 2.0, True),
        (1000, 1.9, False),
        (999, 60.0, False),
    ],
)
def test_a_replica_is_near_when_it_holds_what_the_primary_held(replayed: int, within_s: float, near: bool) -> None:
    """It is measured by the newest position of the primary that it has reached, at the moment 102."""
    assert is_near(POSITIONS, replayed, 102.0, within_s) is near


def test_nothing_known_is_not_near() -> None:
    """Before the primary was asked for its position the replica is not trusted."""
    assert not is_near([], 10**12, 102.0, 60.0)
