"""What operators set while the system runs: feature flags, settings and secrets, each per environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from stores.domain.checks import check_json, check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime

PRODUCTION = "production"
MAX_ENVIRONMENT = 20
MAX_KEY = 100
MAX_DESCRIPTION = 10_000


class ConfigType(StrEnum):
    """What a configuration is for."""

    FEATURE_FLAG = "feature_flag"
    SETTING = "setting"
    SECRET = "secret"  # noqa: S105  # a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One entry; environment and key are its identity. ``config_value`` is any JSON value but null.

    The value may be a secret, so it is never shown: not in ``repr``, not in an error. ``version`` counts the writes
    from 1; it and the times are given by the store.
    """

    config_key: str
    config_value: Any = field(repr=False)
    config_type: ConfigType
    environment: str = PRODUCTION
    config_id: UUID = field(default_factory=uuid4, compare=False)
    is_active: bool = True
    description: str | None = None
    last_modified_by: UUID | None = None
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.config_key, "config_key", MAX_KEY, blank=False)
        check_text(self.environment, "environment", MAX_ENVIRONMENT, blank=False)
        check_text(self.description, "description", MAX_DESCRIPTION)
        if self.config_value is None:
            raise InvalidError("config_value is null; give a value or make the entry inactive", "config_value")
        check_json(self.config_value, "config_value")
