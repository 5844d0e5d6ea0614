"""A real Apache Kafka: one node that is broker and controller (KRaft), from its Maven artefacts, on Java 17."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

from tests.servers.process import CACHE, MissingServerError, ServerProcess, accepts, free_port

POM = Path(__file__).with_name("kafka.pom.xml")
FETCH_TIMEOUT_S = 600
LEAST_JAVA = 17
HEAP = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # small, and quick to start
ONE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",  # a dead consumer is noticed within a test
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "500",
    "broker.session.timeout.ms": "1500",  # a killed broker is let in again after this time
    "broker.heartbeat.interval.ms": "250",
}


def fetch() -> Path:
    """The folder of Kafka's jars, fetched once by Maven. Raises MissingServerError naming what is missing."""
    version = re.findall(r"<version>([\d.]+)</version>", POM.read_text())[1]
    libs = CACHE / f"kafka-{version}" / "libs"
    if libs.is_dir():
        return libs
    if shutil.which("mvn") is None:
        raise MissingServerError(f"Apache Kafka {version} is missing and mvn to fetch it is not here; install maven")
    draft = libs.with_name("libs.draft")
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={draft}", "-DincludeScope=runtime")
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), *goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S)
    if done.returncode != 0:
        raise MissingServerError(f"Apache Kafka {version} could not be fetched:\n{done.stdout[-800:]}")
    draft.rename(libs)
    return libs


def _java() -> str:
    program = shutil.which("java")
    if program is None:
        raise MissingServerError(f"java is missing; install openjdk-{LEAST_JAVA}-jre-headless")
    says = subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(\d+)', says)
    if found is None or int(found[1]) < LEAST_JAVA:
        raise MissingServerError(f"Kafka needs Java {LEAST_JAVA}, this is {says.splitlines()[0]}")
    return program


class KafkaServer(ServerProcess):
    """One broker on 127.0.0.1. What was acknowledged survives `kill`."""

    def __init__(self, folder: Path) -> None:
        self._java = _java()
        self._classpath = f"{fetch()}/*"
        self._properties = folder / "server.properties"
        self.port = free_port()
        self._controller_port = free_port()
        self.url = f"127.0.0.1:{self.port}"
        logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        command = [self._java, *HEAP, logging, "-cp", self._classpath, "kafka.Kafka", str(self._properties)]
        super().__init__("Apache Kafka", command, folder, lambda: accepts(self.port))

    def start(self) -> None:
        """Start it, on a fresh log the first time."""
        if not self._properties.exists():
            self._format()
        super().start()

    def restart(self) -> None:
        """Kill it and start it again on the same log and port."""
        self.kill()
        self.start()

    def _format(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        controller = f"127.0.0.1:{self._controller_port}"
        settings = {
            **ONE_NODE,
            "listeners": f"PLAINTEXT://{self.url},CONTROLLER://{controller}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": f"{self.folder}/data",
        }
        draft = self._properties.with_suffix(".draft")
        draft.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        tool = ["kafka.tools.StorageTool", "format", "--config", str(draft), "--cluster-id", uuid4().hex[:22]]
        command = [self._java, *HEAP, "-cp", self._classpath, *tool]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        draft.rename(self._properties)
