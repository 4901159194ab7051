"""Source units: the files a source names, opened, fingerprinted and read as one decompressed stream."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import zstandard

from trueup.collect.writers import is_being_written
from trueup.config import Project, SourceConfig
from trueup.errors import SourceError

Compression = Literal["", "gzip", "zstd"]

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\x1b")


@dataclass
class Found:
    """What the paths of a source lead to: files to open, errors of paths that lead nowhere, notices of empty patterns."""

    paths: list[Path] = field(default_factory=list)
    errors: list[SourceError] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def find(project: Project, source: SourceConfig) -> Found:
    """Expands the paths of a source, in order of name, each file once.

    A pattern that matches nothing is a notice (nothing has been delivered); a plain path that is not there is an error.
    """
    found = Found()
    for told in source.path:
        pattern = str(project.resolve(told))
        # `Path.glob` takes no absolute pattern.
        matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
        if not matches:
            found.notices.append(f"source {source.name}: no file matches {told}")
        for match in matches:
            path = Path(match)
            if not os.path.lexists(path):
                found.errors.append(
                    SourceError("there is no such file", where=shown(project, path), todo=f"check `path` of source {source.name}")
                )
            elif path not in found.paths:
                found.paths.append(path)
    return found


def shown(project: Project, path: Path) -> str:
    """A path as people and the log name it: relative to the project where it lies within."""
    return str(path.relative_to(project.directory)) if path.is_relative_to(project.directory) else str(path)


@dataclass(frozen=True)
class _Stamp:
    """What tells that a file has not changed since it was looked at."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Unit:
    """One source unit, open: its bytes are those that were fingerprinted, or reading it raises."""

    source: SourceConfig
    path: Path
    shown: str
    sha256: str
    size_bytes: int
    compression: Compression
    handle: BinaryIO
    stamp: _Stamp

    @property
    def source_id(self) -> str:
        """How events name the unit they came in."""
        return f"{self.source.name}@{self.sha256[:32]}"

    def stream(self) -> Iterator[bytes]:
        """The decompressed bytes from the start, in chunks; raises `SourceError` where they cannot be read or end early."""
        self.handle.seek(0)
        return decompressed(self.handle, self.compression, self.shown)

    def bytes_at(self, offset: int, length: int) -> bytes:
        """Some bytes of the decompressed stream; raises `SourceError` where it ends before them."""
        if not self.compression:
            self.handle.seek(offset)
            found = next(_chunks(self.handle, length, self.shown), b"") if length else b""
        else:
            found = _cut(self.stream(), offset, length)
        if len(found) != length:
            raise SourceError(f"the file ends before byte {offset + length}", where=self.shown)
        return found

    def position_bytes(self) -> int:
        """How far the file has been read, in its own (compressed) bytes."""
        return self.handle.tell()

    def check_unchanged(self) -> None:
        """Raises `SourceError` if the file is no longer the one that was fingerprinted."""
        if _stamp(self.handle) != self.stamp:
            raise _growing(self.shown)

    def check_whole(self) -> None:
        """Raises `SourceError` for a unit that somebody still writes, and for a compressed one that is damaged or cut short.

        A compressed unit is read to its end for that, before anything of it is taken in. It costs a second decompression;
        the alternative, finding out in the middle, would leave the parts before the damage in the log.
        """
        if is_being_written(self.stamp.device, self.stamp.inode):
            raise _growing(self.shown)
        if self.compression and sum(map(len, self.stream())) == 0:
            raise SourceError("the file holds nothing once decompressed", where=self.shown, todo="have it delivered again")

    def check_text(self) -> None:
        """Raises `SourceError` for a unit that is no text at all."""
        head = next(self.stream(), b"")[:_HEAD_BYTES]
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise SourceError("the file is UTF-16 text", where=self.shown, todo="convert it to UTF-8 before it lands")
        controls = sum(head.count(bytes([code])) for code in range(32) if code not in _TEXT_CONTROLS)
        # A damaged byte or two must not cost the good lines beside it; a binary file is full of such bytes.
        if 0 in head and controls * 100 > len(head):
            raise SourceError(
                "the file is binary, not text", where=self.shown, todo=f"check `path` and `format` of source {self.source.name}"
            )


