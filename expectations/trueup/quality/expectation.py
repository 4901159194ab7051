"""One expectation: the condition that a stream must meet, the reason for it, and the consequence of a failure.

An expectation uses the vocabulary of Great Expectations: the name of one of its types and that type's own arguments. The
collectors run a row rule without importing that library (`row_rules.py`); validation of whole days hands the same expectation to it
(`validate.py`). A property test holds the two to the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["quarantine", "block", "mark", "note"]
"""The consequence of a failure: the record is quarantined, or the day is blocked, marked as provisional or only noted."""


@dataclass(frozen=True)
class Fact:
    """An argument whose value comes from the log, such as the nodes known so far: see `history_facts.py`."""

    name: str


@dataclass(frozen=True)
class Expectation:
    """A condition that a stream must meet.

    Parameters
    ----------
    name:
        The name, unique within a stream.
    stream:
        The stream whose rows it checks; `source` limits it to one feed of the stream.
    type:
        A type of Great Expectations, such as `expect_column_values_to_be_between`.
    arguments:
        The arguments of that type, over columns of the log.
    severity:
        The consequence of a failure.
    notes:
        Why the expectation exists, and which money depends on it.
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
        """The column that it checks; None for several columns or none."""
        found = self.arguments.get("column")
        return None if found is None else str(found)

    @property
    def rule(self) -> str:
        """The name of the rule in quarantine."""
        return f"{self.column or self.arguments.get('column_A') or self.stream}: {self.name}"
