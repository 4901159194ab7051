"""The Beam scoring job gives the scores of the plain call, committed once, for any number of partitions and processes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from small_operator import Scored, model_of, put_in_force, query_rows, with_blamed_rule
from test_pieces import assert_scored_alike, copied

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.scoring.score_run import score as plain_score
from trueup.jobs.score_batch import score
from trueup.log.lake import Lake
from trueup.warehouse.decide import decide

BLAMED = "SELECT count(*) FROM lake.events.score WHERE name = 'blamed'"
PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.mark.parametrize(
    ("partitions", "options"),
    [pytest.param(1, (), marks=pytest.mark.slow), (3, ()), pytest.param(4, PROCESSES, marks=pytest.mark.slow)],
)
def test_partitions_score_as_the_plain_call_does_and_a_second_run_adds_nothing(
    disorderly: Project, scored: Scored, partitions: int, options: tuple[str, ...]
) -> None:
    summary = score(disorderly, partitions=partitions, runner_options=options)
    assert summary == scored.summary
    assert_scored_alike(scored.project, disorderly)
    again = score(disorderly, partitions=partitions)
    assert (again.from_position, again.transactions) == (again.to_position, 0)
    assert_scored_alike(scored.project, disorderly)


def test_features_after_a_decision_use_its_label_in_partitions_too(operator: Project) -> None:
    operator = with_blamed_rule(operator)
    put_in_force(operator)
    plain_score(operator)
    assert query_rows(operator, BLAMED) == [(0,)]
    for (case,) in query_rows(operator, "SELECT case_id FROM cases WHERE probability > 0.5"):
        decide(operator, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 3, 20, tzinfo=UTC))
    # Reset scoring to position 16, while the decisions remain.
    with Lake.open(operator) as lake:
        lake.commit(lambda t: t.connection.execute("DELETE FROM lake.events.consumer"))
        lake.commit(lambda t: t.set_consumer_position("score", 16))
        for table in ("scoring", "drift"):
            lake.commit(lambda t, table=table: t.connection.execute(f"DELETE FROM lake.events.{table}"))
    other = copied(operator, "other")
    assert plain_score(operator) == score(other, partitions=3)
    assert_scored_alike(operator, other)
    assert query_rows(other, BLAMED)[0][0] > 30


def test_a_damaged_model_is_reported_before_the_job_runs(disorderly: Project) -> None:
    trees = disorderly.directory / "models" / model_of(disorderly) / "model.ubj"
    trees.write_bytes(trees.read_bytes()[:-10])
    with pytest.raises(TrueupError, match="the model is damaged"):
        score(disorderly)
    assert query_rows(disorderly, "SELECT count(*) FROM lake.events.score") == [(0,)]


def test_positions_without_usage_records_are_skipped(disorderly: Project) -> None:
    last = score(disorderly).to_position
    put_in_force(disorderly, "challenger", since=None)
    summary = score(disorderly)
    assert (summary.from_position, summary.to_position, summary.transactions) == (last, last + 1, 0)
