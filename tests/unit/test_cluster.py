"""The command's own arithmetic: environments, ports, questions, findings and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from cluster import ask, environment, head
from cluster.cli import app
from cluster.doctor import examine
from stores.errors import InvalidError
from stores.settings import PORT_VARIABLES, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """A command gives its process the cluster's environment; the tests that follow get theirs back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home of its own."""
    return Settings.from_env({"RIFTLINE_HOME": str(tmp_path)})


def test_two_homes_have_two_marks(tmp_path: Path) -> None:
    """The processes of one home's cluster are never taken for another's."""
    one, two = (Settings.from_env({"RIFTLINE_HOME": str(tmp_path / name)}) for name in ("one", "two"))
    assert environment.cluster_mark(one) != environment.cluster_mark(two)
    assert environment.cluster_mark(one) == environment.cluster_mark(one)


def test_a_driver_does_not_bear_the_mark(settings: Settings) -> None:
    """Only what the head starts is marked: a driver and the database must survive the stop of the cluster."""
    assert environment.MARK not in environment.cluster_environment(settings)
    marked = environment.marked_environment(settings)
    assert marked[environment.MARK] == environment.cluster_mark(settings)
    assert marked["SPT_NOENV"] == "1"  # a renamed process would lose its environment, and the mark with it


def test_the_ingress_flags_are_set(settings: Settings) -> None:
    """Serve runs behind HAProxy on ports that we chose; its default metrics port is often taken."""
    flags = environment.cluster_environment(settings)
    assert flags["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert flags["RAY_SERVE_HAPROXY_METRICS_PORT"] == str(settings.cluster.haproxy_metrics_port)
    assert len(flags["RAY_SERVE_HAPROXY_SOCKET_PATH"]) < 100


def test_a_taken_port_is_refused_by_the_name_of_its_variable(tmp_path: Path) -> None:
    """A port that another program holds is an error that says which variable to set, and nothing is started."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in PORT_VARIABLES]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [str(probe.getsockname()[1]) for probe in probes]
        env = dict(zip(PORT_VARIABLES, ports, strict=True))
        for variable, probe in zip(PORT_VARIABLES, probes, strict=True):
            if variable == "RIFTLINE_DASHBOARD_PORT":
                probe.listen()
            else:
                probe.close()
        settings = Settings.from_env({**env, "RIFTLINE_HOME": str(tmp_path)})
        with pytest.raises(InvalidError, match="RIFTLINE_DASHBOARD_PORT"):
            head.start(settings)
    assert not head.is_running(settings)


@pytest.mark.parametrize(("text", "maps"), [("1-2", (1, 2)), ("3", (3, 3)), ("1-5", (1, 5))])
def test_maps_are_read(text: str, maps: tuple[int, int]) -> None:
    """A range or a single map."""
    assert ask.parse_maps(text) == maps


@pytest.mark.parametrize("text", ["", "a", "1-", "-2", "1-2-3", "1\u20132"])
def test_bad_maps_name_the_option(text: str) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InvalidError, match="--maps"):
        ask.parse_maps(text)


def test_the_fairest_line_is_nearest_to_even() -> None:
    """The default question is the one whose answer is least obvious."""
    curve = {"prop_values": [0.5, 1.5, 2.5], "over_probabilities": [90.0, 55.0, 20.0]}
    assert ask.fairest_line(curve) == 1.5


def test_doctor_finds_the_ingress_and_names_remedies(settings: Settings) -> None:
    """HAProxy ships with Ray, our package names are ours, and every failed check has a remedy."""
    findings = {finding.check: finding for finding in examine(settings)}
    assert findings["HAProxy"].good
    assert findings["package names"].good
    assert all(finding.remedy for finding in findings.values() if not finding.good)


@pytest.mark.parametrize("command", ["up", "down", "status", "ingest", "train", "evaluate", "predict", "doctor"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`--help` shows what the command does and how to call it."""
    shown = run(app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"riftline {command}" in shown.output


def test_commands_that_need_the_cluster_say_how_to_start_it(tmp_path: Path) -> None:
    """Without a service `predict` exits with 3 and `status` tells what is stopped, as JSON if asked."""
    env = {"RIFTLINE_HOME": str(tmp_path), "RIFTLINE_HTTP_PORT": "9"}
    asked = run(app, ["predict", "Faker"], env=env)
    assert asked.exit_code == 3
    assert "riftline up" in asked.output
    shown = run(app, ["status", "--json"], env=env)
    assert shown.exit_code == 3
    assert json.loads(shown.stdout)["service"] == "stopped"


def test_a_wrong_variable_is_an_error_with_exit_code_2() -> None:
    """The message names the variable, and there is no traceback."""
    done = run(app, ["doctor"], env={"RIFTLINE_HTTP_PORT": "many"})
    assert done.exit_code == 2
    assert "RIFTLINE_HTTP_PORT" in done.output
