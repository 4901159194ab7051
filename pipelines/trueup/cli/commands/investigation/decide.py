"""The command `decide`: record what a person decides."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir, load
from trueup.cli.options import day as parse_day
from trueup.errors import TrueupError
from trueup.reconcile.domain.decision_kinds import RECORDED

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.warehouse.decide import Decision, Recorded


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(decide)


def decide(
    id_prefix: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a finding, case or suspicious transaction, or its beginning.")
    ],
    decision: Annotated[str, typer.Argument(metavar="DECISION", help=f"The decision: {', '.join(RECORDED)}.")],
    note: Annotated[str, typer.Option(help="The reason of the decision; `dismissed`, `requested` and `commented` need one.")] = "",
    decided_by: Annotated[str | None, typer.Option("--by", help="Who decides; by default your login name.")] = None,
    amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="The part of the money that it is about, such as 12.50; by default all.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="End of a snooze, or of the dismissal of later findings of the same pattern: 30d, a day or a time.",
        ),
    ] = None,
    assignee: Annotated[str, typer.Option("--to", metavar="NAME", help="Of `assigned`: who is responsible.")] = "",
    on: Annotated[str | None, typer.Option("--on", metavar="DAY", help="Of `due`: the day by which the case is due.")] = None,
    action: Annotated[
        str, typer.Option(metavar="ACTION", help="Of `requested`: what a system downstream is asked to do, such as block.")
    ] = "",
    into: Annotated[
        str | None, typer.Option("--into", metavar="CASE", help="Of `merged`: the case that takes the findings.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIMENSION=VALUE",
            help="Of `split`: which findings form the new case; may be repeated. See `trueup cases CASE`.",
        ),
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Record a decision on a finding, case or suspicious transaction."""
    from trueup.warehouse.decide import Decision, amount_micros_of, record

    by = login() if decided_by is None else decided_by
    opened = load(project)
    made = Decision(
        decision, note, by, None if amount is None else amount_micros_of(amount),
        None if until is None else _parse_moment(opened, until), assignee, parse_day(on, "--on"), action,
    )  # fmt: skip
    reshaped = {"merged": into is not None, "split": bool(where)}
    for name, is_given in reshaped.items():
        if is_given != (decision == name):
            option = "--into CASE" if name == "merged" else "--where DIMENSION=VALUE"
            raise TrueupError(
                f"{option} belongs to `{name}`, and to no other decision", todo=f"write both {name} and {option}, or neither"
            )
    if decision in reshaped:
        done = _reshape(opened, id_prefix, made, into, where)
    else:
        (done,) = record(opened, [id_prefix], made)
    _show(done, made, json=json)


def _reshape(project: Project, id_prefix: str, made: Decision, into: str | None, where: list[str] | None) -> Recorded:
    from trueup.investigation.reshape import merge, split

    return merge(project, id_prefix, into, made) if into is not None else split(project, id_prefix, where or [], made)


def _show(done: Recorded, made: Decision, *, json: bool) -> None:
    if json:
        value = {
            "finding_id": done.subject_id,
            "type": done.type,
            "decision": done.decision,
            "note": made.note,
            "decided_by": made.decided_by,
        }
        output.json_value(value)
        return
    output.line(f"{done.decision}: {done.subject_id}")
    if done.decision == "write_off_proposed":
        output.line("a second person has to agree: the same command with another --by")


def _parse_moment(project: Project, text: str) -> datetime:
    """Return the end that a duration from now, a day or a time names."""
    from trueup.clock import system_clock
    from trueup.config.values import duration_us
    from trueup.warehouse.asof import moment_of

    try:
        lasting = duration_us(text)
    except ValueError:
        return moment_of(text, ZoneInfo(project.config.project.timezone))
    return datetime.fromtimestamp(system_clock().timestamp() + lasting / 1_000_000, UTC)


def login() -> str:
    """Return the login name of the person at the terminal; raise `TrueupError` where it is unknown."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise TrueupError("your login name is unknown", todo="name yourself with --by NAME") from None
