"""Scoring in partitions, epoch by epoch, gives the scores of one run over the log, also for late and repeated records."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_operator import Scored, put_in_force, query_rows, with_blamed_rule

from trueup.config import Project
from trueup.errors import LogError, TrueupError
from trueup.frames import from_ipc, to_ipc
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import Feature, FeatureError, FeatureSet
from trueup.fraud.features.incremental import Arrivals, FeatureWindows, is_behind
from trueup.fraud.features.partitioned import (
    HOME,
    Part,
    declared_for,
    join_features,
    merge_scores,
    partition_by_entity,
    route_features,
    score_owner_range,
    transactions_by_owner,
)
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.features.window_state import State, advance
from trueup.fraud.load import decisions_of, label_events
from trueup.fraud.scoring.model_registry import active_models as models_in_force
from trueup.fraud.scoring.model_registry import models_of
from trueup.fraud.scoring.score_run import CONSUMER, ScoreBatch, commit_judged, score
from trueup.log.lake import Lake
from trueup.reconcile.incremental.poller import resume_position
from trueup.reconcile.run_partition import bucket_ranges
from trueup.warehouse.decide import decide


def score_in_partitions(project: Project, ends: list[int], *, groups: int, owner_ranges: int, forgetful: int = 0) -> None:
    """Score epoch by epoch as an engine does, with serialized states; each `forgetful`-th epoch starts without states."""
    config = project.config.fraud
    declared, states = declared_for(config), {}
    with Lake.open(project) as lake:
        ranges = bucket_ranges(project.config.lake.buckets, owner_ranges)
        arrivals, windows, after = Arrivals(lake), FeatureWindows(lake, groups), lake.consumer_position(CONSUMER)
        for number, upto in enumerate(ends):
            if forgetful and number % forgetful == 0:
                states, arrivals = {}, Arrivals(lake)
            events = arrivals.of(after, upto)
            least_us = events.filter(~pl.col("is_label"))["at_us"].min()
            features_of_range: dict[int, dict[int, list[pl.DataFrame]]] = {}
            windows.release(after)
            for part, rows in partition_by_entity(declared, events, ranges, groups):
                head, runs = states.get(part, (None, {}))
                before = None if head is None else windows.restore(part, head, runs)
                (carried,) = from_ipc(to_ipc(rows))
                features, state = windows.compute(part, before, carried, after=after, least_us=least_us)
                if state is not None:
                    packed = windows.serialize(state, before)
                    runs = {n: r for n, r in (runs | packed.runs).items() if n < packed.count}
                    states[part] = (packed.head, runs)
                for home, owned in route_features(features, rows.filter(~pl.col("is_label")).select("event_id", HOME)):
                    features_of_range.setdefault(home, {}).setdefault(part.entity, []).append(owned)
            parts = models_in_force(lake, after=after, upto=upto) or []
            models = models_of(project, telecom_features(), parts)
            judged = [
                score_owner_range(config, facts, features_of_range.get(home, {}), parts, models, upto=upto)
                for home, facts in transactions_by_owner(declared, events, ranges)
            ]
            judged = [ScoreBatch(*from_ipc(to_ipc(j.score, j.scoring, j.drift))) for j in judged]
            assert commit_judged(lake, merge_scores(judged), after=after, upto=upto)
            after = upto


def stored(project: Project) -> Iterator[pl.DataFrame]:
    """Yield the stored scores, and the counts of all scoring runs added up."""
    with Lake.open(project, read_only=True) as lake:
        yield lake.connection.execute("SELECT * FROM lake.events.score ORDER BY event_id, source, name, party").pl()
        for table, counts in (("scoring", "transactions, suspicious, in_sample"), ("drift", "transactions")):
            names = ", ".join(f"sum({c.strip()})::BIGINT AS {c.strip()}" for c in counts.split(","))
            yield lake.connection.execute(
                f"SELECT * EXCLUDE (position, {counts}), {names} FROM lake.events.{table} GROUP BY ALL ORDER BY ALL"
            ).pl()


def assert_scored_alike(first: Project, other: Project) -> None:
    for left, right in zip(stored(first), stored(other), strict=True):
        assert left.height
        assert_frame_equal(left, right)


def copied(project: Project, name: str) -> Project:
    return Project.load(shutil.copytree(project.directory, project.directory.with_name(name)))


@pytest.mark.parametrize(
    ("groups", "owner_ranges", "step", "forgetful"),
    [
        pytest.param(1, 1, 1, 0, marks=pytest.mark.slow), pytest.param(3, 2, 4, 0, marks=pytest.mark.slow),
        pytest.param(8, 4, 3, 2, marks=pytest.mark.slow), (4, 3, 5, 2), pytest.param(2, 3, 50, 0, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_partitions_give_the_scores_of_one_run(
    disorderly: Project, scored: Scored, groups: int, owner_ranges: int, step: int, forgetful: int
) -> None:
    with Lake.open(disorderly) as lake:
        last = lake.last_position()
    score_in_partitions(disorderly, [*range(step, last, step), last], groups=groups, owner_ranges=owner_ranges, forgetful=forgetful)
    assert_scored_alike(scored.project, disorderly)


def test_labels_count_in_the_windows_of_later_transactions(disorderly: Project) -> None:
    disorderly = with_blamed_rule(disorderly)
    with Lake.open(disorderly) as lake:
        last = lake.last_position()
    score_in_partitions(disorderly, [12], groups=3, owner_ranges=2)
    cases = query_rows(disorderly, "SELECT case_id FROM cases WHERE probability > 0.5 ORDER BY day LIMIT 3")
    for (case,) in cases:
        decide(disorderly, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 3, 14, tzinfo=UTC))
    assert cases
    other = copied(disorderly, "other")
    score(disorderly)
    score_in_partitions(other, [*range(14, last, 2), last], groups=3, owner_ranges=2, forgetful=5)
    assert_scored_alike(disorderly, other)
    assert query_rows(other, "SELECT count(*) FROM lake.events.score WHERE name = 'blamed'")[0][0] > 30


def test_a_decision_on_a_case_leaves_later_transactions_open(disorderly: Project) -> None:
    score_in_partitions(disorderly, [8], groups=1, owner_ranges=1)
    (case,) = query_rows(disorderly, "SELECT case_id FROM cases ORDER BY probability DESC NULLS LAST LIMIT 1")[0]
    decide(disorderly, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 6, 1, tzinfo=UTC))
    score(disorderly)
    rows = query_rows(disorderly, f"SELECT status, position <= 8 FROM suspicious_transactions WHERE case_id = '{case}'")
    assert {status for status, seen in rows if seen} == {"confirmed"}
    assert {status for status, seen in rows if not seen} <= {"open"}


def test_a_committed_epoch_is_skipped_and_one_that_overlaps_another_run_is_refused(disorderly: Project) -> None:
    no_scores = ScoreBatch(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    with Lake.open(disorderly) as lake:
        assert commit_judged(lake, no_scores, after=0, upto=5)
        assert not commit_judged(lake, no_scores, after=0, upto=5)
        assert not commit_judged(lake, no_scores, after=2, upto=4)
        with pytest.raises(LogError, match="scored up to 5 meanwhile"):
            commit_judged(lake, no_scores, after=3, upto=7)


def test_a_state_ahead_of_the_scores_is_refused(disorderly: Project) -> None:
    with Lake.open(disorderly) as lake:
        assert (resume_position(lake, None, CONSUMER), resume_position(lake, 0, CONSUMER)) == (0, 0)
        with pytest.raises(LogError, match="state is at position 3"):
            resume_position(lake, 3, CONSUMER)


def test_scoring_is_up_to_date_without_a_model_or_a_rule(operator: Project) -> None:
    path = operator.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").split("[[fraud.rule]]")[0], "utf-8")
    project = Project.load(operator.directory)
    with Lake.open(project) as lake:
        assert not is_behind(lake)
    put_in_force(project)
    with Lake.open(project) as lake:
        assert is_behind(lake)
    score(project)
    with Lake.open(project) as lake:
        assert not is_behind(lake)


def test_a_state_of_other_windows_or_another_grouping_is_rebuilt_and_a_newer_version_ends_the_job(
    operator: Project,
) -> None:
    with Lake.open(operator, read_only=True) as lake:
        events, part = Arrivals(lake).of(0, 3), Part(0, 0)
        two, three = FeatureWindows(lake, 2), FeatureWindows(lake, 3)
        own = declared_for(operator.config.fraud).per_entity[0]
        states = two.serialize(State.of(own, events), None)
        assert two.restore(part, states.head, states.runs).rows.equals(State.of(own, events).rows)
        assert three.restore(part, states.head, states.runs) is None
        assert two.restore(Part(1, 0), states.head, states.runs) is None
        assert two.restore(part, states.head, {}) is None
        newer = states.head.replace(
            b"trueup.state\x00\x00\x00\x00\x01\x00\x00\x002", b"trueup.state\x00\x00\x00\x00\x01\x00\x00\x009"
        )
        assert newer != states.head
        with pytest.raises(TrueupError, match="later version"):
            two.restore(part, newer, states.runs)


def test_a_transaction_with_missing_or_repeated_features_is_an_error(operator: Project) -> None:
    with Lake.open(operator, read_only=True) as lake:
        events = Arrivals(lake).of(0, 3)
    declared: FeatureSet = declared_for(operator.config.fraud)
    features = history(declared.per_entity[0], events)
    assert events.height == 126
    with pytest.raises(FeatureError, match="returned 252 transactions instead of 126"):
        join_features(declared, events, {0: [features, features]})
    with pytest.raises(FeatureError, match="peer returned 0 transactions instead of 126"):
        join_features(declared, events, {0: [features]})


def test_a_slowly_growing_state_rewrites_few_runs() -> None:
    declared = FeatureSet((), (Feature("calls", ("caller",), 10**9, "count"),))
    schema = {"event_id": pl.Int64, "at_us": pl.Int64, "position": pl.Int64, "is_label": pl.Boolean, "caller": pl.String}
    state = State.of(declared, pl.DataFrame(schema=schema))
    states: dict[int, bytes] = {}
    head, written_rows = b"", 0
    for n in range(200):
        row = pl.DataFrame([(n, n, n, False, "A")], schema=schema, orient="row")
        features, after = advance(declared, state, row, lateness_us=5)
        assert features["calls"].to_list() == [n + 1]
        packed = after.pack_changes(state)
        written_rows += sum(after.runs[i] for i in packed.runs)
        states = {i: run for i, run in (states | packed.runs).items() if i < packed.count}
        head, state = packed.head, after
    assert State.unpack(head, declared, states).rows.equals(state.rows)
    assert written_rows < 200 * 10


def test_an_epoch_processed_again_gets_the_labels_of_later_epochs_that_were_decided_before(disorderly: Project) -> None:
    score(disorderly)
    for (case,) in query_rows(disorderly, "SELECT case_id FROM cases ORDER BY day"):
        decide(disorderly, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 3, 14, tzinfo=UTC))
    with Lake.open(disorderly, read_only=True) as lake:
        last = lake.last_position()
        arrivals, ends = Arrivals(lake), [*range(4, last, 4), last]
        epochs = [arrivals.of(after, upto) for after, upto in pairwise([0, *ends])]
        expected = label_events(lake, disorderly, decisions_of(lake, disorderly), upto=last)
    labels = pl.concat(epochs).filter("is_label")
    assert labels.height > epochs[0].filter("is_label").height
    assert labels["event_id"].sort().to_list() == expected["event_id"].sort().to_list()
