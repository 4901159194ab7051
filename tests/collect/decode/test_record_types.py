"""Files with records of several types: each source reads its own, and the others are left out and counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from trueup.collect.ingest import IngestSummary
from trueup.collect.recycle.recycle import recycle
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

NOW = datetime(2024, 6, 1, tzinfo=UTC)
SOURCE = """
[[source]]
name = "{name}"
stream = "usage"
path = "landing/*"
shared_files = true
header = false
record_type = {{ field = 1, values = {values} }}
[source.columns]
record_key = "2"
subscriber = "3"
started_at = "{at}"
quantity = "{quantity}"
[source.constants]
service = "{name}"
"""
TOML = SOURCE.format(name="voice", values='["20", "21"]', at=4, quantity=5) + SOURCE.format(
    name="sms", values='["30"]', at=5, quantity=4
)
LINES = """10,msc7
20,v1,a,2024-05-01 10:00:00,60
30,s1,a,1,2024-05-01 10:00:00,extra,more
21,v2,b,2024-05-01 10:00:01,x
30,s2,b
"30",s3,b,1,2024-05-01 10:00:00,"20,",
90,4
"""
COUNTS = "SELECT source, records, accepted, filtered, quarantined FROM lake.events.control ORDER BY source"
LAID = "SELECT service, record_key, quantity_micros FROM lake.events.usage ORDER BY ALL"
REJECTED = "SELECT source, source_row, reason, raw FROM lake.events.quarantine ORDER BY ALL"


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven", "found"}


def test_two_sources_read_different_types_of_records_of_one_file(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": LINES}, toml=TOML)
    take_in(project)
    assert query(project, COUNTS).rows() == [("sms", 7, 2, 4, 1), ("voice", 7, 1, 5, 1)]
    assert query(project, LAID).rows() == [("sms", "s1", 1_000_000), ("sms", "s3", 1_000_000), ("voice", "v1", 60_000_000)]
    assert query(project, REJECTED).rows() == [
        ("sms", 4, "wrong_field_count", b"30,s2,b"), ("voice", 3, "unparsable", b"21,v2,b,2024-05-01 10:00:01,x"),
    ]  # fmt: skip
    assert is_proven(project)


def test_a_file_without_a_record_of_the_type_has_none(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": "20,v1,a,2024-05-01 10:00:00,60\n"}, toml=TOML)
    assert take_in(project).errors == []
    assert query(project, COUNTS).rows() == [("sms", 1, 0, 1, 0), ("voice", 1, 1, 0, 0)]
    assert is_proven(project)


def test_a_line_that_is_not_text_is_rejected_for_every_record_type(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": b"20,v1,a,2024-05-01 10:00:00,60\n20,v\xff,a,2024-05-01 10:00:00,60\n"}, toml=TOML)
    take_in(project)
    assert query(project, REJECTED).select("source", "reason").rows() == [("sms", "bad_encoding"), ("voice", "bad_encoding")]


def test_records_of_a_type_that_is_added_later_are_left_out_or_mapped_again(calls: Write, take_in: TakeIn, query: Query) -> None:
    voice = SOURCE.format(name="voice", values='["20", "21"]', at=4, quantity=5)
    more = "20,v3,a,2024-05-01 10:00:00,60\n"
    project = calls({"a.csv": LINES + more}, toml=voice.replace('record_type = { field = 1, values = ["20", "21"] }', ""))
    take_in(project)
    assert query(project, COUNTS).rows() == [("voice", 8, 2, 0, 6)]
    project = calls(toml=voice)
    assert [(u.accepted, u.filtered, u.quarantined) for u in recycle(project, clock=lambda: NOW).units] == [(0, 5, 1)]
    assert is_proven(project)


def test_an_event_of_a_line_of_another_type_differs_from_its_bytes(calls: Write, take_in: TakeIn) -> None:
    first, other = "20,v1,a,2024-05-01 10:00:00,60\n", "30,s1,a,2024-05-01 10:00:00,60\n"
    project = calls({"a.csv": first + other}, toml=SOURCE.format(name="voice", values='["20"]', at=4, quantity=5))
    take_in(project)
    with Lake.open(project) as lake:
        lake.connection.execute(f"UPDATE lake.events.usage SET source_row = 1, source_offset = {len(first)}")
        ((event_id,),) = lake.connection.execute("SELECT event_id FROM lake.events.usage").fetchall()
        result = verify_record(lake, event_id)
    assert (result.verdict, "leaves them out" in result.detail) == ("differs", True)


def test_types_of_fixed_width_lines_lie_at_a_position(calls: Write, take_in: TakeIn, query: Query) -> None:
    source = """
[[source]]
name = "{name}"
stream = "usage"
path = "landing/*"
shared_files = true
format = "fixed"
record_type = {{ start = 1, length = 2, values = ["{kind}"] }}
[source.fixed]
fields = [{{ name = "id", start = 3, length = 2 }}, {{ name = "at", length = 10 }}, {{ name = "n", length = {length} }}]
[source.columns]
record_key = "id"
started_at = "at"
quantity = "n"
[source.constants]
service = "{name}"
"""
    toml = source.format(name="voice", kind="MO", length=2) + source.format(name="sms", kind="SM", length=4)
    project = calls({"a.txt": "HD\nMOv12024-05-0107\nSMs12024-05-010009\nMOv22024-05-01\n"}, toml=toml)
    take_in(project)
    assert query(project, COUNTS).rows() == [("sms", 4, 1, 3, 0), ("voice", 4, 1, 2, 1)]
    assert query(project, LAID).rows() == [("sms", "s1", 9_000_000), ("voice", "v1", 7_000_000)]
    assert is_proven(project)


def test_types_of_json_records_are_read_by_a_condition(calls: Write, take_in: TakeIn, query: Query) -> None:
    source = """
[[source]]
name = "{name}"
stream = "usage"
path = "landing/*"
shared_files = true
format = "ndjson"
where = "type = '{name}'"
[source.columns]
record_key = "id"
started_at = "at"
quantity = "n"
[source.constants]
service = "{name}"
"""
    text = '{"type":"voice","id":"v1","at":"2024-05-01","n":7}\n{"type":"sms","id":"s1","at":"2024-05-01","n":1,"x":2}\n'
    project = calls({"a.json": text}, toml=source.format(name="voice") + source.format(name="sms"))
    take_in(project)
    assert query(project, COUNTS).rows() == [("sms", 2, 1, 1, 0), ("voice", 2, 1, 1, 0)]


@pytest.mark.parametrize(
    ("record_type", "message"),
    [
        ("{ values = ['20'] }", "name either `field`, or `start` and `length`"),
        ("{ field = 1, start = 1, length = 2, values = ['20'] }", "name either `field`, or `start` and `length`"),
        ("{ start = 1, values = ['20'] }", "name either `field`, or `start` and `length`"),
        ("{ start = 1, length = 2, values = ['20'] }", '`record_type` needs `field` with format = "csv"'),
        ("{ field = 1, values = [] }", "values"),
    ],
)
def test_contradictory_record_types_are_refused(calls: Write, record_type: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calls(settings=f"record_type = {record_type}")
