"""What a validation found, apart from the library that finds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from trueup.quality.expectation import Severity


@dataclass(frozen=True)
class Check:
    """What became of one expectation: `passed` is None where the log cannot tell yet, or the library could not compute it."""

    name: str
    severity: Severity
    passed: bool | None
    looked_at: int
    unexpected: int
    event_ids: tuple[str, ...]
    detail: str


@dataclass(frozen=True)
class Validated:
    """What the library found in a day of a stream (`day` is None for a stream of states)."""

    stream: str
    day: date | None
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """What does not hold."""
        return tuple(check for check in self.checks if check.passed is False)
