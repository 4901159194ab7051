"""The page's SQL: one `.sql` file in `queries/` for each question."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def statement_text(path: str) -> str:
    """Return the text of a file in `queries/`, named without `.sql`, such as `today/leakage`."""
    return files("trueup.workbench").joinpath(f"queries/{path}.sql").read_text("utf-8")


@cache
def has_statement(path: str) -> bool:
    """Return whether `queries/` has this file."""
    return files("trueup.workbench").joinpath(f"queries/{path}.sql").is_file()
