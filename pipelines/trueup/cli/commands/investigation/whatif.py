"""The command `whatif`: what other settings, tariffs or rules would have found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.commands.investigation.diff import show_difference
from trueup.cli.options import HERE, Json, ProjectDir, day, load


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(whatif)


def whatif(
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="TABLE.KEY=VALUE", help="A setting, such as reconcile.voice.amount_tolerance=0.01; may be repeated."
        ),
    ] = None,
    book: Annotated[
        Path | None, typer.Option("--book", metavar="FILE", help="Tariffs, as one more file of the source of tariffs.")
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rule", metavar="TABLE", help='A rule of fraud, such as \'name = "x", kind = "range", prefixes = ["+882"]\'.'
        ),
    ] = None,
    from_day: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Compare findings from this day on.")] = None,
    to_day: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Compare findings up to this day.")] = None,
    most: Annotated[int, typer.Option("--limit", min=0, help="Largest number of single changes to list.")] = 20,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Reconcile a temporary copy of the log as if settings or tariffs had changed, and show the difference; write nothing."""
    from trueup.investigation.whatif import Supposition, what_if

    days = (day(from_day, "--from"), day(to_day, "--to"))
    supposed = Supposition(settings or (), book, rules or ())
    found = what_if(load(project), supposed, days=days, most=most, log=output.note)
    if json:
        output.json_value(found)
        return
    show_difference(found.difference)
    if found.rules is not None:
        output.dictionaries(
            found.rules, tuple(found.rules[0]) if found.rules else ("rule",), title="what the rules would have caught"
        )
