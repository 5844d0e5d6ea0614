"""What people read of an answer: with an explanation why it is so, and without one what they always read."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.ask import show
from cluster.show import people

REQUEST = {"player_names": ["Faker"], "prop_type": "kills", "prop_value": 3.5, "map_range": [1, 1]}
ANSWER: dict[str, Any] = {
    "prediction": "OVER",
    "confidence": 61.25,
    "base_model_confidence": 60.0,
    "push_probability": 0.0,
    "expected_stat": 4.5,
    "confidence_interval": [1.0, 8.0],
    "data_tier": 1,
    "data_tier_meaning": "50 or more of the player's own games",
    "model_version": "v1",
    "feature_version": "f2",
    "prediction_id": "id",
    "warnings": [],
    "explanation": None,
}
CURVE = {"player_name": "Faker", "prop_values": [3.5], "over_probabilities": [61.25], "predictions": ["OVER"]}
WHY = {
    "usual_stat": 3.25,
    "factors": [
        {"name": "opponent", "meaning": "what it allows", "effect": -0.5, "figure": None, "value": None, "usual": None},
        {
            "name": "own_record",
            "meaning": "his games",
            "effect": 0.25,
            "figure": "kills per map",
            "value": 4.0,
            "usual": 3.5,
        },
    ],
    "recent_maps": [
        {
            "player_id": "p:faker",
            "player": "[Faker]",
            "maps": [
                {
                    "played_at": "2026-05-30T15:00:00Z",
                    "opponent": None,
                    "won": True,
                    "champion": "Azir",
                    "kills": 7,
                    "deaths": 1,
                    "assists": 9,
                }
            ],
        }
    ],
}


@pytest.mark.parametrize("explanation", [None, WHY])
def test_people_read_why(explanation: dict[str, Any] | None) -> None:
    """Each factor with its effect and its figure, if it has one, and each of the last maps; nothing unless asked."""
    with people.capture() as captured:
        show(REQUEST, {**ANSWER, "explanation": explanation}, CURVE)
    text = captured.get()
    assert "OVER with 61.2%" in text
    told = (
        "in an average team 3.25 kills are expected",
        "-0.50 opponent: what it allows\n",
        "+0.25 own_record: his games (kills per map: 4.00, usual 3.50)\n",
        "last maps of [Faker]",
        "2026-05-30",
        "unknown",
        "Azir",
    )
    assert [one in text for one in told] == [explanation is not None] * len(told)
