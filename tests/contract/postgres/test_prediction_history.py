"""Histories come newest first, page by page, and neither skip nor repeat a prediction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from stores.errors import InvalidError
from stores.postgres.partitions import TABLES, ensure_partitions
from stores.postgres.predictions import MAX_PAGE, PostgresPredictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.domain.predictions import PredictionRecord
    from stores.postgres.pool import Pool

    MakePrediction = Callable[..., PredictionRecord]

pytestmark = pytest.mark.role("predictions")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
USER, OTHER = UUID(int=7), UUID(int=8)


@pytest.fixture
def store(pool: Pool) -> PostgresPredictions:
    """A store on a fresh database."""
    return PostgresPredictions(pool)


async def test_pages_cover_a_users_history_exactly(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """Over three months, two users and many predictions of one millisecond, the pages join to the whole."""
    await ensure_partitions(pool, NOON, TABLES[:1])
    moments = [NOON - timedelta(days=day) for day in range(0, 60, 4)] + [NOON] * 20
    mine = [prediction(at=at, user_id=USER) for at in moments]
    await store.record_many(mine + [prediction(at=at, user_id=OTHER) for at in moments])
    pages, before = [], None
    while page := await store.history(USER, before=before, limit=7):
        pages.append(page)
        before = page[-1].prediction_id
    assert [len(page) for page in pages] == [7, 7, 7, 7, 7]
    newest_first = sorted(mine, key=lambda it: it.prediction_id, reverse=True)
    assert [record for page in pages for record in page] == newest_first


async def test_a_page_holds_still_while_predictions_are_added(
    store: PostgresPredictions, prediction: MakePrediction
) -> None:
    """What is recorded between two pages is newer than the cursor, so the second page is what it was."""
    records = [prediction(at=NOON + timedelta(seconds=second), user_id=USER) for second in range(4)]
    await store.record_many(records)
    first = await store.history(USER, limit=2)
    await store.record(prediction(at=NOON + timedelta(seconds=9), user_id=USER))
    second = await store.history(USER, before=first[-1].prediction_id, limit=2)
    assert [*first, *second] == records[::-1]


async def test_a_players_history_holds_every_question_that_names_him(
    store: PostgresPredictions, prediction: MakePrediction
) -> None:
    """Alone or among others, by the exact name; a name that is a piece of SQL or of an array is a name."""
    names = ("Faker", "x'; DROP TABLE prediction_requests; --", '{"Faker"}', "100%")
    records = []
    for second, name in enumerate(names):
        asked = replace(prediction().request, player_names=(name, f"mate {second}"), position_roles=(), champions=())
        records.append(prediction(at=NOON + timedelta(seconds=second), request=asked))
    await store.record_many(records)
    for name, record in zip(names, records, strict=True):
        assert await store.history_of_player(name) == (record,)
    assert await store.history_of_player("faker") == ()
    page = await store.history_of_player("Faker", before=records[0].prediction_id)
    assert page == ()


async def test_an_unknown_user_has_no_history(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """Predictions of nobody belong to nobody."""
    await store.record(prediction(user_id=None))
    assert await store.history(uuid4()) == ()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": MAX_PAGE + 1}, "limit"),
        ({"before": UUID(int=1)}, "before"),
        ({"before": UUID(int=(2**48 - 1) << 80 | 7 << 76 | 2 << 62)}, "before"),
    ],
    ids=["none", "too many", "not of a prediction", "beyond the year 9999"],
)
async def test_a_wrong_page_names_its_field(
    store: PostgresPredictions, arguments: dict[str, object], field: str
) -> None:
    """Limit and cursor are judged before the server sees them."""
    with pytest.raises(InvalidError) as caught:
        await store.history(USER, **arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 201])
async def test_a_wrong_name_is_refused(store: PostgresPredictions, name: str) -> None:
    """What no name can be is refused, naming the field."""
    with pytest.raises(InvalidError) as caught:
        await store.history_of_player(name)
    assert caught.value.field == "player_name"


async def test_a_history_holds_what_was_marked(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """A read after a mark sees all that was recorded before it."""
    record = prediction(user_id=USER)
    await store.record(record)
    assert await store.history(USER, after=await store.mark()) == (record,)
