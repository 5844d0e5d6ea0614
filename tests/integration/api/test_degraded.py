"""A database that goes silent, as a stopped machine does: answers go on, nobody waits long, and it is found again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import psutil

from serve_apps.circuit_breaker import FAILURES, CircuitBreaker, State
from stores.clock import utc_now
from stores.domain.api_keys import new_key
from stores.domain.prediction_id import new_prediction_id
from tests.integration.api.conftest import question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.integration.api.conftest import Api

AWAY = (503, "unavailable")


@contextmanager
def silent_database(api: Api) -> Iterator[None]:
    """For a block the server keeps its sockets and answers nothing."""
    first = int((api.redis_dir.parent / "pg" / "postmaster.pid").read_text().split()[0])
    processes = [psutil.Process(first), *psutil.Process(first).children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def _code(said: httpx.Response) -> tuple[int, str]:
    return said.status_code, said.json().get("code", "")


def _asked(ask: Callable[[], httpx.Response]) -> httpx.Response:
    return ask()


def _until_answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until the breaker has found the server; the test's own time limit ends it."""
    while True:
        said = ask()
        if said.status_code < 500:
            return said


def _breakers(api: Api) -> list[CircuitBreaker]:
    state: Any = api.client.app.state  # type: ignore[attr-defined]  # an app is what it is
    return [state.history.breaker, state.database, state.gate.identities._breaker]  # noqa: SLF001


def test_a_silent_database_is_not_waited_for(api: Api) -> None:
    """Each route that asks it says 503 and when to come back, after some tries without asking; predictions go on."""
    path = f"/predictions/{api.ask(api.user)['prediction_id']}"
    api.client.get(path, headers=api.user).raise_for_status()
    told = {"actual_stat_value": 3}
    routes: list[Callable[[], httpx.Response]] = [
        lambda: api.client.get("/predictions", headers=api.user),
        lambda: api.client.get(path, headers=api.user),
        lambda: api.client.post(f"{path}/feedback", json=told, headers=api.user),
        lambda: api.client.post("/auth/token", headers=api.user),
        lambda: api.client.get("/players", headers={"X-API-Key": new_key()}),
    ]
    with silent_database(api), ThreadPoolExecutor(len(routes) + 1) as at_once:
        for _ in range(FAILURES):
            assert [_code(said) for said in at_once.map(_asked, routes)] == [AWAY] * len(routes)
            assert api.client.get("/ready").status_code == 200
        assert [one.state for one in _breakers(api)] == [State.OPEN] * 3
        for ask in routes:
            assert int(ask().headers["retry-after"]) >= 1
        degraded = api.client.get("/ready").json()
        answer = api.client.post("/predict/single", json=question(), headers=api.user)
    assert (degraded["status"], degraded["checks"]["database"][:7]) == ("degraded", "ok, but")
    assert answer.status_code == 200
    given = _until_answered(routes[2])
    assert given.json()["actual_result"] == "UNDER"
    assert _until_answered(routes[1]).json()["outcomes"] == [given.json()]
    assert _until_answered(routes[3]).status_code == 200
    assert _until_answered(routes[4]).status_code == 401
    kept = api.client.get(f"/predictions/{answer.json()['prediction_id']}", headers=api.user)
    assert kept.json()["confidence"] == answer.json()["confidence"]


async def test_an_outcome_that_may_have_been_kept_is_told_as_such(api: Api) -> None:
    """The database takes it too late: it may be given again, and then stands."""
    path = f"/predictions/{api.ask(api.user, prop_value=3.5)['prediction_id']}"
    api.client.get(path, headers=api.user).raise_for_status()
    locking = await asyncpg.connect(api.settings.database_url)
    try:
        async with locking.transaction():
            await locking.execute("LOCK TABLE prediction_feedback IN ACCESS EXCLUSIVE MODE")
            late = api.client.post(f"{path}/feedback", json={"actual_stat_value": 4}, headers=api.user)
    finally:
        await locking.close()
    assert _code(late) == (503, "outcome-unknown")
    given = api.client.post(f"{path}/feedback", json={"actual_stat_value": 4}, headers=api.user)
    assert given.json()["actual_result"] == "OVER"


def test_ids_that_were_made_up_open_no_breaker(api: Api) -> None:
    """Whoever asks for what looks fresh and is none waits and hears 404, and others read on."""
    path = f"/predictions/{api.ask(api.user)['prediction_id']}"
    moments = [utc_now() + timedelta(seconds=ahead_s) for ahead_s in (0, 0, 0, 2)]  # one of a clock that is ahead
    made_up = [f"/predictions/{new_prediction_id(moment)}" for moment in moments]
    with ThreadPoolExecutor(len(made_up)) as at_once:
        said = list(at_once.map(api.client.get, made_up))
    assert [_code(one) for one in said] == [(404, "not-found")] * len(made_up)
    assert api.client.get(path, headers=api.user).status_code == 200
