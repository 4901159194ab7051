"""All rules about a project, by what they look at, and the problems they find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from trueup.config import Project
from trueup.project_checks import feeds, files, money, services, settings
from trueup.project_checks.facts import Facts
from trueup.project_checks.log_summary import LogSummary
from trueup.project_checks.problem import Problem, Rule, Severity

SETTING_RULES = (
    *feeds.SETTING_RULES, *services.SETTING_RULES, *money.SETTING_RULES, *settings.SETTING_RULES,
)  # fmt: skip
"""Rules that the settings and files decide; `COLLECTION_RULES` are about files that only a command which collects needs."""
FILE_RULES, COLLECTION_RULES = files.FILE_RULES, files.COLLECTION_RULES
LOG_RULES = (*files.LOG_RULES, *feeds.LOG_RULES, *services.LOG_RULES, *money.LOG_RULES)
"""Rules that need the summary of the log as well."""
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "notice": 2}


def project_problems(
    project: Project, *, log: LogSummary | None = None, published: Path | None = None, collects: bool = False
) -> list[Problem]:
    """What is wrong with a project, errors first.

    Without `log` only the rules that need none are looked at. `published` is the file that is about to be published; `collects`
    says that files are about to be collected, for which every path must be resolved.
    """
    rules: Sequence[Rule] = (*SETTING_RULES, *FILE_RULES, *(COLLECTION_RULES if collects else ()))
    return _found(rules if log is None else (*rules, *LOG_RULES), Facts(project, log or LogSummary(), published))


def log_problems(project: Project, log: LogSummary) -> list[Problem]:
    """What the log adds to the problems of a project: those of the rules that need its summary."""
    return _found(LOG_RULES, Facts(project, log))


def collection_problems(project: Project, log: LogSummary) -> list[Problem]:
    """What the log adds about the files of sources; of its summary only what the sources have brought is looked at."""
    return _found(files.LOG_RULES, Facts(project, log))


def _found(rules: Iterable[Rule], facts: Facts) -> list[Problem]:
    found = [problem for rule in rules for problem in rule.problems(facts)]
    return sorted(found, key=lambda problem: _ORDER[problem.severity])
