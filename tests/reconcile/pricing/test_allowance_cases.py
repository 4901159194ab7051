"""Allowances and tiers, calculated by hand: a second costs 1 EUR and 10 seconds a month are free, unless a case differs."""

from __future__ import annotations

from pathlib import Path

import lake_fixture
import polars as pl
import pytest
from kernel_adapter import events_of, frontier_of, terms_of
from random_allowance_logs import allowance, moment, rate
from random_logs import MICRO, service
from rated_logs import POLICY, c, changes, evaluated, u, watermarks_past
from reference_model.log import Log, Record, State, Tariff

from trueup.errors import LogError
from trueup.policies.policy import NEVER_POSITION, Policy
from trueup.reconcile.domain.tariff_terms import STATE, SUBSCRIBER_CHANGE, Terms, changes_of
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.results.finding_rows import finding_changes

BOOK = Tariff((rate("voice", MICRO), rate("sms", MICRO), allowance("ten", 10 * MICRO, "voice, sms")))


FIRST, SECOND = u("1", "2024-05-01 10:00", 6), u("2", "2024-05-02 10:00", 6)
CORRECT = [c("1", "2024-05-01 10:00", 6, 0), c("2", "2024-05-02 10:00", 6, 2)]


def test_charges_at_the_rated_price_raise_no_finding_and_take_the_fast_path() -> None:
    """6 of the 10 free seconds cover the first call, 4 the second: 0 and 6 − 4 = 2."""
    log: Log = [[BOOK], [FIRST, SECOND], [*CORRECT], watermarks_past("2024-06-02 00:00")]
    assert changes(log) == []
    assert evaluated(log).fast_path_records["records"].sum() == 4


def test_billing_may_consume_an_allowance_in_another_order() -> None:
    """The second call is billed 0 and the first 2: each differs by 2, and the sum of the month is correct."""
    swapped = [c("1", "2024-05-01 10:00", 6, 2), c("2", "2024-05-02 10:00", 6, 0)]
    log: Log = [[BOOK], [FIRST, SECOND], [*swapped], watermarks_past("2024-05-20 00:00"), watermarks_past("2024-06-02 00:00")]
    assert changes(log) == []
    deltas = evaluated(log).ledger.filter((pl.col("position") == 5) & (pl.col("service") == "voice")).to_dicts()
    pending = {(p["day"].day, int(p["pending_micros"])) for p in deltas}
    # The pending differences of −2 and 2 are released.
    assert pending == {(1, 2 * MICRO), (2, -2 * MICRO)}


def test_an_ignored_allowance_is_misrated_at_the_end_of_the_month() -> None:
    """6 and 6 instead of 0 and 2."""
    full_price = [c("1", "2024-05-01 10:00", 6, 6), c("2", "2024-05-02 10:00", 6, 6)]
    log: Log = [[BOOK], [FIRST, SECOND], [*full_price], watermarks_past("2024-06-01 00:30"), watermarks_past("2024-06-01 01:00:01")]
    assert changes(log) == [
        (5, "raised", "frontier", "misrated", -4, "allowance_ignored"),
        (5, "raised", "frontier", "misrated", -6, "allowance_ignored"),
    ]


BY_CYCLE = Tariff((rate("voice", MICRO), allowance("ten", 10 * MICRO, "voice", period="cycle")))


def cycle_from(day: int, since: str = "2024-01-01 00:00") -> State:
    return State("s", moment(since), day)


def test_an_allowance_of_a_billing_cycle_begins_anew_on_the_cycle_day() -> None:
    """In a cycle from the 2nd both calls are free; in one from the 1st, or without a state, the second costs 2."""
    for states, unbilled in (([cycle_from(2)], []), ([cycle_from(1)], [2]), ([], [2])):
        log: Log = [[*states], [BY_CYCLE], [FIRST, SECOND], watermarks_past("2024-07-02 00:00")]
        assert [change[4] for change in changes(log)] == unbilled


def test_the_31st_begins_a_cycle_of_an_allowance_on_the_last_day_of_a_shorter_month() -> None:
    """29 June is in the cycle from 31 May, 30 June in the next: 6 s are free in each."""
    calls = [u("1", "2024-06-29 10:00", 6), u("2", "2024-06-30 10:00", 6), u("3", "2024-07-30 10:00", 6)]
    log: Log = [[cycle_from(31)], [BY_CYCLE], [*calls], watermarks_past("2024-09-02 00:00")]
    # The third call is in the cycle of the second: 4 of its 6 s are free.
    assert [change[4] for change in changes(log)] == [2]


