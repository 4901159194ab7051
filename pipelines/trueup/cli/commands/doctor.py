"""The command `doctor`: checks the machine and the project."""

from __future__ import annotations

import typer

from trueup.cli import output
from trueup.cli.exit_codes import EXCEEDED
from trueup.cli.extras import EXTRAS
from trueup.cli.options import HERE, Json, ProjectDir


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(doctor)


def doctor(project: ProjectDir = HERE, json: Json = False) -> None:
    """Check the machine and the project: one line for each check, with what to do; exit status 1 where one is an error."""
    from trueup.clock import system_clock
    from trueup.doctor.machine import check_machine
    from trueup.doctor.project import check_project
    from trueup.log.catalog.connection import spare_pandas

    spare_pandas()
    results = []
    for result in (*check_machine(EXTRAS, project.absolute()), *check_project(project, system_clock)):
        results.append(result)
        if not json:
            advice = f"; {result.todo}" if result.todo else ""
            output.line(f"{result.grade:<6}  {result.subject}: {' '.join(result.found.split())}{advice}")
    if json:
        output.json_value([result.as_value() for result in results])
    if any(result.grade == "error" for result in results):
        raise typer.Exit(EXCEEDED)
