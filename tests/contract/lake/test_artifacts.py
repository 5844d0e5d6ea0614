"""Model artefacts: written once, read only as they were registered."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson
import pytest
from pyarrow import fs

from stores.errors import ConflictError, InvalidError, NotFoundError, TransientError
from stores.lake.artifacts import MANIFEST, WarehouseArtifacts
from stores.settings import S3Settings
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS

if TYPE_CHECKING:
    from pathlib import Path

    from stores.domain.artifacts import StoredArtifact

pytestmark = pytest.mark.role("artifacts")

FILES = {"kills.ubj": b"\x00trees\xff", "model.json": b"{}", "empty.bin": b""}
VERSION = "20260301.120000"


@dataclass(frozen=True, slots=True)
class Warehouse:
    """Where the artefacts of a test lie, and how the test itself reaches them."""

    uri: str
    s3: S3Settings
    files: fs.FileSystem
    root: str

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        with self.files.open_input_stream(path) as stream:
            return bytes(stream.read())

    def write(self, path: str, content: bytes) -> None:
        """Write a file behind the store's back."""
        if isinstance(self.files, fs.LocalFileSystem):
            self.files.create_dir(path.rpartition("/")[0])
        with self.files.open_output_stream(path) as stream:
            stream.write(content)

    def listed(self) -> list[str]:
        """Every file."""
        selector = fs.FileSelector(self.root, recursive=True, allow_not_found=True)
        return [info.path for info in self.files.get_file_info(selector)]


@pytest.fixture(params=["disk", "s3"])
def implementation(request: pytest.FixtureRequest) -> str:
    """The kind of warehouse that a test runs over."""
    return str(request.param)


@pytest.fixture
def warehouse(implementation: str, tmp_path: Path, request: pytest.FixtureRequest) -> Warehouse:
    """An empty warehouse, on disk under a name that a URI would write otherwise."""
    if implementation == "s3":
        server: SeaweedFS = request.getfixturevalue("seaweedfs")
        root = f"{BUCKET}/{uuid4().hex}"
        return Warehouse(f"s3://{root}", S3Settings(server.s3_url, "", KEY, SECRET), server.files(), root)
    folder = tmp_path / "a home 100%" / "warehouse"
    folder.mkdir(parents=True)
    return Warehouse(f"file://{folder}", S3Settings(), fs.LocalFileSystem(), str(folder))


@pytest.fixture
def store(warehouse: Warehouse) -> WarehouseArtifacts:
    """The store over that warehouse."""
    return WarehouseArtifacts(warehouse.uri, warehouse.s3)


@pytest.fixture
def saved(store: WarehouseArtifacts) -> StoredArtifact:
    """One version in the store."""
    return store.save(VERSION, FILES)


def test_what_is_saved_is_loaded(store: WarehouseArtifacts, saved: StoredArtifact, warehouse: Warehouse) -> None:
    """Every byte, by path and checksum, from where the product says it lies."""
    assert store.load(saved.path, saved.checksum) == FILES
    assert saved.size_bytes == sum(map(len, FILES.values()))
    assert saved.path == f"{warehouse.root}/models/prediction_models/{VERSION}"
    assert saved.checksum == sha256(warehouse.read(f"{saved.path}/{MANIFEST}")).hexdigest()


def test_another_process_loads_it(saved: StoredArtifact, warehouse: Warehouse) -> None:
    """A slash at the end of the warehouse's address means the same folder."""
    assert WarehouseArtifacts(f"{warehouse.uri}/", warehouse.s3).load(saved.path, saved.checksum) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_tampered_file_is_refused(
    store: WarehouseArtifacts, saved: StoredArtifact, warehouse: Warehouse, name: str
) -> None:
    """One byte more and nothing of the model is used."""
    warehouse.write(f"{saved.path}/{name}", FILES[name] + b"x")
    with pytest.raises(InvalidError, match="was changed after it was registered"):
        store.load(saved.path, saved.checksum)


def test_a_tampered_manifest_is_refused(store: WarehouseArtifacts, saved: StoredArtifact, warehouse: Warehouse) -> None:
    """A forged file with a matching manifest is not the registered one."""
    forged = {**FILES, "model.json": b"forged"}
    warehouse.write(f"{saved.path}/model.json", b"forged")
    manifest = {name: sha256(content).hexdigest() for name, content in sorted(forged.items())}
    warehouse.write(f"{saved.path}/{MANIFEST}", orjson.dumps(manifest))
    with pytest.raises(InvalidError, match="not the registered one"):
        store.load(saved.path, saved.checksum)


