"""Free units and tiers, worked out by hand: a second costs 1 EUR, 10 of each month are free, unless a case says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lake_fixture
import polars as pl
import pytest
from kernel_adapter import assert_same_history, events_of, frontier_of, terms_of
from random_allowance_logs import free, moment, rate
from random_logs import MICRO, service
from reference_model.history import run_reference
from reference_model.log import Log, Record, Tariff

from trueup.errors import LogError
from trueup.reconcile.domain.policies import NEVER_POSITION, Policy, SourceRules
from trueup.reconcile.domain.tariff_terms import STATE, SUBSCRIBER_CHANGE, Terms, changes_of
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate
from trueup.reconcile.results.finding_rows import finding_changes

VOICE = service(("session_key",), grace=3_600 * MICRO, price=None)
POLICY = Policy(0, {"voice": VOICE, "sms": VOICE}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
BOOK = Tariff((rate("voice", MICRO), rate("sms", MICRO), free("ten", 10 * MICRO, "voice, sms")))
Told = tuple[int, str, str, str, int, str | None]


def u(key: str, time: str, seconds: int, **more: Any) -> Record:
    return Record(False, "n", f"u{key}", key, started_us=moment(time), quantity_micros=seconds * MICRO, **more)


def c(key: str, time: str, seconds: int, euros: int, **more: Any) -> Record:
    of = {"quantity_micros": seconds * MICRO, "amount_micros": euros * MICRO}
    return Record(True, "b", f"c{key}", key, started_us=moment(time), **of, **more)


def passed(time: str) -> list[Any]:
    """Records of nobody's that let both streams pass what came before."""
    far: dict[str, Any] = {"subscriber": None, "scope": "z", "service": "far"}
    return [u(f"z{time}", time, 0, **far), c(f"z{time}", time, 0, 0, **far)]


def evaluated(log: Log, policy: Policy = POLICY) -> Evaluated:
    """The kernel's answer, which is the model's, whether clean pairs are told apart or not."""
    story, frontier = run_reference(log, policy), frontier_of(log, policy)
    for fast_path in (False, True):
        told = evaluate(events_of(log), frontier, terms_of(log), after=0, upto=len(log), fast_path=fast_path)
        assert_same_history(story, told, frontier.policies)
    return told


def told(log: Log, policy: Policy = POLICY) -> list[Told]:
    """(position, action, cause, kind, impact in EUR, reason) of every change but those of `far`."""
    rows = finding_changes(evaluated(log, policy), frontier_of(log, policy).policies, after=0).filter(pl.col("service") != "far")
    impact = (pl.col("expected_micros") - pl.col("billed_micros")).cast(pl.Int64) // MICRO
    return sorted(rows.select("position", "action", "cause", "kind", impact, "reason").rows(), key=repr)


FIRST, SECOND = u("1", "2024-05-01 10:00", 6), u("2", "2024-05-02 10:00", 6)
CHARGED = [c("1", "2024-05-01 10:00", 6, 0), c("2", "2024-05-02 10:00", 6, 2)]


def test_what_is_billed_as_the_rater_prices_it_is_no_finding_and_need_not_go_through_the_rounds() -> None:
    """6 of 10 free seconds cover the first call, 4 the second: 0 and 6 − 4 = 2."""
    log: Log = [[BOOK], [FIRST, SECOND], [*CHARGED], passed("2024-06-02 00:00")]
    assert told(log) == []
    assert evaluated(log).fast_path_records.height == 4


def test_billing_may_consume_what_is_free_in_an_order_of_its_own() -> None:
    """The second call was billed first, for 0, and the first for 2: each is off by 2, the month by nothing."""
    other = [c("1", "2024-05-01 10:00", 6, 2), c("2", "2024-05-02 10:00", 6, 0)]
    log: Log = [[BOOK], [FIRST, SECOND], [*other], passed("2024-05-20 00:00"), passed("2024-06-02 00:00")]
    assert told(log) == []
    moved = evaluated(log).ledger.filter((pl.col("position") == 5) & (pl.col("service") == "voice")).to_dicts()
    pending = {(p["day"].day, int(p["pending_micros"])) for p in moved}
    # What waited, −2 and 2, waits no more.
    assert pending == {(1, 2 * MICRO), (2, -2 * MICRO)}


