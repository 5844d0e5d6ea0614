"""`riftline keys` without a server: what it shows and refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from cluster.cli import app
from cluster.key_tables import show_keys, show_new_key, state_of
from stores.domain.api_keys import ApiKey, Scope, digest_of, new_key, prefix_of
from stores.domain.users import SubscriptionTier

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECRET = new_key()
KEY = ApiKey(
    name="a [bold]bot",
    prefix=prefix_of(SECRET) or "",
    digest=digest_of(SECRET),
    tier=SubscriptionTier.PRO,
    scopes=(Scope.READ,),
    created_at=NOON,
    expires_at=NOON + timedelta(1),
)


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_help_gives_examples(command: str) -> None:
    """Each command's help ends with a line to copy."""
    told = CliRunner().invoke(app, ["keys", command, "--help"])
    assert told.exit_code == 0
    assert f"riftline keys {command}" in " ".join(told.stdout.split("Example")[-1].split())


@pytest.mark.parametrize(
    "wrong", [["create", "x", "--tier", "gold"], ["create", "x", "--scope", "all"], ["create", "x", "--expires", "0"]]
)
def test_wrong_input_is_refused_before_any_database_is_asked(wrong: list[str]) -> None:
    """Exit code 2."""
    assert CliRunner().invoke(app, ["keys", *wrong]).exit_code == 2


def test_a_new_key_is_shown_whole_and_alone_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be copied, or read by a program."""
    show_new_key(SECRET, KEY)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == SECRET
    assert "a [bold]bot: pro, read, until 2026-03-15 12:00 UTC" in " ".join(rest)


def test_the_list_tells_prefixes_and_states(capsys: pytest.CaptureFixture[str]) -> None:
    """Never a digest, and names are no markup."""
    revoked, lasting = replace(KEY, revoked_at=NOON), replace(KEY, expires_at=None)
    show_keys([KEY, revoked, lasting], NOON)
    told = capsys.readouterr().out
    assert f"rl_live_{KEY.prefix}" in told
    assert "a [bold]bot" in told
    assert KEY.digest not in told
    assert [state_of(one, NOON) for one in (KEY, revoked, lasting)] == ["live", "revoked", "live"]
    assert state_of(KEY, NOON + timedelta(1)) == "ended"


def test_no_key_yet_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The first look is answered with the next command."""
    show_keys([], NOON)
    assert "riftline keys create" in capsys.readouterr().out
