"""How a journal lies on disk: segments of records in frames with checksums, and writes that are whole or not at all."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OPEN, READY, CORRUPT, REFUSED, CURSOR = ".open", ".ready", ".corrupt", ".refused", ".cursor"
_HEAD = struct.Struct("<II")  # length and crc32 of what follows


@dataclass(frozen=True, slots=True)
class Segment:
    """Records that are delivered together. ``name`` is unique for ever; bytes beyond ``size`` do not count."""

    path: Path
    size: int

    @property
    def name(self) -> str:
        """The token of its delivery; names sort as segments were begun."""
        return self.path.stem

    @property
    def begun_at_s(self) -> float:
        """When it was begun, in seconds since 1970."""
        return int(self.name.partition("-")[0]) / 1e9


class CorruptSegmentError(Exception):
    """A segment's bytes are not those that were written. ``sound`` are the records before the damage."""

    def __init__(self, message: str, sound: list[bytes]) -> None:
        super().__init__(message, sound)
        self.sound = sound

    def __str__(self) -> str:
        return str(self.args[0])


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it and flush the disk."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
    os.fdatasync(descriptor)


def replace(path: Path, content: bytes) -> int:
    """Write the whole file or nothing of it, and return by how many bytes the folder grew."""
    before = path.stat().st_size if path.exists() else 0
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)
    return len(content) - before


def remove(path: Path) -> int:
    """Delete the file and return by how many bytes the folder shrank."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


def sync_folder(folder: Path) -> None:
    """Flush the names in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def framed(record: bytes) -> bytes:
    """The record as it stands in a file."""
    return _HEAD.pack(len(record), zlib.crc32(record)) + record


def split_frames(data: bytes) -> tuple[list[bytes], int]:
    """The whole records at the head of ``data``, and how many bytes they take."""
    records, at = [], 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        record = data[at + _HEAD.size : at + _HEAD.size + length]
        if not length or len(record) < length or zlib.crc32(record) != checksum:
            break
        records.append(record)
        at += _HEAD.size + length
    return records, at


def read_whole(path: Path, size: int) -> list[bytes]:
    """The records of the first ``size`` bytes. Raises CorruptSegmentError."""
    data = path.read_bytes()[:size]
    records, whole = split_frames(data)
    if whole != size:
        raise CorruptSegmentError(f"{path} is damaged at byte {whole} of {size}", records)
    return records


def cut_torn_tail(path: Path) -> Path | None:
    """Keep what was whole when the last owner died, and seal it."""
    data = path.read_bytes()
    _, whole = split_frames(data)
    if not whole:
        path.unlink()
        return None
    with path.open("rb+") as file:
        file.truncate(whole)
        os.fsync(file.fileno())
    return path.rename(path.with_suffix(READY))


def holds_segments(folder: Path) -> bool:
    """Whether something in ``folder`` waits to be delivered, by its owner or by who adopts it."""
    return any(any(folder.glob(f"*{suffix}")) for suffix in (OPEN, READY))


def holds_refused(folder: Path) -> bool:
    """Whether something in ``folder`` was refused."""
    return any(folder.glob(f"*{REFUSED}"))
