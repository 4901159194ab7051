"""The warehouse's SQL, read from its `.sql` files: what each says, and what its comments say of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_COLUMN_COMMENT = re.compile(r"(\w+),?\s+-- (.+)$")


@dataclass(frozen=True)
class Statement:
    """One `.sql` file: its name, its text, the comment at its head and the comments beside its columns."""

    name: str
    text: str
    comment: str
    columns: dict[str, str]


@cache
def statement(path: str) -> Statement:
    """The file `path` (without `.sql`, relative to this package, such as `audits/one_place`)."""
    text = files(__package__).joinpath(f"{path}.sql").read_text("utf-8")
    lines = text.splitlines()
    body = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    comment = " ".join(line.removeprefix("--").strip() for line in lines[:body])
    columns = {found[1]: found[2] for found in map(_COLUMN_COMMENT.search, lines[body:]) if found}
    return Statement(path.rpartition("/")[2], text, comment, columns)


@cache
def names(folder: str) -> tuple[str, ...]:
    """The names of all `.sql` files of a folder of this package, in alphabetical order."""
    found = (entry.name for entry in files(__package__).joinpath(folder).iterdir())
    return tuple(sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql")))
