"""Which code runs: a digest that changes when the sources of the packages do, and only then."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_CODE = ("actors", "serve_apps", "stores")  # what a replica and a shard run


@cache
def code_version(packages: tuple[str, ...] = _CODE) -> str:
    """The digest in hex, taken once per process, so that all that one command starts agrees."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for source in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        digest.update(f"{source.relative_to(root)}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:16]
