"""Changes between two points of a small log."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trueup.config import Project
from trueup.errors import QueryError
from trueup.investigation.difference import compare
from trueup.warehouse.decide import decide


def hexed(name: str) -> str:
    return name.encode().ljust(16, b"\0").hex()


def test_each_change_between_two_positions_has_its_cause_and_money(project: Project) -> None:
    decide(project, hexed("f3"), "confirmed", decided_by="ann", clock=lambda: datetime(2024, 3, 3, 9, tzinfo=UTC))
    found = compare(project, "3")
    assert (found.then, found.now, found.changes) == (3, 4, 3)
    changes = {row["finding_id"]: (row["change"], row["cause"], row["impact_then"], row["impact"]) for row in found.findings}
    assert changes == {
        hexed("f1"): ("closed", "late_charge", Decimal(100), Decimal(0)),
        hexed("f2"): ("revised", "late_charge", Decimal(30), Decimal(25)),
        hexed("f3"): ("decided", "decision", Decimal(-70), Decimal(-70)),
    }
    (money,) = found.money
    assert (money["leakage_then"], money["leakage_now"]) == (Decimal(130), Decimal(25))
    assert (money["overcharge_then"], money["overcharge_now"]) == (Decimal(75), Decimal(75))
    assert sum(row["difference"] for row in found.causes) == Decimal(-105)


def test_a_point_compared_with_itself_has_no_change_and_before_the_findings_all_are_raised(project: Project) -> None:
    assert compare(project, "3", "3").changes == 0
    assert {row["change"] for row in compare(project, "0", "3").causes} == {"raised"}
    assert compare(project, "2000-01-01", "3").then == 0


def test_the_later_point_first_and_an_unknown_one_are_refused(project: Project) -> None:
    with pytest.raises(QueryError, match="write the earlier point first"):
        compare(project, "4", "3")
    with pytest.raises(QueryError, match="there is no position 9"):
        compare(project, "9")
