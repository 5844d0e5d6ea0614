"""Backup and restore of a lake over any catalog: where each table is, and the files of a local warehouse.

Files of a warehouse on S3 are not copied: give its bucket versions. Metadata names its files by their whole paths, so a
lake is restored to the warehouse that it came from.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import orjson
from pyiceberg.table import StaticTable

from stores.errors import InvalidError, TransientError
from stores.lake.connection import catalog_properties, make_local_folders, open_catalog, places_of
from stores.lake.translation import translated
from stores.lake.warehouse import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyiceberg.catalog import Catalog

    from stores.settings import LakeSettings

POINTERS, FILES = "tables.json", "warehouse"


def save(settings: LakeSettings, folder: Path, earlier: Path | None = None) -> int:
    """Save every table as it is now, and the warehouse's files if they are local; how many tables.

    Files never change, so those that ``earlier`` holds are linked, not copied. Beside writers the copy is whole when
    every file is there that its tables need; raises TransientError when one was removed meanwhile.
    """
    catalog = _opened(settings)
    with translated(places_of(settings), "the lake"):
        tables = {".".join(name): catalog.load_table(name).metadata_location for name in _names(catalog)}
        if settings.warehouse.startswith(LOCAL):
            warehouse = Path(settings.warehouse.removeprefix(LOCAL))
            _copy_files(warehouse, folder / FILES, earlier / FILES if earlier else None)
            _check_whole(catalog, tables, warehouse, folder / FILES)
    catalog.close()
    document = {"warehouse": settings.warehouse, "tables": tables}
    (folder / POINTERS).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return len(tables)


def obstacle(settings: LakeSettings, folder: Path) -> str | None:
    """Why the backup cannot be restored: what the catalog or a local warehouse holds.

    Raises InvalidError for a backup of another warehouse, or a damaged one.
    """
    document = _document(folder)
    if document["warehouse"] != settings.warehouse:
        raise InvalidError(
            f"the backup is of {document['warehouse']}; set RIFTLINE_WAREHOUSE (or RIFTLINE_HOME) to it",
            "RIFTLINE_WAREHOUSE",
        )
    if settings.warehouse.startswith(LOCAL):
        warehouse = Path(settings.warehouse.removeprefix(LOCAL))
        if warehouse.exists() and any(warehouse.iterdir()):
            return f"{warehouse} holds files; move them away before restoring over them"
    if _not_made(settings):
        return None
    catalog = _opened(settings)
    first = next(_names(catalog), None)
    catalog.close()
    return f"the catalog holds {'.'.join(first)}; restore into an empty one" if first else None


def restore(settings: LakeSettings, folder: Path) -> int:
    """Bring the tables back into an empty catalog and warehouse (see `obstacle`); how many."""
    tables: dict[str, str] = _document(folder)["tables"]
    if settings.warehouse.startswith(LOCAL):
        _copy_files(folder / FILES, Path(settings.warehouse.removeprefix(LOCAL)), None)
    catalog = _opened(settings)
    with translated(places_of(settings), "the lake"):
        for name, location in tables.items():
            catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
            catalog.register_table(name, location)
    catalog.close()
    return len(tables)


def missing_files(settings: LakeSettings) -> list[str]:
    """The files that the newest snapshots refer to and that cannot be found. Reads metadata, and asks for each file."""
    catalog = _opened(settings)
    missing = []
    with translated(places_of(settings), "the lake"):
        for name in _names(catalog):
            table = catalog.load_table(name)
            files = (task.file.file_path for task in table.scan().plan_files())
            missing += [f"{'.'.join(name)}: {file}" for file in files if not table.io.new_input(file).exists()]
    catalog.close()
    return missing


def _opened(settings: LakeSettings) -> Catalog:
    make_local_folders(settings)
    return open_catalog(catalog_properties(settings), places_of(settings))


def _names(catalog: Catalog) -> Iterator[tuple[str, ...]]:
    for namespace in catalog.list_namespaces():
        yield from catalog.list_tables(namespace)


def _not_made(settings: LakeSettings) -> bool:
    """Whether the catalog is a file that is not there: asking it would make it."""
    uri = urlsplit(settings.catalog_uri)
    return uri.scheme.partition("+")[0] == "sqlite" and not Path(unquote(uri.path.removeprefix("/"))).exists()


def _document(folder: Path) -> dict[str, Any]:
    try:
        document = orjson.loads((folder / POINTERS).read_bytes())
        return {"warehouse": str(document["warehouse"]), "tables": dict(document["tables"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"{folder / POINTERS} is damaged or missing: {error}", "folder") from None


def _copy_files(source: Path, target: Path, earlier: Path | None) -> None:
    """Copy a folder's files; those that ``earlier`` has are linked."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.rglob("*"):
        relative = file.relative_to(source)
        copy = target / relative
        if file.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # removed meanwhile: `_check_whole` says whether it was needed
            known = earlier / relative if earlier else None
            if known and known.exists() and known.stat().st_size == file.stat().st_size:
                os.link(known, copy)
            else:
                shutil.copy2(file, copy)


def _check_whole(catalog: Catalog, tables: Mapping[str, str], warehouse: Path, copy: Path) -> None:
    """Whether every file that the newest snapshots need is in the copy."""
    for name, location in tables.items():
        table = StaticTable.from_metadata(location, catalog.properties)
        snapshot = table.current_snapshot()
        manifests = snapshot.manifests(table.io) if snapshot else []
        needed = [
            location,
            *(one.manifest_path for one in manifests),
            *(t.file.file_path for t in table.scan().plan_files()),
        ]
        for file in needed:
            if not (copy / Path(file.removeprefix(LOCAL)).relative_to(warehouse)).exists():
                raise TransientError(f"{name} lost {file} while it was copied; repeat the backup")
