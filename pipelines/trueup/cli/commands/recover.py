"""The command `recover`: write a back-bill of findings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, day, load
from trueup.errors import TrueupError
from trueup.regular import NotRegularError, read_regular

_MOST_TEMPLATE_BYTES = 1 << 20


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(recover)


def recover(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The back-bill to write; it must not exist.")],
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only findings of this kind, such as unbilled; may be repeated.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Only findings of this service.")] = None,
    from_day: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Only findings from this day on.")] = None,
    to_day: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Only findings up to this day.")] = None,
    credits: Annotated[
        bool, typer.Option("--credits", help="Credit what was charged too much, rather than bill what is missing.")
    ] = False,
    template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV whose last line has fields such as {finding_id}; by default all fields."),
    ] = None,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write a back-bill: a line for each open finding, to be delivered again as a charge that names it."""
    from trueup.warehouse.query import with_retries
    from trueup.warehouse.recover import DEFAULT_TEMPLATE, BackBillTemplate, Selection, back_bill_rows, write_back_bill

    form = BackBillTemplate.of(
        DEFAULT_TEMPLATE if template is None else _read_template(template), where=str(template or "the template")
    )
    selection = Selection(tuple(kind or ()), service, day(from_day, "--from"), day(to_day, "--to"), credits)
    rows = with_retries(load(project), lambda warehouse: back_bill_rows(warehouse, selection), as_of)
    done = write_back_bill(rows, form, out)
    if json:
        output.json_value(done)
        return
    if done.left_out:
        left = output.counted(done.left_out, "finding")
        output.note(f"left out {left} that no line of this template can name: those about items need {{item}}")
    sums = ", ".join(f"{amount} {currency}" for currency, amount in sorted(done.sums.items()))
    output.line(f"wrote {output.counted(done.lines, 'line')} to {done.path}" + (f": {sums}" if sums else ""))


def _read_template(path: Path) -> str:
    try:
        return read_regular(path, max_bytes=_MOST_TEMPLATE_BYTES).decode("utf-8")
    except NotRegularError as error:
        raise TrueupError(str(error.strerror), where=str(path), todo="name a text file") from None
    except UnicodeError:
        raise TrueupError("the template is not UTF-8", where=str(path), todo="save it as UTF-8") from None
