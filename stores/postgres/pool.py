"""Connections to PostgreSQL: one pool, one way to run a transaction, one translation of the driver's errors.

Safe behind PgBouncer in transaction mode: no statement is cached by name, no session state is set or relied upon, and
every statement runs inside a transaction, so that its parse and its execution meet the same server.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import asyncpg
import orjson

from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from asyncpg.transaction import Transaction

T = TypeVar("T")

PING_TIMEOUT_S = 2.0
ROLLBACK_TIMEOUT_S = 2.0  # then the connection is dropped, and the server rolls back by itself
CLOSE_TIMEOUT_S = 10.0
URL_VARIABLE = "RIFTLINE_DATABASE_URL"

_LOST = (
    OSError,  # TimeoutError is one
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's state when a server dies between two messages
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, cancelled, still starting
    asyncpg.exceptions.PostgresSystemError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.InvalidAuthorizationSpecificationError,  # in the life of a pool: a rotated password
)
_ROLLED_BACK = (
    asyncpg.exceptions.TransactionRollbackError,  # deadlock, serialization
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a former primary during a failover
)
_WRONG_INPUT = (asyncpg.exceptions.DataError, asyncpg.exceptions.IntegrityConstraintViolationError)
_DAMAGED = (asyncpg.exceptions.DataCorruptedError, asyncpg.exceptions.IndexCorruptedError)
_WRONG_LOGIN = (asyncpg.exceptions.InvalidAuthorizationSpecificationError, asyncpg.exceptions.InvalidCatalogNameError)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each step may take. ``acquire_s`` waits for a free connection, so it covers a connect and a batch."""

    connect_s: float = 5.0
    acquire_s: float = 10.0
    statement_s: float = 30.0


class Pool:
    """A bounded set of connections to one database. Belongs to the event loop that opened it.

    A connection that breaks is replaced at its next use, so a restarted server needs no new pool. A server that stops
    answering in the middle costs a caller one statement's deadline and then a TransientError.
    """

    def __init__(self, connections: asyncpg.Pool, address: str, acquire_s: float) -> None:
        self.connections = connections
        self.address = address
        self.acquire_s = acquire_s

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """Run the block in one transaction: committed when it ends, rolled back when it raises.

        Raises TransientError when nothing was changed: the commit was never sent. Raises OutcomeUnknownError only when
        the connection broke during the commit itself.
        """
        with translated(self.address):
            async with self.connections.acquire(timeout=self.acquire_s) as connection:
                transaction = connection.transaction(readonly=readonly)
                await transaction.start()
                try:
                    yield connection
                except BaseException:
                    await _undo(connection, transaction)
                    raise
                with translated(self.address, committing=not readonly):
                    await _commit(connection, transaction)

    async def read(self, ask: Callable[[asyncpg.Connection], Awaitable[T]], after: int | None = None) -> T:  # noqa: ARG002
        """What ``ask`` returns. It only reads, and may be asked again of another server.

        The answer may be seconds old where there is a replica; ``after`` is a `position` that it must hold. Who cannot
        name one reads inside a `transaction`.
        """
        async with self.transaction(readonly=True) as connection:
            return await ask(connection)

    async def position(self) -> int:
        """How far the primary's log reaches: whatever holds this position holds every commit that returned by now."""
        async with self.transaction(readonly=True) as connection:
            # Not pg_current_wal_insert_lsn: at a page's start it is beyond all that a replica can have replayed.
            return int(await connection.fetchval("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn"))

    async def ping(self) -> None:
        """Ask the server for nothing. Raises TransientError while it does not answer."""
        with translated(self.address):
            async with asyncio.timeout(PING_TIMEOUT_S), self.transaction() as connection:
                await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Close every connection, waiting for transactions under way, but not for ever. Idempotent."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.connections.close()
        except (*_LOST, TimeoutError):
            self.connections.terminate()


async def open_pool(
    url: str,
    size: int,
    deadlines: Deadlines = Deadlines(),
    variable: str = URL_VARIABLE,
) -> Pool:
    """Connect to ``url`` with at most ``size`` connections, the first one at once.

    Raises TransientError when the server does not answer, InvalidError naming ``variable`` when the URL or the login
    is wrong.
    """
    pool = await create_pool(url, size, deadlines, variable)
    try:
        with translated(pool.address):
            async with pool.connections.acquire():
                pass
    except BaseException as error:
        await pool.close()
        refusal = error if error.__cause__ is None else error.__cause__
        if _is_refusal(refusal):
            raise InvalidError(f"{pool.address}: {refusal}", variable) from refusal
        if isinstance(error, ValueError):  # the driver's text may quote a part of the password
            raise InvalidError(_wrong_url(variable), variable) from None
        raise
    return pool


