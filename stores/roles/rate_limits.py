"""Token buckets that every replica shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.rate_limits import Demand, Verdict


class RateLimits(Protocol):
    """Buckets that are shared by all processes and counted by one clock, the server's.

    The buckets of one subject are read and charged together: all or none, whatever else goes on. Counting is exact, in
    whole numbers. Buckets are a cache: a server that lost them lets everyone begin with full ones, and a fail-over of a
    cluster forgets what was taken in the moment before it (replication lags by milliseconds), never more than that.
    A call whose answer was lost is repeated, so tokens may be charged twice on a broken connection, and never too few.
    Raises TransientError when the server does not answer: whether to let pass is the caller's choice.
    """

    async def take(self, demands: Sequence[Demand], cost: int = 1) -> list[Verdict]:
        """Charge ``cost`` tokens to every bucket of every demand, or, when one refuses, in the end to none.

        Subjects are charged side by side and one that granted gets its tokens back when another refused; for that
        moment it has less than it should, never more. A cost of 0 asks without charging. Raises InvalidError for a cost
        that no bucket could hold.
        """
        ...

    async def lease(self, demand: Demand, most: int) -> Verdict:
        """Take up to ``most`` tokens at once, to be spent without asking: as many as all buckets have, or none."""
        ...

    async def lease_many(self, asked: Sequence[tuple[Demand, int]]) -> list[Verdict]:
        """`lease` for each subject by itself, in one round trip for each node that holds some of them."""
        ...

    async def give_back(self, demand: Demand, tokens: int) -> None:
        """Return what was leased and not spent; a bucket never holds more than its limit.

        Raises OutcomeUnknownError when the answer was lost, and then must not be repeated.
        """
        ...
