"""Forward migrations as files: numbered SQL, read in order, known by the checksum of their text."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stores.errors import InvalidError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. ``checksum`` is the sha256 of its text, in hex."""

    version: int
    name: str
    sql: str
    checksum: str

    @property
    def statements(self) -> tuple[str, ...]:
        """Its statements, without comments: a comment may hold a semicolon."""
        return tuple(part.strip() for part in COMMENT.sub("", self.sql).split(";") if part.strip())


def read_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """The migrations of ``folder`` in order. Raises InvalidError when a name is wrong or a number is used twice."""
    found: dict[int, Migration] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        match = FILE_NAME.fullmatch(entry.name)
        if match is None or int(match[1]) in found:
            raise InvalidError(f"{entry.name}: migrations are named NNNN_name.sql, each number once", entry.name)
        sql = entry.read_text(encoding="utf-8")
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        found[int(match[1])] = Migration(int(match[1]), entry.name, sql, checksum)
    return tuple(found.values())
