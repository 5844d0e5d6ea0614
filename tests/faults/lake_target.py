"""Rows that are committed to an Iceberg table, its catalog in PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa

from stores.domain.lake_commits import Step
from stores.lake.catalog import IcebergLake
from stores.lake.tables import QUARANTINE
from stores.settings import LakeSettings
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.faults.target import Writes

WRITER = "faults"


class _RowWrites:
    """An id is one row and one step: the moment inside of it is the position up to which it brings its writer."""

    def __init__(self, lake: IcebergLake) -> None:
        self._lake = lake

    async def write(self, name: str) -> None:
        await asyncio.to_thread(self._append, name)

    async def close(self) -> None:
        self._lake.close()

    def _append(self, name: str) -> None:
        end = UUID(name).int >> 64  # grows with the id's moment
        position = self._lake.positions(QUARANTINE).get(WRITER)
        start = min(position.end if position else 0, end - 1)
        row = dict.fromkeys(QUARANTINE.schema.names) | {"match_id": name}
        self._lake.append(QUARANTINE, pa.Table.from_pylist([row], QUARANTINE.schema), Step(WRITER, start, end))


class LakeTarget:
    """A lake with a catalog in Debian's PostgreSQL: the catalog's server and the writer are killed in turns."""

    name = "lake"
    at_once = 1
    kills_writers = True
    resends = True

    def __init__(self) -> None:
        self._server: Postgres | None = None

    def start(self, folder: Path) -> Postgres:
        """A fresh catalog and warehouse with one table."""
        self._server = Postgres(folder / "pg")
        self._server.start()
        _lake(self.options(folder)).ensure([QUARANTINE])
        return self._server

    def options(self, folder: Path) -> dict[str, str]:
        """Where catalog and warehouse are."""
        assert self._server
        return {"catalog": self._server.url, "warehouse": f"file://{folder}/warehouse"}

    async def open_writer(self, options: dict[str, str]) -> Writes:
        """Goes on where the writer before it was."""
        return _RowWrites(_lake(options))

    async def found(self, options: dict[str, str]) -> Sequence[str]:
        """Every row of the table."""
        names: list[str] = _lake(options).read(QUARANTINE)["match_id"].to_pylist()
        return names

    def stop(self) -> None:
        """Stop the catalog's server."""
        if self._server:
            self._server.stop()


def _lake(options: dict[str, str]) -> IcebergLake:
    return IcebergLake(LakeSettings(options["catalog"], options["warehouse"]))
