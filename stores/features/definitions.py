"""What each feature of the model means, made of the names in `stores.features.schema`."""

from __future__ import annotations

import re
from typing import Any

from stores.domain.feature_definitions import DataType, FeatureDefinition, FeatureType, UpdateFrequency
from stores.domain.props import MAX_MAP
from stores.features.schema import EXPECTATIONS, FEATURE_VERSION, MODEL_FEATURES, POSITIONS

_RESTS_ON = {
    "elo_difference": ("team_elo", "opponent_elo"),
    "expected_pace": ("team_attack", "opponent_defence"),
    "expected_opponent_pace": ("opponent_attack", "team_defence"),
    "expected_length": ("league_game_minutes", "team_length", "opponent_length"),
    "lineup_kills_share": ("player_kills_factor",),
    "expected_team_kills": ("team_team_kills_hl30", "opponent_team_deaths_hl30", "league_team_kills"),
    "expected_kills_by_share": ("player_kill_share_hl40", "expected_team_kills"),
    "expected_assists_by_share": ("player_assist_share_hl40", "expected_team_kills"),
    **{  # expected_{prop}_when_{result}
        name: (f"league_kills_{name.split('_', 2)[2]}", "expected_pace", f"player_{name.split('_')[1]}_factor")
        for name in EXPECTATIONS
    },
}
_OF = {
    "player": "the player's own games",
    "team": "the games of the player's team",
    "opponent": "the games of the opponent",
    "league": "all games of the league",
    "role": "the league's players of this role",
    "patch": "all games of the patch",
}
_HALF_LIFE = re.compile(r"(?P<stat>\w+)_hl(?P<games>\d+)")
_INDICES = {
    "position": (FeatureType.CATEGORICAL, {"min": 0, "max": len(POSITIONS) - 1}, "the role, as its index"),
    "game_number": (FeatureType.NUMERICAL, {"min": 1, "max": MAX_MAP}, "which game of the series it is"),
}
_SHARES = ("won", "_share", "kill_participation")  # means of values between 0 and 1
_NEVER_NEGATIVE = re.compile(
    r"\w+_(factor|variance|attack|defence|length|pace|game_minutes|when_(won|lost))|player_pool_(kills|assists)"
)
_RANGES = {"lineup_kills_share": {"min": 0, "max": 1}, "player_pool_champions": {"min": 0, "max": 20}}
_BESIDE = {
    "attack": "kills made beside an average team's, against the same opponents with the same results",
    "defence": "kills allowed beside an average team's, against the same opponents with the same results",
    "length": "minutes of a game beside the league's",
    "kills_factor": "the part in the team's kills beside the role's",
    "assists_factor": "assists per kill of the team beside the role's",
    "deaths_factor": "the part in the opponent's kills beside the role's",
    "role_kills_factor": "the part in the team's kills of its last player in this role, beside the role's",
    "role_deaths_factor": "the part in the other team's kills of its last player in this role, beside the role's",
    "patch_factor": "kills on this patch beside the league's",
}
_STATES = {
    "strength": "log-odds that the player adds to his team's chance to win, beside an average player",
    "pool_kills": "kills of the champions of the last 20 games beside the role's, as a factor",
    "pool_assists": "assists of the champions of the last 20 games beside the role's, as a factor",
    "pool_champions": "different champions in the last 20 games",
    "elo": "rating after Elo (1978)",
    "game_minutes": "minutes of a game between average teams",
}
_WHOLE_NAMES = {
    "rating_difference": "log-odds that the team wins against the opponent, by the results of both teams",
    "rating_variance": "variance of rating_difference: what is not known of both teams",
    "roster_difference": "mean strength of the team's last line-up less that of the opponent's, in log-odds of winning",
    "lineup_kills_share": "the player's part in the team's kills, once the shares of its last line-up add up to 1",
}


def model_feature_definitions() -> tuple[FeatureDefinition, ...]:
    """The definitions of MODEL_FEATURES, in their order; hand them to `FeatureDefinitions.register`."""
    return tuple(_definition(name) for name in MODEL_FEATURES)


def _definition(name: str) -> FeatureDefinition:
    kind, rules, text = _INDICES.get(name) or (FeatureType.NUMERICAL, _rules(name), _text(name))
    return FeatureDefinition(
        feature_name=name,
        feature_type=kind,
        data_type=DataType.FLOAT,
        computation_logic="stores.features.vector.assemble",
        dependencies=_RESTS_ON.get(name, ()),
        update_frequency=UpdateFrequency.REAL_TIME,
        validation_rules=rules,
        description=text,
        business_context=f"a column of the model's row, feature version {FEATURE_VERSION}",
    )


def _rules(name: str) -> dict[str, Any] | None:
    faded = _HALF_LIFE.fullmatch(name)
    if faded and faded["stat"].endswith(_SHARES):
        return {"min": 0, "max": 1}
    return _RANGES.get(name) or ({"min": 0} if _NEVER_NEGATIVE.fullmatch(name) else None)


def _text(name: str) -> str:
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    if name in EXPECTATIONS:
        return f"made of {', '.join(_RESTS_ON[name])} and the role's share of the team's kills in such a result"
    if name in _RESTS_ON:
        return f"made of {', '.join(_RESTS_ON[name])}"
    subject, _, rest = name.partition("_")
    return _of_subject(rest, _OF[subject])


def _of_subject(name: str, games: str) -> str:
    faded = _HALF_LIFE.fullmatch(name)
    if faded:
        return f"mean of {faded['stat']} over {games}, half forgotten after {faded['games']} games"
    if name.endswith("_variance"):
        level = name.removesuffix("_variance")
        of_what = level if level == "strength" else f"the logarithm of {_factor_of(level)}"
        return f"variance of {of_what}: what {games} leave unknown"
    if name in _BESIDE:
        return f"{_BESIDE[name]}, as a factor (1 is average), learnt from {games}"
    stat, _, result = name.partition("_when_")
    if result:
        return f"{stat} per game that was {result}, over {games}"
    return f"{_STATES[name]}, from {games}" if name in _STATES else f"{name} over {games}"


def _factor_of(level: str) -> str:
    return level if level in _BESIDE else f"{level}_factor"
