"""Microseconds per request of each stage of a plain `/predict/single`, from the bytes asked to the bytes answered.

All code of a replica's socket, with its journal on disk, in one process; no network, HAProxy or database. Timers stand
around functions of the path while different questions pass, so that each stage meets the caches as its neighbours leave
them. Needs the stores of an earlier `riftline up`, with PostgreSQL running.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from actors import ensemble
from actors.answers import Outlook
from actors.ensemble import PropEnsemble
from actors.questions import Question
from benchmarks.questions import draw, players_of
from benchmarks.released import read_released
from benchmarks.rounds import machine
from serve_apps import fast_path, service
from serve_apps.answer_protocol import AnswerProtocol
from serve_apps.client_address import TrustedProxies
from serve_apps.destinations import POSTGRES
from serve_apps.fast_path import FastPath
from serve_apps.gate import Gate
from serve_apps.identity import Identities
from serve_apps.overload import LoopLag
from serve_apps.placement import Colocated
from serve_apps.request_metrics import RequestMetrics
from serve_apps.service import PredictionService
from serve_apps.state import ServingState
from serve_apps.wire import PredictionRequest
from serve_apps.write_behind import WriteBehind
from stores.clock import utc_now
from stores.errors import RiftlineError
from stores.journal.journal import Journal
from stores.settings import AccessSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from benchmarks.released import Released

EXAMPLE = "example: python -m benchmarks.stages --questions 4000 --repeats 5"
NOT_READY = 3
TOGETHER = 16  # requests in flight, as many as share a flush of the disk under load
HEAD = (
    b"POST /predict/single HTTP/1.1\r\nhost: 127.0.0.1:8000\r\nuser-agent: riftline-bench\r\n"
    b"content-type: application/json\r\nx-forwarded-for: 127.0.0.1\r\ncontent-length: %d\r\n\r\n%s"
)


class Stage(NamedTuple):
    """A function of the path: ``within`` names the stage that calls it."""

    name: str
    within: str
    holder: Any
    attribute: str


_WHOLE, _ADMIT, _PREPARE, _LOOK, _PREDICT, _ANSWER, _KEEP, _GIVE, _COUNT = (
    *("event loop", "admit", "prepare", "look", "forecast", "answer", "keep", "reply", "count"),
)
STAGES = (
    Stage("parse HTTP", _WHOLE, AnswerProtocol, "_whole"),
    Stage(_ADMIT, _WHOLE, FastPath, "_admitted"),
    Stage("parse and validate the body", _ADMIT, PredictionRequest, "model_validate_json"),
    Stage("to the domain", _ADMIT, PredictionRequest, "to_domain"),
    Stage("caller and quota", _ADMIT, Gate, "pass_known"),
    Stage(_PREPARE, _WHOLE, PredictionService, "prepare"),
    Stage(_LOOK, _PREPARE, service, "_outlooks"),
    Stage("resolve names", _LOOK, Question, "__init__"),
    Stage(_PREDICT, _LOOK, PropEnsemble, "predict"),
    Stage("machine code", _PREDICT, ensemble, "_run"),
    Stage("warnings", _LOOK, Question, "warnings"),
    Stage(_ANSWER, _PREPARE, PredictionService, "_ready"),
    Stage("read the line", _ANSWER, Outlook, "at_line"),
    Stage("document", _ANSWER, service, "_document"),
    Stage("encode the row", _ANSWER, service, "encoded"),
    Stage(_KEEP, _WHOLE, FastPath, "_keep"),
    Stage("journal", _KEEP, WriteBehind, "add"),
    Stage(_GIVE, _WHOLE, FastPath, "_give"),
    Stage("write HTTP", _GIVE, AnswerProtocol, "_reply"),
    Stage(_COUNT, _WHOLE, FastPath, "count"),
    Stage("name the call", _COUNT, fast_path, "call_of"),
    Stage("keep the call", _COUNT, WriteBehind, "note_calls"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Registry, artefacts and feed of one released model, for a ServingState."""

    released: Released
    age_s: float = 0.0

    async def production(self, _: str) -> object:
        """The record."""
        return self.released.record

    def load(self, *_: str) -> dict[str, bytes]:
        """The artefact's files."""
        return self.released.files

    async def newer_than(self, _: object) -> object:
        """The view."""
        return self.released.view


class Nowhere:
    """The end of the journal: no database is measured here."""

    name = POSTGRES

    async def deliver(self, records: Sequence[bytes]) -> None:
        """Nothing."""


class Connection(asyncio.Transport):
    """The other end of a connection, where the answer ends."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8000)})
        self.answers = 0
        self.last = b""

    def write(self, data: Any) -> None:
        """One answer."""
        self.answers += 1
        self.last = data

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Nothing more comes before the answer."""

    def resume_reading(self) -> None:
        """As `pause_reading`."""


