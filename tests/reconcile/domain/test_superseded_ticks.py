"""Superseded ticks of a wrong clock: findings that depended on them change, in the same way in every way of running."""

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
    evaluate_in_ranges,
    events_of,
    format_log,
    frontier_of,
    kernel_changes,
    sums_of,
)
from random_logs import MICRO, any_log, service, wrong_clock_facets
from reference_model.history import run_reference
from reference_model.log import Log, Record, Supersede, Tick
from run_epochs import process_epochs

from trueup.log.lake import BucketRange
from trueup.policies.declared import without_void_ticks
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.results.outcome import merge_outcomes

HOUR = 3_600 * MICRO
DAY = 24 * HOUR
SILENT = Policy(
    0, {"voice": service(("session_key",), grace=HOUR)},
    sources={"n": SourceRules("usage"), "b": SourceRules("charge", idle_after_us=2 * DAY)},
)  # fmt: skip
RIGHT, WRONG = Tick(DAY, 1), Tick(400 * DAY, 2)
"""A tick of the right clock, and one of a clock that is 400 days ahead."""


def usage(key: str, started_us: int) -> Record:
    return Record(False, "n", key, key, started_us=started_us, quantity_micros=MICRO)


def charge(key: str, started_us: int) -> Record:
    return Record(True, "b", f"c{key}", key, started_us=started_us, quantity_micros=MICRO, amount_micros=MICRO)


def changes(log: Log) -> list[tuple[Any, ...]]:
    frontier = frontier_of(log, SILENT)
    rows = kernel_changes(evaluate(events_of(log), frontier, after=0, upto=len(log)), frontier.policies)
    return sorted((c["position"], c["kind"], c["action"], c["cause"]) for c in rows)


def test_a_finding_raised_by_a_wrong_tick_is_retracted_when_the_tick_is_superseded() -> None:
    log: Log = [[usage("K", HOUR)], [RIGHT], [WRONG], [Supersede(WRONG)], [charge("K", HOUR)]]
    assert changes(log) == [(3, "unbilled", "raised", "frontier"), (4, "unbilled", "retracted", "policy_change")]
    assert changes(log[:3]) == [(3, "unbilled", "raised", "frontier")]


def test_a_silent_source_is_skipped_by_ticks_of_the_right_clock_after_a_superseded_one() -> None:
    later = Tick(4 * DAY, 3)
    log: Log = [[usage("K", HOUR)], [WRONG], [Supersede(WRONG)], [later]]
    assert changes(log) == [
        (2, "unbilled", "raised", "frontier"), (3, "unbilled", "retracted", "policy_change"), (4, "unbilled", "raised", "frontier"),
    ]  # fmt: skip
    unsuperseded: Log = [[usage("K", HOUR)], [WRONG], [], [later]]
    assert changes(unsuperseded) == [(2, "unbilled", "raised", "frontier")]


def test_a_charge_is_not_late_once_the_wrong_tick_is_superseded() -> None:
    before: Log = [[usage("K", HOUR)], [WRONG]]
    late = [*before, [charge("K", HOUR)], []]
    assert (3, "unbilled", "resolved", "late_charge") in changes(late)
    in_time = [*before, [Supersede(WRONG)], [charge("K", HOUR)]]
    assert not [c for c in changes(in_time) if c[3] == "late_charge"]


def test_a_superseded_tick_counts_before_it_is_superseded_and_is_void_under_later_policies() -> None:
    first, second = Policy(3), Policy(9)
    policies = without_void_ticks([first, second], {5: frozenset({4}), 7: frozenset({2})})
    assert [(p.position, p.void_ticks) for p in policies] == [
        (3, frozenset()), (5, frozenset({4})), (7, frozenset({2, 4})), (9, frozenset({2, 4})),
    ]  # fmt: skip
    early = without_void_ticks([first], {2: frozenset({1})})
    assert [(p.position, p.void_ticks) for p in early] == [(0, frozenset()), (2, frozenset({1})), (3, frozenset({1}))]
    assert without_void_ticks([first, second], {}) == [first, second]


# --- random logs ------------------------------------------------------------------------------------------------------


def log_of(seed: str) -> tuple[Any, Log]:
    rng = random.Random(seed)
    return any_log(rng, wrong_clock_facets(rng))


def compare_with_reference(seed: str) -> None:
    generator, log = log_of(seed)
    frontier = frontier_of(log, generator.first)
    try:
        full = evaluate(events_of(log), frontier, after=0, upto=len(log))
        assert_same_history(run_reference(log, generator.first), full, frontier.policies)
        cuts = random.Random(seed).sample(range(1, len(log) + 1), min(len(log), 3))
        parts = evaluate_in_ranges(log, generator.first, cuts)
        ends = [0, *sorted(set(cuts) - {0, len(log)})]
        changes_of_parts = [
            c for part, after in zip(parts, ends, strict=True) for c in kernel_changes(part, frontier.policies, after=after)
        ]
        assert changes_by_finding(changes_of_parts) == changes_by_finding(kernel_changes(full, frontier.policies))
        assert sums_of(pl.concat([p.ledger for p in parts]), len(log)) == sums_of(full.ledger, len(log))
    except AssertionError as error:
        raise AssertionError(f"{seed}, {sorted(generator.facets)}\n{format_log(log)}") from error


def test_the_kernel_agrees_with_the_reference_on_logs_with_superseded_ticks() -> None:
    for n in range(3):
        compare_with_reference(f"wrong clock/{n}")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_kernel_agrees_with_the_reference_on_many_logs_with_superseded_ticks(part: int) -> None:
    for n in range(part * 100, part * 100 + 100):
        compare_with_reference(f"often a wrong clock/{n}")


def test_superseded_ticks_retract_findings_in_the_random_logs() -> None:
    retracted = 0
    for n in range(80):
        generator, log = log_of(f"wrong clock/{n}")
        superseding = {at for at, commit in enumerate(log, start=1) if any(isinstance(i, Supersede) for i in commit)}
        reference = run_reference(log, generator.first)
        retracted += sum(
            c["position"] in superseding and c["action"] == "retracted" and c["cause"] == "policy_change" for c in reference.changes
        )
    assert retracted >= 10


def check_every_way_of_running(seed: str, folder: Path) -> None:
    """Compare one call, partitions in steps, and epochs with randomly lost states: history, sums and booking counts."""
    generator, log = log_of(seed)
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
    )
    rng = random.Random(seed)
    ends = [*sorted(rng.sample(range(1, len(log)), min(6, len(log) - 1))), len(log)]
    all_buckets = BucketRange(0, lake_fixture.BUCKETS - 1)
    with lake_fixture.quick_lake(folder, log, rows, generator.bucket_by) as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        assert lake_fixture.totals(lake_fixture.outcome_in_steps(lake, ends, 3)) == full, (seed, ends, format_log(log))
        lost = frozenset(end for end in ends if rng.random() < 0.3)
        epochs = process_epochs(lake, ends, all_buckets, lost)
        assert lake_fixture.totals(merge_outcomes([epoch.outcome for epoch in epochs])) == full, (seed, ends, lost, format_log(log))


def test_superseded_ticks_have_the_same_effect_in_partitions_and_epochs(tmp_path: Path) -> None:
    check_every_way_of_running("every way with a wrong clock/0", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(40))
def test_superseded_ticks_have_the_same_effect_in_partitions_and_epochs_of_many_logs(n: int, tmp_path: Path) -> None:
    check_every_way_of_running(f"often every way with a wrong clock/{n}", tmp_path)
