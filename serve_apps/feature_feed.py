"""Feature views from the shard actors: asks each for what is newer, and maps the arrays that it published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from actors.feature_view import FeatureView
from actors.names import NAMESPACE, ring_of
from actors.published import CONFIRMED_WITHIN_S
from stores.errors import NotFoundError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.published import Publication, PublishedShard

CALL_TIMEOUT_S = 20.0  # a shard that restarts reads its features from the lake again: some seconds


class ShardFeed:
    """The feature shards of this cluster and this code.

    The ring is the set of those that live, as Ray's control store lists them now. Every question names it, so that all
    shards answer for one ring: while shards come and go, each key is in exactly one of the answers that are joined.
    """

    def __init__(self, code_version: str) -> None:
        self.age_s = 0.0
        self._code_version = code_version
        self._ring: tuple[str, ...] = ()  # of the last view

    async def newer_than(self, known: FeatureView | None) -> FeatureView | None:
        """A view of the newest publications, or None. Raises TransientError while a shard is away.

        What the lake has not confirmed, as after a restart without it, is given only where no view is known: the known
        one may be newer.
        """
        ring = await self._living()
        snapshot_id = known.source.lake_snapshot_id if known and ring == self._ring else None
        newest = await self._ask_all(ring, snapshot_id)
        if all(one is None for one in newest):
            self.age_s = 0.0
            return None
        if any(one is None for one in newest):
            newest = await self._ask_all(ring, None)  # a commit came between the answers
        given = [one for one in newest if one is not None]
        age_s = max(one.age_s for one in given)
        if known and age_s > CONFIRMED_WITHIN_S:
            raise TransientError(f"the lake has not confirmed the features of a shard for {age_s:.0f} s")
        if known and len({one.lake_snapshot_id for one in given}) > 1:
            self.age_s = 0.0
            return None  # one of them looks in a moment; one that cannot look is what was raised above
        view = await asyncio.to_thread(FeatureView, await asyncio.gather(*map(self._fetch, given)))
        self._ring, self.age_s = ring, age_s
        return view

    async def _living(self) -> tuple[str, ...]:
        try:
            actors = await asyncio.to_thread(ray.util.list_named_actors, all_namespaces=True)
        except RayError as error:
            raise TransientError("Ray does not say which feature shards live") from error
        ring = ring_of((one["name"] for one in actors if one["namespace"] == NAMESPACE), self._code_version)
        if not ring:
            raise TransientError("no feature shard lives; run `riftline up`")
        return ring

    async def _ask_all(self, ring: tuple[str, ...], snapshot_id: int | None) -> Sequence[Publication | None]:
        return await asyncio.gather(*(self._ask(shard, ring, snapshot_id) for shard in ring))

    async def _ask(self, shard: str, ring: tuple[str, ...], snapshot_id: int | None) -> Publication | None:
        try:
            actor: Any = await asyncio.to_thread(ray.get_actor, shard, namespace=NAMESPACE)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                publication: Publication | None = await actor.newer_than.remote(ring, snapshot_id)
        except NotFoundError:
            raise
        except (ValueError, TimeoutError, RayError) as error:
            if isinstance(cause := getattr(error, "cause", None), RiftlineError):
                raise cause from error
            raise TransientError(f"feature shard {shard} does not answer") from error
        return publication

    async def _fetch(self, publication: Publication) -> PublishedShard:
        try:
            shard: PublishedShard = await publication.content
        except RayError as error:
            raise TransientError("a feature shard was lost while its arrays were fetched") from error
        return shard
