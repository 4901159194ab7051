"""The budget is one number for the cases of rules and model together: what is left is the model's, the rest is over budget."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_operator import BEGIN, query_rows, records, write_project

from trueup.cli import main
from trueup.cli.commands.fraud import over_budget_line, over_budget_of
from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.monitoring.fit_budget import Realised, fitted_threshold, realised_cases
from trueup.fraud.scoring.accused import accused, both_accused, contributions_by_side, first_is_peer
from trueup.fraud.scoring.score_run import ScoreSummary
from trueup.log.lake import Lake
from trueup.workbench.reading.statements import statement_text
from trueup.workbench.reading.view_copy import ViewCopy

DAYS_OF_OLD, DAYS = 4, 8
RULES = ("x", "y", "z")
MODEL = {"a": 0.9, "b": 0.8, "c": 0.7}


def alert(number: int, day: int, party: str, *, rule: str | None = None, probability: float | None = None) -> dict:
    at = datetime(2024, 3, 1, 12, tzinfo=UTC) + timedelta(days=day)
    source, name, role = ("rule", rule, "alert") if rule else ("model", "m", "champion")
    return {
        "event_id": number.to_bytes(16, "big"), "position": 1, "source": source, "name": name, "role": role, "bucket": 0,
        "day": at.date(), "started_at": at, "service": "voice", "subscriber": party, "peer": None, "party": party, "margin": probability,
        "probability": probability, "reasons": '{"sentences":["s"]}', "party_rank": 1, "in_sample": False,
    }  # fmt: skip


def tally(day: int, name: str, *, transactions: int = 100) -> dict:
    source, role = ("rule", "alert") if name == "hot" else ("model", "champion")
    return {
        "day": (BEGIN + timedelta(days=day)).date(), "source": source, "name": name, "role": role, "transactions": transactions,
        "suspicious": 0, "in_sample": 0, "position": 1,
    }  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with a budget of four, whose rule raises three cases a day, and whose model raises three others.

    Another model was the champion on four earlier days, without any case. Two of the days are no ordinary ones.
    """
    project = with_budget(write_project(tmp_path / "operator", [(0, r) for r in records(1)]), 4)
    assert not ingest(project).errors
    days, alerts, tallies = range(DAYS_OF_OLD, DAYS_OF_OLD + DAYS), list[dict](), list[dict]()
    for day in days:
        found = [alert(0, day, party, rule="hot") for party in RULES]
        found += [alert(0, day, party, probability=score) for party, score in MODEL.items()]
        # The model also finds a party of the rule suspicious: that adds no case.
        found.append(found[0] | {"source": "model", "name": "m", "role": "champion", "margin": 0.6, "probability": 0.6})
        alerts += found
    alerts += [alert(0, 20, f"{n}", probability=0.9) for n in range(30)]
    alerts = [row | {"event_id": f"{row['day']} {row['party']}".encode()} for row in alerts]
    for day in range(DAYS_OF_OLD + DAYS):
        tallies += [tally(day, "m" if day >= DAYS_OF_OLD else "old"), tally(day, "hot")]
    # A day of a bulk load, and the newest day, which is not complete.
    tallies += [tally(20, "m", transactions=1_000), tally(20, "hot", transactions=1_000), tally(21, "m"), tally(21, "hot")]
    with Lake.open(project) as lake:
        lake.commit(lambda transaction: transaction.append("score", pl.DataFrame(alerts, infer_schema_length=None)))
        lake.commit(lambda transaction: transaction.append("scoring", pl.DataFrame(tallies)))
        declare(lake, 0.5)
    return project


def declare(lake: Lake, threshold: float) -> None:
    content = {"model_id": "m", "role": "champion", "since": 0, "threshold": threshold}
    lake.commit(lambda transaction: transaction.declare("model", content=content))


def with_budget(project: Project, budget: int) -> Project:
    path = project.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").replace("alerts_per_day = 2", f"alerts_per_day = {budget}"), "utf-8")
    return Project.load(project.directory)


def test_the_fitted_threshold_leaves_the_model_what_rules_leave_of_the_budget_on_each_day(project: Project) -> None:
    with Lake.open(project) as lake:
        realised = realised_cases(lake, "m")
        threshold = fitted_threshold(lake, "m")
    # Neither the bulk load, nor the newest day, nor the days of the other champion count.
    assert (realised.days, realised.by_rules, realised.left, len(realised.probabilities)) == (8, 24, 8, 24)
    assert realised.is_exceeded
    assert realised.shown == "6.0 cases a day in 8 days, 3.0 of them of rules"
    # With half of the budget for the model at least, it would have been 0.8, and five cases a day.
    assert threshold == 0.9


