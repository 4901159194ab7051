"""The laws of reconciliation on random logs: the kernel agrees with the reference model, and both keep the laws.

(a) Every sum balances. (b) Records in time leave the same state in any order. (c) However a log is divided, its history is the
same. (d) A settled pair is never separated. (e) Each record has one booking. (f) A repeated delivery adds nothing. (g) A finding on
records in time is never retracted because of the other side.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

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
from random_logs import (
    any_log,
    cycle_facets,
    deliver_in_time,
    in_time_log,
    line_facets,
    moved_facets,
    moved_line_facets,
    recovery_facets,
    zone_facets,
)
from reference_model.history import ReferenceRun, run_reference
from reference_model.log import Item, Log, Record

from trueup.policies.policy import Policy
from trueup.reconcile.kernel import schedule
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate


def evaluate_log(log: Log, policy: Policy, *, fast_path: bool = True) -> Evaluated:
    return evaluate(events_of(log), frontier_of(log, policy), terms_of(log), after=0, upto=len(log), fast_path=fast_path)


def history(log: Log, policy: Policy) -> Counter[Any]:
    return changes_by_finding(kernel_changes(evaluate_log(log, policy), frontier_of(log, policy).policies))


def compare_with_reference(
    seed: str, numbers: range, facets_of: Callable[[random.Random, int], Iterable[str]] | None = None
) -> list[ReferenceRun]:
    """Check the kernel against the reference, and laws a, d and e, on random logs; return the histories of the reference."""
    references = []
    for n in numbers:
        rng = random.Random(f"{seed}/{n}")
        generator, log = any_log(rng, None if facets_of is None else facets_of(rng, n))
        reference = run_reference(log, generator.first)
        try:
            with pytest.MonkeyPatch.context() as patch:
                # Some evaluations are compared with those before them in several batches.
                patch.setattr(schedule, "MOST_MEMBERS", 1 if n % 4 == 1 else 10 if n % 4 == 2 else schedule.MOST_MEMBERS)
                kernel = evaluate_log(log, generator.first, fast_path=n % 3 != 0)
            assert_same_history(reference, kernel, frontier_of(log, generator.first).policies)
            check_laws(reference, log)
        except AssertionError as error:
            raise AssertionError(f"log {n} of seed {seed}, {sorted(generator.facets)}\n{format_log(log)}") from error
        references.append(reference)
    return references


def check_laws(reference: ReferenceRun, log: Log) -> None:
    """Check laws a, d and e at every position, and the billed sums against the counted records."""
    for sums, bookings, findings in zip(reference.sums, reference.bookings, reference.open_findings, strict=True):
        for expected, billed, impact, tolerated, pending, _ in sums.values():
            assert expected - billed == impact + tolerated + pending
        assert sum(row[2] for row in sums.values()) == sum(p.expected - p.billed for p in findings.values())
        assert {p for p in bookings.values() if p.kind not in ("pending", "tolerated")} == set(findings.values())
    for before, after in zip(reference.settled, reference.settled[1:], strict=False):
        assert before.items() <= after.items()
    assert len(set(reference.settled[-1].values())) == len(reference.settled[-1])
    billed_micros = sum(h.record.amount_micros for h in reference.records.values() if h.record.charge)
    assert sum(row[1] for row in reference.sums[-1].values()) == billed_micros
    delivered = {r.record_id: r.identity for commit in log for r in commit if isinstance(r, Record)}
    booked = [delivered[record_id] for record_id in reference.bookings[-1]]
    assert {*booked} == {*delivered.values()} and len({*booked}) == len(booked)


@pytest.mark.parametrize("part", range(2))
def test_the_kernel_agrees_with_the_reference_on_random_logs(part: int) -> None:
    compare_with_reference("laws", range(part * 10, part * 10 + 10))


def test_a_policy_that_another_replaces_before_the_first_commit_decides_nothing() -> None:
    # The first policy matches neighbours, the one at position 1 does not: a late correction has another session key.
    compare_with_reference("many laws", range(585, 586))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_the_kernel_agrees_with_the_reference_on_two_thousand_random_logs(part: int) -> None:
    compare_with_reference("many laws", range(part * 200, part * 200 + 200))


# --- in time ----------------------------------------------------------------------------------------------------------


def check_deliveries_in_time(
    seed: str, n: int, orders: int, facets_of: Callable[[random.Random, int], Iterable[str]] | None = None
) -> None:
    """Check laws b and g on one log."""
    rng = random.Random(f"{seed}/{n}")
    generator, items = in_time_log(rng, None if facets_of is None else facets_of(rng, n))
    expected = history([items], generator.first), run_reference([items], generator.first).open_findings[-1]
    for _ in range(orders):
        log = deliver_in_time(rng, items, generator.first)
        reference = run_reference(log, generator.first)
        assert reference.open_findings[-1] == expected[1], format_log(log)
        actual = evaluate_log(log, generator.first)
        assert_same_history(reference, actual, frontier_of(log, generator.first).policies)
        prefix = rng.randrange(1, len(log) + 1)
        at_once = evaluate_log([[i for commit in log[:prefix] for i in commit]], generator.first)
        assert sums_of(actual.ledger, len(log))[prefix - 1] == sums_of(at_once.ledger, 1)[0], format_log(log[:prefix])
        assert (
            run_reference([[i for commit in log[:prefix] for i in commit]], generator.first).open_findings[-1]
            == reference.open_findings[prefix - 1]
        )
        withdrawn = {(c["kind"], c["cause"]) for c in reference.changes if c["action"] in ("retracted", "resolved")}
        assert not withdrawn & {("unbilled", "late_charge"), ("charge_without_usage", "late_usage")}, format_log(log)


@pytest.mark.parametrize("n", range(3))
def test_records_in_time_leave_the_same_state_in_any_order_and_withdraw_no_finding(n: int) -> None:
    check_deliveries_in_time("in time", n, 1)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_records_in_time_leave_the_same_state_in_three_orders_of_four_hundred_logs(part: int) -> None:
    for n in range(part * 50, part * 50 + 50):
        check_deliveries_in_time("often in time", n, 3)


# --- divided, reordered, repeated -------------------------------------------------------------------------------------


def check_divisions(seed: str, n: int, facets_of: Callable[[random.Random, int], Iterable[str]] | None = None) -> None:
    """Check laws c and f on one log."""
    rng = random.Random(f"{seed}/{n}")
    generator, log = any_log(rng, None if facets_of is None else facets_of(rng, n))
    full, policies = evaluate_log(log, generator.first), frontier_of(log, generator.first).policies
    expected, sums = changes_by_finding(kernel_changes(full, policies)), sums_of(full.ledger, len(log))

    def assert_same(parts: list[Evaluated], what: str, after: list[int] | None = None) -> None:
        changes = [c for e, a in zip(parts, after or [0] * len(parts), strict=True) for c in kernel_changes(e, policies, after=a)]
        assert changes_by_finding(changes) == expected, f"{what}\n{format_log(log)}"
        assert sums_of(pl.concat([e.ledger for e in parts]), len(log)) == sums, f"{what}\n{format_log(log)}"

    cuts = sorted({*rng.sample(range(1, len(log) + 1), min(len(log), rng.choice((1, 2, 3)))), len(log)})
    frontiers = [frontier_of(log, generator.first, upto) for upto in cuts]
    assert_same(
        [evaluate(events_of(log[:b]), f, after=a, upto=b) for a, b, f in zip([0, *cuts], cuts, frontiers, strict=False)],
        f"epochs up to {cuts}", [0, *cuts[:-1]],
    )  # fmt: skip
    events, frontier = events_of(log), frontier_of(log, generator.first)
    scopes = events["scope"].unique().to_list()
    half = set(rng.sample(scopes, len(scopes) // 2))
    for_half = pl.col("scope").is_in(half)
    assert_same([evaluate(events.filter(f), frontier, after=0, upto=len(log)) for f in (for_half, ~for_half)], "by bucket key")
    assert_same(
        [evaluate(events.sample(fraction=1, shuffle=True, seed=n), frontier, after=0, upto=len(log), fast_path=n % 2 == 0)],
        "shuffled",
    )
    # All records are delivered again, and an empty commit follows, under the frontier reached then.
    repeated: list[Item] = [i for commit in log for i in commit if isinstance(i, Record)]
    twice: Log = [*log, repeated, []]
    assert changes_by_finding(kernel_changes(evaluate_log(twice, generator.first), policies)) == expected, format_log(log)


@pytest.mark.parametrize("n", range(2))
def test_history_and_sums_are_the_same_for_every_division_order_and_repetition(n: int) -> None:
    check_divisions("divided", n)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_history_and_sums_of_four_hundred_logs_are_the_same_for_every_division(part: int) -> None:
    for n in range(part * 50, part * 50 + 50):
        check_divisions("often divided", n)


def test_the_random_logs_cover_every_kind_cause_and_action() -> None:
    counts: Counter[Any] = Counter()
    for n in range(400):
        generator, log = any_log(random.Random(f"seen/{n}"), size=12)
        reference = run_reference(log, generator.first)
        for change in reference.changes:
            counts.update([change["kind"], change["cause"], change["action"]])
        counts["settled"] += len(reference.settled[-1])
        counts["superseded"] += sum(len(h.contents) - 1 for h in reference.records.values())
    required = {
        "unbilled", "underbilled", "overbilled", "misrated", "duplicate_charge", "charge_without_usage", "conflicting_usage",
        "conflicting_charge", "unrated", "conflict", "frontier", "arrival", "late_charge", "late_usage", "policy_change",
        "beyond_horizon", "raised", "revised", "retracted", "resolved", "settled", "superseded",
    }  # fmt: skip
    assert {name for name in required if counts[name] < 20} == set()


# --- correcting charges -----------------------------------------------------------------------------------------------


def recoveries(rng: random.Random, _: int) -> Iterable[str]:
    """Return facets of logs with correcting charges."""
    return recovery_facets(rng)


def test_the_kernel_agrees_with_the_reference_where_charges_correct_bookings() -> None:
    compare_with_reference("recoveries", range(12), recoveries)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_the_kernel_agrees_with_the_reference_on_a_thousand_logs_with_corrections(part: int) -> None:
    compare_with_reference("many recoveries", range(part * 250, part * 250 + 250), recoveries)


@pytest.mark.slow
def test_the_kernel_agrees_with_the_reference_where_charges_correct_bookings_that_a_tariff_book_prices() -> None:
    for n in range(150):
        generator, log = allowance_log(random.Random(f"priced recoveries/{n}"), further=("recoveries",))
        frontier, terms = frontier_of(log, generator.first), terms_of(log)
        kernel = evaluate(events_of(log), frontier, terms, after=0, upto=len(log), fast_path=n % 3 != 0)
        assert_same_history(run_reference(log, generator.first), kernel, frontier.policies)


# --- versions under other bucket keys ---------------------------------------------------------------------------------


def moved(rng: random.Random, n: int) -> Iterable[str]:
    """Return facets of logs whose records have versions under several bucket keys."""
    return moved_facets(rng) | ({"recoveries"} if n % 4 == 0 else set())


def test_the_kernel_agrees_with_the_reference_where_versions_move_records_to_other_bucket_keys() -> None:
    references = compare_with_reference("moved", range(6), moved)
    causes = Counter((c["cause"], c["action"]) for run in references for c in run.changes)
    assert min(causes["correction", action] for action in ("raised", "revised", "retracted")) > 0
    counted = [one for run in references for one in run.records.values()]
    assert sum(one.corrected and one.record.version is not None for one in counted) > 0


def test_moved_records_in_time_leave_the_same_state_in_any_order() -> None:
    check_deliveries_in_time("moved in time", 0, 1, moved)


def test_the_history_of_moved_records_is_the_same_for_every_division() -> None:
    check_divisions("moved divided", 1, moved)


def test_the_kernel_agrees_with_the_reference_where_moved_records_are_covered_or_summed() -> None:
    compare_with_reference("moved lines", range(4), lambda rng, _: moved_line_facets(rng))


@pytest.mark.slow
def test_the_laws_hold_on_hundreds_of_logs_with_moved_records() -> None:
    compare_with_reference("many moved lines", range(100), lambda rng, _: moved_line_facets(rng))
    compare_with_reference("many moved", range(150), moved)
    for n in range(40):
        check_deliveries_in_time("moved often in time", n, 2, moved)
        check_divisions("moved often divided", n, moved)


# --- lines and covering services --------------------------------------------------------------------------------------


def lines(rng: random.Random, n: int) -> Iterable[str]:
    """Return facets of logs with covering services and equal lines."""
    return line_facets(rng) | ({"recoveries"} if n % 4 == 0 else set())


def test_the_kernel_agrees_with_the_reference_where_services_cover_others() -> None:
    references = compare_with_reference("lines", range(16), lines)
    kinds = Counter(c["kind"] for run in references for c in run.changes if c["finding"][1][0] == "period")
    assert min(kinds[name] for name in ("duplicate_charge", "unbilled", "misrated")) > 0


@pytest.mark.slow
def test_the_kernel_agrees_with_the_reference_on_a_hundred_logs_where_services_cover_others() -> None:
    compare_with_reference("many lines", range(100), lines)


# --- billing cycles ---------------------------------------------------------------------------------------------------


def check_cycles(seed: str, numbers: range, facets_of: Callable[[random.Random], Iterable[str]] = cycle_facets) -> Counter[Any]:
    """Check the kernel against the reference, and laws a, d and e, on logs with sums of billing cycles."""
    causes: Counter[Any] = Counter()
    for n in numbers:
        rng = random.Random(f"{seed}/{n}")
        generator, log = any_log(rng, facets_of(rng))
        reference = run_reference(log, generator.first)
        try:
            assert_same_history(
                reference, evaluate_log(log, generator.first, fast_path=n % 3 != 0), frontier_of(log, generator.first).policies
            )
            check_laws(reference, log)
        except AssertionError as error:
            raise AssertionError(f"log {n} of seed {seed}, {sorted(generator.facets)}\n{format_log(log)}") from error
        causes.update(c["cause"] for c in reference.changes)
    return causes


def test_the_kernel_agrees_with_the_reference_on_sums_of_billing_cycles() -> None:
    assert check_cycles("cycles", range(20))["subscriber_change"] > 0


@pytest.mark.slow
def test_the_kernel_agrees_with_the_reference_on_sums_of_billing_cycles_of_a_hundred_logs() -> None:
    check_cycles("many cycles", range(100))


def test_the_kernel_agrees_with_the_reference_on_sums_in_the_zones_of_subscriptions() -> None:
    assert check_cycles("zones", range(8, 14), zone_facets)["subscriber_change"] > 0


@pytest.mark.slow
def test_the_kernel_agrees_with_the_reference_on_sums_in_the_zones_of_subscriptions_of_two_hundred_logs() -> None:
    check_cycles("many zones", range(200), zone_facets)
