"""The meaning of findings, case by case: small logs, evaluated by the kernel and the reference model, with and without fast path."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from kernel_adapter import assert_same_history, events_of, frontier_of, terms_of
from random_logs import MICRO, service
from reference_model.history import ReferenceRun, run_reference
from reference_model.log import Close, Item, Log, Record, State, Tick

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import evaluate

S = 1_000_000
DAY = 86_400
VOICE = service(("session_key", "nearest"), start_tolerance=2 * S, quantity_tolerance=MICRO, grace=12 * S, price=10 * MICRO)
WEB = service(("session_key",), grace=8 * S, price=3 * MICRO)
IOT = service(("aggregate",), quantity_tolerance=2 * MICRO, grace=5 * S, price=MICRO, period=20 * S)
NEAR = Policy(0, {"voice": VOICE, "web": WEB, "iot": IOT}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
Change = tuple[int, str, str, str, str, int]


def u(key: str, t: int, quantity: int, session: str | None = None, **more: Any) -> Record:
    return Record(False, "n", key, session, started_us=t * S, quantity_micros=quantity * MICRO, **more)


def c(key: str, t: int, quantity: int, amount: int, session: str | None = None, **more: Any) -> Record:
    return Record(True, "b", key, session, started_us=t * S, quantity_micros=quantity * MICRO, amount_micros=amount * MICRO, **more)


def undated(key: str, quantity: int, amount: int, session: str | None = None, **more: Any) -> Record:
    return replace(c(key, 0, quantity, amount, session, **more), started_us=None)


def advance_watermarks(t: int, policy: Policy = NEAR) -> list[Item]:
    """Return unrelated records at second `t` that make each stream pass all earlier times."""
    return [
        Record(s.stream == "charge", n, f"{n}{t}", f"{n}{t}", "voice", "z", n, started_us=t * S, scope="z")
        for n, s in policy.sources.items()
    ]


def checked_run(log: Log, policy: Policy = NEAR) -> ReferenceRun:
    """Run the reference model on a log, and check that the kernel agrees, with and without the fast path."""
    reference = run_reference(log, policy)
    frontier = frontier_of(log, policy)
    for fast_path in (True, False):
        evaluated = evaluate(events_of(log), frontier, terms_of(log), after=0, upto=len(log), fast_path=fast_path)
        assert_same_history(reference, evaluated, frontier.policies)
    return reference


def changes_of(log: Log, policy: Policy = NEAR) -> list[Change]:
    """Return the finding changes of a log: position, action, cause, kind, session or record key, impact in whole units."""
    changes = []
    for change in checked_run(log, policy).changes:
        owner_kind, name = change["finding"][1][:2]
        key = name if owner_kind == "period" else name[3] if owner_kind == "record" else name[2]
        impact = (change["expected_micros"] - change["billed_micros"]) // MICRO
        changes.append((change["position"], change["action"], change["cause"], change["kind"], key, impact))
    return changes


CASES: dict[str, tuple[Log, list[Change]]] = {
    "two charges before the usage of both, in time": (
        [[c("c1", 0, 5, 50, "K"), c("c2", 1, 5, 50, "K")], [u("u", 0, 5, "K")], advance_watermarks(100)],
        [(2, "raised", "arrival", "duplicate_charge", "K", -50)],
    ),
    "two charges before the usage of both, which is late": (
        [[c("c1", 0, 5, 50, "K"), c("c2", 1, 5, 50, "K")], advance_watermarks(100), [u("u", 0, 5, "K")]],
        [
            (2, "raised", "frontier", "charge_without_usage", "K", -100),
            (3, "retracted", "late_usage", "charge_without_usage", "K", -100),
            (3, "raised", "late_usage", "duplicate_charge", "K", -50),
        ],
    ),
    "a credit resolves a duplicate charge": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50, "K"), c("c2", 1, 5, 50, "K")], advance_watermarks(100), [c("c3", 50, 5, -50, "K")]],
        [
            (1, "raised", "arrival", "duplicate_charge", "K", -50),
            (3, "resolved", "late_charge", "duplicate_charge", "K", -50),
        ],
    ),
    "a credit cancels a charge": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50, "K")], advance_watermarks(100), [c("c3", 50, 5, -50, "K")]],
        [(3, "raised", "late_charge", "misrated", "K", 50)],
    ),
    "usage and charges without money raise no finding": ([[u("u", 0, 0, "K"), c("c", 5, 3, 0, "L")], advance_watermarks(100)], []),
    "a charge after the grace period resolves unbilled": (
        [[u("u", 0, 5, "K")], advance_watermarks(100), [c("c", 0, 5, 50, "K")]],
        [(2, "raised", "frontier", "unbilled", "K", 50), (3, "resolved", "late_charge", "unbilled", "K", 50)],
    ),
    "a late partial record of an unbilled session, then its charge": (
        [[u("u1", 0, 5, "K")], advance_watermarks(100), [u("u2", 9, 4, "K")], [c("c", 0, 9, 90, "K")]],
        [
            (2, "raised", "frontier", "unbilled", "K", 50),
            (3, "revised", "late_usage", "unbilled", "K", 90),
            (4, "resolved", "late_charge", "unbilled", "K", 90),
        ],
    ),
    "partial records are pending for the grace period, single records for the tolerance": (
        [[u("u1", 0, 5, "K", part=0), c("c", 0, 9, 80, "K")], advance_watermarks(4), [u("u2", 9, 4, "K", part=1)], advance_watermarks(21), advance_watermarks(22)],
        [(5, "raised", "frontier", "misrated", "K", 10)],
    ),
    "a greater late content does not count, though its record may still change": (
        [[u("u", 200, 5, "K")], [u("u", 0, 9, "K")], advance_watermarks(400)],
        [(2, "raised", "conflict", "conflicting_usage", "u", 0), (3, "raised", "frontier", "unbilled", "K", 50)],
    ),
    "a pair without keys settles when both watermarks have passed the tolerance, before grace": (
        [[u("u", 0, 5), c("c", 1, 5, 40)], advance_watermarks(3), advance_watermarks(4), advance_watermarks(100)], [(3, "raised", "frontier", "misrated", "u", 10)],
    ),
    "an exact charge for usage that has settled with a neighbour": (
        [[u("u", 0, 5, "K"), c("c1", 1, 5, 50)], advance_watermarks(13), advance_watermarks(14), [c("c2", 0, 5, 50, "K")]],
        [(4, "raised", "late_charge", "duplicate_charge", "K", -50)],
    ),
    "an exact match within grace takes precedence over a nearest match": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50)], advance_watermarks(12), [c("c2", 12, 5, 50, "K")], advance_watermarks(100)],
        [(4, "raised", "frontier", "charge_without_usage", "c1", -50)],
    ),
    "the greatest of two contents in time counts": (
        [[u("u", 0, 5, "K")], [u("u", 0, 7, "K")], advance_watermarks(100)],
        [(2, "raised", "conflict", "conflicting_usage", "u", 0), (3, "raised", "frontier", "unbilled", "K", 70)],
    ),
    "a late content does not count": (
        [[u("u", 0, 5, "K")], advance_watermarks(100), [u("u", 0, 7, "K")]],
        [(2, "raised", "frontier", "unbilled", "K", 50), (3, "raised", "conflict", "conflicting_usage", "u", 0)],
    ),
    "an incomplete session keeps its neighbours pending": (
        [[u("k1", 0, 5, "K", part=0), u("u", 1, 10), c("c", 0, 10, 100)], advance_watermarks(9), [u("k2", 9, 5, "K", part=1)], advance_watermarks(100)],
        [(4, "raised", "frontier", "unbilled", "u", 100)],
    ),
    "a watermark equal to an instant has not passed it": ([[u("u", 0, 5)], advance_watermarks(12)], []),
    "a closing makes findings final without grace": (
        [[u("u", DAY - 1, 5, "K", service="web")], [Close("n", DAY * S), Close("b", DAY * S)]],
        [(2, "raised", "frontier", "unbilled", "K", 15)],
    ),
    "a late record changes the aggregate match of its period": (
        [[u("a", 1, 3, service="iot"), u("b", 2, 3, service="iot"), c("c", 3, 6, 6, service="iot")], advance_watermarks(26), [u("d", 4, 5, service="iot")]],
        [(3, "raised", "late_usage", "underbilled", "s", 5)],
    ),
    "a repeated delivery changes nothing": (
        [[u("u", 0, 5, "K")], advance_watermarks(100), [u("u", 0, 5, "K")]],
        [(2, "raised", "frontier", "unbilled", "K", 50)],
    ),
    "one record key in two key scopes names two records": (
        [[u("u", 0, 5), u("u", 0, 7, key_scope="other")], advance_watermarks(100)],
        [(2, "raised", "frontier", "unbilled", "u", 50), (2, "raised", "frontier", "unbilled", "u", 70)],
    ),
    "usage and charges without a peer or a subscriber match one another": (
        [[u("u", 0, 5, subscriber=None, peer=None, scope=""), c("c", 1, 5, 50, subscriber=None, peer=None, scope="")], advance_watermarks(100)],
        [],
    ),
    "a charge in another currency forms another charge group": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50, "K"), c("c2", 0, 5, 50, "K", currency="USD")], advance_watermarks(100)],
        [(2, "raised", "frontier", "charge_without_usage", "K", -50)],
    ),
    "a session of two services is priced as its first record": (
        [[u("u1", 0, 5, "K"), u("u2", 5, 4, "K", service="web"), c("c", 0, 9, 90, "K")], advance_watermarks(100)],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_case_has_the_expected_changes(name: str) -> None:
    log, expected = CASES[name]
    assert changes_of(log) == expected


# --- pending records --------------------------------------------------------------------------------------------------


def test_a_chain_of_neighbours_across_the_frontier_settles_only_mutual_complete_matches() -> None:
    chain: list[Item] = [u("u1", 0, 5), c("c1", 2, 5, 50), u("u2", 3, 5)]
    assert not checked_run([chain, advance_watermarks(4)]).settled[-1]
    assert [name[2] for name in checked_run([chain, advance_watermarks(4), advance_watermarks(6)]).settled[-1]] == ["u2"]
    settled = checked_run([chain, advance_watermarks(3), [c("c2", 3, 5, 50)], advance_watermarks(100)]).settled[-1]
    assert {(s[2], b[2]) for s, b in settled.items()} == {("u1", "c1"), ("u2", "c2")}


def test_a_pair_billed_after_midnight_is_booked_on_the_day_of_its_session() -> None:
    reference = checked_run([[u("u", DAY - 1, 5)], [c("c", DAY, 5, 49)], advance_watermarks(DAY + 3)])
    impacts = {(str(day), sums[2] // MICRO) for (_, day, _), sums in reference.sums[-1].items() if sums[2]}
    assert impacts == {("1970-01-01", 1)}


def test_a_silent_source_is_skipped_after_idle_after() -> None:
    sources = {**NEAR.sources, "b2": SourceRules("charge", 0, 30 * S)}
    policy = replace(NEAR, sources=sources)
    quiet = [r for r in advance_watermarks(100, policy) if isinstance(r, Record) and r.source != "b2"]
    log: Log = [[u("u", 0, 5, "K")], list(quiet), [Tick(42 * S)], [Tick(43 * S)]]
    assert changes_of(log, policy) == [(4, "raised", "frontier", "unbilled", "K", 50)]


def test_an_undated_charge_is_pending_until_its_source_is_closed() -> None:
    policy = replace(NEAR, sources={"n": SourceRules("usage"), "b": SourceRules("charge", None)})
    log: Log = [[undated("c", 5, 50, "K", service="web")], advance_watermarks(100), [Close("b", 50 * S)], advance_watermarks(200)]
    assert changes_of(log, policy) == [(3, "raised", "frontier", "charge_without_usage", "K", -50)]
    assert checked_run(log, policy).changes[0]["day"] is None


def test_an_undated_charge_is_aggregated_in_the_period_that_its_closing_completes() -> None:
    log: Log = [[u("a", 21, 5, service="iot"), undated("c", 5, 3, service="iot")], [Close("b", 30 * S)], advance_watermarks(100)]
    assert changes_of(log) == [(3, "raised", "frontier", "misrated", "s", 2)]
    # Until then it is in no period, and its money is pending.
    assert {sums[4] // MICRO for (_, day, _), sums in checked_run(log).sums[0].items() if day is None} == {-3}


def in_berlin(text: str) -> int:
    """Return the second of a wall-clock time in Berlin."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp())


