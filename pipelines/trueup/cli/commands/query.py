"""Asking the warehouse: `sql`, `publish`, `findings` and `explain`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.commands.explain_text import explained
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, Spreadsheet, day, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.errors import QueryError
    from trueup.warehouse.query import Answer

MOST_ROWS_SHOWN, MOST_CHARACTERS_SHOWN = 1_000, 2_000_000
"""What a table shows at most; the other formats write all rows."""
FAILED = 2
FORMATS = ("table", "json", "csv")
STATUSES = ("open", "confirmed", "recovered", "dismissed", "resolved", "retracted")
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
    """Adds the commands of this module."""
    app.command()(sql)
    app.command()(publish)
    app.command()(findings)
    app.command()(explain)


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT or EXPLAIN.")],
    as_of: AsOfOption = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json|csv", help="How to print the answer.")] = "table",
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Longest time for the answer, such as 30s; else that of [sql], or 5m.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Most memory for the query, such as 4GiB; else that of [sql], or 2GiB.")
    ] = None,
    spreadsheet: Spreadsheet = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Ask the views one question."""
    if form not in FORMATS:
        raise TrueupError(f"{form!r} is no format", where="--format", todo=f"write one of {', '.join(FORMATS)}")
    if spreadsheet is not None and (json or form != "csv"):
        raise TrueupError("only CSV is opened by spreadsheets", where="--spreadsheet", todo="write --format csv, or leave it out")
    from trueup.warehouse.bounds import bounds_of, process_within
    from trueup.warehouse.query import run

    opened = load(project)
    bounds = bounds_of(opened.config.sql, timeout=timeout, memory=memory)
    with process_within(bounds), run(opened, query, as_of, bounds=bounds, overdue=_end_overdue) as answer:
        _print(answer, "json" if json else form, spreadsheet)


def _end_overdue(error: QueryError) -> None:
    """Ends the process at once: the query is within a call that no interrupt reaches."""
    output.note(f"trueup: {error}")
    os._exit(FAILED)


def _print(answer: Answer, form: str, spreadsheet: bool | None) -> None:
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
        rows, is_cut = _first(answer.rows())
        output.table(answer.columns, rows)
        if is_cut:
            output.line(f"only the first {output.counted(len(rows), 'row')} of more are shown; --format csv or json writes all")


def _first(rows: Iterator[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], bool]:
    """As many rows as a table shows, and whether there are more."""
    from trueup.warehouse.text import as_text

    shown: list[tuple[Any, ...]] = []
    characters = 0
    for row in rows:
        characters += sum(len(as_text(value)) for value in row)
        if len(shown) == MOST_ROWS_SHOWN or (shown and characters > MOST_CHARACTERS_SHOWN):
            return shown, True
        shown.append(row)
    return shown, False


def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE.duckdb", help="The file to write, or to replace.")],
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write the views as plain tables of one DuckDB file, replaced atomically."""
    from trueup.warehouse.publish import publish as published

    done = published(load(project), file, as_of=as_of, log=output.note)
    if json:
        output.json_value(done)
    else:
        output.line(f"published {output.counted(sum(done.rows.values()), 'row')} as of position {done.position} to {done.path}")


def findings(
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as unbilled.")] = None,
    service: Annotated[str | None, typer.Option(help="Only of this service.")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only open, confirmed, recovered, dismissed, resolved or retracted.")
    ] = None,
    from_day: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Only from this day on.")] = None,
    to_day: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Only up to this day.")] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="At most so many, those with the most money first.")] = 20,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """List findings, those with the most money first."""
    from trueup.warehouse.query import with_retries

    if status is not None and status not in STATUSES:
        raise TrueupError(f"{status!r} is no status", where="--status", todo=f"write one of {', '.join(STATUSES)}")
    wanted: dict[str, str | date | None] = {
        "kind": kind, "service": service, "status": status, "from_day": day(from_day, "--from"), "to_day": day(to_day, "--to"),
    }  # fmt: skip
    rows, sums = with_retries(
        load(project),
        lambda warehouse: (
            warehouse.rows("queries/findings/list_findings", {**wanted, "most": most}),
            warehouse.rows("queries/findings/finding_totals", wanted),
        ),
        as_of,
    )
    if json:
        output.json_value(rows)
        return
    from trueup.warehouse.explain import money

    output.dictionaries([_short(row) for row in rows], _SHOWN)
    for total in sums:
        closed = f"; {output.counted(total['closed_findings'], 'closed finding')}" if total["closed_findings"] else ""
        standing = f"{output.counted(total['findings'], 'finding')} open or confirmed"
        output.line(f"{standing}, impact {money(total['impact'], total['currency'])}{closed}")
    if not sums:
        output.line("no findings")


def _short(row: dict[str, object]) -> dict[str, object]:
    return {**row, "finding": str(row["finding_id"])[:_SHORT_ID]}


def explain(
    told: Annotated[str, typer.Argument(metavar="ID", help="A finding or event: its id, or the beginning of it.")],
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Tell why a finding says what it says, down to the records."""
    from trueup.warehouse import explain as explaining
    from trueup.warehouse.query import with_retries

    result = with_retries(load(project), lambda warehouse: explaining.explain(warehouse, told), as_of)
    if json:
        output.json_value(result)
    else:
        for text in explained(result):
            output.line(text)
