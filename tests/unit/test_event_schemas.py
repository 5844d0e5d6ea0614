"""The released schemas: never changed, of one piece with the events and topics, and readable in both directions."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import fields
from itertools import combinations
from typing import TYPE_CHECKING, Any

import fastavro
import orjson
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from stores.errors import InvalidError
from stores.events.compatibility import incompatibilities
from stores.events.registry import RELEASED, SchemaRegistry
from stores.events.topics import ALL_TOPICS, RETENTION, TOPICS, topic_named, topics_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PERFORMANCE: dict[str, Any] = orjson.loads((RELEASED / "player-performance.v1.avsc").read_bytes())


def _ledger() -> dict[str, str]:
    lines = (RELEASED / "released.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def _avro_reads(reader: Any, writer: Any) -> bool:
    """Whether Avro's own library says that the reader can read the writer."""
    checker: Any = ReaderWriterCompatibilityChecker  # untyped
    found = checker().get_compatibility(*(parse(orjson.dumps(schema).decode()) for schema in (reader, writer)))
    return bool(found.compatibility is SchemaCompatibilityType.compatible)


def _changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    schema = copy.deepcopy(PERFORMANCE)
    change(schema)
    return schema


def _field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def test_a_released_schema_never_changes() -> None:
    """Each file is in the ledger with its checksum: a change is a new version in a new file."""
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in RELEASED.glob("*.avsc")}
    assert files == _ledger()


def test_all_versions_read_one_another() -> None:
    """Backward and forward, by our rules and by those of Avro's own library."""
    registry = SchemaRegistry()
    for name in registry.names:
        versions = range(1, registry.newest(name) + 1)
        texts = [orjson.loads((RELEASED / f"{name}.v{version}.avsc").read_bytes()) for version in versions]
        for older, newer in combinations(texts, 2):
            assert incompatibilities(fastavro.parse_schema(older), fastavro.parse_schema(newer)) == []
            assert _avro_reads(newer, older)
            assert _avro_reads(older, newer)


def test_every_topic_has_its_schema_and_every_schema_its_event() -> None:
    """The newest version has the fields of the event's class, by their names."""
    registry = SchemaRegistry()
    assert registry.names == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        assert topic.event is not None
        schema = registry.schema(topic.name, registry.newest(topic.name))
        assert schema["name"] == f"riftline.{topic.event.__name__}"
        assert {field["name"] for field in schema["fields"]} == {field.name for field in fields(topic.event)}


def test_the_topics_are_those_of_the_product() -> None:
    """Five topics with a dead-letter topic each, kept for seven days."""
    names = ["live-matches", "player-performance", "prediction-requests", "model-updates", "match-results"]
    assert [topic.name for topic in ALL_TOPICS] == [*names, *(f"{name}.dead-letters" for name in names)]
    assert {topic.retention for topic in ALL_TOPICS} == {RETENTION}
    assert RETENTION.days == 7
    assert all(topic.partitions >= 1 for topic in ALL_TOPICS)


def test_names_of_topics_are_looked_up_once_each() -> None:
    """A repeated name counts once; none at all, and dead letters of dead letters, are refused."""
    assert topics_named(["model-updates", "model-updates"]) == (topic_named("model-updates"),)
    with pytest.raises(InvalidError, match="no topic is named"):
        topics_named([])
    with pytest.raises(InvalidError, match="dead letters already"):
        _ = topic_named("model-updates").dead_letters.dead_letters


SAFE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a new field with a default": lambda schema: schema["fields"].append(
        {"name": "gold", "type": ["null", "int"], "default": None}
    ),
    "a field with a default goes": lambda schema: schema["fields"].remove(_field(schema, "champion")),
    "fields in another order": lambda schema: schema["fields"].reverse(),
    "another doc": lambda schema: schema.update(doc="more words"),
    "a symbol more, with a default": lambda schema: _field(schema, "position")["type"][1].update(
        symbols=["top", "jng", "mid", "bot", "sup", "coach"], default="top"
    ),
}
UNSAFE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a new field without a default": lambda schema: schema["fields"].append({"name": "gold", "type": "int"}),
    "a field without a default goes": lambda schema: schema["fields"].remove(_field(schema, "kills")),
    "a wider number": lambda schema: _field(schema, "kills").update(type="long"),
    "another type": lambda schema: _field(schema, "kills").update(type="string"),
    "what was required may be absent": lambda schema: _field(schema, "kills").update(type=["null", "int"]),
    "what may be absent is required": lambda schema: _field(schema, "creep_score").update(type="int", default=0),
    "a symbol less": lambda schema: _field(schema, "position")["type"][1].update(symbols=["top", "jng", "mid", "bot"]),
    "another name": lambda schema: schema.update(name="Performance"),
}


@pytest.mark.parametrize("change", SAFE)
def test_a_safe_change_is_let_through(tmp_path: Path, change: str) -> None:
    """Our rules and Avro's agree in both directions, and so does a registry with both versions."""
    changed = _changed(SAFE[change])
    if "symbol" in change:  # the default belongs into the older version too
        older = _changed(lambda schema: _field(schema, "position")["type"][1].update(default="top"))
    else:
        older = PERFORMANCE
    assert incompatibilities(fastavro.parse_schema(older), fastavro.parse_schema(changed)) == []
    assert _avro_reads(changed, older)
    assert _avro_reads(older, changed)
    _write(tmp_path, older, changed)
    assert SchemaRegistry(tmp_path).newest("player-performance") == 2


@pytest.mark.parametrize("change", UNSAFE)
def test_an_unsafe_change_is_refused(tmp_path: Path, change: str) -> None:
    """Avro's library finds it in at least one direction; a registry that holds it does not come up."""
    changed = _changed(UNSAFE[change])
    assert incompatibilities(fastavro.parse_schema(PERFORMANCE), fastavro.parse_schema(changed))
    assert not (_avro_reads(changed, PERFORMANCE) and _avro_reads(PERFORMANCE, changed))
    _write(tmp_path, PERFORMANCE, changed)
    with pytest.raises(InvalidError, match="cannot read each other"):
        SchemaRegistry(tmp_path)


def test_a_change_of_unit_is_refused_though_avro_lets_it_through() -> None:
    """Milliseconds read as microseconds are another moment; to Avro both are a long."""
    changed = _changed(
        lambda schema: _field(schema, "occurred_at").update(type={"type": "long", "logicalType": "timestamp-millis"})
    )
    assert _avro_reads(changed, PERFORMANCE)
    assert _avro_reads(PERFORMANCE, changed)
    problems = incompatibilities(fastavro.parse_schema(PERFORMANCE), fastavro.parse_schema(changed))
    assert problems == ["occurred_at.: long timestamp-micros became long timestamp-millis"]


def test_a_registry_refuses_gaps_and_strange_names(tmp_path: Path) -> None:
    """Versions count from one without a gap, and a file that is no schema is not passed over."""
    (tmp_path / "player-performance.v2.avsc").write_bytes(orjson.dumps(PERFORMANCE))
    with pytest.raises(InvalidError, match="without a gap"):
        SchemaRegistry(tmp_path)
    (tmp_path / "Player.avsc").write_bytes(orjson.dumps(PERFORMANCE))
    with pytest.raises(InvalidError, match="no name of a schema"):
        SchemaRegistry(tmp_path)


def _write(folder: Path, *versions: dict[str, Any]) -> None:
    for number, schema in enumerate(versions, 1):
        (folder / f"player-performance.v{number}.avsc").write_bytes(orjson.dumps(schema))
