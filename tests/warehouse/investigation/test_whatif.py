"""A supposed rule gives the matches that it gives once it is in the settings; nothing is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from small_project import clock, reconcile, write_files

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.fraud.scoring.score_run import score
from trueup.investigation.whatif import Supposition, what_if
from trueup.warehouse.close import close
from trueup.warehouse.query import run

RULE = 'name = "quiet", kind = "range", prefixes = ["B1"]'


def test_a_supposed_rule_gives_the_matches_that_it_gives_once_it_is_set(tmp_path: Path) -> None:
    project = write_files(tmp_path)
    assert not ingest(project, clock=clock).errors
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    reconcile(project)
    supposed = what_if(project, Supposition(rules=(RULE,)))
    assert supposed.rules is not None and supposed.difference.changes == 0
    caught = {row["rule"]: (row["transactions"], row["cases"]) for row in supposed.rules}
    assert Project.load(tmp_path).config == project.config
    settings = tmp_path / FILE_NAME
    settings.write_text(settings.read_text("utf-8") + "\n[[fraud.rule]]\n" + RULE.replace(", ", "\n"), "utf-8")
    score(Project.load(tmp_path), clock=clock)
    query = (
        "SELECT rule, count(*), count(DISTINCT case_id) FROM "
        "(SELECT unnest(string_split(rules, ', ')) AS rule, case_id FROM suspicious_transactions) GROUP BY rule"
    )
    with run(Project.load(tmp_path), query) as answer:
        assert {row[0]: (row[1], row[2]) for row in answer.rows()} == caught
    assert caught == {"watched": (2, 2), "quiet": (3, 2)}
