"""The connection: values are bound, errors are ours, and a wrong address is told at the start."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from stores.clickhouse.connection import clickhouse_at, open_clickhouse
from stores.clickhouse.failures import translated
from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, TransientError
from stores.folder_lock import FolderLock
from stores.settings import ClickHouseSettings
from tests.contract.clickhouse.samples import http_connection
from tests.contract.postgres.texts import INJECTIONS
from tests.servers.process import free_port

if TYPE_CHECKING:
    from stores.clickhouse.connection import ClickHouseConnection
    from tests.servers.clickhouse import ClickHouse

pytestmark = pytest.mark.role("clickhouse connection")
ROOT = Path(__file__).resolve().parents[3]


async def test_parameters_are_bound(connection: ClickHouseConnection) -> None:
    """Whatever a text holds, it comes back as it is."""
    for text in (*INJECTIONS, "", "\\", "\\N", "a\tb\nc\r\x01", "'", '"', "{b:String}", "%(a)s", "x" * 100_000):
        assert await connection.query("SELECT {a:String}, {b:UInt8}", {"a": text, "b": 7}) == [(text, 7)]
    assert await connection.query("SELECT {id:UUID}", {"id": str(UUID(int=5))}) == [(UUID(int=5),)]


async def test_large_answers_are_whole(connection: ClickHouseConnection) -> None:
    """Many blocks arrive as one list."""
    rows = await connection.query("SELECT number, toString(number) FROM numbers(200000)")
    assert rows[-1] == (199_999, "199999")
    assert len(rows) == 200_000


async def test_calls_at_once_do_not_disturb_each_other(connection: ClickHouseConnection) -> None:
    """More calls than threads."""
    answers = await asyncio.gather(*(connection.query("SELECT {n:UInt32}", {"n": n}) for n in range(40)))
    assert answers == [[(n,)] for n in range(40)]


async def test_a_repeated_insert_is_there_once(connection: ClickHouseConnection) -> None:
    """Also when the repetitions run at the same time, and in the states: not one part more is made of them."""
    line = (
        b'{"event_id":"00000000-0000-0000-0000-000000000001","user_id":"00000000-0000-0000-0000-000000000002",'
        b'"session_id":"s","event_type":"t","event_time":"2026-03-14 12:00:00"}'
    )
    for table in ("user_events", "user_activity_hourly_states"):
        await connection.command(f"SYSTEM STOP MERGES {table}")  # they would hide what was stored twice
    await asyncio.gather(*(connection.insert("user_events", line, "token") for _ in range(8)))
    await connection.insert("user_events", line, "token")
    parts = "SELECT table, rows FROM system.parts WHERE database = currentDatabase() AND active AND table LIKE 'user%'"
    assert await connection.query(f"{parts} ORDER BY table") == [("user_activity_hourly_states", 1), ("user_events", 1)]
    await connection.insert("user_events", line, "another token")
    assert await connection.query("SELECT count() FROM user_events") == [(2,)]
    assert await connection.query("SELECT sum(event_count) FROM user_activity_hourly") == [(1,)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"event_id":"secret"}',
        b'{"session_id":"a","session_id":"secret"}',
        b'{"event_time":"secret"}',
        b'{"session_id":null}',
        b"secret",
    ],
)
async def test_a_wrong_row_is_refused_without_being_quoted(connection: ClickHouseConnection, line: bytes) -> None:
    """Nothing of its block is stored; the message holds the server's code and no data."""
    good = b'{"session_id":"good"}'
    with pytest.raises(InvalidError, match=r"error \d+ \([A-Z_]+\)") as error:
        await connection.insert("user_events", good + b"\n" + line, "token")
    assert "secret" not in str(error.value)
    assert await connection.query("SELECT count() FROM user_events") == [(0,)]


async def test_a_missing_table_is_not_yet_there(connection: ClickHouseConnection) -> None:
    """A server that is not migrated yet is waited for."""
    with pytest.raises(TransientError, match=r"error 60 .*run `riftline stores migrate`"):
        await connection.insert("no_such_table", b'{"a":1}', "token")


