"""Write a copy of the views: the tables that pages read, and the tables from which the state after a decision is computed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb

from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse
from trueup.warehouse.shared_steps import SharedSteps
from trueup.workbench.reading.statements import has_statement, statement_text

COPIED = (
    "finding_kinds", "findings", "suspicious_transactions", "cases", "money_by_account", "recent_changes", "conservation",
    "source_units", "feed_quality", "exposure_by_day", "suspense_by_day", "provisioning", "fraud_daily", "fraud_drift",
    "subscriptions",
)  # fmt: skip
"""The tables that pages read: views, each with the columns and rows that its file in `queries/copy/` selects, if it has one."""
KEPT = ("changes", "former_filings", "decisions", "case_opening", "case_sums", "fraud_money", "position")
"""The inputs of `decided.py` for the state after a decision: files in `queries/copy/kept/`, tables of the schema `kept`."""
_INLINED = ("money_ledger",)
"""Views that a copied view reads, but no page."""


def write_copy(warehouse: Warehouse, path: Path, name: str) -> None:
    """Write the copy to a new DuckDB file, attached under a name meanwhile; all tables are of one state of the lake.

    Steps that several tables read are computed once.
    """
    connection = warehouse.lake.connection
    install_views.create_views_of_records(connection)
    connection.execute(f"ATTACH '{quoted(path)}' AS {name}")
    try:
        connection.execute("BEGIN")
        try:
            _write_tables(connection, name)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.TransactionException):
                connection.execute("ROLLBACK")
            raise
        connection.execute(f"CHECKPOINT {name}")
    finally:
        connection.execute(f"DETACH {name}")


def _write_tables(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    steps = SharedSteps(connection)
    connection.execute(f"CREATE SCHEMA {name}.kept")
    for table in COPIED:
        for inlined in _INLINED if table == "money_by_account" else ():
            steps.give(("main", inlined), f"({steps.read_view(inlined)})")
        if table in install_views.VIEWS:
            steps.give(("main", table), f"({steps.read_view(table)})")
        path = f"copy/{table}"
        source = statement_text(path) if has_statement(path) else f"FROM main.{table}"
        connection.execute(f"CREATE TABLE {name}.main.{table} AS {steps.read(source)}")
        steps.give(("main", table), f"{name}.main.{table}")
    for table in KEPT:
        connection.execute(f"CREATE TABLE {name}.kept.{table} AS {steps.read(statement_text(f'copy/kept/{table}'))}")
    steps.drop()


def quoted(path: Path) -> str:
    """Return a path as the content of a text in SQL."""
    return str(path).replace("'", "''")
