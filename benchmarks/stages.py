"""Processor microseconds per request of each stage of `/predict/single`, in one process: no network, no database.

Needs the stores of an earlier `riftline up` with PostgreSQL running, and no cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import TypeAdapter

from actors.answers import look
from benchmarks.questions import draw, players_of
from benchmarks.released import Released, read_released
from benchmarks.rounds import machine
from serve_apps import wire
from serve_apps.api import ApiSettings, create_api
from serve_apps.service import Caller, PredictionService
from serve_apps.state import ServingState
from stores.clock import utc_now
from stores.errors import RiftlineError
from stores.features.vector import assemble
from stores.postgres.prediction_copy import encode
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from actors.ensemble import MapMeans
    from stores.domain.predictions import PredictionRecord
    from stores.domain.props import PropRequest

EXAMPLE = "example: python -m benchmarks.stages --questions 300 --repeats 15"
NOT_READY = 3


class Kept:
    """A store that only keeps the last record."""

    def __init__(self) -> None:
        self.last: PredictionRecord | None = None

    async def record(self, record: PredictionRecord) -> None:
        """Keep it."""
        self.last = record


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Registry, artefacts and feed of one released model, for a ServingState."""

    released: Released

    async def production(self, _: str) -> object:
        """The record."""
        return self.released.record

    def load(self, *_: str) -> dict[str, bytes]:
        """The artefact's files."""
        return self.released.files

    async def newer_than(self, _: object) -> object:
        """The view."""
        return self.released.view


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage over the same questions; ``within`` names the stage that holds it."""

    name: str
    within: str
    call: Callable[[Any], object]
    inputs: Sequence[Any]


class Questions:
    """The same questions after each stage, so that every stage is timed by itself."""

    def __init__(self, released: Released, bodies: Sequence[bytes]) -> None:
        self.released = released
        self.bodies = bodies
        self.parsed = [wire.PredictionRequest.model_validate(json.loads(body)) for body in bodies]
        self.requests = [one.to_domain() for one in self.parsed]
        self.outlooks = [look(one, released.view, released.ensemble) for one in self.requests]
        self.features = [self.assembled(one) for one in self.requests]
        self.means = [self._means(one) for one in zip(self.requests, self.features, strict=True)]

    def resolve(self, request: PropRequest) -> None:
        """Look the names up."""
        self.released.view.players.find(request.player_names[0])
        self.released.view.teams.find(request.opponent or "")

    def assembled(self, request: PropRequest) -> NDArray[np.float32]:
        """The rows of features, from resolved names."""
        view = self.released.view
        player, opponent = view.players.find(request.player_names[0]), view.teams.find(request.opponent or "")
        maps = np.array(request.map_range.maps, dtype=np.int64)
        context = view.context(player.tournament)
        team = view.team_features(player.team_id or opponent.team_id)
        evidence = (view.player_features(player.player_id), team, view.team_features(opponent.team_id), context)
        one, ours, theirs, league = (np.tile(row, (len(maps), 1)) for row in evidence)
        return assemble(one, ours, theirs, league, np.full(len(maps), player.position), maps)

    def _means(self, item: tuple[PropRequest, NDArray[np.float32]]) -> MapMeans:
        return self.released.ensemble.map_means(item[0].prop_type, item[1])

    def _forecast(self, item: tuple[PropRequest, MapMeans]) -> object:
        request, means = item
        position = np.array([[self.released.view.players.find(request.player_names[0]).position]])
        return self.released.ensemble.forecasts(request.prop_type, means, position, request.map_range)

    def of_look(self) -> list[Stage]:
        """From the domain's request to the answer to its line."""
        view, model = self.released.view, self.released.ensemble
        pairs = list(zip(self.requests, self.features, strict=True))
        with_means = list(zip(self.requests, self.means, strict=True))
        lines = [(outlook, one.prop_value) for outlook, one in zip(self.outlooks, self.requests, strict=True)]
        return [
            Stage("look", "service", lambda one: look(one, view, model), self.requests),
            Stage("resolve names", "look", self.resolve, self.requests),
            Stage("assemble features", "look", self.assembled, self.requests),
            Stage("trees", "look", self._means, pairs),
            Stage("distribution + calibration", "look", self._forecast, with_means),
            Stage("answer the line", "service", lambda item: item[0].at_line(item[1]), lines),
        ]


def stages(questions: Questions) -> list[Stage]:
    """Every stage, the outermost first; an awaited one runs on an event loop without ever waiting."""
    kept = Kept()
    given = cast("Any", Given(questions.released))
    state = ServingState(given, given, given)
    asyncio.run(state.refresh())
    service = PredictionService(state, cast("Any", kept), utc_now)
    api = create_api(ApiSettings("", 1, ""), given)
    api.state.service = service
    said = [(_finish(service.single(one, Caller())), kept.last) for one in questions.requests]
    dump = TypeAdapter(wire.Prediction).dump_json
    parse = wire.PredictionRequest.model_validate
    whole = "whole application"
    return [
        Stage(whole, "", partial(_ask, cast("Any", api)), questions.bodies),
        Stage("parse + validate", whole, lambda body: parse(json.loads(body)).to_domain(), questions.bodies),
        Stage("service", whole, lambda one: _finish(service.single(one, Caller())), questions.requests),
        *questions.of_look(),
        Stage("serialise response", whole, lambda pair: dump(pair[0]), said),
        Stage("encode record", "beside", lambda pair: encode(pair[1]), said),
    ]


def medians_us(timed: Sequence[Stage], repeats: int) -> list[tuple[float, float]]:
    """For each stage, median and least of the repeats; the stages take turns, so that noise strikes all alike.

    The thread's own processor time is counted: what neighbours take is not, except for the caches.
    """
    passes: list[list[float]] = [[] for _ in timed]
    for _ in range(repeats + 1):
        for stage, taken in zip(timed, passes, strict=True):
            begun = time.thread_time()
            for item in stage.inputs:
                stage.call(item)
            taken.append((time.thread_time() - begun) / len(stage.inputs) * 1e6)
    return [(statistics.median(taken[1:]), min(taken[1:])) for taken in passes]  # the first pass warms up


def _ask(api: Callable[..., Awaitable[None]], body: bytes) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/predict/single",
        "query_string": b"",
        "http_version": "1.1",
    }
    scope |= {"scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1), "root_path": ""}
    scope["headers"] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope["state"] = {}
    statuses: list[int] = []
    messages = cycle([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Mapping[str, object]:
        return next(messages)

    async def send(message: Mapping[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    _finish(api(scope, receive, send))
    assert statuses[0] == 200, statuses


def _finish(work: Awaitable[Any]) -> Any:
    return _LOOP.run_until_complete(work)


_LOOP = asyncio.new_event_loop()


def main() -> None:
    """Time every stage and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    try:
        released = read_released(Settings.from_env(os.environ))
    except RiftlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_READY)
    questions = Questions(released, list(draw(players_of(released.view), options.questions)))
    timed = stages(questions)
    print(f"{'processor us a request':<28} {'within':<18} {'median':>8} {'least':>8}")
    for stage, (median, least) in zip(timed, medians_us(timed, options.repeats), strict=True):
        print(f"{stage.name:<28} {stage.within:<18} {median:8.1f} {least:8.1f}")
    print(machine())


if __name__ == "__main__":
    main()
