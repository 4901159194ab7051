"""Ingest hostile files of real size, and print the cost and the message of each.

    python benchmarks/hostile.py [PATTERN]

Makes each file whose name PATTERN matches in a temporary folder beside a sound file. Ingests both by `trueup ingest` in a separate
process, and prints a table. Its columns are peak memory above the peak of the sound file alone, processor time, and its ratio to
reading and hashing the same bytes. Further columns are the exit code, whether the sound file was ingested, the counts of the
hostile file's records, and the message. The last line names the rows that took more than 600 MB.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

MB = 1_000_000
MAX_MB = 600
SOUND = b"id,caller,at,seconds\n" + b"".join(b"s%d,99890%06d,2026-05-01 10:00:00,1\n" % (i, i) for i in range(100))
COLUMNS = ("id", "caller", "at", "seconds")
TOML = """
[[source]]
name = "sound"
stream = "usage"
path = "sound.csv"
{columns}
[[source]]
name = "hostile"
stream = "usage"
path = "landing/*"
{settings}
{columns}
{more}
"""
MAPPED = """
[source.columns]
record_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
[source.constants]
service = "voice"
"""


@dataclass(frozen=True)
class Case:
    """A hostile file: `make` writes it into a folder; `settings` and `more` configure its source."""

    name: str
    make: Callable[[Path], None]
    settings: str = ""
    more: str = ""
    columns: str = MAPPED
    meanwhile: Callable[[Path], None] | None = None


CASES: list[Case] = []


def case(name: str, **how: object) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def register(make: Callable[[Path], None]) -> Callable[[Path], None]:
        CASES.append(Case(name, make, **how))  # type: ignore[arg-type]
        return make

    return register


def write_parts(path: Path, parts: Iterator[bytes] | list[bytes]) -> None:
    with path.open("wb") as file:
        for part in parts:
            file.write(part)


def repeat_bytes(data: bytes, size: int) -> Iterator[bytes]:
    chunk = data * max(1, MB // len(data))
    for _ in range(max(1, size // len(chunk))):
        yield chunk


HEADER = b"id,caller,at,seconds\n"
LINE = b"1,998901234567,2026-05-01 10:00:00,1"
NDJSON, PARQUET, QUOTED = 'format = "ndjson"', 'format = "parquet"', "quoted_newlines = true"

# --- not files ---------------------------------------------------------------------------------------------------------


@case("named pipe")
def _(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")


@case("socket")
def _(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.csv")
    os.chdir(here)


@case("link to an endless device")
def _(folder: Path) -> None:
    (folder / "zero.csv").symlink_to("/dev/zero")


@case("directory")
def _(folder: Path) -> None:
    (folder / "folder.csv").mkdir()


@case("link to itself")
def _(folder: Path) -> None:
    (folder / "loop.csv").symlink_to("loop.csv")


@case("link out of the folder")
def _(folder: Path) -> None:
    (folder / "passwd.csv").symlink_to("/etc/passwd")


@case("folders in a circle, under **", settings='path = "landing/**/*.csv"')
def _(folder: Path) -> None:
    for name in "abcdefgh":
        (folder / name).mkdir()
        (folder / name / "up").symlink_to("..")
    (folder / "a" / "x.csv").write_bytes(HEADER + LINE)


@case("manifest that is a named pipe", more="[source.manifest]\npath = '{name}.ctl'\npattern = '(?P<records>[0-9]+)'")
def _(folder: Path) -> None:
    (folder / "a.csv").write_bytes(HEADER + LINE)
    os.mkfifo(folder / "a.csv.ctl")


@case("manifest of 200 MB", more="[source.manifest]\npath = '{name}.ctl'\npattern = '(?P<records>[0-9]+)'")
def _(folder: Path) -> None:
    (folder / "a.csv").write_bytes(HEADER + LINE)
    write_parts(folder / "a.csv.ctl", repeat_bytes(b"x", 200 * MB))


@case("marker that is a named pipe", settings='complete = "marker"')
def _(folder: Path) -> None:
    (folder / "a.csv").write_bytes(HEADER + LINE)
    os.mkfifo(folder / "a.csv.done")


@case("empty file")
def _(folder: Path) -> None:
    (folder / "a.csv").touch()


@case("100,000 files of one content")
def _(folder: Path) -> None:
    (folder / "0.csv").write_bytes(HEADER + LINE)
    for number in range(1, 100_000):
        os.link(folder / f"{number // 30_000 * 30_000}.csv", folder / f"{number}.csv") if number % 30_000 else (
            folder / f"{number}.csv"
        ).write_bytes(HEADER + LINE)


# --- lines ------------------------------------------------------------------------------------------------------------


@case("100 MB of line ends")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b"\n", 100 * MB)])


@case("one line of 300 MB")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b"x", 300 * MB)])


@case("one line of 300 MB among good ones")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, LINE, b"\n", *repeat_bytes(b"x", 300 * MB), b"\n", LINE.replace(b"1,", b"2,", 1), b"\n"])


@case("a single line of 300 MB without a header")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", repeat_bytes(b"x", 300 * MB))


@case("200 lines of 0.9 MB")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *((b"%d," % n + b"x" * 900_000 + b",2026-05-01,1\n") for n in range(200))])


@case("a field of 50 MB")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, b"1,", *repeat_bytes(b"x", 50 * MB), b",2026-05-01,1\n", LINE, b"\n"])


@case("a header of 10 MB")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER.rstrip(), b",", *repeat_bytes(b"x", 10 * MB), b"\n", LINE, b"\n"])


def wide(columns: int, records: int) -> Iterator[bytes]:
    yield b",".join([*HEADER.rstrip().split(b","), *(b"c%d" % n for n in range(columns - 4))]) + b"\n"
    for number in range(records):
        yield b"%d,998901234567,2026-05-01 10:00:00,1" % number + b",7" * (columns - 4) + b"\n"


@case("8,000 columns")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", wide(8_000, 3_000))


@case("8,000 columns, allowed", more="[source.limits]\ncolumns = 10_000")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", wide(8_000, 3_000))


@case("a million columns", more='[source.limits]\nrecord_bytes = "16MiB"')
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", wide(1_000_000, 20))


@case("100 MB of separators")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b",,,\n", 100 * MB)])


@case("10 million records, all rejected")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b"no record\n", 100 * MB)])


@case("300 MB in a quote that never closes", settings=QUOTED)
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, b'1,"', *repeat_bytes(LINE + b"\n", 300 * MB)])


@case("50 MB of damaged quotes", settings=QUOTED)
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b'1,"9989,2026-05-01,1\n', 50 * MB)])


@case("50 MB of misplaced quotes")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b'1,99"89"0,2026-05-01,x\n', 50 * MB)])


@case("every line in another encoding, 50 MB")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b"1,K\xf6ln,2026-05-01,1\n", 50 * MB)])


@case("100 MB of NUL bytes")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(b"\0", 100 * MB)])


@case("a NUL byte in each line, 50 MB")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(LINE + b"\0\n", 50 * MB)])


@case("UTF-16")
def _(folder: Path) -> None:
    (folder / "a.csv").write_bytes((HEADER + LINE).decode().encode("utf-16"))


@case("Asterisk: one line of 100 MB", settings='format = "asterisk"', columns="")
def _(folder: Path) -> None:
    write_parts(folder / "Master.csv", [b'"x","', *repeat_bytes(b"1", 100 * MB), b'"\n'])


# --- documents --------------------------------------------------------------------------------------------------------

DOCUMENT, XML, XLSX = 'format = "json"', 'format = "xml"\nelement = "CDR"', 'format = "xlsx"'
ITEM = b'{"id":"1","caller":"998901234567","at":"2026-05-01 10:00:00","seconds":1}'
ELEMENT = b"<CDR><id>1</id><caller>998901234567</caller><at>2026-05-01 10:00:00</at><seconds>1</seconds></CDR>"


@case("JSON: a list of 800,000", settings=DOCUMENT)
def _(folder: Path) -> None:
    write_parts(folder / "a.json", [b"[", *repeat_bytes(ITEM + b",\n", 60 * MB), ITEM, b"]"])


@case("JSON: 30 million numbers in a list", settings=DOCUMENT)
def _(folder: Path) -> None:
    write_parts(folder / "a.json", [b"[", *repeat_bytes(b"1,", 60 * MB), b"1]"])


@case("JSON: 60 MB of brackets", settings=DOCUMENT + '\nrecords = "calls"')
def _(folder: Path) -> None:
    write_parts(folder / "a.json", [*repeat_bytes(b"[", 30 * MB), *repeat_bytes(b"]", 30 * MB)])


@case("JSON: an item of 300 MB", settings=DOCUMENT)
def _(folder: Path) -> None:
    write_parts(folder / "a.json", [b"[", ITEM, b',{"id":"', *repeat_bytes(b"x", 300 * MB), b'"},', ITEM, b"]"])


@case("JSON: a line with a list of 800,000", settings=NDJSON + '\nrecords = "calls"\nlimits = { record_bytes = "128MiB" }')
def _(folder: Path) -> None:
    write_parts(folder / "a.json", [b'{"calls":[', *repeat_bytes(ITEM + b",", 60 * MB), ITEM, b"]}\n"])


@case("XML: 500,000 elements", settings=XML)
def _(folder: Path) -> None:
    write_parts(folder / "a.xml", [b"<f>", *repeat_bytes(ELEMENT, 50 * MB), b"</f>"])


@case("XML: 10 million empty elements", settings=XML)
def _(folder: Path) -> None:
    write_parts(folder / "a.xml", [b"<f>", *repeat_bytes(b"<CDR/>", 60 * MB), b"</f>"])


@case("XML: an element of 300 MB", settings=XML)
def _(folder: Path) -> None:
    write_parts(folder / "a.xml", [b"<f>", ELEMENT, b"<CDR><id>", *repeat_bytes(b"x", 300 * MB), b"</id></CDR>", ELEMENT, b"</f>"])


@case("XML: 60 MB of nested elements", settings=XML)
def _(folder: Path) -> None:
    write_parts(folder / "a.xml", repeat_bytes(b"<a>", 60 * MB))


@case("XML: entities that grow to gigabytes", settings=XML)
def _(folder: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    (folder / "a.xml").write_text(f'<!DOCTYPE f [<!ENTITY e0 "x">{entities}]><f><CDR><id>&e11;</id></CDR></f>')


def write_workbook(path: Path, rows: list[bytes], *, strings: list[bytes] | None = None) -> None:
    """Write a workbook of one sheet with these bytes as its rows."""
    parts = [
        ("[Content_Types].xml", [
            b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            b'<Override PartName="/xl/workbook.xml" ContentType='
            b'"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
            b'<Override PartName="/xl/sharedStrings.xml" ContentType='
            b'"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
        ]),
        ("xl/workbook.xml", [
            b'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
            b'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
            b'<sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>'
        ]),
        ("xl/_rels/workbook.xml.rels", [
            b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
            b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
            b'Target="worksheets/sheet1.xml"/></Relationships>'
        ]),
        ("xl/styles.xml", [b'<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"/>']),
        ("xl/sharedStrings.xml", [
            b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">', *(strings or []), b"</sst>"
        ]),
        ("xl/worksheets/sheet1.xml", [
            b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>', *rows,
            b"</sheetData></worksheet>",
        ]),
    ]  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            with archive.open(name, "w", force_zip64=True) as member:
                for block in data:
                    member.write(block)


def sheet_row(*texts: str) -> bytes:
    return b"<row>" + b"".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>'.encode() for text in texts) + b"</row>"


HEAD_ROW, DATA_ROW = sheet_row(*COLUMNS), sheet_row("1", "998901234567", "2026-05-01 10:00:00", "1")


@case("workbook: 300,000 rows", settings=XLSX)
def _(folder: Path) -> None:
    write_workbook(folder / "a.xlsx", [HEAD_ROW, *[DATA_ROW * 1000] * 300])


@case("workbook: 10 GB of rows in 10 MB", settings=XLSX)
def _(folder: Path) -> None:
    write_workbook(folder / "a.xlsx", [HEAD_ROW, *[DATA_ROW * 10_000] * 4_000])


@case("workbook: a row of 5 million cells", settings=XLSX)
def _(folder: Path) -> None:
    write_workbook(folder / "a.xlsx", [HEAD_ROW, b"<row>", *[b"<c><v>1</v></c>" * 10_000] * 500, b"</row>", DATA_ROW])


@case("workbook: a text of 200 MB", settings=XLSX)
def _(folder: Path) -> None:
    write_workbook(folder / "a.xlsx", [HEAD_ROW, b"<row><c><v>", *[b"1" * MB] * 200, b"</v></c></row>", DATA_ROW])


@case("workbook: 6 million shared strings", settings=XLSX)
def _(folder: Path) -> None:
    write_workbook(folder / "a.xlsx", [HEAD_ROW, DATA_ROW], strings=[b"<si><t>a</t></si>" * 10_000] * 600)


@case("workbook: 60 MB of nested elements", settings=XLSX)
def _(folder: Path) -> None:
    write_workbook(folder / "a.xlsx", [HEAD_ROW, *[b"<a>" * 333_333] * 60])


# --- compressed -------------------------------------------------------------------------------------------------------


@case("gzip bomb: 10 GB in 10 MB")
def _(folder: Path) -> None:
    member = gzip.compress(b"0" * (100 * MB), mtime=0)
    write_parts(folder / "a.csv.gz", [gzip.compress(HEADER, mtime=0), *[member] * 100])


@case("zstd bomb: 100 GB in 5 MB")
def _(folder: Path) -> None:
    frame = zstandard.compress(b"0" * (500 * MB))
    write_parts(folder / "a.csv.zst", [zstandard.compress(HEADER), *[frame] * 200])


@case("zip bomb: 10 GB in 10 MB")
def _(folder: Path) -> None:
    with (
        zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w", force_zip64=True) as member,
    ):
        for block in (HEADER, *[b"0" * (100 * MB)] * 100):
            member.write(block)


@case("zstd frame with a window of 2 GB")
def _(folder: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=False, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (folder / "a.csv.zst").write_bytes(compressor.compress(HEADER + LINE) + compressor.flush())


@case("gzip of a million members")
def _(folder: Path) -> None:
    write_parts(folder / "a.csv.gz", [gzip.compress(HEADER, mtime=0), *repeat_bytes(gzip.compress(LINE + b"\n", mtime=0), 50 * MB)])


@case("gzip cut short")
def _(folder: Path) -> None:
    (folder / "a.csv.gz").write_bytes(gzip.compress(HEADER + (LINE + b"\n") * MB, mtime=0)[:-9])


@case("gzip followed by other bytes")
def _(folder: Path) -> None:
    (folder / "a.csv.gz").write_bytes(gzip.compress(HEADER + LINE + b"\n", mtime=0) + os.urandom(MB))


# --- NDJSON -----------------------------------------------------------------------------------------------------------

OBJECT = {"id": "1", "caller": "998901234567", "at": "2026-05-01 10:00:00", "seconds": 1}
PLAIN = json.dumps(OBJECT).encode()


def objects(inner: bytes, records: int) -> Iterator[bytes]:
    yield PLAIN + b"\n"
    for number in range(records):
        yield PLAIN[:-1].replace(b'"1"', b'"n%d"' % number) + b"," + inner + b"}\n"


@case("NDJSON nested 100,000 deep", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", objects(b'"x":' + b"[" * 100_000 + b"]" * 100_000, 250))


@case("NDJSON with a string of 300 MB", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", [PLAIN, b'\n{"id":"', *repeat_bytes(b"x", 300 * MB), b'"}\n'])


@case("NDJSON of repeated members, 50 MB", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", objects(b",".join([b'"id":"2"'] * 1_000), 5_000))


@case("NDJSON of 100,000 members", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", objects(b",".join(b'"%d":1' % n for n in range(70_000)), 60))


@case("NDJSON, each record with other members, 50 MB", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", (next(iter(list(objects(b'"member %d":1' % n, 1))[1:])) for n in range(430_000)))


@case("NDJSON numbers of 100,000 digits", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", (PLAIN.replace(b'": 1}', b'": ' + b"9" * 100_000 + b"}") + b"\n" for _ in range(500)))


@case("NDJSON numbers of 1e400 and NaN", settings=NDJSON)
def _(folder: Path) -> None:
    numbers = (b"1e400", b"NaN", b"-Infinity", b"1e-999999999", b"1e99999999999999999999")
    write_parts(folder / "a.ndjson", (PLAIN.replace(b'": 1}', b'": ' + n + b"}") + b"\n" for n in numbers * 1_000))


@case("NDJSON with a million blanks in each line", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", (PLAIN.replace(b'"at":', b'"at":' + b" " * 1_000_000) + b"\n" for _ in range(50)))


@case("NDJSON with a million backslashes in each line", settings=NDJSON)
def _(folder: Path) -> None:
    write_parts(folder / "a.ndjson", objects(b'"x":"' + b"\\\\" * 500_000 + b'"', 50))


# --- Parquet ----------------------------------------------------------------------------------------------------------


def rows_of(count: int, **more: pa.Array) -> pa.Table:
    ids = pa.array([f"p{n}" for n in range(count)])
    same = {name: pa.array([OBJECT[name]] * count) for name in ("caller", "at", "seconds")}
    return pa.table({"id": ids, **same, **more})


def with_footer(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace the footer of a Parquet file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = change(data[-8 - length : -8])
    path.write_bytes(data[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1")


def varint(number: int) -> bytes:
    """Encode a whole number as Thrift's compact protocol does."""
    number = number << 1 ^ number >> 63
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


