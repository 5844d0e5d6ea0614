"""`POST /auth/token`: a short token in exchange for an API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from serve_apps.access_tokens import LIFETIME_S
from serve_apps.admission import TICKET
from serve_apps.gate import TOKEN_PATH
from serve_apps.refusals import MEDIA_TYPE

if TYPE_CHECKING:
    from serve_apps.gate import Gate, Ticket

_PROBLEM: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
router = APIRouter(tags=["access"])


class AccessToken(BaseModel):
    """A token, to be sent as ``Authorization: Bearer`` (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # a name
    expires_in: int
    scope: str


@router.post(
    TOKEN_PATH,
    summary="A short token for an API key",
    responses=dict.fromkeys((401, 403, 406, 429, 500, 503), _PROBLEM),
)
async def issue_token(request: Request, response: Response) -> AccessToken:
    """Give a token that ends after 15 minutes, or with the key. It can do what the key can."""
    gate: Gate = request.app.state.gate
    ticket: Ticket = request.scope[TICKET]
    key = await gate.identities.key_of(ticket.identity)
    response.headers["Cache-Control"] = "no-store"
    token = gate.identities.tokens.issue(key)
    return AccessToken(access_token=token, expires_in=LIFETIME_S, scope=" ".join(key.scopes))
