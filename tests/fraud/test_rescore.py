"""A newly promoted model scores earlier records once, as it would have at their time, and leaves existing scores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from polars.testing import assert_frame_equal
from small_operator import model_of, put_in_force, query_rows
from test_pieces import copied, stored

from trueup.cli import main
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.scoring.rescore import day_start_us, rescore
from trueup.fraud.scoring.score_run import score
from trueup.log.lake import Lake
from trueup.proof.verify import verify

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = "SELECT count(*) FROM lake.events.score WHERE source = 'model'"


def scored_by_rules(project: Project) -> Project:
    """Score all records by rules alone and return the project."""
    score(project)
    assert query_rows(project, ROWS) == [(0,)]
    return project


def test_rescoring_gives_the_scores_of_a_model_in_force_from_the_start_and_only_once(operator: Project) -> None:
    other = copied(operator, "other")
    put_in_force(other)
    score(other)
    scored_by_rules(operator)
    put_in_force(operator, since=None)
    score(operator)
    later = rescore(operator, date(2024, 3, 11))
    assert 0 < later.transactions < 1_500
    earlier = rescore(operator, date(1900, 1, 1))
    again = rescore(operator, date(2024, 3, 5))
    assert (again.transactions, again.suspicious) == (0, 0)
    columns = ["event_id", "source", "name", "role", "margin", "probability", "reasons"]
    rescored, expected = (next(stored(p)).select(columns) for p in (operator, other))
    assert_frame_equal(rescored, expected)
    counted = query_rows(operator, "SELECT sum(transactions)::INT FROM fraud_daily WHERE source = 'model'")
    assert counted == query_rows(other, "SELECT sum(transactions)::INT FROM fraud_daily WHERE source = 'model'")
    assert counted == [(later.transactions + earlier.transactions,)]
    with Lake.open(operator, read_only=True) as lake:
        assert verify(lake, only=("positions", "scores")).faults == ()


def test_the_first_day_of_the_calendar_begins_with_the_calendar_in_every_zone(operator: Project) -> None:
    settings = operator.config.project
    for zone, hours in (("Asia/Jakarta", 0), ("UTC", 0), ("Etc/GMT+5", 5)):
        of_zone = operator.config.model_copy(update={"project": settings.model_copy(update={"timezone": zone})})
        begin_us = day_start_us(date.min, Project(operator.directory, of_zone))
        assert EPOCH + timedelta(microseconds=begin_us) == datetime(1, 1, 1, hours, tzinfo=UTC)


def test_rescoring_leaves_earlier_scores_and_an_earlier_position_does_not_show_the_new_ones(operator: Project) -> None:
    scored_by_rules(operator)
    with Lake.open(operator, read_only=True) as lake:
        before = lake.last_position()
    rules = query_rows(operator, "SELECT event_id, rules FROM suspicious_transactions ORDER BY 1")
    put_in_force(operator, since=None)
    score(operator)
    assert rescore(operator, date(2024, 3, 1)).suspicious > 100
    from trueup.warehouse.query import run

    with run(operator, "SELECT event_id, rules FROM suspicious_transactions ORDER BY 1", as_of=str(before)) as answer:
        then = list(answer.rows())
    assert then == rules
    now = dict(query_rows(operator, "SELECT event_id, rules FROM suspicious_transactions"))
    assert {event for event, _ in rules} < set(now)


def test_a_model_in_force_for_a_part_rescores_only_the_remaining_records(operator: Project) -> None:
    put_in_force(operator, since=10)
    first = score(operator)
    before = query_rows(operator, ROWS)[0][0]
    summary = rescore(operator, date(2024, 3, 1))
    assert (
        summary.transactions + query_rows(operator, "SELECT sum(transactions)::INT FROM fraud_daily WHERE source = 'model'")[0][0]
        > 0
    )
    by_model = query_rows(operator, "SELECT sum(transactions)::INT FROM fraud_daily WHERE source = 'model'")[0][0]
    assert by_model == first.transactions
    assert query_rows(operator, ROWS)[0][0] == before + summary.suspicious


def test_rescoring_needs_a_champion_and_no_unscored_records(operator: Project, capsys: pytest.CaptureFixture[str]) -> None:
    scored_by_rules(operator)
    with pytest.raises(TrueupError, match="no model is in force"):
        rescore(operator, date(2024, 3, 1))
    put_in_force(operator, since=None)
    with pytest.raises(TrueupError, match="not all records have been scored"):
        rescore(operator, date(2024, 3, 1))
    where = ["--project", str(operator.directory)]
    assert main(["score", "--since", "2024-03-01", *where]) == 0
    assert f"rescored by {model_of(operator)} from 2024-03-01 on" in capsys.readouterr().out
    assert main(["score", "--since", "March", *where]) == 2
    assert "invalid day" in capsys.readouterr().err
