"""Samples of workbooks, XML, JSON documents and fixed width: the proposed source reads all of their records."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import openpyxl
import pytest

from trueup.errors import TrueupError
from trueup.onboarding.document import Document

Propose = Callable[..., tuple[dict[str, Any], Document]]
NAMES = ("id", "caller", "callee", "start", "billsec")
ROWS = [(f"e{n}", f"49151100000{n}", f"4930123450{n}", f"2026-11-0{n} 10:00:{n:02d}", n * 7) for n in range(1, 9)]
MAPPED = {"record_key": "id", "subscriber": "caller", "peer": "callee", "started_at": "start",
          "quantity": {"column": "billsec", "unit": "s"}}  # fmt: skip


def source(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the proposed settings of the only source, without name, path, stream and constants."""
    left_out = ("name", "path", "stream", "constants")
    return {name: value for name, value in settings["source"][0].items() if name not in left_out}


def outcome(document: Document) -> str:
    """Return the comment above the source."""
    return next(line for line in document.text.splitlines() if "records of the sample become events" in line)


def sheets(**sheets: list[tuple[Any, ...]]) -> bytes:
    book, held = openpyxl.Workbook(), io.BytesIO()
    assert book.active is not None
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(held)
    return held.getvalue()


def test_a_workbook_with_a_title_and_typed_cells(propose_from: Propose) -> None:
    typed = [(key, a, b, datetime.fromisoformat(at), seconds) for key, a, b, at, seconds in ROWS]
    settings, document = propose_from(calls__xlsx=sheets(Calls=[("Calls of November",), (), NAMES, *typed]))
    assert source(settings) == {"format": "xlsx", "skip_lines": 2, "columns": MAPPED}
    assert outcome(document) == "# calls.xlsx: 8 of 8 records of the sample become events"


def test_of_several_sheets_the_one_with_most_cells(propose_from: Propose) -> None:
    data = sheets(Cover=[("Made by the exchange",)], Calls=[NAMES, *ROWS], Rates=[("prefix", "price"), ("49", 0.01)])
    settings, document = propose_from(calls__xlsx=data)
    assert source(settings) == {"format": "xlsx", "sheet": "Calls", "columns": MAPPED}
    assert "[[source]] calls, sheet" in {doubt.setting for doubt in document.doubts}


def xml(rows: list[tuple[Any, ...]], *, around: str = "<CDRs><File><Node>MSC1</Node></File>{}</CDRs>") -> str:
    """Return a document of calls, each with an attribute, a nested element, and plain elements."""
    records = "".join(
        f'<x:CDR xmlns:x="urn:x" id="{key}"><party><caller>{a}</caller><callee>{b}</callee></party><start>{at}</start>'
        f"<billsec>{seconds}</billsec></x:CDR>\n"
        for key, a, b, at, seconds in rows
    )
    return '<?xml version="1.0"?>\n' + around.format(records)


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzip"])
def test_the_repeated_element_of_xml(propose_from: Propose, pack: Callable[[str], bytes]) -> None:
    settings, document = propose_from(calls__xml=pack(xml(ROWS)))
    columns = MAPPED | {"record_key": "@id", "subscriber": "party/caller", "peer": "party/callee"}
    assert source(settings) == {"format": "xml", "element": "CDR", "columns": columns}
    assert outcome(document) == "# calls.xml: 8 of 8 records of the sample become events"


def test_the_record_element_of_xml_is_neither_a_container_of_records_nor_a_part_of_one(propose_from: Propose) -> None:
    legs = "<leg><no>1</no><side>a</side></leg><leg><no>2</no><side>b</side></leg>"
    body = xml(ROWS, around="<f><day><date>2026-11-01</date>{0}</day><day><date>2026-11-02</date></day></f>")
    settings, _ = propose_from(calls__xml=body.replace("<start>", "<vat>19</vat><start>").replace("</x:CDR>", legs + "</x:CDR>"))
    assert source(settings)["element"] == "CDR"


def test_a_long_xml_document_is_cut_behind_a_record(propose_from: Propose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueup.onboarding.sample.MOST_BYTES", 1_000)
    _, document = propose_from(calls__xml=xml(ROWS).replace("\n", "\n\n"))
    assert " of the sample become events" in outcome(document)
    assert not [doubt for doubt in document.doubts if "quarantine" in doubt.reason]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<?xml version='1.0'?><a><b>", "the XML document is damaged: no element found"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "document type definition"),
        ("<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        ("<a><b>1</b></a>", "no element of the XML document has columns"),
    ],
)
def test_xml_that_cannot_be_read_is_one_message(propose_from: Propose, text: str, what: str) -> None:
    with pytest.raises(TrueupError, match=what):
        propose_from(calls__xml=text)


