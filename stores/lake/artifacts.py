"""Model artefacts in the warehouse: written once, read only by checksum. No pickle is ever written or read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import orjson
from pyarrow import fs

from stores.errors import ConflictError, InvalidError, NotFoundError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*")  # of a version or a file: one step of a path, never upwards
_LOCAL = "file://"


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """Where an artefact lies. ``checksum`` is the sha256 of its manifest, which holds those of all its files."""

    path: str
    size_bytes: int
    checksum: str


class ArtifactStore:
    """The folder ``models/prediction_models/<version>/`` of a warehouse.

    The manifest is written last: an artefact without one was interrupted and counts as absent.
    """

    def __init__(self, warehouse: str) -> None:
        """``warehouse`` is a URI; a local one holds its path as it is, not percent-encoded, as pyiceberg reads it."""
        if warehouse.startswith(_LOCAL):
            self._fs, root = fs.LocalFileSystem(), warehouse.removeprefix(_LOCAL)
        else:
            self._fs, root = fs.FileSystem.from_uri(warehouse)
        self._root = f"{root.rstrip('/')}/models/prediction_models"

    def save(self, version: str, files: Mapping[str, bytes]) -> StoredArtifact:
        """Write the files of a new version.

        Raises ConflictError if the version exists, InvalidError for a version or file name that is no plain name, and
        TransientError if the warehouse did not take it all: the version then counts as absent.
        """
        for name in (version, *files):
            if not _NAME.fullmatch(name) or name == MANIFEST:
                raise InvalidError(f"{name!r} cannot name a model version or one of its files")
        folder = f"{self._root}/{version}"
        if self._exists(f"{folder}/{MANIFEST}"):
            raise ConflictError(f"model version {version} exists already; versions never change")
        manifest = orjson.dumps({name: _sha256(content) for name, content in sorted(files.items())})
        try:
            self._fs.create_dir(folder, recursive=True)
            for name, content in files.items():
                self._write(f"{folder}/{name}", content)
            self._write(f"{folder}/{MANIFEST}.part", manifest)
            self._fs.move(f"{folder}/{MANIFEST}.part", f"{folder}/{MANIFEST}")  # whole or not at all
        except OSError as error:
            raise TransientError(f"the warehouse did not take model version {version}: {error}") from error
        return StoredArtifact(folder, sum(map(len, files.values())), _sha256(manifest))

    def load(self, path: str, checksum: str) -> dict[str, bytes]:
        """The files of an artefact, every byte checked.

        Raises NotFoundError if it is missing and InvalidError if it is not what was registered.
        """
        if not path.startswith(f"{self._root}/") or ".." in PurePosixPath(path).parts:
            raise InvalidError(f"model artefact {path} lies outside the warehouse; it is not loaded")
        manifest = self._read(f"{path}/{MANIFEST}")
        if _sha256(manifest) != checksum:
            raise InvalidError(f"the manifest of {path} is not the registered one; it is not loaded")
        files = {}
        for name, wanted in orjson.loads(manifest).items():
            files[name] = self._read(f"{path}/{name}")
            if _sha256(files[name]) != wanted:
                raise InvalidError(f"{path}/{name} was changed after it was registered; it is not loaded")
        return files

    def _exists(self, path: str) -> bool:
        return bool(self._fs.get_file_info(path).type != fs.FileType.NotFound)

    def _write(self, path: str, content: bytes) -> None:
        with self._fs.open_output_stream(path) as stream:
            stream.write(content)

    def _read(self, path: str) -> bytes:
        try:
            with self._fs.open_input_stream(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError as error:
            raise NotFoundError(f"the model artefact {path} is missing from the warehouse") from error
        except OSError as error:
            raise TransientError(f"the model artefact {path} cannot be read now: {error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
