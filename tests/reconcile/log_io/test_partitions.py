"""However a log is divided, read or repeated, a lake ends with the same findings, sums and placements."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import lake_fixture
import pytest
from random_logs import MICRO, any_log, service
from reference_model.log import Close, Log, Record

from trueup.errors import LogError
from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.results.digest import digests


def prepared(seed: str, facets: tuple[str, ...] | None = None, size: int | None = None) -> tuple[Log, Any, str]:
    """A log as a lake holds it, its rows, and what it is divided by."""
    world, log = any_log(random.Random(seed), facets, size)
    return (
        *lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], world.bucket_by),
        world.bucket_by,
    )


def days_of(totals: lake_fixture.Totals) -> list[date]:
    """The days of a story's sums, in order."""
    return sorted({cell[2] for cell in totals["ledger"] if cell[2] is not None})


@pytest.mark.parametrize(("n", "partitions", "steps"), [(0, 8, 3), (1, 2, 5), (2, 64, 0)])
def test_any_number_of_partitions_and_steps_tells_the_same(n: int, partitions: int, steps: int, tmp_path: Path) -> None:
    tells_the_same_in_any_division("divided", n, (partitions,), steps, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(24))
def test_sixty_four_partitions_at_every_position_tell_the_same(n: int, tmp_path: Path) -> None:
    tells_the_same_in_any_division("finely divided", n, (1, 8, 64), 1_000 if n % 8 == 0 else 6, tmp_path)


def tells_the_same_in_any_division(seed: str, n: int, counts: tuple[int, ...], most_steps: int, folder: Path) -> None:
    log, rows, by = prepared(f"{seed}/{n}")
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        ends = random.Random(n).sample(range(1, len(log)), min(most_steps, len(log) - 1))
        for partitions in counts:
            assert lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), partitions)) == whole, f"{partitions} partitions"
            assert lake_fixture.totals(lake_fixture.in_steps(lake, [*sorted(ends), len(log)], partitions)) == whole, (
                f"{partitions} partitions, {ends}"
            )


@pytest.mark.parametrize("n", range(2))
def test_what_some_days_tell_is_part_of_what_all_tell(n: int, tmp_path: Path) -> None:
    some_days_tell_a_part("some days", n, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(40))
def test_what_some_days_tell_is_part_of_what_all_tell_of_many_logs(n: int, tmp_path: Path) -> None:
    some_days_tell_a_part("many days", n, tmp_path)


def some_days_tell_a_part(seed: str, n: int, folder: Path) -> None:
    rng = random.Random(n)
    log, rows, by = prepared(
        f"{seed}/{n}", facets=("long ago", "untimed", *rng.sample(("mixed keys", "zone", "policies", "horizon"), 2))
    )
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        everything = set(map(repr, whole["history"]))
        for day in days_of(whole):
            for days in ((day, day), (None, day), (day, None)):
                told = set(map(repr, lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1, days))["history"]))
                assert told <= everything, days
                # What stands on a day of its own records is there.
                here = {repr(r) for r in whole["history"] if r[10] == day and r[15]}
                assert here <= told, days


# --- committed to a real lake -----------------------------------------------------------------------------------------


def test_a_lake_reconciled_after_every_commit_holds_what_one_reconciled_once_holds(tmp_path: Path) -> None:
    log, rows, by = prepared("ways/0", facets=("contents", "untimed"), size=4)
    held, prints = [], []
    for way, (partitions, ends) in enumerate([(8, [len(log)]), (1, range(1, len(log) + 1))]):
        with lake_fixture.lake_of(tmp_path / str(way), log, rows, by) as lake:
            for upto in ends:
                lake_fixture.reconcile(lake, upto, partitions)
            assert lake_fixture.reconcile(lake, len(log), 3).advanced is False
            held.append(lake_fixture.committed(lake))
            prints.append(digests(lake.connection.execute("SELECT * FROM lake.events.finding").pl()))
            whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
    assert held[0] == held[1] == whole
    assert prints[0] == prints[1]
    with lake_fixture.quick_lake(tmp_path / "quick", log, rows, by) as lake:
        assert lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1)) == whole


@pytest.mark.slow
@pytest.mark.parametrize("n", range(6))
def test_lakes_of_every_division_hold_the_same(n: int, tmp_path: Path) -> None:
    log, rows, by = prepared(f"every way/{n}")
    held = []
    for way, (partitions, ends) in enumerate([(1, [len(log)]), (8, range(1, len(log) + 1)), (64, [len(log) // 2, len(log)])]):
        with lake_fixture.lake_of(tmp_path / str(way), log, rows, by) as lake:
            for upto in ends:
                if upto:
                    lake_fixture.reconcile(lake, upto, partitions)
            held.append(lake_fixture.committed(lake))
    assert held[0] == held[1] == held[2]


def test_reconciling_some_days_first_leaves_the_same_in_the_end(tmp_path: Path) -> None:
    day_us = 86_400_000_000
    policy = Policy(
        0, {"voice": service(("session_key",), grace=day_us)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")}
    )
    log: Log = [
        [policy], [Record(False, "n", f"u{d}", f"K{d}", started_us=d * day_us, quantity_micros=MICRO) for d in (1, 10)],
        [Close("n", 20 * day_us)], [Close("b", 20 * day_us)], [Record(True, "b", "c1", "K1", started_us=day_us, amount_micros=MICRO)],
    ]  # fmt: skip
    log, rows = lake_fixture.with_ids_of_content(log, "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        first, last = date(1970, 1, 2), date(1970, 1, 11)
        for upto, day, changes in ((4, last, 1), (5, last, 1), (5, last, 1), (5, first, 3)):
            lake_fixture.reconcile(lake, upto, 2, (day, day))
            some = lake_fixture.committed(lake)
            assert (len(some["history"]), some["ledger"], some["placement"]) == (changes, {}, {})
            assert lake.consumer_position(CONSUMER) == 0
        lake_fixture.reconcile(lake, len(log), 2)
        assert lake_fixture.committed(lake) == whole
        assert lake.consumer_position(CONSUMER) == len(log)


def test_a_second_reconciler_that_began_earlier_commits_nothing(tmp_path: Path) -> None:
    log, rows, by = prepared("twice/0", facets=(), size=3)
    with lake_fixture.lake_of(tmp_path, log, rows, by) as lake:
        middle = len(log) // 2
        slow = lake_fixture.outcome_of(lake, 0, len(log), 1)
        lake_fixture.reconcile(lake, middle, 1)
        before = lake_fixture.committed(lake)
        with pytest.raises(LogError, match="since this run began"):
            commit_outcome(lake, slow, after=0, upto=len(log))
        assert lake_fixture.committed(lake) == before and lake.consumer_position(CONSUMER) == middle