def test_a_threshold_that_keeps_the_budget_is_not_raised_and_never_lowered(project: Project) -> None:
    with Lake.open(project) as lake:
        declare(lake, 0.9)
        # The cases below the threshold in force are of earlier days, when it was lower.
        assert len(realised_cases(lake, "m").probabilities) == 8
        with pytest.raises(TrueupError, match=r"the budget of 4 is kept: 4.0 cases a day in 8 days, 3.0 of them of rules"):
            fitted_threshold(lake, "m")
        with pytest.raises(TrueupError, match="no day is scored on which it was the champion"):
            declare_other(lake)


def declare_other(lake: Lake) -> None:
    lake.commit(lambda t: t.declare("model", content={"model_id": "n", "role": "champion", "since": None, "threshold": 0.5}))
    fitted_threshold(lake, "n")


def test_where_rules_alone_exceed_the_budget_the_message_names_them_as_the_cause(project: Project) -> None:
    with Lake.open(with_budget_of(project, 2)) as lake:
        # What rules leave is nothing, so only a score above all others of these days raises a case.
        assert 0.9 < fitted_threshold(lake, "m") < 0.900001
        declare(lake, 0.95)
        with pytest.raises(TrueupError, match=r"the budget of 2 is exceeded by rules alone: 3.0 cases a day"):
            fitted_threshold(lake, "m")


def with_budget_of(project: Project, budget: int) -> Project:
    path = project.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").replace("alerts_per_day = 4", f"alerts_per_day = {budget}"), "utf-8")
    return Project.load(project.directory)


def test_a_few_more_cases_than_the_budget_are_chance_and_a_few_days_prove_nothing() -> None:
    realised = Realised(budget=5, days=14, by_rules=20, left=50, probabilities=np.full(64, 0.9))
    assert not realised.is_kept and not realised.is_exceeded
    assert replace(realised, probabilities=np.full(65, 0.9)).is_exceeded
    assert not replace(realised, days=2, left=5).is_exceeded


def test_cases_beyond_the_budget_of_a_day_stay_visible_and_are_counted_with_their_rules(project: Project) -> None:
    rows = query_rows(
        project,
        "SELECT day, count(*), count(*) FILTER (over_budget), max(rank_of_day) FILTER (NOT over_budget) FROM cases WHERE type = 'fraud' "
        "GROUP BY day ORDER BY day LIMIT 8",
    )
    assert [counts for _, *counts in rows] == [[6, 2, 4]] * DAYS
    # The model's cases come first by probability, then the one of both.
    over = query_rows(project, "SELECT DISTINCT party, rules FROM cases WHERE over_budget AND day < '2024-03-15' ORDER BY party")
    assert over == [("y", "hot"), ("z", "hot")]
    counted = over_budget_of(project, ScoreSummary(0, 1), again=False)
    assert counted == {"cases": 8 * 2 + 26, "days": 9, "rules": "hot 16"}
    said = "over the budget of 4 cases a day: 42 cases on 9 days, ranked last (over_budget in cases); with matches of rules: hot 16"
    assert over_budget_line(counted, 4) == said
    assert over_budget_of(project, ScoreSummary(1, 1), again=False) == {"cases": 0, "days": 0, "rules": None}


def test_the_queue_of_the_page_has_the_cases_within_the_budget_first(project: Project) -> None:
    views = ViewCopy(project, lambda: BEGIN)
    views.refresh()
    try:
        with views.reading() as (_, connection):
            rows = connection.execute(statement_text("fraud/queue"), {"status": "", "search": "", "most": 1_000}).fetchall()
    finally:
        views.close()
    over = [row[-1] for row in rows]
    assert (len(over), sum(over)) == (6 * DAYS + 30, 2 * DAYS + 26)
    assert over == sorted(over)


def test_scoring_reports_the_cases_over_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = with_budget(write_project(tmp_path / "operator", [(0, r) for r in records(1)]), 1)
    path = project.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").replace('"+99970000003"', '"+99970000003", "+99970000004", "+99970000005"'), "utf-8")
    where = ["--project", str(project.directory)]
    assert main(["ingest", *where]) == 0
    capsys.readouterr()
    assert main(["score", "--json", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["over_budget"] == {"cases": 2, "days": 1, "rules": "watched 2"}
    assert len(said["first_cases"]) == 3


def test_both_ends_of_many_transactions_are_accused_as_those_of_each_alone() -> None:
    owners = ["subscriber", "peer", "transaction"]
    values = (-1.0, 0.0, 0.4, 0.5, 1.0, 2.0)
    added = np.array([(a, b, c) for a in values for b in values for c in (0.0, 0.3)])
    for is_received in (False, True):
        for has_peer in (False, True):
            flags = [np.full(len(added), flag) for flag in (is_received, has_peer)]
            first, both = first_is_peer(added, owners, *flags), both_accused(added, owners, *flags)
            actor = "peer" if is_received else "subscriber"
            ends = [accused(contributions_by_side(row, owners, actor), actor=actor, has_peer=has_peer) for row in added]
            assert [end[0].side == "peer" for end in ends] == first.tolist()
            assert [len(end) == 2 for end in ends] == both.tolist()
