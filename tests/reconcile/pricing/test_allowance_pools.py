"""Free units and tiers in reconciliation: prices that depend on other usage, and amounts judged by pool and period."""

from __future__ import annotations

import random
from pathlib import Path

import lake_fixture
import polars as pl
import pytest
from kernel_adapter import assert_same_history, changes_by_finding, events_of, frontier_of, kernel_changes, shown, sums_of, terms_of
from random_allowance_logs import shared
from reference_model.history import run_reference

from trueup.reconcile.kernel.evaluate import Evaluated, evaluate


def held_to_the_model(seed: str, numbers: range) -> None:
    for n in numbers:
        world, log = shared(random.Random(f"{seed}/{n}"))
        story, frontier = run_reference(log, world.first), frontier_of(log, world.first)
        try:
            told = evaluate(events_of(log), frontier, terms_of(log), after=0, upto=len(log), fast_path=n % 3 != 0)
            assert_same_history(story, told, frontier.policies)
        except Exception as error:
            raise AssertionError(f"log {n} of seed {seed}, {sorted(world.facets)}\n{shown(log)}\n{error}") from error


@pytest.mark.parametrize("part", range(4))
def test_the_kernel_tells_what_the_model_tells_of_worlds_that_share(part: int) -> None:
    held_to_the_model("shares", range(part * 20, part * 20 + 20))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_kernel_tells_what_the_model_tells_of_eight_hundred_worlds_that_share(part: int) -> None:
    held_to_the_model("many shares", range(part * 100, part * 100 + 100))


def divided(seed: str, n: int) -> None:
    """However a log is cut into epochs, divided by bucket key or shuffled, its history and its sums are the same."""
    rng = random.Random(f"{seed}/{n}")
    world, log = shared(rng)
    events, frontier, terms = events_of(log), frontier_of(log, world.first), terms_of(log)
    whole = evaluate(events, frontier, terms, after=0, upto=len(log))
    wanted, sums = changes_by_finding(kernel_changes(whole, frontier.policies)), sums_of(whole.ledger, len(log))

    def same(parts: list[Evaluated], after: list[int], what: str) -> None:
        told = [c for e, a in zip(parts, after, strict=True) for c in kernel_changes(e, frontier.policies, after=a)]
        assert changes_by_finding(told) == wanted, f"{what} of log {n}\n{shown(log)}"
        assert sums_of(pl.concat([e.ledger for e in parts]), len(log)) == sums, f"{what} of log {n}\n{shown(log)}"

    cuts = sorted({*rng.sample(range(1, len(log) + 1), min(len(log), 3)), len(log)})
    epochs = [
        evaluate(events_of(log[:b]), frontier_of(log, world.first, b), terms_of(log, b), after=a, upto=b)
        for a, b in zip([0, *cuts], cuts, strict=False)
    ]
    same(epochs, [0, *cuts[:-1]], f"epochs up to {cuts}")
    half = set(rng.sample(scopes := events["scope"].unique().sort().to_list(), len(scopes) // 2))
    mine = pl.col("scope").is_in(half)
    same([evaluate(events.filter(f), frontier, terms, after=0, upto=len(log)) for f in (mine, ~mine)], [0, 0], "halves")
    mixed = events.sample(fraction=1, shuffle=True, seed=n)
    same([evaluate(mixed, frontier, terms, after=0, upto=len(log), fast_path=n % 2 == 0)], [0], "another order")


@pytest.mark.parametrize("n", range(12))
def test_however_a_log_is_divided_what_is_shared_tells_the_same(n: int) -> None:
    divided("divided shares", n)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_however_four_hundred_logs_are_divided_what_is_shared_tells_the_same(part: int) -> None:
    for n in range(part * 50, part * 50 + 50):
        divided("often divided shares", n)


def reached(seed: str, n: int, folder: Path, pairs: int) -> None:
    """Any positions evaluated on what they touch of a lake tell what they tell in the whole."""
    rng = random.Random(f"{seed}/{n}")
    world, log = shared(rng)
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], world.bucket_by)
    with lake_fixture.quick_lake(folder, log, rows, world.bucket_by) as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        for _ in range(pairs):
            after, upto = sorted(rng.sample(range(len(log) + 1), 2))
            some = lake_fixture.totals(lake_fixture.outcome_of(lake, after, upto, 1))
            where = f"log {n} of seed {seed}, positions {after + 1} to {upto}, {sorted(world.facets)}"
            assert some["history"] == [r for r in whole["history"] if after < r[1] <= upto], where
            assert some["ledger"] == {k: v for k, v in whole["ledger"].items() if after < k[0] <= upto}, where


@pytest.mark.parametrize("n", range(6))
def test_positions_that_touch_a_pool_read_all_of_it(n: int, tmp_path: Path) -> None:
    reached("reached shares", n, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_positions_of_two_hundred_logs_read_all_of_the_pools_they_touch(part: int, tmp_path: Path) -> None:
    for n in range(25):
        reached("far reached shares", 25 * part + n, tmp_path / str(n), 5)
