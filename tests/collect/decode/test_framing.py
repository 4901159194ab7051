"""Framing of text files: skipped lines, header and trailer records, and what trailers declare."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.collect import ingest as ingest_module
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.units import open_unit
from trueup.collect.ingest import IngestSummary
from trueup.collect.map.mapping_record import mapping_record, read_mapping
from trueup.collect.watch import Watch
from trueup.config import Config, Project, SourceConfig, parse
from trueup.errors import ConfigError, SourceError
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify
from trueup.quality.completeness.controls import control

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]
Squeeze = Callable[[bytes], bytes]

NOW = datetime(2024, 6, 1, tzinfo=UTC)
COLUMNS = "id,caller,at,seconds\n"
RECORDS = "1,a,2024-05-01 10:00:00,5\n2,a,2024-05-01 10:00:01,sixty\n3,a,2024-05-01 10:00:02,7\n"
DECLARED = "SELECT declared_records, records FROM lake.events.control ORDER BY part_no"
PATTERNS = {"header": "^HDR", "trailer": r"^TRL\|(?P<records>[0-9]+)$"}
FRAMED = r"framing = { header = '^HDR', trailer = '^TRL\|(?P<records>[0-9]+)$' }"
TRAILED = r"framing = { trailer = '^TRL,(?P<records>[0-9]+)$' }"


def is_proven(project: Project) -> bool:
    """Return whether every record is proven by its own bytes, and each unit by its own mapping."""
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven"}


@dataclass(frozen=True)
class Content:
    """The result of reading a file: columns, two fields and the bytes of each record, record numbers, and the count of records."""

    columns: tuple[str, ...]
    fields: list[tuple[str | None, ...]]
    raw: list[bytes]
    rows: list[int]
    declared: int | None


@contextmanager
def folder_with(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


def content_of(data: bytes | str, *, name: str = "x.csv", **values: object) -> Content:
    """Read a file as a source with these settings; each record is also read alone, by its provenance."""
    settings = {"name": "x", "stream": "usage", "path": name, "identity": "content", "columns": {"service": "a", "peer": "b"}}
    source = SourceConfig.model_validate(settings | values)
    with (
        folder_with(name, data.encode() if isinstance(data, str) else data) as path,
        open_unit(Project(path.parent, Config()), source, path) as unit,
    ):
        unit.check_readable_to_end()
        reader = reader_of(unit)
        names = list(reader.columns())[:2]
        found = Content(tuple(reader.columns()), [], [], [], reader.declared_records)
        for piece in reader.pieces():
            batch = reader.read(piece, names, attributes=False)
            alone = [reader.read(reader.at(*at), names, attributes=False) for at in batch.provenance.rows()]
            assert batch.fields.rows() == [row for one in alone for row in one.fields.rows()]
            found.fields.extend(batch.fields.rows())
            found.raw.extend(unit.bytes_at(offset, length) for _, offset, length in batch.provenance.rows())
            found.rows.extend(batch.provenance["source_row"])
    return found


# --- skipped lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, zstandard.compress])
def test_lines_before_the_header_are_skipped(end: str, squeeze: Squeeze) -> None:
    text = "\ufeffCalls, of May\n\na,b\n1,2\n\n3,4\n".replace("\n", end)
    content = content_of(squeeze(text.encode()), skip_lines=2)
    assert (content.columns, content.fields, content.rows) == (("a", "b"), [("1", "2"), ("3", "4")], [0, 1])
    assert content.raw == [b"1,2", b"3,4"]


def test_lines_before_the_first_record_of_a_file_without_header_are_skipped() -> None:
    assert content_of("valid until,2024,x\n1,2\n", skip_lines=1, header=False).fields == [("1", "2")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title\n\n", "has only 2 lines, and skip_lines skips 3"),
        ("title\n\n\n", "only empty lines"),
        ("x" * 1_100_000, "has more than 1048576 bytes in line 1"),
    ],
)
def test_a_file_that_ends_within_the_skipped_lines_is_refused(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        content_of(text, skip_lines=3)


# --- header and trailer records -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("last", ["TRL|2", "TRL|2\n", "TRL|2\r\n\r\n"])
def test_header_and_trailer_are_not_records(squeeze: Squeeze, last: str) -> None:
    content = content_of(squeeze(f"\ufeffHDR|MSC07\n\na,b\n1,2\n3,4\n{last}".encode()), framing=PATTERNS)
    assert (content.columns, content.fields, content.rows) == (("a", "b"), [("1", "2"), ("3", "4")], [0, 1])
    assert (content.raw, content.declared) == ([b"1,2", b"3,4"], 2)


def test_json_lines_have_header_and_trailer_too() -> None:
    content = content_of('HDR\n{"a": "1", "b": "2"}\nTRL|1\n', format="ndjson", framing=PATTERNS)
    assert (content.fields, content.declared) == ([("1", "2")], 1)


def test_a_trailer_after_fields_with_line_ends_is_found() -> None:
    content = content_of('a,b\n1,"2\nTRL|9"\nTRL|1\n', quoted_newlines=True, framing={"trailer": PATTERNS["trailer"]})
    assert (content.fields, content.declared) == ([("1", "2\nTRL|9")], 1)


def test_a_header_may_declare_the_records_and_several_lines_may_be_trailers() -> None:
    framing = {"header": "^HDR (?P<records>[0-9]+)$", "trailer": "^(TRL|EOF)"}
    content = content_of("HDR 1\na,b\n1,2\nTRL\nEOF\n", framing=framing)
    assert (content.fields, content.declared) == ([("1", "2")], 1)


def test_skipped_lines_come_before_the_header_record() -> None:
    assert content_of("title\nHDR\na,b\n1,2\nTRL|1\n", skip_lines=1, framing=PATTERNS).fields == [("1", "2")]


@pytest.mark.parametrize("text", ["HDR\na,b\nTRL|0\n", "HDR\nTRL|0\n", "\ufeffHDR\n\nTRL|0"])
def test_a_framed_file_may_have_no_record(text: str) -> None:
    assert content_of(text, framing=PATTERNS) == Content(("a", "b"), [], [], [], 0)


def test_a_framed_file_of_json_lines_may_have_no_record() -> None:
    assert content_of("HDR\nTRL|0\n", format="ndjson", framing=PATTERNS) == Content(("a", "b"), [], [], [], 0)


def test_a_file_of_a_trailer_alone_has_no_record() -> None:
    framing = {"trailer": PATTERNS["trailer"]}
    assert content_of("\ufeffTRL|0", framing=framing, header=False) == Content(("a", "b"), [], [], [], 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HDR\na,b\n1,2\n", "does not end with its trailer record; its last line is '1,2'"),
        ("HDR\na,b\n1,2\nTRL", "does not end with its trailer record; its last line is 'TRL'"),
        ("HDR\na,b\n1,2\nTRL|1\n4,", "does not end with its trailer record; its last line is '4,'"),
        ("a,b\n1,2\nTRL|1\n", "does not begin with its header record; its first line is 'a,b'"),
        ("HDR\na,b\n1,2\nTRL|1\nTRL|2\n", "declare two numbers of records: 2 and 1"),
        (f"HDR\na,b\n1,2\nTRL|{'9' * 19}\n", "declares an invalid number of records: '9999999999999999999'"),
        ("HDR\n" * 1_001 + "TRL|0\n", "more than 1000 lines at its beginning are header records"),
        ("HDR\na,b\n" + "TRL|3\n" * 20_000, "more than 65536 bytes at its end are trailer records"),
        ("HDR\n", "does not end with its trailer record; its last line is ''"),
    ],
)
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_a_file_whose_frame_is_damaged_is_refused(text: str, message: str, squeeze: Squeeze) -> None:
    with pytest.raises(SourceError) as raised:
        content_of(squeeze(text.encode()), framing=PATTERNS)
    assert message in str(raised.value)


def test_two_equal_trailers_are_one_declaration() -> None:
    content = content_of("HDR\na,b\n1,2\nTRL|3\nTRL|3\n", framing=PATTERNS)
    assert (content.fields, content.declared) == ([("1", "2")], 3)


def test_a_trailer_in_the_middle_stays_a_record_that_is_rejected(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": f"HDR\n{COLUMNS}{RECORDS}TRL|3\nHDR\n{RECORDS}TRL|3\n"}, settings=FRAMED)
    assert [(u.records, u.quarantined) for u in take_in(project).units] == [(8, 4)]
    assert query(project, DECLARED).rows() == [(3, 8)]
    assert is_proven(project)


CELL = st.text(st.characters(codec="latin-1", exclude_characters='\r\n\0"'), max_size=6)
STORED = [("utf-8", bytes), ("latin-1", gzip.compress), ("utf-8", zstandard.compress)]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(CELL, CELL), max_size=12),
    st.lists(st.text("ab, ", max_size=5), max_size=3),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(STORED),
)
def test_any_framing_of_any_records_gives_exactly_the_records(
    records: list[tuple[str, str]], titles: list[str], headers: int, trailers: int, end: str, stored: tuple[str, Squeeze]
) -> None:
    encoding, squeeze = stored
    lines = [f'"r{a}","{b}"' for a, b in records]
    text = end.join([*titles, *["#H"] * headers, "a,b", *lines, *[f"#T {len(lines)}"] * trailers, ""])
    framing = {"header": "^#H"} if headers else {}
    framing |= {"trailer": "^#T (?P<records>[0-9]+)$"} if trailers else {}
    content = content_of(squeeze(text.encode(encoding)), encoding=encoding, skip_lines=len(titles), framing=framing or None)
    assert content.fields == [(f"r{a}", b or None) for a, b in records]
    assert content.raw == [line.encode(encoding) for line in lines]
    assert content.declared == (len(lines) if trailers else None)


# --- repeated headers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["a,b", "a,b\na,b", '"a","b"', "\ufeffa,b", " a, b"])
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_a_repeated_header_is_not_a_record(again: str, squeeze: Squeeze) -> None:
    content = content_of(squeeze(f"a,b\n1,2\n{again}\n3,4\n{again}\n".encode()))
    assert (content.fields, content.rows, content.raw) == ([("1", "2"), ("3", "4")], [0, 1], [b"1,2", b"3,4"])


def test_a_header_in_another_order_names_the_fields_of_the_lines_after_it() -> None:
    content = content_of('a,b,"c,d"\n1,2,3\nb,a,"c,d"\n2,1,3\n"c,d",b,a\n3,2,1\na,b,"c,d"\n1,2,3\n')
    assert (content.columns, content.fields, content.rows) == (("a", "b", "c,d"), [("1", "2")] * 4, [0, 1, 2, 3])


@pytest.mark.parametrize("line", ["a,c", "a", "a,b,c", "a,a", '"a,b"', "A,b", "xa,b"])
def test_a_line_of_other_names_is_a_record(line: str) -> None:
    content = content_of(f"a,b\n{line}\n3,4\n")
    assert (content.fields[-1], content.rows[-1]) == (("3", "4"), 1)


def test_a_header_of_numbers_is_never_taken_for_repeated() -> None:
    assert content_of("1,2\n1,2\n2,1\n", columns={"service": "1", "peer": "2"}).fields == [("1", "2"), ("2", "1")]


def test_repeated_headers_are_records_if_a_source_is_set_so() -> None:
    assert content_of("a,b\na,b\n1,2\n", repeated_header=False).fields == [("a", "b"), ("1", "2")]


def test_columns_that_change_their_order_at_every_record_are_refused() -> None:
    with pytest.raises(SourceError, match="more than 1000 times"):
        content_of("a,b\n" + "b,a\na,b\n" * 600)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(CELL, st.permutations(["a", "bb", "c c"]), st.integers(0, 2)), min_size=1, max_size=12),
    st.sampled_from(STORED),
)
def test_records_in_any_order_of_columns_have_their_fields(
    records: list[tuple[str, list[str], int]], stored: tuple[str, Squeeze]
) -> None:
    encoding, squeeze = stored
    lines = ["a,bb,c c"]
    for cell, order, repeats in records:
        values = {"a": f"1{cell}", "bb": f"2{cell}", "c c": "3"}
        lines += [",".join(order)] * (1 + repeats) + [",".join(f'"{values[name]}"' for name in order)]
    content = content_of(squeeze("\n".join(lines).encode(encoding)), encoding=encoding)
    assert content.fields == [(f"1{cell}", f"2{cell}") for cell, _, _ in records]


# --- in the log -------------------------------------------------------------------------------------------------------


def test_a_trailer_that_declares_more_records_than_arrived_is_a_finding(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": f"{COLUMNS}{RECORDS}TRL,5\n"}, settings=TRAILED)
    (unit,) = take_in(project).units
    assert (unit.records, unit.accepted, unit.quarantined) == (3, 2, 1)
    with Lake.open(project, clock=lambda: NOW) as lake:
        control(lake)
        findings = lake.connection.execute("SELECT kind, control, reason, records_low FROM lake.events.finding").fetchall()
    assert findings == [("total_mismatch", "declared", "landing/a.csv declares 5 records and holds 3", 2)]


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_a_framed_file_of_several_parts_is_proven_after_any_change_of_settings(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch, squeeze: Squeeze
) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 2)
    text = f"title\nHDR\n{COLUMNS}{RECORDS}TRL|3\n"
    project = calls({"a.csv": squeeze(text.encode())}, settings=f"skip_lines = 1\n{FRAMED}")
    (unit,) = take_in(project).units
    assert (len(unit.positions), unit.records, unit.quarantined) == (2, 3, 1)
    assert query(project, DECLARED).rows() == [(3, 2), (3, 1)]
    assert query(project, "SELECT source_offset FROM lake.events.usage ORDER BY 1")["source_offset"].to_list() == [
        text.index("1,a"), text.index("3,a"),
    ]  # fmt: skip
    with Lake.open(calls(settings="skip_lines = 3"), read_only=True) as lake:
        assert verify(lake, only=("units", "counts")).sound


def test_a_changed_declaration_of_a_trailer_is_tampering(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": f"{COLUMNS}{RECORDS}TRL,5\n"}, settings=TRAILED)
    take_in(project)
    with Lake.open(project) as lake:
        assert verify(lake, only=("units",)).sound
        lake.connection.execute("UPDATE lake.events.control SET declared_records = 3")
        (fault,) = verify(lake, only=("units",)).faults
    assert (fault.kind, "declared_records = 3, the bytes declare 5" in fault.detail) == ("tampered", True)


def test_a_watched_file_is_ingested_once_its_trailer_has_come(calls: Write, query: Query) -> None:
    project = calls({"a.csv": COLUMNS + RECORDS}, settings=TRAILED)
    looking = Watch(project, clock=lambda: NOW)
    first = looking.look()
    assert first is not None
    assert (first.units, len(first.errors)) == ([], 1)
    with (project.directory / "landing/a.csv").open("a") as more:
        more.write("TRL,3\n")
    again = looking.look()
    assert again is not None
    assert [u.records for u in again.units] == [3]
    assert query(project, DECLARED).rows() == [(3, 3)]


def test_repeated_headers_are_proven_as_they_were_ingested(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = f"{COLUMNS}{RECORDS}{COLUMNS}at,id,seconds,caller\n2024-05-01 10:00:03,4,8,a\n"
    project = calls({"a.csv": text}, settings="repeated_header = false")
    assert [(u.records, u.accepted) for u in take_in(project).units] == [(6, 2)]
    project = calls({"b.csv": text.replace(",8,", ",9,")})
    assert [(u.records, u.accepted, u.duplicate) for u in take_in(project).units if u.outcome == "taken"] == [(4, 1, 2)]
    assert is_proven(project)
    assert query(project, "SELECT quantity_micros FROM lake.events.usage WHERE record_key = '4'").rows() == [(9_000_000,)]


def test_a_mapping_that_an_earlier_version_recorded_reads_repeated_headers_as_records(calls: Write) -> None:
    project = calls()
    (source,) = project.config.source
    recorded = json.loads(mapping_record(project, source, 2).text)
    assert "fixed" not in recorded["source"], "a later setting without effect must not change the id of a mapping"
    assert read_mapping(json.dumps(recorded)).source.repeated_header
    for name in ("repeated_header", "skip_lines", "framing"):
        del recorded["source"][name]
    earlier = read_mapping(json.dumps(recorded)).source
    assert (earlier.repeated_header, earlier.skip_lines, earlier.framing) == (False, 0, None)


# --- settings ---------------------------------------------------------------------------------------------------------


SOURCE = '[[source]]\nname = "msc"\nstream = "usage"\npath = "x.csv"\nidentity = "content"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip_lines = -1", "skip_lines: must be greater"),
        ("framing = { }", "set `header`, `trailer` or both"),
        ("framing = { trailer = '(' }", "invalid pattern"),
        ("framing = { trailer = '^T(?P<lines>[0-9]+)' }", "unknown group 'lines'"),
        (
            f"{TRAILED}\nmanifest = {{ path = '{{name}}.ctl', pattern = 'N=(?P<records>[0-9]+)' }}",
            "both find the number of records",
        ),
    ],
)
def test_contradictory_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(SOURCE + text)
