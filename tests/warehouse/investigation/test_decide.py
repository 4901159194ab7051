"""Decisions as events: their effect on status and money, refused decisions, and two persons at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal as Number
from typing import Any

import duckdb
import pytest

from trueup.config import Project, parse
from trueup.errors import TrueupError
from trueup.investigation.root_causes import investigate
from trueup.log.lake import Lake
from trueup.warehouse.audit import audit
from trueup.warehouse.decide import Decision, amount_micros_of, decide, record
from trueup.warehouse.install_views import create_views
from trueup.warehouse.query import Warehouse, with_retries
from trueup.warehouse.shared_steps import SharedSteps
from trueup.warehouse.statements import statement

NOW = datetime(2024, 3, 3, 12, tzinfo=UTC)


def hexed(name: str) -> str:
    return name.encode().ljust(16, b"\0").hex()


def clock() -> datetime:
    return NOW


def rows(project: Project, query: str) -> list[dict[str, Any]]:
    def found(warehouse: Warehouse) -> list[dict[str, Any]]:
        create_views(warehouse.lake.connection, query)
        return warehouse.lake.connection.execute(query).to_arrow_table().to_pylist()

    return with_retries(project, found)


def balances(project: Project) -> dict[tuple[str, str], int]:
    query = "SELECT type, account, CAST(sum(balance) AS BIGINT) AS balance FROM money_by_account GROUP BY ALL ORDER BY ALL"
    return {(row["type"], row["account"]): row["balance"] for row in rows(project, query) if row["balance"]}


def strict(project: Project, above: str) -> Project:
    text = (project.directory / "trueup.toml").read_text("utf-8") + f'\n[cases]\nsecond_person_above = "{above}"\n'
    return Project(project.directory, parse(text))


def test_every_account_has_an_opposite_and_all_add_up_to_zero(project: Project) -> None:
    assert balances(project) == {
        ("leakage", "assessed"): -25, ("leakage", "detected"): 25, ("overcharge", "assessed"): 75, ("overcharge", "detected"): -75,
    }  # fmt: skip
    decide(project, hexed("f2"), "confirmed", decided_by="ann", clock=clock)
    decide(project, hexed("f3"), "dismissed", note="a test line", decided_by="ann", clock=clock)
    assert balances(project) == {
        ("leakage", "assessed"): -25, ("leakage", "confirmed"): 25,
        ("overcharge", "assessed"): 75, ("overcharge", "detected"): -5, ("overcharge", "false_alarm"): -70,
    }  # fmt: skip
    (uneven,) = rows(
        project, "SELECT count(*) AS n FROM (FROM money_ledger SELECT sum(micros) AS s GROUP BY item_id, entry) WHERE s <> 0"
    )
    assert uneven == {"n": 0}


def test_a_part_of_the_money_moves_alone_until_a_reopening_gives_it_back(project: Project) -> None:
    record(project, [hexed("f2")], Decision("claimed", decided_by="ann", amount_micros=amount_micros_of("10")), clock=clock)
    assert balances(project)["leakage", "claimed"] == 10
    assert balances(project)["leakage", "detected"] == 15
    assert rows(project, f"SELECT status FROM findings WHERE finding_id = '{hexed('f2')}'") == [{"status": "open"}]
    decide(project, hexed("f2"), "prevented", clock=clock)
    assert balances(project)["leakage", "prevented"] == 15
    decide(project, hexed("f2"), "reopened", clock=clock)
    assert {account: money for (kind, account), money in balances(project).items() if kind == "leakage"} == {
        "assessed": -25, "detected": 25,
    }  # fmt: skip


def test_an_amount_above_the_money_that_is_left_is_refused(project: Project) -> None:
    claim = Decision("claimed", decided_by="ann", amount_micros=20_000_000)
    record(project, [hexed("f2")], claim, clock=clock)
    with pytest.raises(TrueupError, match=r"above the money that is left of .*: 5 IDR"):
        record(project, [hexed("f2")], claim, clock=clock)
    with pytest.raises(TrueupError, match=r"above the money that is left of .*: 0"):
        record(project, [hexed("f1")], claim, clock=clock)  # Retracted meanwhile: nothing of it stands.


def open_case_of_two(project: Project, make: Any) -> str:
    """Return a case of the findings g1 (100) and f2 (25)."""
    larger = make.finding("g1", 4, "raised", "frontier", "underbilled", expected=100, usage=["u2"])
    with Lake.open(project, clock=clock) as lake:
        make.append(lake, "finding", [larger], make.FINDING_SCHEMA)
    investigate(project, clock=clock)
    (case,) = rows(project, "SELECT case_id, findings FROM cases WHERE kind = 'underbilled'")
    assert case["findings"] == 2
    return str(case["case_id"])


def claim(project: Project, subject: str, amount: int) -> None:
    record(project, [subject], Decision("claimed", decided_by="ann", amount_micros=amount * 1_000_000), clock=clock)


def accounts(project: Project, *names: str) -> list[dict[str, int]]:
    """Return the balances of each finding named."""
    query = (
        "SELECT item_id, account, CAST(sum(amount) AS BIGINT) AS balance FROM money_ledger WHERE account <> 'assessed' GROUP BY ALL"
    )
    found = [row for row in rows(project, query) if row["balance"]]
    return [{row["account"]: row["balance"] for row in found if row["item_id"] == hexed(name)} for name in names]


def failing_audits(project: Project) -> set[str]:
    return {one.name for one in with_retries(project, lambda warehouse: audit(warehouse, ["money_ledger"])) if not one.passed}


def test_an_amount_of_a_case_takes_what_decisions_on_its_findings_leave(project: Project, make: Any) -> None:
    case = open_case_of_two(project, make)
    claim(project, hexed("g1"), 80)
    claim(project, case, 30)
    assert accounts(project, "g1", "f2") == [{"claimed": 100}, {"claimed": 10, "detected": 15}]
    with pytest.raises(TrueupError, match=r"above the money that is left of .*: 15 IDR"):
        claim(project, case, 16)
    claim(project, hexed("f2"), 5)
    claim(project, case, 10)
    assert accounts(project, "g1", "f2") == [{"claimed": 100}, {"claimed": 25}]
    assert rows(project, f"SELECT status, open_impact FROM cases WHERE case_id = '{case}'") == [
        {"status": "claimed", "open_impact": 0}
    ]
    assert failing_audits(project) == set()


def test_money_that_the_reopening_of_a_finding_frees_is_taken_last(project: Project, make: Any) -> None:
    case = open_case_of_two(project, make)
    claim(project, hexed("g1"), 80)
    claim(project, case, 30)
    decide(project, hexed("g1"), "reopened", decided_by="ann", clock=clock)
    # The earlier shares of the case stay as they were.
    assert accounts(project, "g1", "f2") == [{"claimed": 20, "detected": 80}, {"claimed": 10, "detected": 15}]
    claim(project, case, 40)
    assert accounts(project, "g1", "f2") == [{"claimed": 45, "detected": 55}, {"claimed": 25}]
    claim(project, hexed("g1"), 55)
    assert accounts(project, "g1", "f2") == [{"claimed": 100}, {"claimed": 25}]
    decide(project, case, "reopened", decided_by="ann", clock=clock)
    assert accounts(project, "g1", "f2") == [{"claimed": 55, "detected": 45}, {"detected": 25}]
    assert failing_audits(project) == set()


def test_shares_of_a_finding_that_lost_money_do_not_exceed_the_rest(project: Project, make: Any) -> None:
    case = open_case_of_two(project, make)
    claim(project, case, 45)
    claim(project, hexed("g1"), 55)
    lower = make.finding("g1", 5, "revised", "correction", "underbilled", expected=60, usage=["u2"])
    with Lake.open(project, clock=clock) as lake:
        make.append(lake, "finding", [lower], make.FINDING_SCHEMA)
    assert accounts(project, "g1", "f2") == [{"claimed": 60}, {"claimed": 25}]
    assert failing_audits(project) == set()


def test_open_money_of_a_case_is_its_money_in_the_account_detected(project: Project) -> None:
    investigate(project, clock=clock)
    (case,) = rows(project, "SELECT case_id FROM cases WHERE kind = 'underbilled'")
    claim(project, case["case_id"], 24)
    shown = f"SELECT status, impact, open_impact FROM cases WHERE case_id = '{case['case_id']}'"
    assert rows(project, shown) == [{"status": "open", "impact": 25, "open_impact": 1}]
    assert accounts(project, "f2") == [{"claimed": 24, "detected": 1}]


def test_the_audit_of_the_ledger_finds_an_account_with_more_than_the_money(project: Project) -> None:
    claim(project, hexed("f2"), 10)

    def audited(warehouse: Warehouse) -> list[tuple[Any, ...]]:
        query = statement("audits/money_ledger").text
        create_views(warehouse.lake.connection, query)
        too_much = "(SELECT e.* REPLACE (e.part_micros * 3 AS part_micros) FROM steps.money_event e)"
        steps = SharedSteps(warehouse.lake.connection, with_views=True, given={("steps", "money_event"): too_much})
        return warehouse.lake.connection.execute(steps.read(query)).fetchall()

    # f2 has 25: claimed 30 and detected -5.
    assert with_retries(project, audited) == [(hexed("f2"), None, 10_000_000)]


def test_a_large_write_off_waits_for_a_second_person(project: Project) -> None:
    careful = strict(project, "20")
    written_off = Decision("written_off", decided_by="ann")
    (proposed,) = record(careful, [hexed("f2")], written_off, clock=clock)
    assert proposed.decision == "write_off_proposed"
    assert ("leakage", "written_off") not in balances(careful)
    with pytest.raises(TrueupError, match="a second person"):
        record(careful, [hexed("f2")], Decision("written_off", decided_by=" ANN"), clock=clock)
    (agreed,) = record(careful, [hexed("f2")], Decision("written_off", decided_by="bob"), clock=clock)
    assert agreed.decision == "written_off"
    assert balances(careful)["leakage", "written_off"] == 25
    assert rows(careful, f"SELECT status FROM findings WHERE finding_id = '{hexed('f2')}'") == [{"status": "written_off"}]


def write_off(project: Project, subject: str, amount: int, person: str) -> str:
    decision = Decision("written_off", decided_by=person, amount_micros=amount * 1_000_000)
    return record(project, [subject], decision, clock=clock)[0].decision


def test_write_offs_in_parts_wait_for_a_second_person_when_their_sum_is_large(project: Project) -> None:
    careful = strict(project, "20")
    assert write_off(careful, hexed("f2"), 20, "ann") == "written_off"
    assert write_off(careful, hexed("f2"), 5, "ann") == "write_off_proposed"
    with pytest.raises(TrueupError, match="a second person"):
        write_off(careful, hexed("f2"), 5, "ann")
    assert balances(careful)["leakage", "written_off"] == 20
    assert write_off(careful, hexed("f2"), 5, "bob") == "written_off"
    assert balances(careful)["leakage", "written_off"] == 25
    decide(careful, hexed("f2"), "reopened", decided_by="bob", clock=clock)
    assert write_off(careful, hexed("f2"), 20, "ann") == "written_off"
    assert accounts(careful, "f2") == [{"written_off": 20, "detected": 5}]


def test_write_offs_of_a_case_and_of_its_finding_count_together(project: Project) -> None:
    careful = strict(project, "20")
    investigate(careful, clock=clock)
    (case,) = rows(careful, "SELECT case_id FROM cases WHERE kind = 'underbilled'")
    claim(careful, hexed("f2"), 1)
    assert write_off(careful, case["case_id"], 12, "ann") == "written_off"
    assert write_off(careful, hexed("f2"), 9, "ann") == "write_off_proposed"
    assert write_off(careful, case["case_id"], 9, "ann") == "write_off_proposed"
    assert write_off(careful, hexed("f2"), 8, "ann") == "written_off"


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (Decision("recovered"), "unknown decision 'recovered'; write claimed"),
        (Decision("dismissed"), "needs its reason"),
        (Decision("commented", " "), "needs a text"),
        (Decision("assigned", assignee="bob"), "is about a case"),
        (Decision("assigned"), "needs a name"),
        (Decision("snoozed"), "needs its end"),
        (Decision("snoozed", until=NOW), "has passed"),
        (Decision("snoozed", until=NOW + timedelta(days=1)), "is about a case"),
        (Decision("confirmed", until=NOW + timedelta(days=1)), "has no end"),
        (Decision("dismissed", "why", until=NOW + timedelta(days=1)), "only a case of a root cause"),
        (Decision("commented", "why", amount_micros=1), "moves no money"),
        (Decision("confirmed", amount_micros=-1), "greater than 0"),
        (Decision("confirmed", assignee="bob"), "only assigned has bob"),
        (Decision("due"), "needs a day"),
        (Decision("written_off"), "needs a name"),
        (Decision("write_off_proposed"), "write written_off"),
    ],
)
def test_a_decision_that_cannot_be_meant_is_refused(project: Project, decision: Decision, message: str) -> None:
    with pytest.raises(TrueupError, match=message):
        record(project, [hexed("f2")], decision, clock=clock)


def test_a_decision_without_note_and_name_shows_none_of_an_earlier_one(project: Project) -> None:
    decide(project, hexed("f2"), "dismissed", note="a test line", decided_by="ann", clock=clock)
    decide(project, hexed("f2"), "confirmed", clock=clock)
    assert rows(project, "SELECT decision, note, decided_by FROM steps.decision_now") == [
        {"decision": "confirmed", "note": None, "decided_by": None}
    ]


def test_the_rules_of_a_party_are_those_of_its_first_case() -> None:
    cases = "CREATE TABLE cases AS SELECT 'fraud' AS type, 'open' AS status, 'p1' AS party, CAST('2024-03-02' AS DATE) AS day, c.* FROM (VALUES {}) c({})"
    columns = "expected_loss_per_hour, probability, rules, sentences, summary, transactions, exposure, exposure_currency"
    values = "(90, 0.9, NULL, '[1]', 'first', 1, 1, 'IDR'), (10, 0.1, 'impossible_travel', '[2]', 'second', 1, 1, 'IDR')"
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute(cases.format(values, columns))
        found = connection.execute(statement("queries/status/suspicious_parties").text).to_arrow_table().to_pylist()
    assert [(row["rules"], row["sentences"], row["summary"]) for row in found] == [(None, "[1]", "first")]


def test_one_unknown_id_of_many_refuses_all(project: Project) -> None:
    with pytest.raises(TrueupError, match=f"there is no finding {'0' * 32}"):
        record(project, [hexed("f2"), "0" * 32], Decision("confirmed"), clock=clock)
    with pytest.raises(TrueupError, match="no id"):
        record(project, [], Decision("confirmed"), clock=clock)
    assert rows(project, "SELECT DISTINCT status FROM findings WHERE status = 'confirmed'") == []
    done = record(project, [hexed("f2"), hexed("f3"), hexed("f2")], Decision("confirmed"), clock=clock)
    assert [one.subject_id for one in done] == [hexed("f2"), hexed("f3")]


def test_two_persons_at_once_lose_nothing(project: Project) -> None:
    def comment(number: int) -> None:
        decide(project, hexed("f2"), "commented", note=f"note {number}", decided_by="ann", clock=clock)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(comment, range(6)))
    notes = rows(project, "SELECT count(DISTINCT note) AS notes, count(*) AS n FROM steps.decision_event")
    assert notes == [{"notes": 6, "n": 6}]


def test_texts_with_markup_formulas_and_controls_are_kept_as_they_are(project: Project) -> None:
    note = "<script>alert(1)</script> =cmd()|'x' \x1b[31m'); DROP TABLE x;--"
    decide(project, hexed("f2"), "commented", note=note, decided_by="=1+1", clock=clock)
    assert rows(project, "SELECT note, decided_by FROM steps.decision_event") == [{"note": note, "decided_by": "=1+1"}]


@pytest.mark.parametrize("text", ["", "1e400", "nan", "0.0000001", "ten", "1,5"])
def test_an_amount_that_is_not_an_exact_number_is_refused(text: str) -> None:
    with pytest.raises(TrueupError, match="invalid amount"):
        amount_micros_of(text)


def test_money_is_exact(project: Project) -> None:
    record(project, [hexed("f2")], Decision("claimed", amount_micros=amount_micros_of("0.000001")), clock=clock)
    (row,) = rows(project, "SELECT amount FROM money_ledger WHERE account = 'claimed'")
    assert row == {"amount": Number("0.000001")}


def test_key_figures_and_the_catalogue_of_controls_follow_decisions(project: Project) -> None:
    decide(project, hexed("f2"), "claimed", decided_by="ann", clock=clock)
    decide(project, hexed("f3"), "dismissed", note="a test line", decided_by="ann", clock=clock)
    (voice,) = rows(
        project, "SELECT claimed, recovery_rate, precision, hours_to_decide > 0 AS later FROM kpi_daily WHERE service = 'voice'"
    )
    assert voice == {"claimed": Number(25), "recovery_rate": 1.0, "precision": 0.5, "later": True}
    query = "SELECT control, stage, coverage, confirmed, dismissed, precision FROM controls WHERE confirmed + dismissed > 0 ORDER BY control"
    assert [tuple(row.values()) for row in rows(project, query)] == [
        ("charge_without_usage", "billing", 1.0, 0, 1, 0.0), ("underbilled", "billing", 1.0, 1, 0, 1.0),
    ]  # fmt: skip


def test_only_a_correcting_charge_moves_money_to_recovered(project: Project, make: Any) -> None:
    change = make.finding("f2", 4, "revised", "recovery", "underbilled", expected=50, billed=40, usage=["u3"], charges=["c3", "c4"])
    closed = make.finding(
        "f2", 4, "resolved", "recovery", "underbilled", expected=50, billed=40, usage=["u3"], charges=["c3", "c4"]
    )
    decide(project, hexed("f2"), "confirmed", decided_by="ann", clock=clock)
    policy = {
        "kernel": 1,
        "services": {},
        "default": {"price": None, "price_per": 1, "currency": None},
        "sources": {},
        "horizon_us": 1,
    }
    for row, recovered in ((change, {"confirmed": 10, "recovered": 15}), (closed, {"recovered": 25})):
        with Lake.open(project, clock=clock) as lake:
            lake.commit(lambda transaction: transaction.declare("policy", content=policy))
            make.append(lake, "finding", [row | {"position": lake.last_position()}], make.FINDING_SCHEMA)
        money = {account: micros for (kind, account), micros in balances(project).items() if kind == "leakage"}
        assert money == {"assessed": -25, **recovered}
        assert [one.offending for one in with_retries(project, lambda warehouse: audit(warehouse, ["money_ledger"]))] == [0]
