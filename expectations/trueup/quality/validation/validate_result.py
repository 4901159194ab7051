"""What a validation found, apart from the library that finds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from trueup.quality.expectation import Severity

NOT_COMPUTED = "not computed"
"""How the detail of a check begins that the library could not make or finish."""


@dataclass(frozen=True)
class Check:
    """What became of one expectation: `passed` is None where the log cannot tell yet, or the library could not compute it.

    `records` are the records concerned by a failure, at least and at most: None where it is only noted. `share_of`
    is the column whose share of values a feed-level rule is about.
    """

    name: str
    severity: Severity
    passed: bool | None
    looked_at: int
    unexpected: int
    event_ids: tuple[str, ...]
    detail: str
    records: tuple[int, int] | None = None
    share_of: str | None = None


@dataclass(frozen=True)
class Validated:
    """What the library found in a day of a feed (`day` is None for a feed of states), as it was known at a position."""

    stream: str
    source: str
    day: date | None
    position: int
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """What does not hold."""
        return tuple(check for check in self.checks if check.passed is False)
