"""Who asks: found once, believed for a while, and never guessed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from serve_apps import identity as module
from serve_apps.access_tokens import AccessTokens
from serve_apps.identity import KNOWN_S, LOOK_UPS, NOBODY, REFUSED_S, Identities, credential_of
from serve_apps.refusals import UnauthenticatedError
from stores.domain.api_keys import ApiKey, Scope, digest_of, new_key, prefix_of
from stores.domain.invalidation import Changed, Invalidation, Missed
from stores.domain.users import SubscriptionTier
from stores.errors import NotFoundError, TransientError
from stores.token_secrets import TokenSecret

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from uuid import UUID

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECRET = new_key()


class Keys:
    """A store of one key in memory, which can be away or slow, and counts what it is asked."""

    def __init__(self) -> None:
        self.key = ApiKey(
            name="bot",
            prefix=prefix_of(SECRET) or "",
            digest=digest_of(SECRET),
            tier=SubscriptionTier.FREE,
            scopes=(Scope.READ,),
            created_at=NOON,
        )
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.used: dict[UUID, datetime] = {}
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def live(self, prefix: str, now: datetime) -> ApiKey:
        """The key, if it is this one and lives."""
        return await self._answer(self.key.prefix == prefix, now)

    async def live_by_id(self, api_key_id: UUID, now: datetime) -> ApiKey:
        """As by prefix."""
        return await self._answer(self.key.api_key_id == api_key_id, now)

    async def touch(self, used: Mapping[UUID, datetime]) -> None:
        """Keep it, unless away."""
        if self.away:
            raise TransientError("away")
        self.used |= used

    async def _answer(self, found: bool, now: datetime) -> ApiKey:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.answers.wait()
        finally:
            self.at_once -= 1
        if self.away:
            raise TransientError("away")
        key = self.key
        if not found or key.revoked_at or (key.expires_at and key.expires_at <= now):
            raise NotFoundError("none")
        return key


class Door:
    """A replica's identities, their store and their clock."""

    def __init__(self, *, required: bool = False) -> None:
        self.now = NOON
        self.keys = Keys()
        tokens = AccessTokens(lambda: (TokenSecret("k", "s" * 32),), lambda: self.now, self._clock)
        self.identities = Identities(
            self.keys,  # type: ignore[arg-type]
            tokens,
            required=required,
            now=lambda: self.now,
            clock=self._clock,
        )

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def revoke(self) -> None:
        """End the key in the store."""
        self.keys.key = replace(self.keys.key, revoked_at=self.now)

    def _clock(self) -> float:
        return (self.now - NOON).total_seconds()


def sent(credential: str = SECRET) -> list[tuple[bytes, bytes]]:
    """Headers with a credential."""
    return [(b"host", b"x"), (b"authorization", b"Bearer " + credential.encode())]