def by_calendar(period: str) -> Policy:
    rules = service(("aggregate",), grace=5 * S, price=MICRO, period=period)
    return replace(NEAR, services={**NEAR.services, "iot": rules}, timezone="Europe/Berlin")


def test_a_month_is_one_of_the_calendar_on_the_wall_clock() -> None:
    # March of 2024 has 31 days less an hour; the last second of March and the first of April are in different sums.
    march, april = in_berlin("2024-03-01T00:00:00"), in_berlin("2024-04-01T00:00:00")
    used = [u("a", april - 1, 7, service="iot"), u("b", april, 5, service="iot")]
    log: Log = [
        [*used, c("c", march, 4, 4, service="iot"), c("d", april, 5, 5, service="iot")],
        advance_watermarks(april + 4, by_calendar("month")), advance_watermarks(april + 5, by_calendar("month")),
    ]  # fmt: skip
    assert changes_of(log, by_calendar("month")) == [(3, "raised", "frontier", "underbilled", "s", 3)]
    assert [change["day"] for change in checked_run(log, by_calendar("month")).changes] == [date(2024, 3, 1)]


def test_a_week_begins_on_monday() -> None:
    sunday, monday = in_berlin("2024-12-29T23:59:59"), in_berlin("2024-12-30T00:00:00")
    log: Log = [
        [u("a", sunday, 7, service="iot"), u("b", monday, 5, service="iot"), c("c", monday + 6 * DAY, 5, 5, service="iot")],
        advance_watermarks(monday + 20 * DAY, by_calendar("week")),
    ]
    assert changes_of(log, by_calendar("week")) == [(2, "raised", "frontier", "unbilled", "s", 7)]
    assert [change["day"] for change in checked_run(log, by_calendar("week")).changes] == [date(2024, 12, 23)]


