"""Events as messages and back: Avro binary, with name and version of its schema in the headers."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import fastavro
from fastavro.validation import ValidationError, validate

from stores.domain.events import LiveEventKind
from stores.domain.models import DeploymentStatus
from stores.domain.props import MapRange, Position, PropType, Side
from stores.errors import InvalidError
from stores.events.records import Message
from stores.events.topics import topic_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores.domain.events import Event
    from stores.events.records import Record
    from stores.events.registry import SchemaRegistry
    from stores.events.topics import Topic

SCHEMA, VERSION, CONTENT_TYPE = "schema", "schema-version", "content-type"
AVRO = b"application/avro-binary"
REASON, FROM_TOPIC, FROM_PARTITION, FROM_OFFSET = (
    f"dead-letter-{what}" for what in ("reason", "topic", "partition", "offset")
)

MAX_RECORD_BYTES = 1_000_000  # Kafka's default limit, less what surrounds a record
MAX_REASON_BYTES = 2_000
MAX_DEAD_LETTER_BYTES = 2 * MAX_RECORD_BYTES  # a record of any size must have its dead letter

_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "kind": LiveEventKind,
    "assistant_ids": tuple,
    "player_names": tuple,
    "position": Position,
    "prop_type": PropType,
    "prediction": Side,
    "map_range": lambda value: MapRange(**value),
    "deployment_status": DeploymentStatus,
}  # by field; what is not here is the same in Avro as in the event


class EventCodec:
    """Writes in the newest version of a schema and reads every version. Pure; one serves all tasks and threads."""

    def __init__(self, schemas: SchemaRegistry) -> None:
        self._schemas = schemas

    def encode(self, topic: Topic, event: Event) -> Message:
        """The event as a message for ``topic``. Raises InvalidError when it belongs elsewhere or does not fit."""
        if topic.event is None or type(event) is not topic.event:
            raise InvalidError(f"a {type(event).__name__} does not belong into {topic.name}", "topic")
        version = self._schemas.newest(topic.name)
        buffer = io.BytesIO()
        schema, values = self._schemas.schema(topic.name, version), _values(event)
        try:
            # the writer would cut 1.5 to a whole number and say nothing
            if not validate(values, schema, strict=True, raise_errors=False):
                validate(values, schema, strict=True)  # again, for its words: they take five times as long
            fastavro.schemaless_writer(buffer, schema, values)
        except (ValidationError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidError(f"a {type(event).__name__} does not fit its schema: {error}") from error
        headers = ((SCHEMA, topic.name.encode()), (VERSION, str(version).encode()), (CONTENT_TYPE, AVRO))
        message = Message(event.key.encode(), buffer.getvalue(), headers)
        if message.size > MAX_RECORD_BYTES:
            raise InvalidError(f"an event of {message.size} bytes is too large; at most {MAX_RECORD_BYTES}")
        return message

    def decode(self, record: Record) -> Event:
        """The event in a record, whatever version it was written in. Raises InvalidError for everything else."""
        topic = topic_named(record.partition.topic)
        headers = dict(record.headers)
        name, version = _text(headers, SCHEMA), _text(headers, VERSION)
        if headers.get(CONTENT_TYPE) != AVRO:
            raise InvalidError(f"{CONTENT_TYPE} is not {AVRO.decode()}", CONTENT_TYPE)
        if topic.event is None or name != topic.name:
            raise InvalidError(f"an event of schema {name[:100]!r} does not belong into {topic.name}", SCHEMA)
        if not (version.isascii() and version.isdigit() and len(version) <= 4):
            raise InvalidError(f"{VERSION} is not a number", VERSION)
        writer = self._schemas.schema(name, int(version))
        event = _event(topic.event, _read(record.value, writer, self._schemas.schema(name, self._schemas.newest(name))))
        if event.key.encode() != record.key:
            raise InvalidError("the record's key is not that of its event", "key")
        return event


def dead_letter(record: Record, reason: str) -> Message:
    """The record as a dead letter: its own bytes and headers, with reason and origin beside them."""
    if REASON in dict(record.headers):
        raise InvalidError("this is a dead letter already", "record")
    origin = (
        (REASON, reason.encode(errors="backslashreplace")[:MAX_REASON_BYTES]),
        (FROM_TOPIC, record.partition.topic.encode()),
        (FROM_PARTITION, str(record.partition.number).encode()),
        (FROM_OFFSET, str(record.offset).encode()),
    )
    return Message(record.key, record.value, (*record.headers, *origin))


def _values(event: Event) -> dict[str, Any]:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(values.get("map_range"), MapRange):
        values["map_range"] = {"first": values["map_range"].first, "last": values["map_range"].last}
    return values


def _read(value: bytes, writer: Any, reader: Any) -> dict[str, Any]:
    buffer = io.BytesIO(value)
    try:
        values = fastavro.schemaless_reader(buffer, writer, reader)
    except Exception as error:  # bytes from anywhere break the reader in many ways, all of them theirs
        raise InvalidError(
            f"the bytes are not those of their schema: {type(error).__name__}: {error}", "value"
        ) from error
    if buffer.tell() != len(value) or not isinstance(values, dict):
        raise InvalidError(f"{len(value) - buffer.tell()} bytes are left behind the event", "value")
    return values


def _event(kind: type[Event], values: dict[str, Any]) -> Event:
    known = {field.name for field in fields(kind)}
    try:
        return kind(
            **{
                name: _READ[name](value) if name in _READ and value is not None else value
                for name, value in values.items()
                if name in known
            }
        )
    except (TypeError, ValueError) as error:
        raise InvalidError(f"the bytes are no {kind.__name__}: {error}", "value") from error


def _text(headers: dict[str, bytes], name: str) -> str:
    try:
        return headers[name].decode()
    except KeyError:
        raise InvalidError(f"the header {name} is missing", name) from None
    except UnicodeDecodeError:
        raise InvalidError(f"the header {name} is not UTF-8", name) from None
