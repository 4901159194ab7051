from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.decode.text import lines as lines_module
from trueup.collect.decode.text.encoding import in_utf8, undecodable, with_nul
from trueup.collect.decode.text.lines import Bounds, blocks, lines_in, lines_of, physical_lines
from trueup.collect.decode.text.multiline_csv import Quoting, quoted_records
from trueup.config.encodings import check_encoding
from trueup.errors import ConfigError

WIDE = Bounds(record_bytes=1 << 20, kept_bytes=1 << 16)


def cut_chunks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def records(data: bytes, size: int) -> list[tuple[int, int, bytes]]:
    found = []
    row = offset = 0
    for block in blocks(cut_chunks(data, size), size_bytes=size, bounds=WIDE):
        piece = lines_of(block, first_row=row)
        row += len(piece)
        found += [
            (int(r), block.offset + int(s), piece.raw(i)) for i, (r, s) in enumerate(zip(piece.rows, piece.starts, strict=True))
        ]
        offset = block.offset
    assert offset <= len(data)
    return found


@given(st.lists(st.sampled_from([b"a", b"bc", b",", b"\n", b"\r", b"\r\n", b'"', b"\xff", b""])).map(b"".join), st.integers(1, 9))
def test_lines_do_not_depend_on_block_borders_or_line_ends(data: bytes, size: int) -> None:
    wanted = [(match.start(), match[0]) for match in re.finditer(rb"[^\r\n]+", data)]
    assert records(data, size) == [(row, at, text) for row, (at, text) in enumerate(wanted)]


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    for size in (1, 2, 3, 100):
        assert records(b"\xef\xbb\xbfa,b\n1,2\n", size) == [(0, 3, b"a,b"), (1, 7, b"1,2")]


LENGTHS = st.lists(st.integers(0, 40), max_size=12)


@given(LENGTHS, st.integers(1, 30), st.integers(1, 20), st.integers(0, 5), st.sampled_from([b"", b"\n", b"\r\n"]))
def test_of_a_long_line_only_the_beginning_is_held_at_any_block_border(
    lengths: list[int], record_bytes: int, size: int, kept_bytes: int, end: bytes
) -> None:
    data = b"\n".join(b"x" * length for length in lengths) + end
    found, most_held = [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK_BYTES", size)
        pieces = list(physical_lines(cut_chunks(data, size), bounds=Bounds(record_bytes, kept_bytes)))
    for piece in pieces:
        found += zip(piece.rows.tolist(), (piece.starts + piece.offset).tolist(), piece.lengths.tolist(), strict=True)
        most_held = max(most_held, len(piece.data))
        assert (piece.held_bytes >= np.minimum(piece.lengths, kept_bytes)).all()
    wanted = [(m.start(), len(m[0])) for m in re.finditer(rb"[^\r\n]+", data)]
    assert found == [(row, at, length) for row, (at, length) in enumerate(wanted)]
    # The sizes of a block and of a chunk, and the length up to which a line is accepted.
    assert most_held <= 2 * max(size, record_bytes + 1, kept_bytes + 1, 3) + size


@given(st.lists(st.sampled_from([b"a,b", b",", b"{", b"\n", b"\r\n", b"x"])).map(b"".join), st.integers(1, 6))
def test_pieces_have_few_marks_and_all_records(data: bytes, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "MOST_MARKS", most)
        pieces = list(physical_lines([data], bounds=WIDE, marks=",{"))
    assert [piece.raw(i) for piece in pieces for i in range(len(piece))] == re.findall(rb"[^\r\n]+", data)
    for piece in pieces:
        marks = len(re.findall(rb"[,{\r\n]", piece.data))
        # A single line is never cut.
        assert marks <= most or len(re.findall(rb"[\r\n]", piece.data)) <= 1 or len(piece) == 1


@given(st.lists(st.sampled_from([b"ab", "é€".encode(), b"\xc3", b"\x80", b"\n", b"\x00"])).map(b"".join))
def test_exactly_the_lines_with_invalid_utf8_or_a_nul_are_found(data: bytes) -> None:
    found = lines_in(data, offset=0, first_row=0)
    for index, is_bad in enumerate(undecodable(found, "utf-8").tolist()):
        assert is_bad != _decodes(found.raw(index))
    assert with_nul(found).tolist() == [b"\0" in found.raw(index) for index in range(len(found))]


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_another_encoding_is_read_line_by_line() -> None:
    found = lines_in("Köln,ü\nx\n".encode("cp1252") + b"\x81\n", offset=0, first_row=0)
    assert undecodable(found, "cp1252").tolist() == [False, False, True]
    text = in_utf8(found.only(slice(0, 2)), "cp1252")
    assert [text.raw(0).decode(), text.raw(1).decode()] == ["Köln,ü", "x"]


@pytest.mark.parametrize("name", ["utf-16", "utf-7", "cp037", "no-such-encoding"])
def test_an_encoding_without_plain_line_ends_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_encoding(name, where="source x")


FIELDS = st.text('ab",\n\r', max_size=6)


def quote_rows(rows: list[list[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def read_quoted(data: bytes, size: int) -> list[bytes]:
    found = []
    for piece in quoted_records(cut_chunks(data, size), Quoting(",", '"'), bounds=WIDE):
        for index in range(len(piece)):
            assert piece.rows[index] == len(found)
            at = piece.offset + int(piece.starts[index])
            assert data[at : at + len(piece.raw(index))] == piece.raw(index)
            found.append(piece.raw(index))
    return found


@given(st.lists(st.lists(FIELDS, min_size=3, max_size=3), min_size=1, max_size=20), st.integers(1, 60))
def test_records_with_line_ends_in_quotes_are_complete(rows: list[list[str]], size: int) -> None:
    found = read_quoted(quote_rows(rows), size)
    assert [next(csv.reader(io.StringIO(record.decode(), newline=""))) for record in found] == rows


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=20), st.data())
def test_a_damaged_quote_loses_no_later_byte(rows: list[list[str]], data: st.DataObject) -> None:
    damaged = bytearray(quote_rows(rows))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from(b'"x,'))
    found = read_quoted(bytes(damaged), data.draw(st.integers(1, 60)))
    assert re.sub(rb"[\r\n]", b"", b"".join(found)) == re.sub(rb"[\r\n]", b"", bytes(damaged))


def test_a_quote_that_never_closes_costs_its_own_line_only() -> None:
    data = b'"a\nb",1\n"open,2\n3,4\n"5\n5",6\n'
    assert read_quoted(data, 100) == [b'"a\nb",1', b'"open,2', b"3,4", b'"5\n5",6']
