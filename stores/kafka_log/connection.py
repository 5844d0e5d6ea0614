"""Connections to Kafka: one idempotent producer, clients made and closed as needed, every call with a deadline.

The driver blocks, so its calls run in threads of this connection; its own threads do the network's work.
"""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import kafka.errors as driver
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from stores.errors import ConflictError, InvalidError, RiftlineError, TransientError
from stores.events.codec import MAX_DEAD_LETTER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

DEADLINE_S = 20.0  # longer than the election of another leader takes
CONNECT_TIMEOUT_S = 5.0
MAX_REQUEST_BYTES = 2 * MAX_DEAD_LETTER_BYTES
THREADS = 8  # calls that wait for the driver at once
VARIABLE = "RIFTLINE_KAFKA_SERVERS"
_SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([1-9][0-9]{0,4})")

_REBALANCING = (driver.RebalanceInProgressError,)
_LOST_MEMBERSHIP = (driver.CommitFailedError, driver.IllegalGenerationError, driver.UnknownMemberIdError)
_WRONG_INPUT = (
    driver.InvalidTopicError,
    driver.InvalidGroupIdError,
    driver.MessageSizeTooLargeError,
    driver.RecordListTooLargeError,
    driver.InvalidRecordError,
    driver.AuthorizationError,
    driver.SaslAuthenticationFailedError,
    driver.InvalidReplicationFactorError,
    driver.KafkaConfigurationError,
)


class KafkaConnection:
    """One producer to a cluster of brokers. Belongs to the event loop that opened it.

    A broker that comes back is found again by the driver, within a second.
    """

    def __init__(self, servers: str, deadline_s: float) -> None:
        self.address = f"Kafka at {servers}"
        self.deadline_s = deadline_s
        self._servers = servers.split(",")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="kafka-call")
        self._starting = threading.Lock()
        self._producer: Any = None
        self._closed = False

    def producer(self) -> Any:
        """The driver's producer, safe for any thread; a new one after `discard`. Blocks."""
        if not self._starting.acquire(timeout=CONNECT_TIMEOUT_S):
            raise TransientError(f"{self.address}: no broker answers")
        try:
            self.check_open()
            if self._producer is None:
                self._producer = self._start_producer()
            return self._producer
        finally:
            self._starting.release()

    def discard(self, producer: Any) -> None:
        """Use this producer no more: one whose batch ran out of time may wait for a producer id for ever.

        What it has not sent is given up, and its callers are told.
        """
        if producer is not None and producer is self._producer and not self._closed:
            self._producer = None
            self._threads.submit(_end, producer, 0.0)

    async def open(self) -> None:
        """Start the producer. Raises TransientError when no broker answers."""
        await self.call(self.producer)

    def check_open(self) -> None:
        """Raise TransientError when this connection is closed."""
        if self._closed:
            raise TransientError(f"{self.address}: this connection is closed")

    async def call(self, blocking: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking call of the driver in a thread. One that does not end in time is left to its thread."""
        self.check_open()
        with translated(self.address):
            async with asyncio.timeout(self.deadline_s + CONNECT_TIMEOUT_S):  # the driver's own deadline is the sharper
                return await asyncio.get_running_loop().run_in_executor(self._threads, blocking, *arguments)

    def start(self, blocking: Callable[..., None], *arguments: Any) -> None:
        """Run a blocking call that tells its outcome itself, whether its caller still waits or not."""
        self.check_open()
        self._threads.submit(blocking, *arguments)

    async def ping(self) -> None:
        """Ask the brokers for nothing, over a connection of its own. Raises TransientError while none answers."""
        await self.call(lambda: self.admin().close())

    async def close(self) -> None:
        """Send what waits, until the deadline of each, and end the producer. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._producer is not None:
            patience_s = self.deadline_s + CONNECT_TIMEOUT_S  # until then everything is sent or given up
            await asyncio.get_running_loop().run_in_executor(self._threads, _end, self._producer, patience_s)
        self._threads.shutdown(wait=False)

    def admin(self) -> Any:
        """A client for topics; its caller closes it. Blocks."""
        return self._made(KafkaAdminClient)

    def consumer(self, **options: Any) -> Any:
        """A client that reads; its caller closes it. Blocks."""
        return self._made(KafkaConsumer, **options)

    def _start_producer(self) -> Any:
        return self._made(
            KafkaProducer,
            enable_idempotence=True,
            acks="all",
            delivery_timeout_ms=int(self.deadline_s * 1000),
            max_block_ms=int(min(CONNECT_TIMEOUT_S, self.deadline_s) * 1000),
            max_request_size=MAX_REQUEST_BYTES,
            compression_type="lz4",
            allow_auto_create_topics=False,
        )

    def _made(self, kind: Callable[..., T], **options: Any) -> T:
        """A client of the driver. One that cannot connect is closed, for it leaves its network thread running."""
        networks: list[Any] = []

        def network(**config: Any) -> Any:
            networks.append(KafkaNetClient(**config))
            return networks[-1]

        patience_ms = int(self.deadline_s * 500)  # of one request, so that there is time for a second
        try:
            return kind(
                bootstrap_servers=self._servers,
                bootstrap_timeout_ms=int(min(CONNECT_TIMEOUT_S, self.deadline_s) * 1000),
                request_timeout_ms=patience_ms,
                reconnect_backoff_max_ms=1000,
                kafka_client=network,
                **options,
            )
        except BaseException:
            for client in networks:
                client.close()
            raise


async def open_kafka(servers: str, *, deadline_s: float = DEADLINE_S) -> KafkaConnection:
    """Connect to the brokers, ``host:port`` with commas between them.

    Raises TransientError when none answers in time, InvalidError when the text is no list of brokers.
    """
    connection = KafkaConnection(_listed(servers), deadline_s)
    try:
        await connection.open()
    except BaseException:
        await connection.close()
        raise
    return connection


def address_of(servers: str) -> str:
    """Where the brokers are, for people. Raises InvalidError when the text is no list of brokers."""
    return f"Kafka at {_listed(servers)}"


def _listed(servers: str) -> str:
    listed = [server.strip() for server in servers.split(",")]
    if not all(found and int(found[2]) < 65536 for found in map(_SERVER.fullmatch, listed)):
        raise InvalidError(f"{VARIABLE} is no list of brokers; give host:port, with commas between them", VARIABLE)
    return ",".join(listed)


def _end(producer: Any, patience_s: float) -> None:
    try:
        producer.close(timeout=patience_s)
    except driver.KafkaTimeoutError:  # raised before its thread is ended, also when close is called again
        producer._sender.force_close()  # noqa: SLF001


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn the driver's errors inside the block into ours. Nothing in it may have an effect that matters twice."""
    try:
        yield
    except RiftlineError:
        raise
    except (driver.KafkaError, OSError) as error:  # asyncio's TimeoutError is an OSError
        raise translation(error, address) from error


def translation(error: Exception, address: str) -> RiftlineError:
    """Our error for one of the driver's, where nothing that matters was done."""
    text = f"{address}: {error or type(error).__name__}"
    if isinstance(error, _REBALANCING) or (error.args and isinstance(error.args[0], _REBALANCING)):
        return TransientError(f"{address}: the group is sharing out its partitions; poll, then try again")
    if isinstance(error, _LOST_MEMBERSHIP):
        return ConflictError(text)
    if isinstance(error, _WRONG_INPUT):
        return InvalidError(text)
    return TransientError(text)
