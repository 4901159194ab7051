"""Subscriptions and tariffs as known now or at a position."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl

from trueup.events.schema import EVENT
from trueup.log.lake import Lake
from trueup.rating.book import Book
from trueup.reconcile.domain.tariff_terms import states_of

JANUARY, MARCH = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)


def appended(lake: Lake, table: str, *rows: dict[str, object]) -> int:
    filled = [
        {"event_id": bytes([lake.last_position(), number]) * 8, "bucket": 0, "source_row": number, "key_scope": "k", **row}
        for number, row in enumerate(rows)
    ]
    frame = pl.DataFrame(filled, schema=EVENT[table])
    return lake.commit(lambda transaction: (transaction.append(table, frame), transaction.next_position("unit"))[1])


def state(**values: object) -> dict[str, object]:
    return {"record_key": "x", "system": "billing", "subscriber": "s1", "status": "active", "valid_from": JANUARY, **values}


def test_the_last_record_about_a_time_is_the_state_then_and_earlier_positions_show_the_earlier_state(lake: Lake, ask) -> None:
    first = appended(lake, "subscriber", state(), state(system="network"), state(valid_from=MARCH, status="ceased"))
    appended(lake, "subscriber", state(status="suspended"), state(status="active", plan="GOLD"))
    query = "SELECT system, valid_from, status, plan FROM subscriptions ORDER BY ALL"
    assert [tuple(row.values()) for row in ask(query)] == [
        ("billing", JANUARY, "active", "GOLD"), ("billing", MARCH, "ceased", None), ("network", JANUARY, "active", None),
    ]  # fmt: skip
    assert ask(query, as_of=str(first))[0]["plan"] is None
    assert ask(query, as_of=str(first - 1)) == []


def test_of_states_of_one_commit_the_view_shows_the_one_that_reconciliation_goes_by(lake: Lake, ask) -> None:
    rows_written = [state(event_id=bytes([9]) * 16, plan="GOLD"), state(event_id=bytes([1]) * 16, plan="SILVER")]
    appended(lake, "subscriber", *rows_written)
    (shown,) = ask("SELECT plan FROM subscriptions")
    assert shown["plan"] == states_of(lake.read("subscriber"))["plan"].item() == "GOLD"


def test_the_view_has_every_row_of_the_book_in_decimals_with_its_position(lake: Lake, ask) -> None:
    row = {"record_key": "r1", "item": "rate", "valid_from": JANUARY, "price_per": 60, "tax_micros": 190_000, "tax_included": True}
    first = appended(lake, "tariff", {**row, "price_micros": 90_000}, {**row, "record_key": "r2", "price_micros": 1})
    second = appended(lake, "tariff", {**row, "price_micros": -80_000})
    query = "SELECT record_key, price, price_per, tax, tax_included, position FROM tariffs ORDER BY position, record_key"
    assert [tuple(row.values()) for row in ask(query)] == [
        ("r1", Decimal("0.09"), 60, Decimal("0.19"), True, first),
        ("r2", Decimal("0.000001"), 60, Decimal("0.19"), True, first),
        ("r1", Decimal("-0.08"), 60, Decimal("0.19"), True, second),
    ]  # fmt: skip
    assert [row["position"] for row in ask(query, as_of=str(first))] == [first, first]


def test_a_price_still_in_force_is_shown_although_its_record_key_was_repeated(lake: Lake, ask) -> None:
    row = {"record_key": "r1", "item": "rate", "service": "voice", "currency": "IDR"}
    appended(lake, "tariff", {**row, "valid_from": JANUARY, "price_micros": 1})
    appended(lake, "tariff", {**row, "valid_from": MARCH, "price_micros": 2})
    rated_by = Book.of(lake.read("tariff").sort("position", "source_row")).rates["valid_from"].to_list()
    assert [shown["valid_from"] for shown in ask("SELECT valid_from FROM tariffs ORDER BY 1")] == rated_by == [JANUARY, MARCH]


def test_a_disagreement_of_systems_has_its_days_and_the_leakage_of_that_time(lake: Lake, ask, make) -> None:
    subscription = {"subscriber": "s9", "service": "", "peer": None, "node": None}
    rows_written = [
        make.finding("N", 4, "raised", "frontier", "active_not_billed", started_at=JANUARY, ended_at=MARCH, **subscription),
        make.finding("P", 4, "raised", "frontier", "plan_mismatch", started_at=MARCH, ended_at=None, **subscription),
        make.finding("U", 4, "raised", "frontier", "inactive_subscriber", subscriber="s9", expected=7, started_at=JANUARY),
        make.finding("V", 4, "raised", "frontier", "inactive_subscriber", subscriber="s9", expected=5, started_at=MARCH),
        make.finding("W", 4, "raised", "frontier", "unbilled", subscriber="s8", expected=3, started_at=JANUARY),
    ]
    make.append(lake, "finding", rows_written, make.FINDING_SCHEMA | {"ended_at": pl.Datetime("us", "UTC")})
    rows = ask("SELECT kind, days, findings, at_stake, currency FROM provisioning ORDER BY kind")
    assert [tuple(row.values()) for row in rows] == [
        ("active_not_billed", Decimal("60.00"), 1, Decimal(7), "IDR"),
        ("plan_mismatch", Decimal("0.75"), 1, Decimal(5), "IDR"),
    ]
