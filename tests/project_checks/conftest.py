"""A tiny project without a problem, and the problems that rules find after a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trueup.config import Project, parse
from trueup.project_checks.check import project_problems
from trueup.project_checks.log_summary import LogSummary
from trueup.project_checks.problem import Problem

SOUND = """
[project]
timezone = "UTC"
currency = "EUR"

[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.csv"
lateness = "1h"
columns = { record_key = "id", session_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds" }
constants = { service = "voice" }

[[source]]
name = "billing"
stream = "charge"
path = "landing/billing/*.csv"
columns = { record_key = "line", session_key = "id", subscriber = "caller", started_at = "start", amount = "amount" }
constants = { service = "voice" }

[reconcile.voice]
price = "0.01"
grace = "1h"
"""

Find = Callable[..., list[Problem]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Return a function that returns the problems of the sound project after changes and additions to its text."""

    def problems(
        *changes: tuple[str, str],
        added: str = "",
        log: LogSummary | None = None,
        published: Path | None = None,
        collects: bool = False,
    ) -> list[Problem]:
        text = SOUND
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        project = Project(tmp_path, parse(text + added))
        return project_problems(project, log=log, published=published, collects=collects)

    for name in ("msc/a.csv", "billing/b.csv"):
        (tmp_path / "landing" / name).parent.mkdir(parents=True)
        (tmp_path / "landing" / name).write_text("x\n", "utf-8")
    return problems