@case("Parquet footer that declares a trillion rows", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(rows_of(123_457), folder / "a.parquet")
    with_footer(folder / "a.parquet", lambda footer: footer.replace(varint(123_457), varint(10**12), 1))


@case("Parquet that declares a trillion rows everywhere", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(rows_of(123_457), folder / "a.parquet")
    with_footer(folder / "a.parquet", lambda footer: footer.replace(varint(123_457), varint(10**12)))


@case("Parquet that declares twice its rows", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(rows_of(123_457), folder / "a.parquet")
    with_footer(folder / "a.parquet", lambda footer: footer.replace(varint(123_457), varint(246_914)))


@case("Parquet that declares a negative row count", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(rows_of(123_457), folder / "a.parquet")
    with_footer(folder / "a.parquet", lambda footer: footer.replace(varint(123_457), varint(-123_457)))


@case("Parquet with a dictionary bomb: 90 GB in 1 MB", settings=PARQUET)
def _(folder: Path) -> None:
    indices = pa.array(np.zeros(100_000, np.int32))
    big = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 900_000]))
    pq.write_table(rows_of(100_000, big=big), folder / "a.parquet", compression="zstd", store_schema=False)


@case("Parquet with a dictionary bomb of bytes", settings=PARQUET)
def _(folder: Path) -> None:
    indices = pa.array(np.zeros(20_000, np.int32))
    big = pa.DictionaryArray.from_arrays(indices, pa.array([b"x" * 900_000]))
    pq.write_table(rows_of(20_000, big=big), folder / "a.parquet", compression="zstd", store_schema=False)


@case("Parquet of 300 million equal rows", settings=PARQUET)
def _(folder: Path) -> None:
    chunk = pa.table(
        {name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(MB, np.int32)), pa.array([str(OBJECT[name])])) for name in COLUMNS}
    )
    with pq.ParquetWriter(folder / "a.parquet", chunk.schema, store_schema=False) as writer:
        for _ in range(300):
            writer.write_table(chunk)


