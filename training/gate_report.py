"""What the release gates found: one line per check, each with the reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check. ``measured`` and ``bound`` are in the unit that ``reason`` names, None where nothing is measured."""

    name: str
    passed: bool
    measured: float | None
    bound: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """All checks of a candidate; it may be released when every one passed."""

    checks: tuple[GateCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether the candidate may be released."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Why not: one sentence per failed check, with its name."""
        return tuple(f"{check.name}: {check.reason}" for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, object]:
        """The report for machines; every number is finite."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}
