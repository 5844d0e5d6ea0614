"""Events as messages: to the bit and back, in every version, and nothing else gets through."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.events import (
    Event,
    LiveEventKind,
    LiveMatchEvent,
    MatchResult,
    ModelUpdated,
    PlayerPerformance,
    PredictionRequested,
)
from stores.domain.models import DeploymentStatus
from stores.domain.props import MapRange, Position, PropType, Side
from stores.domain.time_ids import new_time_id
from stores.errors import InvalidError
from stores.events.codec import EventCodec, dead_letter
from stores.events.records import Message, Partition, Record
from stores.events.registry import RELEASED, SchemaRegistry
from stores.events.topics import TOPICS, topic_named

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
HEAD: dict[str, Any] = {"event_id": new_time_id(NOON), "occurred_at": NOON, "producer": "test"}
CODEC = EventCodec(SchemaRegistry())
EVENTS: tuple[Any, ...] = (
    LiveMatchEvent(
        **HEAD,
        match_id="LCK/2026/페이커",
        map_number=5,
        kind=LiveEventKind.CHAMPION_KILL,
        game_time_s=0.1 + 0.2,
        team="T1",
        player_id="p1",
        victim_id="p2",
        assistant_ids=("p3", "p4"),
    ),
    PlayerPerformance(
        **HEAD,
        player_id="p1",
        player_name="Faker",
        match_id="m",
        map_number=1,
        team="T1",
        opponent="Gen.G",
        kills=3,
        deaths=0,
        assists=10_000,
        game_time_s=5e-324,
        final=True,
        position=Position.MID,
        champion="Azir",
        creep_score=0,
    ),
    PredictionRequested(
        **HEAD,
        prediction_id=new_time_id(NOON),
        player_names=("Faker", 'Quo"te'),
        prop_type=PropType.KILLS,
        prop_value=4.5,
        map_range=MapRange(1, 3),
        prediction=Side.UNDER,
        confidence=57.300000000000004,
        model_version="v",
        feature_version="f",
        lake_snapshot_id=2**63 - 1,
        cache_hit=False,
        user_id=UUID(int=7),
    ),
    ModelUpdated(
        **HEAD,
        model_name="player-props",
        model_version="v",
        deployment_status=DeploymentStatus.STAGING,
        deployment_percentage=12.5,
        feature_version="f",
        lake_snapshot_id=-1,
        checksum="ab" * 32,
    ),
    MatchResult(
        **HEAD,
        match_id="m",
        map_number=2,
        tournament="LCK",
        blue_team="T1",
        red_team="Gen.G",
        winner="Gen.G",
        started_at=NOON - timedelta(hours=1),
        game_length_s=1800.25,
        patch="16.5",
    ),
)
TOPIC_OF = {topic.event: topic for topic in TOPICS}
BY_KIND = pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)


def _record(message: Message, topic: str) -> Record:
    return Record(Partition(topic, 0), 3, message.key, message.value, message.headers)


def _encoded(event: Event) -> Record:
    topic = TOPIC_OF[type(event)]
    return _record(CODEC.encode(topic, event), topic.name)


@BY_KIND
def test_an_event_comes_back_to_the_bit(event: Event) -> None:
    """Every field of every kind, floats and microseconds included; the key is the event's."""
    record = _encoded(event)
    assert CODEC.decode(record) == event
    assert record.key == event.key.encode()


@BY_KIND
def test_what_is_optional_may_be_absent(event: Event) -> None:
    """Fields with a default keep it over the wire."""
    absent: dict[str, Any] = {field.name: None for field in fields(event) if field.default is None}
    bare = replace(event, **absent)
    assert CODEC.decode(_encoded(bare)) == bare


def test_times_of_other_zones_are_the_same_moment() -> None:
    """A time is written as its moment and read in UTC."""
    event = replace(EVENTS[3], occurred_at=NOON.astimezone(timezone(timedelta(hours=9))))
    read = CODEC.decode(_encoded(event))
    assert read.occurred_at == NOON
    assert read.occurred_at.utcoffset() == timedelta(0)


@BY_KIND
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", uuid4()),
        ("occurred_at", NOON.replace(tzinfo=None)),
        ("producer", ""),
        ("producer", "x" * 201),
        ("producer", "a\x00b"),
        ("producer", "\ud800"),
    ],
    ids=["uuid4", "naive", "blank", "long", "nul", "surrogate"],
)
def test_the_head_of_every_event_is_checked(event: Event, field: str, value: Any) -> None:
    """The error names the field."""
    with pytest.raises(InvalidError) as refused:
        replace(event, **{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (EVENTS[0], "game_time_s", float("nan")),
        (EVENTS[0], "game_time_s", float("inf")),
        (EVENTS[0], "map_number", 6),
        (EVENTS[0], "match_id", " "),
        (EVENTS[0], "victim_id", "\ud800"),
        (EVENTS[0], "assistant_ids", ("a",) * 5),
        (EVENTS[0], "assistant_ids", ("a", "")),
        (EVENTS[1], "kills", -1),
        (EVENTS[1], "creep_score", 10_001),
        (EVENTS[1], "champion", "x" * 201),
        (EVENTS[2], "prediction_id", uuid4()),
        (EVENTS[2], "player_names", ()),
        (EVENTS[2], "player_names", ("a",) * 11),
        (EVENTS[2], "confidence", 100.1),
        (EVENTS[2], "prop_value", float("nan")),
        (EVENTS[2], "lake_snapshot_id", 2**63),
        (EVENTS[3], "deployment_percentage", float("nan")),
        (EVENTS[4], "winner", "Fnatic"),
        (EVENTS[4], "started_at", NOON.replace(tzinfo=None)),
        (EVENTS[4], "patch", ""),
    ],
)
def test_a_wrong_value_never_becomes_an_event(event: Event, field: str, value: Any) -> None:
    """What no store could hold, and what cannot be, is refused before any server sees it."""
    with pytest.raises(InvalidError) as refused:
        replace(event, **{field: value})
    assert refused.value.field.partition(".")[0] == field


