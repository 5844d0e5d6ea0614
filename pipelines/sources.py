"""Match files and URLs as raw rows: bytes in, columns and untouched values out. What a value means, cleaning knows.

A file that cannot be read as a whole is an InvalidError that names the file, what is wrong and the remedy. A row that
does not fit its header is no failure: it is kept with its ``damage``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import date
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.layouts import Layout, detect
from stores.errors import InvalidError, NotFoundError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIXES = (".csv", ".csv.gz", ".parquet")
EXTRA_FIELDS = "extra_fields"  # payload key of the fields beyond the header's
_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_CHUNK_BYTES = 1 << 20
_BATCH_ROWS = 2000  # of 167 columns: some 10 MB of Python objects at a time


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds of one source. A season's export is 120 MB unpacked."""

    max_bytes: int = 1 << 30  # as received
    max_unpacked_bytes: int = 2 << 30
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    fetch_timeout_s: float = 600.0  # the whole download


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as received. ``row_number`` counts from 1, header and blank lines left out."""

    row_number: int
    payload: dict[str, object]
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class RawSource:
    """One readable source. ``rows`` may be iterated again and again; rows are made as they are asked for.

    ``source`` is the file's name, or the URL without credentials and query. Iterating raises InvalidError where a
    quote that is never closed swallows the rest of a CSV file.
    """

    source: str
    sha256: str
    layout: Layout
    columns: tuple[str, ...]
    rows: Iterable[RawRow]


def discover(location: str) -> list[str]:
    """The sources at a location: one file, the match files of a folder and its subfolders, or one http(s) URL."""
    if _is_url(location):
        return [location]
    if not location or "\0" in location:
        raise InvalidError("the location is empty or no path; give a file, a folder or an http(s) URL", "location")
    path = Path(location)
    if path.is_file():
        return [location]
    if not path.is_dir():
        raise InvalidError(f"{location!r} does not exist; give a file, a folder or an http(s) URL", "location")
    found = sorted(str(file) for file in path.rglob("*") if file.name.lower().endswith(SUFFIXES) and file.is_file())
    if not found:
        raise InvalidError(
            f"the folder {location!r} holds no {', '.join(SUFFIXES)} file; put match files there or name one",
            "location",
        )
    return found


def read_source(source: str, limits: ReadLimits | None = None, client: httpx.Client | None = None) -> RawSource:
    """Read one source of ``discover``. ``client`` is for callers with their own HTTP settings.

    InvalidError: the content is unusable. NotFoundError, TransientError: the URL answered so, nothing was read.
    """
    limits = limits or ReadLimits()
    name = display_name(source)
    received = _fetch(source, name, limits, client) if _is_url(source) else _read_file(Path(source), name, limits)
    if not received:
        raise InvalidError(f"{name} is empty; export or download it again", "source")
    sha256 = hashlib.sha256(received).hexdigest()
    columns: tuple[str, ...]
    rows: _CsvRows | _ParquetRows
    if received.startswith(_PARQUET_MAGIC) or name.lower().endswith(".parquet"):
        table = _read_parquet(received, name, limits)
        columns, rows = tuple(table.column_names), _ParquetRows(table, name)
    else:
        text = _decode(_unpack(received, name, limits), name)
        columns = _header(text, name)
        rows = _CsvRows(text, columns, name)
    repeated = [column for column, times in Counter(columns).items() if times > 1]
    if repeated:
        raise InvalidError(f"{name} has the column {repeated[0]!r} more than once; remove the repeated one", "columns")
    try:
        layout = detect(columns)
    except InvalidError as unknown:
        raise InvalidError(f"{name}: {unknown}", "columns") from None
    return RawSource(name, sha256, layout, columns, rows)


def display_name(source: str) -> str:
    """The name under which a source is shown and kept: no folders, no credentials, no query."""
    if not _is_url(source):
        return Path(source).name
    url = urlsplit(source)
    return f"{url.scheme.lower()}://{url.netloc.rpartition('@')[2]}{url.path}"


def _is_url(location: str) -> bool:
    scheme, marker, rest = location.partition("://")
    if not marker:
        return False
    if scheme.lower() not in {"http", "https"}:
        raise InvalidError(f"{scheme!r} addresses are not read; give an http(s) URL or a local path", "location")
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    if not host:
        raise InvalidError(f"{rest.rpartition('@')[2]!r} names no host; give a full http(s) URL", "location")
    return True


def _read_file(path: Path, name: str, limits: ReadLimits) -> bytes:
    try:
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise _too_large(name, limits.max_bytes)
        return path.read_bytes()
    except OSError as broken:
        raise InvalidError(f"{name} cannot be read: {broken.strerror}; check path and permissions", "source") from None


def _fetch(url: str, name: str, limits: ReadLimits, client: httpx.Client | None) -> bytes:
    if client is not None:
        return _download(url, name, limits, client)
    timeout = httpx.Timeout(limits.read_timeout_s, connect=limits.connect_timeout_s)
    with httpx.Client(timeout=timeout, follow_redirects=True, max_redirects=5) as own:
        return _download(url, name, limits, own)


def _download(url: str, name: str, limits: ReadLimits, client: httpx.Client) -> bytes:
    """The body as sent: without content coding, so that the hash is the file's and no body unpacks unwatched."""
    deadline = time.monotonic() + limits.fetch_timeout_s
    parts: list[bytes] = []
    received = 0
    try:
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            _check_status(response.status_code, name)
            for part in response.iter_raw(_CHUNK_BYTES):
                received += len(part)
                if received > limits.max_bytes:
                    raise _too_large(name, limits.max_bytes)
                if time.monotonic() > deadline:
                    raise TransientError(f"{name} took longer than {limits.fetch_timeout_s:.0f} s; try again later")
                parts.append(part)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as wrong:
        raise InvalidError(f"{name} cannot be fetched: {wrong}; check the URL", "source") from None
    except httpx.HTTPError as broken:
        raise TransientError(f"{name} could not be fetched: {type(broken).__name__}; try again later") from None
    return b"".join(parts)