async def test_a_missing_column_is_not_yet_there(connection: ClickHouseConnection) -> None:
    """A process of the next release waits for its migration; its row's values are not quoted."""
    with pytest.raises(TransientError, match="run `riftline stores migrate`") as error:
        await connection.insert("user_events", b'{"session_id":"good"}\n{"of_next_release":"secret"}', "token")
    assert "secret" not in str(error.value)
    assert await connection.query("SELECT count() FROM user_events") == [(0,)]


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (
            117,
            "Code: 117. DB::Exception: Code: 117. DB::Exception: Unknown field found while parsing: x",
            TransientError,
        ),
        (117, "Code: 117. DB::Exception: Unknown field found while parsing JSONEachRow format: x", TransientError),
        (117, "Code: 117. DB::Exception: Bad value 'DB::Exception: Unknown field found'", InvalidError),
        (16, "Code: 16. DB::Exception: No such column x in table t", TransientError),
    ],
)
def test_a_value_cannot_pass_for_a_missing_column(code: int, message: str, expected: type[Exception]) -> None:
    """The delivery would wait for ever for a row that quotes the server's words."""
    with pytest.raises(expected), translated("server", writing=True):
        raise DatabaseError(message, code=code)


async def test_a_closed_connection_refuses(connection: ClickHouseConnection) -> None:
    """Closing twice is harmless."""
    await connection.ping()
    await connection.close()
    await connection.close()
    with pytest.raises(TransientError, match="closed"):
        await connection.ping()


async def test_a_slow_question_ends_at_the_deadline(tmp_path: Path, server: ClickHouse) -> None:
    """A read may be asked again, a write may have happened."""
    connection = await open_clickhouse(ClickHouseSettings(tmp_path, tmp_path, server.url), deadline_s=1)
    began = time.monotonic()
    with pytest.raises(TransientError, match=r"no answer within 1 s|timed out"):
        await connection.query("SELECT sleep(3)")
    with pytest.raises(OutcomeUnknownError, match=r"no answer within 1 s|timed out"):
        await connection.command("SELECT sleep(3)")
    assert time.monotonic() - began < 5
    await connection.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("http://riftline:sesame@127.0.0.1:{port}", "wrong user or password"),
        ("http://nobody:sesame@127.0.0.1:{port}", "wrong user or password"),
        ("{url}/no_such_database", "wrong database; create it first"),
        ("ftp://riftline:sesame@127.0.0.1", "not a ClickHouse URL"),
        ("http://riftline:ses@me@127.0.0.1", "not a ClickHouse URL"),
        ("http://riftline:sesame@127.0.0.1:port", "not a ClickHouse URL"),
        ("http://riftline:sesame@127.0.0.1/a/b", "not a ClickHouse URL"),
        ("http:///database", "not a ClickHouse URL"),
        ("http://127.0.0.1/?password=sesame", "not a ClickHouse URL"),
    ],
)
async def test_what_is_wrong_with_a_url_is_told_without_its_password(
    server: ClickHouse, wrong: str, message: str
) -> None:
    """At the opening, naming the variable."""
    with pytest.raises(InvalidError, match=message) as error:
        await http_connection(wrong.format(url=server.url, port=server.port))
    assert "ses" not in str(error.value)
    assert error.value.field == "RIFTLINE_CLICKHOUSE_URL"


async def test_a_server_that_is_away_is_named() -> None:
    """Opening fails at once where nobody listens; who must start all the same connects at the first call."""
    port = free_port()
    url = f"http://riftline:sesame@127.0.0.1:{port}/a"
    with pytest.raises(TransientError, match=f"ClickHouse at 127.0.0.1:{port}/a: .*refused") as error:
        await http_connection(url)
    assert "sesame" not in str(error.value)
    nowhere = Path("/nonexistent")
    connection = clickhouse_at(ClickHouseSettings(nowhere, nowhere, url))
    with pytest.raises(TransientError):
        await connection.insert("t", b"{}", "token")
    await connection.close()


async def test_a_second_process_is_told_who_owns_the_engine(tmp_path: Path) -> None:
    """The engine would say that an argument is bad. The owner's end frees it, also by a kill."""
    code = "import sys; from pathlib import Path; from stores.folder_lock import FolderLock\n"
    code += "lock = FolderLock.acquire(Path(sys.argv[1]), 'x', 'y'); print('mine', flush=True); sys.stdin.read()"
    owner = subprocess.Popen(  # noqa: ASYNC220  # it lives for this test
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"mine\n"
    with pytest.raises(
        ConflictError, match=f"belongs to process {owner.pid}; use it there, or set RIFTLINE_CLICKHOUSE"
    ):
        clickhouse_at(ClickHouseSettings(tmp_path, tmp_path))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    FolderLock.acquire(tmp_path, "it", "wait").release()


def test_importing_the_adapter_loads_no_driver() -> None:
    """The engine takes a second to load: who does not use it does not wait."""
    code = "import sys, stores.clickhouse.analytics, stores.clickhouse.migrate\n"
    code += "sys.exit(bool({'chdb', 'clickhouse_connect', 'urllib3'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
