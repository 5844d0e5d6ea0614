"""How many replicas are asked for: by the signal that is furthest above its target."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from ray.serve.config import AutoscalingConfig

from serve_apps.app import GatewayArgs, build
from serve_apps.scaling import BusiestSignal
from tests.unit.test_serve_app import ARGS

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

LIMITS = AutoscalingConfig(min_replicas=1, max_replicas=8, target_ongoing_requests=4)


def context(running: int, ongoing: float, **told: list[float]) -> AutoscalingContext:
    """What Serve knows: requests, and what each replica told."""
    by_replica = {name: dict(enumerate(values)) for name, values in told.items()}
    return cast(
        "AutoscalingContext",
        SimpleNamespace(
            config=LIMITS,
            current_num_replicas=running,
            target_num_replicas=2,
            total_num_requests=ongoing,
            aggregated_metrics=by_replica,
        ),
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (context(1, 12.0), 3.0),  # three times the requests that one replica should have
        (context(2, 0.0, fill=[0.9, 0.6]), 3.0),  # both are fuller than they should be
        (context(2, 12.0, fill=[0.5, 0.5]), 3.0),  # the busier signal decides
        (context(4, 4.0, fill=[0.1, 0.1, 0.1, 0.2]), 1.0),  # nothing keeps so many
        (context(3, 0.0), 0.0),  # Serve keeps its minimum
        (context(0, 0.0), 2),  # they are on their way
    ],
)
def test_the_busiest_signal_decides(given: AutoscalingContext, expected: float) -> None:
    """Each asks for as many as would bring it to its target."""
    replicas, remembered = BusiestSignal({"fill": 0.5})(given)
    assert replicas == pytest.approx(expected)
    assert not remembered


def test_what_no_replica_told_asks_for_nothing() -> None:
    """A signal may be late, as after a start."""
    late = context(1, 2.0)
    cast("Any", late).aggregated_metrics = None
    assert BusiestSignal({"fill": 0.5})(late) == (0.5, {})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"gateway": (2, None)}),
        ({"max_replicas": 2}, {"gateway": (2, None)}),
        ({"max_replicas": 4}, {"gateway": (2, 4)}),
        ({"model": {"composed": True}}, {"gateway": (2, None), "model": (1, 2)}),
        (
            {"model": {"composed": True, "replicas": 3, "max_replicas": 3}},
            {"gateway": (2, None), "model": (3, None)},
        ),
    ],
)
def test_replicas_are_fixed_unless_there_may_be_more(more: dict[str, Any], expected: dict[str, Any]) -> None:
    """The gateway and, composed, the model: at least so many, and at most."""
    application: Any = build(GatewayArgs.model_validate({**ARGS, "replicas": 2, **more}))
    gateway = application._bound_deployment  # noqa: SLF001  # Serve has no public look into what it will deploy
    deployments = [gateway, *(one._bound_deployment for one in gateway.init_args)]  # noqa: SLF001
    found = {}
    for one in deployments:
        scaling = one._deployment_config.autoscaling_config  # noqa: SLF001
        found[one.name] = (scaling.min_replicas, scaling.max_replicas) if scaling else (one.num_replicas, None)
        if scaling:
            signal = scaling.policy.get_policy()(**scaling.policy.policy_kwargs)
            assert signal(context(1, 0.0))[0] == 0.0
    assert found == expected
