"""Source units: find the files of a source, open and fingerprint them, and read each as one decompressed stream."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from trueup.collect.discover.archives import container_of
from trueup.collect.discover.open_writers import is_being_written
from trueup.collect.discover.patterns import Pattern
from trueup.collect.discover.unpack import LEAST_BYTES, Compression, compression_of, unpack
from trueup.config import LimitsConfig, Project, SourceConfig
from trueup.errors import SourceError
from trueup.regular import NotRegularError, open_regular, read_regular

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 16
_TEXT_CONTROLS = frozenset(b"\t\n\v\f\r\x1b")


@dataclass
class SourceFiles:
    """Files of a source's paths, errors of paths that do not exist or cannot be read, and notices of patterns without files.

    `unreadable` has the errors among them that are of unreadable paths. `missing` has the folders of patterns that do not exist:
    nothing was delivered yet, or the folder vanished.
    """

    paths: list[Path] = field(default_factory=list)
    errors: list[SourceError] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    unreadable: list[SourceError] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)


def find_files(project: Project, source: SourceConfig) -> SourceFiles:
    """Expand the paths of a source; return each file once, in order of name.

    A pattern without files is a notice (nothing was delivered yet). A plain path that does not exist is an error, and so is a
    folder that cannot be read. The files of other folders are returned nevertheless.
    """
    files, paths, most = SourceFiles(), dict[Path, None](), source.limits.files
    for written in source.path:
        pattern = Pattern.of(project, written)
        matches = pattern.matches(most=most)
        if matches.failures:
            files.unreadable.append(_unreadable_error(project, source, matches.failures))
            files.errors.append(files.unreadable[-1])
        if matches.is_missing and pattern.is_literal:
            todo = f"check `path` of source {source.name}"
            files.errors.append(SourceError("there is no such file", where=display_path(project, pattern.folder), todo=todo))
        elif not matches.paths and not matches.failures:
            files.notices.append(f"source {source.name}: no file matches {written}")
            files.missing += [pattern.folder] if matches.is_missing else []
        elif len(matches.paths) > most:
            files.errors.append(
                SourceError(
                    f"the pattern matches more than {most} files", where=f"source {source.name}: {written}",
                    todo="move ingested files elsewhere, or raise `files` in [limits] or [source.limits]",
                )
            )  # fmt: skip
        else:
            paths |= dict.fromkeys(matches.paths)
    files.paths = list(paths)
    return files


def _unreadable_error(project: Project, source: SourceConfig, failures: Mapping[Path, OSError]) -> SourceError:
    path = min(failures, key=str)
    more = f", nor can {len(failures) - 1} more of its paths" if len(failures) > 1 else ""
    return SourceError(
        f"a path of source {source.name} cannot be read{more}: {failures[path].strerror}, so files in it may be missing",
        where=display_path(project, path), todo="give this user the right to read it, or mount it again; then ingest again",
    )  # fmt: skip


def vanished_error(project: Project, source: SourceConfig, folder: Path) -> SourceError:
    """Return the error of a folder that does not exist, although files of it were ingested."""
    return SourceError(
        f"the folder of source {source.name} does not exist any more, although files of it were ingested",
        where=display_path(project, folder), todo="mount it again, or give it its name again; else correct `path`",
    )  # fmt: skip


def is_below(project: Project, folder: Path, shown: Iterable[str]) -> bool:
    """Return whether any path, as shown in the log, lies below a folder."""
    prefix = f"{display_path(project, folder)}/"
    return any(path.startswith(prefix) for path in shown)


def display_path(project: Project, path: Path) -> str:
    """Return a path for messages and the log: relative to the project where it lies within, undecodable bytes escaped."""
    name = path.relative_to(project.directory) if path.is_relative_to(project.directory) else path
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def link_boundary(project: Project, source: SourceConfig, path: Path) -> Path | None:
    """Return the folder that a file must not leave by a symbolic link: the folder of the matching pattern.

    Return None for a path that the configuration names literally, for a path elsewhere, and with `follow_links = true`.
    """
    if source.follow_links:
        return None
    patterns = [Pattern.of(project, written) for written in source.path]
    if any(pattern.is_literal and pattern.folder == path for pattern in patterns):
        return None
    return next((folder for pattern in patterns if (folder := pattern.within(path)) is not None), None)


@dataclass(frozen=True)
class _Stamp:
    """File attributes by which a change since the first check is detected."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Unit:
    """One open source unit; reading it raises `SourceError` when the file has changed since it was fingerprinted.

    `recycled_by` is the id of the mapping that maps rejected records of the unit again, empty for a delivery.
    """

    source: SourceConfig
    path: Path
    shown: str
    sha256: str
    size_bytes: int
    compression: Compression
    handle: BinaryIO
    stamp: _Stamp
    recycled_by: str = ""

    @property
    def limits(self) -> LimitsConfig:
        """Limits of the unit's source."""
        return self.source.limits

    @property
    def source_id(self) -> str:
        """Identifier by which events refer to the unit; each mapping that maps records again has an identifier of its own."""
        return f"{self.source.name}@{self.sha256[:32]}" + (f"~{self.recycled_by[:16]}" if self.recycled_by else "")

    def stream(self) -> Iterator[bytes]:
        """Return the decompressed bytes from the start, in chunks; raise `SourceError` where they are unreadable or end early."""
        self.handle.seek(0)
        max_bytes = max(LEAST_BYTES, self.limits.expansion * self.size_bytes)
        chunks = _read_chunks(self.handle, _CHUNK_BYTES, self.shown)
        return unpack(self.handle, chunks, self.compression, self.shown, max_bytes=max_bytes)

    def bytes_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the decompressed stream; raise `SourceError` where the stream ends before them."""
        if not self.compression:
            self.handle.seek(offset)
            data = next(_read_chunks(self.handle, length, self.shown), b"") if length else b""
        else:
            data = _cut_bytes(self.stream(), offset, length)
        if len(data) != length:
            raise SourceError(f"the file ends before byte {offset + length}", where=self.shown)
        return data

    def position_bytes(self) -> int:
        """Return how far the file has been read, in its own (compressed) bytes."""
        return self.handle.tell()

    def check_unchanged(self) -> None:
        """Raise `SourceError` if the file is no longer the one that was fingerprinted."""
        if _read_stamp(self.handle) != self.stamp:
            raise _growth_error(self.shown)

    def check_readable_to_end(self) -> None:
        """Raise `SourceError` for a unit that a process still writes, and for a compressed unit that is damaged or truncated.

        A compressed unit is read to its end before any of its records is ingested. This costs a second decompression, but damage in
        the middle would otherwise leave the earlier parts in the log.
        """
        if is_being_written(self.stamp.device, self.stamp.inode):
            raise _growth_error(self.shown)
        if self.compression and sum(map(len, self.stream())) == 0:
            raise SourceError("the file is empty once decompressed", where=self.shown, todo="have it delivered again")

    def check_text(self) -> None:
        """Raise `SourceError` for a unit that is not text."""
        head = next(self.stream(), b"")[:_HEAD_BYTES]
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise SourceError("the file is UTF-16 text", where=self.shown, todo="convert it to UTF-8 before it is delivered")
        controls = sum(head.count(bytes([code])) for code in range(32) if code not in _TEXT_CONTROLS)
        # One or two damaged bytes must not reject the whole file; a binary file has many control bytes.
        if 0 in head and (controls * 100 > len(head) or container_of(head)):
            raise self._binary_error(head)

    def _binary_error(self, head: bytes) -> SourceError:
        container = container_of(head)
        todo = f"check `path` and `format` of source {self.source.name}"
        if container is None:
            return SourceError("the file is binary, not text", where=self.shown, todo=todo)
        return SourceError(
            f"the file is {container}, not text", where=self.shown, todo=f"unpack or export it before it is delivered, or {todo}"
        )


@contextmanager
def open_unit(project: Project, source: SourceConfig, path: Path) -> Iterator[Unit]:
    """Open a file as a source unit; raise `SourceError` for a file that cannot be one."""
    name = display_path(project, path)
    try:
        handle = open_regular(path, within=link_boundary(project, source, path))
    except OSError as error:
        raise _open_error(error, name, source) from None
    with handle:
        stamp = _read_stamp(handle)
        if stamp.size_bytes == 0:
            raise SourceError("the file is empty", where=name, todo="have it delivered again")
        sha256, size, head = _hash_file(handle, name)
        if size != stamp.size_bytes or _read_stamp(handle) != stamp:
            raise _growth_error(name)
        yield Unit(source, path, name, sha256, size, _detect_compression(source, head), handle, stamp)


def _detect_compression(source: SourceConfig, head: bytes) -> Compression:
    """Return how a file is compressed as a whole; a workbook is a zip archive by itself."""
    compression = compression_of(head)
    return "" if compression == "zip" and source.format == "xlsx" else compression


def sample_unit(source: SourceConfig, path: Path, handle: BinaryIO, size_bytes: int) -> Unit:
    """Return a unit of bytes without a fingerprint, such as the beginning of a file, for inspection only."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return Unit(source, path, shown, "", size_bytes, "", handle, _Stamp(0, 0, size_bytes, 0))


