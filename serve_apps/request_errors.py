"""What is wrong with a request beyond its body: each with a status and a stable code of its own."""

from __future__ import annotations

from stores.errors import RiftlineError


class RequestError(RiftlineError):
    """A request that is not answered as asked. ``field`` names the parameter or header at fault."""

    status = 400
    code = "bad-request"
    title = "The request is wrong"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.field = field

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownFilterError(RequestError):
    """A parameter, filter or operator that the history does not have."""

    code = "unknown-filter"
    title = "There is no such filter"


class WrongIdempotencyKeyError(RequestError):
    """An Idempotency-Key that is empty, too long or not plain text."""

    code = "invalid-idempotency-key"
    title = "The Idempotency-Key is wrong"


class IdempotencyKeyReusedError(RequestError):
    """The key was used for another request; it goes on standing for that one."""

    status = 422
    code = "idempotency-key-reused"
    title = "The Idempotency-Key was used for another request"


class IdempotencyKeyInFlightError(RequestError):
    """The first request with this key is still being answered."""

    status = 409
    code = "idempotency-key-in-flight"
    title = "The first request with this Idempotency-Key is still being answered"


class CdnFailedError(RequestError):
    """The CDN did not purge, or did not say so."""

    status = 502
    code = "cdn-failed"
    title = "The CDN did not purge"


class TimedOutError(RequestError):
    """The answer took longer than a request may take."""

    status = 503
    code = "timed-out"
    title = "The answer took too long"
