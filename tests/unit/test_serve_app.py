"""The Serve application's version, by which Serve decides whether to replace its replicas."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve_apps.app import GatewayArgs, version_of

ARGS = {"database_url": "postgresql://somewhere/riftline", "warehouse": "file:///warehouse"}


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
    """The database's URL is left out of what is printed."""
    assert "somewhere" not in repr(GatewayArgs.model_validate(ARGS))
