"""How much each may ask: the decision of one request, in process and without waiting, by leases of shared buckets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from serve_apps.quota_accounts import Account
from serve_apps.refusals import QuotaExceededError
from stores.domain.rate_limits import Demand
from stores.errors import InvalidError, RiftlineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
    from uuid import UUID

    from serve_apps.client_address import Address
    from serve_apps.identity import Identity
    from stores.domain.quotas import Limits
    from stores.roles.rate_limits import RateLimits

MAX_SUBJECTS = 50_000  # of about 1 kB
TOGETHER_S = 0.01  # leases that become due within this time are asked for in one round trip
MOST_AT_ONCE = 1_000  # leases of one round trip: more would hold up the event loop
SWEEP_S = 5.0  # what a subject has not used for so long goes back
FORGOTTEN_S = 60.0  # after an outage, for a subject that was counted in it
PROBE_S = 1.0  # how often the shared buckets are asked for while they are away
DRAIN_S = 3.0
_log = logging.getLogger(__name__)


class Admission(NamedTuple):
    """The decision, and what the answer's head tells of it. ``retry_after_s`` is 0 when it was allowed."""

    allowed: bool
    headers: tuple[tuple[bytes, bytes], ...]
    retry_after_s: int


FREELY = Admission(allowed=True, headers=(), retry_after_s=0)


