"""Riftline's errors, branched by what the caller can do about them.

    RiftlineError
    ├── TransientError        try again later, nothing happened
    │   └── OverloadedError   try again after a pause, the system is full
    ├── ConflictError         someone else was first; read again, then decide
    ├── OutcomeUnknownError   the effect may have happened; check before trying again
    ├── NotFoundError         the named thing does not exist
    │   └── UnknownNameError  a name in the input is nobody's; the field and near names are given
    └── InvalidError          the input is wrong; the field and the remedy are named

Every error is rebuilt from its positional ``args``, because Ray carries it between processes that way.
"""

from __future__ import annotations


class RiftlineError(Exception):
    """Root of all errors that Riftline raises on purpose. ``args[0]`` is the message for people."""


class TransientError(RiftlineError):
    """A server did not answer; nothing was changed, the same call may succeed later."""


class OverloadedError(TransientError):
    """The system is full; try again after a pause."""


class ConflictError(RiftlineError):
    """Someone else changed the same thing first."""


class OutcomeUnknownError(RiftlineError):
    """The connection broke while the effect was under way: it may or may not have happened."""


class NotFoundError(RiftlineError):
    """The named thing does not exist. ``suggestions`` holds names that are near."""

    def __init__(self, message: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message, suggestions)
        self.suggestions = suggestions

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownNameError(NotFoundError):
    """A name in the input is nobody's. ``field`` is the path of the field, ``suggestions`` the near names."""

    def __init__(self, message: str, suggestions: tuple[str, ...], field: str) -> None:
        super().__init__(message, suggestions)
        self.args = (message, suggestions, field)
        self.field = field


class InvalidError(RiftlineError):
    """The input is wrong. ``field`` is the path of the wrong field (``player_names.0``), empty for the whole."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.field = field

    def __str__(self) -> str:
        return str(self.args[0])
