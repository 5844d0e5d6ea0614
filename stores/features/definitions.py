"""What each feature of the model means, made of the names in `stores.features.schema`."""

from __future__ import annotations

import re
from typing import Any

from stores.domain.feature_definitions import DataType, FeatureDefinition, FeatureType, UpdateFrequency
from stores.domain.props import MAX_MAP
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES, POSITIONS

_RESTS_ON = {
    "elo_difference": ("team_elo", "opponent_elo"),
    "expected_team_kills": ("team_team_kills_hl30", "opponent_team_deaths_hl30", "league_team_kills"),
    "expected_kills_by_share": ("player_kill_share_hl40", "expected_team_kills"),
    "expected_assists_by_share": ("player_assist_share_hl40", "expected_team_kills"),
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
    return {"min": 0, "max": 1} if faded and faded["stat"].endswith(_SHARES) else None


def _text(name: str) -> str:
    if name in _RESTS_ON:
        return f"made of {', '.join(_RESTS_ON[name])}"
    subject, _, rest = name.partition("_")
    faded = _HALF_LIFE.fullmatch(rest)
    if faded:
        return f"mean of {faded['stat']} over {_OF[subject]}, half forgotten after {faded['games']} games"
    return f"{rest} over {_OF[subject]}"
