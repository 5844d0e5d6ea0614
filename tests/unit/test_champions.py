"""Which champions a rollback goes back to: those that were promoted and not taken back, however they came there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.models import Alias, Transition, TransitionKind, champions
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def move(kind: TransitionKind, from_version: str | None, to_version: str, **changes: object) -> Transition:
    """A move of the champion."""
    given_fields = {"actor": "ana", "reason": "", "forced": False, "created_at": NOON} | changes
    return Transition(
        model_name="props",
        alias=Alias.CHAMPION,
        kind=kind,
        from_version=from_version,
        to_version=to_version,
        **given_fields,  # type: ignore[arg-type]  # of several types
    )


@given(st.lists(st.tuples(st.sampled_from(["1", "2", "3", "back"]), st.booleans())))
def test_a_promotion_adds_a_champion_and_a_rollback_takes_it(steps: Sequence[tuple[str, bool]]) -> None:
    """After any promotions, recorded or not, and rollbacks: the next rollback always leads one step further back."""
    current, recorded = "0", [move(TransitionKind.PROMOTE, None, "0")]
    for step, is_recorded in steps:
        before = champions(recorded, current)
        assert before[-1] == current
        if step == "back" and len(before) > 1:
            recorded.append(move(TransitionKind.ROLLBACK, current, before[-2]))
            current = before[-2]
            assert champions(recorded, current) == before[:-1]
        elif step not in {"back", current}:
            recorded += [move(TransitionKind.PROMOTE, current, step)] * is_recorded
            current = step
            assert not is_recorded or champions(recorded, current) == (*before, step)


def test_what_came_unrecorded_is_gone_back_to() -> None:
    """A version from before the record, and one that an older program put into production, count as promoted."""
    first = move(TransitionKind.PROMOTE, "old", "2")
    assert champions([first], "3") == ("old", "2", "3")
    later = [first, move(TransitionKind.ROLLBACK, "3", "2")]
    assert champions(later, "2") == ("old", "2")
    assert champions([], "old") == ("old",)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("actor", {"actor": ""}),
        ("actor", {"actor": "x" * 256}),
        ("reason", {"reason": "x" * 2001}),
        ("gates.checks.0", {"gates": {"checks": [NOON]}}),
        ("alias", {"left_alias": Alias.CHAMPION}),
    ],
)
def test_a_wrong_move_names_its_field(field: str, changes: dict[str, object]) -> None:
    """What history and audit trail cannot hold, and a champion that would become something else."""
    with pytest.raises(InvalidError) as caught:
        move(TransitionKind.PROMOTE, "1", "2", **changes)
    assert caught.value.field == field
