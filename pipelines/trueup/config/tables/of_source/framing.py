"""`[source.framing]`: the header and trailer records of a text file."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from trueup.config.values import Pattern, Table, pattern_groups

RECORDS = "records"
"""Name of the pattern group that finds the declared number of records."""

SUMMED = ("quantity", "amount")
"""Names of the pattern groups that find declared sums, each the name of its event column."""


class FramingConfig(Table):
    """`[source.framing]`: regular expressions that find the header and trailer records of a text file, line by line.

    `header` finds the first lines of the file, `trailer` its last ones; such lines are not records. In both, a group `records`
    finds the number of records that the sender declares. A group `quantity` or `amount` finds the sum of that column.
    """

    header: Pattern | None = None
    """A regular expression that finds the lines before the first record."""
    trailer: Pattern | None = None
    """A regular expression that finds the last lines; a file without them is refused."""

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        if self.header is None and self.trailer is None:
            raise ValueError("set `header`, `trailer` or both")
        for name in sorted(self.groups - {RECORDS, *SUMMED}):
            raise ValueError(f"a pattern has the unknown group {name!r}; it may have {', '.join((RECORDS, *SUMMED))}")
        return self

    @property
    def sums(self) -> tuple[str, ...]:
        """Event columns whose sum the sender declares."""
        return tuple(name for name in SUMMED if name in self.groups)

    @property
    def groups(self) -> set[str]:
        """Names of the groups of both patterns."""
        return set().union(*(pattern_groups(pattern) for pattern in (self.header, self.trailer) if pattern is not None))
