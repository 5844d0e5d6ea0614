"""Models' files: written once, read only as they were registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stores.domain.artifacts import StoredArtifact


class Artifacts(Protocol):
    """Model versions as sets of named files. A version whose save was interrupted counts as absent."""

    def save(self, version: str, files: Mapping[str, bytes]) -> StoredArtifact:
        """Write the files of a new version. Once it returned, a crash loses nothing.

        Raises ConflictError if the version exists, InvalidError for a version or file name that is no plain name, and
        TransientError if the warehouse did not take it all: the version then counts as absent.
        """
        ...

    def load(self, path: str, checksum: str) -> dict[str, bytes]:
        """The files of an artefact, every byte checked.

        Raises NotFoundError if it is missing, InvalidError if it is not what was registered, and TransientError while
        the warehouse does not answer.
        """
        ...
