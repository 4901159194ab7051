"""Installs the views on an instance that has the lake attached as `lake`.

The views of schema `main` are the contract with analysts; those of schema `steps` are the named steps between the log and
them, to be looked at when a number surprises. All look at the log as of the session variables set here; without them at
the newest position, whenever they are asked.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import asdict
from functools import cache

import duckdb

from trueup.config import Project
from trueup.reconcile.domain.kinds import CAUSES, KINDS
from trueup.warehouse.asof import AsOf
from trueup.warehouse.statements import Statement, statement

MACROS = ("steps/micros_as_money",)
STEPS = (
    "policy_now", "reconciled", "finding_change", "decision_now", "booking_now", "finding_now", "finding_standing",
    "finding_provisional", "finding_owed", "suspicion",
)  # fmt: skip
REGISTRIES = ("finding_kinds", "finding_causes")
"""Views of the registries; steps look kinds up in them, so they are created first."""
VIEWS = (
    *REGISTRIES, "findings", "finding_records", "finding_history", "leakage_by_day", "leakage_by_cause", "conservation",
    "quarantine", "source_units", "feed_quality", "exposure_by_day", "kpi_daily", "subscriptions", "tariffs", "provisioning",
    "suspicious_transactions", "cases", "fraud_daily", "fraud_drift",
)  # fmt: skip


_CATALOGS = re.compile(
    r"\b(?:duckdb_\w+|sqlite_\w+|information_schema|pragma\w*|describe|show|summarize)\b|(?:\A|\()(?:\s|--[^\n]*\n|/\*.*?\*/)*desc\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a query names that asks for the names, columns and comments of views rather than for their rows."""
_creating = threading.Lock()


def install(connection: duckdb.DuckDBPyConnection, project: Project, as_of: AsOf | None = None) -> None:
    """Creates all views, with their comments, and says as of when they look."""
    look(connection, project, as_of)
    create(connection)


def create(connection: duckdb.DuckDBPyConnection, query: str | None = None, *, comments: bool = True) -> None:
    """Creates the views that a query reads and the instance lacks: all of them, with their comments, where no query is given.

    Views belong to the instance, hence to all connections that share it; as of when they look belongs to each connection.
    """
    wanted = None if query is None or _CATALOGS.search(query) else _read_by(query)
    if wanted is not None and not wanted:
        return
    with _creating:
        there = _there(connection)
        if not there:
            connection.execute("CREATE SCHEMA IF NOT EXISTS steps")
            for path in MACROS:
                connection.execute(statement(path).text)
        for name in (*REGISTRIES, *STEPS, *(view for view in VIEWS if view not in REGISTRIES)):
            if name not in there and (wanted is None or name in wanted):
                _create(connection, _target(name), _statement(name))
        for name in VIEWS:
            if wanted is None and comments and there.get(name) is None:
                describe(connection, "VIEW", f"main.{name}", statement(name))


def _target(name: str) -> str:
    return f"steps.{name}" if name in STEPS else f"main.{name}"


def _statement(name: str) -> Statement:
    return statement(f"steps/{name}" if name in STEPS else name)


@cache
def _names_in(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower())) & {*STEPS, *VIEWS}


def _read_by(query: str) -> set[str]:
    """The views that a query names, and those that these read in turn. It may name one in a text or comment: that costs little."""
    found, unread = set[str](), set(_names_in(query))
    while unread:
        found |= unread
        texts = (_statement(name).text for name in unread)
        unread = {name for text in texts for name in _names_in(text)} - found
    return found


def _there(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """The views that the instance has, with their comments."""
    query = "SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'memory' AND NOT internal AND NOT temporary"
    return dict(connection.execute(query).fetchall())


def describe(connection: duckdb.DuckDBPyConnection, kind: str, target: str, view: Statement) -> None:
    """Puts a view's comments on a view or table of the same columns (`kind` VIEW or TABLE)."""
    connection.execute(f"COMMENT ON {kind} {target} IS {_quoted(view.comment)}")
    columns = [row[0] for row in connection.execute(f"DESCRIBE {target}").fetchall()]
    for column in columns:
        if column in view.columns:
            connection.execute(f"COMMENT ON COLUMN {target}.{column} IS {_quoted(view.columns[column])}")


def _create(connection: duckdb.DuckDBPyConnection, target: str, view: Statement) -> None:
    connection.execute(f"CREATE VIEW {target} AS {view.text}")


def look(connection: duckdb.DuckDBPyConnection, project: Project, as_of: AsOf | None = None) -> None:
    """Sets the session variables the views read; NULL means no limit."""
    values: dict[str, tuple[str, object]] = {
        "as_of_position": ("BIGINT", as_of.position if as_of else None),
        "as_of_snapshot": ("BIGINT", as_of.snapshot_id if as_of else None),
        "as_of_next_snapshot": ("BIGINT", as_of.next_snapshot if as_of else None),
        "as_of_moment": ("TIMESTAMPTZ", as_of.moment if as_of else None),
        "project_timezone": ("VARCHAR", project.config.project.timezone),
        "project_currency": ("VARCHAR", project.config.project.currency),
        "finding_kinds": ("JSON", json.dumps([asdict(kind) for kind in KINDS.values()])),
        "finding_causes": ("JSON", json.dumps(CAUSES)),
    }
    for name, (dtype, value) in values.items():
        connection.execute(f"SET VARIABLE {name} = CAST($value AS {dtype})", {"value": value})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