async def create_pool(url: str, size: int, deadlines: Deadlines, variable: str = URL_VARIABLE) -> Pool:
    """A pool that connects at its first use. Raises InvalidError naming ``variable`` when the URL is no URL."""
    address = address_of(url, variable)
    try:
        connections = asyncpg.create_pool(
            url,
            min_size=0,  # a floor would be restored, and its failures logged, for as long as a server is away
            max_size=size,
            timeout=deadlines.connect_s,
            command_timeout=deadlines.statement_s,
            statement_cache_size=0,
            init=_set_codecs,
            reset=_keep_session,
        )
        await connections
    except ValueError:  # as above
        raise InvalidError(_wrong_url(variable), variable) from None
    return Pool(connections, address, deadlines.acquire_s)


def address_of(url: str, variable: str = URL_VARIABLE) -> str:
    """Where ``url`` leads, for people: never with user or password. Raises InvalidError when it is no such URL."""
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        hosts = query.get("host") or [parts.netloc.rpartition("@")[2]]
    except ValueError:
        raise InvalidError(_wrong_url(variable), variable) from None
    if parts.scheme not in {"postgresql", "postgres"} or parts.netloc.count("@") > 1 or parts.fragment:
        raise InvalidError(_wrong_url(variable), variable)
    return f"PostgreSQL at {unquote(hosts[0]) or 'localhost'}{parts.path}"


@contextmanager
def translated(address: str, *, committing: bool = False) -> Iterator[None]:
    """Turn the driver's errors inside the block into ours. ``committing``: a lost connection hides the outcome."""
    try:
        yield
    except RiftlineError:
        raise
    except Exception as error:
        translation = _translation(error, address, committing=committing)
        if translation is None:
            raise
        raise translation from error


def _translation(error: Exception, address: str, *, committing: bool) -> RiftlineError | None:
    text = f"{address}: {getattr(error, 'message', None) or str(error) or type(error).__name__}"  # DETAIL quotes rows
    match error:
        case asyncpg.UniqueViolationError():
            return ConflictError(text)
        case asyncpg.InterfaceError() if isinstance(error, ValueError):  # the driver could not encode an argument
            return InvalidError(text)
        case _ if isinstance(error, _WRONG_INPUT):
            return InvalidError(text, getattr(error, "column_name", None) or "")
        case _ if isinstance(error, _ROLLED_BACK):
            return TransientError(text)
        case _ if isinstance(error, _LOST):
            return OutcomeUnknownError(text) if committing else TransientError(text)
    damaged = isinstance(error, _DAMAGED)
    return (
        RiftlineError(f"{text}: its files are damaged, restore a backup") if damaged else None
    )  # a mistake in our SQL stays what it is


def _wrong_url(variable: str) -> str:
    return (
        f"{variable} is not a PostgreSQL URL; give postgresql://user:password@host:5432/database "
        "with special characters percent-encoded"
    )


def _is_refusal(error: BaseException) -> bool:
    """Whether the login or the database is wrong. PgBouncer hands on the server's words, but not its code."""
    if isinstance(error, asyncpg.ProtocolViolationError):
        return any(words in str(error) for words in ("does not exist", "authentication failed", "no such"))
    return isinstance(error, _WRONG_LOGIN)


async def _undo(connection: asyncpg.Connection, transaction: Transaction) -> None:
    """Roll back, or hang up on a server that does not answer. Raises nothing: the first error says why."""
    try:
        async with asyncio.timeout(ROLLBACK_TIMEOUT_S):
            await transaction.rollback()
    except Exception:  # noqa: BLE001  # as above
        connection.terminate()


async def _commit(connection: asyncpg.Connection, transaction: Transaction) -> None:
    try:
        await transaction.commit()
    except TimeoutError:
        connection.terminate()  # its release would wait for the answer
        raise


async def _set_codecs(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=orjson.loads)
    # the driver's own UUID class is none that a JSON encoder knows
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", format="binary", encoder=lambda value: value.bytes, decoder=_to_uuid
    )


def _to_uuid(value: bytes) -> UUID:
    return UUID(bytes=bytes(value))


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _keep_session(_: asyncpg.Connection) -> None:
    """Skip the driver's RESET ALL: no session state is ever set, and this saves a round trip per transaction."""
