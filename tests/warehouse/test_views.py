"""The rows of the views over the tiny log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from trueup.log.lake import Lake
from trueup.warehouse import install_views
from trueup.warehouse.asof import resolve
from trueup.warehouse.query import Warehouse
from trueup.warehouse.shared_steps import SharedSteps

Ask = Callable[..., list[dict[str, Any]]]

CONTRACT = {
    "findings": (
        "finding_id kind status service subscriber peer node day started_at expected billed impact impact_micros impact_low "
        "impact_high records_low records_high currency usage_event_id charge_event_id cause revision "
        "raised_position changed_position reason ended_at source control provisional provisional_reason item period_from period_to"
    ),
    "finding_records": "finding_id stream event_id",
    "conservation": (
        "service day currency expected_micros billed_micros impact_micros tolerated_micros pending_micros "
        "unrated_records difference_micros"
    ),
}


def hexed(name: str) -> str:
    return name.encode().ljust(16, b"\0").hex()


@pytest.mark.parametrize("view", CONTRACT)
def test_the_columns_of_a_view_are_the_contract(ask: Ask, view: str) -> None:
    assert [row["column_name"] for row in ask(f"DESCRIBE {view}")] == CONTRACT[view].split()


def test_every_column_has_a_comment_and_every_view_documents_its_grain(warehouse: Warehouse) -> None:
    columns = warehouse.connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'memory' AND schema_name = 'main' "
        "AND comment IS NULL"
    ).fetchall()
    heads = dict(
        warehouse.connection.execute(
            "SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'memory' AND schema_name = 'main' AND NOT internal"
        ).fetchall()
    )
    assert columns == []
    assert set(heads) == set(install_views.VIEWS)
    assert all("Grain: one row per" in head and "Owner:" in head for head in heads.values())


def test_a_query_of_one_view_installs_all_that_the_view_reads(lake: Lake) -> None:
    connection = lake.connection
    for view in install_views.VIEWS:
        connection.execute("DROP SCHEMA steps CASCADE")
        for other in install_views.VIEWS:
            connection.execute(f"DROP VIEW IF EXISTS main.{other}")
        install_views.create_views(connection, f"SELECT * FROM {view}")
        assert connection.execute(f"DESCRIBE {view}").fetchall()


def test_findings_show_the_current_state_of_each_finding_ever_raised(ask: Ask) -> None:
    rows = ask(
        "SELECT finding_id, status, expected, billed, impact, revision, raised_position, changed_position, cause "
        "FROM findings ORDER BY 1"
    )
    by_id = {bytes.fromhex(row["finding_id"])[:2].decode(): tuple(row.values())[1:] for row in rows}
    assert by_id == {
        "f1": ("resolved", Decimal(100), Decimal(0), Decimal(100), 1, 3, 4, "late_charge"),
        "f2": ("open", Decimal(50), Decimal(25), Decimal(25), 2, 3, 4, "late_charge"),
        "f3": ("open", Decimal(0), Decimal(70), Decimal(-70), 1, 3, 3, "frontier"),
        "f4": ("open", Decimal(0), Decimal(5), Decimal(-5), 1, 3, 3, "frontier"),
    }


def test_money_is_a_decimal_with_six_digits_and_micros_are_exact(ask: Ask) -> None:
    row = ask(
        "SELECT typeof(impact) AS money, typeof(impact_micros) AS micros, impact_micros FROM findings WHERE kind = 'underbilled'"
    )[0]
    assert row == {"money": "DECIMAL(38,6)", "micros": "DECIMAL(38,0)", "impact_micros": Decimal(25_000_000)}


def test_money_beyond_64_bits_stays_exact(ask: Ask, lake: Lake, make: Any) -> None:
    micros = Decimal("99999999999999999999999999999999999999")
    row = make.finding("f9", 4, "raised", "frontier", "unbilled") | {"expected_micros": micros}
    make.append(lake, "finding", [row], make.FINDING_SCHEMA)
    assert ask(f"SELECT impact FROM findings WHERE finding_id = '{hexed('f9')}'") == [
        {"impact": Decimal("99999999999999999999999999999999.999999")}
    ]


def test_the_two_ids_in_findings_are_the_lowest_of_its_records(ask: Ask) -> None:
    assert ask("SELECT usage_event_id, charge_event_id FROM findings WHERE kind = 'underbilled'") == [
        {"usage_event_id": hexed("u3"), "charge_event_id": hexed("c3")}
    ]
    assert ask(f"SELECT stream, event_id FROM finding_records WHERE finding_id = '{hexed('f2')}' ORDER BY ALL") == [
        {"stream": "charge", "event_id": hexed("c3")}, {"stream": "charge", "event_id": hexed("c4")},
        {"stream": "usage", "event_id": hexed("u3")},
    ]  # fmt: skip


def test_all_contents_of_a_conflict_are_its_records(ask: Ask, lake: Lake, make: Any) -> None:
    row = make.finding("f9", 4, "raised", "conflict", "conflicting_charge", charges=["c1"], contents=["c1", "c3"])
    make.append(lake, "finding", [row], make.FINDING_SCHEMA)
    records = ask(f"SELECT stream, event_id FROM finding_records WHERE finding_id = '{hexed('f9')}' ORDER BY ALL")
    assert records == [{"stream": "charge", "event_id": hexed("c1")}, {"stream": "charge", "event_id": hexed("c3")}]
    assert ask("SELECT sum(difference_micros) AS d, count(*) AS n FROM conservation") == [{"d": Decimal(0), "n": 2}]


def test_a_finding_raised_again_begins_a_new_life(ask: Ask, lake: Lake, make: Any) -> None:
    again = make.finding("f1", 5, "raised", "conflict", "unbilled", expected=90, usage=["u2"])
    make.append(lake, "finding", [again], make.FINDING_SCHEMA)
    row = ask(
        f"SELECT status, impact, revision, raised_position, changed_position FROM findings WHERE finding_id = '{hexed('f1')}'"
    )[0]
    assert row == {"status": "open", "impact": Decimal(90), "revision": 1, "raised_position": 5, "changed_position": 5}


def test_history_has_every_change_with_its_cause_and_time(ask: Ask) -> None:
    rows = ask(
        "SELECT position, action, cause, impact, committed_at IS NOT NULL AS timed FROM finding_history "
        f"WHERE finding_id = '{hexed('f2')}' ORDER BY 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        (3, "raised", "arrival", Decimal(30), True),
        (4, "revised", "late_charge", Decimal(25), True),
    ]


def test_conservation_balances_and_takes_impact_from_the_findings(ask: Ask) -> None:
    rows = ask("SELECT * FROM conservation ORDER BY service")
    assert [tuple(row.values()) for row in rows] == [
        ("", None, "IDR", *(Decimal(n * 1_000_000) for n in (0, 5, -5, 0, 0)), 0, Decimal(0)),
        ("voice", date(2024, 3, 2), "IDR", *(Decimal(n * 1_000_000) for n in (250, 225, -45, 0, 70)), 0, Decimal(0)),
    ]


def test_leakage_counts_open_and_confirmed_findings(ask: Ask) -> None:
    rows = ask(
        "SELECT service, day, currency, kind, findings, leakage, overcharge, impact FROM leakage_by_day ORDER BY kind, service"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("", None, "IDR", "charge_without_usage", 1, Decimal(0), Decimal(5), Decimal(-5)),
        ("voice", date(2024, 3, 2), "IDR", "charge_without_usage", 1, Decimal(0), Decimal(70), Decimal(-70)),
        ("voice", date(2024, 3, 2), "IDR", "underbilled", 1, Decimal(25), Decimal(0), Decimal(25)),
    ]
    causes = ask("SELECT cause, kind, findings, impact FROM leakage_by_cause ORDER BY cause, kind, impact")
    assert [tuple(row.values()) for row in causes] == [
        ("frontier", "charge_without_usage", 1, Decimal(-70)),
        ("frontier", "charge_without_usage", 1, Decimal(-5)),
        ("late_charge", "underbilled", 1, Decimal(25)),
    ]


def test_source_units_has_a_row_for_each_unit_with_its_counts(ask: Ask) -> None:
    rows = ask("SELECT source, path, records, accepted, duplicate, quarantined, complete, first_position FROM source_units")
    assert [tuple(row.values()) for row in rows] == [
        ("billing", "landing/billing/b.csv", 4, 4, 0, 0, True, 3),
        ("billing", "landing/billing/d.csv", 2, 2, 0, 0, True, 4),
        ("msc", "landing/msc/a.csv", 6, 4, 1, 1, True, 2),
    ]


def test_parts_of_a_unit_are_one_row(ask: Ask, lake: Lake, make: Any) -> None:
    part = make.control("msc", "a", "usage", accepted=0, duplicate=3).with_columns(part_no=1)

    def write(transaction: Any) -> None:
        transaction.next_position("unit")
        transaction.append("control", part)

    lake.commit(write)
    assert ask("SELECT parts, records, duplicate, last_position FROM source_units WHERE source = 'msc'") == [
        {"parts": 2, "records": 9, "duplicate": 4, "last_position": 5}
    ]


def test_quarantine_has_the_bytes_and_the_text_of_valid_text_only(ask: Ask) -> None:
    rows = ask("SELECT event_id, source, path, reason, record, raw, position FROM quarantine")
    assert [tuple(row.values()) for row in rows] == [
        (hexed("q1"), "msc", "landing/msc/a.csv", "bad_encoding", None, b"x,\xff\x1b[2", 2)
    ]


def test_kpi_counts_records_on_the_day_of_the_projects_time_zone(ask: Ask) -> None:
    rows = ask(
        "SELECT day, service, currency, usage_records, charge_records, expected, billed, pending, leakage, overcharge "
        "FROM kpi_daily ORDER BY service"
    )
    assert [tuple(row.values()) for row in rows] == [
        (None, "", "IDR", 0, 1, Decimal(0), Decimal(5), Decimal(0), Decimal(0), Decimal(5)),
        (date(2024, 3, 2), "voice", "IDR", 4, 5, Decimal(250), Decimal(225), Decimal(70), Decimal(25), Decimal(70)),
    ]
    assert ask("SELECT round(leakage_rate, 6) AS rate FROM kpi_daily WHERE service = 'voice'") == [{"rate": 0.1}]


def test_usage_of_a_service_without_a_table_is_counted_in_the_default_currency(ask: Ask, lake: Lake, make: Any) -> None:
    row = {"record_key": "u9", "source_id": "msc@e", "service": "da/ta", "quantity_micros": 1}

    def write(transaction: Any) -> None:
        transaction.next_position("unit")
        transaction.append("usage", make.events("usage", [row]))

    lake.commit(write)
    assert ask("SELECT currency, usage_records FROM kpi_daily WHERE service = 'da/ta'") == [{"currency": "USD", "usage_records": 1}]


def test_views_as_of_an_earlier_position_show_the_earlier_state(ask: Ask) -> None:
    assert ask("SELECT status, billed, revision FROM findings WHERE kind = 'underbilled'", "3") == [
        {"status": "open", "billed": Decimal(20), "revision": 1}
    ]
    assert ask("SELECT status FROM findings WHERE kind = 'unbilled'", "3") == [{"status": "open"}]
    assert ask("SELECT count(*) AS n FROM source_units", "3") == [{"n": 2}]
    assert ask("SELECT sum(difference_micros) AS d, sum(impact_micros) AS i FROM conservation", "3") == [
        {"d": Decimal(0), "i": Decimal(55_000_000)}
    ]
    assert ask("SELECT sum(charge_records) AS n FROM kpi_daily", "3") == [{"n": Decimal(4)}]


def test_views_as_of_position_zero_are_empty(lake: Lake) -> None:
    install_views.install(lake.connection, lake.project, resolve(lake, "0"))
    steps = SharedSteps(lake.connection, with_views=True)
    declared = {"finding_kinds", "finding_causes", "decision_kinds", "invoice_kinds", "controls"}
    for view in sorted(set(install_views.VIEWS) - declared):
        assert lake.connection.execute(steps.read(f"SELECT count(*) AS n FROM main.{view}")).fetchall() == [(0,)], view
    steps.drop()


def test_as_of_a_time_is_the_newest_position_committed_by_then(ask: Ask) -> None:
    # Positions 1 to 4 were committed at 01:00, 02:00, 03:00 and 04:00 UTC on 3 March, which is 08:00 to 11:00 in Jakarta.
    assert ask("SELECT max(last_position) AS p FROM source_units", "2024-03-03T03:30:00+00:00") == [{"p": 3}]
    assert ask("SELECT max(last_position) AS p FROM source_units", "2024-03-03T10:30:00") == [{"p": 3}]
    assert ask("SELECT max(last_position) AS p FROM source_units", "2024-03-03") == [{"p": 4}]
    assert ask("SELECT max(last_position) AS p FROM source_units", "2024-03-02") == [{"p": None}]


def test_an_open_connection_reads_later_commits(warehouse: Warehouse, lake: Lake, make: Any) -> None:
    count = "SELECT count(*) FROM findings"
    assert warehouse.connection.execute(count).fetchone() == (4,)
    make.append(lake, "finding", [make.finding("f9", 4, "raised", "frontier", "unbilled", expected=1)], make.FINDING_SCHEMA)
    assert warehouse.connection.execute(count).fetchone() == (5,)


def test_findings_committed_ahead_of_the_sums_do_not_unbalance_them(ask: Ask, lake: Lake, make: Any) -> None:
    # A recomputation of some days commits findings at position 5, while the sums still end at position 4.
    ahead = make.finding(
        "f2", 5, "retracted", "late_usage", "underbilled", expected=50, billed=25, usage=["u3"], charges=["c3", "c4"]
    )
    make.append(lake, "finding", [ahead], make.FINDING_SCHEMA)
    assert ask("SELECT status FROM findings WHERE kind = 'underbilled'") == [{"status": "retracted"}]
    assert ask("SELECT sum(abs(difference_micros)) AS d FROM conservation") == [{"d": Decimal(0)}]
