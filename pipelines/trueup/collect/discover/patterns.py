"""Path patterns of the configuration. Only wildcards that the user wrote count, not characters of folder names or variables."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trueup.config import Project, expand_path

_ANY_DEPTH = "**"


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

    def matches(self, *, most: int) -> list[Path]:
        """Return the matching paths in order of name; at most `most` + 1, which shows the caller that there are too many."""
        if self.is_literal:
            return [self.folder]
        paths = []
        for path in _find_below(self.folder, self.parts):
            paths.append(path)
            if len(paths) > most:
                break
        return sorted(set(paths), key=str)


def _unescape(part: str) -> str:
    return re.sub(r"\[([*?[])\]", r"\1", part)


def _has_wildcard(part: str) -> bool:
    return glob.has_magic(re.sub(r"\[([*?[])\]", "", part))


def _find_below(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the paths below a folder that match, part by part. As in a shell, `*` omits names that begin with a dot."""
    if not parts:
        yield folder
        return
    first, remaining = parts[0], parts[1:]
    if first == _ANY_DEPTH:
        for inner in _walk_folders(folder):
            yield from (
                _find_below(inner, remaining) if remaining else (path for path in _find_named(inner, "*") if not path.is_dir())
            )
    elif _has_wildcard(first):
        for path in _find_named(folder, first):
            yield from _find_below(path, remaining)
    elif os.path.lexists(path := folder / _unescape(first)):
        yield from _find_below(path, remaining)


def _find_named(folder: Path, wildcards: str) -> Iterator[Path]:
    is_match = re.compile(fnmatch.translate(wildcards)).match
    for entry in _list_entries(folder):
        if is_match(entry.name) and (wildcards.startswith(".") or not entry.name.startswith(".")):
            yield folder / entry.name


def _walk_folders(folder: Path) -> Iterator[Path]:
    """Yield a folder and all folders below it. Yield each once: links may form cycles, and several paths may lead to one folder."""
    seen = set[tuple[int, int]]()
    real, linked = [folder], list[Path]()
    # Follow links last, so that a file is named by its real path where it has one.
    while real or linked:
        current = real.pop() if real else linked.pop()
        with suppress(OSError):
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            yield current
            inner = sorted((e for e in _list_entries(current) if not e.name.startswith(".") and e.is_dir()), key=lambda e: e.name)
            real += [current / e.name for e in reversed(inner) if not e.is_symlink()]
            linked += [current / e.name for e in reversed(inner) if e.is_symlink()]


def _list_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder; no entries for a path that is unreadable or not a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries
