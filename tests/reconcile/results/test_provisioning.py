"""Subscription states of network and billing: which disagreements are findings, from when on, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from kernel_adapter import frontier_of
from reference_model.log import Log, Record

from trueup.events.schema import UTC_TIME
from trueup.policies.policy import NEVER_POSITION, Policy, SourceRules
from trueup.reconcile.domain.tariff_terms import SUBSCRIBER_CHANGE, Terms, changes_of, states_of
from trueup.reconcile.results.provisioning import provisioning

DAY_US = 86_400_000_000
POLICY = Policy(0, sources={"n": SourceRules("usage")})
State = tuple[int, str, str, str, int, int | None]
"""A subscription state: position, system, plan, status, first day and end day (exclusive)."""


def terms_of(states: Sequence[State], subscriber: str = "s") -> Terms:
    rows = pl.DataFrame(
        [
            {"bucket": 0, "position": p, "system": system, "subscriber": subscriber, "plan": plan, "status": status,
             "valid_from": day * DAY_US, "imsi": None, "timezone": None, "cycle_day": None,
             "valid_to": None if to is None else to * DAY_US, "event_id": repr((p, plan, status, to)).encode()}
            for p, system, plan, status, day, to in states
        ],
        schema_overrides={"valid_from": pl.Int64, "valid_to": pl.Int64, "bucket": pl.Int16},
    ).with_columns(pl.col("valid_from", "valid_to").cast(UTC_TIME))  # fmt: skip
    known = states_of(rows)
    since = [min((t[0] for t in states if t[1] == system), default=NEVER_POSITION) for system in ("billing", "network")]
    return Terms((), known, changes_of([], known), dict.fromkeys((t[0] for t in states), SUBSCRIBER_CHANGE), *since)


def usage_up_to(*days: int) -> Log:
    """Return one commit per day, each with a usage record of that day."""
    return [[Record(False, "n", f"u{day}", started_us=day * DAY_US, quantity_micros=1)] for day in days]


def changes(
    states: Sequence[State], log: Log, *, after: int = 0, upto: int | None = None
) -> list[tuple[int, str, str, str, int, int | None]]:
    """Return (position, action, cause, kind, first day, end day) of each change."""
    end = len(log) if upto is None else upto
    rows = provisioning(terms_of(states), frontier_of(log, POLICY, end), after=after, upto=end)
    days = [pl.col(n).cast(pl.Int64) // DAY_US for n in ("started_at", "ended_at")]
    return rows.select("position", "action", "cause", "kind", *days).rows()


def test_equal_states_in_both_systems_raise_no_finding() -> None:
    states: list[State] = [(1, "network", "A", "active", 0, None), (2, "billing", "A", "active", 0, None)]
    assert changes(states, [[], [], *usage_up_to(9)]) == []


def test_an_active_subscription_that_billing_ended_is_raised_once_usage_has_passed_grace() -> None:
    states: list[State] = [(1, "network", "A", "active", 0, None), (2, "billing", "A", "active", 0, 2)]
    log = [[], [], *usage_up_to(2, 3, 4)]
    assert changes(states, log) == [(5, "raised", "frontier", "active_not_billed", 2, None)]


def test_a_subscription_that_the_network_ceased_and_billing_keeps_is_raised() -> None:
    states: list[State] = [
        (1, "network", "A", "active", 0, None), (1, "network", "A", "ceased", 3, None), (2, "billing", "A", "active", 0, None)
    ]  # fmt: skip
    assert changes(states, [[], [], *usage_up_to(9)]) == [(3, "raised", "frontier", "billed_not_active", 3, None)]


def test_a_plan_mismatch_names_both_plans() -> None:
    states: list[State] = [
        (1, "network", "A", "active", 0, None), (1, "network", "B", "active", 3, None), (2, "billing", "A", "active", 0, None)
    ]  # fmt: skip
    rows = provisioning(terms_of(states), frontier_of([[], [], *usage_up_to(9)], POLICY), after=0, upto=3)
    assert rows.select("kind", "reason").rows() == [("plan_mismatch", "network B, billing A")]


def test_a_change_that_billing_follows_within_grace_raises_no_finding() -> None:
    states: list[State] = [
        (1, "network", "A", "active", 0, None), (1, "network", "B", "active", 3, None),
        (2, "billing", "A", "active", 0, None), (2, "billing", "B", "active", 4, None),
    ]  # fmt: skip
    assert changes(states, [[], [], *usage_up_to(9)]) == []


def test_a_disagreement_that_ends_is_revised_and_one_that_never_existed_is_retracted() -> None:
    states: list[State] = [
        (1, "network", "A", "active", 0, None), (1, "network", "B", "active", 3, None), (2, "billing", "A", "active", 0, None),
        (4, "billing", "B", "active", 7, None), (5, "billing", "B", "active", 3, None),
    ]  # fmt: skip
    log = [[], [], *usage_up_to(9), [], []]
    assert changes(states, log) == [
        (3, "raised", "frontier", "plan_mismatch", 3, None),
        (4, "revised", "subscriber_change", "plan_mismatch", 3, 7),
        (5, "retracted", "subscriber_change", "plan_mismatch", 3, 7),
    ]


def test_states_of_one_system_raise_no_finding() -> None:
    assert changes([(1, "network", "A", "active", 0, None)], [[], *usage_up_to(9)]) == []


STATES = st.lists(
    st.tuples(
        st.integers(1, 6), st.sampled_from(["network", "billing"]), st.sampled_from("AB"),
        st.sampled_from(["active", "active", "suspended", "ceased"]), st.integers(0, 9), st.none() | st.integers(10, 14),
    ),
    max_size=8,
)  # fmt: skip


@given(STATES, st.lists(st.integers(0, 16), min_size=6, max_size=6), st.integers(0, 6))
def test_one_run_and_two_runs_give_the_same_changes(states: list[State], days: list[int], cut: int) -> None:
    log = usage_up_to(*days)
    known = [s for s in states if s[0] <= cut]
    first = changes(known, log, upto=cut) if known else []
    assert first + changes(states, log, after=cut) == changes(states, log) if states else True


def _find_active_plan(states: Sequence[State], system: str, at: int, day: int) -> str | None:
    """Return the plan that a system has active on a day, as known at a position, by a full scan."""
    known: dict[int, State] = {}
    for s in sorted(
        (s for s in states if s[0] <= at and s[1] == system), key=lambda s: (s[0], repr((s[0], s[2], s[3], s[5])).encode())
    ):
        known[s[4]] = s
    current = max((s for s in known.values() if s[4] <= day), key=lambda s: s[4], default=None)
    return current[2] if current and current[3] == "active" and (current[5] is None or current[5] > day) else None


@given(STATES, st.lists(st.integers(0, 16), min_size=6, max_size=6))
def test_the_open_findings_equal_the_disagreements_computed_day_by_day(states: list[State], days: list[int]) -> None:
    log = usage_up_to(*days)
    if len({s[1] for s in states}) < 2:
        return
    open_findings: dict[tuple[str, int], int | None] = {}
    for _, action, _, kind, first, last in changes(states, log):
        open_findings.pop((kind, first), None)
        if action != "retracted":
            open_findings[kind, first] = last
    kinds: list[tuple[str, str] | None] = []
    for day in range(40):
        a, b = (_find_active_plan(states, s, 6, day) for s in ("network", "billing"))
        kind = "active_not_billed" if a and not b else "billed_not_active" if b and not a else "plan_mismatch" if a != b else ""
        kinds.append((kind, f"{a}{b}" if kind == "plan_mismatch" else "") if kind else None)
    expected: dict[tuple[str, int], int | None] = {}
    day = 0
    while day < 40:
        end = next((d for d in range(day, 40) if kinds[d] != kinds[day]), None)
        if (now := kinds[day]) and max(days) > day + 1 and (end is None or end - day > 1):
            expected[now[0], day] = end
        day = end if end is not None else 40
    assert open_findings == expected
