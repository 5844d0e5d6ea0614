"""Keys made by the real command, through the real ingress: scopes, tokens, revocation and quotas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import new_key

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.e2e.conftest import Riftline

    WaitUntil = Callable[[Callable[[], bool], str, float], None]

READ, MINUTE_OF_NOBODY, MINUTE_OF_FREE = "/models/status", 600, 1000
HEARD_S = 10.0  # a revoked key is refused at once; the machine may be busy


def get(riftline: Riftline, path: str, credential: str) -> httpx.Response:
    """What the holder of this key or token is answered."""
    return riftline.client.get(path, headers={"Authorization": f"Bearer {credential}"})


def assert_refused(said: httpx.Response, status: int, code: str, challenge: str) -> None:
    """The refusal is a problem, and the challenge says why (RFC 6750)."""
    assert (said.status_code, said.json()["code"]) == (status, code)
    assert said.headers["content-type"] == "application/problem+json"
    assert challenge in said.headers["www-authenticate"]


def test_a_key_opens_what_it_was_made_for(riftline: Riftline, keys: dict[str, str]) -> None:
    """By either header; another scope is a 403 that names it, and a key that is none is a 401."""
    question = riftline.question()
    for key, status in (("bot", 200), ("dashboard", 403), ("root", 200)):
        said = riftline.client.post("/predict/single", json=question, headers={"X-API-Key": keys[key]})
        assert said.status_code == status, said.text
        assert get(riftline, READ, keys[key]).status_code == 200
    assert_refused(said := _predict(riftline, keys["dashboard"]), 403, "missing-scope", 'scope="predict"')
    assert keys["dashboard"] not in said.text
    wrong = keys["bot"][:-4] + "aaaa"
    assert_refused(get(riftline, READ, wrong), 401, "unauthenticated", 'error="invalid_token"')


def test_a_token_does_what_its_key_may(riftline: Riftline, keys: dict[str, str]) -> None:
    """It is given for a key alone, and a changed one is refused."""
    said = riftline.client.post("/auth/token", headers={"X-API-Key": keys["dashboard"]})
    token = said.json()["access_token"]
    assert (said.json()["token_type"], said.json()["expires_in"], said.json()["scope"]) == ("Bearer", 900, "read")
    assert get(riftline, READ, token).status_code == 200
    assert_refused(_predict(riftline, token), 403, "missing-scope", 'scope="predict"')
    head, _, rest = token.partition(".")
    assert_refused(get(riftline, READ, f"{head}.x{rest}"), 401, "unauthenticated", 'error="invalid_token"')
    assert_refused(riftline.client.post("/auth/token"), 401, "unauthenticated", "Bearer")


def test_a_revoked_key_is_refused_at_once(riftline: Riftline, wait_until: WaitUntil) -> None:
    """So is its token; the list tells of it, and neither list nor error shows a key."""
    made = new_key(riftline, "short lived")
    token = riftline.client.post("/auth/token", headers={"X-API-Key": made["key"]}).json()["access_token"]
    assert {get(riftline, READ, one).status_code for one in (made["key"], token)} == {200}
    done = riftline.command("keys", "revoke", f"rl_live_{made['prefix']}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["told"] is True
    for credential in (made["key"], token):
        wait_until(lambda one=credential: get(riftline, READ, one).status_code == 401, "the refusal", HEARD_S)  # type: ignore[misc]
    listed = riftline.command("keys", "list", "--json").stdout
    assert made["key"] not in listed
    assert next(one for one in json.loads(listed) if one["prefix"] == made["prefix"])["revoked_at"]
    shown = riftline.command("keys", "list").stdout
    assert made["prefix"] in shown
    unknown = riftline.command("keys", "revoke", "nosuchxx")
    assert unknown.returncode == 2
    assert "nosuchxx" in unknown.stderr
    assert "riftline keys list" in unknown.stderr.replace("\n", " ")


@pytest.mark.parametrize("by", ["key", "address"])
def test_too_much_is_told_when_to_come_back(riftline: Riftline, by: str) -> None:
    """Whoever used up a minute's quota hears how much is left and when to come back; others go on."""
    if by == "key":
        headers, most = {"X-API-Key": new_key(riftline, "greedy")["key"]}, MINUTE_OF_FREE
    else:
        headers, most = {"X-Forwarded-For": "203.0.113.9"}, MINUTE_OF_NOBODY
    first = riftline.client.get(READ, headers=headers)
    assert first.headers["ratelimit-policy"].startswith(f'"{by}-minute";q={most};w=60, "{by}-hour"')
    assert first.headers["ratelimit"].startswith(f'"{by}-minute";r={most - 1}')
    batch: dict[str, Any] = {"requests": [{}] * (most * 3 // 4)}
    assert riftline.client.post("/predict/batch", json=batch, headers=headers).status_code == 200
    refused = riftline.client.post("/predict/batch", json=batch, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota-exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].startswith(f'"{by}-minute";r=')
    assert riftline.client.get(READ, headers={"X-Forwarded-For": "203.0.113.10"}).status_code == 200


def _predict(riftline: Riftline, credential: str) -> httpx.Response:
    asked: dict[str, Any] = riftline.question()
    return riftline.client.post("/predict/single", json=asked, headers={"Authorization": f"Bearer {credential}"})
