"""The names of groups of readers."""

from __future__ import annotations

import re

from stores.errors import InvalidError

_GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


def check_group(name: str) -> None:
    """Refuse what not every server takes as the name of a group."""
    if not (isinstance(name, str) and _GROUP.fullmatch(name)):
        raise InvalidError(f"{str(name)[:100]!r} is no name of a group; give [a-z0-9-], at most 100", "group")
