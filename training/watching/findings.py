"""What a watch found, and how often it would find as much where nothing has changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class DriftKind(StrEnum):
    """What may drift. A stability index is there to be read: it takes no part in the alarm."""

    FEATURE = "feature"
    STABILITY = "stability"
    PREDICTION = "prediction"
    CALIBRATION = "calibration"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """One statistic of ``n_rows`` rows of ``n_series`` series, and what it is compared with.

    The threshold and the p-value hold for the whole family of findings that were tested together. All three numbers
    are None where there was too little to test, and ``note`` says what was missing.
    """

    kind: DriftKind
    name: str
    statistic: float | None
    threshold: float | None
    p_value: float | None
    alarm: bool
    n_rows: int
    n_series: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The findings of one watch. Without any drift the chance of an alarm is at most ``false_alarm_rate``."""

    findings: tuple[DriftFinding, ...]
    false_alarm_rate: float

    @property
    def alarm(self) -> bool:
        """Whether anything has drifted."""
        return any(finding.alarm for finding in self.findings)

    def of(self, *kinds: DriftKind) -> tuple[DriftFinding, ...]:
        """The findings of these kinds."""
        return tuple(finding for finding in self.findings if finding.kind in kinds)

    def score(self, *kinds: DriftKind) -> float | None:
        """The largest statistic of these kinds in units of its threshold, so that 1 is the alarm; None if untested."""
        found = [it.statistic / it.threshold for it in self.of(*kinds) if it.statistic is not None and it.threshold]
        return max(0.0, *found) if found else None

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "alarm": self.alarm,
            "false_alarm_rate": self.false_alarm_rate,
            "findings": [asdict(finding) for finding in self.findings],
        }