def test_another_checksum_is_refused(store: WarehouseArtifacts, saved: StoredArtifact) -> None:
    """The registry's row and the artefact must be of one version."""
    with pytest.raises(InvalidError):
        store.load(saved.path, store.save("other", {"model.json": b"[]"}).checksum)


@pytest.mark.parametrize("missing", ["kills.ubj", MANIFEST])
def test_a_missing_file_is_not_found(
    store: WarehouseArtifacts, saved: StoredArtifact, warehouse: Warehouse, missing: str
) -> None:
    """A model in parts is no model."""
    warehouse.files.delete_file(f"{saved.path}/{missing}")
    with pytest.raises(NotFoundError, match="missing from the warehouse"):
        store.load(saved.path, saved.checksum)


def test_a_path_outside_is_refused(store: WarehouseArtifacts, saved: StoredArtifact, warehouse: Warehouse) -> None:
    """A true copy elsewhere is not loaded, whichever way it is named."""
    outside = f"{warehouse.root.rpartition('/')[0]}/outside"
    for name in (*FILES, MANIFEST):
        warehouse.write(f"{outside}/{name}", warehouse.read(f"{saved.path}/{name}"))
    root = f"{warehouse.root}/models/prediction_models"
    ways = [
        outside,
        f"{root}/../../../outside",
        f"{root}/{VERSION}/../../../../outside",
        f"{root}x/../prediction_models/{VERSION}",
        f"file://{outside}",
        root,
        "",
        f"models/prediction_models/{VERSION}",
    ]
    for way in ways:
        with pytest.raises(InvalidError, match="outside the warehouse"):
            store.load(way, saved.checksum)


def test_a_version_is_saved_once(store: WarehouseArtifacts, saved: StoredArtifact) -> None:
    """The second save is refused and the first stays as it was."""
    with pytest.raises(ConflictError, match="versions never change"):
        store.save(VERSION, {"model.json": b"other"})
    assert store.load(saved.path, saved.checksum) == FILES


def test_an_interrupted_save_counts_as_absent(store: WarehouseArtifacts, warehouse: Warehouse) -> None:
    """Without its manifest a version does not exist; it can be saved again, and leftovers are not loaded."""
    folder = f"{warehouse.root}/models/prediction_models/v1"
    for name, content in (("model.json", b"half"), ("leftover.ubj", b"old"), (f"{MANIFEST}.part", b"{")):
        warehouse.write(f"{folder}/{name}", content)
    with pytest.raises(NotFoundError):
        store.load(folder, sha256(b"{").hexdigest())
    again = store.save("v1", FILES)
    assert store.load(again.path, again.checksum) == FILES


@pytest.mark.parametrize("implementation", ["disk"])
def test_a_save_that_fails_leaves_no_version(store: WarehouseArtifacts, warehouse: Warehouse) -> None:
    """What the warehouse does not take can be saved later."""
    folder = f"{warehouse.root}/models/prediction_models/v1"
    warehouse.files.create_dir(f"{folder}/model.json")  # a folder where a file should be
    with pytest.raises(TransientError, match="did not take model version v1"):
        store.save("v1", FILES)
    assert f"{folder}/{MANIFEST}" not in warehouse.listed()
    warehouse.files.delete_dir(f"{folder}/model.json")
    again = store.save("v1", FILES)
    assert store.load(again.path, again.checksum) == FILES


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/etc", ".hidden", MANIFEST, "a\nb"])
def test_only_plain_names_are_written(store: WarehouseArtifacts, warehouse: Warehouse, name: str) -> None:
    """Neither a version nor a file can lead out of its folder or replace the manifest."""
    with pytest.raises(InvalidError):
        store.save(name, FILES)
    with pytest.raises(InvalidError):
        store.save("v1", {name: b"x"})
    assert not warehouse.listed()


def test_a_place_that_is_no_warehouse_is_refused() -> None:
    """The variable is named."""
    with pytest.raises(InvalidError) as refused:
        WarehouseArtifacts("gopher://here")
    assert refused.value.field == "RIFTLINE_WAREHOUSE"
