"""The numbers that serving needs of a player, a team or a tournament, as a shared cache keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.checks import check_aware, check_text
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

MAX_VALUES = 4096
MAX_NAME = 256
MAX_SUMMARY = 32
MAX_SUMMARY_TEXT = 1024
MAX_VERSION = 64


class FeatureKind(StrEnum):
    """Whose features they are."""

    PLAYER = "player"
    TEAM = "team"
    TOURNAMENT = "tournament"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HotFeatures:
    """The vector of one name, float64 of shape [n] in the order of its ``feature_version``; it may hold NaN.

    ``summary`` is for people who look into the store (``avg_kills`` and the like); it is written, not read back.
    """

    name: str
    values: NDArray[np.float64]
    feature_version: str
    updated_at: datetime
    summary: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text(self.name, "name", MAX_NAME, blank=False)
        if self.values.dtype != np.float64 or self.values.ndim != 1:
            raise InvalidError("values is no vector of float64; give float64 of shape [n]", "values")
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise InvalidError(f"values has {len(self.values)} numbers; give 1 to {MAX_VALUES}", "values")
        check_text(self.feature_version, "feature_version", MAX_VERSION, blank=False)
        check_aware(self.updated_at, "updated_at")
        if len(self.summary) > MAX_SUMMARY:
            raise InvalidError(f"summary has {len(self.summary)} entries; at most {MAX_SUMMARY}", "summary")
        for key, value in self.summary.items():
            check_text(key, "summary (a key)", MAX_NAME, blank=False)
            check_text(str(value), f"summary.{key}", MAX_SUMMARY_TEXT)
