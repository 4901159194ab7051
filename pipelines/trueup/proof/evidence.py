"""Input and result of checks: the open lake with archive folders, and the faults that a check finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueup.log.lake import Lake
from trueup.proof.fault import Fault
from trueup.proof.statements import statement

MAX_NAMED_FAULTS = 20
"""Number of faults of one kind that a check names; it counts the others."""


@dataclass(frozen=True)
class Evidence:
    """The open lake, and the folders in which archived raw files are searched by their SHA-256."""

    lake: Lake
    archives: tuple[Path, ...] = ()
    damaged: set[int] = field(default_factory=set)
    """DuckLake numbers of data files that a check could not read."""

    def rows(self, name: str, values: Mapping[str, object] | Sequence[object] = (), **parts: str) -> list[dict[str, Any]]:
        """Return all rows of a statement of this package; it suits small tables."""
        query = self.lake.connection.execute(statement(name, **parts), values)
        names = [column[0] for column in query.description]
        return [dict(zip(names, row, strict=True)) for row in query.fetchall()]

    def stream(self, query: str, values: Mapping[str, object] | Sequence[object] = ()) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query over any number of rows, read in batches."""
        reader = self.lake.connection.execute(query, values).to_arrow_reader(10_000)
        for batch in reader:
            yield from batch.to_pylist()


@dataclass(frozen=True)
class Check:
    """Result of one check.

    `compared` is the number of compared items, `unit` the word for one item. `not_made` is the reason why the check was not made or
    not finished. `notes` are unproven points that are not faults, such as a unit whose mapping was not recorded.
    """

    name: str
    compared: int
    unit: str
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    not_made: str = ""


@dataclass
class FaultCollector:
    """Collector of a check's faults: it names the first faults of each kind, and counts the others."""

    check: str
    faults: list[Fault] = field(default_factory=list)
    _omitted: dict[tuple[str, str], int] = field(default_factory=dict)
    _named: dict[tuple[str, str], int] = field(default_factory=dict)

    def tampered(self, where: str, detail: str, *, kind_of: str = "") -> None:
        """Add a fault of differing content; of faults with the same `kind_of` (a unit, a table) `MAX_NAMED_FAULTS` are named."""
        self._add_fault(Fault("tampered", self.check, where, detail), kind_of)

    def unavailable(self, where: str, detail: str) -> None:
        """Add a fault of evidence that cannot be read."""
        self._add_fault(Fault("unavailable", self.check, where, detail), where)

    def all(self) -> tuple[Fault, ...]:
        """Return the faults, and for each kind the number of further faults."""
        more = [
            Fault("tampered", self.check, where, f"{count} more like these")
            for (where, _), count in self._omitted.items()
        ]  # fmt: skip
        return (*self.faults, *more)

    def _add_fault(self, fault: Fault, kind_of: str) -> None:
        key = (kind_of or self.check, fault.kind)
        self._named[key] = self._named.get(key, 0) + 1
        if self._named[key] > MAX_NAMED_FAULTS:
            self._omitted[key] = self._omitted.get(key, 0) + 1
        else:
            self.faults.append(fault)


def join_words(values: Iterable[object]) -> str:
    """Return values as one text: `a, b and c`."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def format_value(value: object) -> str:
    """Return a value for a sentence: bytes that are not text as hex digits."""
    if isinstance(value, bytes):
        return value.hex() if len(value) == 16 else repr(value.decode("utf-8", "backslashreplace"))
    return "NULL" if value is None else repr(value) if isinstance(value, str) else str(value)
