"""Money of suspicious transactions: restated records count once, and views, ledger and labels follow the same decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from tests.warehouse.equal_hashes import equal_hashes

from trueup.events.schema import MOVED
from trueup.fraud.load import decisions_of
from trueup.fraud.training.labels import latest_decision
from trueup.investigation.bill import explain_bill
from trueup.log.lake import Lake
from trueup.warehouse.decide import Decision, record
from trueup.warehouse.query import Warehouse

AT = datetime(2024, 3, 1, 18, tzinfo=UTC)
SCORE = {
    "position": 4, "source": "rule", "name": "r", "role": "alert", "day": AT.date(), "started_at": AT, "service": "voice",
    "subscriber": "s7", "peer": "p1", "party": "s7", "reasons": "{}",
}  # fmt: skip
MONEY = "SELECT CAST(impact AS INT) AS impact, CAST(open_impact AS INT) AS open FROM cases WHERE type = 'fraud'"
Ask = Callable[..., list[dict[str, Any]]]


class Calls:
    """Adds calls of the subscriber s7, their charges and scores to a log; amounts and quantities are in whole units."""

    def __init__(self, lake: Lake, make: Any) -> None:
        self._lake, self._make = lake, make

    def use(self, key: str, session: str, quantity: int, version: int | None = None) -> None:
        self._add("usage", key, version, session_key=session, quantity_micros=quantity * 1_000_000, source_id="msc@a")

    def charge(self, key: str, session: str, amount: int, version: int | None = None, **values: Any) -> None:
        money = {"amount_micros": amount * 1_000_000, "currency": "IDR", "quantity_micros": 1_000_000}
        self._add("charge", key, version, session_key=session, source_id="billing@b", **money, **values)

    def suspect(self, *keys: str) -> None:
        rows = [{**SCORE, "event_id": self._make.event_id(key)} for key in keys]
        self._lake.commit(lambda transaction: transaction.append("score", pl.DataFrame(rows)))

    def move_charge(self, key: str, bucket_key: str, amount: int, version: int) -> None:
        """Add a copy of a content of a charge for another bucket key of its record."""
        row = {
            "event_id": self._make.event_id(f"{key}.{version}"), "stream": "charge", "bucket_key": bucket_key, "key_scope": "k",
            "record_key": key, "record_version": version, "amount_micros": amount * 1_000_000, "quantity_micros": 1_000_000,
        }  # fmt: skip
        self._lake.commit(lambda transaction: transaction.append("moved", pl.DataFrame([row], schema=MOVED)))

    def _add(self, stream: str, key: str, version: int | None, **values: Any) -> None:
        name = key if version is None else f"{key}.{version}"
        row = {
            "record_key": key, "record_version": version, "event_id": self._make.event_id(name), "service": "voice",
            "subscriber": "s7", "peer": "p1", **values,
        }  # fmt: skip
        self._lake.commit(lambda transaction: transaction.append(stream, self._make.events(stream, [row])))


@pytest.fixture
def calls(lake: Lake, make: Any) -> Calls:
    return Calls(lake, make)


def balances(ask: Ask) -> dict[str, int]:
    query = "SELECT account, CAST(sum(balance) AS INT) AS balance FROM money_by_account WHERE type = 'fraud' GROUP BY account"
    return {row["account"]: row["balance"] for row in ask(query) if row["balance"] and row["account"] != "assessed"}


def labels(lake: Lake) -> list[int]:
    """Return the training label of each labelled call."""
    return latest_decision(decisions_of(lake, lake.project))["fraud"].to_list()


def billed(warehouse: Warehouse, subscriber: str) -> list[tuple[int, int | None]]:
    """Return the amount and the used quantity of each line of a bill."""
    return [
        (int(line["amount"]), line["used"] and int(line["used"])) for line in explain_bill(warehouse, subscriber, "2024-03").lines
    ]


def test_of_a_restated_charge_the_greatest_version_is_fraud_money_and_on_the_bill(
    calls: Calls, ask: Ask, warehouse: Warehouse
) -> None:
    calls.use("v1", "k1", 4)
    calls.suspect("v1")
    calls.charge("w1", "k1", 100, version=2)
    calls.charge("w1", "k1", 40, version=1)
    assert ask(MONEY) == [{"impact": 100, "open": 100}]
    assert balances(ask) == {"detected": 100}
    assert billed(warehouse, "s7") == [(100, 4)]


def test_a_version_with_another_session_or_time_takes_the_charge_from_the_call(
    calls: Calls, ask: Ask, warehouse: Warehouse
) -> None:
    calls.use("v1", "k1", 4)
    calls.suspect("v1")
    calls.charge("w1", "k1", 40, version=1)
    calls.charge("w1", "k2", 40, version=2, started_at=datetime(2024, 4, 9, tzinfo=UTC))
    calls.charge("w2", "k1", 7)
    assert ask(MONEY) == [{"impact": 7, "open": 7}]
    assert billed(warehouse, "s7") == [(7, 4)]


def test_a_version_under_another_subscriber_withdraws_the_charge(calls: Calls, ask: Ask, warehouse: Warehouse) -> None:
    calls.use("v1", "k1", 4)
    calls.suspect("v1")
    calls.charge("w1", "k1", 40, version=1)
    calls.charge("w2", "k1", 7)
    assert ask(MONEY) == [{"impact": 47, "open": 47}]
    calls.charge("w1", "k9", 40, version=2, subscriber="s8")
    calls.move_charge("w1", "s7", 40, version=2)
    calls.move_charge("w1", "s8", 40, version=1)
    assert ask(MONEY) == [{"impact": 7, "open": 7}]
    assert billed(warehouse, "s7") == [(7, 4)] and billed(warehouse, "s8") == [(40, None)]


def test_a_restated_usage_record_is_used_once_on_the_bill(calls: Calls, warehouse: Warehouse) -> None:
    calls.use("v1", "k1", 4, version=1)
    calls.use("v1", "k1", 5, version=2)
    calls.charge("w1", "k1", 40)
    assert billed(warehouse, "s7") == [(40, 5)]


def test_contents_of_two_records_whose_keys_have_one_hash_are_not_compared(
    calls: Calls, ask: Ask, warehouse: Warehouse, lake: Lake
) -> None:
    for key, version in (("1", 1), ("1", 2), ("2", None), ("3", None)):
        calls.use(f"v{key}", f"k{key}", 4 + (version or 1), version)
        calls.charge(f"w{key}", f"k{key}", 40, version)
    calls.suspect("v1.2", "v2", "v3")
    lines = "SELECT count(*) AS lines FROM steps.invoice_charge WHERE subscriber = 's7'"
    expected = ([{"impact": 120, "open": 120}], [{"lines": 3}], [(40, 6), (40, 5), (40, 5)])
    assert (ask(MONEY), ask(lines), sorted(billed(warehouse, "s7"), reverse=True)) == expected
    with equal_hashes(lake.connection):
        assert (ask(MONEY), ask(lines), sorted(billed(warehouse, "s7"), reverse=True)) == expected


def call_two(calls: Calls, ask: Ask) -> str:
    """Add two suspicious calls, charged with 40 and 60, and return the id of their case."""
    calls.use("v1", "k1", 4)
    calls.use("v2", "k2", 4)
    calls.charge("w1", "k1", 40)
    calls.charge("w2", "k2", 60)
    calls.suspect("v1", "v2")
    (case,) = ask("SELECT case_id FROM cases WHERE type = 'fraud'")
    return str(case["case_id"])


def judge(lake: Lake, subject: str, decision: str, hour: int, amount: int | None = None) -> None:
    """Decide on a case or call, or on an amount of its money in whole units."""
    made = Decision(decision, "a reason", "ann", amount_micros=None if amount is None else amount * 1_000_000)
    record(lake.project, [subject], made, clock=lambda: AT + timedelta(hours=hour))


def statuses(ask: Ask) -> list[str]:
    """Return the status of the case, then those of its transactions."""
    cases = ask("SELECT status FROM cases WHERE type = 'fraud'")
    return [row["status"] for row in cases + ask("SELECT status FROM suspicious_transactions ORDER BY event_id")]


def test_a_fraud_case_is_open_with_the_undecided_money_until_each_transaction_is_decided(
    calls: Calls, lake: Lake, make: Any, ask: Ask
) -> None:
    call_two(calls, ask)
    judge(lake, make.event_id("v1").hex(), "confirmed", hour=1)
    assert statuses(ask) == ["open", "confirmed", "open"]
    assert ask(MONEY) == [{"impact": 100, "open": 60}]
    assert balances(ask) == {"confirmed": 40, "detected": 60}
    judge(lake, make.event_id("v2").hex(), "dismissed", hour=2)
    assert statuses(ask) == ["confirmed", "confirmed", "dismissed"]
    assert ask(MONEY) == [{"impact": 100, "open": 0}]


def test_the_last_decision_counts_in_views_ledger_and_labels_be_it_on_the_case_or_on_the_transaction(
    calls: Calls, lake: Lake, make: Any, ask: Ask
) -> None:
    case, call = call_two(calls, ask), make.event_id("v1").hex()
    judge(lake, call, "confirmed", hour=1)
    judge(lake, case, "dismissed", hour=2)
    assert statuses(ask) == ["dismissed", "dismissed", "dismissed"]
    assert balances(ask) == {"false_alarm": 100}
    assert labels(lake) == [0, 0]
    judge(lake, call, "prevented", hour=3)
    assert statuses(ask) == ["confirmed", "prevented", "dismissed"]
    assert balances(ask) == {"false_alarm": 60, "prevented": 40}
    assert labels(lake) == [1, 0]
    judge(lake, case, "reopened", hour=4)
    assert statuses(ask) == ["open", "open", "open"]
    assert balances(ask) == {"detected": 100}
    assert labels(lake) == []


def test_a_case_decision_moves_no_money_of_a_transaction_that_began_after_it(calls: Calls, lake: Lake, ask: Ask) -> None:
    judge(lake, call_two(calls, ask), "confirmed", hour=-1)
    assert statuses(ask) == ["open", "open", "open"]
    assert balances(ask) == {"detected": 100}


def test_a_decision_about_a_part_of_the_money_lowers_the_undecided_money_and_is_no_label(
    calls: Calls, lake: Lake, make: Any, ask: Ask
) -> None:
    case, smaller, larger = call_two(calls, ask), make.event_id("v1").hex(), make.event_id("v2").hex()
    judge(lake, case, "prevented", hour=1, amount=50)
    judge(lake, smaller, "claimed", hour=2, amount=10)
    assert statuses(ask) == ["open", "open", "open"]
    assert labels(lake) == []
    assert balances(ask) == {"claimed": 10, "detected": 40, "prevented": 50}
    assert ask(MONEY) == [{"impact": 100, "open": 40}]
    judge(lake, larger, "confirmed", hour=3)
    assert statuses(ask) == ["open", "open", "confirmed"]
    assert labels(lake) == [1]
    assert balances(ask) == {"claimed": 10, "confirmed": 10, "detected": 30, "prevented": 50}
    assert ask(MONEY) == [{"impact": 100, "open": 30}]
    judge(lake, case, "reopened", hour=4)
    assert labels(lake) == []
    assert balances(ask) == {"claimed": 10, "detected": 90}
    assert ask(MONEY) == [{"impact": 100, "open": 90}]


def test_a_decision_about_an_amount_that_is_all_the_money_is_a_label(calls: Calls, lake: Lake, make: Any, ask: Ask) -> None:
    call_two(calls, ask)
    judge(lake, make.event_id("v1").hex(), "dismissed", hour=1, amount=40)
    assert statuses(ask) == ["open", "dismissed", "open"]
    assert labels(lake) == [0]
    assert ask(MONEY) == [{"impact": 100, "open": 60}]
