"""The shares of items in amounts: random decisions, reopenings and filings over the macro alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import duckdb
import pytest

from trueup.warehouse.install_views import create_macros

Shares = dict[tuple[str, int], tuple[int, int | None]]
"""By item and commit of the decision: the share in absolute value, and the commit that returned it."""
TABLES = """
CREATE TABLE steps.decision_event (
    event_id INTEGER, finding_id VARCHAR, decision VARCHAR, decided_by VARCHAR, account VARCHAR, amount_micros DECIMAL(38, 0),
    snapshot BIGINT, status VARCHAR
);
CREATE TABLE steps.money_item (item_id VARCHAR, case_id VARCHAR, micros DECIMAL(38, 0), filed_snapshot BIGINT);
"""


class Decisions:
    """A ledger of two cases, one of leakage and one of overcharge, on which people decide at random."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seed: int) -> None:
        self.connection, self.draw, self.snapshot = connection, random.Random(seed), 0
        self.money: dict[str, int] = {}
        connection.execute("DELETE FROM steps.decision_event; DELETE FROM steps.money_item")
        for case in "AAABB":
            self.file_item(case)

    def file_item(self, case: str) -> None:
        item, money = f"{case}{len(self.money):02}", self.draw.randint(1, 12)
        self.money[item] = money
        signed = money if case == "A" else -money
        self.connection.execute("INSERT INTO steps.money_item VALUES (?, ?, ?, ?)", [item, case, signed, self.snapshot])

    def decide(self, subject: str, amount: int | None) -> None:
        """Record a decision about an amount, or a reopening."""
        values = (
            ["reopened", "detected", None, self.snapshot, "open"]
            if amount is None
            else ["claimed", "claimed", amount, self.snapshot, None]
        )
        query = "INSERT INTO steps.decision_event VALUES (?, ?, ?, 'ann', ?, ?, ?, ?)"
        self.connection.execute(query, [self.snapshot, subject, *values])

    def shares(self) -> Shares:
        query = "SELECT item_id, snapshot, abs(micros), until_snapshot FROM steps.money_shares('steps.money_item', 'steps.decision_event')"
        return {(row[0], row[1]): (int(row[2]), row[3]) for row in self.connection.execute(query).fetchall()}

    def check_bounds(self, shares: Shares) -> None:
        """Check that at no commit the shares in force of an item exceed its money."""
        for commit in range(self.snapshot + 1):
            for item, money in self.money.items():
                in_force = [
                    s for (i, at), (s, until) in shares.items() if i == item and at <= commit and (until is None or until > commit)
                ]
                assert sum(in_force) <= money


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": "1"}) as made:
        create_macros(made)
        made.execute(TABLES)
        yield made


@pytest.mark.parametrize("seed", range(6))
def test_an_amount_within_the_money_left_is_placed_whole_and_later_decisions_do_not_move_it(
    connection: duckdb.DuckDBPyConnection, seed: int
) -> None:
    ledger = Decisions(connection, seed)
    before: Shares = {}
    for _ in range(16):
        ledger.snapshot += 1
        subject, amount = ledger.draw.choice([*ledger.money, *"ABAB"]), 0
        left = sum(money for item, money in ledger.money.items() if item.startswith(subject))
        left -= sum(share for (item, _), (share, until) in before.items() if item.startswith(subject) and until is None)
        event = ledger.draw.choice(["reopening", "filing", "amount", "amount", "amount", "amount"])
        if event == "filing":
            ledger.file_item(ledger.draw.choice("AB"))
        elif event == "reopening":
            ledger.decide(subject, None)
        elif left:
            amount = ledger.draw.choice([left, ledger.draw.randint(1, left)])
            ledger.decide(subject, amount)
        now = ledger.shares()
        assert {key: share for key, (share, _) in now.items() if key in before} == {
            key: share for key, (share, _) in before.items()
        }
        assert sum(share for (_, at), (share, _) in now.items() if at == ledger.snapshot) == amount
        before = now
    ledger.check_bounds(before)
    # Money that later records take off an item takes off its shares too.
    for item in ledger.money:
        ledger.money[item] = ledger.draw.randint(0, ledger.money[item])
        connection.execute("UPDATE steps.money_item SET micros = sign(micros) * ? WHERE item_id = ?", [ledger.money[item], item])
    ledger.check_bounds(ledger.shares())