# --- billing cycles ---------------------------------------------------------------------------------------------------


def at(text: str) -> int:
    """Return the second of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def cycle_of(day: int | None, since: str = "2024-01-01T00:00:00") -> State:
    return State("s", at(since) * S, day)


IN_UTC = replace(by_calendar("cycle"), timezone="UTC")
SUMMER = at("2024-07-01T00:00:00")


def period_findings(log: Log, policy: Policy = IN_UTC) -> list[tuple[str, str, str, int]]:
    """Return the open findings of a log: kind, service, first day of the period, and impact in whole units."""
    open_findings = checked_run(log, policy).open_findings[-1].values()
    return sorted((f.kind, f.service, str(f.day), (f.expected - f.billed) // MICRO) for f in open_findings)


def test_a_cycle_on_the_31st_begins_on_the_last_day_of_a_shorter_month() -> None:
    # By hand: cycles from 31 January to 28 February, from 29 February to 30 March, from 31 March to 29 April, from 30 April on.
    days = {
        "2024-01-31": 1,
        "2024-02-28": 2,
        "2024-02-29": 4,
        "2024-03-30": 8,
        "2024-03-31": 16,
        "2024-04-29": 32,
        "2024-04-30": 64,
    }
    used: list[Item] = [u(day, at(f"{day}T12:00:00"), quantity, service="iot") for day, quantity in days.items()]
    assert period_findings([[cycle_of(31)], used, advance_watermarks(SUMMER, IN_UTC)]) == [
        ("unbilled", "iot", "2024-01-31", 1 + 2), ("unbilled", "iot", "2024-02-29", 4 + 8),
        ("unbilled", "iot", "2024-03-31", 16 + 32), ("unbilled", "iot", "2024-04-30", 64),
    ]  # fmt: skip


def test_a_subscriber_without_a_cycle_day_has_the_first() -> None:
    log: Log = [[cycle_of(None), u("a", at("2024-03-31T23:59:59"), 1, service="iot"), u("b", at("2024-04-01T00:00:00"), 2, service="iot")],
                advance_watermarks(SUMMER, IN_UTC)]  # fmt: skip
    expected = [("unbilled", "iot", "2024-03-01", 1), ("unbilled", "iot", "2024-04-01", 2)]
    assert period_findings(log) == expected == period_findings([[i for i in log[0] if not isinstance(i, State)], log[1]])


def test_after_a_change_of_cycle_each_record_is_in_the_cycle_in_force_at_its_time() -> None:
    # From 10 March on the cycle begins on the 20th: 9 March is in that from 1 March, 10 March in that from 20 February.
    days = {"2024-03-09": 1, "2024-03-10": 2, "2024-03-19": 4, "2024-03-20": 8}
    used: list[Item] = [u(day, at(f"{day}T12:00:00"), quantity, service="iot") for day, quantity in days.items()]
    states: list[Item] = [cycle_of(1), cycle_of(20, "2024-03-10T00:00:00")]
    assert period_findings([states, used, advance_watermarks(SUMMER, IN_UTC)]) == [
        ("unbilled", "iot", "2024-02-20", 2 + 4), ("unbilled", "iot", "2024-03-01", 1), ("unbilled", "iot", "2024-03-20", 8),
    ]  # fmt: skip


def test_a_back_dated_change_of_cycle_moves_final_findings_with_the_cause_of_a_state() -> None:
    used, charge = u("a", at("2024-03-12T12:00:00"), 5, service="iot"), c("c", at("2024-03-25T12:00:00"), 5, 5, service="iot")
    log: Log = [[cycle_of(1)], [used, charge], advance_watermarks(SUMMER, IN_UTC), [cycle_of(20, "2024-03-05T00:00:00")]]
    assert changes_of(log, IN_UTC) == [
        (4, "raised", "subscriber_change", "unbilled", "s", 5),
        (4, "raised", "subscriber_change", "charge_without_usage", "s", -5),
    ]
    assert period_findings(log) == [("charge_without_usage", "iot", "2024-03-20", -5), ("unbilled", "iot", "2024-02-20", 5)]


def test_a_cycle_lasts_from_midnight_to_midnight_of_the_wall_clock() -> None:
    # In Berlin 31 March 2024 has 23 hours: the cycle from 15 March ends on 15 April at 00:00, which is 22:00 UTC of the day before.
    berlin, ends = by_calendar("cycle"), in_berlin("2024-04-15T00:00:00")
    assert ends == at("2024-04-14T22:00:00")
    log: Log = [
        [cycle_of(15), u("a", ends - 1, 7, service="iot"), u("b", ends, 5, service="iot")],
        advance_watermarks(ends + 5, berlin),
    ]
    assert period_findings(log, berlin) == [("unbilled", "iot", "2024-03-15", 7)]
    too_early: Log = [log[0], advance_watermarks(ends + 4, berlin)]
    assert period_findings(too_early, berlin) == []


# --- periods in the time zone of a subscription -----------------------------------------------------------------------


def in_own_zone(period: str) -> Policy:
    """Return a policy of Berlin whose periods begin at midnight of the subscriber's zone."""
    policy = by_calendar(period)
    return replace(policy, services={"iot": policy.services["iot"].model_copy(update={"period_zone": "subscriber"})})


