"""Ticks of a wrong clock, superseded: what they decided is judged again, in the same way by every way of running."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lake_fixture
import polars as pl
import pytest
from kernel_adapter import (
    assert_same_history,
    changes_by_finding,
    evaluated_in_pieces,
    events_of,
    frontier_of,
    kernel_changes,
    shown,
    sums_of,
)
from random_logs import MICRO, any_log, service, wrong_clock
from reference_model.history import run_reference
from reference_model.log import Log, Record, Supersede, Tick
from run_epochs import process_epochs

from trueup.log.lake import BucketRange
from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.log_io.declared_policies import without_void_ticks
from trueup.reconcile.results.outcome import merge_outcomes

HOUR = 3_600 * MICRO
DAY = 24 * HOUR
SILENT = Policy(
    0, {"voice": service(("session_key",), grace=HOUR)},
    sources={"n": SourceRules("usage"), "b": SourceRules("charge", idle_after_us=2 * DAY)},
)  # fmt: skip
RIGHT, WRONG = Tick(DAY, 1), Tick(400 * DAY, 2)
"""A tick of the right clock, and one of a clock that is a year ahead."""


def usage(key: str, started_us: int) -> Record:
    return Record(False, "n", key, key, started_us=started_us, quantity_micros=MICRO)


def charge(key: str, started_us: int) -> Record:
    return Record(True, "b", f"c{key}", key, started_us=started_us, quantity_micros=MICRO, amount_micros=MICRO)


def changes(log: Log) -> list[tuple[Any, ...]]:
    frontier = frontier_of(log, SILENT)
    told = kernel_changes(evaluate(events_of(log), frontier, after=0, upto=len(log)), frontier.policies)
    return sorted((c["position"], c["kind"], c["action"], c["cause"]) for c in told)


def test_a_finding_that_a_wrong_tick_raised_is_retracted_where_the_tick_is_superseded() -> None:
    log: Log = [[usage("K", HOUR)], [RIGHT], [WRONG], [Supersede(WRONG)], [charge("K", HOUR)]]
    assert changes(log) == [(3, "unbilled", "raised", "frontier"), (4, "unbilled", "retracted", "policy_change")]
    assert changes(log[:3]) == [(3, "unbilled", "raised", "frontier")]


def test_a_silent_source_is_let_go_by_the_ticks_of_the_right_clock_after_a_wrong_one() -> None:
    later = Tick(4 * DAY, 3)
    log: Log = [[usage("K", HOUR)], [WRONG], [Supersede(WRONG)], [later]]
    assert changes(log) == [
        (2, "unbilled", "raised", "frontier"), (3, "unbilled", "retracted", "policy_change"), (4, "unbilled", "raised", "frontier"),
    ]  # fmt: skip
    unsuperseded: Log = [[usage("K", HOUR)], [WRONG], [], [later]]
    assert changes(unsuperseded) == [(2, "unbilled", "raised", "frontier")]


def test_a_charge_that_a_wrong_tick_made_late_is_late_no_more_once_it_is_superseded() -> None:
    before: Log = [[usage("K", HOUR)], [WRONG]]
    late = [*before, [charge("K", HOUR)], []]
    assert (3, "unbilled", "resolved", "late_charge") in changes(late)
    in_time = [*before, [Supersede(WRONG)], [charge("K", HOUR)]]
    assert not [c for c in changes(in_time) if c[3] == "late_charge"]


def test_a_superseded_tick_is_in_force_before_its_superseding_and_void_under_every_later_policy() -> None:
    first, second = Policy(3), Policy(9)
    found = without_void_ticks([first, second], {5: frozenset({4}), 7: frozenset({2})})
    assert [(p.position, p.void_ticks) for p in found] == [
        (3, frozenset()), (5, frozenset({4})), (7, frozenset({2, 4})), (9, frozenset({2, 4})),
    ]  # fmt: skip
    early = without_void_ticks([first], {2: frozenset({1})})
    assert [(p.position, p.void_ticks) for p in early] == [(0, frozenset()), (2, frozenset({1})), (3, frozenset({1}))]
    assert without_void_ticks([first, second], {}) == [first, second]


# --- random logs ------------------------------------------------------------------------------------------------------


def log_of(seed: str) -> tuple[Any, Log]:
    rng = random.Random(seed)
    return any_log(rng, wrong_clock(rng))


def held_to_the_model(seed: str) -> None:
    world, log = log_of(seed)
    frontier = frontier_of(log, world.first)
    try:
        whole = evaluate(events_of(log), frontier, after=0, upto=len(log))
        assert_same_history(run_reference(log, world.first), whole, frontier.policies)
        cuts = random.Random(seed).sample(range(1, len(log) + 1), min(len(log), 3))
        parts = evaluated_in_pieces(log, world.first, cuts)
        ends = [0, *sorted(set(cuts) - {0, len(log)})]
        told = [c for part, after in zip(parts, ends, strict=True) for c in kernel_changes(part, frontier.policies, after=after)]
        assert changes_by_finding(told) == changes_by_finding(kernel_changes(whole, frontier.policies))
        assert sums_of(pl.concat([p.ledger for p in parts]), len(log)) == sums_of(whole.ledger, len(log))
    except AssertionError as error:
        raise AssertionError(f"{seed}, {sorted(world.facets)}\n{shown(log)}") from error


@pytest.mark.parametrize("part", range(2))
def test_the_kernel_tells_what_the_model_tells_of_logs_with_superseded_ticks(part: int) -> None:
    for n in range(part * 20, part * 20 + 20):
        held_to_the_model(f"wrong clock/{n}")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_kernel_tells_what_the_model_tells_of_many_logs_with_superseded_ticks(part: int) -> None:
    for n in range(part * 100, part * 100 + 100):
        held_to_the_model(f"often a wrong clock/{n}")


def test_the_random_logs_with_superseded_ticks_change_findings_by_them() -> None:
    retracted = 0
    for n in range(60):
        world, log = log_of(f"wrong clock/{n}")
        superseding = {at for at, commit in enumerate(log, start=1) if any(isinstance(i, Supersede) for i in commit)}
        story = run_reference(log, world.first)
        retracted += sum(
            c["position"] in superseding and c["action"] == "retracted" and c["cause"] == "policy_change" for c in story.changes
        )
    assert retracted >= 10


def same_in_every_way(seed: str, folder: Path) -> None:
    """One call, partitions in steps, and epochs with memories that are lost at random: the same history, sums and placements."""
    world, log = log_of(seed)
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], world.bucket_by)
    rng = random.Random(seed)
    ends = [*sorted(rng.sample(range(1, len(log)), min(6, len(log) - 1))), len(log)]
    everywhere = BucketRange(0, lake_fixture.BUCKETS - 1)
    with lake_fixture.quick_lake(folder, log, rows, world.bucket_by) as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        assert lake_fixture.totals(lake_fixture.in_steps(lake, ends, 3)) == whole, (seed, ends, shown(log))
        lost = frozenset(end for end in ends if rng.random() < 0.3)
        epochs = process_epochs(lake, ends, everywhere, lost)
        assert lake_fixture.totals(merge_outcomes([epoch.outcome for epoch in epochs])) == whole, (seed, ends, lost, shown(log))


@pytest.mark.parametrize("n", range(3))
def test_superseded_ticks_change_the_same_in_partitions_and_in_epochs(n: int, tmp_path: Path) -> None:
    same_in_every_way(f"every way with a wrong clock/{n}", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(40))
def test_superseded_ticks_change_the_same_in_partitions_and_in_epochs_of_many_logs(n: int, tmp_path: Path) -> None:
    same_in_every_way(f"often every way with a wrong clock/{n}", tmp_path)
