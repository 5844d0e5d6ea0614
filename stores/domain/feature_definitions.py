"""What a feature means: its type, how it is made, what it rests on and which values are right."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from stores.domain.checks import check_object, check_text, check_texts
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime

MAX_NAME = 100
MAX_LOGIC = 65_536
MAX_PROSE = 10_000
MAX_DEPENDENCIES = 1000


class FeatureType(StrEnum):
    """What kind of thing a feature is."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    TEXT = "text"
    VECTOR = "vector"


class DataType(StrEnum):
    """How a feature's value is held."""

    FLOAT = "float"
    INT = "int"
    STRING = "string"
    ARRAY = "array"


class UpdateFrequency(StrEnum):
    """How often a feature is computed anew."""

    REAL_TIME = "real-time"
    HOURLY = "hourly"
    DAILY = "daily"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDefinition:
    """One feature; its name is its identity. ``computation_logic`` is SQL or Python, or says where that is.

    The last four fields are given by the store and ignored when a definition is registered.
    """

    feature_name: str
    feature_type: FeatureType
    data_type: DataType
    feature_id: UUID = field(default_factory=uuid4, compare=False)
    computation_logic: str | None = None
    dependencies: tuple[str, ...] = ()
    update_frequency: UpdateFrequency | None = None
    validation_rules: dict[str, Any] | None = None
    data_quality_checks: dict[str, Any] | None = None
    description: str | None = None
    business_context: str | None = None
    created_by: UUID | None = None
    is_active: bool = True
    deprecated_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.feature_name, "feature_name", MAX_NAME, blank=False)
        check_text(self.computation_logic, "computation_logic", MAX_LOGIC)
        check_text(self.description, "description", MAX_PROSE)
        check_text(self.business_context, "business_context", MAX_PROSE)
        if len(self.dependencies) > MAX_DEPENDENCIES:
            raise InvalidError(f"more than {MAX_DEPENDENCIES} dependencies; name groups of them", "dependencies")
        check_texts(self.dependencies, "dependencies", MAX_NAME)
        for name in ("validation_rules", "data_quality_checks"):
            if getattr(self, name) is not None:
                check_object(getattr(self, name), name)
