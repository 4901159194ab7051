"""Evidence: how many values of a sample support a proposed setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fit:
    """A count of values that fit, out of a number of values."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """The part of the values that fit; 0 without values."""
        return self.count / self.of if self.of else 0.0

    @property
    def is_full(self) -> bool:
        """Whether there are values and all of them fit."""
        return self.of > 0 and self.count == self.of

    def __str__(self) -> str:
        return f"{self.count:,} of {self.of:,}"


@dataclass(frozen=True)
class Line:
    """One proposed line of a TOML table: key, value, the evidence for it, and whether a person should check it.

    `evidence` becomes the comment after the value. A line with `check` rests on evidence below 100 %, or on none. A line whose
    value is None is written as a comment, because a person must supply the value.
    """

    key: str
    value: object
    evidence: str = ""
    check: bool = False


def supported(key: str, value: object, fit: Fit, what: str) -> Line:
    """Return a line that the values of a sample support; where some value contradicts it, a person should check the line."""
    return Line(key, value, f"{fit} {what}", check=not fit.is_full)


def assumed(key: str, value: object, reason: str) -> Line:
    """Return a line whose value the sample cannot show."""
    return Line(key, value, reason, check=True)
