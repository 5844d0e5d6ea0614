"""The typed client against the running service: every call, waiting and not, and the page's example as it stands."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serve_apps.client import AccessRefused, AsyncRiftline, InvalidRequest, NoAnswer, QuotaExceeded, Riftline
from serve_apps.history_wire import FeedbackRequest
from serve_apps.wire import PredictionRequest
from stores.domain.feedback import ActualResult
from stores.domain.props import PropType
from tests.e2e.conftest import free_ports, new_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Riftline as Running

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


class Waiting:
    """`AsyncRiftline`, called as `Riftline` is: each call is waited for, and a history is read to its end."""

    def __init__(self, base_url: str, api_key: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncRiftline(base_url, api_key, **options)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            made = getattr(self._client, name)(*arguments, **named)
            return self._runner.run(made if inspect.iscoroutine(made) else _all(made))

        return call

    def close(self) -> None:
        """Close the connections and the loop."""
        self._runner.run(self._client.close())
        self._runner.close()


async def _all(found: Any) -> list[Any]:
    return [one async for one in found]


@pytest.fixture(params=[Riftline, Waiting])
def api(request: pytest.FixtureRequest, riftline: Running, keys: dict[str, str]) -> Iterator[Any]:
    """A client of the running service, of either kind."""
    made = request.param(riftline.base_url, keys["bot"])
    yield made
    made.close()


def test_what_is_asked_is_found_again(riftline: Running, api: Any) -> None:
    """A question, a batch, the history across pages, and what became of it."""
    name = riftline.players()[60]["name"]
    asked = PredictionRequest(player_names=[name], prop_type=PropType.KILLS, prop_value=3.5, map_range=[1, 2])
    answer = api.predict(asked, idempotency_key=f"mine {type(api)}".replace(" ", "-"))
    assert answer == api.predict(asked, idempotency_key=f"mine {type(api)}".replace(" ", "-"))
    batch = api.predict_batch([asked] * 3)
    assert (batch.succeeded, batch.failed) == (3, 0)
    given = {answer.prediction_id, *(item.result.prediction_id for item in batch.items)}
    for one in given:
        assert api.prediction(one).request.player_names == [name]
    assert given <= {one.prediction_id for one in api.history({"[player_name][eq]": name}, limit=2)}
    said = api.give_feedback(answer.prediction_id, FeedbackRequest(actual_stat_value=7))
    assert said.actual_result is ActualResult.OVER
    assert api.prediction(answer.prediction_id).outcomes == [said]


def test_what_there_is_to_ask_for(riftline: Running, api: Any) -> None:
    """Players, teams, tournaments, the model, and a curve."""
    player = api.players(riftline.players()[0]["name"].upper(), 1)[0]
    assert player.model_dump(mode="json") == riftline.players()[0]
    assert player.team in [one.name for one in api.teams(player.team)]
    assert player.tournament in [one.name for one in api.tournaments()]
    curve = api.curve(player.player_id, PropType.KILLS, map_last=2)
    assert curve.over_probabilities == sorted(curve.over_probabilities, reverse=True)
    assert curve.model_version == api.model_status().model_version


def test_what_is_refused_is_raised(riftline: Running, api: Any) -> None:
    """By its kind, with what the problem says; a service that is not there is one too."""
    nobody = PredictionRequest(
        player_names=["Nobody At All"], prop_type=PropType.KILLS, prop_value=3.5, map_range=[1, 1]
    )
    with pytest.raises(InvalidRequest) as unknown:
        api.predict(nobody)
    assert (unknown.value.problem.field, unknown.value.problem.code) == ("player_names.0", "unknown-name")
    assert unknown.value.request_id
    stranger = type(api)(riftline.base_url, "rl_live_00000000_" + "x" * 43)
    with pytest.raises(AccessRefused):
        stranger.model_status()
    stranger.close()
    lost = type(api)(f"http://127.0.0.1:{free_ports(1)[0]}", "", repeats=0)
    with pytest.raises(NoAnswer):
        lost.model_status()
    lost.close()


def test_a_quota_is_raised_with_its_end(riftline: Running) -> None:
    """Where no repetition is wanted."""
    asked = PredictionRequest.model_validate(riftline.question())
    with Riftline(riftline.base_url, new_key(riftline, "many")["key"], repeats=0) as api:
        api.predict_batch([asked] * 900)
        with pytest.raises(QuotaExceeded) as caught:
            api.predict_batch([asked] * 900)
    assert (caught.value.retry_after_s or 0) >= 1


def test_the_example_of_the_page_runs(riftline: Running, keys: dict[str, str]) -> None:
    """As it is copied, but for the port and the player, who is one of this season; with a key and without."""
    (example,) = EXAMPLE.findall((ROOT / "docs" / "api.md").read_text())
    program = example.replace("http://127.0.0.1:8000", riftline.base_url)
    for env in (riftline.env, {**riftline.env, "RIFTLINE_API_KEY": keys["bot"]}):
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"(OVER|UNDER) at [0-9.]+%, expected [0-9.]+", done.stdout)
