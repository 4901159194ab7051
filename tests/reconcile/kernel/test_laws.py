"""The laws of reconciliation, on random logs: the kernel tells what the brute-force model tells, and both keep the laws.

(a) every sum balances, (b) what comes in time leaves the same state in any order, (c) however a log is divided its history is the
same, (d) a settled pair is never parted, (e) one place for each record, (f) a repetition adds nothing, (g) what was in time
raised nothing that its other side takes back.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import polars as pl
import pytest
from kernel_adapter import assert_same_history, changes_by_finding, events_of, frontier_of, kernel_changes, shown, sums_of
from random_logs import any_log, in_time, in_time_log
from reference_model.history import ReferenceRun, run_reference
from reference_model.log import Item, Log, Record

from trueup.reconcile.domain.policies import Policy
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate


def evaluated(log: Log, policy: Policy, *, fast_path: bool = True) -> Evaluated:
    return evaluate(events_of(log), frontier_of(log, policy), after=0, upto=len(log), fast_path=fast_path)


def told(log: Log, policy: Policy) -> Counter[Any]:
    return changes_by_finding(kernel_changes(evaluated(log, policy), frontier_of(log, policy).policies))


def held_to_the_model(seed: str, numbers: range) -> None:
    for n in numbers:
        world, log = any_log(random.Random(f"{seed}/{n}"))
        story = run_reference(log, world.first)
        try:
            assert_same_history(story, evaluated(log, world.first, fast_path=n % 3 != 0), frontier_of(log, world.first).policies)
            keeps_the_laws(story, log)
        except AssertionError as error:
            raise AssertionError(f"log {n} of seed {seed}, {sorted(world.facets)}\n{shown(log)}") from error


def keeps_the_laws(story: ReferenceRun, log: Log) -> None:
    """Laws a, d and e at every position; the sums also straight from the records that count."""
    for sums, places, standing in zip(story.sums, story.places, story.standing, strict=True):
        for expected, billed, impact, tolerated, pending, _ in sums.values():
            assert expected - billed == impact + tolerated + pending
        assert sum(row[2] for row in sums.values()) == sum(p.expected - p.billed for p in standing.values())
        assert {p for p in places.values() if p.kind not in ("pending", "tolerated")} == set(standing.values())
    for before, after in zip(story.settled, story.settled[1:], strict=False):
        assert before.items() <= after.items()
    assert len(set(story.settled[-1].values())) == len(story.settled[-1])
    billed_micros = sum(h.record.amount_micros for h in story.held.values() if h.record.charge)
    assert sum(row[1] for row in story.sums[-1].values()) == billed_micros
    assert {r.rid for commit in log for r in commit if isinstance(r, Record)} == set(story.places[-1])


@pytest.mark.parametrize("part", range(4))
def test_the_kernel_tells_what_the_model_tells_of_logs_in_which_anything_comes_at_any_time(part: int) -> None:
    held_to_the_model("laws", range(part * 25, part * 25 + 25))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_the_kernel_tells_what_the_model_tells_of_two_thousand_logs(part: int) -> None:
    held_to_the_model("many laws", range(part * 200, part * 200 + 200))


# --- in time ----------------------------------------------------------------------------------------------------------


def comes_in_time(seed: str, n: int, orders: int) -> None:
    """Laws b and g."""
    rng = random.Random(f"{seed}/{n}")
    world, items = in_time_log(rng)
    wanted = told([items], world.first), run_reference([items], world.first).standing[-1]
    for _ in range(orders):
        log = in_time(rng, items, world.first)
        story = run_reference(log, world.first)
        assert story.standing[-1] == wanted[1], shown(log)
        got = evaluated(log, world.first)
        assert_same_history(story, got, frontier_of(log, world.first).policies)
        some = rng.randrange(1, len(log) + 1)
        at_once = evaluated([[i for commit in log[:some] for i in commit]], world.first)
        assert sums_of(got.ledger, len(log))[some - 1] == sums_of(at_once.ledger, 1)[0], shown(log[:some])
        assert run_reference([[i for commit in log[:some] for i in commit]], world.first).standing[-1] == story.standing[some - 1]
        gone = {(c["kind"], c["cause"]) for c in story.changes if c["action"] in ("retracted", "resolved")}
        assert not gone & {("unbilled", "late_charge"), ("charge_without_usage", "late_usage")}, shown(log)


@pytest.mark.parametrize("n", range(10))
def test_what_comes_in_time_leaves_the_same_state_in_any_order_and_takes_nothing_back(n: int) -> None:
    comes_in_time("in time", n, 1)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_what_comes_in_time_leaves_the_same_state_in_three_orders_of_each_of_four_hundred_logs(part: int) -> None:
    for n in range(part * 50, part * 50 + 50):
        comes_in_time("often in time", n, 3)


# --- divided, reordered, repeated -------------------------------------------------------------------------------------


def whole_and_divided(seed: str, n: int) -> None:
    """Laws c and f on one log."""
    rng = random.Random(f"{seed}/{n}")
    world, log = any_log(rng)
    whole, policies = evaluated(log, world.first), frontier_of(log, world.first).policies
    wanted, sums = changes_by_finding(kernel_changes(whole, policies)), sums_of(whole.ledger, len(log))

    def same(parts: list[Evaluated], what: str, after: list[int] | None = None) -> None:
        changes = [c for e, a in zip(parts, after or [0] * len(parts), strict=True) for c in kernel_changes(e, policies, after=a)]
        assert changes_by_finding(changes) == wanted, f"{what}\n{shown(log)}"
        assert sums_of(pl.concat([e.ledger for e in parts]), len(log)) == sums, f"{what}\n{shown(log)}"

    cuts = sorted({*rng.sample(range(1, len(log) + 1), min(len(log), rng.choice((1, 2, 3)))), len(log)})
    frontiers = [frontier_of(log, world.first, upto) for upto in cuts]
    same(
        [evaluate(events_of(log[:b]), f, after=a, upto=b) for a, b, f in zip([0, *cuts], cuts, frontiers, strict=False)],
        f"epochs up to {cuts}", [0, *cuts[:-1]],
    )  # fmt: skip
    events, frontier = events_of(log), frontier_of(log, world.first)
    scopes = events["scope"].unique().to_list()
    half = set(rng.sample(scopes, len(scopes) // 2))
    for_half = pl.col("scope").is_in(half)
    same([evaluate(events.filter(f), frontier, after=0, upto=len(log)) for f in (for_half, ~for_half)], "by bucket key")
    same(
        [evaluate(events.sample(fraction=1, shuffle=True, seed=n), frontier, after=0, upto=len(log), fast_path=n % 2 == 0)],
        "shuffled",
    )
    # Delivered again, all of it, and once more under the frontier as it then stands.
    again: list[Item] = [i for commit in log for i in commit if isinstance(i, Record)]
    twice: Log = [*log, again, []]
    assert changes_by_finding(kernel_changes(evaluated(twice, world.first), policies)) == wanted, shown(log)


@pytest.mark.parametrize("n", range(8))
def test_however_a_log_is_divided_ordered_or_repeated_its_history_and_sums_are_the_same(n: int) -> None:
    whole_and_divided("divided", n)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_however_four_hundred_logs_are_divided_their_histories_are_the_same(part: int) -> None:
    for n in range(part * 50, part * 50 + 50):
        whole_and_divided("often divided", n)


def test_the_random_logs_hold_every_kind_every_cause_and_every_action() -> None:
    seen: Counter[Any] = Counter()
    for n in range(400):
        world, log = any_log(random.Random(f"seen/{n}"), size=12)
        story = run_reference(log, world.first)
        for change in story.changes:
            seen.update([change["kind"], change["cause"], change["action"]])
        seen["settled"] += len(story.settled[-1])
        seen["outdone"] += sum(len(h.contents) - 1 for h in story.held.values())
    wanted = {
        "unbilled", "underbilled", "overbilled", "misrated", "duplicate_charge", "charge_without_usage", "conflicting_usage",
        "conflicting_charge", "unrated", "conflict", "frontier", "arrival", "late_charge", "late_usage", "policy_change",
        "beyond_horizon", "raised", "revised", "retracted", "resolved", "settled", "outdone",
    }  # fmt: skip
    assert {name for name in wanted if seen[name] < 20} == set()