@contextmanager
def opened(project: Project, source: SourceConfig, path: Path) -> Iterator[Unit]:
    """Opens a file as a source unit; raises `SourceError` for anything that cannot be one."""
    name = shown(project, path)
    try:
        handle = path.open("rb")
    except IsADirectoryError:
        raise SourceError(
            "this is a directory, not a file", where=name, todo=f"write {name}/* in `path` of source {source.name}"
        ) from None
    except OSError as error:
        raise _unreadable(name, error) from None
    with handle:
        stamp = _stamp(handle)
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise SourceError("this is no regular file", where=name)
        if stamp.size_bytes == 0:
            raise SourceError("the file is empty", where=name, todo="have it delivered again")
        sha256, size, head = _fingerprint(handle, name)
        if size != stamp.size_bytes or _stamp(handle) != stamp:
            raise _growing(name)
        yield Unit(source, path, name, sha256, size, _compression(head), handle, stamp)


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(f"the file cannot be read: {error.strerror or error}", where=name, todo="check its rights and its disk")


def _cut(chunks: Iterator[bytes], offset: int, length: int) -> bytes:
    """Some bytes of a stream, without holding what lies before them."""
    found = bytearray()
    at = 0
    for chunk in chunks:
        if at + len(chunk) > offset:
            found += chunk[max(0, offset - at) : max(0, offset + length - at)]
        at += len(chunk)
        if at >= offset + length:
            break
    return bytes(found)


def _growing(name: str) -> SourceError:
    return SourceError("the file is still growing", where=name, todo="take it in again when it has been delivered whole")


def _stamp(handle: BinaryIO) -> _Stamp:
    told = os.fstat(handle.fileno())
    return _Stamp(told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)


def _fingerprint(handle: BinaryIO, name: str) -> tuple[str, int, bytes]:
    """SHA-256, number of bytes and first bytes of a file."""
    digest, size, head = hashlib.sha256(), 0, b""
    for chunk in _chunks(handle, _CHUNK_BYTES, name):
        head = head or chunk[:4]
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size, head


def _chunks(handle: BinaryIO, size_bytes: int, name: str) -> Iterator[bytes]:
    try:
        while chunk := handle.read(size_bytes):
            yield chunk
    except OSError as error:
        raise _unreadable(name, error) from None


def _compression(head: bytes) -> Compression:
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith(_ZSTD_MAGIC) else ""


# --- decompression ----------------------------------------------------------------------------------------------------


class _Inflater(Protocol):
    """What zlib's and zstandard's decompression objects have in common."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the member's end."""

    def decompress(self, data: bytes, /) -> bytes:
        """The bytes that `data` adds."""


_INFLATERS: dict[str, Callable[[], _Inflater]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


def decompressed(handle: BinaryIO, compression: Compression, where: str) -> Iterator[bytes]:
    """The bytes of a file from where it stands, decompressed, in chunks; several members or frames are one stream.

    Raises `SourceError` for a damaged stream and for one that ends in the middle of a member.
    """
    if not compression:
        yield from _chunks(handle, _CHUNK_BYTES, where)
        return
    inflater: _Inflater | None = None
    for data in _chunks(handle, _CHUNK_BYTES // 4, where):
        while data:
            inflater = inflater or _INFLATERS[compression]()
            try:
                found = inflater.decompress(data)
            except (zlib.error, zstandard.ZstdError) as error:
                told = f"the {compression} stream is damaged: {error}"
                raise SourceError(told, where=where, todo="have it delivered again") from None
            if found:
                yield found
            data = inflater.unused_data if inflater.eof else b""
            # Tapes and block devices pad with zeros behind the last member.
            data = data.lstrip(b"\0") if inflater.eof else data
            inflater = None if inflater.eof else inflater
    if inflater is not None:
        raise SourceError(f"the {compression} stream is cut short", where=where, todo="have it delivered again")
