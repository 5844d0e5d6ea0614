"""Feature shards over a real lake on disk: each key has one owner, and a new commit is a new publication."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pytest

from actors import feature_shard
from actors.feature_shard import FeatureShard
from actors.feature_view import FeatureView
from pipelines.snapshots import Snapshots
from stores.errors import NotFoundError, TransientError
from stores.features.schema import CHAMPION_FEATURES, FEATURE_VERSION, PLAYER_FEATURES, POSITION_INDEX, POSITIONS
from stores.features.tables import CHAMPION_SNAPSHOTS, FEATURES, TEAM_SNAPSHOTS
from stores.settings import LakeSettings
from tests.unit.small_lake import PICKS, commit, history, opened, publish, silver

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from actors.published import Publication, PublishedShard

RING = ("shard-0", "shard-1", "shard-2")


@pytest.fixture
def place(tmp_path: Path) -> LakeSettings:
    """A lake of its own, with empty gold tables."""
    settings = LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/warehouse")
    opened(settings)
    return settings


def shard_of(place: LakeSettings, name: str = "shard-0") -> FeatureShard:
    """A shard that publishes its content as it is."""
    return FeatureShard(name, place, put=lambda content: content)


def content_of(publication: Publication | None) -> PublishedShard:
    """What was published."""
    assert publication is not None
    content: PublishedShard = publication.content
    return content


def newest(rows: pa.Table, key: str) -> list[str]:
    """The keys of the newest snapshots."""
    kept: list[str] = rows.filter(pc.is_null(rows["series_id"]))[key].to_pylist()
    return sorted(kept)


def test_shards_together_own_every_key_once(place: LakeSettings) -> None:
    """Every player, team, league and champion of the newest snapshot is in exactly one shard, with its own numbers."""
    snapshots = history(12)
    snapshot_id = publish(opened(place), snapshots)
    shards = [content_of(shard_of(place, name).newer_than(RING, None)) for name in RING]
    assert sorted(one.key for shard in shards for one in shard.players) == newest(snapshots.players, "player_id")
    assert sorted(one.key for shard in shards for one in shard.teams) == newest(snapshots.teams, "team_id")
    leagues = sorted(one.key for shard in shards for one in shard.tournaments)
    assert leagues == newest(snapshots.tournaments, "tournament") == ["LCK", "LPL"]
    assert all(shard.source.lake_snapshot_id == snapshot_id for shard in shards)
    view = FeatureView(shards)
    rows = snapshots.players.filter(pc.is_null(snapshots.players["series_id"]))
    for row in rows.to_pylist():
        found = view.players.find(row["player_name"])
        assert (found.team, found.tournament, found.games) == (
            row["team_current"],
            row["tournament"],
            row["games_known"],
        )
        assert str(POSITIONS[found.position]) == row["position_primary"]
        expected = np.array([row[name] for name in PLAYER_FEATURES], dtype=np.float64)
        np.testing.assert_array_equal(view.player_features(found.player_id), expected)
    picks = snapshots.champions.filter(pc.is_null(snapshots.champions["series_id"])).to_pylist()
    assert sum(len(shard.champions) for shard in shards) == len(picks) > len(PICKS)
    for row in picks:
        assert view.champions.find(row["champion"].lower()).name == row["champion"]
        seen = view.champion(row["champion"], POSITION_INDEX[row["position"]])
        np.testing.assert_array_equal(seen, [row[name] for name in CHAMPION_FEATURES])


def test_the_last_maps_are_those_of_silver(place: LakeSettings) -> None:
    """Each shard publishes the last ten maps of its players, the newest first, as of the snapshot of the features."""
    lake = opened(place)
    publish(lake, history(50))
    shards = [content_of(shard_of(place, name).newer_than(RING, None)) for name in RING]
    publish(lake, history(54))
    view = FeatureView(shards)
    played_by: dict[object, list[dict[str, object]]] = {}
    opponents: dict[tuple[object, object], object] = {}
    for row in silver(50):
        played_by.setdefault(row["player_id"], []).insert(0, row)
        opponents[row["match_id"], row["won"]] = row["team"]
    assert {one.player_id for one in view.players.entries} == set(played_by)
    for player_id, rows in played_by.items():
        expected = [
            (
                row["started_at"],
                opponents[row["match_id"], not row["won"]],
                *(row[name] for name in ("won", "champion", "kills", "deaths", "assists")),
            )
            for row in rows[:10]
        ]
        assert list(view.recent_maps(str(player_id))) == expected
    assert {len(view.recent_maps(one.player_id)) for one in view.players.entries} == {10}


def test_a_reader_that_is_up_to_date_gets_nothing(place: LakeSettings) -> None:
    """For the snapshot that it knows there is None, for another one the publication, made once."""
    snapshot_id = publish(opened(place), history(4))
    made: list[object] = []
    shard = FeatureShard("shard-0", place, put=lambda content: made.append(content) or content)  # type: ignore[func-returns-value]
    first = shard.newer_than(RING, None)
    assert first is not None
    assert first.lake_snapshot_id == snapshot_id
    shard.look()
    assert shard.newer_than(RING, snapshot_id) is None
    again = shard.newer_than(RING, snapshot_id - 1)
    assert again is not None
    assert again.content is first.content
    assert len(made) == 1


def test_a_new_commit_is_found_without_being_asked(place: LakeSettings) -> None:
    """After more games a look publishes anew, and the old version stays as it was."""
    lake, shard = opened(place), shard_of(place)
    before = publish(lake, history(4))
    old = content_of(shard.newer_than(RING, None))
    held = old.player_features.copy()
    after = publish(lake, history(12))
    assert shard.newer_than(RING, before) is None
    shard.look()
    new = content_of(shard.newer_than(RING, before))
    assert (old.source.lake_snapshot_id, new.source.lake_snapshot_id) == (before, after)
    assert new.source.as_of > old.source.as_of
    assert len(new.players) >= len(old.players)
    np.testing.assert_array_equal(old.player_features, held)
    assert shard.newer_than(RING, after) is None


def test_a_commit_that_is_not_finished_is_not_seen(place: LakeSettings) -> None:
    """Newer rows of teams and leagues count only from the commit of the players on, which names them."""
    lake = opened(place)
    known = publish(lake, history(4))
    shard = shard_of(place)
    before = content_of(shard.newer_than(RING, None))
    commit(lake, TEAM_SNAPSHOTS, history(12).teams, {FEATURES: FEATURE_VERSION})
    shard.look()
    assert shard.newer_than(RING, known) is None
    restarted = content_of(shard_of(place).newer_than(RING, None))
    assert restarted.teams == before.teams
    np.testing.assert_array_equal(restarted.team_features, before.team_features)


def test_a_shard_answers_for_the_ring_that_is_asked(place: LakeSettings) -> None:
    """While a shard is added each ring has every key once, and whoever was there only gives keys to the new one."""
    known = publish(opened(place), history(12))
    shards = {name: shard_of(place, name) for name in (*RING, "shard-3")}
    grown = (*RING, "shard-3")
    before = {name: _keys(shards[name], RING) for name in RING}
    after = {name: _keys(shards[name], grown) for name in grown}
    again = {name: _keys(shards[name], RING) for name in RING}
    assert again == before
    every = sorted(key for held in before.values() for key in held)
    assert len(every) == len(set(every))
    assert sorted(key for held in after.values() for key in held) == every
    assert all(after[name] <= before[name] for name in RING)
    assert after["shard-3"]
    assert shards["shard-3"].newer_than(grown, known) is None


def test_what_cannot_be_confirmed_is_told(place: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails leaves what is held: who has it is told why, who has not is given it with its age."""
    shard = shard_of(place)
    known = publish(opened(place), history(4))
    begun = time.monotonic()
    first = content_of(shard.newer_than(RING, None))
    monkeypatch.setattr(feature_shard, "CONFIRMED_WITHIN_S", -1.0)
    with pytest.raises(TransientError, match="has not answered"):
        shard.newer_than(RING, known)
    publish(opened(place), history(6), version="f0-other")
    shard.look()
    with pytest.raises(NotFoundError, match="f0-other"):
        shard.newer_than(RING, known)
    given = shard.newer_than(RING, None)
    assert content_of(given) is first
    assert given is not None
    assert 0 < given.age_s <= time.monotonic() - begun
    with pytest.raises(NotFoundError, match="f0-other"):
        shard.newer_than(("shard-0",), None)
    assert content_of(shard.newer_than(RING, None)) is first


