"""A small world that questions are asked in: two teams that are known, one that is not, and their players."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.feature_view import FeatureView
from actors.published import (
    ChampionEntry,
    FeatureSource,
    PlayerEntry,
    PublishedShard,
    RecentMap,
    TeamEntry,
    TournamentEntry,
)
from stores.domain.props import MapRange, Position, PropRequest, PropType
from stores.features.schema import CONTEXT_FEATURES, FEATURE_VERSION, PLAYER_FEATURES, POSITIONS, TEAM_FEATURES
from stores.features.tables import RECENT_MAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOP, JUNGLE, MID, BOT = (POSITIONS.index(one) for one in (Position.TOP, Position.JUNGLE, Position.MID, Position.BOT))
PLAYERS = (
    PlayerEntry("p:faker", "Faker", MID, "t:t1", "T1", "LCK", 900),
    PlayerEntry("p:oner", "Oner", JUNGLE, "t:t1", "T1", "LCK", 400),
    PlayerEntry("p:chovy", "Chovy", MID, "t:gen", "Gen.G", "LCK", 600),
    PlayerEntry("p:smash", "Smash", BOT, "t:t1", "T1", "LCK", 60),
    PlayerEntry("p:smash2", "Smash", BOT, None, None, "LPL", 90),
    PlayerEntry("p:rookie", "Rookie", BOT, "t:gen", "Gen.G", "LCK", 9),
    PlayerEntry("p:newest", "Newest", BOT, "t:gen", "Gen.G", "LCK", 2),
    PlayerEntry("p:lost", "Lost", BOT, "t:lost", "Lost Team", "LPL", 30),
)
FAKER = PLAYERS[0]
AS_OF = datetime(2026, 5, 31, 15, tzinfo=UTC)
TEAMS = (TeamEntry("t:t1", "T1", "LCK", 500), TeamEntry("t:gen", "Gen.G", "LCK", 500))
LEAGUES = (TournamentEntry("LCK", "16.10", 900), TournamentEntry("LPL", "16.10", 800))
CHAMPIONS = (ChampionEntry("Ahri", MID, 40), ChampionEntry("Jinx", BOT, 25))


def numbers(rng: np.random.Generator, rows: int, names: Sequence[str]) -> NDArray[np.float64]:
    """Features of shape [rows, names]: factors around 1, shares around a fifth, all else like counts."""
    values = rng.uniform(0.1, 15.0, (rows, len(names)))
    for at, name in enumerate(names):
        if name.endswith(("_factor", "attack", "defence", "_length")) or name == "length":
            values[:, at] = rng.uniform(0.8, 1.2, rows)
        elif "_share" in name:
            values[:, at] = rng.uniform(0.1, 0.3, rows)
    return values


def recent(player: PlayerEntry) -> tuple[RecentMap, ...]:
    """The last maps of a player, at most ten, newest first and a day apart; of the newest only the counts are known."""
    return tuple(
        RecentMap(
            AS_OF - timedelta(days=day), "Gen.G" if day else None, day % 2 == 0, "Ahri" if day else None, day, 2, 5
        )
        for day in range(min(player.games, 10))
    )


def world(players: tuple[PlayerEntry, ...]) -> FeatureView:
    """The view of one shard that owns all."""
    return FeatureView([publication(players)])


def publication(players: tuple[PlayerEntry, ...]) -> PublishedShard:
    """One shard that owns all; its numbers are always the same."""
    rng = np.random.default_rng(2)
    return PublishedShard(
        shard="all",
        source=FeatureSource(11, FEATURE_VERSION, AS_OF),
        players=players,
        player_features=numbers(rng, len(players), PLAYER_FEATURES),
        recent_maps=pa.Table.from_pylist(
            [dict(zip(RECENT_MAPS, map(list, zip(*recent(player), strict=True)), strict=False)) for player in players],
            schema=pa.schema(list(RECENT_MAPS.items())),
        ),
        teams=TEAMS,
        team_features=numbers(rng, len(TEAMS), TEAM_FEATURES),
        tournaments=LEAGUES,
        tournament_features=numbers(rng, len(LEAGUES), CONTEXT_FEATURES),
        champions=CHAMPIONS,
        champion_features=np.array([[1.2, 0.9, 40.0], [0.8, 1.1, 25.0]]),
    )


def ask(*players: str, line: float = 3.5, maps: tuple[int, int] = (1, 2), **more: Any) -> PropRequest:
    """A question about kills."""
    return PropRequest(players or ("Faker",), PropType.KILLS, line, MapRange(*maps), **more)
