"""The Serve application's version, by which Serve decides whether to replace its replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from pydantic import ValidationError

from serve_apps import api
from serve_apps.api import ApiSettings
from serve_apps.app import GatewayArgs, settings_of, version_of

if TYPE_CHECKING:
    from serve_apps.state import FeatureFeed

ARGS = {
    "database_url": "postgresql://somewhere/riftline",
    "warehouse": "file:///warehouse",
    "redis_url": "redis://somewhere",
    "access": {"token_secrets_file": "/secrets"},
    "destinations": {"journal_dir": "/journal"},
}


def test_the_version_changes_only_with_code_and_arguments() -> None:
    """The same arguments make the same version, others another one."""
    same = version_of(GatewayArgs.model_validate(ARGS))
    assert version_of(GatewayArgs.model_validate(ARGS)) == same
    assert version_of(GatewayArgs.model_validate({**ARGS, "pool_size": 5})) != same


def test_a_misspelt_argument_is_refused() -> None:
    """Serve's configuration accepts unknown keys silently, the application does not."""
    with pytest.raises(ValidationError):
        GatewayArgs.model_validate({**ARGS, "replica": 2})


def test_the_password_is_not_shown() -> None:
    """The URLs of the database and its replica are left out of what is printed."""
    args = GatewayArgs.model_validate({**ARGS, "replica_url": "postgresql://somewhere/else"})
    assert "somewhere" not in repr(args)
    assert "somewhere" not in repr(settings_of(args, {}))


def test_the_secrets_of_tokens_are_the_replicas_own() -> None:
    """They do not travel in the arguments: a replica has them from its environment, or from the file."""
    args = GatewayArgs.model_validate(ARGS)
    given = settings_of(args, {"RIFTLINE_TOKEN_SECRETS": "s3cret"}).access
    assert given.token_secrets == "s3cret"  # noqa: S105
    assert "s3cret" not in repr(given) + args.model_dump_json()
    assert settings_of(args, {}).access == args.access


class OpenedError(Exception):
    """Ends a start once the database was opened."""


async def test_the_replicas_url_reaches_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API opens its database with the replica that its settings name."""
    opened: list[object] = []

    async def opening(*given: object) -> None:
        opened.extend(given)
        raise OpenedError

    monkeypatch.setattr(api, "open_database", opening)
    app = api.create_api(ApiSettings("primary", 3, "", replica_url="replica"), cast("FeatureFeed", None))
    with pytest.raises(OpenedError):
        async with app.router.lifespan_context(app):
            pass
    assert opened == ["primary", "replica", 3]
