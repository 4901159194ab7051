"""Options that many commands share, and how their values are read."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.config import Project

ProjectDir = Annotated[Path, typer.Option("--project", metavar="DIR", help="The folder that holds trueup.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each step, also where no terminal shows it.")]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="POSITION-OR-TIME", help="As of a position, a time or a day (its end); else the newest."),
]
AcceptClock = Annotated[
    bool, typer.Option("--accept-clock", help="The clock is right, however far it is ahead of the newest commit.")
]
Spreadsheet = Annotated[
    bool | None,
    typer.Option(
        "--spreadsheet/--no-spreadsheet",
        help="Put an apostrophe before text in CSV that a spreadsheet would run (= + - @); as it comes: where a person exports.",
    ),
]
HERE = Path()


def load(directory: Path, *, accept_clock: bool = False) -> Project:
    """The project of a folder; raises `ConfigError`.

    With `accept_clock`, a clock too far ahead of the newest commit is declared right in the log; `ClockError` is raised for one
    that is behind.
    """
    from trueup.config import Project
    from trueup.log.connection import spare_pandas

    spare_pandas()
    project = Project.load(directory)
    if accept_clock:
        _accept(project)
    return project


def _accept(project: Project) -> None:
    from trueup.log.ticks import accept_clock

    declared = accept_clock(project)
    if declared is not None:
        output.note(f"the clock is accepted: {output.moment(declared.through)} (position {declared.position})")


def day(told: str | None, option: str) -> date | None:
    """A day written like 2024-03-31; raises `TrueupError` naming the option for anything else."""
    if told is None:
        return None
    try:
        return date.fromisoformat(told)
    except ValueError:
        raise TrueupError(f"{told!r} is no day", where=option, todo="write it like 2024-03-31") from None


def only_options(told: list[str] | None) -> list[str]:
    """What is written after `--`, for a runner; raises `TrueupError` for anything else."""
    options = told or []
    if options and not options[0].startswith("-"):
        raise TrueupError(
            f"{options[0]!r} is no runner option", todo="write runner options after --, such as -- --runner=FlinkRunner"
        )
    return options
