"""A backup of every store that holds truth, in one folder with a manifest, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from cluster.operations.all_stores import all_stores
from stores.clock import utc_now
from stores.errors import ConflictError, InvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cluster.local import Steps
    from stores.settings import Settings

MANIFEST = "riftline-backup.json"
FORMAT = 1


async def back_up(settings: Settings, folder: Path, steps: Steps, *, continuous: bool) -> dict[str, Any]:
    """Save every store into ``folder`` and return the manifest, which is written last.

    Raises InvalidError for a folder with other things in it. After a failure the manifest is gone, the stores that were
    saved before are there, and the call can be repeated.
    """
    manifest = _prepare(folder)
    saved = {}
    for store in all_stores(settings):
        steps.begin(store.name)
        inner = folder / store.name
        inner.mkdir(exist_ok=True)
        saved[store.name] = await store.backup(inner, continuous=continuous)
    document = {"format": FORMAT, "made_at": utc_now().isoformat(), "stores": saved}
    manifest.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return document


async def bring_back(settings: Settings, folder: Path, until: datetime | None, steps: Steps) -> dict[str, str]:
    """Restore every store from ``folder``; what came back, by store.

    Raises InvalidError when the folder holds no whole backup, ConflictError, before anything is changed, when a store
    holds something already.
    """
    document = _read(folder / MANIFEST)
    for store in all_stores(settings):
        if held := await store.held():
            raise ConflictError(f"{held}; move it away before restoring over it")
    restored = {}
    for store in all_stores(settings):
        if store.name in document["stores"]:
            steps.begin(store.name)
            restored[store.name] = await store.restore(folder / store.name, until)
    return restored


def _prepare(folder: Path) -> Path:
    manifest = folder / MANIFEST
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not manifest.exists() and not (folder / f".{MANIFEST}").exists():
        raise InvalidError(f"{folder} holds other files; give an empty folder or one of an earlier backup", "folder")
    (folder / f".{MANIFEST}").touch()  # marks the folder as ours while there is no whole backup in it
    manifest.unlink(missing_ok=True)
    return manifest


def _read(manifest: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads(manifest.read_bytes())
    except FileNotFoundError:
        raise InvalidError(f"{manifest.parent} holds no whole backup: {MANIFEST} is missing", "folder") from None
    except orjson.JSONDecodeError:
        raise InvalidError(f"{manifest} is damaged", "folder") from None
    if document.get("format") != FORMAT:
        raise InvalidError(f"{manifest} is of format {document.get('format')}; this version reads {FORMAT}", "folder")
    return document
