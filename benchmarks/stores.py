"""Every store beside its naive use: all races of the stores, each on fresh servers, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import analytics_rows, event_log_records, feature_reads, lake_rows, prediction_inserts
from benchmarks.paired import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTS = (prediction_inserts, feature_reads, analytics_rows, event_log_records, lake_rows)


async def races(rounds: int) -> AsyncIterator[dict[str, Any]]:
    """All of them."""
    for part in PARTS:
        async for document in part.races(rounds):
            yield document


if __name__ == "__main__":
    command(__doc__, "benchmarks.stores", races)
