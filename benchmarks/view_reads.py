"""How long one feature read takes: in a replica, from the published view, and beside it redis-py's HGETALL.

Starts a server of its own and needs no Riftline. Both give the same 64 float64 of the same player, compared with what
was written; each read is timed by itself.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import redis

from benchmarks import report, rounds
from benchmarks.feature_reads import NAMES, random_vectors, vector_of, view_of, write_hashes
from benchmarks.fresh_server import started
from benchmarks.latency import Latency
from stores.errors import TransientError
from tests.servers.process import MissingServerError
from tests.servers.redis import RedisServer, valkey

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from stores.settings import Settings

    Read = Callable[[str], NDArray[np.float64]]

EXAMPLE = "python -m benchmarks.view_reads --rounds 5 --reads 2000"
HGETALL, VIEW, CLOCK = "redis-py HGETALL", "riftline, the published view", "the clock alone"
OFTEN = 50  # reads of the view for one of Redis: a p99 wants many


def measure(_: Settings, plan: argparse.Namespace) -> dict[str, Any]:
    """The whole figure as one document. Raises TransientError if there is no Redis server to start."""
    truth = random_vectors()
    view = view_of(truth)
    try:
        with started(lambda folder: RedisServer(valkey(), folder)) as server:
            client = redis.Redis.from_url(server.url)
            write_hashes(client, truth)
            reads: dict[str, tuple[Read, int]] = {
                HGETALL: (lambda name: vector_of(client.hgetall(f"plain:{name}")), plan.reads),
                VIEW: (lambda name: view.player_features(view.players.find(name).player_id), plan.reads * OFTEN),
            }
            done = _timed(reads, truth, plan.rounds)
            client.close()
    except MissingServerError as error:
        raise TransientError(str(error)) from error
    names = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
    summary = {
        who: {name: rounds.median_and_worst([getattr(one, name) * 1e3 for one in of_one], max) for name in names}
        for who, of_one in done.items()
    }
    ratios = [of.p99_ms / ours.p99_ms for of, ours in zip(done[HGETALL], done[VIEW], strict=True)]
    return {"us": summary, "p99_ratio": rounds.median_and_worst(ratios, min), "rounds": done}


def _timed(reads: Mapping[str, tuple[Read, int]], truth: NDArray[np.float64], count: int) -> dict[str, list[Latency]]:
    """The latencies of each round, by turns; the first round warms up."""
    done: dict[str, list[Latency]] = {name: [] for name in (*reads, CLOCK)}
    for number, order in enumerate(rounds.orders(list(reads.items()), count + 1)):
        for name, (read, times) in order:
            for player, true in zip(NAMES, truth, strict=True):
                assert np.array_equal(read(player), true), f"{name}: {player}"
            found = Latency.of(_each_s(read, times))
            if number:
                done[name].append(found)
        if number:
            done[CLOCK].append(Latency.of(_each_s(lambda _: truth, len(NAMES))))
    return done


def _each_s(read: Read, times: int) -> list[float]:
    gc.collect()
    taken = []
    for number in range(times):
        name = NAMES[number % len(NAMES)]
        begun = time.perf_counter_ns()
        read(name)
        taken.append((time.perf_counter_ns() - begun) / 1e9)
    return taken


def show(document: Mapping[str, Any]) -> None:
    """The table, median and worst of the rounds."""
    rows = [(who, *(report.pair(value, 1) for value in of.values())) for who, of in document["us"].items()]
    report.table("one read, median (worst) of the rounds", ("", "p50 us", "p95 us", "p99 us", "worst us"), rows)
    print(f"p99 of HGETALL by that of the view: {report.pair(document['p99_ratio'], 1)}")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = report.arguments(__doc__, EXAMPLE)
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--reads", type=int, default=2000, help="of Redis in a round, and 50 times as many (2000)")
    report.run("view_reads", parser.parse_args(), measure, show)


if __name__ == "__main__":
    main()
