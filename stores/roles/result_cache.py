"""Answers that were given lately, so that the same question costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stores.domain.cached_results import CachedAnswer, CachedCurve, Hit


class ResultCache(Protocol):
    """Answers and curves by the hash of their question, which holds the model's version; kept for 15 minutes.

    A cache: anything may be lost at any time, and nothing is only here. What cannot be read (garbled, of another
    version of this program) counts as a miss and in ``garbled``, and is written anew. Shortly before an entry expires
    a few readers, the more the dearer it was, are told to `refresh` it, so that not all of them miss it at once.
    Raises TransientError when the server does not answer; the caller then computes.
    """

    garbled: int

    async def get(self, question: str) -> Hit[CachedAnswer] | None:
        """The answer to one question, None on a miss."""
        ...

    async def get_many(self, questions: Sequence[str]) -> list[Hit[CachedAnswer] | None]:
        """The answers to many, in order, in one round trip for each node."""
        ...

    async def put(self, question: str, answer: CachedAnswer, cost_s: float) -> None:
        """Keep an answer. ``cost_s`` is how long it took to compute: it decides how early it is refreshed."""
        ...

    async def put_many(self, answers: Mapping[str, CachedAnswer], cost_s: float) -> None:
        """Keep many answers, each of which took ``cost_s``."""
        ...

    async def get_curve(self, question: str) -> Hit[CachedCurve] | None:
        """The curve of one question, None on a miss."""
        ...

    async def put_curve(self, question: str, curve: CachedCurve, cost_s: float) -> None:
        """Keep a curve."""
        ...

    async def drop(self, questions: Sequence[str]) -> None:
        """Forget the answers and curves of these questions."""
        ...
