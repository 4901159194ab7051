"""Workbooks: rows of one sheet, every cell as the text of its exact value."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import openpyxl
import polars as pl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from trueup.collect import ingest as ingest_module
from trueup.collect.ingest import IngestSummary
from trueup.collect.recycle.recycle import recycle
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

NOW = datetime(2024, 6, 1, tzinfo=UTC)
AT = datetime(2024, 5, 1, 10)
HEADER = ("id", "caller", "at", "seconds")
XLSX = 'format = "xlsx"'
LAID = "SELECT record_key, subscriber, started_at::VARCHAR AS at, quantity_micros FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, source_offset, reason, rule, raw FROM lake.events.quarantine ORDER BY source_row"


def workbook(*rows: tuple[Any, ...], sheets: tuple[str, ...] = ("Calls",), epoch: datetime | None = None, **edits: str) -> bytes:
    """Return a workbook with these rows in its first sheet; `edits` replaces texts in the XML of that sheet."""
    book = openpyxl.Workbook()
    if epoch is not None:
        book.epoch = epoch
    sheet = book.active
    assert sheet is not None
    sheet.title = sheets[0]
    for row in rows:
        sheet.append(row)
    for name in sheets[1:]:
        book.create_sheet(name).append(("other",))
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def edited(data: bytes, *edits: tuple[str, str], member: str = "xl/worksheets/sheet1.xml") -> bytes:
    """Return a workbook in whose member texts are replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            text = old.read(item)
            if item.filename == member:
                for before, after in edits:
                    assert re.search(before.encode(), text), (before, text)
                    text = re.sub(before.encode(), after.encode(), text, count=1)
            new.writestr(item.filename, text)
    return out.getvalue()


def is_proven(project: Project) -> bool:
    """Return whether every record is proven by the cells of its row, and each unit by its own mapping."""
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven", "found"}


def test_cells_of_a_sheet_are_the_fields_of_records(calls: Write, take_in: TakeIn, query: Query) -> None:
    data = workbook(HEADER, ("a", "0151", AT, 60), (), ("b", 49151, "2024-05-01 10:00:01", 0.1 + 0.2), ("c", "x", AT, "sixty"))
    project = calls({"a.xlsx": data}, settings=XLSX)
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(3, 2, 1)]
    assert query(project, LAID).rows() == [
        ("a", "0151", "2024-05-01 10:00:00+00", 60_000_000), ("b", "49151", "2024-05-01 10:00:01+00", 300_000),
    ]  # fmt: skip
    raw = b'{"id":"c","caller":"x","at":"2024-05-01 10:00:00","seconds":"sixty"}'
    assert query(project, REJECTED).rows() == [(2, 5, "unparsable", "quantity: is a decimal number", raw)]
    assert is_proven(project)


STRING = "<r><t>x</t></r><r><t> y</t></r><rPh><t>no</t></rPh>"


@pytest.mark.parametrize("is_shared", [True, False])
def test_strings_are_read_without_their_furigana(calls: Write, take_in: TakeIn, query: Query, is_shared: bool) -> None:
    data = workbook(HEADER, ("a", "x", AT, 1))
    if is_shared:
        cell, kind = '<c r="B2" t="s"><v>1</v></c>', "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
        data = edited(
            data, ("</Types>", f'<Override PartName="/xl/strings.xml" ContentType="{kind}"/></Types>'), member="[Content_Types].xml"
        )
        out = io.BytesIO(data)
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr("xl/strings.xml", f"<sst><si><t>other</t></si><si>{STRING}</si></sst>")
        data = out.getvalue()
    else:
        cell = f'<c r="B2" t="inlineStr"><is>{STRING}</is></c>'
    project = calls({"a.xlsx": edited(data, ('<c r="B2".*?</c>', cell))}, settings=XLSX)
    assert take_in(project).errors == []
    assert query(project, LAID)["subscriber"].to_list() == ["x y"]
    assert is_proven(project)


def test_a_sheet_of_many_chunks_is_read_whole(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.xlsx": workbook(HEADER, *((str(n), "x", AT, n) for n in range(3000)))}, settings=XLSX)
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(3000, 0)]


