"""Killed writers, killed and paused servers, wrong logins: typed errors in time, nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from stores.domain.lake_commits import Step
from stores.errors import InvalidError, OutcomeUnknownError, TransientError
from stores.lake import bounded, connection
from stores.lake.artifacts import WarehouseArtifacts
from stores.lake.catalog import IcebergLake
from stores.settings import LakeSettings, S3Settings
from tests.contract.lake.conftest import fresh_database
from tests.contract.lake.work import EVENTS, append_for_ever, numbers, processes, step_rows
from tests.servers.need import needed
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.process import free_port
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KILLS = int(os.environ.get("RIFTLINE_KILLS", "5"))  # per implementation; a fault run asks for more
CHANCE = random.SystemRandom()
SECRETS = SECRET, PASSWORD


class Writer:
    """A process that appends step after step, and what it was acknowledged."""

    def __init__(self, settings: LakeSettings) -> None:
        self.acknowledged: list[int] = []
        self._ours, theirs = processes.Pipe(duplex=False)
        self._process = processes.Process(target=append_for_ever, args=(settings, theirs))
        self._process.start()
        theirs.close()

    def wait_for(self, more: int, within_s: float = 90) -> None:
        """Wait until so many more steps were acknowledged."""
        for _ in range(more):
            assert self._ours.poll(within_s), "no step was acknowledged"
            told = self._ours.recv()
            assert isinstance(told, int), told
            self.acknowledged.append(told)

    def kill(self, within_s: float = 0) -> None:
        """End it by SIGKILL, at its next word or when the time is over, and hear what it had still said."""
        self._ours.poll(within_s)
        self._process.kill()
        self._process.join(30)
        with suppress(EOFError):
            while True:
                self.acknowledged.append(self._ours.recv())


def check(lake: IcebergLake, acknowledged: list[int]) -> None:
    """0 lost, 0 doubled: every step up to the writer's position is there once, and all that was acknowledged is."""
    position = lake.positions(EVENTS)["writer"].end
    expected = sorted(number for index in range(position) for number in numbers(step_rows(index)))
    assert numbers(lake.read(EVENTS)) == expected
    assert acknowledged == sorted(set(acknowledged))
    assert set(acknowledged) <= set(range(position))


@pytest.mark.role("lake")
def test_a_writer_that_is_killed_again_and_again(lake: IcebergLake, settings: LakeSettings) -> None:
    """At a random moment each time, in the middle of whatever it does; the next one goes on."""
    acknowledged: list[int] = []
    for _ in range(KILLS):
        writer = Writer(settings)
        writer.wait_for(1 + CHANCE.randrange(3))
        writer.kill(CHANCE.uniform(0, 0.06))  # a commit takes as long
        acknowledged += writer.acknowledged
    check(lake, acknowledged)


@pytest.fixture(scope="module")
def postgres(home: Path) -> Iterator[Postgres]:
    """A PostgreSQL of our own, to kill and to pause."""
    with needed():
        server = Postgres(home / "faults", durable=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def weed(home: Path) -> Iterator[SeaweedFS]:
    """An S3 with a REST catalog of our own, to kill and to pause."""
    with needed():
        server = SeaweedFS(home / "faults-weed")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["catalog in PostgreSQL", "S3", "REST and S3"])
def server(request: pytest.FixtureRequest) -> Any:
    """The server that a lake depends on and that has the fault."""
    return request.getfixturevalue("postgres" if "PostgreSQL" in request.param else "weed")


@pytest.fixture
def place(request: pytest.FixtureRequest, server: Any, tmp_path: Path) -> LakeSettings:
    """An empty lake on that server."""
    which = request.node.callspec.params["server"]
    if which == "catalog in PostgreSQL":
        return LakeSettings(fresh_database(server.url), f"file://{tmp_path}/warehouse")
    s3 = S3Settings(server.s3_url, "", KEY, SECRET)
    if which == "S3":
        return LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"s3://{BUCKET}/{uuid4().hex}", s3)
    bucket = f"faults-{uuid4().hex[:12]}"
    server.make_table_buckets(bucket)
    return LakeSettings(server.url, f"s3://{bucket}", s3)


