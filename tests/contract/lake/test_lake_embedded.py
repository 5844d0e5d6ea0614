"""The embedded lake: a SQLite file and a folder, on a machine where both may be missing, locked or full."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stores.domain.lake_commits import Step
from stores.errors import InvalidError, TransientError
from stores.lake.catalog import IcebergLake
from stores.lake.tables import MATCH_ROWS, QUARANTINE
from stores.settings import LakeSettings
from tests.contract.lake.work import EVENTS, fill_the_disk, numbers, processes, step_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> LakeSettings:
    """A catalog and a warehouse in folders that do not exist."""
    return LakeSettings(f"sqlite:///{tmp_path}/lake/catalog.db", f"file://{tmp_path}/lake/warehouse")


@pytest.fixture
def lake(settings: LakeSettings) -> IcebergLake:
    """An open lake with two tables."""
    opened = IcebergLake(settings)
    opened.ensure((MATCH_ROWS, EVENTS))
    return opened


def test_a_catalog_that_does_not_open_is_transient(tmp_path: Path) -> None:
    """A database that refuses says where it should be."""
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(TransientError, match=f"{tmp_path}/catalog.db does not answer"):
        IcebergLake(LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}"))


def test_a_catalog_that_breaks_while_open_is_transient(lake: IcebergLake, settings: LakeSettings) -> None:
    """A lake that was open says so too, and works again when the catalog is back."""
    with closing(sqlite3.connect(settings.catalog_uri.removeprefix("sqlite:///"))) as database:
        database.execute("ALTER TABLE iceberg_tables RENAME TO away")
        with pytest.raises(TransientError, match="does not answer"):
            lake.read(MATCH_ROWS)
        database.execute("ALTER TABLE away RENAME TO iceberg_tables")
    assert lake.read(MATCH_ROWS).num_rows == 0


@pytest.mark.parametrize("below", ["catalog", "warehouse"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, below: str) -> None:
    """A file where the home should be is no folder, and the variable to change is named."""
    (tmp_path / below).write_text("a file")
    with pytest.raises(InvalidError, match=f"{tmp_path}/{below}") as refused:
        IcebergLake(LakeSettings(f"sqlite:///{tmp_path}/catalog/x/catalog.db", f"file://{tmp_path}/warehouse/x"))
    assert refused.value.field == "RIFTLINE_HOME"


def test_a_catalog_address_that_is_none_is_named() -> None:
    """The variable is named, and the text, which may hold a password, is not repeated."""
    with pytest.raises(InvalidError) as refused:
        IcebergLake(LakeSettings("user:hunter2 at db", "file:///tmp"))
    assert refused.value.field == "RIFTLINE_CATALOG_URI"
    assert "hunter2" not in str(refused.value)


def test_a_relative_catalog_lies_under_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SQLAlchemy reads it: three slashes are relative, and the folder is made there."""
    monkeypatch.chdir(tmp_path)
    IcebergLake(LakeSettings("sqlite:///deep/catalog.db", f"file://{tmp_path}/warehouse")).ensure((QUARANTINE,))
    assert (tmp_path / "deep" / "catalog.db").is_file()


def test_a_full_disk_is_transient_and_leaves_the_table_as_it_was(lake: IcebergLake, settings: LakeSettings) -> None:
    """What did not fit is not there; when there is room again, the same step goes in."""
    lake.append(EVENTS, step_rows(0), Step("writer", 0, 1))
    ours, theirs = processes.Pipe()
    process = processes.Process(target=fill_the_disk, args=(settings, theirs))
    process.start()
    assert ours.poll(60)
    error = ours.recv()
    process.join(30)
    assert isinstance(error, TransientError), error
    assert "does not answer or is full" in str(error)
    assert numbers(lake.read(EVENTS)) == [0, 1, 2]
    assert not lake.append(EVENTS, step_rows(1), Step("writer", 1, 2)).repeated
    assert numbers(lake.read(EVENTS)) == list(range(6))
