"""Where the raw bytes of a unit lie: at the path the log recorded, among its source's files, or in an archive under any name."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from trueup.collect.discover.units import Unit, display_path, find_files, open_unit
from trueup.collect.discover.unpack import Compression, compression_of, decompress
from trueup.config import Project, SourceConfig
from trueup.errors import SourceError

_HEAD_BYTES, _CHUNK_BYTES = 4, 1 << 20


@dataclass(frozen=True)
class Wanted:
    """A unit as its control rows describe it."""

    source_id: str
    path: str
    sha256: str
    size_bytes: int


class Missing(SourceError):
    """The bytes of a unit are nowhere. `changed` says that other bytes lie at its path, which no unit of the log has."""

    def __init__(self, what: str, *, where: str, todo: str, changed: bool = False) -> None:
        super().__init__(what, where=where, todo=todo)
        self.changed = changed


class Archive:
    """Finds units by size and SHA-256. Each file of the archive folders is read at most once for it."""

    def __init__(self, project: Project, folders: tuple[Path, ...], known: frozenset[str]) -> None:
        self._project, self._folders, self._known = project, folders, known
        self._by_content: dict[tuple[int, str], tuple[Path, Compression]] | None = None
        self._by_size: dict[int, list[Path]] | None = None

    @contextmanager
    def unit(self, wanted: Wanted, source: SourceConfig) -> Iterator[Unit]:
        """The unit, open, with the bytes that the log recorded; raises `Missing` where they are nowhere."""
        for path in self._candidates(wanted):
            with open_unit(self._project, source, path) as unit:
                if unit.sha256 == wanted.sha256:
                    yield unit
                    return
        inflated = self._contents().get((wanted.size_bytes, wanted.sha256))
        if inflated is None:
            raise self._missing(wanted, source)
        with self._inflated(*inflated) as handle, open_unit(self._project, source, inflated[0]) as outer:
            compression = compression_of(handle.read(_HEAD_BYTES))
            yield replace(
                outer, sha256=wanted.sha256, size_bytes=wanted.size_bytes, compression=compression, handle=handle
            )  # fmt: skip

    def _candidates(self, wanted: Wanted) -> Iterator[Path]:
        """Files of the unit's size: the recorded path, the files of all sources, then the archives'."""
        recorded = self._project.directory / wanted.path
        paths = [recorded, *(path for path in self._sizes().get(wanted.size_bytes, []) if path != recorded)]
        return (path for path in paths if path.is_file() and path.stat().st_size == wanted.size_bytes)

    def _sizes(self) -> dict[int, list[Path]]:
        if self._by_size is None:
            self._by_size = {}
            for path in dict.fromkeys([*self._delivered(), *self._archived()]):
                if path.is_file():
                    self._by_size.setdefault(path.stat().st_size, []).append(path)
        return self._by_size

    def _delivered(self) -> Iterator[Path]:
        for source in self._project.config.source:
            yield from find_files(self._project, source).paths

    def _archived(self) -> Iterator[Path]:
        for folder in self._folders:
            yield from sorted(path for path in folder.rglob("*") if path.is_file())

    def _contents(self) -> dict[tuple[int, str], tuple[Path, Compression]]:
        """Compressed files of the archives by size and SHA-256 of what they hold once decompressed."""
        if self._by_content is None:
            self._by_content = {}
            for path in self._archived():
                with path.open("rb") as handle:
                    compression = compression_of(handle.read(_HEAD_BYTES))
                    if not compression:
                        continue
                    handle.seek(0)
                    digest, size = hashlib.sha256(), 0
                    try:
                        for chunk in decompress(_chunks(handle), compression, str(path)):
                            digest.update(chunk)
                            size += len(chunk)
                    except SourceError:
                        # A damaged file of the archive proves nothing; another may hold the unit.
                        continue
                    self._by_content[size, digest.hexdigest()] = (path, compression)
        return self._by_content

    @contextmanager
    def _inflated(self, path: Path, compression: Compression) -> Iterator[BinaryIO]:
        """A file's bytes as they were before the archive compressed them, on disk."""
        with tempfile.TemporaryFile(prefix="trueup-verify-") as copy, path.open("rb") as handle:
            for chunk in decompress(_chunks(handle), compression, str(path)):
                copy.write(chunk)
            copy.seek(0)
            yield copy

    def _missing(self, wanted: Wanted, source: SourceConfig) -> Missing:
        path = self._project.directory / wanted.path
        if path.is_file():
            with open_unit(self._project, source, path) as unit:
                if unit.sha256 not in self._known:
                    what = (
                        f"the file's bytes are not those that were ingested: its sha256 is {unit.sha256}, "
                        f"the log recorded {wanted.sha256}"
                    )
                    todo = "restore it, or name the archive of the original by --raw DIR"
                    return Missing(what, where=display_path(self._project, path), todo=todo, changed=True)
        what = f"the raw file with sha256 {wanted.sha256} is nowhere"
        return Missing(what, where=wanted.path, todo="bring it back from the archive, or name its folder by --raw DIR")


def _chunks(handle: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: handle.read(_CHUNK_BYTES), b"")