def test_a_back_dated_change_of_cycle_prices_the_calls_after_it_anew() -> None:
    """With a cycle from the 2nd, known later, the second call begins a cycle and is free."""
    log: Log = [
        [cycle_from(1)], [BY_CYCLE], [FIRST, SECOND], watermarks_past("2024-07-02 00:00"), [cycle_from(2, "2024-04-01 00:00")],
    ]  # fmt: skip
    assert [change[:5] for change in changes(log)] == [
        (4, "raised", "frontier", "unbilled", 2), (5, "retracted", "subscriber_change", "unbilled", 2),
    ]  # fmt: skip


def test_an_amount_is_judged_at_the_end_of_the_billing_cycle() -> None:
    """0 and 2 were right, 6 and 6 were billed.

    The calls are misrated when both streams have passed 14 May, the end of the cycle from the 15th.
    """
    charges = [c("1", "2024-05-01 10:00", 6, 6), c("2", "2024-05-02 10:00", 6, 6)]
    log: Log = [
        [cycle_from(15)], [BY_CYCLE], [FIRST, SECOND, *charges], watermarks_past("2024-05-15 00:59:59"),
        watermarks_past("2024-05-15 01:00:01"),
    ]  # fmt: skip
    assert [change[:5] for change in changes(log)] == [
        (5, "raised", "frontier", "misrated", -4),
        (5, "raised", "frontier", "misrated", -6),
    ]


def test_a_resolved_finding_keeps_its_reason() -> None:
    """6 instead of 2, until a credit of 4."""
    full_price = [CORRECT[0], c("2", "2024-05-02 10:00", 6, 6)]
    credit = Record(True, "b", "c2 credit", "2", started_us=moment("2024-05-02 10:00"), quantity_micros=0, amount_micros=-4 * MICRO)
    log: Log = [[BOOK], [FIRST, SECOND], [*full_price], watermarks_past("2024-06-02 00:00"), [credit]]
    assert changes(log) == [
        (4, "raised", "frontier", "misrated", -4, "allowance_ignored"),
        (5, "resolved", "late_charge", "misrated", -4, "allowance_ignored"),
    ]


def test_a_difference_is_not_spread_over_pairs_that_agree() -> None:
    """The first call is correct; the second differs by 1, and no other difference offsets it."""
    log: Log = [[BOOK], [FIRST, SECOND], [CORRECT[0], c("2", "2024-05-02 10:00", 6, 1)], watermarks_past("2024-06-02 00:00")]
    assert [c[:5] for c in changes(log)] == [(4, "raised", "frontier", "misrated", 1)]


def test_an_equal_amount_for_another_quantity_hides_two_differences() -> None:
    """16 seconds cost 6. The 12 seconds of the charge would cost 2, and are billed at 6."""
    log: Log = [
        [BOOK], [u("1", "2024-05-01 10:00", 16)], [c("1", "2024-05-01 10:00", 12, 6)], watermarks_past("2024-06-02 00:00"),
    ]  # fmt: skip
    assert sorted(change[3:5] for change in changes(log)) == [("misrated", -4), ("underbilled", 4)]


def test_late_usage_takes_the_allowance_from_later_usage() -> None:
    """Unbilled are 0 and 2; after 10 earlier seconds, which are free, 6 and 6."""
    log: Log = [[BOOK], [FIRST, SECOND], watermarks_past("2024-05-10 00:00"), [u("0", "2024-05-01 09:00", 10)]]
    assert changes(log) == [
        (3, "raised", "frontier", "unbilled", 2, None),
        (4, "raised", "late_usage", "unbilled", 6, None),
        (4, "revised", "late_usage", "unbilled", 6, None),
    ]


def test_late_usage_that_takes_an_allowance_makes_agreeing_pairs_misrated() -> None:
    """0 and 2 were correct; after ten earlier seconds each call costs 6. The differences of 6 and 4 are raised at the month's end."""
    late = [u("0", "2024-05-01 09:00", 10)]
    log: Log = [
        [BOOK],
        [FIRST, SECOND],
        [*CORRECT],
        watermarks_past("2024-05-10 00:00"),
        [*late],
        watermarks_past("2024-06-02 00:00"),
    ]
    assert [c[:5] for c in changes(log)] == [(6, "raised", "frontier", "misrated", 4), (6, "raised", "frontier", "misrated", 6)]
    # The fast path counts the late usage, which is free, and takes none of the pairs.
    assert not evaluated(log).fast_path_records["charge"].any()


