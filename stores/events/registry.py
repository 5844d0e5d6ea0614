"""The released schemas of the events: one Avro file per version, ``schemas/<topic>.v<N>.avsc``, none ever changed.

They travel with the code, so there is no registry to be asked or to be down. The price is an order of releases: who
reads a topic gets a new version before who writes it.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import fastavro
import orjson

from stores.errors import InvalidError
from stores.events.compatibility import incompatibilities

RELEASED = Path(__file__).with_name("schemas")
_FILE = re.compile(r"(?P<name>[a-z]+(-[a-z]+)*)\.v(?P<version>[1-9][0-9]{0,3})\.avsc")


class SchemaRegistry:
    """All versions of all schemas. Reads ``folder`` once, and refuses one whose versions cannot read each other."""

    def __init__(self, folder: Path = RELEASED) -> None:
        self._versions: dict[str, dict[int, Any]] = {}
        for file in sorted(folder.glob("*.avsc")):
            found = _FILE.fullmatch(file.name)
            if found is None:
                raise InvalidError(f"{file.name} is no name of a schema; give <topic>.v<N>.avsc", "schemas")
            schema = fastavro.parse_schema(orjson.loads(file.read_bytes()))
            self._versions.setdefault(found["name"], {})[int(found["version"])] = schema
        for name, versions in self._versions.items():
            _check(name, versions)

    @property
    def names(self) -> frozenset[str]:
        """The names of all schemas, which are those of their topics."""
        return frozenset(self._versions)

    def newest(self, name: str) -> int:
        """The version that events are written in."""
        return max(self._versions[name])

    def schema(self, name: str, version: int) -> Any:
        """The parsed schema. Raises InvalidError when there is none."""
        try:
            return self._versions[name][version]
        except KeyError:
            raise InvalidError(
                f"there is no schema {name[:100]!r} of version {version}; is a writer newer than this reader?", "schema"
            ) from None


def _check(name: str, versions: dict[int, Any]) -> None:
    if sorted(versions) != list(range(1, len(versions) + 1)):
        raise InvalidError(f"{name} has the versions {sorted(versions)}; number them 1, 2, 3 without a gap", name)
    for older, newer in combinations(sorted(versions), 2):
        problems = incompatibilities(versions[older], versions[newer])
        if problems:
            raise InvalidError(f"{name}: v{older} and v{newer} cannot read each other: {'; '.join(problems)}", name)
