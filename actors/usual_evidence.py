"""What is usual: the average player of a role and league, and the average league, as of one lake snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stores.features.schema import PLAYER_FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from actors.published import PlayerEntry, TournamentEntry

LEAST_PLAYERS = 5  # of a role in a league; of fewer nothing is usual
_LATELY = PLAYER_FEATURES.index("games_30d")


class UsualEvidence:
    """Means over the players and leagues of one view. Immutable once built.

    Who played in the last 30 days weighs as many games as he did then, so that a mean is that of a map of today; where
    nobody did, everyone weighs all his known games.
    """

    def __init__(
        self,
        players: Sequence[PlayerEntry],
        player_rows: Mapping[str, NDArray[np.float64]],
        leagues: Sequence[TournamentEntry],
        contexts: Mapping[str, NDArray[np.float64]],
    ) -> None:
        rows = np.stack([player_rows[one.key] for one in players])
        lately, known = np.nan_to_num(rows[:, _LATELY]), np.array([float(one.games) for one in players])
        names, league = np.unique([one.tournament for one in players], return_inverse=True)
        position = np.array([one.position for one in players])
        self._anyone = _mean(rows, lately, known)
        self._of_role: dict[int, NDArray[np.float64]] = {}
        self._of_league: dict[tuple[int, str], NDArray[np.float64]] = {}
        for role in np.unique(position).tolist():
            of_role = np.flatnonzero(position == role)
            self._of_role[role] = _mean(rows[of_role], lately[of_role], known[of_role])
            for at in np.unique(league[of_role]).tolist():
                both = of_role[league[of_role] == at]
                if len(both) >= LEAST_PLAYERS:
                    self._of_league[role, str(names[at])] = _mean(rows[both], lately[both], known[both])
        of_name = dict(zip(names.tolist(), np.bincount(league, weights=lately).tolist(), strict=True))
        self.league = _mean(
            np.stack([contexts[one.key] for one in leagues]),
            np.array([of_name.get(one.name, 0.0) for one in leagues]),
            np.array([float(one.games) for one in leagues]),
        )
        """CONTEXT_FEATURES of the average league."""

    def player(self, position: int, tournament: str) -> NDArray[np.float64]:
        """PLAYER_FEATURES of the usual player of a role in a league; of the role alone where the league has few."""
        of_role = self._of_role.get(position, self._anyone)
        return self._of_league.get((position, tournament), of_role)


def _mean(rows: NDArray[np.float64], lately: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted mean of rows, of shape [features], over what is known; NaN where nothing is."""
    weights = next(one for one in (lately, known, np.ones(len(rows))) if one.any())
    told = ~np.isnan(rows) * weights[:, None]
    total = told.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(rows * told, axis=0) / total)
