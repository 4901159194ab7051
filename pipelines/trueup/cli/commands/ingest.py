"""The commands `ingest`, `recycle` and `close`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import checked, output
from trueup.cli.commands.proof.verify import RawFolders, archive_folders
from trueup.cli.exit_codes import FAILED
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, Quiet, day, load
from trueup.cli.progress import ingest_progress
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.collect.ingest import IngestSummary
    from trueup.config import Project

_COLUMNS = ("source", "file", "outcome", "records", "accepted", "duplicate", "filtered", "quarantined", "lost digits")
_RECYCLED = ("source", "file", "records", "accepted", "duplicate", "filtered", "quarantined", "position")


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(ingest)
    app.command()(recycle)
    app.command()(close)


def ingest(
    sources: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE…]", help="Only these sources; by default all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep ingesting files as they arrive, until interrupted.")] = False,
    every: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="With --watch: interval between two scans of the landing folders, by default 2s."),
    ] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Ingest new files."""
    opened = load(project, accept_clock=accept_clock)
    if watch:
        checked.check_settings(opened, collects=True)
        _watch(sources or [], every or "2s", opened, json=json)
        return
    if every is not None:
        raise TrueupError("files are ingested once", where="--every", todo="leave it out, or add --watch")
    from trueup.collect.ingest import ingest as ingest_files
    from trueup.collect.ingest import select_sources

    select_sources(opened, sources or ())
    # With only some sources, the paths of the others may be missing.
    problems = checked.check_settings(opened, collects=not sources)
    with ingest_progress() as progress:
        summary = ingest_files(opened, sources=sources or (), progress=progress)
    problems += checked.check_collection(opened)
    if json:
        output.json_value(as_value(summary) | {"problems": checked.as_value(problems)})
    else:
        show(summary)
    note_errors(summary)
    if summary.errors:
        raise typer.Exit(FAILED)


def _watch(sources: list[str], every: str, project: Project, *, json: bool) -> None:
    """Ingest files as they arrive until interrupted, and print a summary each time."""
    from trueup.cli.commands.stream import duration, interrupted
    from trueup.collect.watch import watch

    def report(summary: IngestSummary) -> None:
        if json:
            output.json_value(as_value(summary))
        elif summary.units:
            output.line(summary_line(summary))
        # A reader at the other end of a pipe gets the line now, not when the buffer is full.
        sys.stdout.flush()
        note_errors(summary)

    with interrupted() as stop:
        watch(project, sources=sources, every=duration(every, "--every"), stop=stop, report=report)


def as_value(summary: IngestSummary) -> dict[str, object]:
    """Return the summary as a value of JSON."""
    return {"units": summary.units, "errors": [str(error) for error in summary.errors], "notices": summary.notices}


def show(summary: IngestSummary) -> None:
    """Print the new source units as a table, and one line for all."""
    taken = [unit for unit in summary.units if unit.outcome == "taken"]
    if taken:
        output.table(
            _COLUMNS,
            (
                [u.source, str(u.path), u.outcome, u.records, u.accepted, u.duplicate, u.filtered, u.quarantined, u.lost_digits]
                for u in taken
            ),
        )
    output.line(summary_line(summary))


def summary_line(summary: IngestSummary) -> str:
    """Return the summary in one line."""
    taken = [unit for unit in summary.units if unit.outcome == "taken"]
    known = len(summary.units) - len(taken)
    if not taken:
        return f"nothing new; {output.counted(known, 'file')} already ingested"
    outcomes = ("accepted", "duplicate", "filtered", "quarantined")
    counts = ", ".join(f"{sum(getattr(unit, name) for unit in taken)} {name}" for name in outcomes)
    return (
        f"ingested {output.counted(len(taken), 'file')}, {output.counted(sum(unit.records for unit in taken), 'record')}: "
        f"{counts}; {output.counted(known, 'file')} already ingested"
    )


def note_errors(summary: IngestSummary) -> None:
    """Print the notices on stderr, then one line for each unit that could not be ingested."""
    for notice in summary.notices:
        output.problem(notice)
    for error in summary.errors:
        output.problem(f"trueup: {' '.join(str(error).split())}")


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

    folders = archive_folders(raw or [])
    summary = recycle_records(load(project, accept_clock=accept_clock), sources=sources or (), reason=reason, archives=folders)
    if json:
        errors = [str(error) for error in summary.errors]
        output.json_value({"units": summary.units, "left": summary.left, "errors": errors})
    else:
        if summary.units:
            output.table(
                _RECYCLED,
                (
                    [u.source, u.path, u.records, u.accepted, u.duplicate, u.filtered, u.quarantined, u.position]
                    for u in summary.units
                ),
            )
        mapped, accepted = sum(unit.records for unit in summary.units), sum(unit.accepted for unit in summary.units)
        done = f"mapped {output.counted(mapped, 'record')} again, {accepted} accepted" if mapped else "nothing to recycle"
        output.line(f"{done}; {output.counted(summary.left, 'record')} left in quarantine as before")
    for error in summary.errors:
        output.problem(f"trueup: {' '.join(str(error).split())}")
    if summary.errors:
        raise typer.Exit(FAILED)


def close(
    source: Annotated[str, typer.Option(metavar="S", help="The source that is complete.")],
    through: Annotated[
        str, typer.Option(metavar="DAY", help="Up to the end of this day of the project's time zone; it must be over.")
    ],
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Declare a source complete up to the end of a day."""
    from trueup.warehouse.close import close as close_source

    last_day = day(through, "--through")
    assert last_day is not None
    done = close_source(load(project, accept_clock=accept_clock), source, last_day)
    if json:
        output.json_value(done)
    elif done.position is None:
        output.line(f"{source} is already declared complete through {done.day}; nothing changed")
    else:
        output.line(
            f"{source} is complete through {done.day}, that is before {output.moment(done.through)} (position {done.position})"
        )
