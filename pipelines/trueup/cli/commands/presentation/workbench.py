"""The command `workbench`: serve the web page."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir, load


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(workbench)


def workbench(
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="The address to listen on; by default that of [workbench], or loopback.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one; by default that of [workbench], or 8420.")
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Serve the web page: leakage of the day, cases, evidence, decisions, fraud, quality and SQL."""
    opened = load(project)
    from trueup.workbench.server import Listener, serve

    def announce(address: str) -> None:
        if json:
            output.json_value({"address": address})
            sys.stdout.flush()
        else:
            output.note(f"open {address}")

    config = opened.config.workbench
    serve(opened, Listener(host or config.host, config.port if port is None else port), output.note, announce)
