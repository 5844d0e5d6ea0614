"""Silver → gold: the feature snapshots of all series and of now, replaced as a whole from one silver snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import ray

from pipelines.lake_writer import overwrite
from pipelines.snapshots import SILVER_COLUMNS, take_snapshots
from stores.errors import NotFoundError
from stores.features.schema import FEATURE_VERSION
from stores.features.tables import (
    AS_OF,
    CHAMPION_SNAPSHOTS,
    CHAMPIONS_SNAPSHOT,
    FEATURES,
    PLAYER_SNAPSHOTS,
    SILVER_SNAPSHOT,
    TEAM_SNAPSHOTS,
    TEAMS_SNAPSHOT,
    TOURNAMENT_SNAPSHOTS,
    TOURNAMENTS_SNAPSHOT,
)
from stores.lake.tables import PLAYER_PERFORMANCE

if TYPE_CHECKING:
    from stores.roles.lake import Lake


@dataclass(frozen=True, slots=True)
class GoldReport:
    """The snapshot of gold.player_features that is now newest. ``changed`` is false when gold was up to date."""

    changed: bool
    lake_snapshot_id: int
    player_rows: int


def refresh_gold(lake: Lake) -> GoldReport:
    """Make gold from the newest silver, if it is not from it already. Raises NotFoundError if silver is empty."""
    silver_snapshot = lake.snapshot_id(PLAYER_PERFORMANCE)
    made_from = lake.summary(PLAYER_SNAPSHOTS)
    current = lake.snapshot_id(PLAYER_SNAPSHOTS)
    if current and (made_from.get(SILVER_SNAPSHOT), made_from.get(FEATURES)) == (str(silver_snapshot), FEATURE_VERSION):
        return GoldReport(changed=False, lake_snapshot_id=current, player_rows=int(made_from["total-records"]))
    silver = lake.read(PLAYER_PERFORMANCE, columns=SILVER_COLUMNS, snapshot_id=silver_snapshot)
    if not silver.num_rows:
        raise NotFoundError("no usable game was ingested; see the quarantine table for the reasons")
    snapshots = ray.get(ray.remote(take_snapshots).remote(silver))
    made = {SILVER_SNAPSHOT: str(silver_snapshot), FEATURES: FEATURE_VERSION}
    teams = overwrite(lake, TEAM_SNAPSHOTS, snapshots.teams, made)
    tournaments = overwrite(lake, TOURNAMENT_SNAPSHOTS, snapshots.tournaments, made)
    champions = overwrite(lake, CHAMPION_SNAPSHOTS, snapshots.champions, made)
    properties = {
        **made,
        TEAMS_SNAPSHOT: str(teams),
        TOURNAMENTS_SNAPSHOT: str(tournaments),
        CHAMPIONS_SNAPSHOT: str(champions),
        AS_OF: pc.max(snapshots.players["as_of"]).as_py().isoformat(),
    }
    newest = overwrite(lake, PLAYER_SNAPSHOTS, snapshots.players, properties)
    return GoldReport(changed=True, lake_snapshot_id=newest, player_rows=snapshots.players.num_rows)
