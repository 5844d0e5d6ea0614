"""Feature shards over a real lake on disk: each key has one owner, and a new commit is a new publication."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from actors.feature_shard import FeatureShard, Publication
from actors.feature_view import FeatureView
from pipelines.snapshots import SILVER_COLUMNS, Snapshots, take_snapshots
from stores.errors import NotFoundError
from stores.features.schema import CHAMPION_FEATURES, FEATURE_VERSION, PLAYER_FEATURES, POSITION_INDEX, POSITIONS
from stores.features.tables import (
    AS_OF,
    CHAMPION_SNAPSHOTS,
    CHAMPIONS_SNAPSHOT,
    FEATURES,
    PLAYER_SNAPSHOTS,
    TEAM_SNAPSHOTS,
    TEAMS_SNAPSHOT,
    TOURNAMENT_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT,
)
from stores.lake.catalog import IcebergLake
from stores.lake.tables import PLAYER_PERFORMANCE
from stores.settings import LakeSettings

if TYPE_CHECKING:
    from pathlib import Path

    from actors.published import PublishedShard
    from stores.lake.tables import LakeTable

SHARDS = ("shard-0", "shard-1", "shard-2")
TEAMS = {"LCK": ("T1", "GEN", "KT", "DK"), "LPL": ("BLG", "TES")}
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
PICKS = ("Ahri", "Akali", "K'Sante", "Vi", "Jhin", "Rell", "Gnar")


def played(game: int, league: str, teams: tuple[str, str]) -> list[dict[str, object]]:
    """The ten rows of one game, the first team winning."""
    return [
        {
            "player_id": f"{own}-{position}",
            "match_id": f"m{game}",
            "series_id": f"m{game}",
            "tournament": league,
            "started_at": NOON + timedelta(days=game),
            "patch_version": "16.05",
            "duration_seconds": 1800,
            "player_name": f"{own} {position}",
            "team": own,
            "team_id": f"t:{own}",
            "position": str(position),
            "champion": PICKS[(at + game) % len(PICKS)],
            "won": own == teams[0],
            "kills": at + game % 3,
            "deaths": 2,
            "assists": 5,
            "team_kills": 10 + 5 * (game % 3),
            "opponent_kills": 10 + 5 * (game % 3),
            "damage_share": 0.2,
            "vision_score": None,
        }
        for own in teams
        for at, position in enumerate(POSITIONS)
    ]


def silver(games: int) -> list[dict[str, object]]:
    """The rows of so many games between the teams of two leagues, in turn."""
    rows = []
    for game in range(games):
        league = ("LCK", "LPL")[game % 2]
        teams = TEAMS[league]
        first = game // 2 % len(teams)
        rows += played(game, league, (teams[first], teams[(first + 1) % len(teams)]))
    return rows


def history(games: int) -> Snapshots:
    """Their snapshots."""
    schema = pa.schema([PLAYER_PERFORMANCE.schema.field(name) for name in SILVER_COLUMNS])
    return take_snapshots(pa.Table.from_pylist(silver(games), schema=schema))


def commit(lake: IcebergLake, table: LakeTable, rows: pa.Table, properties: dict[str, str]) -> str:
    """Replace a table's rows through the lake's own catalog; the new snapshot's id."""
    catalog: Any = lake._catalog  # noqa: SLF001
    catalog.load_table(table.identifier).overwrite(rows, snapshot_properties=properties)
    return str(lake.snapshot_id(table))


def publish(lake: IcebergLake, snapshots: Snapshots, version: str = FEATURE_VERSION) -> int:
    """Commit the gold tables in their order, player features last and with the others' snapshots."""
    made = {FEATURES: version}
    properties = made | {
        TEAMS_SNAPSHOT: commit(lake, TEAM_SNAPSHOTS, snapshots.teams, made),
        TOURNAMENTS_SNAPSHOT: commit(lake, TOURNAMENT_SNAPSHOTS, snapshots.tournaments, made),
        CHAMPIONS_SNAPSHOT: commit(lake, CHAMPION_SNAPSHOTS, snapshots.champions, made),
        AS_OF: pc.max(snapshots.players["as_of"]).as_py().isoformat(),
    }
    return int(commit(lake, PLAYER_SNAPSHOTS, snapshots.players, properties))


