"""Back-bills: a file with one line for each finding whose money is to be billed again, or credited."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from trueup.errors import TrueupError
from trueup.new_file import write_new
from trueup.reconcile.domain.kinds import KINDS
from trueup.warehouse.explain import plain
from trueup.warehouse.query import Warehouse

FIELDS = (
    "line", "finding_id", "kind", "service", "day", "currency", "amount", "record_key", "session_key", "account", "subscriber",
    "peer", "started_at", "item", "period_from", "period_to",
)  # fmt: skip
"""The names that a template may have in braces. `line` identifies a line; equal finding and money give an equal `line`."""
_TIMES = ("day", "started_at", "period_from", "period_to")
_DELIMITERS = ",;\t|"
DEFAULT_TEMPLATE = (
    "record_key,corrects,kind,session_key,account,subscriber,service,peer,started_at,amount,currency,item,period_from,period_to\n"
    "{line},{finding_id},{kind},{session_key},{account},{subscriber},{service},{peer},{started_at},{amount},{currency},{item},"
    "{period_from},{period_to}\n"
)


@dataclass(frozen=True)
class BackBillTemplate:
    """The lines before the records of a back-bill, and the texts of one record's fields."""

    head: tuple[tuple[str, ...], ...]
    line: tuple[str, ...]
    delimiter: str

    @classmethod
    def of(cls, text: str, *, where: str) -> BackBillTemplate:
        """Parse a template: CSV whose last line has the fields; raise `TrueupError` for any other."""
        first = text.split("\n", 1)[0]
        delimiter = max(_DELIMITERS, key=first.count)
        rows = [tuple(row) for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
        if not rows:
            raise TrueupError(
                "the template is empty", where=where, todo="write a header and a line such as {line},{finding_id},{amount}"
            )
        for cell in rows[-1]:
            _check_fields(cell, where)
        if not any("{amount" in cell for cell in rows[-1]) or not any("{finding_id" in c or "{record_key" in c for c in rows[-1]):
            raise TrueupError(
                "the last line of the template must have {amount}, and {finding_id} or {record_key}", where=where,
                todo="add them: the charge of a line names what it corrects by them",
            )  # fmt: skip
        return cls(tuple(rows[:-1]), rows[-1], delimiter)

    def names(self, row: Mapping[str, Any]) -> bool:
        """Return whether a charge of this form would join the booking of a finding: by its id or record, and by its item."""
        text = "".join(self.line)
        return ("{finding_id" in text or row["record_key"] is not None) and (
            "{item" in text if row["item"] is not None else row["record_key"] is not None
        )

    def write(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of a back-bill of rows with the values of `FIELDS`."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        writer.writerows(self.head)
        for row in rows:
            values = {name: "" if row.get(name) is None else row[name] for name in FIELDS}
            writer.writerow([cell.format_map(values) for cell in self.line])
        return text.getvalue()


def _check_fields(cell: str, where: str) -> None:
    try:
        names = [(name, spec) for _, name, spec, _ in string.Formatter().parse(cell) if name is not None]
    except ValueError as error:
        raise TrueupError(f"{cell!r} is no template: {error}", where=where, todo="write a brace of the text itself twice") from None
    for name, spec in names:
        if name not in FIELDS:
            raise TrueupError(f"the template names {{{name}}}", where=where, todo=f"there are {', '.join(FIELDS)}")
        if spec and (name not in _TIMES or not spec.startswith("%")):
            raise TrueupError(
                f"the template formats {{{name}:{spec}}}",
                where=where,
                todo=f"only {', '.join(_TIMES)} have a format, such as %Y-%m-%d",
            )


@dataclass(frozen=True)
class BackBill:
    """The content of a back-bill file: its lines, and their sums by currency. A credit is negative.

    `left_out` are findings about items (rentals, fees) where the template does not name the item, and those that no line can name.
    """

    path: str
    lines: int
    left_out: int
    sums: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """The findings of a back-bill, by kinds (none: all), service and days; `credits` selects those that were charged too much."""

    kinds: tuple[str, ...] = ()
    service: str | None = None
    from_day: date | None = None
    to_day: date | None = None
    credits: bool = False

    def check(self) -> None:
        """Raise `TrueupError` for a kind that does not exist, or whose money is not proven."""
        proven = [name for name, kind in KINDS.items() if kind.evidence == "proven"]
        for kind in self.kinds:
            if kind not in proven:
                what = "has no proven money" if kind in KINDS else "does not exist"
                raise TrueupError(f"the kind {kind!r} {what}", where="--kind", todo=f"write one of {', '.join(proven)}")


def back_bill_rows(warehouse: Warehouse, selection: Selection) -> list[dict[str, Any]]:
    """Return the findings of a selection that are open or confirmed and not provisional, with the values of `FIELDS`."""
    selection.check()
    found = warehouse.rows("queries/findings/recoverable", {
        "kinds": list(selection.kinds) or None, "service": selection.service, "from_day": selection.from_day,
        "to_day": selection.to_day, "credits": selection.credits,
    })  # fmt: skip
    return [row | {"line": f"{row['finding_id']}-{row['changed_position']}", "amount": plain(row["amount"])} for row in found]


def write_back_bill(rows: Sequence[Mapping[str, Any]], template: BackBillTemplate, path: Path) -> BackBill:
    """Write a back-bill at once or not at all; raise `TrueupError` if the file exists, because it may have been delivered."""
    named = [row for row in rows if template.names(row)]
    write_new(path, template.write(named), todo="name another file, or remove this one if it was not delivered")
    sums: dict[str, Decimal] = {}
    for row in named:
        sums[str(row["currency"])] = sums.get(str(row["currency"]), Decimal(0)) + Decimal(str(row["amount"]))
    return BackBill(str(path), len(named), len(rows) - len(named), sums)
