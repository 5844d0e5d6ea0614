"""The gate and its middleware: who passes, what is refused before the body is read, what the answer tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from serve_apps.admission import TICKET, AdmissionGate
from serve_apps.client_address import TrustedProxies
from serve_apps.gate import UNKNOWN_ADDRESS, Gate, is_open, scope_of
from serve_apps.identity import NOBODY, Identities
from serve_apps.problems import problem_of
from serve_apps.quotas import Quotas
from serve_apps.refusals import MissingScopeError, QuotaExceededError, RefusedError, UnauthenticatedError, refusal_of
from stores.clock import utc_now
from stores.domain.api_keys import Scope
from stores.domain.quotas import parse_limits
from stores.errors import TransientError
from stores.settings import AccessSettings

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send
    from starlette.types import Scope as AsgiScope


async def _away() -> Any:
    raise TransientError("no Redis here")


class House:
    """A gate whose shared buckets are away, before an application that answers 200."""

    def __init__(self, limits: str = "", *, required: bool = False) -> None:
        tiers = parse_limits(limits)
        keys, tokens = SimpleNamespace(), SimpleNamespace()  # no test here shows a key
        identities = Identities(keys, tokens, required=required, now=utc_now)  # type: ignore[arg-type]
        proxies = TrustedProxies(AccessSettings(Path("none")).trusted_proxies)
        self.gate = Gate(identities, Quotas(tiers, _away) if tiers else None, proxies)
        self.seen: list[AsgiScope] = []
        self.sent: list[Any] = []

    async def ask(self, path: str, peer: str | None = "203.0.113.9", kind: str = "http") -> int:
        """One request; the status of its answer."""
        self.sent.clear()
        app = SimpleNamespace(state=SimpleNamespace(gate=self.gate))
        scope: Any = {"type": kind, "path": path, "headers": [], "app": app, "client": peer and (peer, 4711)}
        await AdmissionGate(self._application)(scope, self._never, self._send)
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The head of the last answer."""
        return dict(self.sent[0]["headers"])

    async def _application(self, scope: AsgiScope, _: Receive, send: Send) -> None:
        self.seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b""})

    async def _never(self) -> Message:
        raise AssertionError("the body was read")

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def test_what_passes_carries_whose_it_is() -> None:
    """The handler finds identity and address, and the answer keeps its own head."""
    house = House()
    assert await house.ask("/players") == 200
    ticket = house.seen[0][TICKET]
    assert (ticket.identity, str(ticket.address)) == (NOBODY, "203.0.113.9")
    assert house.headers[b"x-own"] == b"1"
    assert house.headers[b"ratelimit-policy"].startswith(b'"address-minute"')


async def test_a_refusal_comes_before_the_body_is_read() -> None:
    """It is a whole answer: a problem document with its length, and when to come back."""
    house = House("anonymous=2/20/200")
    statuses = [await house.ask("/predict/single") for _ in range(4)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    body = house.sent[1]["body"]
    assert int(house.headers[b"content-length"]) == len(body)
    assert int(house.headers[b"retry-after"]) >= 1
    assert orjson.loads(body)["code"] == "quota-exceeded"


async def test_open_paths_are_never_refused_nor_counted() -> None:
    """Probes and documentation answer whatever is wrong; what is no request passes by."""
    house = House("anonymous=1/1/1", required=True)
    for path in ("/health", "/ready", "/v1/health", "/v1/ready", "/docs", "/openapi.json") * 3:
        assert await house.ask(path) == 200
    assert await house.ask("/players", kind="lifespan") == 200
    assert await house.ask("/healthy") == 401
    assert await house.ask("/players/../health") == 401


async def test_who_comes_from_the_proxy_itself_is_not_counted() -> None:
    """Everyone might be behind it; who cannot be told apart is counted as one."""
    house = House("anonymous=1/1/1")
    assert [await house.ask("/players", "127.0.0.1") for _ in range(5)] == [200] * 5
    assert b"ratelimit" not in house.headers
    assert 429 in [await house.ask("/players", "not an address") for _ in range(3)]
    assert 429 in [await house.ask("/players", None) for _ in range(2)]
    assert UNKNOWN_ADDRESS.is_unspecified


async def test_off_counts_nothing() -> None:
    """And tells nothing."""
    house = House("off")
    assert [await house.ask("/players") for _ in range(50)] == [200] * 50
    assert b"ratelimit-policy" not in house.headers
    await house.gate.charge(NOBODY, None, 10_000)


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/predict/single", Scope.PREDICT),
        ("/v1/predict/batch", Scope.PREDICT),
        ("/predict/curve/Faker", Scope.PREDICT),
        ("/predictions/1/feedback", Scope.READ),
        ("/players", Scope.READ),
        ("/v1/models/status", Scope.READ),
        ("/", Scope.READ),
        ("/purge", Scope.ADMIN),
        ("/v1/purge", Scope.ADMIN),
        ("/auth/token", None),
        ("/v1/auth/token", None),
    ],
)
def test_each_path_needs_its_scope(path: str, scope: Scope | None) -> None:
    """Asking for answers is one thing, looking things up another."""
    assert scope_of(path) is scope
    assert not is_open(path)


@pytest.mark.parametrize(
    "error",
    [
        UnauthenticatedError.missing(),
        UnauthenticatedError.invalid("no"),
        MissingScopeError.of("predict"),
        QuotaExceededError("too much", {"retry-after": "3"}),
    ],
)
def test_a_refusal_is_the_same_document_wherever_it_is_raised(error: RefusedError) -> None:
    """In the gate it is bytes, in a handler a problem."""
    refusal, problem = refusal_of(error), problem_of(error)
    assert orjson.loads(refusal.body) == problem.model_dump(exclude_none=True)
    assert refusal.status == problem.status == error.status
    assert {name.decode() for name, _ in refusal.headers} >= {name.lower() for name in error.headers}
    assert type(error)(*error.args).headers == error.headers  # as Ray rebuilds it
