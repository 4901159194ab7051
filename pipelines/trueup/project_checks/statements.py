"""SQL statements of this package, one per file."""

from __future__ import annotations

from importlib.resources import files


def statement(name: str, **identifiers: str) -> str:
    """Return the statement in `sql/NAME.sql` with identifiers filled in; values are bound as parameters, never filled in."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8").format(**identifiers)
