"""JSON: members of nested objects, and lists in lines and documents whose items are records."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect import ingest as ingest_module
from trueup.collect.decode.json.document import DocumentScan
from trueup.collect.decode.text.lines import Bounds
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
AT = "2024-05-01 10:00:00"
LAID = "SELECT record_key, subscriber, quantity_micros FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, reason, rule, raw FROM lake.events.quarantine ORDER BY source_row"
LINES = 'format = "ndjson"'
DOCUMENT = 'format = "json"'


def call(key: str, seconds: object = 5, **more: object) -> dict[str, object]:
    return {"id": key, "caller": "a", "at": AT, "seconds": seconds, **more}


def lines(*values: object) -> str:
    return "".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values)


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        ids = "(SELECT event_id FROM lake.events.usage LIMIT 20) UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake, only=("units", "counts")).sound and verdicts <= {"proven", "found"}


def with_paths(calls: Write, files: dict[str, bytes | str], **paths: str) -> Project:
    """Return a project of JSON lines whose columns are at these paths."""
    text = (calls(files, settings=LINES).directory / "trueup.toml").read_text()
    for name, path in paths.items():
        text = text.replace(f'= "{name}"', f'= "{path}"')
    return calls(toml=text)


# --- members of nested objects -----------------------------------------------------------------------------------------


def test_a_dotted_name_is_the_path_of_a_nested_member(calls: Write, take_in: TakeIn, query: Query) -> None:
    record = {
        "id": "1",
        "party": {"from": {"number": "49151", "x": "}"}, "to": {"number": "no"}},
        "at": AT,
        "use": {"s": 48.470239449903275},
    }
    project = with_paths(calls, {"a.json": lines(record)}, caller="party.from.number", seconds="use.s")
    assert [u.accepted for u in take_in(project).units] == [1]
    assert query(project, LAID).rows() == [("1", "49151", 48_470_239)]
    attributes = json.loads(query(project, "SELECT attributes FROM lake.events.usage").item())
    assert attributes == {"party": record["party"], "use": record["use"]}
    assert is_proven(project)


def test_a_record_without_the_nested_member_lacks_its_value(calls: Write, take_in: TakeIn, query: Query) -> None:
    records = [
        {"id": "0", "at": AT, "use": {"s": 1}},
        *({"id": str(n), "at": AT, "use": use} for n, use in enumerate([{}, 5, None, [{"s": 3}]], 1)),
    ]
    project = with_paths(calls, {"a.json": lines(*records, {"id": "6", "at": AT, "use": {"s": {"n": 1}}})}, seconds="use.s")
    take_in(project)
    assert query(project, LAID)["record_key"].to_list() == ["0"]
    assert query(project, REJECTED)["reason"].to_list() == ["missing_required"] * 4 + ["unparsable"]
    assert is_proven(project)


def test_a_member_whose_own_name_has_a_dot_is_read_before_a_path(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = '{"id":"1","at":"2024-05-01","use.s":7,"use":{"s":8}}\n{"id":"2","at":"2024-05-01","use":{"s":9}}\n'
    project = with_paths(calls, {"a.json": text}, seconds="use.s")
    take_in(project)
    assert query(project, LAID)["quantity_micros"].to_list() == [7_000_000, 9_000_000]


def test_a_repeated_nested_member_rejects_its_record(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = '{"id":"1","at":"2024-05-01","use":{"s":7,"s":8}}\n{"id":"2","at":"2024-05-01","use":{"s":9}}\n'
    project = with_paths(calls, {"a.json": text}, seconds="use.s")
    take_in(project)
    assert query(project, REJECTED).select("source_row", "rule").rows() == [(0, "line: has each member once")]


def test_a_file_without_one_json_object_is_refused_as_such(calls: Write, take_in: TakeIn) -> None:
    good = '{"id": "g", "caller": "1", "at": "2024-05-01 10:00:00", "seconds": 60}\n'
    files = {"a.json": "id,caller\n1,2\n", "b.json": good.replace("60", "0x3C"), "c.json": good}
    summary = take_in(calls(files, settings='format = "ndjson"'))
    says = "no record at the beginning of the file is a JSON object with members, within record_bytes of [limits]"
    assert [str(error).partition(";")[0] for error in summary.errors] == [
        f"{says} (landing/{name})" for name in ("a.json", "b.json")
    ]
    assert [unit.accepted for unit in summary.units if unit.records] == [1]


@pytest.mark.slow
def test_a_list_of_a_million_records_is_read_and_its_damaged_record_rejected_alone(
    calls: Write, take_in: TakeIn, query: Query
) -> None:
    item = '{"id": "%d", "caller": "1", "at": "2024-05-01 10:00:00", "seconds": %s}'
    items = [item % (number, "60" if number != 700_000 else '"sixty"') for number in range(1_000_000)]
    project = calls({"a.json": '{"calls": [' + ",".join(items) + "]}\n"}, settings='format = "json"\nrecords = "calls"')
    parts = take_in(project).units
    assert (sum(part.accepted for part in parts), sum(part.quarantined for part in parts)) == (999_999, 1)
    assert query(project, "SELECT source_row, reason FROM lake.events.quarantine").rows() == [(700_000, "unparsable")]


def test_an_expression_reads_nested_members(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = (calls({"a.json": lines(call("1", use={"a": 1, "b": 2}))}, settings=LINES).directory / "trueup.toml").read_text()
    project = calls(toml=text.replace('quantity = "seconds"', 'quantity = { expression = \'"use.a" + "use.b"\' }'))
    assert [u.accepted for u in take_in(project).units] == [1]
    assert query(project, LAID)["quantity_micros"].to_list() == [3_000_000]


def test_a_path_that_no_record_has_is_an_error_that_names_the_existing_paths(calls: Write, take_in: TakeIn) -> None:
    project = with_paths(calls, {"a.json": lines({"id": "1", "at": AT, "use": {"s": 1}})}, seconds="use.sec")
    (error,) = take_in(project).errors
    assert "'use.sec', which does not exist; there are at, id, use, use.s" in error.what


# --- lists in lines ----------------------------------------------------------------------------------------------------


LISTED = LINES + '\nrecords = "data.calls"'


def test_the_items_of_a_list_in_each_line_are_records(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = lines(
        {"n": 1, "data": {"calls": [call("1", note="],[{"), call("2", "x"), call("3")]}}, {"data": {"calls": []}}, {"data": None},
        {"data": {"calls": call("4")}}, '{"data": {"calls": [', {"data": {"calls": [call("5")]}}, {"data": {"calls": "none"}},
    )  # fmt: skip
    project = calls({"a.json": text}, settings=LISTED)
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(7, 4, 3)]
    assert query(project, LAID)["record_key"].to_list() == ["1", "3", "4", "5"]
    assert query(project, REJECTED).select("source_row", "reason", "raw").rows() == [
        (1, "unparsable", json.dumps(call("2", "x")).encode()), (4, "unparsable", b'{"data": {"calls": ['), (6, "unparsable", b'"none"'),
    ]  # fmt: skip
    assert is_proven(project)


def test_a_line_with_a_long_list_is_read_in_chunks(calls: Write, take_in: TakeIn, query: Query) -> None:
    long = {"data": {"calls": [call(str(n), note="x" * 700) for n in range(2000)]}}
    text = lines({"data": {"calls": [call("a")]}}, long, json.dumps(long)[:-2], {"data": {"calls": [call("b")]}})
    project = calls({"a.json": text}, settings=f"{LISTED}\nlimits = {{ record_bytes = '4MiB' }}")
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(2003, 2002, 1)]
    assert query(project, REJECTED).select("source_row", "reason").rows() == [(2001, "unparsable")]
    assert is_proven(project)


def test_items_of_lists_are_mapped_again(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.json": lines({"data": {"calls": [call("1"), call("2", "x7")]}})}, settings=LISTED)
    take_in(project)
    text = (project.directory / "trueup.toml").read_text()
    project = calls(toml=text.replace('quantity = "seconds"', "quantity = { expression = \"REPLACE(seconds, 'x', '')\" }"))
    assert [unit.accepted for unit in recycle(project, clock=lambda: NOW).units] == [1]
    assert query(project, LAID)["quantity_micros"].to_list() == [5_000_000, 7_000_000]
    assert is_proven(project)


def test_lists_of_several_parts_are_proven(calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 2)
    project = calls({"a.json": lines({"data": {"calls": [call(str(n)) for n in range(5)]}})}, settings=LISTED)
    (unit,) = take_in(project).units
    assert (len(unit.positions), unit.accepted) == (3, 5)
    assert is_proven(project)


# --- documents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_the_items_of_a_list_in_a_document_are_records(
    calls: Write, take_in: TakeIn, query: Query, indent: int | None, squeeze: Callable[[bytes], bytes]
) -> None:
    document = {"head": {"calls": [{"id": "no"}]}, "data": {"n": 3, "calls": [call("1"), call("2", "x"), call("3")]}, "end": "]}"}
    data = b"\xef\xbb\xbf" + json.dumps(document, indent=indent).encode()
    project = calls({"a.json": squeeze(data)}, settings=f'{DOCUMENT}\nrecords = "data.calls"')
    assert [(u.records, u.accepted, u.quarantined) for u in take_in(project).units] == [(3, 2, 1)]
    assert query(project, LAID)["record_key"].to_list() == ["1", "3"]
    assert [json.loads(raw) for raw in query(project, REJECTED)["raw"]] == [call("2", "x")]
    assert is_proven(project)


def test_a_document_may_be_a_list_or_objects_one_after_another(calls: Write, take_in: TakeIn, query: Query) -> None:
    values = [call("1"), call("2")]
    files = {
        "a.json": json.dumps(values, indent=1),
        "b.json": "\n".join(json.dumps(call(n), indent=1) for n in "34"),
        "c.json": "[ ]",
    }
    project = calls(files, settings=DOCUMENT)
    summary = take_in(project)
    assert ([u.accepted for u in summary.units], summary.errors) == ([2, 2, 0], [])
    assert is_proven(project)


def test_only_the_item_that_is_not_an_object_is_rejected(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = f'[{json.dumps(call("1"))}, 5, {{"id": 01}}, {json.dumps(call("2"))}]'
    project = calls({"a.json": text}, settings=DOCUMENT)
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 2)]
    assert query(project, REJECTED)["raw"].to_list() == [b"5", b'{"id": 01}']
    assert is_proven(project)


def test_an_item_that_is_too_long_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    text = json.dumps([call("1"), call("2", note="x" * 3_000_000), call("3")])
    project = calls({"a.json": text}, settings=f"{DOCUMENT}\nlimits = {{ kept_bytes = 100 }}")
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 1)]
    assert query(project, REJECTED).select("reason", pl.col("raw").bin.size()).rows() == [("over_limit", 100)]
    assert is_proven(project)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[{"id": 1}, {"id": 2}', "the document is not closed"),
        ('[{"id": "1}]', "the document is not closed"),
        ('{"calls": {"id": 1}}]', "the document is not closed"),
        ('{"calls": []}', "the document has no list at 'data.calls'"),
        ("[" * 100_000 + "]" * 100_000, "the document has no list at 'data.calls'"),
        ("5", "the document has no list at 'data.calls'"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_and_the_next_file_is_ingested(
    calls: Write, take_in: TakeIn, text: str, what: str
) -> None:
    files = {"a.json": text, "b.json": json.dumps({"data": {"calls": [call("1")]}})}
    summary = take_in(calls(files, settings=f'{DOCUMENT}\nrecords = "data.calls"'))
    assert [error.what.startswith(what) for error in summary.errors] == [True], summary.errors
    assert [u.accepted for u in summary.units] == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (f'{LINES}\nrecords = "data..calls"', "must be names of members with dots between them"),
        (f'{LINES}\nrecords = "calls"\nencoding = "latin-1"', "`records` finds lists in UTF-8, not in latin-1"),
    ],
)
def test_contradictory_settings_are_refused(calls: Write, settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        calls(settings=settings)


LEAVES = st.text('a"\\{}[]:, é\n', max_size=4) | st.integers(-9, 99) | st.none() | st.booleans()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=12,
)


def at_path(value: Any, path: list[str]) -> Iterator[Any]:
    """Yield the records at a path, straight from the definition: the path leads through lists."""
    if isinstance(value, list) and path:
        for one in value:
            yield from at_path(one, path) if isinstance(one, dict | list) else ()
    elif path and isinstance(value, dict):
        yield from at_path(value[path[0]], path[1:]) if path[0] in value else ()
    elif not path and isinstance(value, list):
        yield from value
    elif not path and value is not None:
        yield value


@given(
    st.lists(VALUES.filter(lambda v: isinstance(v, dict | list)), min_size=1, max_size=3),
    st.lists(st.sampled_from("ab"), max_size=2),
    st.integers(1, 9),
    st.booleans(),
)
def test_records_of_random_documents_are_those_of_a_parser(
    documents: list[Any], path: list[str], step: int, is_spread: bool
) -> None:
    data = "\n".join(json.dumps(one, ensure_ascii=False, indent=1 if is_spread else None) for one in documents).encode()
    scan = DocumentScan(path, Bounds(1 << 20, 1 << 16))
    found = []
    for piece in scan.records(data[at : at + step] for at in range(0, len(data), step)):
        for index in range(len(piece)):
            raw = piece.raw(index)
            begin = piece.offset + int(piece.starts[index])
            assert data[begin : begin + len(raw)] == raw
            found.append(json.loads(raw))
    assert scan.is_closed
    assert found == [record for one in documents for record in at_path(one, path)]
