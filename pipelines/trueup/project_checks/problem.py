"""Problems of a project, and the rules that find them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from trueup.project_checks.facts import Facts

Severity = Literal["error", "warning", "notice"]
"""error: the log would accept data that it cannot remove, or a setting would be ignored.
warning: findings would be wrong until corrected. notice: possibly intended."""

Instance = Mapping[str, object]
"""One location of a problem: `where`, and the values for the rule's sentence and advice."""


@dataclass(frozen=True)
class Problem:
    """A problem of a project: the rule that found it, a sentence, the table or file, and advice.

    With `fails_check`, `--check` fails. An implied default is reported, but does not fail the check.
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
        """Return the problem for JSON."""
        return {"rule": self.rule, "severity": self.severity, "what": self.what, "where": self.where, "todo": self.todo}


@dataclass(frozen=True)
class Rule:
    """A rule: its name, severity and sentences, and the function that finds its instances."""

    id: str
    severity: Severity
    sentence: str
    todo: str
    find: Callable[[Facts], Iterable[Instance]]
    fails_check: bool = True

    def problems(self, facts: Facts) -> Iterable[Problem]:
        """Yield a problem for each instance that the rule finds."""
        for instance in self.find(facts):
            values = {name: str(value) for name, value in instance.items()}
            what, todo = self.sentence.format_map(values), self.todo.format_map(values)
            yield Problem(self.id, self.severity, what, values["where"], todo, self.fails_check)
