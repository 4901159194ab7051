"""Records that a source leaves out by `where`: counted, never in the log, and proven again from their bytes."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.collect.commit.chain import CONTROL, hash_of
from trueup.collect.ingest import IngestSummary, UnitResult
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log import lake as lake_module
from trueup.log.lake import Lake
from trueup.log.migrate import schema
from trueup.project_checks.check import project_problems
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

HEADER = "id,caller,at,seconds,leg,state\n"
KEYS = "SELECT record_key FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, reason, rule FROM lake.events.quarantine ORDER BY source_row"
ONLY_A = "where = \"leg = 'a'\""


def line(key: str, leg: str, *, seconds: str = "60", state: str = "ANSWERED") -> str:
    return f"{key},491511000001,2024-05-01 10:00:00,{seconds},{leg},{state}\n"


def counts(unit: UnitResult) -> tuple[int, int, int, int, int]:
    return unit.records, unit.accepted, unit.duplicate, unit.filtered, unit.quarantined


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        return verify(lake).sound


def test_records_for_which_the_condition_is_false_or_null_are_left_out_and_counted(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    lines = [
        line("1", "a"),
        line("2", "b"),
        line("3", ""),
        line("1", "a"),
        line("4", "a", seconds="x"),
        line("5", "b", seconds="x"),
    ]
    project = calls({"a.csv": HEADER + "".join(lines)}, settings=ONLY_A)
    (unit,) = take_in(project).units
    assert counts(unit) == (6, 1, 1, 3, 1)
    assert query(project, KEYS)["record_key"].to_list() == ["1"]
    assert query(project, REJECTED).rows() == [(4, "unparsable", "quantity: is a decimal number")]
    control = query(project, "SELECT records, accepted, duplicate, filtered, quarantined FROM lake.events.control")
    assert control.rows() == [(6, 1, 1, 3, 1)]
    assert is_proven(project)


def test_a_column_that_only_the_condition_reads_stays_an_attribute(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": HEADER + line("1", "a")}, settings="where = \"leg = 'a' AND state = 'ANSWERED' AND seconds > 9\"")
    take_in(project)
    assert query(project, "SELECT attributes FROM lake.events.usage")["attributes"].to_list() == ['{"leg":"a","state":"ANSWERED"}']
    assert is_proven(project)


def test_a_condition_without_a_value_rejects_the_record_unless_the_rest_decides(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    project = calls(
        {"a.csv": HEADER + line("1", "a") + line("2", "a", seconds="x") + line("3", "b", seconds="x")},
        settings="where = \"leg = 'a' AND seconds > 9\"",
    )
    (unit,) = take_in(project).units
    assert counts(unit) == (3, 1, 0, 1, 1)
    assert query(project, REJECTED).rows() == [(1, "unparsable", "where: reads numbers only")]
    assert is_proven(project)


def test_a_unit_whose_records_are_all_left_out_is_ingested(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": HEADER + line("1", "b")}, settings=ONLY_A)
    (unit,) = take_in(project).units
    assert (counts(unit), unit.outcome) == ((1, 0, 0, 1, 0), "taken")
    (again,) = take_in(project).units
    assert again.outcome == "known"
    assert is_proven(project)


def test_json_and_parquet_are_filtered_alike(calls: Write, take_in: TakeIn, query: Query) -> None:
    rows = [{"id": "1", "caller": "49", "at": "2024-05-01 10:00:00", "seconds": 60, "leg": "a"}]
    rows.append({**rows[0], "id": "2", "leg": "b"})
    lines = (
        "".join(pl.DataFrame(row).write_ndjson() for row in rows) + pl.DataFrame({**rows[0], "id": "3"}).drop("leg").write_ndjson()
    )
    project = calls({"a.ndjson": lines}, settings=f'{ONLY_A}\nformat = "ndjson"')
    (unit,) = take_in(project).units
    assert counts(unit) == (3, 1, 0, 2, 0)
    (project.directory / "landing" / "a.ndjson").unlink()
    project = calls({}, settings='where = "seconds > 59.5 AND leg = \'a\'"\nformat = "parquet"')
    pq.write_table(
        pa.Table.from_pylist([{**row, "id": f"p{row['id']}"} for row in rows]), project.directory / "landing" / "b.parquet"
    )
    (unit,) = take_in(project).units
    assert counts(unit) == (2, 1, 0, 1, 0)
    assert sorted(query(project, KEYS)["record_key"].to_list()) == ["1", "p1"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("legs = 'a'", "`where` reads the column 'legs', which does not exist; there are id, caller, at, seconds, leg, state"),
        ("1 = 1", "names no column"), ("leg", "is a text, not a condition"), ("leg = ", "is not an SQL expression"),
        ("random() > seconds", "uses RANDOM, which is not permitted"), ("(SELECT leg) = 'a'", "contains 'subquery'"),
        ("seconds > '9'", "orders texts by '9'; write numbers without quotes"), ("seconds > caller", "orders two columns"),
        ("leg = 'a') FROM secrets WHERE (1 = 1", "is a query"), ("seconds > 1e3", "has a number with an exponent"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_be_evaluated_stops_the_source(calls: Write, take_in: TakeIn, condition: str, message: str) -> None:
    project = calls({"a.csv": HEADER + line("1", "a")}, settings=f'where = "{condition}"')
    try:
        errors = [str(error) for error in take_in(project).errors]
    except ConfigError as error:
        errors = [str(error)]
        assert [p.what for p in project_problems(project) if p.rule == "unreadable-setting"] == [error.what]
    assert message in "".join(errors)


def test_a_json_member_may_be_absent_if_the_condition_handles_its_absence(calls: Write, take_in: TakeIn) -> None:
    content = '{"id":"1","caller":"49","at":"2024-05-01 10:00:00","seconds":60}\n'
    project = calls({"a.ndjson": content}, settings='where = "test IS NULL"\nformat = "ndjson"')
    assert counts(take_in(project).units[0]) == (1, 1, 0, 0, 0)
    (error,) = take_in(calls({"b.ndjson": content + "\n"}, settings='where = "test = \'no\'"\nformat = "ndjson"')).errors
    assert "`where` reads the column 'test', which does not exist" in str(error)


def test_an_event_that_another_condition_leaves_out_is_found_by_its_own_mapping(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    project = calls({"a.csv": HEADER + line("1", "a")}, settings=ONLY_A)
    take_in(project)
    event_id = bytes(query(project, "SELECT event_id FROM lake.events.usage")["event_id"][0])
    with Lake.open(calls({}, settings="where = \"leg = 'b'\""), read_only=True) as lake:
        assert verify(lake).sound
        result = verify_record(lake, event_id)
    assert (result.verdict, result.detail.endswith("the present one leaves them out (`where`, `record_type`)")) == ("found", True)


def test_a_lake_of_an_earlier_version_gets_the_count_and_keeps_its_chain(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(statement: str) -> str:
        return "".join(part for part in statement.splitlines(keepends=True) if "filtered" not in part or "records" in part)

    with monkeypatch.context() as patch:
        patch.setattr(lake_module, "schema", lambda: tuple(map(as_before, schema())))
        patch.setattr(lake_module, "missing", lambda _: [])
        patch.delitem(CONTROL, "filtered")
        project = calls({"a.csv": HEADER + line("1", "a")})
        take_in(project)
    project = calls({"b.csv": HEADER + line("2", "a") + line("3", "b")}, settings=ONLY_A)
    take_in(project)
    columns = "SELECT records, accepted, duplicate, filtered, quarantined FROM lake.events.control ORDER BY sequence_no"
    assert query(project, columns).rows() == [(1, 1, 0, None, 0), (2, 1, 0, 1, 0)]
    assert is_proven(project)


def test_the_hash_of_a_control_row_covers_its_count_of_filtered_records() -> None:
    row = dict.fromkeys(CONTROL) | {"previous_hash": "", "filtered": 0}
    assert len({hash_of({**row, "filtered": count}) for count in (None, 0, 1)}) == 3