def test_a_server_that_is_killed_under_a_writer(server: Any, place: LakeSettings) -> None:
    """The writer waits for it, looks what became of its commit, and goes on without an error."""
    with closing(IcebergLake(place)) as lake:
        lake.ensure((EVENTS,))
        writer = Writer(place)
        try:
            writer.wait_for(2)
            for _ in range(2):
                server.restart()
                writer.wait_for(2)
        finally:
            writer.kill()
        check(lake, writer.acknowledged)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait two seconds, the least that libpq knows, so that the suite need not wait for the real bounds."""
    for module in (bounded, connection):
        monkeypatch.setattr(module, "CALL_TIMEOUT_S", 2.0)


@pytest.mark.usefixtures("_impatient")
def test_a_paused_server_ends_in_an_error_in_time(server: Any, place: LakeSettings) -> None:
    """A reader, a writer and one who opens the lake are told; when the server goes on, so do they."""
    lake = IcebergLake(place, retry_within_s=1)
    lake.ensure((EVENTS,))
    lake.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    server.pause()
    try:
        with pytest.raises(TransientError) as read:
            lake.read(EVENTS)
        with pytest.raises((TransientError, OutcomeUnknownError)) as appended:
            lake.append(EVENTS, step_rows(1), Step("writer", 1, 2))
    finally:
        server.resume()
    for told in (read, appended):
        assert "127.0.0.1" in str(told.value)
        assert not any(secret in str(told.value) for secret in SECRETS)
    lake.append(EVENTS, step_rows(1), Step("writer", 1, 2))
    assert numbers(lake.read(EVENTS)) == list(range(6))
    lake.close()


@pytest.mark.usefixtures("_impatient")
def test_opening_a_paused_catalog_ends_in_time(postgres: Postgres, weed: SeaweedFS, tmp_path: Path) -> None:
    """A process that starts while the catalog is stuck is told so."""
    url = fresh_database(postgres.url)
    for server, uri, warehouse in ((postgres, url, f"file://{tmp_path}"), (weed, weed.url, "s3://any")):
        server.pause()
        try:
            with pytest.raises(TransientError, match=r"127\.0\.0\.1"):
                IcebergLake(LakeSettings(uri, warehouse))
        finally:
            server.resume()


@pytest.mark.parametrize("kind", ["postgresql", "http"])
def test_a_refused_connection_is_transient(kind: str, tmp_path: Path) -> None:
    """Nobody listens: the place is named, the password is not."""
    uri = f"{kind}://someone:hunter2@127.0.0.1:{free_port()}/catalog"
    with pytest.raises(TransientError, match=r"127\.0\.0\.1") as told:
        IcebergLake(LakeSettings(uri, f"file://{tmp_path}"))
    assert "hunter2" not in str(told.value)


def _wrong_logins(postgres: Postgres, weed: SeaweedFS) -> dict[str, str]:
    return {
        "password": postgres.url.replace(PASSWORD, "hunter2"),
        "user": postgres.url.replace("postgres:", "nobody:", 1),
        "database": postgres.url.replace("/postgres?", "/missing?"),
        "secret": weed.url.replace(SECRET, "hunter2"),
        "key": weed.url.replace(f"//{KEY}:", "//nobody:"),
    }


@pytest.mark.parametrize("wrong", ["password", "user", "database", "secret", "key"])
def test_a_wrong_login_of_the_catalog_is_invalid(
    postgres: Postgres, weed: SeaweedFS, tmp_path: Path, wrong: str
) -> None:
    """It will not get better by itself; the variable is named, the password is not."""
    uri = _wrong_logins(postgres, weed)[wrong]
    with pytest.raises(InvalidError, match="refuses the login") as told:
        IcebergLake(LakeSettings(uri, f"file://{tmp_path}"))
    assert told.value.field == "RIFTLINE_CATALOG_URI"
    assert not any(secret in str(told.value) for secret in (*SECRETS, "hunter2"))


@pytest.mark.parametrize("wrong", ["secret_key", "access_key"])
def test_a_wrong_key_of_the_warehouse_is_invalid(weed: SeaweedFS, tmp_path: Path, wrong: str) -> None:
    """Neither rows nor artefacts are written, and the secret is not repeated."""
    s3 = replace(S3Settings(weed.s3_url, "", KEY, SECRET), **{wrong: "hunter2"})
    lake = IcebergLake(LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"s3://{BUCKET}/{uuid4().hex}", s3))
    calls: list[Callable[[], object]] = [
        lambda: lake.ensure((EVENTS,)),
        lambda: WarehouseArtifacts(f"s3://{BUCKET}", s3).save("v1", {"a": b"b"}),
    ]
    for call in calls:
        with pytest.raises(InvalidError, match="refuse") as told:
            call()
        assert told.value.field == "RIFTLINE_WAREHOUSE"
        assert SECRET not in str(told.value)
