"""Connections to Redis: a single node or a cluster behind one call, with one deadline and one translation of errors.

The driver's own retries are switched off: it repeats whatever broke, also what must not happen twice. Here the caller
says whether its call may be repeated.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from redis import exceptions as driver
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stores.backoff import pauses_s
from stores.errors import (
    ConflictError,
    InvalidError,
    OutcomeUnknownError,
    OverloadedError,
    RiftlineError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

T = TypeVar("T")

POOL_SIZE = 16  # calls under way at once; more of them wait
DEADLINE_S = 2.0  # of one call with its repetitions: a cache that is slower than this is of no use
CONNECT_TIMEOUT_S = 1.0
FIRST_PAUSE_S, MOST_PAUSE_S, REPEAT_WITHIN_S = 0.01, 0.1, 0.25  # a broken connection is replaced, an outage is reported
VARIABLE = "RIFTLINE_REDIS_URL"

_WRONG_LOGIN = (
    driver.AuthenticationError,
    driver.AuthenticationWrongNumberOfArgsError,
    driver.AuthorizationError,
    driver.NoPermissionError,
)
_LOST = (OSError, driver.ConnectionError, driver.TimeoutError)  # asyncio's TimeoutError is an OSError
_ELSEWHERE = (  # answered, and refused: nothing was done
    driver.AskError,
    driver.BusyLoadingError,
    driver.ClusterDownError,
    driver.ClusterError,
    driver.ReadOnlyError,  # a former primary during a fail-over
    driver.SlotNotCoveredError,
    driver.TryAgainError,
)
_DOUBTFUL = (asyncio.CancelledError, driver.RedisClusterException, *_LOST, *_ELSEWHERE)  # of a cluster's map
_NO_TOPOLOGY = (
    "Redis Cluster cannot be connected",
    "All slots are not covered",
    "startup_nodes could not agree",
    "Cluster mode is not enabled",
)
_REFUSED = ("BUSY", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "UNBLOCKED")


class RedisConnection:
    """A bounded set of connections to one server or one cluster. Belongs to the event loop that opened it.

    A connection that breaks is replaced at its next use and a cluster's map is read again after a failure, so neither
    a restart nor a fail-over needs a new one.
    """

    def __init__(self, client: Redis | RedisCluster, address: str, size: int, deadline_s: float) -> None:
        self._client = client
        self._size = size
        self._deadline_s = deadline_s
        self._permits = asyncio.Semaphore(size)
        self._stale_map = False
        self._closed = False
        self.address = address

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def is_cluster(self) -> bool:
        """Whether keys live on several nodes: a call may then name keys of one hash tag only."""
        return isinstance(self._client, RedisCluster)

    async def run(
        self, call: Callable[[Any], Awaitable[T]], *, repeatable: bool = True, deadline_s: float | None = None
    ) -> T:
        """Call ``call`` with the driver's client and return its result. Ends within the deadline.

        A call that blocks on the server needs a deadline of more than twice its time: half of it is one attempt's.
        ``repeatable``: done twice it is as done once; it is repeated on a broken connection, and TransientError then
        says "try again" whatever has happened. Else it is tried once, and raises OutcomeUnknownError where the
        connection broke after it may have been sent. Raises OverloadedError when every connection is taken or the
        server's memory is full.
        """
        within_s = self._deadline_s if deadline_s is None else deadline_s
        with translated(self.address, unknown=not repeatable):
            await self._take_permit(within_s)
            try:
                return await (self._repeated(call, within_s) if repeatable else self._once(call, within_s))
            finally:
                self._permits.release()

    async def unlink(self, keys: Sequence[str]) -> None:
        """Remove these keys, in whatever slots they are."""

        async def remove(redis: Any) -> None:
            pipeline = redis.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command("UNLINK", key)  # a cluster's pipeline.unlink does nothing, and says nothing
            await pipeline.execute()

        if keys:
            await self.run(remove)

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncIterator[Any]:
        """A subscription that the server has confirmed, of the driver's type; it takes none of the connections.

        The block's errors are translated: TransientError when the server went away, and then this one is of no use.
        """
        with translated(self.address):
            pubsub = await self._once(_subscribed(channel), self._deadline_s)
            try:
                yield pubsub
            finally:
                self._stale_map = True  # mostly it ends because its node went away
                with suppress(*_LOST):
                    await pubsub.aclose()

    async def ping(self) -> None:
        """Ask the server, or every node of the cluster that has slots, for nothing."""
        targets = {"target_nodes": RedisCluster.PRIMARIES} if self.is_cluster else {}
        await self.run(lambda redis: redis.execute_command("PING", **targets))

    async def close(self) -> None:
        """Close every connection, waiting for calls under way, at most for the deadline. Idempotent."""
        if self._closed:
            return
        self._closed = True
        held = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                while held < self._size:
                    await self._permits.acquire()
                    held += 1
        for _ in range(held):  # who waited is told that it is closed
            self._permits.release()
        with suppress(*_LOST):
            await self._client.aclose()

    async def _take_permit(self, within_s: float) -> None:
        if self._permits.locked():
            try:
                async with asyncio.timeout(within_s):
                    await self._permits.acquire()
            except TimeoutError:
                raise OverloadedError(f"{self.address}: all {self._size} connections are taken") from None
        else:
            await self._permits.acquire()
        if self._closed:
            self._permits.release()
            raise TransientError(f"{self.address}: this connection is closed")

    async def _repeated(self, call: Callable[[Any], Awaitable[T]], within_s: float) -> T:
        """Try until it works or the deadline is near; one attempt has half of it, to leave time for another."""
        end = time.monotonic() + within_s
        pauses = pauses_s(FIRST_PAUSE_S, MOST_PAUSE_S, REPEAT_WITHIN_S)
        while True:
            try:
                return await self._once(call, min(within_s / 2, end - time.monotonic()))
            except Exception as error:
                pause_s = next(pauses, None)
                if pause_s is None or time.monotonic() + pause_s > end or not _worth_repeating(error):
                    raise
            await asyncio.sleep(pause_s)

    async def _once(self, call: Callable[[Any], Awaitable[T]], within_s: float) -> T:
        try:
            async with asyncio.timeout(within_s):
                if self._stale_map and isinstance(self._client, RedisCluster):
                    await self._client.nodes_manager.initialize()
                    self._stale_map = False
                return await call(self._client)
        except _DOUBTFUL as error:
            self._stale_map = True  # the driver reads the map again after some failures, not after those of a pipeline
            if isinstance(error, TimeoutError):
                raise driver.TimeoutError(f"no answer within {within_s:.2g} s") from None
            raise


def _subscribed(channel: str) -> Callable[[Any], Awaitable[Any]]:
    async def subscribe(redis: Any) -> Any:
        pubsub = redis.pubsub()
        try:
            await pubsub.subscribe(channel)
            await pubsub.get_message(timeout=None)  # the server's word that it is done
        except BaseException:
            await pubsub.aclose()
            raise
        return pubsub

    return subscribe


async def open_redis(url: str, *, size: int = POOL_SIZE, deadline_s: float = DEADLINE_S) -> RedisConnection:
    """Connect to ``url`` (redis, rediss or unix), a single node or any node of a cluster; the server says which.

    Raises TransientError when the server does not answer, InvalidError when the URL or the login is wrong.
    """
    address = address_of(url)
    client: Redis | RedisCluster = _single(url, size)
    try:
        with translated(address):
            try:
                async with asyncio.timeout(deadline_s):
                    if (await client.info("cluster")).get("cluster_enabled"):
                        await client.aclose()
                        client = _cluster(url, size)
                        await client.initialize()
            except TimeoutError:
                raise TransientError(f"{address}: no answer within {deadline_s:g} s") from None
            except Exception as error:
                said = _unwrapped(error)
                refused = isinstance(said, driver.ResponseError) and _translation(said, "", unknown=False) is None
                if refused or isinstance(said, _WRONG_LOGIN):  # such as a database that the server does not have
                    raise InvalidError(f"{address}: {said}", VARIABLE) from None
                raise
    except BaseException:
        with suppress(Exception):
            await client.aclose()
        raise
    return RedisConnection(client, address, size, deadline_s)


def address_of(url: str) -> str:
    """Where ``url`` leads, for people: never with user or password. Raises InvalidError when it is no such URL."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port or 6379}"
    except ValueError:
        raise InvalidError(_WRONG_URL, VARIABLE) from None
    if parts.scheme not in {"redis", "rediss", "unix"} or parts.netloc.count("@") > 1 or parts.fragment:
        raise InvalidError(_WRONG_URL, VARIABLE)
    if parts.scheme == "unix":
        return f"Redis at {unquote(parts.path)}"
    database = parts.path.rstrip("/")
    if database and not (database[1:].isascii() and database[1:].isdigit()):
        raise InvalidError(_WRONG_URL, VARIABLE)  # the driver would take database 0
    return f"Redis at {unquote(parts.hostname or 'localhost')}{port}{database}"


