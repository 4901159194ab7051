"""SQL statements of this package, one per file."""

from __future__ import annotations

from importlib.resources import files


def statement(name: str, **parts: str) -> str:
    """Return the statement in `sql/NAME.sql` with identifiers and expressions filled in; values are bound as parameters."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8").format(**parts)
