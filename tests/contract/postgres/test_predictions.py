"""What every store of predictions keeps: nothing acknowledged is lost or doubled, and one bad row fails alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import asyncpg
import pytest

from stores.clock import utc_now
from stores.domain.prediction_id import new_prediction_id
from stores.domain.usage import ApiCall
from stores.errors import InvalidError, NotFoundError, OutcomeUnknownError, OverloadedError, TransientError
from stores.postgres import api_usage, fresh_ids, prediction_copy, predictions
from stores.postgres.copying import CopiedRows, insert_once
from stores.postgres.pool import Pool, open_pool
from stores.postgres.prediction_copy import encode
from stores.postgres.predictions import PostgresPredictions
from tests.servers.postgres import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stores.domain.predictions import PredictionRecord

    MakePrediction = Callable[..., PredictionRecord]

pytestmark = pytest.mark.role("predictions")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def store(pool: Pool) -> PostgresPredictions:
    """A store on a fresh database that gives up retrying soon."""
    return PostgresPredictions(pool, retry_delays_s=(0.01, 0.02))


async def _commits(pool: Pool) -> int:
    async with pool.transaction() as connection:
        return int(await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM prediction_requests"))


async def test_a_record_is_read_back_to_the_bit(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """Every column comes back equal: floats to the bit, names with quotes and other scripts, the widest line."""
    record = prediction()
    await store.record(record)
    assert await store.get(record.prediction_id) == record


async def test_optional_columns_may_be_absent(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """A bare question without any metadata is stored too."""
    full = prediction()
    bare = replace(
        full.request,
        opponent=None,
        tournament=None,
        team=None,
        match_date=None,
        position_roles=(),
        champions=(),
        best_of=None,
    )
    record = full._replace(
        request=bare,
        warnings=(),
        user_id=None,
        client_ip=None,
        user_agent=None,
        api_version=None,
        request_source=None,
    )
    await store.record(record)
    assert await store.get(record.prediction_id) == record


async def test_an_unknown_id_is_not_found(store: PostgresPredictions) -> None:
    """A fresh id is NotFound; an id of another kind is Invalid."""
    with pytest.raises(NotFoundError):
        await store.get(new_prediction_id(NOON))
    with pytest.raises(InvalidError):
        await store.get(uuid4())


async def test_concurrent_records_share_commits(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """Two hundred callers at once are all durable after a handful of commits."""
    records = [prediction() for _ in range(200)]
    await asyncio.gather(*(store.record(record) for record in records))
    assert await store.count() == 200
    assert await store.get(records[137].prediction_id) == records[137]
    assert await _commits(pool) <= 2


async def test_many_are_written_in_bounded_batches(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """More rows than fit one batch are written in several."""
    outcomes = await store.record_many([prediction() for _ in range(2 * predictions.MAX_BATCH + 1)])
    assert outcomes == [None] * (2 * predictions.MAX_BATCH + 1)
    assert await store.count() == 2 * predictions.MAX_BATCH + 1
    assert await _commits(pool) == 3


async def test_a_repeated_record_is_kept_once(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """The same id is stored once and keeps its first content, in one batch and over several."""
    record = prediction()
    assert await store.record_many([record, record]) == [None, None]
    await store.record(record._replace(confidence=1.0))
    assert await store.count() == 1
    assert await store.get(record.prediction_id) == record


@pytest.mark.parametrize(
    "poison",
    [{"user_agent": "a\x00b"}, {"user_agent": "\ud800"}, {"confidence": float("nan")}, {"confidence": 100.1}],
    ids=["nul", "surrogate", "nan", "out of range"],
)
async def test_a_poisoned_row_fails_alone(
    store: PostgresPredictions, prediction: MakePrediction, poison: dict[str, object]
) -> None:
    """Of a hundred rows the one that cannot be stored fails, and the other ninety-nine are durable."""
    records = [prediction() for _ in range(100)]
    records[42] = records[42]._replace(**poison)  # type: ignore[arg-type]
    outcomes = await store.record_many(records)
    assert [index for index, outcome in enumerate(outcomes) if outcome] == [42]
    assert isinstance(outcomes[42], InvalidError)
    assert await store.count() == 99


async def test_a_cancelled_caller_disturbs_no_one(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """When the first caller of a batch goes away, the others still get their answer."""
    tasks = [asyncio.create_task(store.record(prediction())) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] + [type(None)] * 4
    await store.drain()
    assert await store.count() == 5


async def test_a_full_queue_says_so(
    store: PostgresPredictions, prediction: MakePrediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound a caller hears at once that it is too much; what was queued is still written."""
    monkeypatch.setattr(predictions, "MAX_QUEUED", 10)
    outcomes = await store.record_many([prediction() for _ in range(15)])
    assert [type(outcome) for outcome in outcomes[:10]] == [type(None)] * 10
    assert all(isinstance(outcome, OverloadedError) for outcome in outcomes[10:])
    assert await store.count() == 10


