"""Read the SQL of this package, one statement a file."""

from __future__ import annotations

from importlib.resources import files


def statement(name: str) -> str:
    """Return the statement in `sql/NAME.sql`; values are bound as parameters."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")
