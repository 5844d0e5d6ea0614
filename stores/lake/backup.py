"""Backup and restore of a lake over any catalog: where each table is, and the files of a local warehouse.

Files of a warehouse on S3 are not copied: give its bucket versions. Metadata names its files by their whole paths, so a
lake is restored to the warehouse that it came from.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from stores.errors import ConflictError, InvalidError, TransientError
from stores.lake.connection import LOCAL, catalog_properties, make_local_folders, open_catalog, places_of
from stores.lake.translation import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.catalog import Catalog

    from stores.settings import LakeSettings

POINTERS, FILES = "tables.json", "warehouse"


def save(settings: LakeSettings, folder: Path) -> int:
    """Save every table as it is now, and the warehouse's files if they are local; how many tables.

    Files never change, so those that an earlier backup holds are not copied again. Safe beside writers.
    """
    catalog = _opened(settings)
    with translated(places_of(settings), "the lake"):
        tables = {".".join(name): catalog.load_table(name).metadata_location for name in _names(catalog)}
    catalog.close()
    document = {"warehouse": settings.warehouse, "tables": tables}
    try:
        if settings.warehouse.startswith(LOCAL):
            _copy_new(Path(settings.warehouse.removeprefix(LOCAL)), folder / FILES)
        draft = folder / f"{POINTERS}.part"
        draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        draft.rename(folder / POINTERS)
    except OSError as error:
        raise TransientError(f"the lake could not be saved to {folder}: {error}") from error
    return len(tables)


def held(settings: LakeSettings) -> str | None:
    """What a restore would overwrite: tables of the catalog or files of a local warehouse."""
    if settings.warehouse.startswith(LOCAL):
        warehouse = Path(settings.warehouse.removeprefix(LOCAL))
        if warehouse.exists() and any(warehouse.iterdir()):
            return f"{warehouse} holds files"
    catalog = _opened(settings)
    first = next(_names(catalog), None)
    catalog.close()
    return f"the catalog holds {'.'.join(first)}" if first else None


def restore(settings: LakeSettings, folder: Path) -> int:
    """Bring the tables back into an empty catalog and warehouse; how many.

    Raises ConflictError when they hold something, InvalidError when the warehouse is another one.
    """
    document: dict[str, Any] = orjson.loads((folder / POINTERS).read_bytes())
    if document["warehouse"] != settings.warehouse:
        raise InvalidError(
            f"the backup is of {document['warehouse']}; set RIFTLINE_WAREHOUSE (or RIFTLINE_HOME) to it",
            "RIFTLINE_WAREHOUSE",
        )
    if found := held(settings):
        raise ConflictError(f"{found}; restore into an empty lake")
    if settings.warehouse.startswith(LOCAL):
        _copy_new(folder / FILES, Path(settings.warehouse.removeprefix(LOCAL)))
    catalog = _opened(settings)
    with translated(places_of(settings), "the lake"):
        for name, location in document["tables"].items():
            catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
            catalog.register_table(name, location)
    catalog.close()
    return len(document["tables"])


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


def _copy_new(source: Path, target: Path) -> None:
    """Copy the files that are not there yet; a name with its whole size is a whole file."""
    for file in source.rglob("*"):
        copy = target / file.relative_to(source)
        if file.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        elif not copy.exists() or copy.stat().st_size != file.stat().st_size:
            copy.parent.mkdir(parents=True, exist_ok=True)
            draft = copy.with_name(f".{copy.name}.part")
            shutil.copy2(file, draft)
            draft.rename(copy)
