"""The command `clock`: show the ticks of the log, and supersede wrong ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir, load
from trueup.clock import MAX_CLOCK_LAG, describe_span, system_clock
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.log.ticks import ClockDeclaration
    from trueup.warehouse.query import Warehouse

_COLUMNS = ("position", "tick", "state", "superseded at", "refused records", "compared with the clock")


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(clock)


def clock(
    supersede: Annotated[
        list[int] | None,
        typer.Option(
            "--supersede", metavar="POSITION", help="Declare the tick of this position void from now on; may be repeated."
        ),
    ] = None,
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="Accept the clock, however far it is from the newest commit.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of ticks, the newest first.")] = 20,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Show the ticks, which declare the time in the log, or declare a wrong tick void."""
    if supersede and accept_clock:
        raise TrueupError("--supersede already accepts the clock", where="--accept-clock", todo="leave it out")
    if supersede:
        _supersede(supersede, project=project, json=json)
    elif accept_clock:
        _accept(project=project, json=json)
    else:
        _show(limit, project=project, json=json)


def _supersede(positions: list[int], *, project: Path, json: bool) -> None:
    from trueup.log.ticks import supersede
    from trueup.warehouse.query import with_retries

    opened = load(project)
    declared = supersede(opened, positions)
    void = with_retries(opened, lambda warehouse: warehouse.rows("queries/status/superseded_ticks"))
    refused = {row["position"]: row["refused_records"] for row in void}
    if json:
        output.json_value([_as_value(declaration, refused) for declaration in declared])
        return
    for declaration in declared:
        assert declaration.supersedes is not None
        output.line(
            f"the tick of position {declaration.supersedes} is void from position {declaration.position} on; "
            "the next run reconciles again"
        )
        output.line(_describe_refused(refused[declaration.supersedes]))
    output.line(f"the clock is accepted: {output.moment(declared[-1].through)}")


def _describe_refused(records: int) -> str:
    """Return the number of records that a wrong tick may have refused, and their place."""
    counted = output.counted(records, "record")
    if not records:
        return "no record was refused for its time while it was in force"
    return f"{counted} refused for the time while it was in force (time_out_of_range): see the view quarantine"


def _as_value(declaration: ClockDeclaration, refused: dict[int, int]) -> dict[str, Any]:
    return {
        "position": declaration.position, "clock": declaration.through, "supersedes": declaration.supersedes,
        "refused_records": refused.get(declaration.supersedes or 0, 0),
    }  # fmt: skip


def _accept(*, project: Path, json: bool) -> None:
    from trueup.log.ticks import accept_clock

    declared = accept_clock(load(project), may_be_behind=True)
    if json:
        output.json_value(None if declared is None else {"position": declared.position, "clock": declared.through})
    elif declared is None:
        output.line("the clock is accepted as it is; nothing changed")
    else:
        output.line(f"the clock is accepted from position {declared.position} on: {output.moment(declared.through)}")


def _show(limit: int, *, project: Path, json: bool) -> None:
    from trueup.warehouse.query import with_retries

    now = system_clock()
    rows = with_retries(load(project), lambda warehouse: _ticks(warehouse, now))[:limit]
    if json:
        output.json_value({"clock": now, "ticks": rows})
        return
    shown = (
        [row["position"], output.moment(row["through"]), row["state"], row["superseded_at"], row["refused_records"], row["says"]]
        for row in rows
    )
    if rows:
        output.table(_COLUMNS, shown)
    else:
        output.line("the log has no ticks: no command has declared the time yet")
    output.line(f"the clock shows {output.moment(now)}")


def _ticks(warehouse: Warehouse, now: datetime) -> list[dict[str, Any]]:
    """Return the ticks, newest first, with their state and their distance from the clock."""
    from trueup.log.ticks import read_ticks

    rows = read_ticks(warehouse.lake).to_dicts()
    refused = {row["position"]: row["refused_records"] for row in warehouse.rows("queries/status/superseded_ticks")}
    latest = max((row["through"] for row in rows if row["superseded_at"] is None), default=None)
    for row in rows:
        void = row["superseded_at"] is not None
        row["state"] = "void" if void else "in force"
        row["refused_records"] = refused.get(row["position"])
        row["says"] = "nothing" if void else _compare(row["through"], now, is_latest=row["through"] == latest)
    return rows


def _compare(through: datetime, now: datetime, *, is_latest: bool) -> str:
    ahead: timedelta = through - now
    if ahead > MAX_CLOCK_LAG:
        return f"it is {describe_span(ahead)} later than the clock: supersede it if the clock is right"
    age = f"{describe_span(ahead)} ago"
    return f"the latest time, {age}: silent feeds are detected by it" if is_latest else f"an earlier time, {age}"
