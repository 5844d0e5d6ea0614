"""A backup of every store that holds truth: one folder, one whole generation in it, and the way back.

A generation is a folder of its own, and the manifest names the one that is whole. A backup that fails at any moment
leaves the manifest and its generation as they were.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from cluster.operations.all_stores import all_stores
from cluster.operations.postgres import stop_archiving_into
from stores.clock import utc_now
from stores.errors import ConflictError, InvalidError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from cluster.local import Steps
    from stores.settings import Settings

MANIFEST = "riftline-backup.json"
FORMAT = 1
GENERATION = "generation-"


async def back_up(settings: Settings, folder: Path, steps: Steps, *, continuous: bool) -> dict[str, Any]:
    """Save every store into a new generation, name it in the manifest, and remove the one before it.

    Raises InvalidError for a folder with other things in it, and what a store raises that cannot be saved.
    """
    before = _named_generation(folder)
    now = utc_now()
    generation = folder / f"{GENERATION}{now:%Y%m%dT%H%M%S%f}"
    with _disk_errors(folder):
        generation.mkdir(parents=True)
    saved = {}
    try:
        for store in all_stores(settings):
            steps.begin(store.name)
            with _disk_errors(folder):
                (generation / store.name).mkdir()
                earlier = before / store.name if before else None
                saved[store.name] = await store.backup(generation / store.name, earlier, continuous=continuous)
    except BaseException:
        shutil.rmtree(generation, ignore_errors=True)
        raise
    document = {"format": FORMAT, "made_at": now.isoformat(), "generation": generation.name, "stores": saved}
    with _disk_errors(folder):
        _write(folder / MANIFEST, orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if before and not continuous:
        await stop_archiving_into(settings.postgres, before)
    _remove_others(folder, generation)
    return document


async def bring_back(settings: Settings, folder: Path, until: datetime | None, steps: Steps) -> dict[str, str]:
    """Restore every store from ``folder``; what came back, by store.

    Raises, before anything is changed, InvalidError when the folder holds no whole backup or one that does not fit
    these settings, and ConflictError when a store holds something already.
    """
    generation = _named_generation(folder)
    if generation is None:
        raise InvalidError(f"{folder} holds no whole backup: {MANIFEST} is missing", "folder")
    stores = all_stores(settings)
    if missing := [store.name for store in stores if not (generation / store.name).is_dir()]:
        raise InvalidError(f"{', '.join(missing)} is missing from the backup in {generation}", "folder")
    for store in stores:
        with _disk_errors(folder):
            if obstacle := await store.obstacle(generation / store.name, until):
                raise ConflictError(obstacle)
    restored = {}
    for store in stores:
        steps.begin(store.name)
        with _disk_errors(folder):
            restored[store.name] = await store.restore(generation / store.name, until)
    return restored


def _named_generation(folder: Path) -> Path | None:
    """The whole generation; None where there is none yet. Raises InvalidError for a folder that is no backup's."""
    try:
        document = orjson.loads((folder / MANIFEST).read_bytes())
        known, generation = document["format"] == FORMAT, folder / str(document["generation"])
    except FileNotFoundError:
        if folder.exists() and any(not one.name.startswith(GENERATION) for one in folder.iterdir()):
            raise InvalidError(
                f"{folder} holds other files; give an empty folder or one of an earlier backup", "folder"
            ) from None
        return None
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known or generation.parent != folder or not generation.is_dir():
        raise InvalidError(f"{folder / MANIFEST} is damaged or of another version", "folder")
    return generation


def _remove_others(folder: Path, generation: Path) -> None:
    for old in folder.glob(f"{GENERATION}*"):
        if old != generation:
            shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also after a loss of power."""
    draft = path.with_name(f"{GENERATION}{path.name}.part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, shutil.Error) as error:
        raise TransientError(f"{folder} or a store's own folder: {error}") from error
