"""The problems of a project, shown once by the commands that collect, reconcile or show its state."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trueup.cli import output

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.project_checks.problem import Problem

FAILED = 2
STATUS_SCANS = 5_000_000
"""How many records that wait to be reconciled `status` looks through at most; who reconciles them reads them anyway."""


def checked(project: Project, *, published: Path | None = None, collects: bool = False) -> list[Problem]:
    """Shows what is wrong with the settings and files of a project; ends the command with exit status 2 where one is an error."""
    from trueup.project_checks.check import project_problems

    found = project_problems(project, published=published, collects=collects)
    show(found)
    refuse(found)
    return found


def log_checked(project: Project) -> list[Problem]:
    """Shows what the log of a project adds to its problems."""
    from trueup.project_checks.check import log_problems
    from trueup.project_checks.log_summary import summarise_log
    from trueup.warehouse.query import with_retries

    found = log_problems(project, with_retries(project, lambda warehouse: summarise_log(warehouse.lake, project)))
    show(found)
    return found


def collection_checked(project: Project) -> list[Problem]:
    """Shows what the log adds about files, once they have been collected."""
    from trueup.project_checks.check import collection_problems
    from trueup.project_checks.log_summary import summarise_sources
    from trueup.warehouse.query import with_retries

    found = collection_problems(project, with_retries(project, lambda warehouse: summarise_sources(warehouse.lake)))
    show(found)
    return found


def show(problems: Iterable[Problem]) -> None:
    """One line on stderr for each problem."""
    for problem in problems:
        prefix = "trueup" if problem.severity == "error" else problem.severity
        output.note(f"{prefix}: {' '.join(str(problem).split())}")


def refuse(problems: Iterable[Problem]) -> None:
    """Ends the command with exit status 2 where a problem is an error."""
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(FAILED)


def fails(problems: Iterable[Problem]) -> bool:
    """Whether `--check` fails for a problem."""
    return any(problem.fails_check for problem in problems)


def as_value(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Problems for JSON."""
    return [problem.as_value() for problem in problems]