def test_a_late_charge_resolves_a_finding_of_its_pool() -> None:
    """The second call, billed 0 instead of 2, is misrated until the charge of the first arrives: 2 instead of 0."""
    log: Log = [
        [BOOK], [FIRST, SECOND], [c("2", "2024-05-02 10:00", 6, 0)], watermarks_past("2024-06-02 00:00"), [c("1", "2024-05-01 10:00", 6, 2)],
    ]  # fmt: skip
    assert [c[:5] for c in changes(log)] == [
        (4, "raised", "frontier", "misrated", 2),
        (5, "resolved", "late_charge", "misrated", 2),
    ]


def test_a_quantity_difference_is_raised_at_once_at_the_price_in_the_pool() -> None:
    """5 of 6 seconds are charged: after the first call 4 of them are free, hence 1 instead of 2."""
    log: Log = [[BOOK], [FIRST, SECOND], [CORRECT[0], c("2", "2024-05-02 10:00", 5, 1)], watermarks_past("2024-06-02 00:00")]
    assert changes(log) == [(3, "raised", "arrival", "underbilled", 1, None)]


def test_two_subscribers_of_an_account_share_an_allowance() -> None:
    """6 of the 10 seconds go to one subscriber, 4 to the other."""
    book = Tariff((rate("voice", MICRO), allowance("ten", 10 * MICRO, "voice", shared="account")))
    same_account = [
        u("1", "2024-05-01 10:00", 6, subscriber="s", scope="A"),
        u("2", "2024-05-02 10:00", 6, subscriber="t", scope="A"),
    ]
    others = [u("3", "2024-05-03 10:00", 6, subscriber="s", scope="B"), u("4", "2024-05-03 10:00", 11, subscriber="x", scope="")]
    log: Log = [[book], [*same_account, *others], watermarks_past("2024-06-02 00:00")]
    # A subscriber without an account shares nothing: 11.
    assert [c[3:5] for c in changes(log)] == [("unbilled", 11), ("unbilled", 2)]


def test_two_services_share_an_allowance() -> None:
    """A call of 6 seconds leaves 4 units for messages: 7 − 4."""
    log: Log = [[BOOK], [FIRST, u("m", "2024-05-02 10:00", 7, service="sms")], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 3)]


def test_a_tier_begins_in_the_middle_of_a_call() -> None:
    """4 seconds of the second call are below 10 and cost 1 each; 2 are above and cost 3 each: 10."""
    book = Tariff((rate("voice", MICRO), rate("voice", 3 * MICRO, tier_from_micros=10 * MICRO)))
    log: Log = [[book], [FIRST, SECOND], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 10), ("unbilled", 6)]


def test_a_month_begins_at_midnight_on_the_tariffs_wall_clock() -> None:
    """22:30Z is half past midnight on 1 June in Berlin: that call has 10 free seconds, the call an hour before has 4 left."""
    book = Tariff((rate("voice", MICRO), allowance("ten", 10 * MICRO, "voice", timezone="Europe/Berlin")))
    last_of_may, first_of_june = u("2", "2024-05-31 21:30", 9), u("3", "2024-05-31 22:30", 12)
    # The call of 12 seconds leaves no free seconds for the rest of June.
    log: Log = [[book], [FIRST, last_of_may, first_of_june, u("4", "2024-06-01 10:00", 6)], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log)] == [("unbilled", 2), ("unbilled", 5), ("unbilled", 6)]


def test_a_month_ends_at_midnight_on_the_tariffs_wall_clock() -> None:
    """May ends at 22:00Z in Berlin: with an hour of grace, its differences are raised once the watermarks pass 23:00Z."""
    book = Tariff((rate("voice", MICRO), allowance("ten", 10 * MICRO, "voice", timezone="Europe/Berlin")))
    log: Log = [
        [book],
        [FIRST],
        [c("1", "2024-05-01 10:00", 6, 6)],
        watermarks_past("2024-05-31 22:59"),
        watermarks_past("2024-05-31 23:00:01"),
    ]
    assert [c[:4] for c in changes(log)] == [(5, "raised", "frontier", "misrated")]


def test_a_later_price_reprices_the_pool() -> None:
    """From 2 May on a second costs 3: the 2 charged seconds of the second call cost 6."""
    change = Tariff((rate("voice", 3 * MICRO) | {"valid_from": BOOK.rows[0]["valid_from"].replace(year=2024, month=5, day=2)},))
    log: Log = [[BOOK], [FIRST, SECOND], watermarks_past("2024-05-10 00:00"), [change]]
    assert [c[:5] for c in changes(log)] == [
        (3, "raised", "frontier", "unbilled", 2),
        (4, "revised", "tariff_change", "unbilled", 6),
    ]


