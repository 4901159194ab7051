"""Install the views on a DuckDB instance that has the lake attached as `lake`.

The views of schema `main` are the contract with analysts. Those of schema `steps` are the named steps between the log and the
contract; they help to trace a surprising number. All views read the log as of the session variables set here, and without them
up to the newest position.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection
from dataclasses import asdict
from functools import cache
from graphlib import TopologicalSorter

import duckdb

from trueup.config import Project
from trueup.events.streams import DATED, INVOICE
from trueup.reconcile.domain.decision_kinds import DECISIONS
from trueup.reconcile.domain.invoice_kinds import INVOICE_KINDS
from trueup.reconcile.domain.kinds import CAUSES, KINDS
from trueup.warehouse.asof import AsOf
from trueup.warehouse.statements import Statement, paths, statement

VIEW_ROOMS = {
    "findings": (
        "findings", "finding_records", "finding_history", "finding_kinds", "finding_causes", "leakage_by_day", "leakage_by_cause",
        "conservation", "kpi_daily", "recoveries",
    ),
    "feeds": ("quarantine", "suspense_by_day", "source_units", "feed_quality", "exposure_by_day"),
    "terms": ("subscriptions", "tariffs", "provisioning"),
    "chain": ("chain_hops", "chain_losses", "chain_flow"),
    "invoices": ("invoices", "invoice_periods", "invoice_findings", "invoice_kinds"),
    "fraud": ("suspicious_transactions", "fraud_daily", "fraud_drift"),
    "cases": ("cases", "case_members", "case_history", "money_ledger", "money_by_account", "decision_kinds", "controls"),
}  # fmt: skip
"""The folder of `views/` that holds the SQL of each view."""
MACROS = (
    "micros_as_money", "shown_money", "period_number", "period_first_day", "finding_status", "cycle_begin_day", "cycle_number",
    "known_zone", "money_shares", "money_taken",
)  # fmt: skip
"""The macros of the steps and views, in the folder `steps/macros/`."""
VIEWS = tuple(view for views in VIEW_ROOMS.values() for view in views)
STEPS = tuple(sorted(paths("steps").keys() - set(MACROS)))
"""The steps: each SQL file in `steps/` and its folders that is no macro."""
STEPS_OF_RECORDS = ("suspense", "finding_change", "chain_record", "chain_unit", "invoice_charge", "record_content")
"""Steps with a row for each record or change of the log. Publishing makes no copy of them."""
_PATH_OF = paths("steps") | paths("views")
_READ = re.compile(r"\b(?:main|steps)\.(\w+)")


_CATALOGS = re.compile(
    r"\b(?:duckdb_\w+|sqlite_\w+|information_schema|pragma\w*|describe|show|summarize)\b|(?:\A|\()(?:\s|--[^\n]*\n|/\*.*?\*/)*desc\b",
    re.IGNORECASE | re.DOTALL,
)
"""Matches a query that reads the names, columns or comments of views rather than their rows."""
_creating = threading.Lock()


def install(connection: duckdb.DuckDBPyConnection, project: Project, as_of: AsOf | None = None) -> None:
    """Create all views with their comments, and set the session variables they read."""
    set_variables(connection, project, as_of)
    create_views(connection)


def create_views(connection: duckdb.DuckDBPyConnection, query: str | None = None, *, comments: bool = True) -> None:
    """Create the views that a query reads and the instance lacks; without a query all views, with their comments.

    Views belong to the instance, hence to all connections that share it. Session variables belong to one connection.
    """
    required = None if query is None or _CATALOGS.search(query) else _find_views_read_by(query)
    if required is not None and not required:
        return
    with _creating:
        existing = _read_existing_views(connection)
        if not existing:
            create_macros(connection)
        for name in order_by_reading({*STEPS, *VIEWS} if required is None else required):
            if name not in existing:
                _create_view(connection, _qualify_name(name), view_statement(name))
        for name in VIEWS:
            if required is None and comments and existing.get(name) is None:
                comment_on(connection, "VIEW", f"main.{name}", view_statement(name))


def create_views_of_records(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views that stay in a query of `SharedSteps`: the steps of records, and the views that steps read.

    A view is planned when it is created, with all that it reads. All views together would cost more than the queries.
    """
    of_steps = {name for step in STEPS for name in _read_by(step) if name in VIEWS}
    create_views(connection, " ".join({*STEPS_OF_RECORDS, *of_steps}))


def create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros that views call."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS steps")
    for macro in MACROS:
        connection.execute(view_statement(macro).text)


def _qualify_name(name: str) -> str:
    return f"steps.{name}" if name in STEPS else f"main.{name}"


def view_statement(name: str) -> Statement:
    """Return the SQL file of a view, a step or a macro."""
    return statement(_PATH_OF[name])


