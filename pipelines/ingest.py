"""The whole way of match files: bronze, silver, gold. Every step is idempotent, so an interrupted run is run again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.bronze import add_to_bronze, forget_simulated
from pipelines.gold import GoldReport, refresh_gold
from pipelines.reading import FileOutcome, FileReport
from pipelines.season.export import is_simulated
from pipelines.silver import SilverReport, refresh_silver
from pipelines.sources import discover
from stores.errors import InvalidError
from stores.features.tables import ALL_TABLES

if TYPE_CHECKING:
    from datetime import datetime

    from stores.roles.lake import Lake


class Progress(Protocol):
    """Hears how far a long piece of work is."""

    def __call__(self, step: str, done: int, of: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What came in and where it went."""

    files: tuple[FileReport, ...]
    silver: SilverReport
    gold: GoldReport

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """The files that could not be read; the lake holds nothing of them."""
        return tuple(file for file in self.files if file.outcome is FileOutcome.FAILED)

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {**asdict(self), "rows_in": self.silver.rows_in}


def ingest(lake: Lake, location: str, now: datetime, progress: Progress) -> IngestReport:
    """Bring the match files of a location into the lake, and refresh what is made from them.

    Real files take the place of the simulated season: a model never learns from both. Raises InvalidError if there is
    no file or none can be read; then the lake is unchanged.
    """
    sources = discover(location)
    lake.ensure(ALL_TABLES)
    files = add_to_bronze(lake, sources, now, lambda done, of: progress("reading files", done, of))
    if all(file.outcome is FileOutcome.FAILED for file in files):
        reasons = "\n".join(f"  {file.source}: {file.error}" for file in files)
        raise InvalidError(f"none of the {len(files)} files could be read, the lake is unchanged:\n{reasons}", "--data")
    if any(file.outcome is FileOutcome.INGESTED and not is_simulated(file.source) for file in files):
        forget_simulated(lake)
    silver, gold = refresh(lake, progress)
    return IngestReport(tuple(files), silver, gold)


def refresh(lake: Lake, progress: Progress) -> tuple[SilverReport, GoldReport]:
    """Make silver and gold again from what lies below, where that or the rules have changed. Raises NotFoundError."""
    progress("cleaning and resolving", 0, 1)
    silver = refresh_silver(lake)
    progress("cleaning and resolving", 1, 1)
    progress("computing features", 0, 1)
    gold = refresh_gold(lake)
    progress("computing features", 1, 1)
    return silver, gold
