"""The SQL of this package, one statement a file."""

from __future__ import annotations

from importlib.resources import files


def statement(name: str, **identifiers: str) -> str:
    """Return the statement in `sql/NAME.sql`, with identifiers inserted.

    Values are bound, except where Great Expectations binds none.
    """
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8").format(**identifiers)
