"""A request that may be sent twice and is answered once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KEPT_S = 86_400  # a day: who repeats a request later has forgotten why


class Taken(StrEnum):
    """Why a key cannot be claimed."""

    IN_FLIGHT = "in flight"
    OTHER_REQUEST = "other request"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer the request of a key. ``fingerprint`` stands for the request, ``token`` for this claim."""

    key: str
    fingerprint: str
    token: str


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """A response as it was given."""

    status: int
    content_type: str
    body: bytes
