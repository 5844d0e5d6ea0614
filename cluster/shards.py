"""Makes the feature shards as actors: the one place that fixes their name, lifetime and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray

from actors.feature_shard import FeatureShard
from actors.names import NAMESPACE, shard_names

if TYPE_CHECKING:
    from stores.settings import Settings


def start_shards(settings: Settings) -> list[Any]:
    """The feature shards, started unless they live. They outlive this driver and are restarted when they die."""
    names = shard_names(settings.cluster.feature_shards)
    actor: Any = ray.remote(FeatureShard)
    return [
        actor.options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
        ).remote(name, names, settings.lake, ray.put)
        for name in names
    ]
