"""Every real server on this machine, for development: started, named by the variables of Riftline, stopped by Ctrl-C.

`--fetch` only gets the programs. Single servers are chosen by name.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from tests.servers import clickhouse, influxdb, kafka, postgres, redis, seaweedfs
from tests.servers.process import MissingServerError

if TYPE_CHECKING:
    from collections.abc import Callable

Variables = dict[str, str]


class _Server(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


S = TypeVar("S", bound=_Server)


def _started(server: S, stack: ExitStack) -> S:
    stack.callback(server.stop)
    server.start()
    return server


def _postgres(folder: Path, stack: ExitStack) -> Variables:
    primary = _started(postgres.Postgres(folder / "primary"), stack)
    replica = _started(postgres.Replica(primary, folder / "replica"), stack)
    pooler = _started(postgres.PgBouncer(primary, folder / "pgbouncer"), stack)
    return {
        "RIFTLINE_DATABASE_URL": pooler.url,
        "RIFTLINE_DATABASE_REPLICA_URL": replica.url,
        "RIFTLINE_DATABASE_DIRECT_URL": primary.url,
    }


def _redis(folder: Path, stack: ExitStack) -> Variables:
    cluster = _started(redis.RedisClusterServers(redis.redis_7(), folder), stack)
    return {"RIFTLINE_REDIS_URL": cluster.url}


def _clickhouse(folder: Path, stack: ExitStack) -> Variables:
    server = _started(clickhouse.ClickHouse(folder), stack)
    return {"RIFTLINE_CLICKHOUSE_URL": server.url}


def _influxdb(folder: Path, stack: ExitStack) -> Variables:
    server = _started(influxdb.InfluxServer(folder), stack)
    return {
        "RIFTLINE_INFLUX_URL": server.url,
        "RIFTLINE_INFLUX_TOKEN": influxdb.TOKEN,
        "RIFTLINE_INFLUX_ORG": influxdb.ORG,
    }


def _kafka(folder: Path, stack: ExitStack) -> Variables:
    server = _started(kafka.KafkaServer(folder), stack)
    return {"RIFTLINE_KAFKA_SERVERS": server.url}


def _lake(folder: Path, stack: ExitStack) -> Variables:
    server = _started(seaweedfs.SeaweedFS(folder), stack)
    server.make_table_buckets("warehouse")
    return {
        "RIFTLINE_CATALOG_URI": server.url,
        "RIFTLINE_WAREHOUSE": "s3://warehouse",
        "RIFTLINE_S3_ENDPOINT": server.s3_url,
        "RIFTLINE_S3_ACCESS_KEY": seaweedfs.KEY,
        "RIFTLINE_S3_SECRET_KEY": seaweedfs.SECRET,
    }


SERVERS: dict[str, tuple[Callable[[], object], Callable[[Path, ExitStack], Variables]]] = {
    "postgres": (postgres.fetch, _postgres),
    "redis": (redis.fetch, _redis),
    "clickhouse": (clickhouse.fetch, _clickhouse),
    "influxdb": (influxdb.fetch, _influxdb),
    "kafka": (kafka.fetch, _kafka),
    "lake": (seaweedfs.fetch, _lake),
}


def fetch(names: list[str]) -> bool:
    """Get the programs of these servers; whether all are here."""
    complete = True
    for name in names:
        try:
            SERVERS[name][0]()
        except MissingServerError as error:
            print(f"{name}: {error}", file=sys.stderr)
            complete = False
    return complete


def run(names: list[str]) -> None:
    """Start the servers, print their variables, wait for Ctrl-C or a TERM, and stop them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    folder.chmod(0o711)  # some servers have a user of their own
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            for name in names:
                print(f"# starting {name}", file=sys.stderr)
                inner = folder / name
                inner.mkdir()
                inner.chmod(0o711)
                for variable, value in SERVERS[name][1](inner, stack).items():
                    print(f"export {variable}='{value}'", flush=True)
            print("# all run; Ctrl-C stops them and removes their data", file=sys.stderr)
            signal.pause()
        except KeyboardInterrupt:
            print("# stopping", file=sys.stderr)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="# %(message)s")
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m tests.servers postgres kafka")
    parser.add_argument("names", nargs="*", choices=[*SERVERS, []], help="these only; default: all")
    parser.add_argument("--fetch", action="store_true", help="only get the programs")
    chosen = parser.parse_args()
    wanted = chosen.names or list(SERVERS)
    complete = fetch(wanted)
    if chosen.fetch or not complete:
        sys.exit(0 if complete else 3)
    run(wanted)
