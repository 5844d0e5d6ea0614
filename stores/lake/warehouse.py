"""The warehouse as plain files. Free of pyiceberg, whose import would be a fifth of a replica's start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyarrow import fs

from stores.errors import InvalidError

if TYPE_CHECKING:
    from stores.settings import S3Settings

LOCAL = "file://"
DEFAULT_REGION = "us-east-1"  # of servers that have none; without one, pyarrow asks AWS where the bucket is
CALL_TIMEOUT_S = 5.0
_REFUSED_KEY = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "InvalidAccessKeyId",
    "HTTP code 403",
)


class TwoAttempts(fs.AwsStandardS3RetryStrategy):  # type: ignore[misc]  # pyarrow has no types
    """How often one call to S3 is tried; what is worth more attempts is repeated as a whole, after a look."""

    def __init__(self) -> None:
        super().__init__(max_attempts=2)


def open_warehouse(warehouse: str, s3: S3Settings) -> tuple[fs.FileSystem, str]:
    """The file system of a warehouse and its path there.

    A local URI holds its path as it is, not percent-encoded, as pyiceberg reads it.
    """
    if warehouse.startswith(LOCAL):
        return fs.LocalFileSystem(), warehouse.removeprefix(LOCAL).rstrip("/")
    if not warehouse.startswith("s3://"):
        raise InvalidError("RIFTLINE_WAREHOUSE is neither file:// nor s3://", "RIFTLINE_WAREHOUSE")
    options = {
        "endpoint_override": s3.endpoint or None,
        "region": s3.region or (DEFAULT_REGION if s3.endpoint else None),
        "access_key": s3.access_key or None,
        "secret_key": s3.secret_key or None,
        "connect_timeout": CALL_TIMEOUT_S,
        "request_timeout": CALL_TIMEOUT_S,
        "retry_strategy": TwoAttempts(),
    }
    return fs.S3FileSystem(**options), warehouse.removeprefix("s3://").rstrip("/")


def is_refusal(error: OSError) -> bool:
    """Whether the warehouse answered that this login may not do that."""
    return isinstance(error, PermissionError) or any(words in str(error) for words in _REFUSED_KEY)
