"""Find the raw files of units: at the recorded path, among the sources' files, or under any name in an archive."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from trueup.collect.discover.units import Unit, display_path, find_files, open_unit
from trueup.collect.discover.unpack import Compression, compression_of, unpack
from trueup.config import Project, SourceConfig
from trueup.errors import SourceError

_HEAD_BYTES, _CHUNK_BYTES = 4, 1 << 20


@dataclass(frozen=True)
class RecordedUnit:
    """A unit as its control rows describe it."""

    source_id: str
    path: str
    sha256: str
    size_bytes: int

    @property
    def recycled_by(self) -> str:
        """The beginning of the id of the mapping by which recycling maps the unit's records again; empty for a delivery."""
        return self.source_id.rpartition("@")[2].partition("~")[2]


class MissingRawFile(SourceError):
    """The bytes of a unit were not found. `changed`: its path has other bytes, which belong to no unit of the log."""

    def __init__(self, what: str, *, where: str, todo: str, changed: bool = False) -> None:
        super().__init__(what, where=where, todo=todo)
        self.changed = changed


class Archive:
    """Finder of units by size and SHA-256; it reads each file of the archive folders at most once."""

    def __init__(self, project: Project, folders: tuple[Path, ...], known: frozenset[str]) -> None:
        self._project, self._folders, self._known = project, folders, known
        self._by_content: dict[tuple[int, str], tuple[Path, Compression]] | None = None
        self._by_size: dict[int, list[Path]] | None = None

    @contextmanager
    def unit(self, recorded_unit: RecordedUnit, source: SourceConfig) -> Iterator[Unit]:
        """Yield the open unit with the recorded bytes; raise `MissingRawFile` where they are not found."""
        for path in self._list_candidates(recorded_unit):
            with open_unit(self._project, source, path) as unit:
                if unit.sha256 == recorded_unit.sha256:
                    yield replace(unit, recycled_by=recorded_unit.recycled_by)
                    return
        compressed = self._index_by_content().get((recorded_unit.size_bytes, recorded_unit.sha256))
        if compressed is None:
            raise self._missing_error(recorded_unit, source)
        with self._decompress_to_file(*compressed) as handle, open_unit(self._project, source, compressed[0]) as outer:
            compression = compression_of(handle.read(_HEAD_BYTES))
            yield replace(
                outer, sha256=recorded_unit.sha256, size_bytes=recorded_unit.size_bytes, compression=compression, handle=handle,
                recycled_by=recorded_unit.recycled_by,
            )  # fmt: skip

    def _list_candidates(self, recorded_unit: RecordedUnit) -> Iterator[Path]:
        """Return files of the unit's size: the recorded path, the files of all sources, then the files of the archives."""
        recorded_path = self._project.directory / recorded_unit.path
        paths = [
            recorded_path,
            *(path for path in self._index_by_size().get(recorded_unit.size_bytes, []) if path != recorded_path),
        ]
        return (path for path in paths if path.is_file() and path.stat().st_size == recorded_unit.size_bytes)

    def _index_by_size(self) -> dict[int, list[Path]]:
        if self._by_size is None:
            self._by_size = {}
            for path in dict.fromkeys([*self._list_delivered(), *self._list_archived()]):
                if path.is_file():
                    self._by_size.setdefault(path.stat().st_size, []).append(path)
        return self._by_size

    def _list_delivered(self) -> Iterator[Path]:
        for source in self._project.config.source:
            yield from find_files(self._project, source).paths

    def _list_archived(self) -> Iterator[Path]:
        for folder in self._folders:
            yield from sorted(path for path in folder.rglob("*") if path.is_file())

    def _index_by_content(self) -> dict[tuple[int, str], tuple[Path, Compression]]:
        """Return compressed files of the archives by size and SHA-256 of their decompressed bytes."""
        if self._by_content is None:
            self._by_content = {}
            for path in self._list_archived():
                with path.open("rb") as handle:
                    compression = compression_of(handle.read(_HEAD_BYTES))
                    if not compression:
                        continue
                    handle.seek(0)
                    digest, size = hashlib.sha256(), 0
                    try:
                        for chunk in unpack(handle, _read_chunks(handle), compression, str(path)):
                            digest.update(chunk)
                            size += len(chunk)
                    except SourceError:
                        # Ignore a damaged archive file, because another file may have the unit.
                        continue
                    self._by_content[size, digest.hexdigest()] = (path, compression)
        return self._by_content

    @contextmanager
    def _decompress_to_file(self, path: Path, compression: Compression) -> Iterator[BinaryIO]:
        """Yield a temporary file with the decompressed bytes of an archive file."""
        with tempfile.TemporaryFile(prefix="trueup-verify-") as copy, path.open("rb") as handle:
            for chunk in unpack(handle, _read_chunks(handle), compression, str(path)):
                copy.write(chunk)
            copy.seek(0)
            yield copy

    def _missing_error(self, recorded_unit: RecordedUnit, source: SourceConfig) -> MissingRawFile:
        path = self._project.directory / recorded_unit.path
        if path.is_file():
            with open_unit(self._project, source, path) as unit:
                if unit.sha256 not in self._known:
                    what = (
                        f"the file's bytes are not those that were ingested: its sha256 is {unit.sha256}, "
                        f"the log recorded {recorded_unit.sha256}"
                    )
                    todo = "restore it, or name the archive of the original by --raw DIR"
                    return MissingRawFile(what, where=display_path(self._project, path), todo=todo, changed=True)
        what = f"the raw file with sha256 {recorded_unit.sha256} was not found"
        return MissingRawFile(what, where=recorded_unit.path, todo="restore it from the archive, or name its folder by --raw DIR")


def _read_chunks(handle: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: handle.read(_CHUNK_BYTES), b"")