@pytest.fixture
async def cuttable(database: str) -> AsyncIterator[tuple[PostgresPredictions, Cut]]:
    """A store whose connection passes through a relay that can cut it off."""
    cut = Cut(database)
    async with await asyncio.start_server(cut.relay, "127.0.0.1") as relay:
        port = relay.sockets[0].getsockname()[1]
        name = urlsplit(database).path
        pool = await open_pool(f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}{name}?sslmode=disable", 1)
        yield PostgresPredictions(pool, retry_delays_s=(0.01, 0.02, 0.04)), cut
        await pool.close()


class Cut:
    """A relay to the server. It swallows the server's answer to a commit ``answers_lost`` times, then hangs up."""

    def __init__(self, database: str) -> None:
        self._server = urlsplit(database)
        self.answers_lost = 0

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end hangs up."""
        from_server, to_server = await self._connect()
        backwards = asyncio.create_task(self._backwards(from_server, writer))
        while data := await reader.read(65536):
            to_server.write(data)
        to_server.close()
        await backwards

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server.hostname:
            return await asyncio.open_connection(self._server.hostname, self._server.port)
        return await asyncio.open_unix_connection(parse_qs(self._server.query)["host"][0] + "/.s.PGSQL.5432")

    async def _backwards(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await from_server.read(65536):
            if self.answers_lost > 0 and b"COMMIT" in data:
                self.answers_lost -= 1
                break
            writer.write(data)
        writer.close()


async def test_an_unknown_outcome_is_retried_without_doubling(
    cuttable: tuple[PostgresPredictions, Cut], prediction: MakePrediction
) -> None:
    """When the answer to the commit is lost, the write is repeated, acknowledged, and stored once."""
    store, cut = cuttable
    cut.answers_lost = 2
    await store.record(prediction())
    assert cut.answers_lost == 0
    assert await store.count() == 1


async def test_an_outcome_that_stays_unknown_is_told(
    cuttable: tuple[PostgresPredictions, Cut], prediction: MakePrediction
) -> None:
    """When no answer ever comes the caller hears that the row may be there, and never the password."""
    store, cut = cuttable
    cut.answers_lost = 4
    with pytest.raises(OutcomeUnknownError, match=r"PostgreSQL at 127\.0\.0\.1") as caught:
        await store.record(prediction())
    assert PASSWORD not in repr(caught.value)
    assert await store.count() == 1


async def test_a_row_that_waits_for_a_lock_is_not_lost(
    store: PostgresPredictions, pool: Pool, direct_database: str, prediction: MakePrediction
) -> None:
    """A backend that is ended before its commit leaves a Transient outcome, which is retried to success."""
    async with pool.transaction() as holder:
        await holder.execute("LOCK TABLE prediction_requests IN ACCESS EXCLUSIVE MODE")
        waiting = asyncio.create_task(store.record(prediction()))
        assert await _end_one_waiting_backend(direct_database)
    await waiting
    assert await store.count() == 1


async def _end_one_waiting_backend(database: str) -> bool:
    connection = await asyncpg.connect(database)
    ended = False
    while not ended:
        ended = bool(
            await connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        )
    await connection.close()
    return ended


async def test_a_server_that_stays_away_is_transient(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """When the server goes away before every commit the caller hears that nothing happened."""
    async with pool.transaction() as connection:
        await connection.execute(
            "CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;"
            "CREATE TRIGGER go_away BEFORE INSERT ON prediction_requests FOR EACH ROW EXECUTE FUNCTION go_away()"
        )
    with pytest.raises(TransientError):
        await store.record(prediction())
    assert await store.count() == 0


async def test_a_known_row_does_not_hold_back_its_batch(
    store: PostgresPredictions, pool: Pool, prediction: MakePrediction
) -> None:
    """What is known beside what is not, for two tables at once: each is there once, as it was first."""
    records = [prediction() for _ in range(20)]
    await store.record_many(records[:10])
    rows = [encode(record._replace(confidence=1.0)) for record in records]
    call = ApiCall(usage_id=new_prediction_id(NOON), endpoint="/", http_method="GET", status_code=200)
    batches = [
        CopiedRows(prediction_copy.TABLE, prediction_copy.COLUMNS, rows),
        CopiedRows(api_usage.TABLE, api_usage.COLUMNS, [api_usage.encode(call)]),
    ]
    for _ in range(2):
        await insert_once(pool, batches)
    assert await store.count() == 20
    assert [(await store.get(record.prediction_id)).confidence for record in records] == [
        *(record.confidence for record in records[:10]),
        *(1.0 for _ in records[10:]),
    ]
    async with pool.transaction() as connection:
        assert await connection.fetchval("SELECT count(*) FROM api_usage") == 1


async def test_a_fresh_id_is_waited_for(store: PostgresPredictions, prediction: MakePrediction) -> None:
    """A row that comes a moment after the question for it is found."""
    record = prediction(at=utc_now())
    asked = asyncio.create_task(store.get(record.prediction_id))
    done, _ = await asyncio.wait({asked}, timeout=0.1)
    assert not done
    await store.record(record)
    assert await asked == record


async def test_a_fresh_id_that_never_comes_is_not_found(
    store: PostgresPredictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded."""
    monkeypatch.setattr(fresh_ids, "FRESH", timedelta(seconds=0.2))
    with pytest.raises(NotFoundError):
        await store.get(new_prediction_id(utc_now()))
