"""What is known of a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

MODEL_NAME = "player-props"  # the model that training releases and serving answers with


class DeploymentStatus(StrEnum):
    """Where a model version stands in its life."""

    TRAINING = "training"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"


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
