"""What a finding means, case by case: each a small log, told by the kernel and by the model, with and without clean pairs apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from kernel_adapter import assert_same_history, events_of, frontier_of
from random_logs import MICRO, service
from reference_model.history import ReferenceRun, run_reference
from reference_model.log import Close, Item, Log, Record, Tick

from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import evaluate

S = 1_000_000
DAY = 86_400
VOICE = service(("session_key", "nearest"), near=2 * S, slack=MICRO, grace=12 * S, price=10 * MICRO)
WEB = service(("session_key",), grace=8 * S, price=3 * MICRO)
IOT = service(("aggregate",), slack=2 * MICRO, grace=5 * S, price=MICRO, period=20 * S)
NEAR = Policy(0, {"voice": VOICE, "web": WEB, "iot": IOT}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
Line = tuple[int, str, str, str, str, int]


def u(key: str, t: int, quantity: int, session: str | None = None, **more: Any) -> Record:
    return Record(False, "n", key, session, started_us=t * S, quantity_micros=quantity * MICRO, **more)


def c(key: str, t: int, quantity: int, amount: int, session: str | None = None, **more: Any) -> Record:
    return Record(True, "b", key, session, started_us=t * S, quantity_micros=quantity * MICRO, amount_micros=amount * MICRO, **more)


def untimed(key: str, quantity: int, amount: int, session: str | None = None, **more: Any) -> Record:
    return replace(c(key, 0, quantity, amount, session, **more), started_us=None)


def far(t: int, policy: Policy = NEAR) -> list[Item]:
    """What lets every stream pass everything before `t`."""
    return [
        Record(s.stream == "charge", n, f"{n}{t}", f"{n}{t}", "voice", "z", n, started_us=t * S, scope="z")
        for n, s in policy.sources.items()
    ]


def story_of(log: Log, policy: Policy = NEAR) -> ReferenceRun:
    """The story of a log, after the kernel has told the same."""
    story = run_reference(log, policy)
    frontier = frontier_of(log, policy)
    for fast_path in (True, False):
        assert_same_history(
            story, evaluate(events_of(log), frontier, after=0, upto=len(log), fast_path=fast_path), frontier.policies
        )
    return story


def lines_of(log: Log, policy: Policy = NEAR) -> list[Line]:
    """Its changes of findings: position, action, cause, kind, session or record key, impact in whole units."""
    told = []
    for change in story_of(log, policy).changes:
        sort, name = change["finding"][1][:2]
        key = name if sort == "period" else name[3] if sort == "record" else name[2]
        impact = (change["expected_micros"] - change["billed_micros"]) // MICRO
        told.append((change["position"], change["action"], change["cause"], change["kind"], key, impact))
    return told


CASES: dict[str, tuple[Log, list[Line]]] = {
    "two charges before the usage of both, in time": (
        [[c("c1", 0, 5, 50, "K"), c("c2", 1, 5, 50, "K")], [u("u", 0, 5, "K")], far(100)],
        [(2, "raised", "arrival", "duplicate_charge", "K", -50)],
    ),
    "the same, the usage late": (
        [[c("c1", 0, 5, 50, "K"), c("c2", 1, 5, 50, "K")], far(100), [u("u", 0, 5, "K")]],
        [
            (2, "raised", "frontier", "charge_without_usage", "K", -100),
            (3, "retracted", "late_usage", "charge_without_usage", "K", -100),
            (3, "raised", "late_usage", "duplicate_charge", "K", -50),
        ],
    ),
    "a credit undoes a duplicate": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50, "K"), c("c2", 1, 5, 50, "K")], far(100), [c("c3", 50, 5, -50, "K")]],
        [
            (1, "raised", "arrival", "duplicate_charge", "K", -50),
            (3, "resolved", "late_charge", "duplicate_charge", "K", -50),
        ],
    ),
    "a credit undoes a bill": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50, "K")], far(100), [c("c3", 50, 5, -50, "K")]],
        [(3, "raised", "late_charge", "misrated", "K", 50)],
    ),
    "nothing used and nothing billed is no finding": ([[u("u", 0, 0, "K"), c("c", 5, 3, 0, "L")], far(100)], []),
    "a charge that comes when its usage is known as unbilled": (
        [[u("u", 0, 5, "K")], far(100), [c("c", 0, 5, 50, "K")]],
        [(2, "raised", "frontier", "unbilled", "K", 50), (3, "resolved", "late_charge", "unbilled", "K", 50)],
    ),
    "a late part of an unbilled session, then its charge": (
        [[u("u1", 0, 5, "K")], far(100), [u("u2", 9, 4, "K")], [c("c", 0, 9, 90, "K")]],
        [
            (2, "raised", "frontier", "unbilled", "K", 50),
            (3, "revised", "late_usage", "unbilled", "K", 90),
            (4, "resolved", "late_charge", "unbilled", "K", 90),
        ],
    ),
    "parts wait for grace, single records only for the tolerance": (
        [[u("u1", 0, 5, "K", part=0), c("c", 0, 9, 80, "K")], far(4), [u("u2", 9, 4, "K", part=1)], far(21), far(22)],
        [(5, "raised", "frontier", "misrated", "K", 10)],
    ),
    "a greater content that comes late counts for nothing, though the record it is of may still change": (
        [[u("u", 200, 5, "K")], [u("u", 0, 9, "K")], far(400)],
        [(2, "raised", "conflict", "conflicting_usage", "u", 0), (3, "raised", "frontier", "unbilled", "K", 50)],
    ),
    "a pair without keys settles when both streams have passed the tolerance, long before grace": (
        [[u("u", 0, 5), c("c", 1, 5, 40)], far(3), far(4), far(100)], [(3, "raised", "frontier", "misrated", "u", 10)],
    ),
    "an exact charge for usage that has settled with a look-alike": (
        [[u("u", 0, 5, "K"), c("c1", 1, 5, 50)], far(13), far(14), [c("c2", 0, 5, 50, "K")]],
        [(4, "raised", "late_charge", "duplicate_charge", "K", -50)],
    ),
    "an exact charge within grace beats a nearer look-alike": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50)], far(12), [c("c2", 12, 5, 50, "K")], far(100)],
        [(4, "raised", "frontier", "charge_without_usage", "c1", -50)],
    ),
    "of two contents in time the greatest counts": (
        [[u("u", 0, 5, "K")], [u("u", 0, 7, "K")], far(100)],
        [(2, "raised", "conflict", "conflicting_usage", "u", 0), (3, "raised", "frontier", "unbilled", "K", 70)],
    ),
    "a late content never counts": (
        [[u("u", 0, 5, "K")], far(100), [u("u", 0, 7, "K")]],
        [(2, "raised", "frontier", "unbilled", "K", 50), (3, "raised", "conflict", "conflicting_usage", "u", 0)],
    ),
    "a session that may still grow keeps its neighbours waiting": (
        [[u("k1", 0, 5, "K", part=0), u("u", 1, 10), c("c", 0, 10, 100)], far(9), [u("k2", 9, 5, "K", part=1)], far(100)],
        [(4, "raised", "frontier", "unbilled", "u", 100)],
    ),
    "equal times may still come": ([[u("u", 0, 5)], far(12)], []),
    "a closed day does not wait for grace": (
        [[u("u", DAY - 1, 5, "K", service="web")], [Close("n", DAY * S), Close("b", DAY * S)]],
        [(2, "raised", "frontier", "unbilled", "K", 15)],
    ),
    "a late record revises the sum of its period": (
        [[u("a", 1, 3, service="iot"), u("b", 2, 3, service="iot"), c("c", 3, 6, 6, service="iot")], far(26), [u("d", 4, 5, service="iot")]],
        [(3, "raised", "late_usage", "underbilled", "s", 5)],
    ),
    "a repeated delivery is no news": (
        [[u("u", 0, 5, "K")], far(100), [u("u", 0, 5, "K")]],
        [(2, "raised", "frontier", "unbilled", "K", 50)],
    ),
    "record keys of two key scopes are two records": (
        [[u("u", 0, 5), u("u", 0, 7, key_scope="other")], far(100)],
        [(2, "raised", "frontier", "unbilled", "u", 50), (2, "raised", "frontier", "unbilled", "u", 70)],
    ),
    "usage and charges without a peer or a subscriber match one another": (
        [[u("u", 0, 5, subscriber=None, peer=None, scope=""), c("c", 1, 5, 50, subscriber=None, peer=None, scope="")], far(100)],
        [],
    ),
    "a charge in another currency is a bill of its own": (
        [[u("u", 0, 5, "K"), c("c1", 0, 5, 50, "K"), c("c2", 0, 5, 50, "K", currency="USD")], far(100)],
        [(2, "raised", "frontier", "charge_without_usage", "K", -50)],
    ),
    "a key of two services is rated as its first record": (
        [[u("u1", 0, 5, "K"), u("u2", 5, 4, "K", service="web"), c("c", 0, 9, 90, "K")], far(100)],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_case_reads_as_it_is_meant(name: str) -> None:
    log, wanted = CASES[name]
    assert lines_of(log) == wanted


# --- what waits, and for what -----------------------------------------------------------------------------------------


def test_a_chain_over_the_frontier_settles_only_where_it_is_mutual_and_complete() -> None:
    chain: list[Item] = [u("u1", 0, 5), c("c1", 2, 5, 50), u("u2", 3, 5)]
    assert not story_of([chain, far(4)]).settled[-1]
    assert [name[2] for name in story_of([chain, far(4), far(6)]).settled[-1]] == ["u2"]
    settled = story_of([chain, far(3), [c("c2", 3, 5, 50)], far(100)]).settled[-1]
    assert {(s[2], b[2]) for s, b in settled.items()} == {("u1", "c1"), ("u2", "c2")}


def test_money_of_a_pair_is_on_the_day_of_its_session_when_billed_after_midnight() -> None:
    story = story_of([[u("u", DAY - 1, 5)], [c("c", DAY, 5, 49)], far(DAY + 3)])
    told = {(str(day), sums[2] // MICRO) for (_, day, _), sums in story.sums[-1].items() if sums[2]}
    assert told == {("1970-01-01", 1)}


def test_a_silent_source_is_let_go_by_the_clock() -> None:
    sources = {**NEAR.sources, "b2": SourceRules("charge", 0, 30 * S)}
    policy = replace(NEAR, sources=sources)
    quiet = [r for r in far(100, policy) if isinstance(r, Record) and r.source != "b2"]
    log: Log = [[u("u", 0, 5, "K")], list(quiet), [Tick(42 * S)], [Tick(43 * S)]]
    assert lines_of(log, policy) == [(4, "raised", "frontier", "unbilled", "K", 50)]


def test_a_charge_without_any_time_waits_for_the_closing_of_its_source() -> None:
    policy = replace(NEAR, sources={"n": SourceRules("usage"), "b": SourceRules("charge", None)})
    log: Log = [[untimed("c", 5, 50, "K", service="web")], far(100), [Close("b", 50 * S)], far(200)]
    assert lines_of(log, policy) == [(3, "raised", "frontier", "charge_without_usage", "K", -50)]
    assert story_of(log, policy).changes[0]["day"] is None


def test_a_charge_without_any_time_is_summed_with_the_period_its_closing_completes() -> None:
    log: Log = [[u("a", 21, 5, service="iot"), untimed("c", 5, 3, service="iot")], [Close("b", 30 * S)], far(100)]
    assert lines_of(log) == [(3, "raised", "frontier", "misrated", "s", 2)]
    # Until then it is nobody's, and its money is pending.
    assert {sums[4] // MICRO for (_, day, _), sums in story_of(log).sums[0].items() if day is None} == {-3}


# --- unrated, horizon, policies ---------------------------------------------------------------------------------------


def test_usage_without_a_price_is_told_even_where_no_money_moves() -> None:
    policy = replace(NEAR, services={"voice": replace_rules(VOICE, price=None)})
    log: Log = [[u("u", 0, 5, "K")], far(100), [c("c", 50, 9, 30, "K")]]
    assert lines_of(log, policy) == [
        (2, "raised", "frontier", "unrated", "K", 0),
        (3, "revised", "late_charge", "unrated", "K", -30),
    ]


def replace_rules(rules: Any, **changes: Any) -> Any:
    return rules.model_copy(update=changes)


def test_a_charge_behind_the_horizon_is_told_at_once_and_finds_neither_key_nor_neighbour() -> None:
    policy = replace(NEAR, horizon_us=20 * S)
    log: Log = [[u("u", 0, 5, "K"), u("v", 1, 5)], far(100, policy), [c("c", 0, 5, 50, "K"), c("d", 1, 5, 50)]]
    assert lines_of(log, policy)[2:] == [
        (3, "raised", "beyond_horizon", "charge_without_usage", "c", -50),
        (3, "raised", "beyond_horizon", "charge_without_usage", "d", -50),
    ]
    # Nor does usage that came long after, in its own stream's time.
    slow = replace(policy, sources={"n": SourceRules("usage", 500 * S), "b": SourceRules("charge")})
    late: Log = [far(100, slow), [c("d", 1, 5, 50)], [u("v", 1, 5)], far(900, slow)]
    assert [line[2:5] for line in lines_of(late, slow)] == [
        ("beyond_horizon", "charge_without_usage", "d"),
        ("arrival", "unbilled", "v"),
    ]


def test_usage_behind_the_horizon_waits_for_no_charge_however_silent_billing_is() -> None:
    policy = replace(NEAR, horizon_us=20 * S)
    ahead = [r for r in far(100) if isinstance(r, Record) and not r.charge]
    log: Log = [list(ahead), [u("u", 0, 5, "K")]]
    assert lines_of(log, policy) == [(2, "raised", "beyond_horizon", "unbilled", "u", 50)]


def test_a_period_that_begins_in_the_hour_shown_twice_lasts_until_its_end_is_shown_again() -> None:
    first_showing = 1_729_987_200 + 600  # 02:10 in Berlin on 27 October 2024, the first time; 02:30 comes again 80 minutes later.
    iot = replace_rules(IOT, period=1_800 * S)
    half_hours = replace(NEAR, services={**NEAR.services, "iot": iot}, timezone="Europe/Berlin")
    log: Log = [[u("u", first_showing, 5, service="iot")], far(first_showing + 1_500), far(first_showing + 4_810)]
    assert [line[:4] for line in lines_of(log, half_hours)] == [(3, "raised", "frontier", "unbilled")]


def test_a_policy_looks_at_everything_again() -> None:
    dearer = replace(NEAR, services={"voice": replace_rules(VOICE, price=11 * MICRO)})
    log: Log = [[u("u", 0, 5, "K"), c("c", 0, 5, 50, "K")], far(100), [dearer], [NEAR]]
    assert lines_of(log) == [
        (3, "raised", "policy_change", "misrated", "K", 5),
        (4, "retracted", "policy_change", "misrated", "K", 5),
    ]


def test_a_settled_pair_stays_when_its_service_comes_to_be_summed() -> None:
    summed = replace(NEAR, services={"voice": IOT})
    log: Log = [[u("u", 0, 5), c("c", 1, 5, 50)], far(100), [summed], [u("v", 2, 5)], [NEAR]]
    story = story_of(log)
    assert [len(pairs) for pairs in story.settled] == [0, 1, 1, 1, 1]
    assert [p.kind for rid, p in story.places[-2].items() if rid[3] == "v"] == ["unbilled"]
    assert [p.kind for rid, p in story.places[-2].items() if rid[3] in "uc"] == ["misrated", "misrated"]


PATIENT = replace(NEAR, sources={**NEAR.sources, "n2": SourceRules("usage"), "b2": SourceRules("charge")})


@pytest.mark.parametrize(("first", "then"), [(NEAR, PATIENT), (PATIENT, NEAR)])
def test_a_record_once_complete_stays_as_it_is_whatever_policy_comes(first: Policy, then: Policy) -> None:
    # Under NEAR the pair settles; another content of its usage, itself in time, must not take it away.
    log: Log = [[u("u", 0, 5), c("c", 0, 5, 50)], far(100), [then], [u("u", 200, 9, "K")], far(300, PATIENT)]
    story = story_of(log, first)
    assert story.settled[-1] == {(True, "s", "u", "0k", "EUR"): (True, "s", "c", "0k", "EUR")}
    assert [line[3] for line in lines_of(log, first)] == ["conflicting_usage"]


def test_usage_is_never_priced_in_a_currency_that_is_not_its_own() -> None:
    dollars = replace(NEAR, services={"voice": replace_rules(VOICE, price=11 * MICRO, currency="USD")})
    log: Log = [[u("u", 0, 5, "K"), c("c", 0, 5, 50, "K")], far(100), [dollars]]
    assert lines_of(log) == [(3, "raised", "policy_change", "unrated", "K", -50)]


# --- clean pairs ------------------------------------------------------------------------------------------------------


def test_a_clean_pair_holds_up_a_bill_whose_party_and_start_come_of_two_records() -> None:
    # The credit names the peer, the charge tells the start: the bill stands beside K1, and waits while K1 may want it.
    bill: list[Item] = [c("r1", 0, 0, -5, "K2"), c("r2", 100, 7, 50, "K2", peer="q")]
    ahead = [r for r in far(200) if isinstance(r, Record) and not r.charge]
    log: Log = [bill, [u("u", 100, 5, "K1")], list(ahead), [c("c", 100, 5, 50, "K1")]]
    assert lines_of(log) == [(4, "raised", "frontier", "charge_without_usage", "K2", -45)]


def test_a_charge_that_waits_for_its_usage_holds_up_a_look_alike_of_it() -> None:
    ahead = [r for r in far(13) if isinstance(r, Record) and r.charge]
    log: Log = [[u("w", 0, 5), c("c", 2, 5, 50, "K")], list(ahead), [u("u", 2, 5, "K")]]
    assert lines_of(log) == [(3, "raised", "frontier", "unbilled", "w", 50)]


def test_a_charge_that_tells_only_when_it_was_billed_is_near_to_nothing() -> None:
    billed_then = replace(c("c", 1, 5, 50), started_us=None, billed_us=1 * S)
    assert sorted(line[3] for line in lines_of([[u("u", 0, 5), billed_then], far(100)])) == ["charge_without_usage", "unbilled"]


@pytest.mark.parametrize(("amount", "told"), [(47, ["misrated"]), (48, []), (52, []), (53, ["misrated"])])
def test_an_amount_within_the_tolerance_on_either_side_is_no_finding(amount: int, told: list[str]) -> None:
    policy = replace(NEAR, services={"voice": replace_rules(VOICE, amount_tolerance=2 * MICRO)})
    assert [line[3] for line in lines_of([[u("u", 0, 5, "K"), c("c", 0, 5, amount, "K")]], policy)] == told


def test_quantities_at_the_ends_of_64_bits_are_compared_exactly() -> None:
    rules = service(("session_key",), slack=2**62, money=2**62, price=1)
    policy = replace(NEAR, services={"voice": rules})
    most = 2**63 - 1
    log: Log = [[replace(u("u", 0, 0, "K"), quantity_micros=most)], [replace(c("c", 0, 0, 7, "K"), quantity_micros=-most)]]
    assert [line[3] for line in lines_of(log, policy)] == ["underbilled"]


@pytest.mark.parametrize("amount", [2**63 - 1, -(2**63)])
def test_sums_beyond_64_bits_are_exact(amount: int) -> None:
    charges: list[Item] = [replace(c(f"c{n}", 0, 0, 0, f"K{n}"), amount_micros=amount) for n in range(3)]
    assert story_of([charges, far(100)]).sums[-1]["voice", date(1970, 1, 1), "EUR"][1] == 3 * amount