@cache
def _read_by(name: str) -> frozenset[str]:
    """Return the steps and views that a step or view reads itself; its SQL names each with its schema."""
    return frozenset(_READ.findall(view_statement(name).text)) & {*STEPS, *VIEWS}


def _find_views_read_by(query: str) -> set[str]:
    """Return the views that a query names, and the views that these read in turn.

    A view named in a text or comment of the query is created needlessly, which costs little.
    """
    required, unread = set[str](), set(re.findall(r"\w+", query.lower())) & {*STEPS, *VIEWS}
    while unread:
        required |= unread
        unread = {name for view in unread for name in _read_by(view)} - required
    return required


def order_by_reading(names: Collection[str]) -> list[str]:
    """Return steps and views with each after those that it reads."""
    return list(TopologicalSorter({name: sorted(_read_by(name) & {*names}) for name in sorted(names)}).static_order())


def _read_existing_views(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """Return the comment of each view that the instance has, by name."""
    query = "SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'memory' AND NOT internal AND NOT temporary"
    return dict(connection.execute(query).fetchall())


def comment_on(connection: duckdb.DuckDBPyConnection, kind: str, target: str, view: Statement) -> None:
    """Set the comments of a view's SQL file on a view or table of the same columns (`kind` is VIEW or TABLE)."""
    connection.execute(f"COMMENT ON {kind} {target} IS {_quote(view.comment)}")
    columns = [row[0] for row in connection.execute(f"DESCRIBE {target}").fetchall()]
    for column in columns:
        if column in view.columns:
            connection.execute(f"COMMENT ON COLUMN {target}.{column} IS {_quote(view.columns[column])}")


def _create_view(connection: duckdb.DuckDBPyConnection, target: str, view: Statement) -> None:
    connection.execute(f"CREATE VIEW {target} AS {view.text}")


def set_variables(connection: duckdb.DuckDBPyConnection, project: Project, as_of: AsOf | None = None) -> None:
    """Set the session variables that the views read; NULL means no limit."""
    values: dict[str, tuple[str, object]] = {
        "as_of_position": ("BIGINT", as_of.position if as_of else None),
        "as_of_snapshot": ("BIGINT", as_of.snapshot_id if as_of else None),
        "as_of_next_snapshot": ("BIGINT", as_of.next_snapshot if as_of else None),
        "as_of_moment": ("TIMESTAMPTZ", as_of.moment if as_of else None),
        "project_timezone": ("VARCHAR", project.config.project.timezone),
        "project_currency": ("VARCHAR", project.config.project.currency),
        "alerts_per_day": ("BIGINT", project.config.fraud.alerts_per_day),
        "bucket_by": ("VARCHAR", project.config.lake.bucket_by),
        "chains": ("JSON", json.dumps([chain.model_dump(mode="json") for chain in project.config.chain])),
        "chain_feeds": ("JSON", json.dumps(_list_chain_feeds(project))),
        "invoice_rules": ("JSON", json.dumps(_build_invoice_rules(project))),
        "invoice_kinds": ("JSON", json.dumps([asdict(kind) for kind in INVOICE_KINDS.values()])),
        "quarantine_share_millionths": ("BIGINT", project.config.quality.quarantine_share),
        "finding_kinds": ("JSON", json.dumps([asdict(kind) for kind in KINDS.values()])),
        "finding_causes": ("JSON", json.dumps(CAUSES)),
        "case_owners": ("JSON", json.dumps(project.config.cases.owners)),
        "decision_kinds": ("JSON", json.dumps([asdict(kind) for kind in DECISIONS.values()])),
    }
    for name, (dtype, value) in values.items():
        connection.execute(f"SET VARIABLE {name} = CAST($value AS {dtype})", {"value": value})


def _list_chain_feeds(project: Project) -> list[dict[str, object]]:
    """Return the feeds of the stages of chains, with the pattern and groups that number their files."""
    if not project.config.chain:
        return []
    return [
        {
            "source": source.name, "stream": source.stream, "stage": source.constants.get("stage"), "pattern": source.feed.file,
            **{f"{name}_group": re.compile(source.feed.file or "").groupindex.get(name, 0) for name in ("sequence", "node")},
        }
        for source in project.config.source if source.stream in DATED
    ]  # fmt: skip


def _build_invoice_rules(project: Project) -> dict[str, object]:
    """Return the settings of `[invoice]`, the groups of its patterns, and the feeds whose frontier is that of invoices."""
    rules = project.config.invoice.model_dump(mode="json")
    series = [
        {"pattern": pattern, **{f"{name}_group": re.compile(pattern).groupindex.get(name, 0) for name in ("sequence", "series")}}
        for pattern in project.config.invoice.series
    ]  # fmt: skip
    feeds = [
        {"source": source.name, "stream": source.stream, "lateness_us": source.lateness if source.frontier == "observed" else None}
        for source in project.config.source if source.stream in ("charge", INVOICE)
    ]  # fmt: skip
    return rules | {"series": series, "feeds": feeds}


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