@case("Parquet with a page of 400 MB in 40 kB", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(
        rows_of(1, big=pa.array([b"x" * (400 * MB)])), folder / "a.parquet", compression="zstd", use_dictionary=False,
        write_statistics=False,
    )  # fmt: skip


@case("Parquet with one row group of 300 MB", settings=PARQUET)
def _(folder: Path) -> None:
    rng = np.random.default_rng(7)
    texts = pa.array([rng.bytes(400).hex() for _ in range(375_000)])
    pq.write_table(rows_of(375_000, x=texts), folder / "a.parquet", row_group_size=10**9, use_dictionary=False, compression="none")


@case("Parquet whose values each repeat the previous one", settings=PARQUET)
def _(folder: Path) -> None:
    texts = pa.array(["x" * 900_000 + str(n) for n in range(300)])
    pq.write_table(
        rows_of(300, x=texts), folder / "a.parquet", use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"},
        write_statistics=False,
    )  # fmt: skip


@case("Parquet with a list of 100 million values", settings=PARQUET)
def _(folder: Path) -> None:
    big = pa.ListArray.from_arrays(pa.array([0, 100 * MB], pa.int32()), pa.array(np.zeros(100 * MB, np.int8)))
    pq.write_table(rows_of(1, big=big), folder / "a.parquet", compression="zstd")


@case("Parquet of 100,000 columns", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(pa.table({f"c{n}": pa.array([1]) for n in range(100_000)}), folder / "a.parquet")


@case("Parquet of 4,000 columns, 16 row groups", settings=PARQUET)
def _(folder: Path) -> None:
    table = rows_of(1_600, **{f"c{n}": pa.array(np.arange(1_600) % 7) for n in range(4_000)})
    pq.write_table(table, folder / "a.parquet", row_group_size=100)


@case("Parquet nested 2,000 deep", settings=PARQUET)
def _(folder: Path) -> None:
    # No library writes such a schema, so its elements are written by hand.
    pq.write_table(pa.table({"id": pa.array(["1"])}), folder / "a.parquet")
    group = b"\x35\x04\x18\x01g\x15\x02\x00"
    with_footer(folder / "a.parquet", lambda footer: b"\x15\x04\x19\xfc" + b"\xd1\x0f" + group * 2_001 + footer[-40:])


@case("Parquet cut short", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(rows_of(100_000), folder / "a.parquet")
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-100])


@case("Parquet that declares a footer of 1 GB", settings=PARQUET)
def _(folder: Path) -> None:
    write_parts(folder / "a.parquet", [b"PAR1", *repeat_bytes(b"\0", 1_100 * MB), struct.pack("<I", 1_000 * MB), b"PAR1"])


@case("Parquet with an encrypted footer", settings=PARQUET)
def _(folder: Path) -> None:
    pq.write_table(rows_of(1_000), folder / "a.parquet")
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-4] + b"PARE")


