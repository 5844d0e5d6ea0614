"""History and feedback over HTTP: what was given is found again by its owner, page by page, and by nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from serve_apps.history_wire import HistoryPage
from stores.clock import utc_now
from stores.domain.prediction_filters import OPERATORS
from stores.domain.prediction_id import new_prediction_id
from tests.integration.api.conftest import VERSION, question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.api.conftest import Api


def _pages(api: Api, headers: dict[str, str], path: str = "/predictions", **params: Any) -> Iterator[dict[str, Any]]:
    """Every page, by following the header Link."""
    said = api.client.get(path, params=params, headers=headers)
    while True:
        assert said.status_code == 200, said.text
        page = said.json()
        yield page
        link = said.links.get("next")
        assert (link["url"] if link else None) == page["next"]
        if link is None:
            return
        said = api.client.get(link["url"], headers=headers)


def _ids(api: Api, headers: dict[str, str], **params: Any) -> list[str]:
    return [one["prediction_id"] for page in _pages(api, headers, **params) for one in page["predictions"]]


@pytest.fixture(scope="module")
def given(api: Api) -> list[dict[str, Any]]:
    """What a user was answered, newest first."""
    lines = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    answers = [api.ask(api.user, prop_value=line, prop_type=prop) for line in lines for prop in ("kills", "assists")]
    api.client.get(f"/predictions/{answers[-1]['prediction_id']}", headers=api.user).raise_for_status()
    return answers[::-1]


def test_an_answer_is_found_again_at_once(api: Api) -> None:
    """What was told is what is kept, though it may still be on its way to the database."""
    for _ in range(5):
        answer = api.ask(api.user)
        said = api.client.get(f"/predictions/{answer['prediction_id']}", headers=api.user)
        assert said.status_code == 200, said.text
        kept = said.json()
        same = set(answer) & set(kept)
        assert {name: kept[name] for name in same} == {name: answer[name] for name in same}
        assert same >= {"prediction", "confidence", "expected_stat", "model_version", "lake_snapshot_id"}
        assert {name: kept["request"][name] for name in question()} == question()
        assert kept["outcomes"] == []
        assert said.headers["cache-control"] == "no-store"


def test_who_asked_is_not_told(api: Api) -> None:
    """Neither user nor address nor agent is in what is read back."""
    kept = api.client.get(f"/predictions/{api.ask(api.user)['prediction_id']}", headers=api.user).text
    assert "user" not in kept
    assert "client" not in kept
    assert "agent" not in kept


def test_another_users_prediction_is_not_found(api: Api) -> None:
    """Its owner and an administrator see it, for all others there is none; without a key all see it."""
    path = f"/predictions/{api.ask(api.user)['prediction_id']}"
    assert [api.client.get(path, headers=who).status_code for who in (api.user, api.admin)] == [200, 200]
    for who in (api.other, api.nobody, {}):
        assert api.client.get(path, headers=who).json()["code"] == "not-found"
        assert api.client.post(f"{path}/feedback", json={"actual_stat_value": 1}, headers=who).status_code == 404
    free = f"/predictions/{api.ask()['prediction_id']}"
    assert {api.client.get(free, headers=who).status_code for who in (api.user, api.nobody, {})} == {200}


@pytest.mark.parametrize(
    ("prediction_id", "status"),
    [(str(uuid4()), 422), ("x", 422), (str(new_prediction_id(utc_now())), 404)],
    ids=["no time in it", "no id", "nobody's"],
)
def test_an_unknown_id(api: Api, prediction_id: str, status: int) -> None:
    """An id that nobody gave is not found, what is no id is wrong."""
    assert api.client.get(f"/predictions/{prediction_id}").status_code == status


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_pages_hold_everything_once(api: Api, given: list[dict[str, Any]], limit: int) -> None:
    """Newest first, and the owner's alone."""
    ids = _ids(api, api.user, limit=limit)
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids, reverse=True)
    assert {one["prediction_id"] for one in given} <= set(ids)
    assert not set(ids) & set(_ids(api, api.other))


def test_filters_choose(api: Api, given: list[dict[str, Any]]) -> None:
    """They hold together, on the pages that follow too, and under the path of the version."""
    mine = {one["prediction_id"] for one in given}
    above = {"filter[prop_value][gt]": "2.5", "filter[prop_type][eq]": "kills", "limit": 2}
    found = [one for page in _pages(api, api.user, "/v1/predictions", **above) for one in page["predictions"]]
    ours = [one for one in found if one["prediction_id"] in mine]
    assert [one["request"]["prop_value"] for one in ours] == [6.5, 5.5, 4.5, 3.5]
    assert {one["request"]["prop_type"] for one in found} == {"kills"}
    listed = _ids(api, api.user, **{"filter[prop_value][in]": "0.5, 6.5", "filter[model_version][eq]": VERSION})
    assert len(set(listed) & mine) == 4
    assert not mine & set(_ids(api, api.user, **{"filter[player_name][ne]": "Faker"}))
    oldest = api.client.get(f"/predictions/{given[-1]['prediction_id']}", headers=api.user).json()["created_at"]
    assert set(_ids(api, api.user, **{"filter[created_at][gte]": oldest})) >= mine
    assert given[-1]["prediction_id"] in _ids(api, api.user, **{"filter[created_at][lte]": oldest})


