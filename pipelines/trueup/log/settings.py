"""Lake settings: fixed at creation and checked whenever a lake is opened."""

from __future__ import annotations

import json
from typing import Any

import duckdb

from trueup.config import LakeConfig
from trueup.errors import LogError
from trueup.log.catalog.instances import facts


def has_log(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the attached lake has an event log."""
    # The functions of DuckDB that list tables read the columns of all tables first.
    query = "SELECT 1 FROM __ducklake_metadata_lake.ducklake_table WHERE table_name = 'position' AND end_snapshot IS NULL LIMIT 1"
    return connection.execute(query).fetchone() is not None


def fix_settings(connection: duckdb.DuckDBPyConnection, lake: LakeConfig) -> None:
    """Write the settings that are fixed when the lake is created."""
    connection.execute("INSERT INTO lake.events.setting VALUES (?)", [json.dumps(_list_settings(lake))])


def check_settings(connection: duckdb.DuckDBPyConnection, lake: LakeConfig, where: str) -> None:
    """Raise `LogError` where the attached lake has no event log, or was created with other settings."""
    known = facts(connection)
    fixed = known["settings"] = known.get("settings") or _read_fixed_settings(connection)
    if fixed is None:
        raise LogError("the catalog holds no event log", where=where, todo="run `trueup ingest` or `trueup run` first")
    for name, value in _list_settings(lake).items():
        if fixed[name] != value:
            raise LogError(
                f"the lake was created with {name} = {fixed[name]!r}, but trueup.toml has {value!r}", where=where,
                todo=f"set [lake] {name} back; it is fixed when the lake is created",
            )  # fmt: skip


def _read_fixed_settings(connection: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    try:
        row = connection.execute("SELECT content FROM lake.events.setting").fetchone()
    except duckdb.CatalogException:
        row = None
    return None if row is None else json.loads(row[0])


def _list_settings(lake: LakeConfig) -> dict[str, Any]:
    return {"buckets": lake.buckets, "bucket_by": lake.bucket_by}
