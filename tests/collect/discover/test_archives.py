"""Zip archives of one file, and containers that are named and refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trueup.collect.decode.readers import reader_of
from trueup.collect.discover import archives
from trueup.collect.discover.units import open_unit
from trueup.collect.ingest import IngestSummary
from trueup.config import Config, Project, SourceConfig
from trueup.errors import SourceError
from trueup.log.lake import Lake
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]

TEXT = b"id,caller,at,seconds\n1,a,2024-05-01 10:00:00,5\n2,a,2024-05-01 10:00:01,sixty\n"


def zip_members(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return held.getvalue()


def tar_file(data: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return held.getvalue()


def text_of(data: bytes, folder: Path, **limits: object) -> bytes:
    """Check that a file is readable text, and return the bytes of its stream."""
    path = folder / "x.csv"
    path.write_bytes(data)
    source = SourceConfig.model_validate({"name": "x", "stream": "usage", "path": "x.csv", "identity": "content", "limits": limits})
    with open_unit(Project(folder, Config()), source, path) as unit:
        unit.check_readable_to_end()
        reader_of(unit)
        whole = b"".join(unit.stream())
        assert unit.bytes_at(3, 5) == whole[3:8]
        return whole


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["c.csv", "../../etc/passwd", "/c.csv", "d/c.csv"])
def test_the_one_file_of_a_zip_archive_is_read_under_any_name(tmp_path: Path, method: int, name: str) -> None:
    packed = zip_members(("d/", b""), (name, TEXT), ("__MACOSX/._c.csv", b"\0\1"), method=method)
    assert text_of(packed, tmp_path) == TEXT
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def encrypt_archive() -> bytes:
    data = bytearray(zip_members(("c.csv", TEXT)))
    for at, offset in ((data.index(b"PK\3\4"), 6), (data.index(b"PK\1\2"), 8)):
        data[at + offset] |= 1
    return bytes(data)


def with_a_long_list(size: int) -> bytes:
    data = bytearray(zip_members(("c.csv", TEXT)))
    at = data.index(b"PK\5\6")
    padding = b"PK\1\2" + b"\0" * size
    struct.pack_into("<L", data, at + 12, struct.unpack_from("<L", data, at + 12)[0] + len(padding))
    return bytes(data[:at]) + padding + bytes(data[at:])


DAMAGED = bytearray(zip_members(("c.csv", TEXT), method=zipfile.ZIP_STORED))
DAMAGED[DAMAGED.index(b"sixty")] ^= 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zip_members(("a.csv", TEXT), ("b.csv", TEXT)), "the zip archive has 2 files; one is read"),
        (zip_members(), "the zip archive has 0 files; one is read"),
        (zip_members(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")), "workbook or document"),
        (zip_members(("c.csv", TEXT), method=zipfile.ZIP_LZMA), "is packed with lzma, not deflate"),
        (encrypt_archive(), "the zip archive is encrypted"),
        (zip_members(("c.csv", TEXT))[:-9], "the zip archive is damaged"),
        (bytes(DAMAGED), "the zip archive is damaged: Bad CRC-32"),
        (zip_members(("c.csv", b"")), "empty once decompressed"),
        (with_a_long_list(3 << 20), "too long a list of members"),
        (gzip.compress(zip_members(("c.csv", TEXT))), "the file is a zip archive, not text"),
        (tar_file(TEXT), "the file is a tar archive, not text"),
        (gzip.compress(tar_file(TEXT)), "the file is a tar archive, not text"),
        (b"7z\xbc\xaf\x27\x1c\0\4" + b"x" * 900, "the file is a 7z archive, not text"),
        (b"Rar!\x1a\x07\x01\0" + b"x" * 900, "the file is a rar archive, not text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "old Office version"),
        (bz2.compress(TEXT), "the file is bzip2-compressed, not text"),
        (lzma.compress(TEXT), "the file is xz-compressed, not text"),
        (gzip.compress(gzip.compress(TEXT)), "the file is gzip-compressed once more, not text"),
        (zip_members(("c.csv.gz", gzip.compress(TEXT))), "the file is gzip-compressed once more, not text"),
        (b"Obj\x01" + bytes(99), "the file is an Avro file, not text"),
    ],
    # Archives hold the time at which they were made, and all test processes need the same names.
    ids=lambda value: value if isinstance(value, str) else "container",
)
def test_a_container_that_is_not_one_text_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(SourceError) as raised:
        text_of(data, tmp_path)
    assert message in str(raised.value)


def test_a_zip_bomb_is_refused_at_the_limit_of_expansion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueup.collect.discover.units.LEAST_BYTES", 1_000)
    with pytest.raises(SourceError, match="unpacks to more than"):
        text_of(zip_members(("c.csv", b"1,2\n" * 1_000_000)), tmp_path, expansion=2)


def test_a_zip_archive_yields_chunks_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip_members(("c.csv", b"0" * (8 << 20))))
    with path.open("rb") as handle:
        sizes = [len(chunk) for chunk in archives.read_zip(handle, "x")]
    assert (sum(sizes), max(sizes)) == (8 << 20, 1 << 20)


def test_records_of_a_zip_archive_are_proven_also_where_it_was_zipped_after_its_ingestion(
    calls: Write, take_in: TakeIn, tmp_path: Path
) -> None:
    project = calls({"a.zip": zip_members(("a.csv", TEXT)), "b.csv": TEXT.replace(b"\n1,", b"\n3,")})
    assert [(unit.records, unit.accepted) for unit in take_in(project).units] == [(2, 1), (2, 1)]
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "b.zip").write_bytes(zip_members(("b.csv", (project.directory / "landing/b.csv").read_bytes())))
    (project.directory / "landing/b.csv").unlink()
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units",)).unavailable == 1
        assert verify(lake, only=("units",), archives=(archive,)).sound
