"""A problem of a project, and the rules that find them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from trueup.project_checks.facts import Facts

Severity = Literal["error", "warning", "notice"]
"""error: the log would take in what it cannot lose again. warning: findings would be wrong until it is corrected. notice: perhaps
intended."""

Instance = Mapping[str, object]
"""One place that a rule finds wrong: `where`, and the values of the rule's sentence and advice."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a project: the rule that found it, a sentence, the table or file, and what to do about it.

    `fails_check` says whether `--check` fails for it: a default that holds since nothing is set is worth a line, but no failure.
    """

    rule: str
    severity: Severity
    what: str
    where: str
    todo: str
    fails_check: bool = True

    def __str__(self) -> str:
        return f"{self.what} ({self.where}); {self.todo}"

    def as_value(self) -> dict[str, str]:
        """The problem for JSON."""
        return {"rule": self.rule, "severity": self.severity, "what": self.what, "where": self.where, "todo": self.todo}


@dataclass(frozen=True)
class Rule:
    """A rule: what it is called, how bad it is, what it says, and how it finds what it is about."""

    id: str
    severity: Severity
    sentence: str
    todo: str
    find: Callable[[Facts], Iterable[Instance]]
    fails_check: bool = True

    def problems(self, facts: Facts) -> Iterable[Problem]:
        """A problem for each place that the rule finds."""
        for instance in self.find(facts):
            values = {name: str(value) for name, value in instance.items()}
            what, todo = self.sentence.format_map(values), self.todo.format_map(values)
            yield Problem(self.id, self.severity, what, values["where"], todo, self.fails_check)
