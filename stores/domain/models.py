"""What is known of a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from stores.domain.checks import check_object, check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

MODEL_NAME = "player-props"  # the model that training releases and serving answers with
SYSTEM = "riftline"  # the actor where no person is named
MAX_ACTOR = 255
MAX_REASON = 2000


class DeploymentStatus(StrEnum):
    """Where a model version stands in its life."""

    TRAINING = "training"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"


class Alias(StrEnum):
    """What a version is to its name: it answers, it is tried against the one that answers, or it answers unseen.

    The champion is the version in production and nothing else; challenger and shadow are in staging.
    """

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"


class TransitionKind(StrEnum):
    """How an alias moved: on to a version that was chosen, or back to the champion of before."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """One version of a model. Name and version are its identity; only the deployment changes after registration.

    ``checksum`` is the sha256 of the artefact's manifest in hex; the mappings hold JSON values (no NaN).
    The last five fields are given by the registry and ignored when a record is registered.
    """

    model_name: str
    model_version: str
    framework: str
    algorithm: str
    hyperparameters: Mapping[str, Any]
    feature_schema: Mapping[str, Any]
    feature_version: str
    training_metrics: Mapping[str, Any]
    model_artifact_path: str
    model_size_bytes: int
    checksum: str
    lake_snapshot_id: int
    trained_at: datetime
    model_type: str = "prediction"
    training_accuracy: float | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    deployment_status: DeploymentStatus = DeploymentStatus.TRAINING
    deployment_percentage: float = 0.0
    created_by: UUID | None = None
    model_id: UUID | None = None
    deployed_at: datetime | None = None
    deprecated_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alias that moved from one version (None: from none) to another: who moved it, why, and what the gates said.

    ``gates`` is their report as JSON, None when none ran. ``forced`` tells that the gates were overridden, or left out
    for a champion; a rollback asks for none. ``left_alias`` is what the version was before: it is that no more.
    """

    model_name: str
    alias: Alias
    kind: TransitionKind
    from_version: str | None
    to_version: str
    actor: str
    reason: str
    gates: Mapping[str, Any] | None = None
    left_alias: Alias | None = None
    forced: bool
    created_at: datetime

    def __post_init__(self) -> None:
        check_text(self.actor, "actor", MAX_ACTOR, blank=False)
        check_text(self.reason, "reason", MAX_REASON)
        if self.gates is not None:
            check_object(self.gates, "gates")
        if self.left_alias is Alias.CHAMPION:
            raise InvalidError(f"{self.to_version} is the champion; promote another version to champion first", "alias")


def champions(transitions: Iterable[Transition], current: str) -> tuple[str, ...]:
    """The champions that rollbacks walk back through, ``current`` last; ``transitions`` of champions, the oldest first.

    A promotion adds a version and a rollback takes one away, so that repeated rollbacks go further back. A version that
    came into production unrecorded (before there was a record, by an older program) counts as promoted.
    """
    stack: list[str] = []
    for one in transitions:
        if one.from_version is not None:
            _push(stack, one.from_version)
        if one.kind is TransitionKind.ROLLBACK:
            stack.pop()
        else:
            stack.append(one.to_version)
    _push(stack, current)
    return tuple(stack)


def _push(stack: list[str], version: str) -> None:
    if stack[-1:] != [version]:
        stack.append(version)
