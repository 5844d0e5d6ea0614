"""Lets xgboost-ray 0.1.19, the last release, train on xgboost 2.1 and newer.

That release starts a tracker whose constructor xgboost changed in 2.1. `modern_tracker` replaces the start and the stop
while it is open, and nothing else; everything inside xgboost-ray (actors, recovery, elastic training) stays as it is.
"""

from __future__ import annotations

import contextlib
from typing import Any

import ray
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from training.xgboost_ray_functions import Replacement


def _start_tracker(num_workers: int) -> tuple[RabitTracker, dict[str, Any]]:
    tracker = RabitTracker(n_workers=num_workers, host_ip=ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    tracker.start()
    return tracker, {"DMLC_NUM_WORKER": num_workers, **tracker.worker_args()}


def _stop_tracker(tracker: RabitTracker) -> None:
    # After a worker's death freeing reports the broken connection. The tracker is given up either way, and an error
    # here would keep xgboost-ray from starting a new one and going on from its checkpoint.
    with contextlib.suppress(XGBoostError):
        tracker.free()


_replacement = Replacement({"_start_rabit_tracker": _start_tracker, "_stop_rabit_tracker": _stop_tracker})


def modern_tracker() -> Replacement:
    """Within this context xgboost-ray starts the tracker as current xgboost wants it. Threads may share it."""
    return _replacement
