"""Connections to PostgreSQL: one pool, one way to run a transaction, one translation of the driver's errors.

Safe behind PgBouncer in transaction mode: no statement is cached by name, no session state is set or relied upon, and
every statement runs inside a transaction, so that its parse and its execution meet the same server.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import orjson

from stores.errors import ConflictError, InvalidError, OutcomeUnknownError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CONNECT_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 10.0  # waits for a free connection; longer than one connect and one slow batch
STATEMENT_TIMEOUT_S = 30.0

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
_WRONG_LOGIN = (asyncpg.exceptions.InvalidAuthorizationSpecificationError, asyncpg.exceptions.InvalidCatalogNameError)


class Pool:
    """A bounded set of connections to one database. Belongs to the event loop that opened it.

    A connection that breaks is replaced at its next use, so a restarted server needs no new pool.
    """

    def __init__(self, connections: asyncpg.Pool, address: str) -> None:
        self._connections = connections
        self.address = address

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Run the block in one transaction: committed when it ends, rolled back when it raises.

        Raises TransientError when nothing was changed: the commit was never sent. Raises OutcomeUnknownError only when
        the connection broke during the commit itself.
        """
        with translated(self.address):
            async with self._connections.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    yield connection
                except BaseException:
                    with suppress(Exception):  # the first error says why
                        await transaction.rollback()
                    raise
                with translated(self.address, committing=True):
                    await transaction.commit()

    async def close(self) -> None:
        """Close every connection, waiting for transactions under way."""
        with translated(self.address):
            await self._connections.close()


async def open_pool(url: str, size: int) -> Pool:
    """Connect to ``url`` with at most ``size`` connections, the first one at once.

    Raises TransientError when the server does not answer, InvalidError when the URL or the login is wrong.
    """
    address = address_of(url)
    with translated(address):
        try:
            connections = asyncpg.create_pool(
                url,
                min_size=0,  # a floor would be restored, and its failures logged, for as long as a server is away
                max_size=size,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S,
                statement_cache_size=0,
                init=_set_codecs,
                reset=_keep_session,
            )
            await connections
            async with connections.acquire():  # the first one now, so that a wrong URL is told at the start
                pass
        except _WRONG_LOGIN as error:
            raise InvalidError(f"{address}: {error.message}", "RIFTLINE_DATABASE_URL") from error
        except ValueError:  # the driver's text may quote a part of the password
            raise InvalidError(_WRONG_URL, "RIFTLINE_DATABASE_URL") from None
    return Pool(connections, address)


def address_of(url: str) -> str:
    """Where ``url`` leads, for people: never with user or password. Raises InvalidError when it is no such URL."""
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        hosts = query.get("host") or [parts.netloc.rpartition("@")[2]]
    except ValueError:
        raise InvalidError(_WRONG_URL, "RIFTLINE_DATABASE_URL") from None
    if parts.scheme not in {"postgresql", "postgres"} or parts.netloc.count("@") > 1 or parts.fragment:
        raise InvalidError(_WRONG_URL, "RIFTLINE_DATABASE_URL")
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
    return None  # a mistake in our SQL stays what it is


_WRONG_URL = (
    "RIFTLINE_DATABASE_URL is not a PostgreSQL URL; give postgresql://user:password@host:5432/database "
    "with special characters percent-encoded"
)


async def _set_codecs(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=orjson.loads)


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _keep_session(_: asyncpg.Connection) -> None:
    """Skip the driver's RESET ALL: no session state is ever set, and this saves a round trip per transaction."""
