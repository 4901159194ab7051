"""The files that a path of the configuration names: only what is written there is a pattern, folder names and variables are not."""

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
    """A path as it is written in the configuration: `folder` has no wildcards; `parts` below it have, or there are none.

    The project's folder and the value of a `${NAME}` are taken literally, whatever characters they hold.
    """

    folder: Path
    parts: tuple[str, ...]

    @classmethod
    def of(cls, project: Project, written: str) -> Pattern:
        """The pattern of a path; raises `ConfigError` for a variable that is not set."""
        if not glob.has_magic(written):
            return cls(project.resolve(written), ())
        # What is escaped has no wildcard, and is unescaped again.
        parts = expand_path(written, glob.escape).split("/")
        literal = next((number for number, part in enumerate(parts) if _has_wildcard(part)), len(parts))
        named = "/".join(_unescape(part) for part in parts[:literal])
        folder = Path("/") if literal == 1 and not parts[0] else project.directory / named
        return cls(folder, tuple(part for part in parts[literal:] if part not in ("", ".")))

    @property
    def is_literal(self) -> bool:
        """Whether it names one path."""
        return not self.parts

    @cached_property
    def _root(self) -> Path:
        return Path(os.path.normpath(self.folder))

    def within(self, path: Path) -> Path | None:
        """The folder that a path lies in by its name, if the pattern's wildcards are sought there; None elsewhere."""
        return self.folder if self.parts and Path(os.path.normpath(path)).is_relative_to(self._root) else None

    def matches(self, *, most: int) -> list[Path]:
        """The paths it matches, in order of name; at most `most` + 1, so that more than `most` can be noticed."""
        if self.is_literal:
            return [self.folder]
        found = []
        for path in _below(self.folder, self.parts):
            found.append(path)
            if len(found) > most:
                break
        return sorted(set(found), key=str)


def _unescape(part: str) -> str:
    return re.sub(r"\[([*?[])\]", r"\1", part)


def _has_wildcard(part: str) -> bool:
    return glob.has_magic(re.sub(r"\[([*?[])\]", "", part))


def _below(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The paths below a folder that match, part by part. As in a shell, `*` leaves out names that begin with a dot."""
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == _ANY_DEPTH:
        for inner in _folders_below(folder):
            yield from _below(inner, rest) if rest else (path for path in _named(inner, "*") if not path.is_dir())
    elif _has_wildcard(first):
        for path in _named(folder, first):
            yield from _below(path, rest)
    elif os.path.lexists(path := folder / _unescape(first)):
        yield from _below(path, rest)


def _named(folder: Path, wildcards: str) -> Iterator[Path]:
    is_match = re.compile(fnmatch.translate(wildcards)).match
    for entry in _entries(folder):
        if is_match(entry.name) and (wildcards.startswith(".") or not entry.name.startswith(".")):
            yield folder / entry.name


def _folders_below(folder: Path) -> Iterator[Path]:
    """A folder and all below it, each once: links may lead round in circles, and to one folder by many ways."""
    seen = set[tuple[int, int]]()
    real, linked = [folder], list[Path]()
    # What links lead to comes last, so that a file has the name that no link gives it.
    while real or linked:
        here = real.pop() if real else linked.pop()
        with suppress(OSError):
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            yield here
            inner = sorted((e for e in _entries(here) if not e.name.startswith(".") and e.is_dir()), key=lambda e: e.name)
            real += [here / e.name for e in reversed(inner) if not e.is_symlink()]
            linked += [here / e.name for e in reversed(inner) if e.is_symlink()]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder; nothing in one that cannot be read, or is none."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries
