"""Path patterns of the configuration. Only wildcards that the user wrote count, not characters of folder names or variables."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trueup.config import Project, expand_path

_ANY_DEPTH = "**"


@dataclass
class Matches:
    """The paths that match a pattern, in order of name, and the paths that could not be read, each with its error.

    `is_missing` where the pattern's folder, or the path that it names, does not exist. An entry that disappears during the search
    is neither.
    """

    paths: list[Path] = field(default_factory=list)
    failures: dict[Path, OSError] = field(default_factory=dict)
    is_missing: bool = False


@dataclass(frozen=True)
class Pattern:
    """A path as written in the configuration: `parts` below `folder` have wildcards; without wildcards there are no parts.

    The project's folder and the value of a `${NAME}` are literal, whatever characters they contain.
    """

    folder: Path
    parts: tuple[str, ...]

    @classmethod
    def of(cls, project: Project, written: str) -> Pattern:
        """Return the pattern of a path; raise `ConfigError` for a variable that is not set."""
        if not glob.has_magic(written):
            return cls(project.resolve(written), ())
        # An escaped part has no wildcard, and is unescaped again.
        parts = expand_path(written, glob.escape).split("/")
        literal = next((number for number, part in enumerate(parts) if _has_wildcard(part)), len(parts))
        named = "/".join(_unescape(part) for part in parts[:literal])
        folder = Path("/") if literal == 1 and not parts[0] else project.directory / named
        return cls(folder, tuple(part for part in parts[literal:] if part not in ("", ".")))

    @property
    def is_literal(self) -> bool:
        """Whether the pattern names one path."""
        return not self.parts

    @cached_property
    def _root(self) -> Path:
        return Path(os.path.normpath(self.folder))

    def within(self, path: Path) -> Path | None:
        """Return the pattern's folder if the pattern has wildcards and the path lies below that folder by name; None otherwise."""
        return self.folder if self.parts and Path(os.path.normpath(path)).is_relative_to(self._root) else None

    def matches(self, *, most: int) -> Matches:
        """Return the matches; at most `most` + 1 paths, which shows the caller that there are too many."""
        try:
            # Below a folder that cannot be read, every path would seem to be missing.
            status = self.folder.lstat() if self.is_literal else self.folder.stat()
        except FileNotFoundError:
            return Matches(is_missing=True)
        except OSError as error:
            return Matches(failures={self.folder: error})
        if self.is_literal:
            return Matches([self.folder])
        if not stat.S_ISDIR(status.st_mode):
            return Matches(failures={self.folder: NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))})
        search, paths = _Search({}), set[Path]()
        for path in search.find_below(self.folder, self.parts):
            paths.add(path)
            if len(paths) > most:
                break
        return Matches(sorted(paths, key=str), search.failures)


def _unescape(part: str) -> str:
    return re.sub(r"\[([*?[])\]", r"\1", part)


def _has_wildcard(part: str) -> bool:
    return glob.has_magic(re.sub(r"\[([*?[])\]", "", part))


@dataclass(frozen=True)
class _Search:
    """One search for paths, with the error of each path that it could not read."""

    failures: dict[Path, OSError]

    def find_below(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """Yield the paths below a folder that match, part by part. As in a shell, `*` omits names that begin with a dot."""
        if not parts:
            yield folder
            return
        first, remaining = parts[0], parts[1:]
        if first == _ANY_DEPTH:
            for inner in self._walk_folders(folder):
                yield from (
                    self.find_below(inner, remaining)
                    if remaining
                    else (path for path in self._find_named(inner, "*") if not self.is_folder(path))
                )
        elif _has_wildcard(first):
            for path in self._find_named(folder, first):
                yield from self.find_below(path, remaining)
        elif self.is_there(path := folder / _unescape(first)):
            yield from self.find_below(path, remaining)

    def is_there(self, path: Path) -> bool:
        """Return whether a path exists, as a link at least."""
        try:
            path.lstat()
        except OSError as error:
            self._note(path, error)
            return False
        return True

    def is_folder(self, path: Path) -> bool:
        """Return whether a path leads to a folder; False for a broken or circular link."""
        status = self._read_status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _find_named(self, folder: Path, wildcards: str) -> Iterator[Path]:
        is_match = re.compile(fnmatch.translate(wildcards)).match
        for entry in self._list_entries(folder):
            if is_match(entry.name) and (wildcards.startswith(".") or not entry.name.startswith(".")):
                yield folder / entry.name

    def _walk_folders(self, folder: Path) -> Iterator[Path]:
        """Yield a folder and all folders below it. Yield each once: links may form cycles, and several paths lead to one folder."""
        seen = set[tuple[int, int]]()
        real, linked = [folder], list[Path]()
        # Follow links last, so that a file is named by its real path where it has one.
        while real or linked:
            current = real.pop() if real else linked.pop()
            status = self._read_status(current)
            if status is None or (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            yield current
            entries = sorted((e for e in self._list_entries(current) if not e.name.startswith(".")), key=lambda e: e.name)
            inner = [entry for entry in entries if self._is_folder_entry(current, entry)]
            real += [current / e.name for e in reversed(inner) if not e.is_symlink()]
            linked += [current / e.name for e in reversed(inner) if e.is_symlink()]

    def _is_folder_entry(self, folder: Path, entry: os.DirEntry[str]) -> bool:
        try:
            # The listing of most disks has the types of entries, other than of what a link leads to.
            return entry.is_dir()
        except OSError:
            return self.is_folder(folder / entry.name)

    def _read_status(self, path: Path) -> os.stat_result | None:
        try:
            return path.stat()
        except OSError as error:
            if error.errno != errno.ELOOP:
                self._note(path, error)
            return None

    def _list_entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """Return the entries of a folder; none for a path that is unreadable or not a folder."""
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except OSError as error:
            self._note(folder, error)
            return []

    def _note(self, path: Path, error: OSError) -> None:
        """Keep an error, unless it shows that a path disappeared, or is a file where the pattern has a folder."""
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            self.failures.setdefault(path, error)
