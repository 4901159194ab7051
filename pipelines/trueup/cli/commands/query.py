"""The commands `sql`, `publish`, `findings` and `explain`: query the warehouse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.exit_codes import FAILED
from trueup.cli.explain_text import explanation_lines
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, Quiet, Spreadsheet, day, load
from trueup.errors import TrueupError
from trueup.reconcile.domain.decision_kinds import STATUSES
from trueup.reconcile.domain.kinds import KINDS

if TYPE_CHECKING:
    from trueup.errors import QueryError
    from trueup.warehouse.query import Answer

MAX_TABLE_ROWS, MAX_TABLE_CHARACTERS = 1_000, 2_000_000
"""Maximum number of rows of a table; the other formats write all rows."""
FORMATS = ("table", "json", "csv")
_SHOWN = (
    "finding",
    "kind",
    "status",
    "service",
    "day",
    "subscriber",
    "expected",
    "billed",
    "impact",
    "currency",
    "cause",
    "reason",
)
_SHORT_ID = 12


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(sql)
    app.command()(publish)
    app.command()(findings)
    app.command()(explain)


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT or EXPLAIN.")],
    as_of: AsOfOption = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json|csv", help="Format of the answer.")] = "table",
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Time limit of the answer, such as 30s; by default that of [sql], or 5m.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory limit of the query, such as 4GiB; by default that of [sql], or 2GiB.")
    ] = None,
    spreadsheet: Spreadsheet = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Run one SELECT against the views."""
    if form not in FORMATS:
        raise TrueupError(f"unknown format {form!r}", where="--format", todo=f"write one of {', '.join(FORMATS)}")
    if spreadsheet is not None and (json or form != "csv"):
        raise TrueupError("the option applies to CSV only", where="--spreadsheet", todo="write --format csv, or leave it out")
    from trueup.warehouse.access.bounds import bounds_of, process_within
    from trueup.warehouse.query import run

    opened = load(project)
    bounds = bounds_of(opened.config.sql, timeout=timeout, memory=memory)
    with process_within(bounds), run(opened, query, as_of, bounds=bounds, overdue=_end_overdue) as answer:
        _print_answer(answer, "json" if json else form, spreadsheet)


def _end_overdue(error: QueryError) -> None:
    """End the process at once, because the call that runs the query cannot be interrupted."""
    output.problem(f"trueup: {error}")
    os._exit(FAILED)


def _print_answer(answer: Answer, form: str, spreadsheet: bool | None) -> None:
    from trueup.warehouse.text import unique_names

    if form == "csv":
        output.csv_rows(answer.columns, answer.rows(), spreadsheet=spreadsheet)
    elif form == "json":
        names = unique_names(answer.columns)
        output.json_rows(dict(zip(names, row, strict=True)) for row in answer.rows())
    elif answer.plan:
        for _, plan in answer.rows():
            output.lines(plan)
    else:
        rows, is_cut = _take_first_rows(answer.rows())
        output.table(answer.columns, rows)
        if is_cut:
            output.line(f"only the first {output.counted(len(rows), 'row')} are shown; --format csv or json writes all")


def _take_first_rows(rows: Iterator[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], bool]:
    """Return as many rows as a table shows, and whether there are more."""
    from trueup.warehouse.text import as_text

    shown: list[tuple[Any, ...]] = []
    characters = 0
    for row in rows:
        characters += sum(len(as_text(value)) for value in row)
        if len(shown) == MAX_TABLE_ROWS or (shown and characters > MAX_TABLE_CHARACTERS):
            return shown, True
        shown.append(row)
    return shown, False


def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE.duckdb", help="The file to write or replace.")],
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the views as plain tables of one DuckDB file, which is replaced atomically."""
    from trueup.warehouse.publish import publish as publish_views

    done = publish_views(load(project), file, as_of=as_of, log=output.note)
    if json:
        output.json_value(done)
    else:
        output.line(f"published {output.counted(sum(done.rows.values()), 'row')} as of position {done.position} to {done.path}")


def findings(
    kind: Annotated[str | None, typer.Option(help="Only findings of this kind, such as unbilled.")] = None,
    service: Annotated[str | None, typer.Option(help="Only findings of this service.")] = None,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help=f"Only findings of this status: {', '.join(STATUSES)}."),
    ] = None,
    from_day: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Only findings from this day on.")] = None,
    to_day: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Only findings up to this day.")] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="Largest number of findings to list.")] = 20,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """List findings, largest impact first, and total the open and confirmed ones; provisional findings have a separate total."""
    from trueup.warehouse.query import with_retries

    if kind is not None and kind not in KINDS:
        raise TrueupError(f"unknown kind {kind!r}", where="--kind", todo=f"write one of {', '.join(KINDS)}")
    if status is not None and status not in STATUSES:
        raise TrueupError(f"unknown status {status!r}", where="--status", todo=f"write one of {', '.join(STATUSES)}")
    filters: dict[str, str | date | None] = {
        "kind": kind, "service": service, "status": status, "from_day": day(from_day, "--from"), "to_day": day(to_day, "--to"),
    }  # fmt: skip
    path = "queries/findings/findings_and_totals"
    (found,) = with_retries(load(project), lambda warehouse: warehouse.rows(path, {**filters, "most": most}), as_of)
    rows, sums = found["findings"], found["totals"]
    if json:
        output.json_value(rows)
        return
    from trueup.warehouse.explain import money

    output.dictionaries([_shorten_row(row) for row in rows], _SHOWN)
    for total in sums:
        closed = f"; {output.counted(total['closed_findings'], 'closed finding')}" if total["closed_findings"] else ""
        counted = f"{output.counted(total['findings'], 'finding')} open or confirmed"
        provisional = (
            f"; {total['provisional_findings']} provisional, impact {money(total['provisional_impact'], total['currency'])}"
            if total["provisional_findings"]
            else ""
        )
        output.line(f"{counted}, impact {money(total['impact'], total['currency'])}{provisional}{closed}")
    if not sums:
        output.line("no findings")


def _shorten_row(row: dict[str, object]) -> dict[str, object]:
    status = f"{row['status']}, provisional" if row["provisional"] else row["status"]
    return {**row, "finding": str(row["finding_id"])[:_SHORT_ID], "status": status}


def explain(
    id_prefix: Annotated[str, typer.Argument(metavar="ID", help="The id of a finding, event or fraud case, or its beginning.")],
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Explain a finding: meaning, records, arithmetic and history; or show one event or fraud case."""
    from trueup.warehouse import explain as explanation
    from trueup.warehouse.query import with_retries

    result = with_retries(load(project), lambda warehouse: explanation.explain(warehouse, id_prefix), as_of)
    if json:
        output.json_value(result)
    else:
        for text in explanation_lines(result):
            output.line(text)
