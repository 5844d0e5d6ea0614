"""When the model is watched next, and what became of the passes before: all of it read from PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from stores.clock import utc_now
from stores.domain.audit import AuditEvent, AuditQuery
from stores.domain.models import MODEL_NAME
from stores.domain.time_ids import new_time_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from stores.domain.models import ModelRecord
    from stores.roles.audit_log import AuditLog
    from stores.roles.model_registry import ModelRegistry
    from stores.settings import WatchSettings

ACTION, RESOURCE = "model_watch", "model"  # of the audit trail
REMEMBERED = 16  # passes: beyond so many failures the pause has long been the longest
FIRST_PAUSE = timedelta(minutes=5)  # a store that restarts is back by then
MAX_VERDICT = 300  # a line to read; the log has the rest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPass:
    """A pass that ended: the watch, and the training that it asked for. ``verdict`` says what came of it, or why not.

    ``model_version`` is the version that was watched, None where the pass failed.
    """

    ended_at: datetime
    success: bool
    verdict: str
    model_version: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pass came to, in words, for the version that it watched."""

    model_version: str
    text: str

    def at(self, now: datetime) -> WatchPass:
        """The pass that ended with it then."""
        return WatchPass(ended_at=now, success=True, verdict=self.text[:MAX_VERDICT], model_version=self.model_version)


def next_pass_at(passes: Sequence[WatchPass], champion_since: datetime | None, plan: WatchSettings) -> datetime | None:
    """When to watch next; None is at once. ``passes`` are the last ones, the newest first.

    A day (``plan.every_s``) after the last pass that ended well, or after the champion came, whom the gates had judged
    then. After a failure sooner: the pause doubles with each, and is never longer than a day.
    """
    every = timedelta(seconds=plan.every_s)
    failures = len(list(takewhile(lambda it: not it.success, passes)))
    if failures:
        pause: timedelta = FIRST_PAUSE * 2 ** (failures - 1)
        return passes[0].ended_at + min(pause, every)
    seen = [moment for moment in (passes[0].ended_at if passes else None, champion_since) if moment is not None]
    return max(seen) + every if seen else None


class WatchTrail:
    """The passes in the audit trail: whoever asks, from whatever machine, reads the same."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def add(self, done: WatchPass) -> None:
        """Store a pass; durable when it returns."""
        await self._audit.record(
            AuditEvent(
                log_id=new_time_id(done.ended_at),
                action=ACTION,
                success=done.success,
                resource_type=RESOURCE,
                event_data={"verdict": done.verdict, "model_version": done.model_version},
                error_message=None if done.success else done.verdict,
            )
        )

    async def last(self) -> tuple[WatchPass, ...]:
        """The last passes, the newest first."""
        page = await self._audit.search(AuditQuery(action=ACTION, resource_type=RESOURCE), REMEMBERED)
        return tuple(
            WatchPass(
                ended_at=event.created_at,
                success=event.success,
                verdict=(event.event_data or {}).get("verdict", ""),
                model_version=(event.event_data or {}).get("model_version"),
            )
            for event in page.events
        )


class WatchSchedule:
    """Runs a pass when it is due.

    Guarantee: nothing is remembered here. A schedule that dies in the middle of a pass leaves no trace of it, so that
    its successor finds it due again; a pass repeats without harm. A pass that fails is logged, recorded, and due again
    after a pause.
    """

    def __init__(
        self,
        plan: WatchSettings,
        registry: ModelRegistry,
        trail: WatchTrail,
        run: Callable[[], Verdict],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._plan = plan
        self._registry = registry
        self._trail = trail
        self._run = run
        self._clock = clock

    async def step(self) -> datetime:
        """Run the pass if it is due; when the next one is. Raises what the database raises, and nothing of the pass."""
        champion = await self._registry.production(MODEL_NAME)
        passes = await self._trail.last()
        due = next_pass_at(passes, since(champion), self._plan)
        if due is not None and self._clock() < due:
            return due
        done = await self._pass()
        await self._trail.add(done)
        champion = await self._registry.production(MODEL_NAME)
        return next_pass_at((done, *passes), since(champion), self._plan) or done.ended_at

    async def _pass(self) -> WatchPass:
        try:
            verdict = await asyncio.to_thread(self._run)
            return verdict.at(self._clock())
        except Exception as error:  # noqa: BLE001 — whatever it is, the schedule goes on
            _log.exception("the watch of the model failed; it is tried again later")
            return WatchPass(ended_at=self._clock(), success=False, verdict=_reason(error))


def since(champion: ModelRecord | None) -> datetime | None:
    """When the champion began to answer."""
    return None if champion is None else champion.deployed_at or champion.trained_at


def _reason(error: Exception) -> str:
    first, *_ = str(error).splitlines() or [""]
    plain = first.replace("\0", " ").encode("utf-8", "replace").decode()
    return f"{type(error).__name__}: {plain}"[:MAX_VERDICT]
