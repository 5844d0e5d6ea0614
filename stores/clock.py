"""The clock, so that time is passed in and never read in the middle of a decision."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The aware time of now, in UTC."""
    return datetime.now(UTC)
