"""Whether a request may pass: who asks, for what, how often. Free of any framework."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from serve_apps.identity import NOBODY, Identity
from serve_apps.quotas import FREELY, check
from serve_apps.refusals import MissingScopeError, UnauthenticatedError
from stores.domain.api_keys import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serve_apps.client_address import Address, TrustedProxies
    from serve_apps.identity import Identities
    from serve_apps.quotas import Admission, Quotas

OPEN_PATHS = frozenset(
    {
        "/health",
        "/ready",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
        "/v2/health/live",
        "/v2/health/ready",
    }
)
TOKEN_PATH = "/auth/token"  # noqa: S105  # a path
PURGE_PATH = "/purge"
UNKNOWN_ADDRESS = IPv4Address("0.0.0.0")  # noqa: S104  # whoever cannot be told apart is counted as one
_VERSION = "/v1"


class Ticket(NamedTuple):
    """A request that may pass: whose it is, and what its answer's head tells of the quota."""

    identity: Identity
    address: Address | None
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Gate:
    """Identities and quotas, asked in the right order. Belongs to one event loop; ``quotas`` None counts nothing."""

    def __init__(self, identities: Identities, quotas: Quotas | None, proxies: TrustedProxies) -> None:
        self.identities = identities
        self.quotas = quotas
        self._proxies = proxies

    def pass_known(self, path: str, headers: Sequence[tuple[bytes, bytes]], peer: str | None) -> Ticket | None:
        """Let a request pass if that can be said without waiting; None: ask `pass_any`. Raises as that does."""
        identity = self.identities.known(headers)
        if identity is None:
            return None
        address = self._proxies.client(peer, headers)
        _check_scope(identity, path)
        if self.quotas is None:
            return Ticket(identity, address)
        admission = self.quotas.admit(identity, self._counted(address))
        return None if admission is None else _ticket(identity, address, admission)

    async def pass_any(self, path: str, headers: Sequence[tuple[bytes, bytes]], peer: str | None) -> Ticket:
        """Let a request pass.

        Raises UnauthenticatedError, MissingScopeError and QuotaExceededError, or TransientError when it cannot be
        looked up whose key this is.
        """
        address = self._proxies.client(peer, headers)
        identity = self.identities.known(headers)
        if identity is None:  # a look-up is counted by address: wrong keys must not reach the database without end
            await self.charge(NOBODY, address, 1)
            identity = await self.identities.resolve(headers)
        _check_scope(identity, path)
        return _ticket(identity, address, await self._admission(identity, address, 1))

    async def charge(self, identity: Identity, address: Address | None, cost: int) -> None:
        """Count what a request costs beyond the one it was counted for. Raises QuotaExceededError, InvalidError."""
        if cost > 0:
            check(await self._admission(identity, address, cost))

    async def _admission(self, identity: Identity, address: Address | None, cost: int) -> Admission:
        if self.quotas is None:
            return FREELY
        counted = self._counted(address)
        admission = self.quotas.admit(identity, counted, cost)
        return await self.quotas.admit_later(identity, counted, cost) if admission is None else admission

    def _counted(self, address: Address | None) -> Address | None:
        """A proxy's own address stands for all who come through it, so it is not counted."""
        if address is None:
            return UNKNOWN_ADDRESS
        return None if self._proxies.trusts(address) else address


def is_open(path: str) -> bool:
    """Whether everyone may always ask for this path."""
    return path in OPEN_PATHS or path.removeprefix(_VERSION) in OPEN_PATHS


def scope_of(path: str) -> Scope | None:
    """What a key needs for this path; None: any key will do."""
    path = path.removeprefix(_VERSION)
    if path == TOKEN_PATH:
        return None
    if path == PURGE_PATH:
        return Scope.ADMIN
    return Scope.PREDICT if path.startswith("/predict/") or path.endswith("/infer") else Scope.READ


def _check_scope(identity: Identity, path: str) -> None:
    scope = scope_of(path)
    if scope is not None and not identity.may(scope):
        if identity is NOBODY:
            raise UnauthenticatedError.missing()
        raise MissingScopeError.of(scope)


def _ticket(identity: Identity, address: Address | None, admission: Admission) -> Ticket:
    check(admission)
    return Ticket(identity, address, admission.headers)