def test_records_of_a_sheet_are_mapped_again(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls(
        {"a.xlsx": workbook(("title",), HEADER, ("a", "x", AT, 1), ("b", "x", AT, "2 s"))}, settings=f"{XLSX}\nskip_lines = 1"
    )
    take_in(project)
    text = (project.directory / "trueup.toml").read_text()
    project = calls(toml=text.replace('quantity = "seconds"', "quantity = { expression = \"REPLACE(seconds, ' s', '')\" }"))
    assert [unit.accepted for unit in recycle(project, clock=lambda: NOW).units] == [1]
    assert query(project, LAID)["quantity_micros"].to_list() == [1_000_000, 2_000_000]
    assert is_proven(project)


def test_a_sheet_of_several_parts_is_proven(calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 2)
    project = calls({"a.xlsx": workbook(HEADER, *((str(n), "x", AT, n) for n in range(5)))}, settings=XLSX)
    (unit,) = take_in(project).units
    assert (len(unit.positions), unit.accepted) == (3, 5)
    assert is_proven(project)


def test_numbers_that_a_spreadsheet_has_rounded_reject_their_record_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    rows = [("a", 491511000000123, AT, 1), ("b", 4915110000001234, AT, 1), ("c", 1e300, AT, 1), ("d", "4915110000001234", AT, 1)]
    project = calls({"a.xlsx": workbook(HEADER, *rows)}, settings=XLSX)
    take_in(project)
    assert query(project, LAID)["subscriber"].to_list() == ["491511000000123", "4915110000001234"]
    assert [row[2:4] for row in query(project, REJECTED).rows()] == [
        ("lost_digits", "caller: has all its digits (a spreadsheet keeps 15)"),
    ] * 2  # fmt: skip
    assert is_proven(project)


def test_a_number_of_many_digits_in_a_column_that_is_not_mapped_rejects_nothing(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    project = calls({"a.xlsx": workbook((*HEADER, "note"), ("a", "x", AT, 1, 2**60))}, settings=XLSX)
    assert [u.accepted for u in take_in(project).units] == [1]
    assert query(project, "SELECT attributes FROM lake.events.usage").item() == '{"note":"1.152921504606847e+18"}'


def test_formulas_have_their_stored_value_or_reject_their_record(calls: Write, take_in: TakeIn, query: Query) -> None:
    data = workbook(HEADER, ("a", "x", AT, "=1+1"), ("b", "x", AT, "=1+2"), ("c", "x", AT, 1))
    data = edited(
        data, ("<f>1\\+1</f><v ?/>", "<f>1+1</f><v>2</v>"), ("<v>1</v></c></row></sheetData>", "<v>#N/A</v></c></row></sheetData>")
    )
    data = edited(data, ('<c r="D4" t="n">', '<c r="D4" t="e">'))
    project = calls({"a.xlsx": data}, settings=XLSX)
    take_in(project)
    assert query(project, LAID).select("record_key", "quantity_micros").rows() == [("a", 2_000_000)]
    assert [(row[2], row[3], row[4][-19:]) for row in query(project, REJECTED).rows()] == [
        ("uncomputable", "seconds: is a formula with a stored value", b'00","seconds":"=1+2"}'[-19:]),
        ("uncomputable", "seconds: is no error value", b'00","seconds":"#N/A"}'[-19:]),
    ]
    assert is_proven(project)


@pytest.mark.parametrize("epoch", [None, CALENDAR_MAC_1904])
def test_dates_are_right_from_either_epoch(calls: Write, take_in: TakeIn, query: Query, epoch: datetime | None) -> None:
    rows = [("a", "x", AT, timedelta(hours=100, seconds=1)), ("b", "x", AT, time(0, 1, 30))]
    data = workbook(HEADER, *rows, epoch=epoch)
    project = calls({"a.xlsx": data}, settings=f"{XLSX}\nrange = {{ quantity = ['0', '400000'] }}", columns="").directory
    text = (project / "trueup.toml").read_text()
    changed = calls(toml=text.replace('quantity = "seconds"', 'quantity = { column = "seconds", duration = "h:m:s" }'))
    take_in(changed)
    assert query(changed, LAID).select("at", "quantity_micros").rows() == [
        ("2024-05-01 10:00:00+00", 360_001_000_000), ("2024-05-01 10:00:00+00", 90_000_000),
    ]  # fmt: skip
    assert is_proven(changed)


def test_numbers_of_cells_are_plain_in_any_notation(calls: Write, take_in: TakeIn, query: Query) -> None:
    settings = XLSX + '\nnotation = { decimal = ",", grouping = "." }'
    project = calls({"a.xlsx": workbook(HEADER, ("a", "x", AT, 1.5), ("b", "x", AT, "1.234,5"))}, settings=settings)
    take_in(project)
    assert query(project, LAID)["quantity_micros"].to_list() == [1_500_000, 1_234_500_000]
    assert is_proven(project)


def test_a_row_with_cells_beyond_the_columns_is_rejected(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.xlsx": workbook(HEADER, ("a", "x", AT, 1, "extra"), ("b", "x", AT, 1))}, settings=XLSX)
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 1)]
    ((_, _, reason, rule, raw),) = query(project, REJECTED).rows()
    assert (reason, rule, b'"E":"extra"' in raw) == ("wrong_field_count", "row: has no cell beyond the column D", True)
    assert is_proven(project)


def test_a_row_with_two_cells_of_one_column_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    data = edited(workbook(HEADER, ("a", "x", AT, 1), ("b", "y", AT, 1)), ('r="B2"', 'r="A2"'))
    project = calls({"a.xlsx": data}, settings=XLSX)
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 1)]
    assert query(project, REJECTED).select("reason", "rule").rows() == [("unparsable", "row: has one cell in each column")]
    assert is_proven(project)


