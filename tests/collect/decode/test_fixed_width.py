"""Fixed-width files: fields at declared positions of characters or bytes."""

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
FIXED = """
format = "fixed"
{more}
[source.fixed]
fields = [
  {{ name = "id", length = 3 }}, {{ name = "caller", length = 6 }},
  {{ name = "at", start = 11, length = 19 }}, {{ name = "seconds", length = 4 }},
]
{fixed}
"""
LAID = "SELECT record_key, subscriber, quantity_micros FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, reason, rule, raw FROM lake.events.quarantine ORDER BY source_row"


def fixed(*, more: str = "", fixed: str = "") -> str:
    return FIXED.format(more=more, fixed=fixed)


def line(key: str, caller: str, seconds: str) -> str:
    """Return a line of 33 characters: the key, the caller, a sign of no field, the time, the seconds."""
    return f"{key:3}{caller:6}!2024-05-01 10:00:00{seconds:>4}\n"


LINES = line("001", "anna", "5") + line("002", "Jose", "x 7") + line("003", "bob", "09")


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven", "found"}


def test_fields_are_cut_at_their_positions_and_lose_their_padding(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.txt": LINES}, settings=fixed())
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(3, 2, 1)]
    assert query(project, LAID).rows() == [("001", "anna", 5_000_000), ("003", "bob", 9_000_000)]
    assert query(project, REJECTED).rows() == [
        (1, "unparsable", "quantity: is a decimal number", b"002Jose  !2024-05-01 10:00:00 x 7"),
    ]  # fmt: skip
    assert is_proven(project)


def test_a_line_of_another_length_is_rejected_and_the_other_lines_are_ingested(calls: Write, take_in: TakeIn, query: Query) -> None:
    whole = line("001", "anna", "5")
    project = calls({"a.txt": f"{whole}{whole[:-2]}\n{whole[:-1]} \n{line('002', 'bob', '6')}"}, settings=fixed())
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(4, 2, 2)]
    assert query(project, REJECTED).select("source_row", "reason", "rule").rows() == [
        (1, "unparsable", "line: has 33 characters"), (2, "unparsable", "line: has 33 characters"),
    ]  # fmt: skip
    assert is_proven(project)


def test_lines_without_their_last_blanks_are_read_if_the_source_is_set_to_stripped(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    lines = line("001", "anna", "5   ").replace("   \n", "\n") + line("002", "bob", "").replace("    \n", "\n")
    project = calls({"a.txt": lines + line("003", "bob", "12345")}, settings=fixed(fixed="stripped = true"))
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 2)]
    assert query(project, REJECTED).select("reason", "rule").rows() == [
        ("missing_required", "quantity: is there"), ("unparsable", "line: has at most 33 characters"),
    ]  # fmt: skip
    assert is_proven(project)


def test_positions_count_characters_of_the_encoding(calls: Write, take_in: TakeIn, query: Query) -> None:
    lines = line("001", "änna", "5") + line("002", "José", "6") + line("003", "bob", "7")
    project = calls(
        {"a.txt": lines, "b.txt": line("004", "é", "8").encode("latin-1") + line("005", "eve", "9").encode()}, settings=fixed()
    )
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(3, 0), (1, 1)]
    assert sorted(query(project, LAID)["subscriber"]) == ["José", "bob", "eve", "änna"]
    assert query(project, REJECTED)["reason"].to_list() == ["bad_encoding"]
    assert is_proven(project)


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "é"), ("shift_jis", "あい"), ("latin-1", "é")])
def test_positions_count_bytes_if_the_source_is_set_to_bytes(
    calls: Write, take_in: TakeIn, query: Query, encoding: str, name: str
) -> None:
    first = line("001", "*", "5").encode().replace(b"*     ", name.encode(encoding).ljust(6))
    project = calls(
        {"a.txt": first + line("002", "bob", "6").encode()},
        settings=fixed(more=f'encoding = "{encoding}"', fixed='count = "bytes"'),
    )
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 0)]
    assert query(project, LAID)["subscriber"].to_list() == [name, "bob"]
    assert is_proven(project)


def test_a_field_that_cuts_a_character_rejects_its_line_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    cut = "00é" + line("", "anna", "5")[3:]
    data = cut.encode().replace(b"anna  ", b"anna ") + line("002", "bob", "6").encode()
    project = calls({"a.txt": data}, settings=fixed(fixed='count = "bytes"'))
    take_in(project)
    assert [row[:3] for row in query(project, REJECTED).rows()] == [
        (0, "bad_encoding", "line: no field begins or ends within a character of utf-8"),
    ]  # fmt: skip
    assert is_proven(project)


def test_fields_that_are_not_mapped_stay_attributes(calls: Write, take_in: TakeIn, query: Query) -> None:
    settings = fixed().replace("length = 4 },", 'length = 4 }, { name = "mark", start = 10, length = 1 },')
    project = calls({"a.txt": LINES}, settings=settings)
    take_in(project)
    assert query(project, "SELECT attributes FROM lake.events.usage")["attributes"].to_list() == ['{"mark":"!"}'] * 2


def test_padding_stays_where_the_source_keeps_blanks(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.txt": line("001", "anna", "5") + line("002", "", "5")}, settings=fixed(more="trim = false"))
    take_in(project)
    assert query(project, LAID)["subscriber"].to_list() == ["anna  ", None]


def test_a_fixed_width_file_has_header_and_trailer_records(calls: Write, take_in: TakeIn, query: Query) -> None:
    framing = r"framing = { header = '^HDR', trailer = '^TRL(?P<records>[0-9]{5})(?P<quantity>[0-9]+)' }"
    project = calls({"a.txt": f"HDRx\n{LINES}TRL0000300000014\n"}, settings=fixed(more=framing))
    assert [(u.records, u.accepted) for u in take_in(project).units] == [(3, 2)]
    assert query(project, "SELECT declared_records FROM lake.events.control").rows() == [(3,)]
    assert is_proven(project)


def test_records_of_a_fixed_width_file_are_mapped_again(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.txt": LINES}, settings=fixed())
    take_in(project)
    text = (project.directory / "trueup.toml").read_text()
    changed = calls(toml=text.replace('quantity = "seconds"', "quantity = { expression = \"REPLACE(seconds, 'x ', '1')\" }"))
    assert [(unit.accepted, unit.quarantined) for unit in recycle(changed, clock=lambda: NOW).units] == [(1, 0)]
    assert ("002", "Jose", 17_000_000) in query(changed, LAID).rows()
    assert is_proven(changed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('format = "fixed"', r"needs the fields of a line; declare them in \[source.fixed\]"),
        (fixed(fixed="length = 20"), "`length` is 20, but a field ends at 33"),
        (fixed().replace('"caller"', '"id"'), "`fields` names 'id' twice"),
        (fixed().replace("start = 11", "start = 0"), "start: must be greater"),
        (fixed().replace("length = 3", "length = 0"), "length: must be greater"),
    ],
)
def test_contradictory_fields_are_refused(calls: Write, settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calls(settings=settings)


def test_a_mapped_column_without_a_field_is_an_error_that_names_the_fields(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.txt": LINES}, settings=fixed().replace('"caller"', '"anumber"'))
    (error,) = take_in(project).errors
    assert "'caller', which does not exist; there are id, anumber, at" in error.what
