"""Forgetting old snapshots, and removing the files that nothing refers to any more."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.update.snapshot import ExpireSnapshots

from stores.errors import ConflictError
from stores.lake.commits import commit_once
from stores.lake.translation import Places, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

OWN_SUFFIXES = (".parquet", ".avro", ".metadata.json", ".puffin", ".stats")  # what is none of these is not ours


def expire(table: Table, before: datetime, keep_last: int, keep: Collection[int], places: Places) -> int:
    """One attempt at `Lake.expire`."""
    expired = outdated(table.metadata, int(before.timestamp() * 1000), keep_last, keep)
    if expired:
        transaction = table.transaction()
        ExpireSnapshots(transaction).by_ids(expired).commit()
        try:
            commit_once(table, transaction, places)
        except ValueError as error:  # what pyiceberg says of a snapshot that another expiry forgot meanwhile
            raise ConflictError(str(error)) from error
    return len(expired)


def outdated(metadata: TableMetadata, before_ms: int, keep_last: int, keep: Collection[int]) -> list[int]:
    """The snapshots to forget: older than that, not among the newest, not referred to by anyone."""
    referred = {ref.snapshot_id for ref in metadata.refs.values()} | set(keep)
    oldest_first = sorted(
        metadata.snapshots, key=lambda snapshot: (snapshot.timestamp_ms, snapshot.sequence_number or 0)
    )
    candidates = oldest_first[: len(oldest_first) - keep_last]
    return [
        snapshot.snapshot_id
        for snapshot in candidates
        if snapshot.timestamp_ms < before_ms and snapshot.snapshot_id not in referred
    ]


def remove_orphans(load: Callable[[], Table], before: datetime, places: Places) -> int:
    """See `Lake.remove_orphans`."""
    table = load()
    with translated(places, ".".join(table.name())):
        files, root = _files(table)
        old = [path for path in _listed(files, root) if path[1] < before.timestamp()]
        fresh = load()  # what was committed while the files were listed is referred to now
        referred = set(_referred(fresh, int(before.timestamp() * 1000))) if old else set()
        orphans = [path for path, _ in old if path not in referred]
        for path in orphans:
            files.delete_file(path)
    return len(orphans)


def _files(table: Table) -> tuple[fs.FileSystem, str]:
    scheme, netloc, path = PyArrowFileIO.parse_location(table.location())
    io: Any = table.io
    return io.fs_by_scheme(scheme, netloc), path.rstrip("/")


def _listed(files: fs.FileSystem, root: str) -> Iterator[tuple[str, float]]:
    """Path and age of the table's files: what pyiceberg writes below the table's folder, and nothing else there."""
    for folder in ("data", "metadata"):
        for info in files.get_file_info(fs.FileSelector(f"{root}/{folder}", allow_not_found=True, recursive=True)):
            if info.type == fs.FileType.File and info.path.endswith(OWN_SUFFIXES):
                yield info.path, info.mtime_ns / 1e9


def _referred(table: Table, before_ms: int) -> Iterator[str]:
    """The paths of all files that the table needs, or that a reader who began after ``before_ms`` may still read.

    A snapshot that expired since is found in the metadata that was current then. Whatever was added since is young.
    """
    metadata = table.metadata
    yield _path(table.metadata_location)
    yield from (_path(entry.metadata_file) for entry in metadata.metadata_log)
    yield from _of_snapshots(table, metadata)
    if metadata.last_updated_ms <= before_ms:
        return
    earlier = [entry for entry in metadata.metadata_log if entry.timestamp_ms <= before_ms]
    for entry in earlier[-1:] or metadata.metadata_log[:1]:
        with suppress(FileNotFoundError):  # pyiceberg removes the oldest itself
            before = FromInputFile.table_metadata(table.io.new_input(entry.metadata_file))
            yield from _of_snapshots(table, before, expired=True)


def _of_snapshots(table: Table, metadata: TableMetadata, *, expired: bool = False) -> Iterator[str]:
    seen: set[str] = set()
    for statistics in (*metadata.statistics, *metadata.partition_statistics):
        yield _path(statistics.statistics_path)
    for snapshot in metadata.snapshots:
        yield _path(snapshot.manifest_list)
        with suppress(FileNotFoundError) if expired else nullcontext():  # an earlier call removed it
            for manifest in snapshot.manifests(table.io):
                if manifest.manifest_path not in seen:
                    seen.add(manifest.manifest_path)
                    yield _path(manifest.manifest_path)
                    yield from _of_manifest(table, manifest)


def _of_manifest(table: Table, manifest: ManifestFile) -> Iterator[str]:
    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
        yield _path(entry.data_file.file_path)


def _path(location: str) -> str:
    return PyArrowFileIO.parse_location(location)[2]
