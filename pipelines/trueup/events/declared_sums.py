"""Sums of columns: the sums that a source unit declares, and the sums that were read. Control rows hold both as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadSum:
    """The sum of a decimal column in millionths, over all records whose value could be read.

    `rounded` counts records with digits beyond a millionth, which the sum lacks. `currencies` are those of the records.
    """

    micros: int = 0
    rounded: int = 0
    currencies: frozenset[str] = field(default=frozenset())

    def __add__(self, other: ReadSum) -> ReadSum:
        return ReadSum(self.micros + other.micros, self.rounded + other.rounded, self.currencies | other.currencies)


def add_sums(pieces: Sequence[Mapping[str, ReadSum]]) -> dict[str, ReadSum]:
    """Return the sums over all pieces, by column.

    >>> add_sums([{"amount": ReadSum(1)}, {"amount": ReadSum(2)}])
    {'amount': ReadSum(micros=3, rounded=0, currencies=frozenset())}
    """
    names = dict.fromkeys(name for piece in pieces for name in piece)
    return {name: sum((piece[name] for piece in pieces if name in piece), ReadSum()) for name in names}


@dataclass(frozen=True)
class DeclaredSum:
    """The sums of one column in control rows: the declared sums (one, unless the declaration changed), and the sum read."""

    declared: tuple[int, ...]
    read: ReadSum

    @property
    def missing_micros(self) -> int:
        """The declared sum minus the sum that was read; 0 where rounding explains the difference."""
        difference = max(self.declared) - self.read.micros
        return difference if abs(difference) > self.read.rounded else 0


def read_sums(texts: Sequence[str | None]) -> dict[str, DeclaredSum]:
    """Return the sums of a unit from its control rows, one text per part; skip a text that `sums_text` did not write.

    >>> text = sums_text({"amount": 3}, {"amount": ReadSum(2)})
    >>> read_sums([text])["amount"].missing_micros
    1
    """
    sums: dict[str, DeclaredSum] = {}
    for text in texts:
        try:
            for name, one in json.loads(text or "{}").items():
                read = ReadSum(int(one["read"]), int(one["rounded"]), frozenset(one["currencies"]))
                known = sums.get(name, DeclaredSum((), ReadSum()))
                sums[name] = DeclaredSum(tuple(sorted({*known.declared, int(one["declared"])})), known.read + read)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return sums


def sums_text(declared: Mapping[str, int] | None, read: Mapping[str, ReadSum]) -> str | None:
    """Return declared and read sums as canonical JSON for a control row; None where no sum is declared.

    >>> sums_text({"amount": 3}, {"amount": ReadSum(2, 0, frozenset({"EUR"}))})
    '{"amount":{"currencies":["EUR"],"declared":3,"read":2,"rounded":0}}'
    """
    if not declared:
        return None
    content = {
        name: {
            "declared": micros, "read": read.get(name, ReadSum()).micros, "rounded": read.get(name, ReadSum()).rounded,
            "currencies": sorted(read.get(name, ReadSum()).currencies),
        }
        for name, micros in declared.items()
    }  # fmt: skip
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
