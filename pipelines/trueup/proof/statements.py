"""The SQL of this package, one statement a file."""

from __future__ import annotations

from importlib.resources import files


def statement(name: str, **parts: str) -> str:
    """The statement in `sql/NAME.sql`, with identifiers and expressions put in; values are bound, never put in."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8").format(**parts)
