"""The Beam job: the findings of the plain call, committed once, for any partitions and in any process."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import lake_fixture
import listeners
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_logs import MICRO, any_log, service
from reference_model.log import Close, Log, Record

from trueup.config import Project
from trueup.errors import LogBusyError, TrueupError
from trueup.jobs.reconcile_batch import derive, reconcile
from trueup.log.lake import Lake
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.kernel.ledger import LEDGER
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.results.digest import digests
from trueup.reconcile.results.finding_rows import HISTORY
from trueup.reconcile.results.outcome import Outcome
from trueup.reconcile.results.outcome_codec import decode, encode
from trueup.reconcile.run import reconcile_little
from trueup.reconcile.run_partition import bucket_ranges

DAY_US = 86_400_000_000
PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
PLAIN = Policy(
    0, {"voice": service(("session_key",), grace=DAY_US)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")}
)


def usage_on(day: int) -> Record:
    return Record(False, "n", f"u{day}", f"K{day}", started_us=day * DAY_US, quantity_micros=MICRO)


def charge_on(day: int, amount: int = 1) -> Record:
    return Record(True, "b", f"c{day}", f"K{day}", started_us=day * DAY_US, quantity_micros=MICRO, amount_micros=amount * MICRO)


def closings_on(day: int) -> Log:
    return [[Close("n", day * DAY_US)], [Close("b", day * DAY_US)]]


SMALL_LOG: Log = [[PLAIN], [usage_on(1), usage_on(2), charge_on(2, 3)], [usage_on(10)], *closings_on(20), [charge_on(1)]]


def project_with(folder: Path, log: Log, by: str = "subscriber") -> Project:
    """Return a project whose lake has a log."""
    with lake_fixture.lake_of(folder, *lake_fixture.with_event_ids_of_lake(log, by), by) as lake:
        return lake.project


def committed(project: Project) -> lake_fixture.Totals:
    with Lake.open(project, read_only=True) as lake:
        return lake_fixture.committed(lake)


def plain_outcome(project: Project) -> lake_fixture.Totals:
    """Return the outcome of the plain call on the complete log."""
    with Lake.open(project, read_only=True) as lake:
        return lake_fixture.totals(lake_fixture.outcome_of(lake, 0, lake.last_position(), 1))


@pytest.mark.parametrize("options", [(), PROCESSES], ids=["in this process", "in two processes"])
def test_the_job_commits_the_outcome_of_the_plain_call_once(options: tuple[str, ...], tmp_path: Path) -> None:
    project = project_with(tmp_path, SMALL_LOG)
    log: list[str] = []
    with listeners.observe_listeners() as observed:
        summary = reconcile(project, partitions=3, runner_options=options, log=log.append)
    # Beam opens four ports to its processes (control, data, state, logging).
    observed.assert_only_loopback(4 if options else 0)
    expected = plain_outcome(project)
    assert committed(project) == expected
    actions = Counter(row[2] for row in expected["history"])
    assert (summary.from_position, summary.to_position, summary.partitions, summary.records) == (0, len(SMALL_LOG), 3, 5)
    assert (
        (summary.raised, summary.revised, summary.retracted)
        == (actions["raised"], actions["revised"], actions["resolved"])
        == (3, 0, 1)
    )
    assert log == [f"reconciling positions 1 to {len(SMALL_LOG)} in 3 partitions"]
    again = reconcile(project, runner_options=options)
    assert (again.raised, again.to_position, again.partitions) == (0, len(SMALL_LOG), 0)
    assert committed(project) == expected


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), PROCESSES], ids=["in this process", "in two processes"])
@pytest.mark.parametrize("n", range(4))
def test_two_runs_of_the_job_on_a_random_log_commit_the_outcome_of_the_plain_call(
    n: int, options: tuple[str, ...], tmp_path: Path
) -> None:
    generator, log = any_log(random.Random(f"beam/{n}"), ("contents", "undated", "very late"))
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], "subscriber"
    )
    middle = len(log) // 2
    with lake_fixture.lake_of(tmp_path, log[:middle], rows, "subscriber") as lake:
        project = lake.project
    reconcile(project, partitions=2, runner_options=options)
    with Lake.open(project, clock=lake_fixture.clock) as lake:
        lake_fixture.append(lake, log, rows, middle + 1)
    reconcile(project, partitions=5, runner_options=options)
    assert committed(project) == plain_outcome(project)


def test_a_run_limited_to_days_leaves_the_rest_to_the_next_full_run(tmp_path: Path) -> None:
    project = project_with(tmp_path, SMALL_LOG)
    summary = reconcile(project, days=(date(1970, 1, 11), date(1970, 1, 11)), partitions=2)
    assert (summary.raised, summary.retracted) == (1, 0)
    limited = committed(project)
    assert (limited["ledger"], limited["placement"]) == ({}, {})
    with Lake.open(project, read_only=True) as lake:
        assert lake.consumer_position(CONSUMER) == 0
    assert reconcile(project, days=(date(1970, 1, 11), None), partitions=2).raised == 0
    assert reconcile(project, partitions=2).raised == 2
    assert committed(project) == plain_outcome(project)


def test_a_recomputed_history_has_the_digests_of_the_stored_one(tmp_path: Path) -> None:
    project = project_with(tmp_path, SMALL_LOG)
    reconcile(project)
    with Lake.open(project, read_only=True) as lake:
        stored = lake.connection.execute("SELECT * FROM lake.events.finding").pl()
    expected = digests(stored)
    assert digests(derive(project, partitions=4)) == expected
    assert digests(derive(project, how="batch", partitions=4)) == expected
    assert committed(project) == plain_outcome(project)
    for upto in (1, 3, 5):
        before = stored.filter(pl.col("position") <= upto)
        assert digests(derive(project, upto=upto)) == digests(before)


def test_a_changed_configuration_is_in_force_from_the_position_of_its_declaration(tmp_path: Path) -> None:
    # The first run declares the policy, after the records of two commits.
    project = project_with(tmp_path, SMALL_LOG)
    reconcile(project)
    before = committed(project)["history"]
    raised_price = replace(PLAIN, services={"voice": service(("session_key",), grace=DAY_US, price=2 * MICRO)})
    project = lake_fixture.project_of(tmp_path, raised_price, "subscriber")
    summary = reconcile(project, clock=lake_fixture.clock)
    assert summary.to_position == len(SMALL_LOG) + 1
    new = [row for row in committed(project)["history"] if row not in before]
    assert {row[3] for row in new} == {"policy_change"}
    assert [row for row in committed(project)["history"] if row[1] <= len(SMALL_LOG)] == before
    assert committed(project) == plain_outcome(project)


def test_the_first_policy_also_covers_earlier_records_and_positions(tmp_path: Path) -> None:
    log: Log = [[usage_on(1)], *closings_on(20), [PLAIN]]
    log, rows = lake_fixture.with_event_ids_of_lake(log, "subscriber")
    project = lake_fixture.project_of(tmp_path, PLAIN, "subscriber")
    Lake.create(project)
    with Lake.open(project, clock=lake_fixture.clock) as lake:
        lake_fixture.append(lake, log, rows)
    assert reconcile(project).raised == 1
    stored = committed(project)["history"]
    raised_price = replace(PLAIN, services={"voice": service(("session_key",), grace=DAY_US, price=2 * MICRO)})
    project = lake_fixture.project_of(tmp_path, raised_price, "subscriber")
    assert derive(project, upto=3).rows() == stored


def test_a_second_reconciler_of_a_lake_is_refused(tmp_path: Path) -> None:
    project = project_with(tmp_path, SMALL_LOG)
    with Lake.open(project) as lake, lake.reconciler_lock(), pytest.raises(LogBusyError, match="another reconciler"):
        reconcile(project)
    assert committed(project)["history"] == []


@pytest.mark.parametrize(
    "options", [(), pytest.param(PROCESSES, marks=pytest.mark.slow)], ids=["in this process", "in two processes"]
)
def test_a_job_that_cannot_read_the_lake_raises_one_line_and_commits_nothing(options: tuple[str, ...], tmp_path: Path) -> None:
    project = project_with(tmp_path, SMALL_LOG)
    shutil.move(tmp_path / "lake" / "data" / "events" / "usage", tmp_path / "elsewhere")
    with pytest.raises(TrueupError) as raised:
        reconcile(project, runner_options=options)
    assert "\n" not in str(raised.value)
    shutil.move(tmp_path / "elsewhere", tmp_path / "lake" / "data" / "events" / "usage")
    assert committed(project)["history"] == []
    reconcile(project)
    assert committed(project) == plain_outcome(project)


@given(count=st.integers(-3, 300), buckets=st.integers(1, 300))
def test_bucket_ranges_cover_each_bucket_once(count: int, buckets: int) -> None:
    ranges = bucket_ranges(buckets, count)
    assert [b for r in ranges for b in range(r.first, r.last + 1)] == list(range(buckets))
    assert len(ranges) == max(1, min(count, buckets))


def test_an_encoded_outcome_decodes_unchanged() -> None:
    largest: dict[str, Any] = {n: 10**38 - 1 for n in LEDGER if n.endswith("micros")}
    ledger = pl.DataFrame(
        [{"position": 1, "service": "", "day": None, "currency": "EUR", "unrated_records": 1, **largest}], schema=LEDGER
    )
    history = pl.DataFrame(
        [dict.fromkeys(HISTORY) | {"finding_id": b"\x00\xff", "usage_event_ids": [b"a", b""], "expected_micros": -(10**38) + 1}],
        schema=HISTORY,
    )
    placement = pl.DataFrame(
        {"position": [1], "quantity_micros": [-1], "amount_micros": [0]},
        schema_overrides={"quantity_micros": pl.Int128, "amount_micros": pl.Int128},
    )
    for outcome in (Outcome(history, ledger, placement, 7), Outcome(history.clear(), ledger.clear(), placement.clear(), 0)):
        decoded = decode(encode(outcome))
        assert decoded.records == outcome.records
        assert (
            decoded.history.equals(outcome.history)
            and decoded.ledger.equals(outcome.ledger)
            and decoded.placement.equals(outcome.placement)
        )


def test_a_small_amount_of_work_is_done_without_the_job_and_commits_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_with(tmp_path / "little", SMALL_LOG)
    summary_of_job = reconcile(project_with(tmp_path / "job", SMALL_LOG), partitions=1)
    nothing = reconcile_little(project, days=(date.max, date.max))
    assert nothing is not None and nothing.raised == 0
    limited = reconcile_little(project, days=(date.min, date(1970, 1, 1)))
    assert limited is not None and (limited.from_position, limited.raised) == (0, 1)
    monkeypatch.setattr("trueup.reconcile.run.ROWS_WORTH_A_CORE", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert reconcile_little(project) is None
    monkeypatch.undo()
    assert reconcile_little(project_with(tmp_path / "whole", SMALL_LOG)) == summary_of_job
    full = reconcile_little(project)
    assert full is not None and (full.from_position, full.to_position) == (0, len(SMALL_LOG))
    assert committed(project) == plain_outcome(project)
    before, again = committed(project), reconcile_little(project)
    assert again is not None and (again.from_position, again.records) == (again.to_position, 0)
    assert committed(project) == before
