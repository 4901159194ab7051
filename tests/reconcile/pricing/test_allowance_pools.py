"""Allowances and tiers in reconciliation: prices depend on other usage, and amounts are judged by pool and period."""

from __future__ import annotations

import random
from pathlib import Path

import lake_fixture
import polars as pl
import pytest
from kernel_adapter import (
    assert_same_history,
    changes_by_finding,
    events_of,
    format_log,
    frontier_of,
    kernel_changes,
    sums_of,
    terms_of,
)
from random_allowance_logs import allowance_log
from reference_model.history import run_reference

from trueup.reconcile.kernel.evaluate import Evaluated, evaluate


def compare_with_reference(seed: str, numbers: range, further: tuple[str, ...] = ()) -> None:
    for n in numbers:
        generator, log = allowance_log(random.Random(f"{seed}/{n}"), further=further)
        reference, frontier = run_reference(log, generator.first), frontier_of(log, generator.first)
        try:
            actual = evaluate(events_of(log), frontier, terms_of(log), after=0, upto=len(log), fast_path=n % 3 != 0)
            assert_same_history(reference, actual, frontier.policies)
        except Exception as error:
            raise AssertionError(f"log {n} of seed {seed}, {sorted(generator.facets)}\n{format_log(log)}\n{error}") from error


@pytest.mark.parametrize("part", range(2))
def test_the_kernel_agrees_with_the_reference_on_logs_with_shared_allowances(part: int) -> None:
    compare_with_reference("shares", range(part * 3, part * 3 + 3))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_kernel_agrees_with_the_reference_on_eight_hundred_logs_with_shared_allowances(part: int) -> None:
    compare_with_reference("many shares", range(part * 100, part * 100 + 100))


def check_divisions(seed: str, n: int, further: tuple[str, ...] = ()) -> None:
    """Check that epochs, bucket keys and row order do not change the history and the sums of a log."""
    rng = random.Random(f"{seed}/{n}")
    generator, log = allowance_log(rng, further=further)
    events, frontier, terms = events_of(log), frontier_of(log, generator.first), terms_of(log)
    full = evaluate(events, frontier, terms, after=0, upto=len(log))
    expected, sums = changes_by_finding(kernel_changes(full, frontier.policies)), sums_of(full.ledger, len(log))

    def assert_same(parts: list[Evaluated], after: list[int], division: str) -> None:
        changes = [c for e, a in zip(parts, after, strict=True) for c in kernel_changes(e, frontier.policies, after=a)]
        assert changes_by_finding(changes) == expected, f"{division} of log {n}\n{format_log(log)}"
        assert sums_of(pl.concat([e.ledger for e in parts]), len(log)) == sums, f"{division} of log {n}\n{format_log(log)}"

    cuts = sorted({*rng.sample(range(1, len(log) + 1), min(len(log), 3)), len(log)})
    epochs = [
        evaluate(events_of(log[:b]), frontier_of(log, generator.first, b), terms_of(log, b), after=a, upto=b)
        for a, b in zip([0, *cuts], cuts, strict=False)
    ]
    assert_same(epochs, [0, *cuts[:-1]], f"epochs up to {cuts}")
    half = set(rng.sample(scopes := events["scope"].unique().sort().to_list(), len(scopes) // 2))
    in_half = pl.col("scope").is_in(half)
    assert_same(
        [evaluate(events.filter(f), frontier, terms, after=0, upto=len(log)) for f in (in_half, ~in_half)], [0, 0], "halves"
    )
    shuffled = events.sample(fraction=1, shuffle=True, seed=n)
    assert_same([evaluate(shuffled, frontier, terms, after=0, upto=len(log), fast_path=n % 2 == 0)], [0], "another order")


@pytest.mark.parametrize("n", range(2))
def test_shared_allowances_give_the_same_history_for_every_division(n: int) -> None:
    check_divisions("divided shares", n)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_shared_allowances_of_four_hundred_logs_give_the_same_history_for_every_division(part: int) -> None:
    for n in range(part * 50, part * 50 + 50):
        check_divisions("often divided shares", n)


def check_affected_records(seed: str, n: int, folder: Path, pairs: int, further: tuple[str, ...] = ()) -> None:
    """Check that random position ranges, evaluated on the records they affect, change the same as in the full run."""
    rng = random.Random(f"{seed}/{n}")
    generator, log = allowance_log(rng, further=further)
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
    )
    with lake_fixture.quick_lake(folder, log, rows, generator.bucket_by) as lake:
        lake_fixture.check_position_ranges(lake, rng, pairs, f"log {n} of seed {seed}, {sorted(generator.facets)}")


@pytest.mark.parametrize("n", range(2))
def test_positions_that_affect_a_pool_read_all_its_records(n: int, tmp_path: Path) -> None:
    check_affected_records("reached shares", n, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_positions_of_two_hundred_logs_read_all_records_of_affected_pools(part: int, tmp_path: Path) -> None:
    for n in range(25):
        check_affected_records("far reached shares", 25 * part + n, tmp_path / str(n), 5)


def test_allowances_of_billing_cycles_agree_with_the_reference_and_have_one_history_for_every_division() -> None:
    compare_with_reference("cycle shares", range(6), ("states",))
    check_divisions("divided cycle shares", 1, ("states",))


@pytest.mark.parametrize("n", range(2))
def test_positions_that_affect_the_pool_of_a_billing_cycle_read_all_its_records(n: int, tmp_path: Path) -> None:
    check_affected_records("reached cycle shares", n, tmp_path, 2, ("states",))


@pytest.mark.slow
def test_allowances_of_billing_cycles_agree_with_the_reference_on_forty_logs(tmp_path: Path) -> None:
    compare_with_reference("many cycle shares", range(40), ("states",))
    for n in range(4):
        check_affected_records("far reached cycle shares", n, tmp_path / str(n), 3, ("states",))
