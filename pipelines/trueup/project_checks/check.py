"""All rules of a project, grouped by the input that they need, and the problems that they find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from trueup.config import Project
from trueup.project_checks import feeds, files, money, refused, services, settings, unused
from trueup.project_checks.facts import Facts
from trueup.project_checks.log_summary import LogSummary
from trueup.project_checks.problem import Problem, Rule, Severity

SETTING_RULES = (
    *feeds.SETTING_RULES, *services.SETTING_RULES, *money.SETTING_RULES, *settings.SETTING_RULES, *unused.SETTING_RULES,
)  # fmt: skip
"""Rules that need settings and files. `COLLECTION_RULES` concern files that only a collecting command reads."""
FILE_RULES, COLLECTION_RULES = files.FILE_RULES, files.COLLECTION_RULES
DELIVERY_RULES = files.DELIVERY_RULES
"""Rules about landing folders, for commands that do not collect; a collecting command reports the same as errors."""
LOG_RULES = (*files.LOG_RULES, *refused.LOG_RULES, *feeds.LOG_RULES, *services.LOG_RULES, *money.LOG_RULES)
"""Rules that also need the summary of the log."""
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "notice": 2}


def project_problems(
    project: Project, *, log: LogSummary | None = None, published: Path | None = None, collects: bool = False
) -> list[Problem]:
    """Return the problems of a project, errors first.

    Without `log` only rules that need no log are evaluated. `published` is the file that the command will publish. With `collects`,
    the command will collect files, so every path must be resolvable.
    """
    rules: Sequence[Rule] = (*SETTING_RULES, *FILE_RULES, *(COLLECTION_RULES if collects else ()))
    return _find_problems(
        rules if log is None else (*rules, *LOG_RULES, *DELIVERY_RULES), Facts(project, log or LogSummary(), published)
    )


def log_problems(project: Project, log: LogSummary) -> list[Problem]:
    """Return the problems of the rules that need the summary of the log."""
    return _find_problems(LOG_RULES, Facts(project, log))


def vanished_folders(project: Project, log: LogSummary) -> list[Problem]:
    """Return the problems of landing folders that do not exist any more."""
    return [problem for problem in _find_problems(DELIVERY_RULES, Facts(project, log)) if problem.rule == "vanished-folder"]


def collection_problems(project: Project, log: LogSummary) -> list[Problem]:
    """Return the problems of the rules about source files; these need only the sources' deliveries of the summary."""
    return _find_problems((*files.LOG_RULES, *refused.LOG_RULES), Facts(project, log))


def _find_problems(rules: Iterable[Rule], facts: Facts) -> list[Problem]:
    problems = [problem for rule in rules for problem in rule.problems(facts)]
    return sorted(problems, key=lambda problem: _ORDER[problem.severity])