def _check_status(status: int, name: str) -> None:
    if status in {404, 410}:
        raise NotFoundError(f"{name} does not exist (HTTP {status}); check the URL")
    if status == 429 or status >= 500:
        raise TransientError(f"{name} answered HTTP {status}; try again later")
    if status != 200:
        raise InvalidError(f"{name} answered HTTP {status}; check the URL and your right to read it", "source")


def _too_large(name: str, limit: int) -> InvalidError:
    return InvalidError(f"{name} is larger than {limit} bytes; split it, for instance by year", "source")


def _unpack(data: bytes, name: str, limits: ReadLimits) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        if name.lower().endswith(".gz"):
            raise InvalidError(f"{name} is named .gz but is not gzip; download it again or rename it", "source")
        return data
    out = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            while part := packed.read(_CHUNK_BYTES):
                if out.tell() + len(part) > limits.max_unpacked_bytes:
                    raise InvalidError(
                        f"{name} unpacks to more than {limits.max_unpacked_bytes} bytes; unpack and split it", "source"
                    )
                out.write(part)
    except EOFError:
        raise InvalidError(f"{name} is a truncated gzip file; download it again", "source") from None
    except (gzip.BadGzipFile, zlib.error) as broken:
        raise InvalidError(f"{name} is a damaged gzip file: {broken}; download it again", "source") from None
    return out.getvalue()


def _decode(data: bytes, name: str) -> str:
    start = len(_BOM) if data.startswith(_BOM) else 0
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise InvalidError(
            f"{name} is not UTF-8: byte {data[start + wrong.start]:#04x} at offset {start + wrong.start}; "
            "save it again as UTF-8",
            "source",
        ) from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise InvalidError(f"{name} is binary, not CSV: a NUL byte at offset {nul}; export it again", "source")
    return text


