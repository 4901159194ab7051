"""Subscriptions as network and billing tell them: what is told of a disagreement, from when on, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from kernel_adapter import frontier_of
from reference_model.log import Log, Record

from trueup.events.schema import UTC_TIME
from trueup.reconcile.domain.policies import NEVER_POSITION, Policy, SourceRules
from trueup.reconcile.domain.tariff_terms import SUBSCRIBER_CHANGE, Terms, changes_of, states_of
from trueup.reconcile.results.provisioning import provisioning

DAY_US = 86_400_000_000
POLICY = Policy(0, sources={"n": SourceRules("usage")})
Told = tuple[int, str, str, str, int, int | None]
"""A state: position, system, plan, status, and the days it holds from and to (exclusive)."""


def terms_of(states: Sequence[Told], subscriber: str = "s") -> Terms:
    rows = pl.DataFrame(
        [
            {"bucket": 0, "position": p, "system": system, "subscriber": subscriber, "plan": plan, "status": status,
             "valid_from": day * DAY_US, "valid_to": None if to is None else to * DAY_US, "event_id": repr((p, plan, status, to)).encode()}
            for p, system, plan, status, day, to in states
        ],
        schema_overrides={"valid_from": pl.Int64, "valid_to": pl.Int64, "bucket": pl.Int16},
    ).with_columns(pl.col("valid_from", "valid_to").cast(UTC_TIME))  # fmt: skip
    known = states_of(rows)
    since = [min((t[0] for t in states if t[1] == system), default=NEVER_POSITION) for system in ("billing", "network")]
    return Terms((), known, changes_of([], known), dict.fromkeys((t[0] for t in states), SUBSCRIBER_CHANGE), *since)


def usage_up_to(*days: int) -> Log:
    """A commit of one usage record on each day."""
    return [[Record(False, "n", f"u{day}", started_us=day * DAY_US, quantity_micros=1)] for day in days]


def told(
    states: Sequence[Told], log: Log, *, after: int = 0, upto: int | None = None
) -> list[tuple[int, str, str, str, int, int | None]]:
    """(position, action, cause, kind, first day, last day) of each change."""
    end = len(log) if upto is None else upto
    rows = provisioning(terms_of(states), frontier_of(log, POLICY, end), after=after, upto=end)
    days = [pl.col(n).cast(pl.Int64) // DAY_US for n in ("started_at", "ended_at")]
    return rows.select("position", "action", "cause", "kind", *days).rows()


def test_a_subscription_that_both_tell_alike_is_no_finding() -> None:
    states: list[Told] = [(1, "network", "A", "active", 0, None), (2, "billing", "A", "active", 0, None)]
    assert told(states, [[], [], *usage_up_to(9)]) == []


def test_what_the_network_serves_and_billing_has_not_is_told_once_usage_has_passed_the_grace() -> None:
    states: list[Told] = [(1, "network", "A", "active", 0, None), (2, "billing", "A", "active", 0, 2)]
    log = [[], [], *usage_up_to(2, 3, 4)]
    assert told(states, log) == [(5, "raised", "frontier", "active_not_billed", 2, None)]


def test_what_billing_charges_for_and_the_network_has_ceased() -> None:
    states: list[Told] = [
        (1, "network", "A", "active", 0, None), (1, "network", "A", "ceased", 3, None), (2, "billing", "A", "active", 0, None)
    ]  # fmt: skip
    assert told(states, [[], [], *usage_up_to(9)]) == [(3, "raised", "frontier", "billed_not_active", 3, None)]


def test_two_plans_are_told_with_both_their_names() -> None:
    states: list[Told] = [
        (1, "network", "A", "active", 0, None), (1, "network", "B", "active", 3, None), (2, "billing", "A", "active", 0, None)
    ]  # fmt: skip
    rows = provisioning(terms_of(states), frontier_of([[], [], *usage_up_to(9)], POLICY), after=0, upto=3)
    assert rows.select("kind", "reason").rows() == [("plan_mismatch", "network B, billing A")]


def test_a_billing_system_that_follows_within_the_grace_is_no_finding() -> None:
    states: list[Told] = [
        (1, "network", "A", "active", 0, None), (1, "network", "B", "active", 3, None),
        (2, "billing", "A", "active", 0, None), (2, "billing", "B", "active", 4, None),
    ]  # fmt: skip
    assert told(states, [[], [], *usage_up_to(9)]) == []


def test_a_stretch_that_ends_is_revised_and_one_that_never_was_is_retracted() -> None:
    states: list[Told] = [
        (1, "network", "A", "active", 0, None), (1, "network", "B", "active", 3, None), (2, "billing", "A", "active", 0, None),
        (4, "billing", "B", "active", 7, None), (5, "billing", "B", "active", 3, None),
    ]  # fmt: skip
    log = [[], [], *usage_up_to(9), [], []]
    assert told(states, log) == [
        (3, "raised", "frontier", "plan_mismatch", 3, None),
        (4, "revised", "subscriber_change", "plan_mismatch", 3, 7),
        (5, "retracted", "subscriber_change", "plan_mismatch", 3, 7),
    ]


def test_with_one_system_alone_nothing_can_disagree() -> None:
    assert told([(1, "network", "A", "active", 0, None)], [[], *usage_up_to(9)]) == []


STATES = st.lists(
    st.tuples(
        st.integers(1, 6), st.sampled_from(["network", "billing"]), st.sampled_from("AB"),
        st.sampled_from(["active", "active", "suspended", "ceased"]), st.integers(0, 9), st.none() | st.integers(10, 14),
    ),
    max_size=8,
)  # fmt: skip


@given(STATES, st.lists(st.integers(0, 16), min_size=6, max_size=6), st.integers(0, 6))
def test_it_is_told_the_same_in_one_go_and_in_two(states: list[Told], days: list[int], cut: int) -> None:
    log = usage_up_to(*days)
    known = [s for s in states if s[0] <= cut]
    first = told(known, log, upto=cut) if known else []
    assert first + told(states, log, after=cut) == told(states, log) if states else True


def _active(states: Sequence[Told], system: str, at: int, day: int) -> str | None:
    """The plan a system has active on a day, as known at a position; the slow way."""
    known: dict[int, Told] = {}
    for s in sorted(
        (s for s in states if s[0] <= at and s[1] == system), key=lambda s: (s[0], repr((s[0], s[2], s[3], s[5])).encode())
    ):
        known[s[4]] = s
    held = max((s for s in known.values() if s[4] <= day), key=lambda s: s[4], default=None)
    return held[2] if held and held[3] == "active" and (held[5] is None or held[5] > day) else None


@given(STATES, st.lists(st.integers(0, 16), min_size=6, max_size=6))
def test_what_stands_in_the_end_is_what_the_days_tell_one_by_one(states: list[Told], days: list[int]) -> None:
    log = usage_up_to(*days)
    if len({s[1] for s in states}) < 2:
        return
    standing: dict[tuple[str, int], int | None] = {}
    for _, action, _, kind, first, last in told(states, log):
        standing.pop((kind, first), None)
        if action != "retracted":
            standing[kind, first] = last
    kinds: list[tuple[str, str] | None] = []
    for day in range(40):
        a, b = (_active(states, s, 6, day) for s in ("network", "billing"))
        kind = "active_not_billed" if a and not b else "billed_not_active" if b and not a else "plan_mismatch" if a != b else ""
        kinds.append((kind, f"{a}{b}" if kind == "plan_mismatch" else "") if kind else None)
    meant: dict[tuple[str, int], int | None] = {}
    day = 0
    while day < 40:
        end = next((d for d in range(day, 40) if kinds[d] != kinds[day]), None)
        if (now := kinds[day]) and max(days) > day + 1 and (end is None or end - day > 1):
            meant[now[0], day] = end
        day = end if end is not None else 40
    assert standing == meant
