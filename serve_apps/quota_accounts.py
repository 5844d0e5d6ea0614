"""What one replica may let pass for one subject without asking: a lease of the shared buckets, and a little credit.

Pure: time is passed in, in seconds of one monotonic clock, and nothing is asked here.

Invariant, whatever the order of calls: ``spent == leased - given back - balance`` and ``balance >= -credit``, so a
subject gets at most ``credit`` tokens per replica more than the shared buckets granted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.rate_limits import Demand, Verdict

MOST_LEASED = 0.05  # of the smallest bucket: what a replica may hold, and what it may spend before it is told
LEASE_S = 1.0  # a lease is what the last seconds' rate spends in this time
SHORTEST_S = 0.05  # over a shorter time a rate is noise
FADES = 0.5  # a rate that fell is believed by halves


class Account:
    """One subject's tokens in this replica. ``balance`` is what was leased and not spent; below zero it is a debt."""

    __slots__ = (
        "_counted_at",
        "_full",
        "_levels",
        "_levels_at",
        "_name",
        "_names",
        "_per_s",
        "_rate",
        "_remaining",
        "_rest",
        "_shares",
        "_spent",
        "_told_at",
        "balance",
        "credit",
        "demand",
        "dry_until",
        "low",
        "policy",
        "used_at",
        "waiting",
    )

    def __init__(self, kind: str, demand: Demand, now: float) -> None:
        self.demand = demand
        self.credit = max(1, int(MOST_LEASED * min(limit.tokens for limit in demand.limits)))
        self._names = tuple(f'"{kind}-{limit.window}"'.encode() for limit in demand.limits)
        policies = (
            b"%s;q=%d;w=%d" % (name, limit.tokens, limit.window.seconds)
            for name, limit in zip(self._names, demand.limits, strict=True)
        )
        self.policy = (b"ratelimit-policy", b", ".join(policies))
        self.balance = 0
        self.dry_until = 0.0  # until then the shared buckets are known to be empty
        self.waiting = 0  # tokens that callers wait for
        self.used_at = now
        self._rate, self._spent, self._counted_at = 0.0, 0, now
        self.low = (1 - self.credit) // 2  # below it is time to lease, well before the credit is used up
        self._watch([limit.tokens for limit in demand.limits], now)
        self._levels: list[float] | None = None  # of the replica's own buckets, once there was need of them
        self._levels_at = now
        self._shares: list[float] = []

    def spend(self, cost: int, now: float) -> bool | None:
        """Whether ``cost`` tokens pass; None when only the shared buckets can say. They are spent when True."""
        left = self.balance - cost
        if left < 0 and (left < -self.credit or now < self.dry_until):
            return False if now < self.dry_until else None
        self.balance = left
        self._spent += cost
        self.used_at = now
        return True

    def refund(self, cost: int) -> None:
        """Undo a spending of just now."""
        self.balance += cost
        self._spent -= cost

    def wanted(self, now: float) -> int:
        """How many tokens to lease now: the debt, what callers wait for, and about a second's worth, in bounds."""
        elapsed = now - self._counted_at
        if elapsed >= SHORTEST_S:
            self._rate = max(self._spent / elapsed, FADES * self._rate)
            self._spent, self._counted_at = 0, now
            self.low = (self._lease() - self.credit) // 2
        return max(self._lease() + self.waiting - self.balance, 0)

    def leased(self, asked: int, verdict: Verdict, now: float) -> None:
        """The shared buckets answered. Fewer tokens than asked for: they are empty."""
        self.balance += verdict.granted
        self._watch([bucket.remaining for bucket in verdict.buckets], now)
        if verdict.granted < asked:
            self.dry_until = now + _wait_s(self.demand, self._remaining, max(1, 1 - self.balance))

    def surplus(self, *, idle: bool) -> int:
        """Tokens to give back: all of them when idle, else what is above the bound."""
        return max(self.balance - (0 if idle else self.credit), 0)

    def take_surplus(self, *, idle: bool) -> int:
        """Take the `surplus` out of the balance, to give it back."""
        tokens = self.surplus(idle=idle)
        self.balance -= tokens
        return tokens

    def spend_alone(self, cost: int, replicas: int, now: float) -> bool:
        """As `spend`, from the replica's own buckets of the limits' share, while the shared ones are away."""
        if self._levels is None:
            self._shares = [max(limit.tokens / replicas, 1.0) for limit in self.demand.limits]
            self._levels = self._shares
        elapsed = now - self._levels_at
        self._levels = [
            min(level + elapsed * share / limit.window.seconds, share)
            for level, share, limit in zip(self._levels, self._shares, self.demand.limits, strict=True)
        ]
        self._levels_at, self.used_at = now, now
        if min(self._levels) < cost:
            return False
        self._levels = [level - cost for level in self._levels]
        return True

    @property
    def was_alone(self) -> bool:
        """Whether the replica's own buckets were in use; they are kept, so that every outage finds them as they are."""
        return self._levels is not None

    def retry_after_s(self, cost: int, now: float) -> int:
        """Whole seconds after which the same may pass."""
        if now < self.dry_until:
            wait_s = _wait_s(self.demand, self._remaining, cost - self.balance) - (now - self._told_at)
            return max(math.ceil(max(wait_s, self.dry_until - now)), 1)
        if self._levels is None:
            return 1
        missing = (
            (cost - level) * limit.window.seconds / share
            for level, share, limit in zip(self._levels, self._shares, self.demand.limits, strict=True)
        )
        return max(math.ceil(max(missing)), 1)

    def told(self, now: float) -> tuple[int, bytes]:
        """The whole tokens of the bucket that had fewest when it was told, and that in the words of the answer's head.

        ``r`` is what remains, ``t`` the seconds until the bucket is full again.
        """
        full, per_s = self._full, self._per_s
        rest = self._rest + (now - self._told_at) * per_s
        tokens = (full if rest > full else int(rest)) + self.balance
        tokens = 0 if tokens < 0 else min(tokens, full)
        return tokens, b"%s;r=%d;t=%d" % (self._name, tokens, (full - tokens) / per_s + 0.999)

    def _lease(self) -> int:
        return min(max(int(self._rate * LEASE_S), 1), self.credit)

    def _watch(self, remaining: Sequence[int], now: float) -> None:
        """Tell from now on of the bucket that has fewest tokens."""
        place = min(range(len(remaining)), key=remaining.__getitem__)
        limit = self.demand.limits[place]
        self._name, self._full = self._names[place], limit.tokens
        self._per_s = limit.tokens / limit.window.seconds
        self._rest, self._told_at, self._remaining = remaining[place], now, remaining


def _wait_s(demand: Demand, remaining: Sequence[int], tokens: int) -> float:
    """How long until every bucket holds so many tokens."""
    return max(
        max(tokens - left, 0) * limit.window.seconds / limit.tokens
        for limit, left in zip(demand.limits, remaining, strict=True)
    )
