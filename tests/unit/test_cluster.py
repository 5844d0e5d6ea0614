"""The command's own arithmetic: environments, ports, questions, findings and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner

from cluster import ask, environment, head
from cluster.cli import app
from cluster.doctor import examine
from serve_apps.wire import PredictionRequest
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
    assert "500" in flags["RAY_SERVE_HAPROXY_RETRY_ON"].split()  # Serve's own proxy, whose replica died


def test_machine_code_is_kept_in_the_home_or_where_it_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Processes of the cluster have other working folders, so the path is absolute."""
    monkeypatch.delenv("RIFTLINE_KERNELS_DIR", raising=False)
    assert environment.cluster_environment(settings)["RIFTLINE_KERNELS_DIR"] == str(settings.home / "kernels")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RIFTLINE_KERNELS_DIR", "here")
    assert environment.cluster_environment(settings)["RIFTLINE_KERNELS_DIR"] == str(tmp_path / "here")


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


class Listener(BaseHTTPRequestHandler):
    """Keeps what it is asked, as (path, query or body), and answers every line as even."""

    asked: ClassVar[list[tuple[str, Any]]] = []

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        self.asked.append((path.path, dict(parse_qsl(path.query))))
        self._answer({"prop_values": [2.5], "over_probabilities": [50.0]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        self._answer({})

    def _answer(self, document: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def service() -> Iterator[Settings]:
    """Settings that lead to a listener."""
    Listener.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield Settings.from_env({"RIFTLINE_HTTP_PORT": str(server.server_port)})
        server.shutdown()
        thread.join()


def test_draft_and_format_are_asked(service: Settings) -> None:
    """The curve is asked for the first player's champion, the question for all, as the API takes it."""
    question = ask.Question(
        ("Faker", "Keria"), "kills", 4.5, (1, 2), opponent="Gen.G", champions=("Azir", "Bard"), best_of=3
    )
    request, _, _ = ask.ask(service, question)
    (curve_path, curve), (path, body) = Listener.asked
    assert (curve_path, path) == ("/predict/curve/Faker", "/predict/single")
    assert (curve["champion"], curve["best_of"], curve["opponent"]) == ("Azir", "3", "Gen.G")
    assert body == request
    asked = PredictionRequest.model_validate(body).to_domain()
    assert (asked.champions, asked.best_of, asked.opponent) == (("Azir", "Bard"), 3, "Gen.G")


def test_what_is_not_known_is_not_asked(service: Settings) -> None:
    """Without options only players, prop and maps are asked, on the fairest line."""
    request, _, _ = ask.ask(service, ask.Question(("Faker",), "kills", None, (1, 2)))
    assert Listener.asked[0][1] == {"prop_type": "kills", "map_first": "1", "map_last": "2"}
    asked = PredictionRequest.model_validate(request).to_domain()
    assert (asked.champions, asked.best_of, asked.prop_value) == ((), None, 2.5)


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