def test_a_shard_begins_while_the_lake_is_away(tmp_path: Path) -> None:
    """It is made without asking the lake, whose absence would end it for good, and says what is away."""
    nowhere = LakeSettings("postgresql://postgres@127.0.0.1:1/lake", f"file://{tmp_path}/warehouse")
    shard = shard_of(nowhere)
    shard.look()
    with pytest.raises(TransientError, match="does not answer"):
        shard.newer_than(RING, None)


def test_an_empty_lake_has_nothing_to_publish(place: LakeSettings) -> None:
    """Before the first ingest there is no publication, and the error says what to do."""
    with pytest.raises(NotFoundError, match="riftline ingest"):
        shard_of(place).newer_than(RING, None)


def test_features_of_other_code_are_not_published(place: LakeSettings) -> None:
    """Features that were computed by another definition are refused until they are made anew."""
    publish(opened(place), history(2), version="f0-other")
    with pytest.raises(NotFoundError, match="f0-other"):
        shard_of(place).newer_than(RING, None)


def test_a_world_without_known_teams_and_picks_is_published(place: LakeSettings) -> None:
    """Where no team and no pick is known, the shards hold no team and no champion, and players all the same."""
    made = history(2)
    teams, champions = TEAM_SNAPSHOTS.schema.empty_table(), CHAMPION_SNAPSHOTS.schema.empty_table()
    publish(opened(place), Snapshots(made.players, teams, made.tournaments, champions))
    shards = [content_of(shard_of(place, name).newer_than(RING, None)) for name in RING]
    assert sum(len(shard.teams) + len(shard.champions) for shard in shards) == 0
    assert sum(len(shard.players) for shard in shards) == 20


def _keys(shard: FeatureShard, ring: tuple[str, ...]) -> set[str]:
    held = content_of(shard.newer_than(ring, None))
    parts: Any = (held.players, held.teams, held.tournaments, held.champions)
    return {f"{type(entry).__name__} {entry.key}" for part in parts for entry in part}
