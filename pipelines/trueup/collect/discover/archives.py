"""Archives: reads the only member of a zip archive as a stream, and names containers that must be unpacked before delivery."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import BinaryIO

from trueup.errors import SourceError

_ZIP_KINDS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_CONTAINERS = (
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (4, b"1AY&SY", "bzip2-compressed"),
    (0, b"\xfd7zXZ\x00", "xz-compressed"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook or document of an old Office version (xls, doc)"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b", "gzip-compressed once more"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed once more"),
    (0, b"\x1f\x9d", "packed by compress (.Z)"),
    (0, b"\x04\x22\x4d\x18", "lz4-compressed"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"ORC", "an ORC file"),
    (0, b"SQLite format 3\0", "a SQLite database"),
    (0, b"%PDF-", "a PDF document"),
)
"""Offset and bytes by which a container is recognised, and its name."""
_OUT_BYTES = 1 << 20
_READ_BYTES = 1 << 21
"""Maximum number of bytes read at once. A longer list of members is refused before it fills the memory."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods whose output Python bounds; with other methods, a few bytes may unpack to gigabytes at once."""
_UNPACK = "deliver its one file by itself, or compressed with gzip or zstd"


def is_zip(head: bytes) -> bool:
    """Return whether a file is a zip archive by its first bytes."""
    return head.startswith(_ZIP_KINDS)


def container_of(head: bytes) -> str | None:
    """Return the kind of a binary file by its first bytes; None where they are unknown."""
    if is_zip(head):
        return "a zip archive"
    return next((name for at, magic, name in _CONTAINERS if head[at:].startswith(magic)), None)


def is_workbook(handle: BinaryIO) -> bool:
    """Return whether a zip archive is a workbook (xlsx) by the names of its members."""
    try:
        with zipfile.ZipFile(BoundedFile(handle, "")) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, SourceError, OSError, ValueError, NotImplementedError, EOFError):
        # `read_zip` reports the damage later.
        return False


class BoundedFile(RawIOBase):
    """A file that bounds each read, because the reader of archives would read a list of members of any length at once."""

    def __init__(self, handle: BinaryIO, where: str) -> None:
        self._handle, self._where = handle, where

    def read(self, size: int = -1) -> bytes:
        """Read bytes; raise `SourceError` for more bytes than a list of members may have."""
        data = self._handle.read(min(size, _READ_BYTES + 1) if size >= 0 else _READ_BYTES + 1)
        if len(data) > _READ_BYTES:
            raise SourceError("the zip archive has too long a list of members", where=self._where, todo=_UNPACK)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._handle.tell()

    def seekable(self) -> bool:
        """Return whether positions may be set."""
        return True


def read_zip(handle: BinaryIO, where: str) -> Iterator[bytes]:
    """Yield the bytes of the only member of a zip archive in chunks of bounded size; the member may have any name.

    Raises `SourceError` for an archive that is damaged or encrypted, and for one with another number of members.
    """
    try:
        with zipfile.ZipFile(BoundedFile(handle, where)) as archive:
            member = _find_only_member(archive.infolist(), where)
            with archive.open(member) as content:
                while chunk := content.read(_OUT_BYTES):
                    yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise SourceError(f"the zip archive is damaged: {error}", where=where, todo="have it delivered again") from None
    except OSError as error:
        what = f"the file cannot be read: {error.strerror or error}"
        raise SourceError(what, where=where, todo="check its rights and its disk") from None


def _find_only_member(listed: Sequence[zipfile.ZipInfo], where: str) -> zipfile.ZipInfo:
    """Return the one file of an archive; folders, and the attribute files that macOS adds, do not count."""
    names = {member.filename for member in listed}
    if "[Content_Types].xml" in names or "mimetype" in names:
        todo = 'set format = "xlsx" of its source, or export it as CSV before it is delivered'
        raise SourceError("the file is a workbook or document (xlsx, docx, ods), not text", where=where, todo=todo)
    files = [member for member in listed if not member.is_dir() and not member.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        raise SourceError(f"the zip archive has {len(files)} files; one is read", where=where, todo="deliver each file by itself")
    (member,) = files
    if member.flag_bits & 1:
        raise SourceError("the zip archive is encrypted", where=where, todo="have it delivered without a password")
    if member.compress_type not in _METHODS:
        name = zipfile.compressor_names.get(member.compress_type, str(member.compress_type))  # type: ignore[attr-defined]
        raise SourceError(f"the zip archive is packed with {name}, not deflate", where=where, todo=_UNPACK)
    return member