def test_free_units_that_billing_ignored_are_told_when_the_month_is_over() -> None:
    """6 and 6 instead of 0 and 2."""
    full = [c("1", "2024-05-01 10:00", 6, 6), c("2", "2024-05-02 10:00", 6, 6)]
    log: Log = [[BOOK], [FIRST, SECOND], [*full], passed("2024-06-01 00:30"), passed("2024-06-01 01:00:01")]
    assert told(log) == [
        (5, "raised", "frontier", "misrated", -4, "allowance_ignored"),
        (5, "raised", "frontier", "misrated", -6, "allowance_ignored"),
    ]


def test_what_is_resolved_is_told_with_the_reason_it_had() -> None:
    """6 instead of 2, until 4 are given back."""
    full = [CHARGED[0], c("2", "2024-05-02 10:00", 6, 6)]
    back = Record(True, "b", "c2 back", "2", started_us=moment("2024-05-02 10:00"), quantity_micros=0, amount_micros=-4 * MICRO)
    log: Log = [[BOOK], [FIRST, SECOND], [*full], passed("2024-06-02 00:00"), [back]]
    assert told(log) == [
        (4, "raised", "frontier", "misrated", -4, "allowance_ignored"),
        (5, "resolved", "late_charge", "misrated", -4, "allowance_ignored"),
    ]


def test_pairs_that_agree_have_no_part_in_what_others_are_off_by() -> None:
    """The first is right; the second is off by 1, and alone with that."""
    log: Log = [[BOOK], [FIRST, SECOND], [CHARGED[0], c("2", "2024-05-02 10:00", 6, 1)], passed("2024-06-02 00:00")]
    assert [t[:5] for t in told(log)] == [(4, "raised", "frontier", "misrated", 1)]


def test_usage_that_comes_late_takes_what_was_free_from_what_came_after_it() -> None:
    """Unbilled: 0 and 2; with 10 seconds before them 6 and 6, and those are free."""
    log: Log = [[BOOK], [FIRST, SECOND], passed("2024-05-10 00:00"), [u("0", "2024-05-01 09:00", 10)]]
    assert told(log) == [
        (3, "raised", "frontier", "unbilled", 2, None),
        (4, "raised", "late_usage", "unbilled", 6, None),
        (4, "revised", "late_usage", "unbilled", 6, None),
    ]


def test_pairs_that_agreed_are_wrong_when_late_usage_takes_their_free_units() -> None:
    """0 and 2 were right; after ten seconds before them each costs 6: off by 6 and 4, told when the month is over."""
    late = [u("0", "2024-05-01 09:00", 10)]
    log: Log = [[BOOK], [FIRST, SECOND], [*CHARGED], passed("2024-05-10 00:00"), [*late], passed("2024-06-02 00:00")]
    assert [t[:5] for t in told(log)] == [(6, "raised", "frontier", "misrated", 4), (6, "raised", "frontier", "misrated", 6)]
    assert evaluated(log).fast_path_records.is_empty()


def test_a_late_charge_changes_what_the_others_of_its_pool_are() -> None:
    """The second was billed 0 instead of 2: misrated, until the first comes, billed 2 instead of 0."""
    log: Log = [
        [BOOK], [FIRST, SECOND], [c("2", "2024-05-02 10:00", 6, 0)], passed("2024-06-02 00:00"), [c("1", "2024-05-01 10:00", 6, 2)],
    ]  # fmt: skip
    assert [t[:5] for t in told(log)] == [(4, "raised", "frontier", "misrated", 2), (5, "resolved", "late_charge", "misrated", 2)]