@pytest.fixture
def place(tmp_path: Path) -> LakeSettings:
    """A lake of its own, with empty gold tables."""
    settings = LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/warehouse")
    IcebergLake(settings).ensure((PLAYER_SNAPSHOTS, TEAM_SNAPSHOTS, TOURNAMENT_SNAPSHOTS, CHAMPION_SNAPSHOTS))
    return settings


def shard_of(place: LakeSettings, name: str = "shard-0") -> FeatureShard:
    """A shard that publishes its content as it is."""
    return FeatureShard(name, SHARDS, place, put=lambda content: content)


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
    snapshot_id = publish(IcebergLake(place), snapshots)
    shards = [content_of(shard_of(place, name).newer_than(None)) for name in SHARDS]
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
    lake = IcebergLake(place)
    publish(lake, history(50))
    shards = [content_of(shard_of(place, name).newer_than(None)) for name in SHARDS]
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
    snapshot_id = publish(IcebergLake(place), history(4))
    made: list[object] = []
    shard = FeatureShard("shard-0", SHARDS, place, put=lambda content: made.append(content) or content)  # type: ignore[func-returns-value]
    first = shard.newer_than(None)
    assert first is not None
    assert first.lake_snapshot_id == snapshot_id
    assert shard.newer_than(snapshot_id) is None
    assert shard.newer_than(snapshot_id - 1) is first
    assert len(made) == 1


def test_a_new_commit_is_a_new_publication(place: LakeSettings) -> None:
    """After more games the same shard publishes anew, and the old version stays as it was."""
    lake, shard = IcebergLake(place), shard_of(place)
    before = publish(lake, history(4))
    old = content_of(shard.newer_than(None))
    held = old.player_features.copy()
    after = publish(lake, history(12))
    new = content_of(shard.newer_than(before))
    assert (old.source.lake_snapshot_id, new.source.lake_snapshot_id) == (before, after)
    assert new.source.as_of > old.source.as_of
    assert len(new.players) >= len(old.players)
    np.testing.assert_array_equal(old.player_features, held)
    assert shard.newer_than(after) is None


def test_a_commit_that_is_not_finished_is_not_seen(place: LakeSettings) -> None:
    """Newer rows of teams and leagues count only from the commit of the players on, which names them."""
    lake = IcebergLake(place)
    known = publish(lake, history(4))
    shard = shard_of(place)
    before = content_of(shard.newer_than(None))
    commit(lake, TEAM_SNAPSHOTS, history(12).teams, {FEATURES: FEATURE_VERSION})
    assert shard.newer_than(known) is None
    restarted = content_of(shard_of(place).newer_than(None))
    assert restarted.teams == before.teams
    np.testing.assert_array_equal(restarted.team_features, before.team_features)


def test_an_empty_lake_has_nothing_to_publish(place: LakeSettings) -> None:
    """Before the first ingest there is no publication, and the error says what to do."""
    with pytest.raises(NotFoundError, match="riftline ingest"):
        shard_of(place).newer_than(None)


def test_features_of_other_code_are_not_published(place: LakeSettings) -> None:
    """Features that were computed by another definition are refused until they are made anew."""
    publish(IcebergLake(place), history(2), version="f0-other")
    with pytest.raises(NotFoundError, match="f0-other"):
        shard_of(place).newer_than(None)


def test_a_world_without_known_teams_and_picks_is_published(place: LakeSettings) -> None:
    """Where no team and no pick is known, the shards hold no team and no champion, and players all the same."""
    made = history(2)
    teams, champions = TEAM_SNAPSHOTS.schema.empty_table(), CHAMPION_SNAPSHOTS.schema.empty_table()
    publish(IcebergLake(place), Snapshots(made.players, teams, made.tournaments, champions))
    shards = [content_of(shard_of(place, name).newer_than(None)) for name in SHARDS]
    assert sum(len(shard.teams) + len(shard.champions) for shard in shards) == 0
    assert sum(len(shard.players) for shard in shards) == 20