class Quotas:
    """Token buckets of users, keys and addresses that all replicas share. Belongs to one event loop.

    A replica leases tokens and spends them without asking; before the first lease, and while one is under way, it
    spends on credit. So together the replicas let at most ``replicas * credit`` requests more pass than the buckets
    hold, with a credit of 5% of the subject's smallest bucket and at least 1. As much may lie unspent in each, so that
    a refusal may come that much early; after 5 s without a request it goes back.

    While the shared buckets are away each replica counts alone, in buckets of the limits divided by the replicas: an
    outage lets at most one bucketful more pass for each subject. They begin full once, not anew with every outage.

    Of more than MAX_SUBJECTS the one unused for longest is settled and forgotten.
    """

    def __init__(
        self,
        tiers: Mapping[str, Limits],
        connect: Callable[[], Awaitable[RateLimits]],
        *,
        replicas: int = 1,
        clock: Callable[[], float] = time.monotonic,
        report_alone: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``connect`` gives the shared buckets, the same each time; ``report_alone`` is told 1 when they go, else 0."""
        self._tiers = tiers
        self._connect = connect
        self._replicas = replicas
        self._clock = clock
        self._report_alone = report_alone
        self._accounts: OrderedDict[Hashable, Account] = OrderedDict()
        self._due: dict[Account, None] = {}
        self._leasing: asyncio.Task[None] | None = None
        self._answered: asyncio.Future[None] | None = None  # of the round that has not begun
        self._alone = False
        self._probe_at = 0.0

    @property
    def owed(self) -> int:
        """The tokens that were spent on credit and that the shared buckets were not told of, or had not."""
        return sum(-account.balance for account in self._accounts.values() if account.balance < 0)

    @property
    def alone(self) -> bool:
        """Whether this replica counts alone because the shared buckets do not answer."""
        return self._alone

    def admit(self, identity: Identity, address: Address | None, cost: int = 1) -> Admission | None:
        """Let a request pass or not, and count it; None when the shared buckets must be asked: then `admit_later`.

        A caller with a key is counted by key and user, any other by ``address``; None is not counted. Raises
        InvalidError for a cost that is never allowed.
        """
        now = self._clock()
        accounts = self._accounts_of(identity, address, now)
        if not accounts:
            return FREELY
        if cost > 1:
            _check_cost(accounts, cost)
        if self._alone:
            return self._admit_alone(accounts, cost, now)
        for index, account in enumerate(accounts):
            passed = account.spend(cost, now)
            if not passed:
                for spent in accounts[:index]:
                    spent.refund(cost)
                return None if passed is None else _refused(account, cost, now)
        for account in accounts:
            if account.balance < account.low and now >= account.dry_until and account not in self._due:
                self._lease_soon(account)
        return _admitted(accounts, now)

    async def admit_later(self, identity: Identity, address: Address | None, cost: int = 1) -> Admission:
        """As `admit`, after asking the shared buckets for what is missing."""
        accounts = self._accounts_of(identity, address, self._clock())
        for account in accounts:
            account.waiting += cost
        try:
            await self._round(accounts)
        finally:
            for account in accounts:
                account.waiting -= cost
        admission = self.admit(identity, address, cost)
        if admission is not None:
            return admission
        return _refused(max(accounts, key=lambda one: -one.balance), cost, self._clock())

    async def keep(self) -> None:
        """Give back and forget what is idle, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001  # a bug in one sweep must not end all later ones
                _log.warning("idle quotas cannot be settled: %s", _told(error))

    async def sweep(self) -> None:
        """Settle the subjects that have not asked for SWEEP_S, and forget those that owe and hold nothing."""
        now = self._clock()
        idle = []
        for key, account in self._accounts.items():  # the one unused for longest is the first
            if now - account.used_at < SWEEP_S:
                break
            idle.append((key, account))
        await self._settle([account for _, account in idle])
        for key, account in idle:
            patience = FORGOTTEN_S if account.was_alone else SWEEP_S
            if not account.balance and not self._alone and now - account.used_at >= patience:
                self._accounts.pop(key, None)

    async def close(self) -> None:
        """Give back what was leased and pay what was spent on credit, as far as it is done in DRAIN_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                if self._leasing is not None:
                    await self._leasing
                await self._settle(list(self._accounts.values()))
        if self._leasing is not None:
            self._leasing.cancel()
            await asyncio.gather(self._leasing, return_exceptions=True)

    def _accounts_of(self, identity: Identity, address: Address | None, now: float) -> Sequence[Account]:
        if identity.subject is None:
            return () if address is None else (self._account("address", _one_client(address), identity.tier, now),)
        key = self._account("key", identity.subject, identity.tier, now)
        if identity.user_id is None:
            return (key,)
        return (key, self._account("user", identity.user_id, identity.tier, now))

    def _account(self, kind: str, subject: UUID | str | Address, tier: str, now: float) -> Account:
        found = self._accounts.get(subject)
        if found is not None and found.demand.limits is self._tiers[tier]:
            self._accounts.move_to_end(subject)
            return found
        if found is not None:  # the tier changed: what is held goes back, a debt is paid
            self._lease_soon(found)
        account = self._accounts[subject] = Account(kind, Demand(subject, self._tiers[tier]), now)
        if len(self._accounts) > MAX_SUBJECTS:
            self._lease_soon(self._accounts.popitem(last=False)[1])
        return account

    def _admit_alone(self, accounts: Sequence[Account], cost: int, now: float) -> Admission:
        if now >= self._probe_at:
            self._lease_soon(accounts[0])
        for account in accounts:
            if not account.spend_alone(cost, self._replicas, now):
                return _refused(account, cost, now)
        return Admission(True, (accounts[0].policy,), 0)

    def _lease_soon(self, account: Account) -> None:
        """Have it leased for in the next round, which begins in a moment; forgotten accounts are settled in it."""
        self._due[account] = None
        if self._leasing is None:
            self._leasing = asyncio.get_running_loop().create_task(self._lease_all())

    async def _round(self, accounts: Sequence[Account]) -> None:
        """Wait for the answers of a round that begins after this call."""
        if self._answered is None:
            self._answered = asyncio.get_running_loop().create_future()
        answered = self._answered
        for account in accounts:
            self._lease_soon(account)
        await asyncio.shield(answered)

    async def _lease_all(self) -> None:
        """Rounds until nothing is due."""
        try:
            while self._due:
                if self._answered is None:  # nobody waits
                    await asyncio.sleep(TOGETHER_S)
                answered, self._answered = self._answered, None
                due, self._due = list(self._due), {}
                try:
                    for at in range(0, len(due), MOST_AT_ONCE):
                        await self._lease(due[at : at + MOST_AT_ONCE])
                finally:
                    if answered is not None and not answered.done():
                        answered.set_result(None)
        finally:
            self._leasing = None
            if self._answered is not None:  # cancelled: who waits decides with what is known
                self._answered.cancel()

    async def _lease(self, due: Sequence[Account]) -> None:
        now = self._clock()
        if self._alone and now < self._probe_at:
            return
        asked = [(account, tokens) for account in due if (tokens := account.wanted(now)) > 0 and self._holds(account)]
        asked += [(account, -account.balance) for account in due if account.balance < 0 and not self._holds(account)]
        try:
            limits = await self._connect()
            verdicts = await limits.lease_many([(account.demand, tokens) for account, tokens in asked])
        except Exception as error:  # noqa: BLE001  # whatever it is, requests go on
            self._count_alone(error)
            return
        self._count_together()
        now = self._clock()
        for (account, tokens), verdict in zip(asked, verdicts, strict=True):
            account.leased(tokens, verdict, now)
        surplus = [account for account in due if account.surplus(idle=not self._holds(account)) and not account.waiting]
        await self._give_back(limits, surplus, lambda account: not self._holds(account))

    async def _settle(self, accounts: Sequence[Account]) -> None:
        """Give back what these hold and pay what they owe; on an error it is left, or what was held is lost."""
        open_ones = [account for account in accounts if account.balance and not account.waiting]
        if self._alone or not open_ones:
            return
        owing = [(account, -account.balance) for account in open_ones if account.balance < 0]
        with suppress(RiftlineError):
            limits = await self._connect()
            for at in range(0, len(owing), MOST_AT_ONCE):
                part = owing[at : at + MOST_AT_ONCE]
                verdicts = await limits.lease_many([(account.demand, debt) for account, debt in part])
                for (account, debt), verdict in zip(part, verdicts, strict=True):
                    account.leased(debt, verdict, self._clock())
            await self._give_back(limits, open_ones, lambda _: True)

    @staticmethod
    async def _give_back(limits: RateLimits, accounts: Sequence[Account], idle: Callable[[Account], bool]) -> None:
        """Tokens whose return was not confirmed are lost: the bucket fills up by itself."""
        given = [(account.demand, account.take_surplus(idle=idle(account))) for account in accounts]
        await asyncio.gather(*(limits.give_back(demand, n) for demand, n in given if n), return_exceptions=True)

    def _holds(self, account: Account) -> bool:
        return self._accounts.get(account.demand.subject) is account

    def _count_alone(self, error: Exception) -> None:
        self._probe_at = self._clock() + PROBE_S
        if not self._alone:
            self._alone = True
            self._report_alone(1)
            _log.warning("this replica counts alone, for 1/%d of each limit: %s", self._replicas, _told(error))

    def _count_together(self) -> None:
        if self._alone:
            self._alone = False
            self._report_alone(0)
            _log.info("the replicas count together again")


def _check_cost(accounts: Sequence[Account], cost: int) -> None:
    for account in accounts:
        most = min(limit.tokens for limit in account.demand.limits)
        if cost > most:
            raise InvalidError(f"{cost} at once are never allowed by this quota; send at most {most}", "requests")


def check(admission: Admission) -> None:
    """Raises QuotaExceededError for a request that may not pass."""
    if not admission.allowed:
        headers = {name.decode(): value.decode() for name, value in admission.headers}
        raise QuotaExceededError("the quota is used up for now; Retry-After says for how long", headers)


def _admitted(accounts: Sequence[Account], now: float) -> Admission:
    return Admission(True, _headers(accounts, now), 0)


def _refused(account: Account, cost: int, now: float) -> Admission:
    wait_s = account.retry_after_s(cost, now)
    return Admission(False, (*_headers((account,), now), (b"retry-after", b"%d" % wait_s)), wait_s)


def _headers(accounts: Sequence[Account], now: float) -> tuple[tuple[bytes, bytes], ...]:
    """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers, as of version 08: the tightest bucket."""
    account, (tokens, limit) = accounts[0], accounts[0].told(now)
    for other in accounts[1:]:
        fewer, told = other.told(now)
        if fewer < tokens:
            account, tokens, limit = other, fewer, told
    return account.policy, (b"ratelimit", limit)


@lru_cache(65_536)
def _one_client(address: Address) -> Address:
    """Whose bucket an address has: of IPv6 all of a network /64 are one client's, as in the shared buckets."""
    if isinstance(address, IPv6Address):
        return ip_network((int(address), 64), strict=False).network_address
    return address


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, RiftlineError) else type(error).__name__  # others may quote a password
