"""Model artefacts in the warehouse: written once, read only by checksum. No pickle is ever written or read."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import orjson
from pyarrow import fs

from stores.domain.artifacts import StoredArtifact
from stores.errors import ConflictError, InvalidError, NotFoundError, RiftlineError, TransientError
from stores.lake.warehouse import is_refusal, open_warehouse
from stores.settings import S3Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*")  # of a version or a file: one step of a path, never upwards


class WarehouseArtifacts:
    """The role `Artifacts` in the folder ``models/prediction_models/<version>/`` of a warehouse.

    The manifest is written last: an artefact without one was interrupted.
    """

    def __init__(self, warehouse: str, s3: S3Settings | None = None) -> None:
        """``warehouse`` is a URI; ``s3`` says how one on S3 is reached, by default as the AWS tools find out."""
        self._fs, root = open_warehouse(warehouse, s3 or S3Settings())
        self._root = f"{root}/models/prediction_models"

    def save(self, version: str, files: Mapping[str, bytes]) -> StoredArtifact:
        """Write the files of a new version."""
        for name in (version, *files):
            if not _NAME.fullmatch(name) or name == MANIFEST:
                raise InvalidError(f"{name!r} cannot name a model version or one of its files")
        folder = f"{self._root}/{version}"
        if self._exists(f"{folder}/{MANIFEST}", version):
            raise ConflictError(f"model version {version} exists already; versions never change")
        manifest = orjson.dumps({name: _sha256(content) for name, content in sorted(files.items())})
        try:
            if isinstance(self._fs, fs.LocalFileSystem):  # a bucket has no folders
                self._fs.create_dir(folder, recursive=True)
            for name, content in files.items():
                self._write(f"{folder}/{name}", content)
            self._write(f"{folder}/{MANIFEST}.part", manifest)
            self._fs.move(f"{folder}/{MANIFEST}.part", f"{folder}/{MANIFEST}")  # whole or not at all
        except OSError as error:
            raise _warehouse_error(error, f"the warehouse did not take model version {version}") from error
        return StoredArtifact(folder, sum(map(len, files.values())), _sha256(manifest))

    def load(self, path: str, checksum: str) -> dict[str, bytes]:
        """The files of an artefact, every byte checked."""
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

    def _exists(self, path: str, version: str) -> bool:
        try:
            return bool(self._fs.get_file_info(path).type != fs.FileType.NotFound)
        except OSError as error:
            raise _warehouse_error(
                error, f"the warehouse did not tell whether model version {version} exists"
            ) from error

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
            raise _warehouse_error(error, f"the model artefact {path} cannot be read now") from error


def _warehouse_error(error: OSError, what: str) -> RiftlineError:
    if is_refusal(error):
        return InvalidError(f"{what}: access is refused: {error}", "RIFTLINE_WAREHOUSE")
    return TransientError(f"{what}: {error}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
