"""Silver → gold: walk through all games by time, take a snapshot at the start of every series and one at the end.

A game is known from the moment it ended; a series sees what ended before its first game began.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stores.features.belief import DAY_US
from stores.features.games import PlayedBy, PlayedGame, PlayedTeam
from stores.features.history import FeatureHistory
from stores.features.schema import (
    CHAMPION_FEATURES,
    CONTEXT_FEATURES,
    FEATURE_VERSION,
    PLAYER_FEATURES,
    POSITION_INDEX,
    POSITIONS,
    TEAM_FEATURES,
)
from stores.features.tables import (
    CHAMPION_SNAPSHOTS,
    PLAYER_SNAPSHOTS,
    RECENT_MAPS,
    TEAM_SNAPSHOTS,
    TOURNAMENT_SNAPSHOTS,
)
from stores.lake.tables import STAMP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from stores.features.players import PlayerHistory
    from stores.lake.tables import LakeTable

SILVER_COLUMNS = (
    "player_id",
    "match_id",
    "series_id",
    "tournament",
    "started_at",
    "patch_version",
    "duration_seconds",
    "player_name",
    "team",
    "team_id",
    "position",
    "champion",
    "won",
    "kills",
    "deaths",
    "assists",
    "team_kills",
    "opponent_kills",
    "damage_share",
    "vision_score",
)
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The rows of the gold tables, in their schemas."""

    players: pa.Table
    teams: pa.Table
    tournaments: pa.Table
    champions: pa.Table


@dataclass(frozen=True, slots=True)
class _Series:
    """Who meets in a series: players with role, teams, the league and its patch, as announced before it starts.

    ``picks`` are the champions of all its maps with their roles: they say which rows are needed, not what is in them.
    """

    series_id: str
    starts_us: int
    league: str
    patch: str
    players: tuple[tuple[str, int], ...]
    teams: tuple[str, ...]
    picks: tuple[tuple[str, int], ...]


class _Rows:
    """Grows the columns of one gold table."""

    def __init__(self, table: LakeTable, features: tuple[str, ...]) -> None:
        self._table = table
        self._names = features
        self._facts: list[dict[str, object]] = []
        self._vectors: list[NDArray[np.float64]] = []

    def add(self, series_id: str | None, as_of_us: int, vector: NDArray[np.float64], **facts: object) -> None:
        self._facts.append(
            {
                "series_id": series_id,
                "as_of": as_of_us,
                "feature_date": as_of_us // DAY_US,
                "feature_version": FEATURE_VERSION,
                **facts,
            }
        )
        self._vectors.append(vector)

    def to_arrow(self) -> pa.Table:
        matrix = np.array(self._vectors).reshape(len(self._vectors), len(self._names))
        columns = []
        for field in self._table.schema:
            if field.name in self._names:
                values = pa.array(matrix[:, self._names.index(field.name)], from_pandas=True)
            else:
                values = _column([fact[field.name] for fact in self._facts], field.type)
            columns.append(values)
        return pa.table(columns, schema=self._table.schema)


