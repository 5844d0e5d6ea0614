"""A new configuration is taken into service, and taken back, while clients ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.conftest import run_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Riftline, Traffic

    TrafficOf = Callable[[], Traffic]
    WaitUntil = Callable[[Callable[[], bool], str, float], None]

GATEWAY = "ray::ServeReplica:riftline:gateway"
DRAINED_S = 60.0  # Serve gives a replica 10 s to end


def test_replicas_are_replaced_without_a_failed_request(
    riftline: Riftline, traffic: TrafficOf, wait_until: WaitUntil
) -> None:
    """The new ones answer before the former ones end, and these end only when all that they took is answered."""
    with traffic() as asking:
        for change in ({"RIFTLINE_REQUEST_TIMEOUT_S": "8"}, {}):
            before = _pids(riftline)
            done = run_command({**riftline.env, **change}, "up", "--data", str(riftline.data))
            assert done.returncode == 0, done.stderr
            wait_until(lambda before=before: not before & _pids(riftline), "the end of the former", DRAINED_S)  # type: ignore[misc]
            answered = len(asking.answers)
            wait_until(lambda known=answered: len(asking.answers) > known + 10, "answers of the new", DRAINED_S)  # type: ignore[misc]
    shed = '"code":"overloaded"'  # a busy machine: told to come back, before anything was taken
    assert [failure for failure in asking.failures if shed not in failure] == []


def _pids(riftline: Riftline) -> set[int]:
    return {process.pid for process in riftline.processes(GATEWAY)}
