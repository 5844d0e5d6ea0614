"""Why an answer is what it is: the strongest parts of its evidence, and the last maps of its players.

A factor's effect is the answer's expected count less that of the same question with one part of the evidence put at
what is usual. All that is made of that part (the chance to win, kills of the team, expected shares) follows, so it is
the counterfactual (Wachter, Mittelstadt and Russell 2018) of a question that could be asked. Factors are taken one at
a time; what two of them do together is in both, so they do not add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from actors.answers import predict
from actors.forecast_kernel import DIGITS, Evidence
from stores.features.schema import (
    CHAMPION_FEATURES,
    CONTEXT_FEATURES,
    PLAYER_FEATURES,
    PLAYER_HALF_LIVES,
    PLAYER_POOL,
    PLAYER_STATS,
    TEAM_FEATURES,
    TEAM_HALF_LIVES,
)
from stores.features.vector import LEAGUE_AVERAGE_TEAM

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from actors.answers import Outlook, Predictor
    from actors.feature_view import FeatureView
    from actors.published import RecentMap
    from actors.questions import SeriesQuestion
    from actors.usual_evidence import UsualEvidence

MAX_FACTORS = 6


class Family(StrEnum):
    """The parts of the evidence, as people speak of them."""

    OWN_RECORD = "own_record"
    RECENT_FORM = "recent_form"
    CHAMPION = "champion"
    CHAMPION_POOL = "champion_pool"
    TEAM_STRENGTH = "team_strength"
    OPPONENT = "opponent"
    LEAGUE_AND_PATCH = "league_and_patch"


_MEANINGS: Final = {
    Family.OWN_RECORD: "the player's own games, beside the usual player of his role and league",
    Family.RECENT_FORM: "his latest games, beside his own longer record",
    Family.CHAMPION: "the champion that he plays, beside not knowing it",
    Family.CHAMPION_POOL: "the champions of his last games, beside those of the usual player of his role and league",
    Family.TEAM_STRENGTH: "how often his team wins and kills, beside the league's average team",
    Family.OPPONENT: "how often the opponent wins, and what it allows, beside the league's average team",
    Family.LEAGUE_AND_PATCH: "how many kills the league sees on its patch, beside the average league",
}
_ALL_USUAL: Final = frozenset(Family) - {Family.LEAGUE_AND_PATCH}
_YEAR, _LATELY, _SEASON = PLAYER_HALF_LIVES[-1], PLAYER_HALF_LIVES[0], TEAM_HALF_LIVES[-1]
_SNAPSHOTS = (
    PLAYER_FEATURES,
    TEAM_FEATURES,
    TEAM_FEATURES,
    CONTEXT_FEATURES,
    CHAMPION_FEATURES,
)  # of the evidence, in order
# the number that a family is best known by: which snapshot, which column, and what it is
_LEADING: Final = {
    Family.OWN_RECORD: (0, f"{{prop}}_hl{_YEAR}", "{prop} per map, over about a year"),
    Family.RECENT_FORM: (0, f"{{prop}}_hl{_LATELY}", "{prop} per map, over the latest games"),
    Family.CHAMPION: (4, "champion_{prop}", "{prop} with this champion for one of the role's"),
    Family.CHAMPION_POOL: (0, "pool_{prop}", "{prop} with these champions for one of the role's"),
    Family.TEAM_STRENGTH: (1, f"team_kills_hl{_SEASON}", "kills of the team per map"),
    Family.OPPONENT: (2, f"team_deaths_hl{_SEASON}", "kills that the opponent allows per map"),
    Family.LEAGUE_AND_PATCH: (3, f"league_team_kills_hl{_SEASON}", "kills of a team of the league per map"),
}
_SUMMED = (Family.OWN_RECORD, Family.RECENT_FORM)  # counts per map: of several players their sum
_POOL = np.isin(PLAYER_FEATURES, PLAYER_POOL)
_LATE = {
    **{f"{stat}_hl{_LATELY}": f"{stat}_hl{_YEAR}" for stat in PLAYER_STATS},
    **{f"avg_{stat}_30d": f"{stat}_hl{_YEAR}" for stat in ("kills", "assists", "deaths")},
}
_LATE_AT, _LONG_AT = ([PLAYER_FEATURES.index(name) for name in names] for names in (_LATE, _LATE.values()))
_TREND = [PLAYER_FEATURES.index(name) for name in ("form_z_score", "recent_performance_trend")]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number behind a factor, and what is usual."""

    meaning: str
    value: float
    usual: float