def test_a_value_of_another_type_is_refused() -> None:
    """What the type checker did not see, the schema does."""
    with pytest.raises(InvalidError, match="does not fit its schema"):
        _encoded(replace(EVENTS[1], kills=1.5))


def test_an_event_of_another_topic_is_refused() -> None:
    """Written and read."""
    with pytest.raises(InvalidError, match="does not belong"):
        CODEC.encode(topic_named("live-matches"), EVENTS[1])
    with pytest.raises(InvalidError, match="does not belong"):
        CODEC.encode(topic_named("live-matches").dead_letters, EVENTS[0])
    strayed = replace(_encoded(EVENTS[0]), partition=Partition("match-results", 0))
    with pytest.raises(InvalidError, match="does not belong"):
        CODEC.decode(strayed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", None),
        ("schema", b"\xff"),
        ("schema", b"nobody's"),
        ("schema-version", None),
        ("schema-version", b"0"),
        ("schema-version", b"2"),
        ("schema-version", b"-1"),
        ("schema-version", "\uff11".encode()),
        ("schema-version", b"9" * 5000),
        ("content-type", None),
        ("content-type", b"application/json"),
    ],
    ids=str,
)
def test_wrong_headers_are_refused(name: str, value: bytes | None) -> None:
    """Missing, garbled or unknown."""
    record = _encoded(EVENTS[0])
    headers = tuple((key, old if key != name else value) for key, old in record.headers)
    with pytest.raises(InvalidError):
        CODEC.decode(replace(record, headers=tuple((key, new) for key, new in headers if new is not None)))


def test_the_key_must_be_that_of_the_event() -> None:
    """A record under another key would break the order of both."""
    with pytest.raises(InvalidError, match="key"):
        CODEC.decode(replace(_encoded(EVENTS[0]), key=b"another"))


@BY_KIND
@given(data=st.data())
def test_garbled_bytes_are_refused_or_are_an_event(event: Event, data: st.DataObject) -> None:
    """Whatever is changed in the bytes, reading ends in InvalidError or in a valid event, never in anything else."""
    record = _encoded(event)
    at = data.draw(st.integers(0, len(record.value)))
    cut = data.draw(st.integers(0, len(record.value) - at))
    value = record.value[:at] + data.draw(st.binary(max_size=20)) + record.value[at + cut :]
    try:
        read = CODEC.decode(replace(record, value=value))
    except InvalidError:
        return
    assert type(read) is type(event)


@BY_KIND
def test_truncated_and_padded_bytes_are_refused(event: Event) -> None:
    """Not one byte may lack or be left over."""
    record = _encoded(event)
    for length in range(len(record.value)):
        with pytest.raises(InvalidError):
            CODEC.decode(replace(record, value=record.value[:length]))
    with pytest.raises(InvalidError, match="left behind"):
        CODEC.decode(replace(record, value=record.value + b"\x00"))


def test_older_and_newer_versions_are_read(tmp_path: Path) -> None:
    """A reader of version 2 reads version 1; and after a step back, version 1's field set is all that is taken."""
    for file in RELEASED.glob("*.avsc"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    schema = orjson.loads((RELEASED / "live-matches.v1.avsc").read_bytes())
    newer = copy.deepcopy(schema)
    newer["fields"].insert(0, {"name": "region", "type": "string", "default": "KR"})
    kind = next(field for field in newer["fields"] if field["name"] == "kind")
    kind["type"]["symbols"] = ["tower", *kind["type"]["symbols"]]
    newer["fields"] = [field for field in newer["fields"] if field["name"] != "victim_id"]
    (tmp_path / "live-matches.v2.avsc").write_bytes(orjson.dumps(newer))
    codec = EventCodec(SchemaRegistry(tmp_path))
    assert codec.decode(_encoded(EVENTS[0])) == replace(EVENTS[0], victim_id=None)
    message = codec.encode(topic_named("live-matches"), EVENTS[0])
    assert dict(message.headers)["schema-version"] == b"2"
    assert codec.decode(_record(message, "live-matches")) == replace(EVENTS[0], victim_id=None)


def test_a_dead_letter_is_its_record_with_the_reason() -> None:
    """Bytes, key and headers as they were; a reason that is not UTF-8 or endless is kept as far as it goes."""
    record = _encoded(EVENTS[0])
    letter = dead_letter(record, "bad \ud800 " + "x" * 5000)
    assert (letter.key, letter.value) == (record.key, record.value)
    assert letter.headers[:3] == record.headers
    added = dict(letter.headers[3:])
    assert added["dead-letter-reason"].startswith(b"bad \\ud800 x")
    assert len(added["dead-letter-reason"]) == 2000
    assert added["dead-letter-offset"] == b"3"