def test_a_quantity_is_judged_at_once_and_priced_in_the_place_of_what_was_used() -> None:
    """Of 6 seconds 5 were charged: in their place, after the first call, 4 are free, hence 1 instead of 2."""
    log: Log = [[BOOK], [FIRST, SECOND], [CHARGED[0], c("2", "2024-05-02 10:00", 5, 1)], passed("2024-06-02 00:00")]
    assert told(log) == [(3, "raised", "arrival", "underbilled", 1, None)]


def test_two_subscriptions_of_an_account_share() -> None:
    """6 of the ten go to one, 4 to the other."""
    book = Tariff((rate("voice", MICRO), free("ten", 10 * MICRO, "voice", shared="account")))
    mine = [u("1", "2024-05-01 10:00", 6, subscriber="s", scope="A"), u("2", "2024-05-02 10:00", 6, subscriber="t", scope="A")]
    alone = [u("3", "2024-05-03 10:00", 6, subscriber="s", scope="B"), u("4", "2024-05-03 10:00", 11, subscriber="x", scope="")]
    log: Log = [[book], [*mine, *alone], passed("2024-06-02 00:00")]
    # Who has no account shares nothing: 11.
    assert [t[3:5] for t in told(log)] == [("unbilled", 11), ("unbilled", 2)]


def test_services_share_what_is_for_both() -> None:
    """A call of 6 leaves 4 for messages: 7 − 4."""
    log: Log = [[BOOK], [FIRST, u("m", "2024-05-02 10:00", 7, service="sms")], passed("2024-06-02 00:00")]
    assert [t[3:5] for t in told(log)] == [("unbilled", 3)]


def test_a_tier_is_reached_in_the_middle_of_a_call() -> None:
    """4 of the second 6 seconds are below 10 and cost 1, 2 are beyond and cost 3: 10."""
    book = Tariff((rate("voice", MICRO), rate("voice", 3 * MICRO, tier_from_micros=10 * MICRO)))
    log: Log = [[book], [FIRST, SECOND], passed("2024-06-02 00:00")]
    assert [t[3:5] for t in told(log)] == [("unbilled", 10), ("unbilled", 6)]


def test_a_month_begins_at_midnight_on_the_tariffs_wall_clock() -> None:
    """22:30Z is half past midnight on 1 June in Berlin: that call has ten seconds of its own, the one an hour before has 4 left."""
    book = Tariff((rate("voice", MICRO), free("ten", 10 * MICRO, "voice", timezone="Europe/Berlin")))
    last, next_one = u("2", "2024-05-31 21:30", 9), u("3", "2024-05-31 22:30", 12)
    # It leaves nothing for the rest of June.
    log: Log = [[book], [FIRST, last, next_one, u("4", "2024-06-01 10:00", 6)], passed("2024-06-02 00:00")]
    assert [t[3:5] for t in told(log)] == [("unbilled", 2), ("unbilled", 5), ("unbilled", 6)]


def test_a_month_is_over_at_midnight_on_the_tariffs_wall_clock() -> None:
    """May ends at 22:00Z in Berlin: with an hour of grace, what is wrong in it is told when 23:00Z has passed."""
    book = Tariff((rate("voice", MICRO), free("ten", 10 * MICRO, "voice", timezone="Europe/Berlin")))
    log: Log = [[book], [FIRST], [c("1", "2024-05-01 10:00", 6, 6)], passed("2024-05-31 22:59"), passed("2024-05-31 23:00:01")]
    assert [t[:4] for t in told(log)] == [(5, "raised", "frontier", "misrated")]


def test_a_price_known_later_prices_the_pool_anew() -> None:
    """From 2 May on a second costs 3: the second call's 2 paid seconds cost 6."""
    change = Tariff((rate("voice", 3 * MICRO) | {"valid_from": BOOK.rows[0]["valid_from"].replace(year=2024, month=5, day=2)},))
    log: Log = [[BOOK], [FIRST, SECOND], passed("2024-05-10 00:00"), [change]]
    assert [t[:5] for t in told(log)] == [(3, "raised", "frontier", "unbilled", 2), (4, "revised", "tariff_change", "unbilled", 6)]


