"""The result of one check: its severity, what was checked and found, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trueup.errors import TrueupError

Grade = Literal["ok", "notice", "error"]


@dataclass(frozen=True)
class Result:
    """The result of a check of the machine or project: `subject` was checked, `found` is a sentence, `todo` the advice, if any."""

    grade: Grade
    subject: str
    found: str
    todo: str = ""

    def as_value(self) -> dict[str, str]:
        """Return the result for JSON."""
        return {"grade": self.grade, "subject": self.subject, "found": self.found, "todo": self.todo}


def of_error(subject: str, error: TrueupError) -> Result:
    """Return the result of a check that raised an error."""
    where = f" ({error.where})" if error.where else ""
    return Result("error", subject, f"{error.what}{where}", error.todo)
