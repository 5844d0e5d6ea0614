"""Which code runs: a digest that changes when the sources of actors, gateway or stores do, and only then."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CODE = ("actors", "serve_apps", "stores")  # what a replica and a shard run


def code_version() -> str:
    """The digest of the sources as they lie on disk, in hex."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for source in sorted(path for package in _CODE for path in (root / package).rglob("*.py")):
        digest.update(f"{source.relative_to(root)}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:16]
