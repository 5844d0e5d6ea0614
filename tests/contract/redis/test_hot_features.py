"""Feature vectors: whole, exact, by any spelling of a name, never a reason to fail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from stores.domain.hot_features import FeatureKind, HotFeatures
from stores.errors import InvalidError
from stores.redis_store import keys
from stores.redis_store.hot_features import PACKED, RedisHotFeatures
from tests.contract.redis.lifetimes import expire, left_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stores.redis_store.connection import RedisConnection

pytestmark = pytest.mark.role("hot features")

PLAYER, TEAM, TOURNAMENT = FeatureKind.PLAYER, FeatureKind.TEAM, FeatureKind.TOURNAMENT
NOON = datetime(2026, 3, 14, 12, 0, 0, 123457, tzinfo=UTC)


def features(name: str = "Faker", **changes: Any) -> HotFeatures:
    """The features of a name, with awkward numbers."""
    return HotFeatures(
        **{
            "name": name,
            "values": np.array([5.2, 0.1 + 0.2, np.nan, -0.0, np.inf, 5e-324]),
            "feature_version": "f1",
            "updated_at": NOON,
            "summary": {"avg_kills": 5.2, "position": "mid"},
            **changes,
        }
    )


@pytest.fixture
def cache(connection: RedisConnection) -> RedisHotFeatures:
    """The adapter over an empty server."""
    return RedisHotFeatures(connection)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st_numpy.arrays(np.float64, st.integers(1, 300)),
    version=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=64).filter(str.strip),
    moment=st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # zoned here
)
async def test_what_is_put_is_read(
    cache: RedisHotFeatures, values: NDArray[np.float64], version: str, moment: datetime
) -> None:
    """Every bit of a vector, also of NaN, its version and its moment to the microsecond come back."""
    await cache.put_many(PLAYER, [features(values=values, feature_version=version, updated_at=moment)])
    (read,) = await cache.read_many(PLAYER, ["Faker"])
    assert read is not None
    assert read.values.tobytes() == values.tobytes()
    assert (read.name, read.feature_version, read.updated_at) == ("Faker", version, moment)
    assert not read.values.flags.writeable


async def test_ten_players_come_in_order(cache: RedisHotFeatures) -> None:
    """Each name gets its own vector, unknown names get None, whatever nodes they are on."""
    names = [f"player {index}" for index in range(10)]
    await cache.put_many(PLAYER, [features(name, values=np.array([float(i)])) for i, name in enumerate(names) if i % 3])
    read = await cache.read_many(PLAYER, names)
    assert [entry and entry.values[0] for entry in read] == [i if i % 3 else None for i in range(10)]
    assert await cache.read_many(PLAYER, []) == []
    await cache.put_many(PLAYER, [])


async def test_kinds_are_apart(cache: RedisHotFeatures) -> None:
    """A team, a player and a tournament of one name are three things."""
    for index, kind in enumerate(FeatureKind):
        await cache.put_many(kind, [features("T1", values=np.array([float(index)]))])
    read = [(await cache.read_many(kind, ["T1"]))[0] for kind in FeatureKind]
    assert [entry and entry.values[0] for entry in read] == [0, 1, 2]


@pytest.mark.parametrize("spelling", ["faker", " FAKER  ", "\uff26aker", "Faker\n"])
async def test_any_spelling_finds_a_name(cache: RedisHotFeatures, spelling: str) -> None:
    """Case, outer white space and compatible forms of a name make no difference."""
    await cache.put_many(PLAYER, [features()])
    (read,) = await cache.read_many(PLAYER, [spelling])
    assert read is not None
    assert read.name == spelling


async def test_lifetimes_are_those_of_the_seeds(cache: RedisHotFeatures, connection: RedisConnection) -> None:
    """Players and teams live for an hour, tournaments for two; a write begins anew."""
    wanted = {
        PLAYER: (keys.player_features, 3600),
        TEAM: (keys.team_features, 3600),
        TOURNAMENT: (keys.tournament, 7200),
    }
    for kind, (key_of, ttl_s) in wanted.items():
        key = key_of("x")
        for _ in range(2):
            await cache.put_many(kind, [features("x")])
            assert ttl_s - 10 < await left_s(connection, key) <= ttl_s
            await expire(connection, key, 5)


async def test_the_summary_is_there_for_people(cache: RedisHotFeatures, connection: RedisConnection) -> None:
    """The hash shows the summary as written last, under names that cannot touch what is read."""
    await cache.put_many(PLAYER, [features(summary={"old": 1.0})])
    await cache.put_many(PLAYER, [features(summary={"avg_kills": 5.2, "packed": "x", "last_updated": "y"})])
    fields = await connection.run(lambda redis: redis.hgetall(keys.player_features("faker")))
    assert {name.decode(): value for name, value in fields.items() if name != PACKED.encode()} == {
        "avg_kills": b"5.2",
        "summary.packed": b"x",
        "summary.last_updated": b"y",
        "last_updated": NOON.isoformat().encode(),
    }
    assert await cache.read_many(PLAYER, ["Faker"]) != [None]


async def test_what_was_dropped_is_gone(cache: RedisHotFeatures) -> None:
    """Dropping forgets these names alone."""
    await cache.put_many(TEAM, [features(name) for name in ("T1", "Gen.G", "DK")])
    await cache.drop(TEAM, ["t1", "GEN.G", "unknown"])
    await cache.drop(TEAM, [])
    assert [entry is not None for entry in await cache.read_many(TEAM, ["T1", "Gen.G", "DK"])] == [False, False, True]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_a_garbled_vector_is_a_miss(
    cache: RedisHotFeatures, connection: RedisConnection, data: st.DataObject
) -> None:
    """Cut anywhere, any bit flipped, anything added: a counted miss, and the others are read."""
    await cache.put_many(PLAYER, [features("broken"), features("whole")])
    key = keys.player_features("broken")
    packed = bytearray(await connection.run(lambda redis: redis.hget(key, PACKED)))
    match data.draw(st.sampled_from(["cut", "flip", "add", "other"])):
        case "cut":
            del packed[data.draw(st.integers(0, len(packed) - 1)) :]
        case "flip":
            packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "add":
            packed += data.draw(st.binary(min_size=1, max_size=20))
        case "other":
            packed = bytearray(data.draw(st.binary(max_size=100)))
    await connection.run(lambda redis: redis.hset(key, PACKED, bytes(packed)))
    before = cache.garbled
    read = await cache.read_many(PLAYER, ["broken", "whole"])
    assert [entry is not None for entry in read] == [False, True]
    assert cache.garbled == before + 1


async def test_a_key_of_another_type_is_a_miss(cache: RedisHotFeatures, connection: RedisConnection) -> None:
    """A text in the place of the hash is a miss beside others that are read, and is replaced by the next put."""
    await connection.run(lambda redis: redis.set(keys.player_features("a"), "x"))
    await cache.put_many(PLAYER, [features("b")])
    assert [entry is not None for entry in await cache.read_many(PLAYER, ["a", "b"])] == [False, True]
    assert await cache.read_many(PLAYER, ["a"]) == [None]
    assert cache.garbled == 2
    await cache.put_many(PLAYER, [features("a")])
    assert await cache.read_many(PLAYER, ["a"]) != [None]


async def test_a_shards_copy_is_kept_for_two_hours(cache: RedisHotFeatures, connection: RedisConnection) -> None:
    """The bytes come back, the newest of each shard, and live as long as the longest lifetime in them."""
    assert await cache.copy_of("shard-0") is None
    for copy in (b"older", bytes(range(256)) * 5000, b""):
        await cache.put_copy("shard-0", copy)
        assert await cache.copy_of("shard-0") == copy
    assert await cache.copy_of("shard-1") is None
    assert 7190 < await left_s(connection, keys.feature_shard("shard-0")) <= 7200


async def test_a_garbled_copy_is_a_miss(cache: RedisHotFeatures, connection: RedisConnection) -> None:
    """Cut, changed or of another type: no shard publishes it, and the next copy takes its place."""
    await cache.put_copy("s", b"what was published")
    key = keys.feature_shard("s")
    kept = await connection.run(lambda redis: redis.get(key))
    for broken in (kept[:-1], kept[:3], b"", kept[:-1] + b"?", b"!" + kept[1:]):
        await connection.run(lambda redis: redis.set(key, broken))  # noqa: B023  # it is called here
        assert await cache.copy_of("s") is None
    await connection.unlink([key])
    await connection.run(lambda redis: redis.hset(key, "a", "b"))
    assert await cache.copy_of("s") is None
    assert cache.garbled == 6
    await cache.put_copy("s", b"again")
    assert await cache.copy_of("s") == b"again"


async def test_no_name_reaches_another_ones_features(cache: RedisHotFeatures, hostile_texts: list[str]) -> None:
    """Names that try to leave their key have vectors of their own."""
    await cache.put_many(PLAYER, [features(name, values=np.array([float(i)])) for i, name in enumerate(hostile_texts)])
    read = await cache.read_many(PLAYER, hostile_texts)
    assert [entry and entry.values[0] for entry in read] == [*range(len(hostile_texts))]


@pytest.mark.parametrize("name", ["", " ", "\0", "\ud800", "x" * 300])
async def test_names_that_no_server_should_see_are_refused(cache: RedisHotFeatures, name: str) -> None:
    """A blank, over-long or broken name is refused by its field, before it is sent."""
    with pytest.raises(InvalidError, match="player"):
        await cache.read_many(PLAYER, [name])
    with pytest.raises(InvalidError, match="name"):
        features(name)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"values": np.zeros(3, np.float32)}, "values"),
        ({"values": np.zeros((2, 2))}, "values"),
        ({"values": np.zeros(0)}, "values"),
        ({"values": np.zeros(5000)}, "values"),
        ({"feature_version": ""}, "feature_version"),
        ({"updated_at": datetime(2026, 1, 1)}, "updated_at"),  # noqa: DTZ001  # what is refused
        ({"summary": {"x": "\0"}}, "summary.x"),
        ({"summary": {str(index): 1.0 for index in range(40)}}, "summary"),
    ],
)
def test_wrong_features_are_refused(changes: dict[str, Any], field: str) -> None:
    """What could not be read back is not even made; the error names the field."""
    with pytest.raises(InvalidError) as raised:
        features(**changes)
    assert raised.value.field == field
