"""The data dictionary: tables of the published file, from the comments of their SQL files."""

from __future__ import annotations

from markdown_text import code, plain, table

from trueup.warehouse.install_views import VIEW_ROOMS, view_statement
from trueup.warehouse.statements import Statement, statement

_TITLES = {"findings": "Findings and money", "feeds": "Feeds", "terms": "Tariffs and subscriptions", "fraud": "Fraud"}


def table_reference() -> str:
    """Return the page: each view with its grain, its owner and the meaning of each column."""
    parts = [
        "# Tables and views\n",
        "`trueup sql` and the published file `leakage.duckdb` have the same tables. In the file each table and column also has "
        "this text as its comment: `select table_name, column_name, comment from duckdb_columns()`.\n",
    ]
    for room, names in VIEW_ROOMS.items():
        parts.append(f"## {_TITLES.get(room, room.capitalize())}\n")
        parts += [_section(name, view_statement(name)) for name in names]
    parts += ["## The file itself\n", _section("published", statement("queries/lake/published_table"))]
    return "\n".join(parts)


def _section(name: str, view: Statement) -> str:
    rows = [(code(column), plain(meaning)) for column, meaning in view.columns.items()]
    return f"### {name}\n\n{plain(view.comment)}\n\n{table(('column', 'meaning'), rows)}"