def test_without_a_user_a_player_is_named(api: Api) -> None:
    """And only what was asked without one is found."""
    free = api.ask()["prediction_id"]
    api.client.get(f"/predictions/{free}").raise_for_status()
    for who in ({}, api.nobody):
        refused = api.client.get("/predictions", headers=who)
        assert (refused.status_code, refused.json()["field"]) == (422, "filter[player_name][eq]")
        found = _ids(api, who, **{"filter[player_name][eq]": "Faker"})
        assert free in found
        assert not set(found) & set(_ids(api, api.user))


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("filter[confidence][eq]", ["gt", "gte", "lt", "lte"]),
        ("filter[prop_type][like]", ["eq", "ne", "in"]),
        ("filter[user_id][eq]", ["prop_type", "player_name", "model_version"]),
        ("filter[prop_type]", ["limit", "cursor", "filter[name][operator]"]),
        ("sort", ["limit", "cursor"]),
        ("filter[prop_value][gt][x]", ["limit"]),
    ],
)
def test_what_is_not_offered_is_named(api: Api, name: str, offered: list[str]) -> None:
    """A filter, operator or parameter that is none is a 400 that says what is."""
    said = api.client.get("/predictions", params={name: "1"}, headers=api.user)
    assert said.status_code == 400, said.text
    problem = said.json()
    assert (problem["code"], problem["field"]) == ("unknown-filter", name)
    assert all(word in problem["detail"] for word in offered)


def test_a_wrong_value_is_named(api: Api) -> None:
    """With the filter as the field."""
    said = api.client.get("/predictions", params={"filter[prop_value][gt]": "many"}, headers=api.user)
    assert (said.status_code, said.json()["field"]) == (422, "filter[prop_value][gt]")


@pytest.mark.usefixtures("given")
def test_a_cursor_is_of_its_question_and_its_caller(api: Api) -> None:
    """Changed, with other filters or from another caller it is refused."""
    following = api.client.get("/predictions", params={"limit": 1}, headers=api.user).json()["next"]
    assert api.client.get(following, headers=api.user).status_code == 200
    changed = following[:-1] + ("A" if following[-1] != "A" else "B")
    for path, who in (
        (following, api.other),
        (changed, api.user),
        (f"{following}&filter[prop_type][eq]=kills", api.user),
    ):
        said = api.client.get(path, headers=who)
        assert (said.status_code, said.json()["field"]) == (422, "cursor")


def test_every_filter_is_documented(api: Api) -> None:
    """The OpenAPI document has a parameter for each column and operator."""
    document = api.client.get("/openapi.json").json()
    named = {one["name"] for one in document["paths"]["/predictions"]["get"]["parameters"]}
    assert named == {f"filter[{one}][{said}]" for one, its in OPERATORS.items() for said in its} | {"limit", "cursor"}


def test_feedback_is_kept_and_corrected(api: Api) -> None:
    """The side follows from the count; what is said later holds; the prediction shows it."""
    path = f"/predictions/{api.ask(api.user, prop_value=4.0)['prediction_id']}"
    fell = {3: "UNDER", 4: "PUSH", 5.5: "OVER"}
    for count, side in fell.items():
        said = api.client.post(
            f"{path}/feedback",
            json={"actual_stat_value": count, "confidence_score": 0.5, "notes": "seen"},
            headers=api.user,
        )
        assert (said.status_code, said.json()["actual_result"]) == (200, side), said.text
        outcomes = api.client.get(path, headers=api.user).json()["outcomes"]
        assert outcomes == [said.json()]
    assert outcomes[0]["source"] == "manual"
    plain = api.client.post(f"{path}/feedback", json={"actual_result": "UNDER"}, headers=api.user).json()
    assert (plain["actual_result"], plain["actual_stat_value"]) == ("UNDER", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "actual_stat_value"),
        ({"actual_stat_value": -1}, "actual_stat_value"),
        ({"actual_stat_value": 1, "actual_result": "OVER"}, "actual_result"),
        ({"actual_result": "over"}, "actual_result"),
        ({"actual_result": "OVER", "match_completed_at": "2026-06-01T12:00:00"}, "match_completed_at"),
        ({"actual_result": "OVER", "confidence_score": 2}, "confidence_score"),
        ({"actual_result": "OVER", "notes": "x" * 2001}, "notes"),
        ({"actual_result": "OVER", "notes": "\0"}, "notes"),
        ({"actual_result": "OVER", "source": "verified"}, "source"),
    ],
)
def test_wrong_feedback_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    """Whoever calls is a manual source, and says nothing that contradicts itself."""
    path = f"/predictions/{api.ask(api.user)['prediction_id']}/feedback"
    said = api.client.post(path, json=body, headers=api.user)
    assert (said.status_code, said.json()["field"]) == (422, field), said.text


def test_a_page_says_when_the_database_is_behind(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While answers wait in the journal the newest may be missing; one that is missing is then no 404."""
    behind = api.client.app.state.write_behind  # type: ignore[attr-defined]  # an app is what it is
    status = type("Status", (), {"away": ("postgres",)})
    assert HistoryPage.model_validate(api.client.get("/predictions", headers=api.user).json()).warnings == []
    monkeypatch.setattr(behind, "status", status)
    assert "may be missing" in api.client.get("/predictions", headers=api.user).json()["warnings"][0]
    unknown = api.client.get("/predictions/01890000-0000-7000-8000-000000000001", headers=api.user)
    assert (unknown.status_code, unknown.json()["code"]) == (503, "unavailable")
