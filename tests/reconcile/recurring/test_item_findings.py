"""Findings on items: literal subscriptions and charges, the kind, money, reason and life of each finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import pytest
from item_logs import DAY_US, POLICY, Bill, Closed, Item, Price, State, inputs_of

from trueup.config import ServiceConfig
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.recurring.reconcile_items import reconcile_items
from trueup.reconcile.results.outcome import Outcome, merge_outcomes

Change = tuple[int, str, str, str, str | None, str]
"""Position, action, cause, kind, reason and impact of a change of a finding."""
MARCH, APRIL = ("2026-03-01", "2026-04-01"), ("2026-04-01", "2026-05-01")
EARLY = Bill("0", time="2026-03-01", item="line", subscriber="other", at=1)
"""A charge of another subscription: the charge stream reaches back to March."""


def outcome(log: Sequence[Item], cuts: Sequence[int] = (), policies: Sequence[Policy] = (POLICY,)) -> Outcome:
    """Return the outcome of a log, computed in ranges that end at the positions `cuts`."""
    last, after, outcomes = max(i.at for i in log), 0, []
    for upto in [*cuts, last]:
        outcomes.append(reconcile_items(inputs_of(log, upto, policies), after=after, upto=upto))
        after = upto
    return merge_outcomes(outcomes)


def assert_conserved(result: Outcome) -> None:
    """Check that in each sum, at each position, expected - billed = impact + tolerated + pending."""
    rest = pl.sum_horizontal("impact_micros", "tolerated_micros", "pending_micros")
    assert result.ledger.filter(pl.col("expected_micros") - pl.col("billed_micros") != rest).is_empty()


def changes(log: Sequence[Item], subscriber: str = "s", policies: Sequence[Policy] = (POLICY,)) -> list[Change]:
    """Return the changes of findings of one subscription."""
    whole = outcome(log, policies=policies)
    assert_conserved(whole)
    own = whole.history.filter(pl.col("subscriber") == subscriber)
    impact = pl.col("expected_micros").cast(pl.Int128) - pl.col("billed_micros").cast(pl.Int128)
    rows = own.select("position", "action", "cause", "kind", "reason", impact=impact).rows()
    return [(*row[:5], f"{row[5] / 1_000_000:.6f}".rstrip("0").rstrip(".")) for row in rows]


SINCE, RENTAL = State("2025-06-01"), Price("31")
RE_USED = [State("2025-06-01", to="2026-03-11"), State("2026-03-21")]
"""A number of one customer until the 10th of March, and of another one from the 21st on."""
OF_BOTH = [Bill("31", ("2026-03-01", "2026-03-11")), Bill("31", ("2026-03-21", "2026-04-01"))]

CASES: dict[str, tuple[list[Item], list[Change]]] = {
    "a rental billed in full raises nothing": ([SINCE, RENTAL, Bill("31", MARCH), Closed("2026-03-20")], []),
    "a rental that is not billed": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-01", 3), Closed("2026-03-02", 4)],
        [(4, "raised", "frontier", "unbilled", "never_since_activation", "31")],
    ),
    "a rental is not billed this time": (
        [SINCE, RENTAL, Bill("31", MARCH), Closed("2026-04-20")], [(3, "raised", "frontier", "unbilled", None, "31")],
    ),
    "a line of zero is no charge": (
        [SINCE, RENTAL, Bill("0", MARCH), Closed("2026-03-20")], [(3, "raised", "frontier", "unbilled", None, "31")],
    ),
    "the charge arrives late": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), Bill("31", MARCH, at=4)],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"),
         (4, "resolved", "late_charge", "unbilled", "never_since_activation", "31")],
    ),
    "a late charge of another amount": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), Bill("30", MARCH, at=4)],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"), (4, "raised", "late_charge", "misrated", None, "1"),
         (4, "resolved", "late_charge", "unbilled", "never_since_activation", "31")],
    ),
    "two lines that add up": (
        [SINCE, RENTAL, Bill("10", ("2026-03-01", "2026-03-11")), Bill("21", ("2026-03-11", "2026-04-01")), Closed("2026-03-20")], [],
    ),
    "a credit in the same period lowers the billed amount": (
        [SINCE, RENTAL, Bill("40", MARCH), Bill("-9", MARCH), Closed("2026-03-20")], [],
    ),
    "a period billed twice": (
        [SINCE, RENTAL, Bill("31", MARCH, content="x"), Bill("31", MARCH, content="x"), Closed("2026-03-20")],
        [(3, "raised", "frontier", "duplicate_charge", None, "-31")],
    ),
    "a period billed three times": (
        [SINCE, RENTAL, *(Bill("31", MARCH, content="x") for _ in range(3)), Closed("2026-03-20")],
        [(3, "raised", "frontier", "duplicate_charge", None, "-62")],
    ),
    "two lines of one period that are not equal are no duplicate": (
        [SINCE, RENTAL, Bill("31", MARCH, content="x"), Bill("31", MARCH, content="y"), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", None, "-31")],
    ),
    "two equal lines that are both due": (
        [SINCE, RENTAL, *(Bill("15.5", MARCH, content="x") for _ in range(2)), Closed("2026-03-20")], [],
    ),
    "billed at the price before the change": (
        [SINCE, Price("31"), Price("35", "2026-01-01"), Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "old_price", "4")],
    ),
    "billed at the price of the old plan": (
        [SINCE, State("2026-02-10", "B"), Price("31", plan="A"), Price("62", plan="B"), Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "old_plan", "31")],
    ),
    "billed for the whole month of an activation": (
        [State("2026-03-10"), RENTAL, Bill("31", ("2026-03-10", "2026-04-01")), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "not_prorated", "-9")],
    ),
    "an upgrade billed for the whole month": (
        [SINCE, State("2026-03-16", "B"), Price("31", plan="A"), Price("62", plan="B"), Bill("62", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "not_prorated", "-15")],
    ),
    "a discount that has ended": (
        [SINCE, RENTAL, Price(None, to="2026-03-01", item="discount", name="p", more={"discount_micros": 500_000}), Bill("15.5", MARCH),
         Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "discount_expired", "15.5")],
    ),
    "a discount of three months that goes on": (
        [State("2025-12-01"), RENTAL, Price(None, item="discount", name="p", more={"discount_micros": 500_000, "months": 3}),
         Bill("15.5", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "discount_expired", "15.5")],
    ),
    "a discount that is not applied": (
        [SINCE, RENTAL, Price(None, item="discount", name="p", more={"discount_micros": 500_000}), Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "discount_not_applied", "-15.5")],
    ),
    "charged after the subscription has ceased": (
        [State("2025-06-01", to="2026-02-11"), RENTAL, Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "charge_without_usage", "after_cessation", "-31")],
    ),
    "charged for the month in which it ceased": (
        [State("2025-06-01", to="2026-03-11"), RENTAL, Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "not_prorated", "-21")],
    ),
    "charged while suspended": (
        [SINCE, State("2026-02-01", status="suspended"), RENTAL, Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "charge_without_usage", "while_suspended", "-31")],
    ),
    "charged while suspended, another amount": (
        [SINCE, State("2026-02-01", status="suspended"), RENTAL, Bill("12", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "charge_without_usage", "while_suspended", "-12")],
    ),
    "an unexplained charge": (
        [SINCE, Bill("5", MARCH, item="tv"), Closed("2026-03-01", 3), Closed("2026-03-02", 4)],
        [(4, "raised", "frontier", "charge_without_usage", "unknown_item", "-5")],
    ),
    "a charge of an unknown subscription": (
        [RENTAL, Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "charge_without_usage", "unknown_subscription", "-31")],
    ),
    "a charge of an item that the plan has not": (
        [State("2025-06-01", "X"), Price("31", plan="A"), Bill("31", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "charge_without_usage", "unknown_plan", "-31")],
    ),
    "priced in one currency and billed in another": (
        [SINCE, RENTAL, EARLY, Bill("31", MARCH, currency="USD"), Closed("2026-03-20")],
        [(3, "raised", "frontier", "unbilled", None, "31"),
         (3, "raised", "frontier", "charge_without_usage", "other_currency", "-31")],
    ),
    "periods before the charge stream begins are not expected": (
        [State("2015-01-01"), RENTAL, Bill("31", APRIL), Closed("2026-04-20")], [],
    ),
    "a period in arrears that ends as the charge stream begins is not expected, whatever else is charged": (
        [SINCE, Price("31", name="tv", more={"due": "arrears"}), RENTAL, Bill("31", ("2026-02-01", "2026-03-01"), time="2026-03-01"),
         Bill("31", MARCH), Closed("2026-03-20")], [],
    ),
    "an earlier charge makes them expected": (
        [State("2015-01-01"), RENTAL, Bill("31", APRIL), Closed("2026-04-20"), Bill("31", MARCH, at=4), Closed("2026-04-21", 5)], [],
    ),
    "a state that arrives late takes the expectation back": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), State("2026-02-15", status="ceased", at=4)],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"),
         (4, "retracted", "subscriber_change", "unbilled", "never_since_activation", "31")],
    ),
    "a state that arrives late revises the expectation": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), State("2026-03-11", status="ceased", at=4)],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"),
         (4, "revised", "subscriber_change", "unbilled", "never_since_activation", "10")],
    ),
    "a state that arrives late explains a charge": (
        [Bill("31", MARCH), RENTAL, Closed("2026-03-20", 3), State("2026-03-01", at=4)],
        [(3, "raised", "frontier", "charge_without_usage", "unknown_subscription", "-31"),
         (4, "retracted", "subscriber_change", "charge_without_usage", "unknown_subscription", "-31")],
    ),
    "a price that arrives late revises the expectation": (
        [SINCE, RENTAL, Bill("31", MARCH), Closed("2026-03-20", 3), Price("35", "2026-03-01", at=4)],
        [(4, "raised", "tariff_change", "misrated", "old_price", "4")],
    ),
    "a price that is corrected": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), Price("35", at=4)],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"),
         (4, "revised", "tariff_change", "unbilled", "never_since_activation", "35")],
    ),
    "a back-bill recovers a rental that was not billed": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), Bill("31", MARCH, at=4, corrects="a finding")],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"),
         (4, "resolved", "recovery", "unbilled", "never_since_activation", "31")],
    ),
    "a back-bill of a part leaves the rest unbilled": (
        [SINCE, RENTAL, EARLY, Closed("2026-03-20", 3), Bill("11", MARCH, at=4, corrects="a finding")],
        [(3, "raised", "frontier", "unbilled", "never_since_activation", "31"),
         (4, "revised", "recovery", "unbilled", None, "20")],
    ),
    "a credit joins the charge that it names, whatever its own item and time": (
        [State("2025-06-01", to="2026-02-11"), RENTAL, Bill("31", MARCH, key="c"), Closed("2026-03-20", 3),
         Bill("-31", APRIL, item="credit", at=4, corrects="c")],
        [(3, "raised", "frontier", "charge_without_usage", "after_cessation", "-31"),
         (4, "resolved", "recovery", "charge_without_usage", "after_cessation", "-31")],
    ),
    "an activation that is not charged": (
        [State("2026-03-05"), Price("20", item="one_off", name="fee", more={"event": "activation"}), EARLY, Closed("2026-03-20")],
        [(3, "raised", "frontier", "unbilled", None, "20")],
    ),
    "an activation charged by a line without a period": (
        [State("2026-03-05"), Price("20", item="one_off", name="fee", more={"event": "activation"}),
         Bill("20", time="2026-03-31", item="fee"), EARLY, Closed("2026-04-20")], [],
    ),
    "an activation charged before it": (
        [State("2026-03-05"), Price("20", item="one_off", name="fee", more={"event": "activation"}),
         Bill("20", time="2026-03-01", item="fee"), Closed("2026-04-20")], [],
    ),
    "an activation charged in a later invoice once more": (
        [State("2026-03-05"), Price("20", item="one_off", name="fee", more={"event": "activation"}),
         Bill("20", time="2026-03-31", item="fee"), Bill("20", time="2026-04-30", item="fee"), Closed("2026-05-20")],
        [(3, "raised", "frontier", "duplicate_charge", None, "-20")],
    ),
    "an earlier content of a charge is superseded": (
        [SINCE, RENTAL, Bill("31", MARCH, key="c", at=2), Bill("30", MARCH, key="c", at=3), Closed("2026-03-20", 4)],
        [(3, "raised", "conflict", "conflicting_charge", None, "0")],
    ),
    "a plan's price has expired and the general price is billed": (
        [SINCE, Price("30"), Price("20", "2025-06-01", "2026-01-01", plan="A"), Bill("30", MARCH), Closed("2026-03-20")], [],
    ),
    "a plan's price has expired and is still billed": (
        [SINCE, Price("30"), Price("20", "2025-06-01", "2026-01-01", plan="A"), Bill("20", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "old_price", "10")],
    ),
    "a plan's discount of half has expired and is still given, instead of the general tenth": (
        [SINCE, RENTAL, Price(None, item="discount", name="d", more={"discount_micros": 100_000}),
         Price(None, "2020-01-01", "2026-03-01", "discount", "d", "A", more={"discount_micros": 500_000}),
         Bill("15.5", MARCH), Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", "discount_expired", "12.4")],
    ),
    "an item that a later book has for another plan is unknown until then": (
        [SINCE, Bill("31", MARCH, item="tv"), Closed("2026-03-20", 3), Price(name="tv", plan="B", at=4)],
        [(3, "raised", "frontier", "charge_without_usage", "unknown_item", "-31")],
    ),
    "a number re-used within a period is one expectation: two whole rentals exceed the one expected by a rental": (
        [*RE_USED, Price("31", more={"proration": "none"}), *OF_BOTH, Closed("2026-03-20")],
        [(3, "raised", "frontier", "misrated", None, "-31")],
    ),
    "a number re-used within a period is one expectation: what the first customer pays too much, the second need not pay": (
        [*RE_USED, RENTAL, Bill("21", ("2026-03-01", "2026-03-11")), Closed("2026-03-20")], [],
    ),
    "a number re-used in the next period is an expectation for each customer": (
        [State("2025-06-01", to="2026-03-11"), State("2026-04-01"), RENTAL, Bill("21", MARCH), Bill("20", APRIL), Closed("2026-04-20")],
        [(3, "raised", "frontier", "misrated", None, "-11"), (3, "raised", "frontier", "misrated", None, "11")],
    ),
    "a rental in arrears is due at the end of its period": (
        [SINCE, Price("31", more={"due": "arrears"}), EARLY, Closed("2026-04-01", 3), Closed("2026-04-02", 4)],
        [(4, "raised", "frontier", "unbilled", "never_since_activation", "31")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "_"))
def test_case(case: str) -> None:
    log, expected = CASES[case]
    assert sorted(changes(log)) == sorted(expected)


def test_a_charge_behind_the_horizon_is_not_matched() -> None:
    short = Policy(0, default=POLICY.default, sources=POLICY.sources, timezone=POLICY.timezone, horizon_us=35 * DAY_US)
    log: list[Item] = [SINCE, RENTAL, EARLY, Closed("2026-04-25", 2), Bill("31", MARCH, at=3)]
    unbilled = [(2, "raised", "frontier", "unbilled", "never_since_activation", "31")] * 2
    assert changes(log, policies=[short]) == [*unbilled, (3, "raised", "beyond_horizon", "charge_without_usage", None, "-31")]


def test_the_grace_counts_from_observed_times_and_changes_with_the_policy() -> None:
    observed = replace(POLICY, sources={"b": SourceRules("charge", 0)})
    longer = replace(observed, position=4, default=POLICY.default.model_copy(update={"grace": 30 * DAY_US}))
    log: list[Item] = [SINCE, RENTAL, Bill("1", time="2026-03-01", item="tv", subscriber="o", at=1)]
    log += [Bill("1", time=f"2026-03-{day}", item="tv", subscriber="o", at=at) for at, day in ((2, "05"), (3, "07"), (4, "07"))]
    reason = "never_since_activation"
    assert changes(log, policies=[observed]) == [(3, "raised", "frontier", "unbilled", reason, "31")]
    assert changes(log, policies=[observed, longer]) == [
        (3, "raised", "frontier", "unbilled", reason, "31"), (4, "retracted", "policy_change", "unbilled", reason, "31"),
    ]  # fmt: skip


def test_a_rental_is_due_before_the_first_charge_of_a_source_with_lateness() -> None:
    days_late = replace(
        POLICY, sources={"b": SourceRules("charge", 10 * DAY_US)}, default=ServiceConfig.model_validate({"grace": "0s"})
    )
    log: list[Item] = [SINCE, RENTAL, replace(EARLY, time="2026-03-16", at=2), Closed("2026-03-01", 3)]
    assert changes(log, policies=[days_late]) == [(2, "raised", "frontier", "unbilled", "never_since_activation", "31")]


def test_a_credit_before_the_charge_that_it_names_is_resolved_by_that_late_charge() -> None:
    ended, credit = State("2025-06-01", to="2026-02-11"), Bill("-31", MARCH, item="credit", corrects="c")
    log: list[Item] = [ended, RENTAL, credit, Closed("2026-03-20", 3)]
    raised = (3, "raised", "frontier", "charge_without_usage", "after_cessation", "31")
    resolved = (4, "resolved", "late_charge", "charge_without_usage", "after_cessation", "31")
    assert changes([*log, Bill("31", MARCH, key="c", at=4)]) == [raised, resolved]
    # Another charge is not the one that it names.
    of_another = (4, "raised", "late_charge", "charge_without_usage", "after_cessation", "-31")
    assert changes([*log, Bill("31", MARCH, key="d", at=4)]) == [raised, of_another]


def test_a_credit_before_a_charge_that_comes_in_time_joins_it_with_its_arrival() -> None:
    credit, rented = Bill("-31", MARCH, item="credit", corrects="c"), Bill("31", MARCH)
    log: list[Item] = [SINCE, RENTAL, EARLY, rented, credit, Closed("2026-03-20", 3), Bill("31", APRIL, key="c", at=4)]
    found = changes([*log, Closed("2026-04-20", 5)])
    assert [row[:4] for row in found] == [
        (3, "raised", "frontier", "charge_without_usage"), (4, "resolved", "late_charge", "charge_without_usage"),
        (5, "raised", "frontier", "misrated"),
    ]  # fmt: skip
