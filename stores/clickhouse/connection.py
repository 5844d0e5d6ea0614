"""Connections to ClickHouse: a server over HTTP or its engine in this process, behind the same calls.

The driver is synchronous for both, so it runs in threads of its own; every call has one deadline.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from stores.clickhouse.failures import WRONG_DATABASE, WRONG_LOGIN, code_of, translated
from stores.errors import InvalidError, OutcomeUnknownError, TransientError
from stores.folder_lock import FolderLock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from stores.settings import ClickHouseSettings

T = TypeVar("T")

DEADLINE_S = 30.0  # a batch of 10,000 rows takes a tenth of a second, a dashboard's widest question some seconds
CONNECT_TIMEOUT_S = 5
WORKERS = 4  # calls under way at once over HTTP; the embedded engine takes one at a time
EMBEDDED_DATABASE = "riftline"
VARIABLE = "RIFTLINE_CLICKHOUSE_URL"

_INSERT = {
    "async_insert": 0,  # the server would gather blocks of several deliveries, and a token names one
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_parallel_parsing": 0,  # the same bytes are the same block each time
    "input_format_skip_unknown_fields": 0,  # a column that is not there yet must not be lost silently
    "input_format_null_as_default": 0,
    "max_partitions_per_insert_block": 0,  # late events of many months may meet in one block
}


class ClickHouseConnection:
    """A bounded set of calls to one database. The driver's client is made at the first call that finds the server.

    A call that is given up at its deadline may still end in the server: reads then raise TransientError, writes
    OutcomeUnknownError. The embedded engine cannot be interrupted, so calls behind a long one wait for it.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        address: str,
        *,
        workers: int = WORKERS,
        deadline_s: float = DEADLINE_S,
        lock: FolderLock | None = None,
    ) -> None:
        self._connect = connect
        self._client: Client | None = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="clickhouse")
        self._deadline_s = deadline_s
        self._lock = lock
        self._closed = False
        self.address = address

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT whose ``{name:Type}`` are bound to ``parameters`` by the server."""
        result = await self._run(lambda client: client.query(sql, parameters=dict(parameters or {})))
        return [tuple(row) for row in result.result_rows]

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that changes something. Raises OutcomeUnknownError when the answer is lost."""
        await self._run(lambda client: client.command(sql, parameters=dict(parameters or {})), writing=True)

    async def insert(self, table: str, lines: bytes, token: str) -> None:
        """Insert rows, one JSON object a line, with all that is aggregated of them.

        The same rows under the same token are there once, however often this is called: after OutcomeUnknownError it
        may simply be repeated. Raises InvalidError when the server refuses the rows for good; none is there then. A
        table or a column that is not there yet is a TransientError: it comes with the next migration.
        """
        settings = _INSERT | {"insert_deduplication_token": token}
        await self._run(
            lambda client: client.raw_insert(table, insert_block=lines, fmt="JSONEachRow", settings=settings),
            writing=True,
        )

    async def ping(self) -> None:
        """Ask the server for nothing. Raises TransientError while it does not answer."""
        await self.query("SELECT 1")

    async def close(self) -> None:
        """Give everything back, waiting for calls under way, at most for the deadline. Idempotent."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                await loop.run_in_executor(None, self._shut)
        except TimeoutError:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _shut(self) -> None:
        self._threads.shutdown()
        if self._client is not None:
            self._client.close()
        if self._lock is not None:
            self._lock.release()

    async def _run(self, call: Callable[[Client], T], *, writing: bool = False) -> T:
        if self._closed:
            raise TransientError(f"{self.address}: this connection is closed")
        with translated(self.address, writing=writing):
            try:
                async with asyncio.timeout(self._deadline_s):
                    return await asyncio.get_running_loop().run_in_executor(
                        self._threads, lambda: call(self._connected())
                    )
            except TimeoutError:
                text = f"{self.address}: no answer within {self._deadline_s:g} s"
                raise (OutcomeUnknownError(text) if writing else TransientError(text)) from None

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                with translated(self.address):  # nothing was sent yet
                    self._client = self._connect()
            return self._client


async def open_clickhouse(settings: ClickHouseSettings, *, deadline_s: float = DEADLINE_S) -> ClickHouseConnection:
    """Connect to the server of ``settings.url``, or start the engine over ``settings.data_dir`` when it is empty.

    Raises InvalidError when the URL, the login or the database is wrong, TransientError when the server does not
    answer, and ConflictError when another process runs the engine over the same folder.
    """
    connection = clickhouse_at(settings, deadline_s=deadline_s)
    try:
        await connection.ping()
    except Exception as error:
        await connection.close()
        code = code_of(error.__cause__)
        if code in WRONG_LOGIN or code in WRONG_DATABASE:
            what = "user or password" if code in WRONG_LOGIN else "database; create it first"
            raise InvalidError(f"{connection.address}: wrong {what}", VARIABLE) from None
        raise
    return connection


def clickhouse_at(settings: ClickHouseSettings, *, deadline_s: float = DEADLINE_S) -> ClickHouseConnection:
    """As `open_clickhouse`, for who must start while the server is away: it is first asked by the first call."""
    if settings.url:
        address = address_of(settings.url)
        connect = partial(_http_client, settings.url, deadline_s)
        return ClickHouseConnection(connect, address, deadline_s=deadline_s)
    folder = settings.data_dir.expanduser().resolve()
    lock = FolderLock.acquire(
        folder, "the embedded ClickHouse", f"use it there, or set {VARIABLE} to a server that all processes share"
    )
    connect = partial(engine_client, folder / "engine", EMBEDDED_DATABASE)
    address = f"the embedded ClickHouse in {folder}"
    return ClickHouseConnection(connect, address, workers=1, deadline_s=deadline_s, lock=lock)


def address_of(url: str) -> str:
    """Where ``url`` leads, for people: never with user or password. Raises InvalidError when it is no such URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError:
        raise InvalidError(_WRONG_URL, VARIABLE) from None
    wrong = parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment
    if wrong or parts.netloc.count("@") > 1 or "/" in parts.path.strip("/"):
        raise InvalidError(_WRONG_URL, VARIABLE)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"ClickHouse at {host}:{port}/{unquote(parts.path.strip('/')) or 'default'}"


def engine_client(folder: Path, database: str) -> Client:
    """The engine in this process over ``folder``. A process has one folder for all of its clients."""
    import clickhouse_connect  # noqa: PLC0415  # 0.3 s, and chdb takes 1 s more: who uses neither does not wait

    folder.mkdir(parents=True, exist_ok=True)
    client = clickhouse_connect.get_client(interface="chdb", path=str(folder))
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.database = database
    return client


def _http_client(url: str, deadline_s: float) -> Client:
    import clickhouse_connect  # noqa: PLC0415  # as above

    parts = urlsplit(url)
    logging.getLogger("clickhouse_connect.driver._backend").setLevel(logging.ERROR)  # it warns of what it raises
    client = clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port,
        interface=parts.scheme,
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.strip("/")) or "default",
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=math.ceil(deadline_s),
        autogenerate_session_id=False,  # a session takes one call at a time
        dedicated_pool=True,
    )
    client.http_retries = 0  # type: ignore[attr-defined]  # the transport's would double every wait
    return client


_WRONG_URL = (
    f"{VARIABLE} is not a ClickHouse URL; give http://user:password@host:8123/database or https:// "
    "with special characters percent-encoded"
)
