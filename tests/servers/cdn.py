"""A CDN that only takes purges, as Fastly does, and remembers them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


class SmallCdn:
    """Listens at ``url`` while asked to, and answers by ``status``. ``purged``: token and keys of each purge since."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.purged: list[tuple[str | None, list[str]]] = []
        self._place = urlsplit(url)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take purges for a block."""
        cdn, place = self, self._place
        self.purged.clear()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                right = self.path == place.path and "Surrogate-Key" in self.headers
                cdn.purged.append((self.headers["Fastly-Key"], self.headers.get("Surrogate-Key", "").split()))
                self.send_response(cdn.status if right else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer((place.hostname or "", place.port or 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