@dataclass(frozen=True, slots=True)
class Factor:
    """A family and its ``effect`` on the expected count, in counts."""

    name: Family
    meaning: str
    effect: float
    figure: Figure | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The factors, strongest first, and the last maps of each player, newest first.

    ``usual_stat`` is the expected count with all of them at what is usual, the league left as it is.
    """

    usual_stat: float
    factors: tuple[Factor, ...]
    recent_maps: tuple[tuple[RecentMap, ...], ...]


def explain(outlook: Outlook, view: FeatureView, model: Predictor) -> Explanation:
    """Explain an answer by the view and the model that gave it, with one more walk through the trees."""
    asked = [frozenset({family}) for family in Family] + [_ALL_USUAL]
    tournament = outlook.inferred.tournament
    usual = [[_with_usual(one, families, view.usual, tournament) for one in outlook.series] for families in asked]
    predicted = predict([one for of_families in usual for one in of_families], model)
    means = np.array([one.forecast.calibrated.mean for one in predicted]).reshape(len(asked), -1).sum(axis=1)
    effects = np.round(outlook.forecast.calibrated.mean - means[:-1], DIGITS).tolist()
    found = sorted(zip(Family, effects, usual[:-1], strict=True), key=lambda one: -abs(one[1]))
    return Explanation(
        usual_stat=round(float(means[-1]), DIGITS),
        factors=tuple(
            Factor(family, _MEANINGS[family], effect, _figure(family, outlook.series, of_family))
            for family, effect, of_family in found[:MAX_FACTORS]
            if effect
        ),
        recent_maps=tuple(view.recent_maps(player.player_id) for player in outlook.players),
    )


def _with_usual(
    series: SeriesQuestion, families: AbstractSet[Family], usual: UsualEvidence, tournament: str
) -> SeriesQuestion:
    """The same question with these families at what is usual. Both teams are those of the first player's match."""
    known, own, other = series.evidence, Family.TEAM_STRENGTH, Family.OPPONENT
    player, team, opponent, league = (rows.copy() for rows in known[:4])
    for at, same_side in enumerate(series.same_side):
        average = known.league[at, LEAGUE_AVERAGE_TEAM]
        usual_player = usual.player(int(known.position[0, at]), tournament)
        player[at] = _usual_player(known.player[at], usual_player, families)
        if (own if same_side else other) in families:
            team[at] = average
        if (other if same_side else own) in families:
            opponent[at] = average
        if Family.LEAGUE_AND_PATCH in families:
            league[at] = usual.league
    drafted = series.drafted and Family.CHAMPION not in families
    draft = known.draft if drafted else np.full_like(known.draft, np.nan)
    evidence = Evidence(player, team, opponent, league, draft, known.position, known.same_side)
    return series._replace(drafted=drafted, evidence=evidence)


def _usual_player(
    player: NDArray[np.float64], usual: NDArray[np.float64], families: AbstractSet[Family]
) -> NDArray[np.float64]:
    """PLAYER_FEATURES with the families of one player at what is usual: form at his own record."""
    row = player.copy()
    if Family.RECENT_FORM in families:
        row[_LATE_AT], row[_TREND] = player[_LONG_AT], 0.0
        row[np.isnan(player)] = np.nan  # without a recent game there is no form to be usual
    if Family.OWN_RECORD in families:
        row[~_POOL] = usual[~_POOL]
    if Family.CHAMPION_POOL in families:
        row[_POOL] = usual[_POOL]
    return row


def _figure(family: Family, asked: tuple[SeriesQuestion, ...], usual: list[SeriesQuestion]) -> Figure | None:
    """The family's leading number; None where it is unknown, or not the same for all players and no sum."""
    at, column, meaning = _LEADING[family]
    prop = asked[0].prop
    place = _SNAPSHOTS[at].index(column.format(prop=prop))

    def read(series: SeriesQuestion) -> list[float]:
        told: list[float] = series.evidence[at][:, place].tolist()
        return [1.0 if family is Family.CHAMPION and math.isnan(one) else one for one in told]

    value, beside = ([told for one in both for told in read(one)] for both in (asked, usual))
    if family in _SUMMED:
        value, beside = [sum(value)], [sum(beside)]
    if len({*value}) > 1 or len({*beside}) > 1 or math.isnan(value[0] + beside[0]):
        return None
    return Figure(meaning.format(prop=prop), round(value[0], DIGITS), round(beside[0], DIGITS))
