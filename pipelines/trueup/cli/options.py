"""Options that several commands share, and the parsing of their values."""

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
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each step, also where stderr is not a terminal.")]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="POSITION-OR-TIME", help="As of a position, a time or the end of a day; by default the newest."
    ),
]
AcceptClock = Annotated[
    bool, typer.Option("--accept-clock", help="Accept the clock, however far it is ahead of the newest commit.")
]
Spreadsheet = Annotated[
    bool | None,
    typer.Option(
        "--spreadsheet/--no-spreadsheet",
        help="Put an apostrophe before CSV text that a spreadsheet would run as a formula (= + - @); by default "
        "in CSV on a terminal and in files that `rate` writes.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=output.be_quiet, help="Print problems only, and with --json the result.")
]
HERE = Path()


def load(directory: Path, *, accept_clock: bool = False) -> Project:
    """Load the project of a folder; raise `ConfigError` for an invalid one.

    With `accept_clock`, a declaration in the log accepts a clock too far ahead of the newest commit. A clock that is behind
    raises `ClockError`.
    """
    from trueup.config import Project
    from trueup.log.catalog.connection import spare_pandas

    spare_pandas()
    project = Project.load(directory)
    if accept_clock:
        _accept_clock(project)
    return project


def _accept_clock(project: Project) -> None:
    from trueup.log.ticks import accept_clock

    declared = accept_clock(project)
    if declared is not None:
        output.note(f"the clock is accepted: {output.moment(declared.through)} (position {declared.position})")


def day(text: str | None, option: str) -> date | None:
    """Parse a day like 2024-03-31; raise `TrueupError` that names the option for anything else."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TrueupError(f"invalid day {text!r}", where=option, todo="write it like 2024-03-31") from None


def only_options(arguments: list[str] | None) -> list[str]:
    """Return the runner options after `--`; raise `TrueupError` for an argument that is not an option."""
    options = arguments or []
    if options and not options[0].startswith("-"):
        raise TrueupError(
            f"{options[0]!r} is not a runner option", todo="write runner options after --, such as -- --runner=FlinkRunner"
        )
    return options
