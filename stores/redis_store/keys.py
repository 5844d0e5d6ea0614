"""Every key that Riftline keeps in Redis, and the only place that writes one.

The part in braces is written with its braces: it is the hash tag, so that the keys of one subject live in one slot of
a cluster and may be named in one call. Text from outside gets into a key only through `escaped`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote

from stores.domain.checks import check_text
from stores.domain.users import identity_key

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from uuid import UUID

MAX_TEXT = 256  # characters of a name in a key; real ones stay below 60

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
SESSION_TTL_S = 30 * MINUTE_S  # sliding
PREDICTION_TTL_S = 15 * MINUTE_S
HISTORY_TTL_S = DAY_S
FEATURES_TTL_S = HOUR_S
TOURNAMENT_TTL_S = 2 * HOUR_S


@dataclass(frozen=True, slots=True)
class KeyFamily:
    """Keys of one pattern. ``ttl_s`` None: the key lives until it is deleted or is bounded in another way."""

    name: str
    pattern: str
    type: str
    ttl_s: int | None
    what: str


FAMILIES = (
    KeyFamily("session", "session:{id}", "hash", SESSION_TTL_S, "a session; sliding"),
    KeyFamily(
        "user_sessions", "user_sessions:{user}", "zset", None, "the user's cached sessions, by and until their end"
    ),
    KeyFamily(
        "revoked", "user_sessions:{user}:revoked", "string", SESSION_TTL_S, "older sessions stay out of the cache"
    ),
    KeyFamily("prediction", "prediction:{hash}", "hash", PREDICTION_TTL_S, "an answer, by the hash of its question"),
    KeyFamily("curve", "curve:{hash}", "string", PREDICTION_TTL_S, "a curve as JSON, by the hash of its question"),
    KeyFamily("user_predictions", "user_predictions:{user}", "zset", HISTORY_TTL_S, "the user's newest predictions"),
    KeyFamily("player_features", "features:player:{name}", "hash", FEATURES_TTL_S, "a player's vector and summary"),
    KeyFamily("team_features", "features:team:{name}", "hash", FEATURES_TTL_S, "a team's vector and summary"),
    KeyFamily("tournament", "context:tournament:{name}", "hash", TOURNAMENT_TTL_S, "a tournament's vector and summary"),
    KeyFamily(
        "feature_shard", "features:shard:{name}", "string", TOURNAMENT_TTL_S, "what a feature shard published last"
    ),
    KeyFamily("user_rate", "rate_limit:{user}:{window}", "hash", None, "a user's bucket; lives for its window"),
    KeyFamily("api_key_rate", "api_rate_limit:{key}:{window}", "hash", None, "an API key's bucket; the key hashed"),
    KeyFamily(
        "address_rate", "global_rate_limit:{ip}:{window}", "hash", None, "an address's bucket; of IPv6 its network /64"
    ),
    KeyFamily("idempotency", "idempotency:{key}", "hash", DAY_S, "the answer to a request that may be sent again"),
    KeyFamily("invalidation", "invalidation", "channel", None, "names of cached things that changed"),
)

INVALIDATION_CHANNEL = "invalidation"


def session(session_id: str) -> str:
    """The key of a session. The id is public: the hash of a token (`stores.domain.user_sessions.session_id_of`)."""
    return f"session:{{{escaped(session_id, 'session_id')}}}"


def user_sessions(user_id: UUID) -> str:
    """The key of the index of a user's sessions."""
    return f"user_sessions:{{{user_id}}}"


def revoked_sessions(user_id: UUID) -> str:
    """The key of the moment up to which a user's sessions are revoked, in the slot of their index."""
    return f"user_sessions:{{{user_id}}}:revoked"


def prediction(question_hash: str) -> str:
    """The key of an answer."""
    return f"prediction:{{{escaped(question_hash, 'question_hash')}}}"


def curve(question_hash: str) -> str:
    """The key of a curve."""
    return f"curve:{{{escaped(question_hash, 'question_hash')}}}"


def user_predictions(user_id: UUID) -> str:
    """The key of a user's history."""
    return f"user_predictions:{{{user_id}}}"


def player_features(name: str) -> str:
    """The key of a player's features."""
    return f"features:player:{{{named(name, 'player')}}}"


def team_features(name: str) -> str:
    """The key of a team's features."""
    return f"features:team:{{{named(name, 'team')}}}"


def tournament(name: str) -> str:
    """The key of a tournament's context."""
    return f"context:tournament:{{{named(name, 'tournament')}}}"


def feature_shard(name: str) -> str:
    """The key of a feature shard's copy."""
    return f"features:shard:{{{escaped(name, 'shard')}}}"


def user_rate(user_id: UUID, window: str) -> str:
    """The key of a user's bucket."""
    return f"rate_limit:{{{user_id}}}:{window}"


def api_key_rate(api_key_id: str, window: str) -> str:
    """The key of an API key's bucket. The key may be a secret: only its hash is kept."""
    return f"api_rate_limit:{{{digest(api_key_id, 'api_key')}}}:{window}"


def address_rate(address: IPv4Address | IPv6Address, window: str) -> str:
    """The key of an address's bucket: of IPv6 its network /64, of an IPv4 address in IPv6 clothes that address."""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or ip_network((int(address), 64), strict=False).network_address
    return f"global_rate_limit:{{{escaped(str(address), 'address')}}}:{window}"


def idempotency(key: str) -> str:
    """The key of a request that may be sent again. Caller and key may be secrets: give their hash."""
    return f"idempotency:{{{escaped(key, 'key')}}}"


def digest(secret: str, field: str) -> str:
    """The SHA-256 of a secret in hex. Raises InvalidError as `escaped` does."""
    check_text(secret, field, MAX_TEXT, blank=False)
    return hashlib.sha256(secret.encode()).hexdigest()


def named(name: str, field: str) -> str:
    """A name as it stands in a key: case, outer and doubled white space and compatible forms make no other key."""
    check_text(name, field, MAX_TEXT, blank=False)
    return escaped(" ".join(identity_key(name).split()), field)


def escaped(text: str, field: str) -> str:
    """Text with everything but letters, digits and ``_.-~`` percent-encoded: no brace, colon or line end is left.

    Raises InvalidError naming ``field`` for what is blank, longer than MAX_TEXT, holds a NUL or is not UTF-8.
    """
    check_text(text, field, MAX_TEXT, blank=False)
    return quote(text, safe="")