def zone_of(zone: str | None, since: str = "2024-01-01T00:00:00", day: int | None = None) -> State:
    return State("s", at(since) * S, day, zone)


@pytest.mark.parametrize(
    ("zone", "ends"),
    [("Asia/Tokyo", "2024-03-31T15:00:00"), ("America/New_York", "2024-04-01T04:00:00"), (None, "2024-03-31T22:00:00")],
)
def test_a_month_ends_at_midnight_of_the_zone_of_the_subscription(zone: str | None, ends: str) -> None:
    # By hand: 1 April begins in Tokyo at 15:00 UTC of 31 March, in New York (EDT) at 04:00 UTC; the project is in Berlin (CEST).
    policy, end = in_own_zone("month"), at(ends)
    used = [u("a", end - 1, 7, service="iot"), u("b", end, 5, service="iot")]
    log: Log = [[zone_of(zone), *used], advance_watermarks(end + 5, policy)]
    assert period_findings(log, policy) == [("unbilled", "iot", "2024-03-01", 7)]
    too_early: Log = [log[0], advance_watermarks(end + 4, policy)]
    assert period_findings(too_early, policy) == []
    assert changes_of(log, by_calendar("month")) != changes_of(log, policy) or zone is None


def test_a_billing_cycle_has_the_zone_of_its_subscription() -> None:
    # In New York the cycle from 10 March ends on 10 April at 00:00 EDT; 10 March itself has 23 hours there.
    policy, begins, ends = in_own_zone("cycle"), at("2024-03-10T05:00:00"), at("2024-04-10T04:00:00")
    instants = {begins - 1: 1, begins: 2, ends - 1: 4, ends: 8}
    used: list[Item] = [u(str(t), t, quantity, service="iot") for t, quantity in instants.items()]
    assert period_findings([[zone_of("America/New_York", day=10)], used, advance_watermarks(SUMMER, policy)], policy) == [
        ("unbilled", "iot", "2024-02-10", 1), ("unbilled", "iot", "2024-03-10", 2 + 4), ("unbilled", "iot", "2024-04-10", 8),
    ]  # fmt: skip


def test_a_back_dated_zone_moves_final_findings_with_the_cause_of_a_state() -> None:
    # In Berlin usage and charge are of 1 April; in New York the usage, at 02:00 UTC, is of March.
    policy = in_own_zone("month")
    used, charge = u("a", at("2024-04-01T02:00:00"), 5, service="iot"), c("c", at("2024-04-02T12:00:00"), 5, 5, service="iot")
    log: Log = [[zone_of(None)], [used, charge], advance_watermarks(SUMMER, policy), [zone_of("America/New_York")]]
    assert changes_of(log, policy) == [
        (4, "raised", "subscriber_change", "unbilled", "s", 5),
        (4, "raised", "subscriber_change", "charge_without_usage", "s", -5),
    ]
    assert period_findings(log, policy) == [
        ("charge_without_usage", "iot", "2024-04-01", -5), ("unbilled", "iot", "2024-03-01", 5),
    ]  # fmt: skip


# --- one line over many -----------------------------------------------------------------------------------------------


SMS = service(("aggregate",), price=2 * MICRO)
DATA = service(("aggregate",), price=MICRO, price_per=10)
LINE = service(("aggregate",), grace=5 * S, price=None, period="month", covers=("iot", "sms", "data"), amount_tolerance=MICRO)
COVERING = replace(
    NEAR, services={"iot": service(("aggregate",), price=MICRO), "sms": SMS, "data": DATA, "line": LINE}, timezone="Europe/Berlin"
)
MARCH = in_berlin("2024-03-01T00:00:00")
USED = (
    u("a", MARCH + 5 * DAY, 60, service="iot"),
    u("b", MARCH + 9 * DAY, 8, service="sms"),
    u("c", MARCH + 31 * DAY - 3_601, 240, service="data"),
)
"""Usage of March worth 60 + 8 x 2 + 240 / 10 = 100."""


def lines_of(*amounts: int, **more: Any) -> list[Item]:
    return [c(f"l{n}", MARCH + DAY, 1, amount, service="line", **more) for n, amount in enumerate(amounts)]


def line_findings(*lines: Item, used: tuple[Item, ...] = USED) -> list[tuple[str, str, str, int]]:
    return period_findings([[*used, *lines], advance_watermarks(SUMMER, COVERING)], COVERING)


def test_one_line_is_compared_with_the_usage_of_three_services() -> None:
    assert line_findings(*lines_of(100)) == line_findings(*lines_of(101)) == line_findings(*lines_of(40, 60)) == []
    assert line_findings(*lines_of(90)) == [("misrated", "line", "2024-03-01", 10)]


def test_all_money_of_a_covering_line_lies_on_its_service_and_the_first_day_of_the_period() -> None:
    log: Log = [[*USED, *lines_of(70)], advance_watermarks(SUMMER, COVERING)]
    money = {cell: sums[:3] for cell, sums in checked_run(log, COVERING).sums[-1].items() if any(sums[:3])}
    assert money == {("line", date(2024, 3, 1), "EUR"): (100 * MICRO, 70 * MICRO, 30 * MICRO)}


