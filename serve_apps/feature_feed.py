"""Feature views from the shard actors: asks each for what is newer, and maps the arrays that it published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from actors.feature_view import FeatureView
from actors.names import NAMESPACE
from stores.errors import NotFoundError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.feature_shard import Publication
    from actors.published import PublishedShard

CALL_TIMEOUT_S = 20.0  # a shard that restarts reads its features from the lake again: some seconds


class ShardFeed:
    """The feature shards of this cluster. Actors are looked up by name at each call, so a restarted one is found."""

    def __init__(self, shards: Sequence[str]) -> None:
        self._shards = tuple(shards)

    async def newer_than(self, known: FeatureView | None) -> FeatureView | None:
        """A view of the newest publications, or None. Raises TransientError while a shard is away."""
        snapshot_id = known.source.lake_snapshot_id if known else None
        newest = await self._ask_all(snapshot_id)
        if all(publication is None for publication in newest):
            return None
        if any(publication is None for publication in newest):
            newest = await self._ask_all(None)  # a commit came between the answers
        shards = await asyncio.gather(*(self._fetch(one) for one in newest if one is not None))
        return await asyncio.to_thread(FeatureView, shards)

    async def _ask_all(self, snapshot_id: int | None) -> list[Publication | None]:
        return list(await asyncio.gather(*(self._ask(shard, snapshot_id) for shard in self._shards)))

    async def _ask(self, shard: str, snapshot_id: int | None) -> Publication | None:
        try:
            actor: Any = await asyncio.to_thread(ray.get_actor, shard, namespace=NAMESPACE)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                publication: Publication | None = await actor.newer_than.remote(snapshot_id)
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
