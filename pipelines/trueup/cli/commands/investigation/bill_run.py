"""The command `bill-run`: check a draft bill run before it is issued."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.exit_codes import EXCEEDED
from trueup.cli.options import HERE, Json, ProjectDir, Quiet, day, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.investigation.bill_run import BillRun

CHECK = "check"
_SHOWN = ("account", "currency", "money", "too_little", "too_much", "unknown", "reasons")


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command("bill-run")(bill_run)


def bill_run(
    action: Annotated[str, typer.Argument(metavar="check", help="What to do: check.")],
    cycle: Annotated[str, typer.Option(metavar="DAY", help="The first day of the billing cycle, such as 2026-03-01.")],
    draft: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=FILE", help="A draft, read as a file of a source of charges or invoices; may be repeated."),
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(metavar="MONEY", help="The wrong money above which to fail; by default that of [invoice], or 0.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the accounts as CSV; it must not exist.")] = None,
    most: Annotated[int, typer.Option("--limit", min=0, help="Largest number of accounts to list.")] = 20,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Check a draft bill run against usage and subscriptions: which accounts to hold back, and for how much.

    Nothing is written into the log. Exit status 1: the wrong money of a currency is above the threshold, or a record of the draft
    could not be read.
    """
    if action != CHECK:
        raise TrueupError(f"there is no action {action!r}", where="bill-run", todo="write trueup bill-run check")
    from trueup.investigation.bill_run import check_bill_run

    opened = load(project)
    limit = _parse_threshold(opened, threshold)
    first = day(cycle, "--cycle")
    assert first is not None
    checked = check_bill_run(opened, first, [_parse_draft(text) for text in draft or ()], log=output.note)
    if out is not None:
        _write(checked, out)
    if json:
        output.json_value(asdict(checked) | {"threshold": limit, "exceeds": checked.exceeds(limit)})
    else:
        _show(checked, limit, most)
    if checked.exceeds(limit):
        raise typer.Exit(EXCEEDED)


def _parse_threshold(project: Project, text: str | None) -> Decimal:
    from trueup.config import decimal_micros

    try:
        micros = project.config.invoice.threshold if text is None else decimal_micros(text)
    except ValueError as error:
        raise TrueupError(str(error), where="--threshold", todo="write an amount such as 100 or 99.50") from None
    if micros < 0:
        raise TrueupError("the threshold is negative", where="--threshold", todo="write an amount such as 100, or 0")
    return Decimal(micros).scaleb(-6)


def _parse_draft(text: str) -> tuple[str, Path]:
    source, sign, path = text.partition("=")
    if not (sign and source and path):
        raise TrueupError(
            f"{text!r} names no file of a source", where="--draft", todo="write SOURCE=FILE, such as rating=draft.csv"
        )
    return source, Path(path)


def _write(checked: BillRun, path: Path) -> None:
    """Write all accounts as CSV for people: no cell begins with what a spreadsheet would run as a formula."""
    from trueup.investigation.bill_run import Hold
    from trueup.new_file import write_new
    from trueup.warehouse.text import as_text, for_spreadsheet

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Hold)]
    writer.writerow(names)
    for hold in checked.holds:
        values = (getattr(hold, name) for name in names)
        writer.writerow([for_spreadsheet(value) if isinstance(value, str) else as_text(value) for value in values])
    write_new(path, text.getvalue(), todo="name another file")


def _show(checked: BillRun, limit: Decimal, most: int) -> None:
    from trueup.warehouse.explain import money, plain

    shown = [
        asdict(hold) | {name: plain(getattr(hold, name)) for name in ("money", "too_little", "too_much")}
        for hold in checked.holds[:most]
    ]
    output.dictionaries(shown, _SHOWN)
    if len(checked.holds) > most:
        output.line(f"{len(checked.holds) - most} more; --out FILE writes all")
    for source in checked.incomplete:
        output.problem(f"usage of {source} has not come to the end of the cycle: what is missing of it is not checked")
    if checked.rejected:
        output.problem(f"{output.counted(checked.rejected, 'record')} of the draft could not be read and are not checked")
    unknown = sum(hold.unknown for hold in checked.holds)
    if unknown:
        output.note(f"the money of {output.counted(unknown, 'finding')} is unknown and in no sum")
    held = len({hold.account for hold in checked.holds})
    sums = ", ".join(money(amount, currency) for currency, amount in sorted(checked.money.items()))
    text = f"{output.counted(checked.accounts, 'account')} in the cycle of {checked.cycle}, {held} to hold back"
    show = output.fault if checked.exceeds(limit) else output.line
    show(f"{text}: {sums}; the threshold is {plain(limit)}" if sums else text)
