"""The secrets that sign tokens: made once, shared, rotated, never shown."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from stores.errors import InvalidError
from stores.token_secrets import token_secrets

if TYPE_CHECKING:
    from pathlib import Path

ONE, OTHER = "1" * 32, "2" * 40


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """Sixteen at once find the same one, in a file for its owner alone, and leave no draft behind."""
    file = tmp_path / "home" / "token-secrets"
    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(lambda _: token_secrets("", file), range(16)))
    assert len(found) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["token-secrets"]


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    """Given secrets are in their order, the current one first, and no file is made."""
    file = tmp_path / "token-secrets"
    assert [one.secret for one in token_secrets(f"{ONE}, {OTHER}", file)] == [ONE, OTHER]
    assert not file.exists()
    file.write_text(f"{OTHER}\n\n{ONE}\n")
    assert [one.secret for one in token_secrets("", file)] == [OTHER, ONE]


def test_a_secret_is_neither_shown_nor_told_by_its_id(tmp_path: Path) -> None:
    """Ids differ with the secrets and hold nothing of them."""
    one, other = token_secrets(f"{ONE},{OTHER}", tmp_path / "none")
    assert one.key_id != other.key_id
    assert ONE not in repr(one)


@pytest.mark.parametrize("given", ["hunter2", f"{ONE},hunter2"])
def test_a_short_secret_is_refused_and_not_quoted(given: str, tmp_path: Path) -> None:
    """It could be guessed."""
    with pytest.raises(InvalidError) as refused:
        token_secrets(given, tmp_path / "none")
    assert "hunter2" not in str(refused.value)
    assert refused.value.field == "RIFTLINE_TOKEN_SECRETS"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """A mount that failed must not become a guessable secret."""
    file = tmp_path / "token-secrets"
    file.write_text("\n")
    with pytest.raises(InvalidError, match="no secret"):
        token_secrets("", file)