def test_sums_of_a_period_are_of_what_each_session_costs_in_its_pool() -> None:
    """Day by day: 0 expected on the first, 2 on the second."""
    summed = service(("aggregate",), grace=3_600 * MICRO, price=None, period=86_400 * MICRO)
    policy = Policy(0, {"voice": summed}, sources=POLICY.sources)
    wrong = [c("1", "2024-05-01 10:00", 6, 1), c("2", "2024-05-02 10:00", 6, 2)]
    log: Log = [[BOOK], [FIRST, SECOND], [*wrong], passed("2024-06-02 00:00")]
    assert [t[3:5] for t in told(log, policy)] == [("misrated", -1)]


def test_a_plan_known_later_has_free_units_of_its_own() -> None:
    """Without a plan 6 + 6 seconds cost 6 + 6; of plan A ten of them are free: 0 and 2."""
    book = Tariff((rate("voice", MICRO), rate("voice", MICRO, plan="A"), free("ten", 10 * MICRO, "voice", plan="A")))
    log: Log = [[book], [FIRST, SECOND], passed("2024-05-10 00:00"), []]
    state = {
        "bucket": 0, "system": "billing", "subscriber": "s", "plan": "A", "status": "active",
        "from_us": moment("2024-01-01 00:00"), "to_us": None, "since": 4, "until": NEVER_POSITION,
    }  # fmt: skip
    states = pl.DataFrame([state], schema=STATE)
    edition = terms_of(log).editions[0]
    terms = Terms((edition,), states, changes_of([(1, 0)], states), {4: SUBSCRIBER_CHANGE})
    frontier = frontier_of(log, POLICY)
    rows = finding_changes(evaluate(events_of(log), frontier, terms, after=0, upto=4), frontier.policies, after=0)
    told_of = rows.filter(pl.col("service") == "voice").select(
        "position", "action", "cause", pl.col("expected_micros").cast(pl.Int64)
    )
    assert sorted(told_of.rows()) == [
        (3, "raised", "frontier", 6 * MICRO), (3, "raised", "frontier", 6 * MICRO),
        (4, "retracted", "subscriber_change", 6 * MICRO), (4, "revised", "subscriber_change", 2 * MICRO),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bucket_by", "shared", "says"),
    [("session_key", None, 'bucket_by = "session_key" separates'), ("subscriber", "account", "shared by the account")],
)
def test_a_book_whose_records_do_not_meet_is_refused(bucket_by: str, shared: str | None, says: str, tmp_path: Path) -> None:
    book = Tariff((rate("voice", MICRO), free("ten", 10 * MICRO, "voice", shared=shared)))
    log, rows = lake_fixture.with_ids_of_content([[POLICY], [book]], bucket_by)
    with lake_fixture.quick_lake(tmp_path, log, rows, bucket_by) as lake, pytest.raises(LogError, match=says):
        lake_fixture.outcome_of(lake, 0, 2, 1)


LATE = [u("0", "2024-05-01 09:00", 10)]
OFF = [c("1", "2024-05-01 10:00", 6, 6), c("2", "2024-05-02 10:00", 6, 6)]


@pytest.mark.parametrize(
    "log",
    [
        pytest.param([[BOOK], [FIRST, SECOND], passed("2024-09-01 00:00"), LATE], id="usage of a month long over"),
        pytest.param([[BOOK], [FIRST, SECOND], OFF, passed("2024-05-20 00:00"), passed("2024-06-02 00:00")], id="a month's end"),
    ],
)
def test_the_last_position_by_itself_reads_the_pools_it_changes(log: Log, tmp_path: Path) -> None:
    log, rows = lake_fixture.with_ids_of_content([[POLICY], *lake_fixture.one_declaration_per_commit(log)], "subscriber")
    with lake_fixture.quick_lake(tmp_path, log, rows, "subscriber") as lake:
        step = lake_fixture.outcome_of(lake, len(log) - 1, len(log), 1)
        both = lake_fixture.merge_outcomes([lake_fixture.outcome_of(lake, 0, len(log) - 1, 1), step])
        assert lake_fixture.totals(both) == lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
    assert step.history.height > 1
