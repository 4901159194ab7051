"""What every check reads: the open lake and the folders of archived raw files; and what a check returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueup.log.lake import Lake
from trueup.proof.fault import Fault
from trueup.proof.statements import statement

SHOWN = 20
"""How many faults of one kind a check names; it counts the others."""


@dataclass(frozen=True)
class Evidence:
    """The open lake, and the folders in which archived raw files are looked for by their SHA-256."""

    lake: Lake
    archives: tuple[Path, ...] = ()
    damaged: set[int] = field(default_factory=set)
    """The numbers of data files that cannot be read, once a check has found them."""

    def rows(self, name: str, values: Mapping[str, object] | Sequence[object] = (), **parts: str) -> list[dict[str, Any]]:
        """The rows of a statement of this package; for small tables."""
        query = self.lake.connection.execute(statement(name, **parts), values)
        names = [column[0] for column in query.description]
        return [dict(zip(names, row, strict=True)) for row in query.fetchall()]

    def stream(self, query: str, values: Mapping[str, object] | Sequence[object] = ()) -> Iterator[dict[str, Any]]:
        """The rows of a query over any number of rows, read a batch at a time."""
        reader = self.lake.connection.execute(query, values).to_arrow_reader(10_000)
        for batch in reader:
            yield from batch.to_pylist()


@dataclass(frozen=True)
class Check:
    """What one check compared and found.

    `compared` counts what it compared, `unit` names one of it. `not_made` says why the check was not made, or not finished.
    `notes` say what is not proven and is no fault, such as a unit mapped by settings that nobody recorded.
    """

    name: str
    compared: int
    unit: str
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    not_made: str = ""


@dataclass
class Found:
    """Faults as a check finds them: the first of each kind are named, the others counted."""

    check: str
    faults: list[Fault] = field(default_factory=list)
    _left_out: dict[tuple[str, str], int] = field(default_factory=dict)
    _named: dict[tuple[str, str], int] = field(default_factory=dict)

    def tampered(self, where: str, detail: str, *, kind_of: str = "") -> None:
        """Content that differs. Of faults with the same `kind_of` (a unit, a table), the first `SHOWN` are named."""
        self._add(Fault("tampered", self.check, where, detail), kind_of)

    def unavailable(self, where: str, detail: str) -> None:
        """Evidence that cannot be read."""
        self._add(Fault("unavailable", self.check, where, detail), where)

    def all(self) -> tuple[Fault, ...]:
        """The faults, and for each kind how many more there are."""
        more = [
            Fault("tampered", self.check, where, f"{count} more like these")
            for (where, _), count in self._left_out.items()
        ]  # fmt: skip
        return (*self.faults, *more)

    def _add(self, fault: Fault, kind_of: str) -> None:
        key = (kind_of or self.check, fault.kind)
        self._named[key] = self._named.get(key, 0) + 1
        if self._named[key] > SHOWN:
            self._left_out[key] = self._left_out.get(key, 0) + 1
        else:
            self.faults.append(fault)


def listed(values: Iterable[object]) -> str:
    """Values as one text: `a, b and c`."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
