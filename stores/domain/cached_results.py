"""Answers and curves as a cache keeps them: enough to answer again, marked with the model that gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from stores.domain.checks import check_number, check_text, check_texts
from stores.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from stores.domain.props import DataTier, Side

T_co = TypeVar("T_co", covariant=True)

MAX_VERSION = 255
MAX_WARNING = 1024
MAX_WARNINGS = 50
MAX_POINTS = 1000
MAX_STAT = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAnswer:
    """What was answered to one question. Confidences and the push probability are in %, the interval covers 80%."""

    prediction: Side
    confidence: float
    base_model_confidence: float
    push_probability: float
    expected_stat: float
    confidence_interval: tuple[float, float]
    data_tier: DataTier
    model_version: str
    feature_version: str
    lake_snapshot_id: int
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("confidence", "base_model_confidence", "push_probability"):
            check_number(getattr(self, name), name, 0, 100)
        check_number(self.expected_stat, "expected_stat", 0, MAX_STAT)
        for index, bound in enumerate(self.confidence_interval):
            check_number(bound, f"confidence_interval.{index}", 0, MAX_STAT)
        for name in ("model_version", "feature_version"):
            check_text(getattr(self, name), name, MAX_VERSION, blank=False)
        if len(self.warnings) > MAX_WARNINGS:
            raise InvalidError(f"warnings has {len(self.warnings)} entries; at most {MAX_WARNINGS}", "warnings")
        check_texts(self.warnings, "warnings", MAX_WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedCurve:
    """A curve: for each line the side, its confidence in % and the expected count; all of one length."""

    prop_values: tuple[float, ...]
    predictions: tuple[Side, ...]
    confidences: tuple[float, ...]
    expected_stats: tuple[float, ...]
    model_version: str

    def __post_init__(self) -> None:
        points = len(self.prop_values)
        if not 1 <= points <= MAX_POINTS:
            raise InvalidError(f"prop_values has {points} lines; give 1 to {MAX_POINTS}", "prop_values")
        for name, most in (("prop_values", MAX_STAT), ("confidences", 100), ("expected_stats", MAX_STAT)):
            for index, value in enumerate(getattr(self, name)):
                check_number(value, f"{name}.{index}", 0, most)
        for name in ("predictions", "confidences", "expected_stats"):
            if len(getattr(self, name)) != points:
                raise InvalidError(f"{name} has {len(getattr(self, name))} entries for {points} lines", name)
        check_text(self.model_version, "model_version", MAX_VERSION, blank=False)


@dataclass(frozen=True, slots=True)
class Hit(Generic[T_co]):
    """What the cache had. ``refresh``: this caller should compute it anew now, before it expires for everyone."""

    value: T_co
    cached_at: datetime
    refresh: bool
