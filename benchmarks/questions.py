"""Questions that are all different: player, prop, maps, opponent and line, drawn without repetition.

python -m benchmarks.questions --count 3
"""

from __future__ import annotations

import argparse
import math
import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from benchmarks.released import read_released
from stores.domain.props import PropType
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.feature_view import FeatureView

MAPS = ((1, 1), (1, 2), (1, 3), (2, 2), (3, 3))
LINES = tuple(count + 0.5 for count in range(12))


@dataclass(frozen=True, slots=True)
class Player:
    """A player by name, and the teams that it can meet."""

    name: str
    opponents: tuple[str, ...]


def players_of(view: FeatureView) -> list[Player]:
    """Every player that its name finds, with every team that is not its own."""
    found = [entry for entry in view.players.entries if view.players.find(entry.name) is entry]
    teams = [entry for entry in view.teams.entries if view.teams.find(entry.name) is entry]
    return [Player(entry.name, tuple(team.name for team in teams if team.team_id != entry.team_id)) for entry in found]


class Supply:
    """Questions in order, each handed out once, until all were asked; then they begin again, and ``repeated`` says so.

    What is handed out may be more than will be asked, as nobody knows how fast the answers come: `asked` tells.
    """

    def __init__(self, questions: Iterable[bytes]) -> None:
        self.repeated = False
        self._questions = list(questions)
        self._asked = 0
        self._most = 0

    def upcoming(self, count: int) -> list[bytes]:
        """The next ones, fewer only where there are no more different ones at all."""
        begin = self._asked % len(self._questions)
        found = self._questions[begin : begin + count]
        found += self._questions[: min(count - len(found), begin)]
        self._most = len(found)
        return found

    def asked(self, count: int) -> None:
        """So many of those that were handed out last were asked."""
        self._asked += count
        self.repeated |= count > self._most or self._asked > len(self._questions)


def supply(settings: Settings, count: int) -> Supply:
    """So many different questions about the players of the newest features."""
    return Supply(draw(players_of(read_released(settings).view), count))


def draw(players: Sequence[Player], count: int, seed: int = 0) -> Iterator[bytes]:
    """So many different request bodies in random order; fewer only if there are no more questions to ask."""
    opponents = max(len(player.opponents) for player in players)
    radices = (len(players), len(PropType), len(MAPS), opponents, len(LINES))
    chooser = random.Random(seed)  # noqa: S311 — repeatable questions, no secret
    props = tuple(PropType)
    left = count
    total = math.prod(radices)
    for number in chooser.sample(range(total), min(total, 2 * count)):
        who, prop, maps, opponent, line = _digits(number, radices)
        if left and opponent < len(players[who].opponents):
            left -= 1
            yield orjson.dumps(
                {
                    "player_names": [players[who].name],
                    "prop_type": props[prop],
                    "prop_value": LINES[line],
                    "map_range": MAPS[maps],
                    "opponent": players[who].opponents[opponent],
                }
            )


def _digits(number: int, radices: Sequence[int]) -> list[int]:
    digits = []
    for radix in radices:
        number, digit = divmod(number, radix)
        digits.append(digit)
    return digits


def main() -> None:
    """Print questions, one a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    view = read_released(Settings.from_env(os.environ)).view
    for body in draw(players_of(view), options.count, options.seed):
        print(body.decode())


if __name__ == "__main__":
    main()
