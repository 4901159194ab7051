"""XML: elements of one name are records, their attributes and innermost elements are columns."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect import ingest as ingest_module
from trueup.collect.decode.text.lines import Bounds
from trueup.collect.decode.xml.elements import ElementScan
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
LAID = "SELECT record_key, subscriber, quantity_micros FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, reason, rule, raw FROM lake.events.quarantine ORDER BY source_row"
TOML = """
[lake]
buckets = 4
[[source]]
name = "msc"
stream = "usage"
path = "landing/*"
format = "xml"
element = "CDR"
{settings}
[source.columns]
record_key = "@id"
subscriber = "party/from"
started_at = "at"
quantity = {quantity}
[source.constants]
service = "voice"
"""


def toml(settings: str = "", quantity: str = '"seconds"') -> str:
    return TOML.format(settings=settings, quantity=quantity)


def cdr(key: str, seconds: str = "5", more: str = "") -> str:
    return f'<CDR id="{key}"><party type="A"><from>a{key}</from></party><at>2024-05-01 10:00:00</at><seconds>{seconds}</seconds>{more}</CDR>'


def document(*records: str, head: str = "<head><n>3</n></head>") -> str:
    return f'<?xml version="1.0"?>\n<file>{head}\n' + "\n".join(records) + "\n</file>\n"


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven", "found"}


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_elements_are_records_and_paths_are_columns(
    calls: Write, take_in: TakeIn, query: Query, squeeze: Callable[[bytes], bytes]
) -> None:
    text = document(
        cdr("1"),
        cdr("2", "x"),
        cdr("3", more="<note>a &lt; b</note><leg>p</leg><leg>q</leg>"),
        "<other><seconds>1</seconds></other>",
    )
    project = calls({"a.xml": squeeze(text.encode())}, toml=toml())
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(3, 2, 1)]
    assert query(project, LAID).rows() == [("1", "a1", 5_000_000), ("3", "a3", 5_000_000)]
    assert query(project, REJECTED).rows() == [(1, "unparsable", "quantity: is a decimal number", cdr("2", "x").encode())]
    assert query(project, "SELECT attributes FROM lake.events.usage ORDER BY source_row")["attributes"].to_list() == [
        '{"party/@type":"A"}', '{"party/@type":"A","note":"a < b","leg":["p","q"]}',
    ]  # fmt: skip
    assert is_proven(project)


def test_prefixes_comments_and_sections_of_text_are_read_as_xml_means_them(calls: Write, take_in: TakeIn, query: Query) -> None:
    record = cdr("1").replace("<CDR", '<x:CDR sign="&gt;>"').replace("</CDR", "</x:CDR").replace(">5<", "><![CDATA[5]]><")
    text = document(f"<!-- {cdr('no')} -->", record, f"<t><![CDATA[{cdr('no')}]]></t>", cdr("2"))
    project = calls({"a.xml": text.replace("<file>", '<file xmlns:x="urn:x">')}, toml=toml())
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 0)]
    assert query(project, LAID)["record_key"].to_list() == ["1", "2"]
    assert is_proven(project)


def test_an_element_of_the_same_name_inside_a_record_belongs_to_it(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.xml": document(cdr("1", more="<CDR><n>1</n></CDR>"), cdr("2"))}, toml=toml())
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 0)]
    assert is_proven(project)


def test_the_declared_encoding_is_that_of_the_records(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = document(cdr("é")).replace('"1.0"', '"1.0" encoding="ISO-8859-1"')
    project = calls({"a.xml": text.encode("latin-1")}, toml=toml())
    take_in(project)
    assert query(project, LAID)["record_key"].to_list() == ["é"]
    assert is_proven(project)


@pytest.mark.parametrize(
    "damaged",
    [
        cdr("2").replace("</seconds>", "</second>"),
        cdr("2").replace("</CDR>", "</CD>"),
        cdr("2").replace("<CDR", "<C?R"),
        cdr("2").replace("<CDR", "<C?R").replace("</CDR>", "</C?R>"),
        cdr("2").replace('id="2"', 'id="2'),
        cdr("2", "&unknown;"),
        cdr("2", "\x01"),
    ],
)
def test_a_damaged_record_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query, damaged: str) -> None:
    project = calls({"a.xml": document(cdr("1"), damaged, cdr("3"), cdr("4"))}, toml=toml())
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(4, 3, 1)]
    assert query(project, LAID)["record_key"].to_list() == ["1", "3", "4"]
    ((row, reason, rule, raw),) = query(project, REJECTED).rows()
    assert (row, reason, rule, raw.strip()) == (1, "unparsable", "record: is one well-formed element", damaged.encode())
    assert is_proven(project)


def test_the_last_record_of_a_document_that_was_cut_short_is_rejected(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = document(cdr("1"), cdr("2"))
    project = calls({"a.xml": text[: text.index("</seconds>", text.index('"2"'))]}, toml=toml())
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 1)]
    assert is_proven(project)


def test_a_repeated_mapped_element_rejects_its_record(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.xml": document(cdr("1"), cdr("2", more="<seconds>6</seconds>"))}, toml=toml())
    take_in(project)
    assert query(project, REJECTED).select("source_row", "reason", "rule").rows() == [(1, "unparsable", "record: has seconds once")]
    assert is_proven(project)


def test_records_beyond_the_limits_are_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    long, deep = cdr("2", more=f"<note>{'x' * 3_000_000}</note>"), cdr("3", more="<d>" * 30 + "</d>" * 30)
    many = cdr("4", more="".join(f"<m{n}>1</m{n}>" for n in range(30)))
    limits = "limits = { kept_bytes = 100, depth = 20, columns = 20 }"
    project = calls({"a.xml": document(cdr("1"), long, deep, many, cdr("5"))}, toml=toml(limits))
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 3)]
    assert query(project, REJECTED)["reason"].to_list() == ["over_limit"] * 3
    assert is_proven(project)


def test_records_of_a_document_are_mapped_again(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.xml": document(cdr("1"), cdr("2", "x7"))}, toml=toml())
    take_in(project)
    project = calls(toml=toml(quantity="{ expression = \"REPLACE(seconds, 'x', '')\" }"))
    assert [unit.accepted for unit in recycle(project, clock=lambda: NOW).units] == [1]
    assert query(project, LAID)["quantity_micros"].to_list() == [5_000_000, 7_000_000]
    assert is_proven(project)


def test_a_document_of_several_parts_is_proven(calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 2)
    project = calls({"a.xml": document(*(cdr(str(n)) for n in range(5)))}, toml=toml())
    (unit,) = take_in(project).units
    assert (len(unit.positions), unit.accepted) == (3, 5)
    assert is_proven(project)


def test_a_document_of_a_root_alone_has_no_records(calls: Write, take_in: TakeIn) -> None:
    assert [u.records for u in take_in(calls({"a.xml": "<file></file>"}, toml=toml())).units] == [0]


BOMB = '<!DOCTYPE file [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE file [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (document(cdr("1", "&b;")).replace("<file>", BOMB + "<file>"), "the file has a document type definition (DTD)"),
        (document(cdr("1", "&a;")).replace("<file>", OUTSIDE + "<file>"), "the file has a document type definition (DTD)"),
        (document(cdr("1")).replace("<file>", '<!DOCTYPE file SYSTEM "http://localhost/x.dtd"><file>'), "the file has a document type"),
        (document(cdr("1")).replace("CDR", "Cdr"), "the document has no element 'CDR'; there are file, head, n, Cdr"),
        ("<a>" * 5000 + "</a>" * 5000, "the file has elements nested more than 1000 deep"),
        (f"<file><head x='{'y' * 5_000_000}'/></file>", "the file has a tag of more than 4194304 bytes"),
        (document(cdr("1")).replace('"1.0"', '"1.0" encoding="klingon"'), "the encoding that the document declares is unknown"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_one_clear_error_and_the_next_file_is_ingested(
    calls: Write, take_in: TakeIn, text: str, what: str
) -> None:
    summary = take_in(calls({"a.xml": text, "b.xml": document(cdr("b"))}, toml=toml()))
    assert [error.what.startswith(what) for error in summary.errors] == [True], summary.errors
    assert [u.accepted for u in summary.units] == [1]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [('element = "CDR"', "", "needs `element`"), ('"CDR"', '"x:CDR"', "element"), ('"CDR"', '"<CDR>"', "element")],
)
def test_contradictory_settings_are_refused(calls: Write, before: str, after: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calls(toml=toml().replace(before, after, 1))


PIECES = st.lists(
    st.sampled_from(["<CDR/>", '<CDR a="/>"/>', "<CDR>x</CDR>", "<n:CDR\n>y</n:CDR >", "<CDRS>1</CDRS>", "<!-- <CDR> -->", "text", "<b/>", "<?CDR?>"]), max_size=9
)  # fmt: skip


class _ShortMargin(ElementScan):
    margin_bytes = 16


@given(PIECES, st.integers(1, 9))
def test_records_are_found_for_any_size_of_chunks(pieces: list[str], step: int) -> None:
    data = ("<file>" + "".join(pieces) + "</file>").encode()
    for kind in (ElementScan, _ShortMargin):
        found = []
        scan = kind("CDR", Bounds(1 << 20, 1 << 16), is_sound=True)
        for piece in scan.records(data[at : at + step] for at in range(0, len(data), step)):
            for index in range(len(piece)):
                begin, raw = piece.offset + int(piece.starts[index]), piece.raw(index)
                assert data[begin : begin + len(raw)] == raw
                found.append(raw.decode())
        assert found == [
            piece for piece in pieces if "CDR" in piece and piece[1] != "!" and piece[1] != "?" and "CDRS" not in piece
        ]
