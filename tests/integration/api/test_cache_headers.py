"""What caches may keep, and how little is sent to who has it already."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.cache_headers import is_known
from tests.integration.api.conftest import ORIGIN, VERSION, question

if TYPE_CHECKING:
    from tests.integration.api.conftest import Api

CURVE = "/predict/curve/Faker?prop_type=kills"
CACHED = [
    (CURVE, {"curve", "player-p:faker", f"model-{VERSION}", "snapshot-11"}),
    ("/v1/predict/curve/p:faker?prop_type=assists", {"curve", "player-p:faker", f"model-{VERSION}", "snapshot-11"}),
    ("/players?q=fak", {"search", "snapshot-11"}),
    ("/teams", {"search", "snapshot-11"}),
    ("/v1/tournaments", {"search", "snapshot-11"}),
    ("/models/status", {"status", f"model-{VERSION}", "snapshot-11"}),
]
PLAIN = {"accept-encoding": "identity"}


@pytest.mark.parametrize(("path", "keys"), CACHED)
def test_what_is_everyones_may_be_kept(api: Api, path: str, keys: set[str]) -> None:
    """With a lifetime, keys to purge it by, and a tag by which it need not be sent again."""
    said = api.client.get(path, headers=PLAIN)
    assert said.status_code == 200
    assert said.headers["cache-control"].startswith("public, max-age=")
    assert "stale-while-revalidate=" in said.headers["cache-control"]
    assert set(said.headers["surrogate-key"].split()) == keys
    assert "Accept-Encoding" in said.headers["vary"]
    etag = said.headers["etag"]
    assert etag.startswith('W/"' if "status" in path else '"')
    for known in (etag, f'"other", {etag}', "*", etag if etag.startswith("W/") else f"W/{etag}"):
        again = api.client.get(path, headers={**PLAIN, "if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["surrogate-key"] == said.headers["surrogate-key"]
        assert "content-length" not in again.headers
    assert api.client.get(path, headers={**PLAIN, "if-none-match": '"other"'}).status_code == 200


def test_a_compressed_answer_has_a_weak_tag(api: Api) -> None:
    """Two compressions of the same need not be equal, so that the tag does not promise it; it is known all the same."""
    path = CURVE + "".join(f"&prop_values={line / 2}" for line in range(60))
    plain = api.client.get(path, headers=PLAIN)
    small = api.client.get(path, headers={"accept-encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["etag"] == f"W/{plain.headers['etag']}"
    assert small.content == plain.content
    assert int(small.headers["content-length"]) < len(plain.content)
    assert len(gzip.compress(plain.content)) < len(plain.content)
    for headers in (PLAIN, {"accept-encoding": "gzip"}):
        again = api.client.get(path, headers={**headers, "if-none-match": small.headers["etag"]})
        assert again.status_code == 304


def test_other_answers_have_other_tags(api: Api) -> None:
    """A tag is of the bytes."""
    tags = {
        api.client.get(path, headers=PLAIN).headers["etag"]
        for path in (CURVE, CURVE.replace("kills", "assists"), "/players", "/teams", "/players?limit=1")
    }
    assert len(tags) == 5


@pytest.mark.parametrize("path", ["/predictions", "/health", "/ready", "/predict/curve/Nobody?prop_type=kills", "/x"])
def test_nothing_else_is_kept(api: Api, path: str) -> None:
    """Neither what is one caller's alone nor errors, on cached paths too."""
    assert api.client.get(path, headers=api.user).headers["cache-control"] == "no-store"


def test_predictions_are_not_kept(api: Api) -> None:
    """An answer is given once."""
    said = api.client.post("/predict/single", json=question())
    assert said.headers["cache-control"] == "no-store"
    assert "etag" not in said.headers


def test_pages_of_known_origins_may_ask(api: Api) -> None:
    """CORS: a preflight needs no key, another origin hears nothing, and a page may read the heads that matter."""
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key,x-api-key"}
    allowed = api.client.options("/predict/single", headers={"origin": ORIGIN, **asks})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    refused = api.client.options("/predict/single", headers={"origin": "https://evil.example", **asks})
    assert "access-control-allow-origin" not in refused.headers
    said = api.client.get("/players", headers={"origin": ORIGIN})
    assert said.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-ID" in said.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in said.headers


def test_an_id_names_the_request(api: Api) -> None:
    """The one that was given, or a fresh one; refusals and errors bear it too."""
    for path, status in (("/health", 200), ("/x", 404), ("/v9/players", 404), ("/players?limit=0", 422)):
        said = api.client.get(path, headers={"x-request-id": "abc-1"})
        assert (said.status_code, said.headers["x-request-id"]) == (status, "abc-1")
    refused = api.client.get("/players", headers={"x-api-key": "wrong", "x-request-id": "not sane"})
    assert refused.status_code == 401
    assert len(refused.headers["x-request-id"]) == 32


@given(tags=st.lists(st.text(st.characters(codec="ascii", exclude_characters='"'), min_size=1, max_size=8), max_size=5))
def test_a_tag_is_found_among_others(tags: list[str]) -> None:
    """Exactly when it is one of them, be they weak or strong."""
    header = ", ".join(f'W/"{tag}"' if index % 2 else f'"{tag}"' for index, tag in enumerate(tags))
    for tag in [*tags, "another"]:
        assert is_known(f'"{tag}"', [header]) == (tag in tags)
