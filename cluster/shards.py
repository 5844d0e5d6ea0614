"""Makes the feature shards as actors: the one place that fixes their name, lifetime and restarts."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import ray

from actors.feature_shard import LOOK_EVERY_S, FeatureShard
from actors.names import NAMESPACE, is_shard_name, shard_names
from actors.shard_copies import ShardCopies
from stores.code_version import code_version
from stores.redis_store import embedded as embedded_redis

if TYPE_CHECKING:
    from stores.settings import LakeSettings, Settings


class FeatureShardActor(FeatureShard):
    """A shard in a process of its own, which looks for newer features by itself for as long as it lives."""

    def __init__(self, name: str, lake: LakeSettings, redis_url: str) -> None:
        super().__init__(name, lake, ray.put, ShardCopies(redis_url))
        Thread(target=self._look_for_ever, name="look", daemon=True).start()

    def _look_for_ever(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            self.look()


def start_shards(settings: Settings) -> None:
    """Start the feature shards unless they live. They outlive this driver and are restarted when they die.

    Replicas find a new one by its name; of the keys it takes over its share, and the others keep theirs.
    """
    redis_url = settings.redis.url or embedded_redis.start(settings.redis.data_dir)
    actor: Any = ray.remote(FeatureShardActor)
    for name in shard_names(settings.cluster.feature_shards, code_version()):
        actor.options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
        ).remote(name, settings.lake, redis_url)


def retire_other_shards(settings: Settings) -> None:
    """End the shards beyond the number in the settings, whose keys the others take over, and those of older code.

    Call it when no gateway of older code reads any more.
    """
    ours = set(shard_names(settings.cluster.feature_shards, code_version()))
    for actor in ray.util.list_named_actors(all_namespaces=True):
        name = actor["name"]
        if actor["namespace"] == NAMESPACE and is_shard_name(name) and name not in ours:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE))
