"""The command `notify`: report new and changed cases."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.exit_codes import FAILED
from trueup.cli.options import HERE, Json, ProjectDir, load


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(notify)


def notify(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be sent; send and record nothing.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Report new and changed cases, and requests for actions, to the channels of [notify]; each message is sent once."""
    from trueup.investigation.notify import notify as send

    done = send(load(project), dry_run=dry_run)
    if json:
        output.json_value(done)
    else:
        verb = "would be sent" if dry_run else "sent"
        output.line(f"{output.counted(done.sent, 'message')} {verb}, {done.known} sent before")
    for error in done.errors:
        output.note(f"trueup: {error}")
    if done.errors:
        raise typer.Exit(FAILED)
