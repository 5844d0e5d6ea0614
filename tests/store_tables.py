"""The tables of ``docs/stores.md``, made from the code: `make docs` writes them, a test compares them."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stores.clickhouse.rows import TABLES as CLICKHOUSE_TABLES
from stores.domain.measurements import MEASUREMENTS
from stores.events.topics import ALL_TOPICS
from stores.features.tables import ALL_TABLES
from stores.postgres import embedded
from stores.postgres.migrate import migrate
from stores.postgres.pool import open_pool
from stores.redis_store.event_keys import FAMILIES as EVENT_FAMILIES
from stores.redis_store.keys import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stores.postgres.pool import Pool

PAGE = Path(__file__).resolve().parents[1] / "docs" / "stores.md"
_SECTION = re.compile(r"(<!-- tables: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables between its marks. Raises KeyError for a mark without a table."""
    return _SECTION.sub(lambda match: f"{match[1]}{tables[match[2]]}{match[3]}", page)


async def store_tables(pool: Pool) -> dict[str, str]:
    """The table of every section; ``pool`` leads to a migrated database."""
    return {
        "postgres": await _postgres(pool),
        "redis": _rows(
            ("key", "type", "lifetime", "holds"),
            [(f"`{one.pattern}`", one.type, _lifetime(one.ttl_s), one.what) for one in (*FAMILIES, *EVENT_FAMILIES)],
        ),
        "clickhouse": _rows(
            ("table or view", "columns"),
            [(f"`{name}`", ", ".join(columns)) for name, columns in CLICKHOUSE_TABLES.items()],
        ),
        "time_series": _rows(
            ("measurement", "tags", "fields"),
            [
                (f"`{one.name}`", _names(one.tags), ", ".join(f"{field.name} ({field.unit})" for field in one.fields))
                for one in MEASUREMENTS
            ],
        ),
        "event_log": _rows(
            ("topic", "keyed by", "partitions", "kept"),
            [(f"`{one.name}`", one.keyed_by, str(one.partitions), f"{one.retention.days} days") for one in ALL_TOPICS],
        ),
        "lake": _rows(
            ("table", "partitioned by", "columns"),
            [
                (
                    f"`{one.identifier}`",
                    ", ".join(column if str(by) == "identity" else f"{by}({column})" for column, by in one.partitions),
                    ", ".join(one.schema.names),
                )
                for one in ALL_TABLES
            ],
        ),
    }


async def _postgres(pool: Pool) -> str:
    async with pool.transaction() as connection:
        rows = await connection.fetch(
            "SELECT relname, pg_get_partkeydef(oid) AS partitions,"
            " (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute"
            "  WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped) AS columns"
            " FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> 'schema_migrations' ORDER BY relname"
        )
    return _rows(
        ("table", "partitioned by", "columns"),
        [(f"`{row['relname']}`", (row["partitions"] or "").lower(), row["columns"]) for row in rows],
    )


def _names(things: Sequence[object]) -> str:
    return ", ".join(thing.name for thing in things)  # type: ignore[attr-defined]


def _lifetime(ttl_s: int | None) -> str:
    if ttl_s is None:
        return ""
    return f"{ttl_s // 3600} h" if ttl_s % 3600 == 0 else f"{ttl_s // 60} min"


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


async def _fill() -> None:
    home = Path(tempfile.mkdtemp(prefix="rift-", dir="/tmp"))
    try:
        pool = await open_pool(embedded.start(home / "pg"), 1)
        await migrate(pool)
        tables = await store_tables(pool)
        await pool.close()
    finally:
        embedded.stop(home / "pg")
        shutil.rmtree(home)
    PAGE.write_text(filled(PAGE.read_text(), tables))


if __name__ == "__main__":
    asyncio.run(_fill())
