"""`riftline up` is killed in the middle of its work, and run again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster import head
from pipelines.season import write_season
from stores.postgres import embedded
from stores.settings import PORT_VARIABLES, Settings
from tests.e2e.conftest import COMMAND_TIMEOUT_S, free_ports, run_command

if TYPE_CHECKING:
    from collections.abc import Iterator

GAMES = 250


@pytest.fixture
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a home of its own; whatever still runs there afterwards is ended."""
    ports = dict(zip(PORT_VARIABLES, map(str, free_ports(len(PORT_VARIABLES))), strict=True))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RIFTLINE_", "RAY_"))}
    made = {**inherited, **ports, "RIFTLINE_HOME": str(tmp_path_factory.mktemp("i"))}
    yield made
    settings = Settings.from_env(made)
    head.stop(settings)
    embedded.stop(settings.postgres.data_dir)


def _up_until(env: dict[str, str], data: Path, said: str) -> None:
    """Run `up`, and kill it as soon as it says this."""
    program = Path(sys.executable).with_name("riftline")
    with subprocess.Popen(
        [program, "up", "--data", str(data)], env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        assert running.stderr is not None
        for line in running.stderr:
            if said in line or time.monotonic() > deadline:
                break
        running.kill()
    assert said in line


def test_up_resumes_wherever_it_was_killed_and_down_leaves_nothing(env: dict[str, str], tmp_path: Path) -> None:
    """Killed at the start of the cluster, of the data and of the training, `up` still ends with a service that answers.

    The orphans that a kill leaves are found by the next `up` and by `down`.
    """
    data = write_season(tmp_path, games=GAMES).matches_folder
    for said in ("Ray cluster", "cleaning and resolving", "choosing the number of correction trees"):
        _up_until(env, data, said)
    done = run_command(env, "up", "--data", str(data))
    assert done.returncode == 0, done.stderr
    settings = Settings.from_env(env)
    assert httpx.get(f"{settings.cluster.base_url}/ready", timeout=10).status_code == 200
    assert run_command(env, "down").returncode == 0
    assert head.processes(settings) == []
    assert embedded.running_url(settings.postgres.data_dir) is None