def test_a_row_that_is_too_large_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    rows = [("a", "x" * 5000, AT, 1), ("b", "x", AT, 1)]
    project = calls({"a.xlsx": workbook(HEADER, *rows)}, settings=f"{XLSX}\nlimits = {{ record_bytes = 4000 }}")
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 1)]
    assert query(project, REJECTED)["reason"].to_list() == ["over_limit"]
    assert is_proven(project)


def test_a_sheet_is_chosen_by_name(calls: Write, take_in: TakeIn) -> None:
    data = workbook(HEADER, ("a", "x", AT, 1), sheets=("May", "June"))
    assert [u.accepted for u in take_in(calls({"a.xlsx": data}, settings=f'{XLSX}\nsheet = "May"')).units] == [1]
    for settings, what in ((XLSX, "the workbook has 2 sheets"), (f'{XLSX}\nsheet = "July"', "the workbook has no sheet 'July'")):
        project = calls({"a.xlsx": data, "b.xlsx": workbook(HEADER, ("b", "x", AT, 1), sheets=("May", "June"))}, settings=settings)
        (error,) = take_in(project).errors
        assert (error.what, "one of May, June" in str(error)) == (what, True)


def test_a_sheet_without_a_header_numbers_its_columns(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = calls({"a.xlsx": workbook(("a", "x", AT, 1))}, settings=f"{XLSX}\nheader = false").directory / "trueup.toml"
    toml = text.read_text()
    for number, name in enumerate(HEADER, 1):
        toml = toml.replace(f'= "{name}"', f'= "{number}"')
    project = calls(toml=toml)
    assert [u.accepted for u in take_in(project).units] == [1]
    assert is_proven(project)


GOOD = workbook(HEADER, ("a", "x", AT, 1))


def bomb() -> bytes:
    rows = "".join(f"<row><c><v>{'1' * 40}</v></c></row>" for _ in range(5000))
    return edited(GOOD, ("</sheetData>", rows * 60 + "</sheetData>"))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600, "the workbook has a password, or is of an old Office version (xls)"),
        (b"id,caller,at,seconds\n", "the file is not a workbook (xlsx)"),
        (GOOD[: len(GOOD) // 2], "the workbook is damaged"),
        (edited(GOOD, ("</sheetData>", "</sheetDat>")), "the workbook is damaged"),
        (
            edited(GOOD, ("<worksheet", '<!DOCTYPE x [<!ENTITY e "eeee">]><worksheet')),
            "the file has a document type definition (DTD)",
        ),
        (
            edited(
                GOOD, ("<workbook", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><workbook'), member="xl/workbook.xml"
            ),
            "the file has a document type definition (DTD)",
        ),
        (edited(GOOD, ('<row r="2"', '<row r="1"')), "row 1 of the sheet follows row 1"),
        (edited(GOOD, ('<row r="2"', '<row r="9999999"')), "row 9999999 of the sheet follows row 1"),
        (edited(GOOD, ("<sheetData>.*</sheetData>", "<sheetData/>")), "the sheet has no rows"),
        (bomb(), "the workbook unpacks to more than"),
    ],
)
def test_a_workbook_that_cannot_be_read_is_one_clear_error_and_the_next_file_is_ingested(
    calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch, data: bytes, what: str
) -> None:
    monkeypatch.setattr("trueup.collect.decode.workbook.package.LEAST_BYTES", 1_000_000)
    project = calls({"a.xlsx": data, "b.xlsx": workbook(HEADER, ("b", "x", AT, 1))}, settings=XLSX)
    summary = take_in(project)
    assert [error.what.startswith(what) for error in summary.errors] == [True], summary.errors
    assert [(u.path, u.accepted) for u in summary.units] == [("landing/b.xlsx", 1)]


def test_a_tag_of_any_length_is_refused_in_bounded_memory(calls: Write, take_in: TakeIn) -> None:
    data = edited(GOOD, ('<row r="2"', f'<row r="2" x="{"y" * 5_000_000}"'))
    (error,) = take_in(calls({"a.xlsx": data}, settings=XLSX)).errors
    assert error.what == "the file has a tag of more than 4194304 bytes"


def test_a_subscription_that_ends_before_it_begins_keeps_its_cells(calls: Write, take_in: TakeIn, query: Query) -> None:
    toml = """
[[source]]
name = "crm"
stream = "subscriber"
path = "landing/*"
format = "xlsx"
[source.columns]
record_key = "id"
system = "by"
subscriber = "number"
status = "status"
valid_from = "from"
valid_to = "to"
"""
    header = ("id", "by", "number", "status", "from", "to")
    good = ("1", "billing", "49", "active", datetime(2024, 1, 1), None)
    bad = ("2", "billing", "49", "active", datetime(2024, 2, 1), datetime(2024, 1, 1))
    project = calls({"a.xlsx": workbook(header, good, bad)}, toml=toml)
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 1)]
    raw = b'{"id":"2","by":"billing","number":"49","status":"active","from":"2024-02-01 00:00:00","to":"2024-01-01 00:00:00"}'
    assert query(project, REJECTED)["raw"].to_list() == [raw]
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units", "counts")).sound
