"""The tables of docs/stores.md are those of the code, and every name of the sources stands on that page."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from tests.store_tables import PAGE, filled, store_tables

SOURCES = Path(os.environ.get("RIFTLINE_TEST_SEEDS", Path(__file__).resolve().parents[3] / "shared" / "seeds"))
NAMED = (
    re.compile(r"CREATE (?:MATERIALIZED VIEW|TABLE)(?: IF NOT EXISTS)? (?:lol_datalake\.)?([a-z_]+[a-z])\b"),
    re.compile(r"# Key: ([a-z_]+:)"),
    re.compile(r"(?:Measurement|measurement): \"?([a-z_]+)"),
    re.compile(r"^- `([a-z]+-[a-z]+)`: ", re.MULTILINE),  # topics
    re.compile(r"^([a-z_]+) \((?:id|session_id|user_id|match_id), ", re.MULTILINE),
    re.compile(r"^([a-z_]+): \{$", re.MULTILINE),  # collections
)


async def test_the_page_is_what_the_code_says() -> None:
    """`make docs` writes it again."""
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    try:
        pool = await open_pool(embedded.start(home / "pg"), 1)
        await migrate(pool)
        page = PAGE.read_text()
        assert filled(page, await store_tables(pool)) == page, "run `make docs`"
        await pool.close()
    finally:
        embedded.stop(home / "pg")
        shutil.rmtree(home)


def test_every_name_of_the_sources_is_on_the_page() -> None:
    """Tables, key families, measurements, topics and collections: as they are, or with what carries their duty."""
    if not SOURCES.is_dir():
        pytest.skip(f"the source documents are not at {SOURCES}: set RIFTLINE_TEST_SEEDS")
    page = PAGE.read_text()
    names = {
        name.rstrip("_")
        for file in SOURCES.glob("*.md")
        for pattern in NAMED
        for name in pattern.findall(file.read_text())
    }
    assert len(names) > 50
    assert {name for name in names if name not in page} == set()
