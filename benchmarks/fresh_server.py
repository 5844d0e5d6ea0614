"""A real server of a benchmark's own, in a folder that is gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Server(Protocol):
    """What the servers of the tests have in common."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


@contextmanager
def started(make: Callable[[Path], S]) -> Iterator[S]:
    """The server that ``make`` makes over a folder, running; stopped and removed with the block."""
    folder = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))  # a socket's path must be short
    try:
        server = make(folder / "server")
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