async def settled() -> None:
    """Let what runs in the background come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_key_is_looked_up_once_and_then_known() -> None:
    """Both headers name it; a hundred requests at once are one question."""
    door = Door()
    assert door.identities.known(sent()) is None
    found = await asyncio.gather(*(door.identities.resolve(sent()) for _ in range(100)))
    assert {one.api_key_id for one in found} == {door.keys.key.api_key_id}
    known = door.identities.known([(b"x-api-key", SECRET.encode())])
    assert known == found[0]
    assert (known.tier, known.may(Scope.READ), known.may(Scope.PREDICT)) == ("free", True, False)
    assert door.keys.asked == 1


def test_anonymous_is_known_unless_a_key_is_required() -> None:
    """The answer then says how to send one."""
    assert Door().identities.known([]) is NOBODY
    with pytest.raises(UnauthenticatedError) as refused:
        Door(required=True).identities.known([])
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "credential",
    [new_key(), SECRET[:-1], SECRET[:-1] + "!", "x", "é", SECRET.replace("l", "L")],
    ids=["another", "cut", "garbled", "short", "not ASCII", "capitals"],
)
async def test_a_wrong_key_is_refused_and_never_anonymous(credential: str) -> None:
    """And what was sent is nowhere in the answer."""
    door = Door()
    with pytest.raises(UnauthenticatedError) as refused:
        await door.identities.resolve(sent(credential))
    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]
    assert credential not in str(refused.value.args) or len(credential) == 1


async def test_the_right_prefix_alone_opens_nothing() -> None:
    """The digest decides, not what is shown to people."""
    door = Door()
    with pytest.raises(UnauthenticatedError):
        await door.identities.resolve(sent(f"rl_live_{door.keys.key.prefix}_{'x' * 43}"))
    assert door.keys.asked == 1


async def test_a_wrong_key_is_remembered_for_a_few_seconds() -> None:
    """It is refused without asking, and asked again later."""
    door = Door()
    wrong = sent(new_key())
    with pytest.raises(UnauthenticatedError):
        await door.identities.resolve(wrong)
    with pytest.raises(UnauthenticatedError):
        door.identities.known(wrong)
    assert door.keys.asked == 1
    door.advance(REFUSED_S)
    assert door.identities.known(wrong) is None


@pytest.mark.parametrize(
    "headers", [[(b"authorization", b"Basic eDp5")], [(b"x-api-key", b"")], [(b"x-api-key", b"x" * 3000)]]
)
def test_other_ways_to_authenticate_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """Nothing is taken for anonymous that meant to be someone."""
    with pytest.raises(UnauthenticatedError):
        credential_of(headers)


async def test_a_revoked_key_is_refused_in_time() -> None:
    """It goes on for KNOWN_S at most, also when it is in use all the time."""
    door = Door()
    await door.identities.resolve(sent())
    door.revoke()
    for _ in range(int(KNOWN_S)):
        door.advance(1)
        try:
            door.identities.known(sent())
        except UnauthenticatedError:
            break
        await settled()
    with pytest.raises(UnauthenticatedError):
        await door.identities.resolve(sent())


async def test_a_key_in_use_never_waits() -> None:
    """It is looked up again before its time is over, in the background."""
    door = Door()
    await door.identities.resolve(sent())
    for _ in range(200):
        door.advance(1)
        assert door.identities.known(sent()) is not None
        await settled()
    assert 5 <= door.keys.asked <= 12


async def test_while_the_database_is_away_known_keys_go_on() -> None:
    """For as long as it takes, also a key that was idle; a key that nobody knows is to come back, not refused."""
    door = Door()
    await door.identities.resolve(sent())
    door.keys.away = True
    for _ in range(100):
        door.advance(10)
        assert await door.identities.resolve(sent())
    with pytest.raises(TransientError):
        await door.identities.resolve(sent(new_key()))
    door.keys.away = False
    door.revoke()
    door.advance(KNOWN_S)
    with pytest.raises(UnauthenticatedError):
        await door.identities.resolve(sent())


async def test_a_key_ends_at_its_time_even_when_the_database_is_away() -> None:
    """Its end was known before."""
    door = Door()
    door.keys.key = replace(door.keys.key, expires_at=NOON + timedelta(seconds=10))
    await door.identities.resolve(sent())
    door.keys.away = True
    door.advance(10)
    with pytest.raises(UnauthenticatedError):
        await door.identities.resolve(sent())


async def test_a_token_stands_for_its_key() -> None:
    """It is refused with it when the key is revoked, and believed by its signature while the database is away."""
    door = Door()
    token = door.identities.tokens.issue(door.keys.key)
    found = await door.identities.resolve(sent(token))
    assert (found.api_key_id, found.subject) == (door.keys.key.api_key_id, str(door.keys.key.api_key_id))
    door.keys.away = True
    other = door.identities.tokens.issue(replace(door.keys.key, scopes=(Scope.PREDICT,)))
    assert (await door.identities.resolve(sent(other))).may(Scope.PREDICT)
    door.keys.away = False
    door.revoke()
    door.advance(KNOWN_S)
    for one in (token, other):
        with pytest.raises(UnauthenticatedError):
            await door.identities.resolve(sent(one))


async def test_an_announced_revocation_is_heeded_at_once() -> None:
    """Key and token are looked up again; while that cannot be done neither is believed."""
    door = Door()
    token = door.identities.tokens.issue(door.keys.key)
    await door.identities.resolve(sent())
    await door.identities.resolve(sent(token))
    door.keys.away = True
    names = (door.keys.key.prefix, str(door.keys.key.api_key_id))
    await door.identities.listen(Heard([Invalidation(Changed.PLAYER, names)]))
    assert door.identities.known(sent())
    await door.identities.listen(Heard([Invalidation(Changed.API_KEY, names)]))
    for credential in (SECRET, token):
        with pytest.raises(TransientError):
            await door.identities.resolve(sent(credential))
    door.keys.away = False
    assert await door.identities.resolve(sent())
    assert await door.identities.resolve(sent(token))


async def test_after_a_missed_message_everything_is_looked_up_again() -> None:
    """But nothing is lost of what is known, should the database be away too."""
    door = Door()
    await door.identities.resolve(sent())
    await door.identities.listen(Heard([Missed("begins")]))
    assert door.identities.known(sent()) is None
    door.keys.away = True
    assert await door.identities.resolve(sent())


class Heard:
    """What is said on the channel, and then its end."""

    def __init__(self, said: Sequence[Invalidation | Missed]) -> None:
        self._said = said

    async def publish(self, _: Invalidation) -> None:
        """Nobody speaks here."""

    async def listen(self) -> AsyncGenerator[Invalidation | Missed, None]:
        """What was said."""
        for one in self._said:
            yield one


async def test_a_flood_of_wrong_keys_takes_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the pool stays for answers, and memory is bounded."""
    monkeypatch.setattr(module, "MAX_KNOWN", 10)
    door = Door()
    door.keys.answers.clear()
    asked = [asyncio.ensure_future(door.identities.resolve(sent(new_key()))) for _ in range(50)]
    await settled()
    door.keys.answers.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in outcomes} == {UnauthenticatedError}
    assert door.keys.most_at_once == LOOK_UPS
    assert len(door.identities._refused) == 10  # noqa: SLF001


async def test_the_last_use_is_noted_and_not_lost() -> None:
    """While the database is away it waits."""
    door = Door()
    await door.identities.resolve(sent())
    door.keys.away = True
    await door.identities.note_use()
    assert not door.keys.used
    door.keys.away = False
    await door.identities.note_use()
    assert door.keys.used == {door.keys.key.api_key_id: NOON}