def test_an_aggregate_match_sums_the_prices_in_the_pool() -> None:
    """By day: 0 expected on the first, 2 on the second."""
    aggregated = service(("aggregate",), grace=3_600 * MICRO, price=None, period=86_400 * MICRO)
    policy = Policy(0, {"voice": aggregated}, sources=POLICY.sources)
    charges = [c("1", "2024-05-01 10:00", 6, 1), c("2", "2024-05-02 10:00", 6, 2)]
    log: Log = [[BOOK], [FIRST, SECOND], [*charges], watermarks_past("2024-06-02 00:00")]
    assert [c[3:5] for c in changes(log, policy)] == [("misrated", -1)]


def test_a_later_plan_brings_its_own_allowance() -> None:
    """Without a plan the two calls cost 6 and 6; with the 10 free seconds of plan A they cost 0 and 2."""
    book = Tariff((rate("voice", MICRO), rate("voice", MICRO, plan="A"), allowance("ten", 10 * MICRO, "voice", plan="A")))
    log: Log = [[book], [FIRST, SECOND], watermarks_past("2024-05-10 00:00"), []]
    state = {
        "bucket": 0, "system": "billing", "subscriber": "s", "plan": "A", "status": "active",
        "from_us": moment("2024-01-01 00:00"), "to_us": None, "since": 4, "until": NEVER_POSITION,
    }  # fmt: skip
    states = pl.DataFrame([state], schema=STATE)
    edition = terms_of(log).editions[0]
    terms = Terms((edition,), states, changes_of([(1, 0)], states), {4: SUBSCRIBER_CHANGE})
    frontier = frontier_of(log, POLICY)
    rows = finding_changes(evaluate(events_of(log), frontier, terms, after=0, upto=4), frontier.policies, after=0)
    voice_changes = rows.filter(pl.col("service") == "voice").select(
        "position", "action", "cause", pl.col("expected_micros").cast(pl.Int64)
    )
    assert sorted(voice_changes.rows()) == [
        (3, "raised", "frontier", 6 * MICRO), (3, "raised", "frontier", 6 * MICRO),
        (4, "retracted", "subscriber_change", 6 * MICRO), (4, "revised", "subscriber_change", 2 * MICRO),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bucket_by", "terms", "message"),
    [
        ("session_key", {}, 'bucket_by = "session_key" separates'), ("subscriber", {"shared": "account"}, "shared by the account"),
        ("account", {"period": "cycle"}, "billing cycles, which are those of subscribers"),
    ],
)  # fmt: skip
def test_a_book_that_shares_across_bucket_keys_is_refused(
    bucket_by: str, terms: dict[str, str], message: str, tmp_path: Path
) -> None:
    book = Tariff((rate("voice", MICRO), allowance("ten", 10 * MICRO, "voice", **terms)))
    log, rows = lake_fixture.with_event_ids_of_lake([[POLICY], [book]], bucket_by)
    with lake_fixture.quick_lake(tmp_path, log, rows, bucket_by) as lake, pytest.raises(LogError, match=message):
        lake_fixture.outcome_of(lake, 0, 2, 1)


LATE = [u("0", "2024-05-01 09:00", 10)]
FULL_PRICE = [c("1", "2024-05-01 10:00", 6, 6), c("2", "2024-05-02 10:00", 6, 6)]


@pytest.mark.parametrize(
    "log",
    [
        pytest.param([[BOOK], [FIRST, SECOND], watermarks_past("2024-09-01 00:00"), LATE], id="usage of a past month"),
        pytest.param(
            [[BOOK], [FIRST, SECOND], FULL_PRICE, watermarks_past("2024-05-20 00:00"), watermarks_past("2024-06-02 00:00")],
            id="a month's end",
        ),
    ],
)
def test_the_last_position_reads_the_pools_that_it_changes(log: Log, tmp_path: Path) -> None:
    log, rows = lake_fixture.with_event_ids_of_lake([[POLICY], *lake_fixture.one_declaration_per_commit(log)], "subscriber")
    with lake_fixture.quick_lake(tmp_path, log, rows, "subscriber") as lake:
        last = lake_fixture.outcome_of(lake, len(log) - 1, len(log), 1)
        merged = lake_fixture.merge_outcomes([lake_fixture.outcome_of(lake, 0, len(log) - 1, 1), last])
        assert lake_fixture.totals(merged) == lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
    assert last.history.height > 1
