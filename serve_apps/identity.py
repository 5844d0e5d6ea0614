"""Who asks: from a request's headers to a known key, without asking the database for each request."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serve_apps.access_tokens import TokenClaims
from serve_apps.circuit_breaker import CircuitBreaker
from serve_apps.refusals import UnauthenticatedError
from stores.domain.api_keys import KEY_MARK, Scope, prefix_of
from stores.domain.invalidation import Changed, Missed
from stores.domain.quotas import ANONYMOUS
from stores.errors import NotFoundError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from datetime import datetime
    from uuid import UUID

    from serve_apps.access_tokens import AccessTokens
    from stores.domain.api_keys import ApiKey
    from stores.roles.api_keys import ApiKeys
    from stores.roles.invalidation import Invalidations

KNOWN_S = 30.0  # how long a revoked key may go on where no invalidation is heard
RENEW_SHARE = 2 / 3  # of that time; then a key in use is looked up again, before a request would have to wait
REFUSED_S = 5.0
AWAY_S = 5.0  # while the database is away, a known key is believed for so long at a time
LOOK_UP_S = 2.0
ANSWERED_S = 1.5  # less, since who hangs up before the deadline says nothing of the database
LOOK_UPS = 2  # at once: a flood of wrong keys must not take the connections that store answers
MAX_KNOWN = 10_000
MAX_CREDENTIAL = 2_048
NOTE_USE_S = 60.0
_WRONG = "this API key is not valid: it is unknown, has ended or was revoked"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as far as it matters. ``subject`` names the key to its bucket; None is anonymous."""

    tier: str
    scopes: frozenset[Scope]
    api_key_id: UUID | None = None
    user_id: UUID | None = None
    subject: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the scope was granted."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


NOBODY = Identity(ANONYMOUS, frozenset({Scope.PREDICT, Scope.READ}))


@dataclass(frozen=True, slots=True)
class _Key:
    """A credential that is a key: what the database is asked, and what it must answer."""

    prefix: str
    digest: str


@dataclass(slots=True)
class _Known:
    """A credential that was found valid. Moments are of the monotonic clock; the credential itself is not kept."""

    identity: Identity
    claim: _Key | TokenClaims
    renew_at: float
    until: float
    ends: float


