"""One expectation: what must hold of a stream, why, and what becomes of what breaks it.

An expectation is told in the words of Great Expectations: the name of one of its types and that type's own arguments. The
collectors run a row rule without importing that library (`compiled.py`); validation of whole days hands the same words to it
(`validate.py`). A property test holds the two to the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["quarantine", "block", "mark", "note"]
"""What follows from a failure: the record is kept apart; the day is not reconciled; the day is provisional; it is told."""


@dataclass(frozen=True)
class Fact:
    """An argument that only the log can tell, such as the nodes known so far: `facts.py` finds its value."""

    name: str


@dataclass(frozen=True)
class Expectation:
    """What must hold of a stream.

    Parameters
    ----------
    name:
        What people call it; unique within a stream.
    stream:
        Whose rows it is about; `source` limits it to one feed of the stream.
    type:
        A type of Great Expectations, such as `expect_column_values_to_be_between`.
    arguments:
        That type's arguments, over columns of the log.
    severity:
        What follows from a failure.
    notes:
        Why it exists and what money hangs on it.
    """

    name: str
    stream: str
    type: str
    arguments: Mapping[str, Any]
    severity: Severity
    notes: str
    source: str | None = None

    @property
    def column(self) -> str | None:
        """The column it is about, None for several or none."""
        found = self.arguments.get("column")
        return None if found is None else str(found)

    @property
    def rule(self) -> str:
        """How quarantine names it."""
        return f"{self.column or self.arguments.get('column_A') or self.stream}: {self.name}"