async def _nobody(scope: object, receive: object, send: object) -> None:
    """An app that is never asked."""


class Replica:
    """The path of a replica, fed by hand."""

    def __init__(self, path: FastPath) -> None:
        config = Config(cast("Any", _nobody), log_config=None)
        config.load()
        self._ends = [Connection() for _ in range(TOGETHER)]
        self._protocols = [AnswerProtocol(path, config, ServerState(), {}) for _ in self._ends]
        for protocol, end in zip(self._protocols, self._ends, strict=True):
            protocol.connection_made(end)

    async def ask(self, bodies: Sequence[bytes]) -> tuple[float, float]:
        """Microseconds of the event loop's thread and of the process for each answer."""
        requests = [HEAD % (len(body), body) for body in bodies]
        thread, process = time.thread_time(), time.process_time()
        for start in range(0, len(requests), TOGETHER):
            together = requests[start : start + TOGETHER]
            asked = sum(end.answers for end in self._ends) + len(together)
            for protocol, request in zip(self._protocols, together, strict=False):
                protocol.data_received(request)
            while sum(end.answers for end in self._ends) < asked:  # noqa: ASYNC110 — until the disk has flushed
                await asyncio.sleep(0.0002)
        spent = time.thread_time() - thread, time.process_time() - process
        assert all(end.last.startswith(b"HTTP/1.1 200 ") for end in self._ends), self._ends[0].last
        return spent[0] / len(bodies) * 1e6, spent[1] / len(bodies) * 1e6


@asynccontextmanager
async def opened_replica(released: Released) -> AsyncIterator[Replica]:
    """One over a journal of its own, which is removed at the end."""
    given = cast("Any", Given(released))
    state = ServingState(given, Colocated(given), given)
    await state.refresh()
    identities = Identities(cast("Any", None), cast("Any", None), required=False, now=utc_now)
    gate = Gate(identities, None, TrustedProxies(AccessSettings(Path()).trusted_proxies))
    with tempfile.TemporaryDirectory() as folder:
        behind = WriteBehind(await Journal.open(Path(folder) / "00", cursors=(POSTGRES,)), [Nowhere()])
        try:
            answering = PredictionService(state, behind, utc_now)
            yield Replica(FastPath(answering, gate, behind, RequestMetrics(), LoopLag()))
        finally:
            await behind.close()


@contextmanager
def timed(stages: Sequence[Stage]) -> Iterator[dict[str, float]]:
    """Seconds of each stage, summed while the block runs."""
    seconds: defaultdict[str, float] = defaultdict(float)

    def around(stage: Stage, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            result = function(*args, **kwargs)
            seconds[stage.name] += time.perf_counter() - begun
            return result

        return call

    originals = [(stage, vars(stage.holder).get(stage.attribute)) for stage in stages]
    try:
        for stage in stages:
            setattr(stage.holder, stage.attribute, around(stage, getattr(stage.holder, stage.attribute)))
        yield seconds
    finally:
        for stage, original in originals:
            if original is None:
                delattr(stage.holder, stage.attribute)
            else:
                setattr(stage.holder, stage.attribute, original)


async def measure(released: Released, count: int, repeats: int) -> Mapping[str, list[float]]:
    """Microseconds per request of each stage, in each repeat; every question is another one."""
    questions = draw(players_of(released.view), count * (2 * repeats + 1))
    found: defaultdict[str, list[float]] = defaultdict(list)
    async with opened_replica(released) as replica:
        await replica.ask([next(questions) for _ in range(count)])  # what is made once is made
        for _ in range(repeats):
            loop_us, process_us = await replica.ask([next(questions) for _ in range(count)])
            found[_WHOLE].append(loop_us)
            found["process"].append(process_us)
            with timed(STAGES) as seconds:
                await replica.ask([next(questions) for _ in range(count)])
            for stage in STAGES:
                found[stage.name].append(seconds[stage.name] / count * 1e6)
    return found


def main() -> None:
    """Time every stage and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=4000, help="of each pass")
    parser.add_argument("--repeats", type=int, default=5, help="each one pass without timers and one with them")
    options = parser.parse_args()
    try:
        released = read_released(Settings.from_env(os.environ))
    except RiftlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_READY)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(released, options.questions, options.repeats))
    print(f"{'us a request':<28} {'within':<18} {'median':>8} {'least':>8}")
    for name, within in (("process", ""), (_WHOLE, "process"), *((stage.name, stage.within) for stage in STAGES)):
        print(f"{name:<28} {within:<18} {median(found[name]):8.1f} {min(found[name]):8.1f}")
    print(machine())


if __name__ == "__main__":
    main()
