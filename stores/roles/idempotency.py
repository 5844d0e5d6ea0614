"""Responses by idempotency keys (IETF draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stores.domain.idempotency import Claim, KeptResponse, Taken


class Idempotency(Protocol):
    """Of all who claim a key at once one may answer. What was kept is found for KEPT_S by every replica.

    A claim ends by itself after its time, so that a crash does not hold the key. Every call may be repeated. Raises
    TransientError when the server does not answer.
    """

    async def claim(self, claim: Claim, lock_s: float) -> KeptResponse | Taken | None:
        """Claim the key for ``lock_s``: None when it is ours now; else the response kept, or why it is taken."""
        ...

    async def keep(self, claim: Claim, response: KeptResponse) -> bool:
        """Keep the response under the claimed key; False when another claim holds it by now, and nothing was done.

        Raises InvalidError for a response that is too large.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give the key back without a response; a claim that is not held any more is left alone."""
        ...
