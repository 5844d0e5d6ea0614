"""How many replicas a deployment needs, by more than the requests that Serve counts. Its controller asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ray.serve.config import AutoscalingContext


class BusiestSignal:
    """A policy of Serve: each signal asks for the replicas that would bring it to its target, and the highest wins.

    The signals are Serve's ongoing requests and what replicas tell by `record_autoscaling_stats`; ``targets`` say what
    one replica should tell. Limits and delays are Serve's, by the deployment's AutoscalingConfig.
    """

    def __init__(self, targets: Mapping[str, float]) -> None:
        self._targets = targets

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """The number of replicas, before limits and delays; nothing is remembered."""
        limits = context.config
        if limits is None or not context.current_num_replicas:
            return context.target_num_replicas, {}
        told = context.aggregated_metrics or {}
        asked = [sum(told.get(name, {}).values()) / target for name, target in self._targets.items()]
        return max(context.total_num_requests / limits.target_ongoing_requests, *asked), {}
