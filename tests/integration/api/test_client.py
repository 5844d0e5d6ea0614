"""The client against the whole app: every call, typed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serve_apps.client import InvalidRequest, Riftline
from serve_apps.history_wire import FeedbackRequest
from serve_apps.wire import PredictionRequest
from stores.domain.feedback import ActualResult
from stores.domain.props import PropType
from tests.integration.api.conftest import VERSION, question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.api.conftest import Api

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def client(api: Api) -> Iterator[Riftline]:
    """A client of the app, in this process."""
    key = api.user["Authorization"].removeprefix("Bearer ")
    with Riftline("http://testserver", key, transport=api.client._transport) as made:  # noqa: SLF001  # no socket
        yield made


def test_every_call(client: Riftline) -> None:
    """What is asked, stored, found again and told of its outcome."""
    asked = PredictionRequest.model_validate(question(player_names=["Chovy"]))
    answer = client.predict(asked)
    assert client.predict(asked, idempotency_key="mine") == client.predict(asked, idempotency_key="mine")
    batch = client.predict_batch([asked] * 3)
    assert batch.succeeded == 3
    kept = client.prediction(answer.prediction_id)
    assert (kept.confidence, kept.request.player_names) == (answer.confidence, ["Chovy"])
    given = [item.result.prediction_id for item in batch.items if item.result]
    assert [client.prediction(one).prediction_id for one in given] == given  # each is waited for, the history is not
    ids = [one.prediction_id for one in client.history({"[player_name][eq]": "Chovy"}, limit=2)]
    assert {answer.prediction_id, *given} <= set(ids)
    assert ids == sorted(ids, reverse=True)
    said = client.give_feedback(answer.prediction_id, FeedbackRequest(actual_stat_value=7))
    assert said.actual_result is ActualResult.OVER
    assert client.prediction(answer.prediction_id).outcomes == [said]


def test_every_search(client: Riftline) -> None:
    """Names, a curve by an id with a colon, and the model."""
    (faker,) = client.players("faker", 1)
    assert client.teams("T1")[0].name == "T1"
    assert client.tournaments()
    curve = client.curve(faker.player_id, PropType.KILLS, map_last=2)
    assert curve.over_probabilities == sorted(curve.over_probabilities, reverse=True)
    assert client.model_status().model_version == VERSION


def test_a_problem_names_the_field(client: Riftline) -> None:
    """With suggestions."""
    with pytest.raises(InvalidRequest) as caught:
        client.predict(PredictionRequest.model_validate(question(player_names=["Fakr"])))
    assert caught.value.problem.field == "player_names.0"
    assert caught.value.problem.suggestions
    assert caught.value.request_id


def test_the_example_of_the_page_runs(api: Api, client: Riftline, capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line, against this app."""
    (example,) = EXAMPLE.findall(PAGE.read_text())
    served = {"Riftline": lambda *_: client}
    exec(example.replace("from serve_apps.client import Riftline\n", ""), served)  # noqa: S102  # our own page
    assert re.search(r"(OVER|UNDER) at [0-9.]+%", capsys.readouterr().out)
    assert api.client.get("/health").status_code == 200
