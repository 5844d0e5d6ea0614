"""Releases a version: the gates judge it beside the champion, and the alias moves only if they agree."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stores.features.schema import FEATURE_VERSION
from training.gates import judge_versions

if TYPE_CHECKING:
    from stores.domain.models import ModelRecord
    from stores.roles.artifacts import Artifacts
    from stores.roles.model_registry import ModelRegistry
    from training.gate_report import GateReport

# What no version may fail: it could not answer, or what it says of itself is false.
VITAL = ("artefact", "features", "ensemble", "leak: time")


@dataclass(frozen=True, slots=True)
class Release:
    """What became of a trained version. ``champion`` answers now; it is None if nothing may."""

    record: ModelRecord
    champion: ModelRecord | None
    report: GateReport

    @property
    def released(self) -> bool:
        """Whether the version became the champion."""
        return self.champion is not None and self.champion.model_version == self.record.model_version


async def release(registry: ModelRegistry, artifacts: Artifacts, record: ModelRecord) -> Release:
    """Promote a registered version if the gates pass it.

    Where nothing else can answer (no champion, or one of other features) a version that fails a gate answers all the
    same, forced and recorded so, unless the gate is one of VITAL. Raises ConflictError if the champion changed
    meanwhile.
    """
    champion = await registry.production(record.model_name)
    report = await asyncio.to_thread(judge_versions, record, champion, artifacts)
    alone = champion is None or champion.feature_version != FEATURE_VERSION
    sound = all(check.passed for check in report.checks if check.name in VITAL)
    if not report.passed and not (alone and sound):
        return Release(record, champion, report)
    promoted = await registry.promote(
        record.model_name,
        record.model_version,
        actor="training",
        reason=f"trained on lake snapshot {record.lake_snapshot_id}"
        + ("" if report.passed else "; released in spite of the gates, since nothing else can answer"),
        gates=report.to_json(),
        force=not report.passed,
        expected_champion=champion.model_version if champion else None,
    )
    return Release(record, promoted, report)
