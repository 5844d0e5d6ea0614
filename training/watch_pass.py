"""One pass over the model that answers: watch it, and train again where the watch says so and there is newer data."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.retrain import retrain_on_newer
from training.watch import watch_settings
from training.watch_schedule import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from stores.settings import Settings
    from training.release import Release
    from training.watch import WatchReport


@dataclass(frozen=True, slots=True)
class WatchPassReport:
    """What the watch found, and the version that was trained upon it, if one was."""

    watched: WatchReport
    trained: Release | None

    @property
    def verdict(self) -> Verdict:
        """The pass in words."""
        version, reason = self.watched.model_version, self.watched.retrain
        if reason is None:
            return Verdict(version, "no need to train")
        if self.trained is None:
            return Verdict(version, f"{reason}; no newer data than the newest version has seen")
        record, report = self.trained.record, self.trained.report
        said = "released" if self.trained.released else f"kept back by the gates ({report.failures[0]})"
        return Verdict(version, f"{reason}; {record.model_version} was trained and {said}")


def run_pass(
    settings: Settings, database_url: str, now: datetime, progress: Callable[[str], None] = lambda _: None
) -> WatchPassReport:
    """Watch the champion, and train if there is a reason and newer data; the gates judge the version. Needs Ray then.

    Idempotent: what was trained on the newest data, released or not, is not trained again. Raises what `watch` and
    `retrain_on_newer` raise.
    """
    progress("watching")
    watched = asyncio.run(watch_settings(settings, now))
    trained = retrain_on_newer(settings, database_url, now, progress) if watched.retrain else None
    return WatchPassReport(watched, trained)
