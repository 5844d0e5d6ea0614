"""A feature shard: the owner of its share of the newest feature snapshots."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from actors.published import CONFIRMED_WITHIN_S, Publication
from actors.ring import HashRing
from actors.shard_copies import ShardCopy
from actors.shard_tables import ShardTables, published, read_tables
from stores.clock import utc_now
from stores.errors import NotFoundError, RiftlineError, TransientError
from stores.features.tables import PLAYER_SNAPSHOTS
from stores.lake.catalog import IcebergLake

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.shard_copies import ShardCopies
    from stores.settings import LakeSettings

LOOK_EVERY_S = 1.0
COPY_EVERY_S = 600.0  # a copy is as old as its last confirmation, and the embedded Redis flushes each to the disk
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """The share of one ring; ``confirmed_at`` is of the monotonic clock."""

    ring: tuple[str, ...]
    tables: ShardTables
    content: Any
    confirmed_at: float

    @property
    def lake_snapshot_id(self) -> int:
        return self.tables.source.lake_snapshot_id

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.confirmed_at


class FeatureShard:
    """Owns the keys that a ring of shards gives it, and publishes them as one immutable object per version.

    Guarantee: a publication holds one lake snapshot, never a mix, and of its keys exactly those that the reader's ring
    gives this shard. A crash loses nothing: the shard reads the lake again or, while that does not answer, its last
    copy in the hot store. Readers keep the version that they hold meanwhile.

    Readers ask in one thread while `look` runs in another; what is held is replaced as a whole.
    """

    def __init__(
        self, name: str, lake: LakeSettings, put: Callable[[object], Any], copies: ShardCopies | None = None
    ) -> None:
        self.name = name
        self._settings = lake
        self._lake: IcebergLake | None = None
        self._put = put
        self._copies = copies
        self._copied: tuple[Any, float] = None, 0.0  # what, and when
        self._held: _Held | None = None
        self._trouble: Exception | None = None
        self._renewing = Lock()

    def newer_than(self, ring: tuple[str, ...], known_snapshot_id: int | None) -> Publication | None:
        """The newest publication for a ring of shards, or None: the reader has it, and the lake confirms it.

        Raises NotFoundError while the lake holds no features that this code can read, and TransientError while the lake
        does not answer and there is nothing to give: no copy in the hot store, or nothing that the reader has not.
        """
        held = self._held
        if held is None or held.ring != ring:
            with self._renewing:
                held = self._held = self._taken_over(ring)
        if held.lake_snapshot_id != known_snapshot_id:
            return Publication(held.lake_snapshot_id, held.content, held.age_s)
        if held.age_s > CONFIRMED_WITHIN_S:
            raise self._trouble or TransientError(f"the lake has not answered {self.name} for {held.age_s:.0f} s")
        return None

    def look(self) -> None:
        """Look once for a newer snapshot, and keep a copy of what is held. Never raises: readers are told."""
        trouble: Exception | None = None
        try:
            with self._renewing:
                if self._held:
                    self._held = self._renewed(self._held)
        except Exception as error:  # noqa: BLE001  # a bug in one look must not end all later ones
            trouble = error
            if repr(error) != repr(self._trouble):
                _log.warning("%s cannot look for newer features: %s", self.name, error)
        self._trouble = trouble
        self._keep_copy()

    def _taken_over(self, ring: tuple[str, ...]) -> _Held:
        try:
            return self._read(ring)
        except TransientError:
            copy = self._last_copy(ring)
            if copy is None:
                raise
            age_s = max(0.0, (utc_now() - copy.confirmed_at).total_seconds())
            return self._publish(ring, copy.tables, time.monotonic() - age_s)

    def _renewed(self, held: _Held) -> _Held:
        now = time.monotonic()
        same = held.lake_snapshot_id == self._newest(self._opened())
        return replace(held, confirmed_at=now) if same else self._read(held.ring)

    def _read(self, ring: tuple[str, ...]) -> _Held:
        now, lake, owners = time.monotonic(), self._opened(), HashRing(ring)
        tables = read_tables(lake, self._newest(lake), lambda key: owners.owner(key) == self.name)
        return self._publish(ring, tables, now)

    def _publish(self, ring: tuple[str, ...], tables: ShardTables, confirmed_at: float) -> _Held:
        return _Held(ring, tables, self._put(published(self.name, tables)), confirmed_at)

    def _opened(self) -> IcebergLake:
        self._lake = self._lake or IcebergLake(self._settings)  # not at the start: its server may be away
        return self._lake

    @staticmethod
    def _newest(lake: IcebergLake) -> int:
        snapshot_id = lake.snapshot_id(PLAYER_SNAPSHOTS)
        if snapshot_id is None:
            raise NotFoundError("the lake holds no features yet; run `riftline ingest`")
        return snapshot_id

    def _last_copy(self, ring: tuple[str, ...]) -> ShardCopy | None:
        try:
            return self._copies.last(self.name, ring) if self._copies else None
        except RiftlineError as error:
            _log.warning("%s has no copy: %s", self.name, error)
            return None

    def _keep_copy(self) -> None:
        held, now = self._held, time.monotonic()
        if not held or not self._copies or held.age_s > CONFIRMED_WITHIN_S:
            return
        what, when = self._copied
        if what is held.content and now - when < COPY_EVERY_S:
            return
        self._copied = held.content, now
        try:
            confirmed_at = utc_now() - timedelta(seconds=held.age_s)
            self._copies.keep(self.name, ShardCopy(held.ring, held.tables, confirmed_at))
        except RiftlineError as error:
            _log.warning("%s keeps no copy: %s", self.name, error)
