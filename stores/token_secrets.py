"""The secrets that sign tokens: from the environment or a file, which all replicas of one machine share."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stores.errors import InvalidError

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "RIFTLINE_TOKEN_SECRETS"
MIN_LENGTH = 32  # HS256 wants 256 bits at least (RFC 7518, section 3.2)


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """One secret. ``key_id`` names it in a token's head and tells nothing of it."""

    key_id: str
    secret: str = field(repr=False)


def token_secrets(given: str, file: Path) -> tuple[TokenSecret, ...]:
    """The secrets, the current one first; the others are former ones, whose tokens are still accepted.

    ``given`` holds them with commas; when it is empty they are the lines of ``file``, which is made, for its owner
    alone, with a random one where there is none. Raises InvalidError for a secret that is too short.
    """
    texts = given.split(",") if given else _read(file).splitlines()
    found = tuple(_secret(text.strip()) for text in texts if text.strip())
    if not found:
        raise InvalidError(f"{file} holds no secret; remove it, or write one of {MIN_LENGTH} characters", VARIABLE)
    return found


def _secret(text: str) -> TokenSecret:
    if len(text) < MIN_LENGTH:
        raise InvalidError(f"a secret of {len(text)} characters is too short; give {MIN_LENGTH} or more", VARIABLE)
    return TokenSecret(hashlib.sha256(f"key id of {text}".encode()).hexdigest()[:8], text)


def _read(file: Path) -> str:
    with suppress(FileNotFoundError):
        return file.read_text()
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            written.write(f"{secrets.token_urlsafe(32)}\n")
        with suppress(FileExistsError):  # another process was first: its secret is everyone's
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return file.read_text()
