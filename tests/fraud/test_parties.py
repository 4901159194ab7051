"""Views of suspicious transactions that accuse one end or both, and of scores of before there were two."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from small_operator import query_rows, records, write_project

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.fraud.load import decisions_of
from trueup.fraud.scoring.digest import score_digest
from trueup.log.lake import Lake
from trueup.warehouse.decide import decide

AT = datetime(2024, 3, 2, 12, tzinfo=UTC)
CALLER, CALLED = "+441", "+99970000001"


def scored(number: int, party: str, rank: int | None, *, loss_micros: int | None = 1_500_000) -> dict:
    return {
        "event_id": bytes([number]) * 16, "position": 1, "source": "model", "name": "m", "role": "champion", "bucket": 0,
        "day": date(2024, 3, 2), "started_at": AT, "service": "incoming", "subscriber": CALLED, "peer": CALLER, "party": party,
        "margin": 1.0, "probability": 0.9, "reasons": '{"sentences":["s"],"typology":"wangiri","action":"Block it."}',
        "party_rank": rank, "in_sample": False, "loss_micros": loss_micros, "currency": "EUR",
    }  # fmt: skip


@pytest.fixture
def project(tmp_path) -> Project:
    """Return a project whose log has one transaction that accuses both ends, and one scored by an earlier version."""
    project = write_project(tmp_path / "operator", [(0, r) for r in records(1)])
    assert not ingest(project).errors
    rows = pl.DataFrame([scored(1, CALLER, 1), scored(1, CALLED, 2), scored(2, CALLER, None, loss_micros=None)])
    with Lake.open(project) as lake:
        lake.commit(lambda transaction: transaction.append("score", rows))
    return project


def test_both_ends_have_a_case_and_the_money_is_in_the_first_one(project: Project) -> None:
    rows = query_rows(project, "SELECT party, is_first, exposure FROM suspicious_transactions ORDER BY event_id, is_first DESC")
    assert rows == [(CALLER, True, Decimal("1.5")), (CALLED, False, None), (CALLER, True, None)]
    cases = query_rows(
        project, "SELECT party, transactions, exposure, typology, action FROM cases WHERE type = 'fraud' ORDER BY rank_of_day"
    )
    assert cases == [(CALLER, 2, Decimal("1.5"), "wangiri", "Block it."), (CALLED, 1, None, "wangiri", "Block it.")]


def test_a_decision_on_the_case_of_one_end_leaves_the_other_open_and_labels_its_side(project: Project) -> None:
    (case,) = query_rows(project, f"SELECT case_id FROM cases WHERE party = '{CALLER}'")[0]
    decide(project, case, "confirmed", decided_by="a", clock=lambda: datetime(2024, 3, 3, tzinfo=UTC))
    assert query_rows(project, "SELECT party, status FROM cases WHERE type = 'fraud' ORDER BY party") == [
        (CALLER, "confirmed"), (CALLED, "open"),
    ]  # fmt: skip
    with Lake.open(project, read_only=True) as lake:
        decisions = decisions_of(lake, project)
    assert decisions.select("event_id", "side").rows() == [(bytes([1]) * 16, "peer"), (bytes([2]) * 16, "peer")]


def test_a_case_names_each_rule_once(project: Project) -> None:
    rules = [scored(n, CALLER, 1) | {"source": "rule", "name": name, "role": "alert"} for n, name in ((3, "a"), (3, "b"), (4, "b"))]
    with Lake.open(project) as lake:
        lake.commit(lambda transaction: transaction.append("score", pl.DataFrame(rules)))
    assert query_rows(project, f"SELECT rules FROM cases WHERE party = '{CALLER}'") == [("a, b",)]


def test_a_decision_on_a_transaction_is_about_the_party_first_accused(project: Project) -> None:
    decide(project, "01" * 16, "dismissed", note="a call centre", decided_by="a", clock=lambda: datetime(2024, 3, 3, tzinfo=UTC))
    rows = query_rows(
        project, "SELECT party, status FROM suspicious_transactions WHERE event_id = '" + "01" * 16 + "' ORDER BY is_first"
    )
    assert rows == [(CALLED, "open"), (CALLER, "dismissed")]


def test_a_score_of_an_earlier_version_keeps_its_line_of_the_digest(project: Project) -> None:
    old = pl.DataFrame([scored(2, CALLER, None)])
    assert score_digest(old) == score_digest(old.with_columns(party=pl.lit("another")))
    assert score_digest(old) != score_digest(old.with_columns(party_rank=pl.lit(1)))
