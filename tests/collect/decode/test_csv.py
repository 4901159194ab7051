from __future__ import annotations

import csv
import io
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.decode.decoded import Batch, json_objects
from trueup.collect.decode.text.csv import Dialect, header_of, read_csv, usual_width
from trueup.collect.decode.text.lines import lines_in
from trueup.errors import SourceError

PLAIN = Dialect(",", '"', "utf-8")


def read(data: bytes, names: str = "abc", mapped: str = "abc", *, attributes: bool = False) -> Batch:
    return read_csv(lines_in(data, offset=0, first_row=0), PLAIN, list(names), list(mapped), attributes=attributes)


def reasons(batch: Batch) -> list[tuple[int, str, bytes]]:
    return list(batch.rejected.select("source_row", "reason", "raw").iter_rows())


CELLS = st.text('ab",é ', max_size=5)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=15), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_the_output_of_a_csv_writer_is_read_cell_by_cell(rows: list[list[str]], quoting: int) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    batch = read(file.getvalue().encode())
    assert batch.rejected.is_empty()
    assert [list(row) for row in batch.fields.iter_rows()] == [[cell or None for cell in row] for row in rows]


@given(st.lists(st.text('ab,"\x00é', min_size=1, max_size=12), max_size=20))
def test_every_line_is_a_row_or_rejected_with_its_provenance(texts: list[str]) -> None:
    data = "\n".join(texts).encode()
    batch = read(data)
    places = batch.provenance.rows() + batch.rejected.select(batch.provenance.columns).rows()
    assert sorted(row for row, _, _ in places) == list(range(len(texts)))
    for row, offset, length in places:
        assert data[offset : offset + length] == texts[row].encode()
    for index, (row, _, _) in enumerate(batch.provenance.rows()):
        assert batch.raw([index]) == [texts[row].encode()]
        # Each accepted row equals the result of Python's own reader.
        cells = next(csv.reader([texts[row]], strict=True))
        assert list(batch.fields.row(index)) == [cell or None for cell in cells]


def test_a_damaged_line_affects_no_other_line() -> None:
    batch = read(b'1,2,3\n4,"5,6\n7,8,9\n1,2\n"a"b,1,2\n\xff,1,2\n1,\x00,2\nx,in"ch,y\n')
    assert batch.fields.rows() == [("1", "2", "3"), ("7", "8", "9"), ("x", 'in"ch', "y")]
    assert reasons(batch) == [
        (1, "unparsable", b'4,"5,6'),
        (3, "wrong_field_count", b"1,2"),
        (4, "unparsable", b'"a"b,1,2'),
        (5, "bad_encoding", b"\xff,1,2"),
        (6, "unparsable", b"1,\x00,2"),
    ]


def test_unmapped_columns_become_a_json_object_of_their_values() -> None:
    batch = read(b'1,"say ""hi""",3\n1,,\n', mapped="a", attributes=True)
    assert [text and json.loads(text) for text in batch.attributes] == [{"b": 'say "hi"', "c": "3"}, None]


def test_a_header_names_the_fields_and_repeated_names_get_a_number() -> None:
    line = lines_in(b' id ,"a,b",id\n', offset=0, first_row=0)
    assert header_of(line, PLAIN, where="x") == ("id", "a,b", "id.2")
    with pytest.raises(SourceError, match="header line"):
        header_of(lines_in(b'"id,a\n', offset=0, first_row=0), PLAIN, where="x")


def test_without_a_header_the_width_is_that_of_most_lines() -> None:
    assert usual_width(lines_in(b'1\n1,2,3\n1,2,3\n"1,2\n', offset=0, first_row=0), PLAIN) == 3


@given(
    st.lists(
        st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=3, max_size=3),
        min_size=1,
        max_size=20,
    )
)
def test_attributes_of_many_columns_are_the_same_objects_as_those_of_few(rows: list[list[str | None]]) -> None:
    few = pl.DataFrame(rows, schema=dict.fromkeys(['a"', "b", "c"], pl.String), orient="row")
    many = few.with_columns(pl.lit(None, pl.String).alias(f"empty {n}") for n in range(300))
    assert json_objects(few, height=few.height).to_list() == json_objects(many.head(few.height), height=few.height).to_list()


@given(st.lists(st.sampled_from(["", "é", "x", '"q,""r"']), min_size=3, max_size=3))
def test_lines_of_many_columns_have_the_same_fields_as_those_of_few(cells: list[str]) -> None:
    names = [f"c{n}" for n in range(300)]
    few = read((",".join(cells) + "\n").encode(), attributes=True)
    line = (",".join([*cells, *[""] * 297]) + "\n").encode()
    many = read_csv(lines_in(line, offset=0, first_row=0), PLAIN, names, names[:3], attributes=True)
    assert many.fields.rows() == few.fields.rows()


def test_attributes_escape_what_json_escapes_and_nothing_else() -> None:
    characters = [chr(code) for code in range(1, 0x180)]
    frame = pl.DataFrame({"a": characters, "ä": ["1"] * len(characters)})
    expected = [json.dumps({"a": c, "ä": "1"}, ensure_ascii=False, separators=(",", ":")) for c in characters]
    one_by_one = [json_objects(frame.slice(at, 1), height=1)[0] for at in range(frame.height)]
    assert one_by_one == json_objects(frame, height=frame.height).to_list()
    assert [json.loads(text) for text in one_by_one] == [json.loads(text) for text in expected]
