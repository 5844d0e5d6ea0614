"""The question on the wire: draft and format reach the domain, and what is wrong with them names its field."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from serve_apps import api, problems, wire
from serve_apps.problems import problem_of
from stores.domain.props import MapRange, PropRequest, PropType

ASKED = {"player_names": ["Faker", "Keria"], "prop_type": "kills", "prop_value": 4.5, "map_range": [1, 2]}


def domain(**changes: Any) -> PropRequest:
    """The domain's question of a message."""
    return wire.PredictionRequest.model_validate({**ASKED, **changes}).to_domain()


def test_draft_and_format_reach_the_domain() -> None:
    """What the message tells is what is asked; left out or null, it is unknown."""
    told = domain(champions=["Azir", "Nunu & Willump"], best_of=5)
    assert told == PropRequest(
        ("Faker", "Keria"), PropType.KILLS, 4.5, MapRange(1, 2), champions=("Azir", "Nunu & Willump"), best_of=5
    )
    nothings: list[dict[str, Any]] = [{}, {"champions": []}, {"best_of": None}]
    for nothing in nothings:
        assert (domain(**nothing).champions, domain(**nothing).best_of) == ((), None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({"best_of": value}, "best_of") for value in (0, 1, 2, 4, 7, -3, "3", 3.5, True, [3], 10**400)),
        *(({"champions": value}, "champions") for value in ("Azir", 7, None, {"0": "Azir"}, ["Azir"], ["Azir"] * 11)),
        *(
            ({"champions": ["Azir", value]}, "champions.1")
            for value in ("", " ", 7, None, "a\u0000", "x" * 101, "azir")
        ),
    ],
)
def test_what_is_wrong_names_its_field(changes: dict[str, Any], field: str) -> None:
    """A wrong type or value is a problem of the message's own field, whether message or domain refuses it."""
    with pytest.raises(Exception) as refused:  # noqa: PT011 — of pydantic or of the domain
        domain(**changes)
    problem = problem_of(refused.value)
    assert (problem.status, problem.field) == (422, field)


def test_an_explanation_is_not_part_of_the_question() -> None:
    """It is asked for beside the question, by true or false and nothing else."""
    told = wire.PredictionRequest.model_validate({**ASKED, "explain": True})
    assert told.explain
    assert told.to_domain() == domain()
    assert not wire.PredictionRequest.model_validate(ASKED).explain
    for wrong in ("yes", 1, None):
        with pytest.raises(ValidationError) as refused:
            domain(explain=wrong)
        assert problem_of(refused.value).field == "explain"


def test_the_documented_questions_are_questions() -> None:
    """Each example of the OpenAPI document is valid, and one of them tells the draft."""
    examples = wire.PredictionRequest.model_json_schema()["examples"]
    asked = [wire.PredictionRequest.model_validate(one).to_domain() for one in examples]
    assert [bool(one.champions) for one in asked] == [False, True]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"best_of": "2"}, "best_of"),
        ({"best_of": "x"}, "best_of"),
        ({"best_of": "1", "map_last": "3"}, "best_of"),
        ({"champion": " "}, "champion"),
        ({"champion": ""}, "champion"),
    ],
)
async def test_a_curve_names_its_own_parameters(params: dict[str, str], field: str) -> None:
    """Draft and format of a curve are refused under the names that the query has."""
    app = FastAPI()
    app.include_router(api.predictions)
    problems.install(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://riftline") as client:
        answer = await client.get("/predict/curve/Faker", params={"prop_type": "kills", **params})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
