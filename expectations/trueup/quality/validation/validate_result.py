"""Results of a validation, independent of the library that computes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from trueup.quality.expectation import Severity

NOT_COMPUTED = "not computed"
"""Prefix of the detail of a check that the library could not compute."""


@dataclass(frozen=True)
class Check:
    """The result of one expectation: `passed` is None where history is missing, or the library could not compute it.

    `records` are the records concerned by a failure, at least and at most: None where it is only noted. `share_of` is the column
    whose share of present values a feed-level rule checks.
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
    """The checks of a day of a feed (`day` is None for a feed of states), as known at a position."""

    stream: str
    source: str
    day: date | None
    position: int
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)
