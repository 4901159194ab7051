"""The command `diff`: what changed between two points of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir, load

if TYPE_CHECKING:
    from trueup.investigation.difference import Difference


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(diff)


def diff(
    then: Annotated[str, typer.Argument(metavar="THEN", help="A position, time or day.")],
    now: Annotated[str | None, typer.Argument(metavar="[NOW]", help="A later one; by default the newest position.")] = None,
    most: Annotated[int, typer.Option("--limit", min=0, help="Largest number of single changes to list.")] = 20,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Compare findings and money of two points of the log; each change has its cause."""
    from trueup.investigation.difference import compare

    found = compare(load(project), then, now, most=most)
    if json:
        output.json_value(found)
        return
    show_difference(found)


def show_difference(found: Difference) -> None:
    """Print the money then and now, the changes by cause, and the largest changes."""
    output.line(f"position {found.then} to {found.now}: {output.counted(found.changes, 'change')} of findings")
    if found.money:
        output.dictionaries(found.money, tuple(found.money[0]), title="findings neither resolved nor retracted, then and now")
    if found.causes:
        output.dictionaries(found.causes, tuple(found.causes[0]), title="changes by cause")
    if found.findings:
        output.dictionaries(found.findings, tuple(found.findings[0]), title="largest changes")
