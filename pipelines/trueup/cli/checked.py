"""Problems of a project, shown once by the commands that ingest, reconcile or show its status."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trueup.cli import output
from trueup.cli.exit_codes import FAILED

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.project_checks.problem import Problem

STATUS_SCANS = 5_000_000
"""Largest number of pending records that `status` checks; `reconcile` reads them all in any case."""


def check_settings(project: Project, *, published: Path | None = None, collects: bool = False) -> list[Problem]:
    """Show problems of a project's settings and files; end the command with exit status 2 where one is an error."""
    from trueup.project_checks.check import project_problems

    problems = project_problems(project, published=published, collects=collects)
    show(problems)
    refuse(problems)
    return problems


def check_log(project: Project) -> list[Problem]:
    """Show problems that only the log of a project reveals."""
    from trueup.project_checks.check import log_problems
    from trueup.project_checks.log_summary import summarise_log
    from trueup.warehouse.query import with_retries

    problems = log_problems(project, with_retries(project, lambda warehouse: summarise_log(warehouse.lake, project)))
    show(problems)
    return problems


def check_collection(project: Project) -> list[Problem]:
    """Show problems of files that only the log reveals, after they have been ingested."""
    from trueup.project_checks.check import collection_problems
    from trueup.project_checks.log_summary import summarise_sources
    from trueup.warehouse.query import with_retries

    problems = collection_problems(project, with_retries(project, lambda warehouse: summarise_sources(warehouse.lake)))
    show(problems)
    return problems


def show(problems: Iterable[Problem]) -> None:
    """Print one line on stderr for each problem."""
    for problem in problems:
        prefix = "trueup" if problem.severity == "error" else problem.severity
        output.problem(f"{prefix}: {' '.join(str(problem).split())}")


def refuse(problems: Iterable[Problem]) -> None:
    """End the command with exit status 2 where a problem is an error."""
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(FAILED)


def fails(problems: Iterable[Problem]) -> bool:
    """Return whether a problem makes `--check` fail."""
    return any(problem.fails_check for problem in problems)


def as_value(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Return problems as values of JSON."""
    return [problem.as_value() for problem in problems]
