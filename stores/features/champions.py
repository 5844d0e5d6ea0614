"""What a champion makes of its role: kills and assists beside the role's average, drawn to 1 while games are few."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from stores.features.schema import POSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stores.features.games import PlayedGame

PULL_GAMES = 30.0  # of an average champion; chosen on 2025, before the validation


class ChampionHistory:
    """Counts by champion and role, over all leagues."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self._roles = [[0.0, 0.0, 0.0] for _ in POSITIONS]

    @property
    def known(self) -> Mapping[tuple[str, int], list[float]]:
        """Every champion and role that was played."""
        return self._counts

    def observe(self, game: PlayedGame) -> None:
        """Take in one game; an unknown champion tells nothing."""
        for team in game.teams:
            for player in team.players:
                if player.champion:
                    for counts in (self._counts[player.champion, player.position], self._roles[player.position]):
                        counts[0] += 1.0
                        counts[1] += player.kills
                        counts[2] += player.assists

    def snapshot(self, champion: str, position: int) -> tuple[float, float, float]:
        """CHAMPION_FEATURES: the factors of kills and of assists, and the games that they rest on."""
        games, kills, assists = self._counts.get((champion, position), (0.0, 0.0, 0.0))
        role_games, role_kills, role_assists = self._roles[position]
        if not role_kills or not role_assists:
            return 1.0, 1.0, games
        weight = games + PULL_GAMES
        return (
            (kills * role_games / role_kills + PULL_GAMES) / weight,
            (assists * role_games / role_assists + PULL_GAMES) / weight,
            games,
        )

    def pool(self, champions: Iterable[str], position: int) -> tuple[float, float, float]:
        """The mean factors of the champions that a player picked of late, and how many different ones they were."""
        picked = [champion for champion in champions if champion]
        if not picked:
            return 1.0, 1.0, 0.0
        factors = [self.snapshot(champion, position) for champion in picked]
        kills, assists = (sum(one[at] for one in factors) / len(factors) for at in (0, 1))
        return kills, assists, float(len(set(picked)))