def test_the_members_of_a_finding_about_a_covering_line_are_the_records_of_every_service() -> None:
    (change,) = checked_run([[*USED, *lines_of(70)], advance_watermarks(SUMMER, COVERING)], COVERING).changes
    assert set(change["usage_event_ids"]) == {record.event_id for record in USED} and len(change["charge_event_ids"]) == 1


def test_a_charge_of_a_covered_service_is_a_line_of_the_sum() -> None:
    of_sms = c("x", MARCH + DAY, 8, 16, service="sms")
    assert line_findings(*lines_of(84), of_sms) == []


def test_without_a_line_or_with_lines_of_zero_only_usage_is_unbilled() -> None:
    unbilled = [("unbilled", "line", "2024-03-01", 100)]
    assert line_findings() == line_findings(*lines_of(0)) == line_findings(*lines_of(0, 0)) == unbilled
    assert line_findings(*lines_of(0, 99)) == []
    assert line_findings(*lines_of(0, 50)) == [("misrated", "line", "2024-03-01", 50)]


def test_equal_weekly_lines_of_a_month_are_legitimate_if_all_are_due() -> None:
    assert line_findings(*lines_of(25, 25, 25, 25)) == []
    # Of five the last by time and record key is one too many.
    assert line_findings(*lines_of(25, 25, 25, 25, 25)) == [("duplicate_charge", "line", "2024-03-01", -25)]
    # Without two of six the sum would be right, without one it is not.
    assert line_findings(*lines_of(25, 25, 25, 25, 25, 25)) == [("misrated", "line", "2024-03-01", -50)]


def test_the_excess_is_the_line_with_the_greatest_time_and_then_record_key() -> None:
    def excess_of(*lines: Item) -> list[bytes]:
        found = checked_run([[*USED, *lines], advance_watermarks(SUMMER, COVERING)], COVERING).open_findings[-1]
        return [record_id[3] for finding in found.values() for record_id in finding.charges]  # type: ignore[misc]

    assert excess_of(*lines_of(50, 50, 50)) == ["l2"]
    billed = [
        replace(c(key, 0, 1, 100, service="line"), started_us=None, billed_us=(MARCH + day * DAY) * S)
        for key, day in (("x", 9), ("y", 2))
    ]
    assert excess_of(*billed) == ["x"]


@pytest.mark.parametrize("other", [{"tariff_code": "B"}, {"node": "n"}, {"peer": "q"}, {"session": "K"}, {"part": 1}])
def test_a_line_that_differs_in_a_core_column_is_not_an_excess(other: dict[str, Any]) -> None:
    first, second = lines_of(100, 100)
    assert isinstance(second, Record)
    assert line_findings(first, replace(second, invoice="I2")) == [("duplicate_charge", "line", "2024-03-01", -100)]
    assert line_findings(first, replace(second, **other)) == [("misrated", "line", "2024-03-01", -100)]


def test_equal_credits_are_not_an_excess_and_lower_the_billed_amount() -> None:
    assert line_findings(*lines_of(120, -20)) == line_findings(*lines_of(140, -20, -20)) == []
    # With another credit too much is credited: without one of them the sum would be right.
    assert line_findings(*lines_of(140, -20, -20, -20)) == [("misrated", "line", "2024-03-01", 20)]


def test_a_credit_of_an_excess_line_resolves_it() -> None:
    credit = replace(c("z", MARCH + 60 * DAY, 0, -100, service="line"), corrects=(True, "l1"))
    log: Log = [[*USED, *lines_of(100, 100)], advance_watermarks(SUMMER, COVERING), [credit]]
    assert [change[1:] for change in changes_of(log, COVERING)] == [
        ("raised", "frontier", "duplicate_charge", "s", -100), ("resolved", "recovery", "duplicate_charge", "s", -100),
    ]  # fmt: skip


def test_lines_of_one_service_have_excess_lines_as_well() -> None:
    log: Log = [
        [u("a", 1, 6, service="iot"), c("c", 3, 6, 6, service="iot"), c("d", 3, 6, 6, service="iot")],
        advance_watermarks(26),
    ]
    assert changes_of(log) == [(2, "raised", "frontier", "duplicate_charge", "s", -6)]
    # As a policy that an earlier version declared has it: the period is judged as a whole.
    earlier = replace(NEAR, judges_lines=False)
    assert changes_of(log, earlier) == [(2, "raised", "frontier", "overbilled", "s", -6)]


def test_a_policy_that_covers_a_service_moves_its_money_to_the_line() -> None:
    apart = replace(COVERING, services={**COVERING.services, "line": LINE.model_copy(update={"covers": ()})})
    apart = replace(apart, services={n: s.model_copy(update={"period": "month"}) for n, s in apart.services.items()})
    log: Log = [[*USED, *lines_of(100)], advance_watermarks(SUMMER, COVERING), [COVERING]]
    kinds = [(position, action, kind) for position, action, _, kind, _, _ in changes_of(log, apart)]
    assert sorted(kinds) == [(2, "raised", "charge_without_usage"), *[(2, "raised", "unbilled")] * 3,
                             (3, "retracted", "charge_without_usage"), *[(3, "retracted", "unbilled")] * 3]  # fmt: skip


# --- sessions of several records --------------------------------------------------------------------------------------


def counting(parts: str) -> Policy:
    """Return rules under which usage records of web sessions are counters so far."""
    return replace(NEAR, services={**NEAR.services, "web": replace_rules(WEB, parts=parts)})


IN_LINES = replace(NEAR, sources={"n": SourceRules("usage"), "b": SourceRules("charge", bill_lines=True)})


@pytest.mark.parametrize(("parts", "impact"), [("sum", 3 * (10 + 40 + 30) - 90), ("last", 0), ("max", 3 * 40 - 90)])
def test_counters_of_a_session_are_added_or_the_last_or_the_greatest_counts(parts: str, impact: int) -> None:
    # The session's counter was 10 and 40; it began again before the last record.
    updates = [u(f"u{at}", at, quantity, "K", service="web") for at, quantity in ((0, 10), (2, 40), (4, 30))]
    charge = c("c", 0, 30, 90, "K", service="web")
    log: Log = [[*updates, charge], advance_watermarks(100)]
    raised = [(kind, impact) for _, _, _, kind, key, impact in changes_of(log, counting(parts)) if key == "K"]
    assert raised == ([("underbilled", impact)] if impact else [])


