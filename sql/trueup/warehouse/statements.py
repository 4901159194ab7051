"""The warehouse's SQL: each `.sql` file with its text and its comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_COLUMN_COMMENT = re.compile(r"(\w+),?\s+-- (.+)$")


@dataclass(frozen=True)
class Statement:
    """One `.sql` file: its name, its text, its head comment and the comment of each column."""

    name: str
    text: str
    comment: str
    columns: dict[str, str]


@cache
def statement(path: str) -> Statement:
    """Return the file `path`, relative to this package and without `.sql`, such as `audits/one_place`."""
    text = files(__package__).joinpath(f"{path}.sql").read_text("utf-8")
    lines = text.splitlines()
    body = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    comment = " ".join(line.removeprefix("--").strip() for line in lines[:body])
    columns = {match[1]: match[2] for match in map(_COLUMN_COMMENT.search, lines[body:]) if match}
    return Statement(path.rpartition("/")[2], text, comment, columns)


@cache
def names(folder: str) -> tuple[str, ...]:
    """Return the names of all `.sql` files in a folder of this package, in alphabetical order."""
    files_in = (entry.name for entry in files(__package__).joinpath(folder).iterdir())
    return tuple(sorted(name.removesuffix(".sql") for name in files_in if name.endswith(".sql")))


@cache
def paths(folder: str) -> dict[str, str]:
    """Return the path of each `.sql` file in a folder of this package and its subfolders, by name, for `statement`."""
    found = {name: f"{folder}/{name}" for name in names(folder)}
    for entry in files(__package__).joinpath(folder).iterdir():
        if entry.is_dir():
            found |= paths(f"{folder}/{entry.name}")
    return found
