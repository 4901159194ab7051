"""Files `detail` of RADIUS servers: blocks of attributes, damaged blocks among good ones, and files of another format."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.decode.text import radius_detail
from trueup.collect.decode.text.lines import Bounds
from trueup.collect.decode.text.radius_detail import attributes_of, detail_blocks
from trueup.collect.ingest import IngestSummary
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.raw.records import SOUND, verify_record
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

RADIUS = 'format = "radius"'
KEYS = "SELECT record_key, source_row FROM lake.events.usage ORDER BY source_row"
REJECTED = "SELECT source_row, reason, rule FROM lake.events.quarantine ORDER BY source_row"


def packet(key: str, more: str = "", *, seconds: str = "60", header: str = "Wed May  1 10:00:00 2024\n") -> str:
    return f'{header}\tid = "{key}"\n\tcaller = 491511000001\n\tat = "2024-05-01 10:00:00"\n\tseconds = {seconds}\n{more}\n'


def keys(query: Query, project: Project) -> list[tuple[str, int]]:
    return query(project, KEYS).rows()  # type: ignore[return-value]


def is_proven(project: Project) -> bool:
    with Lake.open(project, read_only=True) as lake:
        ids = "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        verdicts = {verify_record(lake, event_id).verdict for (event_id,) in lake.connection.execute(ids).fetchall()}
        return verify(lake).sound and verdicts <= set(SOUND)


def test_damaged_packets_are_rejected_and_the_others_ingested(calls: Write, take_in: TakeIn, query: Query) -> None:
    content = (
        packet("1") + packet("2", "no attribute\n\n").replace("\n\n\n", "\n\n") + packet("3", "\tseconds = 7\n")
        + packet("4", "\t= 5\n") + packet("5", seconds="many") + packet("6", "\tnote = \"a\\000b\"\n")
    )  # fmt: skip
    project = calls({"detail": content}, settings=RADIUS)
    (unit,) = take_in(project).units
    assert (unit.records, unit.accepted, unit.quarantined) == (7, 3, 4)
    assert keys(query, project) == [("1", 0), ("2", 1), ("6", 6)]
    assert query(project, REJECTED).rows() == [
        (2, "unparsable", "block: each line below the first is `Name = value`"), (3, "unparsable", "block: has seconds once"),
        (4, "unparsable", "block: each line below the first is `Name = value`"), (5, "unparsable", "quantity: is a decimal number"),
    ]  # fmt: skip
    assert is_proven(project)


@pytest.mark.parametrize("form", ["crlf", "without a header", "without a last line end", "gzip", "with a byte order mark"])
def test_forms_of_a_file(calls: Write, take_in: TakeIn, query: Query, form: str) -> None:
    header = "" if form == "without a header" else "Wed May  1 10:00:00 2024\n"
    data = (packet("1", header=header) + packet("2", header=header)).encode()
    data = data.replace(b"\n", b"\r\n") if form == "crlf" else data
    data = data.rstrip(b"\n") if form == "without a last line end" else data
    data = b"\xef\xbb\xbf" + data if form == "with a byte order mark" else data
    project = calls({"detail": gzip.compress(data) if form == "gzip" else data}, settings=RADIUS)
    assert [unit.accepted for unit in take_in(project).units] == [2]
    assert keys(query, project) == [("1", 0), ("2", 1)]
    assert is_proven(project)


def test_a_packet_that_is_too_long_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    long = packet("2", '\tnote = "x"\n' * 200)
    line = packet("3", f"\tnote = {'y' * 5000}\n")
    settings = f"{RADIUS}\nlimits = {{ record_bytes = 1024 }}"
    project = calls({"detail": packet("1") + long + line + packet("4")}, settings=settings)
    take_in(project)
    assert [key for key, _ in keys(query, project)] == ["1", "4"]
    assert {reason for _, reason, _ in query(project, REJECTED).rows()} == {"over_limit"}
    assert is_proven(project)


def test_bytes_that_are_not_text_reject_their_packet(calls: Write, take_in: TakeIn, query: Query) -> None:
    data = packet("1").encode() + packet("2", '\tnote = "?"\n').encode().replace(b"?", b"\xff") + packet("3").encode()
    project = calls({"detail": data}, settings=RADIUS)
    take_in(project)
    assert [key for key, _ in keys(query, project)] == ["1", "3"]
    assert query(project, REJECTED).rows() == [(1, "bad_encoding", "line: is utf-8")]
    assert is_proven(project)


@pytest.mark.parametrize(
    ("content", "message"),
    [("\n\n\n", "the file has only empty lines"), ("id,caller\n1,2\n", "its first lines are not RADIUS attributes `Name = value`")],
)
def test_a_file_of_another_format_is_one_error(calls: Write, take_in: TakeIn, content: str, message: str) -> None:
    (error,) = take_in(calls({"detail": content}, settings=RADIUS)).errors
    assert message in str(error)


SHORT = st.builds(
    lambda header, attributes, blanks: header + "".join(attributes) + blanks,
    st.sampled_from(["h\n", "h\r\n", "", "not = indented\n"]),
    st.lists(st.sampled_from(["\ta = 1\n", "\tb = 2\r\n", "\tc\n"]), max_size=4),
    st.sampled_from(["\n", "\r\n", "\n\n", ""]),
)
"""Packets of at most 50 bytes."""


@given(st.lists(SHORT, max_size=12), st.integers(1, 90))
def test_records_do_not_depend_on_how_the_file_is_read(packets: list[str], size: int) -> None:
    data = "".join(packets).encode()
    with pytest.MonkeyPatch.context() as patch:
        whole = records_of([data])
        patch.setattr(radius_detail, "_BLOCK_BYTES", size)
        assert records_of([data[at : at + size] for at in range(0, len(data), size)]) == whole


def records_of(chunks: list[bytes]) -> list[tuple[int, int, bytes]]:
    # Without a header and empty lines between them, packets are one record.
    pieces = detail_blocks(iter(chunks), Bounds(600, 10))
    return [
        (int(piece.rows[at]), int(piece.starts[at]) + piece.offset, piece.raw(at)) for piece in pieces for at in range(len(piece))
    ]


def test_values_lose_their_quotes_and_escapes() -> None:
    block = '\tA = "a\\"b\\\\c"\n\tB += \'x\'\n\tC := 0x01\n\tD = "\\303\\244"\n\tE = "\\377"\n\tTunnel-Type:0 = "VLAN"\n\tF = '
    assert attributes_of(block) == {
        "A": ['a"b\\c'], "B": ["x"], "C": ["0x01"], "D": ["ä"], "E": ["\\377"], "Tunnel-Type:0": ["VLAN"], "F": [""],
    }  # fmt: skip