class Identities:
    """The keys and tokens that this replica knows. Belongs to one event loop.

    A revoked key is refused after at most KNOWN_S, and at once where the invalidation is heard. While the database is
    away, what is known goes on, and so does any token whose signature is right; an unknown key gets TransientError,
    never a refusal.
    """

    def __init__(
        self,
        keys: ApiKeys,
        tokens: AccessTokens,
        *,
        required: bool,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tokens = tokens
        self._keys = keys
        self._breaker = CircuitBreaker("the database", clock=clock)
        self._required = required
        self._now = now
        self._clock = clock
        self._known: dict[str, _Known] = {}  # by the credential's digest, the oldest first
        self._refused: dict[str, float] = {}
        self._asked: dict[str, asyncio.Task[Identity]] = {}
        self._permits = asyncio.Semaphore(LOOK_UPS)
        self._used: dict[UUID, datetime] = {}
        self._doubted: dict[str, None] = {}  # may be revoked: not believed unless the database says so

    def known(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity | None:
        """Who asks, if that is known without waiting; None: ask `resolve`. Raises UnauthenticatedError."""
        credential = credential_of(headers)
        if credential is None:
            if self._required:
                raise UnauthenticatedError.missing()
            return NOBODY
        digest = hashlib.sha256(credential).hexdigest()
        known, now = self._known.get(digest), self._clock()
        if known is None:
            if self._refused.get(digest, 0.0) > now:
                raise UnauthenticatedError.invalid(_WRONG)
            return None
        if now >= known.until:
            return None
        if now >= known.renew_at:
            known.renew_at = known.until  # once
            self._begin(digest, self._renewed(digest, known))
        return known.identity

    async def resolve(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity:
        """Who asks. Raises UnauthenticatedError, or TransientError when an unknown key cannot be looked up now."""
        headers = tuple(headers)
        identity = self.known(headers)
        if identity is not None:
            return identity
        credential = credential_of(headers) or b""
        digest = hashlib.sha256(credential).hexdigest()
        known = self._known.get(digest)
        if known is not None:
            looked_up = self._renewed(digest, known)
        else:
            looked_up = self._found(digest, self._claim_of(credential, digest))
        return await asyncio.shield(self._begin(digest, looked_up))

    async def key_of(self, identity: Identity) -> ApiKey:
        """The live key behind an identity. Raises UnauthenticatedError, TransientError."""
        key_id, now = identity.api_key_id, self._now()
        if key_id is None:
            raise UnauthenticatedError.missing()
        try:
            return await self._breaker.call(lambda: self._keys.live_by_id(key_id, now), ANSWERED_S)
        except NotFoundError:
            raise UnauthenticatedError.invalid(_WRONG) from None

    def forget(self, names: Iterable[str] | None = None) -> None:
        """Look these keys up again before their next use, by prefix and id; all of them without ``names``."""
        self._refused.clear()
        if names is None:
            for known in self._known.values():
                known.until = 0.0
            return
        wanted = set(names)
        if len(self._doubted) > MAX_KNOWN:
            self._doubted.clear()
        self._doubted |= dict.fromkeys(wanted)
        for digest, known in list(self._known.items()):
            prefix = known.claim.prefix if isinstance(known.claim, _Key) else ""
            if prefix in wanted or known.identity.subject in wanted:
                del self._known[digest]

    async def listen(self, invalidations: Invalidations) -> None:
        """Forget what others say has changed, for as long as they are heard."""
        async for told in invalidations.listen():
            if isinstance(told, Missed):
                self.forget()
            elif told.kind is Changed.API_KEY:
                self.forget(told.names)

    async def keep(self) -> None:
        """Note now and then when keys were last used, for ever."""
        while True:
            await asyncio.sleep(NOTE_USE_S)
            await self.note_use()

    async def note_use(self) -> None:
        """Note when keys were last used; what cannot be noted now is noted later."""
        used, self._used = self._used, {}
        if used:
            try:
                await self._keys.touch(used)
            except Exception as error:  # noqa: BLE001  # it is a courtesy
                self._used = used | self._used
                _log.warning("the use of API keys cannot be noted: %s", type(error).__name__)

    def _claim_of(self, credential: bytes, digest: str) -> _Key | TokenClaims:
        try:
            text = credential.decode("ascii")
            if not text.startswith(KEY_MARK):
                return self.tokens.claims_of(text)
        except UnicodeDecodeError:
            text = ""
        except UnauthenticatedError:
            self._refuse(digest)
            raise
        prefix = prefix_of(text)
        if prefix is None:
            raise UnauthenticatedError.invalid(_WRONG)
        return _Key(prefix, digest)

    def _begin(self, digest: str, looked_up: Coroutine[Any, Any, Identity]) -> asyncio.Task[Identity]:
        """One look-up of a credential at a time; who comes meanwhile waits for the same."""
        task = self._asked.get(digest)
        if task is not None:
            looked_up.close()
            return task
        task = self._asked[digest] = asyncio.get_running_loop().create_task(looked_up)
        task.add_done_callback(lambda done: (self._asked.pop(digest, None), done.cancelled() or done.exception()))
        return task

    async def _found(self, digest: str, claim: _Key | TokenClaims) -> Identity:
        try:
            identity, ends = await self._looked_up(digest, claim)
        except TransientError:
            if isinstance(claim, _Key) or str(claim.api_key_id) in self._doubted:
                raise
            identity, ends = _of_token(claim), self._ends(claim.expires_at)  # its signature is right
            self._keep(digest, _Known(identity, claim, 0.0, 0.0, ends), AWAY_S)
            return identity
        self._keep(digest, _Known(identity, claim, 0.0, 0.0, ends), KNOWN_S)
        return identity

    async def _renewed(self, digest: str, known: _Known) -> Identity:
        try:
            return await self._found(digest, known.claim)
        except TransientError:
            if known.ends <= self._clock():
                raise UnauthenticatedError.invalid(_WRONG) from None
            self._keep(digest, known, AWAY_S)
            return known.identity

    async def _looked_up(self, digest: str, claim: _Key | TokenClaims) -> tuple[Identity, float]:
        """What the database says now, and when it ends. Raises UnauthenticatedError, TransientError."""
        now = self._now()
        try:
            async with asyncio.timeout(LOOK_UP_S), self._permits:
                if isinstance(claim, _Key):
                    key = await self._breaker.call(lambda: self._keys.live(claim.prefix, now), ANSWERED_S)
                else:
                    key = await self._breaker.call(lambda: self._keys.live_by_id(claim.api_key_id, now), ANSWERED_S)
        except TimeoutError:
            raise TransientError("the database does not say in time whose API key this is") from None
        except NotFoundError:
            key = None
        if key is None or (isinstance(claim, _Key) and not key.has_digest(claim.digest)):
            self._refuse(digest)
            raise UnauthenticatedError.invalid(_WRONG)
        self._used[key.api_key_id] = now
        self._doubted.pop(str(key.api_key_id), None)
        if isinstance(claim, TokenClaims):
            return _of_token(claim), self._ends(claim.expires_at)
        identity = Identity(key.tier, frozenset(key.scopes), key.api_key_id, key.user_id, str(key.api_key_id))
        return identity, self._ends(key.expires_at)

    def _ends(self, expires_at: datetime | None) -> float:
        """The moment of the monotonic clock."""
        return math.inf if expires_at is None else self._clock() + (expires_at - self._now()).total_seconds()

    def _keep(self, digest: str, known: _Known, for_s: float) -> None:
        now = self._clock()
        known.until = min(now + for_s, known.ends)
        known.renew_at = now + for_s * RENEW_SHARE
        self._known.pop(digest, None)
        self._known[digest] = known
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def _refuse(self, digest: str) -> None:
        self._known.pop(digest, None)
        self._refused.pop(digest, None)
        self._refused[digest] = self._clock() + REFUSED_S
        if len(self._refused) > MAX_KNOWN:
            del self._refused[next(iter(self._refused))]


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key or token of a request, from ``Authorization: Bearer`` or ``X-API-Key``; names are lower-case.

    Raises UnauthenticatedError for another scheme, or for what is too long to be any.
    """
    found = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, found = value.partition(b" ")
            if scheme.lower() != b"bearer":
                raise UnauthenticatedError.invalid("this way to authenticate is not known; use Authorization: Bearer")
            break
        if name == b"x-api-key":
            found = value
    if found is None:
        return None
    found = found.strip()
    if not found or len(found) > MAX_CREDENTIAL:
        raise UnauthenticatedError.invalid(_WRONG)
    return found


def _of_token(claims: TokenClaims) -> Identity:
    return Identity(claims.tier, claims.scopes, claims.api_key_id, claims.user_id, str(claims.api_key_id))
