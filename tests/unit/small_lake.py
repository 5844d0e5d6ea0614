"""A small lake on disk: the gold tables of a few games between the teams of two leagues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshots import SILVER_COLUMNS, Snapshots, take_snapshots
from stores.features.schema import FEATURE_VERSION, POSITIONS
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

if TYPE_CHECKING:
    from stores.lake.tables import LakeTable
    from stores.settings import LakeSettings

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


def opened(settings: LakeSettings) -> IcebergLake:
    """The lake, with its gold tables made."""
    lake = IcebergLake(settings)
    lake.ensure((PLAYER_SNAPSHOTS, TEAM_SNAPSHOTS, TOURNAMENT_SNAPSHOTS, CHAMPION_SNAPSHOTS))
    return lake
