"""Installs the views on a connection that has the lake attached as `lake`.

The views of schema `main` are the contract with analysts; those of schema `steps` are the named steps between the log and
them, to be looked at when a number surprises. All look at the log as of the session variables set here; without them at
the newest position, whenever they are asked.
"""

from __future__ import annotations

import duckdb

from trueup.config import Project
from trueup.warehouse.asof import AsOf
from trueup.warehouse.statements import Statement, statement

MACROS = ("steps/micros_as_money",)
STEPS = (
    "policy_now", "reconciled", "finding_change", "decision_now", "finding_now", "finding_standing",
    "finding_provisional", "suspicion",
)  # fmt: skip
VIEWS = (
    "findings", "finding_records", "finding_history", "leakage_by_day", "leakage_by_cause", "conservation", "quarantine",
    "source_units", "feed_quality", "exposure_by_day", "kpi_daily", "subscriptions", "tariffs", "provisioning",
    "suspicious_transactions", "cases", "fraud_daily", "fraud_drift",
)  # fmt: skip


def install(connection: duckdb.DuckDBPyConnection, project: Project, as_of: AsOf | None = None) -> None:
    """Creates all views, with their comments, and says as of when they look."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS steps")
    _look(connection, project, as_of)
    for path in MACROS:
        connection.execute(statement(path).text)
    for name in STEPS:
        _create(connection, f"steps.{name}", statement(f"steps/{name}"))
    for name in VIEWS:
        view = statement(name)
        _create(connection, f"main.{name}", view)
        describe(connection, "VIEW", f"main.{name}", view)


def describe(connection: duckdb.DuckDBPyConnection, kind: str, target: str, view: Statement) -> None:
    """Puts a view's comments on a view or table of the same columns (`kind` VIEW or TABLE)."""
    connection.execute(f"COMMENT ON {kind} {target} IS {_quoted(view.comment)}")
    columns = [row[0] for row in connection.execute(f"DESCRIBE {target}").fetchall()]
    for column in columns:
        if column in view.columns:
            connection.execute(f"COMMENT ON COLUMN {target}.{column} IS {_quoted(view.columns[column])}")


def _create(connection: duckdb.DuckDBPyConnection, target: str, view: Statement) -> None:
    connection.execute(f"CREATE OR REPLACE VIEW {target} AS {view.text}")


def _look(connection: duckdb.DuckDBPyConnection, project: Project, as_of: AsOf | None) -> None:
    """Sets the session variables the views read; NULL means no limit."""
    values: dict[str, tuple[str, object]] = {
        "as_of_position": ("BIGINT", as_of.position if as_of else None),
        "as_of_snapshot": ("BIGINT", as_of.snapshot_id if as_of else None),
        "as_of_next_snapshot": ("BIGINT", as_of.next_snapshot if as_of else None),
        "as_of_moment": ("TIMESTAMPTZ", as_of.moment if as_of else None),
        "project_timezone": ("VARCHAR", project.config.project.timezone),
        "project_currency": ("VARCHAR", project.config.project.currency),
    }
    for name, (dtype, value) in values.items():
        connection.execute(f"SET VARIABLE {name} = CAST($value AS {dtype})", {"value": value})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