def _header(text: str, name: str) -> tuple[str, ...]:
    records = iter(_records(text, name))
    header = next(records, None)
    if header is None:
        raise InvalidError(f"{name} is empty; export or download it again", "source")
    if next(records, None) is None:
        raise InvalidError(f"{name} has a header but no rows; export or download it again", "source")
    return tuple(column.strip() for column in header)


def _records(text: str, name: str) -> Iterator[list[str]]:
    """The records of a CSV text without its blank lines."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for record in reader:
            if record:
                yield record
    except csv.Error as broken:
        raise InvalidError(
            f"{name} cannot be split at line {reader.line_num}: {broken}; look for a quote that is never closed",
            "source",
        ) from None


@dataclass(frozen=True, slots=True)
class _CsvRows:
    text: str
    columns: tuple[str, ...]
    name: str

    def __iter__(self) -> Iterator[RawRow]:
        records = _records(self.text, self.name)
        next(records)
        wanted = len(self.columns)
        for number, fields in enumerate(records, start=1):
            payload: dict[str, object] = dict(zip(self.columns, fields, strict=False))
            if len(fields) == wanted:
                yield RawRow(number, payload)
                continue
            if len(fields) > wanted:
                payload[EXTRA_FIELDS] = fields[wanted:]
            yield RawRow(number, payload, f"row has {len(fields)} of {wanted} fields")


def _read_parquet(data: bytes, name: str, limits: ReadLimits) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    unpacked = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        for batch in file.iter_batches(_BATCH_ROWS):
            unpacked += batch.nbytes  # the file's own sizes leave out what its dictionaries repeat
            if unpacked > limits.max_unpacked_bytes:
                raise InvalidError(
                    f"{name} unpacks to more than {limits.max_unpacked_bytes} bytes; split it, for instance by year",
                    "source",
                )
            batches.append(batch)
        table = pa.Table.from_batches(batches, file.schema_arrow)
    except (pa.ArrowException, OSError) as broken:
        reason = str(broken).partition("\n")[0].rstrip(".")
        raise InvalidError(f"{name} is not readable Parquet: {reason}; export or download it again", "source") from None
    if not table.num_rows:
        raise InvalidError(f"{name} has columns but no rows; export or download it again", "source")
    return table


@dataclass(frozen=True, slots=True)
class _ParquetRows:
    table: pa.Table
    name: str

    def __iter__(self) -> Iterator[RawRow]:
        schema = _in_microseconds(self.table.schema)
        odd = [column.name for column in schema if not _is_plain(column.type)]
        number = 0
        for batch in self.table.cast(schema, safe=False).to_batches(max_chunksize=_BATCH_ROWS):
            for payload in self._payloads(batch):
                for name in odd:
                    payload[name] = _json_able(payload[name])
                number += 1
                yield RawRow(number, payload)

    def _payloads(self, batch: pa.RecordBatch) -> list[dict[str, object]]:
        try:
            return batch.to_pylist()  # type: ignore[no-any-return]
        except (ValueError, OverflowError, pa.ArrowException) as wrong:  # text that is no UTF-8, a year beyond 9999
            raise InvalidError(f"{self.name} holds a value that cannot be read: {wrong}; export it again") from None


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _in_microseconds(schema: pa.Schema) -> pa.Schema:
    """The schema with nanosecond times cut to microseconds, the finest that Python has."""
    for index, column in enumerate(schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            schema = schema.set(index, column.with_type(pa.timestamp("us", tz=column.type.tz)))
    return schema


def _json_able(value: object) -> object:
    """The value as JSON can hold it. Not-a-number is null, infinity its name, bytes are hexadecimal."""
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else str(value)
    if isinstance(value, date | time_of_day):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _json_able(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_able(item) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)
