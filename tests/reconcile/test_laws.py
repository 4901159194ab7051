"""The laws of reconciliation, on random logs, against the project's own brute-force meaning."""

from __future__ import annotations

import random

import pytest
import story
import worlds
from hearing import assert_told, evaluated_in_pieces, events_of, frontier_of, heard, lives
from told import Record

from trueup.reconcile.kernel import evaluate
from trueup.reconcile.rules import Policy

Log = list[list[object]]


def told(log: Log, policy: Policy, *, tell_apart: bool = True) -> list[dict[str, object]]:
    frontier = frontier_of(log, policy)
    evaluated = evaluate(events_of(log), frontier, after=0, upto=len(log), tell_apart=tell_apart)
    return heard(evaluated, frontier.policies)


def held_to_the_meaning(seed: str, numbers: range) -> None:
    for n in numbers:
        world, log = worlds.wild(random.Random(f"{seed}/{n}"))
        the_story = story.tell(log, world.first)
        frontier = frontier_of(log, world.first)
        evaluated = evaluate(events_of(log), frontier, after=0, upto=len(log), tell_apart=n % 3 != 0)
        try:
            assert_told(the_story, evaluated, frontier.policies)
        except AssertionError as error:
            raise AssertionError(f"log {n} of seed {seed}, {sorted(world.facets)}") from error


@pytest.mark.parametrize("part", range(3))
def test_the_kernel_tells_what_the_meaning_says_and_every_sum_balances_at_every_position(part: int) -> None:
    held_to_the_meaning("laws", range(part * 30, part * 30 + 30))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_kernel_tells_what_the_meaning_says_on_two_thousand_logs(part: int) -> None:
    held_to_the_meaning("many laws", range(part * 250, part * 250 + 250))


@pytest.mark.parametrize("n", range(12))
def test_expected_less_billed_is_impact_and_tolerated_and_pending_in_every_cell(n: int) -> None:
    world, log = worlds.wild(random.Random(f"sums/{n}"))
    ledger = evaluate(events_of(log), frontier_of(log, world.first), after=0, upto=len(log)).ledger
    for row in ledger.iter_rows(named=True):
        assert (
            row["expected_micros"] - row["billed_micros"] == row["impact_micros"] + row["tolerated_micros"] + row["pending_micros"]
        )


@pytest.mark.parametrize("n", range(12))
def test_records_that_come_in_time_leave_the_same_state_whatever_their_order(n: int) -> None:
    rng = random.Random(f"in time/{n}")
    world, items = worlds.tame(rng)
    wanted = story.tell([items], world.first).standing[-1]
    for _ in range(2):
        log = worlds.in_time(rng, items, world.first)
        the_story = story.tell(log, world.first)
        assert the_story.standing[-1] == wanted
        frontier = frontier_of(log, world.first)
        assert_told(the_story, evaluate(events_of(log), frontier, after=0, upto=len(log)), frontier.policies)


@pytest.mark.parametrize("n", range(12))
def test_the_history_is_the_same_for_every_chopping_into_epochs(n: int) -> None:
    rng = random.Random(f"chopped/{n}")
    world, log = worlds.wild(rng)
    frontier = frontier_of(log, world.first)
    whole = lives(told(log, world.first))
    cuts = rng.sample(range(1, len(log) + 1), min(4, len(log)))
    pieces = []
    after = 0
    for upto, evaluated in zip(
        [*sorted(set(cuts) - {0, len(log)}), len(log)], evaluated_in_pieces(log, world.first, cuts), strict=True
    ):
        pieces += heard(evaluated, frontier.policies, after=after)
        after = upto
    assert lives(pieces) == whole


@pytest.mark.parametrize("n", range(12))
def test_telling_clean_pairs_apart_changes_nothing(n: int) -> None:
    world, log = worlds.wild(random.Random(f"apart/{n}"))
    assert lives(told(log, world.first)) == lives(told(log, world.first, tell_apart=False))


@pytest.mark.parametrize("n", range(12))
def test_delivering_everything_again_and_the_order_inside_a_commit_change_nothing(n: int) -> None:
    world, log = worlds.wild(random.Random(f"again/{n}"), facets=())
    wanted = lives(told(log, world.first))
    everything = [i for commit in log for i in commit if isinstance(i, Record)]
    assert lives(told([list(reversed(c)) for c in log], world.first)) == wanted
    assert lives(told([*log, everything, []], world.first)) == wanted


@pytest.mark.parametrize("n", range(12))
def test_a_settled_pair_is_never_parted_and_each_record_has_one_place(n: int) -> None:
    world, log = worlds.wild(random.Random(f"settled/{n}"), facets=())
    the_story = story.tell(log, world.first)
    for before, after in zip(the_story.settled, the_story.settled[1:], strict=False):
        assert before.items() <= after.items()
    evaluated = evaluate(events_of(log), frontier_of(log, world.first), after=0, upto=len(log), tell_apart=False)
    assert evaluated.members["rid"].is_unique().all()
    assert evaluated.members.height == len(the_story.held)


@pytest.mark.parametrize("n", range(12))
def test_what_was_in_time_raised_nothing_that_its_other_side_takes_back(n: int) -> None:
    rng = random.Random(f"taken back/{n}")
    world, items = worlds.tame(rng)
    log = worlds.in_time(rng, items, world.first)
    gone = {(c["kind"], c["cause"]) for c in told(log, world.first) if c["action"] in ("retracted", "resolved")}
    assert not gone & {("unbilled", "late_charge"), ("charge_without_usage", "late_usage")}