def _column(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_date32(kind):
        return pa.array(values, pa.int32()).cast(kind)
    return pa.array(values, kind)


def take_snapshots(silver: pa.Table) -> Snapshots:
    """All snapshots of the history that ``silver`` (player_performance, SILVER_COLUMNS) tells."""
    rows = _in_order(silver)
    games = sorted(_games(rows), key=lambda game: (game.ended_us, game.match_id))
    series = sorted(_series(rows), key=lambda one: (one.starts_us, one.series_id))
    writer = _SnapshotWriter(rows)
    waiting = iter(games)
    game = next(waiting, None)
    for one in series:
        while game is not None and game.ended_us <= one.starts_us:
            writer.history.observe(game)
            game = next(waiting, None)
        writer.write_series(one)
    while game is not None:
        writer.history.observe(game)
        game = next(waiting, None)
    writer.write_newest(games[-1].ended_us if games else 0)
    return writer.snapshots()


def _in_order(silver: pa.Table) -> list[dict[str, object]]:
    """The rows by time, ``started_at`` as microseconds, so that nothing depends on the order they came in."""
    columns = silver.select(list(SILVER_COLUMNS))
    at = columns.schema.get_field_index("started_at")
    in_us = columns.set_column(at, "started_at", columns["started_at"].cast(STAMP).cast(pa.int64()))
    order = [(name, "ascending") for name in ("started_at", "match_id", "player_id")]
    return in_us.sort_by(order).to_pylist()  # type: ignore[no-any-return]


class _SnapshotWriter:
    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self.history = FeatureHistory()
        self.players = _Rows(PLAYER_SNAPSHOTS, PLAYER_FEATURES)
        self.teams = _Rows(TEAM_SNAPSHOTS, TEAM_FEATURES)
        self.tournaments = _Rows(TOURNAMENT_SNAPSHOTS, CONTEXT_FEATURES)
        self.champions = _Rows(CHAMPION_SNAPSHOTS, CHAMPION_FEATURES)
        self._player_names = {str(row["player_id"]): str(row["player_name"]) for row in rows}
        self._team_names = {str(row["team_id"]): str(row["team"]) for row in rows if row["team_id"] is not None}

    def snapshots(self) -> Snapshots:
        """All that was written."""
        tables = (self.players, self.teams, self.tournaments, self.champions)
        return Snapshots(*(table.to_arrow() for table in tables))

    def write_series(self, one: _Series) -> None:
        """The snapshot of all that take part, as of the start of their series."""
        for player_id, position in one.players:
            self._write_player(player_id, position, one.league, one.series_id, one.starts_us)
        for team_id in one.teams:
            self._write_team(team_id, one.league, one.series_id, one.starts_us)
        self._write_tournament(one.league, one.patch, one.series_id, one.starts_us)
        for champion, position in one.picks:
            self._write_champion(champion, position, one.series_id, one.starts_us)

    def write_newest(self, now_us: int) -> None:
        """The snapshot of everyone, from which answers are served."""
        history = self.history
        for team_id, team in sorted(history.teams.items()):
            self._write_team(team_id, team.league, None, now_us)
        for player_id, player in sorted(history.players.items()):
            self._write_player(player_id, player.position, player.last_league, None, now_us)
        for league, record in sorted(history.leagues.items()):
            self._write_tournament(league, record.last_patch, None, now_us)
        for champion, position in sorted(history.champions.known):
            self._write_champion(champion, position, None, now_us)

    def _write_player(self, player_id: str, position: int, league: str, series_id: str | None, now_us: int) -> None:
        known = self.history.players.get(player_id)
        vector = self.history.player(player_id, position, league, now_us)
        team_id = known.team_id if known else None
        self.players.add(
            series_id,
            now_us,
            vector,
            player_id=player_id,
            player_name=self._player_names[player_id],
            position_primary=str(POSITIONS[position]),
            team_id=team_id,
            team_current=self._team_names.get(team_id) if team_id else None,
            tournament=league,
            tournaments_played=sorted(known.leagues) if known else [],
            champions_played=sorted({champion for champion in known.champions if champion}) if known else [],
            data_quality_score=known.quality if known else 0.0,
            **(dict.fromkeys(RECENT_MAPS) if series_id or known is None else self._recent_maps(known)),
        )

    def _recent_maps(self, player: PlayerHistory) -> dict[str, list[object]]:
        """The columns of RECENT_MAPS."""
        rows = [
            (
                game.started_us,
                self._team_names.get(next((one.team_id for one in game.teams if one is not team), None) or ""),
                team.won,
                played.champion or None,
                played.kills,
                played.deaths,
                played.assists,
            )
            for game, team, played in reversed(player.last_maps)
        ]
        return dict(zip(RECENT_MAPS, map(list, zip(*rows, strict=True)), strict=True))

    def _write_team(self, team_id: str, league: str, series_id: str | None, now_us: int) -> None:
        vector = self.history.team(team_id, league, now_us)
        self.teams.add(
            series_id, now_us, vector, team_id=team_id, team_name=self._team_names[team_id], tournament=league
        )

    def _write_tournament(self, league: str, patch: str, series_id: str | None, now_us: int) -> None:
        vector = self.history.context(league, patch)
        self.tournaments.add(series_id, now_us, vector, tournament=league, patch_version=patch or None)

    def _write_champion(self, champion: str, position: int, series_id: str | None, now_us: int) -> None:
        vector = np.array(self.history.champions.snapshot(champion, position))
        self.champions.add(series_id, now_us, vector, champion=champion, position=str(POSITIONS[position]))


def _games(rows: Iterable[Mapping[str, object]]) -> Iterator[PlayedGame]:
    by_match: defaultdict[object, list[Mapping[str, object]]] = defaultdict(list)
    for row in rows:
        by_match[row["match_id"]].append(row)
    for match_id, members in by_match.items():
        winners = [row for row in members if row["won"]]
        losers = [row for row in members if not row["won"]]
        any_row = members[0]
        started_us = _whole(any_row["started_at"])
        yield PlayedGame(
            match_id=str(match_id),
            league=str(any_row["tournament"]),
            patch=_text(any_row["patch_version"]),
            started_us=started_us,
            ended_us=started_us + _whole(any_row["duration_seconds"]) * 1_000_000,
            teams=(_team(winners, losers, won=True), _team(losers, winners, won=False)),
        )


def _team(own: list[Mapping[str, object]], other: list[Mapping[str, object]], *, won: bool) -> PlayedTeam:
    kills = own[0]["team_kills"] if own else other[0]["opponent_kills"]
    team_id = own[0]["team_id"] if own else None
    return PlayedTeam(
        team_id=None if team_id is None else str(team_id),
        won=won,
        kills=_whole(kills),
        players=tuple(_played_by(row) for row in sorted(own, key=lambda row: str(row["position"]))),
    )


def _played_by(row: Mapping[str, object]) -> PlayedBy:
    return PlayedBy(
        player_id=str(row["player_id"]),
        position=POSITION_INDEX[str(row["position"])],
        champion=_text(row["champion"]),
        kills=_whole(row["kills"]),
        deaths=_whole(row["deaths"]),
        assists=_whole(row["assists"]),
        damage_share=_number(row["damage_share"]),
        vision_score=_number(row["vision_score"]),
    )


def _text(value: object) -> str:
    """The text, empty where the source does not tell."""
    return "" if value is None else str(value)


def _number(value: object) -> float:
    return _NAN if value is None else float(value)  # type: ignore[arg-type]


def _whole(value: object) -> int:
    return int(value)  # type: ignore[call-overload, no-any-return]


def _series(rows: Iterable[Mapping[str, object]]) -> Iterator[_Series]:
    by_series: defaultdict[object, list[Mapping[str, object]]] = defaultdict(list)
    for row in rows:
        by_series[row["series_id"]].append(row)
    for series_id, members in by_series.items():
        first = members[0]  # the rows are in order of time
        players: dict[str, int] = {}
        for row in members:  # who changes role within the series has the role of his first game
            players.setdefault(str(row["player_id"]), POSITION_INDEX[str(row["position"])])
        yield _Series(
            series_id=str(series_id),
            starts_us=_whole(first["started_at"]),
            league=str(first["tournament"]),
            patch=_text(first["patch_version"]),
            players=tuple(sorted(players.items())),
            teams=tuple(sorted({str(row["team_id"]) for row in members if row["team_id"] is not None})),
            picks=tuple(
                sorted(
                    {(str(row["champion"]), POSITION_INDEX[str(row["position"])]) for row in members if row["champion"]}
                )
            ),
        )