def test_a_session_of_counters_waits_for_its_last_record() -> None:
    charge = c("c", 0, 30, 90, "K", service="web")
    log: Log = [
        [u("a", 0, 10, "K", service="web"), charge], advance_watermarks(7, counting("last")),
        [u("b", 4, 30, "K", service="web")], advance_watermarks(100, counting("last")),
    ]  # fmt: skip
    assert changes_of(log, counting("last")) == []
    without_the_last: Log = [log[0], log[1], log[3]]
    assert changes_of(without_the_last, counting("last")) == [(3, "raised", "frontier", "overbilled", "K", -60)]


@pytest.mark.parametrize("of", ["counters", "lines"])
def test_a_tolerated_pair_that_may_have_further_records_is_pending_until_its_stream_is_complete(of: str) -> None:
    tolerant = replace_rules(WEB, amount_tolerance=2 * MICRO, parts="last" if of == "counters" else "sum")
    policy = replace(IN_LINES if of == "lines" else NEAR, services={**NEAR.services, "web": tolerant})
    pair = [u("a", 0, 30, "K", service="web"), c("c", 0, 30, 91, "K", service="web")]
    log: Log = [list(pair), advance_watermarks(7, policy), advance_watermarks(100, policy)]
    assert changes_of(log, policy) == []
    sums = [by_cell["web", date(1970, 1, 1), "EUR"] for by_cell in checked_run(log, policy).sums]
    assert [(tolerated // MICRO, pending // MICRO) for _, _, _, tolerated, pending, _ in sums] == [(0, -1), (0, -1), (-1, 0)]


def test_charges_of_one_key_are_lines_of_one_bill_where_their_source_declares_it() -> None:
    usage = [u("a", 0, 45, "K", service="web"), u("b", 0, 45, "K", service="web")]
    lines = [c("c", 0, 45, 135, "K", service="web"), c("d", 0, 45, 135, "K", service="web")]
    log: Log = [[*usage, *lines], advance_watermarks(100)]
    assert changes_of(log, IN_LINES) == []
    assert {kind for _, _, _, kind, _, _ in changes_of(log)} == {"duplicate_charge", "underbilled"}


def test_a_bill_waits_for_its_last_line_and_a_surplus_line_is_overbilled() -> None:
    log: Log = [
        [u("a", 0, 45, "K", service="web"), c("c", 0, 20, 60, "K", service="web")], advance_watermarks(7, IN_LINES),
        [c("d", 0, 25, 75, "K", service="web")], advance_watermarks(100, IN_LINES),
    ]  # fmt: skip
    assert changes_of(log, IN_LINES) == []
    surplus: Log = [[*log[0], *log[2], c("e", 0, 25, 75, "K", service="web")], log[3]]
    assert changes_of(surplus, IN_LINES) == [(2, "raised", "frontier", "overbilled", "K", -75)]


def test_lines_of_a_source_that_was_removed_stay_lines() -> None:
    bill = [u("u", 0, 100, "K", service="web"), c("c", 0, 75, 225, "K", service="web"), c("d", 0, 25, 75, "K", service="web")]
    renamed = replace(IN_LINES, sources={"n": SourceRules("usage"), "m": SourceRules("charge", bill_lines=True)})
    as_duplicates = replace(IN_LINES, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
    log: Log = [bill, advance_watermarks(100, IN_LINES), [renamed], [as_duplicates]]
    assert changes_of(log, IN_LINES) == [
        (4, "raised", "policy_change", "duplicate_charge", "K", -75), (4, "raised", "policy_change", "underbilled", "K", 75),
    ]  # fmt: skip


def test_a_content_that_another_policy_makes_late_is_not_replaced() -> None:
    # Under the first policy the charges may be 100 s late. Under the second the first content is late, the greater one is not.
    waits = replace(NEAR, sources={"n": SourceRules("usage"), "b": SourceRules("charge", 100 * S)})
    log: Log = [[u("u", 0, 5, "K"), c("c", 0, 5, 50, "K")], advance_watermarks(50, waits), [NEAR], [c("c", 60, 9, 90, "K")]]
    assert changes_of(log, waits) == [(4, "raised", "conflict", "conflicting_charge", "c", 0)]


def test_a_content_that_another_policy_keeps_in_time_is_replaced() -> None:
    # Under the first policy the content would be late at second 50; the second, which is in force by then, waits 100 s.
    waits = replace(NEAR, sources={"n": SourceRules("usage"), "b": SourceRules("charge", 100 * S)})
    log: Log = [[u("u", 0, 5, "K"), c("c", 0, 5, 50, "K")], [waits], advance_watermarks(50, waits), [c("c", 0, 9, 90, "K")]]
    raised = [(kind, impact) for _, _, _, kind, _, impact in changes_of(log, NEAR)]
    assert sorted(raised) == [("conflicting_charge", 0), ("overbilled", -40)]


def test_a_further_record_revises_a_finding_whose_money_it_does_not_change() -> None:
    log: Log = [[u("u", 0, 5, "K", service="web")], advance_watermarks(100), [u("v", 0, 0, "K", service="web")]]
    assert changes_of(log) == [
        (2, "raised", "frontier", "unbilled", "K", 15), (3, "revised", "late_usage", "unbilled", "K", 15),
    ]  # fmt: skip


def test_of_two_sessions_near_a_charge_the_nearest_settles_alone() -> None:
    log: Log = [[u("u", 0, 5), u("v", 1, 5), c("c", 1, 5, 50)], advance_watermarks(100)]
    assert changes_of(log) == [(2, "raised", "frontier", "unbilled", "u", 50)]


# --- corrections ------------------------------------------------------------------------------------------------------


def corrected(version: int | None, amount: int, **more: Any) -> Record:
    """Return a version of the charge for a call of 5 units, whose price is 50."""
    return replace(c("c", 0, 5, amount, "K"), version=version, **more)


@pytest.mark.parametrize("order", list(itertools.permutations([corrected(None, 90), corrected(1, 70), corrected(2, 50)])))
def test_the_greatest_version_counts_in_any_order_of_arrival(order: tuple[Record, ...]) -> None:
    log: Log = [[u("u", 0, 5, "K")], advance_watermarks(100), *([version] for version in order)]
    run = checked_run(log)
    assert [finding.kind for finding in run.open_findings[-1].values()] == []
    assert {change["cause"] for change in run.changes} <= {"frontier", "late_charge", "correction"}
    together: Log = [*log[:2], list(order)]
    assert changes_of(together)[1:] == [(3, "resolved", "late_charge", "unbilled", "K", 50)]


def test_a_late_correction_revises_a_final_finding() -> None:
    log: Log = [[u("u", 0, 5, "K"), corrected(1, 70)], advance_watermarks(100), [corrected(3, 20)], [corrected(2, 50)]]
    assert changes_of(log) == [(1, "raised", "arrival", "misrated", "K", -20), (3, "revised", "correction", "misrated", "K", 30)]


def test_another_content_of_one_version_is_a_conflict_and_of_a_lesser_version_is_none() -> None:
    log: Log = [[u("u", 0, 5, "K"), corrected(2, 50)], advance_watermarks(100), [corrected(1, 70)], [corrected(2, 60)]]
    assert changes_of(log) == [(4, "raised", "conflict", "conflicting_charge", "c", 0)]


def test_a_correction_behind_the_horizon_is_a_conflict_and_changes_no_money() -> None:
    policy = replace(NEAR, horizon_us=20 * S)
    log: Log = [[u("u", 0, 5, "K"), corrected(1, 50)], advance_watermarks(100, policy), [corrected(2, 70)]]
    assert changes_of(log, policy) == [(3, "raised", "conflict", "conflicting_charge", "c", 0)]


def test_a_correction_of_the_session_key_moves_the_charge() -> None:
    by_key = replace(NEAR, services={"voice": service(("session_key",), grace=12 * S, price=10 * MICRO)})
    log: Log = [
        [u("u", 0, 5, "K"), u("v", 0, 5, "L"), corrected(1, 50)], advance_watermarks(100, by_key),
        [corrected(2, 50, session="L")],
    ]  # fmt: skip
    assert sorted(changes_of(log, by_key)) == [
        (2, "raised", "frontier", "unbilled", "L", 50), (3, "raised", "correction", "unbilled", "K", 50),
        (3, "retracted", "correction", "unbilled", "L", 50),
    ]  # fmt: skip


def test_a_settled_pair_stays_and_is_priced_again_but_takes_no_other_session_key() -> None:
    pair = [u("u", 0, 5), replace(c("c", 1, 5, 50), version=1)]
    log: Log = [pair, advance_watermarks(100), [replace(c("c", 2, 5, 80), version=2)], [replace(c("c", 1, 5, 50, "K"), version=3)]]
    assert changes_of(log) == [
        (3, "raised", "correction", "misrated", "u", -30), (4, "raised", "conflict", "conflicting_charge", "c", 0),
    ]  # fmt: skip


def test_a_settled_record_that_a_correction_moves_ahead_takes_no_other_session_key() -> None:
    pair = [u("u", 0, 5), replace(c("c", 1, 5, 50), version=1)]
    ahead = [replace(c("c", 150, 5, 50), version=2)]
    with_key = [replace(c("c", 150, 5, 50, "K"), version=3)]
    log: Log = [pair, advance_watermarks(100), [u("k", 150, 5, "K")], ahead, with_key, advance_watermarks(300)]
    assert changes_of(log) == [
        (5, "raised", "conflict", "conflicting_charge", "c", 0), (6, "raised", "frontier", "unbilled", "K", 50),
    ]  # fmt: skip


# --- unrated, horizon, policies ---------------------------------------------------------------------------------------


def test_usage_without_a_price_is_unrated_even_without_money() -> None:
    policy = replace(NEAR, services={"voice": replace_rules(VOICE, price=None)})
    log: Log = [[u("u", 0, 5, "K")], advance_watermarks(100), [c("c", 50, 9, 30, "K")]]
    assert changes_of(log, policy) == [
        (2, "raised", "frontier", "unrated", "K", 0),
        (3, "revised", "late_charge", "unrated", "K", -30),
    ]


def replace_rules(rules: Any, **changes: Any) -> Any:
    return rules.model_copy(update=changes)


def test_a_charge_beyond_the_horizon_is_raised_at_once_and_never_matches() -> None:
    policy = replace(NEAR, horizon_us=20 * S)
    log: Log = [[u("u", 0, 5, "K"), u("v", 1, 5)], advance_watermarks(100, policy), [c("c", 0, 5, 50, "K"), c("d", 1, 5, 50)]]
    assert changes_of(log, policy)[2:] == [
        (3, "raised", "beyond_horizon", "charge_without_usage", "c", -50),
        (3, "raised", "beyond_horizon", "charge_without_usage", "d", -50),
    ]
    # Usage that arrives later, in time for its own stream, does not match it either.
    slow_usage = replace(policy, sources={"n": SourceRules("usage", 500 * S), "b": SourceRules("charge")})
    late: Log = [advance_watermarks(100, slow_usage), [c("d", 1, 5, 50)], [u("v", 1, 5)], advance_watermarks(900, slow_usage)]
    assert [change[2:5] for change in changes_of(late, slow_usage)] == [
        ("beyond_horizon", "charge_without_usage", "d"),
        ("arrival", "unbilled", "v"),
    ]


def test_usage_beyond_the_horizon_is_unbilled_at_once_even_if_billing_is_silent() -> None:
    policy = replace(NEAR, horizon_us=20 * S)
    ahead = [r for r in advance_watermarks(100) if isinstance(r, Record) and not r.charge]
    log: Log = [list(ahead), [u("u", 0, 5, "K")]]
    assert changes_of(log, policy) == [(2, "raised", "beyond_horizon", "unbilled", "u", 50)]


def test_a_period_that_begins_in_a_repeated_hour_lasts_until_the_second_occurrence_of_its_end() -> None:
    first_occurrence_s = 1_729_987_200 + 600  # The first 02:10 in Berlin on 27 October 2024; the second 02:30 is 80 minutes later.
    iot = replace_rules(IOT, period=1_800 * S)
    half_hours = replace(NEAR, services={**NEAR.services, "iot": iot}, timezone="Europe/Berlin")
    log: Log = [
        [u("u", first_occurrence_s, 5, service="iot")],
        advance_watermarks(first_occurrence_s + 1_500),
        advance_watermarks(first_occurrence_s + 4_810),
    ]
    assert [change[:4] for change in changes_of(log, half_hours)] == [(3, "raised", "frontier", "unbilled")]


def test_a_new_policy_reevaluates_all_records() -> None:
    raised_price = replace(NEAR, services={"voice": replace_rules(VOICE, price=11 * MICRO)})
    log: Log = [[u("u", 0, 5, "K"), c("c", 0, 5, 50, "K")], advance_watermarks(100), [raised_price], [NEAR]]
    assert changes_of(log) == [
        (3, "raised", "policy_change", "misrated", "K", 5),
        (4, "retracted", "policy_change", "misrated", "K", 5),
    ]


def test_a_settled_pair_stays_when_its_service_changes_to_the_aggregate_match() -> None:
    aggregated = replace(NEAR, services={"voice": IOT})
    log: Log = [[u("u", 0, 5), c("c", 1, 5, 50)], advance_watermarks(100), [aggregated], [u("v", 2, 5)], [NEAR]]
    reference = checked_run(log)
    assert [len(pairs) for pairs in reference.settled] == [0, 1, 1, 1, 1]
    assert [p.kind for rid, p in reference.bookings[-2].items() if rid[3] == "v"] == ["unbilled"]
    assert [p.kind for rid, p in reference.bookings[-2].items() if rid[3] in "uc"] == ["misrated", "misrated"]


PATIENT = replace(NEAR, sources={**NEAR.sources, "n2": SourceRules("usage"), "b2": SourceRules("charge")})


@pytest.mark.parametrize(("first", "then"), [(NEAR, PATIENT), (PATIENT, NEAR)])
def test_a_complete_record_keeps_its_content_under_any_later_policy(first: Policy, then: Policy) -> None:
    # Under NEAR the pair settles; another content of its usage, itself in time, must not separate it.
    log: Log = [
        [u("u", 0, 5), c("c", 0, 5, 50)],
        advance_watermarks(100),
        [then],
        [u("u", 200, 9, "K")],
        advance_watermarks(300, PATIENT),
    ]
    reference = checked_run(log, first)
    assert reference.settled[-1] == {(True, "s", "u", "0k", "EUR"): (True, "s", "c", "0k", "EUR")}
    assert [change[3] for change in changes_of(log, first)] == ["conflicting_usage"]


def test_usage_is_priced_in_its_own_currency_only() -> None:
    dollars = replace(NEAR, services={"voice": replace_rules(VOICE, price=11 * MICRO, currency="USD")})
    log: Log = [[u("u", 0, 5, "K"), c("c", 0, 5, 50, "K")], advance_watermarks(100), [dollars]]
    assert changes_of(log) == [(3, "raised", "policy_change", "unrated", "K", -50)]


# --- fast path --------------------------------------------------------------------------------------------------------


def test_an_exact_pair_keeps_a_charge_group_with_party_and_start_from_two_records_pending() -> None:
    # The peer is that of the credit, the start that of the charge. So the group neighbours K1, and is pending while K1 may match it.
    charge_group: list[Item] = [c("r1", 0, 0, -5, "K2"), c("r2", 100, 7, 50, "K2", peer="q")]
    ahead = [r for r in advance_watermarks(200) if isinstance(r, Record) and not r.charge]
    log: Log = [charge_group, [u("u", 100, 5, "K1")], list(ahead), [c("c", 100, 5, 50, "K1")]]
    assert changes_of(log) == [(4, "raised", "frontier", "charge_without_usage", "K2", -45)]


def test_a_charge_that_awaits_its_usage_keeps_a_neighbour_pending() -> None:
    ahead = [r for r in advance_watermarks(13) if isinstance(r, Record) and r.charge]
    log: Log = [[u("w", 0, 5), c("c", 2, 5, 50, "K")], list(ahead), [u("u", 2, 5, "K")]]
    assert changes_of(log) == [(3, "raised", "frontier", "unbilled", "w", 50)]


def test_a_charge_with_a_billing_time_only_has_no_neighbours() -> None:
    billed_then = replace(c("c", 1, 5, 50), started_us=None, billed_us=1 * S)
    assert sorted(change[3] for change in changes_of([[u("u", 0, 5), billed_then], advance_watermarks(100)])) == [
        "charge_without_usage",
        "unbilled",
    ]


@pytest.mark.parametrize(("amount", "kinds"), [(47, ["misrated"]), (48, []), (52, []), (53, ["misrated"])])
def test_an_amount_within_the_tolerance_raises_no_finding(amount: int, kinds: list[str]) -> None:
    policy = replace(NEAR, services={"voice": replace_rules(VOICE, amount_tolerance=2 * MICRO)})
    assert [change[3] for change in changes_of([[u("u", 0, 5, "K"), c("c", 0, 5, amount, "K")]], policy)] == kinds


def test_quantities_at_the_ends_of_64_bits_are_compared_exactly() -> None:
    rules = service(("session_key",), quantity_tolerance=2**62, amount_tolerance=2**62, price=1)
    policy = replace(NEAR, services={"voice": rules})
    largest = 2**63 - 1
    log: Log = [[replace(u("u", 0, 0, "K"), quantity_micros=largest)], [replace(c("c", 0, 0, 7, "K"), quantity_micros=-largest)]]
    assert [change[3] for change in changes_of(log, policy)] == ["underbilled"]


@pytest.mark.parametrize("amount", [2**63 - 1, -(2**63)])
def test_sums_beyond_64_bits_are_exact(amount: int) -> None:
    charges: list[Item] = [replace(c(f"c{n}", 0, 0, 0, f"K{n}"), amount_micros=amount) for n in range(3)]
    assert checked_run([charges, advance_watermarks(100)]).sums[-1]["voice", date(1970, 1, 1), "EUR"][1] == 3 * amount
