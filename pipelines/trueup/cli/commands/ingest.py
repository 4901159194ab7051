"""Taking in: `ingest` and `close`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import checked, output
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, day, load
from trueup.cli.progress import ingest_progress

if TYPE_CHECKING:
    from trueup.collect.ingest import IngestSummary
    from trueup.config import Project

FAILED = 2
_COLUMNS = ("source", "file", "outcome", "records", "accepted", "duplicate", "quarantined", "lost digits")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(ingest)
    app.command()(close)


def ingest(
    sources: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE…]", help="Only these sources; else all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on taking in files as they land, until interrupted.")] = False,
    every: Annotated[str, typer.Option(metavar="DURATION", help="How long to pause between two looks.")] = "2s",
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Take in what is new."""
    opened = load(project, accept_clock=accept_clock)
    if watch:
        checked.checked(opened, collects=True)
        _watch(sources or [], every, opened, json=json)
        return
    from trueup.collect.ingest import ingest as taken
    from trueup.collect.ingest import select_sources

    select_sources(opened, sources or ())
    # With only some sources the paths of the others need not be there.
    problems = checked.checked(opened, collects=not sources)
    with ingest_progress() as progress:
        summary = taken(opened, sources=sources or (), progress=progress)
    problems += checked.collection_checked(opened)
    if json:
        output.json_value(as_value(summary) | {"problems": checked.as_value(problems)})
    else:
        show(summary)
    tell_errors(summary)
    if summary.errors:
        raise typer.Exit(FAILED)


def _watch(sources: list[str], every: str, project: Project, *, json: bool) -> None:
    """Takes in what lands until interrupted, and tells of each time something did."""
    from trueup.cli.commands.stream import duration, interrupted
    from trueup.collect.watch import watch

    def tell(summary: IngestSummary) -> None:
        if json:
            output.json_value(as_value(summary))
        elif summary.units:
            output.line(summary_line(summary))
        # Whoever reads this through a pipe is told now, not when the buffer is full.
        sys.stdout.flush()
        tell_errors(summary)

    with interrupted() as stop:
        watch(project, sources=sources, every=duration(every, "--every"), stop=stop, report=tell)


def as_value(summary: IngestSummary) -> dict[str, object]:
    """What was taken in, for JSON."""
    return {"units": summary.units, "errors": [str(error) for error in summary.errors], "notices": summary.notices}


def show(summary: IngestSummary) -> None:
    """What was taken in, as a table of the new units and one line for those known before."""
    taken = [unit for unit in summary.units if unit.outcome == "taken"]
    if taken:
        output.table(
            _COLUMNS,
            ([u.source, str(u.path), u.outcome, u.records, u.accepted, u.duplicate, u.quarantined, u.lost_digits] for u in taken),
        )
    output.line(summary_line(summary))


def summary_line(summary: IngestSummary) -> str:
    """What was taken in, in one line."""
    taken = [unit for unit in summary.units if unit.outcome == "taken"]
    known = len(summary.units) - len(taken)
    if not taken:
        return f"nothing new; {output.counted(known, 'file')} known already"
    sums = (sum(getattr(unit, name) for unit in taken) for name in ("records", "accepted", "duplicate", "quarantined"))
    records, accepted, duplicate, quarantined = sums
    return (
        f"took in {output.counted(len(taken), 'file')}, {output.counted(records, 'record')}: {accepted} accepted, "
        f"{duplicate} duplicate, {quarantined} quarantined; {output.counted(known, 'file')} known already"
    )


def tell_errors(summary: IngestSummary) -> None:
    """One line on stderr for each unit that could not be taken in, after what else is worth knowing."""
    for notice in summary.notices:
        output.note(notice)
    for error in summary.errors:
        output.note(f"trueup: {' '.join(str(error).split())}")


def close(
    source: Annotated[str, typer.Option(metavar="S", help="The source that is complete.")],
    through: Annotated[str, typer.Option(metavar="DAY", help="Up to the end of this day of the project's time zone.")],
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Declare a source complete up to the end of a day."""
    from trueup.warehouse.close import close as closed

    wanted = day(through, "--through")
    assert wanted is not None
    done = closed(load(project, accept_clock=accept_clock), source, wanted)
    if json:
        output.json_value(done)
    elif done.position is None:
        output.line(f"{source} was declared complete through {done.day} already; nothing changed")
    else:
        output.line(
            f"{source} is complete through {done.day}, that is before {output.moment(done.through)} (position {done.position})"
        )
