"""ClickHouse's HTTP interface in front of chdb's engine: ``clickhouse_door.py FOLDER PORT USER PASSWORD``.

What clickhouse-connect's HTTP client uses of it: SQL in the body, the form or ``query``, data behind an INSERT,
settings and ``param_`` bindings in the URL or the form, Basic and header logins, compressed answers, error codes.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
import tempfile
import time
import zlib
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame  # type: ignore[import-untyped]

RESERVED = {  # parameters of the request, not settings
    *("query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout"),
    *("compress", "decompress", "wait_end_of_query", "client_protocol_version", "buffer_size", "quota_key"),
    *("enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
}
INSERT = re.compile(rb"\s*(INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)[ \t]*\n(.*)\Z", re.IGNORECASE | re.DOTALL)
STATUS = {516: 403, 60: 404, 81: 404, 62: 400, 47: 400, 457: 400, 252: 500, 159: 408, 202: 503}
DEFAULT_FORMAT = "TabSeparated"


class Refusal(Exception):  # noqa: N818  # an answer of the server, not a failure of the door
    """What is answered instead of a result."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Door(ThreadingHTTPServer):
    """The engine, its one user and the socket."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: str, port: int, user: str, password: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        self.login = (user, password)
        self.engine = chdb.connect(folder)  # kept open: the engine ends with its last handle


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Door
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Requests hold data; errors are told to the client."""

    def do_GET(self) -> None:
        """Answer pings and queries in the URL."""
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n", {})
        else:
            self._serve()

    def do_POST(self) -> None:
        """Answer everything else."""
        self._serve()

    def _serve(self) -> None:
        body = self._body()
        try:
            params = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            if self.headers.get_content_type() == "multipart/form-data":
                params |= _form(self.headers, body)
                body = b""
            self._check_login(params)
            result, headers = self._run(params, body)
        except Refusal as refusal:
            headers = {"X-ClickHouse-Exception-Code": str(refusal.code)}
            self._answer(STATUS.get(refusal.code, 500), f"{refusal}\n".encode(), headers)
        else:
            self._answer(200, result, headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(chunks)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.headers.get("Content-Encoding"):
            case "lz4":
                return bytes(lz4.frame.decompress(body))
            case "gzip" | "deflate":
                return zlib.decompress(body, 47)  # either head is recognised
        return body

    def _check_login(self, params: dict[str, str]) -> None:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(token).decode().partition(":")
        else:
            user = self.headers.get("X-ClickHouse-User") or params.get("user", "default")
            password = self.headers.get("X-ClickHouse-Key") or params.get("password", "")
        if (user, password) != self.server.login:
            raise Refusal(
                516,
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user "
                "with such name. (AUTHENTICATION_FAILED)",
            )

    def _run(self, params: dict[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
        began = time.monotonic_ns()
        sql = b"\n".join(part for part in (params.get("query", "").encode(), body) if part)
        insert = INSERT.match(sql)
        handle = chdb.connect(self.server.folder)  # of its own: USE and SET are of one handle
        try:
            with tempfile.NamedTemporaryFile(suffix=".data") as data:
                if insert is not None:
                    data.write(insert[3])
                    data.flush()
                    sql = insert[1] + f" FROM INFILE '{data.name}' FORMAT {insert[2].decode()}".encode()
                self._prepare(handle, params)
                bound = {name[6:]: value for name, value in params.items() if name.startswith("param_")}
                kind = params.get("default_format", DEFAULT_FORMAT)
                result = handle.query(sql.decode("utf-8", "surrogateescape"), kind, params=bound)
        except Exception as error:  # noqa: BLE001  # the engine's; all of them are answers
            text = str(error)
            code = re.search(r"Code: (\d+)", text)
            raise Refusal(int(code[1]) if code else 1002, text) from None
        finally:
            handle.close()
        summary = {
            "read_rows": str(result.rows_read()),
            "written_rows": str(result.rows_written()),
            "elapsed_ns": str(time.monotonic_ns() - began),
        }
        content = result.bytes() or b""
        headers = {"X-ClickHouse-Summary": json.dumps(summary), "X-ClickHouse-Query-Id": params.get("query_id", "")}
        asked = re.search(rb"FORMAT\s+(\w+)\s*;?\s*\Z", sql, re.IGNORECASE)
        if content or asked:
            headers["X-ClickHouse-Format"] = asked[1].decode() if asked and insert is None else kind
        return content, headers

    def _prepare(self, handle: Any, params: dict[str, str]) -> None:
        if database := params.get("database"):
            handle.query(f"USE `{database.replace('`', '')}`")
        for name, value in params.items():
            if name not in RESERVED and not name.startswith("param_"):
                if not name.isidentifier():
                    raise Refusal(115, f"Code: 115. DB::Exception: Setting {name} is unknown. (UNKNOWN_SETTING)")
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                handle.query(f"SET {name} = '{quoted}'")

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 100:
            content, headers = gzip.compress(content, 1), headers | {"Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in (headers | {"X-ClickHouse-Timezone": "UTC", "Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def _form(headers: Message, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + body).get_payload()
    fields = {}
    for part in parts if isinstance(parts, list) else []:
        name = part.get_param("name", header="content-disposition") if isinstance(part, Message) else None
        if isinstance(part, Message) and isinstance(name, str):
            content = part.get_payload(decode=True)
            fields[name] = content.decode() if isinstance(content, bytes) else ""
    return fields


if __name__ == "__main__":
    Door(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]).serve_forever()