def readable(results: list[Any], instead: Any = None) -> list[Any]:
    """What a pipeline read, with ``instead`` for a key of another type, which is no error of the others.

    Raises the first other error; use it inside of `RedisConnection.run`.
    """
    for index, result in enumerate(results):
        if isinstance(result, driver.ResponseError) and _reason(result).startswith("WRONGTYPE"):
            results[index] = instead
        elif isinstance(result, Exception):
            raise result
    return results


@contextmanager
def translated(address: str, *, unknown: bool = False) -> Iterator[None]:
    """Turn the driver's errors inside the block into ours. ``unknown``: a lost connection hides the outcome."""
    try:
        yield
    except RiftlineError:
        raise
    except Exception as error:
        translation = _translation(error, address, unknown=unknown)
        if translation is None:
            raise
        raise translation from error


def _translation(error: Exception, address: str, *, unknown: bool) -> RiftlineError | None:  # noqa: PLR0911  # a table
    error = _unwrapped(error)
    reason = _reason(error)
    text = f"{address}: {reason}"
    match error:
        case driver.OutOfMemoryError() | driver.MaxConnectionsError():
            return OverloadedError(text)
        case _ if reason.startswith("max number of clients reached"):
            return OverloadedError(text)
        case _ if isinstance(error, (*_WRONG_LOGIN, *_ELSEWHERE)):  # in the life of a connection: a rotated password
            return TransientError(text)
        case _ if isinstance(error, _LOST):
            return OutcomeUnknownError(text) if unknown and "connecting to" not in reason else TransientError(text)
        case driver.RedisClusterException() if reason.startswith(_NO_TOPOLOGY):
            return TransientError(text)
        case driver.ResponseError() if reason.startswith("WRONGTYPE"):
            return ConflictError(f"{address}: a key holds a value of another type; does something else write here?")
        case driver.ResponseError() if reason.startswith(_REFUSED):
            return TransientError(text)
        case driver.DataError() | UnicodeEncodeError():
            return InvalidError(text)
    return None  # a mistake in our commands stays what it is


