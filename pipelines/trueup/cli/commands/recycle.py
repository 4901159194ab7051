"""The command `recycle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.commands.verify import RawFolders, archive_folders
from trueup.cli.exit_codes import FAILED
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, load

_COLUMNS = ("source", "file", "records", "accepted", "duplicate", "filtered", "quarantined", "position")


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(recycle)


def recycle(
    sources: Annotated[
        list[str] | None, typer.Option("--source", metavar="S", help="Only this source; may be repeated; by default all.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="R", help="Only records rejected for this reason, such as bad_time.")
    ] = None,
    raw: RawFolders = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Map rejected records again with the present settings; those that fit become events of a new position.

    What still does not fit stays in quarantine. Exit status 2 where a file of rejected records was not found.
    """
    from trueup.collect.recycle.recycle import recycle as recycle_records

    folders: tuple[Path, ...] = archive_folders(raw or [])
    summary = recycle_records(load(project, accept_clock=accept_clock), sources=sources or (), reason=reason, archives=folders)
    if json:
        errors = [str(error) for error in summary.errors]
        output.json_value({"units": summary.units, "left": summary.left, "errors": errors})
    else:
        if summary.units:
            output.table(
                _COLUMNS,
                (
                    [u.source, u.path, u.records, u.accepted, u.duplicate, u.filtered, u.quarantined, u.position]
                    for u in summary.units
                ),
            )
        mapped, accepted = sum(unit.records for unit in summary.units), sum(unit.accepted for unit in summary.units)
        done = f"mapped {output.counted(mapped, 'record')} again, {accepted} accepted" if mapped else "nothing to recycle"
        output.line(f"{done}; {output.counted(summary.left, 'record')} left in quarantine as before")
    for error in summary.errors:
        output.note(f"trueup: {' '.join(str(error).split())}")
    if summary.errors:
        raise typer.Exit(FAILED)
