"""Backup and restore of the embedded Redis, which holds the embedded event log: its log of writes."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.exceptions import RedisError

from stores.errors import ConflictError, TransientError
from stores.redis_store import embedded

if TYPE_CHECKING:
    from pathlib import Path

LOG_DIR = "appendonlydir"
REWRITE_TIMEOUT_S = 600.0


def copy_log(data_dir: Path, folder: Path) -> None:
    """Copy the log of writes of the running server: what was acknowledged before the call is in the copy.

    A copy that is there is replaced only by a whole one. Raises TransientError when the server does not run.
    """
    url = embedded.running_url(data_dir)
    if url is None:
        raise TransientError(f"the embedded Redis of {data_dir} does not run; start it by `riftline up`")
    draft, copy = folder / f".{LOG_DIR}.part", folder / LOG_DIR
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with closing(Redis.from_url(url, decode_responses=True)) as server:
            _copy_between_rewrites(server, data_dir / LOG_DIR, draft)
    except (RedisError, OSError) as error:
        raise TransientError(f"the embedded Redis of {data_dir} could not be copied: {error}") from error
    shutil.rmtree(copy, ignore_errors=True)
    draft.rename(copy)


def restore_log(folder: Path, data_dir: Path) -> str:
    """Put a copy in the place of an empty ``data_dir``, start the server and return its URL.

    Raises ConflictError when ``data_dir`` holds a log of writes.
    """
    if (data_dir / LOG_DIR).exists():
        raise ConflictError(f"{data_dir} holds data; move it away before restoring over it")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = data_dir / f".{LOG_DIR}.part"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(folder / LOG_DIR, draft)
    draft.rename(data_dir / LOG_DIR)
    return embedded.start(data_dir)


def _copy_between_rewrites(server: Any, log: Path, copy: Path) -> None:
    """The files change their names in a rewrite, so none may run meanwhile."""
    setting = "auto-aof-rewrite-percentage"
    before = server.config_get(setting)[setting]
    server.config_set(setting, 0)
    try:
        deadline = time.monotonic() + REWRITE_TIMEOUT_S
        while server.info("persistence")["aof_rewrite_in_progress"]:
            if time.monotonic() > deadline:
                raise TransientError(f"a rewrite of {log} did not end; try again later")
            time.sleep(0.1)
        shutil.copytree(log, copy)
    finally:
        server.config_set(setting, before)