# --- files that change ------------------------------------------------------------------------------------------------


def grow(folder: Path) -> None:
    with (folder / "a.csv").open("ab") as file:
        file.write(LINE + b"\n")


def shrink(folder: Path) -> None:
    os.truncate(folder / "a.csv", 10 * MB)


@case("a file that grows while it is read", meanwhile=grow)
@case("a file that is cut while it is read", meanwhile=shrink)
def _(folder: Path) -> None:
    write_parts(folder / "a.csv", [HEADER, *repeat_bytes(LINE + b"\n", 60 * MB)])


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """The cost of ingesting a project, its exit code and its output."""

    peak_mb: float
    cpu_s: float
    code: int
    output: str
    errors: str


def ingest_project(project: Path, meanwhile: Callable[[], None] | None = None) -> Cost:
    command = [sys.executable, "-m", "trueup.cli", "ingest", "--json", "--project", str(project)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        if meanwhile is not None:
            threading.Timer(4.0, meanwhile).start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        texts = out.read().decode(), err.read().decode()
    return Cost(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, process.returncode, *texts)


def reading_s(folder: Path) -> tuple[int, float]:
    """Return the bytes of a folder's regular files, and the processor time to read and hash them."""
    begun, size = time.process_time(), 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                size += path.stat().st_size
                hashlib.file_digest(file, "sha256")
    return size, time.process_time() - begun


def project_of(one: Case | None, scratch: Path) -> Path:
    project = scratch / "project"
    shutil.rmtree(project, ignore_errors=True)
    (project / "landing").mkdir(parents=True)
    (project / "sound.csv").write_bytes(SOUND)
    toml = TOML.format(columns=MAPPED, settings="", more="") if one is None else _toml(one)
    (project / "trueup.toml").write_text(toml)
    if one is not None:
        # A child process inherits the peak memory of its parent, so a separate process makes the file.
        subprocess.run([sys.executable, __file__, "--make", one.name, str(project / "landing")], check=True)
    return project


def _toml(one: Case) -> str:
    text = TOML.replace("{columns}", MAPPED, 1).format(columns=one.columns, settings=one.settings, more=one.more)
    return text.replace('path = "landing/*"\n', "") if "path = " in one.settings else text


def main(pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        baseline = ingest_project(project_of(None, scratch))
        print(f"sound file alone: {baseline.peak_mb:.0f} MB, {baseline.cpu_s:.1f} s of processor time\n")
        print("| file | size | MB above | s | × reading | exit | sound file | hostile file | message |")
        print("|---|--:|--:|--:|--:|--:|---|---|---|")
        over_limit = []
        for one in CASES:
            if not re.search(pattern, one.name):
                continue
            project = project_of(one, scratch)
            size, plain_s = reading_s(project / "landing")
            cost = ingest_project(project, (lambda: one.meanwhile(project / "landing")) if one.meanwhile else None)  # noqa: B023
            above = cost.peak_mb - baseline.peak_mb
            more_s = max(0.0, cost.cpu_s - baseline.cpu_s)
            ratio = f"{more_s / plain_s:.0f}" if size >= MB else "–"
            if above > MAX_MB:
                over_limit.append(one.name)
            cells = (one.name, f"{size / MB:.1f} MB", f"{above:.0f}", f"{more_s:.1f}", ratio, str(cost.code), _outcome_cells(cost))
            print(f"| {' | '.join(cells)} | {_message(cost, scratch)} |", flush=True)
            shutil.rmtree(project, ignore_errors=True)
        print(f"\nmore than {MAX_MB} MB: {', '.join(over_limit) or 'none'}")


def _outcome_cells(cost: Cost) -> str:
    """Return the cells of the sound file and of the hostile one."""
    try:
        units = json.loads(cost.output)["units"]
    except (ValueError, KeyError):
        return "**lost** | –"
    sound = sum(unit["accepted"] for unit in units if unit["source"] == "sound")
    others = [unit for unit in units if unit["source"] == "hostile"]
    counts = {name: sum(unit[name] for unit in others) for name in ("accepted", "duplicate", "quarantined")}
    counted = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return f"{'ingested' if sound == 100 else '**lost**'} | {counted or ('ingested' if others else 'refused')}"


def _message(cost: Cost, scratch: Path) -> str:
    lines = [line for line in cost.errors.splitlines() if " % of " not in line]
    text = (lines or ["–"])[-1].replace(str(scratch), "…").replace("|", "/").removeprefix("trueup: ")
    return text if len(text) <= 220 else f"{text[:220]} …"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        next(one for one in CASES if one.name == sys.argv[2]).make(Path(sys.argv[3]))
    else:
        main(*sys.argv[1:2] or [""])
