"""What is remembered of one player."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from stores.features.belief import DAY_US
from stores.features.decay import DecayedMeans
from stores.features.schema import PLAYER_HALF_LIVES, PLAYER_STATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stores.features.games import PlayedBy, PlayedGame, PlayedTeam

LAST_MAPS = 10  # shown beside an answer
WINDOW_DAYS = 30
MAX_REST_DAYS = 30.0  # a longer pause is an off-season, whatever its length
FORM_GAMES = 5
STRENGTHS = (1.5, 3.0, 6.0)  # games that the pull of each horizon weighs; chosen on 2025, before the validation
NAN = float("nan")
RESULT_DECAY = 0.97  # per game, of the counts by result
RESULT_PULL = 12.0  # games of the role's average player that won, or lost


def player_stats(game: PlayedGame, team: PlayedTeam, opponent_kills: int, player: PlayedBy) -> NDArray[np.float64]:
    """The stats of one player in one game, in the order of PLAYER_STATS."""
    minutes = game.minutes
    team_kills = team.kills
    share = 1.0 / team_kills if team_kills else NAN
    return np.array(
        [
            player.kills,
            player.assists,
            player.deaths,
            player.kills * share,
            player.assists * share,
            (player.kills + player.assists) * share,
            team_kills,
            opponent_kills,
            minutes,
            team.won,
            player.damage_share,
            player.vision_score / minutes,
        ]
    )


class PlayerHistory:
    """Decayed means, a 30-day window and the identity of one player. Grows by at most a window of games."""

    __slots__ = (
        "_means",
        "_recent",
        "_results",
        "_window",
        "champions",
        "games",
        "last_league",
        "last_maps",
        "last_us",
        "leagues",
        "position",
        "team_id",
    )

    def __init__(self) -> None:
        self._means = DecayedMeans(PLAYER_HALF_LIVES, len(PLAYER_STATS))
        self._window: deque[tuple[int, int, int, int]] = deque()
        self._recent: deque[tuple[int, int]] = deque(maxlen=20)
        # lost, won: kills and what was usual for the role then, assists and the same
        self._results = [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
        self.champions: deque[str] = deque(maxlen=20)
        self.last_maps: deque[tuple[PlayedGame, PlayedTeam, PlayedBy]] = deque(maxlen=LAST_MAPS)  # the newest last
        self.leagues: set[str] = set()
        self.games = 0
        self.last_league = ""
        self.last_us = 0
        self.position = -1
        self.team_id: str | None = None

    def observe(
        self,
        game: PlayedGame,
        team: PlayedTeam,
        player: PlayedBy,
        stats: NDArray[np.float64],
        usual: Sequence[float],
    ) -> None:
        """Take in one game of this player; ``usual`` are RESULT_STATS of the average player of his role then."""
        self._means.observe(stats)
        self._window.append((game.ended_us, player.kills, player.assists, player.deaths))
        self._recent.append((player.kills, player.assists))
        for counts in self._results:
            counts[:] = [RESULT_DECAY * count for count in counts]
        kills, assists = (usual[0], usual[2]) if team.won else (usual[1], usual[3])
        of_result = self._results[team.won]
        for at, count in enumerate((player.kills, kills, player.assists, assists)):
            of_result[at] += count
        self.champions.append(player.champion)
        self.last_maps.append((game, team, player))
        self.last_league = game.league
        self.leagues.add(game.league)
        self.games += 1
        self.last_us = game.ended_us
        self.position = player.position
        self.team_id = team.team_id

    @property
    def quality(self) -> float:
        """The share of stats that the sources gave for this player, weighed over a year: 1 when none was missing."""
        weights = self._means.weights[-1]
        return min(1.0, float(weights.mean() / weights.max())) if self.games else 0.0  # a rounded mean may exceed it

    def snapshot(self, now_us: int, prior: NDArray[np.float64], usual: Sequence[float]) -> NDArray[np.float64]:
        """The features of own games as of a moment, those of PLAYER_FEATURES up to RESULT_STATS.

        ``prior`` are the means of role and league, ``usual`` what RESULT_STATS are now for an average player of both.
        """
        means = self._means.shrunk(prior, STRENGTHS)
        return np.concatenate([means.ravel(), self._window_features(now_us, means), self._by_result(usual)])

    def _by_result(self, usual: Sequence[float]) -> list[float]:
        """RESULT_STATS: what is usual now, times own counts beside what was usual then, drawn to 1.

        Counts of another season or league were made where other counts were usual; their ratio is what carries over.
        """
        values = []
        for stat, now in enumerate(usual):
            counts = self._results[1 - stat % 2]  # when won comes first
            own, then = counts[stat // 2 * 2], counts[stat // 2 * 2 + 1]
            pull = RESULT_PULL * now
            values.append(now * (own + pull) / (then + pull))
        return values

    def _window_features(self, now_us: int, means: NDArray[np.float64]) -> NDArray[np.float64]:
        while self._window and self._window[0][0] < now_us - WINDOW_DAYS * DAY_US:
            self._window.popleft()
        count = len(self._window)
        rest = min((now_us - self.last_us) / DAY_US, MAX_REST_DAYS) if self.games else NAN
        averages = [NAN] * 5
        if count:
            numbers = np.array(self._window, dtype=np.float64)[:, 1:]
            averages[:3] = numbers.mean(axis=0)
            averages[3:] = numbers[:, :2].std(axis=0)
        return np.array([*averages, *self._form(means), count, self.games, rest])

    def _form(self, means: NDArray[np.float64]) -> tuple[float, float, float]:
        """Form as a z-score of the last games, the trend between horizons, and the spread relative to the mean."""
        trend = float(means[0, 0] + means[0, 1] - means[2, 0] - means[2, 1])
        if len(self._recent) < FORM_GAMES:
            return NAN, trend, NAN
        takedowns = np.array(self._recent, dtype=np.float64).sum(axis=1)
        spread = float(takedowns.std())
        mean = float(takedowns.mean())
        if spread == 0 or mean == 0:
            return 0.0, trend, 0.0
        form = float(takedowns[-FORM_GAMES:].mean())
        return (form - mean) / (spread / FORM_GAMES**0.5), trend, spread / mean