def _unwrapped(error: Exception) -> Exception:
    """What the server said: over a socket file the driver makes a broken connection of every refusal to begin one."""
    cause = error.__cause__
    return cause if type(error) is driver.ConnectionError and isinstance(cause, driver.RedisError) else error


def _reason(error: Exception) -> str:
    """What the error says, in one line. A pipeline's error quotes the command, and with it values: it is cut off."""
    text = str(error) or type(error).__name__
    if "of pipeline caused error: " in text:
        text = text.rpartition("of pipeline caused error: ")[2].strip("()',\"")
    return text.partition("\n")[0][:300]


def _worth_repeating(error: Exception) -> bool:
    error = _unwrapped(error)
    if isinstance(error, (*_WRONG_LOGIN, driver.MaxConnectionsError)):
        return False
    no_topology = isinstance(error, driver.RedisClusterException) and str(error).startswith(_NO_TOPOLOGY)
    return no_topology or isinstance(error, (*_LOST, *_ELSEWHERE))


_WRONG_URL = (
    f"{VARIABLE} is not a Redis URL; give redis://user:password@host:6379/0, rediss:// for TLS or unix:///path, "
    "with special characters percent-encoded"
)


def _never_again() -> Retry:
    return Retry(NoBackoff(), 0)


def _single(url: str, size: int) -> Redis:
    try:
        pool = ConnectionPool.from_url(
            url,
            max_connections=2 * size,  # a call holds one; subscriptions hold theirs besides
            retry=_never_again(),
            socket_timeout=None,  # the call's deadline bounds it; one more timer for each read and write costs 20 us
            **({} if url.startswith("unix:") else {"socket_connect_timeout": CONNECT_TIMEOUT_S}),
        )
    except ValueError:  # the driver's text may quote a part of the password
        raise InvalidError(_WRONG_URL, VARIABLE) from None
    return Redis.from_pool(pool)


def _cluster(url: str, size: int) -> RedisCluster:
    try:
        return RedisCluster.from_url(
            url,
            max_connections=2 * size,  # of each node
            retry=_never_again(),
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
        )
    except driver.RedisClusterException as error:
        raise InvalidError(f"{address_of(url)}: a cluster has database 0 only", VARIABLE) from error
