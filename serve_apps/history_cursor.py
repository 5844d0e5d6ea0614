"""Cursors of the history: where a page ended, sealed, so that nobody takes one for another question or makes one up."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from stores.errors import InvalidError

if TYPE_CHECKING:
    from stores.domain.prediction_filters import PredictionFilter

_ID_BYTES = 16
_SEAL_BYTES = 16  # 128 bits of HMAC-SHA-256, which RFC 2104 (section 5) allows to shorten by half
_LENGTH = 43  # 32 bytes in base64url without padding


@dataclass(frozen=True, slots=True)
class CursorSeal:
    """Makes and opens cursors. Replicas with the same ``secret`` open one another's."""

    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str) -> CursorSeal:
        """A seal whose secret is of this use alone, from a text that all replicas know."""
        return cls(hmac.digest(text.encode(), b"riftline history cursor", hashlib.sha256))

    def close(self, last: UUID, meant: PredictionFilter) -> str:
        """The cursor behind the prediction ``last``, good for this filter alone."""
        return base64.urlsafe_b64encode(last.bytes + self._seal(last.bytes, meant)).rstrip(b"=").decode()

    def open(self, cursor: str, meant: PredictionFilter) -> UUID:
        """The id inside. Raises InvalidError for a cursor that was not given for this filter and this caller."""
        try:
            raw = base64.b64decode(f"{cursor}=", altchars=b"-_", validate=True) if len(cursor) == _LENGTH else b""
        except (ValueError, binascii.Error):
            raw = b""
        last, seal = raw[:_ID_BYTES], raw[_ID_BYTES:]
        # b64decode ignores the last character's unused bits: a cursor has one spelling
        if not hmac.compare_digest(seal, self._seal(last, meant)) or self.close(UUID(bytes=last), meant) != cursor:
            raise InvalidError(
                "cursor: it was not given for these filters and this caller; take it from `next`, or begin without one",
                "cursor",
            )
        return UUID(bytes=last)

    def _seal(self, last: bytes, meant: PredictionFilter) -> bytes:
        conditions = [
            (one.column.value, one.operator.value, [str(value) for value in one.values]) for one in meant.conditions
        ]
        question = repr((meant.user_id, sorted(conditions))).encode(errors="surrogatepass")
        return hmac.digest(self.secret, last + question, hashlib.sha256)[:_SEAL_BYTES]
