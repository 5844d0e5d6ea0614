"""The features of players, teams and tournaments that are asked for often, and what feature shards published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stores.domain.hot_features import FeatureKind, HotFeatures


class HotFeatureCache(Protocol):
    """Feature vectors by name, kept for one hour (players, teams) or two (tournaments).

    Case, outer and doubled white space and compatible forms of a name's characters make no difference. A vector is
    written and read whole. A cache: the feature store has the truth. What cannot be read (garbled, of another version
    of this program) counts as a miss and in ``garbled``. Raises TransientError when the server does not answer.
    """

    garbled: int

    async def read_many(self, kind: FeatureKind, names: Sequence[str]) -> list[HotFeatures | None]:
        """The features of each name in order, None on a miss; one round trip for each node of the server.

        They bear the name that was asked for and no summary; ``values`` is read-only.
        """
        ...

    async def put_many(self, kind: FeatureKind, features: Sequence[HotFeatures]) -> None:
        """Write each, in place of what was there; one round trip for each node."""
        ...

    async def drop(self, kind: FeatureKind, names: Sequence[str]) -> None:
        """Forget these names."""
        ...

    async def put_copy(self, shard: str, copy: bytes) -> None:
        """Keep what a feature shard published, in place of what it published before, for two hours."""
        ...

    async def copy_of(self, shard: str) -> bytes | None:
        """What it published last, to the byte; None on a miss."""
        ...
