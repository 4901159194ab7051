"""The audits pass on a sound lake, and each of them detects the damage it checks for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from trueup.log.lake import Lake, Transaction
from trueup.warehouse.audit import audit
from trueup.warehouse.query import Warehouse
from trueup.warehouse.statements import names, statement

DAY = date(2024, 3, 2)
Damage = Callable[[Lake, Any], None]


def failing(warehouse: Warehouse, *audits: str) -> set[str]:
    return {result.name for result in audit(warehouse, audits) if not result.passed}


def test_all_audits_pass_on_a_sound_lake(warehouse: Warehouse) -> None:
    assert failing(warehouse) == set()


def test_every_audit_documents_the_meaning_of_its_rows() -> None:
    assert len(names("audits")) >= 8
    assert all("A row:" in statement(f"audits/{name}").comment for name in names("audits"))


def _append_findings(lake: Lake, make: Any, *rows: dict[str, Any]) -> None:
    make.append(lake, "finding", list(rows), make.FINDING_SCHEMA)


def _lose_record(lake: Lake, make: Any) -> None:
    control = make.control("msc", "z", "usage", accepted=0).with_columns(records=pl.lit(1))
    make.append(lake, "control", control.to_dicts())


def _lose_event(lake: Lake, make: Any) -> None:
    make.append(lake, "control", make.control("msc", "z", "usage", accepted=1).to_dicts())


def _add_uncontrolled_event(lake: Lake, make: Any) -> None:
    row = {"record_key": "u9", "source_id": "msc@z", "service": "voice", "quantity_micros": 1}
    lake.commit(lambda transaction: transaction.append("usage", make.events("usage", [row])))


def _add_unbooked_event(lake: Lake, make: Any) -> None:
    def write(transaction: Transaction) -> None:
        transaction.next_position("unit")
        transaction.append("usage", make.events("usage", [{"record_key": "u9", "source_id": "msc@z", "quantity_micros": 1}]))
        transaction.append("control", make.control("msc", "z", "usage", accepted=1))
        transaction.set_consumer_position("reconcile", 5)

    lake.commit(write)


def _add_unbalanced_sum(lake: Lake, make: Any) -> None:
    make.append(lake, "ledger", [make.ledger(4, "voice", DAY, expected=1)])


def _add_impact_without_finding(lake: Lake, make: Any) -> None:
    make.append(lake, "ledger", [make.ledger(4, "voice", DAY, expected=1, impact=1)])


def _revise_unraised(lake: Lake, make: Any) -> None:
    _append_findings(lake, make, make.finding("f9", 4, "revised", "frontier", "unbilled"))


def _raise_twice(lake: Lake, make: Any) -> None:
    _append_findings(
        lake,
        make,
        make.finding("f2", 5, "raised", "frontier", "underbilled", expected=50, billed=25, usage=["u3"], charges=["c3", "c4"]),
    )


def _retract_twice(lake: Lake, make: Any) -> None:
    _append_findings(lake, make, make.finding("f1", 5, "retracted", "frontier", "unbilled", expected=100, usage=["u2"]))


def _book_twice(lake: Lake, make: Any) -> None:
    _append_findings(
        lake, make,
        make.finding("f8", 4, "raised", "frontier", "unbilled", expected=1, usage=["u4"]),
        make.finding("f9", 4, "raised", "frontier", "misrated", expected=1, usage=["u4"]),
    )  # fmt: skip


def _omit_currency(lake: Lake, make: Any) -> None:
    _append_findings(lake, make, make.finding("f9", 4, "raised", "frontier", "unbilled", expected=1, currency=None))


def _name_unknown_record(lake: Lake, make: Any) -> None:
    _append_findings(lake, make, make.finding("f9", 4, "raised", "frontier", "unbilled", usage=["u0"]))


def _advance_consumer(lake: Lake, make: Any) -> None:
    lake.commit(lambda transaction: transaction.set_consumer_position("reconcile", 9))


def _leave_gap(lake: Lake, make: Any) -> None:
    lake.commit(lambda transaction: transaction.append("position", pl.DataFrame({"position": [6], "kind": ["unit"]})))


def _file_in_unopened_case(lake: Lake, make: Any) -> None:
    filing = {
        "finding_id": make.event_id("f1"),
        "case_id": make.event_id("k9"),
        "position": 4,
        "filed_at": datetime(2024, 3, 3, 5, tzinfo=UTC),
    }
    lake.commit(lambda transaction: transaction.append("case_filing", pl.DataFrame([filing])))


def _recover_twice_at_once(lake: Lake, make: Any) -> None:
    _append_findings(
        lake, make,
        make.finding("f9", 4, "raised", "frontier", "unbilled", expected=100, usage=["u4"]),
        make.finding("f9", 5, "revised", "recovery", "unbilled", expected=50, usage=["u4"]),
        make.finding("f9", 5, "revised", "recovery", "unbilled", expected=30, usage=["u4"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "detected"),
    [
        (_lose_record, "records_accounted"),
        (_lose_event, "control_counts"),
        (_add_uncontrolled_event, "control_counts"),
        (_add_unbooked_event, "placement"),
        (_add_unbalanced_sum, "conservation"),
        (_add_impact_without_finding, "ledger_impact"),
        (_add_impact_without_finding, "conservation"),
        (_revise_unraised, "finding_lives"),
        (_raise_twice, "finding_lives"),
        (_retract_twice, "finding_lives"),
        (_book_twice, "one_place"),
        (_omit_currency, "finding_arithmetic"),
        (_name_unknown_record, "known_records"),
        (_advance_consumer, "positions"),
        (_leave_gap, "positions"),
        (_file_in_unopened_case, "case_filings"),
        (_recover_twice_at_once, "money_ledger"),
    ],
)
def test_an_audit_returns_the_rows_that_violate_it(warehouse: Warehouse, make: Any, damage: Damage, detected: str) -> None:
    damage(warehouse.lake, make)
    assert failing(warehouse, detected) == {detected}


def test_every_audit_has_a_case_that_it_detects() -> None:
    marks = test_an_audit_returns_the_rows_that_violate_it.pytestmark  # type: ignore[attr-defined]
    assert {detected for _, detected in marks[0].args[1]} == set(names("audits"))