def read_side_file(project: Project, source: SourceConfig, path: Path) -> bytes:
    """Return the bytes of a small file delivered with a unit, such as a manifest; raise `OSError`."""
    return read_regular(path, max_bytes=source.limits.manifest_bytes, within=link_boundary(project, source, path))


def _open_error(error: OSError, name: str, source: SourceConfig) -> SourceError:
    if not isinstance(error, NotRegularError):
        return _read_error(name, error)
    todo = "move it elsewhere"
    if error.fault == "directory":
        todo = f"write {name}/* in `path` of source {source.name}"
    elif error.fault == "outside":
        todo = f"name its target in `path` of source {source.name}, or set follow_links = true there"
    return SourceError(str(error.strerror), where=name, todo=todo)


def _read_error(name: str, error: OSError) -> SourceError:
    return SourceError(f"the file cannot be read: {error.strerror or error}", where=name, todo="check its rights and its disk")


def _cut_bytes(chunks: Iterator[bytes], offset: int, length: int) -> bytes:
    """Return bytes of a stream without holding the bytes before them."""
    data = bytearray()
    at = 0
    for chunk in chunks:
        if at + len(chunk) > offset:
            data += chunk[max(0, offset - at) : max(0, offset + length - at)]
        at += len(chunk)
        if at >= offset + length:
            break
    return bytes(data)


def _growth_error(name: str) -> SourceError:
    return SourceError("the file is still growing", where=name, todo="ingest it again when it is complete")


def _read_stamp(handle: BinaryIO) -> _Stamp:
    file_stat = os.fstat(handle.fileno())
    return _Stamp(file_stat.st_dev, file_stat.st_ino, file_stat.st_size, file_stat.st_mtime_ns)


def _hash_file(handle: BinaryIO, name: str) -> tuple[str, int, bytes]:
    """Return SHA-256, number of bytes and first bytes of a file."""
    digest, size, head = hashlib.sha256(), 0, b""
    for chunk in _read_chunks(handle, _CHUNK_BYTES, name):
        head = head or chunk[:4]
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size, head


def _read_chunks(handle: BinaryIO, size_bytes: int, name: str) -> Iterator[bytes]:
    try:
        while chunk := handle.read(size_bytes):
            yield chunk
    except OSError as error:
        raise _read_error(name, error) from None