NESTED = [
    dict(zip(NAMES[3:], row[3:], strict=True)) | {"id": row[0], "party": {"caller": row[1], "callee": row[2]}} for row in ROWS
]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("\n".join(map(json.dumps, NESTED)), {"format": "ndjson"}),
        (json.dumps(NESTED), {"format": "json"}),
        (json.dumps(NESTED, indent=2), {"format": "json"}),
        (json.dumps({"node": "m", "data": {"calls": NESTED}}), {"format": "json", "records": "data.calls"}),
        ("\n".join(json.dumps(row, indent=1) for row in NESTED), {"format": "json"}),
    ],
    ids=["lines", "list", "pretty list", "inner list", "pretty objects"],
)
def test_nested_json_in_lines_and_documents(propose_from: Propose, text: str, settings: dict[str, str]) -> None:
    proposed, document = propose_from(calls__json=text)
    assert source(proposed) == settings | {"columns": MAPPED | {"subscriber": "party.caller", "peer": "party.callee"}}
    assert outcome(document) == "# calls.json: 8 of 8 records of the sample become events"


def test_a_long_json_document_is_cut_behind_a_record(propose_from: Propose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueup.onboarding.sample.MOST_BYTES", 1_000)
    settings, _ = propose_from(calls__json=json.dumps({"data": {"calls": NESTED}}, indent=1))
    assert source(settings)["records"] == "data.calls"


@pytest.mark.parametrize("delimiter", ["~", "^", "\x01", "\t"])
def test_rarer_delimiters(propose_from: Propose, delimiter: str) -> None:
    settings, document = propose_from(calls__csv="".join(f"{delimiter.join(map(str, row))}\n" for row in [NAMES, *ROWS]))
    assert source(settings) == {"delimiter": delimiter, "columns": MAPPED}
    assert outcome(document) == "# calls.csv: 8 of 8 records of the sample become events"


def test_the_separator_line_of_a_spreadsheet_is_skipped(propose_from: Propose) -> None:
    rows = "".join(f"{';'.join(map(str, row))}\r\n" for row in [NAMES, *ROWS])
    settings, document = propose_from(calls__csv="sep=;\r\n" + rows)
    assert source(settings) == {"delimiter": ";", "skip_lines": 1, "columns": MAPPED}
    assert "the first line has other fields than the 5 of the records" in {doubt.reason for doubt in document.doubts}


def fixed(*, header: str = "", stripped: bool = False) -> str:
    lines = [f"{key:<6}{a:<16}{b:<16}{at:<20}{seconds:>6}  {'Anna' if seconds > 30 else '':<8}" for key, a, b, at, seconds in ROWS]
    return "".join(f"{line.rstrip() if stripped else line}\n" for line in [*([header] if header else []), *lines])


def test_fields_of_fixed_width_are_found_by_columns_of_blanks(propose_from: Propose) -> None:
    header = f"{'id':<6}{'caller':<16}{'callee':<16}{'start':<20}{'billsec':>7} {'name':<8}"
    settings, document = propose_from(calls__txt=fixed(header=header))
    fields = settings["source"][0]["fixed"]["fields"]
    assert [field["name"] for field in fields] == [*NAMES, "name"]
    assert (settings["source"][0]["skip_lines"], source(settings)["columns"]) == (1, MAPPED)
    assert outcome(document) == "# calls.txt: 8 of 8 records of the sample become events"
    assert any("fixed: fields" in doubt.setting for doubt in document.doubts)


def test_lines_of_fixed_width_without_names_or_end_blanks(propose_from: Propose) -> None:
    settings, document = propose_from(calls__txt=fixed(stripped=True))
    assert settings["source"][0]["fixed"]["stripped"] is True
    assert outcome(document) == "# calls.txt: 8 of 8 records of the sample become events"


def test_for_lines_without_blanks_the_proposal_states_that_a_person_must_write_the_fields(propose_from: Propose) -> None:
    text = "".join(f"{key}{a}{b}{at.replace(' ', 'T')}{seconds:06d}\n" for key, a, b, at, seconds in ROWS)
    with pytest.raises(TrueupError, match="positions of its fields"):
        propose_from(calls__txt=text)


def test_a_workbook_within_an_archive_is_one_message(propose_from: Propose) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("calls.xlsx", sheets(Calls=[NAMES, *ROWS]))
    with pytest.raises(TrueupError, match="workbook"):
        propose_from(calls__zip=held.getvalue())


@pytest.mark.parametrize(
    ("column", "book", "right"),
    [
        ("kb", "KiB", {"expression": "kb * 125 / 128"}),
        ("seconds", "min", {"expression": "ROUND(seconds / 60, 6)"}),
        ("mb", "KiB", {"expression": "mb * 15625 / 16"}),
        ("mb", "kB", {"column": "mb", "scale": 1000}),
    ],
)
def test_quantities_are_turned_into_the_unit_of_the_tariff_book(
    propose_from: Propose, column: str, book: str, right: dict[str, object]
) -> None:
    calls = f"id,caller,callee,start,{column}\n" + "".join(f"{','.join(map(str, row))}\n" for row in ROWS)
    tariff = f"item,service,destination,valid_from,currency,price,unit\nrate,data,49,2026-01-01T00:00:00Z,EUR,0.01,{book}\n"
    settings, _ = propose_from(calls__csv=calls, book__csv=tariff)
    quantity = settings["source"][0]["columns"]["quantity"]
    assert {name: value for name, value in quantity.items() if name != "unit"} == right
