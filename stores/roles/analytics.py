"""The role of analytics: what users did and how predictions came out, counted for dashboards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from uuid import UUID

    from stores.domain.analytics import (
        ActivityHour,
        DailyMetrics,
        ModelHour,
        PredictionEvent,
        PredictionOutcome,
        Ranked,
        UserEvent,
    )


class Analytics(Protocol):
    """Takes what happened at any rate and answers with hourly and daily figures.

    When a ``record_`` or ``upsert_`` call returns, what it was given is on this machine's disk: it survives the kill -9
    of this process and any absence of the server, and arrives there once, also where a delivery's outcome was unknown.
    A call that raises has recorded nothing, except for OutcomeUnknownError. All rows of one call are recorded, or none.
    Raises OverloadedError when the disk or the journal's bound is full; nothing is ever dropped to make room. What is
    recorded is seen by reads once it was delivered, within seconds; `flush` waits for that.

    Everything has an identity (``event_id``, ``prediction_id``, ``metric_date``): what is recorded again, by any
    process and however much later, counts once. Outcomes may be repeated, corrected and come in any order, before or
    after their prediction: of each prediction the one with the latest ``received_at`` counts. Times: ``since`` is
    included, ``until`` is not; hours are those of UTC.

    Reads raise TransientError while the server does not answer. Belongs to one event loop; any number of callers.
    """

    @property
    def bytes_waiting(self) -> int:
        """What is on disk and not delivered, with what was refused for good: it grows while the server is away."""
        ...

    async def record_events(self, events: Sequence[UserEvent]) -> None:
        """Count what users did."""
        ...

    async def record_predictions(self, predictions: Sequence[PredictionEvent]) -> None:
        """Count predictions that were given."""
        ...

    async def record_outcomes(self, outcomes: Sequence[PredictionOutcome]) -> None:
        """Set how predictions came out. Idempotent; corrects what was set before."""
        ...

    async def upsert_daily_metrics(self, metrics: DailyMetrics) -> None:
        """Set the figures of a day; those set last are the day's."""
        ...

    async def model_performance(
        self, since: datetime, until: datetime, model_version: str | None = None
    ) -> tuple[ModelHour, ...]:
        """Every hour that overlaps the range, of one model version or of all: by hour, then version."""
        ...

    async def user_activity(
        self, since: datetime, until: datetime, user_id: UUID | None = None
    ) -> tuple[ActivityHour, ...]:
        """Every hour that overlaps the range, of one user or of all together: by hour, then type."""
        ...

    async def daily_metrics(self, first: date, last: date) -> tuple[DailyMetrics, ...]:
        """The days from ``first`` to ``last``, both included, that have figures, in order."""
        ...

    async def top_players(self, since: datetime, until: datetime, limit: int = 10) -> tuple[Ranked, ...]:
        """The players most often asked for, at most 1000: the first is the most frequent; ties by name."""
        ...

    async def top_tournaments(self, since: datetime, until: datetime, limit: int = 10) -> tuple[Ranked, ...]:
        """The tournaments most often asked for, as `top_players`."""
        ...

    async def flush(self, timeout_s: float) -> None:
        """Wait until what was recorded before has been delivered. Raises TransientError after the timeout."""
        ...

    async def close(self) -> None:
        """Stop delivering and let the journal go. What was not delivered stays on disk for the next. Idempotent."""
        ...
