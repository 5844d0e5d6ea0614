"""Makes the feature shards as actors: the one place that fixes their name, lifetime and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray

from actors.code_version import code_version
from actors.feature_shard import FeatureShard
from actors.names import NAMESPACE, is_shard_name, shard_names

if TYPE_CHECKING:
    from stores.settings import Settings


def start_shards(settings: Settings) -> None:
    """Start the feature shards unless they live. They outlive this driver and are restarted when they die."""
    names = shard_names(settings.cluster.feature_shards, code_version())
    actor: Any = ray.remote(FeatureShard)
    for name in names:
        actor.options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
        ).remote(name, names, settings.lake, ray.put)


def retire_other_shards(settings: Settings) -> None:
    """End the shards of another ring size or of older code. Call it when no gateway reads them any more."""
    ours = set(shard_names(settings.cluster.feature_shards, code_version()))
    for actor in ray.util.list_named_actors(all_namespaces=True):
        name = actor["name"]
        if actor["namespace"] == NAMESPACE and is_shard_name(name) and name not in ours:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE))
