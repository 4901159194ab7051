"""Views of suspicious transactions that accuse one end or both, and of scores by versions that accused only one."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from small_operator import query_rows, records, write_project

from trueup.cli import main
from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.fraud.load import decisions_of
from trueup.fraud.scoring.digest import score_digest
from trueup.investigation.notify import body_of, notify
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


def reasons(kind: str | None, *sentences: str, action: str | None = None) -> str:
    return json.dumps({"sentences": list(sentences), "typology": kind, "action": action})


def append(project: Project, *rows: dict) -> None:
    with Lake.open(project) as lake:
        lake.commit(lambda transaction: transaction.append("score", pl.DataFrame(rows)))


BURST = "30 premium calls by this subscriber in 1 hour; own usual: 0; others: 0, one in 100 above 1"


def test_the_sentence_of_a_case_names_party_money_target_and_action(project: Project) -> None:
    why = reasons("pbx_hacking", "it goes to a premium number", BURST, action="Bar it.")
    append(project, *(
        scored(n, "+4930", 1, loss_micros=620_250_000) | {"reasons": why, "started_at": AT.replace(hour=n)} for n in (10, 11, 12)
    ))  # fmt: skip
    rows = dict(query_rows(project, "SELECT party, summary FROM cases WHERE type = 'fraud'"))
    assert rows["+4930"] == (
        f"+4930, likely PBX hacking on 2024-03-02: 1,860.75 EUR at risk so far, 930.38 EUR more with each hour. {BURST}. Bar it."
    )
    assert "its money is at risk in the case of the other party" in rows[CALLED]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        # The transaction has a rule alone, without price, action and kind of fraud.
        (
            {"source": "rule", "role": "alert", "name": "watched", "probability": None, "margin": None, "loss_micros": None,
             "currency": None, "reasons": reasons(None, "watched: a number on the hot list")},
            "+4930, suspected fraud on 2024-03-02: the money at risk is unknown, as [[fraud.loss]] has no price of its services. "
            "watched: a number on the hot list. Look at the records of this party, then call the customer.",
        ),
        (
            {"loss_micros": 40_000, "reasons": reasons("sim_box", action="Block its SIMs.")},
            "+4930, likely SIM box on 2024-03-02: 0.04 EUR at risk so far, 0.04 EUR more with each hour. no reason is stored. "
            "Block its SIMs.",
        ),
    ],
)  # fmt: skip
def test_a_case_states_a_missing_price_kind_or_reason(project: Project, row: dict, text: str) -> None:
    append(project, scored(9, "+4930", 1) | row)
    assert query_rows(project, "SELECT summary FROM cases WHERE party = '+4930'") == [(text,)]


def test_a_case_has_the_kind_of_most_of_its_transactions_and_their_reasons(project: Project) -> None:
    kinds = {"revenue_share": 3, "wangiri": 2, "unknown": 4}
    rows = [(kind, n) for kind, count in kinds.items() for n in range(count)]
    append(project, *(
        scored(20 + number, "+4930", 1) | {"reasons": reasons(kind, kind, action=kind), "probability": 0.9 + number / 1000}
        for number, (kind, _) in enumerate(rows)
    ))  # fmt: skip
    found = "SELECT typology, action, sentences FROM cases WHERE party = '+4930'"
    assert query_rows(project, found) == [("revenue_share", "revenue_share", '["revenue_share"]')]
    # The first calls of a burst from an exchange look like revenue share.
    append(project, scored(40, "+4930", 1) | {"reasons": reasons("pbx_hacking", "burst", action="Bar it.")})
    assert query_rows(project, found) == [("pbx_hacking", "Bar it.", '["burst"]')]


def test_a_case_and_its_records_are_explained_with_the_same_sentence(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--project", str(project.directory)]
    case_id, summary = query_rows(project, f"SELECT case_id, summary FROM cases WHERE party = '{CALLED}'")[0]
    assert main(["explain", case_id, *where]) == 0
    said = capsys.readouterr().out
    assert summary in said
    assert f"next: trueup decide {case_id[:12]}" in said
    assert main(["cases", case_id, *where]) == 0
    assert summary in capsys.readouterr().out
    assert main(["explain", case_id, "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["case"]["summary"] == summary
    assert main(["explain", "ff", *where]) == 2
    assert "there is no finding, event or fraud case ff" in capsys.readouterr().err


def test_a_record_in_a_fraud_case_is_explained_with_its_sentence(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    event_id = query_rows(project, "SELECT lower(hex(min(event_id))) FROM lake.events.usage")[0][0]
    append(project, scored(9, "+4930", 1) | {"event_id": bytes.fromhex(event_id)})
    assert main(["explain", event_id, "--project", str(project.directory)]) == 0
    said = capsys.readouterr().out
    assert "in fraud case" in said
    assert "+4930, likely wangiri on 2024-03-02: 1.50 EUR at risk so far" in said


def test_a_message_about_a_fraud_case_has_its_sentence_and_counts_its_money_at_risk(project: Project) -> None:
    path = project.directory / "trueup.toml"
    path.write_text(path.read_text("utf-8") + '[notify]\nfile = "messages.jsonl"\nabove = "1.5"\n', "utf-8")
    append(project, scored(9, "+4930", 1, loss_micros=1_400_000))
    assert notify(Project.load(project.directory)).sent == 1
    (message,) = map(json.loads, (project.directory / "messages.jsonl").read_text("utf-8").splitlines())
    assert message["party"] == CALLER
    assert body_of(message).startswith(f"summary: {CALLER}, likely wangiri on 2024-03-02: 1.50 EUR at risk so far")
