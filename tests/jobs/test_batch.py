"""The Beam job: the same findings as the plain call, committed once, in any division and any process."""

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
from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import LEDGER
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.results.digest import digests
from trueup.reconcile.results.finding_rows import HISTORY
from trueup.reconcile.results.outcome_codec import decode, encode
from trueup.reconcile.run import reconcile_little
from trueup.reconcile.run_partition import Outcome, bucket_ranges

DAY_US = 86_400_000_000
PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
PLAIN = Policy(
    0, {"voice": service(("session_key",), grace=DAY_US)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")}
)


def used(day: int) -> Record:
    return Record(False, "n", f"u{day}", f"K{day}", started_us=day * DAY_US, quantity_micros=MICRO)


def billed(day: int, amount: int = 1) -> Record:
    return Record(True, "b", f"c{day}", f"K{day}", started_us=day * DAY_US, quantity_micros=MICRO, amount_micros=amount * MICRO)


def closed(day: int) -> Log:
    return [[Close("n", day * DAY_US)], [Close("b", day * DAY_US)]]


LITTLE: Log = [[PLAIN], [used(1), used(2), billed(2, 3)], [used(10)], *closed(20), [billed(1)]]


def made(folder: Path, log: Log, by: str = "subscriber") -> Project:
    """A project whose lake holds a log."""
    with lake_fixture.lake_of(folder, *lake_fixture.with_ids_of_content(log, by), by) as lake:
        return lake.project


def held(project: Project) -> lake_fixture.Totals:
    with Lake.open(project, read_only=True) as lake:
        return lake_fixture.committed(lake)


def told(project: Project) -> lake_fixture.Totals:
    """What the plain call tells of the whole log."""
    with Lake.open(project, read_only=True) as lake:
        return lake_fixture.totals(lake_fixture.outcome_of(lake, 0, lake.last_position(), 1))


@pytest.mark.parametrize("options", [(), PROCESSES], ids=["in this process", "in two processes"])
def test_the_job_commits_what_the_plain_call_tells_and_once(options: tuple[str, ...], tmp_path: Path) -> None:
    project = made(tmp_path, LITTLE)
    said: list[str] = []
    with listeners.watched() as seen:
        summary = reconcile(project, partitions=3, runner_options=options, say=said.append)
    # Beam talks to its processes over four ports (control, data, state, logging).
    seen.assert_only_loopback(4 if options else 0)
    whole = told(project)
    assert held(project) == whole
    actions = Counter(row[2] for row in whole["history"])
    assert (summary.from_position, summary.to_position, summary.partitions, summary.records) == (0, len(LITTLE), 3, 5)
    assert (
        (summary.raised, summary.revised, summary.retracted)
        == (actions["raised"], actions["revised"], actions["resolved"])
        == (3, 0, 1)
    )
    assert said == [f"reconciling positions 1 to {len(LITTLE)} in 3 partitions"]
    again = reconcile(project, runner_options=options)
    assert (again.raised, again.to_position, again.partitions) == (0, len(LITTLE), 0)
    assert held(project) == whole


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), PROCESSES], ids=["in this process", "in two processes"])
@pytest.mark.parametrize("n", range(4))
def test_the_job_commits_what_the_plain_call_tells_of_random_logs_in_two_goes(
    n: int, options: tuple[str, ...], tmp_path: Path
) -> None:
    world, log = any_log(random.Random(f"beam/{n}"), ("contents", "untimed", "long ago"))
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], "subscriber")
    middle = len(log) // 2
    with lake_fixture.lake_of(tmp_path, log[:middle], rows, "subscriber") as lake:
        project = lake.project
    reconcile(project, partitions=2, runner_options=options)
    with Lake.open(project) as lake:
        lake_fixture.append(lake, log, rows, middle + 1)
    reconcile(project, partitions=5, runner_options=options)
    assert held(project) == told(project)


def test_days_narrow_what_is_told_and_the_next_whole_run_ends_the_same(tmp_path: Path) -> None:
    project = made(tmp_path, LITTLE)
    summary = reconcile(project, from_day=date(1970, 1, 11), to_day=date(1970, 1, 11), partitions=2)
    assert (summary.raised, summary.retracted) == (1, 0)
    some = held(project)
    assert (some["ledger"], some["placement"]) == ({}, {})
    with Lake.open(project, read_only=True) as lake:
        assert lake.consumer_position(CONSUMER) == 0
    assert reconcile(project, from_day=date(1970, 1, 11), partitions=2).raised == 0
    assert reconcile(project, partitions=2).raised == 2
    assert held(project) == told(project)


