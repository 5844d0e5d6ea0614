"""Model artefacts: written once, read only as they were registered."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from stores.errors import ConflictError, InvalidError, NotFoundError, TransientError
from stores.lake.artifacts import MANIFEST, ArtifactStore, StoredArtifact

FILES = {"kills.ubj": b"\x00trees\xff", "model.json": b"{}", "empty.bin": b""}


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """A warehouse under a name that a URI would write otherwise."""
    folder = tmp_path / "a home 100%" / "warehouse"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def store(warehouse: Path) -> ArtifactStore:
    """The store over that warehouse."""
    return ArtifactStore(f"file://{warehouse}")


@pytest.fixture
def saved(store: ArtifactStore) -> StoredArtifact:
    """One version in the store."""
    return store.save("20260301.120000", FILES)


def test_what_is_saved_is_loaded(store: ArtifactStore, saved: StoredArtifact, warehouse: Path) -> None:
    """Every byte, by path and checksum, from where the product says it lies."""
    assert store.load(saved.path, saved.checksum) == FILES
    assert saved.size_bytes == sum(map(len, FILES.values()))
    assert Path(saved.path) == warehouse / "models" / "prediction_models" / "20260301.120000"
    assert saved.checksum == sha256((Path(saved.path) / MANIFEST).read_bytes()).hexdigest()


def test_another_process_loads_it(saved: StoredArtifact, warehouse: Path) -> None:
    """A slash at the end of the warehouse's address means the same folder."""
    assert ArtifactStore(f"file://{warehouse}/").load(saved.path, saved.checksum) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_tampered_file_is_refused(store: ArtifactStore, saved: StoredArtifact, name: str) -> None:
    """One byte more and nothing of the model is used."""
    file = Path(saved.path) / name
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InvalidError, match="was changed after it was registered"):
        store.load(saved.path, saved.checksum)


def test_a_tampered_manifest_is_refused(store: ArtifactStore, saved: StoredArtifact) -> None:
    """A forged file with a matching manifest is not the registered one."""
    (Path(saved.path) / "model.json").write_bytes(b"forged")
    manifest = {name: sha256((Path(saved.path) / name).read_bytes()).hexdigest() for name in sorted(FILES)}
    (Path(saved.path) / MANIFEST).write_bytes(orjson.dumps(manifest))
    with pytest.raises(InvalidError, match="not the registered one"):
        store.load(saved.path, saved.checksum)


def test_another_checksum_is_refused(store: ArtifactStore, saved: StoredArtifact) -> None:
    """The registry's row and the artefact must be of one version."""
    with pytest.raises(InvalidError):
        store.load(saved.path, store.save("other", {"model.json": b"[]"}).checksum)


@pytest.mark.parametrize("missing", ["kills.ubj", MANIFEST])
def test_a_missing_file_is_not_found(store: ArtifactStore, saved: StoredArtifact, missing: str) -> None:
    """A model in parts is no model."""
    (Path(saved.path) / missing).unlink()
    with pytest.raises(NotFoundError, match="missing from the warehouse"):
        store.load(saved.path, saved.checksum)


def test_a_path_outside_is_refused(
    store: ArtifactStore, saved: StoredArtifact, warehouse: Path, tmp_path: Path
) -> None:
    """A true copy elsewhere is not loaded, whichever way it is named."""
    outside = tmp_path / "outside"
    Path(saved.path).rename(outside)
    root = warehouse / "models" / "prediction_models"
    (root / "20260301.120000").mkdir()
    ways = [
        str(outside),
        f"{root}/../../../../outside",
        f"{root}/20260301.120000/../../../../../outside",
        f"{root}x/../prediction_models/20260301.120000",
        f"file://{outside}",
        str(root),
        "",
        "models/prediction_models/20260301.120000",
    ]
    for way in ways:
        with pytest.raises(InvalidError, match="outside the warehouse"):
            store.load(way, saved.checksum)


def test_a_version_is_saved_once(store: ArtifactStore, saved: StoredArtifact) -> None:
    """The second save is refused and the first stays as it was."""
    with pytest.raises(ConflictError, match="versions never change"):
        store.save("20260301.120000", {"model.json": b"other"})
    assert store.load(saved.path, saved.checksum) == FILES


def test_an_interrupted_save_counts_as_absent(store: ArtifactStore, warehouse: Path) -> None:
    """Without its manifest a version does not exist; it can be saved again, and leftovers are not loaded."""
    folder = warehouse / "models" / "prediction_models" / "v1"
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes(b"half")
    (folder / "leftover.ubj").write_bytes(b"old")
    (folder / f"{MANIFEST}.part").write_bytes(b"{")
    with pytest.raises(NotFoundError):
        store.load(str(folder), sha256(b"{").hexdigest())
    again = store.save("v1", FILES)
    assert store.load(again.path, again.checksum) == FILES


def test_a_save_that_fails_leaves_no_version(store: ArtifactStore, warehouse: Path) -> None:
    """What the warehouse does not take can be saved later."""
    folder = warehouse / "models" / "prediction_models" / "v1"
    (folder / "model.json").mkdir(parents=True)  # a folder where a file should be
    with pytest.raises(TransientError, match="did not take model version v1"):
        store.save("v1", FILES)
    assert not (folder / MANIFEST).exists()
    (folder / "model.json").rmdir()
    again = store.save("v1", FILES)
    assert store.load(again.path, again.checksum) == FILES


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/etc", ".hidden", MANIFEST, "a\nb"])
def test_only_plain_names_are_written(store: ArtifactStore, warehouse: Path, name: str) -> None:
    """Neither a version nor a file can lead out of its folder or replace the manifest."""
    with pytest.raises(InvalidError):
        store.save(name, FILES)
    with pytest.raises(InvalidError):
        store.save("v1", {name: b"x"})
    assert not list(warehouse.iterdir())
