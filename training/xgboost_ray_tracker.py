"""Lets xgboost-ray 0.1.19, the last release, train on xgboost 2.1 and newer.

That release starts a tracker whose constructor xgboost changed in 2.1. `modern_tracker` replaces the start and the stop
while it is open, and nothing else; everything inside xgboost-ray (actors, recovery, elastic training) stays as it is.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import ray
import xgboost_ray.main
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

if TYPE_CHECKING:
    from collections.abc import Iterator


def _start_tracker(num_workers: int) -> tuple[RabitTracker, dict[str, Any]]:
    tracker = RabitTracker(n_workers=num_workers, host_ip=ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    tracker.start()
    return tracker, {"DMLC_NUM_WORKER": num_workers, **tracker.worker_args()}


def _stop_tracker(tracker: RabitTracker) -> None:
    # After a worker's death freeing reports the broken connection. The tracker is given up either way, and an error
    # here would keep xgboost-ray from starting a new one and going on from its checkpoint.
    with contextlib.suppress(XGBoostError):
        tracker.free()


class _Installation:
    """The replaced functions, shared by all threads that train at the same time: the last one out puts them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: tuple[Any, Any] = (None, None)

    def enter(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = xgboost_ray.main._start_rabit_tracker, xgboost_ray.main._stop_rabit_tracker  # noqa: SLF001
                _install(_start_tracker, _stop_tracker)
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _install(*self._before)


def _install(start: Any, stop: Any) -> None:
    xgboost_ray.main._start_rabit_tracker = start  # noqa: SLF001
    xgboost_ray.main._stop_rabit_tracker = stop  # noqa: SLF001


_installation = _Installation()


@contextlib.contextmanager
def modern_tracker() -> Iterator[None]:
    """Within this context xgboost-ray starts the tracker as current xgboost wants it. Threads may share it."""
    _installation.enter()
    try:
        yield
    finally:
        _installation.leave()
