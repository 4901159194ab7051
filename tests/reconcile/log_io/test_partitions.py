"""A lake has the same findings, sums and booking counts however its log is divided, read or repeated."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import lake_fixture
import pytest
from kernel_adapter import moved_rows as moved_rows_of_log
from random_logs import MICRO, any_log, moved_facets, service
from reference_model.log import Close, Log, Record

from trueup.errors import LogError
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.log_io.moved_rows import moved_rows
from trueup.reconcile.results.digest import digests


def random_log(seed: str, facets: tuple[str, ...] | None = None, size: int | None = None) -> tuple[Log, Any, str]:
    """Return a random log as a lake stores it, its rows, and the column that its buckets depend on."""
    generator, log = any_log(random.Random(seed), facets, size)
    return (
        *lake_fixture.with_event_ids_of_lake(
            [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
        ),
        generator.bucket_by,
    )


def days_of(totals: lake_fixture.Totals) -> list[date]:
    """Return the days of the ledger, in order."""
    return sorted({cell[2] for cell in totals["ledger"] if cell[2] is not None})


@pytest.mark.parametrize(("n", "partitions", "steps"), [(0, 8, 2), (1, 2, 3), pytest.param(2, 64, 0, marks=pytest.mark.slow)])
def test_history_and_sums_are_the_same_for_any_partitions_and_steps(n: int, partitions: int, steps: int, tmp_path: Path) -> None:
    check_divisions("divided", n, (partitions,), steps, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(24))
def test_history_and_sums_are_the_same_for_sixty_four_partitions_at_every_position(n: int, tmp_path: Path) -> None:
    check_divisions("finely divided", n, (1, 8, 64), 1_000 if n % 8 == 0 else 6, tmp_path)


def test_moved_records_have_one_history_for_any_partitions_and_steps_and_each_bucket_key_learns_of_the_others(
    tmp_path: Path,
) -> None:
    facets = tuple(sorted(moved_facets(random.Random("moved facets"))))
    check_divisions("moved", 0, (8,), 2, tmp_path / "divided", facets)
    log, rows, by = random_log("moved/0", facets)
    expected = sorted(
        (at, r.event_id, scope, delivered, first) for at, r, scope, delivered, first in moved_rows_of_log(log)
    )  # fmt: skip
    with lake_fixture.quick_lake(tmp_path / "read", log, rows, by) as lake:
        found = moved_rows(lake, lake_fixture.ranges(1)[0], upto=len(log))
    assert len(expected) > 0
    assert sorted(found.select("position", "event_id", "scope", "delivered_scope", "delivered_at").rows()) == expected


def check_divisions(
    seed: str, n: int, counts: tuple[int, ...], most_steps: int, folder: Path, facets: tuple[str, ...] | None = None
) -> None:
    log, rows, by = random_log(f"{seed}/{n}", facets)
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        ends = random.Random(n).sample(range(1, len(log)), min(most_steps, len(log) - 1))
        for partitions in counts:
            assert lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), partitions)) == full, f"{partitions} partitions"
            if ends:
                assert lake_fixture.totals(lake_fixture.outcome_in_steps(lake, [*sorted(ends), len(log)], partitions)) == full, (
                    f"{partitions} partitions, {ends}"
                )


def test_findings_of_single_days_are_part_of_the_full_history(tmp_path: Path) -> None:
    check_single_days("some days", 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(40))
def test_findings_of_single_days_are_part_of_the_full_history_of_many_logs(n: int, tmp_path: Path) -> None:
    check_single_days("many days", n, tmp_path)


def check_single_days(seed: str, n: int, folder: Path) -> None:
    rng = random.Random(n)
    log, rows, by = random_log(
        f"{seed}/{n}", facets=("very late", "undated", *rng.sample(("mixed keys", "zone", "policies", "horizon"), 2))
    )
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        all_changes = set(map(repr, full["history"]))
        for day in days_of(full):
            for days in ((day, day), (None, day), (day, None)):
                changes = set(map(repr, lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1, days))["history"]))
                assert changes <= all_changes, days
                # Findings on the day of their own records are included.
                of_day = {repr(r) for r in full["history"] if r[10] == day and r[15]}
                assert of_day <= changes, days


# --- committed to a real lake -----------------------------------------------------------------------------------------


def test_reconciling_after_every_commit_and_once_at_the_end_store_the_same(tmp_path: Path) -> None:
    log, rows, by = random_log("ways/6", facets=("contents", "undated", "versions"), size=4)
    stored, stored_digests = [], []
    for way, (partitions, ends) in enumerate([(3, [len(log)]), (1, range(1, len(log) + 1))]):
        with lake_fixture.lake_of(tmp_path / str(way), log, rows, by) as lake:
            for upto in ends:
                lake_fixture.reconcile(lake, upto, partitions)
            assert lake_fixture.reconcile(lake, len(log), 3).advanced is False
            stored.append(lake_fixture.committed(lake))
            stored_digests.append(digests(lake.connection.execute("SELECT * FROM lake.events.finding").pl()))
            full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
    assert stored[0] == stored[1] == full
    assert stored_digests[0] == stored_digests[1]
    with lake_fixture.quick_lake(tmp_path / "quick", log, rows, by) as lake:
        assert lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1)) == full


@pytest.mark.slow
@pytest.mark.parametrize("n", range(6))
def test_lakes_reconciled_in_any_division_store_the_same(n: int, tmp_path: Path) -> None:
    log, rows, by = random_log(f"every way/{n}")
    stored = []
    for way, (partitions, ends) in enumerate([(1, [len(log)]), (8, range(1, len(log) + 1)), (64, [len(log) // 2, len(log)])]):
        with lake_fixture.lake_of(tmp_path / str(way), log, rows, by) as lake:
            for upto in ends:
                if upto:
                    lake_fixture.reconcile(lake, upto, partitions)
            stored.append(lake_fixture.committed(lake))
    assert stored[0] == stored[1] == stored[2]


def test_reconciling_single_days_first_does_not_change_the_result_of_the_full_run(tmp_path: Path) -> None:
    day_us = 86_400_000_000
    policy = Policy(
        0, {"voice": service(("session_key",), grace=day_us)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")}
    )
    log: Log = [
        [policy], [Record(False, "n", f"u{d}", f"K{d}", started_us=d * day_us, quantity_micros=MICRO) for d in (1, 10)],
        [Close("n", 20 * day_us)], [Close("b", 20 * day_us)], [Record(True, "b", "c1", "K1", started_us=day_us, amount_micros=MICRO)],
    ]  # fmt: skip
    log, rows = lake_fixture.with_event_ids_of_lake(log, "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        first, last = date(1970, 1, 2), date(1970, 1, 11)
        for upto, day, changes in ((4, last, 1), (5, last, 1), (5, last, 1), (5, first, 3)):
            lake_fixture.reconcile(lake, upto, 2, (day, day))
            limited = lake_fixture.committed(lake)
            assert (len(limited["history"]), limited["ledger"], limited["placement"]) == (changes, {}, {})
            assert lake.consumer_position(CONSUMER) == 0
        lake_fixture.reconcile(lake, len(log), 2)
        assert lake_fixture.committed(lake) == full
        assert lake.consumer_position(CONSUMER) == len(log)


def test_a_reconciler_whose_start_position_has_changed_commits_nothing(tmp_path: Path) -> None:
    log, rows, by = random_log("twice/0", facets=(), size=3)
    with lake_fixture.lake_of(tmp_path, log, rows, by) as lake:
        middle = len(log) // 2
        slow = lake_fixture.outcome_of(lake, 0, len(log), 1)
        lake_fixture.reconcile(lake, middle, 1)
        before = lake_fixture.committed(lake)
        with pytest.raises(LogError, match="since this run began"):
            commit_outcome(lake, slow, after=0, upto=len(log))
        assert lake_fixture.committed(lake) == before and lake.consumer_position(CONSUMER) == middle
