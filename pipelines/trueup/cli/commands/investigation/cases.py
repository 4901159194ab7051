"""The command `cases`: the queue of cases, one case, and the search for root causes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.investigation.case_view import CaseView
    from trueup.investigation.root_causes import Investigated

_SHOWN = (
    "case",
    "rank",
    "type",
    "title",
    "status",
    "members",
    "open_impact",
    "currency",
    "confidence",
    "age_days",
    "owner",
    "due_on",
)
_SHORT_ID = 12


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(cases)


def cases(
    id_prefix: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="A case to show, by its id or the beginning of it; by default the queue.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="First file new findings in cases, and open cases for the rest.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only cases of this type: root_cause or fraud.")
    ] = None,
    status: Annotated[str | None, typer.Option(help="Only cases of this status; by default open ones.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only cases of this owner.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Cases of every status, and those that are snoozed.")] = False,
    most: Annotated[int, typer.Option("--limit", min=1, help="Largest number of cases, or of findings of one case.")] = 20,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """List cases, those to decide first at the top; or show one case."""
    from trueup.clock import system_clock
    from trueup.investigation.case_view import Filter, queue, view_case
    from trueup.warehouse.query import with_retries

    opened = load(project)
    if search and as_of is not None:
        raise TrueupError("a search reads the newest position only", where="--as-of", todo="leave out --search or --as-of")
    if search:
        from trueup.investigation.root_causes import investigate

        output.note(summary_line(investigate(opened)))
    is_filtered = any(option is not None for option in (kind, status, owner))
    if id_prefix is not None:
        if every or is_filtered:
            raise TrueupError(
                "options that select cases do not apply to one case",
                where=id_prefix,
                todo="leave out --type, --status, --owner and --all",
            )
        shown = with_retries(opened, lambda warehouse: view_case(warehouse, id_prefix, most=most), as_of)
        output.json_value(shown) if json else _show(shown)
        return
    wanted = Filter(kind, status, owner, every, most)
    rows, unexplained = with_retries(
        opened,
        lambda warehouse: (queue(warehouse, wanted, system_clock()), warehouse.rows("queries/root_causes/unexplained")),
        as_of,
    )
    if json:
        output.json_value(rows)
        return
    output.dictionaries([_shorten_row(row) for row in rows], _SHOWN)
    if not rows:
        output.line("no such cases" if is_filtered else "no cases; `trueup cases --search` groups the findings")
    for left in unexplained:
        count = output.counted(left["findings"], "finding")
        output.line(f"{count} in no case, {left['money']} {left['currency'] or ''}".rstrip())


def summary_line(done: Investigated) -> str:
    """Return the result of a search in one line."""
    if not done.is_new:
        return "no finding has changed since the last search"
    opened, filed = output.counted(done.opened, "case"), output.counted(done.filed, "finding")
    return f"{opened} opened, {filed} filed, {done.unexplained} in no case, up to position {done.position}"


def _shorten_row(row: dict[str, object]) -> dict[str, object]:
    members = row["findings"] if row["type"] == "root_cause" else row["transactions"]
    confidence = f"{float(str(row['confidence'])):.2f}"
    return {**row, "case": str(row["case_id"])[:_SHORT_ID], "members": members, "confidence": confidence}


def _show(shown: CaseView) -> None:
    case = shown.case
    output.line(f"case {case['case_id']}: {shown.title}")
    if case["summary"] is not None:
        output.line(case["summary"])
    hidden = (
        f"; {output.counted(case['hidden_findings'], 'finding')} hidden, {case['hidden_impact']}" if case["hidden_findings"] else ""
    )
    members = (
        output.counted(case["findings"], "finding")
        if case["type"] == "root_cause"
        else output.counted(case["transactions"], "transaction")
    )
    money = f"{case['impact']} {case['currency'] or ''}".rstrip()
    output.line(f"{case['status']}, rank {case['rank']}; {members}, {money}, of it open {case['open_impact']}{hidden}")
    for name in ("owner", "due_on", "snoozed_until", "suppressed_until", "merged_into", "parent", "note"):
        if case[name] is not None:
            output.line(f"{name.replace('_', ' ')}: {case[name]}")
    if case["awaits_second_person"]:
        output.line("a write-off waits for a second person")
    if shown.members:
        output.dictionaries(shown.members, tuple(shown.members[0]), title="largest first")
    output.dictionaries(shown.history, ("at", "event", "by", "note", "details"), title="history")
