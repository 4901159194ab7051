"""Scoring in pieces, epoch by epoch: what one run over the log says, with records that come late and again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_operator import blaming, in_force, told

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
from trueup.fraud.scoring.model_registry import active_models as models_in_force
from trueup.fraud.scoring.model_registry import models_of
from trueup.fraud.scoring.score_run import CONSUMER, ScoreBatch, commit_judged, score
from trueup.log.lake import Lake
from trueup.reconcile.incremental.poller import resume_position
from trueup.reconcile.run_partition import bucket_ranges
from trueup.warehouse.decide import decide


def in_pieces(project: Project, ends: list[int], *, groups: int, homes: int, forgetful: int = 0) -> None:
    """Scores epoch by epoch as an engine would, every state through its bytes; each `forgetful`-th epoch finds none."""
    config = project.config.fraud
    declared, kept = declared_for(config), {}
    with Lake.open(project) as lake:
        ranges = bucket_ranges(project.config.lake.buckets, homes)
        arrivals, windows, after = Arrivals(lake), FeatureWindows(lake, groups), lake.consumer_position(CONSUMER)
        for number, upto in enumerate(ends):
            if forgetful and number % forgetful == 0:
                kept, arrivals = {}, Arrivals(lake)
            events = arrivals.of(after, upto)
            least_us = events.filter(~pl.col("is_label"))["at_us"].min()
            found: dict[int, dict[int, list[pl.DataFrame]]] = {}
            windows.forget(after)
            for part, rows in partition_by_entity(declared, events, ranges, groups):
                head, runs = kept.get(part, (None, {}))
                before = None if head is None else windows.restored(part, head, runs)
                (carried,) = from_ipc(to_ipc(rows))
                features, state = windows.told(part, before, carried, after=after, least_us=least_us)
                if state is not None:
                    parted = windows.kept(state, before)
                    runs = {n: r for n, r in (runs | parted.runs).items() if n < parted.count}
                    kept[part] = (parted.head, runs)
                for home, mine in route_features(features, rows.filter(~pl.col("is_label")).select("event_id", HOME)):
                    found.setdefault(home, {}).setdefault(part.entity, []).append(mine)
            parts = models_in_force(lake, after=after, upto=upto) or []
            models = models_of(project, telecom_features(), parts)
            judged = [
                score_owner_range(config, facts, found.get(home, {}), parts, models, upto=upto)
                for home, facts in transactions_by_owner(declared, events, ranges)
            ]
            judged = [ScoreBatch(*from_ipc(to_ipc(j.score, j.scoring, j.drift))) for j in judged]
            assert commit_judged(lake, merge_scores(judged), after=after, upto=upto)
            after = upto


def stored(project: Project) -> Iterator[pl.DataFrame]:
    """What scoring has written: each score, and the counts of all its runs added up."""
    with Lake.open(project, read_only=True) as lake:
        yield lake.connection.execute("SELECT * FROM lake.events.score ORDER BY event_id, source, name").pl()
        for table, counts in (("scoring", "transactions, suspicious"), ("drift", "transactions")):
            names = ", ".join(f"sum({c.strip()})::BIGINT AS {c.strip()}" for c in counts.split(","))
            yield lake.connection.execute(
                f"SELECT * EXCLUDE (position, {counts}), {names} FROM lake.events.{table} GROUP BY ALL ORDER BY ALL"
            ).pl()


def assert_scored_alike(one: Project, other: Project) -> None:
    for mine, theirs in zip(stored(one), stored(other), strict=True):
        assert mine.height
        assert_frame_equal(mine, theirs)


def copied(project: Project, name: str) -> Project:
    return Project.load(shutil.copytree(project.directory, project.directory.with_name(name)))


@pytest.mark.parametrize(("groups", "homes", "step", "forgetful"), [(1, 1, 1, 0), (3, 2, 4, 0), (8, 4, 3, 2), (2, 3, 50, 0)])
def test_pieces_tell_what_one_run_tells(disorderly: Project, groups: int, homes: int, step: int, forgetful: int) -> None:
    other = copied(disorderly, "other")
    score(disorderly)
    with Lake.open(other) as lake:
        last = lake.last_position()
    in_pieces(other, [*range(step, last, step), last], groups=groups, homes=homes, forgetful=forgetful)
    assert_scored_alike(disorderly, other)


def test_labels_reach_the_windows_of_what_comes_after_them(disorderly: Project) -> None:
    disorderly = blaming(disorderly)
    with Lake.open(disorderly) as lake:
        last = lake.last_position()
    in_pieces(disorderly, [12], groups=3, homes=2)
    cases = told(disorderly, "SELECT case_id FROM cases WHERE probability > 0.5 ORDER BY day LIMIT 3")
    for (case,) in cases:
        decide(disorderly, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 3, 14, tzinfo=UTC))
    assert cases
    other = copied(disorderly, "other")
    score(disorderly)
    in_pieces(other, [*range(14, last, 2), last], groups=3, homes=2, forgetful=5)
    assert_scored_alike(disorderly, other)
    assert told(other, "SELECT count(*) FROM lake.events.score WHERE name = 'blamed'")[0][0] > 30


def test_what_nobody_has_seen_is_not_decided_by_a_decision_on_its_case(disorderly: Project) -> None:
    in_pieces(disorderly, [8], groups=1, homes=1)
    (case,) = told(disorderly, "SELECT case_id FROM cases ORDER BY probability DESC NULLS LAST LIMIT 1")[0]
    decide(disorderly, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 6, 1, tzinfo=UTC))
    score(disorderly)
    rows = told(disorderly, f"SELECT status, position <= 8 FROM suspicious_transactions WHERE case_id = '{case}'")
    assert {status for status, seen in rows if seen} == {"confirmed"}
    assert {status for status, seen in rows if not seen} <= {"open"}


def test_an_epoch_committed_already_is_skipped_and_one_that_overlaps_another_run_is_refused(disorderly: Project) -> None:
    nothing = ScoreBatch(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    with Lake.open(disorderly) as lake:
        assert commit_judged(lake, nothing, after=0, upto=5)
        assert not commit_judged(lake, nothing, after=0, upto=5)
        assert not commit_judged(lake, nothing, after=2, upto=4)
        with pytest.raises(LogError, match="scored up to 5 meanwhile"):
            commit_judged(lake, nothing, after=3, upto=7)


def test_a_state_ahead_of_the_scores_is_of_another_lake(disorderly: Project) -> None:
    with Lake.open(disorderly) as lake:
        assert (resume_position(lake, None, CONSUMER), resume_position(lake, 0, CONSUMER)) == (0, 0)
        with pytest.raises(LogError, match="state is at position 3"):
            resume_position(lake, 3, CONSUMER)


def test_there_is_nothing_to_score_without_a_model_or_a_rule(operator: Project) -> None:
    path = operator.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").split("[[fraud.rule]]")[0], "utf-8")
    project = Project.load(operator.directory)
    with Lake.open(project) as lake:
        assert not is_behind(lake)
    in_force(project)
    with Lake.open(project) as lake:
        assert is_behind(lake)
    score(project)
    with Lake.open(project) as lake:
        assert not is_behind(lake)


def test_a_state_of_other_windows_or_another_grouping_is_made_again_and_one_of_a_later_version_ends_the_job(
    operator: Project,
) -> None:
    with Lake.open(operator, read_only=True) as lake:
        events, part = Arrivals(lake).of(0, 3), Part(0, 0)
        two, three = FeatureWindows(lake, 2), FeatureWindows(lake, 3)
        alone = declared_for(operator.config.fraud).apart[0]
        kept = two.kept(State.of(alone, events), None)
        assert two.restored(part, kept.head, kept.runs).rows.equals(State.of(alone, events).rows)
        assert three.restored(part, kept.head, kept.runs) is None
        assert two.restored(Part(1, 0), kept.head, kept.runs) is None
        assert two.restored(part, kept.head, {}) is None
        newer = kept.head.replace(
            b"trueup.state\x00\x00\x00\x00\x01\x00\x00\x002", b"trueup.state\x00\x00\x00\x00\x01\x00\x00\x009"
        )
        assert newer != kept.head
        with pytest.raises(TrueupError, match="later version"):
            two.restored(part, newer, kept.runs)


def test_a_transaction_told_of_twice_or_not_at_all_is_an_error_and_not_a_score(operator: Project) -> None:
    with Lake.open(operator, read_only=True) as lake:
        events = Arrivals(lake).of(0, 3)
    declared: FeatureSet = declared_for(operator.config.fraud)
    features = history(declared.apart[0], events)
    assert events.height == 126
    with pytest.raises(FeatureError, match="told of 252 transactions, not of 126"):
        join_features(declared, events, {0: [features, features]})
    with pytest.raises(FeatureError, match="peer told of 0 transactions, not of 126"):
        join_features(declared, events, {0: [features]})


def test_runs_of_a_state_that_grows_by_little_are_seldom_written_again() -> None:
    declared = FeatureSet((), (Feature("calls", ("caller",), 10**9, "count"),))
    schema = {"event_id": pl.Int64, "at_us": pl.Int64, "position": pl.Int64, "is_label": pl.Boolean, "caller": pl.String}
    state = State.of(declared, pl.DataFrame(schema=schema))
    kept: dict[int, bytes] = {}
    head, written_rows = b"", 0
    for n in range(200):
        row = pl.DataFrame([(n, n, n, False, "A")], schema=schema, orient="row")
        features, after = advance(declared, state, row, lateness_us=5)
        assert features["calls"].to_list() == [n + 1]
        parted = after.parted(state)
        written_rows += sum(after.runs[i] for i in parted.runs)
        kept = {i: run for i, run in (kept | parted.runs).items() if i < parted.count}
        head, state = parted.head, after
    assert State.unpacked(head, declared, kept).rows.equals(state.rows)
    assert written_rows < 200 * 10