def test_a_history_derived_anew_has_the_digests_of_the_one_that_is_stored(tmp_path: Path) -> None:
    project = made(tmp_path, LITTLE)
    reconcile(project)
    with Lake.open(project, read_only=True) as lake:
        stored = lake.connection.execute("SELECT * FROM lake.events.finding").pl()
    wanted = digests(stored)
    assert digests(derive(project, partitions=4)) == wanted
    assert digests(derive(project, how="batch", partitions=4)) == wanted
    assert held(project) == told(project)
    for upto in (1, 3, 5):
        before = stored.filter(pl.col("position") <= upto)
        assert digests(derive(project, upto=upto)) == digests(before)


def test_a_changed_configuration_is_in_force_from_its_own_position_on(tmp_path: Path) -> None:
    # The policy is declared by the first run, after two units have come.
    project = made(tmp_path, LITTLE)
    reconcile(project)
    before = held(project)["history"]
    dearer = replace(PLAIN, services={"voice": service(("session_key",), grace=DAY_US, price=2 * MICRO)})
    project = lake_fixture.project_of(tmp_path, dearer, "subscriber")
    summary = reconcile(project)
    assert summary.to_position == len(LITTLE) + 1
    new = [row for row in held(project)["history"] if row not in before]
    assert {row[3] for row in new} == {"policy_change"}
    assert [row for row in held(project)["history"] if row[1] <= len(LITTLE)] == before
    assert held(project) == told(project)


def test_what_came_before_the_first_policy_is_judged_by_it_also_when_asked_as_of_then(tmp_path: Path) -> None:
    log: Log = [[used(1)], *closed(20), [PLAIN]]
    log, rows = lake_fixture.with_ids_of_content(log, "subscriber")
    project = lake_fixture.project_of(tmp_path, PLAIN, "subscriber")
    Lake.create(project)
    with Lake.open(project, clock=lake_fixture.clock) as lake:
        lake_fixture.append(lake, log, rows)
    assert reconcile(project).raised == 1
    stored = held(project)["history"]
    dearer = replace(PLAIN, services={"voice": service(("session_key",), grace=DAY_US, price=2 * MICRO)})
    project = lake_fixture.project_of(tmp_path, dearer, "subscriber")
    assert derive(project, upto=3).rows() == stored


def test_one_reconciler_at_a_time_holds_a_lake(tmp_path: Path) -> None:
    project = made(tmp_path, LITTLE)
    with Lake.open(project) as lake, lake.reconciler_lock(), pytest.raises(LogBusyError, match="another reconciler"):
        reconcile(project)
    assert held(project)["history"] == []


@pytest.mark.parametrize("options", [(), PROCESSES], ids=["in this process", "in two processes"])
def test_a_job_that_cannot_read_says_so_in_one_line_and_commits_nothing(options: tuple[str, ...], tmp_path: Path) -> None:
    project = made(tmp_path, LITTLE)
    shutil.move(tmp_path / "lake" / "data" / "events" / "usage", tmp_path / "elsewhere")
    with pytest.raises(TrueupError) as told_error:
        reconcile(project, runner_options=options)
    assert "\n" not in str(told_error.value)
    shutil.move(tmp_path / "elsewhere", tmp_path / "lake" / "data" / "events" / "usage")
    assert held(project)["history"] == []
    reconcile(project)
    assert held(project) == told(project)


@given(count=st.integers(-3, 300), buckets=st.integers(1, 300))
def test_ranges_hold_every_bucket_once(count: int, buckets: int) -> None:
    ranges = bucket_ranges(buckets, count)
    assert [b for r in ranges for b in range(r.first, r.last + 1)] == list(range(buckets))
    assert len(ranges) == max(1, min(count, buckets))


def test_an_outcome_passes_between_workers_unchanged() -> None:
    most: dict[str, Any] = {n: 10**38 - 1 for n in LEDGER if n.endswith("micros")}
    ledger = pl.DataFrame(
        [{"position": 1, "service": "", "day": None, "currency": "EUR", "unrated_records": 1, **most}], schema=LEDGER
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
        back = decode(encode(outcome))
        assert back.records == outcome.records
        assert (
            back.history.equals(outcome.history) and back.ledger.equals(outcome.ledger) and back.placement.equals(outcome.placement)
        )


def test_little_work_is_done_without_the_job_and_commits_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(tmp_path / "little", LITTLE)
    of_job = reconcile(made(tmp_path / "job", LITTLE), partitions=1)
    limited = reconcile_little(project, to_day=date(1970, 1, 1))
    assert limited is not None and (limited.from_position, limited.raised) == (0, 1)
    monkeypatch.setattr("trueup.reconcile.run.ROWS_WORTH_A_CORE", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert reconcile_little(project) is None
    monkeypatch.undo()
    assert reconcile_little(made(tmp_path / "whole", LITTLE)) == of_job
    done = reconcile_little(project)
    assert done is not None and (done.from_position, done.to_position) == (0, len(LITTLE))
    assert held(project) == told(project)
    before, again = held(project), reconcile_little(project)
    assert again is not None and (again.from_position, again.records) == (again.to_position, 0)
    assert held(project) == before
