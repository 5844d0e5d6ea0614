"""A model's files as they are registered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """Where an artefact lies. ``checksum`` is the sha256 of its manifest, which holds those of all its files."""

    path: str
    size_bytes: int
    checksum: str
